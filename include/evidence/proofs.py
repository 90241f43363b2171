"""Proofs from the tiles in the bucket: one row is in the log, one log is the beginning of another.

proof = row_proof(store, vkey, index)              # the text of a `.tlog-proof` file (C2SP tlog-proof v1)
check_row(proof, entry_bytes, vkey)                # raises VerificationError unless it holds
"""

from __future__ import annotations

import base64
import re
from functools import lru_cache

from include.errors import EvidenceError, VerificationError
from include.evidence import tiles, tree
from include.evidence.note import Checkpoint, decode_base64, open_checkpoint
from include.evidence.store import CHECKPOINT, EvidenceStore

HEADER = "c2sp.org/tlog-proof@v1"
_INDEX = re.compile(r"index (0|[1-9][0-9]{0,18})")


class TileReader:
    """Reads nodes of a log of `size` entries from its tiles; every tile is fetched once."""

    def __init__(self, store: EvidenceStore, size: int) -> None:
        self._store, self._size = store, size
        self._hashes = lru_cache(maxsize=1024)(self._fetch)

    def node(self, level: int, index: int) -> bytes:
        """Return the root of the perfect subtree `(level, index)`."""
        row, height = divmod(level, tiles.HEIGHT)
        tile, offset = divmod(index << height, tiles.WIDTH)
        (top,) = tree.frontier_of(self._hashes(row, tile)[offset : offset + (1 << height)])
        return top

    def _fetch(self, level: int, index: int) -> list[bytes]:
        full, rest = tiles.open_tile(self._size, level)
        width = tiles.WIDTH if index < full else rest
        stored, count = self._store.get(tiles.path(level, index, width)), width
        if stored is None and width < tiles.WIDTH:
            stored, count = self._store.get(tiles.path(level, index)), tiles.WIDTH
        if stored is None:
            raise EvidenceError(f"The evidence bucket lacks {tiles.path(level, index, width)}. Look for its versions.")
        return tiles.split_hashes(stored.body, count)[:width]


def row_proof(store: EvidenceStore, vkey: str, index: int) -> str:
    """Return the proof that entry `index` is in the log, with the checkpoint it leads to."""
    text, shown = _published(store, vkey)
    return row_proof_at(store, text, shown.size, index)


def row_proof_at(store: EvidenceStore, note: str, size: int, index: int) -> str:
    """Return the same proof towards a signed checkpoint `note` over `size` entries."""
    return proof_text(TileReader(store, size).node, note, size, index)


def proof_text(nodes: tree.Nodes, note: str, size: int, index: int) -> str:
    """Return a `.tlog-proof` from any reader of nodes."""
    proof = tree.inclusion_proof(nodes, index, size)
    lines = [HEADER, f"index {index}", *(base64.b64encode(h).decode() for h in proof)]
    return "\n".join(lines) + "\n\n" + note


def check_row(proof: str, entry: bytes, vkey: str) -> int:
    """Return the index under which `proof` shows `entry` to be in the log; raise `VerificationError` if it does not."""
    head, separator, note = proof.partition("\n\n")
    first, *lines = head.split("\n")
    if lines and lines[0].startswith("extra "):
        decode_base64(lines.pop(0).removeprefix("extra "))  # nobody vouches for it, so nothing here depends on it
    match = _INDEX.fullmatch(lines[0]) if lines else None
    if first != HEADER or match is None or not separator:
        raise VerificationError("This is not a proof of the form c2sp.org/tlog-proof@v1.")
    shown, index = open_checkpoint(note, [vkey]), int(match[1])
    hashes = [decode_base64(line) for line in lines[1:]]
    tree.verify_inclusion(tree.leaf_hash(entry), index, shown.size, hashes, shown.root)
    return index


def consistency(store: EvidenceStore, vkey: str, old: Checkpoint) -> tuple[Checkpoint, list[bytes]]:
    """Return the newest checkpoint and the proof that the log at `old` is its beginning, checked."""
    _, shown = _published(store, vkey)
    if old.size > shown.size:
        raise VerificationError(f"Consistency: the log shrank from {old.size} to {shown.size} entries.")
    proof = tree.consistency_proof(TileReader(store, shown.size).node, old.size, shown.size)
    tree.verify_consistency(old.size, old.root, shown.size, shown.root, proof)
    return shown, proof


def _published(store: EvidenceStore, vkey: str) -> tuple[str, Checkpoint]:
    stored = store.get(CHECKPOINT)
    if stored is None:
        raise EvidenceError(f"The evidence bucket {store.bucket!r} has no checkpoint: nothing is sealed yet.")
    text = stored.body.decode("utf-8", "replace")
    return text, open_checkpoint(text, [vkey])
