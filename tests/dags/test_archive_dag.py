"""The archive's DAG as Airflow reads it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PROBE = textwrap.dedent(
    """
    import json
    from airflow.dag_processing.dagbag import DagBag
    bag = DagBag(dag_folder="dags/archive_disposal.py")
    dag = bag.dags["archive_disposal"]
    print("RESULT" + json.dumps({
        "errors": bag.import_errors, "start": str(dag.start_date), "catchup": dag.catchup, "doc": bool(dag.doc_md),
        "runs": dag.max_active_runs, "paused": dag.is_paused_upon_creation,
        "schedule": f"{dag.timetable.expression} {dag.timetable.timezone}",
        "types": sorted(str(getattr(t, "value", t)) for t in dag.allowed_run_types),
        "leaves": [t.task_id for t in dag.leaves],
        "tasks": {t.task_id: {"rule": str(getattr(t.trigger_rule, "value", t.trigger_rule)), "retries": t.retries,
                              "up": sorted(t.upstream_task_ids), "owner": t.owner} for t in dag.tasks}}))
    """
)


@pytest.fixture(scope="module")
def dag(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a process of its own sees: this one must not import Airflow's settings."""
    home = tmp_path_factory.mktemp("airflow")
    env = {**os.environ, "AIRFLOW_HOME": str(home), "AIRFLOW__CORE__LOAD_EXAMPLES": "False", "PYTHONPATH": str(ROOT)}
    env["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] = f"sqlite:///{home}/airflow.db"
    done = subprocess.run([sys.executable, "-c", PROBE], cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    line = next((x for x in done.stdout.splitlines() if x.startswith("RESULT")), None)
    assert line, done.stderr[-2000:]
    read: dict[str, Any] = json.loads(line.removeprefix("RESULT"))
    return read


def test_it_runs_daily_and_never_because_it_was_unpaused(dag: dict[str, Any]) -> None:
    assert dag["errors"] == {}
    assert (dag["start"], dag["catchup"], dag["runs"], dag["paused"]) == ("None", False, 1, True)
    assert dag["schedule"] == "0 3 * * * Asia/Seoul"
    assert dag["types"] == ["manual", "scheduled"]
    assert dag["doc"]


def test_the_report_is_the_only_leaf_and_runs_whatever_happened(dag: dict[str, Any]) -> None:
    assert dag["leaves"] == ["archive_report"]
    assert {dag["tasks"][t]["rule"] for t in ("seal", "export", "archive_report")} == {"all_done"}
    assert dag["tasks"]["archive_report"]["retries"] == 0


def test_nothing_is_destroyed_before_the_run_began(dag: dict[str, Any]) -> None:
    assert dag["tasks"]["archive_lapse"]["up"] == ["begin"]
    assert dag["tasks"]["archive_lapse"]["rule"] == "all_success"
