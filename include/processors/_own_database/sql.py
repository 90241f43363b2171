"""Statements on the company's own tables: count, lock, erase, remove bare register rows. Batched by arrays of keys.

Names come from the schedule, are checked against a pattern when it is read, and are quoted here; values are parameters.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal

import psycopg
from psycopg import sql

from include.accounts.tables import Table, Tables
from include.connections import TIMEOUT_SECONDS, Connection
from include.errors import ConfigurationError, Refused, Unreachable

NAME = "own_database"
UNFIT = frozenset({"22", "42", "0A"})
"""Classes of SQLSTATE: data exception, syntax or access rule, not supported."""
ROW_REFUSED = (psycopg.IntegrityError, psycopg.errors.RaiseException)
"""What a constraint or a trigger raises about single rows."""
OPTIONS = "-c timezone=UTC -c lock_timeout=15s -c statement_timeout=300s"

Cursor = Any
Part = sql.Composable


@dataclass(frozen=True, slots=True)
class Target:
    """One disposal as the statements need it; `rows` are the located rows of tables whose records a law may keep.

    `person` is the one end user of the account it is about (None: all of the account), `keys` that one's own keys.
    """

    disposal_id: str
    account_id: str = field(repr=False)
    datasets: tuple[str, ...]
    event: str
    day: date
    rows: dict[str, dict[str, str]] = field(default_factory=dict, repr=False)
    person: str | None = field(default=None, repr=False)
    keys: tuple[str, ...] = field(default=(), repr=False)


@contextmanager
def opened(connection: Connection, *, read_only: bool) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    """Yield a connection made for this call, so that nothing read here was cached; one snapshot when it only reads.

    What refuses single rows is left to the caller; other trouble leaves as one of ours, without PostgreSQL's text.
    """
    try:
        with psycopg.connect(
            host=str(connection.extra.get("host") or connection.host),
            port=connection.port,
            user=connection.login or None,
            password=connection.password or None,
            dbname=connection.schema,
            options=OPTIONS,
            connect_timeout=TIMEOUT_SECONDS,
        ) as opened_:
            if read_only:
                opened_.read_only = True
                opened_.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
                _not_the_past(connection, opened_)
            yield opened_
    except ROW_REFUSED:
        raise
    except psycopg.Error as error:
        raise _ours(connection, error) from None


def _not_the_past(connection: Connection, opened_: psycopg.Connection[Any]) -> None:
    """Refuse a standby: it lags, and some proxies send every reading session to one."""
    if opened_.execute("SELECT pg_is_in_recovery()").fetchone() != (False,):
        raise ConfigurationError(
            f"Connection {connection.name}: this is a standby, which shows the past. Point the connection at the "
            "primary."
        )


def _ours(connection: Connection, error: psycopg.Error) -> Exception:
    code = error.sqlstate or "unreachable"
    if isinstance(error, psycopg.errors.UndefinedTable | psycopg.errors.UndefinedColumn):
        # For these two PostgreSQL quotes names of tables and columns, never a value.
        return ConfigurationError(
            f"Connection {connection.name}: {error.diag.message_primary}. Correct processors.own_database.settings in "
            "the schedule, or the database."
        )
    word = f"sqlstate_{code.lower()}" if error.sqlstate else code  # evidence wants a letter first
    if code.startswith("28") or code == "42501":
        return Refused(NAME, word, advice="Grant the role what docs/operations.md lists.")
    if code[:2] in UNFIT:
        # The statement does not fit the table: a value it refuses, a type. No night changes that.
        return Refused(NAME, word, advice="Correct the table's action in the schedule, or the table.")
    return Unreachable(NAME, word)


def name_of(tables: Tables, table: str) -> Part:
    """Return the quoted name of a table in the company's schema."""
    return sql.Identifier(tables.schema_name, table)


def _column(name: str, alias: str = "t") -> Part:
    return sql.Identifier(alias, name)


def _filled(table: Table) -> Part:
    """Return the condition that a row still holds something to erase."""
    if table.action != "null_columns":
        return sql.SQL("true")
    return sql.SQL("NOT ({})").format(
        sql.SQL(" AND ").join(sql.SQL("{} IS NULL").format(_column(c)) for c in table.columns)
    )


ROWS: dict[Literal["exact", "until", "month"], str] = {
    "exact": "{column} = s.day",
    "until": "{column} <= s.day",
    "month": "{column} BETWEEN date_trunc('month', s.day)::date AND s.day",
}


def _about(table: Table, event: str) -> Part:
    """Return the condition that a row is one the event is about; an event of the whole account is about every row."""
    trigger = table.triggers.get(event)
    if trigger is None:
        return sql.SQL("true")
    condition = sql.SQL(ROWS[trigger.rows]).format(column=_column(trigger.column))
    if trigger.given:
        condition = sql.SQL("{} AND {} IS NOT NULL").format(condition, _column(trigger.given))
    return condition


