"""The blast-radius brake: a night's new disposals stay behind a gate until they are judged usual or a second person
lets them go.

    verdict = judge_night(context, run_id, by=requester, expires=moment)   # free, or asked with a digest
    settle(context, run_id, by=approver, approved=True)                    # or by=None: nobody answered

`discover` puts every disposal behind the gate (column `gate`), so a crash anywhere leaves them shut; batches and the
act itself refuse what is behind one. Disposals opened on earlier nights are not touched. There is no switch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Date, Row, case, cast, func, insert, select, update

from include.database import among, disposal, run, schedule_version
from include.database.decisions import night
from include.disposals import approvals, holds
from include.disposals.approvals import Staff
from include.disposals.context import Context
from include.disposals.record import Change, apply, run_entry
from include.errors import DecisionRefused, ScheduleError
from include.evidence.log import stage
from include.outcomes import Outcome
from include.policy import schedule as schedules
from include.policy.brake import Line, judge, key_of
from include.policy.simulation import difference
from include.processors import Result

KIND = "nightly_plan"
NOT_APPROVED = "plan_not_approved"
BY_HAND = ("restore", "processor_ended")
"""Reasons of what somebody started by hand; such a run says nothing about usual nights."""
CHUNK = 1000
TOMORROW = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a night's plan needs: nothing (`reason` None), or a second person who sees `lines` and `waiting`."""

    reason: str | None
    lines: tuple[Line, ...]
    waiting: Mapping[str, int]
    """Not let go on earlier nights, by `processor:rule`: asked for again."""
    digest: str | None = None
    total: int = 0


def judge_night(context: Context, run_id: UUID, *, by: Staff, expires: datetime) -> Asked:
    """Judge what the night newly planned: open its gate, or ask for a second person until `expires` (UTC).

    Asked again (a retry) it answers the same. `by` is who started the night.
    """
    with context.engine.connect() as connection:
        known = connection.execute(select(night).where(night.c.run_id == run_id)).first()
        new, refused = _gated(connection)
    if known is not None:
        return _said(known)
    changed = _by_schedule_change(context, new)
    with context.engine.connect() as connection:
        verdict = judge(_counts(new), _earlier_nights(connection, run_id), changed, context.schedule.settings.brake)
    reason = verdict.reason or ("asked_again" if refused else None)
    asked: list[Row[Any]] = [*(new if verdict.reason else []), *refused]
    digest = digest_of(r.disposal_id for r in asked) if asked else None
    approval_id = approvals.request(context, kind=KIND, digest=digest, by=by, expires=expires) if digest else None
    lines = {line.key: [line.tonight, line.usual, line.by_change] for line in verdict.lines}
    with context.engine.begin() as connection:
        free = [r.disposal_id for r in new] if not verdict.reason else []
        connection.execute(update(disposal).where(among(disposal.c.disposal_id, free)).values(gate=None))
        connection.execute(
            update(disposal).where(among(disposal.c.disposal_id, [r.disposal_id for r in asked])).values(gate=run_id)
        )
        row = {
            "run_id": run_id,
            "as_of": context.as_of,
            "schedule_sha256": context.schedule.sha256,
            "counts": _counts(new),
            "asked": {"lines": lines if verdict.reason else {}, "waiting": _counts(refused), "total": len(asked)},
            "reason": reason,
            "decision": "asked" if digest else "free",
            "digest": digest,
            "approval_id": approval_id,
        }
        connection.execute(insert(night).values(row))
        if reason:
            entry = run_entry(context, run_id, "brake_set", code=reason, counts=_counts(asked), approved_sha256=digest)
            stage(connection, [entry])
        said = connection.execute(select(night).where(night.c.run_id == run_id)).one()
    return _said(said)


