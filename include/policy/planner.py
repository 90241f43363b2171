"""The planner: what of one account falls due, where, when and why. Pure; the same input gives the same plan.

    plan(facts, schedule, holds, as_of).disposals      # due up to `as_of`, held ones marked
                                       .not_yet_due    # known, with their dates
                                       .kept           # what a law keeps after termination, and until when

A disposal is one account at one processor under one scope of one rule, started by one event on one day. Nothing is
due before its `free_from`; a hold blocks the scopes it reaches and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import date
from functools import lru_cache
from operator import attrgetter
from typing import Any

from include.policy.facts import AccountFacts, Event, Hold, State
from include.policy.held import after_holds, effective_termination, overridden, reaches
from include.policy.lint import PROCESSOR_RULE
from include.policy.models import Rule
from include.policy.periods import DAY, Term, evaluate, latest_trigger, term_until
from include.policy.plans import DueTrigger, FieldReason, Kept, Plan, PlannedDisposal
from include.policy.schedule import Schedule
from include.policy.targets import OWN_DATABASE, Start, Target, absent, narrowed, period_kind, starts, targets
from include.policy.terms import RecordTerm, event_terms

__all__ = [
    "DueTrigger",
    "FieldReason",
    "Kept",
    "Plan",
    "PlannedDisposal",
    "due_triggers",
    "on_request",
    "overridden",
    "plan",
    "population",
    "reaches",
]


@dataclass(frozen=True, slots=True)
class _Case:
    """One account on one day, with everything the scopes are judged by."""

    facts: AccountFacts
    schedule: Schedule
    events: Mapping[str, tuple[Event, ...]]
    holds: Sequence[Hold]
    kept: tuple[Kept, ...]
    as_of: date


def plan(facts: AccountFacts, schedule: Schedule, holds: Sequence[Hold], as_of: date) -> Plan:
    """Return what of this account is due up to `as_of`, what is not yet, and what the archive keeps."""
    if holds:
        return _plan(facts, schedule, holds, as_of)
    # Who the account is decides nothing: a night's accounts share a few dates, and with them all but their id.
    alike = _alike(
        facts.subject_type, facts.consumer_like, facts.state, facts.requested_on, facts.terminated_on, facts.events,
        facts.present, schedule, as_of,
    )  # fmt: skip
    return Plan(
        disposals=tuple(PlannedDisposal(facts.account_id, *rest) for rest in alike.disposals),
        kept=alike.kept,
        not_yet_due=tuple(PlannedDisposal(facts.account_id, *rest) for rest in alike.not_yet_due),
    )


@dataclass(frozen=True, slots=True)
class _Alike:
    """The plan of every account with the same facts: each disposal's fields after the account's id."""

    disposals: tuple[tuple[Any, ...], ...]
    kept: tuple[Kept, ...]
    not_yet_due: tuple[tuple[Any, ...], ...]


@lru_cache(maxsize=1 << 12)
def _alike(
    subject_type: str,
    consumer_like: bool,
    state: State,
    requested_on: date | None,
    terminated_on: date | None,
    events: tuple[Event, ...],
    present: frozenset[str] | None,
    schedule: Schedule,
    as_of: date,
) -> _Alike:
    facts = AccountFacts("", subject_type, consumer_like, state, requested_on, terminated_on, events, present)
    found = _plan(facts, schedule, (), as_of)
    due, later = ([_without_account(d) for d in some] for some in (found.disposals, found.not_yet_due))
    return _Alike(tuple(due), found.kept, tuple(later))


_AFTER_ACCOUNT = attrgetter(*(f.name for f in fields(PlannedDisposal) if f.name != "account_id"))


def _without_account(planned: PlannedDisposal) -> tuple[Any, ...]:
    rest: tuple[Any, ...] = _AFTER_ACCOUNT(planned)
    return rest


def _plan(facts: AccountFacts, schedule: Schedule, holds: Sequence[Hold], as_of: date) -> Plan:
    events = _events(facts, schedule, holds, as_of)
    kept = _kept(facts, schedule, events, as_of)
    case = _Case(facts, schedule, events, holds, kept, as_of)
    planned = [
        _disposal(case, target, start)
        for target in targets(schedule, facts.subject_type, facts.consumer_like)
        if not absent(facts, target.scope)
        for start in starts(target, events)
    ]
    planned = sorted(_merged(planned), key=_identity)
    return Plan(
        disposals=tuple(d for d in planned if d.free_from <= as_of),
        kept=kept,
        not_yet_due=tuple(d for d in planned if d.free_from > as_of),
    )


def on_request(
    facts: AccountFacts,
    schedule: Schedule,
    holds: Sequence[Hold],
    as_of: date,
    *,
    chosen: Mapping[tuple[str, str], tuple[str, ...]],
    event: Event,
) -> tuple[PlannedDisposal, ...]:
    """Return what a request (or an order) reaches: `chosen` maps (rule, scope) to datasets, `()` meaning all of them.

    A request keeps nothing, so the day before it is the last one and what it reaches is free on the day it came in.
    Floors and holds count as ever; `event` is what lifts a hold that the person's own request overrides.
    """
    known = _events(facts, schedule, holds, as_of)
    events = {**known, event.kind: (*known.get(event.kind, ()), event)}
    case = _Case(facts, schedule, events, holds, _kept(facts, schedule, events, as_of), as_of)
    start = Start(event.kind, event.date, term_until(event.date, event.date - DAY, rules=schedule.period_rules))
    wanted = (
        narrowed(target, chosen[target.rule.id, target.scope.id])
        for target in targets(schedule, facts.subject_type, facts.consumer_like)
        if (target.rule.id, target.scope.id) in chosen
    )
    planned = [_disposal(case, target, start) for target in wanted if not absent(facts, target.scope)]
    return tuple(sorted(_merged(planned), key=_identity))


def due_triggers(schedule: Schedule, as_of: date) -> tuple[DueTrigger, ...]:
    """Return, for each event that may end in a disposal, the newest date on which its period is over by `as_of`.

    A superset for SQL: holds, floors and what is present only ever take away from it.
    """
    return tuple(
        DueTrigger(
            event=trigger.event,
            latest_trigger_date=latest_trigger(
                as_of, trigger.period, period_kind(rule), schedule.holidays, schedule.period_rules
            ),
            rule_id=rule.id,
            scope_ids=tuple(s.id for s in rule.scopes if not s.events or trigger.event in s.events),
        )
        for rule in schedule.rules.values()
        if rule.scopes and (not rule.requires_setting or getattr(schedule.settings, rule.requires_setting))
        for trigger in rule.triggers
    )


def population(accounts: Iterable[AccountFacts], plans: Iterable[Plan] = ()) -> dict[str, int]:
    """Count accounts by state, and plans by what they hold, so that terminations can be reconciled with the source."""
    counts = {state.value.lower(): 0 for state in State} | {"due": 0, "held": 0, "not_yet_due": 0, "kept": 0}
    for facts in accounts:
        counts[facts.state.value.lower()] += 1
    for one in plans:
        counts["due"] += any(not d.held_by for d in one.disposals)
        counts["held"] += any(d.held_by for d in one.disposals)
        counts["not_yet_due"] += bool(one.not_yet_due)
        counts["kept"] += bool(one.kept)
    return counts


def _events(
    facts: AccountFacts, schedule: Schedule, holds: Sequence[Hold], as_of: date
) -> Mapping[str, tuple[Event, ...]]:
    """Return the events that count, oldest first. Only an effective termination counts as one (C-05)."""
    events = {e for e in facts.events if e.kind not in ("requested", "terminated")}
    if facts.requested_on is not None:
        events.add(Event("requested", facts.requested_on))
    ended = effective_termination(facts, schedule, holds, as_of)
    if ended is not None:
        events.add(Event("terminated", ended))
    found: dict[str, list[Event]] = {}
    for event in sorted(events, key=lambda e: (e.date, e.kind, e.datasets, e.offshore)):
        found.setdefault(event.kind, []).append(event)
    return {kind: tuple(several) for kind, several in found.items()}


def _disposal(case: _Case, target: Target, start: Start) -> PlannedDisposal:
    facts, scope = case.facts, target.scope
    term, floor_reasons = _raised(target, start.term, case.events)
    held_by: tuple[str, ...] = ()
    if case.holds:
        term, held_by = after_holds(
            term,
            case.holds,
            case.schedule,
            case.as_of,
            processor=scope.processor,
            datasets=scope.datasets,
            events=(e for several in case.events.values() for e in several),
        )
    reasons = _destroy_reasons(target, start.term.last_day) + floor_reasons + _keep_reasons(target, case.kept)
    return PlannedDisposal(
        account_id=facts.account_id,
        subject_type=facts.subject_type,
        processor=scope.processor,
        rule_id=target.rule.id,
        rule_version=target.rule.version,
        scope_id=scope.id,
        datasets=scope.datasets,
        categories=target.categories,
        phase=target.rule.phase,
        trigger_event=start.event,
        trigger_date=start.date,
        last_day=term.last_day,
        free_from=term.free_from,
        destroy_by=term.destroy_by,
        reasons=reasons,
        held_by=held_by,
        moved_by=_moved_by(case, target, start.term, term),
    )


def _moved_by(case: _Case, target: Target, own: Term, term: Term) -> tuple[tuple[str, date], ...]:
    """Name what made the last day later than the rule's own, with the day from which anybody can recompute it."""
    if term.last_day == own.last_day:
        return ()
    held = {(h.kind, term.last_day) for h in case.holds if h.released_on == term.last_day}
    floors = {
        (rule.id, event.date)
        for rule in target.floors
        for trigger in rule.triggers
        for event in case.events.get(trigger.event, ())[-1:]
    }
    return tuple(sorted(held or floors))[:8]


