"""Tasks of the evidence audit: the log recomputed every day, and the privacy officer's mail."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from html import escape
from typing import Any

from airflow.sdk import get_current_context, task
from airflow.sdk.exceptions import AirflowNotFoundException

from include.errors import RetentionError
from include.tasks import EVIDENCE, SEOUL, _business_date, authority, connection, opened


def mail_officer(context: Any) -> None:
    """Mail what an audit found, or the log's root when all is well, through Airflow's own notifier.

    To RETENTION_OFFICER_EMAIL over connection `smtp_default`; where either is missing, nothing is sent and a red task
    is the only alarm.
    """
    from airflow.sdk import Connection as AirflowConnection

    to = os.environ.get("RETENTION_OFFICER_EMAIL")
    try:
        AirflowConnection.get("smtp_default")
    except AirflowNotFoundException:
        return
    if not to:
        return
    from airflow.providers.smtp.notifications.smtp import SmtpNotifier

    ti = context["ti"]
    shown = ti.xcom_pull(task_ids="audit", key="return_value") or {}
    wrong = context.get("exception")
    SmtpNotifier(
        to=to,
        subject=f"evidence_audit {'FAILED · 점검 실패' if wrong else 'passed · 이상 없음'}",
        html_content=f"{escape(str(wrong))}" if wrong else f"{shown.get('size')} entries, root {shown.get('root')}",
    ).notify(context)


@task(
    retries=0,
    multiple_outputs=False,
    on_failure_callback=mail_officer,
    on_success_callback=mail_officer,
    trigger_rule="all_done",
)
def audit(days: int = 1) -> dict[str, Any]:
    """Recompute the log from the bucket, compare it with database and locked copies, and raise on anything wrong."""
    from include import keys
    from include.disposals.requests import deadline_alerts
    from include.evidence import audit as auditing
    from include.evidence.note import Signer
    from include.evidence.store import EvidenceStore

    signing, as_of = connection("evidence_signing"), _business_date()
    with opened({"run_id": "", "as_of": as_of.isoformat()}) as context:
        done = auditing.audit(
            context.engine,
            EvidenceStore.of(connection("evidence_store")),
            vkey=Signer(keys.signing_seed(signing), signing.require("origin")).vkey,
            as_of=as_of,
            now=datetime.now(UTC),
            days=days,
            authority=authority(),
        )
        late = [str(due) for due in deadline_alerts(context) if due.alert.overdue]
    print(f"{done.size} entries, {done.checkpoints} checkpoints, {done.stamped} timestamps compared")  # noqa: T201
    if findings := [*done.findings, *late]:
        raise RetentionError("The audit found: " + "; ".join(findings) + ". docs/evidence.md says what to do.")
    return {"size": done.size, "root": done.root}


@task(task_id="choose")
def choose_exports() -> list[dict[str, Any]]:
    """Return what to export: the runs whose evidence triggered this, or what the form asks for."""
    context = get_current_context()
    events = (context.get("triggering_asset_events") or {}).get(EVIDENCE, [])
    if events:
        runs = {(str(e.source_dag_id), str(e.source_run_id)) for e in events}
        return [{"dag_id": dag_id, "airflow_run_id": run_id} for dag_id, run_id in sorted(runs)]
    asked = {k: str(v) for k, v in context["params"].items() if v and k != "full"}
    return [{"asked": asked, "full": bool(context["params"].get("full")), "name": str(context["dag_run"].run_id)}]


@task(task_id="export")
def export_folder(wanted: dict[str, Any]) -> str:
    """Write one export and return its folder."""
    from include.disposals.people_export import export_asked, export_of_run

    today = get_current_context()["dag_run"].run_after.astimezone(SEOUL).date()
    with opened({"run_id": "", "as_of": today.isoformat()}) as context:
        places = connection("evidence_signing"), connection("evidence_store")
        if "asked" in wanted:
            folder = export_asked(context, *places, asked=wanted["asked"], full=wanted["full"], name=wanted["name"])
        else:
            folder = export_of_run(context, *places, dag_id=wanted["dag_id"], airflow_run_id=wanted["airflow_run_id"])
    return str(folder)
