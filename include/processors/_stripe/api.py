"""One gate to Stripe: pace, idempotency, bounded retries, and errors that carry codes only.

Facts it guards against (stripe 16.1.0): `StripeClient` never retries by itself, loses `code` on 401, 403, 429 and
5xx, quotes the whole body in its exceptions, logs e-mail addresses at INFO, and (with its own HTTP client) follows
redirects. Replies leave here as plain dictionaries; what Stripe said in words never does.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import quote

from include.connections import TIMEOUT_SECONDS
from include.errors import ConfigurationError, RateLimited, Unreachable
from include.processors import Quota, Site
from include.processors._stripe.documents import Documents
from include.processors._stripe.errors import NAME, Again, Declined, judged, unknown_path
from include.processors._stripe.http import http_client

__all__ = ["NAME", "QUOTAS", "Api", "Declined", "safe_id", "unknown_path"]

API_VERSION = "2026-10-28.endive"
"""Sent with every call: what the code below reads has the shapes of this version, whatever the package pins."""
PREVIEW_VERSION = "2026-09-30.preview"
TRIES = 3
PATIENCE_SECONDS = 20.0
PAGE = 100
RELISTED = 5
"""How often a list that grows while it is read is read anew, before the next night tries."""
BLOCK = 5
"""Calls reserved at once, so that the shared quota row is not written for every call; more where limits are wider."""

_PER_ENDPOINT = (
    "list customers", "show customers", "change customers", "list charges", "show charges", "change charges",
    "list payment_intents", "change payment_intents", "list invoices", "list subscriptions", "list sessions",
    "list setup_intents", "change payment_methods", "detach", "payment_methods", "sources", "tax_ids",
    "balance_transactions", "list invoiceitems", "list credit_notes", "list credit_grants", "list disputes",
    "list refunds", "redaction_jobs", "other",
)  # fmt: skip
QUOTAS: tuple[Quota, ...] = (
    Quota("api", 80, 1.0),
    Quota("search", 16, 1.0),
    Quota("files", 16, 1.0),
    *(Quota(name, 20, 1.0) for name in _PER_ENDPOINT),
)
"""Four fifths of what is published (calls a second: 100 an account, 25 an endpoint, 20 for search and files).

