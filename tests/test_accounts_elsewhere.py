"""The accounts database in another kind of SQL database: the same company gives the same answers as in PostgreSQL."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Date, DateTime, Engine, MetaData, String, Table, Text, inspect, text

from include import database
from include.accounts import Accounts
from include.accounts.find import Wanted, find, owners
from include.check import databases
from include.connections import Connection
from include.errors import ConfigurationError
from include.policy import schedule as schedules
from include.policy.schedule import Schedule
from include.sandbox import company
from include.sandbox.company.tables import metadata
from include.sandbox.servers import PostgresServer, free_ports, stop, temporary_folder
from tests.programs import needs

AS_OF = date(2026, 11, 24)
Kind = tuple[Connection, str]
"""How to reach an empty database, and the schema its tables lie in."""


@pytest.fixture(scope="module")
def sqlite() -> Iterator[Kind]:
    with temporary_folder("rt-lite-") as folder:
        yield Connection("accounts_db", host=str(folder / "accounts.db"), conn_type="sqlite"), "main"


@pytest.fixture(scope="module")
def mariadb() -> Iterator[Kind]:
    with temporary_folder("rt-maria-") as folder:
        server, connection = _mariadb(folder)
        try:
            _wait(server, connection)
            with database.connect(replace(connection, schema="")).connect() as session:
                session.execute(text("CREATE DATABASE company CHARACTER SET utf8mb4"))
            yield connection, "company"
        finally:
            stop(server)


def _mariadb(folder: Path) -> tuple[subprocess.Popen[bytes], Connection]:
    user = ["--user=root"] if os.getuid() == 0 else []
    (port,) = free_ports(1)
    subprocess.run(
        ["mariadb-install-db", f"--datadir={folder / 'data'}", "--auth-root-authentication-method=normal",
         "--skip-test-db", *user],
        check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    server = subprocess.Popen(
        ["mariadbd", "--no-defaults", f"--datadir={folder / 'data'}", f"--socket={folder / 's'}", f"--port={port}",
         "--bind-address=127.0.0.1", "--lower-case-table-names=0", *user],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    return server, Connection(
        "accounts_db", host="127.0.0.1", port=port, login="root", schema="company", conn_type="mysql"
    )


def _wait(server: subprocess.Popen[bytes], connection: Connection) -> None:
    import time

    engine = database.connect(replace(connection, schema=""))
    for _ in range(300):
        if server.poll() is not None:
            raise RuntimeError("mariadbd ended before it answered")
        try:
            engine.connect().close()
            return
        except Exception:
            time.sleep(0.1)
    raise RuntimeError("mariadbd did not answer within 30 s")


@pytest.fixture(scope="module", params=["sqlite", pytest.param("mariadb", marks=needs("mariadbd"))])
def kind(request: pytest.FixtureRequest) -> Kind:
    found: Kind = request.getfixturevalue(request.param)
    return found


@pytest.fixture(scope="module")
def schedule() -> Schedule:
    return schedules.load()


@pytest.fixture(scope="module")
def made() -> company.Company:
    return company.generate(seed=11, count=200, anchor=AS_OF)


@pytest.fixture(scope="module")
def known(postgres: PostgresServer, made: company.Company, schedule: Schedule) -> Iterator[Accounts]:
    """The company in PostgreSQL, as the other tests read it."""
    postgres.create_database("accounts_known")
    engine = database.connect(postgres.connection("accounts_db", "accounts_known"))
    company.create(engine)
    company.load(engine, made)
    yield Accounts(engine, schedule.processors["own_database"].settings)
    engine.dispose()
    postgres.drop_database("accounts_known")


@pytest.fixture(scope="module")
def other(kind: Kind, known: Accounts, schedule: Schedule) -> Iterator[Accounts]:
    """The same rows in the other database."""
    connection, schema = kind
    engine = database.connect(connection)
    if not inspect(engine).has_table("account"):
        _copy(known.engine, engine)
    yield Accounts(engine, dict(schedule.processors["own_database"].settings) | {"schema": schema})
    engine.dispose()


def _copy(source: Engine, target: Engine, *, collation: str | None = "utf8mb4_bin", times: bool = False) -> None:
    """Copy every table, with texts as a MySQL key can hold them."""
    theirs = MetaData()
    for table in metadata.sorted_tables:
        copied = table.to_metadata(theirs)
        for column in copied.columns:
            if isinstance(column.type, Text) and target.dialect.name == "mysql":
                column.type = String(160, collation=collation)  # type: ignore[arg-type]
            if times and isinstance(column.type, Date):
                column.type = DateTime()  # type: ignore[arg-type]
        copied.indexes.clear()
    theirs.create_all(target)
    with source.connect() as reading, target.begin() as writing:
        for table in theirs.sorted_tables:
            rows = [dict(r) for r in reading.execute(Table(table.name, metadata).select()).mappings()]
            if rows:
                writing.execute(table.insert(), rows)


QUESTIONS: dict[str, Callable[[Accounts, Schedule], Any]] = {
    "due": lambda a, s: list(a.due(s, AS_OF)),
    "due in a year": lambda a, s: list(a.due(s, AS_OF.replace(year=AS_OF.year + 1))),
    "every": lambda a, _: list(a.every()),
    "holds": lambda a, _: a.computed_holds(list(a.every())),
    "held": lambda a, _: a.held_accounts(AS_OF),
    "identifiers": lambda a, _: a.identifiers(list(a.every())),
    "owners": lambda a, _: owners(a, [e for keys in a.identifiers(list(a.every())).values() for e in keys.emails]),
    "population": lambda a, _: a.population(AS_OF),
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_another_database_answers_as_postgresql_does(
    question: str, other: Accounts, known: Accounts, schedule: Schedule
) -> None:
    answer = QUESTIONS[question](known, schedule)
    assert answer, "a company of which this says nothing shows nothing"
    assert QUESTIONS[question](other, schedule) == answer


def test_a_person_is_found_in_another_database(other: Accounts, known: Accounts) -> None:
    account_id, keys = next((i, k) for i, k in known.identifiers(list(known.every())).items() if k.emails)
    wanted = Wanted(email=keys.emails[0].upper())
    assert account_id in {m.account_id for m in find(other, wanted)}
    assert find(other, wanted) == find(known, wanted)


def test_the_checker_reads_it_and_tries_the_right_to_clear_lists(other: Accounts, kind: Kind) -> None:
    settings = {"schema": kind[1]}
    assert databases._answers(other.engine, "accounts_db").startswith(other.engine.dialect.name)
    assert databases._lists(other.engine, settings, ["audience_member"]) == "audience_member"
    with pytest.raises(ConfigurationError, match="accounts_db"):
        databases._lists(other.engine, settings, ["no_such_list"])


def test_what_is_missing_is_said_without_what_was_asked(kind: Kind, other: Accounts, schedule: Schedule) -> None:
    settings = dict(schedule.processors["own_database"].settings) | {"schema": kind[1]}
    settings["register"] = dict(settings.get("register") or {}) | {"terminated_on": "no_such_column"}
    with pytest.raises(ConfigurationError, match="the schedule declares") as told:
        Accounts(other.engine, settings).facts(["acc-asked-for"])
    assert "acc-asked-for" not in str(told.value) + repr(told.value.__cause__)


def _first(accounts: Accounts) -> str:
    return next(iter(accounts.every()))


@needs("mariadbd")
def test_ids_compared_without_case_are_refused_loudly(mariadb: Kind, known: Accounts, schedule: Schedule) -> None:
    accounts = _elsewhere(mariadb, known, schedule, "careless", partial(_copy, collation="utf8mb4_general_ci"))
    with accounts.engine.begin() as writing:
        writing.execute(text("SET foreign_key_checks = 0"))
        for name in ("account", "account_profile"):
            statement = text(f"UPDATE {name} SET account_id = 'Aa' WHERE account_id = :one")
            writing.execute(statement, {"one": _first(known)})
    place = "account_profile.email"
    for read in (accounts.facts, accounts.identifiers, lambda ids: accounts.address(*ids, place)):
        with pytest.raises(ConfigurationError, match="binary collation"):
            read(["aA"])


@needs("mariadbd")
def test_a_column_of_times_is_refused_because_its_day_differs_by_place(
    mariadb: Kind, known: Accounts, schedule: Schedule
) -> None:
    accounts = _elsewhere(mariadb, known, schedule, "timed", partial(_copy, times=True))
    with pytest.raises(ConfigurationError, match="holds times"):
        accounts.facts(list(known.every()))


@needs("mariadbd")
@pytest.mark.parametrize("column_name", ["requested_on", "debt_cleared_on"])
def test_a_single_column_of_times_in_the_register_is_refused_too(
    column_name: str, mariadb: Kind, known: Accounts, schedule: Schedule
) -> None:
    accounts = _elsewhere(mariadb, known, schedule, f"timed_{column_name}", _copy)
    register = accounts.tables.register_row
    name = getattr(register, column_name)
    with accounts.engine.begin() as writing:
        writing.execute(text(f"ALTER TABLE {register.table} MODIFY {name} DATETIME NULL"))
        writing.execute(text(f"UPDATE {register.table} SET {register.withheld} = 1, {name} = '2026-10-01 23:30:00'"))
    with pytest.raises(ConfigurationError, match="holds times"):
        accounts.facts(list(known.every())) and accounts.computed_holds(list(known.every()))


def _elsewhere(
    mariadb: Kind, known: Accounts, schedule: Schedule, name: str, copy: Callable[[Engine, Engine], None]
) -> Accounts:
    with database.connect(mariadb[0]).connect() as session:
        session.execute(text(f"CREATE DATABASE {name}"))
    engine = database.connect(replace(mariadb[0], schema=name))
    copy(known.engine, engine)
    return Accounts(engine, dict(schedule.processors["own_database"].settings) | {"schema": name})


def test_a_connection_names_its_driver() -> None:
    named = Connection("accounts_db", conn_type="hana", extra={"sqlalchemy_scheme": "hana+nowhere"}, host="h")
    with pytest.raises(ConfigurationError, match=r"'hana\+nowhere' is not installed"):
        database.connect(named)
    with pytest.raises(ConfigurationError, match="sqlalchemy_scheme: dialect"):
        database.connect(replace(named, extra={}))


def test_a_connection_s_secrets_and_options_reach_the_driver_whole() -> None:
    connection = Connection(
        "accounts_db", host="db.example", login="reader", password="p@:/?ss", port=3307, schema="shop",
        conn_type="mysql", extra={"sqlalchemy_query": {"charset": "utf8mb4"}},
    )  # fmt: skip
    url = database.connect(connection).url
    assert (url.password, url.port, url.database, url.query["charset"]) == ("p@:/?ss", 3307, "shop", "utf8mb4")
    assert "p@:/?ss" not in repr(url)