def ask_about(context: Context, run_id: UUID, *, reason: str, by: Staff, expires: datetime) -> Asked:
    """Ask a second person about everything behind this run's gate: what a restore or an ended contract would destroy.

    `settle` records the answer as for a night. Asked again it answers the same; with nothing there it asks nobody.
    """
    with context.engine.connect() as connection:
        known = connection.execute(select(night).where(night.c.run_id == run_id)).first()
        rows: Any = connection.execute(select(disposal).where(disposal.c.gate == run_id)).all()
    if known is not None:
        return _said(known)
    digest = digest_of(r.disposal_id for r in rows) if rows else None
    approval_id = approvals.request(context, kind=KIND, digest=digest, by=by, expires=expires) if digest else None
    with context.engine.begin() as connection:
        asked = {"lines": {}, "waiting": _counts(rows), "total": len(rows)}
        connection.execute(
            insert(night).values(
                run_id=run_id, as_of=context.as_of, schedule_sha256=context.schedule.sha256, counts={}, asked=asked,
                reason=reason, decision="asked" if digest else "free", digest=digest, approval_id=approval_id,
            )
        )  # fmt: skip
        if digest:
            entry = run_entry(context, run_id, "brake_set", code=reason, counts=_counts(rows), approved_sha256=digest)
            stage(connection, [entry])
        said = connection.execute(select(night).where(night.c.run_id == run_id)).one()
    return _said(said)


def settle(context: Context, run_id: UUID, *, by: Staff | None, approved: bool) -> str:
    """Record the answer (`by` None: nobody gave one) and return `free`, `approved` or `rejected`.

    Only an approval row of this very digest opens the gate. Otherwise nothing is acted on: the disposals are marked
    `blocked(plan_not_approved)` and asked for again on the next night.
    """
    with context.engine.connect() as connection:
        row = connection.execute(select(night).where(night.c.run_id == run_id)).first()
    if row is None:
        raise DecisionRefused("The night's plan was not judged (see task judge_plan), so nothing of it is let go.")
    if row.decision != "asked":
        return str(row.decision)
    words = approvals.EXPIRED if by is None else approvals.APPROVED if approved else approvals.REJECTED
    try:
        approvals.decide(context, row.approval_id, by=by, decision=words, digest=row.digest)
    except DecisionRefused:
        # The requester's own answer, or one too late, is no approval: the night stays shut.
        _refuse(context, run_id)
        raise
    if words != approvals.APPROVED:
        _refuse(context, run_id)
        return "rejected"
    _let_go(context, row, by)
    return "approved"


def _let_go(context: Context, row: Row[Any], by: Staff | None) -> None:
    with context.engine.begin() as connection:
        approvals.check(connection, kind=KIND, digest=row.digest, approval_id=row.approval_id)
        waiting = connection.execute(select(disposal.c.disposal_id).where(disposal.c.gate == row.run_id)).scalars()
        if digest_of(waiting) != row.digest:
            raise DecisionRefused("What waits is no longer what was shown. Nothing was let go; the next night asks.")
        connection.execute(
            update(disposal)
            .where(disposal.c.gate == row.run_id)
            .values(gate=None, due_at=_from(context), updated_at=func.now())
        )
        connection.execute(update(night).where(night.c.run_id == row.run_id).values(decision="approved"))
        actor = {"actor": by.entry()} if by else {}
        stage(connection, [run_entry(context, row.run_id, "brake_released", approved_sha256=row.digest, **actor)])


def _from(context: Context) -> ColumnElement[Any]:
    """Return from when what was let go is due: at once, but what a quota spreads over many nights keeps its own."""
    spread = func.greatest(disposal.c.due_at, context.as_of)
    return case((disposal.c.offboarding_id.is_(None), cast(context.as_of, Date)), else_=spread)


def _refuse(context: Context, run_id: UUID) -> None:
    """Mark what waits as not approved, with a line of evidence each, and look again on the next night."""
    with context.engine.begin() as connection:
        rows = iter(connection.execute(select(disposal).where(disposal.c.gate == run_id)).all())
        while chunk := {str(r.disposal_id): r for r in islice(rows, CHUNK)}:
            changes = [
                Change(
                    Result(i, Outcome.BLOCKED, code=NOT_APPROVED),
                    due_at=max(row.due_at or context.as_of, context.as_of + TOMORROW),
                )
                for i, row in chunk.items()
            ]
            apply(connection, context, chunk, changes)
        connection.execute(update(night).where(night.c.run_id == run_id).values(decision="rejected"))


