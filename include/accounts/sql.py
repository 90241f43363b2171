"""What SQL databases say differently, for the reads of a company's accounts database.

PostgreSQL, MariaDB (MySQL's dialect) and SQLite are tested. Any other works for which SQLAlchemy has a dialect and a
driver is installed (`include.connections.database_url`), as long as it knows `LAST_DAY` or `EOMONTH`.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import lru_cache
from typing import Any, TypeVar

import psycopg
from sqlalchemy import (
    ARRAY,
    Boolean,
    ColumnClause,
    ColumnElement,
    Connection,
    Date,
    Engine,
    Text,
    case,
    cast,
    column,
    func,
    literal,
    text,
)
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from include.errors import ConfigurationError

Day = TypeVar("Day", date, date | None)


def snapshot(connection: Connection) -> Connection:
    """Return the connection reading from one snapshot, or from what comes nearest where the database has none."""
    levels = connection.dialect.get_isolation_level_values(connection.connection.dbapi_connection)  # type: ignore[arg-type]
    level = "REPEATABLE READ" if "REPEATABLE READ" in levels else "SERIALIZABLE"
    return connection.execution_options(isolation_level=level)


def primary(connection: Connection) -> str:
    """Return the database's kind and version; raise `ConfigurationError` of a PostgreSQL standby, which shows the past.

    Other databases do not say in one common way that they lag.
    """
    version = ".".join(map(str, connection.dialect.server_version_info or ())) or "of an unknown version"
    if connection.dialect.name != "postgresql":
        return f"{connection.dialect.name} {version}"
    if connection.execute(text("SELECT pg_is_in_recovery()")).scalar_one():
        raise ConfigurationError("this is a standby, which shows the past. Point the connection at the primary.")
    return f"PostgreSQL {connection.execute(text('SHOW server_version')).scalar_one()}"


def col(name: str) -> ColumnClause[Any]:
    """Return a column by its (validated) name."""
    return column(name)


def day(name: str) -> ColumnClause[date]:
    """Return a column of dates by its name."""
    return column(name, Date)


def flag(name: str) -> ColumnClause[bool]:
    """Return a column of truth values by its name; databases without such a type keep 0 and 1."""
    return column(name, Boolean)


def as_date(value: Day, name: str) -> Day:
    """Return a date that was read; refuse a time, because which day it is depends on a place nobody named."""
    if isinstance(value, datetime):
        raise ConfigurationError(
            f"Connection accounts_db: column {name} holds times, and the day of a time differs by place. Declare a "
            "view that gives the date in Seoul."
        )
    return value


@dataclass(frozen=True, slots=True)
class Asked:
    """Values that columns are compared with, said the fastest way of the database; kept out of `repr`."""

    values: tuple[str, ...] = field(repr=False)
    arrays: bool

    @classmethod
    def of(cls, engine: Engine, values: Collection[str]) -> Asked:
        """Return some values, sorted and each once, for this database."""
        return cls(tuple(sorted(set(values))), engine.dialect.name == "postgresql")

    def among(self, element: ColumnElement[Any]) -> ColumnElement[bool]:
        """Return whether an expression has one of the values.

        PostgreSQL gets them as one array in its own text form: the driver's general way of writing one costs more than
        the query, and a plan asks some twenty tables about the same thousand ids.
        """
        if not self.arrays:
            return element.in_(self.values)
        return element.op("=", is_comparison=True)(func.any(cast(literal(_array(self.values)), ARRAY(Text))))

    def refuse_others(self, *found: Collection[str]) -> None:
        """Raise `ConfigurationError` where the database answered for an account nobody asked about.

        A database that compares ids without case or trailing blanks takes two accounts for one: the rows of one would
        be planned as, or missed for, the other.
        """
        if not set().union(*found) <= set(self.values):
            raise ConfigurationError(
                "Connection accounts_db: the database takes different account ids for the same (it compares them "
                "without case, or they are no text). Give the columns that hold account ids a binary collation, in "
                "MySQL utf8mb4_bin, or declare views that do; nothing was planned."
            )


@lru_cache(maxsize=4)
def _array(values: tuple[str, ...]) -> str:
    return "{" + ",".join('"' + v.replace("\\", r"\\").replace('"', r"\"") + '"' for v in values) + "}"


class month_end(FunctionElement[date]):
    """The last day of the month of a date."""

    type = Date()
    inherit_cache = True


@compiles(month_end)
def _last_day(element: month_end, compiler: SQLCompiler, **kw: Any) -> str:
    return f"LAST_DAY({compiler.process(element.clauses, **kw)})"


@compiles(month_end, "postgresql")
def _truncated(element: month_end, compiler: SQLCompiler, **kw: Any) -> str:
    return f"(date_trunc('month', {compiler.process(element.clauses, **kw)}) + interval '1 month - 1 day')::date"


@compiles(month_end, "sqlite")
def _modified(element: month_end, compiler: SQLCompiler, **kw: Any) -> str:
    return f"date({compiler.process(element.clauses, **kw)}, 'start of month', '+1 month', '-1 day')"


@compiles(month_end, "mssql")
def _eomonth(element: month_end, compiler: SQLCompiler, **kw: Any) -> str:
    return f"EOMONTH({compiler.process(element.clauses, **kw)})"


def newest_of(columns: list[ColumnClause[date]]) -> ColumnElement[date]:
    """Return the latest of some dates, of those that are there: GREATEST, but the same about nulls everywhere."""
    found: ColumnElement[date] = columns[0]
    for other in columns[1:]:
        found = case((found.is_(None), other), (other.is_(None), found), (found >= other, found), else_=other)
    return found


def refusal(name: str, error: DBAPIError) -> ConfigurationError:
    """Return what is wrong with a connection in words of ours: a database quotes the values it was given."""
    if not isinstance(error.orig, psycopg.Error):
        first = next(iter(error.orig.args), "") if error.orig else ""  # never more: the rest may quote a value
        number = f" (its code {first})" if isinstance(first, int) else ""
        return ConfigurationError(
            f"Connection {name}: the database does not answer, or refuses a table, a column or a right that the "
            f"schedule declares{number}. Start it, or correct the connection or processors.own_database.settings."
        )
    code = getattr(error.orig, "sqlstate", None) or ""
    if isinstance(error, OperationalError) or error.connection_invalidated:
        return ConfigurationError(
            f"Connection {name}: the database does not answer. Start it, or correct the connection."
        )
    words = {
        "42P01": "a table that the schedule declares is missing",
        "42703": "a column that the schedule declares is missing",
        "42501": "the right to read a table is missing",
        "3F000": "the schema that the schedule declares is missing",
    }
    primary = getattr(getattr(error.orig, "diag", None), "message_primary", None) or ""
    # For these codes PostgreSQL quotes names of tables and columns only, never a value.
    what = f" ({primary})" if code in words and primary else ""
    return ConfigurationError(
        f"Connection {name}: {words.get(code, f'the database refuses with SQLSTATE {code}')}{what}. "
        "Correct processors.own_database.settings in the schedule, or the database."
    )