def _raised(
    target: Target, term: Term, events: Mapping[str, tuple[Event, ...]]
) -> tuple[Term, tuple[FieldReason, ...]]:
    """Return the term after the minimums under it: the newest log must be kept its three months (R-09)."""
    reasons: tuple[FieldReason, ...] = ()
    schedule = target.schedule
    for rule in target.floors:
        for trigger in rule.triggers:
            for event in events.get(trigger.event, ())[-1:]:
                floor = evaluate(
                    event.date, trigger.period, kind="min", holidays=schedule.holidays, rules=schedule.period_rules
                )
                if floor.last_day > term.last_day:
                    term = term_until(term.trigger_date, floor.last_day, rules=schedule.period_rules)
                    reasons += _reasons(schedule, rule, target.categories, "keep", floor.last_day)
    return term, reasons


@lru_cache(maxsize=1 << 15)
def _destroy_reasons(target: Target, until: date) -> tuple[FieldReason, ...]:
    return _reasons(target.schedule, target.rule, target.categories, "destroy", until)


def _reasons(
    schedule: Schedule, rule: Rule, categories: Iterable[str], decision: str, until: date
) -> tuple[FieldReason, ...]:
    basis = rule.basis[0]
    return tuple(
        FieldReason(category, name, decision, rule.id, rule.version, basis.law, basis.article, until)
        for category in categories
        for name in schedule.categories[category].fields
    )


