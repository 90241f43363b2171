"""What a person did at Stripe (charges, payments, invoices, credit notes, refunds, disputes), and the holds in it.

Read at `locate`, again before the first change, and again before redaction. Lists by customer are asked first; whether
they answer for a deleted customer is not documented, so what is known by id is then read one by one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from threading import Lock
from typing import Any

from include.processors import Settlement
from include.processors._stripe.api import Api, Declined, safe_id
from include.processors._stripe.policy import Policy

SEOUL = timezone(timedelta(hours=9))
OPEN_DISPUTES = frozenset(
    {
        "warning_needs_response", "warning_under_review", "needs_response", "under_review",
        "appeal_needs_response", "appeal_under_review",
    }
)  # fmt: skip
PENDING_REFUNDS = frozenset({"pending", "requires_action"})
BUSY_INTENTS = frozenset({"processing", "requires_capture"})
UNSETTLED = frozenset({"draft", "open"})
ENDED = frozenset({"canceled", "incomplete_expired"})
AFTER_SALE = ("pending_refund", "open_dispute")
"""Holds that may come up after the customer is gone."""

KINDS = ("charges", "intents", "invoices", "refunds", "disputes", "credit_notes")
PATHS = {"charges": "/v1/charges", "intents": "/v1/payment_intents", "invoices": "/v1/invoices"}
EXPANDED = {"charges": "refunds", "invoices": "payments"}

Row = dict[str, Any]


def seoul_date(stamp: object) -> date:
    """Return the Seoul date of a Unix time."""
    return datetime.fromtimestamp(float(stamp), SEOUL).date()  # type: ignore[arg-type]


def reference(value: object) -> str:
    """Return the id of another object, whether it is shown as an id or expanded."""
    return str(value.get("id") or "") if isinstance(value, Mapping) else str(value or "")


@dataclass(slots=True)
class Dealings:
    """What was done, each kind by id; `owed` are draft and open invoices whose debt two people released."""

    charges: dict[str, Row] = field(default_factory=dict)
    intents: dict[str, Row] = field(default_factory=dict)
    invoices: dict[str, Row] = field(default_factory=dict)
    refunds: dict[str, Row] = field(default_factory=dict)
    disputes: dict[str, Row] = field(default_factory=dict)
    credit_notes: dict[str, Row] = field(default_factory=dict)
    holds: list[str] = field(default_factory=list)
    owed: list[str] = field(default_factory=list)
    newest: int = 0

    def ids(self) -> dict[str, list[str]]:
        """Return the ids of every kind, sorted, as a locator keeps them."""
        return {kind: sorted(getattr(self, kind)) for kind in KINDS}

    def records(self) -> dict[str, set[str]]:
        """Return the ids of what may be a statutory record: what must be archived before it is destroyed."""
        return {
            "charges": {k for k, c in self.charges.items() if took_money(c)},
            "invoices": {k for k, i in self.invoices.items() if i.get("status") in {"paid", "uncollectible"}},
            "refunds": {k for k, r in self.refunds.items() if r.get("status") == "succeeded"},
            "disputes": {k for k, d in self.disputes.items() if d.get("status") not in OPEN_DISPUTES},
            "credit_notes": {k for k, n in self.credit_notes.items() if n.get("status") != "void"},
        }

    def extracted(self) -> dict[str, list[str]]:
        """Return the ids of what is extracted for the archive, sorted: records, and owed invoices closed by us."""
        found = self.records()
        found["invoices"] |= set(self.owed)
        return {kind: sorted(ids) for kind, ids in found.items()}

    def beyond(self, locator: Mapping[str, Any]) -> dict[str, list[str]]:
        """Return the records that `locator` says nothing of having been extracted, by kind."""
        known: Mapping[str, Any] = locator.get("extracted") or {}
        new = {kind: sorted(ids - set(known.get(kind, ()))) for kind, ids in self.records().items()}
        return {kind: ids for kind, ids in new.items() if ids}


def with_late(locator: Mapping[str, Any], done: Dealings, late: Mapping[str, list[str]]) -> dict[str, Any]:
    """Return a locator that names the records to be extracted now (`late`), and counts them as extracted."""
    known: Mapping[str, Any] = locator.get("extracted") or {}
    extracted = {k: sorted({*known.get(k, ()), *late.get(k, ())}) for k in sorted({*known, *late})}
    seen = {k: sorted({*locator.get(k, ()), *ids}) for k, ids in done.ids().items() if k in PATHS}
    return {**locator, **seen, "extracted": extracted, "late": dict(late)}


def took_money(charge: Mapping[str, Any]) -> bool:
    """Return whether a charge is a payment: a failed or only authorised one is no dealing."""
    return charge.get("status") == "succeeded" and charge.get("captured") is not False


class Ledger:
    """Reads dealings; changes nothing."""

    def __init__(self, api: Api, policy: Policy, as_of: date) -> None:
        self.api, self.policy, self.as_of = api, policy, as_of
        self._lock = Lock()
        self._inquiries: dict[str, list[Row]] | None = None

    # -- by customer, by guest payment -----------------------------------------------------------------------------
    def of_customer(self, done: Dealings, key: str, known: Mapping[str, Any] | None = None) -> None:
        """Add one customer's dealings; with `known` ids (a locator) also where its lists are closed by now."""
        try:
            for kind in PATHS:
                self._add(done, kind, self._list(kind, customer=key))
        except Declined as declined:
            if not declined.missing or known is None:
                raise
            for kind in PATHS:
                self._add(done, kind, self._one_by_one(kind, known.get(kind, ())))
        self._credit_notes(done, key)

    def of_guest(self, done: Dealings, intent: str) -> None:
        """Add one guest payment's dealings."""
        row = self.api.get(f"/v1/payment_intents/{safe_id(intent)}")
        self._add(done, "intents", [row])
        self._add(done, "charges", self._list("charges", payment_intent=intent))

    def again(self, locator: Mapping[str, Any], settled: Sequence[Settlement]) -> Dealings:
        """Return the dealings of what was located, as they are now."""
        done = Dealings()
        for key in (*locator.get("customers", ()), *locator.get("gone", ())):
            self.of_customer(done, key, locator)
        for key in locator.get("guest_intents", ()):
            self.of_guest(done, key)
        self.judge(done, settled)
        return done

    def _list(self, kind: str, **owner: Any) -> list[Row]:
        expand: dict[str, Any] = {"expand": [f"data.{EXPANDED[kind]}"]} if kind in EXPANDED else {}
        return self.api.settled(PATHS[kind], **{**owner, **expand})

    def _one_by_one(self, kind: str, keys: Iterable[str]) -> list[Row]:
        expand: dict[str, Any] = {"expand": [EXPANDED[kind]]} if kind in EXPANDED else {}
        return [self.api.get(f"{PATHS[kind]}/{safe_id(key)}", **expand) for key in keys]

    @staticmethod
    def _add(done: Dealings, kind: str, rows: Iterable[Row]) -> None:
        getattr(done, kind).update({row["id"]: row for row in rows})

    def _credit_notes(self, done: Dealings, key: str) -> None:
        mine = [i["id"] for i in done.invoices.values() if reference(i.get("customer")) == key]
        if not mine:
            return
        try:
            rows = self.api.settled("/v1/credit_notes", optional=True, customer=key)
        except Declined as declined:
            if not declined.missing:
                raise
            rows = [row for invoice in mine for row in self.api.pages("/v1/credit_notes", invoice=invoice)]
        self._add(done, "credit_notes", rows)

    # -- money the customer has or owes ----------------------------------------------------------------------------
    def of_living(self, done: Dealings, row: Mapping[str, Any]) -> None:
        """Add the holds of a customer that lives: balances in any currency, credits bought, what waits to be billed."""
        key = row["id"]
        path = f"/v1/customers/{safe_id(key)}/balance_transactions"
        ends: dict[str, int] = {}
        for move in self.api.pages(path, optional=True):
            ends.setdefault(str(move.get("currency")), int(move.get("ending_balance") or 0))
        cash = ((row.get("cash_balance") or {}).get("available") or {}).values()
        credit = (row.get("invoice_credit_balance") or {}).values()
        if any(int(amount or 0) for amount in (row.get("balance"), *ends.values(), *cash, *credit)):
            done.holds.append("non_zero_balance")
        if self._credits_left(key):
            done.holds.append("non_zero_balance")
        if self.api.pages("/v1/invoiceitems", optional=True, customer=key, pending=True):
            done.holds.append("pending_invoice_item")
        if self.policy.subscriptions == "hold":
            rows = self.api.pages("/v1/subscriptions", customer=key, status="all")
            if any(row.get("status") not in ENDED for row in rows):
                done.holds.append("running_subscription")

    def _credits_left(self, key: str) -> bool:
        """Return whether credits that were paid for are unspent; a promotion is no debt."""
        grants = self.api.pages("/v1/billing/credit_grants", optional=True, customer=key)
        for grant in grants:
            if grant.get("category") == "promotional" or grant.get("voided_at"):
                continue
            asked = {"type": "credit_grant", "credit_grant": grant["id"]}
            summary = self.api.get("/v1/billing/credit_balance_summary", customer=key, filter=asked)
            for balance in summary.get("balances") or ():
                if int((((balance.get("available_balance") or {}).get("monetary")) or {}).get("value") or 0):
                    return True
        return False

    # -- holds -----------------------------------------------------------------------------------------------------
    def judge(self, done: Dealings, settled: Sequence[Settlement]) -> None:
        """Add refunds, disputes, the newest moment and the holds in what was read; once everything is read."""
        for invoice in done.invoices.values():
            done.holds += self._invoice(done, invoice, settled)
        for intent in done.intents.values():
            done.holds += self._intent(done, intent)
        for charge in done.charges.values():
            done.holds += self._charge(done, charge)
        done.holds = sorted(set(done.holds))

    def _invoice(self, done: Dealings, invoice: Row, settled: Sequence[Settlement]) -> list[str]:
        status, created = invoice.get("status"), int(invoice.get("created") or 0)
        if status in UNSETTLED:
            if settlement_of(invoice, settled):
                done.owed.append(invoice["id"])
                return []
            return [f"{status}_invoice"]
        done.newest = max(done.newest, created)
        held = status == "uncollectible" and self.policy.uncollectible_invoices == "hold"
        return ["uncollectible_invoice"] if held else []

    def _intent(self, done: Dealings, intent: Row) -> list[str]:
        created, status = int(intent.get("created") or 0), intent.get("status")
        young = self.as_of - seoul_date(created) <= timedelta(days=self.policy.unfinished_payment_days)
        if status == "succeeded":
            done.newest = max(done.newest, created)
        return ["pending_payment"] if status in BUSY_INTENTS or (status == "requires_action" and young) else []

    def _charge(self, done: Dealings, charge: Row) -> list[str]:
        done.newest = max(done.newest, int(charge.get("created") or 0))
        codes = ["pending_payment"] if charge.get("status") == "pending" else []
        refunds, disputes = self._refunds(charge), self._disputes(charge)
        self._add(done, "refunds", ({**row, "charge": charge["id"]} for row in refunds))
        self._add(done, "disputes", ({**row, "charge": charge["id"]} for row in disputes))
        for row in (*refunds, *disputes):
            done.newest = max(done.newest, int(row.get("created") or 0))
        codes += ["pending_refund" for r in refunds if r.get("status") in PENDING_REFUNDS]
        return codes + ["open_dispute" for d in disputes if d.get("status") in OPEN_DISPUTES]

    def _refunds(self, charge: Row) -> list[Row]:
        shown = charge.get("refunds")
        if isinstance(shown, dict) and shown.get("has_more") is False:
            return list(shown.get("data") or [])
        return self.api.pages("/v1/refunds", charge=charge["id"])

    def _disputes(self, charge: Row) -> list[Row]:
        """Return a charge's disputes; an inquiry need not mark its charge, so the young ones are looked up."""
        if charge.get("disputed"):
            return self.api.pages("/v1/disputes", charge=charge["id"])
        return self._young_disputes().get(charge["id"], [])

    def _young_disputes(self) -> dict[str, list[Row]]:
        """Return the account's disputes of the last days by charge, listed once per task."""
        with self._lock:
            if self._inquiries is None:
                days = timedelta(days=self.policy.inquiry_days)
                since = datetime.combine(self.as_of - days, datetime.min.time(), SEOUL)
                found: dict[str, list[Row]] = {}
                rows = self.api.newest("/v1/disputes", int(since.timestamp())) if self.policy.inquiry_days else ()
                for row in rows:
                    found.setdefault(reference(row.get("charge")), []).append(row)
                self._inquiries = found
            return self._inquiries


def settlement_of(invoice: Mapping[str, Any], settled: Sequence[Settlement]) -> Settlement | None:
    """Return the release that covers an invoice: the first one on or after the day it was made."""
    made = seoul_date(invoice.get("created") or 0)
    return next((s for s in sorted(settled, key=lambda s: s.on) if made <= s.on), None)
