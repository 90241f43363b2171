"""One account by hand in real Airflow, driven over REST as an operator and an approver would."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from include.database import approval
from include.database.requests import request
from include.sandbox import airflow
from tests.e2e.by_hand.conftest import DAG, ROOT, Rig
from tests.e2e.running import TODAY

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(1800)]

NAMED = (approval.c.requested_by, approval.c.decided_by)
SECOND_ROLE = """
from airflow.providers.fab.auth_manager.cli_commands.utils import get_application_builder
with get_application_builder() as builder:
    security = builder.sm
    roles = [security.find_role(n) for n in ("RetentionOperator", "RetentionApprover")]
    security.add_user("double", "Demo", "Double", "double@example.com", roles, password="{password}")
"""


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("account_id", "someone@example.com"),
        ("account_id", "김표본0001"),
        ("account_id", "Sample Person"),
        ("account_id", "010-1234-5678"),
        ("account_id", "123-45-67890"),
        ("kind", "everything"),
        ("channel", "a friend told me"),
        ("identity_check", "yes"),
        ("received_on", "yesterday"),
        ("records", ["own_database/credit_record"]),
        ("child_age", 40),
    ],
)
def test_the_form_refuses_what_is_no_code_and_no_id(rig: Rig, key: str, value: Any) -> None:
    reply = rig.post("operator", rig.form("a0001") | {key: value})
    assert reply.status_code in (400, 422), reply.text


@pytest.mark.parametrize(("user", "dag"), [
    ("viewer", DAG), ("approver", DAG), ("compliance", DAG), ("operator", "nightly_retention"),
    ("approver", "nightly_retention"),
])  # fmt: skip
def test_nobody_else_may_start_one(rig: Rig, user: str, dag: str) -> None:
    assert rig.post(user, rig.form("a0001"), dag).status_code == 403


@pytest.mark.parametrize("user", ["viewer", "operator", "approver", "compliance"])
def test_no_role_sees_connections_or_variables(rig: Rig, user: str) -> None:
    client = rig.users[user]._client
    assert [client.get(f"/api/v2/{what}").status_code for what in ("connections", "variables")] == [403, 403]


def test_an_unknown_key_ends_the_run_and_registers_nothing(rig: Rig) -> None:
    run = rig.start("operator", rig.form(rig.account("shared_email")) | {"note": "call the person"})
    states = rig.ended(run)
    assert (states["run"], states["identify"]) == ("failed", "failed")
    assert rig.request(run) is None


def test_an_unknown_id_is_a_clear_failure_and_registers_nothing(rig: Rig) -> None:
    run = rig.start("operator", rig.form("zz99999"))
    assert rig.ended(run)["identify"] == "failed"
    assert rig.request(run) is None


def test_a_dry_run_shows_everything_and_changes_nothing(rig: Rig) -> None:
    before = rig.changing()
    run = rig.start("operator", rig.form(rig.account("ended_lately_individual"), dry_run=True))
    states = rig.ended(run)
    assert (states["run"], states["really"], states["approve"]) == ("success", "success", "skipped")
    shown = rig.xcom(run, "present")["preview"]
    assert {"salesforce", "stripe", "zendesk", "own_database"} <= {line["processor"] for line in shown["lines"]}
    assert sum(line["count_before"] or 0 for line in shown["lines"]) > 5
    assert rig.changing() == before
    assert rig.request(run) is None


def test_one_account_is_erased_with_a_second_persons_approval(rig: Rig) -> None:
    account = rig.account("ended_lately_individual")
    run = rig.start("operator", rig.form(account))
    rig.waits(run)
    assert [rig.answer(user, run) for user in ("operator", "viewer", "compliance", "admin")] == [403] * 4
    before = rig.changing()
    assert rig.answer("approver", run) == 200
    states = rig.ended(run)
    assert states["run"] == "success", states
    row = rig.request(run)
    assert (row.status, row.notice_state) == ("answered", "sent")
    outcomes = rig.items(run)
    assert outcomes["own_database/account"] == "confirmed_absent"
    assert set(outcomes.values()) & {"awaiting", "manual_pending", "expires_by_processor"}
    assert rig.changing() > before
    assert rig.context.accounts.facts([account]) == []
    mails = list((rig.stack.local / "mail").glob("*.eml"))
    assert len(mails) == 1
    folder = Path(rig.xcom(run, "certificate"))
    assert list((folder / "certificates").glob("subject-*.pdf"))
    again = rig.start("operator", rig.form(account))
    assert rig.ended(again)["run"] == "success"
    assert rig.request(again).status == "already_erased"


def test_the_requester_cannot_approve_even_with_the_right_to(rig: Rig) -> None:
    script = SECOND_ROLE.format(password=rig.stack.secret("user-double"))
    subprocess.run([sys.executable, "-c", script], env=airflow.environment(rig.stack), cwd=ROOT, check=True)
    double = airflow.Api(rig.stack, "double")
    account = rig.account("ended_lately_business")
    reply = double._client.post(f"/api/v2/dags/{DAG}/dagRuns", json={"logical_date": None, "conf": rig.form(account)})
    run = str(reply.json()["dag_run_id"])
    rig.waits(run)
    before = rig.changing()
    assert rig.answer(double._client, run) == 200
    states = rig.ended(run)
    assert (states["run"], states["release"]) == ("failed", "failed")
    assert rig.changing() == before
    assert rig.request(run).status == "received"


def test_a_rejection_releases_nothing_and_leaves_the_request_open(rig: Rig) -> None:
    run = rig.start("operator", rig.form(rig.account("ended_lately_business")))
    rig.waits(run)
    assert rig.answer("approver", run, "Reject") == 200
    states = rig.ended(run)
    assert (states["run"], states["release"]) == ("success", "success")
    assert {states[t] for t in ("archive", "seal", "notice", "report")} == {"skipped"}
    row = rig.request(run)
    assert (row.status, row.closed_on) == ("approval_rejected", None)


def test_clearing_what_a_rejection_skipped_erases_nothing(rig: Rig) -> None:
    account = rig.account("mixed_case_email")
    run = rig.start("operator", rig.form(account))
    rig.waits(run)
    assert rig.answer("approver", run, "Reject") == 200
    assert rig.ended(run)["run"] == "success"
    before = rig.changing()
    cleared = {
        "dry_run": False, "only_failed": False, "dag_run_id": run, "reset_dag_runs": True,
        "task_ids": ["own_database.batches", "own_database.locate", "own_database.advance"],
    }  # fmt: skip
    rig.users["admin"].call("POST", f"/dags/{DAG}/clearTaskInstances", json=cleared)
    assert rig.ended(run)["own_database.advance"] != "success"
    assert rig.changing() == before
    assert len(rig.context.accounts.facts([account])) == 1


def test_marking_the_approval_as_success_releases_nothing(rig: Rig) -> None:
    account = rig.account("mixed_case_email")
    run = rig.start("operator", rig.form(account))
    rig.waits(run)
    before = rig.changing()
    path = f"/dags/{DAG}/dagRuns/{run}/taskInstances/approve"
    rig.users["admin"].call("PATCH", path, json={"new_state": "success"})
    states = rig.ended(run)
    assert (states["run"], states["release"]) == ("failed", "failed")
    assert rig.changing() == before
    assert len(rig.context.accounts.facts([account])) == 1


def test_a_notice_that_fails_asks_a_person_on_the_day_before_the_limit_and_blocks_no_other_place(rig: Rig) -> None:
    account = rig.account("ended_yesterday")
    (rig.stack.local / "mail" / "refuse").touch()
    run = rig.start("operator", rig.form(account, received_on=(TODAY - timedelta(days=9)).isoformat()))
    rig.waits(run)
    assert rig.answer("approver", run) == 200
    rig.waits(run, "attest")
    outcomes = rig.items(run)
    assert outcomes.pop("own_database/account") == "awaiting"
    assert not {"planned", "located", "archived", "attempted", "accepted", "failed"} & set(outcomes.values())
    assert rig.request(run).notice_state == "pending"
    assert rig.answer("approver", run, "Sent by post · 우편 발송", "attest", reference="RR123456785KR") == 200
    states = rig.ended(run)
    assert states["run"] == "success", states
    assert rig.request(run).status == "answered"
    assert rig.items(run)["own_database/account"] == "confirmed_absent"
    (rig.stack.local / "mail" / "refuse").unlink()


def test_a_runs_form_is_deleted_days_after_its_certificate(rig: Rig) -> None:
    with rig.context.engine.connect() as connection:
        answered = connection.execute(select(request).where(request.c.status == "answered")).first()
    assert answered is not None
    run = answered.airflow_run_id
    admin = rig.users["admin"]
    admin.wait_for_dag("forget_requests")
    api = admin._client

    def forget() -> int:
        started = admin.trigger("forget_requests", {})
        states = [state for state, _ in admin.follow("forget_requests", started)]
        rig._say_trouble(started)
        assert states[-1] == "success"
        return api.get(f"/api/v2/dags/{DAG}/dagRuns/{run}").status_code

    assert forget() == 200
    rig.in_airflow("UPDATE dag_run SET end_date = end_date - interval '40 days' WHERE run_id = :r", r=run)
    with rig.context.engine.begin() as connection:
        long_ago = {"decided_at": datetime.now(UTC) - timedelta(days=91)}
        connection.execute(update(approval).where(approval.c.decided_at.is_not(None)).values(long_ago))
    assert forget() == 200  # ended long ago, certified just now
    with rig.context.engine.begin() as connection:
        connection.execute(
            update(request)
            .where(request.c.airflow_run_id == run)
            .values(certified_at=datetime.now(UTC) - timedelta(days=40))
        )
    assert forget() == 404
    over = approval.c.decided_at.is_not(None)
    with rig.context.engine.connect() as connection:
        asked, decided = (set(connection.execute(select(c).where(over)).scalars()) for c in NAMED)
    assert not (asked | decided) & {"operator", "approver", "double"}
    for table in ("dag_run", "task_instance", "xcom", "rendered_task_instance_fields"):
        assert (table, rig.in_airflow(f"SELECT count(*) FROM {table} WHERE run_id = :r", r=run)) == (table, [(0,)])
