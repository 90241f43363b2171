"""The business date's guard, and a run that begins once."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from include.connections import Connection
from include.disposals import Context, begin_run, finish_run
from include.disposals.runs import check_as_of, check_clock
from include.errors import DecisionRefused
from tests.disposals.conftest import DAY, Bench

LOCAL = [Connection("stripe", extra={"endpoint_url": "http://127.0.0.1:1"})]
OUTSIDE = [Connection("stripe"), *LOCAL]


def test_a_business_date_ahead_of_today_is_refused_outside_the_sandbox(context: Context) -> None:
    with pytest.raises(DecisionRefused, match="Only the sandbox"):
        check_as_of(context.engine, DAY + timedelta(days=1), seoul_today=DAY, sandbox=False, connections=LOCAL)


def test_a_business_date_ahead_of_today_is_refused_while_any_endpoint_leaves_this_machine(context: Context) -> None:
    with pytest.raises(DecisionRefused, match="stripe"):
        check_as_of(context.engine, DAY + timedelta(days=1), seoul_today=DAY, sandbox=True, connections=OUTSIDE)
    check_as_of(context.engine, DAY + timedelta(days=1), seoul_today=DAY, sandbox=True, connections=LOCAL)


@pytest.mark.parametrize("sandbox", [True, False])
def test_a_business_date_before_the_newest_run_is_always_refused(context: Context, sandbox: bool) -> None:
    with pytest.raises(DecisionRefused, match="never goes back"):
        check_as_of(context.engine, DAY - timedelta(days=1), seoul_today=DAY, sandbox=sandbox, connections=LOCAL)


def test_today_is_always_allowed(context: Context) -> None:
    check_as_of(context.engine, DAY, seoul_today=DAY, sandbox=False, connections=OUTSIDE)


def test_a_retried_begin_is_the_same_run(bench: Bench) -> None:
    again = begin_run(bench.context, airflow_run_id="r1")
    assert again == bench.context.run_id
    assert [e["event"] for e in bench.entries()].count("run_started") == 1


@pytest.mark.parametrize("skew", [timedelta(days=30), timedelta(days=-1), timedelta(minutes=6)])
def test_a_clock_that_differs_from_the_databases_is_refused(context: Context, skew: timedelta) -> None:
    with context.engine.connect() as connection:
        check_clock(connection, datetime.now(UTC) + timedelta(minutes=3))
        with pytest.raises(DecisionRefused, match="business date is in doubt"):
            check_clock(connection, datetime.now(UTC) + skew)


def test_a_run_is_finished_once(bench: Bench) -> None:
    assert bench.context.run_id is not None
    for _ in range(2):
        finish_run(replace(bench.context, as_of=date(2026, 11, 24)), bench.context.run_id, {"zendesk.planned": 1})
    assert [e["counts"] for e in bench.entries() if e["event"] == "run_finished"] == [{"zendesk.planned": 1}]
