"""The archive's two tasks: packing what a night staged, and destroying on its day what every basis has outlived.

Their entries, and the disposals a packed object sets free, change in the same transactions.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Collection
from datetime import UTC, date, datetime
from uuid import UUID

from sqlalchemy import Connection as Transaction
from sqlalchemy import func, select

from include.archive.disposal import lapse
from include.archive.entries import EVENTS, entry_of
from include.archive.facts import ObjectFacts, Recorder
from include.archive.holding import computed, placed
from include.archive.packing import pack
from include.archive.staging import ArchiveKeys
from include.archive.store import ArchiveStore
from include.connections import Connection
from include.database import among, archive_object, disposal, entry, run
from include.disposals.context import Context
from include.disposals.guards import check_approved
from include.disposals.record import Change, apply, base_entry
from include.disposals.runs import finish_run
from include.evidence.log import stage
from include.outcomes import Outcome
from include.processors import Result


def pack_staged(context: Context, store: Connection) -> dict[str, int]:
    """Pack every staged row into checked objects; return counts of objects, rows and subjects written."""

    def archived(transaction: Transaction, disposal_ids: Collection[UUID]) -> None:
        _mark_archived(transaction, context, disposal_ids)

    report = pack(
        context.engine,
        ArchiveStore.of(store),
        as_of=context.as_of,
        now=datetime.now(UTC),
        keys=ArchiveKeys.of(context.wrapper),
        owner=f"{context.dag_id}/{context.run_id}",
        record=_recorder(context),
        archived=archived,
        storage_class=context.schedule.settings.archive.storage_class,
    )
    return {"objects": report.objects, "rows": report.rows, "subjects": report.subjects}


def lapse_due(context: Context, store: Connection) -> dict[str, int]:
    """Destroy what every basis has outlived, and close the run with what became of it.

    Holds are those that reach the datasets of the object's law: our own, re-read in the transaction of the intent, and
    the computed ones of every account the company still has.
    """
    now = datetime.now(UTC)
    with context.engine.connect() as connection:
        check_approved(connection, context.schedule.sha256, context.as_of)
    held = context.accounts.computed_holds(context.accounts.held_accounts(context.as_of))
    report = lapse(
        context.engine,
        ArchiveStore.of(store),
        as_of=context.as_of,
        now=now,
        keys=ArchiveKeys.of(context.wrapper),
        record=_recorder(context),
        placed=placed(context.schedule, context.as_of),
        computed=computed(context.schedule, context.as_of, held),
        key_backup_days=context.schedule.settings.archive.key_backup_days,
    )
    counts = {
        "destroyed": report.destroyed,
        "versions": report.versions,
        "held_copies": report.copied,
        "keys_confirmed": report.confirmed,
        "retained": len(report.retained),
    }
    if context.run_id:
        finish_run(context, context.run_id, {f"archive.{name}": count for name, count in counts.items()})
    return counts


def outlived(context: Context, *, now: datetime) -> list[str]:
    """Return, in words without anybody in them, what outlived its basis and was neither destroyed nor kept to a date.

    Kept counts only with an `archive_retained` entry of this run: a lock that still runs, a hold whose review is not
    overdue, or a restore asked for.
    """
    c = archive_object.c
    with context.engine.connect() as connection:
        rows = connection.execute(
            select(archive_object)
            .where(c.state.in_(("checked", "destroying")), c.last_day < context.as_of)
            .order_by(c.rule_id, c.last_day)
        ).all()
        begun = connection.execute(select(run).where(run.c.run_id == context.run_id)).first()
        kept = _retained(connection, begun.first_entry) if begun else {}
    found = [] if begun and begun.finished_at else ["the archive run did not finish"]
    for row in rows:
        basis, until = kept.get(base64.b64decode(row.sha256).hex(), ("", date.min))
        if until < (now.date() if basis == "lock" else context.as_of):
            why = f"{basis} overdue since {until}" if basis else row.state
            found.append(f"{row.rule_id} of {row.last_day}, to be destroyed by {row.destroy_by} ({why})")
    return found


def _retained(connection: Transaction, first_entry: int) -> dict[str, tuple[str, date]]:
    """Return what a run recorded as retained: object digest to basis and date."""
    bodies = connection.execute(
        select(entry.c.body).where(
            entry.c.entry_id >= first_entry,
            func.convert_from(entry.c.body, "UTF8").like('%"event":"archive_retained"%'),
        )
    ).scalars()
    return {e["object_digest"]: (e["basis"], date.fromisoformat(e["until"])) for e in map(json.loads, bodies)}


def _recorder(context: Context) -> Recorder:
    def record(transaction: Transaction, facts: ObjectFacts) -> None:
        if facts.event in EVENTS:
            stage(transaction, [entry_of(facts, base_entry(context, EVENTS[facts.event]))])

    return record


def _mark_archived(transaction: Transaction, context: Context, disposal_ids: Collection[UUID]) -> None:
    """Move located disposals whose last staged row is now in a checked object to `archived`."""
    rows = {
        str(r.disposal_id): r
        for r in transaction.execute(
            select(disposal).where(
                among(disposal.c.disposal_id, disposal_ids), disposal.c.outcome == str(Outcome.LOCATED)
            )
        )
    }
    changes = [
        Change(Result(i, Outcome.ARCHIVED, verify_method="head_checksum_and_lock"), due_at=r.due_at)
        for i, r in rows.items()
    ]
    apply(transaction, context, rows, changes)
