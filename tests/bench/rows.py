"""One line of the benchmark: a figure beside its baseline of the same run, and how it was measured."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib.metadata import version
from typing import Any

PACKAGES = ("apache-airflow", "sqlalchemy", "psycopg", "cryptography", "boto3", "httpx")


@dataclass(frozen=True, slots=True)
class Row:
    """A figure. `ratio` is value to baseline as the goal states it; `runs` are the repetitions behind the median.

    `reported` holds figures that stand beside it without a goal. `met` is None where there is no goal.
    """

    name: str
    value: float
    unit: str
    baseline: float | None
    ratio: float | None
    goal: str
    met: bool | None
    runs: Sequence[float] = ()
    reported: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the line as `.local/bench.json` keeps it."""
        runs = list(self.runs) or [self.value]
        spread = {"count": len(runs), "median": statistics.median(runs), "min": min(runs), "max": max(runs)}
        return {k: v for k, v in asdict(self).items() if k != "runs"} | {"repetitions": spread, **machine()}


@dataclass(frozen=True, slots=True)
class Spent:
    """Wall and processor seconds of one stretch of work."""

    wall: float
    cpu: float


def timed(work: Callable[[], object]) -> Spent:
    """Run `work` and return what it took; processor time is this process's own."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Spent(time.perf_counter() - wall, time.process_time() - cpu)


@cache
def machine() -> dict[str, Any]:
    """Return what the figures were taken on."""
    return {
        "machine": {
            "processor": platform.machine(),
            "cores": os.cpu_count(),
            "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
            "system": f"{platform.system()} {platform.release()}",
            "load_at_start": round(os.getloadavg()[0], 2),
        },
        "versions": {"python": platform.python_version(), **{p: version(p) for p in PACKAGES}},
    }


def say(words: str) -> None:
    """Show progress at once."""
    print(words, flush=True)


def table(rows: Sequence[Row]) -> str:
    """Return the lines as a table for people."""
    head = ("line", "value", "unit", "baseline", "ratio", "goal", "met")
    body = [
        (
            r.name, _number(r.value), r.unit, _number(r.baseline), _number(r.ratio), r.goal,
            {True: "yes", False: "NO", None: ""}[r.met],
        )
        for r in rows
    ]  # fmt: skip
    widths = [max(len(line[n]) for line in (head, *body)) for n in range(len(head))]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)) for line in (head, *body))


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
