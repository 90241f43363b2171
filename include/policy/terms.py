"""Until when a law keeps one record, and what of it: the clocks of R-02 to R-05 and R-07.

Several laws may keep one record, each its own closed list until its own day. An item is kept as long as the longest
live basis that lists it, so when one basis lapses its items leave and the others stay.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache

from include.errors import ArchiveError
from include.policy.models import Rule, Trigger
from include.policy.periods import evaluate
from include.policy.schedule import Schedule


@dataclass(frozen=True, slots=True)
class RecordTerm:
    """One law's hold on one record: the items it keeps and when it ends."""

    rule_id: str
    rule_version: int
    items: tuple[str, ...]
    trigger_event: str
    trigger_date: date
    last_day: date
    free_from: date
    free_from_utc: datetime
    destroy_by: date
    law: str
    article: str


def record_terms(
    *,
    kind: str,
    dates: Mapping[str, date],
    subject_type: str,
    consumer_like: bool,
    offshore: bool,
    schedule: Schedule,
) -> tuple[RecordTerm, ...]:
    """Return what every law keeps of a record and until when, over or not; the caller keeps what still lives.

    A record of which a law's clock cannot be read is refused: guessing would destroy it too early.
    """
    return tuple(
        _record_term(clock, _start(kind, dates, clock), offshore)
        for clock in _clocks(schedule, subject_type, consumer_like)
        if kind in clock.trigger.records
    )


def event_terms(
    *, event: str, on: date, subject_type: str, consumer_like: bool, offshore: bool, schedule: Schedule
) -> Iterator[RecordTerm]:
    """Yield the terms that a law's own event (`transaction`, `case_closed`, …) opens on a day."""
    for clock in _clocks(schedule, subject_type, consumer_like):
        if clock.trigger.event == event and clock.trigger.records:
            yield _record_term(clock, on, offshore)


def applies(rule: Rule, schedule: Schedule, *, subject_type: str, consumer_like: bool) -> bool:
    """Whether a rule reaches this kind of account; e-commerce law reaches a business only if consumer-like (C-13)."""
    if rule.requires_setting and not getattr(schedule.settings, rule.requires_setting):
        return False
    if rule.consumers_only and subject_type == "business" and not consumer_like:
        return False
    return subject_type in rule.subjects


@dataclass(frozen=True, slots=True, eq=False)
class _Clock:
    """One way in which one law's clock starts for a subject type. Compared by identity, so that caching is cheap."""

    schedule: Schedule
    rule: Rule
    trigger: Trigger
    items: tuple[str, ...]


@lru_cache(maxsize=64)
def _clocks(schedule: Schedule, subject_type: str, consumer_like: bool) -> tuple[_Clock, ...]:
    """Return the clocks of every law that keeps something of such a subject."""
    return tuple(
        _Clock(schedule, rule, trigger, schedule.kept_items(rule.id, subject_type))
        for rule in schedule.rules.values()
        if rule.store
        and applies(rule, schedule, subject_type=subject_type, consumer_like=consumer_like)
        and schedule.kept_items(rule.id, subject_type)
        for trigger in rule.triggers
    )


def _start(kind: str, dates: Mapping[str, date], clock: _Clock) -> date:
    trigger = clock.trigger
    known = [dates[name] for name in trigger.dates if dates.get(name) is not None]
    if not known:
        raise ArchiveError(
            f"A record of kind {kind} has none of the dates {', '.join(trigger.dates)}: {clock.rule.id} has no clock. "
            "Add the date at the source; until then nothing of this record is destroyed."
        )
    return max(known) if trigger.take == "latest" else known[0]


@lru_cache(maxsize=1 << 15)
def _record_term(clock: _Clock, start: date, offshore: bool) -> RecordTerm:
    schedule, rule, trigger = clock.schedule, clock.rule, clock.trigger
    day_zero = schedule.tax_filing_deadline(start) if trigger.map else start
    period = trigger.period
    if offshore and schedule.settings.offshore_years_enabled and trigger.offshore_period:
        period = trigger.offshore_period
    term = evaluate(day_zero, period, kind="min", holidays=schedule.holidays, rules=schedule.period_rules)
    return RecordTerm(
        rule_id=rule.id,
        rule_version=rule.version,
        items=clock.items,
        trigger_event=trigger.event,
        trigger_date=day_zero,
        last_day=term.last_day,
        free_from=term.free_from,
        free_from_utc=term.free_from_utc,
        destroy_by=term.destroy_by,
        law=rule.basis[0].law,
        article=rule.basis[0].article,
    )
