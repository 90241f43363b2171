"""The keys' own backup: one small object beside each archive object, sealed under the archive's key-encryption key.

    archive/R-02i/2032-03-31/<uuid>.jsonl     the statutory rows, locked
    keys/R-02i/2032-03-31/<uuid>.jsonl        which data key opens whose line, not locked

It is written before its archive object, so that a database lost in the same night loses no key; it is rewritten
without one subject's key on `crypto_erase`, and leaves with the object; older versions never stay. What it holds is
therefore exactly what is alive, and destroying a key waits only for the backups of the database itself. One that holds
no key any more stays until its object goes: were it missing, a database restored from an older backup could not tell
"destroyed" from "lost" and would save the destroyed key again.
"""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, Engine, delete, insert, select

from include.archive.keyring import ArchiveKeys
from include.archive.store import ArchiveStore, Plan
from include.database import among, archive_key, archive_object, archive_record
from include.errors import ArchiveError
from include.keys import Sealed, open_sealed, seal_bytes

ARCHIVE, KEYS = "archive/", "keys/"
_COLUMNS = (
    "object_key", "bucket", "rule_id", "window_end", "rows", "subjects", "sha256", "retain_until", "last_day",
    "destroy_by", "storage_class", "legal_hold", "copied_from",
)  # fmt: skip

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Recovery:
    """What came back. `known` objects were in the database; of those, `dropped` keys had been destroyed since."""

    objects: int = 0
    keys: int = 0
    known: int = 0
    dropped: int = 0
    without_object: int = 0


def backup_of(object_key: str) -> str:
    """Return where the keys of an object are saved."""
    return KEYS + object_key.removeprefix(ARCHIVE)


def save(
    engine: Engine, store: ArchiveStore, keys: ArchiveKeys, object_key: str, *, without: Collection[str] = ()
) -> None:
    """Write the backup of an object's keys as they are now, less those of the tags in `without`."""
    with engine.connect() as connection:
        row = connection.execute(select(archive_object).where(archive_object.c.object_key == object_key)).one()
        wrapped = {t: k for t, k in _wrapped(connection, object_key).items() if t not in without}
    store.save(backup_of(object_key), _sealed(keys, row, wrapped))


def create(store: ArchiveStore, keys: ArchiveKeys, row: Any, wrapped: Mapping[str, bytes]) -> None:
    """Write the first backup of an object that was planned just now; `row` is its row, `wrapped` its keys by tag."""
    store.create(backup_of(row.object_key), _sealed(keys, row, wrapped))


def _sealed(keys: ArchiveKeys, row: Any, wrapped: Mapping[str, bytes]) -> bytes:
    facts = {name: _plain(getattr(row, name)) for name in _COLUMNS}
    body = {"object": facts, "keys": {tag: _text(key) for tag, key in sorted(wrapped.items())}}
    sealed = seal_bytes(json.dumps(body, separators=(",", ":")).encode(), keys.wrapper, _context(row.object_key))
    return json.dumps({name: _text(getattr(sealed, name)) for name in ("wrapped_key", "nonce", "ciphertext")}).encode()


def forget(store: ArchiveStore, object_key: str) -> None:
    """Remove every version of an object's key backup, confirmed by listing."""
    store.destroy(backup_of(object_key))


def unsaved(engine: Engine, store: ArchiveStore) -> list[str]:
    """Return checked objects with keys whose backup is not in the bucket; there must be none.

    An object that is gone itself is left out: a restored database may still know keys that were destroyed with it.
    """
    present, objects = set(store.keys(KEYS)), set(store.keys(ARCHIVE))
    with engine.connect() as connection:
        held = connection.scalars(
            select(archive_object.c.object_key)
            .where(
                archive_object.c.state == "checked", archive_object.c.object_key.in_(select(archive_key.c.object_key))
            )
            .order_by(archive_object.c.object_key)
        )
        return [key for key in held if backup_of(key) not in present and key in objects]


def destroyed(store: ArchiveStore, keys: ArchiveKeys, object_key: str, archive_tag: str) -> bool:
    """Whether a subject's key was destroyed, whatever a restored database says; a lost backup is no proof of it."""
    if store.load(backup_of(object_key)) is None:
        return False
    return archive_tag not in _open(store, keys, object_key)[1]