def _keep_reasons(target: Target, kept: Sequence[Kept]) -> tuple[FieldReason, ...]:
    """Say for each field destroyed here which copy of it a law keeps in the archive."""
    return tuple(
        FieldReason(category, item.item, "keep", item.rule_id, item.rule_version, item.law, item.article, item.until)
        for item in kept
        for category in _keepers(target).get((item.rule_id, item.item), ())
    )


@lru_cache(maxsize=256)
def _keepers(target: Target) -> Mapping[tuple[str, str], tuple[str, ...]]:
    """Return, for each rule that archives something of this scope and each item, the categories it is a field of."""
    found: dict[tuple[str, str], tuple[str, ...]] = {}
    for rule in target.schedule.rules.values():
        for category in target.categories if rule.store else ():
            for name in target.schedule.categories[category].fields if category in rule.categories else ():
                found[rule.id, name] = (*found.get((rule.id, name), ()), category)
    return found


def _kept(
    facts: AccountFacts, schedule: Schedule, events: Mapping[str, tuple[Event, ...]], as_of: date
) -> tuple[Kept, ...]:
    """Return every item that a living basis lists, with the longest end; a basis that is over keeps nothing."""
    if "terminated" not in events:
        return ()
    longest: dict[str, RecordTerm] = {}
    for event in (e for several in events.values() for e in several):
        for term in event_terms(
            event=event.kind,
            on=event.date,
            subject_type=facts.subject_type,
            consumer_like=facts.consumer_like,
            offshore=event.offshore,
            schedule=schedule,
        ):
            if term.free_from > as_of and (
                term.rule_id not in longest or longest[term.rule_id].last_day < term.last_day
            ):
                longest[term.rule_id] = term
    kept = [Kept(i, t.rule_id, t.rule_version, t.law, t.article, t.last_day) for t in longest.values() for i in t.items]
    return tuple(sorted(kept, key=lambda k: (k.item, k.rule_id)))


def _merged(planned: Sequence[PlannedDisposal]) -> list[PlannedDisposal]:
    """Join disposals that would do the same work twice: where one contains another, only the wider one stays.

    The same processor, trigger date and holds are needed, so that a hold on the wider one never delays the narrower.
    """
    result = [d for d in planned if d.processor == OWN_DATABASE]
    wide: dict[tuple[object, ...], list[PlannedDisposal]] = {}
    others = [d for d in planned if d.processor != OWN_DATABASE]
    for one in sorted(others, key=lambda d: (-len(d.datasets), d.rule_id != PROCESSOR_RULE, _identity(d))):
        alike = wide.setdefault((one.processor, one.trigger_date, one.free_from, one.held_by), [])
        for n, wider in enumerate(alike):
            if one.rule_id != wider.rule_id and set(one.datasets) <= set(wider.datasets):
                alike[n] = replace(
                    wider,
                    categories=tuple(sorted({*wider.categories, *one.categories})),
                    reasons=tuple(dict.fromkeys(wider.reasons + one.reasons)),
                )
                break
        else:
            alike.append(one)
    return result + [d for alike in wide.values() for d in alike]


def _identity(disposal: PlannedDisposal) -> tuple[str, str, str, str, date]:
    return (disposal.processor, disposal.rule_id, disposal.scope_id, disposal.trigger_event, disposal.trigger_date)
