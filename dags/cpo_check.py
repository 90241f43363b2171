"""By hand, once a month: the privacy officer signs the ledger with its exceptions."""

from typing import Any

from airflow.sdk import Param, dag

from include import tasks
from include.tasks import decision_forms, decisions

DOC = """
### Ledger signature (파기 관리대장 확인)

The privacy officer (개인정보 보호책임자) checks the result of a month's destruction afterwards (표준지침 10).
The signature counts what was late, is open past its day, held, not let go, failed, or waits for a person, and binds the
newest checkpoint of the evidence log. A month that is not signed thirty days after its end is named every night. The
same as a command: `python -m include.disposals cpo-check`.
"""
FORM: dict[str, Any] = {
    "month": Param(type="string", pattern="^20[0-9]{2}-(0[1-9]|1[0-2])$", title="Month, YYYY-MM · 대상 월"),
}


@dag(
    dag_display_name="Ledger signature · 관리대장 확인",
    schedule=None,
    allowed_run_types=["manual"],
    is_paused_upon_creation=True,
    max_active_runs=1,
    default_args=tasks.defaults,
    tags=["evidence", "decision"],
    doc_md=DOC,
    params=FORM,
    access_control={"RetentionCompliance": decisions.START},
)
def cpo_check() -> None:
    """Sign one month."""
    decision_forms.sign(list(FORM))


cpo_check()
