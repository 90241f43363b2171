"""Tasks behind the forms by which people decide: the stop, holds, proofs, the ledger's signature.

Each checks its form, calls one room, and asks a second person where two are needed. No form has free text.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_URL, UUID, uuid5

from airflow.sdk import get_current_context, task

from include.errors import DecisionRefused
from include.forms import NO_PERSON
from include.tasks.decisions import (
    answer_of,
    answer_until,
    answered,
    deciding,
    form,
    requester,
    said_by,
    tell,
)  # fmt: skip

if TYPE_CHECKING:
    from include.disposals.context import Context


REFERENCE = f"^{NO_PERSON}[A-Za-z0-9][A-Za-z0-9/#-]{{3,39}}$"
METHODS = {
    "shred": "파쇄 · Shredded",
    "incinerate": "소각 · Burnt",
    "vendor_confirmation": "수탁사 확인 · Vendor's confirmation",
    "labels_removed": "라벨 제거 · Labels removed",
    "removed": "수기 삭제 · Removed by hand",
    "belongs_to_others": "타인의 기록 · Others' record",
    "redaction_enabled": "삭제(redaction) 기능 사용 설정됨 · Redaction was enabled",
    "deleted_and_looked_again": "삭제 후 재확인 · Deleted, and looked again",
}
"""How a manual order may have been carried out, as a form offers it; which fits is the order's own matter."""


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


@task(multiple_outputs=False)
def take_proof(known: list[str]) -> int:
    """Record a proof; return how many disposals it closed."""
    from functools import partial

    from include.disposals import manual as by_hand
    from include.tasks import site

    asked = form(known)
    proof = by_hand.Proof(
        asked["reference"], date.fromisoformat(asked["done_on"]), asked["method"], asked["executor"], asked["witness"]
    )
    with deciding() as context:
        who = requester(context)
        order = UUID(asked["order_id"])
        connect = partial(site, context, "paper") if asked["method"] in ("shred", "incinerate") else None
        closed = by_hand.answer(context, order, proof, by=f"{who.role}:{who.pseudonym}", connect=connect)
    print(f"{closed} disposals attested")  # noqa: T201
    return closed


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


# -- the ledger ----------------------------------------------------------------------------------------------------
@task(multiple_outputs=False)
def sign(known: list[str]) -> dict[str, int]:
    """Sign a month's ledger as the privacy officer; who may start this DAG is what makes somebody the officer here."""
    from include.disposals import approving

    asked = form(known)
    with deciding() as context:
        found = approving.sign_ledger(
            context,
            month=asked["month"],
            role=context.schedule.privacy_officer_role,
            pseudonym=requester(context).pseudonym,
        )
    print(", ".join(f"{code} {n}" for code, n in found.items()))  # noqa: T201
    return found


# -- a restore -----------------------------------------------------------------------------------------------------
@task.short_circuit(ignore_downstream_trigger_rules=False)
def reapply(run: dict[str, str], known: list[str]) -> bool:
    """Open again what a restore undid, and ask a second person about it; return whether there is anything."""
    from include.disposals import brake, resurfacing
    from include.disposals.record import base_entry
    from include.evidence.log import stage
    from include.tasks import opened, site
    from include.tasks.decisions import question

    asked = form(known)
    with opened(run) as context:
        place, since = site(context, asked["processor"]), date.fromisoformat(asked["restored_to"])
        found = resurfacing.reapply(context, asked["processor"], place, since=since, gate=UUID(run["run_id"]))
        entry = base_entry(context, "restored") | {
            "processor": asked["processor"], "until": since.isoformat(), "counts": {"reopened": found},
        }  # fmt: skip
        with context.engine.begin() as transaction:
            stage(transaction, [entry])
        said = brake.ask_about(
            context, UUID(run["run_id"]), reason="restore", by=requester(context),
            expires=answer_until(datetime.now(UTC)),
        )  # fmt: skip
    get_current_context()["ti"].xcom_push(key="question", value=question(said))
    print(f"{said.total} erasures are undone by the restore")  # noqa: T201
    return said.digest is not None


# -- the end of a contract -----------------------------------------------------------------------------------------
@task.short_circuit(ignore_downstream_trigger_rules=False)
def end_contract(run: dict[str, str], known: list[str]) -> bool:
    """Plan everything at a processor over its quota and ask a second person; return whether anything is new."""
    from include import processors
    from include.disposals import brake, offboarding
    from include.tasks import accounts_of, opened
    from include.tasks.decisions import question

    asked = form(known)
    name, ended_on = asked["processor"], date.fromisoformat(asked["ended_on"])
    with opened(run) as context:
        settings = context.schedule.processors[name].settings
        a_night = offboarding.subjects_a_night(
            processors.load(name).quotas,
            share=float(settings.get("quota_share", 0.5)),
            calls=int(settings.get("calls_per_subject", 12)),
        )
        every = accounts_of(context).every()
        ending = offboarding.plan_end(context, UUID(run["run_id"]), name, ended_on, a_night=a_night, account_ids=every)
        said = brake.ask_about(
            context, UUID(run["run_id"]), reason="processor_ended", by=requester(context),
            expires=answer_until(datetime.now(UTC)),
        )  # fmt: skip
    told = (
        f"{ending.subjects} subjects at {name}, {ending.a_night} a night by its quota: ends on {ending.estimated_end}."
    )
    print(told)  # noqa: T201
    get_current_context()["ti"].xcom_push(key="question", value=f"{told}\n\n{question(said)}")
    return said.digest is not None
