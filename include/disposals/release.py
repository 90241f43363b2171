"""Release: the disposals of an approved request, stored with the approval they rest on.

Nothing is released by the state of a task: the row of table `approval` with the digest of this very plan is looked up
again here, and before every act (`request_events.not_approved`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, Connection, Row, Text, and_, cast, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from include.database import among, disposal
from include.database.requests import request, request_item
from include.disposals import approvals, guards, locators, previews, requests
from include.disposals.claims import lock_accounts
from include.disposals.context import Context
from include.disposals.discover import store_planned
from include.disposals.request_events import MORE, NOT_TOLD, NOTICE_FIRST
from include.errors import DecisionRefused
from include.policy.planner import PlannedDisposal

KIND = "erase_account"


def release(context: Context, row: Row[Any], planned: Sequence[PlannedDisposal], *, end_user: str = "") -> int:
    """Store what was approved and return how many disposals the request has; a second time adds nothing.

    `planned` is the plan made anew. A line that the approved preview does not have is refused: it was never shown. A
    disposal of another run that is open and does this work already is followed instead of doubled. `end_user` is the
    one the request is about; it is kept encrypted with its disposals until they close.
    """
    approved = {previews.key(one): one for one in (row.plan or {}).get("lines", ())}
    unseen = [d for d in planned if previews.key_of(d) not in approved]
    if unseen:
        raise DecisionRefused(
            f"{len(unseen)} lines of the plan are not in the preview that was approved (the schedule or the account "
            "changed). Nothing was released; start a new run."
        )
    with context.engine.begin() as connection:
        lock_accounts(connection, [row.account_id])
        # Held to the end, so that nobody withdraws or refuses what is released in the same moment.
        if requested(connection, row.request_id, held=True).closed_on is not None:
            raise DecisionRefused("The request is closed: withdrawn, refused, or asked anew by a later run.")
        guards.check_not_stopped(connection)
        guards.check_approved(connection, context.schedule.sha256)
        approvals.check(connection, kind=KIND, digest=row.plan_digest)
        linked = _link(connection, context, row, planned, approved, end_user)
        requests.set_status(connection, row.request_id, requests.APPROVED)
    return linked


def _link(
    connection: Connection,
    context: Context,
    row: Row[Any],
    planned: Sequence[PlannedDisposal],
    approved: Mapping[tuple[str, ...], Mapping[str, Any]],
    end_user: str,
) -> int:
    mine: dict[UUID, PlannedDisposal] = {}
    new, followed = [], list[UUID]()
    for one in planned:
        same = _doing(connection, row, one, list(requests.tags_of(context, row.account_id, end_user).values()))
        if same is None:
            new.append(one)
            continue
        mine[same.disposal_id] = one
        if same.closed_on is None:
            followed.append(same.disposal_id)
        if same.closed_on is None and same.outcome in ("planned", "blocked", "failed", "located", "archived"):
            # A second person approved this very disposal, so it no longer waits for the night's plan (the brake).
            connection.execute(
                update(disposal)
                .where(disposal.c.disposal_id == same.disposal_id)
                .values(due_at=context.as_of, gate=None)
            )
    stored = store_planned(connection, context, new, tag=row.subject_tag if end_user else None)
    if end_user:
        open_ = [str(i) for i in (*stored, *followed)]
        found = {i for i, (kind, _) in locators.read(connection, context, open_).items() if kind == "found"}
        locators.save(connection, context, "search", {i: {"end_user": end_user} for i in open_ if i not in found})
    mine |= dict(zip(stored, new, strict=True))
    for disposal_id, one in mine.items():
        shown = approved[previews.key_of(one)]
        values = {
            "digest": row.plan_digest if disposal_id in stored or _asked(connection, disposal_id) else None,
            "approved_count": shown["count_before"],
        }
        statement = insert(request_item).values(request_id=row.request_id, disposal_id=disposal_id, **values)
        connection.execute(statement.on_conflict_do_update(index_elements=["request_id", "disposal_id"], set_=values))
    return len(mine)


def _doing(connection: Connection, row: Row[Any], one: PlannedDisposal, tags: Sequence[str]) -> Row[Any] | None:
    """Return the disposal that does this work already: the very same one, or an open one that reaches as far."""
    same = and_(
        *(disposal.c[name] == getattr(one, name) for name in ("rule_id", "scope_id", "trigger_event", "trigger_date"))
    )
    as_far = disposal.c.datasets.op("@>", is_comparison=True)(cast(list(one.datasets), ARRAY(Text)))
    found = connection.execute(
        select(disposal, as_far.label("as_far"))
        .where(
            among(disposal.c.subject_tag, tags),
            disposal.c.processor == one.processor,
            or_(same, and_(disposal.c.closed_on.is_(None), as_far)),
        )
        .order_by(same.desc(), disposal.c.planned_at)
        .limit(1)
    ).first()
    if found is not None and not found.as_far:
        raise DecisionRefused(
            f"Another request received on {one.trigger_date} reaches a part of {one.processor}/{one.scope_id} already. "
            "Record this one with its own date of receipt, or list the same records."
        )
    return found


def _asked(connection: Connection, disposal_id: UUID) -> bool:
    """Whether a request made this disposal, so that it may be acted on only with an approval."""
    return bool(
        connection.execute(
            select(request_item.c.disposal_id)
            .where(request_item.c.disposal_id == disposal_id, request_item.c.digest.is_not(None))
            .limit(1)
        ).first()
    )


def differences(connection: Connection, request_id: UUID) -> list[Row[Any]]:
    """Return what stopped because more was found than was approved: place, scope, approved and found counts."""
    return list(
        connection.execute(
            select(
                disposal.c.disposal_id,
                disposal.c.processor,
                disposal.c.scope_id,
                disposal.c.categories,
                request_item.c.approved_count,
                request_item.c.found_count,
            )
            .join(request_item, request_item.c.disposal_id == disposal.c.disposal_id)
            .where(request_item.c.request_id == request_id, disposal.c.code == MORE, disposal.c.closed_on.is_(None))
            .order_by(disposal.c.processor, disposal.c.scope_id)
        )
    )


def release_more(context: Context, row: Row[Any], found: Sequence[Row[Any]], digest: str) -> None:
    """Let the stopped disposals go on with the counts that were shown the second time; the hourly run takes them up."""
    with context.engine.begin() as connection:
        lock_accounts(connection, [row.account_id])
        approvals.check(connection, kind=KIND, digest=digest)
        for one in found:
            connection.execute(
                update(request_item)
                .where(request_item.c.request_id == row.request_id, request_item.c.disposal_id == one.disposal_id)
                .values(digest=digest, approved_count=one.found_count, found_count=None)
            )
            connection.execute(
                update(disposal).where(disposal.c.disposal_id == one.disposal_id).values(due_at=context.as_of)
            )


def items(connection: Connection, request_id: UUID) -> list[Row[Any]]:
    """Return the disposals of a request, open and closed."""
    return list(
        connection.execute(
            select(disposal)
            .join(request_item, request_item.c.disposal_id == disposal.c.disposal_id)
            .where(request_item.c.request_id == request_id)
            .order_by(disposal.c.processor, disposal.c.scope_id)
        )
    )


EXPLAINED = frozenset(
    {"awaiting", "retained", "retained_by_processor", "expires_by_processor", "manual_pending", "manual_attested",
     "confirmed_absent", "confirmed_anonymised", "blocked"}
)  # fmt: skip
"""Where a request's disposal may stand when its run ends: proven, or waiting with a date and a reason."""


