"""Years of nights in our tables, made inside PostgreSQL: as many disposals as asked for, a tenth of them open.

    fill(engine, disposals=1_000_000, today=date(2026, 11, 24))
    python -m tests.console.volume [disposals]       # measures every page at that size and prints p50 and p95

Outcomes, places and days are spread as years of nights would leave them; nobody is in it.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from statistics import quantiles
from typing import Any

from sqlalchemy import Engine, text

from include.evidence import finding

NIGHTS = 730
STATEMENTS = Path(__file__).with_suffix(".sql").read_text().split(";\n")[:-1]


def fill(engine: Engine, *, disposals: int, today: date) -> None:
    """Fill empty tables and let PostgreSQL learn what is in them, as its own clean-up does at night."""
    values = {"count": disposals, "nights": NIGHTS, "today": today, "sha": "a" * 64}
    with engine.begin() as connection:
        for statement in STATEMENTS:
            connection.execute(text(statement), {k: v for k, v in values.items() if f":{k}" in statement})
    finding.catch_up(engine)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM (ANALYZE)"))


def scanned(engine: Engine, statement: str, parameters: Any) -> set[str]:
    """Return the tables a statement that reads would walk from end to end, by PostgreSQL's own plan."""
    if not statement.lstrip().upper().startswith(("SELECT", "WITH")):
        return set()
    with engine.connect() as connection:
        found = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", parameters).scalar_one()
    plans = json.loads(found) if isinstance(found, str) else found
    return set(_walked(plans[0]["Plan"]))


def _walked(plan: Mapping[str, Any]) -> Iterator[str]:
    if plan["Node Type"] == "Seq Scan":
        yield str(plan["Relation Name"])
    for part in plan.get("Plans", ()):
        yield from _walked(part)


def measured(page: Any, *, times: int = 40) -> tuple[float, float]:
    """Return p50 and p95 in milliseconds of calling `page()`, the first call left out."""
    page()
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        page()
        taken.append((time.perf_counter() - started) * 1000)
    cuts = quantiles(taken, n=20)
    return cuts[9], cuts[18]


def main() -> None:
    """Measure the pages that need no account at the size asked for."""
    from include import database
    from include.console.app import create_app
    from include.console.pages import pages
    from include.console.services import Services
    from include.sandbox.servers import PostgresServer, temporary_folder
    from tests.console.conftest import ROLES, FakeGate, Visit, capabilities

    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    today = datetime(2026, 11, 24, 3, tzinfo=UTC)
    with temporary_folder("rt-volume-") as folder:
        server = PostgresServer(folder / "pg").start()
        try:
            server.create_database("retention")
            connection = server.connection("retention_db", "retention")
            engine = database.connect(connection)
            database.migrate(engine)
            started = time.perf_counter()
            fill(engine, disposals=count, today=today.date())
            print(f"{count} disposals in {time.perf_counter() - started:.0f} s")
            services = Services(lambda name: connection, now=lambda: today)
            app = create_app(FakeGate(), services)
            query = "?dag_id=nightly_retention&run_id=scheduled__0"
            for page in pages():
                for route in page.routes:
                    if route.method != "GET" or "{" in route.path:
                        continue
                    role = next(r for r in ("compliance", *ROLES) if route.capability in capabilities(r))
                    visit = Visit(app, role)
                    path = route.path + (query if page.slug in ("run", "dag") else "")
                    status = visit.get(path).status_code
                    half, most = measured(lambda v=visit, p=path: v.get(p))
                    print(f"{route.path or '/':<28} {status}  p50 {half:7.1f} ms   p95 {most:7.1f} ms")
            engine.dispose()
            services.engine.dispose()
        finally:
            server.stop()


if __name__ == "__main__":
    main()
