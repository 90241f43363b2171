"""The log: entries are staged with the state they record, and sealed into signed tiles afterwards.

Sealing runs under one advisory lock and may die anywhere; the next seal goes on with the same bytes:

1. entries without an index get the next ones, in the order they were staged; commit;
2. tiles are written under names that must be free, or hold the same bytes already;
3. the checkpoint is signed and stored in our database first, then replaces the bucket's, if that is still the one
   before.

Because a checkpoint is in the database before anybody can see it, a bucket that knows more than the database means
that the database went back in time; sealing then refuses (`rebuild` brings it forward again) instead of signing a
second history. Locked copies of all checkpoints are asked too, for the case that both went back.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, func, insert, select, text
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from include.database import checkpoint, entry
from include.errors import EvidenceError
from include.evidence import tiles, tree
from include.evidence.entries import canonical
from include.evidence.finding import catch_up
from include.evidence.note import Checkpoint, Signer, open_checkpoint
from include.evidence.store import CHECKPOINT, EvidenceStore, Stored, copy_key

log = logging.getLogger(__name__)
PAGE = 2048
WRITERS = 4
LOCK = 0x6576_6964_656E_6365  # "evidence"
LOCK_WAIT = "600s"

_STAGE = """
    INSERT INTO retention.entry (body, leaf_hash, disposal_id)
    SELECT body, leaf_hash, disposal_id
    FROM unnest(%b::bytea[], %b::bytea[], %t::uuid[])
         WITH ORDINALITY AS staged (body, leaf_hash, disposal_id, position)
    ORDER BY position
    RETURNING entry_id
    """  # psycopg's own placeholders: arrays of bytes in binary form, which is three times as fast
_ASSIGN = text(
    """
    UPDATE retention.entry SET log_index = fresh.log_index
    FROM (SELECT entry_id, row_number() OVER (ORDER BY entry_id) - 1
                 + (SELECT coalesce(max(log_index) + 1, 0) FROM retention.entry) AS log_index
          FROM retention.entry WHERE log_index IS NULL) AS fresh
    WHERE entry.entry_id = fresh.entry_id
    """
)


@dataclass(frozen=True, slots=True)
class Sealed:
    """The newest checkpoint of our database."""

    size: int
    root: bytes
    frontier: tuple[bytes, ...]
    note: str


NOTHING = Sealed(0, tree.EMPTY_ROOT, (), "")


def stage(
    connection: Connection, entries: Sequence[Mapping[str, Any]], disposal_ids: Sequence[UUID | str] | None = None
) -> list[int]:
    """Record entries in the caller's transaction; return their staged ids, in order.

    A disposal's entries are found by `disposal_ids`, which by default are those in the entries themselves.
    """
    if not entries:
        return []
    staged = [canonical(e) for e in entries]
    ids = [e.get("disposal_id") for e in entries] if disposal_ids is None else list(disposal_ids)
    if len(ids) != len(staged):
        raise EvidenceError(f"{len(staged)} evidence entries came with {len(ids)} disposal ids. Nothing was recorded.")
    leaves = [tree.leaf_hash(b) for b in staged]
    rows = connection.exec_driver_sql(_STAGE, (staged, leaves, [None if i is None else str(i) for i in ids]))
    return [row[0] for row in rows]


def seal(
    engine: Engine, store: EvidenceStore, signer: Signer, *, now: datetime, lock_until: datetime | None = None
) -> Checkpoint:
    """Seal every committed entry and return the checkpoint in force; with nothing new, nothing is written.

    `now` is the real time of signing, kept in our database only. `lock_until` puts full tiles and a copy of each
    checkpoint under Object Lock until then (the evidence term).
    """
    with alone(engine):
        sealed = _seal(engine, store, signer, now=now, lock_until=lock_until)
    try:
        catch_up(engine)
    except SQLAlchemyError as error:  # the log is sealed and published; what finds its entries is only derived from it
        log.warning(
            "entries sealed but not findable yet: %s; the next seal or question adds them", type(error).__name__
        )
    return sealed


def _seal(
    engine: Engine, store: EvidenceStore, signer: Signer, *, now: datetime, lock_until: datetime | None
) -> Checkpoint:
    newest = latest(engine)
    published = store.get(CHECKPOINT)
    published = _settle(engine, store, signer, newest=newest, published=published, lock_until=lock_until)
    store.refuse_a_fork(newest.size)
    size = _assign(engine)
    if size == newest.size:
        return Checkpoint(signer.name, newest.size, newest.root)
    builder = _resume(engine, store, newest)
    _write(engine, store, builder, size=size, lock_until=lock_until)
    fresh = Checkpoint(signer.name, size, tree.fold(builder.frontier))
    signed = signer.sign(fresh.body())
    record(engine, Sealed(size, fresh.root, tuple(builder.frontier), signed), now=now)
    _publish(store, signed, size=size, previous=published, lock_until=lock_until)
    return fresh


def latest(engine: Engine) -> Sealed:
    """Return the newest checkpoint of our database; a log never sealed has size 0."""
    with engine.connect() as connection:
        row = connection.execute(select(checkpoint).order_by(checkpoint.c.size.desc()).limit(1)).first()
    if row is None:
        return NOTHING
    if len(row.frontier) != row.size.bit_count() or tree.fold(row.frontier) != row.root:
        raise EvidenceError(
            f"The stored frontier of checkpoint {row.size} does not add up to its root: table checkpoint was changed. "
            "Nothing was signed. Compare it with the evidence bucket."
        )
    return Sealed(row.size, bytes(row.root), tuple(map(bytes, row.frontier)), row.note)


def bodies(engine: Engine, low: int, high: int) -> Iterator[list[tuple[bytes, bytes]]]:
    """Yield `(body, leaf hash)` of entries [low, high) in log order, in pages; raise when one is missing or changed."""
    for start in range(low, high, PAGE):
        stop = min(start + PAGE, high)
        with engine.connect() as connection:
            rows = connection.execute(
                select(entry.c.body, entry.c.leaf_hash)
                .where(entry.c.log_index >= start, entry.c.log_index < stop)
                .order_by(entry.c.log_index)
            ).all()
        if len(rows) != stop - start:
            raise EvidenceError(f"Entries {start} to {stop - 1} are not all in the database. Nothing was signed.")
        page = [(bytes(b), bytes(h)) for b, h in rows]
        for at, (body, leaf) in enumerate(page, start):
            if tree.leaf_hash(body) != leaf:
                raise EvidenceError(
                    f"Entry {at} is not what was staged: its bytes and its hash differ. Nothing was signed."
                )
        yield page


def frontier_at(engine: Engine, size: int) -> list[bytes]:
    """Return the frontier of the first `size` entries, from the nearest checkpoint before it."""
    with engine.connect() as connection:
        row = connection.execute(
            select(checkpoint.c.size, checkpoint.c.frontier)
            .where(checkpoint.c.size <= size)
            .order_by(checkpoint.c.size.desc())
            .limit(1)
        ).first()
    start, frontier = (row.size, list(map(bytes, row.frontier))) if row else (0, [])
    leaves = chain.from_iterable([leaf for _, leaf in page] for page in bodies(engine, start, size))
    for at, leaf in enumerate(leaves, start):
        tree.append(frontier, at, leaf)
    return frontier


def record(engine: Engine, sealed: Sealed, *, now: datetime) -> None:
    """Store a signed checkpoint in our database."""
    with engine.begin() as connection:
        connection.execute(
            insert(checkpoint).values(
                size=sealed.size, root=sealed.root, note=sealed.note, frontier=list(sealed.frontier), signed_at=now
            )
        )


@contextmanager
def alone(engine: Engine) -> Iterator[None]:
    """Hold the log's advisory lock; it ends with the session, so a killed seal blocks nobody."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f"SET lock_timeout = '{LOCK_WAIT}'"))
        try:
            connection.execute(select(func.pg_advisory_lock(LOCK)))
        except OperationalError as error:
            raise EvidenceError(
                "Another seal has been running for ten minutes. Look at its task, then try again."
            ) from error
        try:
            yield
        finally:
            connection.execute(select(func.pg_advisory_unlock(LOCK)))
            connection.execute(text("RESET lock_timeout"))


