"""The keys' own backup: small objects beside the archive's, sealed under the archive's key-encryption key.

    archive/R-02i/2032-03-31/<uuid>.jsonl     the statutory rows, locked
    keys/<uuid>.jsonl                         which data key opens whose line, not locked

One holds the keys of all objects that were written together. It is written before them, so that a database lost in the
same night loses no key. From then on it only shrinks, and by its own content, never by what a database says: it is
rewritten without a subject's keys on `crypto_erase` and without an object's when that object goes, and leaves with its
last object; older versions never stay. What it holds is therefore exactly what is alive, whatever was restored in
between, and destroying a key waits only for the backups of the database itself. An object without a key stays listed
until it goes: were it missing, a database restored from an older backup could not tell "destroyed" from "lost" and
would save the destroyed key again.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, Engine, select

from include.archive.keyring import ArchiveKeys
from include.archive.store import ArchiveStore
from include.database import archive_key, archive_object
from include.errors import ArchiveError, ConfigurationError
from include.keys import Sealed, open_sealed, seal_bytes

ARCHIVE, KEYS = "archive/", "keys/"
_COLUMNS = (
    "object_key", "bucket", "rule_id", "window_end", "rows", "subjects", "sha256", "retain_until", "last_day",
    "destroy_by", "storage_class", "legal_hold", "copied_from",
)  # fmt: skip
Saved = dict[str, tuple[dict[str, Any], dict[str, bytes]]]
"""What one backup says: an object's key -> its facts and its wrapped data keys by tag."""


def new_object(rule_id: str, window_end: date) -> str:
    """Return a name nothing has ever had for an object of a law and half-week."""
    return f"{ARCHIVE}{rule_id}/{window_end.isoformat()}/{uuid4()}.jsonl"


def new_place() -> str:
    """Return a name nothing has ever had for the backup of keys that are written together."""
    return f"{KEYS}{uuid4()}.jsonl"


def create(
    store: ArchiveStore, keys: ArchiveKeys, keys_at: str, together: Iterable[tuple[Any, Mapping[str, bytes]]]
) -> None:
    """Write the first backup of objects planned just now; `together` is each one's row and its keys by tag."""
    saved = {row.object_key: (_facts(row), dict(wrapped)) for row, wrapped in together}
    store.create(keys_at, _sealed(keys, keys_at, saved))


def listed(store: ArchiveStore, keys: ArchiveKeys, row: Any) -> bool:
    """Whether the keys of an object are saved; False: they were destroyed or lost, whatever a database says."""
    return row.object_key in read(store, keys, row.keys_at)


def ensure(engine: Engine, store: ArchiveStore, keys: ArchiveKeys, keys_at: str) -> None:
    """Write a backup that was lost from what the database says of those of its objects that the bucket holds."""
    if store.load(keys_at) is not None:
        return
    c = archive_object.c
    with engine.connect() as connection:
        rows = connection.execute(
            select(archive_object).where(c.keys_at == keys_at, c.state.in_(("checked", "destroying")))
        ).all()
        wrapped = {row.object_key: _wrapped(connection, row.object_key) for row in rows}
    there = {row.object_key for row in rows if row.object_key in store.keys(row.object_key)}
    held = {row.object_key: (_facts(row), wrapped[row.object_key]) for row in rows if row.object_key in there}
    if held:
        store.save(keys_at, _sealed(keys, keys_at, held), None)


def drop(store: ArchiveStore, keys: ArchiveKeys, keys_at: str, archive_tag: str) -> None:
    """Rewrite a backup without one subject's keys."""
    saved, etag = _read(store, keys, keys_at)
    if not saved:
        return
    left = {key: (facts, {t: k for t, k in of.items() if t != archive_tag}) for key, (facts, of) in saved.items()}
    store.save(keys_at, _sealed(keys, keys_at, left), etag)


def forget(store: ArchiveStore, keys: ArchiveKeys, row: Any) -> None:
    """Take one object, its facts and its keys out of its backup; the last one takes every version of it along."""
    saved, etag = _read(store, keys, row.keys_at)
    left = {key: of for key, of in saved.items() if key != row.object_key}
    if not left:
        store.destroy(row.keys_at)
    elif len(left) < len(saved) or len(store.versions(row.keys_at)) > 1:  # a version of before may still hold them
        store.save(row.keys_at, _sealed(keys, row.keys_at, left), etag)


