"""The shapes of Stripe's objects (API version 2026-10-28), one function each, with every personal field filled in."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

SEOUL = dt.timezone(dt.timedelta(hours=9))


def stamp(day: dt.date, *, hour: int = 14) -> int:
    """Return the Unix time of a Seoul date, in the early afternoon."""
    return int(dt.datetime.combine(day, dt.time(hour), SEOUL).timestamp())


def public(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return an object without what the API never shows."""
    return {key: value for key, value in row.items() if not key.startswith("_")}


def page(rows: Sequence[Mapping[str, Any]], url: str, *, more: bool = False) -> dict[str, Any]:
    """Return Stripe's list object."""
    return {"object": "list", "url": url, "has_more": more, "data": [public(r) for r in rows]}


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
        "created": created,
        "currency": "krw",
        "customer_account": None,
        "default_source": None,
        "delinquent": False,
        "description": f"Account of {name}" if name else None,
        "discount": None,
        "email": email,
        "individual_name": name,
        "invoice_prefix": key[-8:].upper(),
        "invoice_settings": {
            "custom_fields": None, "default_payment_method": None, "footer": None, "rendering_options": None,
        },
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
    return {**{key: person[key] for key in ("address", "email", "name", "phone")}, "tax_id": None}


def _automatic_tax() -> dict[str, Any]:
    return {"disabled_reason": None, "enabled": False, "liability": None, "provider": None, "status": None}


def _paid_by(method: str, key: str) -> dict[str, Any]:
    """Return how a charge was paid, with what a law does not keep: last digits, fingerprint."""
    if method != "card":
        return {"brand": None, "buyer_id": None, "last4": "4242"}
    return {
        "amount_authorized": None, "authorization_code": None, "brand": "visa", "checks": None, "country": "KR",
        "exp_month": 12, "exp_year": 2030, "fingerprint": f"fp{key[-8:]}", "funding": "credit", "installments": None,
        "last4": "4242", "mandate": None, "network": "visa", "network_token": None, "network_transaction_id": None,
        "regulated_status": None, "three_d_secure": None, "transaction_link_id": None, "wallet": None,
    }  # fmt: skip


def payment_intent(
    key: str, person: Mapping[str, Any], *, amount: int, created: int, guest: bool = False
) -> dict[str, Any]:
    """Return a succeeded PaymentIntent."""
    return {
        "id": key,
        "object": "payment_intent",
        "amount": amount,
        "amount_capturable": 0,
        "amount_received": amount,
        "canceled_at": None,
        "capture_method": "automatic",
        "confirmation_method": "automatic",
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
        "payment_method_details": {"type": method, method: _paid_by(method, key)},
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
        "amount_overpaid": 0,
        "amount_paid": paid,
        "amount_remaining": amount - paid,
        "amount_shipping": 0,
        "attempt_count": 1 if paid else 0,
        "attempted": bool(paid),
        "auto_advance": False,
        "automatic_tax": _automatic_tax(),
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
        "default_tax_rates": [],
        "description": None,
        "discounts": [],
        "footer": None,
        "invoice_pdf": f"https://pay.stripe.com/invoice/acct_sandbox/test_{key}/pdf?s=ap" if final else None,
        "issuer": {"type": "self"},
        "lines": page([], f"/v1/invoices/{key}/lines"),
        "livemode": False,
        "metadata": {},
        "number": f"{person['invoice_prefix']}-{key[-4:]}" if final else None,
        "parent": {
            "type": "subscription_details",
            "quote_details": None,
            "subscription_details": {"metadata": None, "subscription": subscription},
        }
        if subscription
        else None,
        "payment_settings": {"default_mandate": None, "payment_method_options": None, "payment_method_types": None},
        "period_end": created,
        "period_start": created,
        "post_payment_credit_notes_amount": 0,
        "pre_payment_credit_notes_amount": 0,
        "starting_balance": 0,
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
        "automatic_tax": {"disabled_reason": None, "enabled": False, "liability": None},
        "billing_cycle_anchor": created,
        "billing_mode": {"flexible": None, "type": "classic"},
        "billing_schedules": [],
        "cancel_at_period_end": False,
        "canceled_at": created if status == "canceled" else None,
        "collection_method": "send_invoice",
        "created": created,
        "currency": "krw",
        "customer": person["id"],
        "description": None,
        "discounts": [],
        "ended_at": created if status == "canceled" else None,
        "invoice_settings": {"account_tax_ids": None, "issuer": {"type": "self"}},
        "items": page([], f"/v1/subscription_items?subscription={key}"),
        "livemode": False,
        "metadata": {},
        "start_date": created,
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
        "card": {
            "brand": "visa",
            "checks": None,
            "country": "KR",
            "display_brand": "visa",
            "exp_month": 12,
            "exp_year": 2030,
            "fingerprint": f"fp{key[-8:]}",
            "funding": "credit",
            "generated_from": None,
            "last4": "4242",
            "networks": None,
            "three_d_secure_usage": None,
            "wallet": None,
        },
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
        "funding": "credit",
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
        "balance_transactions": [],
        "enhanced_eligibility_types": [],
        "evidence": {
            "customer_name": None,
            "customer_email_address": None,
            "customer_purchase_ip": None,
            "enhanced_evidence": {},
            "uncategorized_text": None,
        },
        "evidence_details": {
            "due_by": created + 9 * 86400,
            "enhanced_eligibility": {},
            "has_evidence": False,
            "past_due": False,
            "submission_count": 0,
            "submission_method": "manual",
        },
        "is_charge_refundable": False,
        "livemode": False,
        "metadata": {},
        "network_reason_code": None,
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
        "automatic_tax": {"enabled": False, "liability": None, "provider": None, "status": None},
        "client_reference_id": person["metadata"].get("account_id"),
        "created": created,
        "currency": "krw",
        "custom_fields": [],
        "custom_text": {
            "after_submit": None,
            "shipping_address": None,
            "submit": None,
            "terms_of_service_acceptance": None,
        },
        "customer": None,
        "customer_details": {
            **{k: v for k, v in _billing(person).items() if k != "tax_id"},
            "business_name": None,
            "individual_name": None,
            "tax_exempt": "none",
            "tax_ids": [],
        },
        "customer_email": person["email"],
        "expires_at": created + 86400,
        "livemode": False,
        "metadata": dict(person["metadata"]),
        "mode": "payment",
        "payment_intent": intent_id,
        "payment_method_types": ["card"],
        "payment_status": "paid",
        "shipping_options": [],
        "status": "complete",
    }
