"""A hold reaches the objects of a law through the datasets that law keeps, and no others."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest

from include.archive.holding import computed, holds
from include.policy.facts import Hold
from include.policy.schedule import Schedule
from tests.archive.conftest import TODAY


@pytest.mark.parametrize(
    ("kind", "datasets", "reached"),
    [
        ("H-3", ("payment",), {"R-02i", "R-02b", "R-03", "R-04"}),
        ("H-3", (), {"R-05"}),
        ("H-1", (), {"R-02i", "R-02b", "R-03", "R-04"}),
        ("H-6", ("support",), {"R-05"}),
        ("H-6", (), {"R-02i", "R-02b", "R-03", "R-04", "R-05", "R-07"}),
        ("H-7", (), set()),
        ("H-4", (), set()),
    ],
)
def test_a_hold_keeps_what_its_datasets_reach(
    schedule: Schedule, kind: str, datasets: tuple[str, ...], reached: set[str]
) -> None:
    one = Hold("h", kind, datasets=datasets, placed_on=TODAY)
    laws = ("R-02i", "R-02b", "R-03", "R-04", "R-05", "R-07")
    assert {rule for rule in laws if holds(one, schedule, rule, TODAY)} == reached


@pytest.mark.parametrize(("released", "held"), [(None, True), (TODAY, True), (TODAY - timedelta(days=1), False)])
def test_a_hold_lasts_through_the_day_of_its_release(schedule: Schedule, released: date | None, held: bool) -> None:
    one = Hold("h", "H-3", datasets=("payment",), placed_on=TODAY, released_on=released)
    assert bool(computed(schedule, TODAY, {"a1": [one]})("R-02i")) is held


def test_a_computed_hold_is_looked_at_again_tomorrow(schedule: Schedule) -> None:
    known: dict[str, Any] = {"a1": [Hold("h", "H-1", placed_on=TODAY)], "a2": []}
    assert computed(schedule, TODAY, known)("R-02i") == {"a1": TODAY + timedelta(days=1)}
