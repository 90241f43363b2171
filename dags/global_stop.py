"""By hand: stop every act everywhere at once; release it with two persons; end the breach clock it started."""

from typing import Any

from airflow.sdk import Param, dag

from include import tasks
from include.tasks import decision_forms, decisions

DOC = """
### Global stop (전체 중지)

**Stop** refuses every act before its next call, at every processor, in every run, within one call. It starts the
72-hour breach clock (유출 통지·신고, 개인정보 보호법 34, 시행령 39, 40): destroying too much is an incident too.
**Release** needs a second person, who answers under *Required actions*; nobody can release what they asked for
themselves. **Assess** ends the clock with what was found. The same as commands: `python -m include.disposals stop`.
"""
FORM: dict[str, Any] = {
    "action": Param(
        "stop", type="string", enum=["stop", "release", "assess"], title="Action · 작업",
        values_display={"stop": "Stop now · 중지", "release": "Ask for release · 해제 요청", "assess": "Assess · 판정"},
    ),
    "reason": Param(
        "wrong_deletion", type="string", title="Reason of a stop · 중지 사유",
        enum=["wrong_deletion", "wrong_plan", "wrong_schedule", "key_compromised", "processor_incident", "drill"],
        description="A drill starts no breach clock. · drill은 통지 기한을 시작하지 않습니다.",
    ),
    "stop_id": Param(
        None, type=["null", "string"], pattern=decisions.UUID_PATTERN, title="Stop id · 중지 번호",
        description="Only to assess, and only where several clocks run. · 판정할 중지가 여럿일 때만 적습니다.",
    ),
    "finding": Param(
        "not_an_incident", type="string", title="Finding of an assessment · 판정 결과",
        enum=["not_an_incident", "reported_to_subjects", "reported_to_authority", "reported_to_both"],
    ),
}  # fmt: skip


@dag(
    dag_display_name="Global stop · 전체 중지",
    schedule=None,
    allowed_run_types=["manual"],
    is_paused_upon_creation=False,  # a stop that waits for somebody to unpause it is none
    max_active_runs=4,
    default_args=tasks.defaults,
    tags=["retention", "decision"],
    doc_md=DOC,
    params=FORM,
    access_control=decisions.BY_ANYBODY,
)
def global_stop() -> None:
    """Carry out; a release asks a second person first."""
    decisions.second_person(
        "approve",
        first=decision_forms.stop_or_ask(list(FORM)),
        subject="Release the global stop? · 전체 중지를 해제할까요?",
        body="Everything that is due is acted on again. Rejection or silence releases nothing. · "
        "해제하면 파기가 다시 진행됩니다. 거절하거나 답하지 않으면 해제되지 않습니다.",
        finish=decision_forms.release(),
    )


global_stop()
