"""What a store of the company holds that nobody declared: found by name, by reference and by content, every time before
acting.

Also checks that reading can be believed: no row security that would hide rows and make a place look empty, the tables
declared are tables, stand in an order that can be erased, and the role may read and erase in them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from psycopg import sql

from include.accounts.tables import OURS, Table, Tables
from include.errors import ConfigurationError, Refused
from include.processors._own_database.sql import NAME

if TYPE_CHECKING:
    import psycopg

PERSONAL = re.compile(
    r"(^|_)(e_?mails?|mail_addr(ess)?|phones?|mobile|tel(ephone)?|login(_id)?|born(_on)?|birth(_?da(y|te))?|resident_no)(_|$)"
)
"""Column names that promise a person's data."""

COLUMNS = """
SELECT n.nspname, c.relname, a.attname, a.attnotnull, format_type(a.atttypid, a.atttypmod), c.relkind::text,
       row_security_active(c.oid), has_table_privilege(c.oid, 'SELECT'), has_table_privilege(c.oid, 'DELETE'),
       has_table_privilege(c.oid, 'UPDATE')
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'm', 'f') AND NOT c.relispartition AND a.attnum > 0 AND NOT a.attisdropped
  AND n.nspname NOT LIKE 'pg\\_%' ORDER BY 1, 2, a.attnum
"""

REFERENCES = """
SELECT n.nspname, c.relname, a.attname, f.relname, k.confdeltype::text
FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_class f ON f.oid = k.confrelid JOIN pg_namespace fn ON fn.oid = f.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.conkey[1]
WHERE k.contype = 'f' AND fn.nspname = %s AND NOT c.relispartition
"""

SAMPLE = 200
"""Values of an undeclared column that are looked at; the beginning of the table, so that a night costs the same."""
ADDRESS = r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+"
WORDS = re.compile(r"text|character( varying)?(\(\d+\))?|uuid|jsonb?|citext")
ROOMY = re.compile(r"text|citext|character varying(\((3[6-9]|[4-9]\d|\d{3,})\))?")
"""Types that take a random word of 36 characters."""

Place = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Column:
    """One column as the catalogue knows it, with the table's facts."""

    name: str
    filled: bool
    type: str
    relation: str
    hidden: bool
    may_read: bool
    may_delete: bool
    may_update: bool


@dataclass(frozen=True, slots=True)
class Reference:
    """One foreign key: who refers to which table, and whether deleting the other one first is refused."""

    schema: str
    table: str
    column: str
    target: str
    refuses: bool


def check(connection: psycopg.Connection[Any], tables: Tables, name: str = NAME) -> None:
    """Raise `ConfigurationError` or `Refused` unless what is declared is there, readable, erasable, and complete.

    `name` is the connection's, for the message.
    """
    columns, references = _catalogue(connection, tables)
    if reason := next(_wrong(columns, references, tables), None):
        raise ConfigurationError(f"Connection {name}: {reason}")
    _may_erase(columns, tables)
    if found := undeclared(connection, tables):
        raise ConfigurationError(
            f"Connection {name}: nothing says what happens to {', '.join(found)}. Declare each under "
            "processors.own_database.settings in the schedule (tables, ledgers, elsewhere or impersonal)."
        )


def _catalogue(
    connection: psycopg.Connection[Any], tables: Tables
) -> tuple[dict[Place, dict[str, Column]], list[Reference]]:
    columns: dict[Place, dict[str, Column]] = {}
    for schema, table, column, *facts in connection.execute(COLUMNS):
        columns.setdefault((schema, table), {})[column] = Column(column, *facts)
    references = [
        Reference(schema, table, column, target, deletion in "ar")
        for schema, table, column, target, deletion in connection.execute(REFERENCES, [tables.schema_name])
    ]
    return columns, references


def _wrong(columns: Mapping[Place, Mapping[str, Column]], references: list[Reference], tables: Tables) -> Iterator[str]:
    """Yield what of the declaration does not fit the database."""
    for name, needed in _needed(tables).items():
        known = columns.get((tables.schema_name, name))
        if known is None:
            yield f"the schedule declares table {name}, which is not there."
            continue
        if missing := sorted(needed - set(known)):
            yield f"table {name} has no column {', '.join(missing)}."
            continue
        first = next(iter(known.values()))
        if first.relation not in ("r", "p"):
            yield f"{name} is not a table; declare the table behind it."
        if first.hidden:
            yield (
                f"row security hides rows of {name} from this role, so an empty reading proves nothing. Give the role "
                "BYPASSRLS."
            )
        if (declared := tables.tables.get(name)) is not None:
            yield from _unfit(name, declared, known)
    yield from _out_of_order(references, tables)


def _unfit(name: str, table: Table, known: Mapping[str, Column]) -> Iterator[str]:
    """Yield why a table cannot take the action declared for it."""
    if table.action == "anonymise":
        if known[table.account].filled:
            yield (
                f"{name}.{table.account} may not be empty, so the table cannot be anonymised: a row that keeps its "
                "account is still somebody's."
            )
        for column in table.columns:
            if not ROOMY.fullmatch(known[column].type):
                yield f"{name}.{column} cannot take a random word of 36 characters; empty it (null_columns) instead."
    if table.action == "null_columns":
        for column in table.columns:
            if known[column].filled:
                yield f"{name}.{column} may not be empty, so null_columns cannot erase it."


