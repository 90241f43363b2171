"""Bills at the Stripe stand-in: subscriptions and their schedules, invoices and their PDFs, billing credits.

A cancelled subscription bills what is owed only when asked to; a final invoice takes no update, a draft of a
subscription no deletion; an invoice's PDF lies on another host, without a key, behind a redirect.
"""

from __future__ import annotations

import hashlib
from typing import Any

from werkzeug.wrappers import Request, Response

from include.sandbox._stripe.money import summary
from include.sandbox._stripe.shapes import invoice, public
from include.sandbox._stripe.wire import Bad, missing, parse_form
from include.sandbox.standin import Frame, Route, json_reply

ROUTES = (
    Route("DELETE", "/v1/subscriptions/<key>", "cancel_subscription"),
    Route("POST", "/v1/subscription_schedules/<key>/cancel", "cancel_schedule"),
    Route("DELETE", "/v1/invoices/<key>", "delete_invoice"),
    Route("POST", "/v1/invoices/<key>/<any(finalize,pay,void):verb>", "close_invoice"),
    Route("POST", "/v1/checkout/sessions/<key>/expire", "expire_session"),
    Route("GET", "/v1/billing/credit_balance_summary", "credit_balance"),
    Route("GET", "/invoice/<account>/<name>/pdf", "show_pdf"),
    Route("GET", "/files/invoice/<name>.pdf", "show_file"),
)
OPEN_TO_ALL = ("/invoice/", "/files/invoice/")
"""Paths outside the API: they take no key, and a client that sends one gives it away."""


class Billing(Frame):
    """What is owed; mixed into the stand-in."""

    def _row(self, kind: str, key: str) -> dict[str, Any]:
        row = self.store.get(kind, key)
        if row is None:
            raise missing(kind, key)
        return row

    def _stamp(self) -> int:
        return int(self.now().timestamp())

    # -- subscriptions ---------------------------------------------------------------------------------------------
    def cancel_subscription(self, request: Request, key: str) -> Response:
        """Answer DELETE /v1/subscriptions/{id}; `invoice_now` bills the usage that is owed."""
        row = self._row("subscription", key)
        if row["status"] == "canceled":
            raise missing("subscription", key)
        params = {**parse_form(request.query_string.decode()), **parse_form(request.get_data(as_text=True))}
        now = self._stamp()
        owner = self.store.get("customer", row["customer"])
        if params.get("invoice_now") == "true" and row.get("_usage_owed") and owner and not owner.get("deleted"):
            last = invoice(
                f"in_last{key[4:]}", owner, amount=row["_usage_owed"], created=now, status="open", subscription=key
            )
            self.store.put("invoice", last["id"], last)
        changed = self.store.update(
            "subscription", key, status="canceled", canceled_at=now, ended_at=now, _usage_owed=0
        )
        return json_reply(200, public(changed))

    def cancel_schedule(self, request: Request, key: str) -> Response:
        """Answer POST /v1/subscription_schedules/{id}/cancel: with it goes the subscription it began."""
        row = self._row("subscription_schedule", key)
        if row["status"] not in {"not_started", "active"}:
            raise Bad(400, None, f"You cannot cancel a subscription schedule that is {row['status']}.")
        if row.get("subscription"):
            self.store.update("subscription", row["subscription"], status="canceled", ended_at=self._stamp())
        changed = self.store.update("subscription_schedule", key, status="canceled", canceled_at=self._stamp())
        return json_reply(200, public(changed))

    def expire_session(self, request: Request, key: str) -> Response:
        """Answer POST /v1/checkout/sessions/{id}/expire: open ones only; its PaymentIntent is cancelled with it."""
        row = self._row("checkout_session", key)
        if row["status"] != "open":
            raise Bad(400, None, 'Only Checkout Sessions with a status in ["open"] can be expired.')
        if row.get("payment_intent"):
            self.store.update("payment_intent", row["payment_intent"], status="canceled", canceled_at=self._stamp())
        return json_reply(200, public(self.store.update("checkout_session", key, status="expired")))

    # -- invoices --------------------------------------------------------------------------------------------------
    def delete_invoice(self, request: Request, key: str) -> Response:
        """Answer DELETE /v1/invoices/{id}: one-off drafts only."""
        row = self._row("invoice", key)
        if row["status"] != "draft" or row.get("parent"):
            raise Bad(400, "invoice_not_editable", "You can only delete draft invoices.")
        self.store.delete("invoice", key)
        return json_reply(200, {"id": key, "object": "invoice", "deleted": True})

    def close_invoice(self, request: Request, key: str, verb: str) -> Response:
        """Answer POST …/finalize, …/pay and …/void, each from the states in which Stripe allows it."""
        row, params = self._row("invoice", key), parse_form(request.get_data(as_text=True))
        allowed = {"finalize": {"draft"}, "pay": {"open", "uncollectible"}, "void": {"open", "uncollectible"}}[verb]
        if row["status"] not in allowed:
            raise Bad(400, "invoice_not_editable", f"This invoice is {row['status']}.")
        moments = dict(row["status_transitions"])
        if verb == "finalize":
            changes: dict[str, Any] = {"status": "open", "number": f"FINAL-{key[-4:]}"}
            moments["finalized_at"] = self._stamp()
        elif verb == "void":
            changes = {"status": "void"}
            moments["voided_at"] = self._stamp()
        elif params.get("paid_out_of_band") == "true":
            changes = {"status": "paid", "amount_paid": row["amount_due"], "amount_remaining": 0}
            moments["paid_at"] = self._stamp()
        else:
            raise Bad(402, "card_declined", "Your card was declined.", kind="card_error")
        return json_reply(200, public(self.store.update("invoice", key, **changes, status_transitions=moments)))

    def show_pdf(self, request: Request, account: str, name: str) -> Response:
        """Send to where an invoice's PDF lies: another of Stripe's hosts."""
        place = f"https://files.stripe.com/files/invoice/{name.removeprefix('test_')}.pdf"
        return Response(status=302, headers={"Location": place})

    def show_file(self, request: Request, name: str) -> Response:
        """Answer with the bytes of an invoice's PDF."""
        row = self.store.get("invoice", name)
        if row is None or request.authorization:
            return Response("not found", status=404, content_type="text/html")
        return Response(pdf_of(row), content_type="application/pdf")

    def credit_balance(self, request: Request) -> Response:
        """Answer GET /v1/billing/credit_balance_summary, for one grant."""
        params = parse_form(request.query_string.decode())
        asked = params.get("filter") or {}
        if not isinstance(asked, dict) or asked.get("type") != "credit_grant" or not asked.get("credit_grant"):
            raise Bad(400, "parameter_missing", "Missing required param: filter.", param="filter")
        grant = self._row("credit_grant", str(asked["credit_grant"]))
        return json_reply(200, summary([grant], str(grant["customer"])))


def pdf_of(row: dict[str, Any]) -> bytes:
    """Return the bytes the stand-in serves as an invoice's PDF: the same for the same invoice."""
    said = f"{row['id']} {row['number']} {row['total']} {row.get('customer_name')}"
    return b"%PDF-1.7\n" + hashlib.sha256(said.encode()).hexdigest().encode() + b"\n%%EOF\n"
