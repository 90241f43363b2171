"""Discover: each due scope becomes one disposal, once, whatever the year's key; held ones say so."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest
from sqlalchemy import select

from include.database import disposal, run
from include.disposals import begin_run, discover, make_batches
from include.errors import DecisionRefused
from include.policy.facts import AccountFacts, Hold, State
from tests.disposals.conftest import Bench
from tests.disposals.fakes import Accounts

ENDED = AccountFacts(
    account_id="a",
    subject_type="individual",
    state=State.TERMINATED,
    requested_on=date(2026, 3, 1),
    terminated_on=date(2026, 3, 2),
)


def found(bench: Bench) -> list[tuple[str, str, str]]:
    with bench.context.engine.connect() as connection:
        columns = disposal.c.processor, disposal.c.scope_id, disposal.c.outcome
        return sorted((r[0], r[1], r[2]) for r in connection.execute(select(*columns)))


@pytest.fixture
def ended(bench: Bench) -> Bench:
    """One account that ended nearly nine months ago."""
    assert isinstance(bench.context.accounts, Accounts)
    bench.context.accounts.due_facts.append(ENDED)
    return bench


def test_a_terminated_account_is_planned_at_every_place_and_once(ended: Bench) -> None:
    assert ended.context.run_id is not None
    first = discover(ended.context, ended.context.run_id)
    again = discover(ended.context, ended.context.run_id)
    assert first.planned > 8
    assert again.planned == 0
    places = {p for p, _, _ in found(ended)}
    assert places == {"own_database", "salesforce", "stripe", "zendesk", "s3", "adroll", "clarity", "paper"}


def test_the_new_years_key_plans_nothing_twice(ended: Bench) -> None:
    assert ended.context.run_id is not None
    discover(ended.context, ended.context.run_id)
    next_year = replace(ended.context, as_of=date(2027, 1, 2))
    assert discover(next_year, ended.context.run_id).planned == 0


def test_a_settlement_hold_blocks_the_settlement_scope_and_no_other(ended: Bench) -> None:
    assert isinstance(ended.context.accounts, Accounts)
    assert ended.context.run_id is not None
    ended.context.accounts.holds["a"] = [Hold(hold_id="b1", kind="H-2", placed_on=date(2026, 3, 1))]
    discover(ended.context, ended.context.run_id)
    blocked = {(p, s) for p, s, o in found(ended) if o == "blocked"}
    assert ("own_database", "settlement") in blocked
    assert not {p for p, _ in blocked} & {"adroll", "clarity", "salesforce", "zendesk", "s3", "paper"}
    assert ("own_database", "access_log") not in blocked


def test_every_planned_disposal_has_its_entry_with_the_rule_and_the_dates(ended: Bench) -> None:
    assert ended.context.run_id is not None
    discover(ended.context, ended.context.run_id)
    planned = [e for e in ended.entries() if e["event"] == "planned"]
    assert len(planned) == len(found(ended))
    settlement = next(e for e in planned if e["scope"] == "settlement")
    assert (settlement["last_day"], settlement["free_from"], settlement["destroy_by"]) == (
        "2026-09-02",
        "2026-09-03",
        "2026-09-07",
    )


def test_the_population_of_the_source_is_recorded_with_the_run(ended: Bench) -> None:
    assert ended.context.run_id is not None
    discover(ended.context, ended.context.run_id)
    with ended.context.engine.connect() as connection:
        row = connection.execute(select(run)).one()
    assert (row.accounts_scanned, row.population) == (1, {"terminated": 1, "unplannable": 0, "unlisted": 0})
    told = [(e["code"], e["counts"]) for e in ended.entries() if e["event"] == "population"]
    assert told == [("source", {"terminated": 1, "unplannable": 0, "unlisted": 0})]


def test_an_unapproved_schedule_plans_nothing(ended: Bench) -> None:
    assert ended.context.run_id is not None
    with ended.context.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE retention.schedule_version SET approved_at = NULL")
    with pytest.raises(DecisionRefused, match="not approved"):
        discover(ended.context, ended.context.run_id)
    assert found(ended) == []


def test_batches_never_split_an_account_and_are_the_same_for_a_retry(bench: Bench) -> None:
    run_id = begin_run(bench.context, airflow_run_id="r2")
    for account in "abc":
        for scope in ("x", "y"):
            bench.plan(account, scope_id=scope)
    ids = make_batches(bench.context, run_id, "zendesk", 3)
    assert len(ids) == 3
    assert make_batches(bench.context, run_id, "zendesk", 3) == ids
