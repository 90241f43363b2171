"""Every morning: recompute the evidence log from its bucket and say what is not as it should be."""

from airflow.sdk import CronTriggerTimetable, Param, dag

from include import tasks
from include.tasks import evidence

DOC = """
### Evidence audit (증적 점검)

Builds the whole log anew from the evidence bucket and compares it with the database, with every locked copy of a
checkpoint and with the timestamps. Then it looks for intents without an outcome for more than a day, acts before their
period was over (there must be none), destructions more than five days after it, disposals past their day that nothing
holds, and gaps in the numbering.

It changes nothing. `audit` fails on any finding; findings are counts and places, never people. With connection
`smtp_default` and `RETENTION_OFFICER_EMAIL` set, the privacy officer gets the findings by mail, or from `mail_root` the
log's root and signed checkpoint to keep. `docs/evidence.md` says what each finding means.
"""


@dag(
    dag_display_name="Evidence audit · 증적 점검",
    schedule=CronTriggerTimetable("0 7 * * *", timezone="Asia/Seoul"),
    allowed_run_types=["scheduled", "manual"],
    max_active_runs=1,
    is_paused_upon_creation=True,
    default_args=tasks.defaults,
    tags=["evidence"],
    doc_md=DOC,
    params={
        "as_of": Param(None, type=["null", "string"], format="date", title="Business date · 기준일"),
    },
)
def evidence_audit() -> None:
    """Audit, which raises on anything wrong; then mail the root."""
    evidence.mail_root(evidence.audit())


evidence_audit()
