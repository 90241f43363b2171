"""The blast-radius brake's judgement: whether a night would newly destroy far more than usual. Pure.

A rule that was read wrongly, a date loaded wrongly or a new schedule version show first as numbers. Counts are by
`processor:rule` (`zendesk:r-14`), over disposals, never over people.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from include.policy.models import Brake

Counts = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Line:
    """One rule at one processor: what tonight adds, what is usual (None until that is known), and what only the new
    schedule version makes due.
    """

    key: str
    tonight: int
    usual: int | None
    by_change: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why a night must wait for a second person (`reason` is a code; None: it need not), and the difference."""

    reason: str | None
    lines: tuple[Line, ...]

    @property
    def total(self) -> int:
        """How many disposals tonight adds."""
        return sum(line.tonight for line in self.lines)


def key_of(processor: str, rule_id: str) -> str:
    """Return the name under which a rule at a processor is counted; a code word that evidence accepts."""
    return f"{processor}:{rule_id.lower()}"


def judge(tonight: Counts, nights: Sequence[Counts], changed: Counts, policy: Brake) -> Verdict:
    """Compare tonight's new disposals with those of earlier nights (newest last) and with the last schedule version.

    `nights` are those that were let go, one a business date; a night that a second person refused teaches nothing.
    The median is taken, so that one large approved night does not make large nights usual.
    """
    known = nights[-policy.nights :] if len(nights) >= policy.nights else ()
    usual = {k: round(median(n.get(k, 0) for n in known)) for k in tonight} if known else {}
    lines = tuple(
        Line(k, n, usual.get(k) if known else None, changed.get(k, 0))
        for k, n in sorted(tonight.items(), key=lambda item: (-item[1], item[0]))
    )
    return Verdict(_reason(tonight, known, usual, changed, policy), lines)


def _reason(tonight: Counts, known: Sequence[Counts], usual: Counts, changed: Counts, policy: Brake) -> str | None:
    if sum(changed.values()) > policy.schedule_change:
        return "schedule_change"
    total = sum(tonight.values())
    if not known:
        return "first_nights" if total > policy.first_nights else None
    if total > policy.always_under and total * 100 > policy.percent * median(sum(n.values()) for n in known):
        return "above_usual"
    if any(n > policy.always_under and n * 100 > policy.percent * usual[k] for k, n in tonight.items()):
        return "above_usual_for_a_rule"
    return None
