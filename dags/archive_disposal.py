"""Every day at 03:00 in Seoul: destroy the statutory records whose every basis has ended, and prove it."""

from airflow.sdk import CronTriggerTimetable, Param, dag

from include import tasks
from include.tasks import runs

DOC = """
### Archive disposal (분리보관 파기)

What a law kept for three, five or seven years is destroyed on its own day: every version of the object, confirmed by
listing, then its keys and their backup.

| step | what happens |
|---|---|
| `begin` | business date, approved schedule and connections are checked |
| `archive_lapse` | a held person's rows are first copied under legal hold; then the rest of the group goes on time |
| `seal`, `export` | intent and proof are sealed into the evidence log and exported |
| `archive_report` | fails when a group outlived its basis and is neither destroyed nor kept (lock, hold) to a date |

The intent is recorded before the first version goes. Nothing bypasses Object Lock: where the business date has passed
and a lock has not, the group is `retained(lock)` until the lock ends.
"""


@dag(
    dag_display_name="Archive disposal · 분리보관 파기",
    # No start date: with one in the past the run would fire the moment the DAG is unpaused.
    schedule=CronTriggerTimetable("0 3 * * *", timezone="Asia/Seoul"),
    allowed_run_types=["scheduled", "manual"],
    max_active_runs=1,
    is_paused_upon_creation=True,
    default_args=tasks.defaults,
    tags=["retention", "destructive", "archive"],
    doc_md=DOC,
    params={
        "as_of": Param(None, type=["null", "string"], format="date", title="Business date · 기준일"),
    },
)
def archive_disposal() -> None:
    """Lapse, seal, export, report."""
    run = runs.begin()
    lapsed = runs.archive_lapse(run)
    sealed = runs.seal(run)
    lapsed >> sealed >> runs.export(run) >> runs.archive_report(run)


archive_disposal()
