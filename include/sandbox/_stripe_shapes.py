"""The shapes of Stripe's objects (API version 2026-10-28), one function each, with every personal field filled in."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

SEOUL = dt.timezone(dt.timedelta(hours=9))


def stamp(day: dt.date, *, hour: int = 14) -> int:
    """Return the Unix time of a Seoul date, in the early afternoon."""
    return int(dt.datetime.combine(day, dt.time(hour), SEOUL).timestamp())


def page(rows: Sequence[Mapping[str, Any]], url: str, *, more: bool = False) -> dict[str, Any]:
    """Return Stripe's list object."""
    return {"object": "list", "url": url, "has_more": more, "data": list(rows)}


def customer(key: str, *, email: str | None, name: str | None, created: int, account_id: str | None) -> dict[str, Any]:
    """Return one customer with every field that can hold a person's data filled in."""
    return {
        "id": key,
        "object": "customer",
        "address": {
            "line1": "1 Sample Road", "line2": "Unit 1", "city": "Seoul", "state": None,
            "postal_code": "00000", "country": "KR",
        },
        "balance": 0,
        "business_name": None,
        "cash_balance": None,
        "created": created,
        "currency": "krw",
        "default_source": None,
        "delinquent": False,
        "description": f"Account of {name}" if name else None,
        "discount": None,
        "email": email,
        "individual_name": name,
        "invoice_credit_balance": {},
        "invoice_prefix": key[-8:].upper(),
        "invoice_settings": {"custom_fields": None, "default_payment_method": None, "footer": None},
        "livemode": False,
        "metadata": {"account_id": account_id} if account_id is not None else {},
        "name": name,
        "phone": "010-0000-0000" if name else None,
        "preferred_locales": ["ko"],
        "shipping": None,
        "tax_exempt": "none",
        "test_clock": None,
    }  # fmt: skip


def _billing(person: Mapping[str, Any]) -> dict[str, Any]:
    return {key: person[key] for key in ("address", "email", "name", "phone")}


def payment_intent(
    key: str, person: Mapping[str, Any], *, amount: int, created: int, guest: bool = False
) -> dict[str, Any]:
    """Return a succeeded PaymentIntent."""
    return {
        "id": key,
        "object": "payment_intent",
        "amount": amount,
        "amount_received": amount,
        "canceled_at": None,
        "created": created,
        "currency": "krw",
        "customer": None if guest else person["id"],
        "description": f"Payment of {person['name']}",
        "latest_charge": key.replace("pi_", "ch_", 1),
        "livemode": False,
        "metadata": dict(person["metadata"]),
        "payment_method_types": ["card"],
        "receipt_email": person["email"],
        "shipping": None,
        "status": "succeeded",
    }


def charge(
    key: str, person: Mapping[str, Any], *, amount: int, created: int, method: str, guest: bool = False
) -> dict[str, Any]:
    """Return a captured charge; `billing_details` is the snapshot no update can blank."""
    return {
        "id": key,
        "object": "charge",
        "amount": amount,
        "amount_captured": amount,
        "amount_refunded": 0,
        "balance_transaction": key.replace("ch_", "txn_", 1),
        "billing_details": _billing(person),
        "captured": True,
        "created": created,
        "currency": "krw",
        "customer": None if guest else person["id"],
        "description": f"Payment of {person['name']}",
        "disputed": False,
        "fraud_details": {},
        "livemode": False,
        "metadata": dict(person["metadata"]),
        "outcome": {"network_status": "approved_by_network", "risk_level": "normal", "type": "authorized"},
        "paid": True,
        "payment_intent": key.replace("ch_", "pi_", 1),
        "payment_method": None,
        "payment_method_details": {"type": method, method: {"last4": "4242", "fingerprint": f"fp{key[-8:]}"}},
        "receipt_email": person["email"],
        "receipt_url": None,
        "refunded": False,
        "shipping": {"name": person["name"], "phone": person["phone"], "address": person["address"]},
        "status": "succeeded",
    }


def invoice(
    key: str,
    person: Mapping[str, Any],
    *,
    amount: int,
    created: int,
    status: str = "paid",
    subscription: str | None = None,
) -> dict[str, Any]:
    """Return an invoice; a finalised one carries the customer's snapshot."""
    final = status != "draft"
    paid = amount if status == "paid" else 0
    return {
        "id": key,
        "object": "invoice",
        "amount_due": amount,
        "amount_paid": paid,
        "amount_remaining": amount - paid,
        "auto_advance": False,
        "billing_reason": "subscription_cycle" if subscription else "manual",
        "collection_method": "send_invoice",
        "created": created,
        "currency": "krw",
        "custom_fields": None,
        "customer": person["id"],
        "customer_address": person["address"],
        "customer_email": person["email"],
        "customer_name": person["name"],
        "customer_phone": person["phone"],
        "customer_shipping": None,
        "customer_tax_ids": [],
        "description": None,
        "footer": None,
        "invoice_pdf": f"https://pay.example.com/invoice/{key}/pdf" if final else None,
        "lines": page([], f"/v1/invoices/{key}/lines"),
        "livemode": False,
        "metadata": {},
        "number": f"{person['invoice_prefix']}-{key[-4:]}" if final else None,
        "parent": {"type": "subscription_details", "subscription_details": {"subscription": subscription}}
        if subscription
        else None,
        "period_end": created,
        "period_start": created,
        "status": status,
        "status_transitions": {
            "finalized_at": created if final else None,
            "marked_uncollectible_at": created if status == "uncollectible" else None,
            "paid_at": created if status == "paid" else None,
            "voided_at": created if status == "void" else None,
        },
        "subtotal": amount,
        "total": amount,
    }


