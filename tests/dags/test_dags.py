"""The DAG files as Airflow reads them, without a scheduler."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory) -> dict:  # type: ignore[type-arg]
    """What a process of its own sees when it parses the DAG folder: this process must not import Airflow's settings."""
    home = tmp_path_factory.mktemp("airflow")
    env = {**os.environ, "AIRFLOW_HOME": str(home), "AIRFLOW__CORE__LOAD_EXAMPLES": "False", "PYTHONPATH": str(ROOT)}
    env["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] = f"sqlite:///{home}/airflow.db"
    done = subprocess.run(
        [sys.executable, "-m", "tests.dags.probe"], cwd=ROOT, env=env, capture_output=True, text=True, check=False
    )
    line = next((x for x in done.stdout.splitlines() if x.startswith("RESULT")), None)
    assert line, done.stderr[-2000:]
    return json.loads(line.removeprefix("RESULT"))  # type: ignore[no-any-return]


def test_every_dag_file_imports(bag: dict) -> None:  # type: ignore[type-arg]
    assert bag["errors"] == {}
    assert {"nightly_retention", "advance_disposals"} <= set(bag["dags"])


def test_parsing_the_dags_imports_no_processor_sdk(bag: dict) -> None:  # type: ignore[type-arg]
    assert bag["heavy"] == []


@pytest.mark.parametrize("dag_id", ["nightly_retention", "advance_disposals"])
def test_a_destructive_schedule_never_fires_when_it_is_unpaused(bag: dict, dag_id: str) -> None:  # type: ignore[type-arg]
    dag = bag["dags"][dag_id]
    assert (dag["start"], dag["catchup"], dag["max_active_runs"], dag["paused"]) == ("None", False, 1, True)
    assert dag["run_types"] == ["manual", "scheduled"]
    assert dag["tags"]
    assert dag["doc"]
    assert {t["owner"] for t in dag["tasks"].values()} == {"privacy"}


@pytest.mark.parametrize("dag_id", ["nightly_retention", "advance_disposals"])
def test_the_report_is_the_only_leaf_and_runs_whatever_happened(bag: dict, dag_id: str) -> None:  # type: ignore[type-arg]
    dag = bag["dags"][dag_id]
    assert dag["leaves"] == ["report"]
    for task in ("archive", "seal_plan", "seal", "export", "report"):
        assert dag["tasks"][task]["rule"] == "all_done"


def test_every_processor_has_one_group_with_its_own_pool(bag: dict) -> None:  # type: ignore[type-arg]
    from include import processors

    dag = bag["dags"]["nightly_retention"]
    for name in processors.names():
        assert dag["tasks"][f"{name}.locate"]["pool"] == name
        assert dag["tasks"][f"{name}.advance"]["pool"] == name
        assert dag["tasks"][f"{name}.advance"]["mapped"]


def test_nothing_is_acted_on_before_the_plan_is_sealed(bag: dict) -> None:  # type: ignore[type-arg]
    tasks = bag["dags"]["nightly_retention"]["tasks"]
    for name, task in tasks.items():
        if name.endswith(".advance"):
            assert "seal_plan" in task["up"]
            assert task["rule"] == "all_success"
    assert tasks["seal_plan"]["up"] == ["archive", "begin"]
