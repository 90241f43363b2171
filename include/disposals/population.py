"""Reconciling terminations: every account that had ended when a night began, and what had become of it when it ended.

    terminated = destroyed + held + kept + not_yet_due + not_done

Each account stands in one class, the first that fits: `not_done` (something is due and neither gone nor dated, or was
never planned), `held` (a hold of ours, or an open case at the place itself, stops something), `not_yet_due` (a period
runs, or a date that a processor sets is to come; `waiting` says of how many the latter), `kept` (the archive holds
records under a law, or a processor keeps its own), `destroyed` (everything due was carried out). `not_done` is what a
good night has none of.

The accounts are noted while the register still shows them, because destroying the last of one removes its row there;
the notes go when the run ends.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, and_, delete, exists, false, func, not_, or_, select
from sqlalchemy.dialects.postgresql import insert

from include.database import among, archive_link, archive_object, disposal, population_account, run
from include.disposals.context import Context
from include.evidence.verify import TERMINATED
from include.policy.facts import AccountFacts
from include.policy.planner import Plan, due_triggers

PAGE = 2000
GONE = ("destroyed", "gone", "abandoned")
"""States of an archive object that no longer holds anything."""


def note(
    connection: Connection, context: Context, run_id: UUID, pairs: Iterable[tuple[AccountFacts, Plan | None]]
) -> int:
    """Note the terminated ones of some accounts with whether something of theirs is still to come; return how many.

    A plan of None is an account nobody can plan with.
    """
    rows = [
        {
            "run_id": run_id,
            "account_id": facts.account_id,
            "plannable": plan is not None,
            "more_to_come": plan is not None and bool(plan.not_yet_due),
        }
        for facts, plan in pairs
        if facts.terminated_on is not None and facts.terminated_on <= context.as_of
    ]
    if rows:
        statement = insert(population_account)
        told = {n: statement.excluded[n] for n in ("plannable", "more_to_come")}
        connection.execute(statement.on_conflict_do_update(index_elements=["run_id", "account_id"], set_=told), rows)
    return len(rows)


def forget_others(connection: Connection, context: Context, run_id: UUID) -> None:
    """Drop what runs of the same DAG noted and never finished."""
    others = select(run.c.run_id).where(run.c.dag_id == context.dag_id, run.c.run_id != run_id)
    connection.execute(delete(population_account).where(population_account.c.run_id.in_(others)))


def overdue_day(context: Context) -> date | None:
    """Return the day up to which every termination must have something due; None where no rule starts with one."""
    days = [t.latest_trigger_date for t in due_triggers(context.schedule, context.as_of) if t.event == "terminated"]
    return max(days, default=None)


def reconcile(connection: Connection, context: Context, run_id: UUID, source: Mapping[str, int]) -> dict[str, int]:
    """Return the accounts by class, against the register's own counts; forget the noted accounts.

    `source` holds what `discover` counted there: `terminated`, and `unlisted`, those that have something due and were
    not looked at. The rest of what was not looked at has nothing due.
    """
    counts: Counter[str] = Counter()
    for page in _pages(connection, run_id):
        counts.update(_classes(connection, context, page))
    listed = sum(counts[c] for c in TERMINATED)
    missed = source.get("unlisted", 0)
    # An account that came back while the night was counted is in our list and no longer in the register's number.
    terminated = max(source.get("terminated", 0), listed + missed)
    counts["not_done"] += missed
    counts["not_yet_due"] += terminated - listed - missed
    connection.execute(delete(population_account).where(population_account.c.run_id == run_id))
    return {"terminated": terminated, **{c: counts[c] for c in TERMINATED}, "waiting": counts["waiting"]}


def _pages(connection: Connection, run_id: UUID) -> Iterator[list[Any]]:
    after = ""
    columns = population_account.c
    while True:
        page = connection.execute(
            select(columns.account_id, columns.plannable, columns.more_to_come)
            .where(columns.run_id == run_id, columns.account_id > after)
            .order_by(columns.account_id)
            .limit(PAGE)
        ).all()
        if not page:
            return
        yield list(page)
        after = page[-1].account_id


def _classes(connection: Connection, context: Context, page: Collection[Any]) -> Counter[str]:
    current = context.tags.current_epoch(context.as_of)
    epochs = [e for e in context.tags.epochs if e <= current]
    owner = {context.tags.tag(row.account_id, epoch=e): row.account_id for row in page for e in epochs}
    known: dict[str, list[Any]] = {}
    for row in connection.execute(_states(owner, context.as_of)):
        known.setdefault(owner[row.subject_tag], []).append(row)
    counts: Counter[str] = Counter()
    for row in page:
        states = known.get(row.account_id, [])
        found = _class(states, plannable=row.plannable, more=row.more_to_come)
        counts[found] += 1
        counts["waiting"] += found == "not_yet_due" and any(s.waits for s in states)
    return counts


def _class(states: Collection[Any], *, plannable: bool, more: bool) -> str:
    """Return the class of one account from what its disposals are, one row for each tag it has had."""
    if not plannable or any(s.undone for s in states) or not (states or more):
        return "not_done"
    if any(s.held for s in states):
        return "held"
    if more or any(s.waits for s in states):
        return "not_yet_due"
    return "kept" if any(s.kept for s in states) else "destroyed"


def _states(tags: Collection[str], as_of: date) -> Any:
    """Return the select of what is so for each tag: undone, held, waits, kept."""
    d = disposal.c
    open_ = d.closed_on.is_(None)
    held = d.outcome == "blocked"  # by a hold, or at the place itself: an open dispute, a ticket, a pending refund
    retained = d.outcome.in_(("retained", "retained_by_processor"))
    undone = or_(
        func.coalesce(d.due_at <= as_of, false()),
        d.needs_person,
        d.outcome == "failed",
        and_(d.outcome == "manual_pending", func.coalesce(d.until < as_of, false())),
    )
    archived = exists().where(
        archive_link.c.disposal_id == d.disposal_id,
        archive_object.c.object_key == archive_link.c.object_key,
        archive_object.c.state.not_in(GONE),
    )
    return (
        select(
            d.subject_tag,
            func.bool_or(and_(open_, undone)).label("undone"),
            func.bool_or(and_(open_, held)).label("held"),
            func.bool_or(and_(open_, not_(undone), not_(held), not_(retained))).label("waits"),
            func.bool_or(or_(retained, archived)).label("kept"),
        )
        .where(among(d.subject_tag, tags))
        .group_by(d.subject_tag)
    )
