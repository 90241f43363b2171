"""What is left of a vendor's limit belongs to the company's own traffic: the processor stops before it."""

from __future__ import annotations

from typing import Any

import pytest

from include.errors import ConfigurationError, RateLimited
from include.processors._reserve import WINDOW, Reserve


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def seen(limit: object, left: object, **more: str) -> Reserve:
    reserve = Reserve("zendesk", 0.2, clock=Clock())
    reserve.see({"X-Rate-Limit": str(limit), "X-Rate-Limit-Remaining": str(left), **more})
    return reserve


def test_calls_go_on_while_enough_is_left() -> None:
    seen(700, 140).check()


def test_below_the_reserve_no_call_is_made_until_the_window_is_over() -> None:
    reserve = seen(700, 139)
    with pytest.raises(RateLimited) as stopped:
        reserve.check()
    assert stopped.value.retry_after == pytest.approx(WINDOW)
    assert stopped.value.code == "reserve_reached"
    reserve.clock.now += WINDOW  # type: ignore[attr-defined]
    reserve.check()


def test_a_named_end_of_the_window_is_kept() -> None:
    reserve = Reserve("x", 0.5, clock=Clock())
    reserve.see({"ratelimit-limit": "100, 100;w=60", "ratelimit-remaining": "49", "ratelimit-reset": "7"})
    with pytest.raises(RateLimited) as stopped:
        reserve.check()
    assert stopped.value.retry_after == pytest.approx(7)


@pytest.mark.parametrize(("limit", "left"), [("", ""), ("700", ""), ("0", "0"), ("many", "few"), ("-700", "-1")])
def test_headers_that_say_nothing_stop_nothing(limit: str, left: str) -> None:
    seen(limit, left).check()


@pytest.mark.parametrize("wrong", [1, -0.1, True, "much", None])
def test_a_reserve_that_is_no_part_is_refused(wrong: Any) -> None:
    with pytest.raises(ConfigurationError):
        Reserve.of("zendesk", {"quota_reserve": wrong})


def test_zero_watches_nothing() -> None:
    reserve = Reserve.of("zendesk", {"quota_reserve": 0})
    reserve.see({"X-Rate-Limit": "700", "X-Rate-Limit-Remaining": "0"})
    reserve.check()
