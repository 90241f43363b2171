"""One gate to a vendor's JSON over HTTP: pace, bounded repetition of safe calls, errors that carry codes only.

Keys may stand in addresses, so no address, header or body leaves here in an exception, and the HTTP library's own log
lines stay off. Redirects are never followed: they could lead away from the connection's address.
"""

from __future__ import annotations

import email.utils
import json
import logging
import math
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from include.connections import TIMEOUT_SECONDS
from include.errors import RateLimited, Refused, Unreachable
from include.processors._answers import request_id as named

if TYPE_CHECKING:
    import httpx

TRIES = 3
PATIENCE_SECONDS = 20.0
WHOLE_SECONDS = 120.0
"""How long an answer may take altogether; the library's own limit begins anew with every byte."""
MOST_BYTES = 64 * 2**20


class Declined(Exception):
    """The vendor refused one request (a 4xx about the request itself); `codes` are the error codes of its body."""

    def __init__(
        self, status: int, codes: tuple[int | str, ...], *, shaped: bool, request_id: str | None = None
    ) -> None:
        super().__init__(f"HTTP {status}")
        self.status, self.codes, self.shaped, self.request_id = status, codes, shaped, request_id


@dataclass(frozen=True, slots=True)
class JsonApi:
    """Calls to one vendor; `unknown_wait` is assumed where a 429 does not say for how long.

    With an `endpoint_url` everything goes there and nowhere else, not even to the machine's proxy.
    """

    name: str
    host: str
    endpoint_url: str | None
    headers: Mapping[str, str] = field(repr=False)
    reserve: Callable[[str, int], float]
    quota: str
    params: Mapping[str, str] = field(default_factory=dict, repr=False)
    unknown_wait: float = 3600.0
    pause: float = 0.2
    sleep: Callable[[float], None] = time.sleep
    go_on: Callable[[], None] = lambda: None

    def get(self, path: str, **params: str) -> Any:
        """Return the JSON of a read; a read without an answer is repeated."""
        for attempt in range(1, TRIES + 1):
            try:
                return self.call("GET", path, params=params)
            except Unreachable:
                if attempt == TRIES:
                    raise
                self.sleep(self.pause * attempt)
        raise AssertionError("the loop returns or raises")

    def call(self, method: str, path: str, *, params: Mapping[str, str] | None = None, body: Any = None) -> Any:
        """Return the JSON of one call; it is repeated only where the vendor refused to begin it for a short time."""
        for attempt in range(1, TRIES + 1):
            self._pace()
            if method != "GET":
                self.go_on()
            try:
                return self._once(method, path, params or {}, body)
            except RateLimited as limited:
                if attempt == TRIES or limited.retry_after > PATIENCE_SECONDS:
                    raise
                self.sleep(limited.retry_after)
        raise AssertionError("the loop returns or raises")

    def _pace(self) -> None:
        wait = self.reserve(self.quota, 1)
        if wait > PATIENCE_SECONDS:
            raise RateLimited(self.name, retry_after=wait, code="quota_spent", status=None)
        if wait > 0:
            self.sleep(wait)

    def _once(self, method: str, path: str, params: Mapping[str, str], body: Any) -> Any:
        import httpx

        for name in ("httpx", "httpcore"):
            logging.getLogger(name).setLevel(logging.WARNING)
        until = time.monotonic() + WHOLE_SECONDS
        try:
            with httpx.stream(
                method,
                (self.endpoint_url or self.host) + path,
                params={**self.params, **params},
                json=body,
                headers=dict(self.headers),
                timeout=TIMEOUT_SECONDS,
                follow_redirects=False,
                verify=_certificates(),
                trust_env=self.endpoint_url is None,
            ) as reply:
                content = bytearray()
                for some in reply.iter_bytes():
                    content += some
                    if time.monotonic() > until or len(content) > MOST_BYTES:
                        raise Unreachable(self.name, "no_answer", status=reply.status_code)
                return self._read(reply, bytes(content))
        except (httpx.HTTPError, httpx.InvalidURL):
            raise Unreachable(self.name, "no_answer") from None

    def _read(self, reply: httpx.Response, content: bytes) -> Any:
        """Return a successful body; raise what the status means."""
        status, request_id = reply.status_code, named(reply.headers)
        if status == 429:
            wait = retry_after(reply.headers.get("Retry-After"), self.unknown_wait)
            raise RateLimited(self.name, retry_after=wait, request_id=request_id)
        if status in (401, 403):
            raise Refused(
                self.name,
                "unauthorized" if status == 401 else "forbidden",
                status=status,
                request_id=request_id,
                advice=f"Check key and rights of the connection {self.name}.",
            )
        if status in (408, 409, 425):
            word = "conflict" if status == 409 else "no_answer"
            raise Unreachable(self.name, word, status=status, request_id=request_id)
        try:
            body = json.loads(content)
        except ValueError:
            body = None
        errors = body.get("errors") if isinstance(body, dict) else None
        if 400 <= status < 500 or (200 <= status < 300 and errors):
            raise Declined(status, _codes(errors), shaped=isinstance(errors, list), request_id=request_id)
        if not 200 <= status < 300:
            word = "server_error" if status >= 500 else "odd_answer"
            raise Unreachable(self.name, word, status=status, request_id=request_id)
        if body is None:
            raise Unreachable(self.name, "odd_answer", status=status, request_id=request_id)
        return body


@cache
def _certificates() -> ssl.SSLContext:
    """Return the trusted certificates, which take longer to load than a call takes."""
    import httpx

    return httpx.create_ssl_context()


def _codes(errors: Any) -> tuple[int | str, ...]:
    if not isinstance(errors, list):
        return ()
    return tuple(e["code"] for e in errors if isinstance(e, dict) and isinstance(e.get("code"), int | str))


def retry_after(value: str | None, unknown: float) -> float:
    """Return the seconds a `Retry-After` header means: a number, a date, or `unknown` for anything else."""
    try:
        seconds = float(value or "")
        return max(0.0, seconds) if math.isfinite(seconds) else unknown
    except ValueError:
        pass
    try:
        moment = email.utils.parsedate_to_datetime(value or "")
    except ValueError:
        return unknown
    return max(0.0, (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
