"""Work by hand (수기 처리): open orders with the words to send, and the form that takes the proof."""

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
from include.processors._manual import ManualRequest

page = Page("decisions/manual")
DAG = "answer_manual"


@page.get("", Capability.WORK)
def show(ask: Ask) -> Response:
    """List the orders without a proof, the first due first."""
    with ask.services.reading() as connection:
        today = ask.services.as_of(connection)
        rows = reading.orders(connection, after=ask.after)
    return ask.render("decisions_manual.html", rows=rows, today=today, wanted=reading.wanted_of)


@page.get("one", Capability.WORK)
def one(ask: Ask) -> Response:
    """Show one order: the words to send, what must come back, and to whom may act the form that takes it."""
    with ask.services.reading() as connection:
        today = ask.services.as_of(connection)
        row = reading.one_order(connection, identity(ask, ask.query.get("id", "")))
    if row is None:
        raise DecisionRefused(ask.words("decisions.gone"))
    wanted = reading.wanted_of(row)
    words = wanted.written(request_id=str(row.request_id)[:8], due=row.due.isoformat()) if wanted else None
    return ask.render(
        "decisions_order.html", row=row, today=today, wanted=wanted, words=words,
        fields=_fields(ask, wanted) if ask.can("REQUEST") and row.answered_on is None else [],
    )  # fmt: skip


def _fields(ask: Ask, wanted: ManualRequest | None) -> list[forms.Field]:
    """Return the proof's fields; of the methods only those that answer this kind of order."""
    shown = [f for f in forms.fields(ask, DAG) if f.name != "order_id"]
    if wanted is None:
        return shown
    return [
        replace(f, choices=[c for c in f.choices if c[0] in wanted.methods]) if f.name == "method"
        else replace(f, required=True) if f.name == "witness" and wanted.witness
        else f
        for f in shown
    ]  # fmt: skip


@page.post("answer", Capability.REQUEST)
def answer(ask: Ask) -> Response:
    """Start `answer_manual` as this person with the proof of one order."""
    shown = [f for f in forms.fields(ask, DAG) if f.name != "order_id"]
    conf = forms.conf_of(ask, shown) | {"order_id": str(identity(ask, ask.value("order_id")))}
    return started(ask, DAG, conf, "decisions/manual")
