"""What a person must do by hand: one request a night to each place, answered by proofs, never a waiting task.

    ask_by_hand(context)                                   # after a night's acts: requests with their orders
    answer(context, order_id, proof, by=…, place=…)        # one proof closes many disposals, each with its own entry

A proof is a number, a date, a method and two people by role and pseudonym. What can be read at the place is closed by
reading it back, not by the proof.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Connection, Row, exists, func, insert, or_, select, text, update

from include.database import among, disposal
from include.database.decisions import manual_item, manual_order, manual_request
from include.disposals import locators
from include.disposals.claims import lock_accounts
from include.disposals.context import Context
from include.disposals.record import Change, apply, base_entry
from include.errors import DecisionRefused
from include.evidence.log import stage
from include.forms import NO_PERSON
from include.outcomes import Outcome
from include.processors import ProcessorContract, Result, Work
from include.processors._manual import ATTESTED, READ_AGAIN, REQUESTS, ManualRequest

ASKED = frozenset({Outcome.MANUAL_PENDING, Outcome.EXPIRES_BY_PROCESSOR, Outcome.RETAINED_BY_PROCESSOR})
"""Open outcomes that may ask for a person; the code says which do."""
DUE_DAYS = timedelta(days=5)
PERSON = re.compile(r"[a-z][a-z_]{1,39}:e-[a-z0-9]{1,20}")
"""A role and a pseudonym, `records_office:e-0012`."""
Connect = Callable[[], ProcessorContract]


@dataclass(frozen=True, slots=True)
class Proof:
    """What attests one order: the number and date of the paper that says so, how, by whom, before whom."""

    reference: str
    done_on: date
    method: str
    executor: str
    witness: str | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """One thing to do, as people see it: which place, what, by when, in which words."""

    order_id: UUID
    request_id: UUID
    processor: str
    code: str
    box: str
    records: int
    made_on: date
    due: date
    subject: str
    body: str
    to: str


# -- asking --------------------------------------------------------------------------------------------------------
def ask_by_hand(context: Context) -> dict[str, int]:
    """Make one request a place and kind for what waits for a person and is in no order yet; return orders by place."""
    made: dict[str, int] = {}
    with context.engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtextextended('manual_requests', 0))"))
        waiting = _in_no_order(connection)
        boxes = _boxes(connection, context, [r for r in waiting if REQUESTS[r.code].by_box])
        for (processor, code), rows in _by_kind(waiting).items():
            made[processor] = made.get(processor, 0) + _request(connection, context, processor, code, rows, boxes)
    return made


def _in_no_order(connection: Connection) -> Sequence[Row[Any]]:
    """Return the open disposals whose outcome asks for a person and whose last order is not open."""
    asked = (
        select(manual_item.c.disposal_id)
        .join(manual_order, manual_order.c.order_id == manual_item.c.order_id)
        .where(
            manual_item.c.disposal_id == disposal.c.disposal_id,
            # Answered and still pending: the place was read back and shows it still, so it is asked again. What only
            # lapses at the place is asked once.
            or_(manual_order.c.answered_on.is_(None), disposal.c.outcome == str(Outcome.EXPIRES_BY_PROCESSOR)),
        )
    )
    return connection.execute(
        select(disposal)
        .where(
            disposal.c.closed_on.is_(None),
            disposal.c.outcome.in_(sorted(ASKED)),
            disposal.c.code.in_(sorted(REQUESTS)),
            ~exists(asked),
        )
        .order_by(disposal.c.processor, disposal.c.code, disposal.c.disposal_id)
    ).all()


def _by_kind(rows: Sequence[Row[Any]]) -> dict[tuple[str, str], list[Row[Any]]]:
    kinds: dict[tuple[str, str], list[Row[Any]]] = {}
    for row in rows:
        kinds.setdefault((row.processor, row.code), []).append(row)
    return kinds


def _boxes(connection: Connection, context: Context, rows: Sequence[Row[Any]]) -> dict[str, Mapping[str, Any]]:
    found = locators.read(connection, context, [str(r.disposal_id) for r in rows])
    return {disposal_id: body for disposal_id, (_kind, body) in found.items()}


def _request(
    connection: Connection,
    context: Context,
    processor: str,
    code: str,
    rows: Sequence[Row[Any]],
    located: Mapping[str, Mapping[str, Any]],
) -> int:
    """Write one request with its orders; return how many orders."""
    dates = [r.until for r in rows if r.outcome != Outcome.EXPIRES_BY_PROCESSOR and r.until]
    request_id, due = uuid4(), min(dates, default=context.as_of + DUE_DAYS)
    connection.execute(
        insert(manual_request).values(
            request_id=request_id, processor=processor, code=code, made_on=context.as_of, due=due
        )
    )
    orders: dict[str, list[UUID]] = {}
    for row in rows:
        for box in located.get(str(row.disposal_id), {}).get("boxes") or [""]:
            orders.setdefault(box, []).append(row.disposal_id)
    for box, disposal_ids in sorted(orders.items()):
        order_id = uuid4()
        connection.execute(
            insert(manual_order).values(order_id=order_id, request_id=request_id, box=box, records=len(disposal_ids))
        )
        connection.execute(insert(manual_item), [{"order_id": order_id, "disposal_id": i} for i in disposal_ids])
    counts = {"orders": len(orders), "disposals": len(rows)}
    entry = base_entry(context, "manual_requested") | {"processor": processor, "code": code, "counts": counts}
    stage(connection, [entry | {"until": due.isoformat()}])
    return len(orders)


# -- seeing --------------------------------------------------------------------------------------------------------
def open_orders(connection: Connection) -> list[Order]:
    """Return what waits for a proof, the first due first, with the words to send or order."""
    rows = connection.execute(
        select(manual_order, manual_request)
        .join(manual_request, manual_request.c.request_id == manual_order.c.request_id)
        .where(manual_order.c.answered_on.is_(None))
        .order_by(manual_request.c.due, manual_request.c.processor, manual_order.c.box)
    ).mappings()
    found = []
    for row in rows:
        kind = REQUESTS[row["code"]]
        subject, body = kind.written(request_id=str(row["request_id"])[:8], due=row["due"].isoformat())
        found.append(
            Order(
                row["order_id"], row["request_id"], row["processor"], row["code"], row["box"], row["records"],
                row["made_on"], row["due"], subject, body, kind.to,
            )
        )  # fmt: skip
    return found


def remind(context: Context) -> tuple[list[str], list[str]]:
    """Return what is due soon (each named once) and what is overdue, in words without anybody in them."""
    soon = context.as_of + timedelta(days=context.schedule.settings.manual.remind_days_before)
    with context.engine.begin() as connection:
        orders = open_orders(connection)
        late = [o for o in orders if o.due < context.as_of]
        reminded = set(
            connection.execute(
                update(manual_request)
                .where(
                    among(
                        manual_request.c.request_id, {o.request_id for o in orders if context.as_of <= o.due <= soon}
                    ),
                    manual_request.c.reminded_on.is_(None),
                )
                .values(reminded_on=context.as_of)
                .returning(manual_request.c.request_id)
            ).scalars()
        )
    return _words([o for o in orders if o.request_id in reminded]), _words(late)


def _words(orders: Sequence[Order]) -> list[str]:
    counts: dict[tuple[str, str, date], int] = {}
    for order in orders:
        key = (order.processor, order.code, order.due)
        counts[key] = counts.get(key, 0) + 1
    return [f"{processor} {code}: {n} orders, due {due}" for (processor, code, due), n in sorted(counts.items())]


# -- answering -----------------------------------------------------------------------------------------------------
def answer(context: Context, order_id: UUID, proof: Proof, *, by: str, connect: Connect | None = None) -> int:
    """Record the proof of one order; return how many disposals it closed.

    `by` entered it (role and pseudonym). A disposal closes when every order it stands in is answered. The same proof
    again adds nothing; another one for an answered order is refused. `connect` makes the processor, for a place whose
    own register is cleared by the attestation.
    """
    with context.engine.connect() as connection:
        order = _order(connection, order_id)
    kind = REQUESTS[order.code]
    _check(context, order, kind, proof, by)
    with context.engine.begin() as connection:
        order = _order(connection, order_id, lock=True)
        if order.answered_on is None:
            _keep(connection, context, order, proof, by)
        elif (order.reference, order.done_on, order.method) != (proof.reference, proof.done_on, proof.method):
            raise DecisionRefused(f"Order {order_id} was answered on {order.answered_on} with another proof.")
        ready = _answered(connection, order_id)
    if kind.methods[proof.method] == ATTESTED:
        return _attest(context, ready, proof, connect)
    if kind.methods[proof.method] == READ_AGAIN:
        with context.engine.begin() as connection:
            connection.execute(
                update(disposal)
                .where(among(disposal.c.disposal_id, [r.disposal_id for r in ready]), disposal.c.closed_on.is_(None))
                .values(due_at=context.as_of, updated_at=func.now())
            )
    return 0


def _order(connection: Connection, order_id: UUID, *, lock: bool = False) -> Row[Any]:
    statement = (
        select(manual_order, manual_request.c.processor, manual_request.c.code, manual_request.c.made_on)
        .join(manual_request, manual_request.c.request_id == manual_order.c.request_id)
        .where(manual_order.c.order_id == order_id)
    )
    row = connection.execute(statement.with_for_update(of=manual_order) if lock else statement).first()
    if row is None:
        raise DecisionRefused(f"There is no order {order_id}. `python -m include.disposals manual` lists them.")
    return row


def _check(context: Context, order: Row[Any], kind: ManualRequest, proof: Proof, by: str) -> None:
    """Raise `DecisionRefused` naming the field that is wrong; never its value, which may be anything."""
    problem = None
    if proof.method not in kind.methods:
        problem = f"the method is one of {', '.join(kind.methods)}"
    elif not re.fullmatch(kind.reference, proof.reference) or not re.search(r"\d", proof.reference):
        problem = f"the reference number has the form {kind.reference}"
    elif not re.match(NO_PERSON, proof.reference):
        problem = "the reference number looks like a telephone, business or resident registration number"
    elif not order.made_on <= proof.done_on <= context.as_of:
        problem = f"the date lies between {order.made_on}, when it was asked for, and {context.as_of}"
    elif not all(PERSON.fullmatch(p) for p in (proof.executor, by, *([proof.witness] if proof.witness else []))):
        problem = "people are named by role and pseudonym, such as records_office:e-0012"
    elif kind.witness and not proof.witness:
        problem = "a witness is needed"
    elif proof.witness and proof.witness.partition(":")[2] == proof.executor.partition(":")[2]:
        problem = "executor and witness are two people"
    if problem:
        raise DecisionRefused(f"This proof is not taken: {problem}. Nothing was recorded.")


def _keep(connection: Connection, context: Context, order: Row[Any], proof: Proof, by: str) -> None:
    connection.execute(
        update(manual_order)
        .where(manual_order.c.order_id == order.order_id)
        .values(
            reference=proof.reference,
            done_on=proof.done_on,
            method=proof.method,
            executor=proof.executor,
            witness=proof.witness,
            answered_by=by,
            answered_on=context.as_of,
        )
    )
    left = exists().where(
        manual_order.c.request_id == manual_request.c.request_id, manual_order.c.answered_on.is_(None)
    )
    connection.execute(
        update(manual_request)
        .where(manual_request.c.request_id == order.request_id, ~left)
        .values(closed_on=context.as_of)
    )
    entry = base_entry(context, "manual_answered") | {"processor": order.processor, "code": order.code}
    stage(connection, [entry | {"method": proof.method} | _evidence(proof)])


def _evidence(proof: Proof) -> dict[str, Any]:
    """Return the proof as entries carry it: its number only as a digest."""
    fields: dict[str, Any] = {
        "receipt_sha256": hashlib.sha256(proof.reference.encode()).hexdigest(),
        "proof_date": proof.done_on.isoformat(),
        "actor": _person(proof.executor),
    }
    if proof.witness:
        fields["witness"] = _person(proof.witness)
    if proof.method in ("shred", "incinerate"):
        fields["sanitization"] = "destroy"
    return fields


def _person(who: str) -> dict[str, str]:
    role, _, pseudonym = who.partition(":")
    return {"role": role, "pseudonym": pseudonym}


def _answered(connection: Connection, order_id: UUID) -> Sequence[Row[Any]]:
    """Return the order's disposals that stand in no order without an answer."""
    mine = select(manual_item.c.disposal_id).where(manual_item.c.order_id == order_id)
    waits = (
        select(manual_item.c.disposal_id)
        .join(manual_order, manual_order.c.order_id == manual_item.c.order_id)
        .where(manual_order.c.answered_on.is_(None))
    )
    return connection.execute(
        select(disposal).where(disposal.c.disposal_id.in_(mine), disposal.c.disposal_id.not_in(waits))
    ).all()


