"""Where answers come from: an exported folder or the log's own database; both stream entries in log order.

source = FolderSource(path)            # or DatabaseSource(engine)
for index, entry in source.entries(): ...
source.proof(index)                    # the text of a `.tlog-proof`
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import Engine, select

from include.database import entry as entries
from include.errors import EvidenceError
from include.evidence import tree
from include.evidence.log import bodies, frontier_at, latest
from include.evidence.note import Checkpoint
from include.evidence.proofs import proof_text
from include.evidence.verify import read_entry

Entry = dict[str, Any]


class Source(Protocol):
    """What a question needs of the log: entries [first, size), proofs, and its root at any size."""

    first: int
    size: int
    note: str
    """The signed checkpoint over `size` entries."""

    def entries(self) -> Iterator[tuple[int, Entry]]:
        """Yield index and entry, in log order."""

    def proof(self, index: int) -> str:
        """Return the `.tlog-proof` of an entry."""

    def root_at(self, size: int) -> bytes:
        """Return the root over the first `size` entries."""

    def rules(self) -> bytes | None:
        """Return `rules.json`, where there is one."""


class FolderSource:
    """An exported folder. Verify it first: `verify.py` says whether it is what was signed."""

    def __init__(self, folder: Path) -> None:
        try:
            manifest = json.loads((folder / "manifest.json").read_bytes())
            self.first, self.size = int(manifest["first_index"]), int(manifest["size"])
            self.note = (folder / "checkpoint").read_text(encoding="utf-8")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise EvidenceError(f"{folder} is not an export: {type(error).__name__}. Name its folder.") from None
        self._folder = folder

    def entries(self) -> Iterator[tuple[int, Entry]]:
        """Yield index and entry, in log order."""
        with (self._folder / "entries.jsonl").open("rb") as file:
            for index, line in enumerate(file, self.first):
                yield index, read_entry(line.rstrip(b"\n"))

    def proof(self, index: int) -> str:
        """Return the proof of an entry, computed from the folder alone."""
        if not self.first <= index < self.size:
            raise EvidenceError(f"Entry {index} is not in this export of entries {self.first} to {self.size - 1}.")
        return proof_text(self._node, self.note, self.size, index)

    def root_at(self, size: int) -> bytes:
        """Return the root over the first `size` entries."""
        if not self.first <= size <= self.size:
            raise EvidenceError(f"This export holds entries {self.first} to {self.size - 1}; it has no root at {size}.")
        frontier = list(self._left)
        for at, leaf in enumerate(self._leaves[: size - self.first], self.first):
            tree.append(frontier, at, leaf)
        return tree.fold(frontier)

    def rules(self) -> bytes | None:
        """Return `rules.json`, where the export has it."""
        path = self._folder / "rules.json"
        return path.read_bytes() if path.is_file() else None

    @cached_property
    def _leaves(self) -> list[bytes]:
        with (self._folder / "entries.jsonl").open("rb") as file:
            return [tree.leaf_hash(line.rstrip(b"\n")) for line in file]

    @cached_property
    def _left(self) -> list[bytes]:
        if not self.first:
            return []
        return [base64.b64decode(line) for line in (self._folder / "left.txt").read_text().splitlines()]

    @cached_property
    def _before(self) -> dict[tuple[int, int], bytes]:
        """The perfect subtrees before the export, by level and index."""
        found, low = {}, 0
        for value in self._left:
            level = (self.first - low).bit_length() - 1
            found[level, low >> level] = value
            low += 1 << level
        return found

    def _node(self, level: int, index: int) -> bytes:
        known = self._before.get((level, index))
        if known is not None:
            return known
        if level == 0:
            return self._leaves[index - self.first]
        return tree.node_hash(self._node(level - 1, 2 * index), self._node(level - 1, 2 * index + 1))


class DatabaseSource:
    """The log's own database, up to its newest checkpoint."""

    first = 0

    def __init__(self, engine: Engine) -> None:
        self._engine, self._sealed = engine, latest(engine)
        self.size, self.note = self._sealed.size, self._sealed.note

    def entries(self) -> Iterator[tuple[int, Entry]]:
        """Yield index and entry, in log order."""
        at = 0
        for page in bodies(self._engine, 0, self.size):
            for body, _ in page:
                yield at, read_entry(body)
                at += 1

    def proof(self, index: int) -> str:
        """Return the proof of an entry, computed from the stored leaf hashes."""
        if not 0 <= index < self.size:
            raise EvidenceError(f"Entry {index} is not in a log of {self.size} entries.")
        return proof_text(self._node, self.note, self.size, index)

    def root_at(self, size: int) -> bytes:
        """Return the root over the first `size` entries."""
        if not 0 <= size <= self.size:
            raise EvidenceError(f"The log has {self.size} entries, so no root at {size}.")
        return tree.fold(frontier_at(self._engine, size))

    def rules(self) -> bytes | None:
        """Return None: rules lie in exports."""
        return None

    @cached_property
    def _leaves(self) -> list[bytes]:
        with self._engine.connect() as connection:
            rows = connection.execute(
                select(entries.c.leaf_hash).where(entries.c.log_index < self.size).order_by(entries.c.log_index)
            )
            return [bytes(value) for value in rows.scalars()]

    def _node(self, level: int, index: int) -> bytes:
        return tree.root(self._leaves[index << level : (index + 1) << level])


def same_history(source: Source, old: Checkpoint) -> bool:
    """Return whether the log at an earlier checkpoint is the beginning of this one."""
    return old.size <= source.size and source.root_at(old.size) == old.root
