"""One task a run packs what the batches staged: one object per law and half-week, written once, locked, proven.

A crash between any two lines leaves `writing`: the next run reads the store and either finishes or abandons. Nothing
is lost (rows stay until `checked`) and nothing is doubled (`archive_record` remembers what is in a checked object).
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

import psycopg
from sqlalchemy import (
    Connection,
    Date,
    Engine,
    Select,
    Text,
    and_,
    cast,
    delete,
    func,
    insert,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY

from include.archive import backups
from include.archive.bodies import Body
from include.archive.facts import Archived, Recorder
from include.archive.keyring import ArchiveKeys
from include.archive.objects import Archive, alone, ceil_second, finish, plan_of, rows_of, settle
from include.archive.staging import GATE, open_staged
from include.archive.store import ArchiveStore, Head
from include.archive.trouble import DOWN, Trouble
from include.database import SCHEMA, archive_key, archive_object, archive_row, archive_wait
from include.errors import ArchiveError, ArchiveUnreachable

CHUNK = 1000
"""Rows of small groups that are packed between the same two transactions, and rows of a large one read at a time."""

AT_ONCE = 16
"""Objects written between the same two transactions."""

WRITERS = 3
_Group = tuple[str, date]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Unproven:
    """What went wrong, and with how many objects."""

    error: ArchiveError
    objects: int = 1


@dataclass(slots=True)
class PackReport:
    """What one packing did; `dropped` rows had outlived their basis before they could be packed."""

    objects: int = 0
    rows: int = 0
    subjects: int = 0
    resumed: int = 0
    abandoned: int = 0
    dropped: int = 0
    keys: list[str] = field(default_factory=list)


def pack(
    engine: Engine,
    store: ArchiveStore,
    *,
    as_of: date,
    now: datetime,
    keys: ArchiveKeys,
    owner: str,
    record: Recorder,
    archived: Archived = lambda _connection, _disposal_ids: None,
    storage_class: str = "GLACIER_IR",
) -> PackReport:
    """Write every staged row into a checked object; `now` is real UTC, `as_of` the business date.

    A group that cannot be proven keeps its rows and its disposals waiting; the others are finished first, then
    `ArchiveError` names the cause. A cut connection is trouble of one object until the third in a row.
    """
    archive = Archive(engine, store, keys, as_of, now, record, archived, storage_class)
    report = PackReport()
    with alone(engine):
        if not _anything(engine):
            return report
        store.check(now)
        trouble = Trouble()
        _resume(archive, report, trouble)
        report.dropped = _drop_lapsed(archive)
        _pack_groups(archive, report, trouble)
    logger.info(
        "archive packed: objects=%d rows=%d failures=%d owner=%s", report.objects, report.rows, trouble.count, owner
    )
    trouble.tell(
        f"{trouble.count} of {trouble.count + report.objects} archive objects could not be proven; what belongs to "
        "them is not touched at its source and is packed again on the next run."
    )
    return report


def _anything(engine: Engine) -> bool:
    with engine.connect() as connection:
        staged = connection.scalar(select(archive_row.c.row_id).limit(1))
        writing = connection.scalar(
            select(archive_object.c.object_key).where(archive_object.c.state == "writing").limit(1)
        )
    return staged is not None or writing is not None


def _groups(engine: Engine) -> list[list[_Group]]:
    """Return what is to be packed, small groups together so that they share their transactions."""
    c = archive_row.c
    together: list[list[_Group]] = []
    with engine.connect() as connection:
        found = connection.execute(
            select(c.rule_id, c.window_end, func.count().label("rows"))
            .where(c.object_key.is_(None))
            .group_by(c.rule_id, c.window_end)
            .order_by(c.rule_id, c.window_end)
        )
        room = objects = 0
        for row in found:
            if not together or row.rows > room or objects == AT_ONCE:
                together.append([])
                room, objects = CHUNK, 0
            together[-1].append((row.rule_id, row.window_end))
            room, objects = room - row.rows, objects + 1
    return together


def _drop_lapsed(archive: Archive) -> int:
    """Forget staged rows whose last day passed before they were packed: no law keeps them any more."""
    c, w = archive_row.c, archive_wait.c
    with archive.engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:gate)"), {"gate": GATE})
        lapsed = connection.execute(
            delete(archive_row)
            .where(c.object_key.is_(None), or_(c.free_from_utc <= archive.now, c.last_day < archive.as_of))
            .returning(c.record_sha256, c.rule_id)
        ).all()
        for row in lapsed:
            connection.execute(
                delete(archive_wait).where(w.record_sha256 == row.record_sha256, w.rule_id == row.rule_id)
            )
    return len(lapsed)


def _resume(archive: Archive, report: PackReport, trouble: Trouble) -> None:
    """Settle what an earlier run left in `writing` by looking at the store."""
    with archive.engine.connect() as connection:
        left = connection.execute(select(archive_object).where(archive_object.c.state == "writing")).all()
    for row in left:
        with trouble.of_one():
            if settle(archive, row):
                report.resumed += 1
            else:
                report.abandoned += 1


def _pack_groups(archive: Archive, report: PackReport, trouble: Trouble) -> None:
    """Pack several groups at a time: most of what one takes is waiting for the store.

    A store that is down stops those that have not begun.
    """
    pool = ThreadPoolExecutor(WRITERS, thread_name_prefix="pack")
    try:
        for future in [pool.submit(_pack_some, archive, groups) for groups in _groups(archive.engine)]:
            for found in future.result():
                with trouble.of_one(found.objects if isinstance(found, _Unproven) else 1):
                    if isinstance(found, _Unproven):
                        raise found.error
                    report.objects += 1
                    report.rows += found.rows
                    report.subjects += found.subjects
                    report.keys.append(found.object_key)
    finally:
        pool.shutdown(cancel_futures=True)


def _pack_some(archive: Archive, groups: Sequence[_Group]) -> list[Any]:
    """Pack some groups between two transactions; return each object's row, or what went wrong with it.

    What could not be proven stays `writing` for the next run to settle, and so does the rest when the store is down.
    """
    found: list[Any] = []
    proven: list[tuple[Any, Head]] = []
    with ExitStack() as bodies:
        with archive.engine.begin() as connection:
            planned = _assign(connection, archive, groups, bodies)
        if not planned:
            return []
        try:
            keys_at, together = planned[0][0].keys_at, [(row, wrapped) for row, _, wrapped in planned]
            backups.create(archive.store, archive.keys, keys_at, together)
        except ArchiveError as error:
            return [_Unproven(error, len(planned))]
        for row, body, _ in planned:
            try:
                proven.append((row, archive.store.write(plan_of(row), body.file)))
                found.append(row)
            except ArchiveError as error:
                found.append(_Unproven(error))
                if len(found) >= DOWN and all(map(_unanswered, found[-DOWN:])):
                    break
    finish(archive, proven)
    return found


def _unanswered(found: Any) -> bool:
    return isinstance(found, _Unproven) and isinstance(found.error, ArchiveUnreachable)


def _assign(
    connection: Connection, archive: Archive, groups: Sequence[_Group], bodies: ExitStack
) -> list[tuple[Any, Body, dict[str, bytes]]]:
    """Assign each group's rows to an object, build its bytes, and commit (by the caller) what it must become.

    Returns row, bytes and wrapped keys of each object; a group of which nothing is left makes none.
    """
    keys, keys_at = [backups.new_object(rule_id, end) for rule_id, end in groups], backups.new_place()
    extent = {row.object_key: row for row in connection.execute(_taking(groups, keys))}
    filled = _fill(connection, archive, bodies, extent)
    if not filled:
        return []
    rows = connection.execute(
        insert(archive_object).returning(archive_object),
        [
            {
                "object_key": key,
                "bucket": archive.store.bucket,
                "rule_id": extent[key].rule_id,
                "window_end": extent[key].window_end,
                "rows": body.rows,
                "subjects": body.subjects,
                "sha256": body.sha256,
                "retain_until": ceil_second(extent[key].until),
                "last_day": extent[key].last,
                "destroy_by": extent[key].by,
                "storage_class": archive.storage_class,
                "keys_at": keys_at,
                "state": "writing",
            }
            for key, (body, _) in filled.items()
        ],
    )
    planned = [(row, *filled[row.object_key]) for row in rows]
    _keep(connection, filled)
    return planned


def _taking(groups: Sequence[_Group], keys: Sequence[str]) -> Select[Any]:
    """Return the statement that assigns groups to objects and tells how far each reaches.

    Rows are locked in the order in which staging writes them, so that neither waits for the other in a circle.
    """
    c = archive_row.c
    planned = (
        func.unnest(
            cast([rule_id for rule_id, _ in groups], ARRAY(Text)),
            cast([end for _, end in groups], ARRAY(Date)),
            cast(list(keys), ARRAY(Text)),
        )
        .table_valued("rule_id", "window_end", "object_key")
        .render_derived("planned")
    )
    locked = (
        select(c.row_id, planned.c.object_key)
        .join(planned, and_(c.rule_id == planned.c.rule_id, c.window_end == planned.c.window_end))
        .where(c.object_key.is_(None))
        .order_by(c.record_sha256, c.rule_id)
        .with_for_update(of=archive_row)
        .cte("locked")
    )
    taken = (
        update(archive_row)
        .where(c.row_id == locked.c.row_id)
        .values(object_key=locked.c.object_key)
        .returning(c.object_key, c.rule_id, c.window_end, c.free_from_utc, c.last_day, c.destroy_by)
        .cte("taken")
    )
    t = taken.c
    return select(
        t.object_key,
        t.rule_id,
        t.window_end,
        func.count().label("rows"),
        func.max(t.free_from_utc).label("until"),
        func.max(t.last_day).label("last"),
        func.min(t.destroy_by).label("by"),
    ).group_by(t.object_key, t.rule_id, t.window_end)


def _fill(
    connection: Connection, archive: Archive, bodies: ExitStack, extent: Mapping[str, Any]
) -> dict[str, tuple[Body, dict[str, bytes]]]:
    """Write one line per subject in the order of their tags, a large group streamed; return bytes and wrapped keys."""
    c = archive_row.c
    rows = connection.execute(
        select(c.object_key, c.archive_tag, c.record_sha256, c.rule_id, c.nonce, c.ciphertext, c.wrapped_key)
        .where(rows_of(extent.values()))
        .order_by(c.object_key, c.archive_tag, c.row_id),
        execution_options={"yield_per": CHUNK} if sum(e.rows for e in extent.values()) > CHUNK else {},
    )
    filled = {}
    for key, of_object in itertools.groupby(rows, key=lambda row: str(row.object_key)):
        body = bodies.enter_context(closing(Body(key, archive.keys)))
        wrapped = {
            tag: body.add(tag, [open_staged(row, archive.keys) for row in of_subject])
            for tag, of_subject in itertools.groupby(of_object, key=lambda row: str(row.archive_tag))
        }
        filled[key] = (body, wrapped)
    return filled


def _keep(connection: Connection, filled: Mapping[str, tuple[Body, Mapping[str, bytes]]]) -> None:
    """Insert the wrapped keys of every object; COPY, because there is one for each subject of each."""
    table = f"{SCHEMA}.{archive_key.name}"
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    with (
        driver.cursor() as cursor,
        cursor.copy(f"COPY {table} (object_key, archive_tag, wrapped_key) FROM STDIN") as rows,
    ):
        for key, (_, wrapped) in filled.items():
            for tag, value in wrapped.items():
                rows.write_row((key, tag, value))
