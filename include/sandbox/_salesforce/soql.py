"""A small, honest subset of SOQL: what it does not understand is refused, never guessed.

`SELECT Id, Email FROM Contact WHERE (Email IN ('a', 'b') OR AccountKey__c = 'x') AND IsDeleted = false LIMIT 10`,
with `COUNT()`, `LIKE`, `NOT`, `!=`, and dates compared as text. Text is compared without regard to case, ids by their
first 15 characters and with regard to it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

TOKEN = re.compile(
    r"\s*(?:(?P<string>'(?:[^'\\]|\\.)*')|(?P<word>[A-Za-z_][\w.]*(?:\(\))?|[\d][\w:.+-]*)|(?P<sign><=|>=|!=|<>|[=<>(),]))"
)
ESCAPES = {
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "b": "\b",
    "f": "\f",
    "\\": "\\",
    "'": "'",
    '"': '"',
    "_": "\\_",
    "%": "\\%",
}
ID = re.compile(r"[A-Za-z0-9]{15}(?:[A-Za-z0-9]{3})?")

Test = Callable[[Mapping[str, Any]], bool]


class SoqlError(Exception):
    """A query the API refuses, with its error code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


@dataclass(frozen=True, slots=True)
class Query:
    """A parsed query; `columns` is None for `SELECT COUNT()`."""

    columns: tuple[str, ...] | None
    kind: str
    test: Test
    limit: int | None
    filtered: frozenset[str]


def tokens(text: str) -> list[tuple[str, str]]:
    """Split a query into (sort, text) pairs; `string` texts are unescaped."""
    result, position = [], 0
    text = text.rstrip()
    while position < len(text):
        match = TOKEN.match(text, position)
        if match is None:
            raise SoqlError("MALFORMED_QUERY", f"unexpected token: '{text[position:].strip()[:10]}'")
        sort = str(match.lastgroup)
        value = match.group(sort)
        if sort == "string":
            value = re.sub(r"\\(.)", _unescape, value[1:-1], flags=re.DOTALL)
        result.append((sort, value))
        position = match.end()
    return result


def _unescape(match: re.Match[str]) -> str:
    if match[1] not in ESCAPES:
        raise SoqlError("MALFORMED_QUERY", f"Invalid string literal: illegal escape sequence '\\{match[1]}'")
    return ESCAPES[match[1]]