def _out_of_order(references: list[Reference], tables: Tables) -> Iterator[str]:
    """Yield tables that stand after one they refer to: its rows could not be deleted before theirs."""
    order = [n for n, t in tables.tables.items() if t.action == "delete"]
    for r in references:
        both = r.schema == tables.schema_name and r.refuses and r.table in order and r.target in order
        if both and order.index(r.table) > order.index(r.target):
            yield f"table {r.table} refers to {r.target}; declare it before {r.target}, children first."


def _may_erase(columns: Mapping[Place, Mapping[str, Column]], tables: Tables) -> None:
    for name in _needed(tables):
        first, changed = next(iter(columns[tables.schema_name, name].values())), tables.tables.get(name)
        may_change = first.may_update if changed is not None and changed.action != "delete" else first.may_delete
        if not (first.may_read and may_change):
            raise Refused(NAME, "sqlstate_42501", advice=f"The role may not read and erase rows of table {name}.")


def _needed(tables: Tables) -> dict[str, set[str]]:
    needed: dict[str, set[str]] = {}
    if tables.has_register:
        register = tables.register_row
        needed = {name: {register.account} for name in tables.ledgers}
        needed[register.table] = {
            register.account, register.subject_type, register.consumer_like, register.requested_on, register.withheld,
            register.debt_cleared_on, register.terminated_on,
        }  # fmt: skip
    for name, table in tables.tables.items():
        used = {table.key, table.account, *table.columns}
        used |= {c for t in table.triggers.values() for c in (t.column, t.given) if c}
        needed.setdefault(name, set()).update(used)
    return needed


# -- what nobody declared ----------------------------------------------------------------------------------------------
def undeclared(connection: psycopg.Connection[Any], tables: Tables) -> list[str]:
    """Return every `table.column` that looks like a person's and is covered by no declaration, sorted."""
    columns, references = _catalogue(connection, tables)
    return sorted(_by_name(columns, references, tables) | _by_content(connection, columns, tables))


def _by_name(columns: Mapping[Place, Mapping[str, Column]], references: list[Reference], tables: Tables) -> set[str]:
    keys = {t.account for t in tables.tables.values()}
    if tables.has_register:
        keys.add(tables.register_row.account)
    theirs = {*tables.tables, *([tables.register_row.table] if tables.has_register else [])}
    pointing = {(r.schema, r.table, r.column) for r in references if r.target in theirs}
    found = set()
    for place, column in _theirs(columns):
        is_key = column.name in keys or (*place, column.name) in pointing
        if (is_key or PERSONAL.search(column.name.lower())) and not _covered(tables, place, column.name, is_key=is_key):
            found.add(_said(tables, place, column.name))
    return found


def _by_content(
    connection: psycopg.Connection[Any], columns: Mapping[Place, Mapping[str, Column]], tables: Tables
) -> set[str]:
    """Return undeclared columns whose first values hold e-mail addresses, or mostly are account ids."""
    found = set()
    for place, column in _theirs(columns):
        readable = column.may_read and not column.hidden and column.relation in ("r", "p", "m")
        if not readable or not WORDS.fullmatch(column.type) or _covered(tables, place, column.name, is_key=False):
            continue
        addresses, keys, values = _sampled(connection, place, column.name, tables)
        is_key = keys >= 2 and 2 * keys >= values
        if addresses or (is_key and not _covered(tables, place, column.name, is_key=True)):
            found.add(_said(tables, place, column.name))
    return found


def _sampled(connection: psycopg.Connection[Any], place: Place, column: str, tables: Tables) -> tuple[int, int, int]:
    """Return of a sample how many values hold an address, how many are account ids, and how many there are."""
    known: sql.Composable = sql.SQL("false")
    if tables.has_register:
        register = tables.register_row
        known = sql.SQL("v IN (SELECT {}::text FROM {})").format(
            sql.Identifier(register.account), sql.Identifier(tables.schema_name, register.table)
        )
    query = sql.SQL(
        "SELECT count(*) FILTER (WHERE v ~ {}), count(*) FILTER (WHERE {}), count(*) FROM "
        "(SELECT DISTINCT v FROM (SELECT {}::text AS v FROM {} LIMIT {}) AS first WHERE v IS NOT NULL) AS sampled"
    ).format(sql.Literal(ADDRESS), known, sql.Identifier(column), sql.Identifier(*place), sql.Literal(SAMPLE))
    row = connection.execute(query).fetchone()
    return row if row is not None else (0, 0, 0)


def _theirs(columns: Mapping[Place, Mapping[str, Column]]) -> Iterator[tuple[Place, Column]]:
    for place, named in columns.items():
        if place[0] not in OURS:
            yield from ((place, column) for column in named.values())


def _said(tables: Tables, place: Place, column: str) -> str:
    return f"{place[1]}.{column}" if place[0] == tables.schema_name else f"{place[0]}.{place[1]}.{column}"


def _covered(tables: Tables, place: Place, name: str, *, is_key: bool) -> bool:
    table = place[1] if place[0] == tables.schema_name else ".".join(place)
    if table in tables.impersonal or f"{table}.{name}" in tables.impersonal or table in tables.elsewhere:
        return True
    declared = tables.tables.get(table)
    if declared is not None and (declared.action == "delete" or name in declared.columns):
        return True
    is_register = tables.has_register and table == tables.register_row.table
    return is_key and (declared is not None or table in tables.ledgers or is_register)
