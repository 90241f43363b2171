"""Batches stage what a law keeps: reduced, encrypted, in the caller's transaction, as often as they like.

Each staged row is one record under one law, sealed under a data key of its own. A record that was staged or archived
before with the same content and the same last day adds nothing; a changed one replaces the staged row, or is staged
anew when the earlier content is already in a locked object. `archive_wait` remembers which disposal relies on which
record: until all of them lie in checked objects the disposal may not act (`unpacked`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import Connection, func, select, text, tuple_
from sqlalchemy.dialects.postgresql import insert

from include.archive.keyring import ArchiveKeys
from include.archive.rows import ArchivedRow, SourceRecord, reduce, window_end
from include.database import archive_link, archive_record, archive_row, archive_wait, disposal
from include.keys import Sealed, open_sealed, seal_bytes
from include.policy.terms import record_terms

if TYPE_CHECKING:
    from include.policy.schedule import Schedule
    from include.policy.terms import RecordTerm

__all__ = ["ArchiveKeys", "open_staged", "ready", "stage", "unpacked"]

GATE = 0x41524348  # "ARCH": held shared by staging, alone by the packing's last transaction


@dataclass(frozen=True, slots=True)
class _Staged:
    record_sha256: str
    fingerprint: str
    term: RecordTerm
    body: bytes = field(repr=False)

    @property
    def key(self) -> tuple[str, str, str]:
        return self.record_sha256, self.term.rule_id, self.fingerprint


def stage(
    connection: Connection,
    *,
    disposal_id: str | UUID,
    account_id: str,
    subject_type: str,
    consumer_like: bool,
    records: Sequence[SourceRecord],
    schedule: Schedule,
    as_of: date,
    keys: ArchiveKeys,
    terms_of: Callable[..., Iterable[RecordTerm]] = record_terms,
) -> int:
    """Stage the records of one disposal and return how many rows it now waits for.

    Call it before changing disposal rows in the same transaction: packing takes the same two locks in that order.
    A record whose every clock has run out by `as_of` has no basis left and is not archived.
    """
    disposal_id = UUID(str(disposal_id))
    connection.execute(text("SELECT pg_advisory_xact_lock_shared(:gate)"), {"gate": GATE})
    processor = connection.scalar(select(disposal.c.processor).where(disposal.c.disposal_id == disposal_id))
    tag = keys.tag(account_id)
    staged: dict[tuple[str, str], _Staged] = {}
    for record in records:
        terms = terms_of(
            kind=record.kind,
            dates=record.dates,
            subject_type=subject_type,
            consumer_like=consumer_like,
            offshore=record.offshore,
            schedule=schedule,
        )
        identity = keys.record(str(processor), record.kind, record.source_id)
        for term in terms:
            items = reduce(record, term) if term.free_from > as_of else {}
            if items:
                row = ArchivedRow(term.rule_id, record.kind, subject_type, term.last_day, items)
                body = row.encode()
                fingerprint = keys.fingerprint([identity, tag, body.decode()])
                staged[identity, term.rule_id] = _Staged(identity, fingerprint, term, body)
    return _write(connection, disposal_id, tag, [staged[k] for k in sorted(staged)], keys) if staged else 0


def unpacked(connection: Connection, disposal_ids: Collection[str | UUID]) -> set[UUID]:
    """Return the disposals that still wait for a record of theirs to lie in a checked object."""
    ids = [UUID(str(i)) for i in disposal_ids]
    if not ids:
        return set()
    found = connection.scalars(
        select(archive_wait.c.disposal_id).distinct().where(archive_wait.c.disposal_id == func.any(ids))
    )
    return set(found)


def ready(connection: Connection, disposal_ids: Collection[str | UUID]) -> set[UUID]:
    """Return the disposals for which everything a law keeps lies in checked objects (or nothing was to be kept)."""
    return {UUID(str(i)) for i in disposal_ids} - unpacked(connection, disposal_ids)


def open_staged(row: Any, keys: ArchiveKeys) -> bytes:
    """Return the plaintext of one row of `archive_row`."""
    sealed = Sealed(wrapped_key=row.wrapped_key, nonce=row.nonce, ciphertext=row.ciphertext)
    return open_sealed(sealed, keys.wrapper, _context(row.record_sha256, row.rule_id))


def _context(record_sha256: str, rule_id: str) -> str:
    return f"archive-row:{rule_id}:{record_sha256}"


def _write(connection: Connection, disposal_id: UUID, tag: str, staged: Sequence[_Staged], keys: ArchiveKeys) -> int:
    packed = _already_packed(connection, staged)
    if packed:
        connection.execute(
            insert(archive_link).on_conflict_do_nothing(),
            [{"disposal_id": disposal_id, "object_key": key} for key in sorted(set(packed.values()))],
        )
    new = [s for s in staged if s.key not in packed]
    if not new:
        return 0
    _upsert(connection, disposal_id, tag, new, keys)
    connection.execute(
        insert(archive_wait).on_conflict_do_nothing(),
        [{"disposal_id": disposal_id, "record_sha256": s.record_sha256, "rule_id": s.term.rule_id} for s in new],
    )
    return len(new)


def _already_packed(connection: Connection, staged: Sequence[_Staged]) -> dict[tuple[str, str, str], str]:
    c = archive_record.c
    rows = connection.execute(
        select(c.record_sha256, c.rule_id, c.fingerprint, c.object_key).where(
            tuple_(c.record_sha256, c.rule_id, c.fingerprint).in_([s.key for s in staged])
        )
    )
    return {(r.record_sha256, r.rule_id, r.fingerprint): r.object_key for r in rows}


def _upsert(connection: Connection, disposal_id: UUID, tag: str, staged: Sequence[_Staged], keys: ArchiveKeys) -> None:
    values = []
    for item in staged:
        sealed = seal_bytes(item.body, keys.wrapper, _context(item.record_sha256, item.term.rule_id))
        values.append(
            {
                "disposal_id": disposal_id,
                "record_sha256": item.record_sha256,
                "fingerprint": item.fingerprint,
                "archive_tag": tag,
                "rule_id": item.term.rule_id,
                "last_day": item.term.last_day,
                "free_from_utc": item.term.free_from_utc,
                "destroy_by": item.term.destroy_by,
                "window_end": window_end(item.term.last_day),
                "nonce": sealed.nonce,
                "ciphertext": sealed.ciphertext,
                "wrapped_key": sealed.wrapped_key,
                "object_key": None,
            }
        )
    statement = insert(archive_row)
    changed = {name: statement.excluded[name] for name in values[0] if name not in ("record_sha256", "rule_id")}
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["record_sha256", "rule_id"],
            set_=changed,
            where=archive_row.c.fingerprint != statement.excluded.fingerprint,
        ),
        values,
    )
