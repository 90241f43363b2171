"""Requests (권리행사): the register's open requests with their clocks, and the form that answers one by hand."""

from __future__ import annotations

from dataclasses import replace

from starlette.responses import Response

from include.console import forms
from include.console.asking import Ask
from include.console.pages import Page
from include.console.pages.decisions import started
from include.console.pages.decisions_holds import identity
from include.console.reading import decisions as reading
from include.console.roles import Capability
from include.errors import DecisionRefused

page = Page("decisions/requests")
DAG = "answer_request"
CONFIRMED = "confirmed"


@page.get("", Capability.WORK)
def show(ask: Ask) -> Response:
    """List the unanswered requests, the first due first."""
    with ask.services.reading() as connection:
        today = ask.services.as_of(connection)
        rows = reading.open_requests(connection, after=ask.after)
    return ask.render("decisions_requests.html", rows=rows, today=today, next_of=reading.next_of_request)


@page.get("one", Capability.WORK)
def one(ask: Ask) -> Response:
    """Show one request: its clocks, what happens next, and to whom may act the form that ends it by hand."""
    with ask.services.reading() as connection:
        today = ask.services.as_of(connection)
        row = reading.one_request(connection, identity(ask, ask.query.get("id", "")))
    if row is None:
        raise DecisionRefused(ask.words("decisions.gone"))
    decidable = reading.decidable(row.status)
    acts = ask.can("REQUEST") and row.closed_on is None and (decidable or row.confirmed_on is None)
    return ask.render(
        "decisions_request.html", row=row, today=today, fields=_fields(ask, decidable=decidable) if acts else [],
        next=reading.next_of_request(row), acts=acts, decidable=decidable,
    )  # fmt: skip


def _fields(ask: Ask, *, decidable: bool) -> list[forms.Field]:
    """Return the form's fields; of a request that was released only its receipt can still be confirmed."""
    shown = [f for f in forms.fields(ask, DAG) if f.name != "request_id"]
    if decidable:
        return shown
    return [
        replace(f, choices=[c for c in f.choices if c[0] == CONFIRMED], value=CONFIRMED)
        for f in shown
        if f.name == "decision"
    ]


@page.post("answer", Capability.REQUEST)
def answer(ask: Ask) -> Response:
    """Start `answer_request` as this person."""
    shown = [f for f in forms.fields(ask, DAG) if f.name != "request_id"]
    conf = {name: value for name, value in forms.conf_of(ask, shown).items() if value}  # the rest has its own defaults
    conf |= {"request_id": str(identity(ask, ask.value("request_id")))}
    return started(ask, DAG, conf, "decisions/requests")
