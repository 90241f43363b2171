"""What names a person is found however it is written; what is only a number or a word is not."""

from __future__ import annotations

import json
import unicodedata
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.disposals.scan.tokens import Kind, needles, of_locator, tokens

MAIL, NAME, KOREAN = "sample.person@example.com", "Sample Person 0012", "김표본"
PHONE, CUSTOMER, CONTACT = "010-0000-0193", "cus_s0000111x000", "003o3wwdhFbLGzjAQG"


def found(kind: Kind, value: str, text: str) -> bool:
    """Whether the value is found in the text."""
    wanted = needles(kind, value)
    assert wanted, f"a {kind} that cannot be looked for"
    starts = {word for name, word in wanted if name == "first"}
    return bool(wanted & set(tokens(text, starts.__contains__)))


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        (Kind.EMAIL, MAIL, "GET /users?query=email:Sample.Person@Example.com HTTP/1.1"),
        (Kind.EMAIL, MAIL, "GET /users?query=email%3Asample.person%40example.com"),
        (Kind.EMAIL, MAIL, json.dumps({"body": json.dumps({"to": f"\n{MAIL}"})})),
        (Kind.EMAIL, MAIL, f"<a href='mailto:{MAIL}'>"),
        (Kind.EMAIL, "사용자@보기.한국", json.dumps("사용자@보기.한국")),
        (Kind.NAME, NAME, "dear sample  person-0012,"),
        (Kind.NAME, "Sample Person", "Person, Sample"),
        (Kind.NAME, KOREAN, "김표본님의 문의"),
        (Kind.NAME, KOREAN, "고객: 김 표본"),
        (Kind.NAME, KOREAN, json.dumps({"name": KOREAN})),
        (Kind.NAME, KOREAN, json.dumps(json.dumps({"name": KOREAN}))),
        (Kind.NAME, KOREAN, quote(f"name={KOREAN}")),
        (Kind.NAME, KOREAN, unicodedata.normalize("NFD", KOREAN)),
        (Kind.PHONE, PHONE, "phone=+82 10 0000 0193;"),
        (Kind.PHONE, PHONE, '"phone":"01000000193"'),
        (Kind.PHONE, PHONE, "2026-11-26 3 010.0000.0193"),
        (Kind.PHONE, "+1 (415) 555-0132", "tel:14155550132"),
        (Kind.LOGIN, "login0193", "user Login0193 not found"),
        (Kind.OBJECT, CUSTOMER, f"DELETE https://api.example.com/v1/customers/{CUSTOMER}?x=1"),
        (Kind.OBJECT, CONTACT, f"Contact {CONTACT[:15]} is locked"),
        (Kind.OBJECT, CONTACT[:15], f"Contact {CONTACT} is locked"),
        (Kind.OBJECT, "360001234567", "zendesk-360001234567-redact"),
    ],
)
def test_it_is_found_however_it_is_written(kind: Kind, value: str, text: str) -> None:
    assert found(kind, value, text)


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        (Kind.EMAIL, MAIL, "other.person@example.com"),
        (Kind.NAME, "Sample Person", "a sample of one person"),
        (Kind.NAME, KOREAN, "김씨의 표본"),
        (Kind.PHONE, PHONE, "2026-11-26T01:00:00.001930Z 010 0000 1193"),
        (Kind.PHONE, PHONE, "a01000000193b"),
        (Kind.OBJECT, CONTACT, CONTACT.lower()),
        (Kind.OBJECT, "360001234567", "3600012345678"),
    ],
)
def test_what_is_only_like_it_is_not_found(kind: Kind, value: str, text: str) -> None:
    assert not found(kind, value, text)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Kind.NAME, "Mark"), (Kind.NAME, ""), (Kind.PHONE, "1234"), (Kind.LOGIN, "administrator"),
        (Kind.OBJECT, "10001"), (Kind.OBJECT, "CampaignMember"), (Kind.OBJECT, "2026-11-26"), (Kind.EMAIL, "nobody"),
    ],
)  # fmt: skip
def test_a_word_that_could_mean_anything_is_not_looked_for(kind: Kind, value: str) -> None:
    assert needles(kind, value) == set()


@given(
    st.from_regex(r"[a-z0-9][a-z0-9.+_-]{0,20}[a-z0-9]@[a-z0-9]{1,10}\.(com|co\.kr)", fullmatch=True),
    st.sampled_from(["{}", " {} ", '"{}"', "<{}>", "a={}&b", "({}),", "mail:{};"]),
)
def test_any_address_is_found_in_any_frame_plain_or_encoded(mail: str, frame: str) -> None:
    assert found(Kind.EMAIL, mail, frame.format(mail))
    assert found(Kind.EMAIL, mail, json.dumps(json.dumps(frame.format(mail))))
    assert found(Kind.EMAIL, mail, frame.format(quote(mail, safe="")))


@given(st.text(max_size=300))
def test_no_text_breaks_it(text: str) -> None:
    for kind in Kind:
        needles(kind, text)
    list(tokens(text))


def test_a_locator_gives_what_is_in_it_by_kind_and_no_account_id() -> None:
    body = {
        "emails": [MAIL], "name": KOREAN, "phones": [PHONE], "login_id": "login0193", "key": "ACC-0000193",
        "rows": {"Contact": [CONTACT]}, "users": [900001000], "left": {"7500000001": "x"}, "flag": True,
    }  # fmt: skip
    got = set(of_locator(body, not_these=frozenset({"ACC-0000193"})))
    assert {
        (Kind.EMAIL, MAIL), (Kind.NAME, KOREAN), (Kind.PHONE, PHONE), (Kind.LOGIN, "login0193"),
        (Kind.OBJECT, CONTACT), (Kind.OBJECT, "900001000"), (Kind.OBJECT, "7500000001"),
    } <= got  # fmt: skip
    assert not [value for _, value in got if value == "ACC-0000193"]
