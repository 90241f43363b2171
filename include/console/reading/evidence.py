"""What the evidence page shows: the log's state, exports, one row, and what a verification here looked at.

Verification here uses the same code as the seal and the shipped verifier, but it runs on the keeper's own machine: what
it cannot show is said with it (`Verified.unchecked`).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, Row, func, select

from include.database import checkpoint, entry
from include.errors import ConfigurationError, EvidenceError, RetentionError, VerificationError
from include.evidence import audits, narrowing, tree
from include.evidence.anchors import check_stamp, stamp_key
from include.evidence.finding import Wanted, find
from include.evidence.log import Sealed, latest
from include.evidence.note import Signer, open_checkpoint
from include.evidence.proofs import TileReader, check_row, row_proof_at
from include.evidence.store import CHECKPOINT, EvidenceStore, copy_key

if TYPE_CHECKING:
    from include.connections import Connection as Place
    from include.evidence.anchors import Authority


@dataclass(frozen=True, slots=True)
class State:
    """The log at a glance: how much is sealed, by when, what waits, and what was said about it outside."""

    size: int
    root: str
    signed_at: datetime | None
    waiting: int
    audit: Row[Any] | None
    mailed: Row[Any] | None
    stamped: int | None
    """Size of the newest checkpoint that an authority stamped."""


def newest(connection: Connection) -> Any:
    """Return size, root and time of the newest checkpoint of our database, or None for a log never sealed."""
    return connection.execute(
        select(checkpoint.c.size, checkpoint.c.root, checkpoint.c.signed_at).order_by(checkpoint.c.size.desc()).limit(1)
    ).first()


def unsealed(connection: Connection) -> int:
    """Return how many entries wait to be sealed."""
    return int(connection.execute(select(func.count()).where(entry.c.log_index.is_(None))).scalar_one())


def state(connection: Connection) -> State:
    """Return the log's state from our database."""
    sealed = newest(connection)
    anchored = find(connection, Wanted(event="anchored"), before=None, limit=1)
    return State(
        size=sealed.size if sealed else 0,
        root=base64.b64encode(sealed.root).decode() if sealed else "",
        signed_at=sealed.signed_at if sealed else None,
        waiting=unsealed(connection),
        audit=audits.last(connection),
        mailed=audits.last(connection, only_mailed=True),
        stamped=_stamped(connection, anchored[0].log_index) if anchored else None,
    )


def _stamped(connection: Connection, index: int) -> int | None:
    body = connection.execute(select(entry.c.body).where(entry.c.log_index == index)).scalar()
    return None if body is None else json.loads(bytes(body)).get("log_size")


# -- verifying in place --------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at: a word key of the page, whether it holds, and a figure or size beside it."""

    word: str
    holds: bool
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Verified:
    """What a verification looked at, and word keys of what it did not."""

    checks: tuple[Check, ...]
    unchecked: tuple[str, ...]
    proof: str = ""

    @property
    def holds(self) -> bool:
        """Whether everything that was looked at holds."""
        return all(c.holds for c in self.checks)


def vkey_of(signing: Place) -> str:
    """Return the log's public key: `extra.vkey`, or else made from the private one, which this process then reads."""
    given = signing.extra.get("vkey")
    if given:
        return str(given)
    from include import keys

    return Signer(keys.signing_seed(signing), signing.require("origin")).vkey


def verify_row(engine: Engine, store: EvidenceStore, vkey: str, index: int) -> Verified:
    """Prove entry `index` from the bucket's tiles towards the bucket's own checkpoint, and judge the proof."""
    found = narrowing.one(engine, index)
    if found is None:
        raise EvidenceError(f"Entry {index} is not in the sealed log.")
    body, _ = found
    published = store.get(CHECKPOINT)
    if published is None:
        raise EvidenceError("The evidence bucket has no checkpoint. Look at its versions before anything else.")
    note, sealed = published.body.decode("utf-8", "replace"), latest(engine)
    proof, checks = "", [Check("bytes", tree.leaf_hash(body) == _leaf(engine, index), f"{len(body)}")]
    try:
        shown = open_checkpoint(note, [vkey])
        checks.append(Check("signature", True, f"{shown.size:,}"))
        proof = row_proof_at(store, note, shown.size, index)
        checks.append(Check("inclusion", check_row(proof, body, vkey) == index, f"{_hashes(proof)}"))
    except (VerificationError, EvidenceError):
        checks.append(Check("inclusion" if len(checks) > 1 else "signature", False))
    checks.append(Check("same_checkpoint", note == sealed.note, f"{sealed.size:,}"))
    return Verified(tuple(checks), ("own_key", "others", "truth"), proof)


