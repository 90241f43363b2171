"""At volume every page reads through an index: whatever pages there are, none walks a table that grows with the years.

The suite looks at the plans of 100,000 disposals; `python -m tests.console.volume` measures 1,000,000.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import md5
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, event

from include import database
from include.console.app import create_app
from include.console.pages import pages
from include.console.reading import account as reading
from include.console.services import Services
from include.sandbox.servers import PostgresServer
from tests.console.conftest import NOW, ROLES, FakeGate, Visit, capabilities
from tests.console.test_decision_pages import LIST as QUESTIONS
from tests.console.test_decision_pages import PARAMS
from tests.console.volume import fill, scanned

GROWS = {
    "disposal", "entry", "entry_find", "batch_item", "access_log", "hold", "request", "approval", "manual_order",
}  # fmt: skip
QUERY = "?dag_id=nightly_retention&run_id=scheduled__0&n=5"
IDS = {"/decisions/holds/one": "h0", "/decisions/requests/one": "r0", "/decisions/manual/one": "o0"}
"""Which of the filled rows a page about one thing is asked for."""
NO_TABLE = {
    "/accounts": "a form",
    "/decisions/holds/place": "a form",
    "/evidence/exports/new": "a form",
    "/evidence/exports": "folders on disk",
    "/evidence/exports/one": "a folder on disk",
    "/evidence/exports/file": "a file on disk",
    "/evidence/exports/zip": "a folder on disk",
    "/schedule/versions": "texts of approved schedules, of which there is a handful",
    "/evidence/row/proof": "the bucket's tiles and a checkpoint; what it reads of tables `/evidence/row` reads",
    "/evidence/checkpoint": "the one newest checkpoint, and the bucket",
}
"""Pages that read no table that grows, with what they read instead; some cannot be answered here."""
PAGES = [r for p in pages() for r in p.routes if r.method == "GET" and "{" not in r.path]


@pytest.fixture(scope="module")
def filled(postgres: PostgresServer) -> Iterator[Engine]:
    """100,000 disposals over two years."""
    postgres.create_database("console_volume", template="template_retention")
    engine = database.connect(postgres.connection("retention_db", "console_volume"))
    fill(engine, disposals=100_000, today=NOW.date())
    yield engine
    engine.dispose()
    postgres.drop_database("console_volume")


class Plans:
    """Every statement an engine ran, and PostgreSQL's plan of each."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.ran: list[tuple[str, Any]] = []
        event.listen(engine, "before_cursor_execute", self._note)

    def _note(self, _c: Any, _k: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.lstrip().upper().startswith(("SELECT", "WITH")):
            self.ran.append((statement, parameters))

    def walks(self) -> list[str]:
        """Return the statements that walk a growing table, with what they walk."""
        event.remove(self.engine, "before_cursor_execute", self._note)
        return [
            f"{table}: {statement[:300]}"
            for statement, parameters in self.ran
            for table in scanned(self.engine, statement, parameters) & GROWS
        ]


def airflow() -> FakeGate:
    """Return an Airflow that knows the forms and waits for no answer."""
    gate = FakeGate()
    gate.answers[("GET", QUESTIONS)] = (200, {"hitl_details": []})
    for dag, params in PARAMS.items():
        shown = {"params": {n: {"value": None, "schema": schema} for n, schema in params.items()}}
        gate.answers[("GET", f"/dags/{dag}/details")] = (200, shown)
    return gate


@pytest.mark.parametrize("route", PAGES, ids=lambda r: r.path)
def test_no_page_walks_a_table_that_grows(filled: Engine, route: Any) -> None:
    services = Services(lambda name: None, now=lambda: NOW)  # type: ignore[arg-type,return-value]
    services.__dict__["engine"] = filled
    role = next(r for r in ("compliance", *ROLES) if route.capability in capabilities(r))
    identity = UUID(md5(IDS.get(route.path, "").encode()).hexdigest())
    plans = Plans(filled)
    reply = Visit(create_app(airflow(), services), role).get(f"{route.path}{QUERY}&id={identity}")
    assert plans.walks() == []
    if route.path not in NO_TABLE:
        assert reply.status_code == 200, reply.text
        assert plans.ran


def test_what_reads_no_table_is_a_page() -> None:
    assert {r.path for r in PAGES} >= NO_TABLE.keys()


def test_one_account_is_read_through_indexes(filled: Engine) -> None:
    with filled.connect() as connection:
        tag = connection.exec_driver_sql("SELECT subject_tag FROM retention.disposal LIMIT 1 OFFSET 80").scalar_one()
        plans = Plans(filled)
        rows = reading._disposals(connection, [tag])
        assert len(rows) == 8
        said = reading._last_entries(connection, [r.disposal_id for r in rows])
        assert len(said) == 8
        reading._requests(connection, [tag])
        reading._placed(connection, "a1")
        reading._archived(connection, [r.disposal_id for r in rows])
        connection.rollback()
    assert plans.walks() == []


def test_a_walk_is_seen(filled: Engine) -> None:
    assert scanned(filled, "SELECT count(*) FROM retention.entry WHERE body = ''", {}) == {"entry"}
