"""A night's tasks without their work: the same tasks, edges, pools and skips, and every body empty.

`shape.json` beside this file was read off `nightly_retention` (`tests.bench.shape`).
"""

import json
from pathlib import Path

from airflow.sdk import dag, task
from airflow.sdk.exceptions import AirflowSkipException


def _works() -> list[str]:
    """Do nothing; a mapped task behind it has nothing to map over."""
    return []


def _skips() -> None:
    """Be skipped, as a question is that nobody has to answer."""
    raise AirflowSkipException


def _mapped(item: str) -> None:
    """Never run."""


@dag(schedule=None, max_active_runs=1, is_paused_upon_creation=True)
def empty_night() -> None:
    """Wire the shape."""
    made = {}
    for node in json.loads(Path(__file__).with_name("shape.json").read_text()):
        given = {"task_id": node["task_id"], "trigger_rule": node["trigger_rule"], "pool": node["pool"]}
        if node["mapped_over"]:
            made[node["task_id"]] = task(_mapped, **given).expand(item=made[node["mapped_over"]])
        else:
            made[node["task_id"]] = task(_skips if node["skips"] else _works, **given)()
        for upstream in node["upstream"]:
            made[upstream] >> made[node["task_id"]]


empty_night()
