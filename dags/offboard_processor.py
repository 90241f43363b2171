"""By hand: the contract with a processor ended; everybody's data there goes, over as many nights as its quota needs."""

from typing import Any

from airflow.sdk import Param, dag

from include import tasks
from include.tasks import decision_forms, decisions, runs

DOC = """
### Offboard a processor (수탁 계약 종료)

R-14: what a processor holds ends with its contract, live customers' data too. Every account of the register becomes a
disposal there, spread over the nights its published quota allows (our share of it, `calls_per_subject` of a setting);
the first task says when it will end, and a second person sees it under *Required actions* before anything is acted on.
Each night then carries on with its part; starting this again adds only who came since.

When nothing is left open, the run that sees it (this one, a night's or an hour's) writes `processor_ended` and, in its
task `export`, the one certificate for the processor with the tags of its subjects, in a folder of its own. Until then
every night's mail says how much is open and until when.
"""
FORM: dict[str, Any] = {
    "processor": Param(type="string", title="Processor · 수탁사", enum=runs.places()),
    "ended_on": Param(type="string", format="date", title="Contract ended on · 계약 종료일",
                      description="Its last day, which must be over. · 종료 다음 날부터 시작할 수 있습니다."),
    "as_of": Param(None, type=["null", "string"], format="date", title="Business date · 기준일"),
}  # fmt: skip


@dag(
    dag_display_name="Offboard a processor · 수탁 종료",
    schedule=None,
    allowed_run_types=["manual"],
    is_paused_upon_creation=True,
    max_active_runs=1,
    default_args=tasks.defaults,
    tags=["retention", "destructive", "decision"],
    doc_md=DOC,
    params=FORM,
    access_control=decisions.BY_COMPLIANCE,
)
def offboard_processor() -> None:
    """Plan, ask, carry out the first night's part."""
    run = runs.begin()
    planned = decision_forms.end_contract(run, list(FORM))
    released = decisions.gated(run, planned, subject="Erase everything at this processor? · 수탁사 전체 파기")
    runs.carry_through(run, start=released)


offboard_processor()
