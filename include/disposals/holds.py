"""Holds (보류): placing, reviewing, releasing, and what is held right now. Holds win over acts.

Placing a hold and committing `attempted` take the same per-account lock. A hold committed first wins; a later one is
recorded as `placed_after_attempt` and stops the following steps.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Connection, Row, exists, func, insert, select, update

from include.database import among, approval, disposal, hold
from include.database.decisions import hold_review
from include.disposals import approvals
from include.disposals.approvals import Staff
from include.disposals.claims import lock_accounts
from include.disposals.context import Context
from include.disposals.record import base_entry
from include.errors import DecisionRefused
from include.evidence.entries import is_code
from include.evidence.log import stage
from include.policy.facts import Event, Hold
from include.policy.planner import overridden, reaches

REVIEW_LIMIT = timedelta(days=90)
WRITE_OFF = "write_off"
WRITTEN_OFF = "written_off"
RELEASES = {
    "H-1": ("refunded",),
    "H-2": ("paid", WRITTEN_OFF),
    "H-3": ("case_closed",),
    "H-4": ("paid", WRITTEN_OFF),
    "H-5": ("corrected", "refused_with_reasons"),
    "H-6": ("written_release",),
    "H-7": ("closed_by_officer",),
}
"""What ends each kind of hold, as the policy text and the law know it; `written_off` takes two persons."""


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
    """Place a hold and write its entry; return its id. A review later than the kind allows (90 days) is refused.

    `placed_by` is a role and a pseudonym (`compliance:e-0007`), never a name. Placing the same `hold_id` again does
    nothing.
    """
    if kind not in context.schedule.holds or not is_code(reason_code):
        raise DecisionRefused(
            f"A hold has a kind ({', '.join(context.schedule.holds)}) and its reason as a code. Nothing was placed."
        )
    _check_review(context, kind, review_due)
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


def review(context: Context, hold_id: UUID, *, reviewed_by: str, reason_code: str, next_due: date) -> None:
    """Record that somebody looked and the hold stands on until `next_due`, at most 90 days ahead.

    No review and no overdue one ever releases a hold. The same review on the same day again adds nothing.
    """
    if not is_code(reason_code):
        raise DecisionRefused("A review gives its reason as a code, such as case_open. Nothing was recorded.")
    with context.engine.begin() as connection:
        row = _row(connection, hold_id)
        if row.released_on is not None:
            raise DecisionRefused(f"Hold {hold_id} was released on {row.released_on}. There is nothing to review.")
        _check_review(context, row.kind, next_due)
        if (row.reviewed_on, row.review_due) == (context.as_of, next_due):
            return
        connection.execute(
            insert(hold_review).values(
                review_id=uuid4(),
                hold_id=hold_id,
                reviewed_by=reviewed_by,
                reviewed_on=context.as_of,
                reason_code=reason_code,
                next_due=next_due,
            )
        )
        connection.execute(
            update(hold).where(hold.c.hold_id == hold_id).values(reviewed_on=context.as_of, review_due=next_due)
        )
        _note(connection, context, "hold_reviewed", row.account_id, hold_id, row.kind, reason_code, until=next_due)


def release(
    context: Context, hold_id: UUID, *, released_by: str, reason: str | None = None, second: Staff | None = None
) -> None:
    """Release a hold for a reason its kind knows; what it blocked is due from the day after, or on its own later day.

    Nothing restarts: destruction starts at the later of the original day and the day after the release. A debt that is
    `written_off` needs the approval of `second`, another person than who asked (`write_off_digest`).
    """
    with context.engine.begin() as connection:
        row = _row(connection, hold_id)
        known = RELEASES.get(row.kind, ())
        if reason is not None and reason not in known:
            raise DecisionRefused(f"A hold {row.kind} is released as {' or '.join(known)}. Nothing was released.")
        if reason == WRITTEN_OFF:
            _check_second(connection, hold_id, second)
        lock_accounts(connection, [row.account_id])
        if row.released_on is None:
            connection.execute(
                update(hold)
                .where(hold.c.hold_id == hold_id)
                .values(
                    released_by=released_by,
                    released_on=context.as_of,
                    released_at=func.now(),
                    release_reason=reason,
                    release_second_by=f"{second.role}:{second.pseudonym}" if second else None,
                )
            )
            approver = {"approver": second.entry()} if second else {}
            code_ = reason or row.reason_code
            _note(connection, context, "hold_released", row.account_id, hold_id, row.kind, code_, more=approver)


def write_off_digest(hold_id: UUID) -> str:
    """Return the SHA-256 of what a second person approves: writing off the debt behind this one hold."""
    return hashlib.sha256(f"{WRITE_OFF}:{hold_id}".encode()).hexdigest()


def _check_second(connection: Connection, hold_id: UUID, second: Staff | None) -> None:
    if second is None:
        raise DecisionRefused("Writing a debt off takes two persons. Ask a second one; nothing was released.")
    found = approvals.check(connection, kind=WRITE_OFF, digest=write_off_digest(hold_id))
    decided_by = connection.execute(select(approval.c.decided_by).where(approval.c.approval_id == found)).scalar_one()
    if decided_by != approvals.normal(second.name):
        raise DecisionRefused("Somebody else approved this write-off than is named here. Nothing was released.")


def _row(connection: Connection, hold_id: UUID) -> Row[Any]:
    row = connection.execute(select(hold).where(hold.c.hold_id == hold_id)).first()
    if row is None:
        raise DecisionRefused(f"No hold {hold_id}. `python -m include.disposals holds` lists them.")
    return row


def _check_review(context: Context, kind: str, due: date) -> None:
    """Refuse a review that is past, further ahead than the kind allows, or more than 90 days ahead."""
    known = context.schedule.holds.get(kind)
    days = min(known.review_days, context.schedule.settings.hold_review_days) if known else REVIEW_LIMIT.days
    if not context.as_of <= due <= context.as_of + timedelta(days=days):
        raise DecisionRefused(
            f"Hold {kind}: its review on {due} is not within {days} days of {context.as_of}. Choose an earlier one."
        )


def open_holds(connection: Connection) -> Sequence[Row[Any]]:
    """Return the holds of our own table that stand, the first to be reviewed first."""
    return connection.execute(select(hold).where(hold.c.released_on.is_(None)).order_by(hold.c.review_due)).all()


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
    connection: Connection,
    context: Context,
    event: str,
    account_id: str,
    hold_id: UUID,
    kind: str,
    code: str,
    until: date | None = None,
    more: Mapping[str, Any] | None = None,
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
            | ({"until": until.isoformat()} if until else {})
            | dict(more or {})
        ],
    )
