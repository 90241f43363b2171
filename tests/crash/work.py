"""What children do: one task of a night, from plain values, as an Airflow worker would."""

from __future__ import annotations

import resource
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import Engine

from include import database
from include.accounts import Accounts, Identifiers
from include.archive.staging import ArchiveKeys
from include.connections import Connection, database_url
from include.disposals import Context, advance_batch, locate_batch
from include.evidence import export as exporting
from include.evidence import log
from include.evidence.note import Signer
from include.evidence.store import EvidenceStore
from include.evidence.tags import SubjectTags
from include.keys import LocalWrapper
from include.policy import schedule
from include.processors import ProcessorContract, Site, load
from tests.processors.worlds import WORLDS
from tests.processors.worlds.play import Company

loaded = cache(schedule.load)
_engines: dict[str, Engine] = {}


def engine_of(connection: Connection) -> Engine:
    """Return one engine a database, so that SQL compiled in a rehearsal serves every child."""
    url = str(database_url(connection))
    if url not in _engines:
        _engines[url] = database.connect(connection)
    return _engines[url]


def hang_up() -> None:
    """Close what the engines hold open: a connection must not be shared with children."""
    for engine in _engines.values():
        engine.dispose()


@dataclass(frozen=True, slots=True)
class Task:
    """One task: our database, the company's, the processor's connection and settings, and the business date."""

    name: str
    ours: Connection
    theirs: Connection
    theirs_of_processor: Connection
    connection: Connection
    settings: Mapping[str, Any]
    as_of: date
    run_id: UUID
    batch_id: str
    owner: str
    known: Mapping[str, Identifiers] | None = field(default=None, repr=False)

    def context(self) -> Context:
        """Return what the state machine gets; `known` stands in for the company's accounts, where given."""
        engine = engine_of(self.ours)
        accounts: Any = Company(self.known) if self.known is not None else self._accounts()
        return Context(
            engine=engine,
            accounts=accounts,
            schedule=loaded(),
            tags=SubjectTags({"2026": bytes(32)}),
            wrapper=LocalWrapper(bytes(range(32))),
            as_of=self.as_of,
            run_id=self.run_id,
            dag_id="nightly_retention",
        )

    def _accounts(self) -> Accounts:
        return Accounts(engine_of(self.theirs), loaded().processors["own_database"].settings)

    def processor(self) -> ProcessorContract:
        """Return the processor, made anew."""
        engine = engine_of(self.theirs_of_processor)
        return load(self.name)(Site(self.connection, self.settings, self.as_of, accounts=engine))


def locate(task: Task) -> dict[str, int]:
    """Locate the batch."""
    context = task.context()
    with WORLDS[task.name].hurried():
        return locate_batch(
            context, task.name, task.processor, task.batch_id, task.owner, ArchiveKeys.of(context.wrapper)
        )


def advance(task: Task) -> dict[str, int]:
    """Advance the batch as far as it goes now."""
    context = task.context()
    with WORLDS[task.name].hurried():
        return advance_batch(context, task.processor(), task.batch_id, task.owner)


@dataclass(frozen=True, slots=True)
class Books:
    """What evidence tasks need: our database and a bucket."""

    ours: Connection
    store: Connection


SIGNER = Signer(bytes(range(32)), "crash.example.com/log")


def seal(books: Books) -> int:
    """Seal what is staged; return the size of the log."""
    return log.seal(engine_of(books.ours), EvidenceStore.of(books.store), SIGNER, now=datetime.now(UTC)).size


def export(books: Books, folder: str) -> int:
    """Export the log."""
    return exporting.export(engine_of(books.ours), Path(folder), vkey=SIGNER.vkey, signer=SIGNER).size


def export_on_a_full_disk(books: Books, folder: str) -> int:
    """Export where no file may grow beyond a few kilobytes."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2048, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    return export(books, folder)
