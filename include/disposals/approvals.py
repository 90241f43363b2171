"""Approvals (승인): what a second person agreed to, bound to the digest of exactly that.

    asked = request(context, kind="erase_account", digest=d, by=staff(name, "operator", wrapper), expires=moment)
    decide(context, asked, by=staff(other, "approver", wrapper), decision=APPROVED, digest=d)
    check(connection, kind="erase_account", digest=d)           # raises unless that very digest was approved

Four eyes are compared by login *name*, which stays in table `approval` for the schedule's `requests.names_days` and is
then its pseudonym; the log gets a role and a pseudonym from the start. Airflow's own state (mark success, clear) proves
nothing here: only a row with the digest does.
"""

from __future__ import annotations

import hmac
import re
import unicodedata
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Connection, Row, func, insert, select, update

from include.database import approval
from include.disposals.context import Context, Decision
from include.disposals.record import base_entry
from include.errors import DecisionRefused
from include.evidence.entries import DIGEST, is_code
from include.evidence.log import stage
from include.keys import Wrapper

APPROVED = "approved"
REJECTED = "rejected"
EXPIRED = "expired"
LETTERS = str.maketrans("0123456789abcdef", "abcdefghijklmnop")
"""A pseudonym is spelled in letters, so that it can never look like a telephone number."""
PSEUDONYM = re.compile("e-[a-p]{12}")


@dataclass(frozen=True, slots=True)
class Staff:
    """One employee: the login `name` to compare (never in evidence, never printed), a role and a pseudonym."""

    name: str = field(repr=False)
    role: str
    pseudonym: str

    def __post_init__(self) -> None:
        if not normal(self.name) or not is_code(self.role) or not is_code(self.pseudonym):
            raise DecisionRefused("Name who acts: a login name, a role and a pseudonym such as e-0007.")

    def entry(self) -> dict[str, str]:
        """Return the employee as entries carry them."""
        return {"role": self.role, "pseudonym": self.pseudonym}


def staff(name: str, role: str, wrapper: Wrapper) -> Staff:
    """Return the employee behind a login name, with the pseudonym our key gives that name, always the same one."""
    digest = hmac.new(wrapper.derive("staff-pseudonym"), normal(name).encode(), sha256).hexdigest()
    return Staff(name, role, f"e-{digest[:12].translate(LETTERS)}")


def normal(name: str) -> str:
    """Return a login name as it is compared: NFC, without case and outer blanks."""
    return unicodedata.normalize("NFC", name or "").strip().casefold()


def request(
    context: Context | Decision,
    *,
    kind: str,
    digest: str,
    by: Staff,
    expires: datetime,
    approval_id: UUID | None = None,
) -> UUID:
    """Ask for an approval of `digest` (64 hex characters) until `expires` (UTC); return its id.

    The same `approval_id` asked again for the same digest adds nothing; for another digest it is refused.
    """
    _check_words(kind, digest)
    identity = approval_id or uuid4()
    with context.engine.begin() as connection:
        known = connection.execute(select(approval).where(approval.c.approval_id == identity)).first()
        if known is not None:
            if (known.kind, known.digest) != (kind, digest):
                raise DecisionRefused(f"Approval {identity} was asked for something else. Ask anew, with a new id.")
            return identity
        connection.execute(
            insert(approval).values(
                approval_id=identity, kind=kind, digest=digest, requested_by=normal(by.name), expires=expires
            )
        )
        stage(connection, [_entry(context, "approval_requested", identity, kind, digest, by)])
    return identity


