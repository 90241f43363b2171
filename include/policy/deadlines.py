"""Deadlines that are not retention terms: answers, notices, breach reports, age, and tax filing (the clock of R-02)."""

from __future__ import annotations

import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import date, timedelta

from include.errors import ConfigurationError
from include.policy.holidays import Holidays
from include.policy.periods import DAY, Period, PeriodRules, add, evaluate

ROLLS = PeriodRules(roll_max=True)


@dataclass(frozen=True, slots=True)
class AnswerDue:
    """When an answer is due: we alarm on `product_due`, the unrolled day; the law allows until `legal_due`."""

    product_due: date
    legal_due: date


def answer_due(received_on: date, *, days: int, holidays: Holidays) -> AnswerDue:
    """Return when a request received on `received_on` must be answered (Decree to the PIPA 41(4), 43(3), 44(2))."""
    due = evaluate(received_on, Period(days=days), kind="max", holidays=holidays).last_day
    return AnswerDue(product_due=due, legal_due=holidays.next_working_day(due))


def notice_day(effective_on: date, *, days: int) -> date:
    """Return the last day to send a notice `days` before; counted backwards, the effective day excluded (157)."""
    return effective_on - timedelta(days=days + 1)


def under_age_through(born_on: date, *, years: int) -> date:
    """Return the last day on which somebody born on `born_on` is younger than `years`; the birth day counts (158)."""
    return add(born_on, Period(months=12 * years)) - DAY


def fiscal_year_end_after(day: date, month_day: str) -> date:
    """Return the last day of the month in which the fiscal year holding `day` ends (법인세법 60 counts from there)."""
    found = re.fullmatch(r"(\d\d)-(\d\d)", month_day, re.ASCII)
    month = int(found[1]) if found else 0
    if found is None or not 1 <= month <= 12 or not 1 <= int(found[2]) <= monthrange(2024, month)[1]:
        raise ConfigurationError(f"{month_day[:20]!r} is not a day of the year. Write MM-DD, for example 12-31.")
    end_of_year = [_clipped(day.year + n, month, int(found[2])) for n in (0, 1)]
    end = next(e for e in end_of_year if e >= day)
    return _clipped(end.year, end.month, 31)


def corporate_filing_deadline(day: date, *, fiscal_year_end: str, months: int, holidays: Holidays) -> date:
    """Return the corporate-tax deadline of the fiscal year holding `day`, rolled over holidays (국세기본법 5)."""
    end = fiscal_year_end_after(day, fiscal_year_end)
    return evaluate(end, Period(months=months), kind="max", holidays=holidays, rules=ROLLS).last_day


def vat_filing_deadline(day: date, *, days: int, holidays: Holidays) -> date:
    """Return the value-added-tax deadline of the half-year holding `day`, rolled over holidays (부가가치세법 49)."""
    end = date(day.year, 6, 30) if day.month <= 6 else date(day.year, 12, 31)
    return evaluate(end, Period(days=days), kind="max", holidays=holidays, rules=ROLLS).last_day


def _clipped(year: int, month: int, day: int) -> date:
    last = monthrange(year, month)[1]
    # A year that ends in February ends on its last day, leap year or not.
    return date(year, month, last if month == 2 and day >= 28 else min(day, last))
