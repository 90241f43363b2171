"""An entry is exactly its canonical bytes, and nothing personal fits into it."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from include.errors import EvidenceError
from include.evidence.entries import EVENTS, KEYS, canonical, is_request_id, parse
from include.outcomes import Outcome
from tests.evidence import samples

FULL = samples.disposal(
    1,
    "retained",
    until="2031-11-20",
    basis="R-02b",
    code="object_lock",
    step="delete_rows",
    method="row_delete",
    count_before=3,
    count_after=0,
    verify_method="select_count",
    http_status=404,
    receipt_sha256="0" * 64,
    hold_ids=[str(UUID(int=9))],
    hold_kinds=["H-1"],
    exceptions=[{"items": ["name", "fee.billed"], "rule_id": "R-02i", "law": "nat_tax_85-3", "until": "2031-11-20"}],
    actor={"role": "privacy_officer", "pseudonym": "e-0007"},
)


@pytest.mark.parametrize(
    "entry", [FULL, *samples.life(4), samples.base("population", counts={"terminated": 4, "held": 0})]
)
def test_the_bytes_are_those_of_rfc_8785(entry: dict[str, Any]) -> None:
    assert canonical(entry) == rfc8785.dumps(entry)


def test_parsing_gives_the_entry_back() -> None:
    assert parse(canonical(FULL)) == FULL


def test_every_outcome_is_an_event() -> None:
    assert {str(o) for o in Outcome} <= EVENTS.keys()


def test_every_event_requires_known_keys_only() -> None:
    assert set().union(*EVENTS.values()) <= KEYS.keys()


@pytest.mark.parametrize(
    "line", [b"", b"{}", b"[]", b"null", b'"a"', b"\xff", b"[" * 100_000, json.dumps(FULL).encode()]
)
def test_other_bytes_are_not_an_entry(line: bytes) -> None:
    with pytest.raises(EvidenceError):
        parse(line)


def test_a_key_given_twice_is_not_an_entry() -> None:
    line = canonical(FULL)
    with pytest.raises(EvidenceError, match="canonical"):
        parse(line.replace(b'{"actor"', b'{"as_of":"2026-11-25","actor"', 1))


@pytest.mark.parametrize("event", sorted(EVENTS))
def test_an_entry_without_a_required_key_is_refused(event: str) -> None:
    entry = {k: v for k, v in FULL.items() if k not in ("actor", "run")} | {"event": event}
    for key in EVENTS[event] - {"event"}:
        lacking = {k: v for k, v in entry.items() if k != key}
        with pytest.raises(EvidenceError, match=rf"lacks .*\b{key}\b"):
            canonical(lacking)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("name", "x"),
        ("note", "free"),
        ("event", "erased"),
        ("schema", "erasure-evidence/2"),
        ("code", "sample@example.com"),
        ("code", "two words"),
        ("code", "tel:010-0000-0001"),
        ("code", "call01000000001"),
        ("code", "김표본"),
        ("code", "a\x00b"),
        ("code", "a\n"),
        ("code", ""),
        ("code", "x" * 81),
        ("basis", "cus_NffrFeUfNV2Hib"),
        ("step", "003xx000004TmiQAAS"),
        ("count_before", 1.0),
        ("count_before", True),
        ("count_before", -1),
        ("count_before", 2**53),
        ("as_of", "2026-02-30"),
        ("as_of", "20261125"),
        ("as_of", "2026-W48-3"),
        ("recorded_at", "2026-11-24T17:00:00+00:00"),
        ("recorded_at", "2026-11-24T17:00:00.5Z"),
        ("recorded_at", "2026-13-24T17:00:00Z"),
        ("subject_tag", "acct_1001"),
        ("subject_tag", "A" * 64),
        ("disposal_id", "1"),
        ("subject_type", "person"),
        ("datasets", []),
        ("datasets", "account"),
        ("datasets", ["a@b"]),
        ("rule_id", "r-1"),
        ("http_status", 999),
        ("run", {"dag": "x"}),
        ("run", {"dag": "x", "run_id": str(UUID(int=1)), "try": 1, "version": "dev", "conf": "x"}),
        ("actor", {"role": "privacy_officer", "pseudonym": "Hong Gil-dong"}),
        ("counts", {"a@b": 1}),
        ("counts", {"due": "1"}),
        ("exceptions", [{"reason": "because"}]),
        ("exceptions", [{"until": "soon"}]),
    ],
)
def test_a_value_of_another_form_is_refused_without_being_quoted(key: str, value: Any) -> None:
    with pytest.raises(EvidenceError) as caught:
        canonical(FULL | {key: value})
    if isinstance(value, str) and len(value) > 3:
        assert value not in str(caught.value)


@pytest.mark.parametrize(
    "code", ["H-1", "R-02i", "DELETE_FAILED", "RecordNotFound", "still_present", "http_500", "placed_after_attempt"]
)
def test_ids_of_the_schedule_and_processors_own_error_words_are_codes(code: str) -> None:
    assert parse(canonical(FULL | {"code": code}))["code"] == code


def test_an_entry_over_the_tile_limit_is_refused() -> None:
    counts = {f"{i:04d}".translate(str.maketrans("0123456789", "abcdefghij")) + "x" * 70: 2**50 for i in range(1000)}
    with pytest.raises(EvidenceError, match="at most 65535"):
        canonical(samples.base("population", counts=counts))


@given(st.dictionaries(st.sampled_from(sorted(KEYS)), st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8,
)))  # fmt: skip
def test_anything_is_either_refused_in_words_or_canonical(bend: dict[str, Any]) -> None:
    entry = FULL | bend
    try:
        body = canonical(entry)
    except EvidenceError:
        return
    assert body == rfc8785.dumps(entry)


def test_the_subject_of_an_entry_is_a_mapping() -> None:
    with pytest.raises(EvidenceError, match="not an object"):
        canonical([("schema", "erasure-evidence/1")])  # type: ignore[arg-type]


def test_whoever_names_a_disposal_names_all_of_it() -> None:
    """Else no verifier could follow that disposal: `approved` with a bare disposal id is refused."""
    decision = samples.base("approved", actor={"role": "compliance", "pseudonym": "e-0007"})
    canonical(decision)
    with pytest.raises(EvidenceError, match="approved lacks"):
        canonical(decision | {"disposal_id": samples.disposal(1, "planned")["disposal_id"]})


@pytest.mark.parametrize(
    "value",
    [
        "req_1a2B3c4D5e6F7g",
        "0A49CE4060975EAC",
        "a" * 32,
        "8c7b2d1e-0001-4c6d-9f00-1234567890ab",
        "5S5X2XYAGQZGXBYD",
        "6cf63ab2bfc9c7ba-ICN",
    ],
)
def test_a_vendors_request_id_may_stand_in_an_entry(value: str) -> None:
    assert is_request_id(value)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "821012345678",
        "4242424242424242",
        "sample.person@example.com",
        "SamplePerson",
        "req_",
        "김표본0001",
        "SAMPLEPERSONAAAA",
        "M123456781234567",
        "0000000000000000-ICN",
    ],
)
def test_nothing_of_a_person_passes_as_a_request_id(value: str) -> None:
    assert not is_request_id(value)
