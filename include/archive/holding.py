"""Which accounts keep their archived rows past the last day: a hold reaches a law's objects through its datasets.

R-02 keeps payments, so a dispute about a payment (H-3) holds the tax records and not the complaint records; an order
that names nothing (H-6) holds everything. What a hold reaches stands in the schedule.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import date, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import Connection, or_, select

from include.database import hold
from include.policy.facts import Hold
from include.policy.held import reaches

if TYPE_CHECKING:
    from include.policy.schedule import Schedule

Held = Mapping[str, date]
"""Held accounts, and the date by which each hold is looked at again."""

Placed = Callable[[Connection, str], Held]
"""Holds of our own table on rows of a rule, read inside the transaction of the intent."""

Computed = Callable[[str], Held]
"""Accounts held by the state of the company's own data (debt, dispute); read right before, in no transaction."""


def open_holds(connection: Connection, _rule_id: str) -> Held:
    """Return every account with an open hold: without better knowledge each of them keeps what is archived."""
    rows = connection.execute(select(hold.c.account_id, hold.c.review_due).where(hold.c.released_at.is_(None)))
    return _earliest((row.account_id, row.review_due) for row in rows)


def holds(hold_: Hold, schedule: Schedule, rule_id: str, as_of: date) -> bool:
    """Whether a hold keeps what `rule_id` archived: it blocks destruction, is open, and reaches one of its datasets.

    A hold released on day D blocks through D, as for every other disposal.
    """
    kind = schedule.holds.get(hold_.kind)
    if kind is not None and "destruction" not in kind.blocks:
        return False  # H-4 withholds a termination; whatever is archived was terminated before
    if hold_.released_on is not None and hold_.released_on < as_of:
        return False
    categories = set(schedule.rules[rule_id].categories)
    return any(
        reaches(hold_, schedule, processor=name, datasets=reached)
        for name, section in schedule.processors.items()
        if (reached := [d for d, of in section.datasets.items() if categories & set(of)])
    )


def placed(schedule: Schedule, as_of: date) -> Placed:
    """Return the reader of our own holds."""

    def read(connection: Connection, rule_id: str) -> Held:
        found = []
        for row in connection.execute(
            select(hold).where(or_(hold.c.released_on.is_(None), hold.c.released_on >= as_of))
        ):
            one = Hold(
                hold_id=str(row.hold_id),
                kind=row.kind,
                processor=row.processor,
                datasets=tuple(row.datasets),
                placed_on=row.placed_on,
                released_on=row.released_on,
            )
            if holds(one, schedule, rule_id, as_of):
                found.append((row.account_id, row.review_due))
        return _earliest(found)

    return read


def computed(schedule: Schedule, as_of: date, known: Mapping[str, Iterable[Hold]]) -> Computed:
    """Return the reader of holds the company's records make; these are read anew every day."""

    def read(rule_id: str) -> Held:
        return {
            account_id: as_of + timedelta(days=1)
            for account_id, of in known.items()
            if any(holds(one, schedule, rule_id, as_of) for one in of)
        }

    return read


def _earliest(found: Iterable[tuple[str, date]]) -> dict[str, date]:
    dates: dict[str, date] = {}
    for account_id, review in found:
        dates[account_id] = min(review, dates.get(account_id, review))
    return dates
