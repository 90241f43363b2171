"""Answer clocks: the vectors of Korean, European and Californian law, and the strictest of them."""

from __future__ import annotations

from datetime import date

import pytest

from include.policy import schedule
from include.policy.answers import alert, answer_clocks, eu_months_after, last_notice_day, strictest
from include.policy.deadlines import under_age_through

KNOWN = schedule.load()


def due(rule: str, received: date) -> tuple[date, date]:
    """Return one law's unrolled and legal day."""
    found = next(c for c in answer_clocks(received, KNOWN) if c.rule == rule)
    return found.due, found.legal_due


@pytest.mark.parametrize(
    ("received", "product", "legal"),
    [
        (date(2026, 12, 22), date(2027, 1, 1), date(2027, 1, 4)),  # vector 14: over the year's end
        (date(2026, 9, 15), date(2026, 9, 25), date(2026, 9, 28)),  # vector 15: over Chuseok
        (date(2026, 11, 26), date(2026, 12, 6), date(2026, 12, 7)),  # a Sunday
    ],
)
def test_korean_law_answers_in_ten_days_and_the_product_alarms_on_the_unrolled_one(
    received: date, product: date, legal: date
) -> None:
    assert due("KR", received) == (product, legal)


@pytest.mark.parametrize(
    ("received", "expected"),
    [
        (date(2026, 2, 28), date(2026, 3, 28)),  # not 03-31, as the Civil Act would have it
        (date(2026, 4, 30), date(2026, 5, 30)),
        (date(2026, 1, 31), date(2026, 2, 28)),
        (date(2024, 1, 31), date(2024, 2, 29)),
        (date(2026, 12, 31), date(2027, 1, 31)),
    ],
)
def test_european_law_counts_to_the_same_date_or_the_months_end(received: date, expected: date) -> None:
    assert eu_months_after(received, 1) == expected
    assert due("GDPR", received)[0] == expected


def test_a_european_month_that_ends_on_a_weekend_is_legal_until_the_next_working_day() -> None:
    assert due("GDPR", date(2026, 2, 28)) == (date(2026, 3, 28), date(2026, 3, 30))


def test_californian_days_run_from_the_day_of_receipt_itself() -> None:
    assert due("CCPA", date(2026, 11, 26)) == (date(2027, 1, 9), date(2027, 1, 9))


@pytest.mark.parametrize(("received", "confirm"), [
    (date(2026, 11, 26), date(2026, 12, 10)),
    (date(2026, 11, 27), date(2026, 12, 11)),
    (date(2026, 11, 28), date(2026, 12, 11)),
    (date(2026, 11, 29), date(2026, 12, 11)),
    (date(2026, 11, 30), date(2026, 12, 14)),
    (date(2026, 12, 24), date(2027, 1, 7)),
])  # fmt: skip
def test_receipt_is_confirmed_within_ten_business_days_counted_without_holidays(received: date, confirm: date) -> None:
    (clock,) = (c for c in answer_clocks(received, KNOWN) if c.duty == "confirm")
    assert (clock.due, clock.legal_due, clock.article) == (confirm, confirm, "11 CCR 7021(a)")
    assert strictest(answer_clocks(received, KNOWN)).duty == "answer"


@pytest.mark.parametrize("received", [date(2026, 1, 1), date(2026, 2, 20), date(2026, 12, 31)])
def test_every_clock_is_kept_and_the_strictest_wins(received: date) -> None:
    clocks = answer_clocks(received, KNOWN)
    assert {c.rule for c in clocks} == {"KR", "GDPR", "CCPA", "CCPA-CONFIRM"}
    assert all(c.law and c.article and c.legal_due >= c.due for c in clocks)
    assert strictest(clocks) == clocks[0]
    assert clocks[0].due == min(c.due for c in clocks)


def test_an_alert_comes_before_the_day_passes_and_stays_after_it() -> None:
    clock = strictest(answer_clocks(date(2026, 11, 26), KNOWN))
    assert alert(clock, date(2026, 12, 2), days=3) is None
    near = alert(clock, date(2026, 12, 3), days=3)
    late = alert(clock, date(2026, 12, 7), days=3)
    assert near and (near.days_left, near.overdue) == (3, False)
    assert late and (late.days_left, late.overdue) == (-1, True)


def test_a_notice_is_tried_until_one_day_before_the_limit() -> None:
    assert last_notice_day(date(2026, 12, 6), margin=1) == date(2026, 12, 5)


@pytest.mark.parametrize(
    ("born", "last"), [(date(2012, 11, 24), date(2026, 11, 23)), (date(2012, 2, 29), date(2026, 2, 28))]
)
def test_a_child_is_under_fourteen_through_the_day_before_the_birthday(born: date, last: date) -> None:
    assert under_age_through(born, years=KNOWN.settings.child_age) == last  # vector 23
