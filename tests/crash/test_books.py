"""Packing, destroying, sealing and exporting, killed at every commit, call and file of theirs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import count
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import Engine, select

from include import database
from include.archive.keyring import ArchiveKeys
from include.archive.store import ArchiveStore
from include.connections import Connection
from include.database import entry
from include.disposals import guards
from include.evidence.log import stage
from include.evidence.note import open_checkpoint
from include.evidence.rebuild import bucket_entries
from include.evidence.store import EvidenceStore
from include.keys import LocalWrapper
from include.sandbox.servers import PostgresServer, S3Server
from tests.archive.conftest import TODAY, Desk, payment, short, wait_until
from tests.crash import work
from tests.crash.everywhere import kill_everywhere
from tests.crash.nursery import Nursery
from tests.evidence import samples

DAY = timedelta(days=1)
OBJECTS = 40
"""More than destroying one object has points."""


@dataclass
class Shelf:
    """One database and the buckets its books write to."""

    ours: Connection
    s3: S3Server

    def archive(self, as_of: date = TODAY) -> work.Books:
        """Return the books of the archive."""
        return work.Books(self.ours, self.s3.connection("archive_store", "archiver", bucket="archive"), as_of)

    def evidence(self) -> work.Books:
        """Return the books of an evidence log under a prefix of its own."""
        store = self.s3.connection("evidence_store", "notary", bucket="evidence")
        return work.Books(self.ours, replace(store, extra={**store.extra, "prefix": f"{uuid4().hex}/"}), TODAY)


@pytest.fixture
def shelf(engine: Engine, postgres: PostgresServer, s3: S3Server) -> Iterator[Shelf]:
    ours = postgres.connection("retention_db", str(engine.url.database))
    yield Shelf(ours, s3)
    work.engine_of(ours).dispose()


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Nursery() as made:
        yield made


def desk_on(books: work.Books) -> Desk:
    """Return a desk over the shelf's database, with an approved schedule."""
    context = books.context()
    with context.engine.connect() as connection:
        known = connection.execute(select(database.schedule_version.c.sha256)).first()
    if known is None:
        guards.approve_schedule(context, role=context.schedule.privacy_officer_role, pseudonym="e-0001")
    keys = ArchiveKeys.of(LocalWrapper(bytes(range(32))))
    return Desk(context.engine, ArchiveStore.of(books.store), context.schedule, keys)


def events(books: work.Books) -> Counter[str]:
    with work.engine_of(books.ours).connect() as connection:
        return Counter(json.loads(b)["event"] for b in connection.execute(select(entry.c.body)).scalars())


# -- packing -----------------------------------------------------------------------------------------------------------
def test_packing_killed_anywhere_loses_nothing_and_doubles_nothing(shelf: Shelf, nursery: Nursery) -> None:
    books, staged, numbers = shelf.archive(), set(), count(1)
    desk = desk_on(books)

    def begin() -> work.Books:
        number = next(numbers)
        desk.stage(f"acct-{number}", payment(number))
        staged.update((r.record_sha256, r.rule_id) for r in desk.rows("archive_row"))
        return books

    def check(_books: work.Books, died: str) -> None:
        objects = {r.object_key: r for r in desk.rows("archive_object")}
        assert {r.state for r in objects.values()} <= {"checked", "abandoned", "gone"}, died
        assert desk.count("archive_row") == desk.count("archive_wait") == 0, died
        records = desk.rows("archive_record")
        assert {(r.record_sha256, r.rule_id) for r in records} == staged, died
        assert len(records) == len(staged), f"{died}: a record was archived twice"
        checked = {key for key, row in objects.items() if row.state == "checked"}
        assert {r.object_key for r in records} == checked, died
        for key in checked:
            head = desk.store.head(key)
            assert head is not None, f"{died}: {key} is checked and not there"
            assert head.retain_until == objects[key].retain_until

    words = kill_everywhere(nursery, begin, work.pack, lambda of: (of,), check)
    print(f"packing: {dict(words)}")
    assert words["committed"] >= 2
    assert words["sent"] >= 2


