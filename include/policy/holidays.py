"""The pinned table of Korean public holidays: data with a version, because the law changes (as in May 2026)."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import lru_cache
from pathlib import Path

from include.errors import ConfigurationError
from include.policy.document import Document

PACKAGED = Path(__file__).with_name("holidays_kr.yaml")


@dataclass(frozen=True, slots=True, eq=False)
class Holidays:
    """Which days are holidays, from `first_year` to `last_year`; a question about another year is refused."""

    version: str
    first_year: int
    last_year: int
    days: frozenset[date] = field(repr=False)

    def is_day_off(self, day: date) -> bool:
        """Whether `day` is a Saturday, a Sunday or a public holiday."""
        if not self.first_year <= day.year <= self.last_year:
            raise ConfigurationError(
                f"The holiday table {self.version} covers {self.first_year} to {self.last_year}, not {day}. "
                "Install a newer table and have the schedule approved with it."
            )
        return day.weekday() >= 5 or day in self.days

    def next_working_day(self, day: date) -> date:
        """Return `day`, or the first later day that is neither a Saturday nor a holiday (민법 161)."""
        while self.is_day_off(day):
            day += timedelta(days=1)
        return day


@lru_cache(maxsize=8)
def parse_holidays(body: bytes, *, file: str) -> Holidays:
    """Read a holiday table; a wrong line is refused with its key."""
    document = Document.parse(body, file=file)
    table = document.mapping()
    expected = {"version", "source", "first_year", "last_year", "holidays"}
    for key in sorted(expected ^ set(table)):
        raise document.error((key,), "missing" if key in expected else "unknown key")
    first, last = table["first_year"], table["last_year"]
    if not (isinstance(first, int) and isinstance(last, int) and 1900 <= first <= last <= 2200):
        raise document.error(("first_year",), "first_year and last_year are years, in order")
    if not isinstance(table["holidays"], dict):
        raise document.error(("holidays",), "must map dates to names")
    days = frozenset(_day(document, key, range(first, last + 1)) for key in table["holidays"])
    for year in range(first, last + 1):
        if date(year, 1, 1) not in days:
            raise document.error(("holidays",), f"year {year} has no 1 January, so it is not complete")
    return Holidays(version=str(table["version"]), first_year=first, last_year=last, days=days)


def packaged_holidays() -> Holidays:
    """Return the table that ships with this package."""
    return parse_holidays(PACKAGED.read_bytes(), file=PACKAGED.name)


def _day(document: Document, key: object, years: range) -> date:
    try:
        day = date.fromisoformat(str(key))
        written = day.isoformat()
    except ValueError:
        written = ""
    if written != key:  # 2026-W09-7 and 20260301 are dates for Python, and not for a reader of this table
        raise document.error(("holidays", str(key)), "is not a date YYYY-MM-DD")
    if day.year not in years:
        raise document.error(("holidays", str(key)), f"lies outside {years[0]} to {years[-1]}")
    return day
