"""The reads this project makes from Salesforce: queries with all their pages, one by one or in bundles, descriptions.

A bundle is a composite request of `GET`s: Salesforce's own advice for long queries, and one call towards the daily
limit (REST guide, "Send Multiple Requests Using Composite")."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from include.errors import ProcessorError, Unreachable
from include.processors._salesforce.session import NAME, Rejected, Session
from include.processors._salesforce.soql import ID, Selection, Test, encoded, head_of, path_of, queries, to_18

MAX_REQUEST, OTHER_BYTES = 16_384, 800
"""Bytes of address and headers together, beyond which the API answers 414 or 431 (REST guide, status codes), and what
they take without query and token."""
QUERIES_IN_A_BUNDLE, READS_IN_A_BUNDLE = 5, 25
"""How many subrequests one composite request may hold (REST guide, Composite)."""
LEAST_ROOM = 200
TOO_MUCH = frozenset({"QUERY_TOO_COMPLICATED", "QUERY_TIMEOUT"})
Fields = Mapping[str, Mapping[str, Any]]
"""An object's fields by name, as `describe` gives them."""
NEXT_PAGE = re.compile(r"/services/data/v\d+\.\d/query(?:All)?/[A-Za-z0-9_-]+")


class Reads(Session):
    """Reads from Salesforce; every method raises only our errors."""

    _inner = False
    """Whether the last failure was that of one read inside a bundle."""
    bundling = False
    """Whether several reads go in one request (`POST composite`, which counts as one call and changes nothing)."""
    _no_bundles = False

    def bundle(self, *, allowed: bool) -> None:
        """Let reads go in bundles from now on, if the place has turned out to take them, or one by one."""
        self.bundling = allowed and not self._no_bundles

    def query(self, soql: str, *, deleted: bool = True) -> list[dict[str, Any]]:
        """Return all rows of a query, deleted and archived ones too unless told otherwise."""
        return self._all_pages(self._ask(lambda sf: _page(sf.restful(path_of(soql, deleted=deleted)))))

    def _all_pages(self, page: dict[str, Any]) -> list[dict[str, Any]]:
        rows, seen = list(page["records"]), set[str]()
        while not page["done"]:
            path = urlsplit(str(page.get("nextRecordsUrl", ""))).path
            if not NEXT_PAGE.fullmatch(path) or path in seen:
                raise Unreachable(NAME, "unexpected_answer")
            seen.add(path)
            page = self._ask(lambda sf, path=path: _page(sf.query_more(path, identifier_is_url=True)))  # type: ignore[misc]
            rows.extend(page["records"])
        if page["totalSize"] != len(rows):
            raise Unreachable(NAME, "short_result")
        return rows

    def select(self, kind: str, columns: Sequence[str], *tests: Test) -> dict[str, dict[str, Any]]:
        """Return the rows that pass any of the tests, by id as given, in as few queries as the address limit allows.

        A query the vendor calls too long or too complicated is asked again in halves.
        """
        room = self._room(kind, columns)
        while True:
            try:
                rows: dict[str, dict[str, Any]] = {}
                for soql in queries((kind, columns, tests), room):
                    rows |= _by_id(self.query(soql))
                return rows
            except ProcessorError as error:
                if not _too_much(error) or room < LEAST_ROOM:
                    raise
                room //= 2

    def select_many(self, wanted: Sequence[Selection]) -> list[dict[str, dict[str, Any]]]:
        """Return the rows of several selections, in order; in bundles where that is allowed."""
        asked = [(n, q) for n, s in enumerate(wanted) for q in queries(s, self._room(*s[:2]))]
        if self.bundling and len(asked) > 1:
            try:
                answers = self._bundle([path_of(q, deleted=True) for _n, q in asked], QUERIES_IN_A_BUNDLE)
            except ProcessorError as error:
                if not (_too_much(error) or not self.bundling):
                    raise
            else:
                found: list[dict[str, dict[str, Any]]] = [{} for _ in wanted]
                for (n, _soql), body in zip(asked, answers, strict=True):
                    found[n] |= _by_id(self._all_pages(self._ask(lambda _sf, b=body: _page(b))))  # type: ignore[misc]
                return found
        return [self.select(kind, columns, *tests) for kind, columns, tests in wanted]

    def _room(self, kind: str, columns: Sequence[str]) -> int:
        return MAX_REQUEST - OTHER_BYTES - self.token_bytes() - len(encoded(head_of(kind, columns)))

    def _bundle(self, paths: Sequence[str], most: int) -> list[Any]:
        """Return the bodies of some reads, in order; what the vendor answers to one of them is raised as its own error.

        Where there is no such resource, `bundling` is switched off.
        """
        bodies: list[Any] = []
        for start in range(0, len(paths), most):
            part = paths[start : start + most]
            try:
                bodies += self._ask(lambda sf, part=part: self._composite(sf, part))  # type: ignore[misc]
            except (Rejected, Unreachable) as error:
                if self._inner or error.status not in {200, 400, 404, 405, 501}:
                    raise
                self.bundling, self._no_bundles = False, True
                raise
        return bodies

    def _composite(self, sf: Any, paths: Sequence[str]) -> list[Any]:
        self._inner = False
        reads = [
            {"method": "GET", "url": f"/services/data/v{sf.sf_version}/{path}", "referenceId": f"read{n}"}
            for n, path in enumerate(paths)
        ]
        answer = sf.restful("composite", method="POST", json={"allOrNone": False, "compositeRequest": reads})
        by_name = {a["referenceId"]: a for a in answer["compositeResponse"]}
        self._inner = True
        bodies = []
        for read in reads:
            one = by_name[read["referenceId"]]
            if not 200 <= int(one["httpStatusCode"]) < 300:
                self._adapter.seen.status = int(one["httpStatusCode"])
                raise self.failure(one["body"])
            bodies.append(one["body"])
        return bodies

    def describe(self, kind: str) -> Fields | None:
        """Return an object's fields by name; None where there is no such object for this user."""
        try:
            return self._ask(lambda sf: _fields(sf.restful(f"sobjects/{kind}/describe")))
        except Rejected as error:
            if error.status == 404:
                return None
            raise

    def describe_many(self, kinds: Sequence[str]) -> dict[str, Fields | None]:
        """Return the fields of several objects, in bundles where that is allowed."""
        if self.bundling and len(kinds) > 1:
            try:
                bodies = self._bundle([f"sobjects/{kind}/describe" for kind in kinds], READS_IN_A_BUNDLE)
                return {k: self._ask(lambda _sf, b=b: _fields(b)) for k, b in zip(kinds, bodies, strict=True)}  # type: ignore[misc]
            except Rejected as error:
                if error.status != 404 and self.bundling:
                    raise
            except Unreachable:
                if self.bundling:
                    raise
        return {kind: self.describe(kind) for kind in kinds}

    def objects(self) -> dict[str, Mapping[str, Any]] | None:
        """Return all objects this user sees by name; None where the list is not offered."""
        try:
            found = self._ask(lambda sf: {o["name"]: o for o in sf.describe()["sobjects"] if is_name(o["name"])})
        except Rejected as error:
            if error.status == 404:
                return None
            raise
        return found


def _page(body: Any) -> dict[str, Any]:
    return {**body, "records": list(body["records"]), "done": bool(body["done"]), "totalSize": int(body["totalSize"])}


def _fields(body: Any) -> Fields:
    return {f["name"]: f for f in body["fields"] if is_name(f["name"])}


def is_name(text: object) -> bool:
    """Tell whether this can be the name of an object or field; nothing else becomes part of an address or a query."""
    return isinstance(text, str) and re.fullmatch(r"[A-Za-z]\w*", text, re.ASCII) is not None


def _by_id(rows: Iterable[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return rows by the 18 characters of their id; what is no id stays as it is, and is found out later."""
    return {to_18(i) if ID.fullmatch(i) else i: row for row in rows for i in (str(row["Id"]),)}


def _too_much(error: ProcessorError) -> bool:
    return error.code in TOO_MUCH or error.status in {414, 431}
