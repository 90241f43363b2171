"""What is checked in the last moment before an act; Airflow's own state proves nothing.

The business date against `free_from`, the global stop, the schedule's approval, and the holds: ours re-read under the
account lock, the computed ones read from the accounts database right before, with their read time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from uuid import uuid4

from sqlalchemy import Connection, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from include.database import global_stop, schedule_version
from include.disposals.context import Context, Decision
from include.disposals.record import base_entry
from include.errors import DecisionRefused
from include.evidence.log import stage


def approve_schedule(context: Context | Decision, *, role: str, pseudonym: str) -> None:
    """Let the schedule in `context` govern: the privacy officer's `policy_approved` entry over its sha256 and the
    policy text's.
    """
    officer = context.schedule.privacy_officer_role
    if role != officer:
        raise DecisionRefused(f"Only the role {officer!r} may approve a schedule; {role!r} may not.")
    with context.engine.begin() as connection:
        remember_schedule(connection, context)
        done = connection.execute(
            update(schedule_version)
            .where(schedule_version.c.sha256 == context.schedule.sha256, schedule_version.c.approved_at.is_(None))
            .values(approved_by=f"{role}:{pseudonym}", approved_at=func.now())
        )
        if done.rowcount:
            stage(
                connection,
                [
                    base_entry(context, "policy_approved")
                    | {
                        "policy_text_sha256": context.schedule.policy_text_sha256,
                        "actor": {"role": role, "pseudonym": pseudonym},
                    }
                ],
            )


def remember_schedule(connection: Connection, context: Context | Decision) -> None:
    """Store the schedule's bytes under its sha256, unapproved."""
    connection.execute(
        upsert(schedule_version)
        .values(
            sha256=context.schedule.sha256,
            policy_text_sha256=context.schedule.policy_text_sha256,
            body=context.schedule.body,
        )
        .on_conflict_do_nothing()
    )


def check_approved(connection: Connection, sha256: str) -> None:
    """Raise `DecisionRefused` unless the schedule version with this sha256 was approved."""
    approved = connection.execute(
        select(schedule_version.c.approved_at, schedule_version.c.body).where(schedule_version.c.sha256 == sha256)
    ).first()
    if approved is None or approved.approved_at is None:
        raise DecisionRefused(
            f"Schedule version {sha256[:12]} is not approved. The privacy officer approves it with "
            "`python -m include.disposals approve-schedule --role … --pseudonym …`; nothing was done."
        )
    if hashlib.sha256(approved.body).hexdigest() != sha256:
        raise DecisionRefused(
            f"The stored schedule {sha256[:12]} does not match its digest. Nothing was done; call the privacy officer."
        )


def check_not_stopped(connection: Connection) -> None:
    """Raise `DecisionRefused` while the global stop is set."""
    stop = connection.execute(select(global_stop.c.reason_code).where(global_stop.c.released_at.is_(None))).scalar()
    if stop:
        raise DecisionRefused(f"The global stop is set ({stop}). Nothing is acted on until it is released.")


def set_stop(context: Context | Decision, *, reason_code: str, set_by: str) -> None:
    """Stop every act at once; workers see it before their next call."""
    with context.engine.begin() as connection:
        connection.execute(insert(global_stop).values(stop_id=uuid4(), reason_code=reason_code, set_by=set_by))
        stage(connection, [base_entry(context, "stop_set") | {"code": reason_code}])


def release_stop(context: Context | Decision, *, released_by: str) -> None:
    """Release the global stop."""
    with context.engine.begin() as connection:
        done = connection.execute(
            update(global_stop)
            .where(global_stop.c.released_at.is_(None))
            .values(released_by=released_by, released_at=func.now())
        )
        if done.rowcount:
            stage(connection, [base_entry(context, "stop_released")])


def approved_versions(connection: Connection) -> Mapping[str, bool]:
    """Return `{sha256: approved}` of every stored schedule version."""
    rows = connection.execute(select(schedule_version.c.sha256, schedule_version.c.approved_at))
    return {row.sha256: row.approved_at is not None for row in rows}
