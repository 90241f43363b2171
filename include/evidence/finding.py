"""Finding entries by what they say: derived tables beside the log, filled when the log is sealed.

    catch_up(engine)                                     # after every seal; any number of times
    found = find(connection, Wanted(processor="stripe", event="failed"), before=None, limit=50)

Rows vouch for nothing. They name log indexes; what is shown, counted or proven is read from the entries themselves.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Date, Engine, Row, bindparam, func, select, text

from include.database import among, checkpoint, entry
from include.database.finding import entry_find

CHUNK = 20_000
COUNTED = 10_000
"""A list says how many it holds up to this number, and "more than" beyond it."""

# `OFFSET 0` keeps PostgreSQL from parsing the entry once a column.
_FILL = text(
    """
    INSERT INTO retention.entry_find
        (log_index, as_of, event, code, processor, rule_id, run_id, subject_tag, people, late, early,
         backup_until)
    SELECT log_index, as_of, event, j->>'code', j->>'processor', j->>'rule_id', (j->'run'->>'run_id')::uuid,
           CASE WHEN event = 'planned' OR NOT j ? 'disposal_id' THEN decode(j->>'subject_tag', 'hex') END,
           j ?| array['actor', 'approver', 'witness'],
           destroys AND as_of > (j->>'destroy_by')::date,
           coalesce((destroys OR event = 'attempted') AND as_of < (j->>'free_from')::date
                    AND coalesce((j->>'count_before')::bigint, 1) <> 0, false),
           (j->>'backup_expires_on')::date
    FROM (SELECT log_index, j, (j->>'as_of')::date AS as_of, j->>'event' AS event,
                 j->>'event' IN ('confirmed_absent', 'confirmed_anonymised') AS destroys
          FROM (SELECT log_index, convert_from(body, 'UTF8')::jsonb AS j FROM retention.entry
                WHERE log_index >= :low AND log_index < :high OFFSET 0) AS parsed OFFSET 0) AS read
    ON CONFLICT DO NOTHING
    """
)

# As `verify.closes` reads an entry. What two processes add at once comes out as if one had: the later entry stays.
_FOLLOW = text(
    """
    INSERT INTO retention.entry_life AS known (disposal_id, last_index, closed_on)
    SELECT disposal_id, log_index, CASE WHEN closes THEN as_of END
    FROM (SELECT DISTINCT ON (e.disposal_id) e.disposal_id, f.log_index, f.as_of,
                 CASE f.event
                     WHEN 'retained_by_processor' THEN NOT (convert_from(e.body, 'UTF8')::jsonb ? 'until')
                     WHEN 'expires_by_processor' THEN coalesce(f.code, '') = 'date_passed'
                     ELSE f.event IN ('confirmed_absent', 'confirmed_anonymised', 'manual_attested', 'cancelled')
                 END AS closes
          FROM retention.entry_find f JOIN retention.entry e ON e.log_index = f.log_index
          WHERE f.log_index >= :low AND f.log_index < :high AND e.disposal_id IS NOT NULL
          ORDER BY e.disposal_id, f.log_index DESC) last
    ON CONFLICT (disposal_id) DO UPDATE SET last_index = excluded.last_index, closed_on = excluded.closed_on
        WHERE known.last_index < excluded.last_index
    """
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a search asks for; what is None is not asked. Dates are business dates, both included."""

    start: date | None = None
    end: date | None = None
    processor: str | None = None
    rule_id: str | None = None
    event: str | None = None
    run_id: UUID | None = None
    late: bool = False
    early: bool = False


def catch_up(engine: Engine) -> int:
    """Add what was sealed since the last time; return how many entries can be found now."""
    size = sealed_size(engine)
    with engine.connect() as connection:
        known = connection.execute(select(func.coalesce(func.max(entry_find.c.log_index) + 1, 0))).scalar_one()
    for low in range(int(known), size, CHUNK):
        with engine.begin() as connection:
            for statement in (_FILL, _FOLLOW):
                connection.execute(statement, {"low": low, "high": min(low + CHUNK, size)})
    return size


def sealed_size(engine: Engine) -> int:
    """Return how many entries the newest checkpoint covers."""
    with engine.connect() as connection:
        return int(connection.execute(select(func.coalesce(func.max(checkpoint.c.size), 0))).scalar_one())


