"""Requests (권리행사): the register's open requests with their clocks, and the form that answers one by hand."""

from __future__ import annotations

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
    acts = ask.can("REQUEST") and row.closed_on is None and reading.decidable(row.status)
    shown = [f for f in forms.fields(ask, DAG) if f.name != "request_id"] if acts else []
    return ask.render(
        "decisions_request.html", row=row, today=today, fields=shown, next=reading.next_of_request(row), acts=acts
    )


@page.post("answer", Capability.REQUEST)
def answer(ask: Ask) -> Response:
    """Start `answer_request` as this person."""
    shown = [f for f in forms.fields(ask, DAG) if f.name != "request_id"]
    conf = forms.conf_of(ask, shown) | {"request_id": str(identity(ask, ask.value("request_id")))}
    return started(ask, DAG, conf, "decisions/requests")
