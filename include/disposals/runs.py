"""Runs: the business date's guard and the bookkeeping a report compares against.

`as_of` may never go back, and may lie in the future only in the sandbox (`RETENTION_CLOCK=sandbox`) with every
processor on loopback. The wall clock is read by the caller, once.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from uuid import UUID, uuid4

from sqlalchemy import Connection as Transaction
from sqlalchemy import Engine, exists, func, insert, select, update

from include.connections import Connection
from include.database import entry, run
from include.database.decisions import night
from include.disposals import claims
from include.disposals.context import Context
from include.disposals.population import reconcile
from include.disposals.record import run_entry
from include.errors import DecisionRefused
from include.evidence.log import stage

LARGEST_SKEW = timedelta(minutes=5)


def check_as_of(
    engine: Engine, as_of: date, *, seoul_today: date, sandbox: bool, connections: Iterable[Connection]
) -> None:
    """Raise `DecisionRefused` unless `as_of` may be worked with."""
    if as_of > seoul_today:
        if not sandbox:
            raise DecisionRefused(
                f"as_of {as_of} is later than today in Seoul ({seoul_today}). Only the sandbox may look ahead; "
                "start the run without as_of."
            )
        outside = [c.name for c in connections if not c.is_loopback]
        if outside:
            raise DecisionRefused(
                f"as_of {as_of} lies ahead of {seoul_today}, but these connections leave this machine: "
                f"{', '.join(outside)}. Point their endpoint_url to loopback or drop as_of."
            )
    newest = newest_as_of(engine)
    if newest and as_of < newest:
        raise DecisionRefused(
            f"as_of {as_of} is earlier than {newest}, which a run already worked with. Business time never goes back."
        )


def newest_as_of(engine: Engine) -> date | None:
    """Return the newest business date a run worked with, or None before the first."""
    with engine.connect() as connection:
        found: date | None = connection.execute(select(func.max(run.c.as_of))).scalar()
    return found


def check_clock(connection: Transaction, now: datetime) -> None:
    """Raise `DecisionRefused` where this machine's clock and the database's differ by more than five minutes.

    A business date is taken from this machine's: one that runs ahead would let data go before its day, and no later
    run could go back to the right one.
    """
    theirs: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
    skew = abs(theirs - now)
    if skew > LARGEST_SKEW:
        raise DecisionRefused(
            f"The clocks of this machine and of the database differ by {skew.total_seconds():.0f} s, so today's "
            "business date is in doubt. Set both (NTP), then start the run again; nothing was done."
        )


def begin_run(context: Context, *, airflow_run_id: str) -> UUID:
    """Record the start of a run and return our id of it; a retry of the same Airflow run gets the same id.

    A new run is refused while the clocks of worker and database disagree.
    """
    with context.engine.begin() as connection:
        known = connection.execute(
            select(run.c.run_id).where(run.c.dag_id == context.dag_id, run.c.airflow_run_id == airflow_run_id)
        ).scalar()
        if known:
            return UUID(str(known))
        check_clock(connection, datetime.now(UTC))
        run_id = uuid4()
        claims.forget_expired(connection)
        connection.execute(
            insert(run).values(
                run_id=run_id,
                dag_id=context.dag_id,
                airflow_run_id=airflow_run_id,
                as_of=context.as_of,
                schedule_sha256=context.schedule.sha256,
                first_entry=connection.execute(select(func.coalesce(func.max(entry.c.entry_id), 0))).scalar_one() + 1,
            )
        )
        stage(connection, [run_entry(context, run_id, "run_started")])
        return run_id


def finish_run(context: Context, run_id: UUID, counts: dict[str, int]) -> None:
    """Record the end of a run with its counts; after a whole `discover`, with what became of every termination."""
    with context.engine.begin() as connection:
        done = connection.execute(
            update(run)
            .where(run.c.run_id == run_id, run.c.finished_at.is_(None))
            .values(finished_at=func.now())
            .returning(run.c.population)
        ).first()
        if done is None:
            return
        entries = [run_entry(context, run_id, "run_finished", counts=counts)]
        if done.population:
            found = reconcile(connection, context, run_id, done.population)
            connection.execute(
                update(run).where(run.c.run_id == run_id).values(population={**done.population, "reconciled": found})
            )
            entries.insert(0, run_entry(context, run_id, "population", code="reconciled", counts=found))
        stage(connection, entries)


def night_at_work(connection: Transaction) -> bool:
    """Return whether a nightly run began in the last six hours and has not sealed its end yet.

    One that waits for a second person does not count: what is open goes on meanwhile.
    """
    return bool(
        connection.execute(
            select(
                exists().where(
                    run.c.dag_id == "nightly_retention",
                    run.c.finished_at.is_(None),
                    run.c.started_at > func.now() - timedelta(hours=6),
                    ~exists().where(night.c.run_id == run.c.run_id, night.c.decision == "asked"),
                )
            )
        ).scalar()
    )
