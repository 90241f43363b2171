"""Every outcome a person must finish comes with the words to send and the proof that closes it."""

from __future__ import annotations

import pytest

from include.processors._manual import REQUESTS, ManualRequest


@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS)
def test_a_request_names_its_id_its_due_day_and_a_proof(request_: ManualRequest) -> None:
    subject, body = request_.written(request_id="R-0001", due="2026-03-07")
    assert "R-0001" in subject
    assert "2026-03-07" in body
    assert request_.proof
    assert "{" not in subject + body


def test_the_codes_are_those_the_processors_report() -> None:
    assert set(REQUESTS) == {
        "vendor_request_to_send",
        "not_deleted_by_us",
        "paper_destruction_order",
        "redaction_not_enabled",
        "store_erasure_order",
        "shared_records",
        "history_residue",
        "attachment_on_closed_ticket",
    }


@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS)
def test_instructions_are_in_both_languages(request_: ManualRequest) -> None:
    assert any("가" <= letter <= "힣" for letter in request_.body)
    assert any("a" <= letter <= "z" for letter in request_.body)
