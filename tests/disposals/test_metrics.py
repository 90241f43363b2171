"""The night in numbers: each disposal counts where it stands, and what should wake somebody does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import insert

from include import metrics
from include.database import global_stop, quota
from include.disposals import Context
from tests.disposals.conftest import DAY, Bench

ONE = timedelta(days=1)
NOW = datetime(2026, 11, 24, 17, 0, tzinfo=UTC)


def numbers(context: Context) -> dict[str, float]:
    with context.engine.connect() as session:
        return metrics.read(session, DAY, now=NOW)


def counted(context: Context, **columns: Any) -> set[str]:
    """Return under which names one disposal of these columns counts."""
    Bench(context).plan("1", "stripe", **{"destroy_by": DAY + 30 * ONE, **columns})
    return {n.split(".")[1] for n, value in numbers(context).items() if n.endswith(".stripe") and value}


@pytest.mark.parametrize(
    ("columns", "names"),
    [
        ({}, {"due"}),
        ({"due_at": DAY + ONE, "outcome": "awaiting"}, {"waiting"}),
        ({"due_at": None, "outcome": "failed", "needs_person": True}, {"waiting", "person", "failed"}),
        ({"due_at": DAY + ONE, "outcome": "manual_pending"}, {"waiting", "person"}),
        ({"outcome": "confirmed_absent", "closed_on": DAY, "due_at": None}, {"confirmed"}),
        ({"outcome": "retained_by_processor", "closed_on": DAY, "due_at": None}, set()),
        ({"outcome": "reappeared"}, {"due", "reappeared"}),
        ({"destroy_by": DAY}, {"due", "near"}),
        ({"destroy_by": DAY + metrics.NEAR}, {"due", "near"}),
        ({"destroy_by": DAY + metrics.NEAR + ONE}, {"due"}),
        ({"destroy_by": DAY - ONE}, {"due", "overdue"}),
        (
            {"destroy_by": DAY - ONE, "outcome": "awaiting", "until": DAY + ONE, "due_at": DAY + ONE},
            {"waiting", "dated"},
        ),
        ({"destroy_by": DAY - ONE, "outcome": "awaiting", "until": DAY - ONE, "due_at": DAY}, {"due", "overdue"}),
        ({"destroy_by": DAY - ONE, "outcome": "awaiting", "until": None, "due_at": None}, {"waiting", "overdue"}),
        ({"destroy_by": DAY, "outcome": "expires_by_processor", "until": DAY + 90 * ONE, "due_at": None}, {"waiting"}),
        ({"destroy_by": DAY - ONE, "outcome": "manual_pending", "until": DAY - ONE}, {"due", "person", "overdue"}),
        ({"destroy_by": DAY - ONE, "outcome": "confirmed_absent", "closed_on": DAY}, {"confirmed"}),
        ({"destroy_by": DAY - ONE, "outcome": "blocked", "code": "hold_H-1"}, {"due", "held"}),
        ({"destroy_by": DAY - ONE, "outcome": "blocked", "code": "open_complaint"}, {"due", "overdue"}),
        ({"destroy_by": DAY - ONE, "outcome": "blocked", "code": None}, {"due", "overdue"}),
    ],
)
def test_a_disposal_counts_where_it_stands(context: Context, columns: dict[str, Any], names: set[str]) -> None:
    assert counted(context, **columns) == names


def test_every_processor_has_its_own_numbers_and_nobody_is_in_them(context: Context) -> None:
    bench = Bench(context)
    for n in range(3):
        bench.plan(f"account-{n}", "stripe")
    bench.plan("account-9", "zendesk", outcome="failed")
    found = numbers(context)
    assert (found["retention.due.stripe"], found["retention.due.zendesk"]) == (3, 1)
    assert (found["retention.failed.stripe"], found["retention.failed.zendesk"]) == (0, 1)
    assert not [name for name in found if "account" in name]


def test_a_quiet_system_wakes_nobody(context: Context) -> None:
    Bench(context).plan("1", destroy_by=DAY + 30 * ONE)
    assert metrics.alerts(numbers(context)) == []


def test_what_should_wake_somebody_is_named_with_its_places_the_worst_first(context: Context) -> None:
    bench = Bench(context)
    bench.plan("1", "stripe", destroy_by=DAY - ONE)
    bench.plan("2", "zendesk", destroy_by=DAY - ONE, outcome="failed")
    with context.engine.begin() as session:
        session.execute(insert(global_stop).values(stop_id=uuid4(), reason_code="drill", set_by="admin:e-0002"))
        session.execute(insert(quota).values(processor="zendesk", quota="api", next_free=NOW + timedelta(hours=7)))
        session.execute(insert(quota).values(processor="stripe", quota="reads", next_free=NOW - timedelta(hours=7)))
    found = metrics.alerts(numbers(context), gaps=2)
    assert [str(a) for a in found] == [
        "promised_not_proven: 2",
        "overdue: 2 (stripe, zendesk)",
        "failed: 1 (zendesk)",
        "stopped: 1",
        "quota: 1 (zendesk.api)",
    ]
    assert {a.name for a in found} <= set(metrics.NAMES)


def test_entries_that_are_not_sealed_are_counted(context: Context) -> None:
    assert numbers(context)["retention.evidence.unsealed"] > 0
    assert numbers(context)["retention.evidence.size"] == 0
