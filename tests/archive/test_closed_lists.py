"""Closed lists under records full of other things, clocks per record, and one basis lapsing while another lives."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import update

from include.archive.retrieval import retrieve
from include.archive.rows import reduce
from include.database import archive_row
from include.policy import schedule as policy
from include.policy.terms import RecordTerm, record_terms
from include.processors import Record
from tests.archive.conftest import TODAY, Desk, payment, wait_until
from tests.archive.truth import LISTS

SCHEDULE = policy.load()
DATES = {n: date(2026, 1, 5) for n in ("transaction", "paid_and_supplied", "contract_ended", "case_closed", "recorded")}
KINDS = ("payment", "contract", "withdrawal", "complaint", "credit_record")
LISTED = sorted({item for listed in LISTS.values() for item in listed})
# Names a source might use: wholly other ones, and ones that only look like a listed item.
NAMES = st.one_of(
    st.sampled_from([*LISTED, "NAME", "name ", "name.first", "fee", "fee.", "fee.billed.note", "case", "card.number"]),
    st.text("abcdefghijklmnopqrstuvwxyz._- 이름", min_size=1, max_size=20),
)
VALUES = st.one_of(st.text(max_size=20), st.integers(-(2**53), 2**53), st.booleans(), st.none(), st.dates())


def terms(
    kind: str, subject: str, *, offshore: bool = False, schedule: Any = SCHEDULE, **dates: date
) -> list[RecordTerm]:
    return list(
        record_terms(
            kind=kind,
            dates=dates or DATES,
            subject_type=subject,
            consumer_like=True,
            offshore=offshore,
            schedule=schedule,
        )
    )


@pytest.mark.parametrize("subject", ["individual", "business"])
@pytest.mark.parametrize("kind", KINDS)
@given(items=st.dictionaries(NAMES, VALUES, max_size=60))
def test_of_a_record_full_of_other_things_only_listed_items_stay_and_all_of_those(
    kind: str, subject: str, items: dict[str, Any]
) -> None:
    for term in terms(kind, subject):
        listed = LISTS[term.rule_id, subject]
        kept = reduce(Record("", "s", kind, DATES, items), term)
        assert set(kept) == {n for n in listed if items.get(n) not in (None, "")}


def test_every_pair_of_law_and_subject_is_the_list_an_outside_reader_made() -> None:
    found = {
        (rule.id, subject): frozenset(SCHEDULE.kept_items(rule.id, subject))
        for rule in SCHEDULE.rules.values()
        for subject in rule.subjects
        if rule.store and SCHEDULE.kept_items(rule.id, subject)
    }
    assert found == LISTS


def set_to(schedule: policy.Schedule, **settings: Any) -> policy.Schedule:
    return replace(schedule, sha256=repr(settings), settings=schedule.settings.model_copy(update=settings))


@pytest.mark.parametrize(
    ("settings", "offshore", "day", "last_day"),
    [
        ({}, False, date(2025, 1, 2), date(2031, 3, 31)),
        ({}, True, date(2025, 1, 2), date(2033, 3, 31)),
        ({"offshore_years_enabled": False}, True, date(2025, 1, 2), date(2031, 3, 31)),
        ({}, False, date(2023, 5, 1), date(2029, 4, 2)),  # both the deadline and the end fall on a Sunday
        ({"tax_clock": "vat"}, False, date(2025, 8, 1), date(2031, 1, 27)),
        ({"fiscal_year_end": "06-30"}, False, date(2025, 6, 30), date(2030, 9, 30)),
        ({"fiscal_year_end": "06-30"}, False, date(2025, 7, 1), date(2031, 10, 6)),  # Chuseok, then 개천절, then Sunday
        ({"fiscal_year_end": "03-31", "filing_months": 4}, False, date(2025, 4, 1), date(2031, 7, 31)),
    ],
)
def test_each_payment_has_the_clock_of_its_own_tax_period(
    settings: dict[str, Any], offshore: bool, day: date, last_day: date
) -> None:
    found = terms("payment", "individual", offshore=offshore, schedule=set_to(SCHEDULE, **settings), transaction=day)
    assert next(t.last_day for t in found if t.rule_id == "R-02i") == last_day


def test_when_one_basis_lapses_its_items_go_and_the_others_stay(desk: Desk) -> None:
    asked: dict[str, Any] = {"purpose": "tax_inspection", "reader": "e-1", "role": "compliance", "approver": "e-2"}

    def kept() -> set[str]:
        reading = retrieve(desk.engine, desk.store, "a1", as_of=TODAY, keys=desk.keys, record=desk.record, **asked)
        return {item for row in reading.rows for item in row.items}

    desk.stage("a1", payment(1))
    until = datetime.now(UTC) + timedelta(seconds=3)
    with desk.engine.begin() as connection:  # the payment's e-commerce clock ends now; its tax clock runs on
        connection.execute(
            update(archive_row).where(archive_row.c.rule_id == "R-04").values(free_from_utc=until, last_day=TODAY)
        )
    desk.pack()
    assert kept() == LISTS["R-02i", "individual"] | LISTS["R-04", "individual"]
    wait_until(until + timedelta(seconds=1))
    assert desk.lapse().destroyed == 1
    assert kept() == LISTS["R-02i", "individual"]
    assert "supply.completed_on" not in kept()
