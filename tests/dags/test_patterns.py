"""What may be typed into the fields for a number: none of a person's, in any way of writing it."""

from __future__ import annotations

import re

import pytest

from include.tasks import decision_forms, request_form

PERSONS = [
    "01012345678", "010-1234-5678", "821012345678", "82-10-1234-5678", "8201012345678", "0212345678", "02-123-4567",
    "1234567890", "123-45-67890", "9001011234567", "900101-1234567",
]  # fmt: skip


@pytest.mark.parametrize("number", ["01012345678", "010-1234-5678", "821012345678", "123-45-67890", "900101-1234567"])
def test_no_account_id_is_a_person_s_number_where_it_shows(number: str) -> None:
    assert not re.search(request_form.ACCOUNT, number)


@pytest.mark.parametrize("number", ["1", "10", "acc-0001", "1234567890", "820000000001"])
def test_a_company_s_account_ids_are_taken(number: str) -> None:
    assert re.search(request_form.ACCOUNT, number)


@pytest.mark.parametrize("number", PERSONS)
@pytest.mark.parametrize(
    "pattern", [request_form.END_USER_ID, request_form.REFERENCE, decision_forms.REFERENCE], ids=["end", "ask", "proof"]
)
def test_no_field_takes_a_person_s_number(pattern: str, number: str) -> None:
    assert not re.search(pattern, number)


@pytest.mark.parametrize(
    "number", ["u-10", "EU_0001", "cust:82-1", "82a1012345678", "3f2c0b1e-0000-4000-8000-9a1b2c3d4e5f"]
)
def test_a_company_s_own_ids_are_taken(number: str) -> None:
    assert re.search(request_form.END_USER_ID, number)


@pytest.mark.parametrize("number", ["REQ-2026-0001", "PD-2026-0001", "2026-000123"])
def test_a_reference_number_is_taken(number: str) -> None:
    assert re.search(request_form.REFERENCE, number)
    assert re.search(decision_forms.REFERENCE, number)
