"""Tombstones (파기 표식): that something was erased where, as keyed tags only, so that its return is noticed.

They are prepared when a disposal is located (that is when its keys are known), count from the day it closes as gone,
and end by a rule of their own. Under the key epoch of that day; whoever compares computes every epoch that lives.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, delete, update
from sqlalchemy.dialects.postgresql import insert as upsert

from include.database import among
from include.database.decisions import tombstone
from include.disposals.context import Context
from include.outcomes import Outcome
from include.policy.periods import evaluate
from include.policy.schedule import Schedule
from include.processors import Found, Subject

ACCOUNT, EMAIL, OBJECT = "account_id", "email", "object"
GONE = {
    Outcome.CONFIRMED_ABSENT,
    Outcome.CONFIRMED_ANONYMISED,
    Outcome.RETAINED_BY_PROCESSOR,
    Outcome.MANUAL_ATTESTED,
}
Objects = Callable[[Mapping[str, Any]], Sequence[str]]


def prepare(
    connection: Connection,
    context: Context,
    processor: str,
    rows: Mapping[str, Row[Any]],
    subjects: Mapping[str, Subject],
    located: Mapping[str, Found],
    objects: Objects | None,
) -> None:
    """Keep the tags of what was located, not yet in force; `objects` returns a place's own ids in a locator."""
    # One end user of a customer leaves no tombstone: the account lives, and whom it serves again is the customer's.
    found = {i: f for i, f in located.items() if f.count and subjects[i].subject_type != "end_user"}
    if not found:
        return
    connection.execute(
        delete(tombstone).where(
            among(tombstone.c.disposal_id, [UUID(i) for i in found]), tombstone.c.erased_on.is_(None)
        )
    )
    epoch = context.tags.current_epoch(context.as_of)
    values = [
        {
            "tag": context.tags.tag(value, epoch=epoch, kind=kind if kind != OBJECT else f"object.{processor}"),
            "disposal_id": UUID(disposal_id),
            "kind": kind,
            "key_epoch": epoch,
            "processor": processor,
        }
        for disposal_id, one in found.items()
        for kind, value in {
            (ACCOUNT, rows[disposal_id].account_id),
            *((EMAIL, e) for e in subjects[disposal_id].emails),
            *((OBJECT, o) for o in (objects(one.locator) if objects else ())),
        }
        if value
    ]
    connection.execute(upsert(tombstone).on_conflict_do_nothing(), values)


def settle(connection: Connection, context: Context, closed: Mapping[str, Outcome]) -> None:
    """Put the tombstones of what closed as gone into force, and forget those of what closed otherwise."""
    if not closed:
        return
    gone = [UUID(i) for i, outcome in closed.items() if outcome in GONE]
    other = [UUID(i) for i, outcome in closed.items() if outcome not in GONE]
    connection.execute(
        update(tombstone)
        .where(among(tombstone.c.disposal_id, gone))
        .values(erased_on=context.as_of, expires_on=last_day(context.schedule, context.as_of), kept_open=False)
    )
    connection.execute(delete(tombstone).where(among(tombstone.c.disposal_id, other)))


def last_day(schedule: Schedule, erased_on: date) -> date:
    """Return the last day of a tombstone, by its rule of the schedule."""
    (trigger,) = schedule.rules[schedule.settings.suppression.rule].triggers
    return evaluate(
        erased_on, trigger.period, kind="max", holidays=schedule.holidays, rules=schedule.period_rules
    ).last_day


def forget_expired(connection: Connection, as_of: date) -> int:
    """Destroy the tombstones whose term is over; return how many."""
    return connection.execute(delete(tombstone).where(tombstone.c.expires_on < as_of)).rowcount
