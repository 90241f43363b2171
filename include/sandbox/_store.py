"""What a stand-in remembers: objects by kind and id, in memory, written through to SQLite."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any

Body = dict[str, Any]


class Store:
    """Objects by kind and id, in memory, written through to SQLite; a request can be undone as a whole."""

    def __init__(self, path: Path | None) -> None:
        self._kinds: dict[str, dict[str, Body]] = {}
        self._undo: list[tuple[str, str, Body | None]] = []
        self._indexes: dict[str, dict[str, dict[Any, dict[str, None]]]] = {}
        self._places: dict[str, dict[str, int]] = {}
        self._count = count()
        self._db = sqlite3.connect(str(path) if path else ":memory:", check_same_thread=False, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.execute("CREATE TABLE IF NOT EXISTS object (kind TEXT, id TEXT, body TEXT, PRIMARY KEY (kind, id))")
        for kind, key, body in self._db.execute("SELECT kind, id, body FROM object"):
            self._set(kind, key, json.loads(body))

    def get(self, kind: str, key: object) -> Body | None:
        """Return a copy-free reference to one object, or None; change it only through `put`."""
        return self._kinds.get(kind, {}).get(str(key))

    def all(self, kind: str) -> list[Body]:
        """Return all objects of a kind in insertion order."""
        return list(self._kinds.get(kind, {}).values())

    def keys(self, kind: str) -> list[str]:
        """Return all ids of a kind in insertion order."""
        return list(self._kinds.get(kind, {}))

    def where(self, kind: str, name: str, value: str) -> list[Body]:
        """Return the objects of a kind whose field is `value`, in insertion order; `a.b` names a field below a field.

        The first call for a field indexes it, so that a stand-in does not walk through everybody for every list.
        """
        objects = self._kinds.get(kind, {})
        fields = self._indexes.setdefault(kind, {})
        if name not in fields:
            fields[name] = {}
            for key, body in objects.items():
                _file(fields[name], name, key, None, body)
        keys, places = fields[name].get(value, ()), self._places.get(kind, {})
        return [objects[key] for key in sorted(keys, key=places.__getitem__)]

    def put(self, kind: str, key: object, body: Mapping[str, Any]) -> None:
        """Store one object (a new dictionary is kept)."""
        self._undo.append((kind, str(key), self.get(kind, key)))
        self._set(kind, str(key), dict(body))

    def update(self, kind: str, key: object, **changes: Any) -> Body:
        """Change some fields of one object and return it."""
        body = {**(self.get(kind, key) or {}), **changes}
        self.put(kind, key, body)
        return body

    def delete(self, kind: str, key: object) -> None:
        """Remove one object; nothing happens when it is not there."""
        before = self.get(kind, key)
        if before is not None:
            self._undo.append((kind, str(key), before))
            self._set(kind, str(key), None)

    def next_id(self, kind: str, start: int = 1) -> int:
        """Return a fresh integer id for a kind."""
        counter = self.update(
            "_counter", kind, value=max(start, (self.get("_counter", kind) or {"value": start - 1})["value"] + 1)
        )
        return int(counter["value"])

    def commit(self) -> None:
        """Write what changed since the last commit to disk."""
        if self._undo:
            self._db.execute("BEGIN")
            for kind, key in {(k, i) for k, i, _ in self._undo}:
                body = self.get(kind, key)
                if body is None:
                    self._db.execute("DELETE FROM object WHERE kind = ? AND id = ?", (kind, key))
                else:
                    self._db.execute("INSERT OR REPLACE INTO object VALUES (?, ?, ?)", (kind, key, json.dumps(body)))
            self._db.execute("COMMIT")
            self._undo.clear()

    def rollback(self) -> None:
        """Undo what changed since the last commit."""
        for kind, key, before in reversed(self._undo):
            self._set(kind, key, before)
        self._undo.clear()

    def dump(self) -> Iterator[Body]:
        """Yield every object with its kind and id, sorted; counters and other underscore kinds are left out."""
        for kind in sorted(k for k in self._kinds if not k.startswith("_")):
            for key in sorted(self._kinds[kind]):
                yield {"kind": kind, "id": key, **self._kinds[kind][key]}

    def _set(self, kind: str, key: str, body: Body | None) -> None:
        """Put an object in its place, or take it away, in memory and in the indexes."""
        objects, places = self._kinds.setdefault(kind, {}), self._places.setdefault(kind, {})
        before = objects.get(key)
        for name, index in self._indexes.get(kind, {}).items():
            _file(index, name, key, before, body)
        if body is None:
            objects.pop(key, None)
            places.pop(key, None)
        else:
            if before is None:
                places[key] = next(self._count)
            objects[key] = body


def _file(index: dict[Any, dict[str, None]], name: str, key: str, before: Body | None, after: Body | None) -> None:
    """Move one object in an index from where it was to where it belongs; only words are indexed."""
    old, new = (_field(body, name) if body is not None else None for body in (before, after))
    if isinstance(old, str) and old != new:
        index[old].pop(key, None)
    if isinstance(new, str) and (before is None or old != new):
        index.setdefault(new, {})[key] = None


def _field(body: Body, name: str) -> Any:
    first, _, rest = name.partition(".")
    value = body.get(first)
    return _field(value, rest) if rest and isinstance(value, dict) else None if rest else value
