"""The brake's judgement: what is usual, what is not, and that nothing can turn it off."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from include.policy import schedule
from include.policy.brake import judge, key_of
from include.policy.models import Brake

POLICY = Brake(
    nights=5, first_nights=200, percent=200, always_under=50, schedule_change=20, ends_before_next_minutes=30
)
ZENDESK, STRIPE = key_of("zendesk", "R-14"), key_of("stripe", "R-14")
USUAL = [{ZENDESK: 40, STRIPE: 60}] * 5


def reason(tonight: dict[str, int], nights: list[dict[str, int]], changed: dict[str, int] | None = None) -> str | None:
    return judge(tonight, nights, changed or {}, POLICY).reason


def test_until_five_nights_exist_the_absolute_number_counts() -> None:
    assert reason({ZENDESK: 200}, USUAL[:4]) is None
    assert reason({ZENDESK: 201}, USUAL[:4]) == "first_nights"
    assert reason({ZENDESK: 201}, []) == "first_nights"


def test_later_a_multiple_of_the_median_stops() -> None:
    assert reason({ZENDESK: 80, STRIPE: 120}, USUAL) is None
    assert reason({ZENDESK: 81, STRIPE: 120}, USUAL) == "above_usual"


def test_one_rule_at_one_place_stops_even_when_the_total_is_usual() -> None:
    assert reason({ZENDESK: 100, STRIPE: 0}, USUAL) == "above_usual_for_a_rule"


def test_few_never_stop_and_a_rule_never_seen_before_does() -> None:
    assert reason({ZENDESK: 50}, [{}] * 5) is None
    assert reason({"paper:r-01": 51}, USUAL) == "above_usual_for_a_rule"


def test_what_only_the_new_schedule_version_makes_due_stops() -> None:
    assert reason({ZENDESK: 40}, USUAL, {ZENDESK: 20}) is None
    assert reason({ZENDESK: 40}, USUAL, {ZENDESK: 21}) == "schedule_change"


def test_one_large_night_that_was_approved_does_not_become_usual() -> None:
    assert reason({ZENDESK: 201}, [*USUAL[:4], {ZENDESK: 50_000}]) == "above_usual"


def test_the_lines_show_tonight_beside_what_is_usual() -> None:
    lines = {line.key: line for line in judge({ZENDESK: 100, STRIPE: 7}, USUAL, {STRIPE: 3}, POLICY).lines}
    assert (lines[ZENDESK].tonight, lines[ZENDESK].usual, lines[STRIPE].by_change) == (100, 40, 3)
    assert judge({ZENDESK: 1}, [], {}, POLICY).lines[0].usual is None


@given(st.integers(201, 10**6), st.lists(st.integers(0, 100), min_size=5, max_size=12))
def test_more_than_twice_the_largest_usual_night_always_stops(total: int, nights: list[int]) -> None:
    assert judge({ZENDESK: total}, [{ZENDESK: n} for n in nights], {}, POLICY).reason is not None


@pytest.mark.parametrize(
    "change",
    [
        {"percent": 1001}, {"first_nights": 5001}, {"always_under": 501}, {"schedule_change": 501}, {"nights": 4},
        {"nights": 31}, {"enabled": False},
    ],
)  # fmt: skip
def test_no_setting_can_disable_it(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Brake(**{**POLICY.model_dump(), **change})  # type: ignore[arg-type]


def test_the_thresholds_are_data_of_the_schedule() -> None:
    assert schedule.load().settings.brake == POLICY
