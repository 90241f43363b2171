"""The edge of `include.metrics`: numbers to Airflow's metrics (StatsD or OpenTelemetry), alerts to one e-mail a run.

Mail goes through connection `smtp_default` to RETENTION_ALERTS_EMAIL, or to RETENTION_OFFICER_EMAIL where that is not
set. Without either nothing is sent, and a red task is the only alarm. Trouble with mail never turns a night red.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from html import escape
from typing import TYPE_CHECKING, Any

from airflow.sdk import DeadlineAlert, DeadlineReference, SyncCallback  # type: ignore[attr-defined]  # loaded lazily
from airflow.sdk.exceptions import AirflowNotFoundException

from include.errors import RetentionError

if TYPE_CHECKING:
    from include.disposals import Context
    from include.metrics import Alert

NIGHT = "nightly_retention"
RUNBOOKS = "docs/runbooks.md"
LATE = timedelta(hours=6)
"""How long a night may take from being queued."""


def publish(context: Context, gaps: Sequence[str], told: Sequence[str] = ()) -> list[Alert]:
    """Emit the numbers at the end of a run, mail what should wake somebody, and return it.

    A night mails everything, an hourly run only what it could not prove: the rest was said that night. `told` are the
    lines of what waits for a person or a day (requests with their clocks, the unsigned ledger, overdue manual orders).
    """
    from include import metrics

    with context.engine.connect() as session:
        numbers = metrics.read(session, context.as_of, now=datetime.now(UTC))
    emit(numbers, green=not gaps)
    found = metrics.alerts(numbers, gaps=len(gaps))
    night = context.dag_id == NIGHT
    lines = [*map(str, found), *(f"not proven: {gap}" for gap in gaps), *(told if night else ())]
    if lines and (gaps or night):
        many = len(found) + len(told if night else ())
        mail(
            f"Retention {context.as_of}: {many} alerts · 알림 {many}건",
            [*lines, *(f"{RUNBOOKS}#{a.name}" for a in found), *([f"{RUNBOOKS}#told"] if night and told else [])],
        )
    return found


def emit(numbers: Mapping[str, float], *, green: bool) -> None:
    """Set every gauge, and count the run; where no metrics are configured Airflow drops them."""
    from airflow.sdk.observability import stats

    for name, value in numbers.items():
        stats.gauge(name, value)
    stats.incr("retention.runs.green" if green else "retention.runs.red")


def mail(subject: str, lines: Sequence[str]) -> bool:
    """Send one mail and return whether it went out; a server's own words stay out, because they quote addresses."""
    from airflow.sdk import Connection as AirflowConnection

    to = os.environ.get("RETENTION_ALERTS_EMAIL") or os.environ.get("RETENTION_OFFICER_EMAIL")
    if not to:
        return False
    try:
        AirflowConnection.get("smtp_default")
        from airflow.providers.smtp.notifications.smtp import SmtpNotifier

        text = "<br>\n".join(map(escape, lines))
        SmtpNotifier(to=to, subject=subject, html_content=text).notify({})
    except AirflowNotFoundException:
        return False
    except Exception as error:
        print(f"the alert was not mailed ({type(error).__name__}): see `python -m include.check`")  # noqa: T201
        return False
    return True


def mail_crash(context: Any) -> None:
    """Mail that a report could not even be made; what it found itself was mailed by it."""
    error = context.get("exception")
    if not isinstance(error, RetentionError):
        run = getattr(context.get("dag_run"), "run_id", "")
        mail("Retention: no report · 보고 실패", [f"report_failed: {type(error).__name__}, run {run}", RUNBOOKS])


def mail_late(context: Any = None, **_: Any) -> None:
    """Mail that a night is still at work after `LATE`."""
    run = (context or {}).get("dag_run") or {}
    name = run.get("run_id", "") if isinstance(run, Mapping) else getattr(run, "run_id", "")
    mail("Retention: the night is late · 야간 파기 지연", [f"night_late: {name}", f"{RUNBOOKS}#night_late"])


NIGHT_DEADLINE = DeadlineAlert(
    name="night_late",
    reference=DeadlineReference.DAGRUN_QUEUED_AT,
    interval=LATE,
    callback=SyncCallback(mail_late),
)
"""The deadline of a night, for the DAG's `deadline`."""
