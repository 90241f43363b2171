"""Which situations the seeded company holds: one line each, in a pattern that repeats every `LENGTH` accounts.

The dates here are worked out apart from `include.policy.periods`, so that the company does not repeat a mistake of the
product it is used to check.
"""

from __future__ import annotations

import calendar
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from random import Random

DAY = timedelta(days=1)
LENGTH = 150


def six_months_free_from(trigger: date) -> date:
    """Return the day on which six months after `trigger` are over: first day excluded, month ends by the calendar."""
    start = trigger + DAY
    year, month = divmod(start.year * 12 + start.month - 1 + 6, 12)
    if start.day > calendar.monthrange(year, month + 1)[1]:
        year, month = divmod(year * 12 + month + 1, 12)
        return date(year, month + 1, 1)
    return date(year, month + 1, start.day)


def _last_with_six_months_over(anchor: date) -> date:
    day = anchor - timedelta(days=170)
    while six_months_free_from(day) > anchor:
        day -= DAY
    return day


def _month_end(anchor: date, random: Random) -> date:
    month = random.choice((2, 2, 4, 6, 8, 9, 11, 12))
    year = anchor.year - random.randint(2, 6)
    return date(year, month, calendar.monthrange(year, month)[1])


def _leap_day(anchor: date, _random: Random) -> date:
    year = next(y for y in range(anchor.year, 0, -1) if calendar.isleap(y) and date(y, 2, 29) < anchor - 215 * DAY)
    return date(year, 2, 29)


def _ago(first: int, last: int) -> Callable[[date, Random], date]:
    return lambda anchor, random: anchor - random.randint(first, last) * DAY


ENDS: dict[str, Callable[[date, Random], date | None]] = {
    "live": lambda _anchor, _random: None,
    "old": _ago(200, 2500),
    "recent": _ago(15, 150),
    "long_ago": _ago(1900, 2500),
    "yesterday": lambda anchor, _random: anchor - DAY,
    "today": lambda anchor, _random: anchor,
    "tonight": lambda anchor, _random: _last_with_six_months_over(anchor),
    "tomorrow": lambda anchor, _random: _last_with_six_months_over(anchor) + DAY,
    "month_end": _month_end,
    "leap_day": _leap_day,
    "eight_months": _ago(240, 250),
}
"""When the termination took effect, by word."""


@dataclass(frozen=True, slots=True)
class Case:
    """One situation: when the account ended, what it consists of (words of `company.people.EXTRAS`), who holds it.

    `subject` is `individual`, `business`, `consumer` (a business treated like one) or empty for any. `places` is `all`,
    `own` (only the company's database), `vendors` (only the register row and the vendors) or `s3`.
    """

    name: str
    ended: str = "old"
    extras: tuple[str, ...] = ()
    subject: str = ""
    places: str = "all"


LIVE = Case("live", "live")

BLOCKS: tuple[tuple[Case, ...], ...] = (
    (Case("terminated_individual", subject="individual"),),
    (Case("terminated_business", subject="business"),),
    (Case("terminated_consumer_like", extras=("complaint", "withdrawal"), subject="consumer"),),
    (Case("terminated_on_a_month_end", "month_end"),),
    (Case("terminated_on_a_leap_day", "leap_day"),),
    (Case("due_tonight", "tonight"),),
    (Case("due_tomorrow", "tomorrow"),),
    (Case("old_payments_individual", "eight_months", ("old_payments",), "individual"),),
    (Case("old_payments_business", "eight_months", ("old_payments",), "business"),),
    (Case("offshore_payment", "eight_months", ("offshore",), "individual"),),
    (Case("overpaid", extras=("overpaid",)),),
    (Case("underpaid", extras=("underpaid",)),),
    (Case("disputed_support", extras=("dispute",), subject="individual"),),
    (Case("disputed_payment", extras=("dispute_payment",)),),
    (Case("correction_pending", extras=("correction",)),),
    (Case("court_order", extras=("court_order",)),),
    (Case("breach_investigation", extras=("breach",)),),
    (Case("without_identifiers", extras=("no_identifiers",), subject="individual", places="s3"),),
    (Case("logged_on_lately", "eight_months", ("late_log",)),),
    (Case("credit_terminated", "long_ago", ("credit_old", "credit_information"), "individual"),),
    (Case("debt_cleared", extras=("debt_cleared",)),),
    (Case("returning_customer", subject="individual"), Case("returned", "live", ("same_person",), "individual")),
    (Case("shared_email", subject="individual"), Case("shared_email_live", "live", ("same_email",), "individual")),
    (Case("shared_email_of_two_due"), Case("shared_email_second", "recent", ("same_email",))),
    (Case("end_users_terminated", extras=("end_users",), subject="business"),),
    (Case("child_terminated", "eight_months", ("child", "guardian_closed"), subject="individual"),),
    (Case("hold_released_yesterday", extras=("refunded_yesterday",)),),
    (Case("hold_released_today", extras=("refunded_today",)),),
    (Case("dispute_closed", extras=("dispute_closed",), subject="individual"),),
    (Case("on_paper", extras=("paper",)),),
    (Case("withdrawal_of_offer", extras=("withdrawal", "complaint"), subject="individual"),),
    (Case("mixed_case_email", extras=("mixed_case",)),),
    (Case("plus_address", extras=("plus",)),),
    (Case("only_here", places="own"),),
    (Case("only_at_vendors", places="vendors", subject="individual"),),
    (Case("advertised_before", extras=("complaint",), subject="individual"),),
    (Case("ended_lately_individual", "recent", subject="individual"),),
    (Case("ended_lately_business", "recent", ("end_users",), "business"),),
    (Case("ended_lately_overpaid", "recent", ("overpaid",)),),
    (Case("ended_yesterday", "yesterday"),),
    (Case("ended_today", "today"),),
    (Case("requested", "live", ("requested",)),),
    (Case("requested_today", "live", ("requested_today",)),),
    (Case("withheld", "live", ("withheld",)),),
    (Case("consent_withdrawn", "live", ("consent_withdrawn", "partner")),),
    (Case("overpaid_and_staying", "live", ("overpaid",)),),
    (
        Case("prize_over", "live", ("prize_over",), "individual"),
        Case("prize_running", "live", ("prize_running",), "individual"),
    ),
    (
        Case("credit_purpose_achieved", "live", ("credit_achieved",), "individual"),
        Case("credit_purpose_lately", "live", ("credit_achieved_lately",), "individual"),
    ),
    (Case("credit_log", "live", ("credit_old", "credit_young"), "individual"),),
    (Case("operator_log", "live", ("operator_log",)),),
    (Case("end_user_instruction", "live", ("end_users", "instruction"), "business"),),
    (
        Case("guardian_refused", "live", ("child", "guardian_refused"), "individual"),
        Case("guardian_refused_lately", "live", ("child", "guardian_refused_lately"), "individual"),
    ),
    (
        Case("guardian_closed", "live", ("child", "guardian_closed"), "individual"),
        Case("correction_of_partner_data", "live", ("consent_withdrawn", "partner", "correction_partner")),
    ),
)
"""Each block stands together: the second account of a pair refers to the first."""


def _pattern() -> tuple[Case, ...]:
    places: list[Case] = [LIVE] * LENGTH
    for index, block in enumerate(BLOCKS):
        start = index * LENGTH // len(BLOCKS)
        places[start : start + len(block)] = block
    return tuple(places)


PATTERN = _pattern()


def case_of(number: int) -> Case:
    """Return the situation of the account with this number (from 1)."""
    return PATTERN[(number - 1) % LENGTH]
