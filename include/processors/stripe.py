"""Stripe: payments of a person's customers, and of guests without one.

Deleting a customer erases little: charges, PaymentIntents and finalised invoices keep name, e-mail, phone and
address, and no update blanks a charge's `billing_details`. So the records a law keeps are exported first; then
subscriptions end, cards are detached, what can be written is blanked, the customer is deleted and read back as
deleted; and once the newest payment is older than 90 days and than the policy's dispute window, a redaction job makes
the rest inaccessible. Stripe keeps copies of its own for anti-money-laundering and card rules (its deletion-requests
page), so a person who was found here ends as `retained_by_processor`, never as `confirmed_absent`.

Connection `stripe`: password = secret or restricted key; extra: `endpoint_url`, `stripe_version` (of the redaction
preview).
Settings: `metadata_key`, `dispute_window_days` (120), `unfinished_payment_days` (7), `invoice_usage_on_cancel`
(true), `poll_seconds` (120), `retry_pause` (0.5), `threads` (4), `email_sources` (tables and columns that say whose
an e-mail is).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any, ClassVar

from include.errors import ConfigurationError, Unreachable
from include.outcomes import Outcome
from include.processors import STALE_LOCATOR, Found, Quota, Record, Result, Site, Step, Subject, Work, _sweeps
from include.processors._stripe_api import NAME, QUOTAS, Api, safe_id
from include.processors._stripe_batch import each
from include.processors._stripe_erase import Eraser
from include.processors._stripe_export import Exporter
from include.processors._stripe_find import Belongings, Finder, Policy, seoul_date, settled
from include.processors._stripe_redaction import JOBS, YOUNGEST, Redactor

PREFLIGHT = (
    "customers",
    "charges",
    "payment_intents",
    "invoices",
    "subscriptions",
    "refunds",
    "disputes",
    "checkout/sessions",
)
EMAIL_SOURCES = (("account_profile", "email"), ("billing_contact", "email"))
CUSTOMER_STEPS = ("cancel_subscriptions", "detach", "scrub", "delete_customer")
METHODS = {"scrub": "overwrite", "redact": "vendor_redaction", "run_redaction": "vendor_redaction"}


class Processor:
    """Carries payment disposals through Stripe."""

    name: ClassVar[str] = NAME
    batch_size: ClassVar[int] = 50
    exclusive: ClassVar[bool] = False
    quotas: ClassVar[tuple[Quota, ...]] = QUOTAS

    def __init__(self, site: Site) -> None:
        settings = site.settings
        self.site = site
        self.threads = int(settings.get("threads", 4))
        self.window = max(timedelta(days=int(settings.get("dispute_window_days", 120))), YOUNGEST)
        self.api = Api(site, pause=float(settings.get("retry_pause", 0.5)))
        self.finder = Finder(
            self.api,
            Policy(
                metadata_key=str(settings.get("metadata_key", "account_id")),
                unfinished_payment_days=int(settings.get("unfinished_payment_days", 7)),
            ),
            site.as_of,
        )
        self.exporter = Exporter(self.api, self.finder, site.as_of)
        self.eraser = Eraser(self.api, self.finder, invoice_usage=bool(settings.get("invoice_usage_on_cancel", True)))
        self.redactor = Redactor(
            self.api, self.finder, site.as_of, window=self.window, threads=self.threads,
            poll_seconds=float(settings.get("poll_seconds", 120)),
        )  # fmt: skip

    def check(self) -> None:
        """Read one object of every kind we need, so that a missing permission is found before anything is touched."""
        for path in PREFLIGHT:
            self.api.get(f"/v1/{path}", limit=1)

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
        done = self.finder.dealings(found)
        count = len(found.live) + len(found.gone) + len(found.sessions)
        count += len(done.charges) + len(done.intents) + len(done.invoices)
        return Found(
            subject.disposal_id,
            Outcome.BLOCKED if done.holds else Outcome.LOCATED,
            count=count,
            locator=self._locator(found, done) if count else {},
            code=sorted(done.holds)[0] if done.holds else None,
        )

    def _locator(self, found: Belongings, done: Any) -> dict[str, Any]:
        return {
            "customers": sorted(found.live),
            "gone": sorted(found.gone),
            "sessions": [s["id"] for s in found.sessions],
            "guest_intents": [s["payment_intent"] for s in found.sessions if s.get("payment_intent")],
            "charges": sorted({c["id"] for c in done.charges}),
            "intents": sorted({i["id"] for i in done.intents}),
            "invoices": sorted(settled(done.invoices)),
            "newest": seoul_date(done.newest).isoformat() if done.newest else None,
            "located_on": self.site.as_of.isoformat(),
            "count": len(found.live) + len(found.gone) + len(found.sessions)
            + len(done.charges) + len(done.intents) + len(done.invoices),
        }  # fmt: skip

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
        from sqlalchemy import text
        from sqlalchemy.exc import SQLAlchemyError

        for table, column in self.site.settings.get("email_sources", EMAIL_SOURCES):
            if not re.fullmatch(r"[a-z_][a-z0-9_.]*", table) or not re.fullmatch(r"[a-z_][a-z0-9_]*", column):
                raise ConfigurationError("stripe: settings.email_sources: only plain table and column names are taken.")
            query = text(f"SELECT account_id, {column} FROM {table} WHERE lower({column}) = ANY(:emails)")  # noqa: S608
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
        names = CUSTOMER_STEPS if locator.get("customers") else ("scrub",)
        newest = locator.get("newest")
        due = date.fromisoformat(newest) + self.window if newest else None
        return (
            *(Step(name, method=METHODS.get(name, "api_delete")) for name in names),
            *(Step(name, not_before=due, method=METHODS[name]) for name in ("redact", "run_redaction")),
        )

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
            "detach": self.eraser.detach,
            "scrub": self.eraser.scrub,
            "delete_customer": self.eraser.delete_customer,
            "redact": self.redactor.create,
        }
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
        if result.outcome is Outcome.RETAINED_BY_PROCESSOR and self._late(work):
            # The search index showed one too late: it is located and extracted like any other before it is touched.
            return Result(work.disposal_id, Outcome.FAILED, code=STALE_LOCATOR, verify_method="customer_search")
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
        locator, count = work.locator, int(work.locator.get("count", 0))
        if locator.get("redaction") == "not_enabled":
            return Result(
                work.disposal_id, Outcome.RETAINED_BY_PROCESSOR, code="redaction_not_enabled",
                basis="processor_own_duties", count=count, verify_method="customer_read",
            )  # fmt: skip
        jobs = locator.get("jobs") or ()
        if not jobs:
            return Result(work.disposal_id, Outcome.FAILED, code="redaction_outstanding", verify_method="customer_read")
        for stored in jobs:
            status = self.api.get(f"{JOBS}/{safe_id(stored['id'])}", preview=True).get("status")
            if status != "succeeded":
                return Result(
                    work.disposal_id, Outcome.FAILED, code="redaction_outstanding", verify_method="redaction_job_read"
                )
        if self.eraser.shows_email(locator.get("charges", ())):
            return Result(
                work.disposal_id,
                Outcome.FAILED,
                code="redaction_incomplete",
                verify_method="charge_read",
                needs_person=True,
            )
        return Result(
            work.disposal_id, Outcome.RETAINED_BY_PROCESSOR, code="inaccessible_to_us", basis="stripe_aml_card_rules",
            count=count, verify_method="customer_and_redaction_job_read",
        )  # fmt: skip


def _not_exported(_work: Work, code: str, status: int | None) -> list[Record]:
    """Stop: what was not read must not be counted as archived."""
    raise Unreachable(NAME, f"export_{code}", status=status)
