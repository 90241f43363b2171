"""The register of requests (권리행사 처리대장): received, decided, carried out, answered; each step with its entry.

    request_id = receive(context, intake, plan, run_id=run_id)
    release(context, request_id, disposals)              # only with an approval of the plan's digest
    ...                                                  # the processor groups, as at night
    note_notice(context, request_id, "mail"); certify(context, request_id)

No names, no documents, no free text: reasons are codes, people are role and pseudonym, the subject is a tag. The
account id leaves once nothing of the request needs it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Connection, Row, func, insert, select, update

from include.database import among, disposal
from include.database.requests import request
from include.disposals.approvals import Staff
from include.disposals.claims import lock_accounts
from include.disposals.context import Context
from include.disposals.record import base_entry
from include.disposals.request_events import NOT_TOLD, PENDING, SENDING
from include.errors import DecisionRefused, NotAccepted
from include.evidence.log import stage
from include.policy.answers import Alert, Clock, alert, answer_clocks, section, strictest
from include.policy.requests import RequestPlan

RECEIVED, APPROVED, NOTIFIED, ANSWERED = "received", "approved", "notified", "answered"
NOT_PROVEN, REFUSED, WITHDRAWN, ALREADY = "identity_not_proven", "refused", "withdrawn", "already_erased"
SUPERSEDED = "superseded"
REJECTED, EXPIRED = "approval_rejected", "approval_expired"
DECIDABLE = (RECEIVED, NOT_PROVEN, REFUSED, ALREADY, REJECTED, EXPIRED)
"""Statuses in which nothing was released yet, so that a request may still be refused, withdrawn or asked anew."""


@dataclass(frozen=True, slots=True)
class Intake:
    """What an operator records of a request: codes, a date, and for a guardian how the relation was checked."""

    account_id: str = field(repr=False)
    kind: str
    channel: str
    identity_check: str
    received_on: date
    notice_by: str
    relation_check: str | None = None
    verifier: str | None = None
    child_age: int | None = None
    end_user: str = field(default="", repr=False)
    instruction_sha256: str | None = None

    def tags(self, context: Context) -> dict[str, str]:
        """Return the tags of whom it is about, by epoch: the account, or one end user of it."""
        return tags_of(context, self.account_id, self.end_user)


def tags_of(context: Context, account_id: str, end_user: str = "") -> dict[str, str]:
    """Return the tags of an account under every live epoch, or of one end user of it."""
    if not end_user:
        return context.tags.all(account_id)
    return context.tags.all(f"{account_id}/{end_user}", kind="end_user")


def receive(
    context: Context,
    intake: Intake,
    plan: RequestPlan | None,
    *,
    by: Staff,
    airflow_run_id: str,
    status: str = RECEIVED,
    refusal: tuple[str, str] | None = None,
) -> UUID:
    """Record a request with every clock that runs; the same run again gets the same id. `refusal` is (code, law)."""
    clocks = answer_clocks(intake.received_on, context.schedule)
    first = strictest(clocks)
    epoch = context.tags.current_epoch(context.as_of)
    with context.engine.begin() as connection:
        known = connection.execute(select(request.c.request_id).where(request.c.run_id == context.run_id)).scalar()
        if known:
            return UUID(str(known))
        lock_accounts(connection, [intake.account_id])
        _supersede(connection, context, intake)
        row = {
            "request_id": uuid4(),
            "account_id": intake.account_id,
            "subject_tag": intake.tags(context)[epoch],
            "key_epoch": epoch,
            **{name: getattr(intake, name) for name in _INTAKE},
            "clocks": [_clock(c) for c in clocks],
            "due": first.due,
            "legal_due": first.legal_due,
            "due_rule": first.rule,
            "status": status,
            "reason_code": refusal[0] if refusal else None,
            "law": refusal[1] if refusal else None,
            "notice_state": PENDING if plan and not plan.kind.hold else "none",
            "overrides": bool(plan and plan.kind.overrides),
            "terminated_on": plan.terminated_on if plan else None,
            "datasets": list(plan.datasets) if plan else [],
            "run_id": context.run_id,
            "airflow_run_id": airflow_run_id,
        }
        connection.execute(insert(request).values(row))
        received = _entry(context, row, "request_received", code=intake.kind, actor=by.entry())
        received |= {"basis": intake.channel, "until": first.due.isoformat()}
        if intake.instruction_sha256:
            received["receipt_sha256"] = intake.instruction_sha256
        received["verify_method"] = intake.relation_check or intake.identity_check
        about = {"guardian": "child", "end_user": "end_user"}.get(intake.kind)
        stage(connection, [received | ({"subject_type": about} if about else {})])
    return UUID(str(row["request_id"]))


def _supersede(connection: Connection, context: Context, intake: Intake) -> None:
    """Close what an earlier run registered of the very same request and never released: this run asks anew."""
    connection.execute(
        update(request)
        .where(
            request.c.account_id == intake.account_id,
            request.c.kind == intake.kind,
            request.c.received_on == intake.received_on,
            among(request.c.subject_tag, list(intake.tags(context).values())),
            request.c.closed_on.is_(None),
            among(request.c.status, DECIDABLE),
        )
        .values(status=SUPERSEDED, closed_on=context.as_of, account_id=None)
    )


_INTAKE = (
    "kind", "channel", "identity_check", "received_on", "notice_by", "relation_check", "verifier", "child_age",
)  # fmt: skip


def _clock(clock: Clock) -> dict[str, str]:
    return {
        "rule": clock.rule,
        "due": clock.due.isoformat(),
        "legal_due": clock.legal_due.isoformat(),
        "law": clock.law,
        "article": clock.article,
        "duty": clock.duty,
    }


def _entry(context: Context, row: Any, event: str, **fields: Any) -> dict[str, Any]:
    identity = {
        "subject_tag": row["subject_tag"],
        "key_epoch": row["key_epoch"],
        "request_id": str(row["request_id"]),
    }
    return base_entry(context, event) | identity | {k: v for k, v in fields.items() if v is not None}


def of_run(connection: Connection, run_id: UUID) -> Row[Any]:
    """Return the request a run works on, or raise `DecisionRefused`."""
    row = connection.execute(select(request).where(request.c.run_id == run_id)).first()
    if row is None:
        raise DecisionRefused("This run has no request in the register. Start a new run.")
    return row


def keep_plan(context: Context, request_id: UUID, preview: Mapping[str, Any], digest: str) -> None:
    """Store what a second person is asked about."""
    with context.engine.begin() as connection:
        connection.execute(
            update(request).where(request.c.request_id == request_id).values(plan=dict(preview), plan_digest=digest)
        )


def set_status(connection: Connection, request_id: UUID, status: str) -> None:
    """Set the status of an open request."""
    connection.execute(update(request).where(request.c.request_id == request_id).values(status=status))


def conclude(
    context: Context,
    request_id: UUID,
    status: str,
    *,
    by: Staff,
    reason_code: str | None = None,
    law: str | None = None,
    objection: str | None = None,
) -> None:
    """Close a request of which nothing was released: refused, withdrawn, identity not proven, or nothing held.

    A refusal names a reason code, a law and the route of objection (PIPA 36, Decree 43(3)).
    """
    if status not in (REFUSED, WITHDRAWN, NOT_PROVEN, ANSWERED):
        raise DecisionRefused(f"{status!r} is no way to conclude a request by hand.")
    if status == REFUSED and not (reason_code and law and objection):
        raise DecisionRefused("A refusal names a reason code, the law and the route of objection. Give all three.")
    with context.engine.begin() as connection:
        row = connection.execute(select(request).where(request.c.request_id == request_id).with_for_update()).first()
        if row is None:
            raise DecisionRefused(f"There is no request {request_id}. Look at the register.")
        if row.closed_on is not None and row.status == status:
            return
        if status == ANSWERED and row.status != ALREADY:
            raise DecisionRefused("Only a request of somebody erased before is answered this way. Run erase_account.")
        if row.closed_on is not None or row.status not in DECIDABLE:
            raise DecisionRefused(
                f"Request {request_id} is {row.status}: it was released already, and what is erased cannot be refused."
            )
        connection.execute(
            update(request)
            .where(request.c.request_id == request_id)
            .values(
                status=status, reason_code=reason_code, law=law, objection=objection, closed_on=context.as_of,
                account_id=None,
            )
        )  # fmt: skip
        answered = _entry(context, row._mapping, "request_answered", code=status, actor=by.entry())
        stage(connection, [answered | ({"basis": reason_code} if reason_code else {})])


def confirm(context: Context, request_id: UUID, *, by: Staff) -> None:
    """Record that the person was told the request came in (11 CCR 7021(a)); it stays open. Again it adds nothing."""
    with context.engine.begin() as connection:
        row = connection.execute(select(request).where(request.c.request_id == request_id).with_for_update()).first()
        if row is None or row.closed_on is not None:
            raise DecisionRefused(f"There is no open request {request_id} to confirm. Look at the register.")
        if row.confirmed_on is None:
            connection.execute(
                update(request).where(request.c.request_id == request_id).values(confirmed_on=context.as_of)
            )
            stage(connection, [_entry(context, row._mapping, "request_confirmed", actor=by.entry())])


def tell(context: Context, request_id: UUID, send: Callable[[], None]) -> None:
    """Mail the notice at most once: what is about to be sent is committed before, and that it was sent after.

    `send` raises `NotAccepted` where the server certainly took nothing; then it may be sent again. Any other error and
    a process that dies leave `sending`: somebody has to look whether the mail went out.
    """
    _set_notice(context, request_id, was=PENDING, now=SENDING)
    try:
        send()
    except NotAccepted:
        _set_notice(context, request_id, was=SENDING, now=PENDING)
        raise
    note_notice(context, request_id, "mail")


def _set_notice(context: Context, request_id: UUID, *, was: str, now: str) -> None:
    c = request.c
    with context.engine.begin() as connection:
        changed = connection.execute(
            update(request).where(c.request_id == request_id, c.notice_state == was).values(notice_state=now)
        )
    if changed.rowcount != 1:
        raise DecisionRefused(f"The notice of this request is not {was} any more. Nothing was sent; look at its page.")


def note_notice(
    context: Context, request_id: UUID, how: str, *, by: Staff | None = None, receipt: str | None = None
) -> None:
    """Record that the person was told (`mail`, `post`, `phone`), and set free what held the address.

    `by` attested it, with the SHA-256 of a reference number as `receipt`.
    """
    with context.engine.begin() as connection:
        row = connection.execute(select(request).where(request.c.request_id == request_id).with_for_update()).one()
        if row.notice_state not in NOT_TOLD:
            return
        connection.execute(
            update(request)
            .where(request.c.request_id == request_id)
            .values(notice_state="sent", noticed_on=context.as_of, status=NOTIFIED)
        )
        stage(
            connection,
            [
                _entry(
                    context,
                    row._mapping,
                    "notice_sent",
                    code=how,
                    actor=by.entry() if by else None,
                    receipt_sha256=receipt,
                )
            ],
        )
        connection.execute(
            update(disposal)
            .where(disposal.c.account_id == row.account_id, disposal.c.code == "notice_first")
            .values(due_at=context.as_of)
        )


def certify(context: Context, request_id: UUID) -> None:
    """Close an answered request: `request_answered`, the date from which its run's configuration counts down."""
    with context.engine.begin() as connection:
        row = connection.execute(select(request).where(request.c.request_id == request_id).with_for_update()).one()
        if row.closed_on is not None:
            return
        partly = bool(row.plan and row.plan["refused"])
        connection.execute(
            update(request)
            .where(request.c.request_id == request_id)
            .values(status=ANSWERED, closed_on=context.as_of, certified_at=func.now())
        )
        answered = _entry(context, row._mapping, "request_answered", code="partly_refused" if partly else ANSWERED)
        basis = row.plan["refused"][0]["code"] if partly else None
        stage(connection, [answered | ({"basis": basis} if basis else {})])


