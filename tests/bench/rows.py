"""One line of the benchmark: a figure beside its baseline of the same run, and how it was measured."""

from __future__ import annotations

import platform
import resource
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Row:
    """A figure. `ratio` is value to baseline as the goal states it; `runs` are the repetitions behind the median.

    `reported` holds figures that stand beside it without a goal.
    """

    name: str
    value: float
    unit: str
    baseline: float | None
    ratio: float | None
    goal: str
    met: bool
    runs: Sequence[float] = ()
    reported: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return the line as `.local/bench.json` keeps it."""
        spread = {"median": statistics.median(self.runs), "min": min(self.runs), "max": max(self.runs)}
        return asdict(self) | {"runs": list(self.runs), "spread": spread if self.runs else {}} if self.runs else asdict(
            self
        )


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


def peak_mb() -> float:
    """Return the most memory this process ever held, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def machine() -> dict[str, str]:
    """Return what the figures were taken on."""
    import os

    return {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def say(words: str) -> None:
    """Show progress at once."""
    print(words, flush=True)
