"""The benchmark runs, at sizes that mean nothing, so that it cannot rot; its file has the shape that is promised."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from include import processors
from tests.bench.__main__ import measure
from tests.bench.frame import TINY
from tests.bench.lines import LINES, chosen
from tests.bench.real import Place, Seen, parts
from tests.bench.registry import PLACE
from tests.bench.rows import Row, table
from tests.bench.scale import binding, page

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
        assert line["goal"]
        assert line["met"] in (True, False)
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
    assert PLACE not in processors.names()


def test_every_processor_is_reported_with_its_calls(tmp_path: Path) -> None:
    rows = {row.name: row for row in measure("real_processors", TINY, tmp_path)}
    assert rows["engine_zendesk"].reported["calls_a_subject"]["all"] > 0
    assert all(row.met is None for row in rows.values())
    written = page(json.loads((tmp_path / "bench.json").read_text()))
    assert "| zendesk |" in written
    assert "Not measured for this page: `plan_1m`," in written


def seen(batches: int, subjects: int, calls: int) -> Seen:
    return Seen(Place(subjects=subjects, batches=batches, wall=1.0), Counter({"api": calls}))


@pytest.mark.parametrize(
    ("small", "large", "expected"),
    [
        (seen(1, 10, 7 + 20), seen(3, 100, 21 + 200), (7.0, 2.0)),
        (seen(1, 10, 7), seen(1, 40, 7), (7.0, 0.0)),  # lists re-posted whole
        (seen(1, 10, 40), seen(2, 20, 80), (0.0, 4.0)),  # cannot be told apart: all of it is the subjects'
    ],
)
def test_a_batchs_own_calls_are_told_from_its_subjects(small: Seen, large: Seen, expected: tuple[float, float]) -> None:
    assert parts(small, large, "api") == pytest.approx(expected)


def test_days_follow_the_quota_that_binds() -> None:
    quota = {"calls_a_subject": {"api": 2.0, "export": 0.0}, "calls_a_batch": {"api": 0.0, "export": 1.0}}
    found = binding("zendesk", {**quota, "batch_size": 100}, 504_000)
    assert found is not None
    assert (found[0].name, round(found[1], 6)) == ("api", 2.0)  # 700 a minute, half of it ours: 504,000 calls a day


@pytest.mark.airflow
def test_the_lines_inside_airflow_run_at_tiny_sizes(tmp_path: Path) -> None:
    names = ["empty_night", "airflow_subjects_per_s_1k", "task_instances"]
    measure(",".join(names), TINY, tmp_path)
    check_shape(tmp_path / "bench.json", names)


def test_a_missed_goal_is_shown() -> None:
    assert "NO" in table([Row("x", 2.0, "s", 1.0, 2.0, "ratio <= 1", False)])
