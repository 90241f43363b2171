"""The company's own lists that processors without a search rely on, in a database of their own, and small builders."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from typing import Any
from urllib.request import Request, urlopen
from uuid import uuid4

from sqlalchemy import Engine, text

from include import database
from include.processors import Found, Result, Subject, Work
from include.sandbox.servers import PostgresServer

AS_OF = date(2026, 3, 2)
TABLES = (
    "CREATE TABLE audience_member (segment_id text, account_id text, email text, PRIMARY KEY (segment_id, account_id))",
    "CREATE TABLE clarity_identity (account_id text PRIMARY KEY, last_seen_on date, consent_denied boolean NOT NULL)",
    "CREATE TABLE paper_register (paper_id text PRIMARY KEY, account_id text, box text, location text, category text)",
)


@contextmanager
def accounts_database(postgres: PostgresServer) -> Iterator[Engine]:
    """Yield an engine on a fresh database with the three lists, empty."""
    name = f"a_{uuid4().hex[:12]}"
    postgres.create_database(name)
    engine = database.connect(postgres.connection("accounts_db", name))
    with engine.begin() as connection:
        for table in TABLES:
            connection.execute(text(table))
    yield engine
    engine.dispose()
    postgres.drop_database(name)


def empty(engine: Engine) -> None:
    """Remove every row."""
    with engine.begin() as connection:
        connection.execute(text("TRUNCATE audience_member, clarity_identity, paper_register"))


def insert(engine: Engine, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows that all have the same columns."""
    columns = list(rows[0])
    statement = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join(':' + c for c in columns)})"
    with engine.begin() as connection:
        connection.execute(text(statement), [dict(r) for r in rows])


def rows(engine: Engine, table: str) -> list[tuple[Any, ...]]:
    """Return all rows of a table, sorted."""
    with engine.connect() as connection:
        return sorted(tuple(r) for r in connection.execute(text(f"SELECT * FROM {table}")))


def subject(account_id: str, *, event: str = "terminated", dataset: str = "audience", number: int = 0) -> Subject:
    """Return one account's disposal."""
    return Subject(
        disposal_id=f"disposal-{account_id}-{number}",
        account_id=account_id,
        subject_type="individual",
        scope_id=dataset,
        datasets=(dataset,),
        rule_id="R-14",
        trigger_event=event,
        trigger_date=date(2026, 3, 1),
    )


def work(subject: Subject, found: Found) -> Work:
    """Return what `act` and `read_back` get for a located disposal."""
    return Work(subject.disposal_id, subject.account_id, subject.scope_id, subject.datasets, found.locator)


def after(work: Work, result: Result) -> Work:
    """Return the work as it is stored after a result."""
    if result.locator is None:
        return work
    return Work(work.disposal_id, work.account_id, work.scope_id, work.datasets, result.locator)


def faults(url: str, *script: Mapping[str, Any]) -> None:
    """Set a stand-in's fault script."""
    request = Request(f"{url}/_sandbox/faults", data=json.dumps(script).encode(), method="PUT")
    urlopen(request, timeout=10).close()
