"""What a failed call to Stripe means for us: the status decides; of what Stripe said only code-like words are kept."""

from __future__ import annotations

import email.utils
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from include.errors import ProcessorError, RateLimited, Refused, Unreachable
from include.processors._answers import request_id as named

NAME = "stripe"


class Declined(Exception):
    """Stripe refused one request about one object (400, 402, 404); only its code and request id are kept."""

    def __init__(
        self, status: int, code: str | None, *, unrecognized: bool = False, request_id: str | None = None
    ) -> None:
        super().__init__(f"{status} {code}")
        self.status, self.code, self.unrecognized, self.request_id = status, code, unrecognized, request_id

    @property
    def missing(self) -> bool:
        """Whether Stripe does not know the id (any more)."""
        return self.code == "resource_missing"


def unknown_path(error: Declined | ProcessorError) -> bool:
    """Return whether a path is unknown there, in whatever words; an unknown id is something else."""
    if isinstance(error, Declined):
        return error.unrecognized
    return (error.code, error.status) == ("not_stripe", 404)


class Again(Exception):
    """A call may be repeated: `here` says whether in this task."""

    def __init__(self, error: ProcessorError | Declined, *, seconds: float = 0.0, here: bool = True) -> None:
        super().__init__(error.code)
        self.error, self.seconds, self.here = error, seconds, here


def judged(error: Exception, status: int | None, headers: Mapping[str, str]) -> Exception:
    """Return what a failed call means for us: the status decides; the text is looked at here and dropped."""
    import stripe

    request_id = named(headers)
    code = _code(getattr(error, "code", None)) or _code(getattr(getattr(error, "error", None), "code", None))
    advised = headers.get("stripe-should-retry")
    here = advised != "false"
    if status is None or 300 <= status < 400:
        slow = "Timeout" in type(error.__cause__).__name__
        return Again(
            Unreachable(NAME, "timeout" if slow else "no_answer", status=status, request_id=request_id), here=not slow
        )
    if status in {401, 403}:
        return _refused(error, status, request_id)
    if status == 429 or code == "rate_limit":
        seconds = _seconds(headers.get("retry-after"))
        reason = code if code == "lock_timeout" else _code(headers.get("stripe-rate-limited-reason")) or "rate_limited"
        limited = RateLimited(NAME, retry_after=seconds or 2.0, code=reason.replace("-", "_"), request_id=request_id)
        return Again(limited, seconds=seconds or 1.0, here=here)
    if status == 409:
        return Again(Unreachable(NAME, code or "conflict", status=status, request_id=request_id), here=here)
    if isinstance(error, stripe.InvalidRequestError | stripe.CardError | stripe.IdempotencyError):
        declined = _declined(error, status, code, request_id)
        return Again(declined) if advised == "true" else declined
    what = "server_error" if status >= 500 else "odd_answer"
    return Again(Unreachable(NAME, what, status=status, request_id=request_id), here=here)


def _refused(error: Exception, status: int, request_id: str | None) -> Refused:
    """Return what a key lacks; a permission's name is the only word taken from Stripe's message."""
    if status == 401:
        return Refused(NAME, "unauthorized", status=status, request_id=request_id, advice="Check the key.")
    named = re.search(r"\brak_[a-z_]{3,50}_(?:read|write)\b", str(error))
    what = f"missing_{named.group()}" if named else "missing_permission"
    return Refused(NAME, what, status=status, request_id=request_id, advice="Give the key this permission.")


def _declined(error: Any, status: int, code: str | None, request_id: str | None) -> Declined | Unreachable:
    unrecognized = status == 404 and code is None and "Unrecognized request URL" in str(error)
    if status == 404 and code != "resource_missing" and not unrecognized:
        return Unreachable(NAME, "not_stripe", status=404, request_id=request_id, advice="Check endpoint_url.")
    word = code or ("unrecognized_url" if unrecognized else "invalid_request")
    return Declined(status, word, unrecognized=unrecognized, request_id=request_id)


def _code(value: object) -> str | None:
    """Return a word of the kind Stripe's codes are, or nothing: free text must not reach our logs."""
    good = isinstance(value, str) and re.fullmatch(r"(?=.{2,64}$)[a-z]{2,24}(?:[_-][a-z0-9]{1,24}){0,8}", value)
    return str(value) if good and not re.search(r"\d{3}", str(value)) else None


def _seconds(value: str | None) -> float | None:
    """Return a Retry-After in seconds, whether it came as a number or as a date."""
    if not value:
        return None
    if re.fullmatch(r"\d{1,6}(\.\d+)?", value.strip()):
        return float(value)
    try:
        moment = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(1.0, (moment - datetime.now(UTC)).total_seconds()) if moment.tzinfo else None
