"""The scopes a rule may destroy, and what starts their clocks."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import lru_cache

from include.policy.facts import AccountFacts, Event
from include.policy.models import Rule, Scope, Trigger
from include.policy.periods import Kind, Term, evaluate
from include.policy.schedule import Schedule
from include.policy.terms import applies

OWN_DATABASE = "own_database"


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """One scope of one rule, ready to be planned. Compared by identity, so that caching is cheap."""

    schedule: Schedule
    rule: Rule
    scope: Scope
    triggers: tuple[Trigger, ...]
    categories: tuple[str, ...]
    floors: tuple[Rule, ...]

    @property
    def each(self) -> bool:
        """Whether every event starts a clock of its own, not only the one that ends first."""
        return (self.scope.combine or self.rule.combine) == "each"


@dataclass(frozen=True, slots=True)
class Start:
    """An event that starts a scope's clock, and the term it opens."""

    event: str
    date: date
    term: Term


@lru_cache(maxsize=64)
def targets(schedule: Schedule, subject_type: str, consumer_like: bool) -> tuple[Target, ...]:
    """Return every scope of every rule that reaches such an account, in the schedule's order."""
    return tuple(
        Target(
            schedule=schedule,
            rule=rule,
            scope=scope,
            triggers=tuple(t for t in rule.triggers if not scope.events or t.event in scope.events),
            categories=_categories(schedule, rule, scope),
            floors=tuple(
                other
                for other in schedule.rules.values()
                if any((floor.rule, floor.scope) == (rule.id, scope.id) for floor in other.floors)
                and applies(other, schedule, subject_type=subject_type, consumer_like=consumer_like)
            ),
        )
        for rule in schedule.rules.values()
        if applies(rule, schedule, subject_type=subject_type, consumer_like=consumer_like)
        for scope in rule.scopes
    )


def _categories(schedule: Schedule, rule: Rule, scope: Scope) -> tuple[str, ...]:
    held = schedule.processors[scope.processor].datasets
    return tuple(sorted({c for dataset in scope.datasets for c in held[dataset] if c in rule.categories}))


@lru_cache(maxsize=1024)
def narrowed(target: Target, datasets: tuple[str, ...]) -> Target:
    """Return the target with some of its scope's datasets only; all of them when none are named."""
    if not datasets or set(datasets) >= set(target.scope.datasets):
        return target
    scope = target.scope.model_copy(update={"datasets": tuple(d for d in target.scope.datasets if d in datasets)})
    return replace(target, scope=scope, categories=_categories(target.schedule, target.rule, scope))


def absent(facts: AccountFacts, scope: Scope) -> bool:
    """Whether our own database was looked at and holds nothing of this scope."""
    if scope.processor != OWN_DATABASE:
        return False
    return facts.present is not None and facts.present.isdisjoint(scope.datasets)


def starts(target: Target, events: Mapping[str, tuple[Event, ...]]) -> Iterable[Start]:
    """Return what starts this scope's clock: every event, or in each period of consent the one that ends first."""
    found = [
        Start(trigger.event, event.date, term(target, trigger, event.date))
        for trigger in target.triggers
        if trigger.event in events
        for event in events[trigger.event]
        if _touches(event, target.scope)
    ]
    if len(found) < 2:
        return found
    if target.each:
        return {(s.event, s.date): s for s in found}.values()
    restarts = sorted(e.date for e in events.get(target.rule.restarted_by or "", ()) if _touches(e, target.scope))
    return _first_of_each_era(found, restarts)


def _first_of_each_era(found: Sequence[Start], restarts: Sequence[date]) -> Iterable[Start]:
    """Return what ends first in each period a restart opens: a consent given anew can be withdrawn anew."""
    first: dict[int, Start] = {}
    for start in sorted(found, key=lambda s: s.term.free_from):
        era = bisect_left(restarts, start.date)
        if era in first and start.date in restarts:
            # Given and withdrawn on one day: the period before was over already, so this ends the new one.
            era += 1
        first.setdefault(era, start)
    return first.values()


def _touches(event: Event, scope: Scope) -> bool:
    return not event.datasets or not set(event.datasets).isdisjoint(scope.datasets)


def period_kind(rule: Rule) -> Kind:
    """Return by which arithmetic a rule's periods run: only a statutory minimum rolls over holidays."""
    return "min" if rule.kind == "min" else "max"


def term(target: Target, trigger: Trigger, day: date) -> Term:
    schedule = target.schedule
    return evaluate(
        day, trigger.period, kind=period_kind(target.rule), holidays=schedule.holidays, rules=schedule.period_rules
    )
