"""Period arithmetic: the published vectors, and the closed form against an article-by-article reading of the law."""

from __future__ import annotations

from calendar import monthrange
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.errors import ConfigurationError
from include.policy.deadlines import (
    answer_due,
    corporate_filing_deadline,
    fiscal_year_end_after,
    notice_day,
    under_age_through,
    vat_filing_deadline,
)
from include.policy.holidays import Holidays, packaged_holidays
from include.policy.periods import (
    SEOUL,
    STANDARD,
    Kind,
    Period,
    PeriodRules,
    Term,
    after_hold,
    ends_at,
    evaluate,
    latest_trigger,
    midnight_utc,
    seoul_date,
    term_until,
)

HOLIDAYS = packaged_holidays()


def term(trigger: str | date | datetime, period: str, kind: Kind = "max", rules: PeriodRules = STANDARD) -> Term:
    day = date.fromisoformat(trigger) if isinstance(trigger, str) else trigger
    return evaluate(day, Period.parse(period), kind=kind, holidays=HOLIDAYS, rules=rules)


@pytest.mark.parametrize(
    ("number", "trigger", "period", "kind", "last_day", "free_from_utc", "destroy_by"),
    [
        (1, "2026-01-15", "P6M", "max", "2026-07-15", "2026-07-15T15:00Z", "2026-07-20"),
        (2, "2025-08-31", "P6M", "max", "2026-02-28", "2026-02-28T15:00Z", "2026-03-05"),
        (3, "2023-08-31", "P6M", "max", "2024-02-29", "2024-02-29T15:00Z", "2024-03-05"),
        (4, "2023-08-28", "P6M", "max", "2024-02-28", "2024-02-28T15:00Z", "2024-03-04"),
        (5, "2025-08-28", "P6M", "max", "2026-02-28", "2026-02-28T15:00Z", "2026-03-05"),
        (6, "2026-02-28", "P6M", "max", "2026-08-31", "2026-08-31T15:00Z", "2026-09-05"),
        (7, "2024-02-29", "P6M", "max", "2024-08-31", "2024-08-31T15:00Z", "2024-09-05"),
        (8, "2026-04-30", "P6M", "max", "2026-10-31", "2026-10-31T15:00Z", "2026-11-05"),
        (9, "2026-11-30", "P6M", "max", "2027-05-31", "2027-05-31T15:00Z", "2027-06-05"),
        (10, "2024-02-29", "P5Y", "max", "2029-02-28", "2029-02-28T15:00Z", "2029-03-05"),
        (10, "2024-02-29", "P5Y", "min", "2029-02-28", "2029-02-28T15:00Z", "2029-03-05"),
        (11, "2023-02-28", "P5Y", "max", "2028-02-29", "2028-02-29T15:00Z", "2028-03-05"),
        (11, "2023-02-28", "P5Y", "min", "2028-02-29", "2028-02-29T15:00Z", "2028-03-05"),
        (12, "2021-12-31", "P5Y", "max", "2026-12-31", "2026-12-31T15:00Z", "2027-01-05"),
        (12, "2021-12-31", "P5Y", "min", "2026-12-31", "2026-12-31T15:00Z", "2027-01-05"),
        (13, "2024-02-29", "P3Y", "min", "2027-03-02", "2027-03-02T15:00Z", "2027-03-07"),
        (16, "2025-04-03", "P6M", "min", "2025-10-10", "2025-10-10T15:00Z", "2025-10-15"),
        (17, "2026-03-31T14:59:59Z", "P6M", "max", "2026-09-30", "2026-09-30T15:00Z", "2026-10-05"),
        (18, "2026-03-31T15:00:00Z", "P6M", "max", "2026-09-30", "2026-09-30T15:00Z", "2026-10-05"),
        (18, "2026-03-31T15:00:00Z", "P6M", "min", "2026-10-01", "2026-10-01T15:00Z", "2026-10-06"),
    ],
)
def test_the_published_vectors_hold(
    number: int, trigger: str, period: str, kind: Kind, last_day: str, free_from_utc: str, destroy_by: str
) -> None:
    start = date.fromisoformat(trigger) if len(trigger) == 10 else datetime.fromisoformat(trigger)
    found = term(start, period, kind)
    assert found.last_day == date.fromisoformat(last_day), number
    assert found.free_from_utc == datetime.fromisoformat(free_from_utc)
    assert found.free_from == found.last_day + timedelta(days=1)
    assert found.destroy_by == date.fromisoformat(destroy_by)


