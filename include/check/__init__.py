"""Whether everything a company sets is there and suffices: every connection, key, bucket, right and the schedule.

    for line in lines(Setup(connection=connection, now=datetime.now(UTC))):
        print(line)                                 # ok, missing or unknown; where; how to get it

Read-only against people's data. Three things are written, and only where nobody's data can be: a canary object in
our own archive bucket (removed again), one in our evidence bucket (it stays; the same one every time), and deletions
of names that never existed, tried with the identities that must not be able to delete there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from pathlib import Path
from zoneinfo import ZoneInfo

from include.connections import Connection
from include.errors import ArchiveUnreachable, ConfigurationError, RateLimited, RetentionError, Unreachable
from include.policy import schedule as schedules
from include.policy.schedule import Schedule

SEOUL = ZoneInfo("Asia/Seoul")


class State(StrEnum):
    """`ok`; `missing`: a person must change something; `unknown`: it gave no answer; `unset`: optional, left out."""

    OK = "ok"
    MISSING = "missing"
    UNKNOWN = "unknown"
    UNSET = "unset"


@dataclass(frozen=True, slots=True)
class Line:
    """One thing looked at: the connection or file, what was asked of it, and what is known or how to get it."""

    place: str
    what: str
    state: State
    words: str = ""

    @property
    def good(self) -> bool:
        """Whether nothing stands in the way of a night."""
        return self.state in (State.OK, State.UNSET)

    def __str__(self) -> str:
        told = f"  {self.words}" if self.words and self.good else ""
        how = f"\n         how: {self.words}" if self.words and not self.good else ""
        return f"{self.state:<8} {self.place}: {self.what}{told}{how}"


@dataclass(frozen=True, slots=True)
class Setup:
    """What is checked: `connection` returns an Airflow connection by name or raises `ConfigurationError`.

    `schedule` is the schedule's file (None: the packaged one), `now` real UTC.
    """

    connection: Callable[[str], Connection]
    now: datetime
    schedule: Path | None = None

    @property
    def today(self) -> date:
        """The Asia/Seoul date of `now`."""
        return self.now.astimezone(SEOUL).date()


def tried(place: str, what: str, attempt: Callable[[], str]) -> Line:
    """Return what became of one look; a foreign error's text stays out, because servers quote what they were given."""
    try:
        return Line(place, what, State.OK, attempt())
    except (Unreachable, ArchiveUnreachable, RateLimited) as error:
        return Line(place, what, State.UNKNOWN, f"{error} Check that it is up and can be reached from here; run again.")
    except RetentionError as error:
        return Line(place, what, State.MISSING, str(error))
    except Exception as error:
        return Line(
            place, what, State.UNKNOWN,
            f"it gave an answer nobody expected ({type(error).__name__}). Check host, port and path of the connection.",
        )  # fmt: skip


def have(setup: Setup, name: str) -> Connection | Line:
    """Return a connection, or the line that says how to create it."""
    try:
        return setup.connection(name)
    except ConfigurationError as error:
        return Line(name, "the connection exists", State.MISSING, str(error))


def lines(setup: Setup) -> Iterator[Line]:
    """Yield every line, in the order in which a company sets things up."""
    from include.check import airflow_database, databases, identities, optional, places, secret_keys, stores

    try:
        schedule = schedules.load(setup.schedule)
    except ConfigurationError as error:
        yield Line(
            "schedule", "passes the lint", State.MISSING,
            f"{error} Correct that line; `python -m include.policy lint` names every other one.",
        )  # fmt: skip
        return
    yield Line("schedule", "passes the lint", State.OK, f"version {schedule.sha256[:12]}")
    yield from databases.lines(setup, schedule)
    yield from airflow_database.lines(setup)
    yield from secret_keys.lines(setup)
    yield from stores.lines(setup, schedule)
    yield from identities.lines(setup, schedule)
    yield from places.lines(setup, schedule)
    yield from optional.lines(setup)


__all__ = ["Line", "Schedule", "Setup", "State", "have", "lines", "tried"]
