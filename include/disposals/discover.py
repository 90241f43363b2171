"""Discover: what fell due up to now becomes disposals, each once, with its entry in the same transaction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import chain, islice
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Connection, func, insert, select, update

from include.database import among, disposal, run
from include.disposals import guards, holds, population, request_events
from include.disposals.context import Context
from include.disposals.record import disposal_entry, run_entry
from include.errors import ConfigurationError
from include.evidence.log import stage
from include.outcomes import Outcome
from include.policy.facts import AccountFacts
from include.policy.planner import Plan, PlannedDisposal, plan

CHUNK = 1000
IDENTITY = ("processor", "rule_id", "scope_id", "trigger_event", "trigger_date")


@dataclass(frozen=True, slots=True)
class Discovered:
    """How many accounts were looked at, and what was new."""

    accounts: int
    planned: int
    blocked: int


def discover(context: Context, run_id: UUID) -> Discovered:
    """Plan every account with something due up to `as_of` and store what is not there yet, behind the night's gate.

    Disposals are compared under all live key epochs, so a new year's key never plans anything twice. Running it again
    adds nothing.
    """
    accounts = planned = blocked = unplannable = noted = 0
    day = population.overdue_day(context)
    with context.engine.begin() as connection:
        population.forget_others(connection, context, run_id)
    for chunk in _chunks(chain(context.accounts.due(context.schedule, context.as_of), _ended_on_request(context))):
        chunk = list({f.account_id: f for f in chunk}.values())
        computed = context.accounts.computed_holds([f.account_id for f in chunk])
        with context.engine.begin() as connection:
            guards.check_approved(connection, context.schedule.sha256, context.as_of)
            plans = _plans(connection, context, chunk, computed)
            new = _new(connection, context, [p for p in plans if p is not None])
            made = _store(connection, context, run_id, new)
            connection.execute(update(disposal).where(among(disposal.c.disposal_id, made)).values(gate=run_id))
            population.note(connection, context, run_id, zip(chunk, plans, strict=True))
        noted += sum(day is not None and f.terminated_on is not None and f.terminated_on <= day for f in chunk)
        unplannable += plans.count(None)
        accounts += len(chunk)
        planned += len(new)
        blocked += sum(bool(p.held_by) for p, _ in new)
    unlisted = max(context.accounts.population(day).get("terminated", 0) - noted, 0) if day is not None else 0
    source = {
        **context.accounts.population(context.as_of),
        "unplannable": unplannable,
        "unlisted": unlisted,  # the register's own count of accounts with something due, less those looked at
    }
    _note_population(context, run_id, Discovered(accounts, planned, blocked), source)
    return Discovered(accounts, planned, blocked)


def newly_due(context: Context) -> Iterator[PlannedDisposal]:
    """Yield what `discover` would store now; reads only."""
    for chunk in _chunks(chain(context.accounts.due(context.schedule, context.as_of), _ended_on_request(context))):
        chunk = list({f.account_id: f for f in chunk}.values())
        computed = context.accounts.computed_holds([f.account_id for f in chunk])
        with context.engine.connect() as connection:
            plans = _plans(connection, context, chunk, computed)
            yield from (planned for planned, _tag in _new(connection, context, [p for p in plans if p is not None]))


def _ended_on_request(context: Context) -> Iterator[AccountFacts]:
    """Yield the accounts whose termination stands in our register of requests and not (yet) in the company's."""
    with context.engine.connect() as connection:
        ended = sorted(request_events.terminations(connection))
    for start in range(0, len(ended), CHUNK):
        yield from (f for f in context.accounts.facts(ended[start : start + CHUNK]) if f.terminated_on is None)


def _plans(connection: Connection, context: Context, chunk: Sequence[AccountFacts], computed: Any) -> list[Plan | None]:
    placed = holds.placed(connection, [f.account_id for f in chunk])
    chunk = request_events.with_requests(connection, chunk)
    plans: list[Plan | None] = []
    for facts in chunk:
        known = [*computed.get(facts.account_id, []), *placed.get(facts.account_id, [])]
        try:
            plans.append(plan(facts, context.schedule, known, context.as_of))
        except ConfigurationError:
            # A date nobody can plan with, year 3000 for one: this account is counted and reported, the night goes on.
            plans.append(None)
    return plans


