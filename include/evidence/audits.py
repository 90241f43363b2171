"""What the daily audit said, kept so that people can see the last one without looking into a task's log."""

from __future__ import annotations

from datetime import date
from typing import Any

from sqlalchemy import Connection, Engine, Row, func, insert, select, update

from include.database.finding import log_audit
from include.evidence.audit import Audit


def keep(engine: Engine, done: Audit, *, as_of: date, more: tuple[str, ...] = ()) -> int:
    """Keep an audit with its findings (and `more` found beside the log); return its id."""
    with engine.begin() as connection:
        return int(
            connection.execute(
                insert(log_audit)
                .values(
                    as_of=as_of,
                    log_size=done.size,
                    log_root=done.root,
                    checkpoints=done.checkpoints,
                    stamped=done.stamped,
                    findings=[*done.findings, *more],
                )
                .returning(log_audit.c.audit_id)
            ).scalar_one()
        )


def mailed(connection: Connection, audit_id: int) -> None:
    """Note that the root of an audit left for the privacy officer's mailbox."""
    connection.execute(update(log_audit).where(log_audit.c.audit_id == audit_id).values(mailed_at=func.now()))


def last(connection: Connection, *, only_mailed: bool = False) -> Row[Any] | None:
    """Return the newest audit, or the newest whose root was mailed; None where there is none."""
    chosen = select(log_audit).order_by(log_audit.c.audit_id.desc()).limit(1)
    if only_mailed:
        chosen = chosen.where(log_audit.c.mailed_at.is_not(None))
    return connection.execute(chosen).first()
