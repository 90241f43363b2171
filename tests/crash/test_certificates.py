"""A timestamp and the certificate of an ended contract, killed at each commit, request and file, and done again."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from sqlalchemy import insert, select

from include.connections import Connection
from include.database import checkpoint
from include.database.decisions import offboarding
from include.disposals import begin_run, finish_run, guards
from include.evidence.anchors import CHAIN, Authority, check_stamp, stamp_key
from include.evidence.log import latest, seal
from include.evidence.note import open_checkpoint
from include.sandbox.servers import PostgresServer, S3Server
from tests.crash import work
from tests.crash.courses import Course, entries_in, survive
from tests.crash.nursery import Nursery
from tests.crash.test_archive import DAY
from tests.crash.test_books import Log, whole
from tests.evidence import authority
from tests.processors.worlds.base import ON


# -- the timestamp over a checkpoint -----------------------------------------------------------------------------------
class Stamped(Log):
    """A sealed log whose checkpoint an authority stamps, and a seal of the entry that says so."""

    def __init__(self, postgres: PostgresServer, s3: S3Server, tsa: Connection) -> None:
        self.tsa = tsa
        super().__init__(postgres, s3)
        seal(self.engine, self.store, work.SIGNER, now=datetime.now(UTC))
        self.size = latest(self.engine).size

    def play(self, course: Course) -> None:
        course.do(work.anchor, self.books, self.tsa)
        work.seal(self.books)

    def agree(self) -> None:
        """Whatever the log says was stamped is in the bucket, and is that stamp."""
        super().agree()
        for said in self.said():
            kept = self.store.get(stamp_key(said["log_size"]))
            assert kept is not None, "the log speaks of a timestamp that is not there"
            assert said["receipt_sha256"] == hashlib.sha256(kept.body).hexdigest()

    def said(self) -> list[dict[str, Any]]:
        return [e for e in entries_in(self.engine) if e["event"] == "anchored"]

    def end(self) -> dict[str, Any]:
        known = Authority.of(self.tsa)
        kept, chain = self.store.get(stamp_key(self.size)), self.store.get(CHAIN)
        with self.engine.connect() as connection:
            note = connection.execute(select(checkpoint.c.note).where(checkpoint.c.size == self.size)).scalar_one()
        assert kept is not None
        check_stamp(known, note.encode(), kept.body)
        published = self.store.get("checkpoint")
        assert published is not None
        return {
            "chain": chain is not None and chain.body == known.chain,
            "anchored": [e["log_size"] for e in self.said()],
            "sealed": open_checkpoint(published.body.decode(), [work.SIGNER.vkey]).size - self.size,
        }


def test_a_timestamp_killed_anywhere_is_kept_with_its_chain_and_recorded_once(
    nursery: Nursery, postgres: PostgresServer, s3: S3Server, tmp_path: Path
) -> None:
    authority.certify(tmp_path, "ours")
    with authority.served(tmp_path) as url:
        extra = {"endpoint_url": url, "roots": str(tmp_path / "root.pem"), "chain": str(tmp_path / "tsa.pem")}
        tsa = Connection("evidence_tsa", extra=extra)
        words = survive(
            nursery, lambda count: [Stamped(postgres, s3, tsa) for _ in range(count)], words=("commit", "sent")
        )
    assert words["committed"] >= 1
    assert words["sent"] >= 3


# -- the certificate of an ended contract ------------------------------------------------------------------------------
class Ending(Log):
    """A contract that ended with nothing left there: it is closed, and gets its one certificate."""

    def __init__(self, postgres: PostgresServer, s3: S3Server, root: Path) -> None:
        super().__init__(postgres, s3)
        self.root, self.nights = root / f"crash-{uuid4().hex[:8]}", [ON]
        seed = root / "signing.key"
        seed.write_bytes(bytes(range(32)))
        seed.chmod(0o600)
        self.signing = Connection("evidence_signing", extra={"file": str(seed), "origin": work.SIGNER.name})
        context = self.books.context()
        guards.approve_schedule(context, role=context.schedule.privacy_officer_role, pseudonym="e-0001")
        run_id = begin_run(context, airflow_run_id="r1")
        finish_run(context, run_id, {})
        with self.engine.begin() as connection:
            connection.execute(
                insert(offboarding).values(
                    offboarding_id=uuid4(), processor="own_database", ended_on=ON, run_id=run_id, digest="",
                    subjects=29, a_night=29, first_night=ON, estimated_end=ON,
                )
            )  # fmt: skip

    def play(self, course: Course) -> None:
        course.do(work.close_endings, self.books)
        work.seal(self.books)
        course.do(work.certify_endings, self.books, self.signing, str(self.root), self.nights)

    def struck(self) -> None:
        self.agree()
        self.nights.append(ON + DAY)  # no retry that night: the next one finds it

    def agree(self) -> None:
        """A contract counts as closed with its entry, and as certified with a whole export under its name."""
        super().agree()
        row = self.row()
        assert len(self.ended()) == (row.closed_on is not None), "closed, and the evidence does not say so once"
        folders = list(self.root.glob("asked-*/2*"))
        assert all(whole(p) for p in folders), "half an export stands under its own name"
        assert row.certificate in {None, *(f"{p.parent.name}/{p.name}" for p in folders)}

    def row(self) -> Any:
        with self.engine.connect() as connection:
            return connection.execute(select(offboarding)).one()

    def ended(self) -> list[dict[str, Any]]:
        return [e for e in entries_in(self.engine) if e["event"] == "processor_ended"]

    def end(self) -> dict[str, Any]:
        folders = list(self.root.glob("asked-*/*"))
        assert len(folders) == 1, "something was left beside the certificate"
        (folder,) = folders
        assert self.row().certificate == f"{folder.parent.name}/{folder.name}", "not the one that is there"
        names = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
        return {"files": names, "closed": self.row().closed_on, "ended": len(self.ended())}


def test_a_certificate_of_an_ended_contract_killed_anywhere_is_written_once_and_whole(
    nursery: Nursery, postgres: PostgresServer, s3: S3Server, tmp_path: Path
) -> None:
    def scenes(count: int) -> Sequence[Ending]:
        return [Ending(postgres, s3, tmp_path) for _ in range(count)]

    words = survive(
        nursery, scenes, words=("commit", "file os.rename", "file open processor-", "file open manifest", "sent")
    )
    assert words["committed"] >= 2
    assert words["file"] >= 3
