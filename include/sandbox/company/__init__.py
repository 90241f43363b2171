"""A seeded company: people and businesses over every rule and hold, in its accounts database and at its processors.

    made = generate(seed=7, count=1000, anchor=date(2026, 11, 24))
    create(engine)
    load(engine, made)
    seed_standins(made, urls={"salesforce": …, "stripe": …, "zendesk": …, "adroll": …}, s3_connection=…)
    for hold in holds(made): …                      # orders and investigations (H-6, H-7), to place

`anchor` is the business date of the first seeding, every date is relative to it. Same arguments, same company.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any

from include.sandbox.company.dumps import dump, dump_bucket
from include.sandbox.company.people import Person, Presence, person
from include.sandbox.company.standins import seed_standins
from include.sandbox.company.tables import COLUMNS, create

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

__all__ = [
    "Company", "Person", "Presence", "advertisements", "create", "dump", "dump_bucket", "generate", "holds", "load",
    "people", "person", "seed_standins",
]  # fmt: skip

CHUNK = 5000


@dataclass(frozen=True, slots=True)
class Company:
    """The whole company; `people` are in the order of their numbers."""

    seed: int
    anchor: date
    people: tuple[Person, ...]

    def rows(self, table: str) -> list[dict[str, Any]]:
        """Return the rows of one table with their column names."""
        return [row for p in self.people for row in p.dicts(table)]

    def case(self, name: str) -> list[Person]:
        """Return the accounts in one situation of `company.cases`."""
        return [p for p in self.people if p.case == name]


def people(seed: int, count: int, anchor: date) -> Iterator[Person]:
    """Yield the accounts one by one, for companies too large to hold."""
    return (person(seed, number, anchor) for number in range(1, count + 1))


def generate(seed: int, count: int, anchor: date) -> Company:
    """Return the company; from 200 accounts every rule and every hold occurs."""
    return Company(seed, anchor, tuple(people(seed, count, anchor)))


def holds(company: Company) -> list[dict[str, Any]]:
    """Return the orders of courts and the breach investigations to place, in the words of `disposals.holds.place`."""
    return [
        {
            "account_id": p.account_id,
            "kind": kind,
            "datasets": list(datasets),
            "reason_code": reason,
            "review_due": company.anchor + timedelta(days=60),
        }
        for p in company.people
        for kind, datasets, reason in p.holds
    ]


def advertisements(anchor: date) -> list[tuple[Any, ...]]:
    """Return the company's advertisements: records R-06 keeps for six months; they hold nobody's data."""
    return [
        (f"ad-{k}", anchor - timedelta(days=days), "Sample banner") for k, days in enumerate((30, 120, 185, 400), 1)
    ]


def load(engine: Engine, company: Company | Iterable[Person], *, anchor: date | None = None) -> None:
    """Load the accounts database with COPY, chunk by chunk; a stream needs `anchor` for the advertisements."""
    stream = iter(company.people if isinstance(company, Company) else company)
    day = company.anchor if isinstance(company, Company) else anchor
    with engine.begin() as connection:
        if day:
            _copy(connection, "advertisement", advertisements(day))
        while chunk := list(islice(stream, CHUNK)):
            for table in COLUMNS:
                _copy(connection, table, [row for p in chunk for row in p.rows.get(table, ())])
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("ANALYZE")


def _copy(connection: Connection, table: str, rows: list[tuple[Any, ...]]) -> None:
    if not rows:
        return
    columns = ", ".join(f'"{c}"' for c in COLUMNS[table])
    cursor: Any = connection.connection.cursor()
    with cursor, cursor.copy(f'COPY "{table}" ({columns}) FROM STDIN') as copy:
        for row in rows:
            copy.write_row(row)
