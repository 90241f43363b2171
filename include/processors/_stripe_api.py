"""One gate to Stripe: pace, idempotency, bounded retries, and errors that carry codes only.

Facts it guards against (stripe 16.1.0): `StripeClient` never retries by itself, loses `code` on 401, 403, 429 and
5xx, quotes the whole body in its exceptions, logs e-mail addresses at INFO, and (with its own HTTP client) follows
redirects. Replies leave here as plain dictionaries; what Stripe said in words never does.
"""

from __future__ import annotations

import email.utils
import logging
import re
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from include.connections import TIMEOUT_SECONDS
from include.errors import ConfigurationError, ProcessorError, RateLimited, Refused, Unreachable
from include.processors import Quota, Site
from include.processors._stripe_http import http_client

NAME = "stripe"
PREVIEW_VERSION = "2026-09-30.preview"
TRIES = 3
PATIENCE_SECONDS = 20.0
BLOCK = 5
"""Calls reserved at once, so that the shared quota row is not written for every call; more where limits are wider."""

_PER_ENDPOINT = (
    "list customers", "show customers", "change customers", "list charges", "show charges", "change charges",
    "list payment_intents", "change payment_intents", "list invoices", "list subscriptions", "list sessions",
    "list setup_intents", "change payment_methods", "detach", "payment_methods", "sources", "tax_ids",
    "redaction_jobs", "other",
)  # fmt: skip
QUOTAS: tuple[Quota, ...] = (
    Quota("api", 80, 1.0),
    Quota("search", 16, 1.0),
    *(Quota(name, 20, 1.0) for name in _PER_ENDPOINT),
)
"""Four fifths of what is published (100 calls a second an account, 25 an endpoint, 20 for search; rate-limits page).

The rest is for the company's own traffic and for the bursts that reserving in blocks makes.
"""


class Declined(Exception):
    """Stripe refused one request about one object (400, 402, 404); only its code is kept."""

    def __init__(self, status: int, code: str | None, *, unrecognized: bool = False) -> None:
        super().__init__(f"{status} {code}")
        self.status, self.code, self.unrecognized = status, code, unrecognized

    @property
    def missing(self) -> bool:
        """Whether Stripe does not know the id (any more)."""
        return self.code == "resource_missing"


def safe_id(value: object) -> str:
    """Return an object id as one path segment; ids that could name another path are refused."""
    if not isinstance(value, str) or value in {"", ".", ".."} or len(value) > 255:
        raise Declined(400, "unusable_id")
    return quote(value, safe="")


def endpoint(method: str, path: str) -> str:
    """Return the quota of a path, as `list customers`."""
    parts = path.removeprefix("/v1/").split("/")
    if parts[-1] == "search":
        return "search"
    if parts[0] in {"checkout", "privacy"}:
        parts = parts[1:]
    verb = "change" if method != "get" else "list" if len(parts) == 1 else "show"
    candidates = (parts[2] if len(parts) > 2 else f"{verb} {parts[0]}", parts[0])
    return next((name for name in candidates if name in _PER_ENDPOINT), "other")


class Api:
    """Calls to one Stripe account."""

    def __init__(self, site: Site, *, pause: float = 0.5, sleep: Callable[[float], None] = time.sleep) -> None:
        connection = site.connection
        if not connection.password.startswith(("sk_", "rk_")):
            raise ConfigurationError(
                f"Connection {connection.name}: its password is no secret or restricted Stripe key (sk_… or rk_…)."
            )
        self._reserve, self._pause, self._sleep, self._go_on = site.reserve, pause, sleep, site.go_on
        self._preview = str(connection.extra.get("stripe_version") or PREVIEW_VERSION)
        self._seen = threading.local()
        self._client = _client(connection.password, connection.endpoint_url, self._see)
        self._credit: dict[str, int] = {}
        self._block = max(BLOCK, int(BLOCK * float(connection.extra.get("limit_factor", 1)) / 4))
        self._lock = threading.Lock()

    def get(self, path: str, *, preview: bool = False, **params: Any) -> dict[str, Any]:
        """Return one object."""
        return self._call("get", path, params, preview=preview)

    def post(self, path: str, params: Mapping[str, Any] | None = None, *, key: str = "", preview: bool = False) -> Any:
        """Change one object; `key` makes a repetition of the same wish within a day one change only."""
        return self._call("post", path, params or {}, key=key or uuid.uuid4().hex, preview=preview)

    def delete(self, path: str, **params: Any) -> dict[str, Any]:
        """Delete one object."""
        return self._call("delete", path, params)

    def page(self, path: str, *, preview: bool = False, **params: Any) -> dict[str, Any]:
        """Return one page of a list: `data`, and in `has_more` whether others follow."""
        page = self._call("get", path, {"limit": 100, **params}, preview=preview)
        rows, more = page.get("data"), page.get("has_more")
        if not isinstance(rows, list) or not isinstance(more, bool) or not all(_is_object(r) for r in rows):
            raise Unreachable(NAME, "odd_list", status=200)
        return page

    def pages(self, path: str, *, preview: bool = False, **params: Any) -> list[dict[str, Any]]:
        """Return all objects of a list, following its cursor."""
        found: list[dict[str, Any]] = []
        cursor: dict[str, Any] = {}
        while True:
            page = self.page(path, preview=preview, **params, **cursor)
            found += page["data"]
            if not page["has_more"]:
                return found
            following = {"page": page["next_page"]} if page.get("next_page") else _after(page["data"])
            if following == cursor:
                raise Unreachable(NAME, "endless_list", status=200)
            cursor = following

    # -- one call --------------------------------------------------------------------------------------------------
    def _call(
        self, method: str, path: str, params: Mapping[str, Any], *, key: str = "", preview: bool = False
    ) -> dict[str, Any]:
        options: dict[str, Any] = {"idempotency_key": key} if key else {}
        if preview:
            options["stripe_version"] = self._preview
        for attempt in range(1, TRIES + 1):
            self._pace("api")
            self._pace(endpoint(method, path))
            try:
                body = self._send(method, path, {**params, **options})
            except _Again as again:
                if attempt == TRIES or not again.here or again.seconds > PATIENCE_SECONDS:
                    raise again.error from None
                self._sleep(max(again.seconds, self._pause * attempt))
                continue
            return body
        raise AssertionError("unreachable")

    def _send(self, method: str, path: str, params: Mapping[str, Any]) -> dict[str, Any]:
        import stripe

        if method != "get":
            self._go_on()
        self._seen.status, self._seen.headers = None, {}
        try:
            body = self._client.raw_request(method, path, **params).data
        # The SDK stumbles (AttributeError and the like) over error bodies of another shape than Stripe's.
        except (stripe.StripeError, AttributeError, TypeError, KeyError, ValueError) as error:
            failure = _judged(error, self._seen.status, self._seen.headers, preview="stripe_version" in params)
        else:
            if isinstance(body, dict):
                return body
            failure = _Again(Unreachable(NAME, "odd_answer", status=200))
        raise failure

    def _see(self, status: int, headers: Mapping[str, str]) -> None:
        """Note status and headers of an answer, whatever the SDK makes of its body."""
        self._seen.status = status
        self._seen.headers = {name.lower(): value for name, value in headers.items()}

    def _pace(self, quota: str) -> None:
        with self._lock:
            wait = 0.0
            if self._credit.get(quota, 0) < 1:
                wait, self._credit[quota] = self._reserve(quota, self._block), self._block
            self._credit[quota] -= 1
        if wait > PATIENCE_SECONDS:
            raise RateLimited(NAME, retry_after=wait, code="own_quota", status=None)
        if wait > 0:
            self._sleep(wait)


