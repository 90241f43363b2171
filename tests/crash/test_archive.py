"""The archive's two tasks, killed with SIGKILL at each commit and request, and done again: packing and destroying."""

from __future__ import annotations

import base64
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import insert, select, update

from include.archive import packing
from include.archive.bodies import decrypt, lines
from include.archive.keyring import ArchiveKeys
from include.archive.store import ArchiveStore
from include.database import disposal, hold
from include.disposals import archiving, guards
from include.disposals.record import Change, apply
from include.outcomes import Outcome
from include.processors import Result
from include.sandbox.servers import PostgresServer, S3Server
from tests.archive.conftest import Desk, payment, short, wait_until
from tests.crash import work
from tests.crash.courses import Course, entries_in, survive
from tests.crash.nursery import Nursery
from tests.processors.worlds.base import ON

DAY = timedelta(days=1)
BACKUP_DAYS = 35
LOCK_SECONDS = 6.0
"""Long enough for a busy machine to write the object before its lock is over."""


class Cellar:
    """An archive of its own: three customers located, their records of two laws staged."""

    rules = ("R-02i", "R-04")
    seconds = 3600.0
    at_once = packing.AT_ONCE

    def __init__(self, postgres: PostgresServer, s3: S3Server) -> None:
        self.postgres, self.name = postgres, f"cellar_{uuid4().hex[:10]}"
        postgres.create_database(self.name, template="template_retention")
        store = s3.connection("archive_store", "archiver", bucket="archive")
        self.books = work.Books(postgres.connection("retention_db", self.name), store, ON)
        context = self.books.context()
        guards.approve_schedule(context, role=context.schedule.privacy_officer_role, pseudonym="e-0001")
        keys = ArchiveKeys.of(context.wrapper)
        self.desk = Desk(context.engine, ArchiveStore.of(store), context.schedule, keys)
        self.until = datetime.now(UTC) + timedelta(seconds=self.seconds)
        for number in range(3):
            self._stage(f"a{number}", number)

    def _stage(self, account_id: str, number: int) -> None:
        disposal_id = self.desk.plan(account_id)
        for rule_id in self.rules:
            terms = short(self.seconds, last_day=ON, rule_id=rule_id)
            self.desk.stage(account_id, payment(number), disposal_id=disposal_id, terms_of=terms, as_of=ON)
        context = self.books.context()
        with context.engine.begin() as connection:
            tag, sha256 = context.tags.tag(account_id, epoch="2026"), context.schedule.sha256
            this = disposal.c.disposal_id == disposal_id
            connection.execute(update(disposal).where(this).values(subject_tag=tag, schedule_sha256=sha256))
            row = connection.execute(select(disposal).where(this)).one()
            located = Change(Result(str(disposal_id), Outcome.LOCATED, count=1), step="locate", due_at=ON)
            apply(connection, context, {str(disposal_id): row}, [located])

    def play(self, course: Course) -> None:
        course.do(work.pack, self.books, self.at_once)

    def struck(self) -> None:
        self.agree()

    def agree(self) -> None:
        """Nothing counts as archived that cannot be read, nothing is lost, nothing goes without intent and evidence."""
        forgotten = self.forgotten()
        written = self.digests("archive_written")
        attempted = self.digests("archive_destroy_attempted")
        for row in self.desk.rows("archive_object"):
            there = bool(self.desk.store.versions(row.object_key))
            digest = base64.b64decode(row.sha256).hex()
            if row.state == "checked":
                assert there, "an object counts as checked and is not in the bucket"
                assert written[digest] == 1, "an object counts as checked and its evidence does not say so once"
                readable = len(self.readable(row.object_key, row.sha256))
                assert readable == row.subjects - forgotten, "a checked object lacks a key"
            if row.state == "abandoned":
                keys = [k for k in self.desk.rows("archive_key") if k.object_key == row.object_key]
                assert not keys, "an abandoned object can be read"
            if row.state == "destroying" and not there:
                assert attempted[digest] == 1, "an object went and no intent says so"
            if row.state in ("destroyed", "gone"):
                assert not there, "an object counts as destroyed and is in the bucket"
                assert self.desk.saved(row) is None, "a destroyed object's keys are there"
        waiting = {r.disposal_id for r in self.desk.rows("archive_wait")}
        early = [r for r in self.desk.rows("disposal") if r.outcome == "archived" and r.disposal_id in waiting]
        assert not early, "a disposal may act while its records wait for the archive"
        staged = {(r.record_sha256, r.rule_id) for r in self.desk.rows("archive_row")}
        staged |= {(r.record_sha256, r.rule_id) for r in self.desk.rows("archive_record")}
        kept = (3 - forgotten) * len(self.rules)
        assert self.emptied() or len(staged) == kept, "a record is neither staged nor archived"

    def emptied(self) -> bool:
        """Whether records may have left for good by now."""
        return False

    def forgotten(self) -> int:
        """Return of how many customers the keys were destroyed in every object."""
        return 0

    def digests(self, event: str) -> Counter[str]:
        """Return how often the evidence says `event` of each object, by digest."""
        return Counter(e["object_digest"] for e in entries_in(self.desk.engine) if e["event"] == event)

    def readable(self, object_key: str, sha256: str) -> dict[str, list[Any]]:
        """Return what the keys in the database open of an object in the bucket."""
        keys = [k for k in self.desk.rows("archive_key") if k.object_key == object_key]
        wrapped = {k.archive_tag: k.wrapped_key for k in keys}
        return {
            line.archive_tag: [r.items for r in decrypt(line, object_key, wrapped[line.archive_tag], self.desk.keys)]
            for line in lines(self.desk.store, object_key, sha256) or ()
            if line.archive_tag in wrapped
        }

    def end(self) -> dict[str, Any]:
        """Return the archive without what chance decides: names of objects, digests, times; and without abandoned."""
        objects = [r for r in self.desk.rows("archive_object") if r.state != "abandoned"]
        kept = {r.object_key for r in objects}
        keys = [k for k in self.desk.rows("archive_key") if k.object_key in kept]
        assert len(keys) == self.desk.count("archive_key"), "an abandoned object still has keys"
        store = self.desk.store
        return {
            "objects": sorted(
                (r.rule_id, r.state, r.rows, r.subjects, r.legal_hold, str(r.keys_until)) for r in objects
            ),
            "versions": sorted(
                (
                    r.rule_id,
                    len(store.versions(r.object_key)),
                    len(store.versions(r.keys_at)),
                    self.desk.saved(r) is None,
                )
                for r in objects
            ),
            "contents": sorted(
                (r.rule_id, *sorted(self.readable(r.object_key, r.sha256).items()))
                for r in objects
                if r.state == "checked"
            ),
            "records": sorted((r.record_sha256, r.rule_id, r.archive_tag) for r in self.desk.rows("archive_record")),
            "left": [self.desk.count(t) for t in ("archive_row", "archive_wait", "archive_link", "archive_key")],
            "disposals": sorted((r.account_id, r.outcome) for r in self.desk.rows("disposal")),
            "evidence": Counter(
                (e["event"], e.get("code"), e.get("rule_id"), e.get("rows"))
                for e in entries_in(self.desk.engine)
                if e["event"] != "archive_retained"  # said again by each run that finds it so
            ),
        }

    def close(self) -> None:
        self.desk.engine.dispose()
        self.postgres.drop_database(self.name)


