"""Tasks of one account by hand: identify, preview, approve, release, tell the person, certify.

The same engine as at night does the rest (`runs.carry_through`). What passes between tasks is a run reference, counts
and the preview, which holds nothing of the person; the account id is read from the run's own form each time.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from uuid import UUID

from airflow.providers.standard.operators.hitl import ApprovalOperator, HITLOperator
from airflow.sdk import get_current_context, task
from airflow.sdk.exceptions import AirflowFailException

from include import tasks
from include.errors import ConfigurationError, DecisionRefused, ProcessorError
from include.tasks import Run, opened, site
from include.tasks.request_form import checked
from include.tasks.runs import STORES

if TYPE_CHECKING:
    from include.disposals import Context
    from include.disposals.approvals import Staff
    from include.policy.requests import Asked, RequestPlan

ANSWER_WITHIN = timedelta(hours=24)
"""How long a second person has; silence is a refusal, and the request's own clock goes on."""
READ = {"DAGs": {"can_read"}, "DAG Runs": {"can_read"}}
ROLES = {
    "RetentionViewer": READ,
    "RetentionOperator": {"DAGs": {"can_read", "can_edit"}, "DAG Runs": {"can_read", "can_create"}},
    "RetentionApprover": {"DAGs": {"can_read", "can_edit"}, "DAG Runs": {"can_read"}},
    "RetentionCompliance": READ,
}
"""Only an operator starts one. To answer an approval is an edit of the DAG, for Airflow; HITL Detail is needed too."""


def _form() -> dict[str, Any]:
    """Return the values of this run's form, checked again: Airflow stores unknown keys without a word."""
    return checked(get_current_context()["dag_run"].conf or {})


def _me(context: Context, role: str = "operator") -> Staff:
    from include.disposals.approvals import staff

    name = get_current_context()["dag_run"].triggering_user_name
    if not name:
        raise DecisionRefused("Nobody's name stands on this run, so nobody could be told apart from the approver.")
    return staff(str(name), role, context.wrapper)


def _asked(form: dict[str, Any]) -> Asked:
    from include.policy.requests import Asked

    return Asked(
        form["kind"], date.fromisoformat(form["received_on"]), tuple(form["records"] or ()), form["child_age"],
        end_user=form["end_user_id"] or "", instruction=bool(form["instruction"]),
    )  # fmt: skip


def _plan(context: Context, form: dict[str, Any]) -> RequestPlan | None:
    """Return the plan, made anew from the sources; None for an id nobody has (any more)."""
    from include.disposals import holds, request_events
    from include.policy.requests import plan_request

    found = context.accounts.facts([form["account_id"]])
    if not found:
        return None
    with context.engine.connect() as transaction:
        placed = holds.placed(transaction, [form["account_id"]]).get(form["account_id"], [])
        facts = request_events.with_requests(transaction, found)[0]
    known = [*context.accounts.computed_holds([form["account_id"]]).get(form["account_id"], []), *placed]
    return plan_request(_asked(form), facts, context.schedule, known, context.as_of)


@task.short_circuit(ignore_downstream_trigger_rules=True)
def identify() -> Run:
    """Check the form, find the account, register the request with its clocks; end here when nothing is to be erased."""
    from include.disposals import begin_run, guards
    from include.policy.requests import Unfounded

    form, as_of = _form(), tasks.business_date()
    with opened({"run_id": "", "as_of": as_of.isoformat()}) as context:
        _check_date(context, as_of)
        with context.engine.connect() as transaction:
            guards.check_approved(transaction, context.schedule.sha256)
        refusal: Unfounded | None = None
        plan = None
        try:
            plan = _plan(context, form)
        except Unfounded as error:
            refusal = error
        if form["dry_run"]:
            return _dry(context, form, plan, refusal)
        if plan is None and refusal is None and not _known(context, form["account_id"]):
            raise AirflowFailException(_UNKNOWN)
        run_id = begin_run(context, airflow_run_id=str(get_current_context()["dag_run"].run_id))
    with opened({"run_id": str(run_id), "as_of": as_of.isoformat()}) as context:
        return _register(context, form, plan, refusal)


_UNKNOWN = (
    "No account has this id and nothing was ever erased under it. Nothing was registered; find the id with "
    "`python -m include.disposals find` and start again."
)


def _check_date(context: Context, as_of: date) -> None:
    """Refuse a business date that no run may work with, as the nightly run does."""
    import os

    from include import processors
    from include.disposals import runs

    names = (*STORES, *processors.names())
    runs.check_as_of(
        context.engine,
        as_of,
        seoul_today=datetime.now(tasks.SEOUL).date(),
        sandbox=os.environ.get("RETENTION_CLOCK") == "sandbox",
        connections=[c for c in map(tasks.connection_or_none, names) if c],
    )


