"""Whom a request to a place is about, for the person who sends it: opened for the right role, and logged by tag.

    text = hand_over(context, request_id, by=Person.parse("operator:e-0003"))

The identifiers come from the encrypted locators and go to a person's terminal or file, never into a task, an XCom or a
log; `access_log` keeps who read them and of which subject (안전성 확보조치 기준 8). Who is under a hold is left out,
and so is whoever's order has its proof: what is sent is what the place should do now.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, insert, select

from include.database import access_log, disposal
from include.database.decisions import manual_item, manual_order, manual_request
from include.disposals import holds, locators, request_events
from include.disposals.claims import lock_accounts
from include.disposals.context import Context
from include.errors import DecisionRefused
from include.evidence.lookups import Person
from include.processors._manual import REQUESTS, ManualRequest

ACTION = "identifiers_handed_over"
ACCOUNT = "account_id"


def hand_over(context: Context, request_id: UUID, *, by: Person) -> str:
    """Return the words of one open request and, a line each, whom it is about: number, field, value, tab-separated.

    Refused: a role the schedule does not name under `settings.manual.may_read`, a request that is answered, and one
    with nobody left to ask for. The look-up is committed before anything is returned.
    """
    allowed = context.schedule.settings.manual.may_read
    if by.role not in allowed:
        raise DecisionRefused(f"The role {by.role!r} may not read whom a request is about; {', '.join(allowed)} may.")
    with context.engine.begin() as connection:
        asked = connection.execute(select(manual_request).where(manual_request.c.request_id == request_id)).first()
        if asked is None or asked.closed_on is not None:
            raise DecisionRefused(f"No open request {request_id}. `python -m include.disposals manual` lists them.")
        every = connection.execute(
            select(disposal)
            .distinct()
            .join(manual_item, manual_item.c.disposal_id == disposal.c.disposal_id)
            .join(manual_order, manual_order.c.order_id == manual_item.c.order_id)
            .where(
                manual_order.c.request_id == request_id,
                manual_order.c.answered_on.is_(None),
                disposal.c.closed_on.is_(None),
            )
            .order_by(disposal.c.disposal_id)
        ).all()
        rows = _not_held(connection, context, every)
        held = len(every) - len(rows)
        if not rows:
            raise DecisionRefused(f"Nobody is left to ask {asked.processor} for: {held} held. Nothing was read.")
        opened = locators.read(connection, context, [str(r.disposal_id) for r in rows])
        looked = {"who": by.pseudonym, "role": by.role, "action": ACTION}
        tags = sorted({r.subject_tag for r in rows})
        connection.execute(insert(access_log), [looked | {"subject_tag": tag} for tag in tags])
    kind = REQUESTS[asked.code]
    subject, body = kind.written(request_id=str(request_id)[:8], due=asked.due.isoformat())
    lines = [
        f"{number}\t{name}\t{value}"
        for number, row in enumerate(rows, 1)
        for name, value in _about(kind, row, opened.get(str(row.disposal_id), ("", {}))[1])
    ]
    note = [f"({held} held, left out: ask for them when their hold is released)", ""] if held else []
    return "\n".join([f"To: {kind.to}", f"Subject: {subject}", "", body, "", *note, *lines])


def _not_held(connection: Connection, context: Context, rows: Sequence[Row[Any]]) -> list[Row[Any]]:
    """Return those that no hold blocks; one placed at this moment waits until these were handed over, or comes first.

    Somebody whose order went out before the hold was placed is named by the night's alerts.
    """
    accounts = sorted({r.account_id for r in rows if r.account_id})
    computed = context.accounts.computed_holds(accounts)
    lock_accounts(connection, accounts)
    placed, requested = holds.placed(connection, accounts), request_events.events(connection, accounts)
    return [
        r
        for r in rows
        if not holds.blocking(
            [*placed.get(r.account_id, []), *computed.get(r.account_id, [])],
            r,
            context,
            requested.get(r.account_id, ()),
        )
    ]


def _about(kind: ManualRequest, row: Row[Any], locator: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what says whom a disposal is about, as the place knows them."""
    if ACCOUNT in kind.attach and row.account_id:
        yield ACCOUNT, row.account_id
    for name in [n for n in kind.attach if n != ACCOUNT] or ([] if kind.attach else sorted(locator)):
        yield from _leaves(locator.get(name), name)


def _leaves(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, inner in sorted(value.items()):
            yield from _leaves(inner, f"{path}.{key}")
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _leaves(inner, path)
    elif value is not None:
        yield path, " ".join(str(value).split())