def forget(context: Context, known: Sequence[str]) -> int:
    """Clear the account ids that no request needs any more; return how many.

    A termination keeps its id until the company's register records it (`known` are the accounts still live there).
    """
    with context.engine.begin() as connection:
        done = connection.execute(
            update(request)
            .where(
                request.c.account_id.is_not(None),
                request.c.closed_on.is_not(None),
                request.c.terminated_on.is_(None) | ~among(request.c.account_id, list(known)),
            )
            .values(account_id=None)
        )
        return done.rowcount


def runs_to_keep(context: Context, before: datetime) -> set[str]:
    """Return the Airflow runs whose configuration is still needed: not answered, or certified after `before`."""
    with context.engine.connect() as connection:
        rows = connection.execute(
            select(request.c.airflow_run_id).where(
                request.c.airflow_run_id.is_not(None),
                request.c.closed_on.is_(None) | (request.c.certified_at > before),
            )
        )
        return set(rows.scalars())


@dataclass(frozen=True, slots=True)
class Due:
    """One unanswered request whose clock is near or over; nothing in it is about a person."""

    request_id: str
    kind: str
    status: str
    alert: Alert
    duty: str = "answer"

    def __str__(self) -> str:
        when = f"{-self.alert.days_left} days late" if self.alert.overdue else f"{self.alert.days_left} days left"
        what = f"request {self.request_id} ({self.kind}, {self.status})"
        due = "due" if self.duty == "answer" else "receipt to be confirmed"
        return f"{what}: {due} {self.alert.due} by {self.alert.rule}, {when}"


def deadline_alerts(context: Context) -> list[Due]:
    """Return every clock of an unanswered request that ends within the schedule's `alert_days`, or has ended.

    Each law's clock is told when its own day is near: a request late under one law is not yet late under another.
    """
    if context.schedule.requests is None:
        return []
    days = section(context.schedule).alert_days
    with context.engine.connect() as connection:
        rows = connection.execute(
            select(request).where(request.c.closed_on.is_(None)).order_by(request.c.due, request.c.request_id)
        ).all()
    found = []
    for row in rows:
        for stored in row.clocks:
            clock = _stored(stored)
            near = alert(clock, context.as_of, days=days)
            if near and (clock.duty == "answer" or row.confirmed_on is None):
                found.append(Due(str(row.request_id), row.kind, row.status, near, clock.duty))
    return found


def _stored(clock: Mapping[str, str]) -> Clock:
    days = (date.fromisoformat(clock["due"]), date.fromisoformat(clock["legal_due"]))
    return Clock(clock["rule"], *days, clock["law"], clock["article"], clock.get("duty", "answer"))
