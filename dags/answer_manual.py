"""By hand: the proof of what a person destroyed, shredded, burnt or had confirmed."""

from typing import Any

from airflow.sdk import Param, dag

from include import tasks
from include.tasks import decision_forms, decisions

DOC = """
### Answer a manual request (수기 처리 증빙)

What no call can destroy is asked for once a night, grouped by place: paper by box, AdRoll, Clarity, and what an
administrator must do at Salesforce or Zendesk. `python -m include.disposals manual` lists the open orders with the
words to send. One proof closes every disposal of its order, each with its own entry of evidence.

People are named by role and pseudonym (`records_office:e-0012`), never by name; the reference is the number of the
signed report or of the vendor's confirmation. Where a place can be read, only its next read-back closes the disposal.
"""
WHO = "^[a-z][a-z_]{1,39}:e-[a-z0-9]{1,20}$"
FORM: dict[str, Any] = {
    "order_id": Param(type="string", pattern=decisions.UUID_PATTERN, title="Order · 지시 번호"),
    "reference": Param(
        type="string", pattern=decision_forms.REFERENCE, title="Reference number · 증빙 번호",
        description="Paper: the report's number, such as PD-2026-0001. Vendor: the number of their confirmation. · "
        "종이: 파기 보고서 번호. 수탁자: 확인서 번호.",
    ),
    "done_on": Param(type="string", format="date", title="Date · 처리일"),
    "method": Param(
        type="string", title="Method · 방법",
        enum=[*decision_forms.METHODS],
        values_display=decision_forms.METHODS,
    ),
    "executor": Param(
        type="string", pattern=WHO, title="Executor · 수행자",
        description="Role and pseudonym, records_office:e-0012. · 역할과 가명.",
    ),
    "witness": Param(
        None, type=["null", "string"], pattern=WHO, title="Witness · 입회자",
        description="Needed for paper; another person. · 종이 파기에는 다른 한 사람이 입회합니다.",
    ),
}  # fmt: skip


@dag(
    dag_display_name="Answer a manual request · 수기 처리 증빙",
    schedule=None,
    allowed_run_types=["manual"],
    is_paused_upon_creation=True,
    max_active_runs=4,
    default_args=tasks.defaults,
    tags=["retention", "decision"],
    doc_md=DOC,
    params=FORM,
    access_control=decisions.BY_OPERATOR,
)
def answer_manual() -> None:
    """Take one proof."""
    decision_forms.take_proof(list(FORM))


answer_manual()
