"""Fakes of the state machine's neighbours: a place with real state that can lie, cut and crash, and an accounts
reader.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, ClassVar

from include.accounts import Identifiers
from include.errors import Unreachable
from include.outcomes import Outcome
from include.policy.facts import AccountFacts, Hold
from include.processors import Found, Quota, Record, Result, Step, Subject, Work


@dataclass
class Place:
    """Two-step place: `first` empties the bin of a record, `second` removes the record itself."""

    name: str = "zendesk"
    records: dict[str, set[str]] = field(default_factory=dict)  # account -> {"bin", "record"}
    calls: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    down: bool = False
    lies: bool = False
    before: Callable[[str, Sequence[Work]], None] = lambda _step, _work: None
    after: Callable[[str, Sequence[Work]], None] = lambda _step, _work: None
    not_before: date | None = None
    until: date | None = None
    batch_size: ClassVar[int] = 10
    exclusive: ClassVar[bool] = False
    quotas: ClassVar[tuple[Quota, ...]] = ()
    ambiguous: set[str] = field(default_factory=set)
    ends_as: Outcome = Outcome.CONFIRMED_ABSENT
    archivable: Mapping[str, Sequence[Record]] = field(default_factory=dict)

    def check(self) -> None:
        self._answer("check", ())

    def _answer(self, call: str, accounts: tuple[str, ...]) -> None:
        self.calls.append((call, accounts))
        if self.down:
            raise Unreachable(self.name, "unreachable", status=503)

    def locate(self, subjects: Sequence[Subject]) -> list[Found]:
        self._answer("locate", tuple(s.account_id for s in subjects))
        return [
            Found(s.disposal_id, Outcome.FAILED, code="ambiguous")
            if s.account_id in self.ambiguous
            else Found(
                s.disposal_id,
                Outcome.LOCATED,
                count=len(self.records.get(s.account_id, ())),
                locator={"key": s.account_id} if self.records.get(s.account_id) else {},
            )
            for s in subjects
        ]

    def extract(self, work: Sequence[Work]) -> list[Record]:
        return [r for w in work for r in self.archivable.get(w.disposal_id, ())]

    def steps(self, work: Work) -> tuple[Step, ...]:
        if not work.locator:
            return ()
        return (Step("first"), Step("second", not_before=self.not_before))

    def act(self, step: str, work: Sequence[Work]) -> list[Result]:
        self.before(step, work)
        self._answer(step, tuple(w.account_id for w in work))
        if not self.lies:
            for w in work:
                self.records.get(w.account_id, set()).discard("bin" if step == "first" else "record")
        self.after(step, work)
        return [Result(w.disposal_id, Outcome.ACCEPTED, http_status=200) for w in work]

    def read_back(self, work: Sequence[Work]) -> list[Result]:
        self._answer("read_back", tuple(w.account_id for w in work))
        return [
            Result(w.disposal_id, Outcome.FAILED, code="still_present")
            if self.records.get(w.account_id)
            else Result(
                w.disposal_id, self.ends_as, until=self.until, count=0, basis="own_duties", verify_method="read"
            )
            for w in work
        ]

    def acts(self) -> list[str]:
        """Return the names of the calls that change something."""
        return [c for c, _ in self.calls if c in ("first", "second")]


@dataclass
class Accounts:
    """An accounts database with what the test says."""

    holds: dict[str, list[Hold]] = field(default_factory=dict)
    due_facts: list[AccountFacts] = field(default_factory=list)
    gone: set[str] = field(default_factory=set)

    def due(self, schedule: Any, as_of: date) -> Iterator[AccountFacts]:
        return iter(self.due_facts)

    def facts(self, account_ids: Collection[str]) -> list[AccountFacts]:
        return [f for f in self.due_facts if f.account_id in account_ids]

    def computed_holds(self, account_ids: Collection[str]) -> Mapping[str, list[Hold]]:
        return {a: self.holds[a] for a in account_ids if a in self.holds}

    def identifiers(self, account_ids: Collection[str]) -> Mapping[str, Identifiers]:
        return {
            a: Identifiers(emails=(f"{a}@example.com",), login_id=f"login-{a}", name="Sample Person", phones=())
            for a in account_ids
            if a not in self.gone
        }

    def population(self, as_of: date) -> Mapping[str, int]:
        ended = [f.terminated_on for f in self.due_facts if f.terminated_on is not None]
        return {"terminated": sum(day <= as_of for day in ended)}
