"""Finding a person's customers and guest payments at Stripe.

Listing by e-mail is exact, case-sensitive and up to date; search ignores case but lags and may show customers that
are gone. So both are asked, every hit is compared here (a search for `a@x` also returns `aa@x`), and what only the
search knows is read again. A customer that carries another account's id is not ours, whatever its e-mail says.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from include.processors import Subject
from include.processors._stripe.api import Api, Declined, safe_id
from include.processors._stripe.dealings import reference
from include.processors._stripe.policy import Policy

BALANCES = ("cash_balance",)
"""What a customer shows only when asked."""


@dataclass(slots=True)
class Belongings:
    """Who at Stripe is this person: customers that live, customers that are gone, guest Checkout sessions."""

    live: dict[str, dict[str, Any]] = field(default_factory=dict)
    gone: list[str] = field(default_factory=list)
    sessions: list[dict[str, Any]] = field(default_factory=list)
    by_email_only: bool = False
    unclear: bool = False


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

    def __init__(self, api: Api, policy: Policy) -> None:
        self.api, self.policy = api, policy

    # -- who -------------------------------------------------------------------------------------------------------
    def belongings(self, subject: Subject) -> Belongings:
        """Return everything at Stripe that is this account's."""
        found, folded = Belongings(), {e.strip().casefold() for e in subject.emails if e.strip()}
        addresses = spellings(subject.emails)
        for address in addresses:
            for row in self.api.pages("/v1/customers", email=address, expand=[f"data.{name}" for name in BALANCES]):
                self._take(found, row, subject.account_id, folded)
        for row in self._searched(subject.account_id, addresses):
            if row["id"] not in found.live and self._whose(row, subject.account_id, folded):
                self._take(found, self.customer(row["id"], BALANCES), subject.account_id, folded)
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

    def customer(self, key: str, expand: Sequence[str] = ()) -> dict[str, Any]:
        """Return one customer as it is now: whole, or `{id, object, deleted}`, which has nothing to expand."""
        path = f"/v1/customers/{safe_id(key)}"
        try:
            return self.api.get(path, expand=list(expand)) if expand else self.api.get(path)
        except Declined as declined:
            if not expand or declined.missing:
                raise
            row = self.api.get(path)
            if row.get("deleted") is True:
                return row
            raise

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
        key = reference(session["customer"])
        if key in found.live or key in found.gone:
            return
        row = self.customer(key, BALANCES)
        ours = str(session.get("client_reference_id") or "") == account_id
        if row.get("deleted") is not True or ours:
            self._take(found, row, account_id, folded)
        owner = (row.get("metadata") or {}).get(self.policy.metadata_key)
        found.unclear |= key not in found.live and row.get("deleted") is not True and not owner
