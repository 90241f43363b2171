"""Tags are the published bytes, differ by epoch, and open one by one."""

from __future__ import annotations

from datetime import date

import pytest

from include.errors import ConfigurationError, EvidenceError
from include.evidence.tags import Opening, SubjectTags

KEY = bytes(range(32))
TAGS = SubjectTags({"2026": KEY, "2025": KEY[::-1]})


def test_the_published_vector() -> None:
    opening = TAGS.open("acct_1001", epoch="2026")
    assert opening.key.hex() == "411d3e1cef2b6a1504ad14fc866798d45fef73ae781272485023940c0c276c97"
    assert TAGS.tag("acct_1001", epoch="2026") == "784eeef7db584798f96146d433713a191d7ddbc50f73fa72c943018f591b14e0"


def test_an_opening_gives_the_tag_without_the_epochs_key() -> None:
    shown = TAGS.open("acct_1001", epoch="2025")
    assert Opening("2025", "account_id", "acct_1001", shown.key).tag == TAGS.tag("acct_1001", epoch="2025")


def test_an_opening_of_one_person_does_not_open_another() -> None:
    shown = TAGS.open("1", epoch="2026")
    assert Opening("2026", "account_id", "10", shown.key).tag != TAGS.tag("10", epoch="2026")


def test_every_live_epoch_has_its_own_tag() -> None:
    tags = TAGS.all("acct_1001")
    assert list(tags) == ["2025", "2026"]
    assert len(set(tags.values())) == 2


def test_an_email_is_tagged_in_lower_case_and_nfc() -> None:
    assert TAGS.tag("Ä@example.com", epoch="2026", kind="email") == TAGS.tag(
        "a\u0308@example.com", epoch="2026", kind="email"
    )


def test_an_account_id_is_tagged_as_issued() -> None:
    assert TAGS.tag("A1", epoch="2026") != TAGS.tag("a1", epoch="2026")


def test_kinds_do_not_collide() -> None:
    assert TAGS.tag("x", epoch="2026") != TAGS.tag("x", epoch="2026", kind="email")


def test_the_epoch_is_the_calendar_year() -> None:
    assert TAGS.current_epoch(date(2026, 1, 1)) == "2026"


def test_a_year_without_a_key_is_said() -> None:
    with pytest.raises(ConfigurationError, match="no key for 2027"):
        TAGS.current_epoch(date(2027, 1, 1))
    with pytest.raises(ConfigurationError, match="2024"):
        TAGS.tag("x", epoch="2024")


@pytest.mark.parametrize("value", ["", "a\x00b"])
def test_an_empty_value_or_a_nul_is_refused(value: str) -> None:
    with pytest.raises(EvidenceError):
        TAGS.tag(value, epoch="2026")


@pytest.mark.parametrize("keys", [{}, {"2026": b"short"}, {"now": KEY}])
def test_keys_of_another_form_are_refused(keys: dict[str, bytes]) -> None:
    with pytest.raises(ConfigurationError, match="evidence_tags"):
        SubjectTags(keys)


def test_no_key_and_no_value_shows_in_a_repr() -> None:
    assert KEY.hex() not in repr(TAGS)
    assert "acct_1001" not in repr(TAGS.open("acct_1001", epoch="2026"))
