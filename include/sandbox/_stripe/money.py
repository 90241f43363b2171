"""More shapes of Stripe's objects (API version 2026-10-28): what is owed, given back, promised or about to begin."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from include.sandbox._stripe.shapes import page


def credit_note(key: str, invoice: Mapping[str, Any], *, amount: int, created: int) -> dict[str, Any]:
    """Return an issued credit note over a paid invoice; its memo is free text."""
    return {
        "id": key,
        "object": "credit_note",
        "amount": amount,
        "amount_shipping": 0,
        "created": created,
        "currency": "krw",
        "customer": invoice["customer"],
        "customer_account": None,
        "customer_balance_transaction": None,
        "discount_amount": 0,
        "discount_amounts": [],
        "effective_at": created,
        "invoice": invoice["id"],
        "lines": page([], f"/v1/credit_notes/{key}/lines"),
        "livemode": False,
        "memo": f"For {invoice['customer_name']}",
        "metadata": {},
        "number": f"{invoice['number']}-CN-01",
        "out_of_band_amount": amount,
        "pdf": f"https://pay.stripe.com/credit_notes/acct_sandbox/test_{key}/pdf?s=ap",
        "post_payment_amount": amount,
        "pre_payment_amount": 0,
        "pretax_credit_amounts": [],
        "reason": "order_change",
        "refunds": [],
        "shipping_cost": None,
        "status": "issued",
        "subtotal": amount,
        "subtotal_excluding_tax": amount,
        "total": amount,
        "total_excluding_tax": amount,
        "total_taxes": [],
        "type": "post_payment",
        "voided_at": None,
    }


def invoice_item(key: str, person: Mapping[str, Any], *, amount: int, created: int) -> dict[str, Any]:
    """Return an item that waits for the next invoice; it is `date`, not `created`, that says since when."""
    return {
        "id": key,
        "object": "invoiceitem",
        "amount": amount,
        "currency": "krw",
        "customer": person["id"],
        "customer_account": None,
        "date": created,
        "description": f"Extra work for {person['name']}",
        "discountable": True,
        "discounts": [],
        "invoice": None,
        "livemode": False,
        "metadata": {},
        "net_amount": amount,
        "parent": None,
        "period": {"end": created, "start": created},
        "pricing": None,
        "proration": False,
        "proration_details": None,
        "quantity": 1,
        "quantity_decimal": "1",
        "tax_rates": [],
        "test_clock": None,
    }


def schedule(key: str, person: Mapping[str, Any], *, created: int, status: str = "not_started") -> dict[str, Any]:
    """Return a subscription schedule: a subscription that is still to begin."""
    return {
        "id": key,
        "object": "subscription_schedule",
        "application": None,
        "billing_mode": {"flexible": None, "type": "classic"},
        "canceled_at": None,
        "completed_at": None,
        "created": created,
        "current_phase": None,
        "customer": person["id"],
        "customer_account": None,
        "default_settings": {
            "application_fee_percent": None, "automatic_tax": None, "billing_cycle_anchor": "automatic",
            "billing_thresholds": None, "collection_method": "charge_automatically", "default_payment_method": None,
            "description": None,
            "invoice_settings": {
                "account_tax_ids": None, "custom_fields": None, "days_until_due": None, "description": None,
                "footer": None, "issuer": {"type": "self"},
            },
            "on_behalf_of": None, "transfer_data": None,
        },
        "end_behavior": "release",
        "livemode": False,
        "metadata": {},
        "pause_schedules": [],
        "phases": [],
        "released_at": None,
        "released_subscription": None,
        "status": status,
        "subscription": None,
        "test_clock": None,
    }  # fmt: skip


def credit_grant(key: str, person: Mapping[str, Any], *, value: int, created: int, category: str) -> dict[str, Any]:
    """Return billing credits; `_left` is what of them is unspent (shown by the balance summary only)."""
    return {
        "id": key,
        "object": "billing.credit_grant",
        "amount": {"monetary": {"currency": "krw", "value": value}, "type": "monetary"},
        "applicability_config": {"scope": {"price_type": "metered"}},
        "category": category,
        "created": created,
        "customer": person["id"],
        "customer_account": None,
        "effective_at": created,
        "expires_at": None,
        "livemode": False,
        "metadata": {},
        "name": None,
        "priority": 50,
        "test_clock": None,
        "updated": created,
        "voided_at": None,
        "_left": value,
    }


def summary(grants: list[Mapping[str, Any]], customer: str) -> dict[str, Any]:
    """Return the balance of some grants."""
    left = sum(int(g["_left"]) for g in grants)
    money = {"monetary": {"currency": "krw", "value": left}, "type": "monetary"}
    return {
        "object": "billing.credit_balance_summary",
        "balances": [{"available_balance": money, "ledger_balance": money}],
        "customer": customer,
        "customer_account": None,
        "livemode": False,
    }


def cash_balance(customer: str, available: Mapping[str, int]) -> dict[str, Any]:
    """Return the money Stripe holds for a customer, by currency."""
    return {
        "object": "cash_balance",
        "available": dict(available),
        "customer": customer,
        "customer_account": None,
        "livemode": False,
        "settings": {"reconciliation_mode": "automatic", "using_merchant_default": True},
    }


def setup_intent(key: str, person: Mapping[str, Any], *, created: int) -> dict[str, Any]:
    """Return a card that was begun to be set up."""
    return {
        "id": key,
        "object": "setup_intent",
        "application": None,
        "cancellation_reason": None,
        "client_secret": f"{key}_secret",
        "created": created,
        "customer": person["id"],
        "customer_account": None,
        "description": f"Card of {person['name']}",
        "livemode": False,
        "metadata": {},
        "payment_method": None,
        "payment_method_types": ["card"],
        "status": "requires_payment_method",
        "usage": "off_session",
    }
