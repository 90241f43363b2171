"""What the laws keep of one customer's dealings at Stripe, read from the raw objects by a bookkeeper.

A payment record (Enforcement Decree of the e-commerce Act, art. 6(1)3; books under the tax acts) is a movement of money
or a bill: every charge that took money, every bill, everything given back (a refund, a bill taken back by a credit
note, what a bank took back after a lost dispute). Each has its own day. What was billed is told once, with the only
charge that paid it or alone. A dispute that ended is besides a case (art. 6(1)4): why, how it ended, how much.

Stripe's model: a bill and its charge are linked by invoice payments alone; a charge that failed or was never captured
took nothing; `total` is what a bill was issued over, `amount_due` what credit notes before payment left of it.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.archive.truth import SEOUL, Kept, Party, Row

OUTSIDE = "outside_stripe"
YEAR = dt.timedelta(days=365)
ADDRESS = ("line1", "line2", "city", "state", "postal_code", "country")


@dataclass(frozen=True, slots=True)
class Told:
    """A text that tells these words, and but for `labels` no other."""

    words: frozenset[str]
    labels: frozenset[str]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and set(re.findall(r"[\w.-]+", other)) - self.labels == self.words


@dataclass
class Books:
    """One customer's raw objects by kind and id."""

    by_kind: dict[str, dict[str, Row]]
    as_of: dt.date
    pdf: Callable[[dict[str, Any]], bytes]

    def all(self, kind: str) -> list[Row]:
        return list(self.by_kind.get(kind, {}).values())

    def get(self, kind: str, key: object) -> Row:
        return self.by_kind.get(kind, {}).get(str(key), {})

    def charges(self) -> list[Row]:
        return [c for c in self.all("charge") if c["status"] == "succeeded" and c["captured"]]

    def payers(self, bill: Row) -> list[Row]:
        links = [
            p["payment"] for p in self.all("invoice_payment") if (p["invoice"], p["status"]) == (bill["id"], "paid")
        ]
        intents = {link.get("payment_intent") for link in links}
        return [c for c in self.charges() if c["payment_intent"] in intents]

    def alone(self, bill: Row) -> bool:
        payers = self.payers(bill)
        return len(payers) == 1 and payers[0]["amount_captured"] >= bill["amount_paid"]

    def bill_of(self, charge: Row) -> Row | None:
        return next((b for b in self.all("invoice") if b["status"] != "void" and charge in self.payers(b)), None)

    def supplied(self, bill: Row) -> dt.date:
        return min(_day(bill["period_end"]), self.as_of)

    def who(self, customer: object, shown: Mapping[str, Any]) -> dict[str, Any]:
        """Return the party as the record shows it, and where it shows nothing as the customer is known."""
        known = self.get("customer", customer)
        said = {n: shown.get(n) or known.get(n) for n in ("name", "email", "phone", "address")}
        address = said.pop("address") or {}
        where = ", ".join(address[k] for k in ADDRESS if address.get(k))
        return {**said, "company_name": said["name"], "billing_address": where}

    def paper(self, bill: Row) -> dict[str, Any]:
        row = {k: v for k, v in bill.items() if k != "kind"}
        return {"invoice.number": bill["number"], "invoice.pdf_sha256": hashlib.sha256(self.pdf(row)).hexdigest()}


def stripe(
    party: Party, number: int, dump: Iterable[Row], as_of: dt.date, pdf: Callable[[dict[str, Any]], bytes]
) -> Iterator[Kept]:
    """Yield what must be kept of one customer's objects, told apart by the seed's number; `pdf` reads a bill."""
    by_kind: dict[str, dict[str, Row]] = {}
    for row in dump:
        if f"_s{number:07d}x" in str(row["id"]):
            by_kind.setdefault(row["kind"], {})[str(row["id"])] = row
    books = Books(by_kind, as_of, pdf)
    for items, day, paid in (*_in(books), *_bills(books), *_out(books)):
        yield from party.kept("payment", items, day, paid=paid)
    for dispute in books.all("dispute"):
        if dispute["status"] in ("won", "lost", "warning_closed"):
            items, closed = _case(books, dispute)
            yield from party.kept("complaint", items, closed)


