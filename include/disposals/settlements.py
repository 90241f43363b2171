"""Debts that two people released: the only ground on which a place may close an invoice that is still open.

Read from table `hold`: an underpayment (H-2) released as `paid` or `written_off`, with a second person's name beside
the first. One person's release, or any other reason, settles nothing: the place goes on waiting.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import date

from sqlalchemy import Connection, select

from include.database import among, hold
from include.processors import Settlement, person

DEBT = "H-2"
REASONS = ("paid", "written_off")


def of(connection: Connection, accounts: Collection[str], as_of: date) -> Mapping[str, tuple[Settlement, ...]]:
    """Return by account the debts settled before `as_of`: counted from the day after the release, as for holds."""
    rows = connection.execute(
        select(hold)
        .where(
            among(hold.c.account_id, accounts),
            hold.c.kind == DEBT,
            hold.c.released_on < as_of,
            hold.c.release_reason.in_(REASONS),
            hold.c.released_by.is_not(None),
            hold.c.release_second_by.is_not(None),
        )
        .order_by(hold.c.released_on)
    )
    found: dict[str, tuple[Settlement, ...]] = {}
    for row in rows:
        if person(row.released_by) == person(row.release_second_by):
            continue
        settled = Settlement(row.release_reason, row.released_on, (row.released_by, row.release_second_by))
        found[row.account_id] = (*found.get(row.account_id, ()), settled)
    return found
