"""Airflow's own database as the self-scan and the clean-up reach it: one role reads, another cleans."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import text

from include import database
from include.check import Line, Setup, have, tried
from include.check.databases import opened
from include.connections import Connection
from include.disposals.scan.sources import NOT_READ, tables
from include.errors import ConfigurationError

SCHEMA = "public"
_WRITABLE = text(
    """
    SELECT relname FROM pg_class
    WHERE relnamespace = CAST(:schema AS regnamespace) AND relkind IN ('r', 'p', 'v', 'f')
      AND (has_table_privilege(oid, 'INSERT, UPDATE, DELETE, TRUNCATE')
           OR has_any_column_privilege(oid, 'INSERT, UPDATE'))
    ORDER BY relname
    """
)
"""Every table of the schema, also one the scan does not read: a right in a single one, or in a column, is a right."""


def lines(setup: Setup) -> Iterator[Line]:
    """Yield what is known of `airflow_db` and `airflow_db_clean`."""
    for name, what, look in (
        ("airflow_db", "every table the self-scan reads can be read, and nothing can be written", _reads),
        ("airflow_db_clean", "Airflow's tables can be cleaned", _cleans),
    ):
        found = have(setup, name)
        yield found if isinstance(found, Line) else tried(name, what, lambda f=found, look=look: look(f))  # type: ignore[misc]


def _reads(found: Connection) -> str:
    engine = database.connect(found)
    try:
        wanted = tables(engine, found.name, SCHEMA, NOT_READ)
        _is_airflow(set(wanted), found.name)
        with opened(engine, found.name) as session:
            writable = session.execute(_WRITABLE, {"schema": SCHEMA}).scalars().all()
        if writable and not found.is_loopback:
            raise ConfigurationError(
                f"Connection airflow_db: the role may write in {len(writable)} tables, for example {writable[0]}. "
                "Name a role that may only read (docs/configuration.md)."
            )
        return f"{len(wanted)} tables"
    finally:
        engine.dispose()


def _cleans(found: Connection) -> str:
    engine = database.connect(found)
    try:
        with opened(engine, found.name) as session:
            if session.execute(text("SELECT to_regclass('public.dag_run')")).scalar() is None:
                _is_airflow(set(), found.name)
            query = text(
                "SELECT has_table_privilege('public.dag_run', 'DELETE') AND has_schema_privilege('public', 'CREATE')"
            )
            if not session.execute(query).scalar_one():
                raise ConfigurationError(
                    "Connection airflow_db_clean: the role may not delete there, or not create tables, which `airflow "
                    "db clean` does for a moment. Name the role Airflow itself uses."
                )
        return ""
    finally:
        engine.dispose()


def _is_airflow(there: set[str], name: str) -> None:
    if not {"xcom", "dag_run", "log"} <= there:
        raise ConfigurationError(
            f"Connection {name}: this is not Airflow's database. Take host and database of "
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN."
        )
