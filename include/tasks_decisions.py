"""Tasks of what a person decides: the brake on a night's plan, and forms that need a second person.

An approval's own state in Airflow proves nothing: `settle` reads its answer, compares two names and writes the row
that the act is checked against. Marked as success by hand, an approval has no answer, and no answer is a rejection.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_URL, UUID, uuid5

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import get_current_context, task

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


# -- forms ---------------------------------------------------------------------------------------------------------
def form(known: Iterable[str]) -> dict[str, Any]:
    """Return what the form says, or refuse keys it does not have: whatever is typed there stays in Airflow's database.

    Neither the key nor its value is repeated: it may be a person's.
    """
    context = get_current_context()
    unknown = set(context["dag_run"].conf or {}) - set(known)
    if unknown:
        raise DecisionRefused(
            f"The run was started with {len(unknown)} keys that its form does not have. Nothing was done. Start it "
            "with the form's fields only, and delete this run: what was typed there stays in Airflow until then."
        )
    return dict(context["params"])


def second_person(task_id: str, *, first: Any, subject: str, body: str, finish: Any) -> Any:
    """Wire a question between `first` (which returns whether it is needed) and `finish`, which always runs."""
    asked = Ask(
        task_id=task_id, subject=subject, body=body, options=[APPROVE, REJECT], defaults=REJECT, retries=2
    )  # fmt: skip
    first >> asked >> finish
    first >> finish
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


# -- the global stop -----------------------------------------------------------------------------------------------
@task.short_circuit(task_id="carry_out", ignore_downstream_trigger_rules=False)
def stop_or_ask(known: list[str]) -> bool:
    """Stop at once, end a breach clock, or ask for a release; return whether a second person is needed."""
    from include.disposals import stopping

    asked = form(known)
    with deciding() as context:
        who = requester(context)
        if asked["action"] == "stop":
            stop_id = stopping.set_stop(
                context, reason_code=asked["reason"] or "wrong_deletion", set_by=f"{who.role}:{who.pseudonym}"
            )
            tell({"stop_id": str(stop_id)})
            return False
        if asked["action"] == "assess":
            stop_id = _the_stop(context, asked)
            stopping.assess(context, stop_id, finding=asked["finding"], by=f"{who.role}:{who.pseudonym}")
            tell({"assessed": str(stop_id)})
            return False
        tell({"approval_id": str(stopping.ask_release(context, by=who, expires=answer_until(datetime.now(UTC))))})
    return True


def _the_stop(context: Context, asked: dict[str, Any]) -> UUID:
    from include.disposals import stopping

    if asked.get("stop_id"):
        return UUID(str(asked["stop_id"]))
    with context.engine.connect() as connection:
        running = stopping.clocks(connection)
    if len(running) != 1:
        raise DecisionRefused(f"{len(running)} breach clocks run. Name the stop whose clock ends.")
    return running[0].stop_id


@task(trigger_rule="all_done", multiple_outputs=False)
def release() -> bool:
    """Release the stop if another person than the one who asked approved it; without an answer nothing happens."""
    from include.disposals import stopping

    said = said_by("carry_out")
    if "approval_id" not in said:
        return False
    with deciding() as context:
        by, approved = answered(context, answer_of("approve"))
        return stopping.decide_release(context, UUID(said["approval_id"]), by=by, approved=approved)


# -- what a person does by hand ------------------------------------------------------------------------------------
@task(trigger_rule="all_done", multiple_outputs=False)
def manual(run: Run) -> dict[str, int]:
    """Make one request a place for what only a person can do; nothing waits here."""
    from include.disposals.manual import ask_by_hand

    with opened(run) as context:
        made = ask_by_hand(context)
    print(", ".join(f"{n} orders to {place}" for place, n in sorted(made.items())) or "nothing to ask for")  # noqa: T201
    return made


@task(multiple_outputs=False)
def take_proof(known: list[str]) -> int:
    """Record a proof; return how many disposals it closed."""
    from functools import partial

    from include import database
    from include.disposals import manual as by_hand
    from include.tasks import connection, site

    asked = form(known)
    proof = by_hand.Proof(
        asked["reference"], date.fromisoformat(asked["done_on"]), asked["method"], asked["executor"], asked["witness"]
    )
    with deciding() as context:
        who = requester(context)
        order = UUID(asked["order_id"])
        accounts = database.connect(connection("accounts_db"))
        try:
            connect = partial(site, context, "paper", accounts) if asked["method"] in ("shred", "incinerate") else None
            closed = by_hand.answer(context, order, proof, by=f"{who.role}:{who.pseudonym}", connect=connect)
        finally:
            accounts.dispose()
    print(f"{closed} disposals attested")  # noqa: T201
    return closed


def after_acts(run: Any, _own: Any, advanced: list[Any]) -> Any:
    """Wire what follows a night's acts: requests to people. The last of it is what sealing waits for."""
    asked = manual(run)
    advanced >> asked
    return asked


