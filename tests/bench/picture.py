"""One picture: what a line costs against its size, on logarithmic axes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

CURVES = (
    ("plan_1m", "plan", "plan a night (1 % due)"),
    ("plan_1m", "scan", "read the register once"),
    ("evidence_verify", "verify", "verify the evidence"),
    ("evidence_verify", "loop", "read the evidence once"),
    ("task_instances", "tasks", "task instances of a night"),
)


def draw(rows: Sequence[Mapping[str, Any]], path: Path) -> bool:
    """Draw the curves that were measured; return False, and draw nothing, where none was."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    points = {row["name"]: row["reported"].get("points", {}) for row in rows}
    curves = [(label, key, points[name]) for name, key, label in CURVES if points.get(name)]
    if not curves:
        return False
    figure, (seconds, tasks) = pyplot.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    for label, key, found in curves:
        axes = tasks if key == "tasks" else seconds
        sizes = sorted(found, key=int)
        axes.plot([int(n) for n in sizes], [found[n][key] for n in sizes], marker="o", label=label)
    seconds.set(title="cost against size", xlabel="accounts, or entries", ylabel="seconds")
    tasks.set(title="what Airflow has to schedule", xlabel="subjects due", ylabel="task instances")
    for axes in (seconds, tasks):
        axes.set(xscale="log", yscale="log")
        axes.grid(visible=True, which="both", alpha=0.3)
        if axes.lines:
            axes.legend(fontsize="small")
    figure.savefig(path, dpi=130)
    pyplot.close(figure)
    return True
