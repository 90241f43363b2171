"""Commands that read for a person: a schedule version tried on today's accounts, and whom a request is about."""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from uuid import UUID
from zoneinfo import ZoneInfo

from include import database, keys
from include.accounts import Accounts
from include.connections import Connection
from include.disposals.asking import in_force
from include.disposals.context import Context, Decision
from include.disposals.handing_over import hand_over
from include.disposals.simulation import current_difference
from include.errors import ConfigurationError
from include.evidence.lookups import Person
from include.evidence.tags import SubjectTags
from include.policy import schedule

Add = Callable[..., ArgumentParser]


def governing() -> schedule.Schedule:
    """Return the schedule RETENTION_SCHEDULE names, or the packaged one."""
    path = os.environ.get("RETENTION_SCHEDULE")
    return schedule.load(Path(path) if path else None)


def decision(*, approved: bool = False) -> Decision:
    """Return what a person's decision needs; `approved` is the schedule in force, whatever file is named here."""
    engine = database.connect(Connection.from_environment("retention_db"))
    today = datetime.now(ZoneInfo("Asia/Seoul")).date()
    return Decision(engine, in_force(engine) if approved else governing(), today)


@contextmanager
def opened(*, approved: bool = False) -> Iterator[Context]:
    """Yield what reading the accounts, tags and locators needs beside it."""
    given = decision(approved=approved)
    accounts = database.connect(Connection.from_environment("accounts_db"))
    try:
        yield Context(
            engine=given.engine,
            accounts=Accounts(accounts, given.schedule.processors["own_database"].settings),
            schedule=given.schedule,
            tags=SubjectTags(keys.epochs(Connection.from_environment("evidence_tags"))),
            wrapper=keys.wrapper(Connection.from_environment("archive_kek")),
            as_of=given.as_of,
        )
    finally:
        accounts.dispose()


def add_simulate(command: ArgumentParser) -> None:
    """Declare the arguments of `simulate`, which names nobody and so asks for no role."""
    command.add_argument("file", nargs="?", type=Path, default=schedule.PACKAGED, help="the new version")
    command.add_argument("--against", required=True, type=Path, help="the version in force")
    command.add_argument("--as-of", type=date.fromisoformat, help="business date; default: today in Seoul")
    command.add_argument("--every-day", action="store_true", help="list every moved day, not the first of each rule")
    command.set_defaults(carry_out=_simulate)


def add_vendor_request(add: Add) -> None:
    """Declare `vendor-request`."""
    command = add("vendor-request", _vendor_request, "print a request with whom it is about, to be sent; is logged")
    command.add_argument("--request", required=True, type=UUID, help="as `manual` lists it")
    command.add_argument("--out", type=Path, help="write it to this new file (mode 0600) instead of printing it")


def _simulate(given: Namespace) -> str:
    as_of = given.as_of or datetime.now(ZoneInfo("Asia/Seoul")).date()
    old, new = schedule.load(given.against), schedule.load(given.file)
    return "\n".join(current_difference(old, new, as_of, every_day=given.every_day))


def _vendor_request(given: Namespace) -> str:
    if given.out and given.out.exists():
        raise ConfigurationError(f"{given.out} is there already. Nothing was read; name a new file.")
    with opened(approved=True) as context:
        text = hand_over(context, given.request, by=Person(given.role, given.pseudonym))
    if not given.out:
        return text
    with os.fdopen(os.open(given.out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text + "\n")
    return f"Written to {given.out}. Delete it once it is sent."
