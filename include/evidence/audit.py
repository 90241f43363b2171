"""The daily audit: what the database, the bucket and its WORM copies say must be one history, and a lawful one.

    for finding in audit(engine, store, vkey=..., as_of=..., now=...): ...     # empty: nothing is wrong

Every tile is computed anew from the bucket's own entries; every checkpoint ever signed is compared with the root the
entries had at its size and with its locked copy; then the entries themselves are judged as the shipped verifier does.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import Engine, func, select

from include.database import checkpoint, entry
from include.errors import EvidenceError, VerificationError
from include.evidence import tiles, tree
from include.evidence.anchors import Authority, check_stamp, stamp_key
from include.evidence.log import bodies, latest
from include.evidence.note import open_checkpoint
from include.evidence.rebuild import bucket_entries
from include.evidence.store import CHECKPOINT, EvidenceStore, copy_key
from include.evidence.verify import DESTROYED, Flaw, Lives, read_entry

DAY = timedelta(days=1)
SHOWN = 20
STAMP_DAYS = 2
"""An authority may miss a night; after so many days without a timestamp somebody must look."""
WAITS = frozenset({"blocked", "awaiting", "manual_pending", "expires_by_processor", "retained"})
"""Open outcomes that have a reason and a date of their own, and so are not overdue."""


@dataclass(slots=True)
class Audit:
    """What an audit found, and what it looked at. `findings` name places and counts, never people."""

    size: int = 0
    root: str = ""
    checkpoints: int = 0
    stamped: int = 0
    findings: list[str] = field(default_factory=list)

    def add(self, finding: str) -> None:
        """Note a finding; the same kind of trouble everywhere is not repeated a million times."""
        if len(self.findings) < SHOWN:
            self.findings.append(finding)


@dataclass(slots=True)
class _Judged:
    """What the entries say about intents and dates."""

    lives: Lives
    late: int = 0
    early: int = 0
    flaws: list[str] = field(default_factory=list)


def audit(
    engine: Engine,
    store: EvidenceStore,
    *,
    vkey: str,
    as_of: date,
    now: datetime,
    days: int = 1,
    authority: Authority | None = None,
) -> Audit:
    """Return what is wrong. Destructions after their date count when they were recorded in the last `days`."""
    done = Audit()
    sealed = latest(engine)
    done.size, done.root = sealed.size, base64.b64encode(sealed.root).decode()
    _gaps(engine, done, now=now)
    published = store.get(CHECKPOINT)
    if published is None or published.body != sealed.note.encode():
        done.add("the bucket's checkpoint is not the newest of the database; seal, then look again")
    if not sealed.size:
        return done
    judged = _Judged(Lives(whole=True))
    try:
        roots = _checkpoints(engine, store, done, vkey=vkey, authority=authority)
        _walk(engine, store, done, judged, roots, size=sealed.size, since=as_of - days * DAY)
    except (EvidenceError, VerificationError) as error:
        done.add(str(error))
    _judge(done, judged, as_of=as_of, now=now)
    return done


def _gaps(engine: Engine, done: Audit, *, now: datetime) -> None:
    with engine.connect() as connection:
        indexed, highest = connection.execute(
            select(func.count(entry.c.log_index), func.coalesce(func.max(entry.c.log_index) + 1, 0))
        ).one()
        waiting = connection.execute(
            select(func.count()).where(entry.c.log_index.is_(None), entry.c.recorded_at < now - DAY)
        ).scalar_one()
    if indexed != highest:
        done.add(f"indexes have gaps: {indexed} entries are numbered up to {highest}")
    if highest != done.size:
        done.add(f"{highest - done.size} entries have an index but no checkpoint: a seal was cut short; seal again")
    if waiting:
        done.add(f"{waiting} entries have waited more than a day to be sealed")


def _checkpoints(
    engine: Engine, store: EvidenceStore, done: Audit, *, vkey: str, authority: Authority | None
) -> dict[int, bytes]:
    """Compare every signed checkpoint with its locked copy and its timestamp; return their roots by size."""
    roots, signed = {}, list[tuple[datetime, bool]]()
    with engine.connect() as connection:
        rows = connection.execute(
            select(checkpoint.c.size, checkpoint.c.note, checkpoint.c.signed_at).order_by(checkpoint.c.size)
        ).all()
    for size, note, signed_at in rows:
        shown = open_checkpoint(note, [vkey])
        copy = store.get(copy_key(size))
        if shown.size != size or copy is None or copy.body != note.encode():
            done.add(f"the locked copy of checkpoint {size} is missing or another one")
        roots[size] = shown.root
        stamp = store.get(stamp_key(size)) if authority is not None else None
        if authority is not None and stamp is not None:
            check_stamp(authority, note.encode(), stamp.body)
            done.stamped += 1
        signed.append((signed_at, stamp is not None))
    done.checkpoints = len(rows)
    newest = max((at for at, stamped in signed if stamped), default=None)
    if authority is not None and newest is None:
        done.add("no checkpoint carries a timestamp, though an authority is configured")
    elif authority is not None and newest is not None and signed[-1][0] - newest > STAMP_DAYS * DAY:
        done.add(f"the newest timestamp is over a checkpoint of {newest:%Y-%m-%d}; look at connection evidence_tsa")
    return roots


def _walk(
    engine: Engine,
    store: EvidenceStore,
    done: Audit,
    judged: _Judged,
    roots: dict[int, bytes],
    *,
    size: int,
    since: date,
) -> None:
    """Build the whole log anew from the bucket and compare each entry, tile and root on the way."""
    builder, frontier = tiles.Builder(), list[bytes]()
    ours = (body for page in bodies(engine, 0, size) for body, _ in page)
    for at, (theirs, own) in enumerate(zip(bucket_entries(store, size), ours, strict=True)):
        if theirs != own:
            done.add(f"entry {at} of the bucket is not entry {at} of the database")
        leaf = tree.leaf_hash(theirs)
        tree.append(frontier, at, leaf)
        _compare(store, done, builder.add(theirs, leaf))
        if at + 1 in roots and roots[at + 1] != tree.fold(frontier):
            done.add(f"checkpoint {at + 1} was signed over another history")
        _follow(judged, at, theirs, since=since.isoformat())
    _compare(store, done, builder.finish())


def _compare(store: EvidenceStore, done: Audit, made: Iterator[tiles.Tile]) -> None:
    for tile in made:
        stored = store.get(tile.key)
        if stored is None or stored.body != tile.body:
            done.add(f"{tile.key} in the bucket is {'missing' if stored is None else 'another one'}")


def _follow(judged: _Judged, at: int, body: bytes, *, since: str) -> None:
    try:
        read: dict[str, Any] = read_entry(body)
    except Flaw as flaw:
        judged.flaws.append(f"entry {at} {flaw}")
        return
    if "disposal_id" not in read:
        return
    problem = judged.lives.follow(at, read)
    if problem:
        judged.flaws.append(f"entry {at} {problem}")
    acted = read["event"] == "attempted" or (read["event"] in DESTROYED and read.get("count_before") != 0)
    judged.early += acted and read["as_of"] < read["free_from"]
    if read["event"] in DESTROYED and read["as_of"] > read["destroy_by"] and read["as_of"] > since:
        judged.late += 1


def _judge(done: Audit, judged: _Judged, *, as_of: date, now: datetime) -> None:
    for flaw in judged.flaws[:SHOWN]:
        done.add(flaw)
    if judged.early:
        done.add(f"{judged.early} acts before their period was over")
    if judged.late:
        done.add(f"{judged.late} destructions after their last day for it, recorded since the last audit")
    yesterday, stale, overdue = (now - DAY).strftime("%Y-%m-%dT%H:%M:%SZ"), 0, 0
    for life in judged.lives.open.values():
        event, code, _, _, recorded = life["last"]
        stale += event == "attempted" and recorded < yesterday
        overdue += (event not in WAITS or code == "plan_not_approved") and life["identity"][-1] < as_of.isoformat()
    if stale:
        done.add(f"{stale} intents older than a day have no outcome")
    if overdue:
        done.add(f"{overdue} disposals are past their last day for destruction, and nothing holds them")
