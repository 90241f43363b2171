"""A form is taken only from our own page, loaded by the same person, not long ago.

Two independent guards: a token signed for the user (kept nowhere, so nothing to steal from a store), and the browser's
own word about where the form came from (`Sec-Fetch-Site`, or `Origin` from browsers that lack it).
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from hashlib import sha256
from urllib.parse import urlsplit

FIELD = "csrf"
LASTS = 8 * 3600
"""Seconds a form may lie open: a working day."""


def token(secret: bytes, user_id: str, now: float) -> str:
    """Return the token of a form shown to this user at `now` (seconds, UTC)."""
    return f"{int(now)}.{_sign(secret, user_id, int(now))}"


def holds(secret: bytes, user_id: str, now: float, given: str) -> bool:
    """Return whether a token is ours, this user's, and not too old."""
    made, _, signature = given.partition(".")
    if not made.isascii() or not made.isdigit() or len(made) > 12:
        return False
    fresh = 0 <= now - int(made) <= LASTS
    return hmac.compare_digest(signature.encode(), _sign(secret, user_id, int(made)).encode()) and fresh


def from_here(headers: Mapping[str, str]) -> bool:
    """Return whether the browser says the form came from this very site; silence is a no.

    `Host` is compared, not a configured address, so that a proxy in front needs no setting as long as it passes it on.
    """
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    origin = headers.get("origin", "")
    return bool(origin) and urlsplit(origin).netloc == headers.get("host", "")


def _sign(secret: bytes, user_id: str, made: int) -> str:
    return hmac.new(secret, f"retention-console/csrf/v1\0{user_id}\0{made}".encode(), sha256).hexdigest()