def digest_of(disposal_ids: Iterator[UUID] | Sequence[UUID] | Any) -> str:
    """Return the SHA-256 over exactly these disposals, whatever their order."""
    return hashlib.sha256("\n".join(sorted(str(i) for i in disposal_ids)).encode()).hexdigest()


def waiting(connection: Connection) -> dict[str, int]:
    """Return `{processor:rule: count}` of what is behind a gate and was refused or not answered."""
    _, refused = _gated(connection)
    return _counts(refused)


def _gated(connection: Connection) -> tuple[list[Row[Any]], list[Row[Any]]]:
    """Return what no night has judged yet, and what a night did not let go."""
    rows: Any = connection.execute(
        select(
            disposal.c.disposal_id, disposal.c.account_id, disposal.c.processor, disposal.c.rule_id,
            disposal.c.scope_id, disposal.c.trigger_event, disposal.c.trigger_date, night.c.decision,
        )
        .join(night, night.c.run_id == disposal.c.gate, isouter=True)
        .where(disposal.c.gate.is_not(None), disposal.c.closed_on.is_(None))
    ).all()  # fmt: skip
    return [r for r in rows if r.decision is None], [r for r in rows if r.decision is not None]


def _counts(rows: Sequence[Row[Any]]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for row in rows:
        key = key_of(row.processor, row.rule_id)
        counts[key] = counts.get(key, 0) + 1
    return counts


def _earlier_nights(connection: Connection, run_id: UUID) -> list[dict[str, int]]:
    """Return what each earlier business date newly planned and let go, oldest first."""
    rows = connection.execute(
        select(night.c.as_of, night.c.counts)
        .where(
            night.c.run_id != run_id,
            night.c.decision.in_(("free", "approved")),
            night.c.reason.is_(None) | night.c.reason.not_in(BY_HAND),
        )
        .order_by(night.c.as_of.desc())
        .limit(400)
    )
    dates: dict[Any, dict[str, int]] = {}
    for as_of, counts in rows:
        found = dates.setdefault(as_of, {})
        for key, n in counts.items():
            found[key] = found.get(key, 0) + n
    return [dates[day] for day in sorted(dates)]


def _by_schedule_change(context: Context, new: Sequence[Row[Any]]) -> dict[str, int]:
    """Return how many of tonight's disposals the schedule version of the night before would not have made due.

    A version that can no longer be read counts as making none of them due: a person then looks.
    """
    with context.engine.connect() as connection:
        before = connection.execute(
            select(schedule_version.c.sha256, schedule_version.c.body)
            .join(run, run.c.schedule_sha256 == schedule_version.c.sha256)
            .join(night, night.c.run_id == run.c.run_id)
            .where(night.c.decision.in_(("free", "approved")))
            .order_by(night.c.as_of.desc(), night.c.judged_at.desc())
            .limit(1)
        ).first()
    if before is None or before.sha256 == context.schedule.sha256 or not new:
        return {}
    try:
        old = schedules.parse(bytes(before.body), file="stored schedule")
    except ScheduleError:
        return _counts(new)
    found: dict[str, int] = {}
    accounts = iter(sorted({r.account_id for r in new}))
    while chunk := list(islice(accounts, CHUNK)):
        held = context.accounts.computed_holds(chunk)
        with context.engine.connect() as connection:
            placed = holds.placed(connection, chunk)
        population = [
            (f, [*held.get(f.account_id, []), *placed.get(f.account_id, [])]) for f in context.accounts.facts(chunk)
        ]
        for key, n in difference(population, old, context.schedule, context.as_of).newly_due.items():
            found[key] = found.get(key, 0) + n
    return found


def _said(row: Row[Any]) -> Asked:
    # JSON in the database keeps no order; people read the largest first.
    stored = sorted(row.asked.get("lines", {}).items(), key=lambda item: (-item[1][0], item[0]))
    lines = tuple(Line(key, *numbers) for key, numbers in stored)
    return Asked(row.reason, lines, row.asked.get("waiting", {}), row.digest, int(row.asked.get("total", 0)))
