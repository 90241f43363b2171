"""What is rarer in the archive, killed with SIGKILL at each commit and request, and done again.

Keys destroyed before their objects' day, uploads nobody could prove, and copies of held records.
"""

from __future__ import annotations

import base64
import hashlib
import io
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import IO, Any

import pytest
from sqlalchemy import update

from include.archive import backups
from include.archive.disposal import LANDED
from include.archive.store import ArchiveStore, Head, Plan
from include.connections import s3_client
from include.database import archive_object, hold
from include.disposals import archiving
from include.sandbox.servers import PostgresServer, S3Server
from tests.archive.conftest import Desk, wait_until
from tests.crash import work
from tests.crash.courses import Course, entries_in, survive
from tests.crash.nursery import Nursery
from tests.crash.test_archive import BACKUP_DAYS, DAY, Cellar, Outlived
from tests.processors.worlds.base import ON


# -- keys destroyed before their objects' day --------------------------------------------------------------------------
class Corrected(Cellar):
    """An archive of which one customer's keys go early, and are confirmed gone when the last backup has expired."""

    def __init__(self, postgres: PostgresServer, s3: S3Server) -> None:
        super().__init__(postgres, s3)
        archiving.pack_staged(self.books.context(), self.books.store)
        self.desk.close()

    def play(self, course: Course) -> None:
        course.do(work.erase_keys, self.books, "a1")
        course.do(work.lapse, replace(self.books, as_of=ON + (BACKUP_DAYS + 1) * DAY), "backups gone")

    def forgotten(self) -> int:
        return int(not [k for k in self.desk.rows("archive_key") if k.archive_tag == self.desk.keys.tag("a1")])

    def agree(self) -> None:
        """No key leaves anything without an intent, none counts as destroyed that a backup holds, no other one goes."""
        super().agree()
        desk, said = self.desk, self.said()
        for row in desk.rows("archive_object"):
            digest, backup = row.sha256, row.keys_at
            gone = {a for a in ("a0", "a1", "a2") if self.gone(row, a)}
            assert gone <= {"a1"}, "another customer's key left its backup"
            assert not gone or said["attempted", digest], "a key left its backup and no intent says so"
            accepted = said["accepted", digest]
            waits = row.object_key in {r.object_key for r in desk.rows("archive_key_erasure")}
            assert accepted == self.forgotten(), "keys left the database and the evidence does not say so once"
            assert not accepted or (gone and len(desk.store.versions(backup)) == 1), "a destroyed key is in a backup"
            assert said["confirmed", digest] + waits == accepted, "a destruction is confirmed twice or forgotten"

    def gone(self, row: Any, account_id: str) -> bool:
        return backups.destroyed(self.desk.store, self.desk.keys, row, self.desk.keys.tag(account_id))

    def said(self) -> Counter[tuple[str, str]]:
        """Return how often each step of a destruction of keys is in the evidence, by the object's digest."""
        digests = {_hex(r.sha256): r.sha256 for r in self.desk.rows("archive_object")}
        return Counter(
            (e.get("code", "attempted"), digests[e["object_digest"]])
            for e in entries_in(self.desk.engine)
            if e["event"] in ("key_destroy_attempted", "key_destroyed")
        )

    def end(self) -> dict[str, Any]:
        """Return the archive, where an intent may have been declared again."""
        found = super().end()
        found["evidence"] = {k: 1 if k[0] == "key_destroy_attempted" else n for k, n in found["evidence"].items()}
        found["waiting"] = self.desk.count("archive_key_erasure")
        return found


def _hex(sha256: str) -> str:
    return base64.b64decode(sha256).hex()


def test_an_erasure_of_keys_killed_anywhere_is_never_confirmed_too_early_and_ends(
    nursery: Nursery, postgres: PostgresServer, s3: S3Server
) -> None:
    words = survive(
        nursery, lambda count: [Corrected(postgres, s3) for _ in range(count)], words=("committed", "sent P")
    )
    assert words["committed"] >= 3
    assert words["sent"] >= 2  # the backup both objects share: written anew, its older version removed


# -- uploads nobody could prove ----------------------------------------------------------------------------------------
class Dying(ArchiveStore):
    """A store whose caller dies where the upload begins; `lost` is what was on its way."""

    def __init__(self, store: ArchiveStore) -> None:
        super().__init__(store._client, store.bucket)

    def write(self, plan: Plan, body: IO[bytes]) -> Head:
        body.seek(0)
        self.lost = (plan, body.read())
        raise KeyboardInterrupt


def long_ago(desk: Desk) -> None:
    """Let every object be written long before now; one that is not there is looked for again a day later."""
    with desk.engine.begin() as connection:
        connection.execute(update(archive_object).values(written_at=archive_object.c.written_at - 2 * LANDED))


