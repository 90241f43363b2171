"""The benchmark runs, at sizes that mean nothing, so that it cannot rot; its file has the shape that is promised."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.bench.__main__ import measure
from tests.bench.frame import TINY
from tests.bench.lines import LINES, chosen
from tests.bench.rows import Row, table

WITHOUT_AIRFLOW = [
    "plan_1m", "engine_subjects_per_s", "quota_use", "evidence_seal", "evidence_verify", "archive_write",
]  # fmt: skip
GOALS = {*WITHOUT_AIRFLOW, "airflow_subjects_per_s_1k", "airflow_subjects_per_s_10k", "empty_night", "task_instances"}
WITHOUT_GOAL = {"real_processors", "celery_two_workers"}


def check_shape(path: Path, names: list[str]) -> None:
    """Every line names itself, its baseline, and what it was measured on and how often."""
    lines = json.loads(path.read_text())
    assert [line["name"] for line in lines] == names
    for line in lines:
        assert isinstance(line["value"], float | int)
        assert line["value"] > 0
        assert line["unit"]
        if line["baseline"] is not None:
            assert line["baseline"] > 0
            assert line["ratio"] > 0
        spread = line["repetitions"]
        assert spread["min"] <= spread["median"] <= spread["max"]
        assert spread["count"] >= 1
        assert line["machine"]["cores"] >= 1
        assert {"python", "apache-airflow"} <= line["versions"].keys()


def test_every_line_with_a_goal_is_there() -> None:
    assert set(LINES) - WITHOUT_GOAL == GOALS


def test_lines_are_chosen_by_name_and_an_unknown_one_is_refused() -> None:
    assert list(chosen(" empty_night ,plan_1m")) == ["plan_1m", "empty_night"]
    assert chosen("") == LINES
    with pytest.raises(LookupError, match="plan_1m"):
        chosen("plan_2m")


def test_the_lines_without_airflow_run_at_tiny_sizes(tmp_path: Path) -> None:
    rows = measure(",".join(WITHOUT_AIRFLOW), TINY, tmp_path)
    check_shape(tmp_path / "bench.json", WITHOUT_AIRFLOW)
    assert (tmp_path / "bench.png").read_bytes()[:4] == b"\x89PNG"
    assert all(row.name in table(rows) for row in rows)


def test_every_processor_is_reported_with_its_calls(tmp_path: Path) -> None:
    rows = {row.name: row for row in measure("real_processors", TINY, tmp_path)}
    assert rows["engine_zendesk"].reported["calls_of_each_further_subject"]["all"] > 0
    assert all(row.met is None for row in rows.values())


@pytest.mark.airflow
def test_the_lines_inside_airflow_run_at_tiny_sizes(tmp_path: Path) -> None:
    names = ["empty_night", "airflow_subjects_per_s_1k", "task_instances"]
    measure(",".join(names), TINY, tmp_path)
    check_shape(tmp_path / "bench.json", names)


def test_a_missed_goal_is_shown() -> None:
    assert "NO" in table([Row("x", 2.0, "s", 1.0, 2.0, "ratio <= 1", False)])
