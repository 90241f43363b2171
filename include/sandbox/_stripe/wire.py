"""How Stripe speaks: form-encoded nested bodies, its error object, list pages, and the search language."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl

from werkzeug.wrappers import Request, Response

from include.sandbox._stripe.shapes import page
from include.sandbox.standin import json_reply


class Bad(Exception):
    """A handler raises this to answer with Stripe's error object."""

    def __init__(
        self, status: int, code: str | None, message: str, *, param: str | None = None, kind: str = ""
    ) -> None:
        super().__init__(code)
        self.status = status
        self.error: dict[str, Any] = {"type": kind or "invalid_request_error", "message": message}
        if code:
            self.error["code"] = code
            self.error["doc_url"] = f"https://stripe.com/docs/error-codes/{code.replace('_', '-')}"
        if param:
            self.error["param"] = param

    def reply(self) -> Response:
        """Return the response."""
        return json_reply(self.status, {"error": self.error})


def missing(what: str, key: str, *, param: str = "id", status: int = 404) -> Bad:
    """Return Stripe's word for an id it does not know; it quotes the id."""
    return Bad(status, "resource_missing", f"No such {what}: '{key}'", param=param)


def unrecognized(request: Request) -> Bad:
    """Return the answer to a path this account does not have, also used for features that are not enabled."""
    said = f"Unrecognized request URL ({request.method}: {request.path}). Please see https://stripe.com/docs."
    return Bad(404, None, said)


PERMISSION_BODY: dict[str, Any] = {
    "error": {
        "type": "invalid_request_error",
        "message": "The provided key 'rk_test_*********abcd' does not have the required permissions for this "
        "endpoint on account 'acct_0000'. Having the 'rak_customer_write' permission would allow this request to "
        "continue.",
    }
}
"""A restricted key without the right, status 403: no code, the permission is named in the message only."""

LOCK_TIMEOUT_BODY: dict[str, Any] = {
    "error": {
        "type": "invalid_request_error",
        "code": "lock_timeout",
        "message": "This object cannot be accessed right now because another API request or Stripe process is "
        "currently accessing it.",
    }
}
"""Status 429 while somebody else works on the object; usually with `Stripe-Should-Retry: true`."""

RATE_LIMIT_BODY: dict[str, Any] = {
    "error": {
        "type": "invalid_request_error",
        "code": "rate_limit",
        "message": "Request rate limit exceeded. Learn more about rate limits here https://stripe.com/docs/rate-limits.",
    }
}
"""Status 429, with `Stripe-Rate-Limited-Reason` and without `Retry-After`."""

CANNOT_REDACT_AGAIN = "is already part of a redaction job"


def parse_form(text: str) -> dict[str, Any]:
    """Return nested parameters: `a[b]=1&c[0]=2&c[]=3` as dictionaries and lists."""
    tree: dict[str, Any] = {}
    for name, value in parse_qsl(text, keep_blank_values=True):
        keys = re.findall(r"[^\[\]]+|(?<=\[)(?=\])", name)
        node = tree
        for key in keys[:-1]:
            below = node.setdefault(key, {})
            if not isinstance(below, dict):
                raise Bad(400, "parameter_invalid_empty", "Invalid parameters.", param=key)
            node = below
        leaf = keys[-1] if keys[-1:] and keys[-1] else str(len(node))
        node[leaf] = value
    return {key: _listed(value) for key, value in tree.items()}


def _listed(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    if value and all(key.isdigit() for key in value):
        return [_listed(value[key]) for key in sorted(value, key=int)]
    return {key: _listed(below) for key, below in value.items()}


def paged(rows: Sequence[Mapping[str, Any]], params: Mapping[str, Any], url: str) -> dict[str, Any]:
    """Return one page, newest first, as `limit` (10, at most 100) and `starting_after` ask."""
    size = page_size(params)
    ordered = sorted(enumerate(rows), key=lambda pair: (-int(pair[1].get("created") or 0), -pair[0]))
    found = [row for _, row in ordered]
    after = params.get("starting_after")
    if after:
        ids = [row["id"] for row in found]
        if after not in ids:
            raise missing("object", str(after), param="starting_after", status=400)
        found = found[ids.index(after) + 1 :]
    return page(found[:size], url, more=len(found) > size)


def page_size(params: Mapping[str, Any]) -> int:
    """Return the asked page size, or Stripe's refusal."""
    text = str(params.get("limit", "10"))
    if not text.isdigit() or not 1 <= int(text) <= 100:
        raise Bad(400, "parameter_invalid_integer", "This value must be between 1 and 100.", param="limit")
    return int(text)


_CLAUSE = re.compile(
    r"""\s*(?P<field>[a-z_]+)(?:\[(?P<q1>['"])(?P<key>(?:\\.|(?!(?P=q1)).)*)(?P=q1)\])?\s*(?P<op>[:~])\s*"""
    r"""(?P<q2>['"])(?P<value>(?:\\.|(?!(?P=q2)).)*)(?P=q2)\s*"""
)


def parse_search(query: str) -> Callable[[Mapping[str, Any]], bool]:
    """Return what tells whether a customer matches a query: clauses joined by AND or by OR, never both."""
    position, clauses, words = 0, [], set()
    while True:
        match = _CLAUSE.match(query, position)
        if not match:
            raise Bad(400, None, "We were unable to parse your search query.", param="query")
        clauses.append(match)
        position = match.end()
        if position >= len(query):
            break
        word = re.compile(r"(AND|OR)\b").match(query, position)
        if not word:
            raise Bad(400, None, "We were unable to parse your search query.", param="query")
        words.add(word.group())
        position = word.end()
    if len(words) > 1:
        raise Bad(400, None, "You can't mix AND and OR in a search query.", param="query")
    for clause in clauses:
        if clause["field"] not in {"email", "name", "phone", "metadata"}:
            raise Bad(400, None, f"Field `{clause['field']}` is an unsupported search field.", param="query")
    some = any if words == {"OR"} else all
    tests = [_test(clause) for clause in clauses]
    return lambda row: some(test(row) for test in tests)


def _test(clause: re.Match[str]) -> Callable[[Mapping[str, Any]], bool]:
    """Return what tells whether a customer meets one clause."""
    field, value = clause["field"], re.sub(r"\\(.)", r"\1", clause["value"])
    if field == "metadata":
        key = re.sub(r"\\(.)", r"\1", clause["key"] or "")
        return lambda row: (row.get("metadata") or {}).get(key) == value
    part = value.casefold()
    return lambda row: part in str(row.get(field) or "").casefold()
