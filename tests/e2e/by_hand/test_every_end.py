"""Every way one account by hand can end, driven at once in real Airflow: each in a clear state with nothing lost."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from datetime import date, timedelta
from uuid import uuid4

import pytest
from sqlalchemy import select, text

from include.database import entry, hold
from include.disposals.requests import deadline_alerts
from tests.e2e.by_hand.conftest import DAG, Rig
from tests.e2e.running import TODAY, until

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(1800)]
Runs = dict[str, str]


@pytest.fixture(scope="module")
def runs(rig: Rig) -> Runs:
    """One run for each end, started at once; all of them wait for a second person."""
    on = {"relation_check": "family_certificate", "child_age": 12}
    forms = {
        "expired": rig.form(rig.account("plus_address")),
        "cancelled": rig.form(rig.account("returning_customer")),
        "cut_off": rig.form(rig.account("old_payments_individual")),
        "held": rig.form(rig.account("only_here")),
        "grown": rig.form(rig.account("due_tomorrow")),
        "first": rig.form(rig.account("advertised_before")),
        "second": rig.form(rig.account("advertised_before"), kind="consent_withdrawal"),
        "child": rig.form(rig.account("child_terminated"), kind="guardian", **on),
        "dispute": rig.form(rig.account("disputed_support")),
    }
    started = {name: rig.start("operator", form) for name, form in forms.items()}
    for run in started.values():
        rig.waits(run)
    return started


def test_silence_until_the_limit_releases_nothing(rig: Rig, runs: Runs) -> None:
    run = runs["expired"]
    rig.in_airflow(
        "UPDATE task_instance SET trigger_timeout = now() - interval '1 minute' "
        "WHERE run_id = :r AND task_id = 'approve'",
        r=run,
    )
    states = rig.ended(run)
    assert (states["run"], states["release"], states["seal"]) == ("success", "success", "skipped")
    row = rig.request(run)
    assert (row.status, row.closed_on, rig.items(run)) == ("approval_expired", None, {})
    assert len(rig.context.accounts.facts([rig.account("plus_address")])) == 1


def test_a_run_cancelled_before_its_approval_did_nothing_and_a_late_answer_changes_nothing(
    rig: Rig, runs: Runs
) -> None:
    run = runs["cancelled"]
    rig.users["admin"].call("PATCH", f"/dags/{DAG}/dagRuns/{run}", json={"state": "failed"})
    assert rig.ended(run)["run"] == "failed"
    assert rig.answer("approver", run) == 200  # Airflow takes it, whatever became of the run
    row = rig.request(run)
    assert (row.status, row.closed_on, rig.items(run)) == ("received", None, {})
    again = rig.start("operator", rig.form(rig.account("returning_customer")))
    rig.waits(again)  # long enough for many rounds of the scheduler, in which the first would have gone on
    assert rig.state(run) == "failed"
    assert (rig.request(run).status, rig.items(run)) == ("superseded", {})
    assert rig.answer("approver", again, "Reject") == 200
    assert rig.ended(again)["run"] == "success"


def test_a_hold_placed_between_preview_and_approval_stops_the_act(rig: Rig, runs: Runs) -> None:
    run, account = runs["held"], rig.account("only_here")
    placing = {
        "action": "place", "account_id": account, "kind": "H-6", "datasets": ["account_profile"],
        "reason": "court_order", "review_due": (TODAY + timedelta(days=30)).isoformat(),
    }  # fmt: skip
    assert rig.by_form("manage_holds", placing) == "success"
    assert rig.answer("approver", run) == 200
    assert rig.ended(run)["run"] == "success"
    outcomes = rig.items(run)
    assert outcomes["own_database/account"] == "blocked"
    assert outcomes["own_database/cookie"] == "confirmed_absent"
    assert "명령" in _told(rig, account)


def test_what_came_after_the_preview_stops_and_is_asked_about(rig: Rig, runs: Runs) -> None:
    run, account = runs["grown"], rig.account("due_tomorrow")
    with rig.context.accounts.engine.begin() as theirs:  # type: ignore[attr-defined]
        theirs.execute(
            text("INSERT INTO cookie (cookie_id, account_id, last_seen_on) VALUES (:i, :a, :d)"),
            {"i": str(uuid4()), "a": account, "d": TODAY},
        )
    assert rig.answer("approver", run) == 200
    rig.waits(run, "approve_more")
    assert rig.items(run)["own_database/cookie"] == "blocked"
    assert rig.answer("operator", run, task="approve_more") == 403
    assert rig.answer("approver", run, task="approve_more") == 200
    states = rig.ended(run)  # what was let go just now is not proven yet, and the run says so
    assert (states["run"], states["report"]) == ("failed", "failed")
    assert rig.carry_on() == "success"
    assert rig.items(run)["own_database/cookie"] == "confirmed_absent"


def test_two_requests_on_one_account_act_once(rig: Rig, runs: Runs) -> None:
    for name in ("first", "second"):
        assert rig.answer("approver", runs[name]) == 200
    for name in ("first", "second"):
        assert rig.ended(runs[name])["run"] == "success"
        assert rig.request(runs[name]).status == "answered"
    tag = rig.request(runs["first"]).subject_tag
    acts = Counter(
        (e["disposal_id"], e["step"]) for e in _entries(rig) if e["event"] == "attempted" and e["subject_tag"] == tag
    )
    assert acts
    assert set(acts.values()) == {1}


def test_a_guardians_own_data_goes_with_the_childs(rig: Rig, runs: Runs) -> None:
    assert rig.answer("approver", runs["child"]) == 200
    assert rig.ended(runs["child"])["run"] == "success"
    row = rig.request(runs["child"])
    assert (row.status, row.relation_check, row.child_age) == ("answered", "family_certificate", 12)
    assert {o for k, o in rig.items(runs["child"]).items() if "guardian" in k} == {"confirmed_absent"}


def test_an_open_dispute_holds_its_case_and_the_notice_says_how_to_object(rig: Rig, runs: Runs) -> None:
    assert rig.answer("approver", runs["dispute"]) == 200
    assert rig.ended(runs["dispute"])["run"] == "success"
    assert rig.items(runs["dispute"])["own_database/support_history"] == "blocked"
    told = _told(rig, rig.account("disputed_support"))
    assert "분쟁" in told and "이의 제기" in told and "How to object" in told


def test_a_run_cut_off_after_its_release_is_taken_up_and_ends(rig: Rig, runs: Runs) -> None:
    """Somebody cancels it while places are worked on: nothing is lost, the address waits, and clearing it ends it."""
    run = runs["cut_off"]
    assert rig.answer("approver", run) == 200
    until(rig.stack, DAG, run, "seal_plan", "success")
    rig.users["admin"].call("PATCH", f"/dags/{DAG}/dagRuns/{run}", json={"state": "failed"})
    assert rig.ended(run)["run"] == "failed"
    assert (rig.request(run).status, rig.request(run).notice_state) == ("approved", "pending")
    rig.carry_on()
    outcomes = rig.items(run)
    assert outcomes["own_database/account"] != "confirmed_absent"
    assert outcomes["own_database/cookie"] == "confirmed_absent"
    assert len(rig.context.accounts.facts([rig.account("old_payments_individual")])) == 1
    assert not _alerted(rig, run, TODAY)
    assert _alerted(rig, run, TODAY + timedelta(days=8)), "its clock goes on and nobody is told"
    body = {
        "dry_run": False, "only_failed": False, "dag_run_id": run, "reset_dag_runs": True, "include_downstream": True,
        "task_ids": ["notice"],
    }  # fmt: skip
    rig.users["admin"].call("POST", f"/dags/{DAG}/clearTaskInstances", json=body)
    states = rig.ended(run)
    assert states["run"] == "success", states
    assert rig.request(run).status == "answered"
    assert rig.items(run)["own_database/account"] == "confirmed_absent"
    assert not _alerted(rig, run, TODAY + timedelta(days=8))


def test_an_order_to_preserve_holds_at_once(rig: Rig) -> None:
    account = rig.account("returned")
    form = rig.form(account, kind="court_preserve", channel="court", identity_check="order",
                    records=["zendesk/support"])  # fmt: skip
    run = rig.start("operator", form)
    assert rig.ended(run)["run"] == "success"
    with rig.context.engine.connect() as connection:
        held = connection.execute(select(hold).where(hold.c.account_id == account)).one()
    assert (held.kind, list(held.datasets), held.hold_id) == ("H-6", ["support"], rig.request(run).request_id)


def _alerted(rig: Rig, run: str, day: date) -> bool:
    """Say whether the request of a run is among those shown on a day because their clock is near its end."""
    mine = str(rig.request(run).request_id)
    return mine in {d.request_id for d in deadline_alerts(replace(rig.context, as_of=day))}


def _told(rig: Rig, account: str) -> str:
    """Return the notice that went to an account's address."""
    from email import message_from_bytes, policy

    person = next(p for p in rig.made.people if p.account_id == account)
    found = [
        message_from_bytes(p.read_bytes(), policy=policy.default) for p in (rig.stack.local / "mail").glob("*.eml")
    ]
    mine = [m for m in found if person.email in str(m["to"])]
    return str(mine[-1].get_body(("html",)).get_content())  # type: ignore[union-attr]


def _entries(rig: Rig) -> list[dict[str, str]]:
    with rig.context.engine.connect() as connection:
        return [json.loads(b) for b in connection.execute(select(entry.c.body).order_by(entry.c.entry_id)).scalars()]
