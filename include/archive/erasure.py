"""One account's data keys destroyed before their objects' day (an early correction): `crypto_erase`, never deletion.

The locked bytes stay, unreadable, until the object's own day. The destruction is `accepted` while a backup of the
database may still hold the keys, and confirmed by the daily run after the last of them has expired.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, delete, func, insert, select, text

from include.archive import backups
from include.archive.facts import Recorder, facts_of
from include.archive.holding import Computed, Placed, open_holds
from include.archive.keyring import ArchiveKeys
from include.archive.objects import Archive, alone, refuse_when_stopped
from include.archive.store import ArchiveStore
from include.database import (
    SCHEMA,
    among,
    archive_key,
    archive_key_erasure,
    archive_link,
    archive_object,
    archive_record,
    archive_row,
    disposal,
)
from include.errors import DecisionRefused
from include.outcomes import Outcome


def crypto_erase(
    engine: Engine,
    store: ArchiveStore,
    account_id: str,
    *,
    keys: ArchiveKeys,
    as_of: date,
    record: Recorder,
    placed: Placed = open_holds,
    computed: Computed = lambda _rule_id: {},
    key_backup_days: int = 0,
) -> int:
    """Destroy one account's data keys and their backups; return how many objects had one.

    Refused for held rows, and while the company counts on them: rows not packed yet, a disposal that has not acted.

    The intent is committed first; a crash before the end leaves the keys in the database, and the same command goes on.
    """
    tag, until = keys.tag(account_id), as_of + timedelta(days=key_backup_days)
    with alone(engine, without_staging=True):
        with engine.begin() as connection:
            refuse_when_stopped(connection)
            connection.execute(text(f"LOCK TABLE {SCHEMA}.hold IN SHARE MODE"))
            rows = _objects(connection, tag)
            _refuse_relied_on(connection, account_id, tag, [row.object_key for row in rows])
            _refuse_held(connection, account_id, {row.rule_id for row in rows}, placed, computed)
            for row in rows:
                record(connection, _facts(row, tag, "archive_crypto_erase_attempted", Outcome.ATTEMPTED, None))
        for keys_at in sorted({row.keys_at for row in rows}):
            backups.ensure(engine, store, keys, keys_at)
            backups.drop(store, keys, keys_at, tag)
        with engine.begin() as connection:
            connection.execute(delete(archive_key).where(archive_key.c.archive_tag == tag))
            connection.execute(delete(archive_record).where(archive_record.c.archive_tag == tag))
            for row in rows:
                connection.execute(insert(archive_key_erasure).values(object_key=row.object_key, until=until))
                record(connection, _facts(row, tag, "archive_crypto_erased", Outcome.ACCEPTED, until))
    return len(rows)


def confirm_erasures(archive: Archive) -> int:
    """Confirm single keys that no backup of the database holds any more; return how many."""
    c = archive_key_erasure.c
    with archive.engine.begin() as connection:
        over = connection.execute(
            select(c.erasure_id, archive_object)
            .join(archive_object, archive_object.c.object_key == c.object_key)
            .where(c.until < archive.as_of)
            .order_by(c.erasure_id)
        ).all()
        for row in over:
            connection.execute(delete(archive_key_erasure).where(c.erasure_id == row.erasure_id))
            facts = _facts(row, None, "archive_crypto_erase_confirmed", Outcome.CONFIRMED_ABSENT, None)
            archive.record(connection, facts)
    return len(over)


def _objects(connection: Connection, tag: str) -> list[Any]:
    return list(
        connection.execute(
            select(archive_object)
            .join(archive_key, archive_key.c.object_key == archive_object.c.object_key)
            .where(archive_key.c.archive_tag == tag)
            .order_by(archive_object.c.object_key)
        )
    )


def _refuse_relied_on(connection: Connection, account_id: str, tag: str, object_keys: list[str]) -> None:
    """Refuse while a record would be lost: the source goes on the strength of the archived copy."""
    r, d, link = archive_row.c, disposal.c, archive_link.c
    staged = connection.scalar(select(r.row_id).where(r.archive_tag == tag).limit(1)) is not None
    waiting = connection.scalar(
        select(func.count(d.disposal_id.distinct()))
        .join(archive_link, link.disposal_id == d.disposal_id)
        .where(d.account_id == account_id, d.closed_on.is_(None), d.attempts == 0, among(link.object_key, object_keys))
    )
    if staged or waiting:
        what = "records are staged and not packed" if staged else f"{waiting} disposals have not acted yet"
        raise DecisionRefused(
            f"The company still counts on this account's archived records: {what}. Let the nightly run finish them (or "
            "cancel them), then ask again; nothing was destroyed."
        )


def _refuse_held(connection: Connection, account_id: str, rules: set[str], placed: Placed, computed: Computed) -> None:
    for rule_id in sorted(rules):
        if account_id in placed(connection, rule_id) or account_id in computed(rule_id):
            raise DecisionRefused(
                f"A hold keeps what {rule_id} archived of this account, so its keys stay. Release the hold first; "
                "nothing was destroyed."
            )


def _facts(row: Any, tag: str | None, event: str, outcome: Outcome, until: date | None) -> Any:
    return facts_of(row, event, outcome, method="crypto_erase", until=until, subjects=1, archive_tag=tag)
