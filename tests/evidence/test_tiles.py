"""Tiles lie where tlog-tiles says, whatever the order in which a log grew."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.errors import EvidenceError
from include.evidence import tiles, tree


@pytest.mark.parametrize(
    ("level", "index", "width", "key"),
    [
        (0, 0, 256, "tile/0/000"),
        (0, 5, 17, "tile/0/005.p/17"),
        (1, 999, 256, "tile/1/999"),
        (0, 1000, 256, "tile/0/x001/000"),
        (0, 1234067, 256, "tile/0/x001/x234/067"),
        ("entries", 1234067, 8, "tile/entries/x001/x234/067.p/8"),
    ],
)
def test_paths_of_the_specification(level: int | str, index: int, width: int, key: str) -> None:
    assert tiles.path(level, index, width) == key


@given(st.lists(st.binary(max_size=300), max_size=256))
def test_a_bundle_gives_its_entries_back(entries: list[bytes]) -> None:
    assert tiles.unpack(tiles.pack(entries), len(entries)) == entries


@given(st.binary(max_size=60), st.integers(0, 5))
def test_a_bundle_of_other_bytes_is_refused_or_read_whole(data: bytes, count: int) -> None:
    try:
        entries = tiles.unpack(data, count)
    except EvidenceError:
        return
    assert tiles.pack(entries) == data


def grow(sizes: list[int]) -> tuple[dict[str, bytes], list[bytes]]:
    """Build a log in steps, each from what the step before left, and return its objects and frontier."""
    objects: dict[str, bytes] = {}
    size, hashes, entries, frontier = 0, [], [], []  # type: ignore[var-annotated]
    for target in sizes:
        builder = tiles.Builder(size, hashes, entries)
        made = []
        for i in range(size, target):
            made += builder.add(str(i).encode(), tree.leaf_hash(str(i).encode()))
        made += builder.finish()
        for tile in made:
            assert objects.setdefault(tile.key, tile.body) == tile.body
            assert tile.full == (".p/" not in tile.key)
        size, frontier = target, builder.frontier
        hashes = []
        for level in range(tiles.levels(size)):
            index, width = tiles.open_tile(size, level)
            body = objects[tiles.path(level, index, width)] if width else b""
            hashes.append(tiles.split_hashes(body, width))
            assert tree.frontier_of(hashes[-1]) == tiles.frontier_part(frontier, size, level)
        index, width = tiles.open_tile(size, 0)
        entries = tiles.unpack(objects[tiles.path("entries", index, width)], width) if width else []
    return objects, frontier


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 700), min_size=1, max_size=4, unique=True).map(sorted))
def test_a_log_grown_in_steps_ends_in_the_tiles_of_one_grown_at_once(sizes: list[int]) -> None:
    stepped, frontier = grow(sizes)
    whole, same = grow(sizes[-1:])
    assert frontier == same
    assert whole.items() <= stepped.items()
    assert tree.fold(frontier) == tree.root(tree.leaf_hash(str(i).encode()) for i in range(sizes[-1]))


def test_upper_tiles_hold_the_roots_of_the_tiles_below() -> None:
    objects, frontier = grow([255, 256, 65_535, 65_536, 65_537])
    lower = tiles.split_hashes(objects["tile/0/000"], 256)
    assert tiles.split_hashes(objects["tile/1/000"], 256)[0] == tree.root(lower)
    assert objects["tile/2/000.p/1"] == tree.root(tiles.split_hashes(objects["tile/1/000"], 256))
    assert tree.fold(frontier) == tree.root(tree.leaf_hash(str(i).encode()) for i in range(65_537))


def test_only_new_tiles_are_made() -> None:
    _, before = set(), grow([600])[0].keys()
    after = grow([600, 601])[0].keys()
    assert after - before == {"tile/0/002.p/89", "tile/entries/002.p/89"}
