"""An Airflow of the benchmark's own: the sandbox's stack in another folder, with one more processor and two DAGs."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import func, select

from include import accounts, database, keys
from include.connections import Connection
from include.database import disposal
from include.disposals import Context
from include.evidence.tags import SubjectTags
from include.policy import schedule
from include.sandbox import airflow
from include.sandbox.night import SEOUL, SecondPerson
from include.sandbox.stack import STANDINS, Stack
from tests.bench.company import approve, ended_yesterday, write_schedule
from tests.bench.registry import PLACE, register
from tests.bench.rows import say
from tests.bench.sixcalls_server import served

ROOT = Path(__file__).parents[2]
NIGHT, EMPTY = "nightly_retention", "empty_night"


class BenchStack(Stack):
    """The sandbox's stack with the bench's processor, schedule and DAGs."""

    def __init__(self, local: Path, place: str, workers: int) -> None:
        super().__init__(ROOT, local, workers=workers)
        self.place = place
        self.schedule = write_schedule(local / "schedule")
        self.dags = local / "dags"
        self.dags.mkdir(exist_ok=True)
        shutil.copy(ROOT / "dags" / f"{NIGHT}.py", self.dags)

    @cached_property
    def connections(self) -> dict[str, Connection]:
        """Every connection of the sandbox, and the bench's."""
        return {**super().connections, PLACE: Connection(PLACE, extra={"endpoint_url": self.place})}

    @property
    def environment(self) -> dict[str, str]:
        """The sandbox's environment; its Pythons know the bench's processor."""
        known = super().environment
        path = f"{ROOT / 'tests' / 'bench' / 'site'}:{known['PYTHONPATH']}"
        return {**known, "PYTHONPATH": path, "RETENTION_SCHEDULE": str(self.schedule)}


@dataclass(frozen=True, slots=True)
class Ran:
    """One run of a DAG as Airflow itself recorded it."""

    seconds: float
    instances: int
    states: Mapping[str, int]


@dataclass(slots=True)
class Running:
    """A running Airflow, and what the nights need."""

    stack: BenchStack
    context: Context
    accounts: Any
    loaded: int = 0

    def end_contracts(self, count: int) -> None:
        """Let `count` more accounts have ended yesterday."""
        ended_yesterday(self.accounts, self.context.as_of, count, first=self.loaded)
        self.loaded += count

    def run(self, dag_id: str) -> Ran:
        """Run a DAG to its end and return what it took; anything but success is raised."""
        api = airflow.Api(self.stack, "admin")
        api.wait_for_dag(dag_id)
        run_id = api.trigger(dag_id, {})
        second, shown = SecondPerson(self.stack, run_id), -1
        state, tasks = "", list[dict[str, Any]]()
        for state, tasks in api.follow(dag_id, run_id):  # noqa: B007 - the last ones count
            if dag_id == NIGHT:
                second.look(tasks)
            done = sum(t["state"] in airflow.ENDED for t in tasks)
            if done * 10 // max(len(tasks), 1) != shown:
                shown = done * 10 // max(len(tasks), 1)
                say(f"    {done} of {len(tasks)} tasks")
        if state != "success":
            failed = sorted({t["task_id"] for t in tasks if t["state"] in ("failed", "upstream_failed")})
            raise RuntimeError(f"{dag_id} ended as {state}: {', '.join(failed)}; logs in {self.stack.local}")
        run = api.call("GET", f"/dags/{dag_id}/dagRuns/{run_id}")
        took = datetime.fromisoformat(run["end_date"]) - datetime.fromisoformat(run["start_date"])
        states: dict[str, int] = {}
        for one in tasks:
            states[one["state"]] = states.get(one["state"], 0) + 1
        return Ran(took.total_seconds(), len(tasks), states)

    def proven(self) -> int:
        """Return how many subjects were read back as gone."""
        with self.context.engine.connect() as connection:
            return int(
                connection.execute(
                    select(func.count()).where(
                        disposal.c.processor == PLACE,
                        disposal.c.outcome == "confirmed_absent",
                        disposal.c.closed_on.is_not(None),
                    )
                ).scalar_one()
            )


@contextmanager
def running(local: Path, *, workers: int = 0) -> Iterator[Running]:
    """Start everything in `local`, yield, and stop it again; `workers` of Celery, or Airflow's LocalExecutor."""
    register()
    day = datetime.now(SEOUL).date()
    with served() as place:
        stack = BenchStack(local, place, workers)
        try:
            say("  PostgreSQL, S3, the stand-ins and Airflow start")
            stack.start_servers()
            for name in STANDINS:
                httpx.put(stack.url(name) + "/_sandbox/clock", json={"date": day.isoformat()}).raise_for_status()
            with _context(stack, day) as (context, engine):
                approve(context)
                airflow.prepare(stack)
                environment = airflow.environment(stack)
                command = [sys.executable, "-m", "tests.bench.shape", str(stack.dags / "shape.json")]
                subprocess.run(command, env=environment, cwd=ROOT, check=True, capture_output=True)
                shutil.copy(Path(__file__).parent / "dags" / f"{EMPTY}.py", stack.dags)
                airflow.start(stack)
                yield Running(stack, context, engine)
        finally:
            stack.stop()


@contextmanager
def _context(stack: BenchStack, day: date) -> Iterator[tuple[Context, Any]]:
    engine, company = (database.connect(stack.connections[n]) for n in ("retention_db", "accounts_db"))
    database.migrate(engine)
    ended_yesterday(company, day, 0)
    known = schedule.load(stack.schedule)
    context = Context(
        engine=engine,
        accounts=accounts.Accounts(company, known.processors["own_database"].settings),
        schedule=known,
        tags=SubjectTags(keys.epochs(stack.connections["evidence_tags"])),
        wrapper=keys.wrapper(stack.connections["archive_kek"]),
        as_of=day,
    )
    try:
        yield context, company
    finally:
        engine.dispose()
        company.dispose()
