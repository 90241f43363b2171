"""What waits for a person: holds, requests, manual orders, the stop and its clock, approvals; counts and lists.

Lists carry opaque account ids at most. What a person has to do next is decided here (`next_of_request`,
`next_of_hold`), so that pages, tests and counts agree.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, Row, func, select

from include.console import paging
from include.database import approval, global_stop, hold
from include.database.decisions import manual_order, manual_request, sighting
from include.database.requests import request
from include.disposals import requests, stopping
from include.disposals.holds import RELEASES, WRITTEN_OFF
from include.disposals.request_events import PENDING, SENDING
from include.processors._manual import REQUESTS, ManualRequest


@dataclass(frozen=True, slots=True)
class Counts:
    """How much waits, and how much of it is late; nothing about anybody."""

    holds: int
    holds_to_review: int
    requests: int
    requests_late: int
    orders: int
    orders_late: int
    approvals: int
    sightings: int
    stopped: bool
    clocks: int


def counts(connection: Connection, *, as_of: date, now: datetime) -> Counts:
    """Return the counts of everything that waits for a person."""
    holds, late_holds = _two(connection, hold.c.hold_id, hold.c.released_on.is_(None), hold.c.review_due < as_of)
    open_requests, late_requests = _two(
        connection, request.c.request_id, request.c.closed_on.is_(None), request.c.due < as_of
    )
    waiting = (
        select(func.count(), func.count().filter(manual_request.c.due < as_of))
        .select_from(manual_order)
        .join(manual_request, manual_request.c.request_id == manual_order.c.request_id)
        .where(manual_order.c.answered_on.is_(None))
    )
    orders, late_orders = connection.execute(waiting).one()
    undecided = select(func.count()).where(sighting.c.decided_on.is_(None))
    return Counts(
        holds,
        late_holds,
        open_requests,
        late_requests,
        orders,
        late_orders,
        asked(connection, now),
        connection.execute(undecided).scalar_one(),
        stopping.current(connection) is not None,
        len(stopping.clocks(connection)),
    )


def _two(connection: Connection, column: Any, still: Any, late: Any) -> tuple[int, int]:
    row = connection.execute(select(func.count(column), func.count(column).filter(late)).where(still)).one()
    return int(row[0]), int(row[1])


# -- holds ---------------------------------------------------------------------------------------------------------
def holds(connection: Connection, *, after: str = "") -> paging.Rows:
    """Return the holds that stand, the first to be reviewed first."""
    chosen = select(hold).where(hold.c.released_on.is_(None))
    return paging.read(connection, chosen, (hold.c.review_due, hold.c.hold_id), after=after)


def one_hold(connection: Connection, hold_id: Any) -> Row[Any] | None:
    """Return one hold."""
    return connection.execute(select(hold).where(hold.c.hold_id == hold_id)).first()


def next_of_hold(row: Row[Any], as_of: date) -> str:
    """Return what to do with a hold: review it now, soon (a week ahead), or nothing until its review."""
    days = (row.review_due - as_of).days
    return "review_late" if days < 0 else "review_soon" if days <= 7 else "wait"


def releases(kind: str) -> Sequence[str]:
    """Return how a hold of this kind may end; `written_off` takes a second person and comes last."""
    known = RELEASES.get(kind, ())
    return [r for r in known if r != WRITTEN_OFF] + [r for r in known if r == WRITTEN_OFF]


# -- requests ------------------------------------------------------------------------------------------------------
def open_requests(connection: Connection, *, after: str = "") -> paging.Rows:
    """Return the unanswered requests, the first due first."""
    c = request.c
    chosen = select(
        c.request_id, c.account_id, c.kind, c.channel, c.received_on, c.due, c.legal_due, c.due_rule, c.status,
        c.notice_by, c.notice_state, c.airflow_run_id, c.terminated_on,
    ).where(c.closed_on.is_(None))  # fmt: skip
    return paging.read(connection, chosen, (c.due, c.request_id), after=after)


def one_request(connection: Connection, request_id: Any) -> Row[Any] | None:
    """Return one request of the register."""
    return connection.execute(select(request).where(request.c.request_id == request_id)).first()


NEXT: Mapping[str, str] = {
    requests.RECEIVED: "approve",
    requests.APPROVED: "carry_out",
    requests.NOTIFIED: "carry_out",
    requests.NOT_PROVEN: "prove",
    requests.REFUSED: "say_no",
    requests.ALREADY: "say_nothing_held",
    requests.REJECTED: "ask_anew",
    requests.EXPIRED: "ask_anew",
}
"""What a person does next, by the status of a request."""


def next_of_request(row: Row[Any]) -> str:
    """Return what a person has to do next about a request; a notice that no mail proves is attested by somebody."""
    by_hand = row.notice_state == SENDING or (row.notice_state == PENDING and row.notice_by != "mail")
    if row.status == requests.APPROVED and by_hand:
        return "tell"
    return NEXT.get(row.status, "look")


def decidable(status: str) -> bool:
    """Whether a request may still be refused, withdrawn or answered by hand: nothing of it was released."""
    return status in requests.DECIDABLE


# -- what a person does by hand --------------------------------------------------------------------------------------
def orders(connection: Connection, *, after: str = "") -> paging.Rows:
    """Return the manual orders without a proof, the first due first."""
    chosen = (
        select(
            manual_order.c.order_id, manual_order.c.box, manual_order.c.records, manual_order.c.request_id,
            manual_request.c.processor, manual_request.c.code, manual_request.c.made_on, manual_request.c.due,
        )
        .join(manual_request, manual_request.c.request_id == manual_order.c.request_id)
        .where(manual_order.c.answered_on.is_(None))
    )  # fmt: skip
    return paging.read(connection, chosen, (manual_request.c.due, manual_order.c.order_id), after=after)


def one_order(connection: Connection, order_id: Any) -> Row[Any] | None:
    """Return one order with the request it belongs to."""
    return connection.execute(
        select(manual_order, manual_request.c.processor, manual_request.c.code, manual_request.c.made_on,
               manual_request.c.due)
        .join(manual_request, manual_request.c.request_id == manual_order.c.request_id)
        .where(manual_order.c.order_id == order_id)
    ).first()  # fmt: skip


def wanted_of(row: Row[Any]) -> ManualRequest | None:
    """Return what kind of request an order belongs to: the words to send, and the proof that closes it."""
    return REQUESTS.get(row.code)


# -- the stop ------------------------------------------------------------------------------------------------------
def stops(connection: Connection, *, limit: int = 20) -> Sequence[Row[Any]]:
    """Return the newest stops, the one that stands first."""
    c = global_stop.c
    return connection.execute(
        select(global_stop).order_by(c.released_at.is_(None).desc(), c.set_at.desc()).limit(limit)
    ).all()


# -- approvals -----------------------------------------------------------------------------------------------------
def asked(connection: Connection, now: datetime) -> int:
    """Return how many questions our register has open for a second person."""
    wanted = select(func.count()).where(approval.c.decision.is_(None), approval.c.expires > now)
    return int(connection.execute(wanted).scalar_one())


def open_approvals(connection: Connection, now: datetime) -> Sequence[Any]:
    """Return what our register waits for a second person about: the kind, since when, until when. No login names."""
    c = approval.c
    return connection.execute(
        select(c.approval_id, c.kind, c.digest, c.requested_at, c.expires)
        .where(c.decision.is_(None), c.expires > now)
        .order_by(c.expires, c.approval_id)
        .limit(200)
    ).all()
