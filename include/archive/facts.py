"""What callers are told about an object, to be recorded as evidence in the same transaction. No personal data in it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from include.outcomes import Outcome


@dataclass(frozen=True, slots=True)
class ObjectFacts:
    """One thing that happened to one object of the archive.

    Events: `archive_written` (checked), `archive_abandoned` (never counted as written; its keys are gone),
    `archive_destroy_attempted`, `archive_destroyed`, `archive_keys_gone` (the last backup with its keys has expired),
    `archive_retained` (lock or hold), `archive_held_copy` (a held subject's own object), `archive_hold_released`,
    `archive_crypto_erase_attempted`, `archive_crypto_erased` (one subject's key destroyed before the object's day),
    `archive_crypto_erase_confirmed`, `archive_read`.
    """

    event: str
    outcome: Outcome
    object_key: str
    rule_id: str
    window_end: date
    rows: int
    subjects: int
    sha256: str
    retain_until: datetime
    last_day: date
    destroy_by: date
    storage_class: str
    version_id: str | None = None
    method: str | None = None
    basis: str | None = None
    until: date | None = None
    count: int | None = None
    archive_tag: str | None = None
    purpose: str | None = None
    role: str | None = None


Recorder = Callable[[Connection, ObjectFacts], None]
"""Stages evidence in the transaction it is given; must not call anything outside the database."""

Archived = Callable[[Connection, Collection[UUID]], None]
"""Is told, in the same transaction, which disposals wait for nothing any more."""


def facts_of(row: Any, event: str, outcome: Outcome, **more: Any) -> ObjectFacts:
    """Return the facts of one row of `archive_object`."""
    given = {
        "rows": row.rows,
        "subjects": row.subjects,
        "version_id": row.version_id,
    } | more
    return ObjectFacts(
        event=event,
        outcome=outcome,
        object_key=row.object_key,
        rule_id=row.rule_id,
        window_end=row.window_end,
        sha256=row.sha256,
        retain_until=row.retain_until,
        last_day=row.last_day,
        destroy_by=row.destroy_by,
        storage_class=row.storage_class,
        **given,
    )
