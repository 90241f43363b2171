"""A request that is not carried out (refused, withdrawn, not proven, nothing held), or whose receipt is confirmed."""

from airflow.sdk import dag

from include import tasks
from include.tasks import answers, requests

DOC = """
### Answer a request by hand (요구 답변)

Closes a request of which nothing was released: **refused** (a reason code, the law and the route of objection are
needed), **withdrawn**, **identity not proven**, or **answered** because nothing is held any more. **Confirmed** closes
nothing: it records that the person was told the request came in (CCPA, ten business days). The number stands in the log
of `identify` of its run and in the deadline alerts of the nightly report. What was released cannot be refused.
"""


@dag(
    dag_display_name="Answer a request · 요구 답변",
    schedule=None,
    allowed_run_types=["manual"],
    max_active_runs=4,
    is_paused_upon_creation=True,
    default_args=tasks.defaults,
    tags=["requests"],
    doc_md=DOC,
    params=answers.FORM,
    access_control=requests.ROLES,
)
def answer_request() -> None:
    """One task."""
    answers.conclude()


answer_request()
