"""Which charge paid which invoice, so that what is billed and received is told once.

Invoices and charges no longer name each other (API 2025-03-31 and later); the link is the invoice's payments.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from include.processors import Settlement
from include.processors._stripe.dealings import UNSETTLED, Dealings, reference, settlement_of, took_money


def billed(invoice: Mapping[str, Any]) -> int:
    """Return what an invoice was issued over.

    Not `amount_due`: a credit note before payment lowers that, and is a record of its own; so does a balance, which is
    a way to pay (API page of credit notes: "will first reduce the invoice's amount_remaining (and amount_due)").
    """
    total = invoice.get("total")
    return int((invoice.get("amount_due") if total is None else total) or 0)


def received(charge: Mapping[str, Any]) -> int:
    """Return what a charge took; of what was authorised the rest was never received."""
    captured = charge.get("amount_captured")
    return int((charge.get("amount") if captured is None else captured) or 0)


def given_back_unseen(charge: Mapping[str, Any], listed: int) -> int:
    """Return what a charge says was given back and no refund accounts for (`listed` is the sum of its refunds).

    The uncaptured rest of an authorisation, which may be counted there, was never received.
    """
    uncaptured = int(charge.get("amount") or 0) - received(charge)
    return max(int(charge.get("amount_refunded") or 0) - listed - uncaptured, 0)


class Bills:
    """Which charge paid which invoice, and what of an invoice no charge paid."""

    def __init__(
        self,
        payments: Callable[[Mapping[str, Any]], Iterable[str]],
        done: Dealings,
        settled: Sequence[Settlement],
    ) -> None:
        self._settled = settled
        self._paid: dict[str, list[Mapping[str, Any]]] = {}
        self._bill_of: dict[str, Mapping[str, Any]] = {}
        charges: dict[str, list[Mapping[str, Any]]] = {}
        for charge in done.charges.values():
            if took_money(charge):
                for key in {charge["id"], reference(charge.get("payment_intent"))}:
                    charges.setdefault(key, []).append(charge)
        for invoice in done.invoices.values():
            if invoice.get("status") in {"void", "draft"}:
                continue
            mine = {c["id"]: c for key in payments(invoice) for c in charges.get(key, ())}
            self._paid[invoice["id"]] = list(mine.values())
            self._bill_of |= dict.fromkeys(mine, invoice)

    def of(self, charge: Mapping[str, Any]) -> tuple[Mapping[str, Any] | None, int | None]:
        """Return a charge's invoice and what of it is told with the charge: all, where it alone paid, or nothing."""
        invoice = self._bill_of.get(charge["id"])
        if invoice is None:
            return None, received(charge)
        return invoice, billed(invoice) if self._told_by_charge(invoice) else None

    def rest(self, invoice: Mapping[str, Any]) -> int | None:
        """Return what was received for an invoice outside its charges; None where it is no record of its own."""
        status, released = invoice.get("status"), self.release(invoice)
        ours = released and (status == "open" or released.reason == "paid")
        if (status not in {"paid", "uncollectible"} and not ours) or self._told_by_charge(invoice):
            return None
        through = sum(received(c) for c in self._paid.get(invoice["id"], ()))
        return max(self._whole(invoice) - through, 0)

    def release(self, invoice: Mapping[str, Any]) -> Settlement | None:
        """Return the release of the debt that an unsettled invoice stands for."""
        return settlement_of(invoice, self._settled) if invoice.get("status") in UNSETTLED else None

    def _whole(self, invoice: Mapping[str, Any]) -> int:
        """Return what was received for an invoice in all: of a debt released as paid, everything that was due."""
        released = self.release(invoice)
        paid_elsewhere = released is not None and released.reason == "paid"
        return int(invoice.get("amount_due" if paid_elsewhere else "amount_paid") or 0)

    def _told_by_charge(self, invoice: Mapping[str, Any]) -> bool:
        mine = self._paid.get(invoice["id"], [])
        return len(mine) == 1 and received(mine[0]) >= self._whole(invoice)
