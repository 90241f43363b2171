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

__all__ = ["ArchiveKeys", "Prepared", "open_staged", "prepare", "ready", "stage", "unpacked", "write"]

GATE = 0x41524348  # "ARCH": held shared by staging, alone by the packing's last transaction
LOOK_UP = 5000  # three parameters a row; PostgreSQL allows 65,535 in a statement


@dataclass(frozen=True, slots=True)
class _Staged:
    record_sha256: str
    fingerprint: str
    term: RecordTerm
    body: bytes = field(repr=False)

    @property
    def key(self) -> tuple[str, str, str]:
        return self.record_sha256, self.term.rule_id, self.fingerprint


@dataclass(frozen=True, slots=True)
class Prepared:
    """What the laws keep of one disposal's records: reduced, not yet written."""

    disposal_id: UUID
    archive_tag: str
    rows: tuple[_Staged, ...]


def prepare(
    *,
    disposal_id: str | UUID,
    processor: str,
    account_id: str,
    subject_type: str,
    consumer_like: bool,
    records: Sequence[SourceRecord],
    schedule: Schedule,
    as_of: date,
    keys: ArchiveKeys,
    terms_of: Callable[..., Iterable[RecordTerm]] = record_terms,
) -> Prepared:
    """Reduce the records of one disposal to what each law still keeps on `as_of`; raises `ArchiveError` for a bad one.

    A record whose every clock has run out by `as_of` has no basis left and is not archived.
    """
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
        identity = keys.record(processor, record.kind, record.source_id)
        for term in terms:
            items = reduce(record, term) if term.free_from > as_of else {}
            if items:
                row = ArchivedRow(term.rule_id, record.kind, subject_type, term.last_day, items)
                body = row.encode()
                fingerprint = keys.fingerprint([identity, tag, body.decode()])
                staged[identity, term.rule_id] = _Staged(identity, fingerprint, term, body)
    return Prepared(UUID(str(disposal_id)), tag, tuple(staged[k] for k in sorted(staged)))


def write(connection: Connection, prepared: Sequence[Prepared], keys: ArchiveKeys) -> int:
    """Stage a whole batch and return how many rows its disposals now wait for.

    Call it before changing disposal rows in the same transaction: packing takes the same two locks in that order.
    """
    rows = [(p, row) for p in prepared for row in p.rows]
    if not rows:
        return 0
    connection.execute(text("SELECT pg_advisory_xact_lock_shared(:gate)"), {"gate": GATE})
    packed = _already_packed(connection, [row for _, row in rows])
    links = {(p.disposal_id, packed[row.key]) for p, row in rows if row.key in packed}
    if links:
        connection.execute(
            insert(archive_link).on_conflict_do_nothing(),
            [{"disposal_id": d, "object_key": key} for d, key in sorted(links, key=str)],
        )
    new = [(p, row) for p, row in rows if row.key not in packed]
    if not new:
        return 0
    # One order for every task, so that two batches with one record between them never wait for each other.
    new.sort(key=lambda pair: pair[1].key)
    _upsert(connection, new, keys)
    connection.execute(
        insert(archive_wait).on_conflict_do_nothing(),
        [
            {"disposal_id": p.disposal_id, "record_sha256": row.record_sha256, "rule_id": row.term.rule_id}
            for p, row in new
        ],
    )
    return len(new)


def stage(connection: Connection, *, disposal_id: str | UUID, keys: ArchiveKeys, **given: Any) -> int:
    """Prepare and write the records of one disposal; `given` as for `prepare`, the processor read from the disposal."""
    named = select(disposal.c.processor).where(disposal.c.disposal_id == UUID(str(disposal_id)))
    processor = str(connection.scalar(named))
    return write(connection, [prepare(disposal_id=disposal_id, processor=processor, keys=keys, **given)], keys)


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


def _already_packed(connection: Connection, staged: Sequence[_Staged]) -> dict[tuple[str, str, str], str]:
    c, found = archive_record.c, dict[tuple[str, str, str], str]()
    for start in range(0, len(staged), LOOK_UP):
        wanted = [s.key for s in staged[start : start + LOOK_UP]]
        rows = connection.execute(
            select(c.record_sha256, c.rule_id, c.fingerprint, c.object_key).where(
                tuple_(c.record_sha256, c.rule_id, c.fingerprint).in_(wanted)
            )
        )
        found |= {(r.record_sha256, r.rule_id, r.fingerprint): r.object_key for r in rows}
    return found


def _upsert(connection: Connection, staged: Sequence[tuple[Prepared, _Staged]], keys: ArchiveKeys) -> None:
    values = []
    for mine, item in staged:
        sealed = seal_bytes(item.body, keys.wrapper, _context(item.record_sha256, item.term.rule_id))
        values.append(
            {
                "disposal_id": mine.disposal_id,
                "record_sha256": item.record_sha256,
                "fingerprint": item.fingerprint,
                "archive_tag": mine.archive_tag,
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
