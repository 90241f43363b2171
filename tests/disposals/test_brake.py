"""A night that would destroy far more than usual waits for a second person; silence and tricks open nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, select, update

from include.database import disposal, schedule_version
from include.database.decisions import night as night_table
from include.disposals import Context, begin_run, brake, discover, finish_run, guards, make_batches, reporting
from include.disposals.approvals import Staff, staff
from include.disposals.discover import due_counts
from include.disposals.runs import night_at_work
from include.errors import DecisionRefused
from include.policy import schedule
from include.policy.facts import AccountFacts, State
from tests.disposals.conftest import DAY, Bench
from tests.disposals.fakes import Place

LATER = timedelta(hours=12)


def ended(number: int, day: date = date(2026, 11, 20)) -> AccountFacts:
    """An account that ended lately, with nothing in the own database: five disposals elsewhere."""
    return AccountFacts(
        f"a{number:04}", "individual", state=State.TERMINATED, requested_on=day, terminated_on=day,
        present=frozenset(),
    )  # fmt: skip


class Nights:
    """Nights one after the other over the same company."""

    def __init__(self, context: Context) -> None:
        self.context, self.n = context, 0
        self.ada = staff("ada", "operator", context.wrapper)
        self.ben = staff("ben", "approver", context.wrapper)

    def begin(self, count: int, *, as_of: date = DAY, day: date = date(2026, 11, 20)) -> tuple[Context, UUID]:
        """Begin a night that newly plans `count` accounts."""
        self.n += 1
        self.context.accounts.due_facts += [ended(1000 * self.n + i, day) for i in range(count)]  # type: ignore[attr-defined]
        context = replace(self.context, as_of=as_of)
        run_id = begin_run(context, airflow_run_id=f"night-{self.n}")
        discover(replace(context, run_id=run_id), run_id)
        return replace(context, run_id=run_id), run_id

    def judge(self, context: Context, run_id: UUID, by: Staff | None = None) -> brake.Asked:
        """Judge a night."""
        return brake.judge_night(context, run_id, by=by or self.ada, expires=datetime.now(UTC) + LATER)


@pytest.fixture
def nights(context: Context) -> Nights:
    """Nights one after the other."""
    return Nights(context)


def gated(context: Context) -> int:
    """Return how many disposals are behind a gate."""
    with context.engine.connect() as connection:
        return connection.execute(select(func.count()).where(disposal.c.gate.is_not(None))).scalar_one()


def batches(context: Context, run_id: UUID) -> list[str]:
    """Return what the night would work on at Zendesk."""
    return make_batches(context, run_id, "zendesk", 1000)


def test_nothing_planned_is_workable_before_the_night_was_judged(nights: Nights) -> None:
    context, run_id = nights.begin(3)
    assert gated(context) > 0
    assert batches(context, run_id) == []
    with context.engine.connect() as connection:
        assert due_counts(connection, context.as_of) == {}


def test_a_usual_night_goes_on_without_asking(nights: Nights) -> None:
    context, run_id = nights.begin(3)
    asked = nights.judge(context, run_id)
    assert (asked.reason, asked.digest, gated(context)) == (None, None, 0)
    assert brake.settle(context, run_id, by=None, approved=False) == "free"
    assert batches(context, run_id)


def test_a_large_night_waits_and_a_second_person_lets_it_go(nights: Nights, bench: Bench) -> None:
    context, run_id = nights.begin(60)
    asked = nights.judge(context, run_id)
    assert asked.reason == "first_nights"
    assert asked.total == gated(context) > 200
    assert {line.key for line in asked.lines} >= {"zendesk:r-14", "stripe:r-14", "s3:r-14"}
    assert nights.judge(context, run_id) == asked
    assert batches(context, run_id) == []
    assert brake.settle(context, run_id, by=nights.ben, approved=True) == "approved"
    assert gated(context) == 0
    assert batches(context, run_id)
    told = [e for e in bench.entries() if e["event"] in ("brake_set", "approved", "brake_released")]
    assert [e["event"] for e in told] == ["brake_set", "approved", "brake_released"]
    assert {e["approved_sha256"] for e in told} == {asked.digest}
    assert sum(told[0]["counts"].values()) == asked.total


def test_the_one_who_started_the_night_cannot_let_it_go(nights: Nights) -> None:
    context, run_id = nights.begin(60)
    nights.judge(context, run_id)
    with pytest.raises(DecisionRefused, match="own request"):
        brake.settle(context, run_id, by=nights.ada, approved=True)
    assert gated(context) > 200
    assert brake.settle(context, run_id, by=nights.ben, approved=True) == "rejected"


@pytest.mark.parametrize("answer", ["rejected", "silence"])
def test_rejection_and_silence_act_on_nothing_and_ask_again_next_night(
    nights: Nights, bench: Bench, answer: str
) -> None:
    context, run_id = nights.begin(60)
    first = nights.judge(context, run_id)
    by = nights.ben if answer == "rejected" else None
    assert brake.settle(context, run_id, by=by, approved=False) == "rejected"
    assert batches(context, run_id) == []
    assert reporting.gaps(context, run_id) == ["the evidence of this run is not sealed"]
    assert sum(n for w, n in reporting.overdue(context).items() if "plan_not_approved" in w) == first.total
    marked = [e for e in bench.entries() if e["event"] == "blocked" and e["code"] == "plan_not_approved"]
    assert len(marked) == first.total

    later, second_run = nights.begin(0, as_of=DAY + timedelta(days=1))
    again = nights.judge(later, second_run)
    assert (again.reason, again.total) == ("asked_again", first.total)
    assert sum(again.waiting.values()) == first.total
    assert brake.settle(later, second_run, by=nights.ben, approved=True) == "approved"
    assert batches(later, second_run)


def test_what_is_let_go_on_the_same_day_is_carried_out_on_the_same_day(nights: Nights) -> None:
    context, run_id = nights.begin(60)
    nights.judge(context, run_id)
    brake.settle(context, run_id, by=None, approved=False)
    again, second_run = nights.begin(0)
    nights.judge(again, second_run)
    assert brake.settle(again, second_run, by=nights.ben, approved=True) == "approved"
    assert batches(again, second_run)


def test_a_refused_night_does_not_hold_up_a_usual_one(nights: Nights) -> None:
    context, run_id = nights.begin(60)
    first = nights.judge(context, run_id)
    brake.settle(context, run_id, by=None, approved=False)
    later, second_run = nights.begin(2, as_of=DAY + timedelta(days=1))
    assert nights.judge(later, second_run).total == first.total
    assert gated(later) == first.total
    assert batches(later, second_run)


def test_a_refused_plan_past_its_last_day_turns_the_report_red(nights: Nights) -> None:
    context, run_id = nights.begin(60)
    nights.judge(context, run_id)
    brake.settle(context, run_id, by=None, approved=False)
    late = replace(context, as_of=DAY + timedelta(days=9))
    assert any("plan_not_approved" in gap for gap in reporting.gaps(late, run_id))


def test_disposals_of_earlier_nights_go_on_meanwhile(nights: Nights, bench: Bench) -> None:
    open_one = bench.plan("b", attempts=1, outcome="planned")
    context, run_id = nights.begin(60)
    finish_run(bench.context, UUID(str(bench.context.run_id)), {})
    with context.engine.connect() as connection:
        assert night_at_work(connection)
    nights.judge(context, run_id)
    with context.engine.connect() as connection:
        assert not night_at_work(connection)
    assert len(batches(context, run_id)) == 1
    place = Place(records={"b": {"bin", "record"}})
    bench.locate(place, open_one)
    assert bench.advance(place, open_one)["confirmed_absent"] == 1


def test_a_cleared_erase_task_after_a_rejection_does_nothing(nights: Nights, bench: Bench) -> None:
    """Somebody clears locate and advance, with a batch of exactly what was refused: nothing is read, nothing acted."""
    context, run_id = nights.begin(60)
    nights.judge(context, run_id)
    brake.settle(context, run_id, by=nights.ben, approved=False)
    with context.engine.connect() as connection:
        ids = [str(i) for i in connection.execute(
            select(disposal.c.disposal_id).where(disposal.c.processor == "zendesk")).scalars()]  # fmt: skip
    place = Place()
    tomorrow = DAY + timedelta(days=1)
    assert bench.locate(place, *ids, as_of=tomorrow) == {}
    assert bench.advance(place, *ids, as_of=tomorrow) == {}
    assert place.calls == []


def test_an_approval_marked_as_success_by_hand_releases_nothing(nights: Nights) -> None:
    """Marked as success, the question has no answer; the row says nobody answered, and later ones cannot change it."""
    context, run_id = nights.begin(60)
    nights.judge(context, run_id)
    assert brake.settle(context, run_id, by=None, approved=False) == "rejected"
    assert brake.settle(context, run_id, by=nights.ben, approved=True) == "rejected"
    assert gated(context) > 200


def test_what_was_shown_is_what_is_let_go(nights: Nights, bench: Bench) -> None:
    context, run_id = nights.begin(60)
    nights.judge(context, run_id)
    more = bench.plan("slipped-in", processor="stripe")
    with context.engine.begin() as connection:
        connection.execute(update(disposal).where(disposal.c.disposal_id == UUID(more)).values(gate=run_id))
    with pytest.raises(DecisionRefused, match="no longer what was shown"):
        brake.settle(context, run_id, by=nights.ben, approved=True)
    assert gated(context) > 200


def test_a_night_that_was_never_judged_lets_nothing_go(nights: Nights) -> None:
    context, run_id = nights.begin(3)
    with pytest.raises(DecisionRefused, match="not judged"):
        brake.settle(context, run_id, by=nights.ben, approved=True)
    later, second_run = nights.begin(0, as_of=DAY + timedelta(days=1))
    assert nights.judge(later, second_run).reason is None
    assert gated(later) == 0


def test_after_five_nights_the_usual_number_counts(nights: Nights) -> None:
    for n in range(5):
        context, run_id = nights.begin(11, as_of=DAY + timedelta(days=n))
        assert nights.judge(context, run_id).reason is None
    context, run_id = nights.begin(23, as_of=DAY + timedelta(days=5))
    asked = nights.judge(context, run_id)
    assert asked.reason == "above_usual"
    assert {(line.tonight, line.usual) for line in asked.lines if line.key == "zendesk:r-14"} == {(23, 11)}


def shorter(old: bytes) -> bytes:
    """Return a schedule whose six months after termination have become six days."""
    return old.replace(b"{event: terminated, period: P6M}", b"{event: terminated, period: P6D}")


@pytest.fixture
def changed(context: Context) -> Callable[[], Context]:
    """A context under a new, approved version that makes more due."""

    def make() -> Context:
        new = replace(context, schedule=schedule.parse(shorter(context.schedule.body), file="new.yaml"))
        with new.engine.begin() as connection:
            guards.remember_schedule(connection, new)
            connection.execute(update(schedule_version).values(approved_at=func.now(), effective_on=DAY))
        return new

    return make


def test_what_only_a_new_schedule_version_makes_due_asks(
    nights: Nights, context: Context, changed: Callable[[], Context]
) -> None:
    first, run_id = nights.begin(1)
    assert nights.judge(first, run_id).reason is None
    profiles = [replace(ended(9000 + i, date(2026, 11, 1)), present=frozenset({"account_profile"})) for i in range(21)]
    new = changed()
    new.accounts.due_facts += profiles  # type: ignore[attr-defined]
    nights.context = new
    later, second_run = nights.begin(0, as_of=DAY + timedelta(days=1))
    asked = nights.judge(later, second_run)
    assert asked.reason == "schedule_change"
    lines: dict[str, Any] = {line.key: line for line in asked.lines}
    assert lines["own_database:r-01"].by_change == 21
    assert lines["zendesk:r-14"].by_change == 0


def test_the_digest_covers_exactly_the_disposals(context: Context) -> None:
    one, two = UUID(int=1), UUID(int=2)
    assert brake.digest_of([one, two]) == brake.digest_of([two, one]) != brake.digest_of([one])
    assert brake.digest_of([one]) == hashlib.sha256(str(one).encode()).hexdigest()
    with context.engine.connect() as connection:
        assert connection.execute(select(func.count()).select_from(night_table)).scalar_one() == 0