def _new(connection: Connection, context: Context, plans: Iterable[Plan]) -> list[tuple[PlannedDisposal, str]]:
    """Return the planned disposals that no live epoch knows yet, each with its tag of the current epoch."""
    wanted = [d for p in plans for d in p.disposals]
    tags = {a: context.tags.all(a) for a in {d.account_id for d in wanted}}
    owner = {tag: account for account, by_epoch in tags.items() for tag in by_epoch.values()}
    columns = [disposal.c[c] for c in IDENTITY]
    rows = connection.execute(select(disposal.c.subject_tag, *columns).where(among(disposal.c.subject_tag, owner)))
    known = {(owner[r.subject_tag], *(getattr(r, c) for c in IDENTITY)) for r in rows}
    epoch = context.tags.current_epoch(context.as_of)
    wanted = request_events.uncovered(connection, wanted, {a: t.values() for a, t in tags.items()})
    return [
        (d, tags[d.account_id][epoch])
        for d in wanted
        if (d.account_id, *(getattr(d, c) for c in IDENTITY)) not in known
    ]


def store_planned(
    connection: Connection, context: Context, planned: Sequence[PlannedDisposal], *, tag: str | None = None
) -> list[UUID]:
    """Store what an approved request reaches, with its entries; return the new disposals' ids, in order.

    `tag` is the subject's where that is not the account.
    """
    if context.run_id is None:
        raise ConfigurationError("Disposals are planned inside a run; this context has none.")
    epoch = context.tags.current_epoch(context.as_of)
    new = [(d, tag or context.tags.tag(d.account_id, epoch=epoch)) for d in planned]
    return _store(connection, context, context.run_id, new)


def _store(
    connection: Connection, context: Context, run_id: UUID, new: Sequence[tuple[PlannedDisposal, str]]
) -> list[UUID]:
    if not new:
        return []
    rows = [_row(context, run_id, planned, tag) for planned, tag in new]
    connection.execute(insert(disposal), rows)
    entries = []
    for row, (planned, _) in zip(rows, new, strict=True):
        entries.append(
            disposal_entry(
                context,
                row,
                "planned",
                rule_ids=sorted({r.rule_id for r in planned.reasons} | {planned.rule_id}),
                moved_by=[{"code": code, "date": day.isoformat()} for code, day in planned.moved_by],
            )
        )
        if planned.held_by:
            entries.append(disposal_entry(context, row, "blocked", code=row["code"], hold_kinds=list(planned.held_by)))
    stage(connection, entries, [e["disposal_id"] for e in entries])
    return [row["disposal_id"] for row in rows]


def _row(context: Context, run_id: UUID, planned: PlannedDisposal, tag: str) -> dict[str, Any]:
    return {
        "disposal_id": uuid4(),
        "subject_tag": tag,
        "key_epoch": context.tags.current_epoch(context.as_of),
        "account_id": planned.account_id,
        "subject_type": planned.subject_type,
        "processor": planned.processor,
        "rule_id": planned.rule_id,
        "rule_version": planned.rule_version,
        "scope_id": planned.scope_id,
        "trigger_event": planned.trigger_event,
        "trigger_date": planned.trigger_date,
        "last_day": planned.last_day,
        "free_from": planned.free_from,
        "destroy_by": planned.destroy_by,
        "datasets": list(planned.datasets),
        "categories": list(planned.categories),
        "schedule_sha256": context.schedule.sha256,
        "run_id": run_id,
        "outcome": str(Outcome.BLOCKED if planned.held_by else Outcome.PLANNED),
        "code": holds.code(planned.held_by[0]) if planned.held_by else None,
        "due_at": context.as_of,
    }


def _note_population(context: Context, run_id: UUID, found: Discovered, source: Mapping[str, int]) -> None:
    """Write the source's own counts, which the end of the run is reconciled with (`population.reconcile`)."""
    with context.engine.begin() as connection:
        first = connection.execute(
            update(run).where(run.c.run_id == run_id, run.c.population.is_(None)).values(population=dict(source))
        ).rowcount
        connection.execute(
            update(run)
            .where(run.c.run_id == run_id)
            .values(accounts_scanned=found.accounts, due=run.c.due + found.planned, held=run.c.held + found.blocked)
        )
        if first:
            stage(connection, [run_entry(context, run_id, "population", code="source", counts=dict(source))])


def _chunks(facts: Iterator[AccountFacts]) -> Iterator[list[AccountFacts]]:
    while chunk := list(islice(facts, CHUNK)):
        yield chunk


def due_counts(connection: Connection, as_of: date) -> dict[str, int]:
    """Return how many open disposals are due per processor."""
    rows = connection.execute(
        select(disposal.c.processor, func.count())
        .where(disposal.c.closed_on.is_(None), disposal.c.gate.is_(None), disposal.c.due_at <= as_of)
        .group_by(disposal.c.processor)
    )
    return {row[0]: row[1] for row in rows}