def _known(context: Context, account_id: str) -> bool:
    """Whether something was erased under this id before."""
    from sqlalchemy import exists, select

    from include.database import among, disposal

    tags = list(context.tags.all(account_id).values())
    with context.engine.connect() as transaction:
        return bool(transaction.execute(select(exists().where(among(disposal.c.subject_tag, tags)))).scalar())


def _dry(context: Context, form: dict[str, Any], plan: RequestPlan | None, refusal: Any) -> Run:
    if refusal is not None:
        print(f"refused ({refusal.code}): {refusal}")  # noqa: T201
        return {}
    if plan is None:
        if not _known(context, form["account_id"]):
            raise AirflowFailException(_UNKNOWN)
        print("already erased: the company's database holds nothing under this id; nothing was changed")  # noqa: T201
        return {}
    if plan.kind.hold:
        print(f"dry run: a hold {plan.kind.hold} would be placed; nothing was changed")  # noqa: T201
        return {}
    return {"run_id": "", "as_of": context.as_of.isoformat()}


def _register(context: Context, form: dict[str, Any], plan: RequestPlan | None, refusal: Any) -> Run:
    """Put the request into the register and return the run, or nothing when it ends here."""
    from include.disposals import requests

    proven = form["identity_check"] != "not_proven"
    me = _me(context)
    intake = requests.Intake(
        account_id=form["account_id"],
        kind=form["kind"],
        channel=form["channel"],
        identity_check=form["identity_check"],
        received_on=date.fromisoformat(form["received_on"]),
        notice_by=form["notice_by"],
        relation_check=form["relation_check"] if form["kind"] == "guardian" else None,
        verifier=f"{me.role}:{me.pseudonym}" if form["kind"] == "guardian" else None,
        child_age=form["child_age"] if form["kind"] == "guardian" else None,
        end_user=form["end_user_id"] or "",
        instruction_sha256=sha256(form["instruction"].encode()).hexdigest() if form["instruction"] else None,
    )
    if not proven:
        status = requests.NOT_PROVEN
    elif refusal is not None:
        status = requests.REFUSED
    else:
        status = requests.RECEIVED if plan is not None else requests.ALREADY
    goes_on = status == requests.RECEIVED
    request_id = requests.receive(
        context,
        intake,
        plan if goes_on else None,
        by=me,
        airflow_run_id=str(get_current_context()["dag_run"].run_id),
        status=status,
        refusal=(refusal.code, refusal.law) if refusal is not None and proven else None,
    )
    print(f"request {request_id}: {status}")  # noqa: T201
    if goes_on and plan is not None and plan.kind.hold:
        _preserve(context, form, plan, request_id)
        return {}
    assert context.run_id is not None
    return {"run_id": str(context.run_id), "as_of": context.as_of.isoformat()} if goes_on else {}


def _preserve(context: Context, form: dict[str, Any], plan: RequestPlan, request_id: UUID) -> None:
    """Place the hold an order asks for, at once: waiting for a second person could lose what the order protects."""
    from include.disposals import holds, requests

    review = context.as_of + timedelta(days=context.schedule.settings.hold_review_days)
    me = _me(context)
    holds.place(
        context,
        account_id=form["account_id"],
        kind=str(plan.kind.hold),
        datasets=sorted({one.partition("/")[2] for one in form["records"]}),
        reason_code=plan.kind.id,
        placed_by=f"{me.role}:{me.pseudonym}",
        review_due=review,
        hold_id=request_id,
    )
    requests.certify(context, request_id)
    print(f"hold {request_id} placed until it is released in writing, to be reviewed by {review}")  # noqa: T201


@task
def places(run: Run) -> list[str]:
    """Return the processors the request reaches."""
    form = _form()
    with opened(run) as context:
        plan = _plan(context, form)
        return sorted({d.processor for d in plan.disposals}) if plan else []


@task(map_index_template="{{ label }}", multiple_outputs=False)
def preview(run: Run, processor: str) -> list[dict[str, Any]]:
    """Read what one place holds and say what would be done there; changes nothing."""
    from include.disposals import previews
    from include.disposals.looking import look

    get_current_context()["label"] = processor
    form = _form()
    with opened(run) as context:
        plan = _plan(context, form)
        planned = [d for d in plan.disposals if d.processor == processor] if plan else []
        try:
            return look(context, planned, partial(site, context, processor), end_user=form["end_user_id"] or "")
        except (ProcessorError, ConfigurationError) as error:
            # The place is shown as not read; what is found there later stops and is asked about.
            code = error.code if isinstance(error, ProcessorError) else "not_configured"
            print(f"{processor} could not be read: {error}")  # noqa: T201
            return [previews.line(d, context.schedule, code=code) for d in planned]


