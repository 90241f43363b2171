"""Period arithmetic of the Korean Civil Act (민법 155-161): the one place where terms are computed.

    term = evaluate(date(2026, 2, 28), Period.parse("P6M"), kind="max", holidays=table)
    term.last_day       # 2026-08-31, not 08-28: the period starts on 1 March
    term.free_from_utc  # 2026-08-31 15:00 UTC, midnight in Seoul

157: the first day is excluded. 159: a period ends when its last day ends. 160(2): it ends the day before the day that
corresponds to its first; 160(3): where that day does not exist, at the month's end. 161: a last day on a Saturday or a
holiday becomes the next day that is neither. Adding months to the trigger is wrong at month ends, by up to three days.
"""

from __future__ import annotations

import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from functools import lru_cache
from typing import Literal

from include.errors import ConfigurationError
from include.policy.holidays import Holidays

Kind = Literal["min", "max"]

SEOUL = timezone(timedelta(hours=9), "Asia/Seoul")
"""Korea has kept UTC+9 without summer time since 1988-10-09."""

DAY = timedelta(days=1)
MAX_MONTHS = 100 * 12
YEARS = range(1900, 2200)
_FORM = re.compile(r"P(?:(?=\d)(?:(\d{1,4})Y)?(?:(\d{1,4})M)?|(\d{1,4})W|(\d{1,5})D)|PT(\d{1,5})H", re.ASCII)


@dataclass(frozen=True, slots=True)
class Period:
    """A period by the calendar (months), by days or by hours; never a mixture, because the law has no order for one."""

    months: int = 0
    days: int = 0
    hours: int = 0

    @classmethod
    def parse(cls, text: str) -> Period:
        """Parse `P6M`, `P5Y`, `P1Y6M`, `P2W`, `P10D`, `P0D` or `PT72H`."""
        found = _FORM.fullmatch(text) if isinstance(text, str) else None
        if found is None:
            raise ConfigurationError(f"{str(text)[:40]!r} is not a period. Write P6M, P5Y, P10D or PT72H.")
        years, months, weeks, days, hours = (int(g) if g else 0 for g in found.groups())
        period = cls(months=years * 12 + months, days=weeks * 7 + days, hours=hours)
        if period.months > MAX_MONTHS or period.days > MAX_MONTHS * 31:
            raise ConfigurationError(f"{text!r} is longer than 100 years; no retention period is.")
        return period

    def __str__(self) -> str:
        if self.hours:
            return f"PT{self.hours}H"
        if self.months:
            years, months = divmod(self.months, 12)
            return "P" + (f"{years}Y" if years else "") + (f"{months}M" if months else "")
        return f"P{self.days}D"


@dataclass(frozen=True, slots=True)
class PeriodRules:
    """The schedule's choices about periods; the defaults are those of the packaged schedule."""

    roll_min: bool = True
    roll_max: bool = False
    first_day_at_midnight_min: bool = False
    first_day_at_midnight_max: bool = True
    destroy_within_days: int = 5

    def rolls(self, kind: Kind) -> bool:
        """Whether a last day of this kind moves over Saturdays and holidays."""
        return self.roll_min if kind == "min" else self.roll_max

    def counts_midnight(self, kind: Kind) -> bool:
        """Whether an event at exactly 00:00:00 counts its own day as the first (157 proviso)."""
        return self.first_day_at_midnight_min if kind == "min" else self.first_day_at_midnight_max


STANDARD = PeriodRules()


@dataclass(frozen=True, slots=True)
class Term:
    """When a period ends: on `last_day`; it is over at `free_from` 00:00 in Seoul, which is `free_from_utc`."""

    trigger_date: date
    last_day: date
    free_from: date
    free_from_utc: datetime
    destroy_by: date


def evaluate(
    trigger: date | datetime,
    period: Period,
    *,
    kind: Kind,
    holidays: Holidays,
    rules: PeriodRules = STANDARD,
) -> Term:
    """Return the term that `period` opens at `trigger`.

    A date means some time on that day in Seoul. A datetime must carry a time zone; at exactly midnight in Seoul a
    maximum counts that day (157 proviso) and a minimum does not: the reading that keeps longer where a law orders it.
    """
    return _evaluate(trigger, period, kind, holidays, rules)


