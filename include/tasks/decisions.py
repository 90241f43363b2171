"""Tasks of what a person decides: the brake on a night's plan, and forms that need a second person.

An approval's own state in Airflow proves nothing: `settle` reads its answer, compares two names and writes the row
that the act is checked against. Marked as success by hand, an approval has no answer, and no answer is a rejection.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import get_current_context, task

from include import forms
from include.errors import DecisionRefused
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
UUID_PATTERN = "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"


class Ask(HITLOperator):
    """Asks a second person until shortly before the next night; silence is a rejection.

    The time left is known only when the task runs, so a night started late in the evening asks for less long.
    """

    def execute(self, context: Any) -> Any:
        """Ask, and wait without a worker."""
        self.response_timeout = max(answer_until(datetime.now(UTC)) - datetime.now(UTC), timedelta(minutes=1))
        return super().execute(context)


LEAST = timedelta(hours=1)
"""The least a person gets to answer."""


def answer_until(now: datetime) -> datetime:
    """Return until when (UTC) an answer counts: the schedule's minutes before the next 02:00 in Seoul.

    What is asked with less than an hour left has until the night after, because the next run waits while this one does.
    """
    from include.tasks import configured_schedule

    before = timedelta(minutes=configured_schedule().settings.brake.ends_before_next_minutes)
    here = now.astimezone(SEOUL)
    night = datetime.combine(here.date(), NIGHT_AT, SEOUL)
    while night - before - LEAST <= here:
        night += timedelta(days=1)
    return night.astimezone(UTC) - before


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
    planned >> judged
    return gated(run, judged, subject="Far more than usual would be destroyed · 평소보다 많은 파기")


def gated(run: Any, judged: Any, *, subject: str) -> Any:
    """Wire a question behind a task that returns whether to ask it and pushes its text as `question`."""
    asked = Ask(
        task_id="approve_plan",
        subject=subject,
        body="{{ ti.xcom_pull(task_ids='JUDGED', key='question') }}".replace("JUDGED", judged.operator.task_id),
        options=[APPROVE, REJECT],
        defaults=REJECT,
        retries=2,
    )
    settled = settle(run)
    # Not `judged >> settled`: a short circuit skips what stands right behind it, and nothing would be worked on.
    judged >> asked >> settled
    return settled


READ = {"DAGs": {"can_read"}, "DAG Runs": {"can_read"}}
START = {"DAGs": {"can_read", "can_edit"}, "DAG Runs": {"can_read", "can_create"}}
ANSWER = {"DAGs": {"can_read", "can_edit"}, "DAG Runs": {"can_read"}}
"""To answer a question is an edit of the DAG, for Airflow; the right on HITL Detail is needed too."""
ANSWERED = {"RetentionApprover": ANSWER}
BY_OPERATOR = {
    "RetentionViewer": READ, "RetentionOperator": START, "RetentionApprover": ANSWER, "RetentionCompliance": READ,
}  # fmt: skip
BY_COMPLIANCE = {
    "RetentionViewer": READ, "RetentionOperator": READ, "RetentionApprover": ANSWER, "RetentionCompliance": START,
}  # fmt: skip
BY_ANYBODY = {"RetentionOperator": START, "RetentionApprover": START, "RetentionCompliance": START}
"""A stop is for whoever sees the harm."""

REASONS = {
    "first_nights": "fewer than the needed earlier nights exist, and the absolute number is exceeded",
    "above_usual": "more than usual in all",
    "above_usual_for_a_rule": "more than usual for one rule at one place",
    "schedule_change": "the new schedule version makes due what the last one did not",
    "restore": "erased after the restore point, and back with the restore",
    "processor_ended": "everything at a processor whose contract ended",
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


# -- forms ---------------------------------------------------------------------------------------------------------
def form(known: Iterable[str]) -> dict[str, Any]:
    """Return what the form says, or refuse keys it does not have: whatever is typed there stays in Airflow's database.

    Neither the key nor its value is repeated: it may be a person's.
    """
    context = get_current_context()
    forms.check(context["dag_run"].conf, known)
    return dict(context["params"])


def second_person(task_id: str, *, first: Any, subject: str, body: str, finish: Any) -> Any:
    """Wire a question between `first` (which returns whether it is needed) and `finish`, which always runs."""
    asked = Ask(
        task_id=task_id, subject=subject, body=body, options=[APPROVE, REJECT], defaults=REJECT, retries=2
    )  # fmt: skip
    first >> asked >> finish
    return finish


def said_by(task_id: str) -> Any:
    """Return what an earlier task of this run answered, or fail: without it there is nothing to finish."""
    said = get_current_context()["ti"].xcom_pull(task_ids=task_id, key="said")
    if said is None:
        raise DecisionRefused(f"Task {task_id} did not finish, so there is nothing to carry out. See its log.")
    return said


def answer_of(task_id: str) -> Any:
    """Return the answer to a question of this run, or None where nobody gave one."""
    return get_current_context()["ti"].xcom_pull(task_ids=task_id, key="return_value")


@contextmanager
def deciding() -> Iterator[Context]:
    """Yield a context outside any run, on today's business date."""
    with opened({"run_id": "", "as_of": business_day().isoformat()}) as context:
        yield context


def business_day() -> date:
    """Return the newest business date a run worked with, or the Seoul date if that is later.

    In a sandbox that looked ahead, a decision belongs to the sandbox's day.
    """
    from include import database
    from include.disposals.runs import newest_as_of
    from include.tasks import connection

    engine = database.connect(connection("retention_db"))
    try:
        return max(newest_as_of(engine) or date.min, datetime.now(SEOUL).date())
    finally:
        engine.dispose()


def tell(said: Any) -> None:
    """Keep what a task answered for the ones after it, and print it."""
    get_current_context()["ti"].xcom_push(key="said", value=said)
    print(said)  # noqa: T201


# -- after a night's acts --------------------------------------------------------------------------------------------
@task(trigger_rule="all_done", multiple_outputs=False)
def manual(run: Run) -> dict[str, int]:
    """Make one request a place for what only a person can do; nothing waits here."""
    from include.disposals.manual import ask_by_hand

    with opened(run) as context:
        made = ask_by_hand(context)
    print(", ".join(f"{n} orders to {place}" for place, n in sorted(made.items())) or "nothing to ask for")  # noqa: T201
    return made


@task(trigger_rule="all_done", multiple_outputs=False)
def sweep(run: Run) -> dict[str, str]:
    """List what was created or changed at each place since the last time, and notice who is there again."""
    from functools import partial

    from include import processors
    from include.accounts.find import owners
    from include.disposals.resurfacing import sweep_places
    from include.tasks import accounts_of, site

    with opened(run) as context:
        places = {name: partial(site, context, name) for name in processors.names()}
        swept = sweep_places(context, places, partial(owners, accounts_of(context)), now=datetime.now(UTC))
    print(", ".join(f"{place} {code}" for place, code in swept.items()))  # noqa: T201
    return swept


def after_acts(run: Any, _own: Any, advanced: list[Any]) -> Any:
    """Wire what follows a night's acts: requests to people, then the sweep. Sealing waits for the last of it."""
    asked, swept = manual(run), sweep(run)
    advanced >> asked >> swept
    return swept