class Locked(Cellar):
    """An upload that is not as planned and locked: it is packed anew, and stays until its lock is over."""

    rules = ("R-02i",)

    def __init__(self, postgres: PostgresServer, s3: S3Server) -> None:
        super().__init__(postgres, s3)
        self.admin: Any = s3_client(s3.connection("s3", "admin"))
        dying = Dying(self.desk.store)
        with pytest.raises(KeyboardInterrupt):
            self.desk.pack(store=dying, as_of=ON)
        plan, body = dying.lost
        self.key = plan.key
        self.desk.store.write(replace(plan, sha256=_base64(body[:-1])), io.BytesIO(body[:-1]))

    def play(self, course: Course) -> None:
        course.do(work.pack, self.books)
        course.do(work.lapse, self.books, "locked")
        self.while_locked = [len(self.desk.store.versions(k)) for k in (self.key, self.desk.keys_at(self.key))]
        over = (datetime.now(UTC) + timedelta(seconds=1.3)).replace(microsecond=0)
        self.admin.put_object_retention(
            Bucket="archive", Key=self.key, BypassGovernanceRetention=True,
            Retention={"Mode": "GOVERNANCE", "RetainUntilDate": over},
        )  # fmt: skip
        long_ago(self.desk)
        wait_until(over)
        work.lapse(self.books, "over")

    def end(self) -> dict[str, Any]:
        found = super().end()
        for name in ("objects", "versions"):  # a packing that died leaves one more that was never there
            found[name] = sorted(set(found[name]))
        return {**found, "object and its keys while locked": self.while_locked}


def _base64(body: bytes) -> str:
    return base64.b64encode(hashlib.sha256(body).digest()).decode()


def test_an_upload_that_is_not_as_planned_loses_its_keys_at_once_and_goes_when_its_lock_is_over(
    nursery: Nursery, postgres: PostgresServer, s3: S3Server
) -> None:
    words = survive(
        nursery, lambda count: [Locked(postgres, s3) for _ in range(count)], words=("committed", "sent POST")
    )
    assert words["committed"] >= 4


class LateCopy(Outlived):
    """A held customer's copy whose upload lands, under its legal hold, after another copy has taken its place."""

    def play(self, course: Course) -> None:
        wait_until(self.until + timedelta(seconds=1))
        dying = Dying(self.desk.store)
        with pytest.raises(KeyboardInterrupt):
            self.desk.lapse(as_of=ON + 10 * DAY, store=dying)
        work.lapse(self._on(10), "held")
        plan, body = dying.lost
        self.desk.store.write(plan, io.BytesIO(body))
        self.key = plan.key
        long_ago(self.desk)
        course.do(work.lapse, self._on(11), "landed")

    def end(self) -> dict[str, Any]:
        states = Counter(r.state for r in self.desk.rows("archive_object"))
        assert states == {"destroyed": 1, "gone": 1, "checked": 1}, states
        return {**super().end(), "states": states, "late": self.desk.store.versions(self.key)}


def test_a_copy_that_landed_late_under_its_legal_hold_goes_and_the_one_that_counts_stays(
    nursery: Nursery, postgres: PostgresServer, s3: S3Server
) -> None:
    words = survive(nursery, lambda count: [LateCopy(postgres, s3) for _ in range(count)], words=("commit", "sent P"))
    assert words["committed"] >= 3


class Released(Outlived):
    """A hold that is released between the death of the run that copies its records and the next one."""

    def play(self, course: Course) -> None:
        wait_until(self.until + timedelta(seconds=1))
        course.do(work.lapse, self._on(10), "held")
        self._release()
        work.pack(self._on(11))  # each night packs, and settles what a dead copy left
        for number, day in enumerate((12, 13 + BACKUP_DAYS)):
            work.lapse(self._on(day), f"released {number}")

    def _release(self) -> None:
        with self.desk.engine.begin() as connection:
            connection.execute(
                update(hold)
                .where(hold.c.released_on.is_(None))
                .values(released_on=ON + 10 * DAY, released_at=datetime.now(UTC))
            )

    def struck(self) -> None:
        self.agree()
        self._release()

    def end(self) -> dict[str, Any]:
        """Nothing is left, and what went was destroyed on the record."""
        long_ago(self.desk)
        work.lapse(self._on(14 + BACKUP_DAYS), "a day later")
        rows, store = self.desk.rows("archive_object"), self.desk.store
        destroyed, gone = self.digests("archive_destroyed"), self.digests("key_destroyed")
        return {
            "states": {r.state for r in rows},
            "in the bucket": [v for r in rows for k in (r.object_key, r.keys_at) for v in store.versions(k)],
            "left": [self.desk.count(t) for t in ("archive_key", "archive_record", "archive_row", "archive_wait")],
            "evidence": {"as one": destroyed == gone == self.digests("archive_written")},
        }


def test_a_hold_released_while_its_copy_was_being_made_leaves_nothing(
    nursery: Nursery, postgres: PostgresServer, s3: S3Server
) -> None:
    words = survive(
        nursery, lambda count: [Released(postgres, s3) for _ in range(count)], words=("committed", "sent PUT")
    )
    assert words["committed"] >= 4
