"""When a request must be answered: every law's clock, the strictest of them, and who must be told before it passes.

    clocks = answer_clocks(date(2026, 12, 22), schedule)
    strictest(clocks).due         # 2027-01-01, the unrolled day we alarm on; the law allows until .legal_due

Pure: days in Asia/Seoul, the schedule's own holiday table.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from include.errors import ConfigurationError
from include.policy.holidays import Holidays
from include.policy.periods import Period, evaluate
from include.policy.request_models import AnswerClock, Requests
from include.policy.schedule import Schedule


@dataclass(frozen=True, slots=True)
class Clock:
    """One law's date: `due` is the unrolled day, `legal_due` the last one the law allows; `duty` is what it is for."""

    rule: str
    due: date
    legal_due: date
    law: str
    article: str
    duty: str = "answer"


@dataclass(frozen=True, slots=True)
class Alert:
    """How near a deadline is: `days_left` is negative once it has passed."""

    days_left: int
    due: date
    legal_due: date
    rule: str

    @property
    def overdue(self) -> bool:
        """Whether the unrolled day has passed."""
        return self.days_left < 0


def section(schedule: Schedule) -> Requests:
    """Return the schedule's section `requests`, or say that it has none."""
    if schedule.requests is None:
        raise ConfigurationError(
            f"{schedule.file} has no section `requests`: add it, have it approved, then ask again."
        )
    return schedule.requests


def answer_clocks(received_on: date, schedule: Schedule) -> tuple[Clock, ...]:
    """Return every law's clock for a request received on a Seoul date, the first to end first; confirmations too."""
    clocks = [_clock(c, received_on, schedule.holidays) for c in section(schedule).clocks]
    return tuple(sorted(clocks, key=lambda c: (c.due, c.rule)))


def strictest(clocks: Sequence[Clock]) -> Clock:
    """Return the clock of an answer that ends first."""
    return min((c for c in clocks if c.duty == "answer"), key=lambda c: (c.due, c.rule))


def alert(clock: Clock, as_of: date, *, days: int) -> Alert | None:
    """Return how near an unanswered request's deadline is, from `days` days before it; None while it is far."""
    left = (clock.due - as_of).days
    return Alert(left, clock.due, clock.legal_due, clock.rule) if left <= days else None


def last_notice_day(due: date, *, margin: int) -> date:
    """Return the last day on which a failed notice is tried again by itself; from the next on a person is asked."""
    return due - timedelta(days=margin)


def eu_months_after(received_on: date, months: int) -> date:
    """Return the same date `months` later, or that month's end (Regulation 1182/71 3(2)(c), C-171/03)."""
    years, month = divmod(received_on.month - 1 + months, 12)
    year, month = received_on.year + years, month + 1
    return date(year, month, min(received_on.day, monthrange(year, month)[1]))


def business_days_after(received_on: date, days: int) -> date:
    """Return the day so many Mondays to Fridays after a date.

    No holiday is left out: ours are not California's, and one day too early is safe where one too late is not.
    """
    day = received_on
    while days:
        day += timedelta(days=1)
        days -= day.weekday() < 5
    return day


def _clock(clock: AnswerClock, received_on: date, holidays: Holidays) -> Clock:
    due = _due(clock, received_on, holidays)
    # 11 CCR 7021 counts without a roll; the other two end on the next working day.
    rolled = clock.count in ("civil_act", "eu_1182_71")
    legal = holidays.next_working_day(due) if rolled else due
    return Clock(clock.id, due, legal, clock.law, clock.article, clock.duty)


def _due(clock: AnswerClock, received_on: date, holidays: Holidays) -> date:
    period: Period = clock.period
    if clock.count == "civil_act":
        return evaluate(received_on, period, kind="max", holidays=holidays).last_day
    if clock.count == "eu_1182_71":
        return eu_months_after(received_on, period.months)
    if clock.count == "business_days":
        return business_days_after(received_on, period.days)
    # The clock runs from the day of receipt itself, so the safe day is one earlier than plain addition.
    return received_on + timedelta(days=period.days - 1)
