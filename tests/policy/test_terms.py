"""Until when a law keeps one record, and what of it."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from include.errors import ArchiveError
from include.policy.schedule import load
from include.policy.terms import RecordTerm, record_terms

SCHEDULE = load()
FEE = {"fee.billed", "fee.received", "fee.received_at", "fee.method"}


def terms(
    kind: str,
    subject_type: str = "individual",
    *,
    consumer_like: bool = False,
    offshore: bool = False,
    **dates: date,
) -> dict[str, RecordTerm]:
    found = record_terms(
        kind=kind,
        dates=dates,
        subject_type=subject_type,
        consumer_like=consumer_like,
        offshore=offshore,
        schedule=SCHEDULE,
    )
    return {t.rule_id: t for t in found}


def test_a_payment_of_an_individual_has_the_tax_clock_and_the_commerce_clock() -> None:
    found = terms("payment", transaction=date(2025, 1, 2), paid=date(2025, 1, 3), supplied=date(2025, 2, 10))
    assert found.keys() == {"R-02i", "R-04"}
    assert found["R-02i"].trigger_date == date(2026, 3, 31)
    assert found["R-02i"].last_day == date(2031, 3, 31)
    assert found["R-02i"].free_from_utc == datetime(2031, 3, 31, 15, tzinfo=UTC)
    assert found["R-02i"].destroy_by == date(2031, 4, 5)
    assert found["R-04"].trigger_date == date(2025, 2, 10)
    assert found["R-04"].last_day == date(2030, 2, 11)  # 2030-02-10 is a Sunday


def test_an_offshore_payment_is_kept_seven_years_for_tax_only() -> None:
    found = terms("payment", offshore=True, transaction=date(2025, 1, 2))
    assert found["R-02i"].last_day == date(2033, 3, 31)
    assert found["R-04"].last_day == date(2030, 1, 2)


def test_a_payment_of_a_business_keeps_the_business_list() -> None:
    found = terms("payment", "business", transaction=date(2025, 1, 2))
    assert found.keys() == {"R-02b"}
    assert set(found["R-02b"].items) == FEE | {
        "company_name",
        "trade_name",
        "representative",
        "business_no",
        "corporation_no",
    }


def test_a_consumer_like_business_keeps_the_commerce_records_without_a_contact_person() -> None:
    found = terms("payment", "business", consumer_like=True, transaction=date(2025, 1, 2))
    assert found.keys() == {"R-02b", "R-04"}
    assert not {"name", "email", "phone", "billing_address"} & set(found["R-04"].items)


def test_each_law_keeps_its_own_items() -> None:
    found = terms("payment", transaction=date(2025, 1, 2))
    assert set(found["R-02i"].items) == FEE | {"name", "billing_address", "phone", "email"}
    assert set(found["R-04"].items) == FEE | {
        "name", "billing_address", "email", "supply.completed_on", "invoice.number", "invoice.pdf_sha256",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "dates", "rule_id", "last_day"),
    [
        ("contract", {"contract_ended": date(2024, 2, 29)}, "R-03", date(2029, 2, 28)),
        ("withdrawal", {"recorded": date(2021, 12, 31)}, "R-03", date(2026, 12, 31)),
        ("complaint", {"case_closed": date(2024, 2, 29)}, "R-05", date(2027, 3, 2)),
        ("credit_record", {"recorded": date(2024, 2, 29)}, "R-07", date(2027, 3, 2)),
    ],
)
def test_other_records_have_one_clock(kind: str, dates: dict[str, date], rule_id: str, last_day: date) -> None:
    found = terms(kind, **dates)
    assert found.keys() == {rule_id}
    assert found[rule_id].last_day == last_day


def test_no_law_keeps_a_business_complaint() -> None:
    assert terms("complaint", "business", case_closed=date(2026, 1, 1)) == {}


def test_a_joint_date_of_payment_and_supply_is_understood() -> None:
    found = terms("payment", transaction=date(2025, 1, 2), paid_and_supplied=date(2025, 3, 4))
    assert found["R-04"].trigger_date == date(2025, 3, 4)


def test_a_record_without_its_date_is_refused_rather_than_forgotten() -> None:
    with pytest.raises(ArchiveError, match="none of the dates case_closed, recorded"):
        terms("complaint")


def test_a_kind_no_law_knows_is_kept_by_none() -> None:
    assert terms("marketing_click", recorded=date(2026, 1, 1)) == {}


def test_an_advertisement_keeps_nothing_of_a_person() -> None:
    assert terms("advertisement", recorded=date(2026, 1, 1)) == {}
