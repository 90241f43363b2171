"""How one account by hand ends: differences asked again, the person told, the address erased, the certificate.

A notice that fails is tried again until one day before the limit, then a person is asked; only what holds the address
waits for it, because somebody who is erased can no longer be reached.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from uuid import UUID

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import Param, RetryDecision, RetryPolicy, get_current_context, task

from include import tasks
from include.errors import DecisionRefused, MailUnknown, NotAccepted, RetentionError
from include.tasks import Run, connection, notice_mail, opened, runs
from include.tasks.request_form import REFERENCE
from include.tasks.requests import ANSWER_WITHIN, Approval, _approved, _me

if TYPE_CHECKING:
    from include.disposals import Context

TRY_AGAIN = timedelta(hours=1)
SENT = {
    "Sent by post · 우편 발송": "post",
    "Told by telephone · 전화 안내": "phone",
    "The mail server's log shows the mail went out · 메일 서버 기록으로 발송 확인": "mail",
}
"""What a person may attest, and how the person was told then."""


class EveryHour(RetryPolicy):
    """A notice that failed is tried again every hour; the task itself ends the tries on the day before the limit."""

    def evaluate(self, exception: BaseException, try_number: int, max_tries: int, context: Any = None) -> RetryDecision:
        """Return the decision; only the class of the error is named, because a mail server quotes addresses."""
        return RetryDecision.retry(TRY_AGAIN, type(exception).__name__)

    def serialize(self) -> dict[str, Any]:
        """Return the (empty) state Airflow stores with the DAG."""
        return {}

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> EveryHour:
        """Return the policy again."""
        return cls()


def _row(context: Context) -> Any:
    from include.disposals import requests

    if context.run_id is None:
        raise DecisionRefused("This is a dry run; it has no request.")
    with context.engine.connect() as transaction:
        return requests.of_run(transaction, context.run_id)


# -- more than was approved --------------------------------------------------------------------------------------
@task.short_circuit(task_id="differences", ignore_downstream_trigger_rules=False, trigger_rule="all_done")
def differences(run: Run) -> dict[str, Any]:
    """Ask for another approval where more was found than the preview showed; nothing when there is no such place."""
    from include.disposals import approvals, previews
    from include.disposals import release as releasing

    with opened(run) as context:
        row = _row(context)
        with context.engine.connect() as transaction:
            found = releasing.differences(transaction, row.request_id)
        if not found:
            return {}
        shown = {
            "plan": row.plan_digest,
            "more": [[str(f.disposal_id), f.approved_count, f.found_count] for f in found],
        }
        digest = previews.digest(shown)
        asked = approvals.request(
            context, kind=releasing.KIND, digest=digest, by=_me(context), expires=datetime.now(UTC) + ANSWER_WITHIN
        )
        lines = [
            f"- {previews.place(context.schedule, f.processor)}, {f.scope_id} ({', '.join(f.categories)}): "
            f"{f.found_count} (승인 · approved {f.approved_count if f.approved_count is not None else '?'})"
            for f in found
        ]
    return {"digest": digest, "approval_id": str(asked), "body": "\n".join(lines)}


def ask_about_differences() -> Approval:
    """Return the second question: records that were found after the preview."""
    return Approval(
        task_id="approve_more",
        subject="미리보기 이후 추가 발견 · More was found than was approved",
        body="{{ ti.xcom_pull(task_ids='differences')['body'] }}",
        defaults="Reject",
        response_timeout=ANSWER_WITHIN,
        retries=3,
        retry_delay=timedelta(seconds=5),
    )


@task(task_id="release_more", trigger_rule="none_failed", retries=0)
def release_more(run: Run) -> int:
    """Let the stopped disposals go on; the hourly run takes them up. Return how many."""
    from include.disposals import release as releasing

    ti = get_current_context()["ti"]
    shown, decision = ti.xcom_pull(task_ids="differences"), ti.xcom_pull(task_ids="approve_more")
    if not shown or decision is None:
        return 0
    with opened(run) as context:
        row = _row(context)
        if not _approved(context, row, decision, UUID(shown["approval_id"]), shown["digest"]):
            return 0
        with context.engine.connect() as transaction:
            found = releasing.differences(transaction, row.request_id)
        releasing.release_more(context, row, found, shown["digest"])
    return len(found)


# -- the notice --------------------------------------------------------------------------------------------------
@task(trigger_rule="all_done", retries=2000, retry_policy=EveryHour(), execution_timeout=timedelta(minutes=5))
def notice(run: Run) -> str:
    """Send the notice by mail from proven outcomes; return `sent`, `none`, or `ask` when a person must see to it.

    A mail that may or may not have gone out is not sent again: a person looks in the mail server's log.
    """
    from include.disposals import notices, requests
    from include.disposals import release as releasing
    from include.disposals.request_events import NOT_TOLD, SENDING
    from include.policy.answers import last_notice_day, section

    with opened(run) as context:
        row = _row(context)
        if row.notice_state not in NOT_TOLD:
            return row.notice_state if row.notice_state == "none" else "sent"
        with context.engine.connect() as transaction:
            rows = releasing.items(transaction, row.request_id)
        told = notices.compose(row.plan, rows, context.schedule)
        if row.notice_by != "mail" or row.notice_state == SENDING:
            perhaps = f"{notice_mail.perhaps(row.request_id)}\n\n" if row.notice_state == SENDING else ""
            print(f"{perhaps}{told.text}")  # noqa: T201
            return "ask"
        address = _address(context, row)
        try:
            if address is None:
                raise NotAccepted("There is no address to send the notice to.")
            requests.tell(context, row.request_id, lambda: notice_mail.send(str(address), told, row.request_id))
        except NotAccepted:
            today = datetime.now(tasks.SEOUL).date()
            margin = section(context.schedule).notice_margin_days
            if address is None or max(today, context.as_of) >= last_notice_day(row.due, margin=margin):
                print(told.text)  # noqa: T201
                return "ask"
            raise
        except MailUnknown as error:
            print(f"{error}\n\n{told.text}")  # noqa: T201
            return "ask"
    return "sent"


def _address(context: Context, row: Any) -> str | None:
    """Read the address at its source; it stays in this process."""
    from include.policy.answers import section

    contact = section(context.schedule).contact
    place = contact.guardian_address if row.kind == "guardian" else contact.address
    found = context.accounts.address(row.account_id, place)
    return found if found and "@" in found else None


@task.short_circuit(ignore_downstream_trigger_rules=False, trigger_rule="all_done")
def must_attest(told: str) -> bool:
    """Whether a person must send the notice and say so."""
    return told == "ask"


def attest() -> HITLOperator:
    """Return the question to a person: send it, then give the reference number. It waits as long as it takes."""
    return HITLOperator(
        task_id="attest",
        subject="결과 통지 확인 · Send the notice and attest it ({{ params.kind }}, {{ params.account_id }})",
        body=(
            "통지문은 작업 `notice`의 로그에 있습니다. 보낸 뒤 등기번호 또는 통화 기록번호를 적으세요. 발송 여부를 "
            "알 수 없는 메일은 메일 서버 기록에서 Message-ID로 찾아 큐 번호를 적으세요. · "
            "The text is in the log of task `notice`. Send it, then give the number of the registered letter or of the "
            "call record. A mail that may have gone out stands in the mail server's log under the Message-ID of its "
            "request; give its queue number."
        ),
        options=list(SENT),
        params={
            "reference": Param(
                None,
                type=["null", "string"],
                pattern=REFERENCE,
                title="참조 번호 · Reference number",
                description="A-Z, 0-9, -",
            )
        },
        retries=3,
        retry_delay=timedelta(seconds=5),
    )


@task(task_id="notice_sent", trigger_rule="none_failed")
def notice_sent(run: Run, told: str) -> str:
    """Record that the person was told, by mail or as attested, and set free what holds the address."""
    import re

    from include.disposals import approvals, requests

    with opened(run) as context:
        row = _row(context)
        if told != "ask":
            return told
        said = get_current_context()["ti"].xcom_pull(task_ids="attest")
        user = ((said or {}).get("responded_by_user") or {}).get("name")
        reference = str(((said or {}).get("params_input") or {}).get("reference", ""))
        if not user or not re.fullmatch(REFERENCE, reference):
            raise DecisionRefused("The attestation needs a person and a reference number. Clear task attest.")
        how = SENT[said["chosen_options"][0]]
        requests.note_notice(
            context,
            row.request_id,
            how,
            by=approvals.staff(str(user), "operator", context.wrapper),
            receipt=sha256(reference.encode()).hexdigest(),
        )
    return how


# -- the end -----------------------------------------------------------------------------------------------------
@task(trigger_rule="none_failed")
def answer(run: Run) -> str:
    """Close the request: it is answered, whatever still waits with its date."""
    from include.disposals import requests
    from include.disposals.request_events import NOT_TOLD

    with opened(run) as context:
        row = _row(context)
        if row.notice_state in NOT_TOLD:
            raise DecisionRefused("The person was not told yet, so the request is not answered.")
        requests.certify(context, row.request_id)
    return "answered"


@task(task_id="certificate")
def certificate(run: Run, exported: str) -> str:
    """Write the certificate of this subject beside an export of its own; return the folder."""
    from include.disposals.people_export import export_asked

    with opened(run) as context:
        row = _row(context)
        folder = export_asked(
            context,
            connection("evidence_signing"),
            connection("evidence_store"),
            asked={"subject_tag": row.subject_tag, "from": context.as_of.isoformat()},
            full=False,
            name=str(row.request_id),
        )
    return str(folder)


@task(task_id="report", trigger_rule="all_done", retries=0, multiple_outputs=False)
def judge(run: Run, exported: str | None, certified: str | None) -> dict[str, int]:
    """Compare what was approved with what is proven; raise on any gap."""
    from include.disposals import release as releasing
    from include.disposals.scan.search import gaps as unscanned

    with opened(run) as context:
        row = _row(context)
        missing = unscanned(context, UUID(run["run_id"]), always=False)
        missing += releasing.gaps(context, row, exported=exported is not None, certified=certified is not None)
        with context.engine.connect() as transaction:
            for one in releasing.items(transaction, row.request_id):
                words = " ".join(filter(None, (one.outcome, one.code, str(one.until or ""))))
                print(f"{one.processor:>14}  {one.scope_id:<18} {words}")  # noqa: T201
    if missing:
        raise RetentionError("Approved and not proven: " + "; ".join(missing) + ". The hourly run goes on from there.")
    return {"gaps": 0}


def finish(run: Any, own_batches: Any, acted: list[Any]) -> Any:
    """Wire notice, address and answer behind the acts of every place; return the last of them."""
    told = notice(run)
    acted >> told
    asked = attest()
    must_attest(told) >> asked
    sent = notice_sent(run, told)
    asked >> sent
    erased = runs.advance.override(task_id="erase_contact", pool="own_database", trigger_rule="all_success").partial(
        run=run, processor="own_database"
    )
    contact = erased.expand(batch_id=contact_batches(sent, own_batches))
    done = answer.override(trigger_rule="all_done")(run)
    contact >> done
    asked_more, more = ask_about_differences(), release_more(run)
    acted >> differences(run) >> asked_more >> more
    return done


@task(task_id="contact_batches")
def contact_batches(sent: str, batch_ids: list[str]) -> list[str]:
    """Return the own database's batches once more: what held the address is due now."""
    return list(batch_ids)


def judged(run: Any, exported: Any) -> None:
    """Wire the certificate and the leaf, which also waits for the second question."""
    leaf = judge(run, exported, certificate(run, exported))
    leaf.operator.dag.get_task("release_more") >> leaf