def _whose(tables: Tables, table: Table) -> Part:
    """Return the condition that a row is the one end user's a disposal is about; an account's own reaches every row.

    A row that points to the person is recognised by keys that were found before, too: the person's own row goes.
    """
    person = table.person
    if person is None:
        return sql.SQL("s.person IS NULL")
    if person.table is None:
        return sql.SQL("(s.person IS NULL OR {} = s.person)").format(_column(person.column))
    other = tables.tables[person.table]
    return sql.SQL(
        "(s.person IS NULL OR {here} = ANY(string_to_array(s.keys, chr(31))) OR {here} IN "
        "(SELECT {key}::text FROM {there} AS p WHERE {account} = s.account AND {value} = s.person))"
    ).format(
        here=sql.SQL("{}::text").format(_column(person.column)),
        key=_column(str(person.key), "p"),
        there=name_of(tables, person.table),
        account=_column(other.account, "p"),
        value=_column(str(person.value), "p"),
    )


def keys_of_people(cursor: Cursor, tables: Tables, targets: Sequence[Target]) -> dict[str, tuple[str, ...]]:
    """Return per disposal about one end user the keys under which other tables point to that one."""
    mine = [t for t in targets if t.person is not None]
    found: dict[str, set[str]] = {}
    for person in [t.person for t in tables.tables.values() if t.person and t.person.table] if mine else ():
        account = tables.tables[str(person.table)].account
        query = sql.SQL(
            "SELECT s.id, {}::text FROM unnest(%s::text[], %s::text[], %s::text[]) AS s(id, account, person) "
            "JOIN {} AS p ON {} = s.account AND {} = s.person"
        ).format(
            _column(str(person.key), "p"), name_of(tables, str(person.table)), _column(account, "p"),
            _column(str(person.value), "p"),
        )  # fmt: skip
        arrays = [[t.disposal_id for t in mine], [t.account_id for t in mine], [t.person for t in mine]]
        for disposal_id, key in cursor.execute(query, arrays):
            found.setdefault(disposal_id, set()).add(key)
    return {disposal_id: tuple(sorted(keys)) for disposal_id, keys in found.items()}


def _groups(tables: Tables, table: Table, targets: Iterable[Target]) -> Iterator[tuple[Part, Part, list[list[Any]]]]:
    """Yield condition, source and parameters for the targets of one table, grouped by what their event is about."""
    events: dict[str, list[Target]] = {}
    for target in targets:
        if table.dataset in target.datasets:
            events.setdefault(target.event if target.event in table.triggers else "", []).append(target)
    columns = "unnest(%s::text[], %s::text[], %s::date[], %s::text[], %s::text[]) AS s(id, account, day, person, keys)"
    source = sql.SQL(columns)
    for event, group in events.items():
        arrays: list[list[Any]] = [
            [t.disposal_id for t in group],
            [t.account_id for t in group],
            [t.day for t in group],
            [t.person for t in group],
            ["\x1f".join(t.keys) for t in group],
        ]
        where = sql.SQL("{} = s.account AND {} AND {}").format(
            _column(table.account), _about(table, event), _whose(tables, table)
        )
        yield where, source, arrays


def count(cursor: Cursor, tables: Tables, targets: Sequence[Target]) -> dict[str, dict[str, int]]:
    """Return per disposal how many rows each table holds; a bare register row that may leave counts as one."""
    found: dict[str, dict[str, int]] = {}
    for name, table in tables.tables.items():
        for where, source, arrays in _groups(tables, table, targets):
            holds = _filled(table)
            if tables.has_register and name == tables.register_row.table:
                holds = sql.SQL("({} OR {})").format(holds, _bare(tables))
            statement = sql.SQL("SELECT s.id, count(*) FROM {} JOIN {} AS t ON {} WHERE {} GROUP BY s.id")
            for disposal_id, rows in cursor.execute(
                statement.format(source, name_of(tables, name), where, holds), arrays
            ):
                found.setdefault(disposal_id, {})[name] = rows
    return found


def rows_of_records(
    cursor: Cursor, tables: Tables, targets: Sequence[Target], *, lock: bool = False
) -> dict[str, dict[str, dict[str, str]]]:
    """Return per disposal and table the rows whose records a law may keep: primary key and a digest of the content."""
    found: dict[str, dict[str, dict[str, str]]] = {}
    for name in dict.fromkeys(r.table for r in tables.records):
        table = tables.tables[name]
        for where, source, arrays in _groups(tables, table, targets):
            statement = sql.SQL("SELECT s.id, {}::text, hashtextextended(t::text, 0)::text FROM {} JOIN {} AS t ON {}")
            query = statement.format(_column(table.key), source, name_of(tables, name), where)
            if lock:
                query = sql.SQL("{} FOR UPDATE OF t").format(query)
            for disposal_id, key, digest in cursor.execute(query, arrays):
                found.setdefault(disposal_id, {}).setdefault(name, {})[key] = digest
    return found