@pytest.mark.parametrize(
    ("received", "product_due", "legal_due"),
    [("2026-12-22", "2027-01-01", "2027-01-04"), ("2026-09-15", "2026-09-25", "2026-09-28")],
)
def test_vectors_14_and_15_an_answer_has_an_unrolled_and_a_legal_day(
    received: str, product_due: str, legal_due: str
) -> None:
    due = answer_due(date.fromisoformat(received), days=10, holidays=HOLIDAYS)
    assert (str(due.product_due), str(due.legal_due)) == (product_due, legal_due)


@pytest.mark.parametrize(
    ("period", "last_day", "free_from_utc", "destroy_by"),
    [
        ("P5Y", "2031-03-31", "2031-03-31T15:00Z", "2031-04-05"),
        ("P7Y", "2033-03-31", "2033-03-31T15:00Z", "2033-04-05"),
    ],
)
def test_vector_19_the_tax_clock_starts_at_the_filing_deadline(
    period: str, last_day: str, free_from_utc: str, destroy_by: str
) -> None:
    deadline = corporate_filing_deadline(date(2025, 1, 2), fiscal_year_end="12-31", months=3, holidays=HOLIDAYS)
    assert deadline == date(2026, 3, 31)
    found = term(deadline, period, "min")
    assert (str(found.last_day), str(found.destroy_by)) == (last_day, destroy_by)
    assert found.free_from_utc == datetime.fromisoformat(free_from_utc)


def test_vector_20_a_deadline_and_a_last_day_on_sundays_both_roll() -> None:
    deadline = corporate_filing_deadline(date(2023, 7, 1), fiscal_year_end="12-31", months=3, holidays=HOLIDAYS)
    assert deadline == date(2024, 4, 1)
    found = term(deadline, "P5Y", "min")
    assert (str(found.last_day), str(found.destroy_by)) == ("2029-04-02", "2029-04-07")
    assert found.free_from_utc == datetime(2029, 4, 2, 15, tzinfo=UTC)


def test_vector_21_the_vat_clock() -> None:
    deadline = vat_filing_deadline(date(2025, 12, 31), days=25, holidays=HOLIDAYS)
    assert deadline == date(2026, 1, 26)
    found = term(deadline, "P5Y", "min")
    assert (str(found.last_day), str(found.destroy_by)) == ("2031-01-27", "2031-02-01")
    assert found.free_from_utc == datetime(2031, 1, 27, 15, tzinfo=UTC)


def test_vector_22_hours_run_at_once_and_do_not_roll() -> None:
    noticed = datetime(2026, 11, 20, 18, 30, tzinfo=SEOUL)
    assert ends_at(noticed, Period.parse("PT72H")) == datetime(2026, 11, 23, 9, 30, tzinfo=UTC)


@pytest.mark.parametrize(("born", "through"), [("2012-11-24", "2026-11-23"), ("2012-02-29", "2026-02-28")])
def test_vector_23_age_counts_the_birth_day(born: str, through: str) -> None:
    assert under_age_through(date.fromisoformat(born), years=14) == date.fromisoformat(through)


def test_vector_24_a_released_hold_frees_on_the_next_day() -> None:
    found = after_hold(term("2026-01-15", "P6M"), date(2026, 9, 3))
    assert found.free_from == date(2026, 9, 4)
    assert found.free_from_utc == datetime(2026, 9, 3, 15, tzinfo=UTC)
    assert found.destroy_by == date(2026, 9, 8)


def test_a_hold_released_before_the_term_ends_changes_nothing() -> None:
    original = term("2026-01-15", "P6M")
    assert after_hold(original, date(2026, 7, 15)) == original


@pytest.mark.parametrize(
    ("effective", "days", "send_by"), [("2026-12-01", 7, "2026-11-23"), ("2026-12-31", 30, "2026-11-30")]
)
def test_vector_25_a_notice_counts_backwards(effective: str, days: int, send_by: str) -> None:
    assert notice_day(date.fromisoformat(effective), days=days) == date.fromisoformat(send_by)


