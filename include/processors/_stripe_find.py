"""Finding a person's customers and guest payments at Stripe, and the reasons why they must wait.

Listing by e-mail is exact, case-sensitive and up to date; search ignores case but lags and may show customers that
are gone. So both are asked, every hit is compared here (a search for `a@x` also returns `aa@x`), and what only the
search knows is read again. A customer that carries another account's id is not ours, whatever its e-mail says.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from typing import Any

from include.processors import Subject
from include.processors._stripe_api import Api, Declined, safe_id

SEOUL = timezone(timedelta(hours=9))
OPEN_DISPUTES = frozenset(
    {
        "warning_needs_response", "warning_under_review", "needs_response", "under_review",
        "appeal_needs_response", "appeal_under_review",
    }
)  # fmt: skip
PENDING_REFUNDS = frozenset({"pending", "requires_action"})
BUSY_INTENTS = frozenset({"processing", "requires_capture"})


def settled(invoices: Iterable[Mapping[str, Any]]) -> set[str]:
    """Return the ids of invoices that are records of a payment or of one written off."""
    return {str(i["id"]) for i in invoices if i.get("status") in {"paid", "uncollectible"}}


@dataclass(frozen=True, slots=True)
class Policy:
    """What the schedule says about Stripe."""

    metadata_key: str = "account_id"
    unfinished_payment_days: int = 7


@dataclass(slots=True)
class Belongings:
    """Who at Stripe is this person: customers that live, customers that are gone, guest Checkout sessions."""

    live: dict[str, dict[str, Any]] = field(default_factory=dict)
    gone: list[str] = field(default_factory=list)
    sessions: list[dict[str, Any]] = field(default_factory=list)
    by_email_only: bool = False
    unclear: bool = False


@dataclass(slots=True)
class Dealings:
    """What they did: charges, PaymentIntents, invoices, each with its refunds and disputes where a hold may lie."""

    charges: list[dict[str, Any]] = field(default_factory=list)
    intents: list[dict[str, Any]] = field(default_factory=list)
    invoices: list[dict[str, Any]] = field(default_factory=list)
    holds: list[str] = field(default_factory=list)
    newest: int = 0


def seoul_date(stamp: object) -> date:
    """Return the Seoul date of a Unix time."""
    return datetime.fromtimestamp(float(stamp), SEOUL).date()  # type: ignore[arg-type]


def spellings(emails: Sequence[str]) -> tuple[str, ...]:
    """Return the addresses as held and in the spellings a case-sensitive list may know."""
    found: dict[str, None] = {}
    for address in (e.strip() for e in emails):
        if address:
            local, at, domain = address.rpartition("@")
            for spelling in (address, f"{local}{at}{domain.lower()}", address.lower()):
                found[spelling] = None
    return tuple(found)


def quoted(text: str) -> str:
    """Return a string literal of the search language."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


