"""`archive_write`: what encryption, keys and proof cost beside writing the same bytes in the clear."""

from __future__ import annotations

import base64
import hashlib
import itertools
import statistics
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Engine, insert, select

from include.archive.bodies import Body
from include.archive.keyring import ArchiveKeys
from include.archive.packing import pack
from include.archive.staging import open_staged, prepare, write
from include.archive.store import ArchiveStore, Plan
from include.connections import Connection
from include.database import archive_row, disposal, run, schedule_version
from include.keys import LocalWrapper
from include.policy import schedule
from include.processors import Record
from tests.bench.frame import Bench
from tests.bench.rows import Row, say, timed

BATCH = 500
KEYS = ArchiveKeys.of(LocalWrapper(bytes(range(32))))
YEARS = 5
SEED = 7
Group = tuple[str, date]


def archive_write(bench: Bench) -> list[Row]:
    """Pack the staged rows of many accounts into checked objects; the baseline writes the same rows in the clear."""
    sizes, today = bench.sizes, datetime.now(UTC).date()
    place = bench.s3.connection("archive_store", "archiver", bucket="archive")
    packed, bare, staged, objects, rows = [], [], [], 0, 0
    for number in range(sizes.repeat):
        with bench.database() as engine:
            ids = _disposals(engine, sizes.archived)
            staged.append(timed(lambda e=engine, i=ids: _stage(e, i, today)).wall)
            plain = _plain(engine)
            bare.append(timed(lambda p=plain: _write(place, p)).wall)
            found: list[Any] = []
            packed.append(timed(lambda e=engine, f=found: f.append(_pack(e, place, today))).wall)
            objects, rows = found[0].objects, found[0].rows
            say(
                f"  run {number + 1} of {sizes.repeat}: {objects} objects packed in {packed[-1]:.2f} s, "
                f"in the clear {bare[-1]:.2f} s (staged in {staged[-1]:.2f} s)"
            )
    value, baseline = statistics.median(packed), statistics.median(bare)
    ratio = value / baseline
    reported = {
        "accounts": sizes.archived, "objects": objects, "rows": rows,
        "stage_seconds": round(statistics.median(staged), 2), "mb": round(sum(map(len, plain.values())) / 2**20, 1),
    }  # fmt: skip
    return [Row("archive_write", value, "s", baseline, ratio, "ratio <= 1.5", ratio <= 1.5, packed, reported, SEED)]


def _disposals(engine: Engine, accounts: int) -> list[UUID]:
    """Insert one located disposal an account."""
    run_id, day = uuid4(), date(2026, 3, 2)
    ids = [uuid4() for _ in range(accounts)]
    common: dict[str, Any] = {
        "key_epoch": "2026", "subject_type": "individual", "processor": "stripe", "rule_id": "R-14",
        "rule_version": 1, "scope_id": "payments", "trigger_event": "terminated", "trigger_date": day,
        "last_day": day, "free_from": day, "destroy_by": day, "datasets": ["payments"], "categories": ["D-05"],
        "schedule_sha256": "s", "run_id": run_id, "outcome": "located",
    }  # fmt: skip
    with engine.begin() as connection:
        connection.execute(insert(schedule_version).values(sha256="s", policy_text_sha256="p", body=b""))
        connection.execute(
            insert(run).values(run_id=run_id, dag_id="bench", airflow_run_id="r", as_of=day, schedule_sha256="s")
        )
        connection.execute(
            insert(disposal),
            [common | {"disposal_id": i, "subject_tag": f"tag-{n}", "account_id": _account(n)}
             for n, i in enumerate(ids)],
        )  # fmt: skip
    return ids


def _account(number: int) -> str:
    return f"acct_{number:08d}"


def _stage(engine: Engine, ids: list[UUID], today: date) -> None:
    """Stage one payment an account, spread over five years, batch by batch as `locate` does."""
    known = schedule.load()
    for start in range(0, len(ids), BATCH):
        prepared = [
            prepare(
                disposal_id=disposal_id, processor="stripe", account_id=_account(n), subject_type="individual",
                consumer_like=True, records=[_payment(n, disposal_id, today)], schedule=known, as_of=today, keys=KEYS,
            )
            for n, disposal_id in enumerate(ids[start : start + BATCH], start)
        ]  # fmt: skip
        with engine.begin() as connection:
            write(connection, prepared, KEYS)


def _payment(number: int, disposal_id: UUID, today: date) -> Record:
    paid = today - timedelta(days=1 + number * 7919 % (365 * YEARS - 30))
    items = {
        "name": f"Sample Person {number}", "email": f"p{number}@example.com", "phone": "010-0000-0000",
        "billing_address": f"{number} Example Street", "fee.billed": 10_000 + number, "fee.received": 10_000 + number,
        "fee.received_at": paid, "fee.method": "card", "supply.completed_on": paid,
    }  # fmt: skip
    dates = {"transaction": paid, "paid_and_supplied": paid}
    return Record(str(disposal_id), f"pay-{number}", "payment", dates, items)


def _plain(engine: Engine) -> dict[Group, bytes]:
    """Return what each object holds, in the clear: one line a subject."""
    c = archive_row.c
    order = (c.rule_id, c.window_end, c.archive_tag)
    with engine.connect() as connection:
        rows = connection.execute(select(archive_row).order_by(*order, c.row_id)).all()
    lines: dict[Group, list[bytes]] = {}
    for (rule, end, _tag), group in itertools.groupby(rows, key=lambda r: (r.rule_id, r.window_end, r.archive_tag)):
        lines.setdefault((rule, end), []).append(b"[" + b",".join(open_staged(r, KEYS) for r in group) + b"]\n")
    return {group: b"".join(found) for group, found in lines.items()}


def _write(place: Connection, plain: dict[Group, bytes]) -> None:
    """Write as many objects in the clear, each under a lock and checked by HEAD."""
    store, until = ArchiveStore.of(place), datetime.now(UTC) + timedelta(days=400)
    store.check(datetime.now(UTC))
    for (rule, end), content in plain.items():
        key = f"bench/{rule}/{end}/{uuid4()}.jsonl"
        digest = base64.b64encode(hashlib.sha256(content).digest()).decode()
        body = Body(key, KEYS)  # only its file is used: both sides hand the client the same kind of thing
        body.file.write(content)
        store.write(Plan(key, digest, "GLACIER_IR", until.replace(microsecond=0)), body.file)
        body.close()


def _pack(engine: Engine, place: Connection, today: date) -> Any:
    return pack(
        engine, ArchiveStore.of(place), as_of=today, now=datetime.now(UTC), keys=KEYS, owner="bench",
        record=lambda _connection, _facts: None,
    )  # fmt: skip