def paid_with(key: str, invoice_id: str, intent_id: str, *, amount: int, created: int) -> dict[str, Any]:
    """Return the link between an invoice and a payment; since 2025 neither object names the other."""
    return {
        "id": key,
        "object": "invoice_payment",
        "amount_paid": amount,
        "amount_requested": amount,
        "created": created,
        "currency": "krw",
        "invoice": invoice_id,
        "is_default": True,
        "livemode": False,
        "payment": {"type": "payment_intent", "payment_intent": intent_id},
        "status": "paid",
        "status_transitions": {"canceled_at": None, "paid_at": created},
    }


def subscription(
    key: str, person: Mapping[str, Any], *, created: int, status: str = "active", owed: int = 0
) -> dict[str, Any]:
    """Return a subscription; `_usage_owed` is what `invoice_now` would bill (never shown over the API)."""
    return {
        "id": key,
        "object": "subscription",
        "cancel_at_period_end": False,
        "canceled_at": created if status == "canceled" else None,
        "collection_method": "send_invoice",
        "created": created,
        "currency": "krw",
        "customer": person["id"],
        "description": None,
        "ended_at": created if status == "canceled" else None,
        "livemode": False,
        "metadata": {},
        "status": status,
        "_usage_owed": owed,
    }


def card(key: str, person: Mapping[str, Any], *, created: int) -> dict[str, Any]:
    """Return a payment method attached to its customer."""
    return {
        "id": key,
        "object": "payment_method",
        "allow_redisplay": "unspecified",
        "billing_details": _billing(person),
        "card": {"brand": "visa", "exp_month": 12, "exp_year": 2030, "fingerprint": f"fp{key[-8:]}", "last4": "4242"},
        "created": created,
        "customer": person["id"],
        "livemode": False,
        "metadata": {},
        "type": "card",
    }


def legacy_source(key: str, person: Mapping[str, Any]) -> dict[str, Any]:
    """Return a card kept the old way; it hangs below `/sources` only."""
    return {
        "id": key,
        "object": "card",
        "address_line1": person["address"]["line1"],
        "brand": "Visa",
        "customer": person["id"],
        "exp_month": 12,
        "exp_year": 2030,
        "fingerprint": f"fp{key[-8:]}",
        "last4": "4242",
        "metadata": {},
        "name": person["name"],
    }


def tax_id(key: str, person: Mapping[str, Any], *, created: int) -> dict[str, Any]:
    """Return a tax id of a customer."""
    return {
        "id": key,
        "object": "tax_id",
        "country": "KR",
        "created": created,
        "customer": person["id"],
        "livemode": False,
        "type": "kr_brn",
        "value": "000-00-00000",
        "verification": {"status": "unavailable", "verified_address": None, "verified_name": None},
    }


def refund(key: str, charge_id: str, *, amount: int, created: int, status: str) -> dict[str, Any]:
    """Return a refund of a charge."""
    return {
        "id": key,
        "object": "refund",
        "amount": amount,
        "charge": charge_id,
        "created": created,
        "currency": "krw",
        "metadata": {},
        "payment_intent": charge_id.replace("ch_", "pi_", 1),
        "reason": "requested_by_customer",
        "status": status,
    }


def dispute(key: str, charge_id: str, *, amount: int, created: int, status: str = "needs_response") -> dict[str, Any]:
    """Return a dispute of a charge."""
    return {
        "id": key,
        "object": "dispute",
        "amount": amount,
        "charge": charge_id,
        "created": created,
        "currency": "krw",
        "evidence": {"customer_name": None, "customer_email_address": None, "uncategorized_text": None},
        "livemode": False,
        "metadata": {},
        "payment_intent": charge_id.replace("ch_", "pi_", 1),
        "reason": "general",
        "status": status,
    }


def checkout(key: str, person: Mapping[str, Any], intent_id: str, *, amount: int, created: int) -> dict[str, Any]:
    """Return a completed guest Checkout Session: it knows the e-mail, its PaymentIntent has no customer."""
    return {
        "id": key,
        "object": "checkout.session",
        "amount_total": amount,
        "client_reference_id": person["metadata"].get("account_id"),
        "created": created,
        "currency": "krw",
        "customer": None,
        "customer_details": {**_billing(person), "tax_ids": []},
        "customer_email": person["email"],
        "livemode": False,
        "metadata": dict(person["metadata"]),
        "mode": "payment",
        "payment_intent": intent_id,
        "payment_status": "paid",
        "status": "complete",
    }
