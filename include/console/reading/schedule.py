"""What the schedule page shows: every rule in words with a worked example, versions and their differences.

example(schedule, rule, trigger, date(2026, 11, 26))      # from the day it happens to the day it is gone
differences(old, new)                                     # what a second version changes, part by part
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, select

from include.database import schedule_version
from include.disposals.simulation import held_population
from include.errors import ConfigurationError, DecisionRefused, RetentionError
from include.policy import schedule as schedules
from include.policy.models import Rule, Trigger
from include.policy.periods import Kind, Period, Term, evaluate
from include.policy.simulation import Difference, difference

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from include.accounts import Accounts
    from include.policy.schedule import Schedule

MOST_ACCOUNTS = 5_000
"""How many accounts a page plans twice while somebody waits; more is a command's work."""
LINES = 400


@dataclass(frozen=True, slots=True)
class Example:
    """One clock at work: what happens when, day 0 of the law's clock, and the term it opens; or why there is none."""

    trigger: Trigger
    on: date
    day_zero: date
    term: Term | None
    rolled: bool
    """Whether the last day moved over a Saturday or a holiday."""
    trouble: str = ""


def example(schedule: Schedule, rule: Rule, trigger: Trigger, on: date) -> Example:
    """Return what becomes of something that happens `on` a Seoul date, computed as the planner does."""
    kind: Kind = "min" if rule.kind == "min" else "max"
    try:
        day_zero = schedule.tax_filing_deadline(on) if trigger.map else on
        term = evaluate(day_zero, trigger.period, kind=kind, holidays=schedule.holidays, rules=schedule.period_rules)
        plain = evaluate(day_zero, trigger.period, kind="max", holidays=schedule.holidays, rules=schedule.period_rules)
    except ConfigurationError as error:
        return Example(trigger, on, on, None, rolled=False, trouble=str(error))
    return Example(trigger, on, day_zero, term, rolled=kind == "min" and term.last_day != plain.last_day)


def in_words(period: Period, language: str) -> str:
    """Return a period as people say it: `6개월`, `5 years`."""
    years, months = divmod(period.months, 12)
    parts = [
        (years, "년", "year"),
        (months, "개월", "month"),
        (period.days, "일", "day"),
        (period.hours, "시간", "hour"),
    ]
    said = [_part(n, korean, english, language) for n, korean, english in parts if n]
    return " ".join(said) or _part(0, "일", "day", language)


def _part(number: int, korean: str, english: str, language: str) -> str:
    return f"{number}{korean}" if language == "ko" else f"{number} {english}{'' if number == 1 else 's'}"


def versions(connection: Connection) -> Sequence[Any]:
    """Return the versions we know, the newest first, without their text."""
    c = schedule_version.c
    return connection.execute(
        select(
            c.sha256, c.approved_by, c.approved_at, c.effective_on, c.change, c.notice_sent_on, c.stored_at,
            c.policy_text_sha256,
        )
        .order_by(c.stored_at.desc(), c.sha256)
        .limit(100)
    ).all()  # fmt: skip


def governs(row: Any, day: date) -> bool:
    """Whether a version is approved and effective on a day."""
    return row.approved_at is not None and (row.effective_on is None or row.effective_on <= day)


def version(connection: Connection, sha256: str) -> bytes:
    """Return the text of one version, or refuse a digest we do not know."""
    body = connection.execute(select(schedule_version.c.body).where(schedule_version.c.sha256 == sha256)).scalar()
    if body is None:
        raise DecisionRefused("No schedule version of this digest is known here. Choose one of the list.")
    return bytes(body)


@dataclass(frozen=True, slots=True)
class Changed:
    """One part that differs: which section, which id, added, removed or changed, and the keys that differ."""

    section: str
    part: str
    how: str
    keys: tuple[str, ...] = ()


SECTIONS = ("rules", "holds", "categories", "closed_lists", "purposes", "processors")


def differences(old: Schedule, new: Schedule) -> list[Changed]:
    """Return what differs, section by section; settings are one part, each of their keys named."""
    found = _keys("settings", "settings", old.settings.model_dump(), new.settings.model_dump())
    for section in SECTIONS:
        before, after = getattr(old, section), getattr(new, section)
        for part in [*before, *(p for p in after if p not in before)]:
            if part not in after or part not in before:
                found.append(Changed(section, part, "removed" if part in before else "added"))
            else:
                found += _keys(section, part, before[part].model_dump(), after[part].model_dump())
    if old.policy_text_sha256 != new.policy_text_sha256:
        found.append(Changed("policy_text", "policy_text", "changed"))
    return found


def _keys(section: str, part: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Changed]:
    keys = tuple(sorted(k for k in before.keys() | after.keys() if before.get(k) != after.get(k)))
    return [Changed(section, part, "changed", keys)] if keys else []


def lines(old: bytes, new: bytes) -> list[tuple[str, str]]:
    """Return the lines that differ with three around them, each with `+`, `-`, `@` or a blank; at most `LINES`."""
    before, after = (b.decode("utf-8", "replace").splitlines() for b in (old, new))
    told = islice(difflib.unified_diff(before, after, lineterm="", n=3), 2, LINES + 2)
    return [(line[:1], line[1:] if line[:1] != "@" else line) for line in told]


def read(body: bytes, folder: Path) -> Schedule | None:
    """Return the schedule of a stored text, or None where this code cannot read it (another policy text or keys).

    `folder` is where its policy text and holiday table lie.
    """
    try:
        return schedules.parse(body, file="stored schedule", folder=folder)
    except RetentionError:
        return None


def moved(accounts: Accounts, ours: Engine, old: Schedule, new: Schedule, as_of: date) -> Difference:
    """Return whose due dates move, as counts by place and rule, over the accounts as they are now.

    Reads only. More accounts than a page can wait for are refused with the command that takes its time.
    """
    everyone = held_population(accounts, ours)
    first = list(islice(everyone, MOST_ACCOUNTS + 1))
    if len(first) > MOST_ACCOUNTS:
        raise DecisionRefused(
            f"More than {MOST_ACCOUNTS:,} accounts are too many for a page. Run: python -m include.policy simulate "
            "NEW.yaml --against OLD.yaml"
        )
    return difference(first, old, new, as_of)
