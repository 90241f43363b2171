"""A closed list is closed."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from include.archive.rows import ArchivedRow, reduce, window_end
from include.errors import ArchiveError
from include.policy.schedule import Schedule
from include.policy.terms import record_terms
from tests.archive.conftest import payment


def _kept(schedule: Schedule, subject_type: str, rule_id: str, **items: object) -> dict[str, object]:
    record = payment(1, **items)
    terms = record_terms(
        kind=record.kind,
        dates=record.dates,
        subject_type=subject_type,
        consumer_like=True,
        offshore=False,
        schedule=schedule,
    )
    return dict(reduce(record, next(t for t in terms if t.rule_id == rule_id)))


def test_an_individuals_tax_record_keeps_the_policys_list_and_nothing_else(schedule: Schedule) -> None:
    fee = {"fee.billed", "fee.received", "fee.received_at", "fee.method"}
    assert set(_kept(schedule, "individual", "R-02i")) == {"name", "billing_address", "phone", "email"} | fee


def test_a_businesss_tax_record_keeps_no_address_phone_or_email(schedule: Schedule) -> None:
    fee = {"fee.billed", "fee.received", "fee.received_at", "fee.method"}
    names = {"company_name", "trade_name", "representative", "business_no", "corporation_no"}
    assert set(_kept(schedule, "business", "R-02b")) == names | fee


def test_absent_and_empty_items_are_not_kept(schedule: Schedule) -> None:
    assert {"phone", "email"}.isdisjoint(_kept(schedule, "individual", "R-02i", phone=None, email=""))


def test_a_zero_amount_is_kept(schedule: Schedule) -> None:
    assert _kept(schedule, "individual", "R-02i", **{"fee.received": 0})["fee.received"] == 0


def test_a_nested_value_is_refused_by_name_only(schedule: Schedule) -> None:
    with pytest.raises(ArchiveError, match=r"Item 'name' of a payment") as caught:
        _kept(schedule, "individual", "R-02i", name={"first": "Sample", "secret": "extra"})
    assert "Sample" not in str(caught.value)


def test_a_row_survives_encoding() -> None:
    row = ArchivedRow("R-02i", "payment", "individual", date(2031, 3, 31), {"name": "김표본0001", "fee.billed": 1})
    assert ArchivedRow.decode(row.encode()) == row


def test_half_weeks_end_on_wednesday_and_sunday() -> None:
    monday = date(2026, 3, 2)
    ends = [window_end(monday + timedelta(days=n)) for n in range(7)]
    assert ends == [date(2026, 3, 4)] * 3 + [date(2026, 3, 8)] * 4