def clean(store: ArchiveStore, keys: ArchiveKeys, keys_at: str) -> None:
    """Remove the older versions that a process left which died while it rewrote a backup."""
    saved, etag = _read(store, keys, keys_at)
    if saved and len(store.versions(keys_at)) > 1:
        store.save(keys_at, _sealed(keys, keys_at, saved), etag)


def unsaved(engine: Engine, store: ArchiveStore) -> list[Any]:
    """Return the rows of checked objects with keys whose backup is not in the bucket; there must be none.

    An object that is gone itself is left out: a restored database may still know keys that were destroyed with it.
    """
    present, objects = set(store.keys(KEYS, newest=True)), set(store.keys(ARCHIVE))
    with engine.connect() as connection:
        held = connection.execute(
            select(archive_object)
            .where(
                archive_object.c.state == "checked", archive_object.c.object_key.in_(select(archive_key.c.object_key))
            )
            .order_by(archive_object.c.object_key)
        )
        return [row for row in held if row.keys_at not in present and row.object_key in objects]


def destroyed(store: ArchiveStore, keys: ArchiveKeys, row: Any, archive_tag: str) -> bool:
    """Whether a subject's key was destroyed, whatever a restored database says; a lost backup is no proof of it."""
    saved = read(store, keys, row.keys_at)
    if not saved:
        return False
    return row.object_key not in saved or archive_tag not in saved[row.object_key][1]


def read(store: ArchiveStore, keys: ArchiveKeys, keys_at: str) -> Saved:
    """Return what a backup says; nothing when there is none."""
    return _read(store, keys, keys_at)[0]


def _read(store: ArchiveStore, keys: ArchiveKeys, keys_at: str) -> tuple[Saved, str | None]:
    found = store.load(keys_at)
    if found is None:
        if keys_at in store.keys(keys_at):
            raise ArchiveError(
                f"Archive object {keys_at}: a delete marker hides it. Remove the marker: an older version lies below. "
                "Where our database is whole the daily run writes it anew."
            )
        return {}, None
    body, etag = found
    try:
        sealed = Sealed(**{name: base64.b64decode(value) for name, value in json.loads(body).items()})
        given = json.loads(open_sealed(sealed, keys.wrapper, _context(keys_at)))
        given = [given] if isinstance(given, dict) else given  # from when every object had a backup of its own
        return {one["object"]["object_key"]: (_typed(one["object"]), _decoded(one["keys"])) for one in given}, etag
    except (ConfigurationError, ValueError, TypeError, KeyError, AttributeError) as error:
        why = error if isinstance(error, ConfigurationError) else "its bytes are not a key backup."
        raise ArchiveError(
            f"Archive object {keys_at}: {why} Where the key is right and our database is whole, delete every version "
            "of this one object: the daily run writes it again. Where the database was lost it may be the only copy."
        ) from error


def _sealed(keys: ArchiveKeys, keys_at: str, saved: Saved) -> bytes:
    body = [
        {"object": _plain(facts), "keys": {tag: _text(key) for tag, key in sorted(of.items())}}
        for facts, of in saved.values()
    ]
    sealed = seal_bytes(json.dumps(body, separators=(",", ":")).encode(), keys.wrapper, _context(keys_at))
    return json.dumps({name: _text(getattr(sealed, name)) for name in ("wrapped_key", "nonce", "ciphertext")}).encode()


def _wrapped(connection: Connection, object_key: str) -> dict[str, bytes]:
    rows = connection.execute(select(archive_key).where(archive_key.c.object_key == object_key))
    return {row.archive_tag: row.wrapped_key for row in rows}


def _facts(row: Any) -> dict[str, Any]:
    return {name: getattr(row, name) for name in _COLUMNS}


def _plain(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value.isoformat() if isinstance(value, date) else value for name, value in facts.items()}


def _typed(raw: Mapping[str, Any]) -> dict[str, Any]:
    dates = {name: date.fromisoformat(raw[name]) for name in ("window_end", "last_day", "destroy_by")}
    return {**raw, **dates, "retain_until": datetime.fromisoformat(raw["retain_until"])}


def _decoded(wrapped: Mapping[str, str]) -> dict[str, bytes]:
    return {tag: base64.b64decode(key) for tag, key in wrapped.items()}


def _text(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _context(keys_at: str) -> str:
    # Bound to the name as it was when every object had a backup of its own: those open too.
    return f"archive-keys:{ARCHIVE}{keys_at.removeprefix(KEYS)}"
