"""The changing steps at Stripe before redaction; each reads first, so that a repetition changes nothing more."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from include.outcomes import Outcome
from include.processors import STALE_LOCATOR, Result, Work
from include.processors._stripe_api import Api, Declined, safe_id
from include.processors._stripe_find import Dealings, Finder, settled

ENDED = frozenset({"canceled", "incomplete_expired"})
CANCELABLE = frozenset({"requires_payment_method", "requires_confirmation", "requires_action"})
CUSTOMER_FIELDS = (
    "address", "business_name", "description", "email", "individual_name", "name", "phone", "preferred_locales",
    "shipping",
)  # fmt: skip
BLANK_SHIPPING: dict[str, Any] = {
    "name": "-",
    "phone": "",
    "address": {"line1": "-", "line2": "", "city": "", "state": "", "postal_code": "", "country": ""},
}
"""A charge's shipping can be overwritten but not unset."""

REDACTED = "[redacted]"
"""What Stripe shows in place of a redacted value; such an object takes no update."""

BLANK_BILLING: dict[str, Any] = {"address": "", "email": "", "name": "", "phone": ""}
UNEXPECTED_STATE = "payment_intent_unexpected_state"
SAMPLE = 10


class Eraser:
    """Ends, detaches, blanks and deletes what was located."""

    def __init__(self, api: Api, finder: Finder, *, invoice_usage: bool) -> None:
        self.api, self.finder, self.invoice_usage = api, finder, invoice_usage
        self._final: set[tuple[Any, Any]] = set()  # states in which Stripe said that it takes no more than `rest`

    def _living(self, locator: Mapping[str, Any], **params: Any) -> list[dict[str, Any]]:
        """Return the located customers that are not deleted yet."""
        rows = [self.finder.customer(key, **params) for key in locator.get("customers", ())]
        return [row for row in rows if row.get("deleted") is not True]

    # -- subscriptions ---------------------------------------------------------------------------------------------
    def cancel_subscriptions(self, work: Work) -> Result:
        """End the subscriptions, with a last invoice over the usage owed; what must wait first, waits."""
        for customer in self._living(work.locator):
            stopped = self._stopped(work, customer)
            if stopped:
                return stopped
            rows = self.api.pages("/v1/subscriptions", customer=customer["id"], status="all")
            running = [row for row in rows if row.get("status") not in ENDED]
            for row in running:
                self._cancel(row["id"])
            stopped = self._stopped(work, customer) if running else None
            if stopped:
                return stopped
        return Result(work.disposal_id, Outcome.ACCEPTED)

    def _stopped(self, work: Work, customer: dict[str, Any]) -> Result | None:
        """Return what keeps this customer: a hold, or a dealing that came after the extract and is not archived yet."""
        done = Dealings()
        self.finder.balance(done, customer)
        self.finder.of_customer(done, customer["id"])
        if done.holds:
            return Result(work.disposal_id, Outcome.BLOCKED, code=sorted(done.holds)[0])
        seen = {*work.locator.get("charges", ()), *work.locator.get("invoices", ())}
        if {c["id"] for c in done.charges} | settled(done.invoices) <= seen:
            return None
        return Result(work.disposal_id, Outcome.FAILED, code=STALE_LOCATOR)

    def _cancel(self, key: str) -> None:
        path = f"/v1/subscriptions/{safe_id(key)}"
        try:
            self.api.delete(path, invoice_now=self.invoice_usage, prorate=False)
        except Declined:  # a repeated cancel answers 404: the state is read, not guessed
            if self.api.get(path).get("status") not in ENDED:
                raise

    # -- detach ----------------------------------------------------------------------------------------------------
    def detach(self, work: Work) -> Result:
        """Detach cards and legacy sources, delete tax ids, cancel cards that were begun to be set up."""
        for customer in self._living(work.locator, expand=["sources", "tax_ids"]):
            path = f"/v1/customers/{safe_id(customer['id'])}"
            for part in ("payment_methods", "sources", "tax_ids"):
                rows = self._attached(path, part, customer.get(part))
                for row in rows:
                    self._take_off(path, part, row["id"])
                if rows and self.api.pages(f"{path}/{part}"):
                    return Result(work.disposal_id, Outcome.FAILED, code="still_attached")
            for row in self.api.pages("/v1/setup_intents", customer=customer["id"]):
                if row.get("status") in CANCELABLE:
                    self.api.post(f"/v1/setup_intents/{safe_id(row['id'])}/cancel")
        return Result(work.disposal_id, Outcome.ACCEPTED)

    def _attached(self, customer: str, part: str, shown: object) -> list[dict[str, Any]]:
        """Return what hangs below a customer: as the customer shows it where that is all, else as listed."""
        if isinstance(shown, dict) and shown.get("has_more") is False and isinstance(shown.get("data"), list):
            return list(shown["data"])
        return self.api.pages(f"{customer}/{part}")

    def _take_off(self, customer: str, part: str, key: str) -> None:
        """Detach or delete one part; what it says counts for nothing, the list is read again.

        A payment method's billing details are blanked first: once detached it takes no update.
        """
        if part == "payment_methods":
            method = f"/v1/payment_methods/{safe_id(key)}"
            with suppress(Declined):  # some types take no update; redaction covers them
                self.api.post(method, {"billing_details": BLANK_BILLING, "metadata": ""})
            with suppress(Declined):
                self.api.post(f"{method}/detach")
        else:
            with suppress(Declined):
                self.api.delete(f"{customer}/{part}/{safe_id(key)}")

    # -- scrub -----------------------------------------------------------------------------------------------------
    def scrub(self, work: Work) -> Result:
        """Blank what updates can reach, then cancel what was begun and never paid: a final payment takes less.

        The opaque account id stays (or is set) on the customer until it is deleted. Without it a customer whose
        e-mail is gone could not be found again, should a hold stop the deletion.
        """
        living = self._living(work.locator)
        for customer in living:
            changes = self._customer_changes(customer, work.account_id)
            if changes:
                self.api.post(f"/v1/customers/{safe_id(customer['id'])}", changes)
        unblanked, owners = 0, {customer["id"] for customer in living}
        for kind, path, no_shipping in (
            ("charges", "/v1/charges", BLANK_SHIPPING),
            ("intents", "/v1/payment_intents", ""),
        ):
            for row in self._payments(path, living, work.locator.get(kind, ())):
                one = f"{path}/{safe_id(row['id'])}"
                unblanked += not self._blank(one, row, no_shipping)
                if kind == "intents" and row.get("status") in CANCELABLE and row.get("customer") in owners:
                    self.api.post(f"{one}/cancel")
        return Result(work.disposal_id, Outcome.ACCEPTED, code="left_to_redaction" if unblanked else None)

    def _customer_changes(self, customer: Mapping[str, Any], account_id: str) -> dict[str, Any]:
        changes: dict[str, Any] = {name: "" for name in CUSTOMER_FIELDS if customer.get(name)}
        settings = customer.get("invoice_settings") or {}
        printed = {name: "" for name in ("custom_fields", "footer") if settings.get(name)}
        if printed:
            changes["invoice_settings"] = printed
        key, metadata = self.finder.policy.metadata_key, customer.get("metadata") or {}
        wanted = {name: "" for name in metadata if name != key}
        if changes or wanted:
            if account_id and metadata.get(key) != account_id:
                wanted[key] = account_id
            if wanted:
                changes["metadata"] = wanted
        return changes

    def _payments(
        self, path: str, living: Sequence[Mapping[str, Any]], keys: Sequence[str]
    ) -> Iterator[dict[str, Any]]:
        """Yield payments as they are now: listed by customer, and one by one what no living customer has."""
        seen = set()
        for customer in living:
            for row in self.api.pages(path, customer=customer["id"]):
                seen.add(row["id"])
                yield row
        for key in keys:
            if key not in seen:
                try:
                    yield self.api.get(f"{path}/{safe_id(key)}")
                except Declined as declined:
                    if not declined.missing:
                        raise

    def _blank(self, path: str, row: Mapping[str, Any], no_shipping: Any) -> bool:
        """Blank one charge or PaymentIntent; return whether everything asked for was taken."""
        names = ("description", "metadata", "receipt_email")
        changes: dict[str, Any] = {name: "" for name in names if row.get(name) and row[name] != REDACTED}
        if row.get("shipping") and row["shipping"].get("name") not in {"-", REDACTED}:
            changes["shipping"] = no_shipping
        if not changes:
            return True
        rest: dict[str, Any] = {name: "" for name in ("description", "metadata") if name in changes}
        state = (row.get("object"), row.get("status"))
        if rest == changes or state not in self._final:
            try:
                self.api.post(path, changes)
                return True
            except Declined as declined:  # a final PaymentIntent takes no more than description and metadata
                if declined.code == UNEXPECTED_STATE:
                    self._final.add(state)
        if rest and rest != changes:
            try:
                self.api.post(path, rest)
            except Declined:
                return False
        return False

    # -- delete ----------------------------------------------------------------------------------------------------
    def delete_customer(self, work: Work) -> Result:
        """Delete the customers and read each back at once: the next look may be months away."""
        deleted = set(work.locator.get("deleted", ()))
        for customer in self._living(work.locator):
            key = customer["id"]
            try:
                reply = self.api.delete(f"/v1/customers/{safe_id(key)}")
                if reply.get("deleted") is True and reply.get("id") == key:
                    deleted.add(key)
            except Declined as declined:  # 404 on a delete proves nothing; the customer is read below
                if not declined.missing:
                    raise
        locator = {**work.locator, "deleted": sorted(deleted)}
        if not all(self.is_gone(key, locator) for key in work.locator.get("customers", ())):
            return Result(work.disposal_id, Outcome.FAILED, code="still_present", locator=locator)
        return Result(work.disposal_id, Outcome.ACCEPTED, locator=locator)

    def is_gone(self, key: str, locator: Mapping[str, Any]) -> bool:
        """Return whether a customer reads as deleted; "no such customer" counts only where our delete was acknowledged.

        With a key of another account every customer would be unknown.
        """
        try:
            row = self.finder.customer(key)
        except Declined as declined:
            if declined.missing:
                return key in locator.get("deleted", ())
            raise
        return row.get("deleted") is True and row.get("id") == key

    def shows_email(self, charges: Sequence[str]) -> bool:
        """Return whether any of the newest charges still shows an e-mail address after redaction."""
        for key in list(charges)[-SAMPLE:]:
            try:
                row = self.api.get(f"/v1/charges/{safe_id(key)}")
            except Declined:
                continue
            texts = ((row.get("billing_details") or {}).get("email"), row.get("receipt_email"))
            if any("@" in str(text or "") for text in texts):
                return True
        return False
