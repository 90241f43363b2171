"""Holds (보류): placing, releasing, and what is held right now. Holds win over acts.

Placing a hold and committing `attempted` take the same per-account lock. A hold committed first wins; a later one is
recorded as `placed_after_attempt` and stops the following steps.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import date, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Connection, Row, exists, insert, select, update

from include.database import among, disposal, hold
from include.disposals.claims import lock_accounts
from include.disposals.context import Context
from include.disposals.record import base_entry
from include.errors import DecisionRefused
from include.evidence.log import stage
from include.policy.facts import Event, Hold
from include.policy.planner import overridden, reaches

REVIEW_LIMIT = timedelta(days=90)


def code(kind: str) -> str:
    """Return the code word of a hold kind, `hold_h-1`."""
    return f"hold_{kind.lower()}"


def place(
    context: Context,
    *,
    account_id: str,
    kind: str,
    datasets: Sequence[str],
    reason_code: str,
    placed_by: str,
    review_due: date,
    processor: str | None = None,
    hold_id: UUID | None = None,
) -> UUID:
    """Place a hold and write its entry; return its id. A review more than 90 days ahead is refused.

    `placed_by` is a role and a pseudonym (`compliance:e-0007`), never a name. Placing the same `hold_id` again does
    nothing.
    """
    if not context.as_of <= review_due <= context.as_of + REVIEW_LIMIT:
        raise DecisionRefused(
            f"Hold {kind}: its review on {review_due} is not within 90 days of {context.as_of}. Choose an earlier one."
        )
    identity = hold_id or uuid4()
    with context.engine.begin() as connection:
        lock_accounts(connection, [account_id])
        if connection.execute(select(hold.c.hold_id).where(hold.c.hold_id == identity)).first():
            return identity
        late = connection.execute(
            select(
                exists().where(
                    disposal.c.account_id == account_id, disposal.c.attempts > 0, disposal.c.closed_on.is_(None)
                )
            )
        ).scalar()
        connection.execute(
            insert(hold).values(
                hold_id=identity,
                account_id=account_id,
                kind=kind,
                processor=processor,
                datasets=list(datasets),
                reason_code=reason_code,
                placed_by=placed_by,
                placed_on=context.as_of,
                review_due=review_due,
            )
        )
        _note(
            connection,
            context,
            "hold_placed",
            account_id,
            identity,
            kind,
            "placed_after_attempt" if late else reason_code,
        )
    return identity


def release(context: Context, hold_id: UUID, *, released_by: str) -> None:
    """Release a hold; what it blocked becomes due on the day after."""
    with context.engine.begin() as connection:
        row = connection.execute(select(hold).where(hold.c.hold_id == hold_id)).first()
        if row is None:
            raise DecisionRefused(f"No hold {hold_id}. List the holds to find the id.")
        lock_accounts(connection, [row.account_id])
        if row.released_on is None:
            connection.execute(
                update(hold).where(hold.c.hold_id == hold_id).values(released_by=released_by, released_on=context.as_of)
            )
            _note(connection, context, "hold_released", row.account_id, hold_id, row.kind, row.reason_code)


def placed(connection: Connection, accounts: Collection[str]) -> dict[str, list[Hold]]:
    """Return the holds of our own table, released ones too, by account."""
    rows = connection.execute(select(hold).where(among(hold.c.account_id, accounts)))
    found: dict[str, list[Hold]] = {}
    for row in rows:
        found.setdefault(row.account_id, []).append(
            Hold(
                hold_id=str(row.hold_id),
                kind=row.kind,
                processor=row.processor,
                datasets=tuple(row.datasets),
                placed_on=row.placed_on,
                released_on=row.released_on,
            )
        )
    return found


def blocking(holds: Iterable[Hold], row: Row[Any], context: Context, requested: Sequence[Event] = ()) -> list[Hold]:
    """Return the holds that block acting on this disposal on the business date.

    `requested` are the person's own approved erasure requests: they lift a pending correction (H-5).

    A hold released on day D blocks through D: destruction starts the day after. Which datasets a hold reaches by its
    kind stands in the schedule.
    """
    return [
        h
        for h in holds
        if (h.released_on is None or h.released_on >= context.as_of)
        and not overridden(h, context.schedule, requested)
        and reaches(h, context.schedule, processor=row.processor, datasets=row.datasets)
    ]


def _note(
    connection: Connection, context: Context, event: str, account_id: str, hold_id: UUID, kind: str, code: str
) -> None:
    epoch = context.tags.current_epoch(context.as_of)
    stage(
        connection,
        [
            base_entry(context, event)
            | {
                "subject_tag": context.tags.tag(account_id, epoch=epoch),
                "key_epoch": epoch,
                "hold_ids": [str(hold_id)],
                "hold_kinds": [kind],
                "code": code,
            }
        ],
    )
