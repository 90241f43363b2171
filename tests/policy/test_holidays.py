"""The pinned holiday table."""

from __future__ import annotations

from datetime import date

import pytest

from include.errors import ConfigurationError, ScheduleError
from include.policy.holidays import PACKAGED, packaged_holidays, parse_holidays

HOLIDAYS = packaged_holidays()


@pytest.mark.parametrize(
    "day",
    [
        "2026-05-01",  # 노동절, a public holiday since 2026
        "2026-07-17",  # 제헌절, again since 2026
        "2026-02-17",  # 설날
        "2026-09-25",  # 추석
        "2027-02-09",  # substitute
        "2025-10-08",  # substitute
        "2025-01-27",  # one-off
        "2026-06-03",  # election
    ],
)
def test_a_public_holiday_is_a_day_off(day: str) -> None:
    assert HOLIDAYS.is_day_off(date.fromisoformat(day))


@pytest.mark.parametrize("day", ["2025-05-01", "2025-07-17", "2026-03-03", "2025-10-10"])
def test_a_working_day_is_none(day: str) -> None:
    assert not HOLIDAYS.is_day_off(date.fromisoformat(day))


@pytest.mark.parametrize("day", [date(1999, 12, 31), date(2051, 1, 1)])
def test_a_year_outside_the_table_is_refused(day: date) -> None:
    with pytest.raises(ConfigurationError, match="covers 2000 to 2050"):
        HOLIDAYS.is_day_off(day)


def test_every_year_has_its_fixed_holidays() -> None:
    for year in range(HOLIDAYS.first_year, HOLIDAYS.last_year + 1):
        for month, day in ((1, 1), (3, 1), (5, 5), (6, 6), (8, 15), (10, 3), (12, 25)):
            assert date(year, month, day) in HOLIDAYS.days


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("first_year: 2000", "first_year: 1999"), "1999 has no 1 January"),
        (('"2026-05-01"', '"2026-05-32"'), "not a date"),
        (('"2026-05-01"', '"2051-05-01"'), "outside"),
        (("version:", "verzion:"), "version: missing"),
        (("last_year: 2050", "last_year: soon"), "are years"),
    ],
)
def test_a_broken_table_is_refused(change: tuple[str, str], reason: str) -> None:
    body = PACKAGED.read_text("utf-8").replace(*change)
    with pytest.raises(ScheduleError, match=reason):
        parse_holidays(body.encode(), file="table.yaml")