def _attest(context: Context, ready: Sequence[Row[Any]], proof: Proof, connect: Connect | None) -> int:
    """Close what the proof attests, each with an entry of its own; first the company's own register is cleared."""
    pending = [r for r in ready if r.closed_on is None and r.outcome == Outcome.MANUAL_PENDING]
    if not pending:
        return 0
    with context.engine.connect() as connection:
        opened = locators.read(connection, context, [str(r.disposal_id) for r in pending])
    clear = getattr(connect() if connect else None, "attested", None)
    if clear is not None:
        # Before the disposals close: a register row that is gone proves nothing, so a crash in between loses nothing.
        clear([_work(r, opened.get(str(r.disposal_id), ("", {}))[1]) for r in pending])
    rows, evidence = {str(r.disposal_id): r for r in pending}, _evidence(proof)
    receipt = evidence.pop("receipt_sha256")
    with context.engine.begin() as connection:
        lock_accounts(connection, {r.account_id for r in pending if r.account_id})
        still = set(
            connection.execute(
                select(disposal.c.disposal_id)
                .where(among(disposal.c.disposal_id, [r.disposal_id for r in pending]), disposal.c.closed_on.is_(None))
                .with_for_update()
            ).scalars()
        )
        changes = [
            Change(
                Result(i, Outcome.MANUAL_ATTESTED, code=row.code, verify_method="attested", receipt_sha256=receipt),
                step="attest",
                method=proof.method,
                closed_on=context.as_of,
                proof=evidence,
            )
            for i, row in rows.items()
            if row.disposal_id in still
        ]
        apply(connection, context, rows, changes)
    return len(changes)


def _work(row: Row[Any], locator: Mapping[str, Any]) -> Work:
    return Work(str(row.disposal_id), row.account_id, row.scope_id, tuple(row.datasets), locator)
