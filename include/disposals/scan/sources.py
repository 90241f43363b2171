"""What the self-scan reads: log files line by line, and every text of a database's tables row by row.

A place names a file and line, or a schema, table, column and row (`SELECT … WHERE ctid = '(3,14)'`), never a value.
Of the log folder only the names of its files are held at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from stat import S_ISREG
from typing import Any

from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from include.errors import ConfigurationError

LINE_BYTES = 1 << 20
OVERLAP = 512
"""How much of a longer line is read twice, so that nothing is cut in two."""

ROWS = 500
NOT_READ: Mapping[str, str] = {
    **dict.fromkeys(
        ("connection", "connection_test_request", "variable", "revoked_token"), "secrets, not ours to read"
    ),
    **dict.fromkeys(("ab_user", "ab_register_user", "ab_group", "session"), "the company's own staff"),
    **dict.fromkeys(("serialized_dag", "dag_code", "dag", "dag_tag"), "the DAG files, which hold nobody"),
}
"""Tables of Airflow that are not read, and why; every other one is, also what a newer Airflow adds."""

_HARMLESS = [
    prefix + name
    for name in (
        "bool", "int2", "int4", "oid", "xid", "cid", "tid", "float4", "date", "time", "timetz", "timestamp",
        "timestamptz", "interval", "uuid",
    )
    for prefix in ("", "_")
]  # fmt: skip
"""Kinds of values that cannot hold what is looked for; every other one is read, whatever an extension adds."""
_PRINTABLE = re.compile(rb"[\x20-\x7e\x80-\xff]{6,}")


@dataclass(frozen=True, slots=True)
class Piece:
    """One text and where it stands."""

    place: str
    text: str


@dataclass(frozen=True, slots=True)
class LogFile:
    """One file below the log folder; `task` is (dag, run, task) where Airflow's own layout says so.

    `number` is its inode: where a name cannot be said, `find -inum` finds the file.
    """

    path: Path
    name: str
    number: int
    task: tuple[str, str, str] | None


def log_files(folder: Path, since: datetime | None) -> Iterator[LogFile]:
    """Yield the files below a folder, those written to since a moment (None: all); links are not followed."""
    if not folder.is_dir():
        raise ConfigurationError(
            f"The log folder {folder} is not there, so nothing says what the logs hold. Set "
            "AIRFLOW__LOGGING__BASE_LOG_FOLDER to the folder all workers share."
        )
    after = since.timestamp() if since else float("-inf")
    for path in sorted(folder.rglob("*")):
        try:
            found = path.lstat()
            if not S_ISREG(found.st_mode) or found.st_mtime < after:
                continue
        except FileNotFoundError:
            continue
        parts = dict(p.split("=", 1) for p in path.relative_to(folder).parts if "=" in p)
        known = all(k in parts for k in ("dag_id", "run_id", "task_id"))
        task = (parts["dag_id"], parts["run_id"], parts["task_id"]) if known else None
        yield LogFile(path, str(path.relative_to(folder)), found.st_ino, task)


def logged(folder: Path, task: tuple[str, str, str]) -> bool:
    """Tell whether any log of a task lies below a folder, however old."""
    parts = (f"{name}={value}" for name, value in zip(("dag_id", "run_id", "task_id"), task, strict=True))
    return any(path.is_file() for path in folder.joinpath(*parts).rglob("*"))


def log_lines(file: LogFile) -> Iterator[Piece]:
    """Yield a file's lines; one longer than a megabyte comes in parts that overlap."""
    try:
        with file.path.open("rb") as stream:
            number, kept = 1, b""
            while part := stream.readline(LINE_BYTES):
                yield Piece(f"{file.name}:{number}", (kept + part).decode(errors="replace"))
                ended = part.endswith(b"\n")
                number, kept = number + ended, b"" if ended else part[-OVERLAP:]
    except FileNotFoundError:
        return


Columns = dict[str, list[tuple[str, bool]]]
"""Table to its columns that can hold a text, each with whether it holds bytes."""


