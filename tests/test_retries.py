"""Each class of error maps to one of four remedies, and Airflow is told accordingly."""

from __future__ import annotations

from datetime import timedelta

import pytest

from include.errors import (
    ConfigurationError,
    DecisionRefused,
    NeedsPerson,
    RateLimited,
    Refused,
    Remedy,
    RetentionError,
    Unreachable,
    remedy,
)
from include.retries import ByErrorClass


@pytest.mark.parametrize(
    ("error", "what", "action"),
    [
        (RateLimited("x", retry_after=30), Remedy.RETRY_NOW, "retry"),
        (RateLimited("x", retry_after=600), Remedy.RETRY_NOW, "retry"),
        (RateLimited("x", retry_after=601), Remedy.NEXT_NIGHT, "fail"),
        (Unreachable("x", "no_answer"), Remedy.RETRY_NOW, "default"),
        (Refused("x", "unauthorized"), Remedy.STOP_PROCESSOR, "fail"),
        (ConfigurationError("x"), Remedy.STOP_PROCESSOR, "fail"),
        (NeedsPerson("x", "ambiguous"), Remedy.NEEDS_PERSON, "fail"),
        (DecisionRefused("x"), Remedy.NEEDS_PERSON, "fail"),
        (RetentionError("x"), Remedy.RETRY_NOW, "default"),
        (KeyError("x"), Remedy.RETRY_NOW, "default"),
    ],
)
def test_a_class_of_error_has_one_remedy_and_one_decision(error: Exception, what: Remedy, action: str) -> None:
    assert remedy(error) is what
    decision = ByErrorClass().evaluate(error, 1, 3)
    assert decision.action.value.lower() == action
    assert "x" not in (decision.reason or "").replace(type(error).__name__, "")


def test_a_wait_is_passed_on_to_airflow() -> None:
    decision = ByErrorClass().evaluate(RateLimited("x", retry_after=42), 1, 3)
    assert decision.retry_delay == timedelta(seconds=42)