class _Again(Exception):
    """A call may be repeated: `here` says whether in this task."""

    def __init__(self, error: ProcessorError, *, seconds: float = 0.0, here: bool = True) -> None:
        super().__init__(error.code)
        self.error, self.seconds, self.here = error, seconds, here


def _client(key: str, address: str | None, see: Callable[[int, Mapping[str, str]], None]) -> Any:
    """Return a client whose every base address is ours and that neither retries, reports, redirects nor chats."""
    import stripe

    stripe.enable_telemetry = False
    logging.getLogger("stripe").setLevel(logging.WARNING)
    options: dict[str, Any] = {}
    if address:
        options["base_addresses"] = dict.fromkeys(("api", "files", "connect", "meter_events"), address)
    return stripe.StripeClient(
        key, max_network_retries=0, http_client=http_client(address, TIMEOUT_SECONDS, see), **options
    )


def _judged(error: Exception, status: int | None, headers: Mapping[str, str], *, preview: bool) -> Exception:
    """Return what a failed call means for us: the status decides; the text is looked at here and dropped."""
    import stripe

    request_id = _code(headers.get("request-id"))
    code = _code(getattr(error, "code", None)) or _code(getattr(getattr(error, "error", None), "code", None))
    here = headers.get("stripe-should-retry") != "false"
    if status is None or 300 <= status < 400:
        slow = "Timeout" in type(error.__cause__).__name__
        return _Again(Unreachable(NAME, "timeout" if slow else "no_answer", status=status), here=not slow)
    if status in {401, 403}:
        return _refused(error, status, request_id)
    if status == 429 or code == "rate_limit":
        seconds = _seconds(headers.get("retry-after"))
        reason = code if code == "lock_timeout" else _code(headers.get("stripe-rate-limited-reason")) or "rate_limited"
        limited = RateLimited(NAME, retry_after=seconds or 2.0, code=reason.replace("-", "_"))
        return _Again(limited, seconds=seconds or 1.0, here=here)
    if isinstance(error, stripe.InvalidRequestError | stripe.CardError | stripe.IdempotencyError):
        return _declined(error, status, code, request_id, preview=preview)
    what = "server_error" if status >= 500 else "odd_answer"
    return _Again(Unreachable(NAME, what, status=status, request_id=request_id), here=here)


def _refused(error: Exception, status: int, request_id: str | None) -> Refused:
    """Return what a key lacks; a permission's name is the only word taken from Stripe's message."""
    if status == 401:
        return Refused(NAME, "unauthorized", status=status, request_id=request_id, advice="Check the key.")
    named = re.search(r"\brak_[a-z_]+", str(error))
    what = f"missing_{named.group()}" if named else "missing_permission"
    return Refused(NAME, what, status=status, request_id=request_id, advice="Give the key this permission.")


def _declined(error: Any, status: int, code: str | None, request_id: str | None, *, preview: bool) -> Exception:
    unrecognized = status == 404 and code is None and "Unrecognized request URL" in str(error)
    if status == 404 and code != "resource_missing" and not (preview and unrecognized):
        return Unreachable(NAME, "not_stripe", status=404, request_id=request_id, advice="Check endpoint_url.")
    return Declined(
        status, code or ("unrecognized_url" if unrecognized else "invalid_request"), unrecognized=unrecognized
    )


def _code(value: object) -> str | None:
    """Return a code-like word, or nothing: free text must not reach our logs."""
    return value if isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9_-]{1,64}", value) else None


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


def _is_object(row: object) -> bool:
    return isinstance(row, dict) and isinstance(row.get("id"), str)


def _after(rows: list[dict[str, Any]]) -> dict[str, Any]:
    if not rows:
        raise Unreachable(NAME, "endless_list", status=200)
    return {"starting_after": rows[-1]["id"]}
