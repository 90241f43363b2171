"""The clean-up: by age and never a link, as a role of its own, and nothing of the task's own ban on the database."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from include.connections import Connection
from include.disposals.cleaning import environment, forget_logs
from include.errors import ConfigurationError

NOW = datetime(2026, 11, 26, tzinfo=UTC)


def aged(path: Path, days: int) -> Path:
    """Write a file and date it back."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("line")
    moment = (NOW - timedelta(days=days)).timestamp()
    for one in (path, path.parent):
        os.utime(one, (moment, moment))
    return path


def test_logs_go_by_their_age_with_the_folders_they_leave_empty(tmp_path: Path) -> None:
    old, new = aged(tmp_path / "run_id=a" / "old.log", 61), aged(tmp_path / "run_id=b" / "new.log", 59)
    moment = (NOW - timedelta(days=61)).timestamp()
    counted = forget_logs(tmp_path, NOW - timedelta(days=60))
    assert (counted, old.exists(), new.exists()) == (1, False, True)
    os.utime(tmp_path / "run_id=a", (moment, moment))
    forget_logs(tmp_path, NOW - timedelta(days=60))
    assert [p.name for p in tmp_path.iterdir()] == ["run_id=b"]


def test_what_a_link_leads_to_stays(tmp_path: Path) -> None:
    elsewhere = aged(tmp_path / "elsewhere" / "kept.txt", 400)
    logs = tmp_path / "logs"
    logs.mkdir()
    (logs / "latest").symlink_to(elsewhere.parent)
    assert forget_logs(logs, NOW) == 0
    assert elsewhere.exists()


def test_the_child_may_reach_the_database_that_the_task_may_not() -> None:
    outside = {
        "PATH": "/bin",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "airflow-db-not-allowed:///",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_CMD": "/bin/false",
    }
    found = Connection("airflow_db_clean", host="db", login="airflow", password="p@ss", schema="airflow")
    assert environment(found, outside) == {
        "PATH": "/bin",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "postgresql+psycopg2://airflow:p%40ss@db:5432/airflow",
    }


def test_a_connection_without_a_database_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="airflow_db_clean"):
        environment(Connection("airflow_db_clean", host="db"), {})
