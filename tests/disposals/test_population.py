"""Every terminated account ends the night in exactly one class, and the classes add up to the register's count."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, insert, select, update

from include.database import archive_link, archive_object, disposal, population_account, run
from include.disposals import begin_run, discover, finish_run
from include.disposals.reporting import gaps
from include.evidence.verify import TERMINATED
from include.policy.facts import AccountFacts, State
from tests.disposals.conftest import DAY, Bench
from tests.disposals.fakes import Accounts


def ended(account: str, on: date = date(2020, 3, 2)) -> AccountFacts:
    """An account whose every period is over on 2026-11-24, the default."""
    return AccountFacts(account, "individual", state=State.TERMINATED, requested_on=on, terminated_on=on)


LATELY = date(2026, 11, 1)
"""A termination after which marketing is due and the six months still run."""


def night(bench: Bench, *facts: AccountFacts, accounts: Accounts | None = None) -> None:
    """Discover over these accounts."""
    reader = accounts or Accounts(due_facts=list(facts))
    bench.context = replace(bench.context, accounts=reader)
    assert bench.context.run_id
    discover(bench.context, bench.context.run_id)


def become(bench: Bench, account: str, **columns: Any) -> None:
    """Let all disposals of an account stand like this."""
    tag = bench.context.tags.tag(account, epoch="2026")
    with bench.context.engine.begin() as connection:
        connection.execute(update(disposal).where(disposal.c.subject_tag == tag).values(**columns))


def close(bench: Bench, account: str, outcome: str = "confirmed_absent") -> None:
    become(bench, account, outcome=outcome, closed_on=DAY, account_id=None, due_at=None)


def counted(bench: Bench) -> dict[str, int]:
    """End the run and return the counts of its entry."""
    assert bench.context.run_id
    finish_run(bench.context, bench.context.run_id, {})
    (entry,) = [e for e in bench.entries() if e["event"] == "population" and e["code"] == "reconciled"]
    counts: dict[str, int] = entry["counts"]
    assert counts["terminated"] == sum(counts[c] for c in TERMINATED)
    return {k: n for k, n in counts.items() if n}


def test_an_account_of_which_everything_is_gone_counts_as_destroyed(bench: Bench) -> None:
    night(bench, ended("a"))
    close(bench, "a")
    assert counted(bench) == {"terminated": 1, "destroyed": 1}


def test_what_is_due_and_open_is_not_done(bench: Bench) -> None:
    night(bench, ended("a"), ended("b"))
    close(bench, "a")
    become(bench, "b", outcome="failed", needs_person=True, due_at=None)
    assert counted(bench) == {"terminated": 2, "destroyed": 1, "not_done": 1}


def test_an_account_with_a_running_period_is_not_yet_due(bench: Bench) -> None:
    night(bench, ended("a", LATELY))
    close(bench, "a")
    assert counted(bench) == {"terminated": 1, "not_yet_due": 1}


@pytest.mark.parametrize(
    "columns",
    [
        {"outcome": "awaiting", "due_at": DAY + timedelta(days=90)},
        {"outcome": "expires_by_processor", "due_at": DAY + timedelta(days=400)},
        {"outcome": "manual_pending", "due_at": None, "until": DAY + timedelta(days=7)},
    ],
)
def test_a_date_to_come_is_not_yet_due_and_said_apart(bench: Bench, columns: dict[str, Any]) -> None:
    night(bench, ended("a"))
    become(bench, "a", **columns)
    assert counted(bench) == {"terminated": 1, "not_yet_due": 1, "waiting": 1}


def test_a_persons_task_past_its_limit_is_not_done(bench: Bench) -> None:
    night(bench, ended("a"))
    become(bench, "a", outcome="manual_pending", due_at=None, until=DAY - timedelta(days=1))
    assert counted(bench) == {"terminated": 1, "not_done": 1}


@pytest.mark.parametrize("code", ["hold_h-1", "open_dispute"])
def test_what_a_hold_or_an_open_case_at_the_place_stops_is_held(bench: Bench, code: str) -> None:
    night(bench, ended("a"))
    become(bench, "a", outcome="blocked", code=code, due_at=DAY + timedelta(days=1))
    assert counted(bench) == {"terminated": 1, "held": 1}


def test_what_is_held_and_not_looked_at_again_is_not_done(bench: Bench) -> None:
    """A hold is read every night; one that is still due was not."""
    night(bench, ended("a"))
    become(bench, "a", outcome="blocked", code="hold_h-1", due_at=DAY)
    assert counted(bench) == {"terminated": 1, "not_done": 1}


def test_what_the_processor_or_the_archive_keeps_is_kept_until_it_is_gone(bench: Bench) -> None:
    night(bench, ended("a"), ended("b"), ended("c"))
    close(bench, "a", "retained_by_processor")
    for account, state in (("b", "checked"), ("c", "destroyed")):
        close(bench, account)
        _archive(bench, account, state)
    assert counted(bench) == {"terminated": 3, "kept": 2, "destroyed": 1}


def _archive(bench: Bench, account: str, state: str) -> None:
    tag = bench.context.tags.tag(account, epoch="2026")
    row = {
        "object_key": account, "bucket": "archive", "rule_id": "R-04", "window_end": DAY, "rows": 1, "subjects": 1,
        "sha256": "x", "retain_until": func.now(), "last_day": DAY, "destroy_by": DAY, "storage_class": "GLACIER_IR",
        "state": state, "keys_at": "keys/x",
    }  # fmt: skip
    with bench.context.engine.begin() as connection:
        connection.execute(insert(archive_object).values(row))
        one = select(disposal.c.disposal_id).where(disposal.c.subject_tag == tag).limit(1).scalar_subquery()
        connection.execute(insert(archive_link).values(disposal_id=one, object_key=account))


def test_an_account_nothing_was_planned_for_is_not_done(bench: Bench) -> None:
    night(bench, ended("a"), ended("y", date(3000, 1, 1)))
    become(bench, "a", subject_tag="f" * 64)  # as if discover had lost it
    assert counted(bench) == {"terminated": 1, "not_done": 1}


@dataclass
class Counting(Accounts):
    """A register that knows of more terminations than it shows."""

    hidden: Mapping[date, int] = ()  # type: ignore[assignment]

    def population(self, as_of: date) -> Mapping[str, int]:
        more = sum(n for day, n in dict(self.hidden).items() if day <= as_of)
        return {"terminated": super().population(as_of)["terminated"] + more}


def test_accounts_with_something_due_that_were_not_looked_at_are_not_done_and_a_gap(bench: Bench) -> None:
    night(bench, accounts=Counting(due_facts=[ended("a")], hidden={date(2026, 1, 1): 2, DAY: 3}))
    close(bench, "a")
    assert counted(bench) == {"terminated": 6, "destroyed": 1, "not_done": 2, "not_yet_due": 3}
    assert bench.context.run_id
    assert "terminated accounts that were not looked at 2" in gaps(bench.context, bench.context.run_id)


def test_an_account_under_the_tags_of_two_years_counts_once(bench: Bench) -> None:
    night(bench, ended("a"))
    with bench.context.engine.begin() as connection:
        rows = connection.execute(select(disposal.c.disposal_id).limit(1)).scalars().all()
        connection.execute(
            update(disposal)
            .where(disposal.c.disposal_id.in_(rows))
            .values(subject_tag=bench.context.tags.tag("a", epoch="2027"), key_epoch="2027")
        )
    bench.context = replace(bench.context, as_of=date(2027, 1, 5))
    become(bench, "a", outcome="confirmed_absent", closed_on=DAY, due_at=None)
    assert counted(bench) == {"terminated": 1, "not_done": 1}


def test_the_noted_accounts_leave_with_the_run_and_with_the_next_one(bench: Bench) -> None:
    def noted() -> int:
        with bench.context.engine.connect() as connection:
            return int(connection.execute(select(func.count()).select_from(population_account)).scalar_one())

    night(bench, ended("a"), ended("b"))
    assert noted() == 2
    second = begin_run(replace(bench.context, run_id=None), airflow_run_id="r2")
    bench.context = replace(bench.context, run_id=second)
    night(bench, ended("a"))
    assert noted() == 1
    counted(bench)
    assert noted() == 0


def test_discovering_again_notes_nothing_twice(bench: Bench) -> None:
    night(bench, ended("a"))
    night(bench, ended("a"))
    close(bench, "a")
    assert counted(bench) == {"terminated": 1, "destroyed": 1}


def test_a_run_without_discovery_reconciles_nothing(bench: Bench) -> None:
    assert bench.context.run_id
    finish_run(bench.context, bench.context.run_id, {})
    assert not [e for e in bench.entries() if e["event"] == "population"]
    with bench.context.engine.connect() as connection:
        assert connection.execute(select(run.c.population)).scalar() is None


STATES = st.sampled_from(
    [
        {"outcome": "planned", "due_at": DAY},
        {"outcome": "blocked", "code": "hold_h-3", "due_at": DAY + timedelta(days=1)},
        {"outcome": "awaiting", "due_at": DAY + timedelta(days=1)},
        {"outcome": "manual_pending", "due_at": None},
        {"outcome": "retained", "due_at": DAY + timedelta(days=9), "until": DAY + timedelta(days=9)},
        {"outcome": "confirmed_absent", "closed_on": DAY, "due_at": None},
        {"outcome": "cancelled", "code": "returned", "closed_on": DAY, "due_at": None},
    ]
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(states=st.lists(STATES, min_size=1, max_size=6))
def test_whatever_the_disposals_are_the_classes_add_up(bench: Bench, states: list[dict[str, Any]]) -> None:
    number = uuid4().hex
    run_id = begin_run(replace(bench.context, run_id=None), airflow_run_id=number)
    bench.context = replace(bench.context, run_id=run_id)
    night(bench, *(ended(f"{number}-{n}") for n in range(len(states))))
    for n, columns in enumerate(states):
        become(bench, f"{number}-{n}", **columns)
    finish_run(bench.context, run_id, {})
    entry = [e for e in bench.entries() if e["event"] == "population" and e["run"]["run_id"] == str(run_id)][-1]
    assert entry["counts"]["terminated"] == len(states) == sum(entry["counts"][c] for c in TERMINATED)
    open_and_due = sum(c["outcome"] == "planned" for c in states)
    assert entry["counts"]["not_done"] == open_and_due
    assert entry["counts"]["destroyed"] == sum(c["outcome"] in ("confirmed_absent", "cancelled") for c in states)