@task(multiple_outputs=False, trigger_rule="none_failed")
def present(run: Run, seen: Any) -> dict[str, Any]:
    """Compose the preview; outside a dry run store it and ask for its approval.

    A request that reaches nothing has no place to look at; it is shown, approved and answered all the same.
    """
    from include.disposals import approvals, previews, release, requests
    from include.disposals.requests import tags_of
    from include.policy.answers import answer_clocks, strictest

    form = _form()
    with opened(run) as context:
        plan = _plan(context, form)
        if plan is None:
            raise DecisionRefused("The account left while it was looked at. Nothing was done; start a new run.")
        epoch = context.tags.current_epoch(context.as_of)
        asked = _asked(form)
        shown = previews.body(
            plan,
            asked,
            [line for lines in seen or () for line in lines],
            context.schedule,
            clock=strictest(answer_clocks(asked.received_on, context.schedule)),
            subject_tag=tags_of(context, form["account_id"], asked.end_user)[epoch],
        )
        digest, text = previews.digest(shown), previews.markdown(shown, context.schedule)
        print(text)  # noqa: T201
        asked_id = None
        if context.run_id:
            with context.engine.connect() as transaction:
                row = requests.of_run(transaction, context.run_id)
            requests.keep_plan(context, row.request_id, shown, digest)
            asked_id = approvals.request(
                context, kind=release.KIND, digest=digest, by=_me(context), expires=datetime.now(UTC) + ANSWER_WITHIN
            )
    return {"preview": shown, "digest": digest, "body": text, "approval_id": str(asked_id) if asked_id else None}


@task.short_circuit(ignore_downstream_trigger_rules=True)
def really(shown: dict[str, Any]) -> bool:
    """End a dry run here, after its preview."""
    return shown["approval_id"] is not None


class Approval(ApprovalOperator):
    """An approval whose answer is data alone, `Reject` too.

    Airflow's own skips what follows a `Reject` and then leaves no answer behind, which nobody could tell from a task
    marked as success.
    """

    def execute_complete(self, context: Any, event: dict[str, Any]) -> Any:
        """Return the answer, whatever it is."""
        return HITLOperator.execute_complete(self, context, event)


def ask_for_approval() -> Approval:
    """Return the approval by a second person: silence and `Reject` release nothing."""
    return Approval(
        task_id="approve",
        subject="파기 승인 · Approve this erasure? ({{ params.kind }}, {{ params.account_id }})",
        body="{{ ti.xcom_pull(task_ids='present')['body'] }}",
        defaults="Reject",
        response_timeout=ANSWER_WITHIN,
        # An answer given within seconds of the question can be lost by Airflow; then it asks again.
        retries=3,
        retry_delay=timedelta(seconds=5),
    )


@task.short_circuit(ignore_downstream_trigger_rules=True, retries=0)
def release(run: Run, shown: dict[str, Any], decision: dict[str, Any] | None) -> Run:
    """Record the decision; hand the run out only with an approval of this very preview by somebody else."""
    from include.disposals import release as releasing
    from include.disposals import requests

    form = _form()
    with opened(run) as context:
        with context.engine.connect() as transaction:
            row = requests.of_run(transaction, UUID(run["run_id"]))
        if not _approved(context, row, decision, UUID(shown["approval_id"]), shown["digest"]):
            return {}
        plan = _plan(context, form)
        if plan is None:
            raise DecisionRefused("The account left before the release. Nothing was done; start a new run.")
        count = releasing.release(context, row, plan.disposals, end_user=form["end_user_id"] or "")
    print(f"{count} disposals released")  # noqa: T201
    return run


def _approved(context: Context, row: Any, decision: Any, approval_id: UUID, digest: str) -> bool:
    """Record the answer under its approval and return whether it is one; the requester's own raises."""
    from include.disposals import approvals, requests

    if decision is None:
        raise DecisionRefused("There is no answer to the approval (a task marked as success proves nothing).")
    user = (decision.get("responded_by_user") or {}).get("name")
    yes = ApprovalOperator.APPROVE in decision["chosen_options"]
    by = approvals.staff(str(user), "approver", context.wrapper) if user else None
    word = approvals.EXPIRED if by is None else approvals.APPROVED if yes else approvals.REJECTED
    if by is None and yes:
        raise DecisionRefused("The approval names nobody. Nothing was released; ask again.")
    approvals.decide(context, approval_id, by=by, decision=word, digest=digest)
    if word == approvals.APPROVED:
        return True
    if row.status in requests.DECIDABLE:
        with context.engine.begin() as transaction:
            requests.set_status(
                transaction,
                row.request_id,
                requests.REJECTED if word == approvals.REJECTED else requests.EXPIRED,
            )
    print(f"not released ({word}); the request stays open and is due {row.due}: ask again or answer it")  # noqa: T201
    return False
