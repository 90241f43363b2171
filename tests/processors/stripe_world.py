"""What the Stripe tests share: a person at a stand-in, and a whole erasure as the engine would drive it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from include.connections import Connection
from include.outcomes import Outcome
from include.processors import Found, Result, Site, Subject, Work, load
from include.sandbox.standin import Fault, Serving
from include.sandbox.stripe import VARIANTS, StandIn, seed_person

TODAY = dt.datetime.now(dt.timezone(dt.timedelta(hours=9))).date()
OLD = TODAY - dt.timedelta(days=400)
RECENT = TODAY - dt.timedelta(days=10)
DAY = dt.timedelta(days=1)
CUSTOMER_STEPS = ("cancel_subscriptions", "detach", "scrub", "delete_customer")


def person(number: int, variant: str = "one_customer", *, on: dt.date = OLD, payments: int = 2, **changes: Any) -> Any:
    """Return the seed of one synthetic person."""
    given = {
        "account_id": str(number),
        "email": f"sample{number:04d}@example.com",
        "name": f"Sample Person {number:04d}",
        "payments": [
            {"payment_id": f"p{number}-{i}", "amount": 11000 + i, "paid_on": on + i * DAY, "method": "card"}
            for i in range(payments)
        ],
        **changes,
    }
    return seed_person(number=number, on=on, variant=VARIANTS.index(variant), **given)


def subject(number: int, **changes: Any) -> Subject:
    """Return the disposal's view of that person."""
    given: dict[str, Any] = {
        "account_id": str(number),
        "emails": (f"sample{number:04d}@example.com",),
        "name": f"Sample Person {number:04d}",
        "disposal_id": f"disposal-{number}",
        **changes,
    }
    return Subject(
        subject_type="individual", scope_id="payments", datasets=("payments",), rule_id="R-14",
        trigger_event="terminated", trigger_date=TODAY - DAY, **given,
    )  # fmt: skip


@dataclass
class World:
    """One Stripe account behind its stand-in, and what the engine would have stored."""

    standin: StandIn
    url: str
    settings: dict[str, Any] = field(default_factory=lambda: {"poll_seconds": 2, "retry_pause": 0.01})
    key: str = "sk_test_sample"
    as_of: dt.date = TODAY
    accounts: Any = None

    def processor(self) -> Any:
        connection = Connection("stripe", password=self.key, extra={"endpoint_url": self.url})
        return load("stripe")(Site(connection, self.settings, self.as_of, accounts=self.accounts))

    def seed(self, *people: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
        for objects in people:
            self.standin.seed(objects)

    def fault(self, kind: str, **fields: Any) -> None:
        self.standin.faults.append(Fault(kind, **fields))

    def move(self, as_of: dt.date) -> None:
        self.as_of = as_of
        self.standin.set_date(as_of)

    def locate(self, *subjects: Subject) -> list[Found]:
        return list(self.processor().locate(subjects))

    def work(self, one: Subject) -> Work:
        found = self.locate(one)[0]
        assert found.outcome is Outcome.LOCATED, found
        return as_work(one, found)

    def extract(self, work: Work) -> list[Any]:
        return list(self.processor().extract([work]))

    def advance(self, work: Work, *only: str) -> tuple[Work, Result | None]:
        """Take the steps that are due, in order, as the engine does; return the last result if it was not accepted."""
        for step in self.processor().steps(work):
            if only and step.name not in only:
                continue
            if step.not_before and step.not_before > self.as_of:
                return work, Result(work.disposal_id, Outcome.AWAITING, until=step.not_before)
            result = self.processor().act(step.name, [work])[0]
            work = replace(work, locator=result.locator) if result.locator is not None else work
            if result.outcome is not Outcome.ACCEPTED:
                return work, result
        return work, None

    def read_back(self, work: Work) -> Result:
        return self.processor().read_back([work])[0]  # type: ignore[no-any-return]

    def changes(self) -> list[str]:
        return [f"{r['method']} {r['path']}" for r in self.standin.requests if r["changing"]]

    def all(self, kind: str) -> list[dict[str, Any]]:
        return self.standin.store.all(kind)


def as_work(one: Subject, found: Found) -> Work:
    """Return the work the engine makes of what was located."""
    return Work(one.disposal_id, one.account_id, one.scope_id, one.datasets, found.locator, settled=one.settled)


def serving(standin: StandIn) -> Serving:
    """Return the stand-in on a port."""
    return Serving(standin)
