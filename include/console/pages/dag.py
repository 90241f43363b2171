"""The tab on a DAG in Airflow: its runs that recorded something, each with the way to what it did."""

from __future__ import annotations

from starlette.responses import Response

from include.console.asking import Ask
from include.console.pages import Page
from include.console.reading import runs
from include.console.roles import Capability

page = Page("dag")


@page.get("", Capability.COUNTS)
def show(ask: Ask) -> Response:
    """Show the runs of one DAG (`?dag_id=…`)."""
    dag_id = ask.query.get("dag_id", "")[:250]
    with ask.services.reading() as connection:
        rows = runs.of_dag(connection, dag_id, after=ask.after)
    return ask.render("dag.html", dag_id=dag_id, rows=rows)
