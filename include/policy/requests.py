"""What a request of a person, or an order of a court, reaches: one pure function over the schedule's `requests`.

found = plan_request(Asked("erasure", received_on=day), facts, schedule, holds, as_of)
found.disposals      # what goes, held ones marked
found.kept           # what a law keeps, and until when
found.minimums       # what a law keeps where it is (a record of credit processing, an access log)
found.refused        # what is refused: reason code, law, what is offered instead
found.later          # what falls due on its own date (after a termination)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date

from include.errors import DecisionRefused
from include.policy.answers import section
from include.policy.facts import AccountFacts, Event, Hold, State
from include.policy.held import active
from include.policy.models import Rule, Scope
from include.policy.planner import on_request, plan
from include.policy.plans import Kept, PlannedDisposal
from include.policy.request_models import Reach, Refusal, RequestKind
from include.policy.schedule import Schedule

EVENT = "erasure_requested"
"""The person's own request; it lifts a pending correction (H-5)."""
ORDER = "order_received"
"""Somebody else's: a court, a customer about its end users."""
OWN = "own_database"
WITHHELD = Refusal(code="termination_withheld", law="개인정보 처리방침", article="6(3)")


class Unfounded(DecisionRefused):
    """The request is refused as a whole; `code` says why, in a word, and `law` on what ground."""

    def __init__(self, code: str, message: str, *, law: str = "개인정보 보호법 36(1)") -> None:
        super().__init__(message)
        self.code, self.law = code, law


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked: the kind, the Seoul date of receipt, and for an order what it lists (`processor/dataset`).

    `end_user` is the one end user of the customer it is about, by the id the customer gave; `instruction` says that
    the customer's instruction was recorded with the request.
    """

    kind: str
    received_on: date
    listed: tuple[str, ...] = ()
    child_age: int | None = None
    end_user: str = field(default="", repr=False)
    instruction: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """One place's data that is not erased now, and why."""

    code: str
    law: str
    article: str
    processor: str
    datasets: tuple[str, ...]
    offer: str | None = None


@dataclass(frozen=True, slots=True)
class RequestPlan:
    """Everything a request reaches, keeps, refuses and leaves for its own date."""

    kind: RequestKind = field(repr=False)
    disposals: tuple[PlannedDisposal, ...] = ()
    kept: tuple[Kept, ...] = ()
    minimums: tuple[PlannedDisposal, ...] = ()
    refused: tuple[Refused, ...] = ()
    later: tuple[PlannedDisposal, ...] = ()
    terminated_on: date | None = None

    @property
    def datasets(self) -> tuple[str, ...]:
        """Every dataset the request reaches."""
        return tuple(sorted({d for one in self.disposals for d in one.datasets}))


def kind_for(schedule: Schedule, kind: str, state: State) -> RequestKind:
    """Return the entry of the schedule that governs this kind of request for an account in this state."""
    entries = [k for k in section(schedule).kinds if k.id == kind]
    for entry in entries:
        if state.value in entry.states:
            return entry
    known = ", ".join(dict.fromkeys(k.id for k in section(schedule).kinds))
    raise DecisionRefused(
        f"A request of kind {kind[:40]!r} does not fit an account in state {state.value}. Kinds: {known}."
    )


def listable(schedule: Schedule) -> tuple[str, ...]:
    """Return what an order may list, `processor/dataset`; what only a statutory minimum holds is not among it."""
    found = {
        f"{scope.processor}/{dataset}"
        for kind in section(schedule).kinds
        if kind.listed
        for reach in kind.reaches
        for scope in _scopes(schedule.rules[reach.rule], reach)
        for dataset in scope.datasets
    }
    return tuple(sorted(found))


def plan_request(
    asked: Asked, facts: AccountFacts, schedule: Schedule, holds: Sequence[Hold], as_of: date
) -> RequestPlan:
    """Return what the request reaches on the business date; raise `Unfounded` where the law gives no such right."""
    kind = kind_for(schedule, asked.kind, facts.state)
    _check(kind, asked, facts, schedule, as_of)
    withheld = kind.ends_contract and _in_debt(facts, schedule, holds, as_of)
    ends = kind.ends_contract and facts.terminated_on is None and not withheld
    seen = _terminated(facts, asked.received_on) if ends else facts
    chosen = _chosen(schedule, kind.withheld if withheld else kind.reaches, asked.listed if kind.listed else ())
    reached = {d for (rule, scope), named in chosen.items() for d in named or _scope(schedule, rule, scope).datasets}
    event = Event(EVENT if kind.overrides else ORDER, asked.received_on, tuple(sorted(reached)))
    disposals = on_request(seen, schedule, holds, as_of, chosen=chosen, event=event)
    if asked.end_user:
        disposals = tuple(replace(d, subject_type="end_user") for d in disposals)
    whole = plan(seen, schedule, holds, as_of)
    over = seen.terminated_on is not None and bool(disposals)
    left = [d for d in (*whole.not_yet_due, *whole.disposals) if over and not _covered(d, disposals)]
    return RequestPlan(
        kind=kind,
        disposals=disposals,
        kept=whole.kept if over else (),
        minimums=tuple(d for d in left if schedule.rules[d.rule_id].kind == "min"),
        later=tuple(d for d in left if schedule.rules[d.rule_id].kind != "min" and d.free_from > as_of),
        refused=tuple(_refusals(kind, seen, schedule, disposals, withheld=withheld)),
        terminated_on=asked.received_on if ends else None,
    )


