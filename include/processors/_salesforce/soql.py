"""Queries as text: literals, conditions no address is too short for, ids in the one form that can be compared."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote_plus

ID = re.compile(r"[A-Za-z0-9]{15}(?:[A-Za-z0-9]{3})?")


@dataclass(frozen=True, slots=True)
class Test:
    """One alternative of a query's WHERE: a field that is one of some values.

    With `like` it matches one of some patterns, which are SOQL literals already.
    """

    name: str
    values: Iterable[str]
    like: bool = False


Selection = tuple[str, Sequence[str], Sequence[Test]]
"""An object, the columns to read of it, and the tests of which a row must pass one."""


def to_18(identifier: str) -> str:
    """Return the 18-character form of an id (Object Reference, "ID Field Type"); a longer one is cut to 15 first."""
    head, letters = identifier[:15], "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
    return head + "".join(
        letters[sum(1 << bit for bit, c in enumerate(head[part : part + 5]) if c.isascii() and c.isupper())]
        for part in (0, 5, 10)
    )


def quoted(value: str) -> str:
    """Return a SOQL string literal."""
    from simple_salesforce.format import quote_soql_value

    return str(quote_soql_value(value))


def containing(value: str) -> str:
    """Return a SOQL pattern, as a literal, for text that contains a value."""
    from simple_salesforce.format import format_soql

    return str(format_soql("'%{:like}%'", value))


def encoded(soql: str) -> str:
    """Return a query as it stands in an address; what RFC 3986 allows in a query stays as it is, to save bytes."""
    return quote_plus(soql, safe="',()=@:")


def path_of(soql: str, *, deleted: bool) -> str:
    """Return the path of a query below the version, deleted and archived rows included or not."""
    return f"{'queryAll' if deleted else 'query'}/?q={encoded(soql)}"


def head_of(kind: str, columns: Sequence[str]) -> str:
    """Return a query up to its condition."""
    return f"SELECT {','.join(dict.fromkeys(columns))} FROM {kind} WHERE "  # noqa: S608 - values are quoted


def queries(selection: Selection, room: int) -> list[str]:
    """Return the queries of a selection, each with at most `room` encoded bytes after its head."""
    kind, columns, tests = selection
    return [head_of(kind, columns) + condition for condition in _conditions(tests, room)]


def _conditions(tests: Sequence[Test], room: int) -> Iterator[str]:
    group: dict[str, list[str]] = {}
    size = 0
    for test, literal in ((t, v if t.like else quoted(v)) for t in tests for v in dict.fromkeys(t.values)):
        name = f"{test.name} LIKE" if test.like else test.name
        alone = len(encoded(literal)) + len(name) + 12  # with its field, operator, brackets and OR
        if group and size + alone > room:
            yield _joined(group)
            group, size = {}, 0
        size += alone if test.like or name not in group else len(encoded(literal)) + 1
        group.setdefault(name, []).append(literal)
    if group:
        yield _joined(group)


def _joined(group: Mapping[str, Sequence[str]]) -> str:
    alternatives: list[str] = []
    for name, literals in group.items():
        if name.endswith(" LIKE"):
            alternatives += [f"{name} {literal}" for literal in literals]
        else:
            alternatives.append(f"{name} IN ({','.join(literals)})")
    return " OR ".join(alternatives)
