"""The PDF of an invoice: fetched to be digested (or kept, where a law asks for the document itself).

Its address is a link outside the API that opens without a key, so none is sent. With `endpoint_url` the request goes
there, whatever host the link or a redirect names; without it only to Stripe's own hosts, by https. The link tells who
the invoice is for: it is never logged nor quoted.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from urllib.parse import urljoin, urlsplit

import urllib3

from include.errors import Unreachable
from include.processors._stripe.http import pool_for

NAME = "stripe"
TRIES = 3
REDIRECTS = 4
MAX_BYTES = 25 * 2**20
GONE = frozenset({401, 403, 404, 410})
"""The document is not to be had (any more); that is not trouble of the moment."""

HEADERS = {"Accept": "application/pdf", "User-Agent": "retention"}


class Documents:
    """Fetches invoice PDFs."""

    def __init__(
        self, address: str | None, timeout: float, *, pause: float, pace: Callable[[str], None],
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:  # fmt: skip
        self._address, self._pause, self._pace, self._sleep = address, pause, pace, sleep
        self._pool = pool_for(address, timeout)

    def fetch(self, link: object) -> bytes | None:
        """Return the bytes behind an invoice's `invoice_pdf`, or None where there is no such document."""
        if not isinstance(link, str) or not link:
            return None
        for attempt in range(1, TRIES + 1):
            self._pace("files")
            try:
                return self._once(link)
            except Unreachable:
                if attempt == TRIES:
                    raise
                self._sleep(self._pause * attempt)
        raise AssertionError("unreachable")

    def _once(self, link: str) -> bytes | None:
        for _ in range(REDIRECTS):
            reply = self._get(self._target(link))
            try:
                if 300 <= reply.status < 400 and reply.headers.get("Location"):
                    link = urljoin(link, reply.headers["Location"])
                    continue
                return self._body(reply)
            except (urllib3.exceptions.HTTPError, OSError):
                raise Unreachable(NAME, "document_cut", status=reply.status) from None
            finally:
                reply.close()  # whatever was left unread must not be taken for the next answer
        raise Unreachable(NAME, "document_redirects")

    def _get(self, target: str) -> urllib3.BaseHTTPResponse:
        try:
            return self._pool.request(
                "GET", target, headers=HEADERS, retries=False, redirect=False, preload_content=False
            )
        except (urllib3.exceptions.HTTPError, OSError):
            raise Unreachable(NAME, "document_no_answer") from None

    def _body(self, reply: urllib3.BaseHTTPResponse) -> bytes | None:
        if reply.status in GONE:
            return None
        if reply.status != 200 or "html" in reply.headers.get("Content-Type", "").lower():
            raise Unreachable(NAME, "document_not_served", status=reply.status)
        body = reply.read(MAX_BYTES + 1)
        expected = reply.headers.get("Content-Length", "")
        if len(body) > MAX_BYTES:
            raise Unreachable(NAME, "document_too_large", status=200)
        if expected.isdigit() and int(expected) != len(body) and "Content-Encoding" not in reply.headers:
            raise Unreachable(NAME, "document_cut", status=200)
        return bytes(body)

    def _target(self, link: str) -> str:
        """Return where to ask: our own address with the link's path, or the link itself if it is Stripe's."""
        parts = urlsplit(link)
        if self._address:
            return f"{self._address}{parts.path}" + (f"?{parts.query}" if parts.query else "")
        host = parts.hostname or ""
        if parts.scheme != "https" or not (host == "stripe.com" or host.endswith(".stripe.com")):
            raise Unreachable(NAME, "document_elsewhere")
        return link


def digest(body: bytes) -> str:
    """Return the SHA-256 of a document, in hex."""
    return hashlib.sha256(body).hexdigest()