def by_the_articles(trigger: date, months: int, days: int) -> date:
    """Return the last day as a lawyer would count it: 157, then 159 and 160, one article after the other."""
    first = trigger + timedelta(days=1)  # 157: the first day is not counted
    if not months:
        return first + timedelta(days=days - 1)  # 159: it ends when its last day ends
    year, month = first.year, first.month
    for _ in range(months):  # 160(1): by the calendar
        year, month = (year + 1, 1) if month == 12 else (year, month + 1)
    length = monthrange(year, month)[1]
    if first.day > length:  # 160(3): no such day in the last month
        return date(year, month, length)
    return date(year, month, first.day) - timedelta(days=1)  # 160(2): the day before the corresponding one


def rolled(day: date, holidays: Holidays) -> date:
    """161, as a reader would do it with the table in hand."""
    while day.strftime("%a") in ("Sat", "Sun") or day in holidays.days:
        day = day + timedelta(days=1)
    return day


DATES = st.dates(date(2016, 1, 1), date(2040, 12, 31))
PERIODS = st.one_of(
    st.integers(1, 84).map(lambda n: Period(months=n)), st.integers(0, 800).map(lambda n: Period(days=n))
)


@settings(max_examples=400, deadline=None, derandomize=True)
@given(DATES, PERIODS)
def test_the_closed_form_is_the_reading_of_the_articles(trigger: date, period: Period) -> None:
    last_day = by_the_articles(trigger, period.months, period.days)
    assert evaluate(trigger, period, kind="max", holidays=HOLIDAYS).last_day == last_day
    assert evaluate(trigger, period, kind="min", holidays=HOLIDAYS).last_day == rolled(last_day, HOLIDAYS)


def test_the_closed_form_is_the_reading_for_every_day_of_a_leap_cycle() -> None:
    for offset in range(4 * 366):
        trigger = date(2024, 1, 1) + timedelta(days=offset)
        for months in (1, 3, 6, 12, 24, 36, 60, 84):
            found = evaluate(trigger, Period(months=months), kind="max", holidays=HOLIDAYS)
            assert found.last_day == by_the_articles(trigger, months, 0), (trigger, months)


@settings(max_examples=400, deadline=None, derandomize=True)
@given(DATES, PERIODS, st.sampled_from(["min", "max"]))
def test_the_newest_due_trigger_is_the_inverse_of_evaluate(as_of: date, period: Period, kind: Kind) -> None:
    if as_of.year < 2025:
        as_of = as_of.replace(year=as_of.year + 10, day=min(as_of.day, 28))
    newest = latest_trigger(as_of, period, kind, HOLIDAYS)
    assert evaluate(newest, period, kind=kind, holidays=HOLIDAYS).free_from <= as_of
    after = newest + timedelta(days=1)
    assert evaluate(after, period, kind=kind, holidays=HOLIDAYS).free_from > as_of


@settings(max_examples=200, deadline=None, derandomize=True)
@given(DATES, st.integers(0, 40), PERIODS, st.sampled_from(["min", "max"]))
def test_a_later_trigger_never_ends_earlier(trigger: date, later: int, period: Period, kind: Kind) -> None:
    one = evaluate(trigger, period, kind=kind, holidays=HOLIDAYS)
    other = evaluate(trigger + timedelta(days=later), period, kind=kind, holidays=HOLIDAYS)
    assert one.free_from <= other.free_from


@settings(max_examples=200, deadline=None, derandomize=True)
@given(DATES, PERIODS)
def test_a_minimum_never_ends_before_the_maximum_of_the_same_period(trigger: date, period: Period) -> None:
    longest = evaluate(trigger, period, kind="min", holidays=HOLIDAYS)
    assert longest.last_day >= evaluate(trigger, period, kind="max", holidays=HOLIDAYS).last_day
    assert not HOLIDAYS.is_day_off(longest.last_day)


