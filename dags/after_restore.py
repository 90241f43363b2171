"""By hand, after a backup was restored: carry out again every erasure newer than the restore point."""

from typing import Any

from airflow.sdk import Param, dag

from include import tasks
from include.tasks import decision_forms, decisions, runs

DOC = """
### After a restore (복구 후 재파기)

A backup brings back who was erased since. **Before the restored place is used**, name it and the date of the backup:
the whole place is listed, its accounts are compared with the tombstones of every erasure since that date, and what came
back is opened again. A second person sees the counts under *Required actions*; then the usual groups carry it out
and read it back. An e-mail alone is no match here, and what a restored register calls live is not asked.

Places that cannot be listed (ad audiences, recordings, paper) are not restored by us. Running it twice changes nothing.
"""
FORM: dict[str, Any] = {
    "processor": Param(
        "own_database", type="string", title="Restored place · 복구한 곳",
        enum=runs.places(),
    ),
    "restored_to": Param(
        type="string", format="date", title="Restore point · 복구 시점",
        description="The date of the backup. Erasures of this day and later are carried out again. · "
        "백업의 날짜. 이 날부터의 파기를 다시 수행합니다.",
    ),
    "as_of": Param(None, type=["null", "string"], format="date", title="Business date · 기준일"),
}  # fmt: skip


@dag(
    dag_display_name="After a restore · 복구 후 재파기",
    schedule=None,
    allowed_run_types=["manual"],
    is_paused_upon_creation=True,
    max_active_runs=1,
    default_args=tasks.defaults,
    tags=["retention", "destructive", "decision"],
    doc_md=DOC,
    params=FORM,
    access_control=decisions.BY_OPERATOR,
)
def after_restore() -> None:
    """Find what is back, ask, carry out."""
    run = runs.begin()
    released = decisions.gated(
        run, decision_forms.reapply(run, list(FORM)), subject="Erase again what a restore brought back? · 재파기"
    )
    runs.carry_through(run, start=released)


after_restore()
