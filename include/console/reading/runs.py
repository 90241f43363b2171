"""What one run did, and the runs of one DAG, as our own tables tell it."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, func, select

from include.console import paging
from include.database import entry, run
from include.database.decisions import night
from include.database.finding import entry_find


@dataclass(frozen=True, slots=True)
class Deeds:
    """What a run recorded of disposals, as the sealed log has it: entries by processor and event.

    `waiting`: how many entries since its beginning are not sealed yet, so that they are not counted.
    """

    counts: Mapping[str, Mapping[str, int]]
    waiting: int


def one(connection: Connection, dag_id: str, airflow_run_id: str) -> Row[Any] | None:
    """Return our row of an Airflow run with the brake's word, or None for a run that recorded nothing."""
    return connection.execute(
        select(run, night.c.decision, night.c.reason, night.c.counts)
        .join(night, night.c.run_id == run.c.run_id, isouter=True)
        .where(run.c.dag_id == dag_id, run.c.airflow_run_id == airflow_run_id)
    ).first()


def deeds(connection: Connection, row: Row[Any]) -> Deeds:
    """Return what this run did, and no other: every entry names its run."""
    c = entry_find.c
    rows = connection.execute(
        select(c.processor, c.event, func.count())
        .where(c.run_id == row.run_id, c.processor.is_not(None))
        .group_by(c.processor, c.event)
    )
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for processor, event, count in rows:
        found[processor][event] += count
    return Deeds(dict(sorted(found.items())), _waiting(connection, row))


def _waiting(connection: Connection, row: Row[Any]) -> int:
    if row.first_entry is None:
        return 0
    unsealed = select(func.count()).where(entry.c.log_index.is_(None), entry.c.entry_id >= row.first_entry)
    return int(connection.execute(unsealed).scalar_one())


def entries(connection: Connection, row: Row[Any], *, after: str) -> paging.Rows:
    """Return a page of what was recorded from this run's beginning to the next run's."""
    first = row.first_entry
    if first is None:  # it began before runs noted where the log stood
        return paging.Rows([], None, True)
    last = connection.execute(select(func.min(run.c.first_entry)).where(run.c.first_entry > first)).scalar()
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
