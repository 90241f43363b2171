"""The global stop: halts every act within one call, starts the breach clock, and is released only by two persons.

Too much destroyed is itself a reportable incident (loss and damage count, 개인정보 보호법 34; 72 hours by its Decree
39 and 40), so setting a stop starts that clock at once; releasing the stop does not end it, an assessment does.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Connection, Row, insert, select, update

from include.database import global_stop
from include.disposals import approvals
from include.disposals.approvals import Staff
from include.disposals.context import Context, Decision
from include.disposals.record import base_entry, utc_seconds
from include.errors import DecisionRefused
from include.evidence.log import stage

KIND = "release_stop"
REASONS = ("wrong_deletion", "wrong_plan", "wrong_schedule", "key_compromised", "processor_incident", "drill")
"""Why everything stops. A drill starts no breach clock."""
FINDINGS = ("reported_to_authority", "reported_to_subjects", "reported_to_both", "not_an_incident")
"""How a clock may end."""


@dataclass(frozen=True, slots=True)
class Clock:
    """A running breach clock: until when subjects and, where the law says so, the authority must have been told."""

    stop_id: UUID
    reason_code: str
    answer_by: datetime

    def hours_left(self, now: datetime) -> float:
        """Return the hours left, below zero when it has run out."""
        return (self.answer_by - now).total_seconds() / 3600


def set_stop(context: Context | Decision, *, reason_code: str, set_by: str, now: datetime | None = None) -> UUID:
    """Stop every act at once and start the breach clock; workers see it before their next call that changes anything.

    `set_by` is a role and a pseudonym (`compliance:e-0007`). While one stop stands another adds nothing.
    """
    if reason_code not in REASONS:
        raise DecisionRefused(f"A stop has one of these reasons: {', '.join(REASONS)}.")
    moment = now or datetime.now(UTC)
    hours = context.schedule.settings.breach_hours
    answer_by = None if reason_code == "drill" else moment + timedelta(hours=hours)
    with context.engine.begin() as connection:
        standing = current(connection)
        if standing is not None:
            return UUID(str(standing.stop_id))
        stop_id = uuid4()
        connection.execute(
            insert(global_stop).values(stop_id=stop_id, reason_code=reason_code, set_by=set_by, answer_by=answer_by)
        )
        clock = {"answer_by": utc_seconds(answer_by)} if answer_by else {}
        stage(connection, [base_entry(context, "stop_set") | {"code": reason_code, "actor": _actor(set_by)} | clock])
    return stop_id


def ask_release(context: Context | Decision, *, by: Staff, expires: datetime) -> UUID:
    """Ask for the release of the standing stop until `expires` (UTC); return the approval's id."""
    with context.engine.connect() as connection:
        standing = _standing(connection)
    return approvals.request(context, kind=KIND, digest=digest_of(standing.stop_id), by=by, expires=expires)


def decide_release(context: Context | Decision, approval_id: UUID, *, by: Staff | None, approved: bool) -> bool:
    """Record a second person's answer (None: nobody's) and release on an approval; return whether it is released."""
    with context.engine.connect() as connection:
        standing = _standing(connection)
    digest = digest_of(standing.stop_id)
    words = approvals.EXPIRED if by is None else approvals.APPROVED if approved else approvals.REJECTED
    approvals.decide(context, approval_id, by=by, decision=words, digest=digest)
    if words != approvals.APPROVED or by is None:
        return False
    with context.engine.begin() as connection:
        found = approvals.check(connection, kind=KIND, digest=digest, approval_id=approval_id)
        done = connection.execute(
            update(global_stop)
            .where(global_stop.c.stop_id == standing.stop_id, global_stop.c.released_at.is_(None))
            .values(released_by=f"{by.role}:{by.pseudonym}", released_at=datetime.now(UTC), approval_id=found)
        )
        if done.rowcount:
            stage(connection, [base_entry(context, "stop_released") | {"actor": by.entry(), "approved_sha256": digest}])
    return True


def assess(context: Context | Decision, stop_id: UUID, *, finding: str, by: str) -> None:
    """End a breach clock with what was found and done; the same again adds nothing."""
    if finding not in FINDINGS:
        raise DecisionRefused(f"An incident is assessed as one of: {', '.join(FINDINGS)}.")
    with context.engine.begin() as connection:
        done = connection.execute(
            update(global_stop)
            .where(global_stop.c.stop_id == stop_id, global_stop.c.assessed.is_(None))
            .values(assessed=finding, assessed_by=by, assessed_at=datetime.now(UTC))
        )
        if done.rowcount:
            stage(connection, [base_entry(context, "incident_assessed") | {"code": finding, "actor": _actor(by)}])
        elif not connection.execute(select(global_stop.c.stop_id).where(global_stop.c.stop_id == stop_id)).first():
            raise DecisionRefused(f"There is no stop {stop_id}. `python -m include.disposals status` shows its id.")


def current(connection: Connection) -> Row[Any] | None:
    """Return the stop that stands, if one does."""
    return connection.execute(select(global_stop).where(global_stop.c.released_at.is_(None))).first()


def clocks(connection: Connection) -> list[Clock]:
    """Return the breach clocks that nobody has ended, the first to run out first."""
    rows = connection.execute(
        select(global_stop)
        .where(global_stop.c.answer_by.is_not(None), global_stop.c.assessed.is_(None))
        .order_by(global_stop.c.answer_by)
    )
    return [Clock(row.stop_id, row.reason_code, row.answer_by) for row in rows]


def digest_of(stop_id: UUID) -> str:
    """Return the SHA-256 of what a release is approved for: this one stop."""
    return hashlib.sha256(f"{KIND}:{stop_id}".encode()).hexdigest()


def _standing(connection: Connection) -> Row[Any]:
    found = current(connection)
    if found is None:
        raise DecisionRefused("No stop stands, so there is nothing to release.")
    return found


def _actor(who: str) -> dict[str, str]:
    role, _, pseudonym = who.partition(":")
    return {"role": role, "pseudonym": pseudonym or "unknown"}