class Parser:
    """Parses one query against the fields of the organisation."""

    def __init__(self, text: str, fields_of: Callable[[str], Mapping[str, Any] | None]) -> None:
        self.tokens, self.position, self.fields_of = tokens(text), 0, fields_of
        self.filtered: set[str] = set()
        self.fields: Mapping[str, Any] = {}
        self.kind = ""

    def parse(self) -> Query:
        """Return the query or raise `SoqlError`."""
        self._expect("select")
        names = [self._word()]
        while self._sign(","):
            names.append(self._word())
        self._expect("from")
        self.kind = self._word()
        fields = self.fields_of(self.kind)
        if fields is None:
            raise SoqlError("INVALID_TYPE", f"sObject type '{self.kind}' is not supported.")
        self.fields = fields
        test: Test = self._or() if self._keyword("where") else lambda _row: True
        limit = int(self._word()) if self._keyword("limit") else None
        if self.position != len(self.tokens):
            raise SoqlError("MALFORMED_QUERY", f"unexpected token: '{self.tokens[self.position][1]}'")
        columns = None if [n.lower() for n in names] == ["count()"] else tuple(self._field(n) for n in names)
        return Query(columns, self.kind, test, limit, frozenset(self.filtered))

    def _peek(self) -> tuple[str, str]:
        return self.tokens[self.position] if self.position < len(self.tokens) else ("end", "<EOF>")

    def _word(self) -> str:
        sort, value = self._peek()
        if sort != "word":
            raise SoqlError("MALFORMED_QUERY", f"unexpected token: '{value}'")
        self.position += 1
        return value

    def _keyword(self, word: str) -> bool:
        found = self._peek()[0] == "word" and self._peek()[1].lower() == word
        self.position += found
        return found

    def _sign(self, sign: str) -> bool:
        found = self._peek() == ("sign", sign)
        self.position += found
        return found

    def _expect(self, word: str) -> None:
        if not (self._sign(word) if len(word) == 1 else self._keyword(word)):
            raise SoqlError("MALFORMED_QUERY", f"unexpected token: '{self._peek()[1]}'")

    def _field(self, name: str) -> str:
        for known in self.fields:
            if known.lower() == name.lower():
                return known
        raise SoqlError("INVALID_FIELD", f"No such column '{name}' on entity '{self.kind}'.")

    def _or(self) -> Test:
        tests = [self._and()]
        while self._keyword("or"):
            tests.append(self._and())
        return tests[0] if len(tests) == 1 else lambda row: any(t(row) for t in tests)

    def _and(self) -> Test:
        tests = [self._not()]
        while self._keyword("and"):
            tests.append(self._not())
        return tests[0] if len(tests) == 1 else lambda row: all(t(row) for t in tests)

    def _not(self) -> Test:
        if self._keyword("not"):
            inner = self._not()
            return lambda row: not inner(row)
        if self._sign("("):
            inner = self._or()
            self._expect(")")
            return inner
        return self._comparison()

    def _comparison(self) -> Test:
        field = self._field(self._word())
        shape = self.fields[field]
        if shape == "textarea":
            raise SoqlError("INVALID_FIELD", f"field '{field}' can not be filtered in a query call")
        self.filtered.add(field)
        if self._keyword("in"):
            return self._membership(field, shape)
        if self._keyword("like"):
            pattern = _like(self._value(shape))
            return lambda row: isinstance(row.get(field), str) and pattern.fullmatch(row[field]) is not None
        for sign in ("=", "!=", "<>", "<=", ">=", "<", ">"):
            if self._sign(sign):
                return _compare(field, sign, self._normal(self._value(shape), shape), lambda v: self._normal(v, shape))
        raise SoqlError("MALFORMED_QUERY", f"unexpected token: '{self._peek()[1]}'")

    def _membership(self, field: str, shape: Any) -> Test:
        self._expect("(")
        values = {self._normal(self._value(shape), shape)}
        while self._sign(","):
            values.add(self._normal(self._value(shape), shape))
        self._expect(")")
        return lambda row: self._normal(row.get(field), shape) in values

    def _value(self, shape: Any) -> Any:
        sort, value = self._peek()
        if sort not in {"string", "word"}:
            raise SoqlError("MALFORMED_QUERY", f"unexpected token: '{value}'")
        self.position += 1
        if sort == "string":
            if (shape == "id" or isinstance(shape, tuple)) and not ID.fullmatch(value):
                raise SoqlError("INVALID_QUERY_FILTER_OPERATOR", f"invalid ID field: {value}")
            return value
        literals = {"null": None, "true": True, "false": False}
        if value.lower() not in literals and not value[0].isdigit():
            raise SoqlError("MALFORMED_QUERY", f"unexpected token: '{value}'")
        return literals.get(value.lower(), value)

    @staticmethod
    def _normal(value: Any, shape: Any) -> Any:
        if not isinstance(value, str):
            return False if value is None and shape == "boolean" else value
        return value[:15] if shape == "id" or isinstance(shape, tuple) else value.casefold()


def _like(value: Any) -> re.Pattern[str]:
    if not isinstance(value, str):
        raise SoqlError("INVALID_QUERY_FILTER_OPERATOR", "invalid operator on this field")
    parts = re.split(r"(\\[%_]|%|_)", value)
    signs = {"%": ".*", "_": ".", "\\%": "%", "\\_": "_"}
    return re.compile("".join(signs.get(p, re.escape(p)) for p in parts), re.IGNORECASE | re.DOTALL)


def _compare(field: str, sign: str, wanted: Any, normal: Callable[[Any], Any]) -> Test:
    if sign == "=":
        return lambda row: normal(row.get(field)) == wanted
    if sign in {"!=", "<>"}:
        return lambda row: normal(row.get(field)) != wanted

    def ordered(row: Mapping[str, Any]) -> bool:
        value = normal(row.get(field))
        if value is None or wanted is None:
            return False
        tests = {"<": value < wanted, ">": value > wanted, "<=": value <= wanted, ">=": value >= wanted}
        return bool(tests[sign])

    return ordered
