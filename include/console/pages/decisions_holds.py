"""Holds (보류): the list, one hold with what to do next, and the forms of `manage_holds`."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

from starlette.responses import Response

from include.console import forms
from include.console.asking import Ask
from include.console.pages import Page
from include.console.pages.decisions import started
from include.console.reading import decisions as reading
from include.console.roles import Capability
from include.errors import DecisionRefused

page = Page("decisions/holds")
DAG = "manage_holds"
PLACE = ("account_id", "kind", "processor", "datasets", "reason", "review_due")
FIELDS = {"place": PLACE, "review": ("reason", "review_due"), "release": ("release_as",)}


@page.get("", Capability.WORK)
def show(ask: Ask) -> Response:
    """List the holds that stand, the first to be reviewed first."""
    with ask.services.reading() as connection:
        today = ask.services.as_of(connection)
        rows = reading.holds(connection, after=ask.after)
    return ask.render(
        "decisions_holds.html", rows=rows, today=today, kinds=ask.services.schedule.holds, next_of=reading.next_of_hold
    )


@page.get("one", Capability.WORK)
def one(ask: Ask) -> Response:
    """Show one hold, and to whom may act the forms to review and release it."""
    with ask.services.reading() as connection:
        today = ask.services.as_of(connection)
        row = reading.one_hold(connection, identity(ask, ask.query.get("id", "")))
    if row is None:
        raise DecisionRefused(ask.words("decisions.gone"))
    acts = ask.can("REQUEST") and row.released_on is None
    shown = forms.fields(ask, DAG, only=("reason", "review_due")) if acts else []
    return ask.render(
        "decisions_hold.html", row=row, today=today, kind=ask.services.schedule.holds.get(row.kind),
        fields={f.name: replace(f, required=True) for f in shown},
        releases=reading.releases(row.kind), next=reading.next_of_hold(row, today),
    )  # fmt: skip


@page.get("place", Capability.REQUEST)
def new(ask: Ask) -> Response:
    """Show the form that places a hold."""
    return ask.render("decisions_place.html", fields=_place_fields(ask))


def _place_fields(ask: Ask) -> list[forms.Field]:
    """Return the form's fields, the open ones as choices of the schedule, and what placing needs as required."""
    schedule, language = ask.services.schedule, ask.words.language
    named = [(d, p) for p, part in schedule.processors.items() for d in part.datasets]
    choices = {
        "kind": [(k, f"{k} {getattr(part.title, language)}") for k, part in schedule.holds.items()],
        "processor": [(p, f"{getattr(part.title, language)} ({p})") for p, part in schedule.processors.items()],
        "datasets": [(d, f"{d} ({p})") for d, p in named],
    }
    kinds = {"kind": "choice", "processor": "choice", "datasets": "several"}
    return [
        replace(
            f,
            kind=kinds.get(f.name, f.kind),
            choices=choices.get(f.name, f.choices),
            required=f.required or f.name in ("account_id", "reason", "review_due"),
        )
        for f in forms.fields(ask, DAG, only=PLACE)
    ]


@page.post("act", Capability.REQUEST)
def act(ask: Ask) -> Response:
    """Start `manage_holds` as this person: place, review or release."""
    action = ask.value("action")
    if action not in FIELDS:
        raise DecisionRefused(ask.words("decisions.unknown_action"))
    conf = forms.conf_of(ask, forms.fields(ask, DAG, only=FIELDS[action])) | {"action": action}
    if action != "place":
        conf["hold_id"] = str(identity(ask, ask.value("hold_id")))
    conf = {name: value for name, value in conf.items() if value not in (None, "", [])}
    return started(ask, DAG, conf, "decisions/holds")


def identity(ask: Ask, text: str) -> UUID:
    """Return an id as people's links and forms carry it, or refuse what is none."""
    try:
        return UUID(text)
    except ValueError:
        raise DecisionRefused(ask.words("evidence.not_an_id")) from None
