"""Every morning: what Airflow itself keeps of old runs goes, as the retention schedule says."""

from airflow.sdk import CronTriggerTimetable, dag

from include import tasks
from include.tasks import scan

DOC = """
### Clean Airflow's metadata (실행 기록 정리)

Account ids may stand in run configurations, labels and audit entries until this clean-up. What is older than
`settings.metadata_days` of the retention schedule goes from Airflow's tables (`airflow db clean --skip-archive`) and
from its log folder; the audit log, which copies every form, after `requests.conf_days`. Runs of `erase_account` are
left to `forget_requests`. One entry of evidence says how much went.

Needs connection `airflow_db_clean`: the role that owns Airflow's tables, because tasks have no access of their own.
"""


@dag(
    dag_display_name="Clean metadata · 실행 기록 정리",
    schedule=CronTriggerTimetable("30 4 * * *", timezone="Asia/Seoul"),
    allowed_run_types=["scheduled", "manual"],
    max_active_runs=1,
    is_paused_upon_creation=True,
    default_args=tasks.defaults,
    tags=["retention"],
    doc_md=DOC,
)
def clean_metadata() -> None:
    """One task."""
    scan.clean_metadata()


clean_metadata()
