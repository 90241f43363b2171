"""AdRoll's audience API as far as it is needed: lists by count, one post that replaces a list, one that stops it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from include.errors import ConfigurationError, Refused, Unreachable
from include.processors import Site
from include.processors._json_api import Declined, JsonApi

NAME = "adroll"
HOST = "https://services.adroll.com"
NOT_FOUND, FORBIDDEN = 16, 512
"""Bit flags of the vendor's error codes."""
INACTIVE = frozenset({"inactive", "deactivated", "deleted", "disabled", "archived"})


@dataclass(frozen=True, slots=True)
class Segment:
    """One list as the vendor shows it: never its members. `emails` is None where the answer has no count."""

    segment_id: str
    name: str
    emails: int | None
    active: bool


class Lists:
    """The lists of one advertisable."""

    def __init__(self, site: Site) -> None:
        connection = site.connection
        if not connection.password:
            raise ConfigurationError(f"Connection {connection.name}: its password (the access token) is empty.")
        self._advertisable = connection.require("advertisable")
        self._api = JsonApi(
            name=NAME,
            host=HOST,
            endpoint_url=connection.endpoint_url,
            headers={"Authorization": f"Token {connection.password}"},
            params={"apikey": connection.require("apikey")},
            reserve=site.reserve,
            quota="api",
            go_on=site.go_on,
        )

    def all(self) -> dict[str, Segment]:
        """Return every list by id."""
        try:
            body = self._api.get("/audience/v1/segments", advertisable=self._advertisable)
        except Declined as declined:
            raise _refused(declined) from None
        rows = body if isinstance(body, list) else _inside(body, "segments", "results")
        if not isinstance(rows, list):
            raise Unreachable(NAME, "odd_answer", status=200)
        segments = [s for row in rows if (s := _segment(row)) is not None]
        return {s.segment_id: s for s in segments}

    def one(self, segment_id: str) -> Segment | None:
        """Return one list, or None where the vendor says in its own words that there is none."""
        try:
            body = self._api.get(_path(segment_id))
        except Declined as declined:
            if _absent(declined):
                return None
            raise _refused(declined) from None
        found = _segment(_inside(body, "segment", "results") or body)
        if found is None or found.segment_id != segment_id:
            raise Unreachable(NAME, "odd_answer", status=200)
        return found

    def replace(self, segment: Segment, emails: Iterable[str]) -> int | None:
        """Post all members of a list anew; return the count the reply claims, which is no proof."""
        body = {"name": segment.name, "data": [{"email": e} for e in emails]}
        reply = self._change("POST", segment.segment_id, body)
        shown = _segment(_inside(reply, "segment", "results") or reply)
        return shown.emails if shown else None

    def deactivate(self, segment_id: str) -> None:
        """Stop a list; its members stay with the vendor."""
        try:
            self._change("DELETE", segment_id)
        except Declined as declined:
            if not _absent(declined):
                raise

    def _change(self, method: str, segment_id: str, body: Any = None) -> Any:
        """Make one changing call; a refusal that is not in the vendor's shape is no answer of the vendor's."""
        try:
            return self._api.call(method, _path(segment_id), body=body)
        except Declined as declined:
            if declined.shaped:
                raise
            raise Unreachable(NAME, "odd_answer", status=declined.status, request_id=declined.request_id) from None


def _path(segment_id: str) -> str:
    return f"/audience/v1/segments/{quote(segment_id, safe='')}"


def _inside(body: Any, *names: str) -> Any:
    return next((body[n] for n in names if n in body), None) if isinstance(body, Mapping) else None


def _segment(row: Any) -> Segment | None:
    if not isinstance(row, Mapping) or not row.get("segment_id"):
        return None
    emails = row.get("emails")
    status = str(row.get("status") or "").lower()
    return Segment(
        segment_id=str(row["segment_id"]),
        name=str(row.get("name") or ""),
        emails=emails if isinstance(emails, int) and not isinstance(emails, bool) else None,
        active=row.get("is_active") is not False and status not in INACTIVE,
    )


def _absent(declined: Declined) -> bool:
    """A 404 counts only in the vendor's own shape: a wrong address answers 404 as well."""
    flagged = any(isinstance(c, int) and c & NOT_FOUND for c in declined.codes)
    return declined.shaped and (declined.status == 404 or flagged)


def _refused(declined: Declined) -> Refused | Unreachable:
    if not declined.shaped:
        return Unreachable(NAME, "odd_answer", status=declined.status, request_id=declined.request_id)
    forbidden = any(isinstance(c, int) and c & FORBIDDEN for c in declined.codes)
    return Refused(
        NAME,
        "forbidden" if forbidden else "request_refused",
        status=declined.status,
        request_id=declined.request_id,
        advice=f"Check endpoint, key and advertisable of the connection {NAME}.",
    )
