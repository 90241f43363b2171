"""Records of the company's own database that a law may keep, read before anything is erased."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

from psycopg import sql

from include.accounts.tables import Record as Declared
from include.accounts.tables import Tables
from include.processors import Record
from include.processors._own_database.sql import Cursor, Target, name_of


def extract(cursor: Cursor, tables: Tables, targets: Sequence[Target], *, as_of: date) -> list[Record]:
    """Return one record for each located row, in the order of the disposals.

    A record without its own date is dated by the termination, the last day it can be of: kept longer, never shorter.
    """
    accounts = sorted({t.account_id for t in targets})
    identity = _identity(cursor, tables, accounts)
    ended = _ended(cursor, tables, accounts)
    found: dict[str, list[Record]] = {t.disposal_id: [] for t in targets}
    for declared in tables.records:
        rows = _rows(cursor, tables, declared, accounts)
        for target in targets:
            located = target.rows.get(declared.table, {})
            for key, offshore, dates, items in rows.get(target.account_id, ()):
                if key in located:
                    fallback = ended.get(target.account_id) or as_of
                    found[target.disposal_id].append(
                        Record(
                            disposal_id=target.disposal_id,
                            source_id=f"{declared.table}/{key}",
                            kind=declared.kind,
                            dates={name: day or fallback for name, day in dates.items()},
                            items=identity.get(target.account_id, {}) | items,
                            offshore=offshore,
                        )
                    )
    return [record for target in targets for record in found[target.disposal_id]]


def _rows(
    cursor: Cursor, tables: Tables, declared: Declared, accounts: list[str]
) -> dict[str, list[tuple[str, bool, dict[str, date | None], dict[str, Any]]]]:
    """Return the rows of one kind of record by account: key, offshore, dates, items."""
    table = tables.tables[declared.table]
    names, days = list(declared.items), list(declared.dates)
    selected: list[sql.Composable] = [sql.SQL("{}::text").format(sql.Identifier(c)) for c in (table.account, table.key)]
    selected.append(sql.Identifier(declared.offshore) if declared.offshore else sql.SQL("false"))
    for spec in declared.dates.values():
        function = "greatest" if spec.take == "latest" else "coalesce"
        selected.append(sql.SQL(function + "({})").format(sql.SQL(", ").join(map(sql.Identifier, spec.columns))))
    selected += [sql.Identifier(declared.items[name]) for name in names]
    conditions: list[sql.Composable] = [sql.SQL("{} = ANY(%s)").format(sql.Identifier(table.account))]
    conditions += [sql.SQL("{} = {}").format(sql.Identifier(c), sql.Literal(v)) for c, v in declared.where.items()]
    query = sql.SQL("SELECT {} FROM {} WHERE {} ORDER BY 1, 2").format(
        sql.SQL(", ").join(selected), name_of(tables, declared.table), sql.SQL(" AND ").join(conditions)
    )
    found: dict[str, list[tuple[str, bool, dict[str, date | None], dict[str, Any]]]] = {}
    for account_id, key, offshore, *values in cursor.execute(query, [accounts]):
        dates = dict(zip(days, values[: len(days)], strict=True))
        items = dict(zip(names, map(_flat, values[len(days) :]), strict=True))
        found.setdefault(account_id, []).append((key, bool(offshore), dates, items))
    return found


def _identity(cursor: Cursor, tables: Tables, accounts: list[str]) -> dict[str, dict[str, Any]]:
    """Return the party's items by account; the first declared table that knows an item wins."""
    found: dict[str, dict[str, Any]] = {}
    for source in tables.identity:
        names = list(source.items)
        query = sql.SQL("SELECT {}, {} FROM {} WHERE {} = ANY(%s)").format(
            sql.Identifier(source.account),
            sql.SQL(", ").join(sql.Identifier(source.items[n]) for n in names),
            name_of(tables, source.table),
            sql.Identifier(source.account),
        )
        for account_id, *values in cursor.execute(query, [accounts]):
            items = found.setdefault(account_id, {})
            for name, value in zip(names, values, strict=True):
                if value not in (None, ""):
                    items.setdefault(name, _flat(value))
    return found


def _ended(cursor: Cursor, tables: Tables, accounts: list[str]) -> dict[str, date]:
    register = tables.register_row
    query = sql.SQL("SELECT {}, {} FROM {} WHERE {} = ANY(%s) AND {} IS NOT NULL").format(
        sql.Identifier(register.account),
        sql.Identifier(register.terminated_on),
        name_of(tables, register.table),
        sql.Identifier(register.account),
        sql.Identifier(register.terminated_on),
    )
    return dict(cursor.execute(query, [accounts]).fetchall())


def _flat(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date) else value