def decide(context: Context | Decision, approval_id: UUID, *, by: Staff | None, decision: str, digest: str) -> None:
    """Record a decision, or raise `DecisionRefused`: an unknown id, another digest, the requester themselves, too late.

    `by` is None only for `expired`: nobody answered. The same decision by the same person again adds nothing.
    """
    with context.engine.begin() as connection:
        row = connection.execute(
            select(approval).where(approval.c.approval_id == approval_id).with_for_update()
        ).first()
        if row is None:
            raise DecisionRefused(f"There is no approval {approval_id} to decide. Start the run again.")
        if row.digest != digest:
            raise DecisionRefused("What was approved is not what was asked: the digests differ. Look at a new preview.")
        if row.decision is not None:
            if (row.decision, row.decided_by) == (decision, normal(by.name) if by else None):
                return
            raise DecisionRefused(f"Approval {approval_id} is decided already ({row.decision}). Ask anew.")
        _check_decision(row, by, decision)
        now = datetime.now(UTC)
        connection.execute(
            update(approval)
            .where(approval.c.approval_id == approval_id)
            .values(decision=decision, decided_by=normal(by.name) if by else None, decided_at=now)
        )
        event = "approval_expired" if by is None else decision
        stage(connection, [_entry(context, event, approval_id, row.kind, digest, by)])


def _check_decision(row: Row[Any], by: Staff | None, decision: str) -> None:
    if decision not in (APPROVED, REJECTED, EXPIRED) or (by is None) != (decision == EXPIRED):
        raise DecisionRefused("A decision is approved or rejected by a person, or expired by nobody.")
    if decision == APPROVED and by is not None and normal(by.name) == row.requested_by:
        raise DecisionRefused(
            "The requester may not approve their own request. Nothing was released; ask a second person."
        )
    if decision == APPROVED and datetime.now(UTC) > row.expires:
        raise DecisionRefused(f"The approval was asked until {row.expires:%Y-%m-%d %H:%M} UTC. Ask anew.")


def check(connection: Connection, *, kind: str, digest: str, approval_id: UUID | None = None) -> UUID:
    """Return the approval of exactly this digest, or raise `DecisionRefused`. A later rejection of it wins."""
    statement = select(approval).where(approval.c.kind == kind, approval.c.digest == digest)
    if approval_id is not None:
        statement = statement.where(approval.c.approval_id == approval_id)
    row = connection.execute(
        statement.where(approval.c.decision.is_not(None)).order_by(approval.c.decided_at.desc()).limit(1)
    ).first()
    if row is None or row.decision != APPROVED or not row.decided_by:
        raise DecisionRefused(
            f"No approval of {kind} {digest[:12]} stands. Nothing was released; a second person approves it first."
        )
    if row.decided_by == row.requested_by:
        raise DecisionRefused("Requester and approver are the same person. Nothing was released.")
    return UUID(str(row.approval_id))


def forget_names(context: Context, before: datetime) -> int:
    """Replace the login names of approvals that were over before a moment (UTC) by pseudonyms; return how many.

    Requester and approver stay two: the same name gives the same pseudonym, and evidence carries it already.
    """
    over = func.coalesce(approval.c.decided_at, approval.c.expires) < before
    with context.engine.begin() as connection:
        names = set()
        for column in (approval.c.requested_by, approval.c.decided_by):
            found = connection.execute(select(column).where(over, column.is_not(None)).distinct()).scalars()
            names |= {n for n in found if not PSEUDONYM.fullmatch(n)}
        changed = 0
        for name in sorted(names):
            known = staff(name, "operator", context.wrapper).pseudonym
            for column in (approval.c.requested_by, approval.c.decided_by):
                done = connection.execute(update(approval).where(over, column == name).values({column: known}))
                changed += done.rowcount
    return changed


def _check_words(kind: str, digest: str) -> None:
    if not is_code(kind) or not DIGEST(digest):
        raise DecisionRefused("An approval needs a kind (a code word) and the SHA-256 of what is approved.")


def _entry(
    context: Context | Decision, event: str, identity: UUID, kind: str, digest: str, by: Staff | None
) -> dict[str, Any]:
    entry = base_entry(context, event) | {"approval_id": str(identity), "code": kind, "approved_sha256": digest}
    return entry | ({"actor": by.entry()} if by else {})
