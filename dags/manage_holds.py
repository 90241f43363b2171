"""By hand: place, review and release a hold. Codes and ids only; a debt is written off by two persons."""

from typing import Any

from airflow.sdk import Param, dag

from include import tasks
from include.tasks import decision_forms, decisions, request_form

DOC = """
### Holds (보류)

**Place** blocks destruction of what the kind reaches (H-1..H-7 of the schedule), or of the datasets named here, from
the next act on; a hold that commits before an act wins. **Review** every 90 days at most: an overdue review is shown
every night and never releases. **Release** restarts no period: destruction starts at the later of the original day and
the day after. A debt *written off* waits for a second person under *Required actions*.

What the company's own records say (over- and underpayment, dispute, debt, correction) needs no form: it is read anew
right before each act. `python -m include.disposals holds` lists the ids.
"""
FORM: dict[str, Any] = {
    "action": Param(
        "place", type="string", enum=["place", "review", "release"], title="Action · 작업",
        values_display={"place": "Place · 설정", "review": "Review · 재검토", "release": "Release · 해제"},
    ),
    "account_id": Param(
        None, type=["null", "string"], pattern=request_form.ACCOUNT, title="Account id · 계정 번호",
        description="To place: the opaque id, never an e-mail or a name. · 이메일이나 이름은 적지 않습니다.",
        section="Place · 설정",
    ),
    "kind": Param(
        "H-6", type="string", enum=[f"H-{n}" for n in range(1, 8)], title="Kind · 종류", section="Place · 설정",
        values_display={"H-1": "H-1 Overpayment · 요금 과납", "H-2": "H-2 Underpayment · 요금 미납",
                        "H-3": "H-3 Dispute · 분쟁", "H-4": "H-4 Debt · 변제할 채무",
                        "H-5": "H-5 Pending correction · 정정 요청", "H-6": "H-6 Order · 법원·기관 명령",
                        "H-7": "H-7 Breach investigation · 침해사고 조사"},
    ),
    "processor": Param(
        None, type=["null", "string"], pattern="^[a-z][a-z0-9_]{0,39}$", title="Place · 처리처", section="Place · 설정",
        description="Empty: everywhere. · 비우면 모든 곳에 적용됩니다.",
    ),
    "datasets": Param(
        None, type=["null", "array"], items={"type": "string", "pattern": "^[a-z][a-z_]{0,39}$"},
        title="Datasets · 데이터", description="Empty: what the kind names. · 비우면 종류가 정한 범위입니다.",
        section="Place · 설정",
    ),
    "reason": Param(
        None, type=["null", "string"], pattern="^[a-z][a-z_]{1,39}$", title="Reason code · 사유 코드",
        description="A code such as court_order, refund_open or case_open; never a sentence. · 문장은 적지 않습니다.",
    ),
    "review_due": Param(
        None, type=["null", "string"], format="date", title="Next review · 다음 재검토일",
        description="At most 90 days ahead. · 90일 이내.",
    ),
    "hold_id": Param(
        None, type=["null", "string"], pattern=decisions.UUID_PATTERN, title="Hold · 보류 번호",
        description="To review or release. · 재검토하거나 해제할 보류의 번호.",
        section="Review, release · 재검토, 해제",
    ),
    "release_as": Param(
        None, type=["null", "string"], title="Released as · 해제 사유", section="Review, release · 재검토, 해제",
        enum=[None, "paid", "written_off", "refunded", "case_closed", "corrected", "refused_with_reasons",
              "written_release", "closed_by_officer"],
    ),
}  # fmt: skip


@dag(
    dag_display_name="Manage holds · 보류 관리",
    schedule=None,
    allowed_run_types=["manual"],
    is_paused_upon_creation=True,
    max_active_runs=8,
    default_args=tasks.defaults,
    tags=["retention", "decision"],
    doc_md=DOC,
    params=FORM,
    access_control=decisions.BY_OPERATOR,
)
def manage_holds() -> None:
    """Carry out; a write-off asks a second person first."""
    decisions.second_person(
        "approve",
        first=decision_forms.hold_or_ask(list(FORM)),
        subject="Write this debt off? · 채무를 대손 처리할까요?",
        body="The hold {{ params.hold_id }} ends and what it blocked is destroyed from tomorrow. Rejection or silence: "
        "it holds on. · 승인하면 보류가 끝나 내일부터 파기됩니다. 거절하거나 답하지 않으면 보류가 유지됩니다.",
        finish=decision_forms.write_off(),
    )


manage_holds()
