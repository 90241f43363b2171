"""The archive's one packing task a run, with its entries and the disposals it sets free, in the same transactions."""

from __future__ import annotations

import base64
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection as Transaction
from sqlalchemy import select

from include.archive.facts import ObjectFacts
from include.archive.packing import pack
from include.archive.staging import ArchiveKeys
from include.archive.store import ArchiveStore
from include.connections import Connection
from include.database import disposal
from include.disposals.context import Context
from include.disposals.record import Change, apply, base_entry, utc_seconds
from include.evidence.log import stage
from include.outcomes import Outcome
from include.processors import Result

ENTRY_EVENTS = {
    "archive_written": "archive_written",
    "archive_held_copy": "archive_written",
    "archive_destroyed": "archive_destroyed",
    "archive_keys_gone": "key_destroyed",
    "archive_crypto_erased": "key_destroyed",
    "archive_read": "archive_read",
}
"""What the log records of an object's life; an abandoned or postponed attempt changes nothing anybody could rely on."""


def pack_staged(context: Context, store: Connection) -> dict[str, int]:
    """Pack every staged row into checked objects; return counts of objects, rows and subjects written."""

    def record(transaction: Transaction, facts: ObjectFacts) -> None:
        if facts.event in ENTRY_EVENTS:
            stage(transaction, [object_entry(context, facts)])

    def archived(transaction: Transaction, disposal_ids: Collection[UUID]) -> None:
        _mark_archived(transaction, context, disposal_ids)

    report = pack(
        context.engine,
        ArchiveStore.of(store),
        as_of=context.as_of,
        now=datetime.now(UTC),
        keys=ArchiveKeys.of(context.wrapper),
        owner=f"{context.dag_id}/{context.run_id}",
        record=record,
        archived=archived,
        storage_class=context.schedule.settings.archive.storage_class,
    )
    return {"objects": report.objects, "rows": report.rows, "subjects": report.subjects}


def object_entry(context: Context, facts: ObjectFacts) -> dict[str, Any]:
    """Return the entry about one archive object: by digest, never by name."""
    entry = base_entry(context, ENTRY_EVENTS[facts.event]) | {
        "rule_id": facts.rule_id,
        "object_digest": base64.b64decode(facts.sha256).hex(),
        "rows": facts.rows,
        "subjects": facts.subjects,
        "retain_until": utc_seconds(facts.retain_until),
        "last_day": facts.last_day.isoformat(),
        "destroy_by": facts.destroy_by.isoformat(),
        "storage_class": facts.storage_class.lower(),
    }
    if facts.method:
        entry["method"] = facts.method
    return entry


def _mark_archived(transaction: Transaction, context: Context, disposal_ids: Collection[UUID]) -> None:
    """Move located disposals whose last staged row is now in a checked object to `archived`."""
    rows = {
        str(r.disposal_id): r
        for r in transaction.execute(
            select(disposal).where(
                disposal.c.disposal_id.in_(list(disposal_ids)), disposal.c.outcome == str(Outcome.LOCATED)
            )
        )
    }
    changes = [
        Change(Result(i, Outcome.ARCHIVED, verify_method="head_checksum_and_lock"), due_at=r.due_at)
        for i, r in rows.items()
    ]
    apply(transaction, context, rows, changes)