class OneByOne(Cellar):
    """The same archive, each object between two transactions of its own."""

    at_once = 1


@pytest.mark.parametrize(("cellar", "commits"), [(Cellar, 2), (OneByOne, 3)])
def test_packing_killed_anywhere_archives_everything_once(
    nursery: Nursery, postgres: PostgresServer, s3: S3Server, cellar: type[Cellar], commits: int
) -> None:
    words = survive(nursery, lambda count: [cellar(postgres, s3) for _ in range(count)])
    assert words["committed"] >= commits
    assert words["sent"] >= 4


class Outlived(Cellar):
    """An archive whose day has come: one customer is held, then the hold is released, then the last backup expires."""

    rules = ("R-02i",)
    seconds = LOCK_SECONDS

    def __init__(self, postgres: PostgresServer, s3: S3Server) -> None:
        super().__init__(postgres, s3)
        archiving.pack_staged(self.books.context(), self.books.store)
        with self.desk.engine.begin() as connection:
            connection.execute(
                insert(hold).values(
                    hold_id=uuid4(), account_id="a1", kind="H-6", datasets=[], reason_code="court",
                    placed_by="compliance:1", placed_on=ON, review_due=ON + 90 * DAY,
                )
            )  # fmt: skip

    def play(self, course: Course) -> None:
        wait_until(self.until + timedelta(seconds=1))
        course.do(work.lapse, self._on(10), "held")
        with self.desk.engine.begin() as connection:
            connection.execute(update(hold).values(released_on=ON + 11 * DAY, released_at=datetime.now(UTC)))
        course.do(work.lapse, self._on(12), "released")
        course.do(work.lapse, self._on(13 + BACKUP_DAYS), "backups gone")

    def _on(self, days: int) -> work.Books:
        return replace(self.books, as_of=ON + days * DAY)

    def emptied(self) -> bool:
        return any(r.state in ("destroying", "destroyed", "gone") for r in self.desk.rows("archive_object"))

    def agree(self) -> None:
        super().agree()
        with self.desk.engine.connect() as connection:
            held = connection.execute(select(hold.c.hold_id).where(hold.c.released_on.is_(None))).first()
        rows = [r for r in self.desk.rows("archive_object") if r.state in ("checked", "destroying")]
        open_ = {
            tag for r in rows if self.desk.store.versions(r.object_key) for tag in self.readable(r.object_key, r.sha256)
        }
        assert not held or self.desk.keys.tag("a1") in open_, "a held customer's records cannot be read any more"


def test_an_archive_destruction_killed_anywhere_destroys_all_that_is_due_and_nothing_held(
    nursery: Nursery, postgres: PostgresServer, s3: S3Server
) -> None:
    words = survive(nursery, lambda count: [Outlived(postgres, s3) for _ in range(count)])
    assert words["committed"] >= 8
    assert words["sent"] >= 8
