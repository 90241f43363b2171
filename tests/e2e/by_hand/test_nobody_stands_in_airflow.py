"""After every other test of this folder: what people are called stands nowhere in Airflow."""

from __future__ import annotations

import pytest

from tests.e2e.by_hand.conftest import Rig

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(1800)]
KEPT = ("dag_run", "rendered_task_instance_fields", "xcom", "hitl_detail", "log", "task_instance_note", "dag_run_note")
"""Where Airflow keeps what is typed, rendered, returned, asked or noted."""


def test_no_mail_and_no_name_stands_in_airflow(rig: Rig) -> None:
    people = {v for p in rig.made.people for v in (p.email, p.name) if v and len(v) > 6}
    logs = "".join(p.read_text(errors="replace") for p in (rig.stack.local / "airflow" / "logs").rglob("*.log"))
    assert len(logs) > 10_000
    assert [p for p in people if p in logs] == []


def test_no_mail_and_no_name_stands_in_airflows_database(rig: Rig) -> None:
    people = {v for p in rig.made.people for v in (p.email, p.name) if v and len(v) > 6}
    for table in KEPT:
        rows = "".join(row for (row,) in rig.in_airflow(f"SELECT t::text FROM {table} AS t"))
        assert (table, [p for p in people if p in rows]) == (table, [])


@pytest.mark.parametrize("typed", ["someone@example.com", "김표본0001", "Sample Person", "010-1234-5678"])
def test_what_the_form_refused_is_kept_nowhere(rig: Rig, typed: str) -> None:
    """The audit log copies every request's body, refused ones too, so the account id is masked there by its name."""
    for table in KEPT:
        rows = "".join(row for (row,) in rig.in_airflow(f"SELECT t::text FROM {table} AS t"))
        assert (table, typed in rows, typed.encode("unicode_escape").decode() in rows) == (table, False, False)
