"""What every test over a running stack needs: the day it began on, its calls that could change something, its pace."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx

from include.sandbox import airflow
from include.sandbox.stack import STANDINS, Stack

TODAY = datetime.now(ZoneInfo("Asia/Seoul")).date()
"""The business date these tests seed by; a run that is told none takes the one on which it starts."""


def changing(local: Path) -> dict[str, int]:
    """Return how many requests so far could change something at each vendor, of a sandbox's folder."""
    return {name: sum(line["changing"] for line in _requests(local, name)) for name in STANDINS}


def _requests(local: Path, name: str) -> Iterator[dict[str, Any]]:
    with (local / "standins" / f"{name}.requests.jsonl").open() as lines:
        yield from map(json.loads, lines)


def clock(stack: Stack, day: date) -> None:
    """Move the business date of every stand-in."""
    for name in STANDINS:
        httpx.put(stack.url(name) + "/_sandbox/clock", json={"date": day.isoformat()}).raise_for_status()


def until(stack: Stack, dag_id: str, run_id: str, task_id: str, state: str) -> None:
    """Wait until a task of a run is in a state; a run that ends without it having been seen so is a failure."""
    for _state, tasks in airflow.Api(stack, "admin").follow(dag_id, run_id):
        if any(t["task_id"] == task_id and t["state"] == state for t in tasks):
            return
    raise AssertionError(f"{task_id} was never seen {state}")
