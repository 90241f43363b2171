"""One object of the archive from planned to proven: the state in our database follows what the store shows.

writing    rows are assigned, keys and the planned digest committed; the object may or may not be there
checked    HEAD showed digest and lock; in the same transaction the rows left, links and evidence were written
abandoned  it was not there or not as planned; its keys are destroyed and its rows are packed again
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Engine, and_, bindparam, delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert

from include.archive import backups
from include.archive.facts import Archived, Recorder, facts_of
from include.archive.keyring import ArchiveKeys
from include.archive.staging import GATE
from include.archive.store import ArchiveStore, Head, Plan
from include.database import (
    among,
    archive_key,
    archive_link,
    archive_object,
    archive_record,
    archive_row,
    archive_wait,
    global_stop,
)
from include.errors import ArchiveError, ArchiveUnreachable, DecisionRefused
from include.outcomes import Outcome

ONE_PACKER = 0x5041434B  # "PACK": a session lock, so that two runs never pack or lapse at the same time


@dataclass(frozen=True, slots=True)
class Archive:
    """What packing and lapsing need from outside."""

    engine: Engine
    store: ArchiveStore
    keys: ArchiveKeys
    as_of: date
    now: datetime
    record: Recorder
    archived: Archived = lambda _connection, _disposal_ids: None
    storage_class: str = "GLACIER_IR"


@contextmanager
def alone(engine: Engine, *, without_staging: bool = False) -> Iterator[None]:
    """Hold the archive's session lock; it goes with the connection, so a killed task does not keep it.

    With `without_staging` nothing is staged meanwhile either.
    """
    locks = (ONE_PACKER, GATE) if without_staging else (ONE_PACKER,)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        try:
            for key in locks:
                connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": key})
            yield
        finally:
            connection.execute(text("SELECT pg_advisory_unlock_all()"))


def refuse_when_stopped(connection: Connection) -> None:
    """Raise `DecisionRefused` while the global stop is set; read in the transaction of an intent."""
    stop = connection.scalar(select(global_stop.c.reason_code).where(global_stop.c.released_at.is_(None)).limit(1))
    if stop:
        raise DecisionRefused(f"The global stop is set ({stop}). Nothing is destroyed until it is released.")


def ceil_second(moment: datetime) -> datetime:
    """Return the next full second: stores cut fractions off, and a lock may not end early."""
    return moment if moment.microsecond == 0 else moment.replace(microsecond=0) + timedelta(seconds=1)


def plan_of(row: Any) -> Plan:
    """Return what the object of one `archive_object` row must be."""
    return Plan(
        key=row.object_key,
        sha256=row.sha256,
        storage_class=row.storage_class,
        retain_until=None if row.legal_hold else row.retain_until,
        legal_hold=row.legal_hold,
    )


def object_row(connection: Connection, object_key: str) -> Any:
    """Return one row of `archive_object`."""
    return connection.execute(select(archive_object).where(archive_object.c.object_key == object_key)).one()


def rows_of(objects: Collection[Any]) -> ColumnElement[bool]:
    """Return which staged rows are assigned to these objects; each has `object_key`, `rule_id` and `window_end`.

    They are found by their groups: were `object_key` in an index, assigning a row would write all its indexes anew.
    """
    c = archive_row.c
    return and_(
        among(c.rule_id, {o.rule_id for o in objects}),
        among(c.window_end, {o.window_end for o in objects}),
        among(c.object_key, {o.object_key for o in objects}),
    )


def abandon(archive: Archive, row: Any) -> None:
    """Destroy the keys of an object that is not as planned and give its rows back; remove it where no lock forbids."""
    with archive.engine.begin() as connection:
        connection.execute(delete(archive_key).where(archive_key.c.object_key == row.object_key))
        connection.execute(update(archive_row).where(rows_of([row])).values(object_key=None))
        connection.execute(
            update(archive_object).where(archive_object.c.object_key == row.object_key).values(state="abandoned")
        )
        archive.record(connection, facts_of(row, "archive_abandoned", Outcome.FAILED))
    backups.forget(archive.store, archive.keys, row)


def settle(archive: Archive, row: Any) -> bool:
    """Look at the store for what an earlier run left in `writing`: finish or abandon it, and return which.

    An object that is there, and whose keys are in no backup, was abandoned before our database was restored.
    """
    try:
        head = archive.store.prove(plan_of(row))
    except ArchiveUnreachable:
        raise
    except ArchiveError:
        head = None
    if head is None or not backups.listed(archive.store, archive.keys, row):
        abandon(archive, row)
        return False
    finish(archive, [(row, head)])
    return True


def finish(archive: Archive, proven: Sequence[tuple[Any, Head]]) -> None:
    """Mark proven objects checked: their rows leave, links, digests and evidence are written, in one transaction."""
    if not proven:
        return
    assigned = rows_of([row for row, _ in proven])
    with archive.engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:gate)"), {"gate": GATE})
        connection.execute(
            update(archive_object)
            .where(archive_object.c.object_key == bindparam("proven_key"))
            .values(state="checked", checked_at=func.now(), version_id=bindparam("proven_version")),
            [{"proven_key": row.object_key, "proven_version": head.version_id} for row, head in proven],
        )
        disposals = _link(connection, assigned)
        _remember(connection, assigned)
        connection.execute(delete(archive_row).where(assigned))
        for row, head in proven:
            event = "archive_held_copy" if row.legal_hold else "archive_written"
            archive.record(connection, facts_of(row, event, Outcome.ARCHIVED, version_id=head.version_id))
        archive.archived(connection, _free(connection, disposals))


def _link(connection: Connection, assigned: ColumnElement[bool]) -> list[UUID]:
    """Turn waits for these rows into links to their objects; return the disposals that had one."""
    r, w = archive_row.c, archive_wait.c
    here = (assigned, r.record_sha256 == w.record_sha256, r.rule_id == w.rule_id)
    connection.execute(
        insert(archive_link)
        .from_select(["disposal_id", "object_key"], select(w.disposal_id, r.object_key).where(*here).distinct())
        .on_conflict_do_nothing()
    )
    gone = connection.scalars(delete(archive_wait).where(*here).returning(w.disposal_id))
    return sorted(set(gone))


def _remember(connection: Connection, assigned: ColumnElement[bool]) -> None:
    c = archive_row.c
    names = ["record_sha256", "rule_id", "fingerprint", "archive_tag", "object_key"]
    connection.execute(
        insert(archive_record)
        .from_select(names, select(*(c[n] for n in names)).where(assigned))
        .on_conflict_do_nothing()
    )


def _free(connection: Connection, disposals: list[UUID]) -> list[UUID]:
    w = archive_wait.c
    still = set(
        connection.scalars(select(w.disposal_id).distinct().where(w.disposal_id == func.any(disposals)))
        if disposals
        else ()
    )
    return [d for d in disposals if d not in still]
