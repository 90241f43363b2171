"""One account by hand in real Airflow, driven over REST as an operator and an approver would."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
from sqlalchemy import create_engine, select, text, update

from include.database_requests import request
from include.disposals import Context
from include.disposals.release import items
from include.sandbox import airflow, company, night
from include.sandbox.servers import temporary_folder
from include.sandbox.stack import STANDINS, Stack

pytestmark = pytest.mark.airflow
ROOT = Path(__file__).parents[2]
TODAY = datetime.now(ZoneInfo("Asia/Seoul")).date()
DAG = "erase_account"
LINGERS = 9.0
"""An answer within seconds of the question can be lost by Airflow 3.3.2, and is then asked again."""

SECOND_ROLE = """
from airflow.providers.fab.auth_manager.cli_commands.utils import get_application_builder
with get_application_builder() as builder:
    security = builder.sm
    roles = [security.find_role(n) for n in ("RetentionOperator", "RetentionApprover")]
    security.add_user("double", "Demo", "Double", "double@example.com", roles, password="{password}")
"""


class Rig:
    """A stack of its own with Airflow running, and what the tests say in a line."""

    def __init__(self, stack: Stack, context: Context) -> None:
        self.stack, self.context = stack, context
        self.made = company.generate(seed=7, count=150, anchor=TODAY)
        self.users = {user: airflow.Api(stack, user) for user in airflow.DEMO_USERS}

    def account(self, case: str) -> str:
        """Return the account of a situation."""
        return self.made.case(case)[0].account_id

    def form(self, account: str, **more: Any) -> dict[str, Any]:
        """Return a filled form."""
        return {
            "account_id": account, "kind": "erasure", "received_on": TODAY.isoformat(), "channel": "web",
            "identity_check": "login", "dry_run": False,
        } | more  # fmt: skip

    def post(self, user: str, conf: dict[str, Any], dag: str = DAG) -> httpx.Response:
        """Trigger a run as a user and return the bare answer."""
        client = self.users[user]._client
        return client.post(f"/api/v2/dags/{dag}/dagRuns", json={"logical_date": None, "conf": conf})

    def start(self, user: str, conf: dict[str, Any]) -> str:
        """Trigger a run that must be taken."""
        reply = self.post(user, conf)
        assert reply.status_code == 200, reply.text
        return str(reply.json()["dag_run_id"])

    def ended(self, run: str, seconds: float = 400) -> dict[str, str]:
        """Wait for the end of a run; return the states of its tasks, and its own under `run`."""
        deadline = time.monotonic() + seconds
        for state, tasks in self.users["admin"].follow(DAG, run):
            if state in airflow.ENDED:
                self._say_trouble(run)
                return {t["task_id"]: str(t["state"]) for t in tasks} | {"run": state}
            assert time.monotonic() < deadline, {t["task_id"]: t["state"] for t in tasks}
        raise AssertionError

    def _say_trouble(self, run: str) -> None:
        """Print what failed tasks said, for whoever reads a red test."""
        for log in sorted((self.stack.local / "airflow" / "logs").rglob(f"run_id={run}/**/attempt=*.log")):
            for line in log.read_text(errors="replace").splitlines():
                if '"exc_value"' in line:
                    print(log.parent.name, [e["exc_value"] for e in json.loads(line).get("error_detail", [])])

    def waits(self, run: str, task: str = "approve", seconds: float = 240) -> None:
        """Wait until a question stands."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            one = self.users["admin"].call("GET", f"/dags/{DAG}/dagRuns/{run}/taskInstances/{task}")
            if one["state"] == "awaiting_input":
                time.sleep(LINGERS)
                return
            if one["state"] in airflow.ENDED:
                self._say_trouble(run)
                raise AssertionError(one["state"])
            time.sleep(1)
        raise AssertionError(one["state"])

    def answer(
        self, user: str | httpx.Client, run: str, option: str = "Approve", task: str = "approve", **more: Any
    ) -> int:
        """Answer a question as a user and return the status code."""
        client = user if isinstance(user, httpx.Client) else self.users[user]._client
        path = f"/api/v2/dags/{DAG}/dagRuns/{run}/taskInstances/{task}/-1/hitlDetails"
        return client.patch(path, json={"chosen_options": [option], "params_input": more}).status_code

    def xcom(self, run: str, task: str) -> Any:
        """Return what a task returned."""
        path = f"/dags/{DAG}/dagRuns/{run}/taskInstances/{task}/xcomEntries/return_value"
        return self.users["admin"].call("GET", path, params={"deserialize": "true"})["value"]

    def request(self, run: str) -> Any:
        """Return the request a run registered, or None."""
        with self.context.engine.connect() as connection:
            return connection.execute(select(request).where(request.c.airflow_run_id == run)).first()

    def items(self, run: str) -> dict[str, str]:
        """Return the outcome of every disposal of a run's request, by place and scope."""
        with self.context.engine.connect() as connection:
            return {f"{i.processor}/{i.scope_id}": i.outcome for i in items(connection, self.request(run).request_id)}

    def changing(self) -> int:
        """Return how many vendor requests so far could change something."""
        logs = [(self.stack.local / "standins" / f"{n}.requests.jsonl") for n in STANDINS]
        return sum(json.loads(line)["changing"] for log in logs for line in log.open())


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    """Airflow with its demo users over a seeded company."""
    with temporary_folder("rt-erase-") as folder:
        stack = Stack(ROOT, folder)
        try:
            stack.start_servers()
            with night.opened(stack, TODAY) as context:
                night._prepare_company(stack, context, 150, 7)
                airflow.prepare(stack)
                airflow.start(stack)
                made = Rig(stack, context)
                made.users["admin"].wait_for_dag(DAG)
                yield made
        finally:
            stack.stop()


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
    airflows = create_engine(f"postgresql+psycopg://postgres:@/airflow?host={rig.stack.postgres.socket_dir}")
    with airflows.begin() as connection:
        connection.execute(
            text("UPDATE dag_run SET end_date = end_date - interval '40 days' WHERE run_id = :r"), {"r": run}
        )
    assert forget() == 200  # ended long ago, certified just now
    with rig.context.engine.begin() as connection:
        connection.execute(
            update(request)
            .where(request.c.airflow_run_id == run)
            .values(certified_at=datetime.now(UTC) - timedelta(days=40))
        )
    assert forget() == 404
    with airflows.connect() as connection:
        for table in ("dag_run", "task_instance", "xcom", "rendered_task_instance_fields"):
            left = connection.execute(text(f"SELECT count(*) FROM {table} WHERE run_id = :r"), {"r": run}).scalar_one()
            assert (table, left) == (table, 0)
    airflows.dispose()


def test_no_mail_and_no_name_stands_in_airflow(rig: Rig) -> None:
    people = {v for p in rig.made.people for v in (p.email, p.name) if v and len(v) > 6}
    logs = "".join(p.read_text(errors="replace") for p in (rig.stack.local / "airflow" / "logs").rglob("*.log"))
    assert len(logs) > 10_000
    assert [p for p in people if p in logs] == []
