"""At a hundred thousand disposals no list of these pages reads a whole table; `tests.console.many` times a million."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, event

from tests.console.many import answers, fill, lists
from tests.console.volume import scanned

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


def test_no_list_reads_a_whole_table(engine: Engine) -> None:
    fill(engine, NUMBER)
    found = {}
    for name, call in (lists(engine, NUMBER) | answers(engine)).items():
        with statements(engine) as sent:
            call()
        read = LARGE & {table for statement, values in sent for table in scanned(engine, statement, values)}
        if read and name not in WHOLE:
            found[name] = read
    assert found == {}
