"""The clean-up of what Airflow itself keeps: tables through its own `airflow db clean`, task logs by their age.

Runs of `erase_account` are left out: `forget_requests` deletes each a number of days after its certificate. The audit
log keeps a copy of every form, so it goes after the shorter term of the two.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import Engine, func, literal_column, select, table, text, true

from include import database
from include.connections import Connection, database_url
from include.disposals.context import Context
from include.disposals.record import base_entry
from include.errors import ConfigurationError, RetentionError
from include.evidence.log import stage
from include.policy.answers import section

FORMS = "erase_account"
ADVICE = "Run it by hand on the scheduler's machine to see why. What it left is tried again tomorrow."
OF_RUNS = ("dag_run", "task_instance", "task_instance_history", "xcom", "task_state_store")
OTHERS = (
    "asset_event", "callback", "celery_taskmeta", "celery_tasksetmeta", "deadline", "import_error", "job",
    "revoked_token", "task_reschedule", "trigger",
)  # fmt: skip
"""Tables that name no DAG in a column of that name: in 3.3.2 `--exclude-dag-ids` breaks on three of them."""

COUNTED = {
    "dag_run": "start_date",
    "task_instance": "start_date",
    "task_instance_history": "start_date",
    "xcom": "timestamp",
    "log": "dttm",
    "asset_event": "timestamp",
    "job": "latest_heartbeat",
    "celery_taskmeta": "date_done",
}
"""The tables that are counted, by the moment `airflow db clean` goes by; what hangs on them goes with them."""


def clean(context: Context, found: Connection, logs: Path, *, now: datetime) -> dict[str, int]:
    """Delete what is older than `settings.metadata_days`, record the counts, and return them.

    `found` is the connection of the role that owns Airflow's tables; `now` is real UTC. Every archive table is dropped
    at once (`--skip-archive`).
    """
    before = now - timedelta(days=context.schedule.settings.metadata_days)
    forms = now - timedelta(days=min(section(context.schedule).conf_days, context.schedule.settings.metadata_days))
    engine = database.connect(found)
    try:
        old = _older(engine, before, forms)
        # Not strict: it takes `deadline` along, breaks on it (see OTHERS), and does the rest; what is left is counted.
        _airflow(found, before, OF_RUNS, "--exclude-dag-ids", FORMS)
        _airflow(found, before, OTHERS, "--error-on-cleanup-failure")
        _airflow(found, forms, ("log",), "--error-on-cleanup-failure")
        left = _older(engine, before, forms)
    finally:
        engine.dispose()
    stuck = [name for name in ("task_instance", "xcom", "log") if left.get(name)]
    counts = {f"airflow.{name}": max(0, number - left.get(name, 0)) for name, number in old.items()}
    counts["logs.files"] = forget_logs(logs, before)
    with context.engine.begin() as connection:
        code = "incomplete" if stuck else "cleaned"
        stage(connection, [base_entry(context, "metadata_cleaned") | {"code": code, "counts": counts}])
    if stuck:
        raise RetentionError(f"`airflow db clean` left old rows in {', '.join(stuck)}. {ADVICE}")
    return counts


def _older(engine: Engine, before: datetime, forms: datetime) -> dict[str, int]:
    """Count the rows of each table that are old enough to go."""
    counts = {}
    with engine.connect() as session:
        for name, column in COUNTED.items():
            if session.execute(text("SELECT to_regclass(:name)"), {"name": f"public.{name}"}).scalar() is None:
                continue
            moment = forms if name == "log" else before
            mine = literal_column("dag_id") != FORMS if name in OF_RUNS else true()
            old = (
                select(func.count())
                .select_from(table(name, schema="public"))
                .where(literal_column(column) < moment, mine)
            )
            counts[name] = int(session.execute(old).scalar_one())
    return counts


def forget_logs(folder: Path, before: datetime) -> int:
    """Delete the files below the log folder that nobody wrote to since a moment, and folders left empty by it."""
    gone, until = 0, before.timestamp()
    for path in sorted(folder.rglob("*"), reverse=True):  # what lies in a folder comes before the folder
        # A file may go, and a folder fill again, while workers are at work.
        with contextlib.suppress(OSError):
            old = path.lstat().st_mtime < until and not path.is_symlink()
            if old and path.is_file():
                path.unlink()
                gone += 1
            elif old and path.is_dir() and not any(path.iterdir()):
                path.rmdir()
    return gone


def _airflow(found: Connection, before: datetime, tables: Sequence[str], *arguments: str) -> None:
    """Run `airflow db clean` as the role of a connection; the password is in the child's environment only."""
    command = [str(Path(sys.executable).with_name("airflow")), "db", "clean", "--skip-archive", "--yes"]
    wanted = ["--clean-before-timestamp", before.isoformat(), "--tables", ",".join(tables), *arguments]
    done = subprocess.run(
        [*command, "--batch-size", "10000", *wanted],
        env=environment(found, os.environ), capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RetentionError(f"`airflow db clean` ended with {done.returncode}. {ADVICE}")


def environment(found: Connection, outside: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a child of this task that may reach Airflow's database, as this task may not."""
    others = ("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "_AIRFLOW_", "__AIRFLOW")
    kept = {k: v for k, v in outside.items() if not k.startswith(others)}
    if not found.schema:
        raise ConfigurationError(f"Connection {found.name}: it names no database. Set its schema.")
    return kept | {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": _url(found)}


def _url(found: Connection) -> str:
    """Return the URL with the driver Airflow itself uses."""
    return database_url(found).set(drivername="postgresql+psycopg2").render_as_string(hide_password=False)
