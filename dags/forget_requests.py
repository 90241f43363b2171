"""Every morning: forget the account ids, login names and run configurations that nothing needs any more."""

from airflow.sdk import CronTriggerTimetable, dag

from include import tasks
from include.tasks import answers

DOC = """
### Forget requests (요구 기록의 계정 번호 삭제)

The form of `erase_account` names an account. So many days after the certificate as the schedule says
(`requests.conf_days`) the whole run is deleted through Airflow's REST API (connection `airflow_api`, a user with the
right to delete DAG runs), and the register forgets the account id: only the tag stays. Runs without a request (dry
runs, refused forms) go the same number of days after their end.

Login names of who asked for an approval and who gave it become pseudonyms `requests.names_days` after it.

Airflow's audit log keeps its own copy of a form; `clean_metadata` removes it.
"""


@dag(
    dag_display_name="Forget requests · 계정 번호 삭제",
    schedule=CronTriggerTimetable("0 4 * * *", timezone="Asia/Seoul"),
    allowed_run_types=["scheduled", "manual"],
    max_active_runs=1,
    is_paused_upon_creation=True,
    default_args=tasks.defaults,
    tags=["requests"],
    doc_md=DOC,
)
def forget_requests() -> None:
    """Ids first, then names, then runs."""
    answers.forget_ids() >> answers.forget_names() >> answers.forget_runs()


forget_requests()
