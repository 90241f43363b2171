"""Our own database and the company's: they answer, hold what is declared, and let the role do its work."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection as Session
from sqlalchemy import Engine, delete, false, table, text
from sqlalchemy.exc import DBAPIError

from include import accounts, database
from include.accounts.find import owners
from include.accounts.sql import refusal
from include.check import Line, Setup, State, have, tried
from include.disposals import guards
from include.errors import ConfigurationError
from include.policy.schedule import Schedule

NOBODY = "no-such-account"
"""An account id that no company has: the night's own reads run for it and find nobody."""

KEPT = frozenset({"entry", "checkpoint", "schedule_version", "run"})
"""Tables of ours no row ever leaves."""

INSTALL = "Run `python -m include.install` with the new version, before any night."


def lines(setup: Setup, schedule: Schedule) -> Iterator[Line]:
    """Yield what is known of `retention_db` and `accounts_db`."""
    for name, looks in (("retention_db", _ours), ("accounts_db", _theirs)):
        found = have(setup, name)
        if isinstance(found, Line):
            yield found
            continue
        engine = database.connect(found)
        try:
            answer = tried(name, "answers, and is the primary", lambda e=engine, n=name: _answers(e, n))  # type: ignore[misc]
            yield answer
            if answer.state is State.OK:
                yield from looks(engine, setup, schedule)
        finally:
            engine.dispose()


def _ours(engine: Engine, _setup: Setup, schedule: Schedule) -> Iterator[Line]:
    head = tried("retention_db", "its schema is the newest", lambda: _at_head(engine))
    yield head
    if head.state is not State.OK:
        return
    yield tried("retention_db", "the role may work in every table", lambda: _rights(engine))
    yield tried("retention_db", "entries of evidence cannot be changed", lambda: _append_only(engine))
    yield tried("retention_db", "what is committed survives a crash", lambda: _durable(engine))
    yield tried("schedule", "this version is approved", lambda: _approved(engine, schedule))


def _theirs(engine: Engine, setup: Setup, schedule: Schedule) -> Iterator[Line]:
    settings = schedule.processors["own_database"].settings
    yield tried("accounts_db", "every declared table and column can be read", lambda: _reads(engine, setup, settings))
    lists = [str(name) for name in settings.get("elsewhere", ())]
    yield tried("accounts_db", "rows of lists that processors clear may go", lambda: _lists(engine, settings, lists))


@contextmanager
def opened(engine: Engine, name: str) -> Iterator[Session]:
    """Yield a session that nothing is committed in; on PostgreSQL it is read-only besides.

    A database's own words never leave, except names of tables and columns.
    """
    try:
        with engine.connect() as session:
            if engine.dialect.name == "postgresql":
                session.execute(text("SET TRANSACTION READ ONLY"))
            yield session
    except DBAPIError as error:
        raise refusal(name, error) from None


def _answers(engine: Engine, name: str) -> str:
    with opened(engine, name) as session:
        if engine.dialect.name != "postgresql":
            return f"{engine.dialect.name} {'.'.join(map(str, engine.dialect.server_version_info or ()))}"
        if session.execute(text("SELECT pg_is_in_recovery()")).scalar_one():
            raise ConfigurationError(
                f"Connection {name}: this is a standby, which shows the past. Point the connection at the primary."
            )
        return f"PostgreSQL {session.execute(text('SHOW server_version')).scalar_one()}"


def _at_head(engine: Engine) -> str:
    from alembic.script import ScriptDirectory

    wanted = set(ScriptDirectory(str(Path(database.__file__).with_name("migrations"))).get_heads())
    with opened(engine, "retention_db") as session:
        if session.execute(text("SELECT to_regclass('retention.alembic_version')")).scalar() is None:
            raise ConfigurationError(f"Connection retention_db: schema retention is not there. {INSTALL}")
        there = set(session.execute(text("SELECT version_num FROM retention.alembic_version")).scalars())
    if there != wanted:
        raise ConfigurationError(
            f"Connection retention_db: the schema stands at {', '.join(sorted(there)) or 'nothing'}, this version "
            f"needs {', '.join(sorted(wanted))}. {INSTALL}"
        )
    return ", ".join(sorted(there))