# -- holds ---------------------------------------------------------------------------------------------------------
@task.short_circuit(task_id="carry_out", ignore_downstream_trigger_rules=False)
def hold_or_ask(known: list[str]) -> bool:
    """Place, review or release a hold; return whether a second person must approve (writing a debt off)."""
    from include.disposals import approvals, holds

    asked = form(known)
    with deciding() as context:
        who = requester(context)
        me = f"{who.role}:{who.pseudonym}"
        if asked["action"] == "place":
            tell({"placed": str(_place(context, asked, me))})
            return False
        hold_id = UUID(_needed(asked, "hold_id"))
        if asked["action"] == "review":
            holds.review(context, hold_id, reviewed_by=me, reason_code=_needed(asked, "reason"), next_due=_day(asked))
            tell({"reviewed": str(hold_id)})
            return False
        if asked["release_as"] == holds.WRITTEN_OFF:
            digest = holds.write_off_digest(hold_id)
            until = answer_until(datetime.now(UTC))
            approval_id = approvals.request(context, kind=holds.WRITE_OFF, digest=digest, by=who, expires=until)
            tell({"approval_id": str(approval_id), "hold_id": str(hold_id)})
            return True
        holds.release(context, hold_id, released_by=me, reason=_needed(asked, "release_as"))
        tell({"released": str(hold_id)})
    return False


def _place(context: Context, asked: dict[str, Any], me: str) -> UUID:
    from include.disposals import holds

    account_id = _needed(asked, "account_id")
    if not context.accounts.facts([account_id]):
        raise DecisionRefused("No account of the register has this id. Nothing was placed.")
    # The same run placed again (a retry) is the same hold.
    identity = uuid5(NAMESPACE_URL, str(get_current_context()["dag_run"].run_id))
    return holds.place(
        context,
        hold_id=identity,
        account_id=account_id,
        kind=asked["kind"],
        processor=asked["processor"],
        datasets=asked["datasets"] or [],
        reason_code=_needed(asked, "reason"),
        placed_by=me,
        review_due=_day(asked),
    )


def _needed(asked: dict[str, Any], field: str) -> str:
    if not asked.get(field):
        raise DecisionRefused(f"This action needs the field {field}. Nothing was done; start it again with it.")
    return str(asked[field])


def _day(asked: dict[str, Any]) -> date:
    return date.fromisoformat(_needed(asked, "review_due"))


@task(trigger_rule="all_done", multiple_outputs=False)
def write_off() -> bool:
    """Release a hold as written off if another person approved it; without an answer it holds on."""
    from include.disposals import approvals, holds

    said = said_by("carry_out")
    if "approval_id" not in said:
        return False
    hold_id = UUID(said["hold_id"])
    with deciding() as context:
        by, approved = answered(context, answer_of("approve"))
        words = approvals.EXPIRED if by is None else approvals.APPROVED if approved else approvals.REJECTED
        digest = holds.write_off_digest(hold_id)
        approvals.decide(context, UUID(said["approval_id"]), by=by, decision=words, digest=digest)
        if words != approvals.APPROVED:
            return False
        who = requester(context)
        holds.release(context, hold_id, released_by=f"{who.role}:{who.pseudonym}", reason=holds.WRITTEN_OFF, second=by)
    return True
