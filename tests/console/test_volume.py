"""At volume every page reads through an index: whatever pages there are, none walks a table that grows with the years.

The suite looks at the plans of 100,000 disposals; `python -m tests.console.volume` measures 1,000,000.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, event

from include import database
from include.console.app import create_app
from include.console.pages import pages
from include.console.reading import account as reading
from include.console.services import Services
from include.sandbox.servers import PostgresServer
from tests.console.conftest import NOW, ROLES, FakeGate, Visit, capabilities
from tests.console.volume import fill

GROWS = re.compile(r"Seq Scan on (disposal|entry|batch_item|access_log)\b")
QUERY = "?dag_id=nightly_retention&run_id=scheduled__0"
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
        self.engine, self.ran = engine, []  # type: ignore[var-annotated]
        event.listen(engine, "before_cursor_execute", self._note)

    def _note(self, _c: Any, _k: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.lstrip().upper().startswith("SELECT"):
            self.ran.append((statement, parameters))

    def walks(self) -> list[str]:
        """Return the statements that walk a growing table, with what they walk."""
        event.remove(self.engine, "before_cursor_execute", self._note)
        found = []
        with self.engine.connect() as connection:
            for statement, parameters in self.ran:
                plan = "\n".join(r[0] for r in connection.exec_driver_sql(f"EXPLAIN {statement}", parameters))
                if hit := GROWS.search(plan):
                    found.append(f"{hit[1]}: {statement[:300]}")
        return found


@pytest.mark.parametrize("route", PAGES, ids=lambda r: r.path)
def test_no_page_walks_a_table_that_grows(filled: Engine, route: Any) -> None:
    services = Services(lambda name: None, now=lambda: NOW)  # type: ignore[arg-type,return-value]
    services.__dict__["engine"] = filled
    role = next(r for r in ("compliance", *ROLES) if route.capability in capabilities(r))
    plans = Plans(filled)
    reply = Visit(create_app(FakeGate(), services), role).get(route.path + QUERY)
    assert plans.walks() == []
    # Not 200: a page that needs a connection, Airflow's form or a named thing that this test has not; `test_many` and
    # the pages' own tests read those.
    assert reply.status_code in (200, 400, 502, 503), reply.text


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
