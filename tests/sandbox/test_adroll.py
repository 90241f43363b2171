"""The AdRoll stand-in counts, replaces and refuses as the vendor says it does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from include.sandbox.adroll import ADVERTISABLE, API_KEY, TOKEN, StandIn, seed
from include.sandbox.standin import Fault, Serving

PEOPLE = [f"sample{n:04d}@example.com" for n in range(1, 151)]


@pytest.fixture
def adroll() -> Iterator[Serving]:
    with Serving(StandIn()) as serving:
        serving.standin.seed(seed({"newsletter": PEOPLE}))
        yield serving


def call(serving: Serving, method: str, path: str, body: Any = None, **params: str) -> httpx.Response:
    return httpx.request(
        method,
        f"{serving.url}{path}",
        params={"apikey": API_KEY, **params},
        headers={"Authorization": f"Token {TOKEN}"},
        json=body,
    )


def data(emails: list[str]) -> dict[str, Any]:
    return {"name": "Newsletter", "data": [{"email": e} for e in emails]}


def test_a_list_shows_its_count_and_never_its_members(adroll: Serving) -> None:
    shown = call(adroll, "GET", "/audience/v1/segments/newsletter").json()["segment"]
    assert shown["emails"] == 150
    assert "sample" not in str(shown)


def test_the_listing_asks_for_the_advertisable(adroll: Serving) -> None:
    assert call(adroll, "GET", "/audience/v1/segments", advertisable="other").status_code == 403
    rows = call(adroll, "GET", "/audience/v1/segments", advertisable=ADVERTISABLE).json()["segments"]
    assert [(r["segment_id"], r["emails"]) for r in rows] == [("newsletter", 150)]


def test_a_post_replaces_the_members_and_counts_unique_addresses(adroll: Serving) -> None:
    reply = call(adroll, "POST", "/audience/v1/segments/newsletter", data([*PEOPLE[10:], PEOPLE[10].upper()]))
    assert reply.json()["segment"]["emails"] == 140
    assert adroll.standin.store.get("segment", "newsletter")["members"] == PEOPLE[10:]  # type: ignore[index]


def test_a_post_appends_where_the_fault_says_so(adroll: Serving) -> None:
    adroll.standin.faults = [Fault("append", method="POST")]
    reply = call(adroll, "POST", "/audience/v1/segments/newsletter", data(PEOPLE[10:]))
    assert reply.json()["segment"]["emails"] == 150


def test_fewer_than_a_hundred_are_refused(adroll: Serving) -> None:
    reply = call(adroll, "POST", "/audience/v1/segments/newsletter", data(PEOPLE[:99]))
    assert reply.status_code == 400
    assert reply.json()["errors"][0]["code"] == 1
    assert len(adroll.standin.store.get("segment", "newsletter")["members"]) == 150  # type: ignore[index]


def test_a_deleted_list_keeps_its_members_and_comes_back(adroll: Serving) -> None:
    assert call(adroll, "DELETE", "/audience/v1/segments/newsletter").json()["segment"]["is_active"] is False
    back = call(adroll, "POST", "/audience/v1/segments/newsletter/reactivate").json()["segment"]
    assert (back["is_active"], back["emails"]) == (True, 150)


def test_a_new_list_gets_an_id_and_its_name_only_once(adroll: Serving) -> None:
    body = {"advertiser_id": ADVERTISABLE, "type": "crm", "duration": 120, **data(PEOPLE)}
    assert call(adroll, "POST", "/audience/v1/segments", body).json()["segment"]["emails"] == 150
    assert call(adroll, "POST", "/audience/v1/segments", body).json()["errors"][0]["code"] == 256


def test_key_and_token_are_both_asked_for(adroll: Serving) -> None:
    path = f"{adroll.url}/audience/v1/segments/newsletter"
    assert httpx.get(path, params={"apikey": API_KEY}).status_code == 401
    assert httpx.get(path, headers={"Authorization": f"Token {TOKEN}"}).status_code == 403


def test_an_unknown_list_is_not_found_by_bit_flag(adroll: Serving) -> None:
    reply = call(adroll, "GET", "/audience/v1/segments/nobody")
    assert (reply.status_code, reply.json()["errors"][0]["code"]) == (404, 16)


def test_over_the_quota_nothing_says_for_how_long() -> None:
    with Serving(StandIn(limit_factor=0.02)) as serving:
        answers = [call(serving, "GET", "/audience/v1/segments", advertisable=ADVERTISABLE) for _ in range(3)]
    assert [a.status_code for a in answers] == [200, 200, 429]
    assert "retry-after" not in answers[-1].headers


def test_a_stale_count_is_the_one_before_the_last_change(adroll: Serving) -> None:
    call(adroll, "POST", "/audience/v1/segments/newsletter", data(PEOPLE[10:]))
    adroll.standin.faults = [Fault("stale")]
    path = "/audience/v1/segments/newsletter"
    assert [call(adroll, "GET", path).json()["segment"]["emails"] for _ in range(2)] == [150, 140]
