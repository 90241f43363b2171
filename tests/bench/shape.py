"""Reads the shape of a night off its DAG: `python -m tests.bench.shape FILE`, in the environment of an Airflow."""

from __future__ import annotations

import json
import sys
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

ASKS = "approve_plan"


def shape(dag: Any) -> list[dict[str, Any]]:
    """Return the DAG's tasks in an order in which each comes after what it waits for."""
    waits = {task.task_id: task.upstream_task_ids for task in dag.tasks}
    return [
        {
            "task_id": _name(node.task_id),
            "upstream": sorted(map(_name, node.upstream_task_ids)),
            "trigger_rule": str(node.trigger_rule.value),
            "pool": node.pool,
            "skips": node.task_id == ASKS,
            "mapped_over": _name(f"{node.task_group.group_id}.batches") if node.is_mapped else None,
        }
        for node in (dag.task_dict[t] for t in TopologicalSorter(waits).static_order())
    ]


def _name(task_id: str) -> str:
    return task_id.replace(".", "__")


if __name__ == "__main__":
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(dag_folder=str(Path(sys.argv[1]).with_name("nightly_retention.py")))
    Path(sys.argv[1]).write_text(json.dumps(shape(bag.dags["nightly_retention"]), indent=1))
