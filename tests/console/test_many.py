"""At a hundred thousand disposals no list of these pages reads a whole table; `tests.console.many` times a million."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, event

from tests.console.many import answers, fill, lists

NUMBER = 100_000
LARGE = {"entry", "entry_find", "entry_life", "disposal", "hold", "request"}
WHOLE = {"counts", "orders"}
"""A count of everything that is open reads everything that is open; orders are sorted by their requests' date."""


@contextmanager
def statements(engine: Engine) -> Iterator[list[tuple[str, Any]]]:
    """Yield what is sent to the database meanwhile."""
    sent: list[tuple[str, Any]] = []

    def note(_c: Any, _cursor: Any, statement: str, parameters: Any, *_more: Any) -> None:
        sent.append((statement, parameters))

    event.listen(engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(engine, "before_cursor_execute", note)


def scanned(plan: Mapping[str, Any]) -> Iterator[str]:
    """Yield the tables a plan reads from end to end."""
    if plan["Node Type"] == "Seq Scan":
        yield str(plan["Relation Name"])
    for part in plan.get("Plans", ()):
        yield from scanned(part)


def read_whole(engine: Engine, statement: str, parameters: Any) -> set[str]:
    """Return the large tables a statement reads from end to end."""
    with engine.connect() as connection:
        found = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", parameters).scalar_one()
    plans = json.loads(found) if isinstance(found, str) else found
    return set(scanned(plans[0]["Plan"])) & LARGE


def test_no_list_reads_a_whole_table(engine: Engine) -> None:
    fill(engine, NUMBER)
    found = {}
    for name, call in (lists(engine, NUMBER) | answers(engine)).items():
        with statements(engine) as sent:
            call()
        read = set().union(*(read_whole(engine, s, p) for s, p in sent if s.lstrip().startswith(("SELECT", "WITH"))))
        if read and name not in WHOLE:
            found[name] = read
    assert found == {}
