"""Stripe stand-in: API version 2026-10-28 as far as finding, exporting, erasing and redacting a payer needs it.

Oddities kept on purpose:
- `email=` lists exactly and case-sensitively; search is case-insensitive, may lag (`search_delay` seconds) and may
  therefore show a customer that is gone;
- a deleted customer answers GET with `{id, object, deleted: true}`, a second DELETE with 404, a POST with 400; its
  charges and finalised invoices stay as they were; its subscriptions end without a last invoice;
- no update blanks a charge's `billing_details` or a finalised invoice;
- `cash_balance`, `invoice_credit_balance`, `refunds`, `payments`, `sources` and `tax_ids` show only when expanded, and
  what cannot be expanded is refused;
- a PaymentIntent of a Checkout Session that is open is cancelled by expiring the session only;
- `subscriptions` hides canceled ones unless `status=all`; disputes and refunds list by charge or PaymentIntent only;
- 429 carries no `Retry-After`; a POST with a known `Idempotency-Key` is replayed for 24 hours;
- redaction jobs exist in preview versions and only where `redaction_enabled`; otherwise their paths are unknown.
"""

from __future__ import annotations

import json
import time
from collections import deque
from pathlib import Path
from typing import Any, ClassVar

from werkzeug.wrappers import Request, Response

from include.sandbox._stripe import billing, privacy
from include.sandbox._stripe.money import cash_balance
from include.sandbox._stripe.seed import VARIANTS, seed_person
from include.sandbox._stripe.shapes import SEOUL, page, public
from include.sandbox._stripe.tables import COMMON, EXPANDABLE, FILTERS, KINDS, WRITABLE, listed, merged, stripped
from include.sandbox._stripe.wire import (
    LOCK_TIMEOUT_BODY,
    PERMISSION_BODY,
    RATE_LIMIT_BODY,
    Bad,
    missing,
    paged,
    parse_form,
    parse_search,
    unrecognized,
)
from include.sandbox.standin import Credentials, Limit, Route, json_reply

__all__ = [
    "LOCK_TIMEOUT_BODY", "PERMISSION_BODY", "RATE_LIMIT_BODY", "SEOUL", "VARIANTS", "StandIn", "seed_person",
]  # fmt: skip

BELOW = {"sessions", "credit_grants"}
"""Words that stand below another one in their path."""
LISTED = ",".join(word for word, kind in KINDS.items() if kind in FILTERS and word not in BELOW)
SHOWN = ",".join(word for word in KINDS if word not in BELOW)
WRITTEN = ",".join(word for word, kind in KINDS.items() if kind in WRITABLE)


