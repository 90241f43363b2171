"""The tab on a run in Airflow: what that run did, in counts for everybody, in entries for who may read evidence."""

from __future__ import annotations

from starlette.responses import Response

from include.console.asking import Ask
from include.console.pages import Page
from include.console.reading import runs
from include.console.roles import Capability

page = Page("run")


@page.get("", Capability.COUNTS)
def show(ask: Ask) -> Response:
    """Show one run, named as Airflow names it (`?dag_id=…&run_id=…`)."""
    dag_id = ask.query.get("dag_id", "")[:250]
    # Airflow fills a tab's address without encoding it, so the + of a run's time zone arrives as a blank.
    run_id = ask.query.get("run_id", "")[:250].replace(" ", "+")
    with ask.services.reading() as connection:
        row = runs.one(connection, dag_id, run_id)
        if row is None:
            return ask.render("run_unknown.html", dag_id=dag_id)
        deeds = runs.deeds(connection, row)
        entries = runs.entries(connection, row, after=ask.after) if ask.can("EVIDENCE") else None
    events = sorted({event for counts in deeds.counts.values() for event in counts})
    return ask.render("run.html", run=row, deeds=deeds, events=events, entries=entries, dag_id=dag_id, run_id=run_id)
