"""A pretend Salesforce organisation, and a small engine that drives the processor over it."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from include.connections import Connection
from include.outcomes import Outcome
from include.processors import Found, Result, Site, Subject, Work
from include.processors.salesforce import Processor
from include.sandbox.salesforce import CONSUMER_KEY, CONSUMER_SECRET, StandIn, seed_person
from include.sandbox.standin import Fault, Serving

ON = dt.date(2026, 9, 1)
DAY = dt.timedelta(days=1)
EVERYTHING, MARKETING = ("customer", "marketing"), ("marketing",)


class Org:
    """An organisation, and a small engine that drives the processor over it."""

    def __init__(self, standin: StandIn, url: str) -> None:
        self.standin, self.url, self.today = standin, url, ON
        standin.set_date(ON)
        self.settings: dict[str, Any] = {"poll_seconds": 2}
        self.extra = {
            "consumer_key": CONSUMER_KEY,
            "consumer_secret": CONSUMER_SECRET,
            "domain": "acme.my",
            "endpoint_url": url,
        }

    def processor(self) -> Processor:
        return Processor(Site(Connection("salesforce", extra=self.extra), self.settings, self.today))

    def seed(
        self, number: int, variant: int, *, email: str | None = None, company: str | None = "Sample Co"
    ) -> Subject:
        address = email or f"person{number}@example.com"
        name = f"Sample Person {number:04d}"
        self.standin.seed(
            seed_person(
                number=number,
                account_id=str(number),
                email=address,
                name=name,
                company=company,
                on=ON - 3 * DAY,
                variant=variant,
            )
        )
        return subject(number, address)

    def rows(self) -> dict[tuple[str, str], Mapping[str, Any]]:
        return {(r["kind"], r["id"]): r for r in self.standin.store.dump()}

    def live(self) -> dict[tuple[str, str], Mapping[str, Any]]:
        return {key: row for key, row in self.rows().items() if not row.get("IsDeleted")}

    def next_day(self) -> None:
        self.today += DAY
        self.standin.set_date(self.today)

    def fault(self, kind: str, **fields: Any) -> None:
        self.standin.faults = [Fault(kind, **fields)]

    def act(self, work: Sequence[Work]) -> tuple[list[Work], list[Result]]:
        """Run all steps; stop at the first that was not accepted by all."""
        processor, work, results = self.processor(), list(work), []
        for step in ("open_jobs", "hard_delete", "open_leftover_jobs", "hard_delete_leftovers"):
            ready = [w for w in work if step in {s.name for s in processor.steps(w)}]
            results = processor.act(step, ready) if ready else []
            found = {r.disposal_id: r.locator for r in results if r.locator is not None}
            work = [replace(w, locator=found.get(w.disposal_id, w.locator)) for w in work]
            if any(r.outcome is not Outcome.ACCEPTED for r in results):
                break
        return work, results

    def read(self, work: Sequence[Work]) -> list[Result]:
        return self.processor().read_back(work)

    def erase(self, *subjects: Subject) -> list[Result]:
        """Locate, act, and read back today and tomorrow."""
        work = [located(s, f) for s, f in zip(subjects, self.processor().locate(subjects), strict=True)]
        work, _results = self.act(work)
        self.read(work)
        self.next_day()
        return self.read(work)


def subject(number: int, *emails: str, datasets: tuple[str, ...] = EVERYTHING) -> Subject:
    return Subject(
        f"disposal-{number}", str(number), "individual", "customer", datasets, "R-14", "terminated", ON, emails=emails
    )


def located(one: Subject, found: Found) -> Work:
    assert found.outcome is Outcome.LOCATED, found.code
    return Work(one.disposal_id, one.account_id, one.scope_id, one.datasets, found.locator)


def ids(person: Subject, variant: int) -> set[str]:
    number = int(person.account_id)
    rows = seed_person(
        number=number,
        account_id=person.account_id,
        email=person.emails[0],
        name=f"Sample Person {number:04d}",
        company="Sample Co",
        on=ON - 3 * DAY,
        variant=variant,
    )
    return {r["id"] for kind in rows.values() for r in kind}


@contextlib.contextmanager
def world() -> Iterator[Org]:
    """Yield an empty organisation that serves on a loopback port."""
    standin = StandIn()
    with Serving(standin) as serving:
        yield Org(standin, serving.url)