def _rights(engine: Engine) -> str:
    wanted = [
        {"name": str(table), "right": right}
        for table in database.metadata.tables
        for right in ("SELECT", "INSERT", "UPDATE", "DELETE")
        if right != "DELETE" or str(table).rpartition(".")[2] not in KEPT
    ]
    statement = text(
        "SELECT w->>'name' || ' ' || (w->>'right') FROM jsonb_array_elements(CAST(:wanted AS jsonb)) w"
        " WHERE to_regclass(w->>'name') IS NULL OR NOT has_table_privilege(w->>'name', w->>'right')"
    )
    with opened(engine, "retention_db") as session:
        lacking = sorted(session.execute(statement, {"wanted": json.dumps(wanted)}).scalars())
    if lacking:
        raise ConfigurationError(
            f"Connection retention_db: the role lacks {', '.join(lacking)}. Make it the owner of schema retention, or "
            "grant these."
        )
    return f"{len(database.metadata.tables)} tables"


def _durable(engine: Engine) -> str:
    """An intent that was committed and lost again with the server would leave an act without one."""
    with opened(engine, "retention_db") as session:
        names = ("fsync", "full_page_writes", "synchronous_commit")
        off = [n for n in names if session.execute(text(f"SHOW {n}")).scalar_one() == "off"]
    if off:
        raise ConfigurationError(
            f"Connection retention_db: {', '.join(off)} is off, so that a crash of the server loses commits it has "
            "answered, an intent among them. Switch it on for the server, this database and this role."
        )
    return "commits wait for the disk"


def _append_only(engine: Engine) -> str:
    with opened(engine, "retention_db") as session:
        guarded = session.execute(
            text(
                "SELECT count(*) FROM pg_trigger WHERE tgrelid = 'retention.entry'::regclass AND NOT tgisinternal"
                " AND tgenabled IN ('O', 'A')"
            )
        ).scalar_one()
    if not guarded:
        raise ConfigurationError(
            "Connection retention_db: the trigger that refuses changes of entries is gone or disabled. Find out who "
            "did that, and compare the log with its bucket (run the DAG evidence_audit), before it is put back."
        )
    return f"{guarded} triggers"


def _approved(engine: Engine, schedule: Schedule) -> str:
    with opened(engine, "retention_db") as session:
        guards.check_approved(session, schedule.sha256)
    return schedule.sha256[:12]


def _reads(engine: Engine, setup: Setup, settings: Any) -> str:
    read = accounts.Accounts(engine, settings)
    read.facts([NOBODY])
    read.computed_holds([NOBODY])
    read.identifiers([NOBODY])
    owners(read, [NOBODY])
    return f"{sum(read.population(setup.today).values())} accounts"


def _lists(engine: Engine, settings: Any, lists: list[str]) -> str:
    schema = str(settings.get("schema", "public"))
    with opened(engine, "accounts_db") as session:
        for name in lists:
            if engine.dialect.name == "postgresql":
                _granted(session, name, f"{schema}.{name}")
            else:
                # Elsewhere there is no common way to ask for a right; removing no row needs it and changes nothing.
                session.execute(delete(table(name, schema=schema)).where(false()))
        session.rollback()
    return ", ".join(lists)


def _granted(session: Session, name: str, full: str) -> None:
    if session.execute(text("SELECT to_regclass(:name)"), {"name": full}).scalar() is None:
        raise ConfigurationError(f"Connection accounts_db: the schedule declares {name}, which is not there.")
    for right in ("SELECT", "DELETE"):
        given = session.execute(text("SELECT has_table_privilege(:name, :right)"), {"name": full, "right": right})
        if not given.scalar_one():
            raise ConfigurationError(
                f"Connection accounts_db: the role lacks {right} on {name}. Run: GRANT {right} ON {full} TO …"
            )