def find(connection: Connection, wanted: Wanted, *, before: int | None, limit: int) -> Sequence[Row[Any]]:
    """Return the newest rows of `entry_find` that match and lie before log index `before`, newest first."""
    chosen = select(entry_find).where(*_where(connection, wanted))
    if before is not None:
        chosen = chosen.where(entry_find.c.log_index < before)
    return connection.execute(chosen.order_by(entry_find.c.log_index.desc()).limit(limit)).all()


def count(connection: Connection, wanted: Wanted) -> int:
    """Return how many entries match, or `COUNTED + 1` where there are more than `COUNTED`."""
    if wanted == Wanted():
        known = connection.execute(select(func.max(entry_find.c.log_index))).scalar()
        return 0 if known is None else min(int(known) + 1, COUNTED + 1)
    matching = select(entry_find.c.log_index).where(*_where(connection, wanted)).limit(COUNTED + 1).subquery()
    return int(connection.execute(select(func.count()).select_from(matching)).scalar_one())


def events(connection: Connection) -> list[str]:
    """Return the events and, apart, nothing else: the distinct words of the log, by a walk over the index."""
    return _distinct(connection, "event")


def places(connection: Connection) -> list[str]:
    """Return the processors the log names."""
    return _distinct(connection, "processor")


def rules(connection: Connection) -> list[str]:
    """Return the rules the log names."""
    return _distinct(connection, "rule_id")


def disposals_of(connection: Connection, tags: Collection[str]) -> list[UUID]:
    """Return the disposals whose plan carries one of the tags (64 hex characters)."""
    wanted = [bytes.fromhex(tag) for tag in tags]
    chosen = (
        select(entry.c.disposal_id)
        .join(entry_find, entry_find.c.log_index == entry.c.log_index)
        .where(among(entry_find.c.subject_tag, wanted), entry.c.disposal_id.is_not(None))
        .distinct()
    )
    return list(connection.execute(chosen).scalars())


def _where(connection: Connection, wanted: Wanted) -> list[ColumnElement[bool]]:
    c = entry_find.c
    equal = {"processor": wanted.processor, "rule_id": wanted.rule_id, "event": wanted.event, "run_id": wanted.run_id}
    where = [c[name] == value for name, value in equal.items() if value is not None]
    if wanted.start or wanted.end:
        first, last = _within(connection, wanted)
        where += [c.log_index >= first, c.log_index <= last]
        where += [c.as_of >= wanted.start] if wanted.start else []
        where += [c.as_of <= wanted.end] if wanted.end else []
    where += [c.late] if wanted.late else []
    where += [c.early] if wanted.early else []
    return where


_BOUNDS = text(
    """
    SELECT min(first), max(last)
    FROM (SELECT greatest(coalesce(:start, min(as_of)), min(as_of)) AS low,
                 least(coalesce(:end, max(as_of)), max(as_of)) AS high FROM retention.entry_find) AS period,
         generate_series(low, high, interval '1 day') AS day,
         LATERAL (SELECT min(log_index) AS first, max(log_index) AS last FROM retention.entry_find
                  WHERE as_of = day::date) AS found
    """
).bindparams(bindparam("start", type_=Date), bindparam("end", type_=Date))


def _within(connection: Connection, wanted: Wanted) -> tuple[int, int]:
    """Return between which log indexes the entries of a period lie: two looks into the index a day.

    Business dates nearly follow the log, so a list in log order then begins where the period does instead of walking
    down to it from the newest entry.
    """
    first, last = connection.execute(_BOUNDS, {"start": wanted.start, "end": wanted.end}).one()
    return (first, last) if first is not None else (0, -1)


def _distinct(connection: Connection, column: str) -> list[str]:
    """Return the distinct values of an indexed column, one look into the index each (a loose index scan)."""
    walk = text(
        f"""
        WITH RECURSIVE walk AS (
            (SELECT {column} AS value FROM retention.entry_find WHERE {column} IS NOT NULL ORDER BY {column} LIMIT 1)
            UNION ALL
            SELECT (SELECT {column} FROM retention.entry_find WHERE {column} > walk.value ORDER BY {column} LIMIT 1)
            FROM walk WHERE walk.value IS NOT NULL)
        SELECT value FROM walk WHERE value IS NOT NULL
        """  # noqa: S608 - the column is one of three words of this module
    )
    return [str(value) for value in connection.execute(walk).scalars()]
