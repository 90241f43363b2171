"""The self-scan (자체 점검): nothing of Airflow's and nothing of ours may name whoever is being erased or was.

    scanned = scan(context, airflow=engine, logs=Path("/opt/airflow/logs"), whole=True, now=datetime.now(UTC))

It reads log files, every text of Airflow's tables and of ours, cuts them into words, and compares keyed digests
(`needles`): neither the scan nor its findings hold a value. A clean scan destroys the digests of what was closed.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Connection, Engine, Row, func, insert, select

from include.database import SCHEMA, entry, run
from include.database.scan import self_scan
from include.disposals.context import Context
from include.disposals.record import run_entry
from include.disposals.scan import needles, sources
from include.disposals.scan.needles import Needles
from include.disposals.scan.sources import Piece
from include.disposals.scan.tokens import tokens
from include.evidence.log import stage

AIRFLOW = "public"
SHOWN = 50
_FIELDS = re.compile(r',\s?(?=")')
"""Where one field of a JSON text ends and the next begins: most lines of a log repeat most of their fields."""

PART = 200
KNOWN = 200_000
"""So many words are remembered as nobody's before they are forgotten again: logs repeat themselves."""

NONE = -1
"""The log index before the first."""

MARGIN = timedelta(minutes=5)
"""A file is read again that was written to so shortly before the last scan: clocks of workers differ."""


@dataclass(frozen=True, slots=True)
class Hit:
    """Something that names a person: which kind, and where; never the value."""

    place: str
    kind: str

    def __str__(self) -> str:
        return f"{self.place}: {self.kind}"


@dataclass(frozen=True, slots=True)
class Scanned:
    """What a scan read and found; `unseen` are tasks that ran and whose logs are not below the log folder."""

    code: str
    hits: tuple[Hit, ...]
    found: int
    unseen: tuple[str, ...]
    counts: dict[str, int]


class Search:
    """Compares pieces with the needles; counts what it read, and keeps the first places."""

    def __init__(self, needles: Needles) -> None:
        self._needles = needles
        self._known: set[tuple[str, str]] = set()
        self._starts: dict[str, bool] = {}
        self._parts: set[str] = set()
        self.hits: list[Hit] = []
        self.found = 0

    def look(self, pieces: Iterable[Piece]) -> int:
        """Read every piece and return how many there were."""
        read = 0
        for piece in pieces:
            read += 1
            kinds = self.kinds(piece.text)
            self.found += len(kinds)
            self.hits += [Hit(piece.place, kind) for kind in sorted(kinds)][: SHOWN - len(self.hits)]
        return read

    def kinds(self, text: str) -> set[str]:
        """Return which kinds of needle stand in a text."""
        found: set[str] = set()
        for part in _FIELDS.split(text):
            if part in self._parts:
                continue
            seen = self._kinds(part)
            found |= seen
            if not seen and len(part) <= PART:
                if len(self._parts) >= KNOWN:
                    self._parts.clear()
                self._parts.add(part)
        return found

    def _kinds(self, text: str) -> set[str]:
        found = set()
        for token in tokens(text, self._start):
            if token in self._known:
                continue
            if self._needles.hold(*token):
                found.add(token[0])
            else:
                if len(self._known) >= KNOWN:
                    self._known.clear()
                self._known.add(token)
        return found

    def _start(self, word: str) -> bool:
        if len(self._starts) >= KNOWN:
            self._starts.clear()
        if word not in self._starts:
            self._starts[word] = self._needles.start(word)
        return self._starts[word]


def scan(context: Context, run_id: UUID, *, airflow: Engine, logs: Path, whole: bool, now: datetime) -> Scanned | None:
    """Scan, record the outcome as state and as an entry, and return it; None where nobody was erased since the last.

    `whole` reads every log file, otherwise only what was written to since the last clean scan; tables are always read
    whole, but for our own entries, which no later step changes. `now` is real UTC, the moment the scan begins.
    """
    with context.engine.connect() as connection:
        if not whole and not needles.waiting(connection):
            _record(context, run_id, Scanned("nothing", (), 0, (), {}), whole=whole, until=NONE, started=now)
            return None
        # In this order: what is closed after its digests were read waits for the next scan.
        closed = needles.closed(connection)
        wanted = needles.load(connection, context.wrapper)
        common = needles.unsearchable(connection)
        last = _last_clean(connection)
        since = last.started_at - MARGIN if last else _begun(connection, run_id)
        # By log index: it is given in the order of commits, so what was sealed by now is all there to be read.
        newest = connection.execute(select(func.coalesce(func.max(entry.c.log_index), NONE))).scalar_one()
    search = Search(wanted)
    counts: Counter[str] = Counter(needles=len(wanted), unsearchable=common)
    unseen: list[str] = []
    if len(wanted):
        theirs = sources.tables(airflow, "airflow_db", AIRFLOW, sources.NOT_READ)
        unseen = _read_logs(search, counts, airflow, logs, since, whole=whole)
        counts["airflow.tables"] = len(theirs)
        counts["airflow.values"] = search.look(sources.rows(airflow, "airflow_db", AIRFLOW, theirs, {}))
        ours = sources.tables(context.engine, "retention_db", SCHEMA, {})
        after = {"entry": ("log_index", last.entry_until)} if last else {}
        counts["own.tables"] = len(ours)
        counts["own.values"] = search.look(sources.rows(context.engine, "retention_db", SCHEMA, ours, after))
    counts.update(hits=search.found)
    counts["logs.unseen"] = len(unseen)
    code = "found" if search.found else "logs_not_seen" if unseen else "clean"
    scanned = Scanned(code, tuple(search.hits), search.found, tuple(unseen), dict(counts))
    _record(context, run_id, scanned, whole=whole, until=newest, started=now, closed=closed)
    return scanned


