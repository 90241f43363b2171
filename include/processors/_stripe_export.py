"""What a law keeps of a person's payments, read from Stripe before anything there is changed.

Invoices and charges no longer name each other (API 2025-03-31 and later); the link is the invoice's payments. An
invoice paid outside Stripe, or written off, is a record of its own. Failed charges and void invoices are no dealings.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

from include.processors import Record, Work
from include.processors._stripe_api import Api
from include.processors._stripe_find import Finder, seoul_date

ZERO_DECIMAL = frozenset(
    {
        "bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "ugx", "vnd", "vuv", "xaf", "xof", "xpf",
    }
)  # fmt: skip
THREE_DECIMAL = frozenset({"bhd", "jod", "kwd", "omr", "tnd"})


def amount(value: object, currency: object) -> int | str:
    """Return won as a whole number and any other currency with its name, as `USD 12.34`."""
    number, name = int(value or 0), str(currency or "krw").lower()  # type: ignore[call-overload]
    if name == "krw":
        return int(number)
    digits = 0 if name in ZERO_DECIMAL else 3 if name in THREE_DECIMAL else 2
    whole, part = divmod(abs(number), 10**digits)
    text = f"{whole}.{part:0{digits}d}" if digits else str(whole)
    return f"{name.upper()} {'-' if number < 0 else ''}{text}"


class Exporter:
    """Reads payment records of what `locate` found."""

    def __init__(self, api: Api, finder: Finder, as_of: date) -> None:
        self.api, self.finder, self.as_of = api, finder, as_of

    def records(self, work: Work) -> list[Record]:
        """Return one record per charge that took money and per invoice settled without one."""
        records: list[Record] = []
        for key in [*work.locator.get("customers", ()), *work.locator.get("gone", ())]:
            records += self._of_customer(work, key)
        for key in work.locator.get("guest_intents", ()):
            charges = self.api.pages("/v1/charges", payment_intent=key, expand=["data.refunds"])
            records += [self._charge(work, c, {}, None) for c in charges if _took_money(c)]
        return list({r.source_id: r for r in records}.values())

    def _of_customer(self, work: Work, key: str) -> list[Record]:
        person = self.finder.customer(key)
        charges = self._settled(key)
        invoices = self.api.pages("/v1/invoices", customer=key, expand=["data.payments"])
        paid_by = {
            intent: invoice
            for invoice in invoices
            for intent in self._intents(invoice)
            if invoice.get("status") != "void"
        }
        records = [
            self._charge(work, c, person, paid_by.get(str(c.get("payment_intent")))) for c in charges if _took_money(c)
        ]
        charged = {str(c.get("payment_intent")) for c in charges if _took_money(c)}
        for invoice in invoices:
            if invoice.get("status") in {"paid", "uncollectible"} and not charged & set(self._intents(invoice)):
                records.append(self._invoice(work, invoice, person))
        return records

    def _settled(self, key: str) -> list[dict[str, Any]]:
        """Return all charges, read again until none was made while the list was paged (new ones go on page 1).

        One page shows one moment.
        """
        first = self.api.page("/v1/charges", customer=key)
        if not first["has_more"]:
            return list(first["data"])
        known: dict[str, dict[str, Any]] = {c["id"]: c for c in self.api.pages("/v1/charges", customer=key)}
        for _ in range(5):
            first = self.api.page("/v1/charges", customer=key)
            fresh = [c for c in first["data"] if c["id"] not in known]
            if not fresh:
                break
            known = {c["id"]: c for c in self.api.pages("/v1/charges", customer=key)}
        return list(known.values())

    def _intents(self, invoice: Mapping[str, Any]) -> list[str]:
        shown = invoice.get("payments")
        if isinstance(shown, dict) and shown.get("has_more") is False:
            rows: Iterable[Mapping[str, Any]] = shown.get("data") or []
        else:
            rows = self.api.pages("/v1/invoice_payments", invoice=invoice["id"])
        keys = [(row.get("payment") or {}).get("payment_intent") for row in rows]
        return [key["id"] if isinstance(key, dict) else str(key) for key in keys if key]

    def _charge(
        self, work: Work, charge: Mapping[str, Any], person: Mapping[str, Any], invoice: Mapping[str, Any] | None
    ) -> Record:
        paid, currency = seoul_date(charge["created"]), charge.get("currency")
        captured = charge.get("amount_captured")
        received = int((charge["amount"] if captured is None else captured) or 0) - int(
            charge.get("amount_refunded") or 0
        )
        supplied = max(paid, self._supplied(invoice)) if invoice else paid
        return Record(
            disposal_id=work.disposal_id,
            source_id=charge["id"],
            kind="payment",
            dates={"transaction": paid, "paid_and_supplied": supplied},
            items={
                **_party(person, charge.get("billing_details") or {}),
                "fee.billed": amount(invoice.get("amount_due") if invoice else charge["amount"], currency),
                "fee.received": amount(received, currency),
                "fee.received_at": paid.isoformat(),
                "fee.method": (charge.get("payment_method_details") or {}).get("type") or "card",
                "supply.completed_on": supplied.isoformat(),
            },
        )

    def _invoice(self, work: Work, invoice: Mapping[str, Any], person: Mapping[str, Any]) -> Record:
        moments = invoice.get("status_transitions") or {}
        issued = seoul_date(moments.get("finalized_at") or invoice["created"])
        paid_at = moments.get("paid_at")
        paid = seoul_date(paid_at) if paid_at and invoice.get("status") == "paid" else None
        snapshot = {
            "name": invoice.get("customer_name"),
            "address": invoice.get("customer_address"),
            "phone": invoice.get("customer_phone"),
            "email": invoice.get("customer_email"),
        }
        return Record(
            disposal_id=work.disposal_id,
            source_id=invoice["id"],
            kind="payment",
            dates={"transaction": issued, "paid_and_supplied": max(paid or issued, self._supplied(invoice))},
            items={
                **_party(person, snapshot),
                "fee.billed": amount(invoice.get("amount_due"), invoice.get("currency")),
                "fee.received": amount(invoice.get("amount_paid"), invoice.get("currency")),
                "fee.received_at": paid.isoformat() if paid else None,
                "fee.method": "outside_stripe" if paid else None,
                "supply.completed_on": self._supplied(invoice).isoformat(),
            },
        )

    def _supplied(self, invoice: Mapping[str, Any]) -> date:
        """Return when the billed service was supplied: the end of the last billed period, but not later than today."""
        lines = (invoice.get("lines") or {}).get("data") or []
        ends = [int((line.get("period") or {}).get("end") or 0) for line in lines]
        last = max([*ends, int(invoice.get("period_end") or invoice["created"])])
        return min(seoul_date(last), self.as_of)


def _took_money(charge: Mapping[str, Any]) -> bool:
    return charge.get("status") == "succeeded" and charge.get("captured") is not False


def _party(person: Mapping[str, Any], snapshot: Mapping[str, Any]) -> dict[str, Any]:
    """Return who paid: the snapshot of the payment first, as the law keeps the record as it was."""
    address = snapshot.get("address") or person.get("address") or {}
    lines = [address.get(k) for k in ("line1", "line2", "city", "state", "postal_code", "country")]
    return {
        "name": snapshot.get("name") or person.get("name") or person.get("individual_name"),
        "company_name": person.get("business_name") or snapshot.get("name") or person.get("name"),
        "billing_address": ", ".join(str(line) for line in lines if line) or None,
        "phone": snapshot.get("phone") or person.get("phone"),
        "email": snapshot.get("email") or person.get("email"),
    }
