"""What the register of requests means for everything else: events for the planner, and what waits for a notice.

Read by discover, locate and advance; it knows the tables and nothing of how a request is handled.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, func, select, update

from include.database import among, approval, disposal
from include.database.requests import request, request_item
from include.disposals.context import Context
from include.policy.facts import AccountFacts, Event, State
from include.policy.planner import PlannedDisposal
from include.policy.requests import EVENT, ORDER, covers

APPROVED = ("approved", "notified", "answered")
"""Statuses in which a second person has let a request be carried out."""

NOTICE_FIRST = "notice_first"
PENDING, SENDING = "pending", "sending"
NOT_TOLD = (PENDING, SENDING)
"""A notice not sent yet, and one that was about to be sent when its process died or the server's answer was lost."""

"""Code of what holds the address: the notice is sent before it goes."""
MORE = "more_than_approved"
"""Code of a disposal that stopped because more was found than a second person was shown."""


def events(connection: Connection, accounts: Collection[str]) -> dict[str, list[Event]]:
    """Return the approved erasure requests of accounts as the planner's events; each lifts H-5 on what it reaches."""
    rows = connection.execute(
        select(request.c.account_id, request.c.received_on, request.c.datasets).where(
            among(request.c.account_id, accounts), request.c.overrides, among(request.c.status, APPROVED)
        )
    )
    found: dict[str, list[Event]] = {}
    for row in rows:
        found.setdefault(row.account_id, []).append(Event(EVENT, row.received_on, tuple(row.datasets)))
    return found


def with_requests(connection: Connection, facts: Sequence[AccountFacts]) -> list[AccountFacts]:
    """Return the facts as approved requests complete them: erasures as events, a termination the register lacks."""
    ids = [f.account_id for f in facts]
    asked, ended = events(connection, ids), terminations(connection, ids)
    return [_completed(f, asked.get(f.account_id, ()), ended.get(f.account_id)) for f in facts]


def _completed(facts: AccountFacts, asked: Iterable[Event], ended: date | None) -> AccountFacts:
    more = replace(facts, events=(*facts.events, *asked))
    if ended is None or facts.terminated_on is not None:
        return more
    return replace(
        more,
        state=State.TERMINATED,
        requested_on=min(filter(None, (facts.requested_on, ended))),
        terminated_on=ended,
    )


def terminations(connection: Connection, accounts: Collection[str] | None = None) -> dict[str, date]:
    """Return the terminations that approved requests made, by account; of all accounts when none are named."""
    statement = select(request.c.account_id, func.min(request.c.terminated_on)).where(
        request.c.account_id.is_not(None), request.c.terminated_on.is_not(None), among(request.c.status, APPROVED)
    )
    if accounts is not None:
        statement = statement.where(among(request.c.account_id, accounts))
    return {account: day for account, day in connection.execute(statement.group_by(request.c.account_id))}


def uncovered(
    connection: Connection, planned: Sequence[PlannedDisposal], tags: Mapping[str, Collection[str]]
) -> list[PlannedDisposal]:
    """Return what no request's disposal has taken over: the same place and data, asked for on that day or later.

    `tags` holds each account's tags under every live epoch.
    """
    owner = {tag: account for account, several in tags.items() for tag in several}
    rows = connection.execute(
        select(disposal.c.subject_tag, disposal.c.processor, disposal.c.datasets, disposal.c.trigger_date).where(
            among(disposal.c.subject_tag, owner),
            among(disposal.c.trigger_event, (EVENT, ORDER)),
            disposal.c.outcome != "cancelled",
        )
    )
    asked: dict[str, list[tuple[str, Sequence[str], date]]] = {}
    for row in rows:
        asked.setdefault(owner[row.subject_tag], []).append((row.processor, row.datasets, row.trigger_date))
    return [
        d
        for d in planned
        if d.trigger_event in (EVENT, ORDER)
        or not covers(
            processor=d.processor,
            datasets=d.datasets,
            trigger_date=d.trigger_date,
            asked=asked.get(d.account_id, ()),
        )
    ]


def not_approved(connection: Connection, disposal_ids: Collection[Any]) -> set[str]:
    """Return the disposals made for a request whose digest no second person has approved: they may not be acted on."""
    decided = (
        select(approval.c.decision)
        .where(approval.c.kind == "erase_account", approval.c.digest == request_item.c.digest)
        .where(approval.c.decided_at.is_not(None), approval.c.decided_by != approval.c.requested_by)
        .order_by(approval.c.decided_at.desc())
        .limit(1)
        .scalar_subquery()
    )
    rows = connection.execute(
        select(request_item.c.disposal_id).where(
            among(request_item.c.disposal_id, disposal_ids),
            request_item.c.digest.is_not(None),
            func.coalesce(decided, "") != "approved",
        )
    )
    return {str(i) for i in rows.scalars()}


def waiting_for_notice(connection: Connection, context: Context, rows: Iterable[Row[Any]]) -> dict[str, date]:
    """Return, by disposal id, until when what holds the address waits: the notice of a request is sent first."""
    if context.schedule.requests is None:
        return {}
    contact = context.schedule.requests.contact
    found = [r for r in rows if {contact.dataset, contact.guardian_dataset} & set(r.datasets)]
    pending = connection.execute(
        select(request.c.account_id, func.max(request.c.due).label("due"))
        .where(
            among(request.c.account_id, {r.account_id for r in found}),
            among(request.c.status, APPROVED),
            request.c.notice_state.in_(NOT_TOLD),
        )
        .group_by(request.c.account_id)
    )
    due = {row.account_id: row.due for row in pending}
    return {str(r.disposal_id): due[r.account_id] for r in found if r.account_id in due}


def note_found(connection: Connection, counts: Mapping[str, int]) -> None:
    """Remember how many records were found where that is more than was approved, to ask with the difference."""
    for disposal_id, count in counts.items():
        connection.execute(
            update(request_item).where(request_item.c.disposal_id == UUID(disposal_id)).values(found_count=count)
        )


def more_than_approved(connection: Connection, counts: Mapping[Any, int]) -> dict[str, int]:
    """Return the disposals at which more was found than the preview showed a second person, with the new count.

    Two requests may share a disposal; the widest approval counts. A place that could not be read for the preview was
    approved with nothing.
    """
    rows = connection.execute(
        select(request_item.c.disposal_id, func.max(func.coalesce(request_item.c.approved_count, 0)))
        .where(among(request_item.c.disposal_id, list(counts)), request_item.c.digest.is_not(None))
        .group_by(request_item.c.disposal_id)
    )
    return {str(i): counts[i] for i, approved in rows if counts[i] > approved}