def _record(
    context: Context, run_id: UUID, scanned: Scanned, *, whole: bool, until: int, started: datetime,
    closed: Iterable[UUID] = (),
) -> None:  # fmt: skip
    """Keep what a scan found as state and, where it looked, as an entry; a clean one destroys what it looked for."""
    with context.engine.begin() as connection:
        connection.execute(
            insert(self_scan).values(
                scan_id=uuid4(), run_id=run_id, as_of=context.as_of, whole=whole, code=scanned.code,
                hits=scanned.found, counts=scanned.counts, entry_until=until, started_at=started,
            )
        )  # fmt: skip
        if scanned.code != "nothing":
            entry_ = run_entry(context, run_id, "self_scanned", code=scanned.code, counts=scanned.counts)
            stage(connection, [entry_])
        if scanned.code == "clean":
            needles.forget(connection, closed, month=f"{context.as_of:%Y-%m}")


def _last_clean(connection: Connection) -> Row[Any, Any] | None:
    return connection.execute(
        select(self_scan.c.started_at, self_scan.c.entry_until)
        .where(self_scan.c.code == "clean")
        .order_by(self_scan.c.started_at.desc())
        .limit(1)
    ).first()


def _begun(connection: Connection, run_id: UUID) -> datetime:
    """Return when the first scanned run began, so that the first scan asks for its logs and for no older ones."""
    started: datetime = connection.execute(select(run.c.started_at).where(run.c.run_id == run_id)).scalar_one()
    return started - MARGIN


def _read_logs(
    search: Search, counts: Counter[str], airflow: Engine, folder: Path, since: datetime, *, whole: bool
) -> list[str]:
    """Read the log files and name the tasks that ended since then and have none."""
    seen: set[tuple[str, str, str]] = set()
    for file in sources.log_files(folder, None if whole else since):
        if file.task:
            seen.add(file.task)
        counts["logs.files"] += 1
        before = search.found
        search.look([Piece(f"the name of the log file with inode {file.number}", file.name)])
        for_place = f"log file with inode {file.number}, line " if search.found > before else ""
        counts["logs.lines"] += search.look(_hidden(sources.log_lines(file), for_place))
    # A task that ended since may have written its log before: an answered question or a run that was cut off ends
    # without a worker. An earlier scan read that file.
    missing = [t for t in sources.executed(airflow, since) if t not in seen and not sources.logged(folder, t)]
    return [f"{dag}/{task} of {ran}" for dag, ran, task in missing]


def _hidden(pieces: Iterator[Piece], instead: str) -> Iterator[Piece]:
    """Yield pieces whose place does not repeat a file name that is itself a finding."""
    if not instead:
        yield from pieces
        return
    for piece in pieces:
        yield Piece(instead + piece.place.rpartition(":")[2], piece.text)


def gaps(context: Context, run_id: UUID, *, always: bool) -> list[str]:
    """Return what the self-scan of a run left open: a finding, unseen logs, or that there was none.

    `always`: a night scans even where nobody was erased; other runs only where somebody was.
    """
    with context.engine.connect() as connection:
        done = connection.execute(
            select(self_scan.c.code, self_scan.c.hits, self_scan.c.counts)
            .where(self_scan.c.run_id == run_id)
            .order_by(self_scan.c.finished_at.desc())
            .limit(1)
        ).first()
        waiting = needles.waiting(connection)
    if done is None:
        return ["the self-scan did not finish"] if always or waiting else []
    if done.code == "found":
        return [f"personal data in {done.hits} places of logs or tables, named by task self_scan"]
    if done.code == "logs_not_seen":
        return [f"the logs of {done.counts['logs.unseen']} tasks were not seen by the self-scan"]
    return []
