"""The rows of one PostgreSQL store: located, extracted, erased in one transaction a batch, counted again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import psycopg

from include.accounts.tables import Tables
from include.errors import ConfigurationError
from include.outcomes import Outcome
from include.processors import STALE_LOCATOR, Found, Record, Result, Site, Subject, Work
from include.processors._own_database import records, scan
from include.processors._own_database import sql as statements
from include.processors._own_database.sql import NAME, ROW_REFUSED, Target, opened

READ_METHOD = "row_count_by_account"
AT_ONCE = 50_000
"""Located rows of a batch up to which one transaction takes them all."""
PART = 10_000
"""Rows a transaction takes beyond that."""


class Rows:
    """One store's rows."""

    def __init__(self, site: Site, tables: Tables) -> None:
        self._connection, self._as_of, self.tables = site.connection, site.as_of, tables
        self._go_on = site.go_on

    def check(self) -> None:
        """Prove that what the schedule declares is there, may be erased, and is all there is of a person."""
        with opened(self._connection, read_only=True) as connection:
            scan.check(connection, self.tables, self._connection.name)

    # -- reading ---------------------------------------------------------------------------------------------------
    def locate(self, subjects: Sequence[Subject]) -> list[Found]:
        """Count the rows each disposal reaches; keys and digests of rows a law may keep go into the locator."""
        targets = [_of(s) for s in subjects]
        with opened(self._connection, read_only=True) as connection, connection.cursor() as cursor:
            keys = statements.keys_of_people(cursor, self.tables, targets)
            targets = [replace(t, keys=keys.get(t.disposal_id, ())) for t in targets]
            counts = statements.count(cursor, self.tables, targets)
            rows = statements.rows_of_records(cursor, self.tables, targets)
            held = statements.open_complaints(cursor, self.tables, targets)
        return [self._found(t, counts.get(t.disposal_id, {}), rows.get(t.disposal_id, {}), held) for t in targets]

    def _found(self, target: Target, counts: dict[str, int], rows: dict[str, dict[str, str]], held: set[str]) -> Found:
        if target.account_id == "" or target.person == "":
            # One end user without an id would be everybody of that customer.
            return Found(target.disposal_id, Outcome.FAILED, code="no_identifier")
        if target.disposal_id in held:
            return Found(target.disposal_id, Outcome.BLOCKED, code="open_complaint")
        locator = {"event": target.event, "day": target.day.isoformat(), "counts": counts, "rows": rows}
        if target.person is not None:
            locator |= {"person": target.person, "keys": list(target.keys)}
        return Found(target.disposal_id, Outcome.LOCATED, count=sum(counts.values()), locator=locator)

    def extract(self, work: Sequence[Work]) -> list[Record]:
        """Return the payments, contracts and complaints that were located, each with the party's items."""
        targets = [t for t in map(_target, work) if t.rows]
        if not targets:
            return []
        with opened(self._connection, read_only=True) as connection, connection.cursor() as cursor:
            return records.extract(cursor, self.tables, targets, as_of=self._as_of)

    # -- acting ----------------------------------------------------------------------------------------------------
    def act(self, work: Sequence[Work]) -> list[Result]:
        """Erase the batch in one transaction; where a row is refused, each disposal in one of its own."""
        targets = [_target(w) for w in work]
        if sum(sum(w.locator.get("counts", {}).values()) for w in work) > AT_ONCE:
            self._erase_in_parts(targets)
        try:
            results = self._erase(targets)
        except ROW_REFUSED:
            results = {}
            for target in targets:
                try:
                    results |= self._erase([target])
                except ROW_REFUSED as error:
                    results[target.disposal_id] = Result(
                        target.disposal_id, Outcome.FAILED, code=_refusal(error), needs_person=True
                    )
        return [results[w.disposal_id] for w in work]

    def _erase_in_parts(self, targets: Sequence[Target]) -> None:
        """Erase very many rows by key, each part in a transaction of its own, children first.

        Rows a law may keep, and who they are of, are left to the one transaction that compares them with what was
        extracted; so is whatever a reference refuses here.
        """
        with opened(self._connection, read_only=True) as connection, connection.cursor() as cursor:
            now = statements.rows_of_records(cursor, self.tables, targets)
        same = [t for t in targets if not _grew(t.rows, now.get(t.disposal_id, {}))]
        kept = {r.table for r in self.tables.records} | {i.table for i in self.tables.identity}
        try:
            for name in self.tables.tables:
                while name not in kept and same:
                    self._go_on()
                    with opened(self._connection, read_only=False) as connection, connection.cursor() as cursor:
                        if statements.erase(cursor, self.tables, same, only=name, most=PART) < PART:
                            break
        except ROW_REFUSED:
            return

    def _erase(self, targets: Sequence[Target]) -> dict[str, Result]:
        results = {}
        with opened(self._connection, read_only=False) as connection, connection.cursor() as cursor:
            now = statements.rows_of_records(cursor, self.tables, targets, lock=True)
            same = []
            for target in targets:
                if _grew(target.rows, now.get(target.disposal_id, {})):
                    results[target.disposal_id] = Result(target.disposal_id, Outcome.FAILED, code=STALE_LOCATOR)
                else:
                    same.append(target)
                    results[target.disposal_id] = Result(target.disposal_id, Outcome.ACCEPTED)
            if same:
                self._go_on()
                statements.erase(cursor, self.tables, same)
                if self.tables.has_register:
                    self._leave(connection, same)
        return results

    def _leave(self, connection: Any, targets: Sequence[Target]) -> None:
        """Remove the register rows that became empty; one that is still referred to stays and shows in read-back."""
        with connection.cursor() as cursor:
            bare = statements.bare_accounts(cursor, self.tables, targets)
            try:
                with connection.transaction():
                    statements.remove_register(cursor, self.tables, bare)
            except ROW_REFUSED:
                for account_id in bare:
                    try:
                        with connection.transaction():
                            statements.remove_register(cursor, self.tables, [account_id])
                    except ROW_REFUSED:
                        continue

    def read_back(self, work: Sequence[Work]) -> list[Result]:
        """Count again over a connection made for it; nothing left is the only proof."""
        with opened(self._connection, read_only=True) as connection, connection.cursor() as cursor:
            counts = statements.count(cursor, self.tables, [_target(w) for w in work])
        return [self._read(w, sum(counts.get(w.disposal_id, {}).values())) for w in work]

    def _read(self, work: Work, left: int) -> Result:
        if left:
            return Result(work.disposal_id, Outcome.FAILED, code="still_present", count=left, verify_method=READ_METHOD)
        anonymised = [
            t.because
            for name, t in self.tables.tables.items()
            if t.action == "anonymise" and work.locator.get("counts", {}).get(name)
        ]
        return Result(
            work.disposal_id,
            Outcome.CONFIRMED_ANONYMISED if anonymised else Outcome.CONFIRMED_ABSENT,
            basis=anonymised[0] if anonymised else None,
            count=0,
            verify_method=READ_METHOD,
            # A backup made before the erasure, today at the latest, may hold the rows until then.
            backup_expires_on=self._as_of + timedelta(days=self.tables.backup_expires_within_days),
        )


