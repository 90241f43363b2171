"""The DAG files as Airflow reads them, without a scheduler."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from datetime import datetime
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
    for task in ("archive", "seal_plan", "self_scan", "seal", "export", "report"):
        assert dag["tasks"][task]["rule"] == "all_done"


ASKING = {
    "nightly_retention": ("judge_plan", "approve_plan", "settle"),
    "after_restore": ("reapply", "approve_plan", "settle"),
    "offboard_processor": ("end_contract", "approve_plan", "settle"),
    "global_stop": ("carry_out", "approve", "release"),
    "manage_holds": ("carry_out", "approve", "write_off"),
}


@pytest.mark.parametrize("dag_id", ASKING)
def test_what_asks_a_second_person_ends_in_a_task_that_reads_the_answer(bag: dict, dag_id: str) -> None:  # type: ignore[type-arg]
    """The gate is data: the last task runs whatever happened to the question, and reads who answered what."""
    first, asked, last = ASKING[dag_id]
    tasks = bag["dags"][dag_id]["tasks"]
    assert tasks[asked]["up"] == [first]
    # Right behind `first` it would be skipped whenever nobody is asked, and everything after it too.
    assert (set(tasks[last]["up"]) - {"begin"}, tasks[last]["rule"]) == ({asked}, "all_done")


def test_every_approval_of_every_dag_gates_by_data_and_defaults_to_reject(bag: dict) -> None:  # type: ignore[type-arg]
    approvals = {
        (dag_id, name): task
        for dag_id, dag in bag["dags"].items()
        for name, task in dag["tasks"].items()
        if "Approve" in (task["options"] or ())
    }
    known = {(dag_id, asked) for dag_id, (_, asked, _) in ASKING.items()}
    assert set(approvals) == known | {("erase_account", "approve"), ("erase_account", "approve_more")}
    for task in approvals.values():
        assert (task["defaults"], task["keeps_a_rejection"]) == (["Reject"], True)
        assert task["retries"] >= 1


@pytest.mark.parametrize("dag_id", ["nightly_retention", "after_restore", "offboard_processor"])
def test_nothing_is_batched_before_the_answer_is_settled(bag: dict, dag_id: str) -> None:  # type: ignore[type-arg]
    tasks = bag["dags"][dag_id]["tasks"]
    batched = [t for name, t in tasks.items() if name.endswith(".batches")]
    assert batched
    assert all("settle" in t["up"] for t in batched)


@pytest.mark.parametrize("dag_id", [*(d for d in ASKING if d != "nightly_retention"), "answer_manual", "cpo_check"])
def test_a_decision_is_started_by_hand_and_only_a_stop_needs_no_unpausing(bag: dict, dag_id: str) -> None:  # type: ignore[type-arg]
    dag = bag["dags"][dag_id]
    assert dag["run_types"] == ["manual"]
    assert dag["paused"] is (dag_id != "global_stop")
    assert dag["doc"]


def test_the_requests_dag_ends_in_its_report_and_asks_before_it_releases(bag: dict) -> None:  # type: ignore[type-arg]
    dag = bag["dags"]["erase_account"]
    assert (dag["leaves"], dag["run_types"], dag["paused"], dag["start"]) == (["report"], ["manual"], True, "None")
    tasks = dag["tasks"]
    for task in ("archive", "seal_plan", "self_scan", "seal", "export", "report"):
        assert tasks[task]["rule"] == "all_done"
    assert tasks["approve"]["up"] == ["really"]
    assert "approve" in tasks["release"]["up"]
    batches = [t for name, t in tasks.items() if name.endswith(".batches")]
    assert len(batches) == 8
    assert all("release" in t["up"] for t in batches)
    assert "notice_sent" in tasks["contact_batches"]["up"]


def test_nobody_but_the_operator_may_start_a_request_and_silence_is_a_refusal(bag: dict) -> None:  # type: ignore[type-arg]
    dag = bag["dags"]["erase_account"]
    starters = {role for role, rights in dag["access"].items() if "can_create" in rights.get("DAG Runs", ())}
    assert starters == {"RetentionOperator"}
    for name in ("approve", "approve_more"):
        asked = dag["tasks"][name]
        assert (asked["defaults"], asked["retries"], asked["answer_within"]) == (["Reject"], 3, 86_400.0)


def test_every_field_of_the_form_is_a_choice_a_date_or_a_number_in_two_languages(bag: dict) -> None:  # type: ignore[type-arg]
    for dag_id in ("erase_account", "answer_request"):
        for name, schema in bag["dags"][dag_id]["params"].items():
            assert " · " in schema["title"], name
            kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
            if "string" in kinds:
                assert {"enum", "pattern", "format"} & set(schema), name
            if schema["type"] == "array":
                assert schema["items"]["enum"], name


def test_every_form_explains_itself_in_korean_and_english(bag: dict) -> None:  # type: ignore[type-arg]
    said = {
        (dag_id, name, key): words
        for dag_id, dag in bag["dags"].items()
        for name, schema in dag["params"].items()
        for key in ("title", "description", "description_md")
        if (words := schema.get(key))
    }
    assert {dag_id for dag_id, dag in bag["dags"].items() if dag["params"]} == {dag_id for dag_id, *_ in said}
    assert [k for k, w in said.items() if not (re.search("[가-힣]", w) and re.search("[A-Za-z]{2}", w))] == []


@pytest.mark.parametrize("dag_id", ["offboard_processor", "after_restore"])
def test_a_form_offers_what_the_folder_of_processors_holds(bag: dict, dag_id: str) -> None:  # type: ignore[type-arg]
    """A new processor appears in the forms by its file alone; no list is edited."""
    from include import processors

    assert bag["dags"][dag_id]["params"]["processor"]["enum"] == list(processors.names())


def test_the_form_knows_exactly_the_kinds_and_records_of_the_schedule(bag: dict) -> None:  # type: ignore[type-arg]
    from include.policy import schedule
    from include.policy.requests import listable

    known = schedule.load()
    assert known.requests is not None
    params = bag["dags"]["erase_account"]["params"]
    assert set(params["kind"]["enum"]) == {k.id for k in known.requests.kinds}
    assert set(params["records"]["items"]["enum"]) == set(listable(known))


@pytest.mark.parametrize(
    ("value", "fits"),
    [
        ("a0102", True), ("1", True), ("10", True), ("acct_1001", True), ("7f3c-22", True),
        ("someone@example.com", False), ("김표본0001", False), ("Sample Person 0002", False), ("Kim", False),
        ("kim.minsu1", False), ("010-1234-5678", False), ("01012345678", False), ("123-45-67890", False),
        ("+821012345678", False), ("", False), ("a" * 65 + "1", False), ("a1\n", False),
    ],
)  # fmt: skip
def test_only_an_opaque_id_fits_the_account_field(bag: dict, value: str, fits: bool) -> None:  # type: ignore[type-arg]
    pattern = bag["dags"]["erase_account"]["params"]["account_id"]["pattern"]
    assert bool(re.fullmatch(pattern.removesuffix("$"), value)) is fits


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


def test_the_form_of_a_manual_order_offers_every_method_an_order_takes() -> None:
    from include.processors._manual import REQUESTS
    from include.tasks.decision_forms import METHODS

    assert set(METHODS) == {method for request in REQUESTS.values() for method in request.methods}


@pytest.mark.parametrize(
    ("asked", "until"),
    [
        ("2026-11-26T17:00", "2026-11-27T16:30"),  # 02:00 in Seoul: the night itself
        ("2026-11-26T15:29", "2026-11-26T16:30"),
        ("2026-11-26T15:30", "2026-11-27T16:30"),
        ("2026-11-26T16:30", "2026-11-27T16:30"),
        ("2026-11-26T16:59", "2026-11-27T16:30"),
    ],
)
def test_what_is_asked_right_before_a_night_may_still_be_answered(asked: str, until: str) -> None:
    from include.tasks.decisions import answer_until

    assert answer_until(datetime.fromisoformat(asked + "+00:00")) == datetime.fromisoformat(until + "+00:00")
