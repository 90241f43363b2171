"""Reads (and one removal) on lists the company keeps in its accounts database, for places that cannot be searched.

Errors leave here without their text, because a database quotes the values it was given.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Row, and_, column, delete, select, table
from sqlalchemy.exc import ProgrammingError, SQLAlchemyError

from include.errors import ConfigurationError, Unreachable
from include.processors import Site

CHUNK = 1000
"""Account ids a statement; PostgreSQL takes 65,535 parameters at most."""
LOCK_WAIT = "15s"
"""How long PostgreSQL waits for somebody else's lock, as with the company's own tables; without it, for ever."""


class Register:
    """One list of the company, by account."""

    def __init__(self, site: Site, processor: str, *, name: str, columns: Sequence[str]) -> None:
        if site.accounts is None:
            raise ConfigurationError(f"Processor {processor} needs the connection accounts_db, where {name} is kept.")
        self._engine: Engine = site.accounts
        self._processor, self._name = processor, name
        self.table = table(name, *(column(c) for c in columns))

    def check(self) -> None:
        """Read one row, so that a missing table or right shows before anything is done."""
        with self._opened() as connection:
            connection.execute(select(self.table).limit(1)).all()

    def of(self, account_ids: Collection[str]) -> dict[str, list[Row[Any]]]:
        """Return the rows of each account that has any."""
        found: dict[str, list[Row[Any]]] = {}
        with self._opened() as connection:
            for chunk in _chunks(account_ids):
                statement = select(self.table).where(self.table.c.account_id.in_(chunk)).order_by(*self.table.c)
                for row in connection.execute(statement):
                    found.setdefault(row.account_id, []).append(row)
        return found

    def where(self, **values: str) -> list[Row[Any]]:
        """Return the rows whose columns equal `values`."""
        with self._opened() as connection:
            return list(connection.execute(select(self.table).where(self._equal(values)).order_by(*self.table.c)))

    def remove(self, account_ids: Collection[str], **values: str) -> None:
        """Delete the rows of these accounts whose columns equal `values`; doing it again changes nothing."""
        with self._opened() as connection:
            for chunk in _chunks(account_ids):
                connection.execute(
                    delete(self.table).where(and_(self._equal(values), self.table.c.account_id.in_(chunk)))
                )

    def _equal(self, values: dict[str, str]) -> ColumnElement[bool]:
        return and_(*(self.table.c[name] == value for name, value in values.items()))

    @contextmanager
    def _opened(self) -> Iterator[Connection]:
        try:
            with self._engine.begin() as connection:
                if connection.dialect.name == "postgresql":
                    connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{LOCK_WAIT}'")
                yield connection
        except ProgrammingError:
            raise ConfigurationError(
                f"Connection accounts_db: table {self._name} of processor {self._processor} is missing, lacks a column "
                f"({', '.join(self.table.c.keys())}) or a right."
            ) from None
        except SQLAlchemyError:
            raise Unreachable(self._processor, "register_unreachable") from None


def _chunks(values: Collection[str]) -> Iterator[list[str]]:
    rest = iter(sorted(set(values)))
    while chunk := list(islice(rest, CHUNK)):
        yield chunk