def _check(kind: RequestKind, asked: Asked, facts: AccountFacts, schedule: Schedule, as_of: date) -> None:
    if asked.received_on > as_of:
        raise DecisionRefused(f"The request was received on {asked.received_on}, which is after {as_of}. Correct it.")
    if kind.listed and not asked.listed:
        raise DecisionRefused("An order lists what it is about: choose at least one place and dataset.")
    if kind.reaches and (unknown := sorted(set(asked.listed) - set(listable(schedule)))):
        raise Unfounded("statutory_minimum", f"{', '.join(unknown)[:200]}: no order may reach that here.")
    if kind.needs == "child" and not (
        asked.child_age is not None and 0 <= asked.child_age < schedule.settings.child_age
    ):
        raise Unfounded(
            "not_a_child", f"A guardian acts for a child under {schedule.settings.child_age}: give the child's age."
        )
    if (kind.needs == "instruction") != bool(asked.end_user):
        raise DecisionRefused("An end user's id is given for a request about one end user, and for no other.")
    recorded = asked.instruction or any(e.kind == "instruction" and e.date <= as_of for e in facts.events)
    if kind.needs == "instruction" and not recorded:
        raise Unfounded(
            "no_instruction", "The customer's instruction is not recorded; record it first, then ask again."
        )


def _in_debt(facts: AccountFacts, schedule: Schedule, holds: Sequence[Hold], as_of: date) -> bool:
    """Whether a debt withholds the termination (H-4); one that was effective before is not undone."""
    return facts.terminated_on is None and any(
        schedule.holds[h.kind].effect == "withhold_termination" and active(h, as_of)
        for h in holds
        if h.kind in schedule.holds
    )


def _terminated(facts: AccountFacts, on: date) -> AccountFacts:
    requested = min(filter(None, (facts.requested_on, on)))
    return replace(facts, state=State.TERMINATED, requested_on=requested, terminated_on=on)


def _chosen(
    schedule: Schedule, reaches: Iterable[Reach], listed: Sequence[str]
) -> Mapping[tuple[str, str], tuple[str, ...]]:
    """Return (rule, scope) to the datasets wanted there; `()` means the whole scope."""
    chosen: dict[tuple[str, str], tuple[str, ...]] = {}
    for reach in reaches:
        for scope in _scopes(schedule.rules[reach.rule], reach):
            named = tuple(d for d in scope.datasets if f"{scope.processor}/{d}" in listed)
            if named or not listed:
                chosen[reach.rule, scope.id] = named
    return chosen


def _scopes(rule: Rule, reach: Reach) -> Iterator[Scope]:
    return (s for s in rule.scopes if not reach.scopes or s.id in reach.scopes)


def _scope(schedule: Schedule, rule: str, scope: str) -> Scope:
    return next(s for s in schedule.rules[rule].scopes if s.id == scope)


def _covered(one: PlannedDisposal, disposals: Iterable[PlannedDisposal]) -> bool:
    reached = {d for other in disposals if other.processor == one.processor for d in other.datasets}
    return set(one.datasets) <= reached


def _refusals(
    kind: RequestKind, facts: AccountFacts, schedule: Schedule, disposals: Sequence[PlannedDisposal], *, withheld: bool
) -> Iterator[Refused]:
    """Yield what stays although it was asked for, by place: the running contract needs it, or a debt withholds."""
    refusal = WITHHELD if withheld else kind.rest
    if refusal is None:
        return
    for name, section_ in schedule.processors.items():
        reached = {d for one in disposals if one.processor == name for d in one.datasets}
        held = (
            set(section_.datasets) if name != OWN or facts.present is None else set(section_.datasets) & facts.present
        )
        if left := tuple(sorted(held - reached)):
            yield Refused(refusal.code, refusal.law, refusal.article, name, left, refusal.offer)


def covers(
    *, processor: str, datasets: Sequence[str], trigger_date: date, asked: Iterable[tuple[str, Sequence[str], date]]
) -> bool:
    """Whether a disposal born of a request, (processor, datasets, date), has done this one's work already."""
    return any(
        place == processor and set(datasets) <= set(reached) and trigger_date <= day for place, reached, day in asked
    )