@given(st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_a_moment_counts_as_its_seoul_date_except_at_midnight(moment: datetime) -> None:
    found = term(moment, "P6M")
    local = moment.astimezone(SEOUL)
    counted = (
        local.date() - timedelta(days=1)
        if local == local.replace(hour=0, minute=0, second=0, microsecond=0)
        else local.date()
    )
    assert found.last_day == term(counted, "P6M").last_day
    assert found.trigger_date == seoul_date(moment)


def test_a_period_of_no_days_ends_with_the_day_of_its_event() -> None:
    found = term("2026-11-24", "P0D")
    assert (found.last_day, found.free_from) == (date(2026, 11, 24), date(2026, 11, 25))
    assert found.free_from_utc == datetime(2026, 11, 24, 15, tzinfo=UTC)


def test_each_roll_rule_is_a_setting() -> None:
    stubborn = PeriodRules(roll_min=False, roll_max=True)
    assert term("2024-02-29", "P3Y", "min", stubborn).last_day == date(2027, 2, 28)
    assert term("2024-02-29", "P3Y", "max", stubborn).last_day == date(2027, 3, 2)


def test_the_midnight_rule_is_a_setting() -> None:
    midnight = datetime(2026, 4, 1, tzinfo=SEOUL)
    swapped = PeriodRules(first_day_at_midnight_min=True, first_day_at_midnight_max=False)
    assert term(midnight, "P6M", "min", swapped).last_day == date(2026, 9, 30)
    assert term(midnight, "P6M", "max", swapped).last_day == date(2026, 10, 1)


def test_the_days_to_destroy_are_a_setting() -> None:
    assert term("2026-01-15", "P6M", rules=PeriodRules(destroy_within_days=2)).destroy_by == date(2026, 7, 17)


@pytest.mark.parametrize(
    ("text", "period"),
    [
        ("P6M", Period(months=6)),
        ("P5Y", Period(months=60)),
        ("P1Y6M", Period(months=18)),
        ("P10D", Period(days=10)),
        ("P0D", Period()),
        ("P2W", Period(days=14)),
        ("PT72H", Period(hours=72)),
    ],
)
def test_a_period_is_parsed(text: str, period: Period) -> None:
    assert Period.parse(text) == period


@settings(derandomize=True)
@given(PERIODS)
def test_a_period_written_out_parses_to_itself(period: Period) -> None:
    assert Period.parse(str(period)) == period


@pytest.mark.parametrize(
    "text", ["", "P", "PT", "6M", "P6", "P-6M", "P1M10D", "P6m", "PT0.5H", "P1.5Y", "P٦M", "P101Y", "P99999D", "P1Y\n"]
)
def test_what_is_no_period_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"period|100 years"):
        Period.parse(text)


def test_a_moment_without_a_time_zone_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="no time zone"):
        term(datetime(2026, 1, 1, 12), "P6M")


def test_a_period_by_the_hour_has_no_last_day() -> None:
    with pytest.raises(ConfigurationError, match="ends_at"):
        term("2026-01-01", "PT72H")
    with pytest.raises(ConfigurationError, match="evaluate"):
        ends_at(datetime(2026, 1, 1, tzinfo=UTC), Period.parse("P6M"))


def test_a_trigger_far_from_any_account_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="1900"):
        term(date(9999, 12, 31), "P6M")


def test_midnight_in_seoul_is_three_in_the_afternoon_utc() -> None:
    assert midnight_utc(date(2026, 9, 1)) == datetime(2026, 8, 31, 15, tzinfo=UTC)
    assert term_until(date(2026, 1, 1), date(2026, 8, 31)).free_from_utc == datetime(2026, 8, 31, 15, tzinfo=UTC)


@pytest.mark.parametrize(
    ("day", "month_day", "end"),
    [
        ("2026-05-01", "12-31", "2026-12-31"),
        ("2026-12-31", "12-31", "2026-12-31"),
        ("2026-04-01", "03-31", "2027-03-31"),
        ("2026-06-16", "06-15", "2027-06-30"),
        ("2024-02-29", "02-28", "2024-02-29"),
        ("2025-02-28", "02-29", "2025-02-28"),
    ],
)
def test_a_fiscal_year_ends_with_its_month(day: str, month_day: str, end: str) -> None:
    assert fiscal_year_end_after(date.fromisoformat(day), month_day) == date.fromisoformat(end)


@pytest.mark.parametrize("month_day", ["13-01", "00-10", "02-30", "1-1", "x", "12-31 "])
def test_a_day_of_the_year_that_does_not_exist_is_refused(month_day: str) -> None:
    with pytest.raises(ConfigurationError, match="MM-DD"):
        fiscal_year_end_after(date(2026, 1, 1), month_day)


@given(st.dates(date(2016, 1, 1), date(2040, 12, 31)))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_a_filing_deadline_lies_after_the_transaction_on_a_working_day(day: date) -> None:
    for deadline in (
        corporate_filing_deadline(day, fiscal_year_end="12-31", months=3, holidays=HOLIDAYS),
        vat_filing_deadline(day, days=25, holidays=HOLIDAYS),
    ):
        assert deadline > day
        assert not HOLIDAYS.is_day_off(deadline)
