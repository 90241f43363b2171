"""Packing, destroying, sealing and exporting, killed at every commit, call and file of theirs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import select

from include import database
from include.archive.keyring import ArchiveKeys
from include.archive.store import ArchiveStore
from include.connections import Connection
from include.database import archive_object, archive_row, entry
from include.disposals import begin_run, guards
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

LATER = TODAY + timedelta(days=10)


@dataclass
class Shelf:
    """Copies of one prepared database, and buckets to write to."""

    postgres: PostgresServer
    s3: S3Server
    made: list[str] = field(default_factory=list)
    number: int = 0

    def database(self, *, template: str = "template_retention") -> Connection:
        """Return a new database like the template."""
        name = f"books_{uuid4().hex[:12]}"
        self.postgres.create_database(name, template=template)
        self.made.append(name)
        return self.postgres.connection("retention_db", name)

    def books(self, ours: Connection, *, as_of: date = TODAY, bucket: str = "archive") -> work.Books:
        """Return the books over a database; each evidence log has a prefix of its own."""
        if bucket == "archive":
            return work.Books(ours, self.s3.connection("archive_store", "archiver", bucket="archive"), as_of)
        store = self.s3.connection("evidence_store", "notary", bucket="evidence")
        return work.Books(ours, replace(store, extra={**store.extra, "prefix": f"{uuid4().hex}/"}), as_of)


@pytest.fixture
def shelf(postgres: PostgresServer, s3: S3Server) -> Iterator[Shelf]:
    made = Shelf(postgres, s3)
    yield made
    for name in made.made:
        postgres.drop_database(name)


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Nursery() as made:
        yield made


def desk_on(books: work.Books) -> Desk:
    """Return a desk over a database with an approved schedule."""
    context = books.context()
    with context.engine.begin() as connection:
        known = connection.execute(select(database.schedule_version.c.sha256)).first()
    if known is None:
        guards.approve_schedule(context, role=context.schedule.privacy_officer_role, pseudonym="e-0001")
        begin_run(context, airflow_run_id="books")
    keys = ArchiveKeys.of(LocalWrapper(bytes(range(32))))
    return Desk(context.engine, ArchiveStore.of(books.store), context.schedule, keys)


def events(books: work.Books) -> Counter[str]:
    with work.engine_of(books.ours).connect() as connection:
        return Counter(json.loads(b)["event"] for b in connection.execute(select(entry.c.body)).scalars())


def hang_up(books: work.Books) -> None:
    work.engine_of(books.ours).dispose()


# -- packing -----------------------------------------------------------------------------------------------------------
def test_packing_killed_anywhere_loses_nothing_and_doubles_nothing(shelf: Shelf, nursery: Nursery) -> None:
    first = shelf.books(shelf.database())
    desk = desk_on(first)
    for number in (1, 2):
        desk.stage(f"acct-{number}", payment(number))
    with desk.engine.connect() as connection:
        staged = {(r.record_sha256, r.rule_id) for r in connection.execute(select(archive_row))}
    hang_up(first)

    def check(books: work.Books, died: str) -> None:
        own = desk_on(books)
        states = Counter(r.state for r in own.rows("archive_object"))
        assert set(states) <= {"checked", "abandoned"}, f"{died}: {states}"
        assert own.count("archive_row") == own.count("archive_wait") == 0, died
        records = own.rows("archive_record")
        assert {(r.record_sha256, r.rule_id) for r in records} == staged
        assert len(records) == len(staged), f"{died}: a record was archived twice"
        checked = [r for r in own.rows("archive_object") if r.state == "checked"]
        assert {r.object_key for r in records} == {r.object_key for r in checked}
        for row in checked:
            head = own.store.head(row.object_key)
            assert head is not None, f"{died}: {row.object_key} is checked and not there"
            assert head.retain_until == row.retain_until
        hang_up(books)

    def begin() -> work.Books:
        return shelf.books(shelf.database(template=str(first.ours.schema)))

    words = kill_everywhere(nursery, begin, work.pack, lambda books: (books,), check)
    print(f"packing: {dict(words)}")
    assert words["committed"] >= 2
    assert words["sent"] >= 2


# -- destroying --------------------------------------------------------------------------------------------------------
def test_destroying_killed_anywhere_leaves_no_key_behind_a_gone_object(shelf: Shelf, nursery: Nursery) -> None:
    ready: list[work.Books] = []
    for _ in range(24):
        books = shelf.books(shelf.database(), as_of=LATER)
        desk = desk_on(books)
        desk.stage("acct-1", payment(1), terms_of=short(25))
        desk.close()
        desk.pack()
        hang_up(books)
        ready.append(books)
    with work.engine_of(ready[-1].ours).connect() as connection:
        until = connection.execute(select(archive_object.c.retain_until)).scalar_one()
    wait_until(until)
    pile = iter(ready)

    def check(books: work.Books, died: str) -> None:
        own = desk_on(books)
        (row,) = own.rows("archive_object")
        assert row.state in ("destroyed", "gone"), f"{died}: {row.state}"
        assert own.count("archive_key") == own.count("archive_record") == 0, died
        assert own.store.head(row.object_key) is None, f"{died}: called destroyed, and there"
        told = events(books)
        assert told["archive_destroy_attempted"] == told["archive_destroyed"] == 1, f"{died}: {told}"
        hang_up(books)

    words = kill_everywhere(nursery, lambda: next(pile), work.lapse, lambda books: (books,), check)
    print(f"destroying: {dict(words)}")
    assert words["committed"] >= 2
    assert words["sent"] >= 2


# -- sealing -----------------------------------------------------------------------------------------------------------
def test_sealing_killed_anywhere_goes_on_with_the_same_history(shelf: Shelf, nursery: Nursery) -> None:
    first = shelf.database()
    engine = work.engine_of(first)
    with engine.begin() as connection:
        stage(connection, [e for n in range(1, 100) for e in samples.life(n)][:300])
    engine.dispose()

    def check(books: work.Books, died: str) -> None:
        with work.engine_of(books.ours).begin() as connection:
            stage(connection, samples.life(200))
        more = nursery.run(work.seal, books)
        assert not more.error, f"{died}: {more.trace}"
        store = EvidenceStore.of(books.store)
        published = store.get("checkpoint")
        assert published is not None
        shown = open_checkpoint(published.body.decode(), [work.SIGNER.vkey])
        with work.engine_of(books.ours).connect() as connection:
            ours = connection.execute(select(entry.c.body).order_by(entry.c.log_index)).scalars().all()
        assert shown.size == len(ours) > 300
        assert list(bucket_entries(store, shown.size)) == [bytes(b) for b in ours], died
        hang_up(books)

    def begin() -> work.Books:
        return shelf.books(shelf.database(template=first.schema), bucket="evidence")

    words = kill_everywhere(nursery, begin, work.seal, lambda books: (books,), check)
    print(f"sealing: {dict(words)}")
    assert words["committed"] == 2, "indexes, and the checkpoint before anybody sees it"
    assert words["sent"] >= 6


# -- exporting ---------------------------------------------------------------------------------------------------------
def test_an_export_killed_anywhere_is_whole_or_not_there(shelf: Shelf, nursery: Nursery, tmp_path: Path) -> None:
    books = shelf.books(shelf.database(), bucket="evidence")
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
    hang_up(books)
