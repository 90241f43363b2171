"""Made-up Stripe objects of one person: what the seeded company starts with.

All ids are derived from `number`, so that the same seed gives the same objects. Kinds are Stripe's own `object` words.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from include.sandbox._stripe.money import credit_note, invoice_item, schedule, setup_intent
from include.sandbox._stripe.shapes import (
    card,
    charge,
    checkout,
    customer,
    dispute,
    invoice,
    legacy_source,
    paid_with,
    payment_intent,
    refund,
    stamp,
    subscription,
    tax_id,
)

VARIANTS: tuple[str, ...] = (
    "one_customer",
    "two_customers",  # the second spelt with capitals, as case-sensitive e-mails allow
    "none",  # the person never paid through Stripe
    "legacy_source",  # a card kept as a source, not as a payment method
    "open_invoice",
    "dispute_open",
    "guest_only",  # paid through Checkout without a customer
    "active_subscription",
    "draft_invoice",
    "non_zero_balance",
    "pending_refund",
    "no_metadata",  # found by e-mail only
    "paid_back",  # a refund, a credit note and a dispute that was lost
    "begun",  # a subscription still to start, a Checkout Session and a card left half-way
    "cash_balance",
    "pending_item",  # work that waits for the next invoice
    "inquiry",  # a dispute's forerunner, which does not mark its charge
)
"""What `variant` picks, by index modulo the length."""

Objects = dict[str, list[dict[str, Any]]]


class _Person:
    """The objects of one person under construction."""

    def __init__(self, number: int) -> None:
        self.number, self.objects = number, Objects()

    def key(self, prefix: str, index: int) -> str:
        return f"{prefix}_s{self.number:07d}x{index:03d}"

    def add(self, row: dict[str, Any], kind: str | None = None) -> dict[str, Any]:
        self.objects.setdefault(kind or row["object"], []).append(row)
        return row

    def pay(self, person: Mapping[str, Any], index: int, payment: Mapping[str, Any], *, guest: bool) -> None:
        created, amount = stamp(payment["paid_on"]), int(payment["amount"] or 0)
        if not guest and index % 2 == 0:  # every other payment through an invoice
            bill = self.add(invoice(self.key("in", index), person, amount=amount, created=created))
            self.add(
                paid_with(self.key("inpay", index), bill["id"], self.key("pi", index), amount=amount, created=created)
            )
        intent = self.add(payment_intent(self.key("pi", index), person, amount=amount, created=created, guest=guest))
        paid = self.add(
            charge(
                self.key("ch", index),
                person,
                amount=amount,
                created=created,
                method="card" if payment["method"] == "card" else "kr_card",
                guest=guest,
            )
        )
        for row in (intent, paid):
            row["metadata"] = {**row["metadata"], "payment_id": str(payment["payment_id"])}
        if guest:
            self.add(
                checkout(self.key("cs", index), person, intent["id"], amount=amount, created=created),
                "checkout_session",
            )


def _pay_back(build: _Person, person: Mapping[str, Any], created: int) -> None:
    """Add what is given back: a refund of one charge, a credit note, a dispute that was lost."""
    charges = build.objects["charge"]
    first, last = charges[0], charges[-1]
    first["amount_refunded"] = 100
    build.add(refund(build.key("re", 900), first["id"], amount=100, created=first["created"], status="succeeded"))
    for bill in build.objects.get("invoice", [])[:1]:
        build.add(credit_note(build.key("cn", 900), bill, amount=200, created=bill["created"]))
    last["disputed"] = True
    lost = dispute(build.key("du", 900), last["id"], amount=last["amount"], created=created, status="lost")
    lost["evidence"] |= {"customer_email_address": person["email"], "uncategorized_text": f"Said by {person['name']}"}
    build.add(lost)


def _begin(build: _Person, person: Mapping[str, Any], created: int) -> None:
    """Add what was begun and never finished."""
    build.add(schedule(build.key("sub_sched", 900), person, created=created))
    build.add(setup_intent(build.key("seti", 900), person, created=created))
    intent = payment_intent(build.key("pi", 900), person, amount=500, created=created)
    build.add({**intent, "amount_received": 0, "latest_charge": None, "status": "requires_payment_method"})
    session = checkout(build.key("cs", 900), person, intent["id"], amount=500, created=created)
    changes = {"customer": person["id"], "payment_status": "unpaid", "status": "open"}
    build.add({**session, **changes}, "checkout_session")


def _inquire(build: _Person, person: Mapping[str, Any], created: int) -> None:
    charge_id, amount = build.objects["charge"][-1]["id"], build.objects["charge"][-1]["amount"]
    build.add(dispute(build.key("du", 900), charge_id, amount=amount, created=created, status="warning_under_review"))


def _hold_cash(build: _Person, person: dict[str, Any], created: int) -> None:
    person["_cash_balance"] = {"krw": 700}


def _work_more(build: _Person, person: Mapping[str, Any], created: int) -> None:
    build.add(invoice_item(build.key("ii", 900), person, amount=300, created=created))


OWED: Mapping[str, Callable[[_Person, dict[str, Any], int], None]] = {
    "paid_back": _pay_back,
    "begun": _begin,
    "cash_balance": _hold_cash,
    "pending_item": _work_more,
    "inquiry": _inquire,
}


def _trouble(build: _Person, person: dict[str, Any], what: str, on: dt.date) -> None:
    """Add what a variant needs beyond its payments."""
    created, charges = stamp(on), build.objects.get("charge", [])
    if what == "legacy_source":
        build.add(legacy_source(build.key("card", 900), person), "source")
        build.add(tax_id(build.key("txi", 900), person, created=created))
        person["default_source"] = build.key("card", 900)
    elif what in {"open_invoice", "draft_invoice"}:
        build.add(invoice(build.key("in", 900), person, amount=9900, created=created, status=what.partition("_")[0]))
    elif what == "dispute_open" and charges:
        charges[-1]["disputed"] = True
        build.add(dispute(build.key("du", 900), charges[-1]["id"], amount=charges[-1]["amount"], created=created))
    elif what == "active_subscription":
        build.add(subscription(build.key("sub", 900), person, created=created))
        build.add(subscription(build.key("sub", 901), person, created=created, status="canceled"))
    elif what in OWED and (charges or what not in {"paid_back", "inquiry"}):
        OWED[what](build, person, created)
    elif what == "non_zero_balance":
        person["balance"] = -5000
    elif what == "pending_refund" and charges:
        charges[-1]["amount_refunded"] = 100
        build.add(refund(build.key("re", 900), charges[-1]["id"], amount=100, created=created, status="pending"))


def seed_person(
    *,
    number: int,
    account_id: str,
    email: str,
    name: str,
    on: dt.date,
    payments: Sequence[Mapping[str, Any]],
    variant: int,
) -> Objects:
    """Return one person's Stripe objects by kind, for `StandIn.seed`.

    `on` is the day the person became a customer and, for a variant with trouble, the day it began. `payments` items
    hold `payment_id`, `amount` (won), `paid_on` and `method`. `variant` picks from `VARIANTS`; one that needs a payment
    to go wrong (a dispute, a refund) is an ordinary customer where there is none.
    """
    what = VARIANTS[variant % len(VARIANTS)]
    if what == "none":
        return {}
    build = _Person(number)
    first = min([on, *(p["paid_on"] for p in payments)])
    known = None if what == "no_metadata" else account_id
    person = customer(build.key("cus", 0), email=email, name=name, created=stamp(first, hour=9), account_id=known)
    guest = what == "guest_only"
    if not guest:
        build.add(person)
        build.add(card(build.key("pm", 0), person, created=stamp(first, hour=9)))
    payers = [person]
    if what == "two_customers":
        payers.append(
            build.add(
                customer(
                    build.key("cus", 1),
                    email=email.upper(),
                    name=name,
                    created=stamp(first, hour=10),
                    account_id=account_id,
                )
            )
        )
    for index, payment in enumerate(payments):
        build.pay(payers[index % len(payers)], index, payment, guest=guest)
    _trouble(build, person, what, on)
    return build.objects