# -- destroying --------------------------------------------------------------------------------------------------------
def test_destroying_killed_anywhere_leaves_no_key_behind_a_gone_object(shelf: Shelf, nursery: Nursery) -> None:
    """One object for each kill, each with a last day of its own, so that a night destroys one."""
    desk = desk_on(shelf.archive())
    for number in range(OBJECTS):
        desk.stage(f"acct-{number}", payment(number), terms_of=short(60, last_day=TODAY + number * DAY))
        desk.pack()
    desk.close()
    wait_until(max(row.retain_until for row in desk.rows("archive_object")))
    nights = count(1)

    def check(books: work.Books, died: str) -> None:
        over = {r.object_key for r in desk.rows("archive_object") if r.last_day < books.as_of}
        states = {r.object_key: r.state for r in desk.rows("archive_object")}
        assert {states[key] for key in over} <= {"destroyed", "gone"}, f"{died}: {states}"
        assert not over & {r.object_key for r in desk.rows("archive_key")}, died
        assert not over & {r.object_key for r in desk.rows("archive_record")}, died
        assert all(desk.store.head(key) is None for key in over), f"{died}: called destroyed, and there"
        told = events(books)
        assert told["archive_destroy_attempted"] == told["archive_destroyed"] == len(over), f"{died}: {told}"

    words = kill_everywhere(
        nursery, lambda: shelf.archive(TODAY + next(nights) * DAY), work.lapse, lambda of: (of,), check
    )
    print(f"destroying: {dict(words)}")
    assert words["committed"] >= 2
    assert words["sent"] >= 2


# -- sealing -----------------------------------------------------------------------------------------------------------
def test_sealing_killed_anywhere_goes_on_with_the_same_history(shelf: Shelf, nursery: Nursery) -> None:
    books, numbers = shelf.evidence(), count(1)
    store = EvidenceStore.of(books.store)

    def begin() -> work.Books:
        with work.engine_of(books.ours).begin() as connection:
            stage(connection, [e for _ in range(3) for e in samples.life(next(numbers))])
        return books

    def check(_books: work.Books, died: str) -> None:
        published = store.get("checkpoint")
        assert published is not None
        shown = open_checkpoint(published.body.decode(), [work.SIGNER.vkey])
        with work.engine_of(books.ours).connect() as connection:
            ours = connection.execute(select(entry.c.body).order_by(entry.c.log_index)).scalars().all()
        assert shown.size == len(ours), died
        assert list(bucket_entries(store, shown.size)) == [bytes(b) for b in ours], died

    words = kill_everywhere(nursery, begin, work.seal, lambda of: (of,), check)
    print(f"sealing: {dict(words)}")
    assert words["committed"] == 2, "indexes, and the checkpoint before anybody sees it"
    assert words["sent"] >= 6


# -- exporting ---------------------------------------------------------------------------------------------------------
def test_an_export_killed_anywhere_is_whole_or_not_there(shelf: Shelf, nursery: Nursery, tmp_path: Path) -> None:
    books = shelf.evidence()
    with work.engine_of(books.ours).begin() as connection:
        stage(connection, [e for n in range(1, 5) for e in samples.life(n)])
    assert not nursery.run(work.seal, books).error
    whole = {"left": 0, "absent": 0}

    def verified(folder: Path) -> bool:
        done = subprocess.run(
            [sys.executable, str(folder / "verify.py"), str(folder)], capture_output=True, text=True, check=False
        )
        return done.returncode == 0

    for ordinal in range(1, 100):
        folder = tmp_path / f"crash-{ordinal}" / "night"
        for_the_first_time = ordinal % 2
        if not for_the_first_time:
            assert not nursery.run(work.export, books, str(folder)).error
        ended = nursery.run(work.export, books, str(folder), die_at=ordinal)
        assert not ended.error, ended.trace
        if folder.exists():
            whole["left"] += 1
            assert verified(folder), f"killed at {ended.points[-1]}: half an export lies under its name"
        else:
            whole["absent"] += 1
        assert not nursery.run(work.export, books, str(folder)).error
        assert [p.name for p in folder.parent.iterdir()] == ["night"], "rubbish of the dead export stays"
        if not ended.killed:
            break
    print(f"exporting: {ordinal - 1} kills, {whole}")
    assert ordinal > 10
    assert whole["absent"]
