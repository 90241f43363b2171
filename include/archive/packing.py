"""One task a run packs what the batches staged: one object per law and half-week, written once, locked, proven.

A crash between any two lines leaves `writing`: the next run reads the store and either finishes or abandons. Nothing
is lost (rows stay until `checked`) and nothing is doubled (`archive_record` remembers what is in a checked object).
"""

from __future__ import annotations

import itertools
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, Engine, delete, func, insert, or_, select, text, update

from include.archive import backups
from include.archive.bodies import Body
from include.archive.facts import Archived, Recorder
from include.archive.keyring import ArchiveKeys
from include.archive.objects import Archive, abandon, alone, ceil_second, finish, plan_of
from include.archive.staging import GATE, open_staged
from include.archive.store import ArchiveStore
from include.archive.trouble import Trouble
from include.database import archive_key, archive_object, archive_row, archive_wait
from include.errors import ArchiveError, ArchiveUnreachable

CHUNK = 1000
WRITERS = 4

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class PackReport:
    """What one packing did; `dropped` rows had outlived their basis before they could be packed."""

    objects: int = 0
    rows: int = 0
    subjects: int = 0
    resumed: int = 0
    abandoned: int = 0
    dropped: int = 0
    keys: list[str] = field(default_factory=list)


def pack(
    engine: Engine,
    store: ArchiveStore,
    *,
    as_of: date,
    now: datetime,
    keys: ArchiveKeys,
    owner: str,
    record: Recorder,
    archived: Archived = lambda _connection, _disposal_ids: None,
    storage_class: str = "GLACIER_IR",
) -> PackReport:
    """Write every staged row into a checked object; `now` is real UTC, `as_of` the business date.

    A group that cannot be proven keeps its rows and its disposals waiting; the others are finished first, then
    `ArchiveError` names the cause. A cut connection is trouble of one object until the third in a row.
    """
    archive = Archive(engine, store, keys, as_of, now, record, archived, storage_class)
    report = PackReport()
    with alone(engine):
        if not _anything(engine):
            return report
        store.check(now)
        trouble = Trouble()
        _resume(archive, report, trouble)
        report.dropped = _drop_lapsed(archive)
        _pack_groups(archive, report, trouble)
    logger.info(
        "archive packed: objects=%d rows=%d failures=%d owner=%s", report.objects, report.rows, trouble.count, owner
    )
    trouble.tell(
        f"{trouble.count} of {trouble.count + report.objects} archive objects could not be proven; what belongs to "
        "them is not touched at its source and is packed again on the next run."
    )
    return report


def _anything(engine: Engine) -> bool:
    with engine.connect() as connection:
        staged = connection.scalar(select(archive_row.c.row_id).limit(1))
        writing = connection.scalar(
            select(archive_object.c.object_key).where(archive_object.c.state == "writing").limit(1)
        )
    return staged is not None or writing is not None


def _groups(engine: Engine) -> list[tuple[str, date]]:
    c = archive_row.c
    with engine.connect() as connection:
        rows = connection.execute(
            select(c.rule_id, c.window_end).where(c.object_key.is_(None)).distinct().order_by(c.rule_id, c.window_end)
        )
        return [(row.rule_id, row.window_end) for row in rows]


def _drop_lapsed(archive: Archive) -> int:
    """Forget staged rows whose last day passed before they were packed: no law keeps them any more."""
    c, w = archive_row.c, archive_wait.c
    with archive.engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:gate)"), {"gate": GATE})
        lapsed = connection.execute(
            delete(archive_row)
            .where(c.object_key.is_(None), or_(c.free_from_utc <= archive.now, c.last_day < archive.as_of))
            .returning(c.record_sha256, c.rule_id)
        ).all()
        for row in lapsed:
            connection.execute(
                delete(archive_wait).where(w.record_sha256 == row.record_sha256, w.rule_id == row.rule_id)
            )
    return len(lapsed)


def _resume(archive: Archive, report: PackReport, trouble: Trouble) -> None:
    """Settle what an earlier run left in `writing` by looking at the store."""
    with archive.engine.connect() as connection:
        left = connection.execute(select(archive_object).where(archive_object.c.state == "writing")).all()
    for row in left:
        with trouble.of_one():
            _settle(archive, row, report)


