"""What holds (보류) do to a plan: they block the scopes they reach; a release moves the day, never the period."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import date

from include.policy.facts import AccountFacts, Event, Hold
from include.policy.periods import Term, after_hold
from include.policy.schedule import Schedule


def reaches(hold: Hold, schedule: Schedule, *, processor: str, datasets: Collection[str]) -> bool:
    """Whether a hold covers any of these datasets at this processor.

    What a hold does not name comes from its kind; a kind that names nothing, or one the schedule does not know, covers
    everything: an unclear hold keeps rather than destroys.
    """
    if hold.processor is not None and hold.processor != processor:
        return False
    wanted = set(hold.datasets)
    if not wanted and hold.kind in schedule.holds:
        wanted = set(schedule.holds[hold.kind].datasets)
        if hold.processor is not None and hold.processor in schedule.processors:
            wanted &= set(schedule.processors[hold.processor].datasets)
    return not wanted or not wanted.isdisjoint(datasets)


def overridden(hold: Hold, schedule: Schedule, events: Iterable[Event]) -> bool:
    """Whether the person's own later request lifts a hold, as an erasure request lifts a pending correction (H-5)."""
    kind = schedule.holds.get(hold.kind)
    if kind is None or kind.overridden_by is None:
        return False
    return any(
        event.kind == kind.overridden_by
        and (hold.placed_on is None or event.date >= hold.placed_on)
        and (not event.datasets or not hold.datasets or set(hold.datasets) <= set(event.datasets))
        for event in events
    )


def after_holds(
    term: Term,
    holds: Sequence[Hold],
    schedule: Schedule,
    as_of: date,
    *,
    processor: str,
    datasets: Collection[str],
    events: Iterable[Event],
) -> tuple[Term, tuple[str, ...]]:
    """Return the term as released holds leave it, and the kinds of the holds that still block."""
    kinds = set()
    happened = tuple(events)
    for hold in holds:
        if not reaches(hold, schedule, processor=processor, datasets=datasets):
            continue
        if overridden(hold, schedule, happened):
            continue
        if active(hold, as_of):
            kinds.add(hold.kind)
        elif hold.released_on is not None:
            term = after_hold(term, hold.released_on, rules=schedule.period_rules)
    return term, tuple(sorted(kinds))


def effective_termination(facts: AccountFacts, schedule: Schedule, holds: Sequence[Hold], as_of: date) -> date | None:
    """Return when the account ended: not while a debt withholds it, nor before the day the debt was cleared (H-4)."""
    ended = facts.terminated_on
    for hold in holds:
        kind = schedule.holds.get(hold.kind)
        if ended is None or kind is None or kind.effect != "withhold_termination":
            continue
        if active(hold, as_of):
            return None
        if hold.released_on is not None:
            ended = max(ended, hold.released_on)
    return ended


def active(hold: Hold, as_of: date) -> bool:
    """Whether a hold blocks on `as_of`; a release takes effect for the day after it."""
    return hold.released_on is None or hold.released_on > as_of
