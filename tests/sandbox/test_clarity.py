"""The Clarity stand-in exports totals, ten times a day, and nothing about anybody."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from include.sandbox.clarity import TOKEN, StandIn
from include.sandbox.standin import Serving

PATH = "/export-data/api/v1/project-live-insights"


@pytest.fixture
def clarity() -> Iterator[Serving]:
    with Serving(StandIn()) as serving:
        yield serving


def call(serving: Serving, *, token: str = TOKEN, **params: str) -> httpx.Response:
    return httpx.get(f"{serving.url}{PATH}", params=params, headers={"Authorization": f"Bearer {token}"})


def test_sessions_of_the_asked_days_are_counted(clarity: Serving) -> None:
    today = clarity.standin.now().date().isoformat()
    clarity.standin.seed({"session": [{"id": "1", "day": today}, {"id": "2", "day": "2020-01-01"}]})
    body = call(clarity, numOfDays="3", dimension1="Device").json()
    assert body[0]["metricName"] == "Traffic"
    assert body[0]["information"][0]["totalSessionCount"] == "1"


def test_the_eleventh_export_of_a_day_is_refused(clarity: Serving) -> None:
    answers = [call(clarity, numOfDays="1").status_code for _ in range(11)]
    assert answers == [200] * 10 + [429]


@pytest.mark.parametrize("params", [{"numOfDays": "4"}, {}, {"numOfDays": "1", "dimension1": "UserId"}])
def test_only_three_days_and_known_dimensions_can_be_asked(clarity: Serving, params: dict[str, str]) -> None:
    assert call(clarity, **params).status_code == 400


def test_a_wrong_token_is_refused(clarity: Serving) -> None:
    assert call(clarity, token="other", numOfDays="1").status_code == 401
