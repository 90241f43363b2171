"""The complaint and dispute cases a law keeps three years (e-commerce Act, art. 6), read before anything is touched."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta, timezone

from include.errors import Unreachable
from include.processors import Record, Work
from include.processors._zendesk.client import Client
from include.processors._zendesk.gate import NAME, Row
from include.processors._zendesk.selector import Selector
from include.processors._zendesk.tickets import ids

SEOUL = timezone(timedelta(hours=9))


def cases(client: Client, selector: Selector, works: Sequence[Work]) -> list[Record]:
    """Return one record per located complaint: kind, dates, the party's name and e-mail, and the conversation."""
    wanted = ids(works, "complaints")
    if not wanted:
        return []
    tickets, metrics = client.show_many("tickets", wanted, include="metric_sets")
    for ticket_id in set(wanted) - set(tickets):
        alone = client.show("tickets", ticket_id)  # a bulk read that leaves one out is no proof
        tickets |= {ticket_id: alone} if alone else {}
    users, _ = client.show_many("users", ids(works, "users"))
    for user_id in set(ids(works, "users")) - set(users):
        alone = client.show("users", user_id)
        users |= {user_id: alone} if alone else {}
    solved = {m.get("ticket_id"): m.get("solved_at") for m in metrics or ()}
    records = []
    for work in works:
        for ticket_id in work.locator.get("complaints", ()):
            if ticket_id in tickets:
                ticket = tickets[ticket_id]
                at = solved.get(ticket_id) or _solved(client, ticket_id)
                records.append(_record(client, selector, work, ticket, _party(work, ticket, users), at))
    return records


def _solved(client: Client, ticket_id: int) -> object:
    """Return when a ticket was solved, read alone where the bulk read brought no metrics; None where there are none."""
    answer = client.call("GET", f"/tickets/{ticket_id}/metrics")
    metric = answer.body.get("ticket_metric") if answer.status == 200 and isinstance(answer.body, dict) else None
    rows = metric if isinstance(metric, list) else [metric]
    return next((m.get("solved_at") for m in rows if isinstance(m, dict) and m.get("solved_at")), None)


def _party(work: Work, ticket: Row, users: dict[int, Row]) -> Row:
    """Return the person's user: the requester, or on another's case whoever of them wrote there."""
    mine = [int(i) for i in work.locator.get("users", ()) if int(i) in users]
    first = ticket.get("requester_id")
    return users[first] if first in mine else users[mine[0]] if mine else {}


def _record(client: Client, selector: Selector, work: Work, ticket: Row, user: Row, solved_at: object) -> Record:
    opened, closed = _seoul(ticket.get("created_at")), _seoul(solved_at or ticket.get("updated_at"))
    pages = client.pages(f"/tickets/{int(ticket['id'])}/comments", "comments", of=("tickets", int(ticket["id"])))
    lines = [str(ticket.get("subject") or "")] + [str(c.get("plain_body") or c.get("body") or "") for c in pages]
    items = {
        "case.kind": selector.kind(ticket),
        "case.opened_on": opened.isoformat(),
        "case.closed_on": closed.isoformat(),
        "case.body": "\n".join(line for line in lines if line),
        "name": user.get("name"),
        "email": user.get("email"),
    }
    dates = {"case_closed": closed}
    return Record(work.disposal_id, str(ticket["id"]), "complaint", dates, {k: v for k, v in items.items() if v})


def _seoul(stamp: object) -> date:
    """Return the day in Seoul; a record without a date its clock could start from is no answer."""
    try:
        return datetime.fromisoformat(str(stamp).replace("Z", "+00:00")).astimezone(SEOUL).date()
    except ValueError:
        raise Unreachable(NAME, "record_without_date") from None
