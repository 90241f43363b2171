"""Tasks that look after what Airflow itself keeps: the self-scan at the end of a run, and the daily clean-up.

Tasks have no access to Airflow's database, whichever executor runs them, so both come in through connections of their
own: `airflow_db` may only read, `airflow_db_clean` is the role Airflow itself uses and exists for the clean-up alone.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from airflow.sdk import task
from airflow.sdk.exceptions import AirflowFailException

from include.tasks import Run, business_date, connection, opened
from include.tasks.alerts import NIGHT

RUNBOOK = "docs/runbooks.md#personal_data_found"


def log_folder() -> Path:
    """Return where this worker and all others keep task logs."""
    from airflow.configuration import conf

    return Path(conf.get("logging", "base_log_folder"))


@task(trigger_rule="all_done", multiple_outputs=False)
def self_scan(run: Run) -> dict[str, int]:
    """Look for whoever was erased in logs, in Airflow's tables and in ours; fail on a finding with its place."""
    from include import database
    from include.disposals.scan.search import scan

    with opened(run) as context:
        airflow = database.connect(connection("airflow_db"))
        try:
            scanned = scan(
                context,
                UUID(run["run_id"]),
                airflow=airflow,
                logs=log_folder(),
                whole=context.dag_id == NIGHT,
                now=datetime.now(UTC),
            )
        finally:
            airflow.dispose()
    if scanned is None:
        print("nobody was erased since the last scan")  # noqa: T201
        return {}
    print(", ".join(f"{name} {count}" for name, count in sorted(scanned.counts.items())))  # noqa: T201
    if scanned.found:
        for hit in scanned.hits:
            print(f"found at {hit}")  # noqa: T201
        raise AirflowFailException(
            f"Personal data of somebody erased stands in {scanned.found} places; those above are the first. {RUNBOOK}"
        )
    if scanned.unseen:
        raise AirflowFailException(
            f"The logs of {len(scanned.unseen)} tasks are not below {log_folder()} ({', '.join(scanned.unseen[:3])}): "
            "share that folder among all workers, and let remote logging keep its local copies."
        )
    return scanned.counts


@task(task_id="clean")
def clean_metadata() -> dict[str, int]:
    """Delete what is older than policy says from Airflow's tables and log folder; return counts by table."""
    from include.disposals.cleaning import clean

    as_of = business_date()
    with opened({"run_id": "", "as_of": as_of.isoformat()}) as context:
        cleaned = clean(context, connection("airflow_db_clean"), log_folder(), now=datetime.now(UTC))
    print(", ".join(f"{name} {count}" for name, count in sorted(cleaned.items())))  # noqa: T201
    return cleaned