class StandIn(billing.Billing, privacy.Redaction):
    """One Stripe account."""

    lists_take_deleted: bool = True
    """Whether a list by customer answers for one that is deleted, which Stripe does not document."""

    name: ClassVar[str] = "stripe"
    credentials = Credentials(password="sk_test_sandbox")  # noqa: S106 - the stand-in's own
    routes: ClassVar[tuple[Route, ...]] = (
        Route("GET", "/v1/customers/search", "search_customers", group="search"),
        Route("GET", f"/v1/<any({LISTED}):word>", "list_objects"),
        Route("GET", f"/v1/<any({SHOWN}):word>/<key>", "show_object"),
        Route("POST", f"/v1/<any({WRITTEN}):word>/<key>", "update_object"),
        Route("GET", "/v1/checkout/<any(sessions):word>", "list_objects"),
        Route("GET", "/v1/checkout/<any(sessions):word>/<key>", "show_object"),
        Route("DELETE", "/v1/customers/<key>", "delete_customer"),
        Route(
            "GET", "/v1/customers/<key>/<any(payment_methods,sources,tax_ids,balance_transactions):part>", "list_part"
        ),
        Route("DELETE", "/v1/customers/<key>/<any(sources,tax_ids):part>/<part_key>", "delete_part"),
        Route("POST", "/v1/payment_methods/<key>/detach", "detach"),
        Route("POST", "/v1/<any(payment_intents,setup_intents):word>/<key>/cancel", "cancel_intent"),
        Route("GET", "/v1/billing/<any(credit_grants):word>", "list_objects"),
        *billing.ROUTES,
        *privacy.ROUTES,
    )
    limits: ClassVar[tuple[Limit, ...]] = (Limit("global", 100, 1), Limit("endpoint", 25, 1), Limit("search", 20, 1))

    def __init__(self, folder: Path | None = None, *, limit_factor: float = 1.0) -> None:
        super().__init__(folder, limit_factor=limit_factor)
        self.search_delay = 0.0
        self._index: dict[str, dict[str, Any]] = {row["id"]: row for row in self.store.all("customer")}
        self._unindexed: list[tuple[float, str]] = []

    # -- the frame -------------------------------------------------------------------------------------------------
    def authorize(self, request: Request) -> Response | None:
        """Accept any secret or restricted key that does not say it is expired; a PDF's address takes none."""
        if request.path.startswith(billing.OPEN_TO_ALL):
            return None
        auth = request.authorization
        key = (auth.token or auth.username or "") if auth else ""
        if key.startswith(("sk_", "rk_")) and "expired" not in key:
            return None
        said = "Expired API Key provided: sk_test_****" if "expired" in key else "Invalid API Key provided: ****"
        return json_reply(401, {"error": {"type": "invalid_request_error", "message": said}})

    def not_found(self, request: Request) -> Response:
        """Answer an unknown path with Stripe's words."""
        return unrecognized(request).reply()

    def too_many(self, request: Request, limit: Limit) -> Response:
        """Answer a request over a limit: the reason, and no word on how long to wait."""
        reason = "global-rate" if limit.group == "global" else "endpoint-rate"
        return json_reply(429, RATE_LIMIT_BODY, {"Stripe-Rate-Limited-Reason": reason})

    def _limited(self, request: Request, group: str) -> Response | None:
        parts = request.path.split("/")
        endpoint = f"{request.method} {parts[2:3]} {len(parts)} {parts[4:5]}"
        for limit, name in zip(self.limits, ("", endpoint, ""), strict=True):
            if limit.group == "search" and group != "search":
                continue
            window, now = self._windows.setdefault(f"{limit.group}:{name}", deque()), time.monotonic()
            while window and window[0] <= now - limit.seconds:
                window.popleft()
            if len(window) >= limit.calls * self.limit_factor:
                return self.too_many(request, limit)
            window.append(now)
        return None

    def _handle(self, request: Request) -> tuple[Response, bool]:
        key = request.headers.get("Idempotency-Key") if request.method == "POST" else None
        try:
            if key and (known := self.store.get("_idempotency", key)) and self.now().timestamp() < known["until"]:
                return self._replayed(request, known), False
            response, changing = super()._handle(request)
        except Bad as bad:
            return bad.reply(), False
        if key and response.status_code < 400:
            self.store.put(
                "_idempotency",
                key,
                {
                    "path": request.path,
                    "form": request.get_data(as_text=True),
                    "body": response.get_data(as_text=True),
                    "until": self.now().timestamp() + 86400,
                },
            )
        return response, changing

    @staticmethod
    def _replayed(request: Request, known: dict[str, Any]) -> Response:
        if (known["path"], known["form"]) != (request.path, request.get_data(as_text=True)):
            said = "Keys for idempotent requests can only be used with the same parameters they were first used with."
            raise Bad(400, None, said, kind="idempotency_error")
        return json_reply(200, json.loads(known["body"]), {"Idempotent-Replayed": "true"})

    def respond(self, request: Request) -> Response:
        """Answer as the frame does, with the request id Stripe puts on every reply."""
        response = super().respond(request)
        response.headers.setdefault("Request-Id", f"req_{len(self.requests):014d}")
        return response

    def on_clock(self) -> None:
        """Let the search index catch up."""
        now = time.monotonic()
        ripe = [key for due, key in self._unindexed if due <= now]
        if ripe:
            self._unindexed = [(due, key) for due, key in self._unindexed if due > now]
        for key in ripe:
            row = self.store.get("customer", key)
            if row is None or row.get("deleted"):
                self._index.pop(key, None)
            else:
                self._index[key] = row

    def seed(self, objects: Any) -> int:
        """Add objects by kind; customers reach the search index after `search_delay`."""
        added = super().seed(objects)
        for row in objects.get("customer", ()):
            self._touched(row["id"])
        return added

    def _touched(self, key: str) -> None:
        self._unindexed.append((time.monotonic() + self.search_delay, key))
        self.on_clock()

    # -- reading ---------------------------------------------------------------------------------------------------
    def list_objects(self, request: Request, word: str) -> Response:
        """Answer GET of a list."""
        kind = KINDS[word]
        params = parse_form(request.query_string.decode())
        self._expandable(kind, params, prefix="data.")
        unknown = set(params) - set(FILTERS[kind]) - COMMON
        if unknown:
            name = sorted(unknown)[0]
            raise Bad(400, "parameter_unknown", f"Received unknown parameter: {name}", param=name)
        owner = self.store.get("customer", str(params.get("customer"))) if params.get("customer") else None
        if owner and owner.get("deleted") and not self.lists_take_deleted:
            raise missing("customer", str(params["customer"]), param="customer", status=400)
        rows = [
            row
            for row in self._candidates(kind, params)
            if row.get("deleted") is not True and listed(kind, row, params)
        ]
        answer = paged(rows, params, request.path)
        whole = {row["id"]: row for row in rows}
        answer["data"] = [self._out(kind, whole[row["id"]], params, prefix="data.") for row in answer["data"]]
        return json_reply(200, answer)

    def _candidates(self, kind: str, params: dict[str, Any]) -> list[dict[str, Any]]:
        """Return a few objects among which all those are that a list with these filters shows."""
        for name in FILTERS[kind]:
            wanted = params.get(name)
            if isinstance(wanted, str) and name not in {"status", "pending"}:
                return self.store.where(kind, name, wanted)
            if isinstance(wanted, dict) and wanted:
                below, value = next(iter(wanted.items()))
                if isinstance(value, str):
                    return self.store.where(kind, f"{name}.{below}", value)
        return self.store.all(kind)

    def show_object(self, request: Request, word: str, key: str) -> Response:
        """Answer GET of one object."""
        kind = KINDS[word]
        params = parse_form(request.query_string.decode())
        self._expandable(kind, params)
        return json_reply(200, self._out(kind, self._need(kind, key), params))

    @staticmethod
    def _expandable(kind: str, params: dict[str, Any], prefix: str = "") -> None:
        """Refuse what this object has not to expand."""
        for name in params.get("expand") or []:
            if name.removeprefix(prefix) not in EXPANDABLE.get(kind, ()) or not name.startswith(prefix):
                raise Bad(400, None, f"This property cannot be expanded ({name}).", param="expand")

    def _need(self, kind: str, key: str, *, param: str = "id", status: int = 404) -> dict[str, Any]:
        row = self.store.get(kind, key)
        if row is None:
            raise missing(kind, key, param=param, status=status)
        return row

    def _live_customer(self, key: str, *, status: int = 404) -> dict[str, Any]:
        row = self._need("customer", key, status=status)
        if row.get("deleted"):
            raise missing("customer", key, status=status)
        return row

    def _out(self, kind: str, row: dict[str, Any], params: dict[str, Any], prefix: str = "") -> dict[str, Any]:
        """Return an object as the API shows it: private fields dropped, asked expansions filled in."""
        shown = public(row)
        asked = set(params.get("expand") or [])
        if kind == "charge" and f"{prefix}refunds" in asked:
            refunds = self.store.where("refund", "charge", row["id"])
            shown["refunds"] = page(refunds[:10], f"/v1/charges/{row['id']}/refunds", more=len(refunds) > 10)
        if kind == "invoice" and f"{prefix}payments" in asked:
            links = self.store.where("invoice_payment", "invoice", row["id"])
            shown["payments"] = page(links[:10], f"/v1/invoice_payments?invoice={row['id']}", more=len(links) > 10)
        if kind == "customer" and not row.get("deleted"):
            if f"{prefix}cash_balance" in asked:
                cash = row.get("_cash_balance")
                shown["cash_balance"] = cash_balance(row["id"], cash) if cash else None
            if f"{prefix}invoice_credit_balance" in asked:
                shown["invoice_credit_balance"] = dict(row.get("_invoice_credit_balance") or {})
            if f"{prefix}tax" in asked:
                shown["tax"] = row.get("_tax") or {
                    "automatic_tax": "not_collecting",
                    "ip_address": None,
                    "location": None,
                    "provider": "stripe",
                }
            for part in sorted({"sources", "tax_ids"} & {name.removeprefix(prefix) for name in asked}):
                rows = self._of(part.removesuffix("s"), row["id"])
                shown[part] = page(rows[:10], f"/v1/customers/{row['id']}/{part}", more=len(rows) > 10)
        if kind == "payment_intent" and f"{prefix}latest_charge" in asked and row.get("latest_charge"):
            charge = self.store.get("charge", row["latest_charge"])
            shown["latest_charge"] = self._out("charge", charge, {"expand": ["refunds"]}) if charge else None
        return shown

    def search_customers(self, request: Request) -> Response:
        """Answer GET /v1/customers/search from an index that may lag behind."""
        params = parse_form(request.query_string.decode())
        rows = list(filter(parse_search(str(params.get("query", ""))), self._index.values()))
        rows.sort(key=lambda row: (-int(row["created"]), row["id"]))
        start, size = int(params.get("page") or 0), int(params.get("limit", 10))
        more = len(rows) > start + size
        return json_reply(
            200,
            {
                "object": "search_result",
                "url": "/v1/customers/search",
                "has_more": more,
                "data": [self._out("customer", row, {}) for row in rows[start : start + size]],
                "next_page": str(start + size) if more else None,
            },
        )

    # -- customers -------------------------------------------------------------------------------------------------
    def update_object(self, request: Request, word: str, key: str) -> Response:
        """Answer POST of one object; an empty string unsets a field."""
        kind = KINDS[word]
        row = self._live_customer(key, status=400) if kind == "customer" else self._need(kind, key)
        params = parse_form(request.get_data(as_text=True))
        unknown = set(params) - WRITABLE[kind] - COMMON
        if unknown:
            name = sorted(unknown)[0]
            raise Bad(400, "parameter_unknown", f"Received unknown parameter: {name}", param=name)
        if (
            kind == "payment_intent"
            and row["status"] in {"succeeded", "canceled"}
            and {"receipt_email", "shipping"} & set(params)
        ):
            said = f"This PaymentIntent could not be updated because it has a status of {row['status']}."
            raise Bad(400, "payment_intent_unexpected_state", said)
        if row.get("_redaction"):
            raise Bad(400, None, "This object has been redacted and can no longer be used.")
        if kind == "payment_method" and not row.get("customer"):
            raise Bad(400, None, "You must attach this PaymentMethod to a customer before you can update it.")
        if kind == "customer" and params.get("preferred_locales") == "":
            raise Bad(400, None, "Invalid array", param="preferred_locales")
        if kind == "charge" and params.get("shipping") == "":
            raise Bad(400, "parameter_invalid_empty", "You passed an empty string for 'shipping'.", param="shipping")
        changes = {name: merged(name, row.get(name), value) for name, value in params.items() if name not in COMMON}
        row = self.store.update(kind, key, **changes)
        if kind == "customer":
            self._touched(key)
        return json_reply(200, self._out(kind, row, {}))

    def delete_customer(self, request: Request, key: str) -> Response:
        """Answer DELETE /v1/customers/{id}: cards and subscriptions go, payments and invoices stay."""
        if self._live_customer(key).get("_cash_balance") is not None:  # not even one of nothing
            raise Bad(400, None, "You cannot delete a customer with a cash balance.")
        gone = {"id": key, "object": "customer", "deleted": True}
        self.store.put("customer", key, gone)
        for row in self._of("payment_method", key):
            self.store.put("payment_method", row["id"], stripped(row))
        for kind in ("source", "tax_id"):
            for row in self._of(kind, key):
                self.store.delete(kind, row["id"])
        for row in self._of("subscription", key):
            if row["status"] != "canceled":
                self.store.update("subscription", row["id"], status="canceled", canceled_at=int(self.now().timestamp()))
        for row in self._of("subscription_schedule", key):
            if row["status"] in {"active", "not_started"}:
                self.store.update("subscription_schedule", row["id"], status="canceled")
        self._touched(key)
        return json_reply(200, gone)

    def _of(self, kind: str, key: str) -> list[dict[str, Any]]:
        return self.store.where(kind, "customer", key)

    def list_part(self, request: Request, key: str, part: str) -> Response:
        """Answer GET of what hangs below a customer; payment methods of all types, and the legacy sources apart."""
        self._live_customer(key)
        rows = self._of(part.removesuffix("s"), key)
        return json_reply(200, paged(rows, parse_form(request.query_string.decode()), request.path))

    def delete_part(self, request: Request, key: str, part: str, part_key: str) -> Response:
        """Answer DELETE of a source or a tax id."""
        kind = part.removesuffix("s")
        self._live_customer(key)
        row = self._need(kind, part_key)
        if row.get("customer") != key:
            raise missing(kind, part_key)
        self.store.delete(kind, part_key)
        if kind == "source":
            self.store.update("customer", key, default_source=None)
        return json_reply(200, {"id": part_key, "object": row["object"], "deleted": True})

    def detach(self, request: Request, key: str) -> Response:
        """Answer POST /v1/payment_methods/{id}/detach; for good."""
        row = self._need("payment_method", key)
        if not row.get("customer"):
            said = "The payment method you provided is not attached to a customer so detachment is impossible."
            raise Bad(400, None, said)
        changed = self.store.update("payment_method", key, customer=None, _was_of=row["customer"])
        return json_reply(200, self._out("payment_method", changed, {}))

    def cancel_intent(self, request: Request, word: str, key: str) -> Response:
        """Answer POST …/cancel of a PaymentIntent or SetupIntent that is not final."""
        kind = KINDS[word]
        row = self._need(kind, key)
        if row["status"] in {"succeeded", "canceled", "processing"}:
            raise Bad(400, f"{kind}_unexpected_state", f"You cannot cancel it in status {row['status']}.")
        if any(s["status"] == "open" for s in self.store.where("checkout_session", "payment_intent", key)):
            raise Bad(400, None, "You cannot cancel this PaymentIntent; expire its Checkout Session instead.")
        moment = {"canceled_at": int(self.now().timestamp())} if kind == "payment_intent" else {}
        changed = self.store.update(kind, key, status="canceled", **moment)
        return json_reply(200, self._out(kind, changed, {}))
