"""What children do: one task of a night, from plain values, as an Airflow worker would."""

from __future__ import annotations

import os
import resource
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from functools import cache, partial
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import Engine

from include import database
from include.accounts import Accounts, Identifiers
from include.archive import holding, packing
from include.archive.__main__ import Desk
from include.archive.erasure import crypto_erase
from include.archive.staging import ArchiveKeys
from include.archive.store import ArchiveStore
from include.connections import Connection, database_url
from include.disposals import Context, advance_batch, archiving, begin_run, locate_batch, offboarding, people_export
from include.disposals.record import base_entry
from include.evidence import anchors, log
from include.evidence import export as exporting
from include.evidence.note import Signer
from include.evidence.people import add_people_files
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


class _Shifted(type):
    """Lets a value of the real class be one of the shifted class too."""

    def __instancecheck__(cls, value: object) -> bool:
        return isinstance(value, datetime)


def shift_clock(by: timedelta) -> None:
    """Let every module of the product read a clock that is wrong by this much, for the rest of this process."""

    class Clock(datetime, metaclass=_Shifted):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) + by

    for name, module in list(sys.modules.items()):
        if name.startswith("include.") and getattr(module, "datetime", None) is datetime:
            module.datetime = Clock  # type: ignore[attr-defined]


def at_another_time(by: timedelta, job: Callable[..., Any], *arguments: Any) -> Any:
    """Do a job in a process whose clock is wrong by this much."""
    shift_clock(by)
    return job(*arguments)


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


class Nobody(Company):
    """A company whose accounts are all gone."""

    def __init__(self) -> None:
        super().__init__({})

    def held_accounts(self, as_of: date) -> list[str]:
        return []


@dataclass(frozen=True, slots=True)
class Books:
    """What archive and evidence tasks need: our database, a bucket, the business date and the run."""

    ours: Connection
    store: Connection
    as_of: date
    run_id: UUID | None = None

    def context(self) -> Context:
        """Return a context without accounts."""
        return Context(
            engine=engine_of(self.ours),
            accounts=Nobody(),  # type: ignore[arg-type]
            schedule=loaded(),
            tags=SubjectTags({"2026": bytes(32)}),
            wrapper=LocalWrapper(bytes(range(32))),
            as_of=self.as_of,
            run_id=self.run_id,
            dag_id="nightly_retention",
        )


SIGNER = Signer(bytes(range(32)), "crash.example.com/log")


def seal(books: Books) -> int:
    """Seal what is staged; return the size of the log."""
    return log.seal(engine_of(books.ours), EvidenceStore.of(books.store), SIGNER, now=datetime.now(UTC)).size


def pack(books: Books, at_once: int = packing.AT_ONCE) -> dict[str, int]:
    """Pack what is staged, so many objects between two transactions."""
    packing.AT_ONCE = at_once
    return archiving.pack_staged(books.context(), books.store)


def lapse(books: Books, airflow_run_id: str) -> dict[str, int]:
    """Destroy what is due in a run of its own, as `archive_disposal` does."""
    context = books.context()
    run_id = begin_run(context, airflow_run_id=airflow_run_id)
    return archiving.lapse_due(replace(context, run_id=run_id), books.store)


def erase_keys(books: Books, account_id: str) -> int:
    """Destroy one account's keys before their day, as `python -m include.archive crypto-erase` does."""
    context = books.context()
    store, keys = ArchiveStore.of(books.store), ArchiveKeys.of(context.wrapper)
    desk = Desk(context.engine, store, keys, context.schedule, books.as_of)
    return crypto_erase(
        context.engine,
        store,
        account_id,
        keys=keys,
        as_of=books.as_of,
        record=desk.recorder({"actor": {"role": "compliance", "pseudonym": "e-0001"}}),
        placed=holding.placed(context.schedule, books.as_of),
        key_backup_days=context.schedule.settings.archive.key_backup_days,
    )


def anchor(books: Books, authority: Connection) -> bool:
    """Have the newest checkpoint stamped, as the last seal of a run does."""
    context = books.context()
    store, asked = EvidenceStore.of(books.store), anchors.Authority.of(authority)
    return anchors.anchor(
        context.engine, store, asked, vkey=SIGNER.vkey, entry=base_entry(context, "anchored"), lock_until=None
    )


def close_endings(books: Books) -> int:
    """Close the ended contracts with nothing left; return how many."""
    return len(offboarding.close_finished(books.context()))


def certify_endings(books: Books, signing: Connection, exports: str, nights: Sequence[date]) -> int:
    """Write, in the last of `nights`, the certificates that are missing below `exports`; return how many."""
    os.environ["RETENTION_EXPORTS"] = exports
    context = replace(books.context(), as_of=nights[-1])
    return len(people_export.certify_endings(context, signing, books.store))


def export(books: Books, folder: str) -> int:
    """Export the log."""
    return exporting.export(engine_of(books.ours), Path(folder), vkey=SIGNER.vkey, signer=SIGNER).size


def export_for_people(books: Books, folder: str) -> int:
    """Export the log with workbook, reports and a certificate."""
    extras = partial(add_people_files, processors=("own_database",))
    target, ours = Path(folder), engine_of(books.ours)
    return exporting.export(ours, target, vkey=SIGNER.vkey, signer=SIGNER, extras=extras).size


def export_on_a_full_disk(books: Books, folder: str) -> int:
    """Export where no file may grow beyond a few kilobytes."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2048, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    return export(books, folder)
