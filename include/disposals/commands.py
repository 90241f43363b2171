"""Commands that read for a person: a schedule version tried on today's accounts, and whom a request is about."""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from uuid import UUID
from zoneinfo import ZoneInfo

from include import database, keys
from include.connections import Connection
from include.disposals.handing_over import hand_over
from include.disposals.simulation import current_difference
from include.errors import ConfigurationError
from include.evidence.lookups import Person
from include.policy import schedule

Add = Callable[..., ArgumentParser]


def connection(name: str) -> Connection:
    """Return a connection from `AIRFLOW_CONN_…`, or say that it is not set."""
    text = os.environ.get(f"AIRFLOW_CONN_{name.upper()}")
    if not text:
        raise ConfigurationError(
            f"AIRFLOW_CONN_{name.upper()} is not set. Export it as Airflow has it, then run this again."
        )
    return Connection.from_json(name, text)


def governing() -> schedule.Schedule:
    """Return the schedule RETENTION_SCHEDULE names, or the packaged one."""
    path = os.environ.get("RETENTION_SCHEDULE")
    return schedule.load(Path(path) if path else None)


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
    engine = database.connect(connection("retention_db"))
    wrapper = keys.wrapper(connection("archive_kek"))
    text = hand_over(engine, wrapper, governing(), given.request, by=Person(given.role, given.pseudonym))
    if not given.out:
        return text
    with os.fdopen(os.open(given.out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text + "\n")
    return f"Written to {given.out}. Delete it once it is sent."