The rest is for the company's own traffic and for the bursts that reserving in blocks makes.
"""


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
    if parts[0] in {"billing", "checkout", "privacy"}:
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
        self._client = _client(connection.password, connection.endpoint_url, self._see, connection.extra)
        self.documents = Documents(
            connection.endpoint_url, TIMEOUT_SECONDS, pause=pause, pace=self._pace, sleep=lambda s: self._sleep(s)
        )
        self._credit: dict[str, int] = {}
        self._block = max(BLOCK, int(BLOCK * float(connection.extra.get("limit_factor", 1)) / 4))
        self._lock = threading.Lock()

    def get(self, path: str, *, preview: bool = False, optional: bool = False, **params: Any) -> dict[str, Any]:
        """Return one object. A path this account does not know is `Declined` where that may be, else trouble."""
        return self._call("get", path, params, preview=preview, optional=optional)

    def post(self, path: str, params: Mapping[str, Any] | None = None, *, key: str = "", preview: bool = False) -> Any:
        """Change one object; `key` makes a repetition of the same wish within a day one change only."""
        return self._call("post", path, params or {}, key=key or uuid.uuid4().hex, preview=preview)

    def delete(self, path: str, **params: Any) -> dict[str, Any]:
        """Delete one object."""
        return self._call("delete", path, params)

    def page(self, path: str, *, preview: bool = False, optional: bool = False, **params: Any) -> dict[str, Any]:
        """Return one page of a list: `data`, and in `has_more` whether others follow."""
        page = self._call("get", path, {"limit": PAGE, **params}, preview=preview, optional=optional)
        rows, more = page.get("data"), page.get("has_more")
        if not isinstance(rows, list) or not isinstance(more, bool) or not all(_is_object(r) for r in rows):
            raise Unreachable(NAME, "odd_list", status=200)
        return page

    def pages(self, path: str, *, preview: bool = False, optional: bool = False, **params: Any) -> list[dict[str, Any]]:
        """Return all objects of a list, following its cursor; none where Stripe does not know an `optional` one."""
        found: list[dict[str, Any]] = []
        cursor: dict[str, Any] = {}
        while True:
            try:
                page = self.page(path, preview=preview, optional=optional, **params, **cursor)
            except (Declined, Unreachable) as refused:
                if optional and unknown_path(refused):
                    return []
                raise
            found += page["data"]
            if not page["has_more"]:
                return found
            following = {"page": page["next_page"]} if page.get("next_page") else _after(page["data"])
            if following == cursor:
                raise Unreachable(NAME, "endless_list", status=200)
            cursor = following

    def settled(self, path: str, *, optional: bool = False, **params: Any) -> list[dict[str, Any]]:
        """Return all objects of a list, read again until nothing was made while it was paged (that goes on page 1)."""
        known = {row["id"]: row for row in self.pages(path, optional=optional, **params)}
        if len(known) <= PAGE:  # one page shows one moment
            return list(known.values())
        for _ in range(RELISTED):
            if {row["id"] for row in self.page(path, **params)["data"]} <= known.keys():
                return list(known.values())
            known = {row["id"]: row for row in self.pages(path, **params)}
        raise Unreachable(NAME, "restless_list", status=200)

    def newest(self, path: str, since: int, **params: Any) -> Iterator[dict[str, Any]]:
        """Yield what a list shows, newest first, back to a Unix time."""
        cursor: dict[str, Any] = {}
        while True:
            page = self.page(path, **params, **cursor)
            for row in page["data"]:
                if int(row.get("created") or 0) < since:
                    return
                yield row
            if not page["has_more"]:
                return
            cursor = _after(page["data"])

    # -- one call --------------------------------------------------------------------------------------------------
    def _call(
        self,
        method: str,
        path: str,
        params: Mapping[str, Any],
        *,
        key: str = "",
        preview: bool = False,
        optional: bool = False,
    ) -> dict[str, Any]:
        options: dict[str, Any] = {"idempotency_key": key} if key else {}
        if preview:
            options["stripe_version"] = self._preview
        for attempt in range(1, TRIES + 1):
            self._pace("api")
            self._pace(endpoint(method, path))
            try:
                body = self._send(method, path, {**params, **options})
            except Declined as declined:
                if declined.unrecognized and not (preview or optional):
                    raise Unreachable(NAME, "not_stripe", status=404, advice="Check endpoint_url.") from None
                raise
            except Again as again:
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
            failure = judged(error, self._seen.status, self._seen.headers)
        else:
            if isinstance(body, dict):
                return body
            failure = Again(Unreachable(NAME, "odd_answer", status=200))
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


def _client(
    key: str, address: str | None, see: Callable[[int, Mapping[str, str]], None], extra: Mapping[str, Any]
) -> Any:
    """Return a client whose every base address is ours and that neither retries, reports, redirects nor chats."""
    import stripe

    stripe.enable_telemetry = False
    for talkative in ("stripe", "urllib3"):  # they print addresses, and addresses hold e-mails
        logging.getLogger(talkative).setLevel(logging.WARNING)
    options: dict[str, Any] = {"stripe_version": API_VERSION}
    if extra.get("stripe_account"):
        options["stripe_account"] = str(extra["stripe_account"])
    if address:
        options["base_addresses"] = dict.fromkeys(("api", "files", "connect", "meter_events"), address)
    return stripe.StripeClient(
        key, max_network_retries=0, http_client=http_client(address, TIMEOUT_SECONDS, see), **options
    )


def _is_object(row: object) -> bool:
    return isinstance(row, dict) and isinstance(row.get("id"), str)


def _after(rows: list[dict[str, Any]]) -> dict[str, Any]:
    if not rows:
        raise Unreachable(NAME, "endless_list", status=200)
    return {"starting_after": rows[-1]["id"]}