def open_complaints(cursor: Cursor, tables: Tables, targets: Sequence[Target]) -> set[str]:
    """Return the disposals that reach a record which is a hold while it has no date."""
    found: set[str] = set()
    for record in tables.records:
        if not record.open_is:
            continue
        conditions = [sql.SQL("{} = {}").format(_column(c), sql.Literal(v)) for c, v in record.where.items()]
        conditions += [sql.SQL("{} IS NULL").format(_column(c)) for days in record.dates.values() for c in days.columns]
        for where, source, arrays in _groups(tables, tables.tables[record.table], targets):
            query = sql.SQL("SELECT DISTINCT s.id FROM {} JOIN {} AS t ON {} WHERE {}").format(
                source, name_of(tables, record.table), where, sql.SQL(" AND ").join(conditions)
            )
            found |= {row[0] for row in cursor.execute(query, arrays)}
    return found


def erase(
    cursor: Cursor, tables: Tables, targets: Sequence[Target], *, only: str | None = None, most: int | None = None
) -> int:
    """Erase the targets' rows, children first; with `only` those of one table, with `most` so many a statement.

    Returns the most rows that one statement took.
    """
    taken = 0
    for name, table in tables.tables.items():
        for where, source, arrays in _groups(tables, table, targets) if only in (None, name) else ():
            wanted = sql.SQL("{} AND {}").format(where, _filled(table))
            values: list[Any] = list(arrays)
            if most is not None:
                # The outer condition stays: a key that is not unique must not reach another account's row.
                some = sql.SQL("{} AND {} IN (SELECT {} FROM {} JOIN {} AS t ON {} LIMIT {})").format(
                    wanted, _column(table.key), _column(table.key), source, name_of(tables, name), wanted,
                    sql.Literal(most),
                )  # fmt: skip
                wanted, values = some, [*arrays, *arrays]
            if table.action == "delete":
                query = sql.SQL("DELETE FROM {} AS t USING {} WHERE {}").format(name_of(tables, name), source, wanted)
            else:
                query = sql.SQL("UPDATE {} AS t SET {} FROM {} WHERE {}").format(
                    name_of(tables, name), _replacements(table), source, wanted
                )
            taken = max(taken, cursor.execute(query, values).rowcount)
    return taken


def _replacements(table: Table) -> Part:
    """Return what is set: nothing at all, or for anonymising fresh random words and no account; no mapping is kept."""
    value = "{} = NULL" if table.action == "null_columns" else "{} = gen_random_uuid()::text"
    parts = [sql.SQL(value).format(sql.Identifier(c)) for c in table.columns]
    if table.action == "anonymise":
        parts.append(sql.SQL("{} = NULL").format(sql.Identifier(table.account)))
    return sql.SQL(", ").join(parts)


def _bare(tables: Tables) -> Part:
    """Return the condition that a register row `t` is terminated, empty and the last of its account."""
    register = tables.register_row
    parts = [sql.SQL("{} IS NOT NULL").format(_column(register.terminated_on))]
    key = _column(register.account)
    for name, table in tables.tables.items():
        if name == register.table:
            parts.append(sql.SQL("NOT ({})").format(_filled(table)))
        else:
            parts.append(
                sql.SQL("NOT EXISTS (SELECT 1 FROM {} AS x WHERE {} = {})").format(
                    name_of(tables, name), _column(table.account, "x"), key
                )
            )
    for held in tables.holds:
        parts.append(
            sql.SQL("NOT EXISTS (SELECT 1 FROM {} AS x WHERE {} = {} AND {} IS NULL)").format(
                name_of(tables, held.table), _column(held.account, "x"), key, _column(held.released, "x")
            )
        )
    return sql.SQL("({})").format(sql.SQL(" AND ").join(parts))


def bare_accounts(cursor: Cursor, tables: Tables, targets: Sequence[Target]) -> list[str]:
    """Return the accounts of which only an empty register row (and its ledgers) is left."""
    register = tables.register_row
    query = sql.SQL("SELECT {} FROM {} AS t WHERE {} = ANY(%s) AND {} ORDER BY 1 FOR UPDATE OF t").format(
        _column(register.account), name_of(tables, register.table), _column(register.account), _bare(tables)
    )
    return [row[0] for row in cursor.execute(query, [sorted({t.account_id for t in targets})])]


def remove_register(cursor: Cursor, tables: Tables, account_ids: Sequence[str]) -> None:
    """Remove register rows and the ledgers that leave with them."""
    account = tables.register_row.account
    for name in (*tables.ledgers, tables.register_row.table):
        cursor.execute(
            sql.SQL("DELETE FROM {} AS t WHERE {} = ANY(%s)").format(name_of(tables, name), _column(account)),
            [list(account_ids)],
        )
