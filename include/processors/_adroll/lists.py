"""Posting ad lists without those who leave them, list by list, and believing only the counts read afterwards."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

from include.errors import ProcessorError, RateLimited, Unreachable
from include.processors import Work
from include.processors._adroll.api import NAME, Lists, Segment
from include.processors._json_api import Declined
from include.processors._register import Register

MINIMUM = 100
"""The vendor refuses a list of fewer unique e-mails."""
CHUNK = 20
"""Lists posted before their counts are read: what is lost when the vendor stops answering in between."""


class Verdict(IntEnum):
    """What is known about one list after the post, worst first; from `REPLACED` on it is settled."""

    APPENDED = 1
    LARGER = 2
    REFUSED = 3
    AMBIGUOUS = 4
    INVALID = 5
    DIFFERS = 6
    UNSETTLED = 7
    UNREACHABLE = 8
    LIMITED = 9
    REPLACED = 10
    DEACTIVATED = 11
    GONE = 12

    @property
    def code(self) -> str:
        """The word for entries and screens."""
        return _CODES[self]

    @property
    def verified(self) -> bool:
        """Whether the list was read and is as it should be."""
        return self >= Verdict.REPLACED


_CODES: Mapping[Verdict, str] = {
    Verdict.APPENDED: "list_appended",
    Verdict.LARGER: "list_larger_than_register",
    Verdict.REFUSED: "list_refused",
    Verdict.AMBIGUOUS: "ambiguous",
    Verdict.INVALID: "invalid_identifier",
    Verdict.DIFFERS: "list_count_differs",
    Verdict.UNSETTLED: "count_not_settled",
    Verdict.UNREACHABLE: "unreachable",
    Verdict.LIMITED: "rate_limited",
    Verdict.REPLACED: "list_replaced",
    Verdict.DEACTIVATED: "list_below_minimum_deactivated",
    Verdict.GONE: "list_gone",
}


def key_of(email: str) -> str:
    """Return what makes an e-mail one member: the vendor counts unique addresses and ignores case."""
    return email.strip().lower()


def keys_of(emails: Iterable[str | None]) -> set[str]:
    """Return the unique members among `emails`."""
    return {key_of(e) for e in emails if e and e.strip()}


def usable(segment_id: str) -> bool:
    """Return whether a list's id can be nothing but one path segment."""
    return re.fullmatch(r"[A-Za-z0-9_-]{1,64}", segment_id) is not None


@dataclass(slots=True)
class _Plan:
    """One list: who stays, who leaves, and how many members the register explains."""

    segment_id: str
    stay: list[str] = field(repr=False)
    leaving: set[str] = field(repr=False)
    known: int
    claimed: int | None = None

    @property
    def stops(self) -> bool:
        return len(self.stay) < MINIMUM


