"""One running Airflow over a seeded company, for every test of what people decide."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from include import database
from include.database import entry
from include.disposals import approving
from include.policy import schedule
from include.sandbox import airflow, company
from include.sandbox import night as nights
from include.sandbox.servers import temporary_folder
from include.sandbox.stack import Stack
from tests.e2e.running import TODAY, changing, clock

ROOT = Path(__file__).parents[3]
ACCOUNTS = 150
DATED = {"nightly_retention", "advance_disposals", "after_restore", "offboard_processor"}
SLOW_SALESFORCE = 160
"""Calls a subject at the end of a contract: with half of the published limit, 62 subjects fit into a night."""


class OwnSchedule(Stack):
    """A stack whose schedule says that a subject at Salesforce takes very many calls."""

    def __init__(self, root: Path, local: Path) -> None:
        super().__init__(root, local)
        self.schedule = local / "schedule" / "retention_schedule.yaml"
        shutil.copytree(root / "include" / "policy", self.schedule.parent, ignore=shutil.ignore_patterns("*.py"))
        body, told = self.schedule.read_text(), "    settings:\n      address_book:"
        slow = f"    settings:\n      calls_per_subject: {SLOW_SALESFORCE}\n      address_book:"
        assert told in body
        self.schedule.write_text(body.replace(told, slow))

    @property
    def environment(self) -> dict[str, str]:
        """The environment of every process, with this schedule."""
        mine = {"RETENTION_SCHEDULE": str(self.schedule), "RETENTION_ALERTS_EMAIL": "privacy@example.com"}
        return {**super().environment, **mine}


class Town:
    """A running stack, and what a test says in a line."""

    def __init__(self, stack: OwnSchedule) -> None:
        self.stack = stack
        self.made = company.generate(seed=7, count=ACCOUNTS, anchor=TODAY)
        self.engine = database.connect(stack.connections["retention_db"])

    def start(self, dag_id: str, conf: dict[str, Any], user: str) -> str:
        """Start a run as a demo user; return its id. A date its form has is this town's, whatever midnight says."""
        if dag_id in DATED:
            conf = {"as_of": TODAY.isoformat()} | conf
        airflow.Api(self.stack, "admin").wait_for_dag(dag_id)
        airflow.Api(self.stack, user).wait_for_right(dag_id)
        return airflow.Api(self.stack, user).trigger(dag_id, conf)

    def finish(self, dag_id: str, run_id: str, answers: dict[str, tuple[str, str]] | None = None) -> str:
        """Follow a run to its end, answering its questions as `{task: (user, choice)}`; return its state.

        Of a failed run the failed tasks stand behind it.
        """
        since: dict[str, float] = {}
        ended = ""
        for state, tasks in airflow.Api(self.stack, "admin").follow(dag_id, run_id):
            bad = sorted(t["task_id"] for t in tasks if t["state"] in ("failed", "upstream_failed"))
            ended = " ".join([state, *bad])
            for task_id in (t["task_id"] for t in tasks if t["state"] == "awaiting_input"):
                if time.monotonic() - since.setdefault(task_id, time.monotonic()) >= airflow.HEARD_AFTER:
                    user, choice = (answers or {})[task_id]
                    airflow.Api(self.stack, user).answer(dag_id, run_id, task_id, choice)
                    since[task_id] = time.monotonic()
        return ended

    def one(self, statement: Any) -> Any:
        with self.engine.connect() as connection:
            return connection.execute(statement).scalars().all()

    def entries(self) -> list[dict[str, Any]]:
        """Return every entry recorded so far, in order."""
        return [json.loads(body) for body in self.one(select(entry.c.body).order_by(entry.c.entry_id))]

    def clock(self, day: date) -> None:
        """Move the stand-ins' business date."""
        clock(self.stack, day)

    def slowly(self, name: str, path: str, *, seconds: float) -> None:
        """Let a stand-in take so long for each request whose path matches."""
        fault = {"kind": "slow", "path": f".*{path}.*", "times": 1000, "seconds": seconds}
        httpx.put(self.stack.url(name) + "/_sandbox/faults", json=[fault]).raise_for_status()

    def at_its_own_pace(self, name: str) -> None:
        """Take the delays away again."""
        httpx.put(self.stack.url(name) + "/_sandbox/faults", json=[]).raise_for_status()

    def rows(self, statement: Any) -> list[Any]:
        with self.engine.connect() as connection:
            return list(connection.execute(statement).all())

    def changing(self) -> int:
        """Return how many vendor requests so far could change something."""
        return sum(changing(self.stack.local).values())


@pytest.fixture(scope="package")
def town() -> Iterator[Town]:
    with temporary_folder("rt-decisions-") as folder:
        stack = OwnSchedule(ROOT, folder)
        stack.by_itself = False
        try:
            stack.start_servers()
            with nights.opened(stack, TODAY) as context:
                nights._prepare_company(stack, context, ACCOUNTS, 7)
                own = replace(context, schedule=schedule.load(stack.schedule))
                approving.approve_schedule(
                    own, role="privacy_officer", pseudonym="e-0001", notice=approving.Notice(TODAY, "none")
                )
            clock(stack, TODAY)
            airflow.prepare(stack)
            airflow.start(stack)
            yield Town(stack)
        finally:
            stack.stop()
