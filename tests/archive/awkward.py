"""Dealings and cases that few customers have, added to those of the seeded company at both stand-ins."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from include.sandbox._stripe.money import credit_note
from include.sandbox._stripe.shapes import charge, dispute, invoice, paid_with, payment_intent, refund, stamp
from include.sandbox.zendesk import comment_row

Row = dict[str, Any]
DAY = dt.timedelta(days=1)


def seed(stripe: Any, zendesk: Any, anchor: dt.date) -> None:
    """Give every third customer bills and money in every shape, and every third user another's case to write in."""
    for number, customer in enumerate(stripe.store.all("customer")):
        if number % 3 == 0:
            stripe.seed(_dealings(customer, anchor - (400 + number % 300) * DAY))
    for ticket in zendesk.store.all("ticket"):
        user_id = 900_000_000 + ticket["id"] // 100 * 10
        number, index = divmod(ticket["id"], 100)
        if number % 3 == 0 and zendesk.store.get("user", user_id) and index in (0, 1) and ticket["status"] == "closed":
            on = anchor - 200 * DAY
            zendesk.store.update("ticket", ticket["id"], tags=["dispute" if number % 2 else "complaint"])
            said = comment_row(ticket["id"] * 10 + 5, ticket["id"], user_id, "It was charged twice", on=on)
            zendesk.seed({"comment": [said]})


def _dealings(customer: Mapping[str, Any], on: dt.date) -> dict[str, list[Row]]:
    stem = customer["id"].removeprefix("cus_")[:-3]
    rows: dict[str, list[Row]] = {}

    def add(row: Row, **changes: Any) -> Row:
        rows.setdefault(row["object"], []).append({**row, **changes})
        return rows[row["object"]][-1]

    def pay(index: int, amount: int, **changes: Any) -> Row:
        created = stamp(on + (index - 950) * DAY)
        add(payment_intent(f"pi_{stem}{index}", customer, amount=amount, created=created))
        return add(charge(f"ch_{stem}{index}", customer, amount=amount, created=created, method="card"), **changes)

    def bill(index: int, amount: int, *payers: Row, **changes: Any) -> Row:
        made = invoice(
            f"in_{stem}{index}", customer, amount=amount, created=stamp(on), status=changes.pop("status", "paid")
        )
        for n, paid in enumerate(payers):
            link, at = f"inpay_{stem}{index}{n}", paid["created"]
            add(paid_with(link, made["id"], paid["payment_intent"], amount=paid["amount"], created=at))
        return add(made, **changes)

    bill(950, 4100, period_end=stamp(on + 30 * DAY))  # paid outside Stripe, for a month to come
    bill(951, 5000, pay(951, 2000), pay(952, 3000))
    bill(953, 6000, pay(953, 2500))  # the rest outside Stripe
    bill(954, 700, status="uncollectible")
    bill(955, 800, status="void")
    left = bill(956, 1000, pay(956, 700), amount_due=700, amount_paid=700, pre_payment_credit_notes_amount=300)
    before = credit_note(f"cn_{stem}956", left, amount=300, created=stamp(on - DAY))
    add(before, out_of_band_amount=0, pre_payment_amount=300, post_payment_amount=0, type="pre_payment")
    add(credit_note(f"cn_{stem}957", left, amount=50, created=stamp(on)), status="void")
    pay(958, 900, status="failed", paid=False, captured=False, amount_captured=0)
    pay(959, 1000, amount_captured=600, amount_refunded=400)  # the rest of the authorisation was let go
    pay(960, 1234, currency="usd")
    kept = pay(961, 1500, amount_refunded=200)["id"]
    for index, status in enumerate(("succeeded", "failed", "canceled")):
        at = stamp(on + (20 + index) * DAY)
        add(refund(f"re_{stem}96{index}", kept, amount=200 + index, created=at, status=status))
    for index, status in enumerate(("won", "lost", "warning_closed")):
        asked = pay(970 + index, 3000 + index, disputed=True)["id"]
        moves = [{"id": f"txn_{stem}{index}{n}", "created": stamp(on + (30 + 25 * n) * DAY)} for n in range(2 - index)]
        case = dispute(f"du_{stem}97{index}", asked, amount=2900, created=stamp(on + 29 * DAY), status=status)
        add(case, balance_transactions=moves)
    return rows
