"""What another schedule version would change for the same accounts on the same day. Pure.

found = difference(population, old, new, as_of)
found.lines       # by processor and rule: newly due, no longer due, moved
found.moves       # by processor and rule: from which day to which, and how many
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from include.errors import ConfigurationError
from include.policy.brake import key_of
from include.policy.facts import AccountFacts, Hold
from include.policy.planner import PlannedDisposal, plan
from include.policy.schedule import Schedule

Identity = tuple[str, str, str, str, date]


@dataclass(frozen=True, slots=True)
class Change:
    """One rule at one processor: disposals due under each version, and how many days moved, as counts."""

    key: str
    due_before: int
    due_after: int
    newly_due: int
    no_longer_due: int
    earlier: int
    later: int
    added: int
    removed: int


@dataclass(frozen=True, slots=True)
class Move:
    """Disposals of one rule at one processor whose day moves from `before` to `after`; None: only one version has it.

    Both are the first day on which the data may be destroyed (`free_from`).
    """

    key: str
    before: date | None
    after: date | None
    count: int


@dataclass(frozen=True, slots=True)
class Difference:
    """The difference between two versions over a population; accounts whose dates nobody can plan with are counted."""

    accounts: int
    unplannable: int
    lines: tuple[Change, ...]
    moves: tuple[Move, ...] = ()

    @property
    def newly_due(self) -> Mapping[str, int]:
        """How many disposals only the new version makes due, by `processor:rule`."""
        return {line.key: line.newly_due for line in self.lines if line.newly_due}


def difference(
    population: Iterable[tuple[AccountFacts, Sequence[Hold]]], old: Schedule, new: Schedule, as_of: date
) -> Difference:
    """Plan every account under both versions and count what differs."""
    counts: dict[str, Counter[str]] = {}
    moves: Counter[tuple[str, date | None, date | None]] = Counter()
    accounts = unplannable = 0
    for facts, holds in population:
        accounts += 1
        try:
            before, after = _planned(facts, old, holds, as_of), _planned(facts, new, holds, as_of)
        except ConfigurationError:
            unplannable += 1
            continue
        for identity in before.keys() | after.keys():
            key, was, now = key_of(identity[0], identity[1]), before.get(identity), after.get(identity)
            counts.setdefault(key, Counter()).update(_words(was, now, as_of))
            days = (was.free_from if was else None, now.free_from if now else None)
            if days[0] != days[1]:
                moves[(key, *days)] += 1
    fields = tuple(Change.__dataclass_fields__)[1:]
    lines = tuple(Change(key, *(found[f] for f in fields)) for key, found in sorted(counts.items()))
    return Difference(accounts, unplannable, lines, tuple(Move(*m, n) for m, n in sorted(moves.items(), key=_order)))


def _order(item: tuple[tuple[str, date | None, date | None], int]) -> tuple[str, date, date]:
    key, before, after = item[0]
    return key, after or date.max, before or date.max


def _planned(
    facts: AccountFacts, schedule: Schedule, holds: Sequence[Hold], as_of: date
) -> dict[Identity, PlannedDisposal]:
    made = plan(facts, schedule, holds, as_of)
    return {
        (d.processor, d.rule_id, d.scope_id, d.trigger_event, d.trigger_date): d
        for d in (*made.disposals, *made.not_yet_due)
    }


def _words(before: PlannedDisposal | None, after: PlannedDisposal | None, as_of: date) -> list[str]:
    """Return the names of the counts that one disposal, as planned under both versions, adds to."""
    was, now = before is not None and before.free_from <= as_of, after is not None and after.free_from <= as_of
    words = [
        *(["due_before"] if was else []),
        *(["due_after"] if now else []),
        *(["newly_due"] if now and not was else []),
        *(["no_longer_due"] if was and not now else []),
    ]
    if before is None or after is None:
        return [*words, "added" if before is None else "removed"]
    if before.free_from != after.free_from:
        words.append("earlier" if after.free_from < before.free_from else "later")
    return words
