"""Whole objects go on their day: every version, confirmed by listing, then every key.

Nothing is split. Where a held subject shares an object, its line is first copied to an object of its own under legal
hold and read back; then the rest goes on time. Releasing the hold lets that copy go on the next run.

    archive_destroy_attempted   committed before the first version goes, with the holds re-read in that transaction
    archive_destroyed           the listing is empty and the keys left the database (a backup may still hold them)
    archive_keys_gone           the last backup that held the keys has expired; only now nothing can bring the rows back
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, delete, func, select, text, update

from include.archive import backups
from include.archive.copies import copied, copy_held
from include.archive.erasure import confirm_erasures
from include.archive.facts import ObjectFacts, Recorder, facts_of
from include.archive.holding import Computed, Held, Placed, open_holds
from include.archive.keyring import ArchiveKeys
from include.archive.objects import Archive, alone, refuse_when_stopped
from include.archive.store import ArchiveStore
from include.archive.trouble import Trouble
from include.database import SCHEMA, archive_key, archive_object, archive_record
from include.outcomes import Outcome

LANDED = timedelta(days=1)  # an upload whose reply was lost is on the bucket long before

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class LapseReport:
    """What one run of `lapse` did. `retained` says which objects wait for a lock, a hold or a restore."""

    destroyed: int = 0
    versions: int = 0
    copied: int = 0
    confirmed: int = 0
    cleaned: int = 0
    saved: int = 0
    retained: list[ObjectFacts] = field(default_factory=list)


def lapse(
    engine: Engine,
    store: ArchiveStore,
    *,
    as_of: date,
    now: datetime,
    keys: ArchiveKeys,
    record: Recorder,
    placed: Placed = open_holds,
    computed: Computed = lambda _rule_id: {},
    key_backup_days: int = 0,
) -> LapseReport:
    """Destroy what every basis has outlived by `as_of` and whose lock is over at `now`; running it again is safe."""
    archive = Archive(engine, store, keys, as_of, now, record)
    report, trouble = LapseReport(), Trouble()
    with alone(engine):
        report.confirmed = _confirm_keys_gone(archive) + confirm_erasures(archive)
        due, abandoned = _due(archive), _in_state(archive, "abandoned")
        if due or abandoned:
            store.check(now)
        for keys_at in {row.keys_at for row in backups.unsaved(engine, store)} if _any_checked(archive) else ():
            backups.ensure(engine, store, keys, keys_at)
            report.saved += 1
        seen: set[str] = set()
        while todo := [row for row in [*due, *abandoned] if row.object_key not in seen]:
            for row in todo:
                seen.add(row.object_key)
                with trouble.of_one():
                    if row.state == "abandoned":
                        report.cleaned += _clean(archive, row)
                    else:
                        _Lapse(archive, row, placed, computed, key_backup_days, report).run()
            due = _due(archive)  # held subjects' copies made just now are judged, and dated, the same night
    logger.info("archive lapsed: destroyed=%d retained=%d", report.destroyed, len(report.retained))
    trouble.tell(f"{trouble.count} archive objects could not be destroyed on their day; the next run tries again.")
    return report


def _due(archive: Archive) -> list[Any]:
    c = archive_object.c
    with archive.engine.connect() as connection:
        return list(
            connection.execute(
                select(archive_object)
                .where(c.state.in_(("checked", "destroying")), c.last_day < archive.as_of)
                .order_by(c.last_day, c.object_key)
            )
        )


def _any_checked(archive: Archive) -> bool:
    with archive.engine.connect() as connection:
        kept = select(archive_object.c.object_key).where(archive_object.c.state == "checked").limit(1)
        return connection.scalar(kept) is not None


def _in_state(archive: Archive, state: str) -> list[Any]:
    with archive.engine.connect() as connection:
        return list(connection.execute(select(archive_object).where(archive_object.c.state == state)))


def _confirm_keys_gone(archive: Archive) -> int:
    """Close objects whose keys have left the last backup."""
    rows = [r for r in _in_state(archive, "destroyed") if r.keys_until is None or r.keys_until < archive.as_of]
    for row in rows:
        with archive.engine.begin() as connection:
            _set(connection, row, state="gone")
            archive.record(connection, facts_of(row, "archive_keys_gone", Outcome.CONFIRMED_ABSENT))
    return len(rows)


def _clean(archive: Archive, row: Any) -> int:
    """Remove what an abandoned upload may have left: unreadable bytes, since its keys were destroyed at once.

    The backup of its keys waits for no lock: a process that died while it abandoned the object has left one.
    """
    backups.forget(archive.store, archive.keys, row)
    head = archive.store.head(row.object_key)
    if head is None and row.written_at > archive.now - LANDED:
        return 0
    if head is not None and head.retain_until is not None and head.retain_until > archive.now:
        return 0
    if head is not None and head.legal_hold:
        if not row.legal_hold:
            return 0  # not ours: somebody else placed it
        archive.store.release_legal_hold(row.object_key)
    archive.store.destroy(row.object_key)
    with archive.engine.begin() as connection:
        _set(connection, row, state="gone", destroyed_at=func.now())
    return 1


def _set(connection: Connection, row: Any, **values: Any) -> None:
    connection.execute(update(archive_object).where(archive_object.c.object_key == row.object_key).values(**values))


@dataclass(slots=True)
class _Lapse:
    """One object on its day."""

    archive: Archive
    row: Any
    placed: Placed
    computed: Computed
    key_backup_days: int
    report: LapseReport

    def run(self) -> None:
        if not self.row.legal_hold and self.row.retain_until > self.archive.now:
            self._retained("lock", self.row.retain_until.date())
            return
        computed = self._tags(self.computed(self.row.rule_id))
        while missing := self._intend(computed):
            if self.row.legal_hold:
                self._retained("hold", min(missing.values()))
                return
            if not copy_held(self.archive, self.row, set(missing)):
                self._retained("restore", self.archive.as_of + timedelta(days=1))
                return
            self.report.copied += len(missing)
        self._destroy()

    def _tags(self, held: Held) -> dict[str, date]:
        return {self.archive.keys.tag(account_id): review for account_id, review in held.items()}

    def _intend(self, computed: dict[str, date]) -> dict[str, date]:
        """Commit the intent to destroy, or return the held subjects that are not copied yet, with their reviews.

        The hold table is locked against new rows for this short transaction: a hold that commits first is seen here,
        a later one is placed after the attempt.
        """
        with self.archive.engine.begin() as connection:
            refuse_when_stopped(connection)
            connection.execute(text(f"LOCK TABLE {SCHEMA}.hold IN SHARE MODE"))
            held = computed | self._tags(self.placed(connection, self.row.rule_id))
            here = set(
                connection.scalars(
                    select(archive_key.c.archive_tag).where(archive_key.c.object_key == self.row.object_key)
                )
            )
            there = copied(connection, self.row.object_key)
            missing = {tag: held[tag] for tag in held.keys() & here if tag not in there}
            if missing or self.row.state == "destroying":
                return missing
            _set(connection, self.row, state="destroying")
            self.archive.record(
                connection, facts_of(self.row, "archive_destroy_attempted", Outcome.ATTEMPTED, method="delete")
            )
        return {}

    def _destroy(self) -> None:
        archive, key = self.archive, self.row.object_key
        if self.row.legal_hold and archive.store.head(key) is not None:
            archive.store.release_legal_hold(key)
        versions = archive.store.destroy(key)
        backups.forget(archive.store, archive.keys, self.row)
        until = archive.as_of + timedelta(days=self.key_backup_days)
        with archive.engine.begin() as connection:
            _move_records(connection, key, copied(connection, key))
            connection.execute(delete(archive_key).where(archive_key.c.object_key == key))
            _set(connection, self.row, state="destroyed", destroyed_at=func.now(), keys_until=until)
            archive.record(
                connection,
                facts_of(
                    self.row,
                    "archive_destroyed",
                    Outcome.CONFIRMED_ABSENT,
                    method="delete",
                    until=until,
                    count=versions,
                ),
            )
        self.report.destroyed += 1
        self.report.versions += versions

    def _retained(self, basis: str, until: date) -> None:
        facts = facts_of(self.row, "archive_retained", Outcome.RETAINED, basis=basis, until=until)
        with self.archive.engine.begin() as connection:
            self.archive.record(connection, facts)
        self.report.retained.append(facts)


def _move_records(connection: Connection, key: str, copies: Mapping[str, str]) -> None:
    """Let the digests of copied subjects point to their copies, and forget the others."""
    c = archive_record.c
    for tag, copy in copies.items():
        connection.execute(
            update(archive_record).where(c.object_key == key, c.archive_tag == tag).values(object_key=copy)
        )
    connection.execute(delete(archive_record).where(c.object_key == key))
