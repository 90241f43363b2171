"""Tasks of the evidence audit: the log recomputed every day, and the privacy officer's mail."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from airflow.sdk import get_current_context, task
from airflow.sdk.exceptions import AirflowNotFoundException, AirflowSkipException

from include.errors import RetentionError, Unreachable
from include.tasks import EVIDENCE, SEOUL, authority, business_date, connection, opened, refuse_what_no_form_has

SMTP = "smtp_default"


def _officer() -> str | None:
    """Return where the privacy officer's mail goes, or None where RETENTION_OFFICER_EMAIL or the connection is
    missing.
    """
    from airflow.sdk import Connection as AirflowConnection

    try:
        AirflowConnection.get(SMTP)
    except AirflowNotFoundException:
        return None
    return os.environ.get("RETENTION_OFFICER_EMAIL") or None


def _mail(context: Any, to: str, subject: str, words: str, files: list[str]) -> None:
    """Send a mail through Airflow's own notifier; what goes wrong is told without the address."""
    from airflow.providers.smtp.notifications.smtp import SmtpNotifier

    notifier = SmtpNotifier(to=to, subject=subject, html_content=f"<pre>{escape(words)}</pre>", files=files)
    try:
        notifier.notify(context)
    except Exception as error:  # the provider raises its own, smtplib's and ValueError; all of them quote the address
        raise Unreachable(
            SMTP, type(error).__name__, advice="Check the connection and its from_email, then clear this task."
        ) from None


def mail_findings(context: Any) -> None:
    """Mail the privacy officer what an audit found; the task is red whether the mail leaves or not."""
    to = _officer()
    if to is None:
        return
    try:
        _mail(context, to, "evidence_audit FAILED · 증적 점검 실패", str(context.get("exception")), [])
    except Unreachable as error:
        print(error)  # noqa: T201


@task(retries=0, multiple_outputs=False, on_failure_callback=mail_findings)
def audit(days: int = 1) -> dict[str, Any]:
    """Recompute the log from the bucket, compare it with database and locked copies, and raise on anything wrong."""
    from include import keys
    from include.disposals.requests import deadline_alerts
    from include.evidence import audit as auditing
    from include.evidence import audits
    from include.evidence.log import latest
    from include.evidence.note import Signer
    from include.evidence.store import EvidenceStore

    refuse_what_no_form_has()
    signing, as_of = connection("evidence_signing"), business_date()
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
        note = latest(context.engine).note
        late = [str(due) for due in deadline_alerts(context) if due.alert.overdue]
        kept = audits.keep(context.engine, done, as_of=as_of, more=tuple(late))
    print(f"{done.size} entries, {done.checkpoints} checkpoints, {done.stamped} timestamps compared")  # noqa: T201
    if findings := [*done.findings, *late]:
        raise RetentionError("The audit found: " + "; ".join(findings) + ". docs/evidence.md says what to do.")
    return {"size": done.size, "root": done.root, "checkpoint": note, "audit_id": kept}


@task(multiple_outputs=False)
def mail_root(audited: dict[str, Any]) -> str:
    """Mail the privacy officer the log's size and root with the signed checkpoint attached; red if it cannot leave.

    The mail is an anchor: whoever keeps it can show later that the log of that day was not rewritten
    (`verify.py --since`). Skipped where connection `smtp_default` or RETENTION_OFFICER_EMAIL is missing.
    """
    to = _officer()
    if to is None:
        raise AirflowSkipException(f"Not mailed: set connection {SMTP} and RETENTION_OFFICER_EMAIL (docs/evidence.md).")
    words = (
        f"증적 점검 이상 없음 · evidence_audit passed\n\n기록 수 · entries: {audited['size']}\n"
        f"루트 · root: {audited['root']}\n\n"
        "첨부한 체크포인트를 보관하십시오. 다음 점검에서: verify.py 폴더 --since 체크포인트\n"
        "Keep the attached checkpoint. At the next audit: verify.py FOLDER --since CHECKPOINT\n"
    )
    with TemporaryDirectory() as folder:
        note = Path(folder) / f"checkpoint-{audited['size']}.txt"
        note.write_text(audited["checkpoint"], encoding="utf-8", newline="\n")
        subject = f"evidence_audit passed · 증적 점검 이상 없음: {audited['size']} {audited['root']}"
        _mail(get_current_context(), to, subject, words, [str(note)])
    if "audit_id" in audited:
        _note_mailed(int(audited["audit_id"]))
    return "mailed"


def _note_mailed(audit_id: int) -> None:
    from include import database
    from include.evidence import audits

    engine = database.connect(connection("retention_db"))
    try:
        with engine.begin() as transaction:
            audits.mailed(transaction, audit_id)
    finally:
        engine.dispose()


@task(task_id="choose")
def choose_exports() -> list[dict[str, Any]]:
    """Return what to export: the runs whose evidence triggered this, or what the form asks for."""
    context = get_current_context()
    events = (context.get("triggering_asset_events") or {}).get(EVIDENCE, [])
    if events:
        runs = {(str(e.source_dag_id), str(e.source_run_id)) for e in events}
        return [{"dag_id": dag_id, "airflow_run_id": run_id} for dag_id, run_id in sorted(runs)]
    refuse_what_no_form_has()
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