def _in(books: Books) -> Iterator[tuple[dict[str, Any], dt.date, dt.date]]:
    for charge in books.charges():
        bill, paid, coin = books.bill_of(charge), _day(charge["created"]), charge["currency"]
        supplied = max(paid, books.supplied(bill)) if bill else paid
        here = bill if bill and books.alone(bill) else None
        billed = here["total"] if here else None if bill else charge["amount_captured"]
        yield (
            {
                **books.who(charge["customer"], charge["billing_details"]),
                "fee.billed": None if billed is None else money(billed, coin),
                "fee.received": money(charge["amount_captured"], coin),
                "fee.received_at": paid.isoformat(),
                "fee.method": charge["payment_method_details"]["type"],
                "supply.completed_on": supplied.isoformat(),
                **(books.paper(here) if here else {}),
            },
            supplied,
            paid,
        )


def _bills(books: Books) -> Iterator[tuple[dict[str, Any], dt.date, dt.date]]:
    """Yield the bills that no single charge tells: paid elsewhere, by several charges, or written off."""
    for bill in books.all("invoice"):
        if bill["status"] not in ("paid", "uncollectible") or books.alone(bill):
            continue
        issued, supplied = _day(bill["status_transitions"]["finalized_at"]), books.supplied(bill)
        rest = bill["amount_paid"] - sum(c["amount_captured"] for c in books.payers(bill))
        paid = _day(bill["status_transitions"]["paid_at"]) if rest else None
        yield (
            {
                **books.who(bill["customer"], _shown(bill)),
                "fee.billed": money(bill["total"], bill["currency"]),
                "fee.received": money(rest, bill["currency"]),
                "fee.received_at": paid.isoformat() if paid else None,
                "fee.method": OUTSIDE if paid else None,
                "supply.completed_on": supplied.isoformat(),
                **books.paper(bill),
            },
            max(paid or issued, supplied),
            issued,
        )


def _out(books: Books) -> Iterator[tuple[dict[str, Any], dt.date, dt.date]]:
    """Yield what was given back, taken back, or billed too much."""
    back = [r for r in books.all("refund") if r["status"] == "succeeded"]
    for row in (*back, *(d for d in books.all("dispute") if d["status"] == "lost")):
        charge = books.get("charge", row["charge"])
        on = _day(min((m["created"] for m in row.get("balance_transactions", ())), default=row["created"]))
        yield (
            {
                **books.who(charge["customer"], charge["billing_details"]),
                "fee.received": money(-row["amount"], row["currency"]),
                "fee.received_at": on.isoformat(),
                "fee.method": charge["payment_method_details"]["type"],
            },
            on,
            on,
        )
    for note in books.all("credit_note"):
        if note["status"] == "void":
            continue
        on, elsewhere = _day(note["effective_at"]), note["out_of_band_amount"]
        yield (
            {
                **books.who(note["customer"], _shown(books.get("invoice", note["invoice"]))),
                "fee.billed": money(-note["total"], note["currency"]),
                "fee.received": money(-elsewhere, note["currency"]) if elsewhere else None,
                "fee.received_at": on.isoformat() if elsewhere else None,
                "fee.method": OUTSIDE if elsewhere else None,
                "invoice.number": note["number"],
            },
            on,
            on,
        )


def _case(books: Books, dispute: Row) -> tuple[dict[str, Any], dt.date]:
    """Return a dispute's case and the day it ended.

    Stripe keeps no such day: where money came back it is that day, else by the policy a year after it began.
    """
    charge, opened = books.get("charge", dispute["charge"]), _day(dispute["created"])
    moves = sorted(m["created"] for m in dispute["balance_transactions"])
    came_back = dispute["status"] != "lost" and len(moves) == 2
    closed = _day(moves[-1]) if came_back else min(opened + YEAR, books.as_of)
    amount = str(money(dispute["amount"], dispute["currency"])).split()
    return {
        **books.who(charge["customer"], charge["billing_details"]),
        "case.kind": "payment_dispute",
        "case.opened_on": opened.isoformat(),
        "case.closed_on": closed.isoformat(),
        "case.body": Told(
            frozenset({dispute["reason"], dispute["status"], *amount}), frozenset({"reason", "outcome", "amount"})
        ),
    }, closed


def money(amount: int, currency: str) -> int | str:
    """Return won as they are, and of another currency its name and its hundredths; no other is in the company."""
    if currency == "krw":
        return amount
    sign = "-" if amount < 0 else ""
    return f"{currency.upper()} {sign}{abs(amount) // 100}.{abs(amount) % 100:02d}"


def _shown(bill: Row) -> dict[str, Any]:
    return {n: bill.get(f"customer_{n}") for n in ("name", "email", "phone", "address")}


def _day(moment: int) -> dt.date:
    return dt.datetime.fromtimestamp(moment, SEOUL).date()