def _target(work: Work) -> Target:
    locator = work.locator
    if "event" not in locator or "day" not in locator:
        raise ConfigurationError(
            f"Processor {NAME}: disposal {work.disposal_id} was not located here; locate it again."
        )
    return Target(
        work.disposal_id,
        work.account_id,
        work.datasets,
        locator["event"],
        date.fromisoformat(locator["day"]),
        {table: dict(rows) for table, rows in locator.get("rows", {}).items()},
        locator.get("person"),
        tuple(locator.get("keys", ())),
    )


def _of(subject: Subject) -> Target:
    person = subject.end_user if subject.subject_type == "end_user" else None
    event, day = subject.trigger_event, subject.trigger_date
    return Target(subject.disposal_id, subject.account_id, subject.datasets, event, day, person=person)


def _refusal(error: psycopg.Error) -> str:
    """Return the word for what refused a row; never its text, which quotes values."""
    if isinstance(error, psycopg.errors.RaiseException):
        return "refused_by_trigger"
    return "foreign_key" if isinstance(error, psycopg.errors.ForeignKeyViolation) else "constraint"


def _grew(located: dict[str, dict[str, str]], now: dict[str, dict[str, str]]) -> bool:
    """Whether a row is there now that was not extracted, or not as it is now; rows already gone do not matter."""
    return any(located.get(table, {}).get(key) != digest for table, rows in now.items() for key, digest in rows.items())
