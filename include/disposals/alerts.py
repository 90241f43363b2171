"""What a person should look at, in words without anybody in them: every night's report says it, and mail carries it."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, func, select

from include.database import checkpoint, disposal, hold, run
from include.database.decisions import ledger_check, manual_item, manual_order, sighting, sweep
from include.disposals import brake, manual, offboarding, stopping
from include.disposals.context import Context


def alerts(context: Context, *, now: datetime) -> list[str]:
    """Return what waits for a person or ran past its day. `now` is real UTC, for breach clocks.

    Reminders of manual requests are named once; everything else is said again every night until it is done.
    """
    soon, late = manual.remind(context)
    ends = [
        f"{e.processor}, contract ended {e.ended_on}: {e.open} disposals open, by its quota until {e.estimated_end}"
        for e in offboarding.open_endings(context)
    ]
    with context.engine.connect() as connection:
        found = [
            *_clocks(connection, now),
            *(f"not let go by a second person: {key} {n}" for key, n in sorted(brake.waiting(connection).items())),
            *_reviews(connection, context.as_of),
            *_held_orders(connection, context.as_of),
            *(f"manual, overdue: {words}" for words in late),
            *(f"manual, due soon: {words}" for words in soon),
            *_sightings(connection),
            *_unsigned(connection, context),
            *_not_swept(connection),
            *ends,
        ]
    return found


def _clocks(connection: Connection, now: datetime) -> list[str]:
    return [
        f"breach clock of stop {c.stop_id} ({c.reason_code}): "
        + (
            f"{c.hours_left(now):.0f} hours left"
            if c.answer_by > now
            else f"OVER since {c.answer_by:%Y-%m-%d %H:%M} UTC"
        )
        for c in stopping.clocks(connection)
    ]


def _reviews(connection: Connection, as_of: date) -> list[str]:
    """Return the holds whose review is overdue. They hold on all the same: no review ever releases one."""
    rows: Any = connection.execute(
        select(hold.c.kind, func.count(), func.min(hold.c.review_due))
        .where(hold.c.released_on.is_(None), hold.c.review_due < as_of)
        .group_by(hold.c.kind)
        .order_by(hold.c.kind)
    )
    return [f"hold {kind}: {n} reviews overdue, the oldest since {due}" for kind, n, due in rows]


def _held_orders(connection: Connection, as_of: date) -> list[str]:
    """Return the orders that touch an account somebody has put on hold since: a person must stop carrying them out."""
    rows: Any = connection.execute(
        select(manual_order.c.order_id)
        .distinct()
        .join(manual_item, manual_item.c.order_id == manual_order.c.order_id)
        .join(disposal, disposal.c.disposal_id == manual_item.c.disposal_id)
        .join(hold, hold.c.account_id == disposal.c.account_id)
        .where(
            manual_order.c.answered_on.is_(None),
            disposal.c.closed_on.is_(None),
            hold.c.released_on.is_(None) | (hold.c.released_on >= as_of),
        )
    ).scalars()
    return [f"manual order {order_id} touches an account on hold: do not carry it out yet" for order_id in rows]


def _sightings(connection: Connection) -> list[str]:
    rows: Any = connection.execute(
        select(sighting.c.processor, func.count())
        .where(sighting.c.decided_on.is_(None))
        .group_by(sighting.c.processor)
        .order_by(sighting.c.processor)
    )
    return [f"{processor}: {n} may be back after erasure; decide each, nothing was touched" for processor, n in rows]


def _unsigned(connection: Connection, context: Context) -> list[str]:
    """Return the months whose ledger the officer has not signed in time."""
    first = connection.execute(select(func.min(run.c.as_of))).scalar()
    sealed = connection.execute(select(func.count()).select_from(checkpoint)).scalar_one()
    if first is None or not sealed:
        return []
    signed = set(connection.execute(select(ledger_check.c.month)).scalars())
    limit = timedelta(days=context.schedule.settings.ledger_check_days)
    return [
        f"ledger of {month} is not signed by the privacy officer, due {end + limit}"
        for month, end in months(first, context.as_of)
        if month not in signed and end + limit < context.as_of
    ]


def months(first: date, as_of: date) -> list[tuple[str, date]]:
    """Return the months that ended between two dates, as `YYYY-MM` and last day."""
    found, day = [], first.replace(day=1)
    while (following := (day + timedelta(days=32)).replace(day=1)) <= as_of:
        found.append((f"{day:%Y-%m}", following - timedelta(days=1)))
        day = following
    return found


def _not_swept(connection: Connection) -> list[str]:
    rows: Any = connection.execute(
        select(sweep.c.processor, sweep.c.code).where(sweep.c.code != "swept").order_by(sweep.c.processor)
    )
    return [f"{processor}: not swept ({code})" for processor, code in rows]
