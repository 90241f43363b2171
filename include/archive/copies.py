"""A held subject's rows in an object of their own, under legal hold, before the shared object goes on its day."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection, insert, select

from include.archive import backups
from include.archive.bodies import Body, decrypt, lines
from include.archive.objects import Archive, finish, object_row, plan_of, settle
from include.archive.rows import ArchivedRow
from include.archive.store import FROZEN, READABLE
from include.database import archive_key, archive_object
from include.errors import ArchiveError


def copied(connection: Connection, object_key: str) -> dict[str, str]:
    """Return the subjects of an object that already have a checked copy: archive tag to the copy's key."""
    o, k = archive_object.c, archive_key.c
    rows = connection.execute(
        select(k.archive_tag, k.object_key)
        .join(archive_object, o.object_key == k.object_key)
        .where(o.copied_from == object_key, o.state == "checked")
    )
    return {row.archive_tag: row.object_key for row in rows}


def copy_held(archive: Archive, row: Any, tags: Collection[str]) -> bool:
    """Copy the lines of `tags` and read each copy back; False where the shared object must be restored first."""
    wanted = set(tags) - _settled(archive, row, tags)
    if not wanted:
        return True
    found = _open(archive, row.object_key, row.sha256, wanted)
    if found is None:
        archive.store.restore(row.object_key)
        return False
    lost = wanted - found.keys()
    if lost:
        raise ArchiveError(
            f"Archive object {row.object_key}: {len(lost)} held subjects are not in it; it is not destroyed."
        )
    for tag in sorted(found):
        _copy(archive, row, tag, found[tag])
    return True


def _settled(archive: Archive, row: Any, tags: Collection[str]) -> set[str]:
    """Settle copies a crash left in `writing`; return the tags that have a checked copy now."""
    o = archive_object.c
    with archive.engine.connect() as connection:
        left = connection.execute(
            select(archive_object).where(o.copied_from == row.object_key, o.state == "writing")
        ).all()
    for copy in left:
        settle(archive, copy)
    with archive.engine.connect() as connection:
        return set(copied(connection, row.object_key)) & set(tags)


def _open(archive: Archive, object_key: str, sha256: str, tags: Collection[str]) -> dict[str, list[ArchivedRow]] | None:
    k = archive_key.c
    with archive.engine.connect() as connection:
        wrapped = {
            key.archive_tag: key.wrapped_key
            for key in connection.execute(
                select(archive_key).where(k.object_key == object_key, k.archive_tag.in_(list(tags)))
            )
        }
    read = lines(archive.store, object_key, sha256)
    if read is None:
        return None
    return {
        line.archive_tag: decrypt(line, object_key, wrapped[line.archive_tag], archive.keys)
        for line in read
        if line.archive_tag in wrapped
    }


def _copy(archive: Archive, row: Any, tag: str, rows: list[ArchivedRow]) -> None:
    key = backups.new_object(row.rule_id, row.window_end)
    body = Body(key, archive.keys)
    try:
        wrapped = body.add(tag, [r.encode() for r in rows])
        with archive.engine.begin() as connection:
            connection.execute(
                insert(archive_object).values(
                    object_key=key,
                    bucket=row.bucket,
                    rule_id=row.rule_id,
                    window_end=row.window_end,
                    rows=body.rows,
                    subjects=1,
                    sha256=body.sha256,
                    retain_until=row.retain_until,
                    last_day=row.last_day,
                    destroy_by=row.destroy_by,
                    # It is read back now, so it cannot lie where reading takes hours.
                    storage_class=READABLE if row.storage_class in FROZEN else row.storage_class,
                    keys_at=backups.new_place(),
                    state="writing",
                    legal_hold=True,
                    copied_from=row.object_key,
                )
            )
            connection.execute(insert(archive_key).values(object_key=key, archive_tag=tag, wrapped_key=wrapped))
            copy = object_row(connection, key)
        backups.create(archive.store, archive.keys, copy.keys_at, [(copy, {tag: wrapped})])
        head = archive.store.write(plan_of(copy), body.file)
    finally:
        body.close()
    if _open(archive, key, copy.sha256, [tag]) != {tag: rows}:
        raise ArchiveError(f"Archive object {key}: a held subject's copy does not read back as written.")
    finish(archive, [(copy, head)])
