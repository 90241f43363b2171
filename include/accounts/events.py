"""Where the accounts database records events, as statements: dates of rows, of ledgers, and of records a law keeps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Date,
    FromClause,
    Label,
    Select,
    func,
    literal,
    select,
    table,
)

from include.accounts.sql import Asked, as_date, col, flag, month_end, newest_of
from include.accounts.sql import day as dated
from include.accounts.tables import Days, Record, Tables
from include.policy.facts import Event


@dataclass(frozen=True, slots=True)
class Dates:
    """The dates of one event in one table."""

    event: str
    source: FromClause
    account: str
    column: str
    conditions: tuple[ColumnElement[bool], ...] = ()
    month: bool = False
    newest: bool = False

    def due(self, latest: date) -> Select[Any]:
        """Return the accounts whose event is on or before `latest`; a month's event is on its last day."""
        if self.month and (latest + timedelta(days=1)).day != 1:
            latest = latest.replace(day=1) - timedelta(days=1)
        return (
            select(col(self.account).label("account_id"))
            .distinct()
            .select_from(self.source)
            .where(dated(self.column) <= latest, *self.conditions)
        )

    def of(self, ids: Asked) -> Select[Any]:
        """Return account and date of the events of some accounts, each once."""
        day: ColumnElement[date] = dated(self.column)
        if self.month:
            day = month_end(day)
        where = (ids.among(col(self.account)), col(self.column).is_not(None), *self.conditions)
        if self.newest:
            return (
                select(col(self.account), func.max(day))
                .select_from(self.source)
                .where(*where)
                .group_by(col(self.account))
            )
        return select(col(self.account), day).distinct().select_from(self.source).where(*where)


def trigger_dates(tables: Tables) -> Iterator[Dates]:
    """Yield the events that rows of the declared tables are themselves the record of."""
    for name, declared in tables.tables.items():
        for event, trigger in declared.triggers.items():
            yield Dates(
                event=event,
                source=table(name, schema=tables.schema_name),
                account=declared.account,
                column=trigger.column,
                conditions=(col(trigger.given).is_not(None),) if trigger.given else (),
                month=trigger.rows == "month",
            )


def clock_dates(tables: Tables) -> Iterator[Dates]:
    """Yield the events that ledgers and logs record."""
    for clock in tables.clocks:
        yield Dates(
            event=clock.event,
            source=table(clock.table, schema=tables.schema_name),
            account=clock.account,
            column=clock.column,
            conditions=tuple(col(c) == v for c, v in clock.where.items()),
            newest=clock.newest,
        )


def record_select(tables: Tables, record: Record) -> tuple[Select[Any], tuple[ColumnElement[bool], ...]]:
    """Return a select of `account_id`, `key`, `offshore` and the dates, and the conditions that make a row one."""
    declared = tables.tables[record.table]
    conditions = tuple(col(c) == v for c, v in record.where.items())
    statement = select(
        col(declared.account).label("account_id"),
        col(declared.key).label("key"),
        (flag(record.offshore) if record.offshore else literal(False)).label("offshore"),
        *(_day(days, name) for name, days in record.dates.items()),
    ).select_from(table(record.table, schema=tables.schema_name))
    return statement, conditions


def _day(days: Days, name: str) -> Label[Any]:
    columns = [dated(c) for c in days.columns]
    if len(columns) == 1:
        return columns[0].label(f"date:{name}")  # COALESCE of one is not known everywhere
    chosen = newest_of(columns) if days.take == "latest" else func.coalesce(*columns, type_=Date)
    return chosen.label(f"date:{name}")


def record_events(
    connection: Connection, tables: Tables, record: Record, ids: Asked, ended: Mapping[str, date | None]
) -> Iterator[tuple[str, Event]]:
    """Yield the laws' clocks that the accounts' records start.

    A record without its date starts at the termination, the last day it can be of; one that is a hold while it is open
    starts none.
    """
    statement, conditions = record_select(tables, record)
    account = tables.tables[record.table].account
    for row in connection.execute(statement.where(ids.among(col(account)), *conditions)).mappings():
        for name, event in record.events.items():
            day = as_date(row[f"date:{name}"], f"{record.table}'s {name}") or (
                None if record.open_is else ended.get(row["account_id"])
            )
            if day is not None:
                yield row["account_id"], Event(event, day, offshore=bool(row["offshore"]))


def open_records(
    connection: Connection, tables: Tables, ids: Asked | None = None
) -> Iterator[tuple[str, str, str, str]]:
    """Yield account, hold kind, dataset and key of records that are holds while they have no date; of all accounts
    without `ids`.
    """
    for record in tables.records:
        if record.open_is:
            statement, conditions = record_select(tables, record)
            declared = tables.tables[record.table]
            undated = tuple(col(c).is_(None) for days in record.dates.values() for c in days.columns)
            asked = () if ids is None else (ids.among(col(declared.account)),)
            where = (*asked, *conditions, *undated)
            for row in connection.execute(statement.where(*where)).mappings():
                yield row["account_id"], record.open_is, declared.dataset, str(row["key"])
