"""What waits for a person at a glance: holds, requests, work by hand, approvals, and the global stop with its clock."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime
from typing import Any
from urllib.parse import quote

from markdown_it import MarkdownIt
from markupsafe import Markup
from starlette.responses import Response

from include.console import forms
from include.console.asking import Ask
from include.console.pages import Page
from include.console.reading import decisions as reading
from include.console.roles import Capability
from include.disposals import stopping
from include.errors import DecisionRefused

page = Page("decisions", order=60)
STOP = "global_stop"
LISTED = 50
TEXT = MarkdownIt("commonmark", {"html": False}).enable("table")


@page.get("", Capability.COUNTS)
def show(ask: Ask) -> Response:
    """Show how much waits and whether everything is stopped."""
    now = ask.services.now()
    with ask.services.reading() as connection:
        today = ask.services.as_of(connection)
        return ask.render(
            "decisions.html",
            today=today,
            counts=reading.counts(connection, as_of=today, now=now),
            stop=stopping.current(connection),
            clocks=stopping.clocks(connection),
            now=now,
        )


# -- the stop ------------------------------------------------------------------------------------------------------
@page.get("stop", Capability.WORK)
def stop(ask: Ask) -> Response:
    """Show the stop, its clocks, and the forms to set, release and assess."""
    with ask.services.reading() as connection:
        values: dict[str, Any] = {
            "stop": stopping.current(connection),
            "clocks": stopping.clocks(connection),
            "stops": reading.stops(connection),
        }
    shown = forms.fields(ask, STOP, only=("reason", "finding")) if ask.can("STOP") else []
    fields = {f.name: replace(f, choices=[(v, ask.words(f"{f.name}.{v}")) for v, _ in f.choices]) for f in shown}
    return ask.render("decisions_stop.html", now=ask.services.now(), fields=fields, **values)


@page.post("stop", Capability.STOP)
def act_on_stop(ask: Ask) -> Response:
    """Start `global_stop` as this person: stop, ask for release, or assess. The engine asks the second person."""
    action = ask.value("action")
    if action not in ("stop", "release", "assess"):
        raise DecisionRefused(ask.words("decisions.unknown_action"))
    conf = {"action": action, **_given(ask, {"stop": ("reason",), "assess": ("finding", "stop_id")}.get(action, ()))}
    return started(ask, STOP, conf, "decisions/stop")


def _given(ask: Ask, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: ask.value(name) for name in names if ask.value(name)}


def started(ask: Ask, dag: str, conf: dict[str, Any], back: str) -> Response:
    """Start a run as this person and say so, with the way to it."""
    return ask.render("dag_started.html", dag=dag, run_id=forms.start(ask, dag, conf), back=back)


# -- approvals -----------------------------------------------------------------------------------------------------
@page.get("approvals", Capability.WORK)
def approvals(ask: Ask) -> Response:
    """List what waits for a second person, as Airflow asks it."""
    shown, total = waiting(ask)
    return ask.render("decisions_approvals.html", waiting=shown, more=total - len(shown), rows=_register(ask))


def _register(ask: Ask) -> Any:
    with ask.services.reading() as connection:
        return reading.open_approvals(connection, ask.services.now())


def waiting(ask: Ask) -> tuple[list[dict[str, Any]], int]:
    """Return the oldest open questions this person may read, their texts as safe HTML, and how many there are."""
    status, found = ask.airflow(
        "GET", f"/dags/~/dagRuns/~/hitlDetails?response_received=false&limit={LISTED}&order_by=created_at"
    )
    if status != 200:
        raise DecisionRefused(ask.words("decisions.no_questions", status=status))
    shown = [_question(detail) for detail in found["hitl_details"]]
    return shown, int(found.get("total_entries", len(shown)))


def _one(ask: Ask, path: str) -> dict[str, Any] | None:
    """Return one question that is still open, however many stand before it in the list."""
    status, found = ask.airflow("GET", path)
    if status not in (200, 404):
        raise DecisionRefused(ask.words("decisions.not_answered", status=status))
    return None if status == 404 or found.get("response_received") else _question(found)


def _question(detail: dict[str, Any]) -> dict[str, Any]:
    ti = detail["task_instance"]
    return {
        "dag": ti["dag_id"],
        "run": ti["dag_run_id"],
        "task": ti["task_id"],
        "map_index": ti.get("map_index", -1),
        "subject": detail["subject"],
        "body": _text(detail.get("body") or ""),
        "options": detail["options"],
        "since": datetime.fromisoformat(detail["created_at"]),
    }


def _text(markdown: str) -> Markup:
    """Return a question's text as HTML: none of its own passes, and columns are aligned by class, not by style."""
    made = TEXT.render(markdown).replace(' style="text-align:right"', ' class="number"')
    return Markup(re.sub(r' style="text-align:\w+"', "", made))  # noqa: S704 - made without HTML passing through


@page.post("approvals/answer", Capability.APPROVE)
def answer(ask: Ask) -> Response:
    """Send this person's answer to a question. Who asked may not approve: the run compares both names and refuses."""
    dag, run, task, index = (quote(ask.value(name), safe="") for name in ("dag", "run", "task", "map"))
    path = f"/dags/{dag}/dagRuns/{run}/taskInstances/{task}/{index}/hitlDetails"
    wanted = _one(ask, path) if dag and run and task and re.fullmatch(r"-1|\d{1,5}", index) else None
    if wanted is None or ask.value("choice") not in wanted["options"]:
        raise DecisionRefused(ask.words("decisions.answered_before"))
    status, _ = ask.airflow("PATCH", path, {"chosen_options": [ask.value("choice")], "params_input": {}})
    if status == 403:
        raise DecisionRefused(ask.words("form.not_yours", dag=wanted["dag"]))
    if status in (404, 409):
        raise DecisionRefused(ask.words("decisions.answered_before"))
    if status != 200:
        raise DecisionRefused(ask.words("decisions.not_answered", status=status))
    return ask.render("decisions_answered.html", question=wanted, choice=ask.value("choice"))
