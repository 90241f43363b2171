"""The changing steps at Stripe before redaction; each reads first, so that a repetition changes nothing more."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from include.outcomes import Outcome
from include.processors import NOT_ARCHIVED, Result, Work
from include.processors._stripe.api import Api, Declined, safe_id
from include.processors._stripe.dealings import ENDED, Ledger, reference, settlement_of, with_late
from include.processors._stripe.find import BALANCES, Finder

CANCELABLE = frozenset({"requires_payment_method", "requires_confirmation", "requires_action"})
CUSTOMER_FIELDS = (
    "address", "business_name", "description", "email", "individual_name", "name", "phone", "shipping",
)  # fmt: skip
NEUTRAL_LOCALES = ["en"]
"""Preferred languages are a list that takes no empty value; one that says nothing stands in for it."""
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


class Eraser:
    """Ends, detaches, blanks and deletes what was located."""

    def __init__(self, api: Api, finder: Finder, ledger: Ledger) -> None:
        self.api, self.finder, self.ledger = api, finder, ledger
        self._final: set[tuple[Any, Any]] = set()  # states in which Stripe said that it takes no more than `rest`
        self._judged: set[str] = set()  # disposals whose dealings this task has read

    def _living(self, locator: Mapping[str, Any], expand: Sequence[str] = ()) -> list[dict[str, Any]]:
        """Return the located customers that are not deleted yet."""
        rows = [self.finder.customer(key, expand) for key in locator.get("customers", ())]
        return [row for row in rows if row.get("deleted") is not True]

    # -- subscriptions ---------------------------------------------------------------------------------------------
    def resumed(self, work: Work) -> Result | None:
        """Return what stops a step that an earlier task left off at, and end what began to run since; else None."""
        if work.disposal_id in self._judged:
            return None
        result = self.cancel_subscriptions(work)
        return None if result.outcome is Outcome.ACCEPTED else result

    def cancel_subscriptions(self, work: Work) -> Result:
        """End what is running or to begin, with a last invoice over the usage owed; what must wait first, waits."""
        result = self._cancelled(work)
        if result.outcome is Outcome.ACCEPTED:
            self._judged.add(work.disposal_id)
        return result

    def _cancelled(self, work: Work) -> Result:
        living = self._living(work.locator, BALANCES)
        if not living:
            return Result(work.disposal_id, Outcome.ACCEPTED)  # what came since waits for redaction's own look
        stopped = self._stopped(work, living)
        if stopped:
            return stopped
        ended = 0
        for customer in living:
            key = customer["id"]
            for row in self.api.pages("/v1/subscription_schedules", optional=True, customer=key):
                if row.get("status") == "not_started":  # one that runs ends with its subscription
                    self._cancel_schedule(row["id"])
            for row in self.api.pages("/v1/subscriptions", customer=key, status="all"):
                if row.get("status") not in ENDED:
                    self._cancel(row["id"])
                    ended += 1
        stopped = self._stopped(work, self._living(work.locator, BALANCES)) if ended else None
        return stopped or Result(work.disposal_id, Outcome.ACCEPTED)

    def _stopped(self, work: Work, living: Sequence[Mapping[str, Any]]) -> Result | None:
        """Return what keeps this person: a hold, or a dealing that came after the extract and is not archived yet.

        The locator stays: an e-mail that found them may be erased from the company's own database by now, so nobody
        could be located anew.
        """
        done = self.ledger.again(work.locator, work.settled)
        for customer in living:
            self.ledger.of_living(done, customer)
        if done.holds:
            return Result(work.disposal_id, Outcome.BLOCKED, code=sorted(done.holds)[0])
        new, owed = done.beyond(work.locator), set(done.owed) - set(work.locator.get("owed", ()))
        if not new and not owed:
            return None
        late = new | ({"invoices": sorted({*new.get("invoices", ()), *owed})} if owed else {})
        locator = {**with_late(work.locator, done, late), "owed": sorted({*work.locator.get("owed", ()), *owed})}
        return Result(work.disposal_id, Outcome.AWAITING, code=NOT_ARCHIVED, locator=locator)

    def _cancel(self, key: str) -> None:
        path = f"/v1/subscriptions/{safe_id(key)}"
        try:
            self.api.delete(path, invoice_now=self.ledger.policy.invoice_usage_on_cancel, prorate=False)
        except Declined:  # a repeated cancel answers 404: the state is read, not guessed
            if self.api.get(path).get("status") not in ENDED:
                raise

    def _cancel_schedule(self, key: str) -> None:
        path = f"/v1/subscription_schedules/{safe_id(key)}"
        try:
            self.api.post(f"{path}/cancel", {"invoice_now": False, "prorate": False})
        except Declined:
            if self.api.get(path).get("status") not in {"canceled", "completed", "released"}:
                raise

    # -- invoices whose debt was released --------------------------------------------------------------------------
    def settle_invoices(self, work: Work) -> Result:
        """Close the invoices whose debt two people released: as paid outside Stripe, or written off.

        A draft of nobody's subscription is deleted when written off; any other draft is made final first. An invoice
        that no release covers (any more) is not touched: the first step finds it and waits.
        """
        for key in work.locator.get("owed", ()):
            invoice = self._invoice(key)
            if invoice is None or invoice.get("status") not in {"draft", "open"}:
                continue
            settlement = settlement_of(invoice, work.settled)
            if settlement is None:
                return Result(work.disposal_id, Outcome.BLOCKED, code=f"{invoice['status']}_invoice")
            self._close(invoice, settlement.reason)
            after = self._invoice(key)
            if after is not None and after.get("status") in {"draft", "open"}:
                return Result(work.disposal_id, Outcome.FAILED, code="invoice_still_open")
        return Result(work.disposal_id, Outcome.ACCEPTED)

    def _invoice(self, key: str) -> dict[str, Any] | None:
        """Return an invoice as it is now, or None where it was deleted."""
        try:
            row = self.api.get(f"/v1/invoices/{safe_id(key)}")
        except Declined as declined:
            if declined.missing:
                return None
            raise
        return None if row.get("deleted") is True else row

    def _close(self, invoice: Mapping[str, Any], reason: str) -> None:
        path = f"/v1/invoices/{safe_id(invoice['id'])}"
        if invoice.get("status") == "draft":
            if reason == "written_off":
                try:
                    self.api.delete(path)
                    return
                except Declined as declined:  # a subscription's draft cannot be deleted
                    if declined.missing:
                        return
            if self.api.post(f"{path}/finalize", {"auto_advance": False}).get("status") != "open":
                return  # one over nothing is paid by being final
        if reason == "paid":
            self.api.post(f"{path}/pay", {"paid_out_of_band": True})
        else:
            self.api.post(f"{path}/void")

    # -- detach ----------------------------------------------------------------------------------------------------
    def detach(self, work: Work) -> Result:
        """Detach cards and legacy sources, delete tax ids, cancel cards that were begun to be set up."""
        for customer in self._living(work.locator, ("sources", "tax_ids")):
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
        living = self._living(work.locator, ("tax",))
        for customer in living:
            changes = self._customer_changes(customer, work.account_id)
            if changes:
                self.api.post(f"/v1/customers/{safe_id(customer['id'])}", changes)
            self._close_sessions(customer["id"])
        unblanked, owners = 0, {customer["id"] for customer in living}
        for kind, path, no_shipping in (
            ("charges", "/v1/charges", BLANK_SHIPPING),
            ("intents", "/v1/payment_intents", ""),
        ):
            for row in self._payments(path, living, work.locator.get(kind, ())):
                one = f"{path}/{safe_id(row['id'])}"
                unblanked += not self._blank(one, row, no_shipping)
                if kind == "intents" and row.get("status") in CANCELABLE and reference(row.get("customer")) in owners:
                    self._cancel_intent(one)
        return Result(work.disposal_id, Outcome.ACCEPTED, code="left_to_redaction" if unblanked else None)

    def _close_sessions(self, customer: str) -> None:
        """Expire open Checkout Sessions: their payments can be cancelled in no other way."""
        for row in self.api.pages("/v1/checkout/sessions", customer=customer, status="open"):
            with suppress(Declined):  # it may be paid or expired by now; its payment is read again
                self.api.post(f"/v1/checkout/sessions/{safe_id(row['id'])}/expire")

    def _cancel_intent(self, path: str) -> None:
        try:
            self.api.post(f"{path}/cancel")
        except Declined:  # its session may have ended it meanwhile
            if self.api.get(path).get("status") in CANCELABLE:
                raise

    def _customer_changes(self, customer: Mapping[str, Any], account_id: str) -> dict[str, Any]:
        changes: dict[str, Any] = {name: "" for name in CUSTOMER_FIELDS if customer.get(name)}
        if customer.get("preferred_locales") not in (None, [], NEUTRAL_LOCALES):
            changes["preferred_locales"] = NEUTRAL_LOCALES
        if (customer.get("tax") or {}).get("ip_address"):
            changes["tax"] = {"ip_address": ""}
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
        for customer in self._living(work.locator, BALANCES):
            key = customer["id"]
            try:
                reply = self.api.delete(f"/v1/customers/{safe_id(key)}")
                if reply.get("deleted") is True and reply.get("id") == key:
                    deleted.add(key)
            except Declined as declined:  # 404 on a delete proves nothing; the customer is read below
                if not declined.missing:
                    # Stripe deletes no customer that has a cash balance, not even one of nothing.
                    code = "cash_balance" if customer.get("cash_balance") else declined.code
                    return Result(
                        work.disposal_id, Outcome.FAILED, code=f"deletion_refused_{code}"[:80],
                        http_status=declined.status, request_id=declined.request_id,
                        locator={**work.locator, "deleted": sorted(deleted)},
                        needs_person=bool(customer.get("cash_balance")),
                    )  # fmt: skip
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
