"""Batches of due disposals: tasks receive a batch id, never an account."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Connection, Row, insert, select, true

from include.database import batch, batch_item, disposal
from include.database.requests import request, request_item
from include.disposals.context import Context
from include.errors import DecisionRefused

MAX_BATCHES = 1024
"""Airflow's `max_map_length`: a task that returns more is itself failed."""


def make_batches(context: Context, run_id: UUID, processor: str, size: int) -> list[str]:
    """Return the ids of the run's batches for a processor, making them on the first call.

    All due disposals of one account stand in the same batch, so that one customer is never worked on by two tasks. The
    run of a request takes that request's disposals and no others.
    """
    with context.engine.begin() as connection:
        known = _batches(connection, run_id, processor)
        if known:
            return known
        asked = connection.execute(select(request.c.request_id).where(request.c.run_id == run_id)).scalar()
        only = disposal.c.disposal_id.in_(select(request_item.c.disposal_id).where(request_item.c.request_id == asked))
        due = connection.execute(
            select(disposal.c.account_id, disposal.c.disposal_id)
            .where(
                only if asked else true(),
                disposal.c.processor == processor,
                disposal.c.closed_on.is_(None),
                disposal.c.gate.is_(None),
                disposal.c.due_at <= context.as_of,
            )
            .order_by(disposal.c.destroy_by, disposal.c.account_id)
        ).all()
        chunks = list(_chunks(due, size))
        if len(chunks) > MAX_BATCHES:
            size = -(-len(due) // MAX_BATCHES) + size
            chunks = list(_chunks(due, size))
        items = []
        for number, chunk in enumerate(chunks):
            batch_id = uuid4()
            connection.execute(
                insert(batch).values(batch_id=batch_id, run_id=run_id, processor=processor, number=number)
            )
            items += [{"batch_id": batch_id, "disposal_id": d} for d in chunk]
        if items:
            connection.execute(insert(batch_item), items)
        return _batches(connection, run_id, processor)


def _batches(connection: Connection, run_id: UUID, processor: str) -> list[str]:
    rows = connection.execute(
        select(batch.c.batch_id)
        .where(batch.c.run_id == run_id, batch.c.processor == processor)
        .order_by(batch.c.number)
    )
    return [str(i) for i in rows.scalars()]


def _chunks(due: list[Row[Any]] | Any, size: int) -> Iterator[list[UUID]]:
    """Yield chunks of about `size`, oldest deadline first, never splitting an account."""
    first_seen = {account: n for n, account in reversed(list(enumerate(r.account_id for r in due)))}
    ordered = sorted(due, key=lambda r: first_seen[r.account_id])
    chunk: list[UUID] = []
    for _account, rows in groupby(ordered, key=lambda r: r.account_id):
        ids = [r.disposal_id for r in rows]
        if chunk and len(chunk) + len(ids) > size:
            yield chunk
            chunk = []
        chunk += ids
    if chunk:
        yield chunk


def label(context: Context, batch_id: str) -> str:
    """Return the words that name a batch in the grid, e.g. `zendesk 3 (120 disposals)`."""
    with context.engine.connect() as connection:
        row = connection.execute(select(batch).where(batch.c.batch_id == UUID(batch_id))).first()
        if row is None:
            raise DecisionRefused(f"No batch {batch_id}. It belongs to another database; start a new run.")
        size = len(
            connection.execute(select(batch_item.c.disposal_id).where(batch_item.c.batch_id == row.batch_id)).all()
        )
    return f"{row.processor} {row.number + 1} ({size} disposals)"


def open_rows(context: Context, batch_id: str) -> list[Row[Any]]:
    """Return the batch's disposals that are still open and due, oldest deadline first."""
    with context.engine.connect() as connection:
        return list(
            connection.execute(
                select(disposal)
                .join(batch_item, batch_item.c.disposal_id == disposal.c.disposal_id)
                .where(
                    batch_item.c.batch_id == UUID(batch_id),
                    disposal.c.closed_on.is_(None),
                    # Behind a gate nothing is worked on, whatever a batch or Airflow says.
                    disposal.c.gate.is_(None),
                    disposal.c.due_at <= context.as_of,
                )
                .order_by(disposal.c.destroy_by, disposal.c.disposal_id)
            )
        )