def gaps(context: Context, row: Row[Any], *, exported: bool, certified: bool) -> list[str]:
    """Return what of a request is neither proven nor dated, in words without anybody in them."""
    with context.engine.connect() as connection:
        of = items(connection, row.request_id)
        now = requested(connection, row.request_id)
    found = [
        f"{d.processor} {d.scope_id} {d.outcome}{f' ({d.code})' if d.code else ''}"
        for d in of
        if d.outcome not in EXPLAINED or d.code in (MORE, "not_approved", NOTICE_FIRST)
    ]
    if len(of) < len((row.plan or {}).get("lines", ())):
        found.append(f"{len((row.plan or {}).get('lines', ()))} lines approved, {len(of)} disposals recorded")
    if now.notice_state in NOT_TOLD:
        found.append("the person was not told")
    if now.closed_on is None:
        found.append("the request is not answered")
    if not exported:
        found.append("the evidence of this run is not exported")
    if not certified:
        found.append("there is no certificate")
    return found


def requested(connection: Connection, request_id: UUID, *, held: bool = False) -> Row[Any]:
    """Return one request; `held` keeps everybody else from changing it until the caller's transaction ends."""
    found = select(request).where(request.c.request_id == request_id)
    return connection.execute(found.with_for_update() if held else found).one()