class Repost:
    """One batch's posts: every list once, whoever leaves it."""

    def __init__(self, lists: Lists, register: Register, work: Sequence[Work]) -> None:
        self._lists, self._register = lists, register
        self._by_segment: dict[str, list[Work]] = {}
        for item in work:
            for segment_id in set(item.locator.get("segments", {})) - set(item.locator.get("done", ())):
                self._by_segment.setdefault(segment_id, []).append(item)
        self.ambiguous: set[str] = set()
        self.verdicts: dict[str, Verdict] = {s: Verdict.INVALID for s in self._by_segment if not usable(s)}

    def run(self) -> dict[str, Verdict]:
        """Return a verdict for every list; raise where the vendor stopped before any list was settled."""
        todo = sorted(set(self._by_segment) - set(self.verdicts))
        listed = self._lists.all() if todo else {}
        for chunk in (todo[i : i + CHUNK] for i in range(0, len(todo), CHUNK)):
            try:
                self._carry_out(chunk, listed)
            except (RateLimited, Unreachable) as error:
                self._stop(todo, error)
                break
        if todo and all(self.verdicts[s] is Verdict.UNREACHABLE for s in todo):
            raise Unreachable(NAME, "no_answer")
        return self.verdicts

    def _stop(self, todo: Collection[str], error: ProcessorError) -> None:
        if not any(v.verified for v in self.verdicts.values()):
            raise error
        rest = Verdict.LIMITED if isinstance(error, RateLimited) else Verdict.UNREACHABLE
        for segment_id in todo:
            self.verdicts.setdefault(segment_id, rest)

    def _carry_out(self, chunk: Sequence[str], listed: Mapping[str, Segment]) -> None:
        """Post some lists, then read all their counts at once, then let the register follow."""
        plans = [self._plan(segment_id) for segment_id in chunk]
        posted = []
        for plan in plans:
            segment = self._shown(plan, listed)
            verdict = self._before(plan, segment)
            if verdict is None and segment is not None:
                verdict = self._post(plan, segment)
            if verdict is None:
                posted.append(plan)
            else:
                self.verdicts[plan.segment_id] = verdict
        for plan, verdict in self._verified(posted):
            self.verdicts[plan.segment_id] = verdict
        for plan in plans:
            if self.verdicts[plan.segment_id].verified:
                self._register.remove(plan.leaving, segment_id=plan.segment_id)

    def _plan(self, segment_id: str) -> _Plan:
        """Divide a list's members; whose address stays through another account is ambiguous."""
        work = self._by_segment[segment_id]
        accounts = {w.account_id for w in work}
        rows = self._register.where(segment_id=segment_id)
        stay = {
            key_of(r.email): r.email.strip() for r in rows if r.account_id not in accounts and key_of(r.email or "")
        }
        known = set(stay) | keys_of(r.email for r in rows)
        unclear = set()
        for item in work:
            mine = keys_of(item.locator["segments"][segment_id])
            known |= mine
            if mine & set(stay):
                unclear.add(item.account_id)
                self.ambiguous.add(item.disposal_id)
        return _Plan(segment_id, [stay[k] for k in sorted(stay)], accounts - unclear, len(known))

    def _shown(self, plan: _Plan, listed: Mapping[str, Segment]) -> Segment | None:
        """Return the list as it is; what the listing lacks or counts too high is asked for by itself.

        Only a list that is missing in both is gone: one 404 proves nothing.
        """
        segment = listed.get(plan.segment_id)
        if segment is None or (segment.emails or 0) > plan.known:
            return self._lists.one(plan.segment_id) or segment
        return segment

    def _before(self, plan: _Plan, segment: Segment | None) -> Verdict | None:
        """Return why a list needs no post or may have none."""
        if not plan.leaving:
            return Verdict.AMBIGUOUS
        if segment is None:
            return Verdict.GONE
        if not segment.active:
            return Verdict.DEACTIVATED
        return Verdict.LARGER if (segment.emails or 0) > plan.known else None

    def _post(self, plan: _Plan, segment: Segment) -> Verdict | None:
        """Post or stop a list; None means that only its count can tell, also after a lost reply."""
        try:
            if plan.stops:
                self._lists.deactivate(plan.segment_id)
            else:
                plan.claimed = self._lists.replace(segment, plan.stay)
        except Unreachable:
            return None
        except Declined:
            return Verdict.REFUSED
        return None

    def _verified(self, plans: Sequence[_Plan]) -> Iterator[tuple[_Plan, Verdict]]:
        """Read all counts at once; a list that is not as posted is asked for by itself, then posted once more."""
        listed = self._lists.all() if plans else {}
        for plan in plans:
            segment = listed.get(plan.segment_id)
            verdict = _judge(plan, segment)
            if not verdict.verified or segment is None:
                segment = self._lists.one(plan.segment_id) or segment
                verdict = _judge(plan, segment)
            if verdict is Verdict.UNSETTLED and segment is not None:
                verdict = self._again(plan, segment)
            yield plan, verdict

    def _again(self, plan: _Plan, segment: Segment) -> Verdict:
        """Post once more, because the first one may have been lost before anything was done."""
        plan.claimed = None
        refused = self._post(plan, segment)
        if refused is not None:
            return refused
        verdict = _judge(plan, self._lists.one(plan.segment_id) or segment)
        lost = plan.claimed is None and not plan.stops
        return Verdict.UNREACHABLE if verdict is Verdict.UNSETTLED and lost else verdict


def _judge(plan: _Plan, segment: Segment | None) -> Verdict:
    """Judge a list by what is read now; the post's reply can only make it worse."""
    if segment is None:
        return Verdict.GONE
    if not segment.active:
        return Verdict.DEACTIVATED
    if not plan.stops and segment.emails == len(plan.stay):
        return Verdict.REPLACED
    if not plan.stops and plan.claimed is not None and plan.claimed > len(plan.stay):
        return Verdict.APPENDED
    return Verdict.UNSETTLED
