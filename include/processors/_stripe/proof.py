"""Reading after a redaction: whether anything located still shows whose it was, whatever the job says of itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from include.processors._stripe.api import Api, Declined, safe_id
from include.processors._stripe.dealings import Dealings, Ledger

CONTACT = ("email", "name", "phone")


def named(ledger: Ledger, api: Api, locator: Mapping[str, Any]) -> dict[str, int]:
    """Return by kind how many objects still show an e-mail address, a name or a phone number."""
    done = ledger.again(locator, ())
    found: dict[str, int] = {}
    for kind, row in (*_rows(done), *_sessions(api, locator)):
        if any(_shows(text) for text in _texts(kind, row)):
            found[kind] = found.get(kind, 0) + 1
    return found


def _rows(done: Dealings) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for kind, rows in (
        ("charge", done.charges), ("payment_intent", done.intents), ("invoice", done.invoices),
        ("dispute", done.disputes),
    ):  # fmt: skip
        yield from ((kind, row) for row in rows.values())


def _sessions(api: Api, locator: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for key in locator.get("sessions", ()):
        try:
            yield "checkout_session", api.get(f"/v1/checkout/sessions/{safe_id(key)}")
        except Declined as declined:
            if not declined.missing:
                raise


def _texts(kind: str, row: Mapping[str, Any]) -> Iterator[Any]:
    parts = {
        "charge": ("billing_details", "shipping"),
        "payment_intent": ("shipping",),
        "checkout_session": ("customer_details",),
    }.get(kind, ())
    for part in parts:
        yield from ((row.get(part) or {}).get(name) for name in CONTACT)
    yield row.get("receipt_email")
    yield from (row.get(f"customer_{name}") for name in CONTACT)
    evidence = row.get("evidence") or {}
    yield from (evidence.get(name) for name in ("customer_email_address", "customer_name"))


def _shows(text: Any) -> bool:
    """Return whether a text tells of somebody: nothing, a dash of ours and `[redacted]` do not."""
    return isinstance(text, str) and text.strip() not in {"", "-"} and "redact" not in text.casefold()
