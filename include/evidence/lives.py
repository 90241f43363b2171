"""Following disposals through the entries of an export, for what people read; remembers only those still open."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from include.errors import EvidenceError
from include.evidence.entries import is_code, is_date
from include.evidence.verify import closes
from include.evidence.words import state_of

KST = timezone(timedelta(hours=9))
OWN_PLACES = frozenset({"own_database", "paper"})
"""Where the company destroys by its own hand; every other place is a processor's (수탁사)."""


@dataclass(frozen=True, slots=True)
class Selection:
    """What an export for people shows: business dates from `start` to `end`, one processor, one subject tag.

    What lies before `start` still counts for the state at the end; what lies after `end` is not looked at. An entry
    that names no processor (a schedule's approval, an archive object) belongs to every processor's export.
    """

    start: str = ""
    end: str = ""
    processor: str = ""
    subject_tag: str = ""

    def __post_init__(self) -> None:
        good = all(not day or is_date(day) for day in (self.start, self.end))
        tag = not self.subject_tag or (
            len(self.subject_tag) == 64 and not set(self.subject_tag) - set("0123456789abcdef")
        )
        if not good or not tag or (self.processor and not is_code(self.processor)):
            raise EvidenceError(
                "This selection cannot be exported: dates are ISO dates, the processor is a code, the subject is a tag "
                "of 64 hex characters (never an account or e-mail)."
            )
        if self.start and self.end and self.start > self.end:
            raise EvidenceError("This selection cannot be exported: the period ends before it begins.")

    @property
    def whole(self) -> bool:
        """Whether nothing is left out."""
        return self == Selection()

    def takes(self, entry: Mapping[str, Any]) -> bool:
        """Return whether an entry is looked at."""
        return (
            not (self.end and entry["as_of"] > self.end)
            and (not self.processor or entry.get("processor", self.processor) == self.processor)
            and (not self.subject_tag or entry.get("subject_tag", self.subject_tag) == self.subject_tag)
        )

    def shows(self, entry: Mapping[str, Any]) -> bool:
        """Return whether what happened in an entry lies in the period."""
        return bool(entry["as_of"] >= self.start)


@dataclass(slots=True)
class Life:
    """One disposal so far."""

    entry: dict[str, Any]
    """The newest entry about it."""
    index: int
    planned_on: str = ""
    requested_on: str = ""
    method: str = ""
    receipt: str = ""
    http_status: int | None = None
    count_before: int | None = None
    since: str = ""
    failures: int = 0
    hold_kinds: tuple[str, ...] = ()
    state: str = "underway"

    def take(self, index: int, entry: dict[str, Any]) -> None:
        """Go on to the next entry."""
        event, code = entry["event"], entry.get("code", "")
        self.count_before = entry.get("count_before", self.count_before)
        state = state_of(event, count_before=self.count_before, code=code)
        if state != self.state or not self.since:
            self.since = entry["as_of"]
        self.index, self.entry, self.state = index, entry, state
        if event == "planned":
            self.planned_on = entry["as_of"]
        elif event == "attempted":
            self.requested_on = self.requested_on or entry["as_of"]
        self.method = entry.get("method", self.method)
        self.receipt = entry.get("receipt_sha256", self.receipt)
        self.http_status = entry.get("http_status", self.http_status)
        self.failures += event == "failed"
        self.hold_kinds = tuple(entry.get("hold_kinds", ())) if event == "blocked" else ()

    def days_late(self, on: str) -> int:
        """Return by how many days `on` lies after the day by which it had to be destroyed."""
        return max((date.fromisoformat(on) - date.fromisoformat(self.entry["destroy_by"])).days, 0)


@dataclass(frozen=True, slots=True)
class Item:
    """One entry as the sheets see it."""

    index: int
    entry: dict[str, Any]
    shown: bool
    life: Life | None
    closes: bool


@dataclass(slots=True)
class Following:
    """Everything open, and how many disposals stand at which outcome, as far as it was read."""

    first_index: int
    selection: Selection
    open: dict[str, Life] = field(default_factory=dict)
    now: Counter[str] = field(default_factory=Counter)
    """`processor.outcome` -> disposals, closed ones included, as a run's own counts are written."""
    opened: int = 0
    first_day: str = ""
    last_day: str = ""
    last_index: int = -1

    def items(self, entries: Path) -> Iterator[Item]:
        """Yield the selected entries of `entries.jsonl` in order."""
        with entries.open("rb") as lines:
            yield from self.follow((i, json.loads(line)) for i, line in enumerate(lines, self.first_index))

    def follow(self, entries: Iterable[tuple[int, dict[str, Any]]]) -> Iterator[Item]:
        """Yield the selected ones of some entries, given with their log index and in log order."""
        for index, entry in entries:
            if self.selection.takes(entry):
                yield self._item(index, entry)

    def _item(self, index: int, entry: dict[str, Any]) -> Item:
        shown = self.selection.shows(entry)
        if shown:
            self.first_day = self.first_day or entry["as_of"]
        self.last_day, self.last_index = max(self.last_day, entry["as_of"]), index
        disposal_id = entry.get("disposal_id")
        if disposal_id is None:
            return Item(index, entry, shown, None, False)
        life = self.open.get(disposal_id)
        before = self._outcome(life.entry) if life else None
        if life is None:
            life = self.open[disposal_id] = Life(entry, index)
            self.opened += 1
            if entry["event"] == "reappeared":
                before = f"{entry['processor']}.confirmed_absent"
        life.take(index, entry)
        self.now[self._outcome(entry)] += 1
        if before:
            self.now[before] -= 1
        over = closes(entry) or life.state == "expired"
        if over:
            del self.open[disposal_id]
        return Item(index, entry, shown, life, over)

    @staticmethod
    def _outcome(entry: dict[str, Any]) -> str:
        # A release only ends a block; our database keeps such a disposal as planned.
        event = "planned" if entry["event"] == "released" else entry["event"]
        return f"{entry['processor']}.{event}"


def kst(moment: str) -> str:
    """Return a recorded moment in Korean time with its offset."""
    return datetime.fromisoformat(moment).astimezone(KST).isoformat() if moment else ""