@lru_cache(maxsize=1 << 16)
def _evaluate(trigger: date | datetime, period: Period, kind: Kind, holidays: Holidays, rules: PeriodRules) -> Term:
    if period.hours:
        raise ConfigurationError(f"{period} runs by the hour and has no last day; use ends_at.")
    trigger_date, first_day = _first_day(trigger, kind, rules)
    last_day = add(first_day, period) - DAY
    if rules.rolls(kind):
        last_day = holidays.next_working_day(last_day)
    return term_until(trigger_date, last_day, rules=rules)


def term_until(trigger_date: date, last_day: date, *, rules: PeriodRules = STANDARD) -> Term:
    """Return the term that ends on `last_day`."""
    free_from = last_day + DAY
    return Term(
        trigger_date=trigger_date,
        last_day=last_day,
        free_from=free_from,
        free_from_utc=midnight_utc(free_from),
        destroy_by=last_day + timedelta(days=rules.destroy_within_days),
    )


def after_hold(term: Term, released_on: date, *, rules: PeriodRules = STANDARD) -> Term:
    """Return `term` as a released hold leaves it: free on the day after the release or later; it never restarts."""
    return term_until(term.trigger_date, max(term.last_day, released_on), rules=rules)


def add(first_day: date, period: Period) -> date:
    """Return the day after the last one of a period whose first day is `first_day` (160)."""
    if not period.months:
        return first_day + timedelta(days=period.days)
    years, month = divmod(first_day.month - 1 + period.months, 12)
    year, month = first_day.year + years, month + 1
    if first_day.day <= monthrange(year, month)[1]:
        return date(year, month, first_day.day)
    return date(year + month // 12, month % 12 + 1, 1)


def latest_trigger(as_of: date, period: Period, kind: Kind, holidays: Holidays, rules: PeriodRules = STANDARD) -> date:
    """Return the newest trigger date whose period is over on `as_of`.

    A later trigger never ends earlier, so every date up to the one returned is over too: SQL may compare with `<=`.
    """
    guess = as_of - timedelta(days=period.days + 1)
    if period.months:
        years, month = divmod(as_of.month - 1 - period.months, 12)
        year, month = as_of.year + years, month + 1
        guess = date(year, month, min(as_of.day, monthrange(year, month)[1])) - DAY

    def over(trigger: date) -> bool:
        return _evaluate(trigger, period, kind, holidays, rules).free_from <= as_of

    while not over(guess):
        guess -= DAY
    while over(guess + DAY):
        guess += DAY
    return guess


def ends_at(moment: datetime, period: Period) -> datetime:
    """Return when a period by the hour ends, in UTC; hours run at once and do not roll (156)."""
    if not period.hours:
        raise ConfigurationError(f"{period} does not run by the hour; use evaluate.")
    return _aware(moment).astimezone(UTC) + timedelta(hours=period.hours)


def midnight_utc(day: date) -> datetime:
    """Return the moment `day` begins in Seoul, in UTC."""
    return datetime.combine(day, time(), SEOUL).astimezone(UTC)


def seoul_date(moment: datetime) -> date:
    """Return the Seoul date of a moment; the one conversion from an Airflow date to a business date."""
    return _aware(moment).astimezone(SEOUL).date()


def _first_day(trigger: date | datetime, kind: Kind, rules: PeriodRules) -> tuple[date, date]:
    counted = False
    if isinstance(trigger, datetime):
        local = _aware(trigger).astimezone(SEOUL)
        counted = local.time() == time() and rules.counts_midnight(kind)
        trigger = local.date()
    if trigger.year not in YEARS:
        raise ConfigurationError(f"The trigger date {trigger} is not between {YEARS[0]} and {YEARS[-1]}.")
    return trigger, trigger if counted else trigger + DAY


def _aware(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ConfigurationError(f"{moment} has no time zone, so it is no moment. Add one, for example +09:00.")
    return moment
