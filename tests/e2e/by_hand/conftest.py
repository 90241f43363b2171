"""One running Airflow over a seeded company, for every test of one account by hand."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import create_engine, select, text

from include.database.requests import request
from include.disposals import Context
from include.disposals.release import items
from include.sandbox import airflow, company, night
from include.sandbox.servers import temporary_folder
from include.sandbox.stack import Stack
from tests.e2e.running import TODAY, changing

ROOT = Path(__file__).parents[3]
DAG = "erase_account"


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

    def ended(self, run: str, seconds: float = 1200) -> dict[str, str]:
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

    def waits(self, run: str, task: str = "approve", seconds: float = 900) -> None:
        """Wait until a question stands."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            one = self.users["admin"].call("GET", f"/dags/{DAG}/dagRuns/{run}/taskInstances/{task}")
            if one["state"] == "awaiting_input":
                time.sleep(airflow.HEARD_AFTER)
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

    def state(self, run: str) -> str:
        """Return the state of a run as it is now."""
        return str(self.users["admin"].call("GET", f"/dags/{DAG}/dagRuns/{run}")["state"])

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

    def carry_on(self) -> str:
        """Do what the next hour does; return how it ended."""
        self.users["admin"].wait_for_dag("advance_disposals")
        run = self.users["admin"].trigger("advance_disposals", {})
        return [state for state, _ in self.users["admin"].follow("advance_disposals", run)][-1]

    def by_form(self, dag: str, conf: dict[str, Any], user: str = "operator") -> str:
        """Carry another form out as a user; return how it ended."""
        self.users["admin"].wait_for_dag(dag)
        self.users[user].wait_for_right(dag)
        run = self.users[user].trigger(dag, conf)
        return [state for state, _ in self.users["admin"].follow(dag, run)][-1]

    def in_airflow(self, statement: str, **values: Any) -> list[Any]:
        """Return (or change) what stands in Airflow's own database, where a test moves time."""
        airflows = create_engine(f"postgresql+psycopg://postgres:@/airflow?host={self.stack.postgres.socket_dir}")
        with airflows.begin() as connection:
            found = connection.execute(text(statement), values)
            rows = list(found.all()) if found.returns_rows else []
        airflows.dispose()
        return rows

    def changing(self) -> int:
        """Return how many vendor requests so far could change something."""
        return sum(changing(self.stack.local).values())


@pytest.fixture(scope="package")
def rig() -> Iterator[Rig]:
    """Airflow with its demo users over a seeded company."""
    with temporary_folder("rt-erase-") as folder:
        stack = Stack(ROOT, folder)
        stack.by_itself = False
        try:
            stack.start_servers()
            with night.opened(stack, TODAY) as context:
                night._prepare_company(stack, context, 150, 7)
                airflow.prepare(stack)
                airflow.start(stack)
                made = Rig(stack, context)
                made.users["admin"].wait_for_dag(DAG)
                made.users["operator"].wait_for_right(DAG)
                yield made
        finally:
            stack.stop()