def _settle(
    engine: Engine,
    store: EvidenceStore,
    signer: Signer,
    *,
    newest: Sealed,
    published: Stored | None,
    lock_until: datetime | None,
) -> Stored | None:
    """Check that the bucket's checkpoint is one of ours and finish a publication that was cut short."""
    if published is not None:
        shown = open_checkpoint(_decoded(published.body), [signer.vkey])
        if shown.size > newest.size:
            raise EvidenceError(
                f"The evidence bucket is signed up to {shown.size} entries, this database only to {newest.size}: it "
                "was restored from a backup, or is another one. Rebuild it from the bucket before anything is sealed."
            )
        if _root_at(engine, shown.size) != shown.root:
            raise EvidenceError(
                f"The evidence bucket's checkpoint over {shown.size} entries is not this log's. Nothing was signed. "
                "Find out which database writes to this bucket."
            )
        if shown.size == newest.size:
            return published
    elif _count(engine) > 1:
        raise EvidenceError(
            "The evidence bucket has no checkpoint, though this log published some. Nothing was signed. Check the "
            "bucket named in connection evidence_store; its versions hold the object even after a deletion."
        )
    if newest.size:
        _publish(store, newest.note, size=newest.size, previous=published, lock_until=lock_until)
        return store.get(CHECKPOINT)
    return None


