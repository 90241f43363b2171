"""A dry run of a night says what the night then plans, and stores nothing."""

from __future__ import annotations

from datetime import date
from typing import Any

from sqlalchemy import func, select

from include.database import disposal, entry
from include.disposals import discover
from include.disposals.context import Context
from include.disposals.tonight import tonight
from include.policy.facts import AccountFacts, Hold, State


def _stored(context: Context) -> Any:
    with context.engine.connect() as connection:
        return [connection.execute(select(func.count()).select_from(t)).scalar() for t in (disposal, entry)]


def test_what_a_dry_run_counts_is_what_the_night_then_plans(context: Context) -> None:
    ended = date(2026, 11, 23)
    context.accounts.due_facts = [  # type: ignore[attr-defined]
        AccountFacts(a, "individual", state=State.TERMINATED, requested_on=ended, terminated_on=ended)
        for a in ("a1", "a2")
    ]
    context.accounts.holds = {"a2": [Hold("h1", "H-1", placed_on=ended)]}  # type: ignore[attr-defined]
    before = _stored(context)
    counted = tonight(context)
    assert _stored(context) == before
    assert {state for *_, state in counted} == {"due", "held"}
    assert context.run_id is not None
    found = discover(context, context.run_id)
    assert (sum(counted.values()), sum(n for (*_, s), n in counted.items() if s == "held")) == (
        found.planned, found.blocked,
    )  # fmt: skip
    again = tonight(context)
    assert {state for *_, state in again} == {"open"}
    assert sum(again.values()) == found.planned
