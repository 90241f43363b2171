"""Holds: placed and reviewed by code, released for a reason, never by time; a debt is written off by two."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError

from include.database import hold
from include.database.decisions import hold_review
from include.disposals import alerts, approvals, holds
from include.disposals.approvals import Staff, staff
from include.disposals.context import Context
from include.errors import DecisionRefused
from include.outcomes import Outcome
from include.policy.facts import AccountFacts, Hold, State
from include.policy.planner import plan
from tests.disposals.conftest import DAY, Bench
from tests.disposals.fakes import Place

REVIEW = DAY + timedelta(days=90)


def place(context: Context, **more: Any) -> UUID:
    values = {
        "account_id": "a", "kind": "H-2", "datasets": [], "reason_code": "invoice_open",
        "placed_by": "compliance:e-0007", "review_due": REVIEW,
    }  # fmt: skip
    return holds.place(context, **(values | more))


def row(context: Context, hold_id: UUID) -> Any:
    with context.engine.connect() as connection:
        return connection.execute(select(hold).where(hold.c.hold_id == hold_id)).one()


@pytest.mark.parametrize("due", [DAY - timedelta(days=1), REVIEW + timedelta(days=1)])
def test_a_review_lies_within_ninety_days(context: Context, due: date) -> None:
    with pytest.raises(DecisionRefused, match="within 90 days"):
        place(context, review_due=due)
    hold_id = place(context)
    with pytest.raises(DecisionRefused, match="within 90 days"):
        holds.review(context, hold_id, reviewed_by="compliance:e-0007", reason_code="case_open", next_due=due)


@pytest.mark.parametrize("wrong", [{"kind": "H-9"}, {"reason_code": "Because he asked"}, {"reason_code": "김 고객"}])
def test_only_known_kinds_and_codes_are_taken(context: Context, wrong: dict[str, str]) -> None:
    with pytest.raises(DecisionRefused, match="Nothing was placed"):
        place(context, **wrong)


def test_a_review_is_a_record_and_moves_the_next_one_beyond_the_first_ninety_days(
    context: Context, bench: Bench
) -> None:
    hold_id = place(context)
    later = replace(context, as_of=REVIEW)
    again = REVIEW + timedelta(days=90)
    for _ in range(2):
        holds.review(later, hold_id, reviewed_by="compliance:e-0008", reason_code="case_open", next_due=again)
    assert (row(context, hold_id).reviewed_on, row(context, hold_id).review_due) == (REVIEW, again)
    with context.engine.connect() as connection:
        (record,) = connection.execute(select(hold_review)).all()
    assert (record.reviewed_by, record.reason_code, record.next_due) == ("compliance:e-0008", "case_open", again)
    (told,) = [e for e in bench.entries() if e["event"] == "hold_reviewed"]
    assert (told["code"], told["until"]) == ("case_open", again.isoformat())


def test_an_overdue_review_alerts_every_night_and_never_releases(context: Context, bench: Bench) -> None:
    place(context, review_due=DAY)
    late = replace(context, as_of=DAY + timedelta(days=200))
    for _ in range(2):
        said = alerts.alerts(late, now=datetime.now(UTC))
        assert f"hold H-2: 1 reviews overdue, the oldest since {DAY}" in said
    place_, disposal_id = Place(records={"a": {"bin", "record"}}), bench.plan("a", datasets=["payments"])
    bench.locate(place_, disposal_id, as_of=late.as_of)
    bench.advance(place_, disposal_id, as_of=late.as_of)
    assert (bench.row(disposal_id).outcome, place_.acts()) == (Outcome.BLOCKED, [])


def test_a_hold_placed_between_planning_and_acting_stops_the_act(context: Context, bench: Bench) -> None:
    place_, disposal_id = Place(records={"a": {"bin", "record"}}), bench.plan("a", datasets=["payments"])
    bench.locate(place_, disposal_id)
    place(context)
    bench.advance(place_, disposal_id)
    assert (bench.row(disposal_id).outcome, bench.row(disposal_id).code) == (Outcome.BLOCKED, "hold_h-2")
    assert place_.acts() == []


def test_a_release_restarts_nothing(context: Context) -> None:
    """Vector 24: R-01 would have ended on 2026-07-15; refunded on 2026-09-03, destroyed from 2026-09-04."""
    facts = AccountFacts(
        "a", "individual", state=State.TERMINATED, requested_on=date(2026, 1, 15), terminated_on=date(2026, 1, 15),
        present=frozenset({"payment", "account_profile"}),
    )  # fmt: skip
    released = Hold("h", "H-1", placed_on=date(2026, 2, 1), released_on=date(2026, 9, 3))
    early = Hold("h", "H-1", placed_on=date(2026, 2, 1), released_on=date(2026, 3, 1))
    for one, starts in ((released, date(2026, 9, 4)), (early, date(2026, 7, 16))):
        planned = plan(facts, context.schedule, [one], date(2026, 12, 1)).disposals
        assert [d.free_from for d in planned if d.scope_id == "settlement"] == [starts]
        assert [d.free_from for d in planned if d.scope_id == "account"] == [date(2026, 7, 16)]


def test_each_kind_is_released_for_its_own_reasons(context: Context, bench: Bench) -> None:
    hold_id = place(context)
    with pytest.raises(DecisionRefused, match="paid or written_off"):
        holds.release(context, hold_id, released_by="compliance:e-0007", reason="refunded")
    for _ in range(2):
        holds.release(context, hold_id, released_by="compliance:e-0007", reason="paid")
    assert (row(context, hold_id).release_reason, row(context, hold_id).released_on) == ("paid", DAY)
    assert [e["code"] for e in bench.entries() if e["event"] == "hold_released"] == ["paid"]
    with pytest.raises(DecisionRefused, match="nothing to review"):
        holds.review(context, hold_id, reviewed_by="compliance:e-0007", reason_code="case_open", next_due=REVIEW)


@pytest.fixture
def people(context: Context) -> tuple[Staff, Staff, Staff]:
    return tuple(staff(n, "operator", context.wrapper) for n in ("ada", "ben", "cho"))  # type: ignore[return-value]


def approve(context: Context, hold_id: UUID, asks: Staff, answers: Staff, decision: str = approvals.APPROVED) -> None:
    digest = holds.write_off_digest(hold_id)
    asked = approvals.request(
        context, kind=holds.WRITE_OFF, digest=digest, by=asks, expires=datetime.now(UTC) + timedelta(hours=1)
    )
    approvals.decide(context, asked, by=answers, decision=decision, digest=digest)


def test_a_write_off_takes_two_persons(context: Context, people: tuple[Staff, Staff, Staff], bench: Bench) -> None:
    ada, ben, cho = people
    hold_id, other = place(context), place(context, account_id="b")
    me = f"{ada.role}:{ada.pseudonym}"
    with pytest.raises(DecisionRefused, match="two persons"):
        holds.release(context, hold_id, released_by=me, reason="written_off")
    with pytest.raises(DecisionRefused, match="No approval"):
        holds.release(context, hold_id, released_by=me, reason="written_off", second=ben)
    approve(context, hold_id, ada, ben)
    with pytest.raises(DecisionRefused, match="Somebody else"):
        holds.release(context, hold_id, released_by=me, reason="written_off", second=cho)
    with pytest.raises(DecisionRefused, match="No approval"):
        holds.release(context, other, released_by=me, reason="written_off", second=ben)
    holds.release(context, hold_id, released_by=me, reason="written_off", second=ben)
    found = row(context, hold_id)
    assert (found.release_reason, found.released_by, found.release_second_by) == (
        "written_off",
        me,
        f"operator:{ben.pseudonym}",
    )
    (told,) = [e for e in bench.entries() if e["event"] == "hold_released"]
    assert told["approver"] == ben.entry()


def test_a_rejected_write_off_holds_on(context: Context, people: tuple[Staff, Staff, Staff]) -> None:
    ada, ben, _ = people
    hold_id = place(context)
    approve(context, hold_id, ada, ben, approvals.REJECTED)
    with pytest.raises(DecisionRefused, match="No approval"):
        holds.release(context, hold_id, released_by="operator:e-0001", reason="written_off", second=ben)
    assert row(context, hold_id).released_on is None


def test_the_database_refuses_a_write_off_by_one(context: Context) -> None:
    hold_id = place(context)
    for second in (None, "operator:e-0001"):
        with pytest.raises(IntegrityError), context.engine.begin() as connection:
            connection.execute(
                update(hold)
                .where(hold.c.hold_id == hold_id)
                .values(release_reason="written_off", released_by="operator:e-0001", release_second_by=second)
            )


def test_an_unknown_hold_says_where_to_look(context: Context) -> None:
    with pytest.raises(DecisionRefused, match="lists them"):
        holds.release(context, uuid4(), released_by="compliance:e-0007", reason="paid")
