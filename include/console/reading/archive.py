"""What the archive page shows: what is kept per law and year, the groups in the order of their ends, who read them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, Integer, cast, extract, func, select

from include.archive.inventory import KEPT
from include.console import paging
from include.database import archive_object
from include.evidence import narrowing
from include.evidence.finding import Wanted, find


@dataclass(frozen=True, slots=True)
class Kept:
    """One law and one year of last days. `subjects` counts a person once an object, so it is at most that many."""

    rule_id: str
    year: int
    objects: int
    rows: int
    subjects: int
    first_end: date
    last_end: date
    locked_until: datetime
    held: int
    overdue: int


def kept(connection: Connection, *, as_of: date) -> list[Kept]:
    """Return what is kept, by law and by the year in which it ends."""
    c = archive_object.c
    year = cast(extract("year", c.last_day), Integer)
    rows = connection.execute(
        select(
            c.rule_id, year.label("year"), func.count().label("objects"), func.sum(c.rows).label("rows"),
            func.sum(c.subjects).label("subjects"), func.min(c.last_day).label("first_end"),
            func.max(c.last_day).label("last_end"), func.max(c.retain_until).label("locked_until"),
            func.count().filter(c.legal_hold).label("held"),
            func.count().filter(c.last_day < as_of, ~c.legal_hold).label("overdue"),
        )
        .where(c.state.in_(KEPT))
        .group_by(c.rule_id, year)
        .order_by(c.rule_id, year)
    )  # fmt: skip
    return [Kept(**row._mapping) for row in rows]


def groups(connection: Connection, *, rule_id: str = "", after: str = "") -> paging.Rows:
    """Return the stored groups, those that end first first; `after` is the cursor of the page before."""
    c = archive_object.c
    chosen = select(
        c.object_key, c.rule_id, c.last_day, c.destroy_by, c.rows, c.subjects, c.state, c.storage_class,
        c.retain_until, c.legal_hold, c.checked_at,
    ).where(c.state.in_(KEPT))  # fmt: skip
    if rule_id:
        chosen = chosen.where(c.rule_id == rule_id)
    return paging.read(connection, chosen, (c.last_day, c.object_key), after=after)


@dataclass(frozen=True, slots=True)
class Reading:
    """One look into the cold store, as its entry tells it: people by role and pseudonym."""

    index: int
    on: date
    rule_id: str
    purpose: str
    people: str


def readings(connection: Connection, *, before: int | None, limit: int) -> Sequence[Reading]:
    """Return who read the archive, the newest first."""
    found = find(connection, Wanted(event="archive_read"), before=before, limit=limit)
    bodies = dict(narrowing.bodies(connection, [row.log_index for row in found]))
    return [_reading(row, bodies[row.log_index]) for row in found]


def _reading(row: Any, entry: dict[str, Any]) -> Reading:
    people = [f"{e['role']}:{e['pseudonym']}" for k in ("actor", "approver") if (e := entry.get(k))]
    return Reading(row.log_index, row.as_of, entry.get("rule_id", ""), entry.get("code", ""), " + ".join(people))
