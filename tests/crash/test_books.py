"""Sealing and exporting, killed with SIGKILL at each commit, request and file, and done again.

A seal that died has left indexes, tiles, our checkpoint or the bucket's, in that order; an export a hidden folder. The
next one ends in the same bytes as if nobody had died.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import select, text

from include.connections import s3_client
from include.database import checkpoint, entry
from include.evidence import log, tree
from include.evidence.log import stage as stage_entries
from include.evidence.note import open_checkpoint
from include.evidence.store import COPIES, EvidenceStore
from include.sandbox.servers import PostgresServer, S3Server
from tests.crash import work
from tests.crash.courses import Course, survive
from tests.crash.nursery import Nursery
from tests.evidence import samples
from tests.processors.worlds.base import ON


@dataclass
class Log:
    """A log of its own with entries to seal: its first ones, or (`begun`) more, beyond the first full tile."""

    postgres: PostgresServer
    s3: S3Server
    begun: bool = False

    def __post_init__(self) -> None:
        self.name, self.prefix = f"books_{uuid4().hex[:10]}", f"{uuid4().hex}/"
        self.postgres.create_database(self.name, template="template_retention")
        store = self.s3.connection("evidence_store", "notary", bucket="evidence")
        store = replace(store, extra={**store.extra, "prefix": self.prefix})
        self.books = work.Books(self.postgres.connection("retention_db", self.name), store, ON)
        self.engine = work.engine_of(self.books.ours)
        self.store = EvidenceStore.of(store)
        self.add(1, 30)
        if self.begun:
            log.seal(self.engine, self.store, work.SIGNER, now=datetime.now(UTC))
            self.add(30, 60)

    def add(self, first: int, last: int) -> None:
        with self.engine.begin() as connection:
            stage_entries(connection, [e for n in range(first, last) for e in samples.life(n)])

    def play(self, course: Course) -> None:
        course.do(work.seal, self.books)

    def agree(self) -> None:
        """Whatever the bucket shows as signed was in our database first, and is this log."""
        with self.engine.connect() as connection:
            ours = {r.size: bytes(r.root) for r in connection.execute(select(checkpoint))}
        shown = [v for k, v in self.objects().items() if re.fullmatch(rf"checkpoint|{COPIES}\d+", k)]
        for note in shown:
            seen = open_checkpoint(note.decode(), [work.SIGNER.vkey])
            assert ours.get(seen.size) == seen.root, f"the bucket shows {seen.size} entries, our database does not"
            assert tree.fold(log.frontier_at(self.engine, seen.size)) == seen.root

    def struck(self) -> None:
        self.agree()

    def objects(self) -> dict[str, bytes]:
        client = s3_client(self.books.store)
        pages = client.get_paginator("list_objects_v2").paginate(Bucket="evidence", Prefix=self.prefix)
        keys = [o["Key"] for page in pages for o in page.get("Contents", ())]
        return {k.removeprefix(self.prefix): client.get_object(Bucket="evidence", Key=k)["Body"].read() for k in keys}

    def end(self) -> dict[str, Any]:
        with self.engine.connect() as connection:
            known = connection.execute(
                select(checkpoint.c.size, checkpoint.c.root, checkpoint.c.note, checkpoint.c.frontier).order_by("size")
            ).all()
            logged = connection.execute(select(entry.c.log_index, entry.c.body).order_by(entry.c.entry_id)).all()
            found = connection.execute(
                text("SELECT (f.*)::text FROM retention.entry_find f ORDER BY log_index")
            ).scalars()
            tables = {"checkpoints": known, "entries": logged, "entry_find": list(found)}
        return {**{f"object {k}": v for k, v in self.objects().items()}, **tables}

    def close(self) -> None:
        self.engine.dispose()
        self.postgres.drop_database(self.name)


class LateLog(Log):
    """A log to which more is added between a death and the next seal, so that other tiles are written."""

    def struck(self) -> None:
        self.agree()
        self.add(100, 107)

    def end(self) -> dict[str, Any]:
        """Every entry of the course is sealed once, and the bucket shows it."""
        with self.engine.connect() as connection:
            indexes = connection.execute(select(entry.c.log_index).order_by(entry.c.entry_id)).scalars().all()
        published = self.store.get("checkpoint")
        assert published is not None
        assert open_checkpoint(published.body.decode(), [work.SIGNER.vkey]).size == len(indexes)
        return {"in order": indexes == list(range(len(indexes)))}


@pytest.mark.parametrize(("of", "begun"), [(Log, False), (Log, True), (LateLog, True)])
def test_a_seal_killed_anywhere_ends_in_the_same_log(
    of: type[Log], begun: bool, nursery: Nursery, postgres: PostgresServer, s3: S3Server
) -> None:
    words = survive(
        nursery,
        lambda count: [of(postgres, s3, begun) for _ in range(count)],
        words=("committed", "sent PUT") if of is LateLog else (),
    )
    assert words["committed"] == 3
    assert words["sent"] >= 4


# -- exporting ---------------------------------------------------------------------------------------------------------
def whole(folder: Path) -> bool:
    """Return whether a folder is an export whose files are those of its signed manifest."""
    listed = json.loads((folder / "manifest.json").read_bytes())["files"] if (folder / "manifest.json").exists() else {}
    there = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    return there == {*listed, "manifest.json", "manifest.note"} and all(
        hashlib.sha256((folder / name).read_bytes()).hexdigest() == said["sha256"] for name, said in listed.items()
    )


class Exports:
    """One sealed log, exported twice into the same place; it grows in between."""

    def __init__(self, small: Log, large: Log, root: Path) -> None:
        self.small, self.large = small, large
        self.root = root / f"crash-{uuid4().hex[:8]}"
        self.folder = self.root / "night"

    def play(self, course: Course) -> None:
        course.do(work.export, self.small.books, str(self.folder))
        course.do(work.export, self.large.books, str(self.folder))

    def agree(self) -> None:
        """Under its own name an export is whole or not there."""
        assert not self.folder.exists() or whole(self.folder), "half an export stands under its own name"

    def struck(self) -> None:
        self.agree()

    def end(self) -> dict[str, Any]:
        assert [p.name for p in self.root.iterdir()] == ["night"], "something was left beside the export"
        return {p.relative_to(self.folder).as_posix(): p.read_bytes() for p in self.folder.rglob("*") if p.is_file()}

    def close(self) -> None:
        pass


class PeoplesExports(Exports):
    """One log, exported with what people read, over an export without."""

    def play(self, course: Course) -> None:
        if not self.folder.exists():
            work.export(self.small.books, str(self.folder))
        course.do(work.export_for_people, self.large.books, str(self.folder))

    def end(self) -> dict[str, Any]:
        """Return what is the same in every workbook and report of one log: their names, and the bytes of the rest."""
        return {k: v if k.endswith((".csv", ".jsonl")) else "" for k, v in super().end().items()}


def test_an_export_killed_anywhere_is_whole_or_not_there(
    nursery: Nursery, postgres: PostgresServer, s3: S3Server, tmp_path: Path
) -> None:
    logs = [Log(postgres, s3), Log(postgres, s3)]
    logs[1].add(30, 40)
    for one in logs:
        assert not nursery.run(work.seal, one.books).error
    made: list[Exports] = []

    def scenes(count: int) -> Sequence[Exports]:
        made.extend(Exports(*logs, tmp_path) for _ in range(count))
        return made[-count:]

    words = survive(nursery, scenes)
    assert words["file"] >= 20
    peoples: list[Exports] = []

    def with_more(count: int) -> Sequence[Exports]:
        peoples.extend(PeoplesExports(*logs, tmp_path) for _ in range(count))
        return peoples[-count:]

    # Where the new folder takes the place of the old one, and in the middle of what people read.
    survive(nursery, with_more, words=("file os.rename", "file open report", "file open ledger", "file open manifest"))
    folder = made[-1].folder
    verified = subprocess.run([sys.executable, folder / "verify.py", folder], capture_output=True, check=False)
    assert verified.returncode == 0, verified.stdout
    for one in logs:
        one.close()