def _settle(archive: Archive, row: Any, report: PackReport) -> None:
    try:
        head = archive.store.prove(plan_of(row))
    except ArchiveUnreachable:
        raise
    except ArchiveError:
        abandon(archive, row)
        report.abandoned += 1
    else:
        backups.save(archive.engine, archive.store, archive.keys, row.object_key)
        finish(archive, row, head)
        report.resumed += 1


def _pack_groups(archive: Archive, report: PackReport, trouble: Trouble) -> None:
    """Pack several groups at a time: most of what one takes is waiting for the store.

    A store that is down stops those that have not begun.
    """
    pool = ThreadPoolExecutor(WRITERS, thread_name_prefix="pack")
    try:
        for future in [pool.submit(_pack_group, archive, *group) for group in _groups(archive.engine)]:
            with trouble.of_one():
                row = future.result()
                if row is not None:
                    report.objects += 1
                    report.rows += row.rows
                    report.subjects += row.subjects
                    report.keys.append(row.object_key)
    finally:
        pool.shutdown(cancel_futures=True)


def _pack_group(archive: Archive, rule_id: str, end: date) -> Any:
    """Pack one group and return its object's row; None where nothing is left to pack."""
    key = f"archive/{rule_id}/{end.isoformat()}/{uuid4()}.jsonl"
    body = Body(key, archive.keys)
    try:
        with archive.engine.begin() as connection:
            assigned = _assign(connection, archive, body, rule_id, end)
        if assigned is None:
            return None
        row, wrapped = assigned
        backups.create(archive.store, archive.keys, row, wrapped)
        head = archive.store.write(plan_of(row), body.file)
    finally:
        body.close()
    finish(archive, row, head)
    return row


def _assign(
    connection: Connection, archive: Archive, body: Body, rule_id: str, end: date
) -> tuple[Any, dict[str, bytes]] | None:
    """Assign the group's rows to the object, build its bytes, and commit (by the caller) what it must become."""
    c = archive_row.c
    taken = (
        update(archive_row)
        .where(c.object_key.is_(None), c.rule_id == rule_id, c.window_end == end)
        .values(object_key=body.object_key)
        .returning(c.free_from_utc, c.last_day, c.destroy_by)
        .cte("taken")
    )
    group = connection.execute(
        select(
            func.count().label("rows"),
            func.max(taken.c.free_from_utc).label("until"),
            func.max(taken.c.last_day).label("last"),
            func.min(taken.c.destroy_by).label("by"),
        )
    ).one()
    if group.rows == 0:
        return None
    wrapped = _fill(connection, archive, body, streamed=group.rows > CHUNK)
    row = connection.execute(
        insert(archive_object)
        .values(
            object_key=body.object_key,
            bucket=archive.store.bucket,
            rule_id=rule_id,
            window_end=end,
            rows=body.rows,
            subjects=body.subjects,
            sha256=body.sha256,
            retain_until=ceil_second(group.until),
            last_day=group.last,
            destroy_by=group.by,
            storage_class=archive.storage_class,
            state="writing",
        )
        .returning(archive_object)
    ).one()
    for start in range(0, len(wrapped), CHUNK):
        connection.execute(insert(archive_key), wrapped[start : start + CHUNK])
    return row, {one["archive_tag"]: one["wrapped_key"] for one in wrapped}


def _fill(connection: Connection, archive: Archive, body: Body, *, streamed: bool) -> list[dict[str, Any]]:
    """Write one line per subject in the order of their tags, a large group streamed; return the wrapped keys."""
    c = archive_row.c
    rows = connection.execute(
        select(archive_row).where(c.object_key == body.object_key).order_by(c.archive_tag, c.row_id),
        execution_options={"yield_per": CHUNK} if streamed else {},
    )
    return [
        {
            "object_key": body.object_key,
            "archive_tag": tag,
            "wrapped_key": body.add(tag, [open_staged(row, archive.keys) for row in group]),
        }
        for tag, group in itertools.groupby(rows, key=lambda row: str(row.archive_tag))
    ]
