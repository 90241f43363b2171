"""The one door to Zendesk: sends to one host only, waits little, and raises our errors before zenpy sees a reply.

zenpy follows `links.next` wherever it points, sleeps through any `Retry-After`, breaks on one that is a date, and
quotes whole replies in its exceptions. Zendesk publishes no idempotency key: only reads, and calls answered 429 (not
carried out), are repeated here.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import requests
from requests.adapters import HTTPAdapter

from include.errors import RateLimited, Refused, Unreachable
from include.processors._answers import request_id

NAME = "zendesk"
API = "/api/v2/"
PATIENCE = 20.0  # longest single wait inside a task
WAITS = 60.0  # longest wait altogether
RETRY_PAUSES = (0.5, 2.0)
UNSTATED = 60.0  # a 429 that names no time: the published limits count by the minute

CODES = frozenset(
    {"RecordNotFound", "RecordInvalid", "TooManyJobs", "TooManyValues", "InvalidEndpoint", "Forbidden", "invalid"}
)

WITH_ID = frozenset(
    {"users", "tickets", "results", "comments", "deleted_tickets", "deleted_users", "suspended_tickets"}
)

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """One reply that says something: its status and JSON body (None for 204), and Zendesk's id of the request."""

    status: int
    body: Any = field(repr=False)
    digest: str = ""
    request_id: str | None = None

    @property
    def code(self) -> str:
        """Zendesk's error word if it is one of the known ones; never its description, which quotes people."""
        word = self.body.get("error") if isinstance(self.body, dict) else None
        return word if isinstance(word, str) and word in CODES else f"http_{self.status}"

    def rows(self, key: str) -> list[Row]:
        """Return the list under `key`; a reply without it, or with things that have no id, says nothing."""
        found = self.body.get(key) if isinstance(self.body, dict) else None
        if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
            raise Unreachable(NAME, "unexpected_shape", status=self.status, request_id=self.request_id)
        if key in WITH_ID and not all(type(row.get("id")) is int for row in found):
            raise Unreachable(NAME, "unexpected_shape", status=self.status, request_id=self.request_id)
        return found


def sleep(seconds: float) -> None:
    """Wait; tests replace this."""
    time.sleep(seconds)


def retry_after(headers: Any, now: float | None = None) -> float:
    """Return the seconds a 429 asks for: a number, an HTTP date, `ratelimit-reset`, or a minute when it names none."""
    text = str(headers.get("Retry-After") or headers.get("ratelimit-reset") or "").strip()
    if not text:
        return UNSTATED
    if re.fullmatch(r"\d{1,9}(\.\d+)?", text):
        return max(float(text), 0.1)
    try:
        until = parsedate_to_datetime(text)
        sent = headers.get("Date")
        start = parsedate_to_datetime(sent).timestamp() if sent and now is None else (now or time.time())
    except ValueError:
        return UNSTATED
    until = until if until.tzinfo else until.replace(tzinfo=UTC)
    return max(until.timestamp() - start, 0.1)


class Gate(HTTPAdapter):
    """Sends to the vendor's host, or to `endpoint_url` instead, and nowhere else; raises our errors for what fails."""

    def __init__(
        self, host: str, endpoint_url: str | None, *, seen: Callable[[Any], None] = lambda _headers: None
    ) -> None:
        super().__init__(max_retries=0)
        self.seen = seen
        self.host, self.endpoint, self.waited = host, urlsplit(endpoint_url) if endpoint_url else None, 0.0

    def address(self, url: str) -> str:
        """Return where to really send.

        With an endpoint everything goes there, whatever host a link names (a validator or proxy in between shows its
        own, the vendor's or the one behind it); without one only the account's own host is ever addressed.
        """
        parts, target = urlsplit(url), self.endpoint
        if target is None:
            if parts.scheme == "https" and parts.netloc.lower() == self.host:
                return url
            raise Refused(NAME, "foreign_host", advice="A link led away from the account's host and was not followed.")
        _, api, rest = parts.path.partition(API)
        if parts.scheme not in {"http", "https"} or not api:
            raise Refused(NAME, "foreign_path", advice="A link led away from the API and was not followed.")
        return urlunsplit((target.scheme, target.netloc, target.path.rstrip("/") + API + rest, parts.query, ""))

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        """Send, and wait or repeat where that is safe."""
        request.url = self.address(str(request.url))
        pauses = list(RETRY_PAUSES) if request.method == "GET" else []
        while True:
            try:
                return self._once(request, args, kwargs)
            except RateLimited as error:
                if error.retry_after > PATIENCE or self.waited + error.retry_after > WAITS:
                    raise
                pause = error.retry_after
                self.waited += pause
            except Unreachable:
                if not pauses:
                    raise
                pause = pauses.pop(0)
            sleep(pause)

    def _once(self, request: requests.PreparedRequest, args: Any, kwargs: Any) -> requests.Response:
        response: requests.Response | None = None
        try:
            response = super().send(request, *args, **kwargs)
            response.content  # noqa: B018 - reads the body here, where a cut connection is ours to name
        except requests.RequestException:
            response = None  # the text of this exception holds the address, and so what we searched for
        if response is None:
            raise Unreachable(NAME, "no_answer")
        self._judge(response)
        return response

    def _judge(self, response: requests.Response) -> None:
        status = response.status_code
        if status != 429:  # which says itself how long to wait
            self.seen(response.headers)
        answer = read(response)
        if answer.code == "TooManyJobs":
            seconds = retry_after(response.headers) if response.headers.get("Retry-After") else PATIENCE / 2
            named = answer.request_id
            raise RateLimited(NAME, retry_after=seconds, code="too_many_jobs", status=status, request_id=named)
        if isinstance(answer.body, dict) and answer.body.get("error") == "unavailable":  # the search, under any status
            raise Unreachable(NAME, "search_unavailable", status=status, request_id=answer.request_id)
        if status == 429:
            raise RateLimited(NAME, retry_after=retry_after(response.headers), request_id=answer.request_id)
        if status >= 500 or 300 <= status < 400:
            raise Unreachable(NAME, f"http_{status}", status=status, request_id=answer.request_id)
        if answer.body is None and status != 204:
            raise Unreachable(NAME, "not_json", status=status, request_id=answer.request_id)
        if status == 401:
            advice, named = "Check the connection's login and token.", answer.request_id
            raise Refused(NAME, "not_authenticated", status=status, request_id=named, advice=advice)


def read(response: requests.Response) -> Answer:
    """Return the reply as JSON; the body is None where it is not a JSON object."""
    try:
        body = json.loads(response.content) if response.content else None
    except ValueError:
        body = None
    digest = hashlib.sha256(response.content).hexdigest()
    said = body if isinstance(body, dict) else None
    return Answer(response.status_code, said, digest, request_id(response.headers))
