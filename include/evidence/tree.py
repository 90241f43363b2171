"""The Merkle tree of RFC 6962 / RFC 9162: pure functions over 32-byte hashes.

A tree of n leaves splits at the largest power of two below n; odd nodes are not doubled. A *node* `(level, index)` is
the root of the perfect subtree over leaves [index·2^level, (index+1)·2^level). A *frontier* holds the roots of the
perfect subtrees that make up a tree, left to right, largest first: one per set bit of its size.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence

from include.errors import EvidenceError, VerificationError

HASH_BYTES = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()

Nodes = Callable[[int, int], bytes]
"""Returns the hash of a node `(level, index)`."""


def leaf_hash(entry: bytes) -> bytes:
    """Return SHA-256(0x00 ‖ entry)."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return SHA-256(0x01 ‖ left ‖ right)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def append(frontier: list[bytes], size: int, leaf: bytes) -> None:
    """Extend the frontier of a tree of `size` leaves by one leaf hash, in place; amortised one hash a leaf."""
    node = leaf
    while size & 1:
        node = node_hash(frontier.pop(), node)
        size >>= 1
    frontier.append(node)


def fold(frontier: Sequence[bytes]) -> bytes:
    """Return the root of the tree whose frontier this is."""
    if not frontier:
        return EMPTY_ROOT
    root = frontier[-1]
    for left in reversed(frontier[:-1]):
        root = node_hash(left, root)
    return root


def frontier_of(leaves: Iterable[bytes]) -> list[bytes]:
    """Return the frontier of a tree over leaf hashes."""
    frontier: list[bytes] = []
    for size, leaf in enumerate(leaves):
        append(frontier, size, leaf)
    return frontier


def root(leaves: Iterable[bytes]) -> bytes:
    """Return the root over leaf hashes."""
    return fold(frontier_of(leaves))


def nodes_of(leaves: Sequence[bytes]) -> Nodes:
    """Return a node reader over leaf hashes held in memory."""
    levels = [list(leaves)]
    while len(levels[-1]) > 1:
        below = levels[-1]
        levels.append([node_hash(below[i], below[i + 1]) for i in range(0, len(below) - 1, 2)])
    return lambda level, index: levels[level][index]


def range_root(nodes: Nodes, low: int, high: int) -> bytes:
    """Return the root over leaves [low, high), where `low` is a multiple of the range's largest perfect subtree."""
    parts = []
    while low < high:
        level = (high - low).bit_length() - 1
        parts.append(nodes(level, low >> level))
        low += 1 << level
    return fold(parts)


def inclusion_proof(nodes: Nodes, index: int, size: int) -> list[bytes]:
    """Return the hashes that lead from leaf `index` to the root of the tree of `size` leaves, leaf to root."""
    if not 0 <= index < size:
        raise EvidenceError(f"No inclusion proof: index {index} is not in a log of {size} entries.")
    low, high, ranges = 0, size, []
    while high - low > 1:
        middle = low + _split(high - low)
        if index < middle:
            ranges.append((middle, high))
            high = middle
        else:
            ranges.append((low, middle))
            low = middle
    return [range_root(nodes, a, b) for a, b in reversed(ranges)]


def consistency_proof(nodes: Nodes, old: int, new: int) -> list[bytes]:
    """Return the hashes that show a tree of `old` leaves to be the beginning of one of `new` leaves."""
    if not 0 <= old <= new:
        raise EvidenceError(f"No consistency proof from {old} to {new} entries.")
    if old in (0, new):
        return []
    low, high, ranges, whole = 0, new, [], True
    while old != high:
        middle = low + _split(high - low)
        if old <= middle:
            ranges.append((middle, high))
            high = middle
        else:
            ranges.append((low, middle))
            low, whole = middle, False
    if not whole:
        ranges.append((low, high))
    return [range_root(nodes, a, b) for a, b in reversed(ranges)]


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], expected: bytes) -> None:
    """Raise `VerificationError` unless `proof` leads from `leaf` at `index` to `expected` (RFC 9162, 2.1.3.2)."""
    if not 0 <= index < size:
        raise VerificationError(f"Inclusion: index {index} is not in a log of {size} entries.")
    node, at, last = leaf, index, size - 1
    for sibling in proof:
        if last == 0:
            raise VerificationError("Inclusion: the proof is too long.")
        if at & 1 or at == last:
            node = node_hash(sibling, node)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            node = node_hash(node, sibling)
        at, last = at >> 1, last >> 1
    if last != 0:
        raise VerificationError("Inclusion: the proof is too short.")
    if node != expected:
        raise VerificationError(f"Inclusion: entry {index} is not in the log with this root.")


def verify_consistency(old: int, old_root: bytes, new: int, new_root: bytes, proof: Sequence[bytes]) -> None:
    """Raise `VerificationError` unless `proof` shows the old tree to be a prefix of the new one (RFC 9162, 2.1.4.2)."""
    if not 0 <= old <= new:
        raise VerificationError(f"Consistency: the log shrank from {old} to {new} entries.")
    if old in (0, new):
        if proof or old_root != (new_root if old else EMPTY_ROOT):
            raise VerificationError("Consistency: the roots differ or hashes are left over.")
        return
    older, newer = _climb(old, old_root, new, proof)
    if older != old_root or newer != new_root:
        raise VerificationError("Consistency: the newer log does not extend the older one.")


def _climb(old: int, old_root: bytes, new: int, proof: Sequence[bytes]) -> tuple[bytes, bytes]:
    """Return the two roots a consistency proof leads to."""
    hashes = list(proof) if old & (old - 1) else [old_root, *proof]
    if not hashes:
        raise VerificationError("Consistency: the proof is too short.")
    at, last = old - 1, new - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    older = newer = hashes[0]
    for sibling in hashes[1:]:
        if last == 0:
            raise VerificationError("Consistency: the proof is too long.")
        if at & 1 or at == last:
            older, newer = node_hash(sibling, older), node_hash(sibling, newer)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            newer = node_hash(newer, sibling)
        at, last = at >> 1, last >> 1
    if last != 0:
        raise VerificationError("Consistency: the proof is too short.")
    return older, newer


def _split(size: int) -> int:
    """Return the largest power of two below `size`."""
    return int(1 << (size - 1).bit_length() - 1)
