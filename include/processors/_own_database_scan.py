"""What the company's database holds that nobody declared: found by name and by reference, every time before acting.

Also checks that reading can be believed: not a standby that lags, no row security that would hide rows and make a place
look empty, the tables declared are tables, and the role may read and delete in them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from include.accounts_tables import OURS, Tables
from include.errors import ConfigurationError, Refused
from include.processors._own_database_sql import NAME

if TYPE_CHECKING:
    import psycopg

PERSONAL = re.compile(
    r"(^|_)(e_?mails?|mail_addr(ess)?|phones?|mobile|tel(ephone)?|login(_id)?|born(_on)?|birth(_?da(y|te))?|resident_no)(_|$)"
)
"""Column names that promise a person's data."""

COLUMNS = """
SELECT n.nspname, c.relname, a.attname, a.attnotnull, c.relkind::text, row_security_active(c.oid),
       has_table_privilege(c.oid, 'SELECT'), has_table_privilege(c.oid, 'DELETE'), has_table_privilege(c.oid, 'UPDATE')
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'm', 'f') AND NOT c.relispartition AND a.attnum > 0 AND NOT a.attisdropped
  AND n.nspname NOT LIKE 'pg\\_%' ORDER BY 1, 2, a.attnum
"""

REFERENCES = """
SELECT n.nspname, c.relname, a.attname, f.relname
FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_class f ON f.oid = k.confrelid JOIN pg_namespace fn ON fn.oid = f.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.conkey[1]
WHERE k.contype = 'f' AND fn.nspname = %s AND NOT c.relispartition
"""


def check(connection: psycopg.Connection[Any], tables: Tables) -> None:
    """Raise `ConfigurationError` or `Refused` unless what is declared is there, readable, erasable, and complete."""
    if connection.execute("SELECT pg_is_in_recovery()").fetchone() == (True,):
        raise ConfigurationError(
            f"Connection {NAME}: this is a standby, which shows the past. Point the connection at the primary."
        )
    columns: dict[tuple[str, str], dict[str, tuple[Any, ...]]] = {}
    for schema, table, name, *facts in connection.execute(COLUMNS):
        columns.setdefault((schema, table), {})[name] = tuple(facts)
    _declared_is_there(columns, tables)
    if found := undeclared(connection, tables):
        raise ConfigurationError(
            f"Connection {NAME}: nothing says what happens to {', '.join(found)}. Declare each under "
            "processors.own_database.settings in the schedule (tables, ledgers, elsewhere or impersonal)."
        )


def _declared_is_there(columns: dict[tuple[str, str], dict[str, tuple[Any, ...]]], tables: Tables) -> None:
    for name, needed in _needed(tables).items():
        known = columns.get((tables.schema_name, name))
        if known is None:
            raise ConfigurationError(f"Connection {NAME}: the schedule declares table {name}, which is not there.")
        if missing := sorted(needed - set(known)):
            raise ConfigurationError(f"Connection {NAME}: table {name} has no column {', '.join(missing)}.")
        _, kind, hidden, may_read, may_delete, may_update = next(iter(known.values()))
        if kind not in ("r", "p"):
            raise ConfigurationError(f"Connection {NAME}: {name} is not a table; declare the table behind it.")
        if hidden:
            raise ConfigurationError(
                f"Connection {NAME}: row security hides rows of {name} from this role, so an empty reading proves "
                "nothing. Give the role BYPASSRLS."
            )
        changed = tables.tables.get(name)
        may_change = may_update if changed is not None and changed.action != "delete" else may_delete
        if not (may_read and may_change):
            raise Refused(NAME, "sqlstate_42501", advice=f"The role may not read and erase rows of table {name}.")
        if changed is not None and changed.action == "anonymise" and known[changed.account][0]:
            raise ConfigurationError(
                f"Connection {NAME}: {name}.{changed.account} may not be empty, so the table cannot be anonymised: a "
                "row that keeps its account is still somebody's."
            )


def _needed(tables: Tables) -> dict[str, set[str]]:
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


def undeclared(connection: psycopg.Connection[Any], tables: Tables) -> list[str]:
    """Return every `table.column` that looks like a person's and is covered by no declaration, sorted."""
    keys = {tables.register_row.account, *(t.account for t in tables.tables.values())}
    references: dict[tuple[str, str, str], str] = {
        (schema, table, name): target
        for schema, table, name, target in connection.execute(REFERENCES, [tables.schema_name])
        if target in tables.tables or target == tables.register_row.table
    }
    found = set()
    for schema, table, name, *_ in connection.execute(COLUMNS):
        if schema in OURS:
            continue
        is_key = name in keys or (schema, table, name) in references
        if (is_key or PERSONAL.search(name.lower())) and not _covered(
            tables, table if schema == tables.schema_name else f"{schema}.{table}", name, is_key=is_key
        ):
            found.add(f"{table}.{name}" if schema == tables.schema_name else f"{schema}.{table}.{name}")
    return sorted(found)


def _covered(tables: Tables, table: str, name: str, *, is_key: bool) -> bool:
    if table in tables.impersonal or f"{table}.{name}" in tables.impersonal or table in tables.elsewhere:
        return True
    declared = tables.tables.get(table)
    if declared is not None and (declared.action == "delete" or name in declared.columns):
        return True
    return is_key and (declared is not None or table in tables.ledgers or table == tables.register_row.table)
