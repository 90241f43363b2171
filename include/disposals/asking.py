"""What `python -m include.evidence` needs of the rooms above the log: the company's tag keys and its schedule in force.

The evidence room knows neither keys nor policy, so that it could be lifted out; only its command line asks this file.
"""

from __future__ import annotations

import os
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path

from sqlalchemy import Engine, or_, select

from include import keys
from include.connections import Connection
from include.database import schedule_version
from include.disposals.reporting import rules, schedules_in
from include.policy import schedule as schedules
from include.policy.schedule import Schedule

SEOUL = timezone(timedelta(hours=9))


def tags_connection() -> Connection:
    """Return the connection `evidence_tags`, from the environment as Airflow has it."""
    return Connection.from_environment("evidence_tags", else_=", or name a folder of key files, --keys")


def tag_keys() -> dict[str, bytes]:
    """Return the tag keys by year that connection `evidence_tags` names, decrypted by a KMS where it says so."""
    return keys.epochs(tags_connection())


def in_force(engine: Engine, on: date | None = None) -> Schedule:
    """Return the schedule that governs: the newest approved one of the database, else the file a run would use.

    The database comes first because a file can be named by whoever starts the command.
    """
    day = on or datetime.now(UTC).astimezone(SEOUL).date()
    path = os.environ.get("RETENTION_SCHEDULE") or None
    with engine.connect() as connection:
        body = connection.execute(
            select(schedule_version.c.body)
            .where(
                schedule_version.c.approved_at.is_not(None),
                or_(schedule_version.c.effective_on.is_(None), schedule_version.c.effective_on <= day),
            )
            .order_by(schedule_version.c.approved_at.desc())
            .limit(1)
        ).scalar()
    if body is None:
        return schedules.load(path)
    folder = Path(path).parent if path else schedules.PACKAGE
    return schedules.parse(bytes(body), file="schedule in force", folder=folder)


def rules_file(engine: Engine) -> dict[str, object]:
    """Return the plain data of `rules.json` over every stored schedule, as an export would hold it."""
    return dict(rules(schedules_in(engine)))
