"""After every other test of this folder: what people are called stands nowhere in Airflow."""

from __future__ import annotations

import json
from collections.abc import Iterable

import pytest

from tests.e2e.by_hand.conftest import DAG, Rig

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(1800)]
KEPT = ("dag_run", "rendered_task_instance_fields", "xcom", "hitl_detail", "log", "task_instance_note", "dag_run_note")
"""Where Airflow keeps what is typed, rendered, returned, asked or noted."""
ASKED = "SELECT count(*) FROM log WHERE event = 'trigger_dag_run' AND dag_id = :dag"


def found(words: Iterable[str], body: str) -> list[str]:
    """Return the words that stand in a text as they are or as JSON keeps them, escaped once or twice."""
    once = {word: json.dumps(word)[1:-1] for word in words}
    return [w for w, j in once.items() if w in body or j in body or json.dumps(j)[1:-1] in body]


def kept(rig: Rig, table: str) -> str:
    """Return every row of one of Airflow's tables as one text."""
    return "\n".join(row for (row,) in rig.in_airflow(f"SELECT t::text FROM {table} AS t"))


def called(rig: Rig) -> set[str]:
    """Return what the seeded people are called."""
    return {v for p in rig.made.people for v in (p.email, p.name) if v and len(v) > 6}


def test_what_is_kept_escaped_is_found_too() -> None:
    form = json.dumps({"conf": json.dumps({"account_id": "김표본0001"})})
    assert "김표본0001" not in form
    for body in (form, json.dumps("김표본0001"), "김표본0001"):
        assert found(["김표본0001", "Sample Person"], body) == ["김표본0001"]


def test_no_mail_and_no_name_stands_in_airflow(rig: Rig) -> None:
    logs = "".join(p.read_text(errors="replace") for p in (rig.stack.local / "airflow" / "logs").rglob("*.log"))
    assert len(logs) > 10_000
    assert found(called(rig), logs) == []


def test_no_mail_and_no_name_stands_in_airflows_database(rig: Rig) -> None:
    for table in KEPT:
        assert (table, found(called(rig), kept(rig, table))) == (table, [])


@pytest.mark.parametrize("typed", ["someone@example.com", "김표본0001", "Sample Person", "010-1234-5678"])
def test_what_the_form_refused_is_kept_nowhere(rig: Rig, typed: str) -> None:
    """The audit log copies every request's body, refused ones too, so the account id is masked there by its name."""
    ((before,),) = rig.in_airflow(ASKED, dag=DAG)
    reply = rig.post("operator", rig.form(typed))
    assert reply.status_code in (400, 422), reply.text
    assert rig.in_airflow(ASKED, dag=DAG) == [(before + 1,)], "the audit log has nothing that could name anybody"
    for table in KEPT:
        assert (table, found([typed], kept(rig, table))) == (table, [])
