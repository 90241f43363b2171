"""`evidence_export` as Airflow reads it: by hand and after a run, never by the clock."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PROBE = """
import json, sys
from airflow.dag_processing.dagbag import DagBag
bag = DagBag(dag_folder="dags/evidence_export.py")
heavy = sorted({"reportlab", "xlsxwriter", "matplotlib", "pandas", "boto3"} & {n for n in sys.modules} - BEFORE)
dag = bag.dags["evidence_export"]
schema = {k: {**p.schema, "value": p.value} for k, p in ((k, dag.params.get_param(k)) for k in dag.params)}
print("RESULT" + json.dumps({"errors": bag.import_errors, "start": str(dag.start_date), "paused":
    dag.is_paused_upon_creation, "doc": bool(dag.doc_md), "params": schema, "heavy": heavy,
    "types": sorted(str(getattr(t, "value", t)) for t in dag.allowed_run_types), "runs": dag.max_active_runs,
    "assets": repr(dag.timetable.asset_condition), "up": {t.task_id: sorted(t.upstream_task_ids) for t in dag.tasks}}))
"""
BEFORE = 'import sys\nfrom airflow.dag_processing.dagbag import DagBag\nDagBag(dag_folder="tests/dags/none")\n'


@pytest.fixture(scope="module")
def dag(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    home = tmp_path_factory.mktemp("airflow")
    env = {**os.environ, "AIRFLOW_HOME": str(home), "AIRFLOW__CORE__LOAD_EXAMPLES": "False", "PYTHONPATH": str(ROOT)}
    env["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] = f"sqlite:///{home}/airflow.db"
    probe = BEFORE + "BEFORE = set(sys.modules)\n" + PROBE
    done = subprocess.run([sys.executable, "-c", probe], cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    line = next((x for x in done.stdout.splitlines() if x.startswith("RESULT")), None)
    assert line, done.stderr[-2000:]
    return json.loads(line.removeprefix("RESULT"))  # type: ignore[no-any-return]


def test_it_runs_by_hand_and_after_a_run_and_never_by_the_clock(dag: dict[str, Any]) -> None:
    assert dag["errors"] == {}
    assert (dag["start"], dag["paused"], dag["runs"], dag["doc"]) == ("None", True, 1, True)
    assert dag["types"] == ["asset_triggered", "manual"]
    assert "evidence" in dag["assets"]
    assert dag["up"] == {"choose": [], "export": ["choose"]}


def test_parsing_it_imports_nothing_heavy(dag: dict[str, Any]) -> None:
    assert dag["heavy"] == []


def test_a_subject_can_only_be_named_by_tag(dag: dict[str, Any]) -> None:
    pattern = dag["params"]["subject_tag"]["pattern"]
    assert re.search(pattern, "ab" * 32)
    assert not [v for v in ("someone@example.com", "a0001", "AB" * 32) if re.search(pattern, v)]


def test_every_parameter_has_a_value_a_person_need_not_change(dag: dict[str, Any]) -> None:
    values = {name: schema["value"] for name, schema in dag["params"].items()}
    assert values == {
        "from": None, "to": None, "processor": None, "request": None, "subject_tag": None, "full": True,
    }  # fmt: skip


def test_the_dag_file_imports_the_rooms_only_inside_its_tasks() -> None:
    tree = ast.parse((ROOT / "dags" / "evidence_export.py").read_text(encoding="utf-8"))
    top = [n.module for n in tree.body if isinstance(n, ast.ImportFrom)]
    assert not [m for m in top if m and m.startswith("include.") and m != "include.tasks"]
