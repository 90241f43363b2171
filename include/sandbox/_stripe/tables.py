"""What Stripe lets one filter by and write to, and what a write or a deletion leaves of an object."""

from __future__ import annotations

from typing import Any

FILTERS: dict[str, tuple[str, ...]] = {
    "charge": ("customer", "payment_intent", "transfer_group"),
    "checkout_session": ("customer", "payment_intent", "subscription", "status", "customer_details"),
    "credit_grant": ("customer",),
    "credit_note": ("customer", "customer_account", "invoice"),
    "customer": ("email",),
    "dispute": ("charge", "payment_intent"),
    "invoice": ("customer", "customer_account", "status", "subscription", "collection_method"),
    "invoiceitem": ("customer", "customer_account", "invoice", "pending"),
    "invoice_payment": ("invoice", "status", "payment"),
    "payment_intent": ("customer", "customer_account"),
    "refund": ("charge", "payment_intent"),
    "setup_intent": ("customer", "customer_account", "payment_method"),
    "subscription": ("customer", "customer_account", "status", "price"),
    "subscription_schedule": ("customer", "customer_account", "scheduled"),
}
"""The list filters Stripe has, next to `created` and paging; any other one is refused as unknown."""

KINDS = {
    "charges": "charge",
    "credit_grants": "credit_grant",
    "credit_notes": "credit_note",
    "customers": "customer",
    "disputes": "dispute",
    "invoiceitems": "invoiceitem",
    "invoices": "invoice",
    "invoice_payments": "invoice_payment",
    "payment_intents": "payment_intent",
    "payment_methods": "payment_method",
    "refunds": "refund",
    "sessions": "checkout_session",
    "setup_intents": "setup_intent",
    "subscription_schedules": "subscription_schedule",
    "subscriptions": "subscription",
}
"""The last word of a list's path and the kind it lists."""
WRITABLE: dict[str, frozenset[str]] = {
    "charge": frozenset({"description", "metadata", "receipt_email", "shipping", "fraud_details", "customer"}),
    "payment_method": frozenset({"allow_redisplay", "billing_details", "metadata"}),
    "payment_intent": frozenset({"description", "metadata", "receipt_email", "shipping", "customer"}),
    "customer": frozenset(
        {
            "address", "balance", "business_name", "description", "email", "individual_name", "invoice_settings",
            "metadata", "name", "phone", "preferred_locales", "shipping", "tax_exempt",
        }
    ),
}  # fmt: skip
EXPANDABLE: dict[str, frozenset[str]] = {
    "charge": frozenset({"balance_transaction", "customer", "payment_intent", "refunds"}),
    "customer": frozenset({"cash_balance", "invoice_credit_balance", "sources", "subscriptions", "tax", "tax_ids"}),
    "dispute": frozenset({"charge", "payment_intent"}),
    "invoice": frozenset({"customer", "payments"}),
    "payment_intent": frozenset({"customer", "latest_charge"}),
}
"""What an object shows more of when asked, as far as a client of ours may ask."""
COMMON = frozenset({"expand", "limit", "starting_after", "ending_before", "created"})


def listed(kind: str, row: dict[str, Any], params: dict[str, Any]) -> bool:
    """Return whether a list with these filters shows an object."""
    if kind == "subscription" and params.get("status") in {None, "all"}:
        if params.get("status") is None and row["status"] == "canceled":
            return False
        params = {name: value for name, value in params.items() if name != "status"}
    if not _in_time(row, params.get("created")):
        return False
    return all(_fits(row, name, params[name]) for name in FILTERS[kind] if params.get(name) is not None)


def _fits(row: dict[str, Any], name: str, wanted: Any) -> bool:
    if name == "pending":
        return bool((row.get("invoice") is None) == (wanted == "true"))
    have = row.get(name)
    if isinstance(wanted, dict):
        return isinstance(have, dict) and all(have.get(key) == value for key, value in wanted.items())
    return bool(have == wanted)


def _in_time(row: dict[str, Any], created: Any) -> bool:
    compare = {"gte": int.__ge__, "gt": int.__gt__, "lte": int.__le__, "lt": int.__lt__}
    bounds = created.items() if isinstance(created, dict) else ()
    at = int(row.get("created") or 0)
    return all(compare[sign](at, int(value)) for sign, value in bounds if sign in compare)


def merged(name: str, before: Any, value: Any) -> Any:
    """Return a field after an update: an empty string unsets, metadata merges key by key."""
    if name == "metadata":
        if value == "":
            return {}
        both = {**(before or {}), **value}
        return {key: text for key, text in both.items() if text != ""}
    if isinstance(value, dict):
        return {**(before or {}), **{key: merged(key, (before or {}).get(key), below) for key, below in value.items()}}
    return None if value == "" else value


def stripped(row: dict[str, Any]) -> dict[str, Any]:
    """Return a payment method after its customer went: the card is removed."""
    return {
        **row,
        "customer": None,
        "billing_details": {"address": None, "email": None, "name": None, "phone": None},
        "card": None,
    }
