"""Stripe: customers with payments, cards, invoices, a subscription; guests without a customer."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, ClassVar

from include.connections import Connection
from include.sandbox._stripe.privacy import redacted
from include.sandbox.standin import Frame
from include.sandbox.stripe import VARIANTS, StandIn, seed_person
from tests.processors.worlds.base import ON, TARGET, Act, HttpWorld, Person

LONG_AGO = ON - timedelta(days=400)
GONE = "retained_by_processor:inaccessible_to_us"


class StripeWorld(HttpWorld):
    """One Stripe account."""

    name: ClassVar[str] = "stripe"
    datasets: ClassVar[tuple[str, ...]] = ("payments",)
    scope_id: ClassVar[str] = "payments"
    richest: ClassVar[str] = "everything"
    variants = {
        "everything": GONE,
        "one_customer": GONE,
        "two_customers": GONE,
        "none": "confirmed_absent:none_located",
        "open_invoice": "blocked:open_invoice",
        "dispute_open": "blocked:open_dispute",
        "guest_only": GONE,
        "draft_invoice": "blocked:draft_invoice",
        "non_zero_balance": "blocked:non_zero_balance",
        "pending_refund": "blocked:pending_refund",
        "no_metadata": GONE,
        "paid_back": GONE,
        "begun": GONE,
        "cash_balance": "blocked:non_zero_balance",
        "pending_item": "blocked:pending_invoice_item",
        "not_enabled": "retained_by_processor:redaction_not_enabled",
    }
    acts = (
        Act("cancel a subscription", "DELETE", r"^/v1/subscriptions/[^/]+$"),
        Act("cancel a schedule", "POST", r"^/v1/subscription_schedules/[^/]+/cancel$", on="begun"),
        Act("expire a Checkout Session", "POST", r"^/v1/checkout/sessions/[^/]+/expire$", on="begun"),
        Act("cancel a card's set-up", "POST", r"^/v1/setup_intents/[^/]+/cancel$", on="begun"),
        Act(
            "cancel a begun payment",
            "POST",
            r"^/v1/payment_intents/[^/]+/cancel$",
            rare="a Checkout Session's goes with it; one without is played in test_stripe.py",
        ),
        Act(
            "close an invoice",
            "(POST|DELETE)",
            r"^/v1/invoices/[^/]+(/(finalize|pay|void))?$",
            rare="only for a debt two people released, see test_stripe_settled.py",
        ),
        Act("detach a card", "POST", r"^/v1/payment_methods/[^/]+/detach$"),
        Act("delete a source or tax id", "DELETE", r"^/v1/customers/[^/]+/(sources|tax_ids)/"),
        Act(
            "blank fields",
            "POST",
            r"^/v1/(customers|charges|payment_intents|payment_methods)/[^/]+$",
            overwrites=True,
            again="what is blank stays blank",
        ),
        Act("delete the customer", "DELETE", r"^/v1/customers/[^/]+$"),
        Act("create a redaction job", "POST", r"^/v1/privacy/redaction_jobs$"),
        Act(
            "validate a redaction job",
            "POST",
            r"^/v1/privacy/redaction_jobs/[^/]+/validate$",
            rare="only after Stripe's validation failed",
        ),
        Act("run a redaction job", "POST", r"^/v1/privacy/redaction_jobs/[^/]+/run$"),
    )
    duplicates = ("two_customers",)
    without = {
        "oddities": "nothing known beyond the other cases",
        "merged": "Stripe merges no customers",
    }
    deletes = "customers with cards, sources, tax ids and subscriptions"
    anonymises = "fields and metadata that can be written; charges, payments and invoices by a redaction job"
    reads = (
        "GET of each customer (`deleted`) and of each redaction job (`succeeded`); lists of charges, payments, "
        "invoices and disputes that name nobody any more"
    )
    not_provable = (
        "that Stripe holds nothing: it keeps copies under its own duties, so nobody found here ends as destroyed"
    )

    def make(self) -> Frame:
        return StandIn(limit_factor=100)

    def connection(self) -> Connection:
        return Connection("stripe", password="sk_test_sample", extra={"endpoint_url": self.url})

    def settings(self) -> dict[str, Any]:
        return {**super().settings(), "poll_seconds": 0.5, "retry_pause": 0.01, "threads": 2}

    def seed(self, person: Person, variant: str) -> None:
        payments = [
            {
                "payment_id": f"p{person.number}-{i}", "amount": 11000 + i, "paid_on": LONG_AGO + timedelta(days=i),
                "method": "card",
            }
            for i in range(2)
        ]  # fmt: skip
        assert isinstance(self.standin, StandIn)
        if variant == "not_enabled":
            self.standin.redaction_enabled = False
        kinds = {"everything": ("legacy_source", "active_subscription"), "not_enabled": ("one_customer",)}.get(
            variant, (variant,)
        )
        for kind in kinds:
            self.standin.seed(
                seed_person(
                    number=person.number, account_id=person.account_id, email=person.email, name=person.name,
                    on=LONG_AGO, payments=payments, variant=VARIANTS.index(kind),
                )
            )  # fmt: skip

    def doubled(self) -> list[str]:
        """A second redaction job for the same customer."""
        jobs: dict[str, list[str]] = {}
        for job in self.standin.store.all("redaction_job"):
            for customer in (job.get("objects") or {}).get("customers") or ():
                key = customer["id"] if isinstance(customer, dict) else str(customer)
                jobs.setdefault(key, []).append(str(job["id"]))
        return [f"{key} stands in the redaction jobs {found}" for key, found in jobs.items() if len(found) > 1]

    def vanish(self) -> None:
        """Somebody deleted the customer and had everything redacted; Stripe keeps the stubs."""
        for key in set(self.snapshot()) - set(self.others):
            kind, _, identifier = key.partition("/")
            row = self.standin.store.get(kind, identifier) or {}
            if kind in ("source", "tax_id"):
                self.standin.store.delete(kind, identifier)
                continue
            changes = {"payment_method": {"customer": None}, "subscription": {"status": "canceled"}}.get(kind, {})
            gone = {"id": identifier, "object": "customer", "deleted": True}
            self.standin.store.put(kind, identifier, gone if kind == "customer" else {**redacted(row), **changes})
        self.standin.store.commit()
        assert isinstance(self.standin, StandIn)
        for key in list(self.standin._index):
            if f"customer/{key}" not in self.others:
                del self.standin._index[key]

    def reseed(self, variant: str) -> None:
        """A new relation under the old number."""
        for key in set(self.snapshot()) - set(self.others):
            kind, _, identifier = key.partition("/")
            self.standin.store.delete(kind, identifier)
        super().reseed(variant)

    def value_refusal(self) -> tuple[int, Any]:
        said = {"type": "invalid_request_error", "param": "name", "message": f"{TARGET.name} cannot be blank"}
        return 400, {"error": {**said, "code": "parameter_invalid_empty"}}

    def refusal(self, status: int) -> Any:
        kind = {401: "invalid_request_error", 429: "rate_limit_error"}.get(status, "api_error")
        code = {"code": "rate_limit"} if status == 429 else {}
        return {"error": {"type": kind, "message": super().refusal(status)["message"], **code}}
