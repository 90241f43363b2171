"""A contract ended: everybody there, within the quota, over many nights, with an end that was said beforehand."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import func, select, update

from include.database import disposal
from include.disposals import Context, alerts, begin_run, brake, make_batches, offboarding
from include.disposals.approvals import staff
from include.errors import ConfigurationError, DecisionRefused
from include.policy.facts import AccountFacts, State
from include.processors import Quota
from tests.disposals.conftest import DAY, Bench

ENDED = date(2026, 11, 23)


def account(number: int, state: State = State.LIVE) -> AccountFacts:
    ended = date(2026, 11, 1) if state is State.TERMINATED else None
    return AccountFacts(f"a{number:03}", "individual", state=state, requested_on=ended, terminated_on=ended)


@pytest.fixture
def run(context: Context) -> tuple[Context, UUID]:
    """A run of the DAG over seven accounts, one of them terminated."""
    context.accounts.due_facts += [account(n) for n in range(6)] + [account(6, State.TERMINATED)]  # type: ignore[attr-defined]
    made = replace(context, dag_id="offboard_processor")
    run_id = begin_run(made, airflow_run_id="offboard")
    return replace(made, run_id=run_id), run_id


def plan_end(run: tuple[Context, UUID], processor: str = "zendesk", *, a_night: int = 3) -> offboarding.Ending:
    context, run_id = run
    ids = [f.account_id for f in context.accounts.due_facts]  # type: ignore[attr-defined]
    return offboarding.plan_end(context, run_id, processor, ENDED, a_night=a_night, account_ids=ids)


def test_everybody_is_planned_over_the_nights_the_quota_needs(run: tuple[Context, UUID]) -> None:
    ending = plan_end(run)
    assert (ending.subjects, ending.open, ending.estimated_end) == (7, 7, DAY + timedelta(days=2))
    with run[0].engine.connect() as connection:
        rows = connection.execute(select(disposal)).all()
    assert Counter(r.due_at for r in rows) == {DAY: 3, DAY + timedelta(days=1): 3, DAY + timedelta(days=2): 1}
    assert {(r.processor, r.rule_id, r.gate) for r in rows} == {("zendesk", "R-14", run[1])}
    assert Counter(r.trigger_event for r in rows) == {"processor_contract_ended": 6, "terminated": 1}


def test_starting_it_again_adds_only_who_came_since(run: tuple[Context, UUID]) -> None:
    plan_end(run)
    assert plan_end(run).subjects == 7
    run[0].accounts.due_facts.append(account(7))  # type: ignore[attr-defined]
    again = plan_end(run)
    assert (again.subjects, again.open) == (8, 8)


def test_nothing_is_worked_on_before_a_second_person_and_then_only_the_nights_part(run: tuple[Context, UUID]) -> None:
    context, run_id = run
    plan_end(run)
    ada, ben = (staff(n, "operator", context.wrapper) for n in ("ada", "ben"))
    asked = brake.ask_about(
        context, run_id, reason="processor_ended", by=ada, expires=datetime.now(UTC) + timedelta(hours=1)
    )
    assert (asked.reason, asked.total) == ("processor_ended", 7)
    assert make_batches(context, run_id, "zendesk", 100) == []
    assert brake.settle(context, run_id, by=ben, approved=True) == "approved"
    for day, due in ((DAY, 3), (DAY + timedelta(days=1), 6), (DAY + timedelta(days=2), 7)):
        later = replace(context, as_of=day)
        night = begin_run(later, airflow_run_id=f"night-{day}")
        make_batches(later, night, "zendesk", 100)
        with context.engine.connect() as connection:
            assert (
                connection.execute(
                    select(func.count()).where(disposal.c.due_at <= day, disposal.c.gate.is_(None))
                ).scalar_one()
                == due
            )


def test_it_says_how_far_it_is_and_closes_with_one_entry(run: tuple[Context, UUID], bench: Bench) -> None:
    context, _ = run
    plan_end(run)
    assert offboarding.close_finished(context) == []
    said = alerts.alerts(context, now=datetime.now(UTC))
    assert f"zendesk, contract ended {ENDED}: 7 disposals open, by its quota until {DAY + timedelta(days=2)}" in said
    with context.engine.begin() as connection:
        connection.execute(update(disposal).values(closed_on=DAY, outcome="confirmed_absent", account_id=None))
    (done,) = offboarding.close_finished(context)
    assert (done.processor, done.open) == ("zendesk", 0)
    assert offboarding.close_finished(context) == []
    (told,) = [e for e in bench.entries() if e["event"] == "processor_ended"]
    assert told["counts"] == {"confirmed_absent": 7, "subjects": 7}


def test_an_end_that_has_not_come_and_a_place_of_our_own_are_refused(run: tuple[Context, UUID]) -> None:
    context, run_id = run
    for too_early in (DAY, DAY + timedelta(days=1)):
        with pytest.raises(DecisionRefused, match="on the day after"):
            offboarding.plan_end(context, run_id, "zendesk", too_early, a_night=3, account_ids=[])
    assert offboarding.open_endings(context) == []
    with pytest.raises(ConfigurationError, match="no entrusted processor"):
        offboarding.plan_end(context, run_id, "own_database", ENDED, a_night=3, account_ids=[])


@pytest.mark.parametrize(
    ("quotas", "fits"),
    [
        ((), 100_000),
        ((Quota("api", 12, 60.0),), 120),  # half of 12 a minute, four hours, 12 calls each
        ((Quota("api", 12, 60.0), Quota("day", 240, 86_400.0)), 10),
        ((Quota("tiny", 1, 86_400.0),), 1),
    ],
)
def test_the_tightest_quota_decides(quotas: tuple[Quota, ...], fits: int) -> None:
    assert offboarding.subjects_a_night(quotas, share=0.5, calls=12) == fits
