"""Bringing a database that lost entries forward again from the evidence bucket, which is the longer memory.

Works on an empty database and on one restored from a backup: what it still has must be the beginning of the bucket's
log. Entries that were staged before the backup and sealed after it get the index they were sealed under.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from datetime import datetime
from typing import IO

from sqlalchemy import Connection, Engine, func, select, text, update

from include.database import entry
from include.errors import EvidenceError
from include.evidence import tiles, tree
from include.evidence.entries import parse
from include.evidence.finding import catch_up
from include.evidence.log import Sealed, alone, bodies, latest, record, stage
from include.evidence.note import Checkpoint, open_checkpoint
from include.evidence.store import CHECKPOINT, EvidenceStore

_ADOPT = text(
    """
    UPDATE retention.entry SET log_index = :index
    WHERE entry_id = (SELECT entry_id FROM retention.entry
                      WHERE log_index IS NULL AND leaf_hash = :leaf ORDER BY entry_id LIMIT 1)
    """
)


def rebuild(engine: Engine, store: EvidenceStore, vkey: str, *, now: datetime) -> Checkpoint:
    """Bring the database up to the bucket's checkpoint and return it; with nothing missing, change nothing.

    Every bundle is read and the root checked against the signature before the first row is written.
    """
    with alone(engine), tempfile.TemporaryFile() as spool:
        published = store.get(CHECKPOINT)
        if published is None:
            raise EvidenceError(
                f"The evidence bucket {store.bucket!r} has no checkpoint, so nothing can be rebuilt from it."
            )
        shown = open_checkpoint(published.body.decode("utf-8", "replace"), [vkey])
        newest = latest(engine)
        if newest.size > shown.size:
            raise EvidenceError(
                f"The database is sealed up to {newest.size} entries, the bucket only to {shown.size}. Nothing to "
                "rebuild; the next seal publishes what is missing."
            )
        frontier = _fetch(engine, store, shown, spool, known=_indexed(engine, shown.size))
        _insert(engine, shown.size, spool)
        if newest.size < shown.size:
            record(engine, Sealed(shown.size, shown.root, tuple(frontier), published.body.decode()), now=now)
        catch_up(engine)
        return shown


def _indexed(engine: Engine, limit: int) -> int:
    """Return how many entries the database has an index for; more than `limit` were never published."""
    with engine.connect() as connection:
        count = int(connection.execute(select(func.coalesce(func.max(entry.c.log_index) + 1, 0))).scalar_one())
    if count > limit:
        raise EvidenceError(
            f"The database has indexes for {count} entries, the bucket's checkpoint covers {limit}. Restore an older "
            "or a newer backup; indexes given twice would be a second history."
        )
    return count


def _fetch(engine: Engine, store: EvidenceStore, shown: Checkpoint, spool: IO[bytes], *, known: int) -> list[bytes]:
    """Read the bucket's log, compare its beginning with ours, put the rest into `spool`; return the frontier."""
    frontier: list[bytes] = []
    ours = (leaf for page in bodies(engine, 0, known) for _, leaf in page)
    for at, body in enumerate(bucket_entries(store, shown.size)):
        leaf = tree.leaf_hash(body)
        tree.append(frontier, at, leaf)
        if at >= known:
            spool.write(tiles.pack([body]))
        elif next(ours) != leaf:
            raise EvidenceError(
                f"Entry {at} of the database is not entry {at} of the bucket's log. Nothing was changed; this database "
                "belongs to another log or was altered."
            )
    if tree.fold(frontier) != shown.root:
        raise EvidenceError("The entries in the evidence bucket do not add up to its signed root. Nothing was changed.")
    return frontier


def bucket_entries(store: EvidenceStore, size: int) -> Iterator[bytes]:
    """Yield the first `size` entries of the bucket's log."""
    for index, width in tiles.bundle_widths(size):
        # An unfinished bundle may have been finished since; a full one holds the same beginning.
        key, count = tiles.path(tiles.ENTRIES, index, width), width
        stored = store.get(key)
        if stored is None and width < tiles.WIDTH:
            stored, count = store.get(tiles.path(tiles.ENTRIES, index)), tiles.WIDTH
        if stored is None:
            raise EvidenceError(f"The evidence bucket lacks {key}. Look for its versions: full bundles are locked.")
        yield from tiles.unpack(stored.body, count)[:width]


def _insert(engine: Engine, size: int, spool: IO[bytes]) -> None:
    """Write the missing entries under their indexes, in one transaction."""
    spool.seek(0)
    with engine.begin() as connection:
        at = int(connection.execute(select(func.coalesce(func.max(entry.c.log_index) + 1, 0))).scalar_one())
        while at < size:
            page = [spool.read(int.from_bytes(spool.read(2))) for _ in range(min(tiles.WIDTH, size - at))]
            _place(connection, at, page)
            at += len(page)


def _place(connection: Connection, first: int, page: list[bytes]) -> None:
    missing: list[tuple[int, bytes]] = []
    for at, body in enumerate(page, first):
        adopted = connection.execute(_ADOPT, {"index": at, "leaf": tree.leaf_hash(body)})
        if not adopted.rowcount:
            missing.append((at, body))
    ids = stage(connection, [parse(body) for _, body in missing])
    for (at, _), entry_id in zip(missing, ids, strict=True):
        connection.execute(update(entry).where(entry.c.entry_id == entry_id).values(log_index=at))
