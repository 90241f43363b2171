"""A processor's contract ended: every subject there, over as many nights as its quota needs, then one certificate.

    made = plan_end(context, run_id, "zendesk", ended_on, quotas)      # rows behind a gate, spread over the nights
    ...                                                                # a second person; then the usual groups
    close_finished(context)                                            # processor_ended, once nothing is open

Rule R-14 starts with the event `processor_contract_ended` for every account, live ones too. Planning again adds only
who came since, so a run that was cut off is simply started again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import islice
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Connection, Row, bindparam, func, insert, select, update

from include.database import disposal
from include.database.decisions import offboarding
from include.disposals import guards, holds
from include.disposals.context import Context
from include.disposals.discover import _new, _store
from include.disposals.record import base_entry
from include.errors import ConfigurationError, DecisionRefused
from include.evidence.log import stage
from include.policy.facts import Event
from include.policy.planner import plan
from include.policy.plans import Plan
from include.processors import Quota

CHUNK = 1000
NIGHT_SECONDS = 4 * 3600
"""What of a night one place may take: from 02:00 to the working day."""
MOST = 100_000
EVENT = "processor_contract_ended"


@dataclass(frozen=True, slots=True)
class Ending:
    """How far the end of a contract has come. `estimated_end` is the night of the last subject, by the quota.

    One that is not `planned` was cut off while it was; starting it again adds the rest.
    """

    offboarding_id: UUID
    processor: str
    ended_on: date
    subjects: int
    open: int
    a_night: int
    estimated_end: date
    closed_on: date | None
    planned: bool


def subjects_a_night(quotas: Sequence[Quota], *, share: float, calls: int) -> int:
    """Return how many subjects a night fit into the tightest quota, when each takes `calls` calls and we use `share`.

    A limit counted by the day gives its calls once; any other one as often as its window fits into the night.
    """
    fits = [q.calls * share * (1 if q.seconds >= 86_400 else NIGHT_SECONDS / q.seconds) / calls for q in quotas]
    return max(1, min(MOST, int(min(fits, default=MOST))))


def plan_end(
    context: Context, run_id: UUID, processor: str, ended_on: date, *, a_night: int, account_ids: Sequence[str] | Any
) -> Ending:
    """Plan everything at a processor behind this run's gate, `a_night` subjects a night; return how far it will take.

    `account_ids` are all accounts of the register. Refused: a day that is not over, an unknown processor, and a
    schedule nobody approved.
    """
    section = context.schedule.processors.get(processor)
    if section is None or not section.id.startswith("V-"):
        raise ConfigurationError(f"{processor!r} is no entrusted processor of the schedule, so no contract ends there.")
    if ended_on >= context.as_of:
        # That day is the last one: planned on it, nothing would be due and the end would be an empty one.
        raise DecisionRefused(
            f"The contract ends on {ended_on}; until then nothing is erased. Start this again on the day after."
        )
    with context.engine.begin() as connection:
        guards.check_approved(connection, context.schedule.sha256, context.as_of)
        row = _begin(connection, context, run_id, processor, ended_on, a_night)
    ids, number = iter(account_ids), row.subjects
    while chunk := list(islice(ids, CHUNK)):
        number = _plan_chunk(context, run_id, row, chunk, number, a_night, tuple(section.datasets))
    end = row.first_night + timedelta(days=max(0, -(-number // a_night) - 1))
    with context.engine.begin() as connection:
        connection.execute(
            update(offboarding)
            .where(offboarding.c.offboarding_id == row.offboarding_id)
            # Somebody who came after the end is closed and certified anew.
            .values(
                subjects=number,
                estimated_end=end,
                a_night=a_night,
                **({"closed_on": None, "certificate": None} if number > row.subjects else {}),
            )
        )
    return standing(context, processor, ended_on)


def _begin(
    connection: Connection, context: Context, run_id: UUID, processor: str, ended_on: date, a_night: int
) -> Row[Any]:
    where = (offboarding.c.processor == processor, offboarding.c.ended_on == ended_on)
    known = connection.execute(select(offboarding).where(*where)).first()
    if known is None:
        connection.execute(
            insert(offboarding).values(
                offboarding_id=uuid4(), processor=processor, ended_on=ended_on, run_id=run_id, digest="",
                a_night=a_night, first_night=context.as_of,
            )
        )  # fmt: skip
        known = connection.execute(select(offboarding).where(*where)).one()
    return known


def _plan_chunk(
    context: Context,
    run_id: UUID,
    row: Row[Any],
    chunk: Sequence[str],
    number: int,
    a_night: int,
    datasets: tuple[str, ...],
) -> int:
    """Store what is new of these accounts; subject n is due n // a_night nights after the first."""
    computed = context.accounts.computed_holds(chunk)
    event = Event(EVENT, row.ended_on, datasets)
    with context.engine.begin() as connection:
        placed = holds.placed(connection, chunk)
        plans = []
        for facts in context.accounts.facts(chunk):
            known = [*computed.get(facts.account_id, []), *placed.get(facts.account_id, [])]
            made = plan(replace(facts, events=(*facts.events, event)), context.schedule, known, context.as_of)
            there = tuple(d for d in made.disposals if d.processor == row.processor)
            plans.append(Plan(there, (), ()))
        new = _new(connection, context, plans)
        ids = _store(connection, context, run_id, new)
        order = {a: number + n for n, a in enumerate(dict.fromkeys(d.account_id for d, _ in new))}
        if ids:
            connection.execute(
                update(disposal)
                .where(disposal.c.disposal_id == bindparam("b_id"))
                .values(gate=run_id, offboarding_id=row.offboarding_id, due_at=bindparam("b_due")),
                [
                    {"b_id": i, "b_due": row.first_night + timedelta(days=order[d.account_id] // a_night)}
                    for i, (d, _) in zip(ids, new, strict=True)
                ],
            )
    return number + len(order)


def standing(context: Context, processor: str, ended_on: date) -> Ending:
    """Return how far the end of a contract has come."""
    with context.engine.connect() as connection:
        row = connection.execute(
            select(offboarding).where(offboarding.c.processor == processor, offboarding.c.ended_on == ended_on)
        ).first()
        if row is None:
            raise DecisionRefused(f"The end of the contract with {processor} on {ended_on} was never planned.")
        left = connection.execute(
            select(func.count())
            .select_from(disposal)
            .where(disposal.c.offboarding_id == row.offboarding_id, disposal.c.closed_on.is_(None))
        ).scalar_one()
    return Ending(
        row.offboarding_id, processor, ended_on, row.subjects, left, row.a_night,
        row.estimated_end or row.first_night, row.closed_on, row.estimated_end is not None,
    )  # fmt: skip


def open_endings(context: Context) -> list[Ending]:
    """Return the ended contracts with something left there, oldest first."""
    with context.engine.connect() as connection:
        rows = connection.execute(
            select(offboarding.c.processor, offboarding.c.ended_on)
            .where(offboarding.c.closed_on.is_(None))
            .order_by(offboarding.c.ended_on)
        ).all()
    return [standing(context, processor, ended_on) for processor, ended_on in rows]


def close_finished(context: Context) -> list[Ending]:
    """Write `processor_ended` with its counts for every ended contract with nothing left open; return those."""
    done = [e for e in open_endings(context) if e.planned and not e.open]
    for ending in done:
        with context.engine.begin() as connection:
            first = connection.execute(
                update(offboarding)
                .where(offboarding.c.offboarding_id == ending.offboarding_id, offboarding.c.closed_on.is_(None))
                .values(closed_on=context.as_of)
            ).rowcount
            rows: Any = connection.execute(
                select(disposal.c.outcome, func.count())
                .where(disposal.c.offboarding_id == ending.offboarding_id)
                .group_by(disposal.c.outcome)
            )
            counts = {outcome: n for outcome, n in rows} | {"subjects": ending.subjects}
            if first:
                entry = base_entry(context, "processor_ended") | {"processor": ending.processor, "counts": counts}
                stage(connection, [entry | {"until": ending.ended_on.isoformat()}])
    return done


def uncertified(context: Context) -> int:
    """Return how many ended contracts with nothing left there have no certificate yet."""
    wanted = select(func.count()).where(offboarding.c.closed_on.is_not(None), offboarding.c.certificate.is_(None))
    with context.engine.connect() as connection:
        return connection.execute(wanted).scalar_one()
