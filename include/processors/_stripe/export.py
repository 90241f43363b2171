"""What a law keeps of a person's payments, read from Stripe before anything there is changed.

One record per charge, per invoice settled (wholly or partly) without one, per refund, per credit note and per closed
dispute, each with dates of its own. Failed charges, void invoices and void credit notes are no dealings. What is billed
and what was received adds up over a person's records: a refund, and what a lost dispute took, is a receipt below zero,
not a smaller payment.

Of an invoice's PDF only its number and SHA-256 leave here, its bytes only where the schedule names a law for it.
Everything else of an object (metadata, descriptions, cards, addresses of delivery, evidence of a dispute) stays behind.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, timedelta
from typing import Any

from include.processors import Record, Settlement, Work
from include.processors._stripe.api import Api
from include.processors._stripe.bills import Bills, billed, given_back_unseen, received
from include.processors._stripe.dealings import Dealings, Ledger, reference, seoul_date, took_money
from include.processors._stripe.documents import digest
from include.processors._stripe.find import Finder
from include.processors._stripe.policy import Policy

ZERO_DECIMAL = frozenset(
    {
        "bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "ugx", "vnd", "vuv", "xaf", "xof", "xpf",
    }
)  # fmt: skip
THREE_DECIMAL = frozenset({"bhd", "jod", "kwd", "omr", "tnd"})
OUTSIDE = "outside_stripe"
TAKEN = ":taken_back"
"""Marks the payment record of a lost dispute, beside the dispute's own."""


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

    def __init__(self, api: Api, finder: Finder, ledger: Ledger, policy: Policy, as_of: date) -> None:
        self.api, self.finder, self.ledger = api, finder, ledger
        self.policy, self.as_of = policy, as_of

    def records(self, work: Work) -> list[Record]:
        """Return the records; only the late ones where the locator names some."""
        done = self.ledger.again(work.locator, work.settled)
        keys = (*work.locator.get("customers", ()), *work.locator.get("gone", ()))
        people = {key: self.finder.customer(key) for key in keys}
        found = {r.source_id: r for r in self._all(work, done, people)}
        late = work.locator.get("late")
        if late:
            wanted = {key for ids in late.values() for key in ids}
            return [r for key, r in found.items() if key.removesuffix(TAKEN) in wanted]
        return list(found.values())

    def _all(self, work: Work, done: Dealings, people: Mapping[str, Mapping[str, Any]]) -> Iterator[Record]:
        yield from self._payments(work, done, people)
        for refund in done.refunds.values():
            charge = done.charges.get(reference(refund.get("charge")), {})
            if refund.get("status") == "succeeded":
                yield self._refund(work, refund, charge, _payer(people, charge))
        for note in done.credit_notes.values():
            if note.get("status") != "void":
                bill = done.invoices.get(reference(note.get("invoice")), {})
                yield self._credit_note(work, note, bill, _payer(people, note))
        for key in sorted(done.records()["disputes"]):
            charge = done.charges.get(reference(done.disputes[key].get("charge")), {})
            yield self._dispute(work, done.disputes[key], charge, _payer(people, charge))
            if done.disputes[key].get("status") == "lost":
                yield self._taken_back(work, done.disputes[key], charge, _payer(people, charge))

    def _payments(self, work: Work, done: Dealings, people: Mapping[str, Mapping[str, Any]]) -> Iterator[Record]:
        bills, back = Bills(self.payments, done, work.settled), Counter[str]()
        for refund in done.refunds.values():
            if refund.get("status") == "succeeded":
                back[reference(refund.get("charge"))] += int(refund.get("amount") or 0)
        for charge in done.charges.values():
            if took_money(charge):
                unlisted = given_back_unseen(charge, back[charge["id"]])
                yield self._charge(work, charge, _payer(people, charge), bills.of(charge), unlisted)
        for invoice in done.invoices.values():
            rest = bills.rest(invoice)
            if rest is not None:
                yield self._invoice(work, invoice, _payer(people, invoice), rest, bills.release(invoice))

    # -- payments --------------------------------------------------------------------------------------------------
    def _charge(
        self, work: Work, charge: Mapping[str, Any], person: Mapping[str, Any], bill: Any, unlisted: int
    ) -> Record:
        paid, currency = seoul_date(charge["created"]), charge.get("currency")
        invoice, told = bill
        supplied = max(paid, self._supplied(invoice)) if invoice else paid
        return Record(
            disposal_id=work.disposal_id,
            source_id=charge["id"],
            kind="payment",
            dates={"transaction": paid, "paid_and_supplied": supplied},
            items={
                **_party(person, charge.get("billing_details") or {}),
                "fee.billed": None if told is None else amount(told, currency),
                "fee.received": amount(received(charge) - unlisted, currency),
                "fee.received_at": paid.isoformat(),
                "fee.method": _method(charge),
                "supply.completed_on": supplied.isoformat(),
                **(self._document(invoice) if invoice and told is not None else {}),
            },
        )

    def _invoice(
        self,
        work: Work,
        invoice: Mapping[str, Any],
        person: Mapping[str, Any],
        rest: int,
        released: Settlement | None,
    ) -> Record:
        moments, currency = invoice.get("status_transitions") or {}, invoice.get("currency")
        issued = seoul_date(moments.get("finalized_at") or invoice["created"])
        paid_at = seoul_date(moments["paid_at"]) if moments.get("paid_at") else released.on if released else None
        paid = paid_at if rest else None
        return Record(
            disposal_id=work.disposal_id,
            source_id=invoice["id"],
            kind="payment",
            dates={"transaction": issued, "paid_and_supplied": max(paid or issued, self._supplied(invoice))},
            items={
                **_party(person, _snapshot(invoice)),
                "fee.billed": amount(billed(invoice), currency),
                "fee.received": amount(rest, currency),
                "fee.received_at": paid.isoformat() if paid else None,
                "fee.method": OUTSIDE if paid else None,
                "supply.completed_on": self._supplied(invoice).isoformat(),
                **self._document(invoice),
            },
        )

    def _refund(
        self, work: Work, refund: Mapping[str, Any], charge: Mapping[str, Any], person: Mapping[str, Any]
    ) -> Record:
        given = seoul_date(refund["created"])
        return Record(
            disposal_id=work.disposal_id,
            source_id=refund["id"],
            kind="payment",
            dates={"transaction": given, "paid_and_supplied": given},
            items={
                **_party(person, charge.get("billing_details") or {}),
                "fee.received": amount(-int(refund.get("amount") or 0), refund.get("currency")),
                "fee.received_at": given.isoformat(),
                "fee.method": _method(charge),
            },
        )

    def _taken_back(
        self, work: Work, dispute: Mapping[str, Any], charge: Mapping[str, Any], person: Mapping[str, Any]
    ) -> Record:
        """Return what a lost dispute took back: the bank withdrew it and no refund tells of it."""
        moves = [int(m.get("created") or 0) for m in dispute.get("balance_transactions") or () if isinstance(m, dict)]
        taken = seoul_date(min(filter(None, moves), default=dispute["created"]))
        return Record(
            disposal_id=work.disposal_id,
            source_id=dispute["id"] + TAKEN,
            kind="payment",
            dates={"transaction": taken, "paid_and_supplied": taken},
            items={
                **_party(person, charge.get("billing_details") or {}),
                "fee.received": amount(-int(dispute.get("amount") or 0), dispute.get("currency")),
                "fee.received_at": taken.isoformat(),
                "fee.method": _method(charge),
            },
        )

    def _credit_note(
        self, work: Work, note: Mapping[str, Any], invoice: Mapping[str, Any], person: Mapping[str, Any]
    ) -> Record:
        issued, currency = seoul_date(note.get("effective_at") or note["created"]), note.get("currency")
        outside = int(note.get("out_of_band_amount") or 0)  # what went back through Stripe is a refund of its own
        return Record(
            disposal_id=work.disposal_id,
            source_id=note["id"],
            kind="payment",
            dates={"transaction": issued, "paid_and_supplied": issued},
            items={
                **_party(person, _snapshot(invoice)),
                "fee.billed": amount(-int(note.get("total") or 0), currency),
                "fee.received": amount(-outside, currency) if outside else None,
                "fee.received_at": issued.isoformat() if outside else None,
                "fee.method": OUTSIDE if outside else None,
                "invoice.number": note.get("number"),
            },
        )

    # -- disputes --------------------------------------------------------------------------------------------------
    def _dispute(
        self, work: Work, dispute: Mapping[str, Any], charge: Mapping[str, Any], person: Mapping[str, Any]
    ) -> Record:
        """Return the record of a dispute's handling: what it was about and how it ended, none of its evidence."""
        opened, closed = seoul_date(dispute["created"]), self._closed(dispute)
        money = amount(dispute.get("amount"), dispute.get("currency"))
        return Record(
            disposal_id=work.disposal_id,
            source_id=dispute["id"],
            kind="complaint",
            dates={"case_closed": closed, "recorded": opened},
            items={
                **_party(person, charge.get("billing_details") or {}),
                "case.kind": "payment_dispute",
                "case.opened_on": opened.isoformat(),
                "case.closed_on": closed.isoformat(),
                "case.body": f"reason {dispute.get('reason')}; outcome {dispute.get('status')}; amount {money}",
            },
        )

    def _closed(self, dispute: Mapping[str, Any]) -> date:
        """Return when a dispute closed: the day its money moved last, where it came back; else the last day possible.

        Stripe keeps no closing date. Too late a day keeps the record a little longer, too early a one would break the
        law that keeps it.
        """
        opened = seoul_date(dispute["created"])
        moves = [int(m.get("created") or 0) for m in dispute.get("balance_transactions") or () if isinstance(m, dict)]
        if dispute.get("status") in {"won", "warning_closed"} and len(moves) > 1:
            return seoul_date(max(moves))
        return min(self.as_of, opened + timedelta(days=self.policy.dispute_record_days))

    # -- documents -------------------------------------------------------------------------------------------------
    def _document(self, invoice: Mapping[str, Any]) -> dict[str, Any]:
        items: dict[str, Any] = {"invoice.number": invoice.get("number")}
        if self.policy.invoice_pdf == "none":
            return items
        body = self.api.documents.fetch(invoice.get("invoice_pdf"))
        if body is None:
            return items
        items["invoice.pdf_sha256"] = digest(body)
        if self.policy.invoice_document_laws:
            items["invoice.pdf"] = base64.b64encode(body).decode()
        return items

    def _supplied(self, invoice: Mapping[str, Any]) -> date:
        """Return when the billed service was supplied: the end of the last billed period, but not later than today."""
        lines = (invoice.get("lines") or {}).get("data") or []
        ends = [int((line.get("period") or {}).get("end") or 0) for line in lines]
        last = max([*ends, int(invoice.get("period_end") or invoice["created"])])
        return min(seoul_date(last), self.as_of)

    def payments(self, invoice: Mapping[str, Any]) -> list[str]:
        """Return the PaymentIntents and charges that paid an invoice."""
        shown = invoice.get("payments")
        if isinstance(shown, dict) and shown.get("has_more") is False:
            rows: Iterable[Mapping[str, Any]] = shown.get("data") or []
        else:
            rows = self.api.pages("/v1/invoice_payments", invoice=invoice["id"])
        links = [row.get("payment") or {} for row in rows if row.get("status") in {"paid", None}]
        return [reference(link[kind]) for link in links for kind in ("payment_intent", "charge") if link.get(kind)]


def _method(charge: Mapping[str, Any]) -> str:
    return str((charge.get("payment_method_details") or {}).get("type") or "card")


def _payer(people: Mapping[str, Mapping[str, Any]], row: Mapping[str, Any]) -> Mapping[str, Any]:
    return people.get(reference(row.get("customer")), {})


def _snapshot(invoice: Mapping[str, Any]) -> dict[str, Any]:
    return {name: invoice.get(f"customer_{name}") for name in ("name", "address", "phone", "email")}


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