def recover(engine: Engine, store: ArchiveStore, keys: ArchiveKeys) -> Recovery:
    """Bring the objects and keys the bucket holds back into a database that lost them; again changes nothing.

    A database restored from an older backup also loses again every key that was destroyed after that backup.
    """
    report = Recovery()
    saved, objects = list(store.keys(KEYS)), set(store.keys(ARCHIVE))
    report.dropped += _drop_keys_of_gone(engine, {ARCHIVE + p.removeprefix(KEYS) for p in saved} | objects)
    for path in saved:
        object_key = ARCHIVE + path.removeprefix(KEYS)
        facts, wrapped = _open(store, keys, object_key)
        _recover(engine, store, facts, wrapped, report)
    logger.info("archive keys recovered: objects=%d keys=%d dropped=%d", report.objects, report.keys, report.dropped)
    return report


def _drop_keys_of_gone(engine: Engine, present: Collection[str]) -> int:
    """Forget the keys of objects of which the bucket holds neither rows nor keys: they went with their group."""
    k, o = archive_key.c, archive_object.c
    checked = select(o.object_key).where(o.state == "checked", ~among(o.object_key, present))
    with engine.begin() as connection:
        return connection.execute(delete(archive_key).where(k.object_key.in_(checked))).rowcount


def _recover(
    engine: Engine, store: ArchiveStore, facts: dict[str, Any], wrapped: Mapping[str, bytes], report: Recovery
) -> None:
    key, c = facts["object_key"], archive_key.c
    with engine.connect() as connection:
        known = connection.scalar(select(archive_object.c.state).where(archive_object.c.object_key == key))
    if known is None:
        if store.head(key) is None:
            report.without_object += 1
            return
        until = None if facts["legal_hold"] else facts["retain_until"]
        plan = Plan(key, facts["sha256"], facts["storage_class"], until, facts["legal_hold"])
        head = store.prove(plan)
        with engine.begin() as connection:
            connection.execute(
                insert(archive_object).values(
                    **facts, state="checked", version_id=head.version_id, checked_at=datetime.now().astimezone()
                )
            )
            rows = [{"object_key": key, "archive_tag": tag, "wrapped_key": value} for tag, value in wrapped.items()]
            if rows:
                connection.execute(insert(archive_key), rows)
        report.objects += 1
        report.keys += len(rows)
        return
    report.known += 1
    if known == "checked":
        with engine.begin() as connection:
            gone = connection.execute(delete(archive_key).where(c.object_key == key, ~among(c.archive_tag, wrapped)))
            # A record that nothing opens any more is not archived: if it comes again, it is packed again.
            r = archive_record.c
            connection.execute(delete(archive_record).where(r.object_key == key, ~among(r.archive_tag, wrapped)))
        report.dropped += gone.rowcount


def _open(store: ArchiveStore, keys: ArchiveKeys, object_key: str) -> tuple[dict[str, Any], dict[str, bytes]]:
    body = store.load(backup_of(object_key))
    if body is None:
        raise ArchiveError(f"Archive object {backup_of(object_key)}: it was listed and cannot be read.")
    sealed = Sealed(**{name: base64.b64decode(value) for name, value in json.loads(body).items()})
    raw = json.loads(open_sealed(sealed, keys.wrapper, _context(object_key)))
    facts = dict(raw["object"])
    for name in ("window_end", "last_day", "destroy_by"):
        facts[name] = date.fromisoformat(facts[name])
    facts["retain_until"] = datetime.fromisoformat(facts["retain_until"])
    return facts, {tag: base64.b64decode(value) for tag, value in raw["keys"].items()}


def _wrapped(connection: Connection, object_key: str) -> dict[str, bytes]:
    rows = connection.execute(select(archive_key).where(archive_key.c.object_key == object_key))
    return {row.archive_tag: row.wrapped_key for row in rows}


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date) else value


def _text(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _context(object_key: str) -> str:
    return f"archive-keys:{object_key}"