def _hashes(proof: str) -> int:
    """Return how many hashes a proof holds: its head's lines but for the first two."""
    return proof.partition("\n\n")[0].count("\n") - 1


def _leaf(engine: Engine, index: int) -> bytes:
    with engine.connect() as connection:
        stored = connection.execute(select(entry.c.leaf_hash).where(entry.c.log_index == index)).scalar_one()
    return bytes(stored)


def verify_checkpoint(
    engine: Engine, store: EvidenceStore, vkey: str, *, authority: Authority | None = None
) -> Verified:
    """Look at the newest checkpoint: its signature, its root from the bucket's tiles, its locked copy, its stamp."""
    sealed = latest(engine)
    if not sealed.size:
        raise EvidenceError("Nothing is sealed yet, so there is no checkpoint to verify.")
    published, note = store.get(CHECKPOINT), sealed.note.encode()
    checks = [
        Check("signature", _signed(sealed, vkey), f"{sealed.size:,}"),
        Check("bucket_checkpoint", published is not None and published.body == note),
        Check("root_from_tiles", _root_in(store, sealed), sealed.root.hex()[:16]),
        Check("locked_copy", _same(store, copy_key(sealed.size), note)),
    ]
    unchecked = ["own_key", "every_entry", "truth"]
    if authority is None:
        unchecked.append("no_authority")
    else:
        stamp = store.get(stamp_key(sealed.size))
        if stamp is None:
            unchecked.append("no_stamp")
        else:
            checks.append(_stamp(authority, note, stamp.body))
    return Verified(tuple(checks), tuple(unchecked), sealed.note)


def _signed(sealed: Sealed, vkey: str) -> bool:
    try:
        shown = open_checkpoint(sealed.note, [vkey])
    except VerificationError:
        return False
    return (shown.size, shown.root) == (sealed.size, sealed.root)


def _root_in(store: EvidenceStore, sealed: Sealed) -> bool:
    """Compute the root anew from the bucket's own tiles: the perfect subtrees of the log, left to right."""
    reader, frontier, low = TileReader(store, sealed.size), [], 0
    try:
        for level in reversed(range(sealed.size.bit_length())):
            if sealed.size >> level & 1:
                frontier.append(reader.node(level, low >> level))
                low += 1 << level
    except RetentionError:
        return False
    return tree.fold(frontier) == sealed.root


def _same(store: EvidenceStore, key: str, body: bytes) -> bool:
    found = store.get(key)
    return found is not None and found.body == body


def _stamp(authority: Authority, note: bytes, stamp: bytes) -> Check:
    try:
        at = check_stamp(authority, note, stamp)
    except VerificationError:
        return Check("timestamp", False)
    return Check("timestamp", True, at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ"))


# -- exports -------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Export:
    """One exported folder: entries [first, size), its files with their sizes in bytes, when it was written."""

    name: str
    first: int
    size: int
    written: datetime
    files: tuple[tuple[str, int], ...]

    @property
    def total(self) -> int:
        """Bytes of all files."""
        return sum(n for _, n in self.files)


def exports(root: Path, *, skip: int = 0, limit: int = 20) -> tuple[Sequence[Export], int]:
    """Return one page of the exports below a folder, the newest first, and how many there are."""
    if not root.is_dir():
        return (), 0
    folders = [p for p in root.iterdir() if not p.name.startswith(".") and (p / "manifest.json").is_file()]
    folders.sort(key=lambda p: ((p / "manifest.json").stat().st_mtime, p.name), reverse=True)
    return [e for p in folders[skip : skip + limit] if (e := export(root, p.name))], len(folders)


def export(root: Path, name: str) -> Export | None:
    """Return one export by its folder's name, or None where there is none of that name."""
    folder = root / name
    if Path(name).name != name or name.startswith(".") or not (folder / "manifest.json").is_file():
        return None
    try:
        manifest = json.loads((folder / "manifest.json").read_bytes())
        listed = [*manifest["files"], "manifest.json", "manifest.note"]
        files = tuple((f, (folder / f).stat().st_size) for f in sorted(listed) if (folder / f).is_file())
        first, size = int(manifest["first_index"]), int(manifest["size"])
    except (ValueError, KeyError, TypeError, OSError):
        return None
    written = datetime.fromtimestamp((folder / "manifest.json").stat().st_mtime, UTC)
    return Export(name, first, size, written, files)


def file_of(root: Path, name: str, file: str) -> Path:
    """Return the path of a file that an export's manifest lists; anything else is refused."""
    found = export(root, name)
    if found is None or file not in {f for f, _ in found.files}:
        raise ConfigurationError("This export has no such file. Open the list of exports again.")
    return root / name / file
