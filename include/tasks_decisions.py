"""Tasks of what a person decides: the brake on a night's plan, and forms that need a second person.

An approval's own state in Airflow proves nothing: `settle` reads its answer, compares two names and writes the row
that the act is checked against. Marked as success by hand, an approval has no answer, and no answer is a rejection.
"""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import get_current_context, task

from include.tasks import SEOUL, Run, opened

if TYPE_CHECKING:
    from include.disposals.approvals import Staff
    from include.disposals.brake import Asked
    from include.disposals.context import Context
    from include.policy.brake import Line

NIGHT_AT = time(2, 0)
APPROVE, REJECT = "Approve", "Reject"
NOBODY = "airflow-scheduler"
SHOWN = 60


class Ask(HITLOperator):
    """Asks a second person until shortly before the next night; silence is a rejection.

    The time left is known only when the task runs, so a night started late in the evening asks for less long.
    """

    def execute(self, context: Any) -> Any:
        """Ask, and wait without a worker."""
        self.response_timeout = max(answer_until(datetime.now(UTC)) - datetime.now(UTC), timedelta(minutes=1))
        return super().execute(context)


def answer_until(now: datetime) -> datetime:
    """Return until when (UTC) an answer counts: the schedule's minutes before the next 02:00 in Seoul."""
    from include.tasks import _schedule

    here = now.astimezone(SEOUL)
    night = datetime.combine(here.date(), NIGHT_AT, SEOUL)
    while night <= here:
        night += timedelta(days=1)
    return night.astimezone(UTC) - timedelta(minutes=_schedule().settings.brake.ends_before_next_minutes)


def requester(context: Context) -> Staff:
    """Return who started this run; a scheduled one was started by nobody."""
    from include.disposals.approvals import staff

    name = get_current_context()["dag_run"].triggering_user_name
    return staff(name or NOBODY, "operator" if name else "scheduler", context.wrapper)


def answered(context: Context, answer: Any) -> tuple[Staff | None, bool]:
    """Return who answered and whether they approved; `(None, False)` where nobody did."""
    from include.disposals.approvals import staff

    user = (answer or {}).get("responded_by_user") or {}
    if not user.get("name"):
        return None, False
    return staff(user["name"], "approver", context.wrapper), (answer or {}).get("chosen_options") == [APPROVE]


# -- the brake -----------------------------------------------------------------------------------------------------
@task.short_circuit(ignore_downstream_trigger_rules=False)
def judge_plan(run: Run) -> bool:
    """Compare the night's plan with earlier nights and the last schedule version; return whether to ask somebody."""
    from include.disposals import brake

    with opened(run) as context:
        asked = brake.judge_night(
            context, UUID(run["run_id"]), by=requester(context), expires=answer_until(datetime.now(UTC))
        )
    get_current_context()["ti"].xcom_push(key="question", value=question(asked))
    print(f"{asked.total} new disposals wait for a second person ({asked.reason})" if asked.digest else "as usual")  # noqa: T201
    return asked.digest is not None


@task(trigger_rule="all_done", multiple_outputs=False)
def settle(run: Run) -> str:
    """Record the answer; only an approval by another person than the one who started the night opens the gate."""
    from include.disposals import brake

    answer = get_current_context()["ti"].xcom_pull(task_ids="approve_plan", key="return_value")
    with opened(run) as context:
        by, approved = answered(context, answer)
        said = brake.settle(context, UUID(run["run_id"]), by=by, approved=approved)
    print(f"the plan is {said}")  # noqa: T201
    return said


def brake(run: Any, planned: Any) -> Any:
    """Wire the brake behind the planning; what it returns goes on whatever was decided, for disposals that are open."""
    judged = judge_plan(run)
    asked = Ask(
        task_id="approve_plan",
        subject="Far more than usual would be destroyed · 평소보다 많은 파기",
        body="{{ ti.xcom_pull(task_ids='judge_plan', key='question') }}",
        options=[APPROVE, REJECT],
        defaults=REJECT,
        retries=2,
    )
    settled = settle(run)
    planned >> judged >> asked >> settled
    judged >> settled
    return settled


REASONS = {
    "first_nights": "fewer than the needed earlier nights exist, and the absolute number is exceeded",
    "above_usual": "more than usual in all",
    "above_usual_for_a_rule": "more than usual for one rule at one place",
    "schedule_change": "the new schedule version makes due what the last one did not",
    "asked_again": "an earlier night's plan was not let go",
}


def question(asked: Asked) -> str:
    """Return what the second person reads, in Markdown: counts by rule and place, and nothing about anybody."""
    if asked.digest is None:
        return ""
    told = [
        f"**{asked.total}** disposals wait: {REASONS.get(asked.reason or '', asked.reason)}.",
        "승인하면 파기가 진행되고, 거절하거나 답하지 않으면 아무것도 파기하지 않고 다음 날 다시 묻습니다.",
        "Approve: they are carried out. Reject or silence: nothing of it is, and the next night asks again. "
        "Disposals of earlier nights go on meanwhile.",
        "",
    ]
    if asked.lines:
        told += ["| place:rule | tonight | usual | only by the new version |", "|---|---:|---:|---:|"]
        told += [_row(line) for line in asked.lines[:SHOWN]]
    if asked.waiting:
        told += ["", "| not let go before | disposals |", "|---|---:|"]
        told += [f"| {key} | {n} |" for key, n in sorted(asked.waiting.items())[:SHOWN]]
    return "\n".join([*told, "", f"digest {asked.digest}"])


def _row(line: Line) -> str:
    return f"| {line.key} | {line.tonight} | {'–' if line.usual is None else line.usual} | {line.by_change} |"
