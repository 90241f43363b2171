"""What is checked in the last moment before an act; Airflow's own state proves nothing.

The business date against `free_from`, the global stop, the schedule's approval, and the holds: ours re-read under the
account lock, the computed ones read from the accounts database right before, with their read time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import date

from sqlalchemy import Connection, Engine, select

from include.database import global_stop, schedule_version
from include.disposals.approving import approve_schedule, remember_schedule
from include.errors import DecisionRefused

__all__ = [
    "approve_schedule",
    "approved_versions",
    "check_approved",
    "check_not_stopped",
    "check_running",
    "remember_schedule",
]


def check_approved(connection: Connection, sha256: str, as_of: date | None = None) -> None:
    """Raise `DecisionRefused` unless the schedule version with this sha256 was approved, and governs on `as_of`."""
    approved = connection.execute(
        select(schedule_version.c.approved_at, schedule_version.c.body, schedule_version.c.effective_on).where(
            schedule_version.c.sha256 == sha256
        )
    ).first()
    if approved is None or approved.approved_at is None:
        raise DecisionRefused(
            f"Schedule version {sha256[:12]} is not approved. The privacy officer approves it with "
            "`python -m include.disposals approve-schedule --role … --pseudonym …`; nothing was done."
        )
    if as_of is not None and approved.effective_on is not None and approved.effective_on > as_of:
        raise DecisionRefused(
            f"Schedule version {sha256[:12]} governs only from {approved.effective_on}. Until then name the earlier "
            "file in RETENTION_SCHEDULE; nothing was done."
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


def check_running(engine: Engine) -> None:
    """Raise `DecisionRefused` while the global stop is set, asked on a connection of its own."""
    with engine.connect() as connection:
        check_not_stopped(connection)


def approved_versions(connection: Connection) -> Mapping[str, bool]:
    """Return `{sha256: approved}` of every stored schedule version."""
    rows = connection.execute(select(schedule_version.c.sha256, schedule_version.c.approved_at))
    return {row.sha256: row.approved_at is not None for row in rows}
