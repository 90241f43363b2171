"""C2SP tlog-tiles: how the log lies in a bucket, and a builder that makes only the tiles that are new.

    checkpoint                     the signed note
    tile/<L>/<N>[.p/<W>]           256 (or W) hashes of level 8·L
    tile/entries/<N>[.p/<W>]       256 (or W) entries, each after its length in two bytes, big endian

N is written in groups of three digits, all but the last marked with `x`: 1234067 is `x001/x234/067`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from include.errors import EvidenceError
from include.evidence.tree import HASH_BYTES, frontier_of

WIDTH = 256
HEIGHT = 8
ENTRIES = "entries"


@dataclass(frozen=True, slots=True)
class Tile:
    """One object to write; a full tile never changes again."""

    key: str
    body: bytes
    full: bool


def path(level: int | str, index: int, width: int = WIDTH) -> str:
    """Return the object key of a tile, or of an entry bundle when `level` is `entries`."""
    groups = [f"{index % 1000:03d}"]
    while index >= 1000:
        index //= 1000
        groups.append(f"x{index % 1000:03d}")
    key = f"tile/{level}/{'/'.join(reversed(groups))}"
    return key if width == WIDTH else f"{key}.p/{width}"


def pack(entries: Sequence[bytes]) -> bytes:
    """Return the bytes of an entry bundle."""
    return b"".join(struct.pack(">H", len(e)) + e for e in entries)


def unpack(bundle: bytes, count: int) -> list[bytes]:
    """Return the `count` entries of a bundle; raise when it holds more, fewer or cut ones."""
    entries, at = [], 0
    for _ in range(count):
        if at + 2 > len(bundle):
            raise EvidenceError(f"An entry bundle ends before its {count} entries.")
        (length,) = struct.unpack_from(">H", bundle, at)
        entries.append(bundle[at + 2 : at + 2 + length])
        if len(entries[-1]) != length:
            raise EvidenceError("An entry bundle is cut within an entry.")
        at += 2 + length
    if at != len(bundle):
        raise EvidenceError(f"An entry bundle holds more than its {count} entries.")
    return entries


def split_hashes(body: bytes, count: int) -> list[bytes]:
    """Return the `count` hashes of a tile."""
    if len(body) != count * HASH_BYTES:
        raise EvidenceError(f"A tile has {len(body)} bytes instead of {count * HASH_BYTES}.")
    return [body[i : i + HASH_BYTES] for i in range(0, len(body), HASH_BYTES)]


def open_tile(size: int, level: int) -> tuple[int, int]:
    """Return index and width of a level's unfinished tile in a log of `size` entries; width 0: there is none."""
    return divmod(size >> (HEIGHT * level), WIDTH)


def levels(size: int) -> int:
    """Return how many levels of tiles a log of `size` entries has."""
    return max(1, (max(size, 1).bit_length() + HEIGHT - 1) // HEIGHT)


def bundle_widths(size: int) -> Iterator[tuple[int, int]]:
    """Yield index and width of every entry bundle of a log of `size` entries."""
    for index in range((size + WIDTH - 1) // WIDTH):
        yield index, min(WIDTH, size - index * WIDTH)


class Builder:
    """Takes entries one by one and gives back each tile when it is full, at the end the unfinished ones.

    It starts from an existing log's unfinished tiles: `hashes[L]` of each level and the `entries` of the open bundle;
    so the cost of a seal depends on what is new, not on what is there.
    """

    def __init__(self, size: int = 0, hashes: Sequence[Sequence[bytes]] = (), entries: Sequence[bytes] = ()) -> None:
        self.size = size
        self._hashes = [list(level) for level in hashes] or [[]]
        self._entries = list(entries)
        self._grown: set[int] = set()

    def add(self, entry: bytes, leaf: bytes) -> Iterator[Tile]:
        """Append one entry; yield the tiles it completes."""
        self._entries.append(entry)
        self.size += 1
        if len(self._entries) == WIDTH:
            yield Tile(path(ENTRIES, self.size // WIDTH - 1), pack(self._entries), full=True)
            self._entries.clear()
        yield from self._push(0, leaf)

    def _push(self, level: int, value: bytes) -> Iterator[Tile]:
        if level == len(self._hashes):
            self._hashes.append([])
        hashes = self._hashes[level]
        hashes.append(value)
        self._grown.add(level)
        if len(hashes) == WIDTH:
            index = (self.size >> (HEIGHT * (level + 1))) - 1
            yield Tile(path(level, index), b"".join(hashes), full=True)
            (top,) = frontier_of(hashes)
            hashes.clear()
            yield from self._push(level + 1, top)

    def finish(self) -> Iterator[Tile]:
        """Yield the unfinished tiles that changed since the start."""
        if self._entries and 0 in self._grown:
            yield Tile(path(ENTRIES, self.size // WIDTH, len(self._entries)), pack(self._entries), full=False)
        for level in sorted(self._grown):
            if self._hashes[level]:
                index, width = open_tile(self.size, level)
                yield Tile(path(level, index, width), b"".join(self._hashes[level]), full=False)

    @property
    def frontier(self) -> list[bytes]:
        """The roots of the perfect subtrees, left to right."""
        return [node for hashes in reversed(self._hashes) for node in frontier_of(hashes)]


def frontier_part(frontier: Sequence[bytes], size: int, level: int) -> list[bytes]:
    """Return the part of a frontier that the unfinished tile of `level` must add up to."""
    low = HEIGHT * level
    bits = [b for b in range(size.bit_length() - 1, -1, -1) if size >> b & 1]
    return [node for b, node in zip(bits, frontier, strict=True) if low <= b < low + HEIGHT]