class Finder:
    """Looks for people at one Stripe account; reads only."""

    def __init__(self, api: Api, policy: Policy, as_of: date) -> None:
        self.api, self.policy, self.as_of = api, policy, as_of

    # -- who -------------------------------------------------------------------------------------------------------
    def belongings(self, subject: Subject) -> Belongings:
        """Return everything at Stripe that is this account's."""
        found, folded = Belongings(), {e.strip().casefold() for e in subject.emails if e.strip()}
        addresses = spellings(subject.emails)
        for address in addresses:
            for row in self.api.pages("/v1/customers", email=address):
                self._take(found, row, subject.account_id, folded)
        for row in self._searched(subject.account_id, addresses):
            if row["id"] not in found.live and self._whose(row, subject.account_id, folded):
                self._take(found, self.customer(row["id"]), subject.account_id, folded)
        for address in addresses:
            for row in self.api.pages("/v1/checkout/sessions", customer_details={"email": address}):
                self._take_session(found, row, subject.account_id)
                if row.get("customer"):
                    self._take_payer(found, row, subject.account_id, folded)
        return found

    def unlisted(self, account_id: str) -> list[str]:
        """Return the live customers that carry the account's id, as far as the search index knows, read again."""
        found = Belongings()
        for row in self._searched(account_id, ()):
            if self._whose(row, account_id, set()):
                self._take(found, self.customer(row["id"]), account_id, set())
        return list(found.live)

    def customer(self, key: str, **params: Any) -> dict[str, Any]:
        """Return one customer as it is now: whole, or `{id, object, deleted}`."""
        return self.api.get(f"/v1/customers/{safe_id(key)}", **params)

    def _searched(self, account_id: str, addresses: Sequence[str]) -> Iterator[dict[str, Any]]:
        clauses = [f"metadata[{quoted(self.policy.metadata_key)}]:{quoted(account_id)}"] if account_id else []
        clauses += [f"email:{quoted(address)}" for address in dict.fromkeys(a.casefold() for a in addresses)]
        for start in range(0, len(clauses), 5):
            yield from self.api.pages("/v1/customers/search", query=" OR ".join(clauses[start : start + 5]))

    def _whose(self, row: Mapping[str, Any], account_id: str, folded: set[str]) -> str | None:
        owner = str((row.get("metadata") or {}).get(self.policy.metadata_key) or "")
        if owner:
            return "account" if owner == account_id else None
        return "email" if str(row.get("email") or "").casefold() in folded else None

    def _take(self, found: Belongings, row: Mapping[str, Any], account_id: str, folded: set[str]) -> None:
        key = str(row["id"])
        if row.get("deleted") is True:
            if key not in found.gone:
                found.gone.append(key)
            return
        whose = self._whose(row, account_id, folded)
        if whose:
            found.live[key] = dict(row)
            found.by_email_only |= whose == "email"

    def _take_session(self, found: Belongings, row: Mapping[str, Any], account_id: str) -> None:
        """Keep a guest's session; one with a customer is that customer's matter."""
        owner = row.get("client_reference_id") or (row.get("metadata") or {}).get(self.policy.metadata_key)
        if (
            row.get("customer")
            or (owner and str(owner) != account_id)
            or row["id"] in {s["id"] for s in found.sessions}
        ):
            return
        found.sessions.append(dict(row))
        found.by_email_only |= not owner

    def _take_payer(self, found: Belongings, session: Mapping[str, Any], account_id: str, folded: set[str]) -> None:
        """Look at the customer behind a Checkout session with our e-mail; whose it is may be for a person to say."""
        key = str(session["customer"])
        if key in found.live or key in found.gone:
            return
        row = self.customer(key)
        ours = str(session.get("client_reference_id") or "") == account_id
        if row.get("deleted") is not True or ours:
            self._take(found, row, account_id, folded)
        owner = (row.get("metadata") or {}).get(self.policy.metadata_key)
        found.unclear |= key not in found.live and row.get("deleted") is not True and not owner

    # -- what ------------------------------------------------------------------------------------------------------
    def dealings(self, found: Belongings) -> Dealings:
        """Return what these customers and guests did, and the holds in it."""
        done = Dealings()
        for key, row in found.live.items():
            self.balance(done, row)
            self.of_customer(done, key)
        for key in found.gone:
            try:
                self.of_customer(done, key)
            except Declined:  # whether lists take a deleted customer's id is not documented
                continue
        for session in found.sessions:
            self._of_guest(done, session)
        return done

    def of_customer(self, done: Dealings, key: str) -> None:
        """Add one customer's charges, PaymentIntents and invoices."""
        charges = self.api.pages("/v1/charges", customer=key, expand=["data.refunds"])
        intents = self.api.pages("/v1/payment_intents", customer=key)
        invoices = self.api.pages("/v1/invoices", customer=key)
        done.charges += charges
        done.intents += intents
        done.invoices += invoices
        for invoice in invoices:
            if invoice.get("status") in {"draft", "open"}:
                done.holds.append(f"{invoice['status']}_invoice")
            else:
                done.newest = max(done.newest, int(invoice.get("created") or 0))
        for intent in intents:
            self._intent(done, intent)
        for charge in charges:
            self._charge(done, charge)

    def _of_guest(self, done: Dealings, session: Mapping[str, Any]) -> None:
        key = session.get("payment_intent")
        if not key:
            return
        intent = self.api.get(f"/v1/payment_intents/{safe_id(key)}")
        done.intents.append(intent)
        self._intent(done, intent)
        for charge in self.api.pages("/v1/charges", payment_intent=key, expand=["data.refunds"]):
            done.charges.append(charge)
            self._charge(done, charge)

    def balance(self, done: Dealings, row: Mapping[str, Any]) -> None:
        cash = ((row.get("cash_balance") or {}).get("available") or {}).values()
        credit = (row.get("invoice_credit_balance") or {}).values()
        if any(int(amount or 0) for amount in (row.get("balance"), *cash, *credit)):
            done.holds.append("non_zero_balance")

    def _intent(self, done: Dealings, intent: Mapping[str, Any]) -> None:
        created, status = int(intent.get("created") or 0), intent.get("status")
        young = self.as_of - seoul_date(created) <= timedelta(days=self.policy.unfinished_payment_days)
        if status in BUSY_INTENTS or (status == "requires_action" and young):
            done.holds.append("pending_payment")
        if status == "succeeded":
            done.newest = max(done.newest, created)

    def _charge(self, done: Dealings, charge: Mapping[str, Any]) -> None:
        done.newest = max(done.newest, int(charge.get("created") or 0))
        if charge.get("status") == "pending":
            done.holds.append("pending_payment")
        codes, newest = self.after_sale(charge)
        done.holds += codes
        done.newest = max(done.newest, newest)

    def after_sale(self, charge: Mapping[str, Any]) -> tuple[list[str], int]:
        """Return the holds in a charge's refunds and disputes, and when the newest of them began."""
        codes, newest, key = [], 0, charge["id"]
        for refund in self._refunds(charge):
            newest = max(newest, int(refund.get("created") or 0))
            if refund.get("status") in PENDING_REFUNDS:
                codes.append("pending_refund")
        if charge.get("disputed"):
            for dispute in self.api.pages("/v1/disputes", charge=key):
                newest = max(newest, int(dispute.get("created") or 0))
                if dispute.get("status") in OPEN_DISPUTES:
                    codes.append("open_dispute")
        return codes, newest

    def _refunds(self, charge: Mapping[str, Any]) -> list[dict[str, Any]]:
        shown = charge.get("refunds")
        if isinstance(shown, dict) and shown.get("has_more") is False:
            return list(shown.get("data") or [])
        return self.api.pages("/v1/refunds", charge=charge["id"])
