"""One running Airflow over a seeded company, for every test of what people decide."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest

from include import database
from include.sandbox import airflow
from include.sandbox import night as nights
from include.sandbox.servers import temporary_folder
from include.sandbox.stack import STANDINS, Stack

ROOT = Path(__file__).parents[3]
ACCOUNTS = 150
TODAY = datetime.now(ZoneInfo("Asia/Seoul")).date()
LOST = 10.0
"""Seconds after which Airflow no longer loses an answer."""


class Town:
    """A running stack, and what a test says in a line."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.engine = database.connect(stack.connections["retention_db"])

    def start(self, dag_id: str, conf: dict[str, Any], user: str) -> str:
        """Start a run as a demo user; return its id."""
        airflow.Api(self.stack, "admin").wait_for_dag(dag_id)
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
                if time.monotonic() - since.setdefault(task_id, time.monotonic()) >= LOST:
                    user, choice = (answers or {})[task_id]
                    airflow.Api(self.stack, user).answer(dag_id, run_id, task_id, choice)
                    since[task_id] = time.monotonic()
        return ended

    def one(self, statement: Any) -> Any:
        with self.engine.connect() as connection:
            return connection.execute(statement).scalars().all()

    def changing(self) -> int:
        """Return how many vendor requests so far could change something."""

        return sum(
            json.loads(line)["changing"]
            for name in STANDINS
            for line in (self.stack.local / "standins" / f"{name}.requests.jsonl").open()
        )


@pytest.fixture(scope="package")
def town() -> Iterator[Town]:
    with temporary_folder("rt-decisions-") as folder:
        stack = Stack(ROOT, folder)
        try:
            stack.start_servers()
            today = datetime.now(ZoneInfo("Asia/Seoul")).date()
            with nights.opened(stack, today) as context:
                nights._prepare_company(stack, context, ACCOUNTS, 7)
            for name in STANDINS:
                httpx.put(stack.url(name) + "/_sandbox/clock", json={"date": today.isoformat()}).raise_for_status()
            airflow.prepare(stack)
            airflow.start(stack)
            yield Town(stack)
        finally:
            stack.stop()
