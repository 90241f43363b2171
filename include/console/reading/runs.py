"""What one run did, and the runs of one DAG, as our own tables tell it."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, func, select

from include.console import paging
from include.console.reading import night as nights
from include.database import batch, batch_item, disposal, entry, run
from include.database.decisions import night

MOST_BATCHES = 300
"""A run of more batches is told by what ended on its business date: to look each disposal up would take seconds."""


@dataclass(frozen=True, slots=True)
class Deeds:
    """What a run touched: outcome counts per processor; `whole_day` when they are those of its business date."""

    counts: Mapping[str, Mapping[str, int]]
    planned: Mapping[str, int]
    whole_day: bool


def one(connection: Connection, dag_id: str, airflow_run_id: str) -> Row[Any] | None:
    """Return our row of an Airflow run with the brake's word, or None for a run that recorded nothing."""
    return connection.execute(
        select(run, night.c.decision, night.c.reason, night.c.counts)
        .join(night, night.c.run_id == run.c.run_id, isouter=True)
        .where(run.c.dag_id == dag_id, run.c.airflow_run_id == airflow_run_id)
    ).first()


def deeds(connection: Connection, row: Row[Any]) -> Deeds:
    """Return what the run did to disposals."""
    planned: Counter[str] = Counter()
    for key, count in (row.counts or {}).items():
        planned[str(key).partition(":")[0]] += count
    batches = connection.execute(select(func.count()).where(batch.c.run_id == row.run_id)).scalar_one()
    whole_day = batches > MOST_BATCHES
    found = _of_day(connection, row.as_of) if whole_day else _of_batches(connection, row.run_id)
    return Deeds(found, planned, whole_day)


def _of_batches(connection: Connection, run_id: UUID) -> dict[str, Counter[str]]:
    mine = (
        select(batch_item.c.disposal_id)
        .join(batch, batch.c.batch_id == batch_item.c.batch_id)
        .where(batch.c.run_id == run_id)
    )
    # As an array, so that PostgreSQL looks each of them up and never walks all disposals of all years.
    rows = connection.execute(
        select(disposal.c.processor, disposal.c.outcome, func.count())
        .where(disposal.c.disposal_id == func.any(func.array(mine.scalar_subquery())))
        .group_by(disposal.c.processor, disposal.c.outcome)
    )
    return _counted((p, o, n) for p, o, n in rows)


def _of_day(connection: Connection, day: date) -> dict[str, Counter[str]]:
    rows = nights.ended(connection, day)
    return _counted((r.processor, r.end, r.count) for r in rows if r.closed_on == day)


def _counted(rows: Any) -> dict[str, Counter[str]]:
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for processor, outcome, count in rows:
        found[processor][outcome] += count
    return dict(sorted(found.items()))


def bounds(connection: Connection, row: Row[Any]) -> tuple[int, int | None]:
    """Return the staged ids [first, last) between this run's beginning and the next one's; None: no later run."""
    first = row.first_entry or 0
    after = connection.execute(select(func.min(run.c.first_entry)).where(run.c.first_entry > first)).scalar()
    return first, after


def entries(connection: Connection, row: Row[Any], *, after: str) -> paging.Rows:
    """Return a page of what was recorded from this run's beginning to the next run's."""
    first, last = bounds(connection, row)
    statement = select(entry.c.entry_id, entry.c.log_index, entry.c.body).where(entry.c.entry_id >= first)
    if last is not None:
        statement = statement.where(entry.c.entry_id < last)
    found = paging.read(connection, statement, (entry.c.entry_id,), after=after)
    return paging.Rows([(r.log_index, json.loads(bytes(r.body))) for r in found.rows], found.next, found.first)


def of_dag(connection: Connection, dag_id: str, *, after: str) -> paging.Rows:
    """Return a page of a DAG's runs that recorded something, the newest first."""
    statement = (
        select(run, night.c.decision, night.c.reason)
        .join(night, night.c.run_id == run.c.run_id, isouter=True)
        .where(run.c.dag_id == dag_id)
    )
    return paging.read(connection, statement, (run.c.started_at, run.c.run_id), after=after, size=25, descending=True)