def _root_at(engine: Engine, size: int) -> bytes:
    return tree.fold(frontier_at(engine, size))


def _count(engine: Engine) -> int:
    with engine.connect() as connection:
        return int(connection.execute(select(func.count()).select_from(checkpoint)).scalar_one())


def _assign(engine: Engine) -> int:
    """Give every committed entry its index and return the size of the log."""
    with engine.begin() as connection:
        connection.execute(_ASSIGN)
        return int(connection.execute(select(func.coalesce(func.max(entry.c.log_index) + 1, 0))).scalar_one())


def _resume(engine: Engine, store: EvidenceStore, sealed: Sealed) -> tiles.Builder:
    """Return a builder that stands where the last seal ended, every hash of it checked against the signed frontier."""
    hashes, entries = [], []
    for level in range(tiles.levels(sealed.size)):
        index, width = tiles.open_tile(sealed.size, level)
        if level == 0:
            rows = [row for page in bodies(engine, sealed.size - width, sealed.size) for row in page]
            entries = [body for body, _ in rows]
            part = [leaf for _, leaf in rows]
        else:
            part = _open_hashes(engine, store, level, index, width)
        if tree.frontier_of(part) != tiles.frontier_part(sealed.frontier, sealed.size, level):
            raise EvidenceError(
                f"The unfinished tile {tiles.path(level, index, width)} does not belong to checkpoint {sealed.size}: "
                "entries or tiles were changed after they were signed. Nothing was signed."
            )
        hashes.append(part)
    return tiles.Builder(sealed.size, hashes, entries)


def _open_hashes(engine: Engine, store: EvidenceStore, level: int, index: int, width: int) -> list[bytes]:
    """Return the hashes of an unfinished upper tile from the bucket, or from our entries where it is gone."""
    if width == 0:
        return []
    stored = store.get(tiles.path(level, index, width))
    if stored is not None:
        return tiles.split_hashes(stored.body, width)
    span = tiles.WIDTH**level
    first = index * tiles.WIDTH * span
    return [
        tree.root(leaf for page in bodies(engine, at, at + span) for _, leaf in page)
        for at in range(first, first + width * span, span)
    ]


def _write(
    engine: Engine, store: EvidenceStore, builder: tiles.Builder, *, size: int, lock_until: datetime | None
) -> None:
    """Write the tiles of the new entries, page by page, so that memory stays flat however many there are."""

    def put(tile: tiles.Tile) -> None:
        store.put_new(tile.key, tile.body, retain_until=lock_until if tile.full else None)

    with ThreadPoolExecutor(WRITERS, thread_name_prefix="seal") as pool:
        for page in bodies(engine, builder.size, size):
            list(pool.map(put, [tile for body, leaf in page for tile in builder.add(body, leaf)]))
        list(pool.map(put, builder.finish()))


def _publish(
    store: EvidenceStore, note: str, *, size: int, previous: Stored | None, lock_until: datetime | None
) -> None:
    """Keep a copy of the checkpoint that nobody can replace, then replace the one readers look at."""
    store.put_new(copy_key(size), note.encode(), retain_until=lock_until)
    store.replace_checkpoint(note.encode(), previous=previous)


def _decoded(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise EvidenceError("The evidence bucket's checkpoint is not text. Nothing was signed.") from error
