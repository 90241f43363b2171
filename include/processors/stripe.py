"""Stripe: payments of a person's customers, and of guests without one.

Deleting a customer erases little: charges, PaymentIntents and finalised invoices keep name, e-mail, phone and
address, and no update blanks a charge's `billing_details`. So the records a law keeps are exported first; then
subscriptions end, cards are detached, what can be written is blanked, the customer is deleted and read back as
deleted; and once the newest payment is older than 90 days and than the policy's dispute window, a redaction job makes
the rest inaccessible. Stripe keeps copies of its own for anti-money-laundering and card rules (its deletion-requests
page), so a person who was found here ends as `retained_by_processor`, never as `confirmed_absent`.

Connection `stripe`: password = secret or restricted key; extra: `endpoint_url`, `stripe_account` (a connected account),
`stripe_version` (of the redaction preview). Settings: `_stripe.policy.Policy`.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Any, ClassVar

from include.errors import ConfigurationError, Unreachable
from include.outcomes import Outcome
from include.processors import Found, Quota, Record, Result, Site, Step, Subject, Work, _sweeps
from include.processors._stripe import proof
from include.processors._stripe.api import NAME, QUOTAS, Api, Declined, safe_id, unknown_path
from include.processors._stripe.batch import each
from include.processors._stripe.dealings import Dealings, Ledger, reference, seoul_date
from include.processors._stripe.erase import Eraser
from include.processors._stripe.export import Exporter
from include.processors._stripe.find import Belongings, Finder
from include.processors._stripe.policy import Policy
from include.processors._stripe.redaction import JOBS, Redactor, window_of

PREFLIGHT = (
    "customers", "charges", "payment_intents", "invoices", "subscriptions", "refunds", "disputes", "checkout/sessions",
    "setup_intents",
)  # fmt: skip
PREFLIGHT_WHERE_KNOWN = (
    "credit_notes", "invoice_payments", "invoiceitems", "subscription_schedules", "billing/credit_grants",
)  # fmt: skip
CUSTOMER_STEPS = ("cancel_subscriptions", "settle_invoices", "detach", "scrub", "delete_customer")
METHODS = {
    "scrub": "overwrite",
    "settle_invoices": "overwrite",
    "redact": "vendor_redaction",
    "run_redaction": "vendor_redaction",
}


class Processor:
    """Carries payment disposals through Stripe."""

    name: ClassVar[str] = NAME
    batch_size: ClassVar[int] = 50
    exclusive: ClassVar[bool] = False
    quotas: ClassVar[tuple[Quota, ...]] = QUOTAS

    def __init__(self, site: Site) -> None:
        self.site, self.policy = site, Policy.of(site.settings)
        self.threads = self.policy.threads
        self.api = Api(site, pause=self.policy.retry_pause)
        self.finder = Finder(self.api, self.policy)
        self.ledger = Ledger(self.api, self.policy, site.as_of)
        self.exporter = Exporter(self.api, self.finder, self.ledger, self.policy, site.as_of)
        self.eraser = Eraser(self.api, self.finder, self.ledger)
        self.redactor = Redactor(self.api, self.ledger, self.policy, site.as_of)

    def check(self) -> None:
        """Read one object of every kind we need, so that a missing permission is found before anything is touched."""
        for path in PREFLIGHT:
            self.api.get(f"/v1/{path}", limit=1)
        for path in PREFLIGHT_WHERE_KNOWN:
            try:
                self.api.get(f"/v1/{path}", optional=True, limit=1)
            except (Declined, Unreachable) as error:
                if not unknown_path(error):
                    raise

    # -- locate ----------------------------------------------------------------------------------------------------
    def locate(self, subjects: Sequence[Subject]) -> list[Found]:
        """Return what Stripe holds of each person, with the reasons to wait that Stripe itself shows."""
        shared = self._shared(subjects)
        return each(
            subjects, lambda s: self._locate(s, shared), threads=self.threads,
            failed=lambda s, code, _status: Found(s.disposal_id, Outcome.FAILED, code=code),
        )  # fmt: skip

    def _locate(self, subject: Subject, shared: set[str]) -> Found:
        if not subject.account_id.strip() and not any(e.strip() for e in subject.emails):
            return Found(subject.disposal_id, Outcome.FAILED, code="no_identifier")
        found = self.finder.belongings(subject)
        if found.unclear or (found.by_email_only and any(e.strip().casefold() in shared for e in subject.emails)):
            return Found(subject.disposal_id, Outcome.FAILED, code="ambiguous")
        if any(row.get("customer_account") for row in found.live.values()):
            # An Account of API v2 owns part of it: lists by customer would miss that, so a person looks.
            return Found(subject.disposal_id, Outcome.FAILED, code="customer_account")
        done = self._dealings(found, subject)
        if done is None:
            return Found(subject.disposal_id, Outcome.FAILED, code="deleted_customer_unreadable")
        count = len(found.live) + len(found.gone) + len(found.sessions)
        count += len(done.charges) + len(done.intents) + len(done.invoices)
        return Found(
            subject.disposal_id,
            Outcome.BLOCKED if done.holds else Outcome.LOCATED,
            count=count,
            locator=self._locator(found, done, count) if count else {},
            code=done.holds[0] if done.holds else None,
        )

    def _dealings(self, found: Belongings, subject: Subject) -> Dealings | None:
        """Return what these customers and guests did; None where it is closed to us because a customer is deleted."""
        done = Dealings()
        for key, row in found.live.items():
            self.ledger.of_customer(done, key)
            self.ledger.of_living(done, row)
        for key in found.gone:
            try:
                self.ledger.of_customer(done, key)
            except Declined as declined:
                if declined.missing:
                    return None
                raise
        for session in found.sessions:
            if session.get("payment_intent"):
                self.ledger.of_guest(done, reference(session["payment_intent"]))
        self.ledger.judge(done, subject.settled)
        return done

    def _locator(self, found: Belongings, done: Dealings, count: int) -> dict[str, Any]:
        ids = done.ids()
        return {
            "customers": sorted(found.live),
            "gone": sorted(found.gone),
            "sessions": [s["id"] for s in found.sessions],
            "guest_intents": [reference(s["payment_intent"]) for s in found.sessions if s.get("payment_intent")],
            "charges": ids["charges"],
            "intents": ids["intents"],
            "invoices": ids["invoices"],
            "extracted": done.extracted(),
            "owed": sorted(done.owed),
            "newest": seoul_date(done.newest).isoformat() if done.newest else None,
            "located_on": self.site.as_of.isoformat(),
            "count": count,
        }

    def _shared(self, subjects: Sequence[Subject]) -> set[str]:
        """Return the e-mails that more than one account goes by, in this batch or in the accounts database."""
        owners: dict[str, set[str]] = defaultdict(set)
        for subject in subjects:
            for address in subject.emails:
                owners[address.strip().casefold()].add(subject.account_id)
        if self.site.accounts is not None and owners:
            self._ask_accounts(owners)
        return {address for address, accounts in owners.items() if len(accounts) > 1}

    def _ask_accounts(self, owners: dict[str, set[str]]) -> None:
        from sqlalchemy import bindparam, text
        from sqlalchemy.exc import SQLAlchemyError

        for table, column in self.policy.email_sources:
            if not re.fullmatch(r"[a-z_][a-z0-9_.]*", table) or not re.fullmatch(r"[a-z_][a-z0-9_]*", column):
                raise ConfigurationError("stripe: settings.email_sources: only plain table and column names are taken.")
            query = text(f"SELECT account_id, {column} FROM {table} WHERE lower({column}) IN :emails")  # noqa: S608
            query = query.bindparams(bindparam("emails", expanding=True))
            try:
                with self.site.accounts.connect() as connection:  # type: ignore[union-attr]
                    for account_id, address in connection.execute(query, {"emails": [a.lower() for a in owners]}):
                        owners[str(address).strip().casefold()].add(str(account_id))
            except SQLAlchemyError:
                raise ConfigurationError(
                    f"stripe: the accounts database could not say whose an e-mail is (table {table}). "
                    "Check settings.email_sources of the processor in the retention schedule."
                ) from None

    # -- extract ---------------------------------------------------------------------------------------------------
    def extract(self, work: Sequence[Work]) -> list[Record]:
        """Return the payment records of everything located."""
        extracted = each(work, self.exporter.records, threads=self.threads, failed=_not_exported)
        return [record for records in extracted for record in records]

    # -- act -------------------------------------------------------------------------------------------------------
    def steps(self, work: Work) -> tuple[Step, ...]:
        """Return the steps: the customer goes now, the rest when Stripe and the dispute window allow it."""
        locator = work.locator
        if not any(locator.get(kind) for kind in ("customers", "gone", "sessions")):
            return ()
        possible = CUSTOMER_STEPS if locator.get("customers") else ("scrub",)
        names = [n for n in possible if n != "settle_invoices" or locator.get("owed")]
        due = self._due(locator)
        return (
            *(Step(name, method=METHODS.get(name, "api_delete")) for name in names),
            *(Step(name, not_before=due, method=METHODS[name]) for name in ("redact", "run_redaction")),
        )

    def _due(self, locator: Mapping[str, Any]) -> date | None:
        """Return the first day on which what was located may be redacted."""
        newest = locator.get("newest")
        return date.fromisoformat(newest) + window_of(self.policy) if newest else None

    def sweep(self, since: datetime | None) -> Iterator[_sweeps.Swept]:
        """Yield the customers created since."""
        return _sweeps.stripe(self.api, since, metadata_key=self.finder.policy.metadata_key)

    def objects(self, locator: Mapping[str, Any]) -> list[str]:
        """Return the ids in a locator."""
        return _sweeps.object_ids(locator)

    def act(self, step: str, work: Sequence[Work]) -> list[Result]:
        """Carry one step out; every step reads first and may be repeated."""
        if step == "run_redaction":
            return self.redactor.finish(work)
        steps: Mapping[str, Callable[[Work], Result]] = {
            "cancel_subscriptions": self.eraser.cancel_subscriptions,
            "settle_invoices": self.eraser.settle_invoices,
            "detach": self.eraser.detach,
            "scrub": self.eraser.scrub,
            "delete_customer": self.eraser.delete_customer,
            "redact": self.redactor.create,
        }
        if step in CUSTOMER_STEPS[1:]:
            return self._each(work, lambda w: self.eraser.resumed(w) or steps[step](w))
        return self._each(work, steps[step])

    def _each(self, work: Sequence[Work], one: Callable[[Work], Result]) -> list[Result]:
        return each(
            work, one, threads=self.threads,
            failed=lambda w, code, status: Result(w.disposal_id, Outcome.FAILED, code=code, http_status=status),
        )  # fmt: skip

    # -- read back -------------------------------------------------------------------------------------------------
    def read_back(self, work: Sequence[Work]) -> list[Result]:
        """Read every customer and job again, and look for customers the search index showed too late."""
        return self._each(work, self._read_back)

    def _read_back(self, work: Work) -> Result:
        locator = work.locator
        for key in locator.get("customers", ()):
            if not self.eraser.is_gone(key, locator):
                return Result(work.disposal_id, Outcome.FAILED, code="still_present", verify_method="customer_read")
        if not any(locator.get(kind) for kind in ("customers", "gone", "sessions")):
            if self._late(work):
                return Result(work.disposal_id, Outcome.FAILED, code="still_present", verify_method="customer_search")
            return Result(
                work.disposal_id,
                Outcome.CONFIRMED_ABSENT,
                code="none_located",
                count=0,
                verify_method="customer_search",
            )
        result = self._read_redaction(work)
        late = self._late(work) if result.outcome is Outcome.RETAINED_BY_PROCESSOR else []
        if late:
            # The search index showed them too late. They join the locator, which alone knows those already deleted;
            # the first step then has their records extracted before anything of them is touched.
            customers = sorted({*locator.get("customers", ()), *late})
            joined = {**{k: v for k, v in locator.items() if k != "redaction"}, "customers": customers}
            return Result(
                work.disposal_id, Outcome.FAILED, code="late_customer", locator=joined, verify_method="customer_search"
            )
        return result

    def _late(self, work: Work) -> list[str]:
        """Return live customers of the account from before it was located; later ones belong to a new relation."""
        known = {*work.locator.get("customers", ()), *work.locator.get("gone", ())}
        limit = date.fromisoformat(work.locator.get("located_on") or self.site.as_of.isoformat())
        found = []
        for key in self.finder.unlisted(work.account_id) if work.account_id else ():
            if key not in known and seoul_date(self.finder.customer(key).get("created") or 0) <= limit:
                found.append(key)
        return found

    def _read_redaction(self, work: Work) -> Result:
        locator = work.locator
        if locator.get("redaction") == "not_enabled":
            return self._read_not_enabled(work)
        jobs = locator.get("jobs") or ()
        if not jobs:
            return self._read_jobless(work)
        for stored in jobs:
            status = self.api.get(f"{JOBS}/{safe_id(stored['id'])}", preview=True).get("status")
            if status != "succeeded":
                return Result(
                    work.disposal_id, Outcome.FAILED, code="redaction_outstanding", verify_method="redaction_job_read"
                )
        named = proof.named(self.ledger, self.api, locator)
        if named:
            return Result(
                work.disposal_id,
                Outcome.FAILED,
                code="redaction_incomplete",
                verify_method="payments_read",
                needs_person=True,
                counts=named,
            )
        return Result(
            work.disposal_id, Outcome.RETAINED_BY_PROCESSOR, code="inaccessible_to_us", basis="stripe_aml_card_rules",
            count=int(locator.get("count", 0)), verify_method="customer_job_and_payments_read",
            exceptions=(_kept(locator, "aml_and_card_rules"),),
        )  # fmt: skip

    def _read_jobless(self, work: Work) -> Result:
        """Look for a job whose id was never stored, once the day has come on which one may have been made."""
        due = self._due(work.locator)
        jobs = self.redactor.found(work.locator) if due is None or due <= self.site.as_of else []
        return Result(
            work.disposal_id, Outcome.FAILED, code="redaction_outstanding", verify_method="redaction_job_read",
            locator={**work.locator, "jobs": jobs, "redaction": "job"} if jobs else None,
        )  # fmt: skip

    def _read_not_enabled(self, work: Work) -> Result:
        """Stripe keeps it and we can still read it: a request to Stripe stays open until a person closes it."""
        locator = work.locator
        if self.redactor.enabled():
            again = {k: v for k, v in locator.items() if k != "redaction"}
            return Result(work.disposal_id, Outcome.FAILED, code="redaction_outstanding", locator=again)
        due = date.fromisoformat(locator.get("request_due") or self.site.as_of.isoformat())
        return Result(
            work.disposal_id, Outcome.RETAINED_BY_PROCESSOR, code="redaction_not_enabled",
            basis="processor_own_duties", count=int(locator.get("count", 0)), verify_method="customer_read",
            until=due, needs_person=True,
            exceptions=(
                _kept(locator, "processor_own_duties"),
                {"item": "manual_request", "items": ["redaction_not_enabled"], "until": due.isoformat()},
            ),
        )  # fmt: skip


def _kept(locator: Mapping[str, Any], law: str) -> dict[str, Any]:
    """Return what Stripe keeps of what was located, by kind, as evidence lists it."""
    extracted = locator.get("extracted") or {}
    kinds = {
        "customer": [*locator.get("customers", ()), *locator.get("gone", ())],
        "checkout_session": locator.get("sessions", ()),
        "charge": locator.get("charges", ()),
        "payment_intent": locator.get("intents", ()),
        "invoice": locator.get("invoices", ()),
        **{kind.removesuffix("s"): extracted.get(kind, ()) for kind in ("refunds", "disputes", "credit_notes")},
    }
    return {"item": "kept_by_processor", "items": [kind for kind, keys in kinds.items() if keys], "law": law}


def _not_exported(_work: Work, code: str, status: int | None) -> list[Record]:
    """Stop: what was not read must not be counted as archived."""
    raise Unreachable(NAME, f"export_{code}", status=status)
