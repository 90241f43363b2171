"""Every hour: carry on with open disposals whose date has come; nothing happens when nothing is due."""

from airflow.sdk import CronTriggerTimetable, Param, dag

from include import tasks
from include.tasks import runs

DOC = """
### Advance disposals (파기 진행)

Takes up what an earlier night left open because a date had to come first (Stripe's ninety days, Zendesk's
confirmation, a processor that was down) and carries it on through the same groups as `nightly_retention`. It plans
nothing new. When nothing is due it ends after its first task.
"""


@dag(
    dag_display_name="Advance disposals · 파기 진행",
    schedule=CronTriggerTimetable("30 * * * *", timezone="Asia/Seoul"),
    allowed_run_types=["scheduled", "manual"],
    max_active_runs=1,
    is_paused_upon_creation=True,
    default_args=tasks.defaults,
    tags=["retention", "destructive"],
    doc_md=DOC,
    params={
        "as_of": Param(None, type=["null", "string"], format="date", title="Business date · 기준일"),
    },
)
def advance_disposals() -> None:
    """Go on where earlier runs stopped."""
    due = runs.anything_due()
    run = runs.begin()
    due >> run
    runs.carry_through(run, start=run)


advance_disposals()
