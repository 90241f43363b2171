"""A night on two Celery workers, one of which dies in the middle of a mapped `advance`: nothing is lost by it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest
from sqlalchemy import create_engine, text

from include.sandbox.airflow import SURVIVAL
from include.sandbox.servers import PostgresServer, temporary_folder
from tests.e2e.outside import findings

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(1800)]
ROOT = Path(__file__).parents[2]
ACCOUNTS = 200
DOOMED = "worker-1"
RUNNING = text(
    "SELECT task_id, map_index, pid FROM task_instance WHERE state = 'running' AND task_id LIKE '%.advance'"
    " AND pid IS NOT NULL AND start_date < now() - interval '1 second'"
)


@dataclass(frozen=True, slots=True)
class Try:
    """How an `advance` ended: its state, how many tries it took, and when the last of them began."""

    state: str
    number: int
    began: datetime


@dataclass(frozen=True, slots=True)
class Survived:
    """What a night with a killed worker left, and the seconds from the kill to its end and to that task's last try."""

    local: Path
    code: int
    said: str
    killed: tuple[str, int]
    tries: dict[tuple[str, int], Try]
    seconds: float
    waited: float


def kill(worker: psutil.Process) -> None:
    """End a worker as the loss of its machine would: all of its processes at once, nothing gets to say goodbye."""
    family = [*worker.children(recursive=True), worker]
    for process in family:
        process.suspend()
    for process in {*family, *worker.children(recursive=True)}:
        process.send_signal(signal.SIGKILL)
    psutil.wait_procs(family, timeout=30)


def doomed_task(local: Path, engine: Any) -> tuple[psutil.Process, tuple[str, int]] | None:
    """Return the worker and an `advance` that runs on it right now."""
    known = json.loads((local / "processes.json").read_text())
    if DOOMED not in known:
        return None
    with engine.connect() as connection:
        for task_id, map_index, pid in connection.execute(RUNNING):
            if psutil.pid_exists(pid) and known[DOOMED]["pid"] in {p.pid for p in psutil.Process(pid).parents()}:
                return psutil.Process(known[DOOMED]["pid"]), (str(task_id), int(map_index))
    return None


@pytest.fixture(scope="module")
def survived() -> Iterator[Survived]:
    """One night; the first worker is killed while it carries out an `advance`."""
    with temporary_folder("rt-celery-") as local:
        env = {**os.environ, "ACCOUNTS": str(ACCOUNTS), "SANDBOX_FOLDER": str(local), "EXECUTOR": "celery"}
        command = [sys.executable, "-m", "include.sandbox", "run"]
        with (local / "said").open("w") as said:
            night = subprocess.Popen(command, cwd=ROOT, env=env, stdout=said, stderr=said)
        try:
            while not (local / "postgres" / "postmaster.pid").exists() or " runs:" not in (local / "said").read_text():
                assert night.poll() is None, (local / "said").read_text()[-3000:]
                time.sleep(1)
            socket = (local / "postgres" / "postmaster.pid").read_text().splitlines()[4]
            engine = create_engine(f"postgresql+psycopg://postgres:@/airflow?host={socket}")
            while (found := doomed_task(local, engine)) is None:
                assert night.poll() is None, "the night ended before an advance ran on the worker"
                time.sleep(0.3)
            worker, task = found
            kill(worker)
            started, killed_at = time.monotonic(), datetime.now(UTC)
            night.wait(timeout=1500)
            seconds, said = time.monotonic() - started, (local / "said").read_text()
            engine.dispose()
            ended = tries(local)
            waited = (ended[task].began - killed_at).total_seconds()
            yield Survived(local, night.returncode, said, task, ended, seconds, waited)
        finally:
            if night.poll() is None:
                night.terminate()
                night.wait(timeout=60)


def tries(local: Path) -> dict[tuple[str, int], Try]:
    """Return how every `advance` ended, as Airflow recorded it."""
    server = PostgresServer(local / "postgres").start()
    engine = create_engine(f"postgresql+psycopg://postgres:@/airflow?host={server.socket_dir}")
    with engine.connect() as connection:
        rows = connection.execute(
            text(
                "SELECT task_id, map_index, state, try_number, start_date FROM task_instance"
                " WHERE task_id LIKE '%.advance' AND start_date IS NOT NULL"
            )
        )
        found = {(str(t), int(m)): Try(str(s), int(n), began) for t, m, s, n, began in rows}
    engine.dispose()
    server.stop()
    return found


def test_the_night_ends_green_without_the_dead_worker(survived: Survived) -> None:
    assert survived.code == 0, survived.said[-3000:]
    assert "VERIFIED" in survived.said


def test_the_dead_workers_task_was_taken_from_it_in_minutes(survived: Survived) -> None:
    killed = survived.tries[survived.killed]
    assert (killed.state, killed.number >= 2) == ("success", True)
    silence = int(SURVIVAL["SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT"])
    assert silence - 30 < survived.waited < 5 * silence
    assert survived.waited < survived.seconds  # the night waited for it


def test_an_outside_reading_of_the_policy_finds_nothing(survived: Survived) -> None:
    """Every store before and after, against the evidence, by a reader that knows none of our code."""
    not_tonight = {f"evidence: {rule} does not occur" for rule in ("R-06", "R-09", "H-4")}
    assert set(findings(survived.local)) <= not_tonight


def test_no_act_was_repeated_that_is_not_idempotent(survived: Survived) -> None:
    """What a repetition would show: the same object deleted twice with success, or redacted twice.

    A list at AdRoll is posted whole and an id at Salesforce deleted in bulk: both may be repeated and change nothing.
    """
    for place in ("stripe", "zendesk"):
        requests = [json.loads(x) for x in (survived.local / "standins" / f"{place}.requests.jsonl").open()]
        deleted = Counter(r["path"] for r in requests if r["method"] == "DELETE" and r["status"] < 300)
        assert deleted, place
        assert (place, [path for path, number in deleted.items() if number > 1]) == (place, [])
    jobs = [
        job
        for job in map(json.loads, (survived.local / "dumps" / "after" / "stripe.jsonl").open())
        if job["kind"] == "redaction_job" and job["status"] == "succeeded"
    ]
    redacted = Counter(one for job in jobs for ids in job["objects"].values() for one in ids)
    assert jobs
    assert [one for one, number in redacted.items() if number > 1] == []


def test_nothing_names_a_person_in_what_the_dead_worker_left(survived: Survived) -> None:
    entries = next((survived.local / "exports").glob("*-full")) / "entries.jsonl"
    scans = [e for e in map(json.loads, entries.open()) if e["event"] == "self_scanned"]
    assert [(e["code"], e["counts"]["hits"], e["counts"]["logs.unseen"]) for e in scans] == [("clean", 0, 0)]