def tables(engine: Engine, connection_name: str, schema: str, not_read: Mapping[str, str]) -> Columns:
    """Return the tables of a schema with every column that can hold a text, from the database's own catalogue.

    Left out are only columns of kinds that cannot hold what is looked for (`_HARMLESS`).
    """
    catalogue = text(
        "SELECT c.relname, a.attname, t.typname, has_table_privilege(c.oid, 'SELECT') FROM pg_class c"
        " JOIN pg_namespace n ON n.oid = c.relnamespace"
        " JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped"
        " JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_type b ON b.oid = t.typbasetype"
        " WHERE n.nspname = :schema AND c.relkind IN ('r', 'p', 'm')"
        " AND coalesce(b.typname, t.typname) <> ALL(:harmless) ORDER BY 1, a.attnum"
    )
    found: Columns = {}
    closed = set()
    with _answering(connection_name), engine.connect() as session:
        for table, column, kind, readable in session.execute(catalogue, {"schema": schema, "harmless": _HARMLESS}):
            if table in not_read:
                continue
            found.setdefault(table, []).append((column, kind == "bytea"))
            if not readable:
                closed.add(table)
    if not found:
        raise ConfigurationError(f"Connection {connection_name}: its schema {schema} has no tables. Correct it.")
    if closed:
        raise ConfigurationError(
            f"Connection {connection_name}: the role may not read {', '.join(sorted(closed))}. Grant SELECT on them: "
            "what is not read is not known to be clean."
        )
    return found


def rows(
    engine: Engine, connection_name: str, schema: str, wanted: Columns, after: Mapping[str, tuple[str, int]]
) -> Iterator[Piece]:
    """Yield every text of the wanted tables, a few hundred rows at a time.

    `after` names tables that only grow, with their counting column and the last number already read; a row that has no
    number yet is read again.
    """
    with _answering(connection_name), engine.connect() as session:
        session.execute(text("SET TRANSACTION READ ONLY"))
        for table, columns in wanted.items():
            yield from _rows(session, schema, table, columns, after.get(table))


@contextmanager
def _answering(connection_name: str) -> Iterator[None]:
    """Say in our words what a database refuses: it quotes what it was given."""
    try:
        yield
    except DBAPIError as error:
        code = getattr(error.orig, "sqlstate", None) or "none"
        raise ConfigurationError(
            f"Connection {connection_name}: the database cannot be read (SQLSTATE {code}). Check that it is up and "
            "that the role may read it, then clear this task."
        ) from None


def _rows(
    session: Any, schema: str, table: str, columns: list[tuple[str, bool]], after: tuple[str, int] | None
) -> Iterator[Piece]:
    named = ", ".join(_quoted(c) if raw else f"CAST({_quoted(c)} AS text)" for c, raw in columns)
    where = f" WHERE {_quoted(after[0])} > {int(after[1])} OR {_quoted(after[0])} IS NULL" if after else ""
    # Names come from the catalogue and are quoted; a column cannot be a parameter.
    query = text(f"SELECT CAST(ctid AS text), {named} FROM {_quoted(schema)}.{_quoted(table)}{where}")  # noqa: S608
    for row in session.execute(query.execution_options(stream_results=True, yield_per=ROWS)):
        for (column, _), value in zip(columns, row[1:], strict=True):
            if value is not None and (words := _words(value)):
                yield Piece(f"{schema}.{table}.{column} {row[0]}", words)


def _words(value: Any) -> str:
    """Return a value as text; of bytes that are none, what is printable in them."""
    if isinstance(value, str):
        return value
    raw = bytes(value)
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return "\n".join(part.decode(errors="ignore") for part in _PRINTABLE.findall(raw))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""').replace(":", "\\:") + '"'


def executed(engine: Engine, since: datetime | None) -> Iterator[tuple[str, str, str]]:
    """Yield (dag, run, task) of what ended on a worker since a moment, from Airflow's database."""
    query = text(
        "SELECT DISTINCT dag_id, run_id, task_id FROM public.task_instance WHERE pid IS NOT NULL"
        " AND end_date IS NOT NULL AND start_date IS NOT NULL AND try_number > 0"
        " AND (CAST(:since AS timestamptz) IS NULL OR end_date >= :since)"
    )
    with _answering("airflow_db"), engine.connect() as session:
        rows_ = session.execute(query.execution_options(stream_results=True, yield_per=ROWS), {"since": since})
        yield from ((str(d), str(r), str(t)) for d, r, t in rows_)
