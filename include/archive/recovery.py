"""What a database lost comes back from the bucket; what was destroyed since, a restored one loses again."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, delete, func, insert, select

from include.archive import backups
from include.archive.keyring import ArchiveKeys
from include.archive.objects import alone
from include.archive.store import ArchiveStore, Plan
from include.archive.trouble import Trouble
from include.database import among, archive_key, archive_object, archive_record, archive_row, archive_wait
from include.errors import ArchiveError

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Recovery:
    """What came back. `known` objects were in the database; of those, `dropped` keys had been destroyed since."""

    objects: int = 0
    keys: int = 0
    known: int = 0
    dropped: int = 0
    without_object: int = 0


def recover(
    engine: Engine, store: ArchiveStore, keys: ArchiveKeys, told: Callable[[Recovery], None] = lambda _report: None
) -> Recovery:
    """Bring the objects and keys the bucket holds back into a database that lost them; again changes nothing.

    A database restored from an older backup also loses again every key that was destroyed after that backup. Nothing
    is packed or destroyed meanwhile. What is not as it was written does not keep the others away: they come back
    first, then `told` hears what was done, then `ArchiveError` names it.
    """
    report, trouble = Recovery(), Trouble()
    with alone(engine, without_staging=True):
        report.dropped += _drop_keys_of_gone(engine, store)
        try:
            for keys_at in list(store.keys(backups.KEYS)):
                saved: backups.Saved = {}
                with trouble.of_one():
                    backups.clean(store, keys, keys_at)
                    saved = backups.read(store, keys, keys_at)
                for facts, wrapped in saved.values():
                    with trouble.of_one():
                        _recover(engine, store, {**facts, "keys_at": keys_at}, wrapped, report)
        finally:
            told(report)
    logger.info("archive keys recovered: objects=%d keys=%d dropped=%d", report.objects, report.keys, report.dropped)
    trouble.tell(
        f"{report.objects} objects with {report.keys} keys are back, {report.dropped} destroyed keys left again; "
        f"{trouble.count} key backups or objects could not be used. Mend what is named and ask again."
    )
    return report


def _drop_keys_of_gone(engine: Engine, store: ArchiveStore) -> int:
    """Forget the keys of objects the bucket does not hold: they went with their group."""
    k, o = archive_key.c, archive_object.c
    present = list(store.keys(backups.ARCHIVE))
    here = (o.state == "checked", o.bucket == store.bucket)
    with engine.begin() as connection:
        if not present and (known := connection.scalar(select(func.count()).where(*here))):
            raise ArchiveError(
                f"Archive bucket {store.bucket}: it lists no archive object, our database knows {known}. Look whether "
                "it is the right bucket; nothing was changed. Groups that did go are closed by the daily run."
            )
        gone = select(o.object_key).where(*here, ~among(o.object_key, present))
        return connection.execute(delete(archive_key).where(k.object_key.in_(gone))).rowcount


def _recover(
    engine: Engine, store: ArchiveStore, facts: dict[str, Any], wrapped: Mapping[str, bytes], report: Recovery
) -> None:
    key = facts["object_key"]
    with engine.connect() as connection:
        known = connection.scalar(select(archive_object.c.state).where(archive_object.c.object_key == key))
    if known is None:
        _bring_back(engine, store, facts, wrapped, report)
        return
    report.known += 1
    if known in ("writing", "checked", "destroying"):
        report.dropped += _drop(engine, key, known, wrapped)


def _bring_back(
    engine: Engine, store: ArchiveStore, facts: dict[str, Any], wrapped: Mapping[str, bytes], report: Recovery
) -> None:
    key = facts["object_key"]
    if store.head(key) is None:
        if key in store.keys(key):
            raise ArchiveError(f"Archive object {key}: a delete marker hides it. Remove the marker.")
        report.without_object += 1
        return
    until = None if facts["legal_hold"] else facts["retain_until"]
    head = store.prove(Plan(key, facts["sha256"], facts["storage_class"], until, facts["legal_hold"]))
    rows = [{"object_key": key, "archive_tag": tag, "wrapped_key": value} for tag, value in wrapped.items()]
    with engine.begin() as connection:
        connection.execute(
            insert(archive_object).values(
                **facts, state="checked", version_id=head.version_id, checked_at=datetime.now().astimezone()
            )
        )
        if rows:
            connection.execute(insert(archive_key), rows)
    report.objects += 1
    report.keys += len(rows)


def _drop(engine: Engine, key: str, state: str, wrapped: Collection[str]) -> int:
    k, r, s, w = archive_key.c, archive_record.c, archive_row.c, archive_wait.c
    with engine.begin() as connection:
        gone = connection.execute(delete(archive_key).where(k.object_key == key, ~among(k.archive_tag, wrapped)))
        if state == "writing":
            # What was staged of it is what the destroyed key opened, and would be packed under another one.
            here = (s.object_key == key, ~among(s.archive_tag, wrapped))
            connection.execute(
                delete(archive_wait).where(*here, w.record_sha256 == s.record_sha256, w.rule_id == s.rule_id)
            )
            connection.execute(delete(archive_row).where(*here))
        else:
            # A record that nothing opens any more is not archived: if it comes again, it is packed again.
            connection.execute(delete(archive_record).where(r.object_key == key, ~among(r.archive_tag, wrapped)))
    return gone.rowcount
