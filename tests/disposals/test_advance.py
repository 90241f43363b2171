"""A disposal's way from located to an end, with every way it can go wrong in between."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import select, update

from include.database import claim, disposal, locator
from include.disposals import claims, holds, stopping
from include.disposals.approvals import Staff
from include.disposals.reporting import gaps
from include.errors import DecisionRefused, Unreachable
from include.outcomes import Outcome
from include.policy.facts import AccountFacts, State
from include.processors import Work
from tests.disposals.conftest import DAY, Bench
from tests.disposals.fakes import Place

TOMORROW = DAY + timedelta(days=1)


def place_with(*accounts: str, **more: object) -> Place:
    return Place(records={a: {"bin", "record"} for a in accounts}, **more)  # type: ignore[arg-type]


def test_a_record_is_destroyed_only_after_it_was_read_back_as_gone(bench: Bench) -> None:
    place, disposal_id = place_with("a"), bench.plan("a")
    bench.locate(place, disposal_id)
    bench.advance(place, disposal_id)
    assert bench.row(disposal_id).outcome == Outcome.CONFIRMED_ABSENT
    assert bench.events(disposal_id) == [
        "located", "attempted", "accepted", "attempted", "accepted", "confirmed_absent",
    ]  # fmt: skip
    assert [c for c, _ in place.calls] == ["check", "locate", "check", "first", "second", "read_back"]
    read = [(e["holds_read_at"], e["recorded_at"]) for e in bench.entries(disposal_id) if e["event"] == "attempted"]
    assert len(read) == 2
    assert all(holds <= recorded for holds, recorded in read)


def test_the_intent_is_committed_before_the_call_that_changes_something(bench: Bench) -> None:
    place, disposal_id = place_with("a"), bench.plan("a")
    seen: list[str] = []
    place.before = lambda step, _work: seen.append(
        f"{step}:{bench.row(disposal_id).outcome}:{bench.events(disposal_id)[-1]}"
    )
    bench.locate(place, disposal_id)
    bench.advance(place, disposal_id)
    assert seen == ["first:attempted:attempted", "second:attempted:attempted"]


def test_a_place_that_says_yes_and_keeps_the_record_is_never_believed(bench: Bench) -> None:
    place, disposal_id = place_with("a", lies=True), bench.plan("a")
    bench.locate(place, disposal_id)
    bench.advance(place, disposal_id)
    row = bench.row(disposal_id)
    assert (row.outcome, row.code, row.closed_on) == (Outcome.FAILED, "still_present", None)
    place.lies = False
    bench.advance(place, disposal_id)
    assert bench.row(disposal_id).outcome == Outcome.CONFIRMED_ABSENT


def test_a_lost_reply_is_settled_by_looking_again(bench: Bench) -> None:
    place, disposal_id = place_with("a"), bench.plan("a")
    bench.locate(place, disposal_id)

    def cut(step: str, _work: Sequence[Work]) -> None:
        if step == "second":
            place.after = lambda _s, _w: None
            raise Unreachable("zendesk", "connection_cut")

    place.after = cut
    with pytest.raises(Unreachable):
        bench.advance(place, disposal_id)
    assert (bench.row(disposal_id).outcome, bench.row(disposal_id).step) == (Outcome.FAILED, "second")
    bench.advance(place, disposal_id)
    assert bench.row(disposal_id).outcome == Outcome.CONFIRMED_ABSENT
    assert place.acts() == ["first", "second"]


def test_a_worker_that_dies_after_the_call_leaves_an_open_intent_that_the_next_run_reads_first(bench: Bench) -> None:
    place, disposal_id = place_with("a"), bench.plan("a")
    bench.locate(place, disposal_id)

    def die(_step: str, _work: Sequence[Work]) -> None:
        place.after = lambda _s, _w: None
        raise KeyboardInterrupt

    place.after = die
    with pytest.raises(KeyboardInterrupt):
        bench.advance(place, disposal_id)
    assert (bench.row(disposal_id).outcome, bench.row(disposal_id).step) == (Outcome.ATTEMPTED, "first")
    before = len(place.calls)
    bench.advance(place, disposal_id)
    assert [c for c, _ in place.calls[before:]][:2] == ["check", "read_back"]
    assert bench.row(disposal_id).outcome == Outcome.CONFIRMED_ABSENT


def test_running_again_after_the_end_calls_nobody(bench: Bench) -> None:
    place, disposal_id = place_with("a"), bench.plan("a")
    bench.locate(place, disposal_id)
    bench.advance(place, disposal_id)
    calls = len(place.calls)
    bench.locate(place, disposal_id)
    bench.advance(place, disposal_id)
    assert len(place.calls) == calls


def test_closing_takes_the_locator_and_the_account_id_away(bench: Bench) -> None:
    place, disposal_id = place_with("a"), bench.plan("a")
    bench.locate(place, disposal_id)
    bench.advance(place, disposal_id)
    with bench.context.engine.connect() as connection:
        assert connection.execute(select(locator)).all() == []
    assert bench.row(disposal_id).account_id is None
    assert bench.row(disposal_id).closed_on == DAY


def test_a_step_with_a_date_waits_for_it_and_goes_on_from_the_stored_locator(bench: Bench) -> None:
    later = DAY + timedelta(days=90)
    place, disposal_id = place_with("a", not_before=later), bench.plan("a")
    bench.locate(place, disposal_id)
    bench.advance(place, disposal_id)
    row = bench.row(disposal_id)
    assert (row.outcome, row.until, row.due_at, row.step) == (Outcome.AWAITING, later, later, "second")
    bench.advance(place, disposal_id, as_of=later - timedelta(days=1))
    assert place.acts() == ["first"]
    bench.advance(place, disposal_id, as_of=later)
    assert bench.row(disposal_id).outcome == Outcome.CONFIRMED_ABSENT


def test_what_a_processor_lets_lapse_is_closed_on_its_date_and_never_called_destroyed(bench: Bench) -> None:
    end = date(2027, 12, 24)
    place = Place(name="clarity", ends_as=Outcome.EXPIRES_BY_PROCESSOR, until=end)
    disposal_id = bench.plan("a", "clarity")
    bench.locate(place, disposal_id)
    bench.advance(place, disposal_id)
    assert (bench.row(disposal_id).outcome, bench.row(disposal_id).due_at) == (Outcome.EXPIRES_BY_PROCESSOR, end)
    bench.advance(place, disposal_id, as_of=end)
    assert (bench.row(disposal_id).outcome, bench.row(disposal_id).closed_on) == (Outcome.EXPIRES_BY_PROCESSOR, end)


def test_a_hold_placed_before_the_act_wins(bench: Bench) -> None:
    place, disposal_id = place_with("a"), bench.plan("a")
    bench.locate(place, disposal_id)
    hold_id = holds.place(
        bench.context, account_id="a", kind="H-6", datasets=["support"], reason_code="court_order",
        placed_by="compliance:e-0007", review_due=DAY + timedelta(days=30),
    )  # fmt: skip
    bench.advance(place, disposal_id)
    assert (bench.row(disposal_id).outcome, bench.row(disposal_id).code) == (Outcome.BLOCKED, "hold_h-6")
    assert place.acts() == []
    holds.release(replace(bench.context, as_of=TOMORROW), hold_id, released_by="compliance:e-0007")
    bench.advance(place, disposal_id, as_of=TOMORROW)
    assert place.acts() == [], "the day of the release is not over yet"
    bench.advance(place, disposal_id, as_of=TOMORROW + timedelta(days=1))
    assert bench.row(disposal_id).outcome == Outcome.CONFIRMED_ABSENT


def test_a_hold_placed_after_the_attempt_stops_the_following_steps(bench: Bench) -> None:
    place, disposal_id = place_with("a"), bench.plan("a")
    bench.locate(place, disposal_id)

    def order_arrives(step: str, _work: Sequence[Work]) -> None:
        if step == "first":
            holds.place(
                bench.context, account_id="a", kind="H-6", datasets=["support"], reason_code="court_order",
                placed_by="compliance:e-0007", review_due=DAY,
            )  # fmt: skip

    place.before = order_arrives
    bench.advance(place, disposal_id)
    assert place.acts() == ["first"]
    assert bench.row(disposal_id).outcome == Outcome.BLOCKED
    assert [e["code"] for e in bench.entries() if e["event"] == "hold_placed"] == ["placed_after_attempt"]


def test_a_hold_on_other_data_of_the_same_person_delays_nothing(bench: Bench) -> None:
    place, disposal_id = place_with("a"), bench.plan("a")
    holds.place(
        bench.context, account_id="a", kind="H-1", datasets=["payment"], reason_code="overpayment",
        placed_by="compliance:e-0007", review_due=DAY,
    )  # fmt: skip
    bench.locate(place, disposal_id)
    bench.advance(place, disposal_id)
    assert bench.row(disposal_id).outcome == Outcome.CONFIRMED_ABSENT


def test_the_global_stop_halts_before_the_next_call(bench: Bench) -> None:
    place, disposal_id = place_with("a"), bench.plan("a")
    bench.locate(place, disposal_id)
    place.after = lambda _s, _w: stopping.set_stop(bench.context, reason_code="wrong_deletion", set_by="admin:e-0001")
    with pytest.raises(DecisionRefused, match="global stop"):
        bench.advance(place, disposal_id)
    assert place.acts() == ["first"]
    place.after = lambda _s, _w: None
    later = datetime.now(UTC) + timedelta(hours=1)
    asked = stopping.ask_release(bench.context, by=Staff("ada", "admin", "e-a"), expires=later)
    assert stopping.decide_release(bench.context, asked, by=Staff("ben", "approver", "e-b"), approved=True)
    bench.advance(place, disposal_id)
    assert bench.row(disposal_id).outcome == Outcome.CONFIRMED_ABSENT


def test_nothing_is_acted_on_before_its_free_from(bench: Bench) -> None:
    place, disposal_id = place_with("a"), bench.plan("a", free_from=TOMORROW)
    bench.locate(place, disposal_id)
    bench.advance(place, disposal_id)
    assert place.acts() == []
    assert (bench.row(disposal_id).outcome, bench.row(disposal_id).due_at) == (Outcome.AWAITING, TOMORROW)


def test_a_schedule_nobody_approved_governs_nothing(bench: Bench) -> None:
    place, disposal_id = place_with("a"), bench.plan("a")
    bench.locate(place, disposal_id)
    with bench.context.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE retention.schedule_version SET approved_at = NULL")
    with pytest.raises(DecisionRefused, match="not approved"):
        bench.advance(place, disposal_id)
    assert place.acts() == []


def test_two_tasks_never_work_on_one_customer(bench: Bench) -> None:
    place, disposal_id = place_with("a"), bench.plan("a")
    bench.locate(place, disposal_id)
    taken: list[frozenset[str]] = []
    place.before = lambda _s, _w: taken.append(claims.take(bench.context.engine, "zendesk", ["a"], "other").accounts)
    bench.advance(place, disposal_id)
    assert taken == [frozenset(), frozenset()]


def test_a_task_whose_accounts_are_all_anothers_does_not_wait_for_an_exclusive_place(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "PATIENCE", 0.1)
    monkeypatch.setattr(Place, "exclusive", True)
    place, disposal_id = place_with("a"), bench.plan("a")
    bench.locate(place, disposal_id)
    claims.take(bench.context.engine, "zendesk", ["a"], "other")
    with claims.exclusive(bench.context.engine, "zendesk", wanted=True):
        assert bench.advance(place, disposal_id) == {}
    assert place.acts() == []


def test_a_task_that_lost_its_lease_writes_nothing_and_the_new_owner_finishes(bench: Bench) -> None:
    place, disposal_id = place_with("a"), bench.plan("a")
    bench.locate(place, disposal_id)

    def slept_too_long(_step: str, _work: Sequence[Work]) -> None:
        place.before = lambda _s, _w: None
        with bench.context.engine.begin() as connection:
            connection.execute(update(claim).values(expires_at=claim.c.expires_at - timedelta(hours=1)))
        claims.take(bench.context.engine, "zendesk", ["a"], "other")

    place.before = slept_too_long
    bench.advance(place, disposal_id)
    assert bench.row(disposal_id).outcome == Outcome.ATTEMPTED
    bench.advance(place, disposal_id, owner="other")
    assert bench.row(disposal_id).outcome == Outcome.CONFIRMED_ABSENT


def test_a_retry_of_the_same_task_takes_its_lease_over_at_once(bench: Bench) -> None:
    first = claims.take(bench.context.engine, "zendesk", ["a"], "me")
    second = claims.take(bench.context.engine, "zendesk", ["a"], "me")
    assert second.accounts == {"a"}
    with bench.context.engine.begin() as connection:
        assert claims.hold(connection, first) == frozenset()


def test_what_a_run_leaves_due_is_a_gap_in_its_report(bench: Bench) -> None:
    place, disposal_id = place_with("a", down=True), bench.plan("a")
    with pytest.raises(Unreachable):
        bench.locate(place, disposal_id)
    assert bench.context.run_id is not None
    assert "zendesk failed (unreachable) 1" in gaps(bench.context, bench.context.run_id)


def test_every_change_of_state_has_its_entry(bench: Bench) -> None:
    place = place_with("a", "b", lies=True)
    ids = [bench.plan(a) for a in "ab"]
    bench.locate(place, *ids)
    bench.advance(place, *ids)
    for disposal_id in ids:
        assert bench.events(disposal_id)[-1] == bench.row(disposal_id).outcome


def test_no_entry_names_the_account(bench: Bench) -> None:
    account = "a-very-recognisable-account"
    place, disposal_id = place_with(account), bench.plan(account)
    bench.locate(place, disposal_id)
    bench.advance(place, disposal_id)
    assert account not in repr(bench.entries())


def test_a_failure_that_needs_a_person_leaves_the_others_alone(bench: Bench) -> None:
    place = place_with("a", "b", ambiguous={"a"})
    a, b = bench.plan("a"), bench.plan("b")
    bench.locate(place, a, b)
    bench.advance(place, a, b)
    assert (bench.row(a).outcome, bench.row(a).code, bench.row(a).needs_person) == (Outcome.FAILED, "ambiguous", True)
    assert bench.row(b).outcome == Outcome.CONFIRMED_ABSENT
    assert place.records["a"] == {"bin", "record"}
    assert bench.context.run_id is not None
    with bench.context.engine.connect() as connection:
        due = connection.execute(
            select(disposal.c.disposal_id).where(disposal.c.due_at <= DAY, disposal.c.closed_on.is_(None))
        )
        assert due.all() == []


def test_located_ids_that_went_stale_under_a_hold_are_looked_up_again_before_the_first_act(bench: Bench) -> None:
    place, disposal_id = place_with("a"), bench.plan("a")
    bench.locate(place, disposal_id)
    hold_id = holds.place(
        bench.context, account_id="a", kind="H-6", datasets=["support"], reason_code="court_order",
        placed_by="compliance:e-0007", review_due=DAY,
    )  # fmt: skip
    bench.advance(place, disposal_id)
    holds.release(bench.context, hold_id, released_by="compliance:e-0007")
    bench.locate(place, disposal_id, as_of=TOMORROW)
    assert [c for c, _ in place.calls].count("locate") == 2
    bench.advance(place, disposal_id, as_of=TOMORROW)
    assert bench.row(disposal_id).outcome == Outcome.CONFIRMED_ABSENT


def test_what_is_half_deleted_is_never_located_anew(bench: Bench) -> None:
    place, disposal_id = place_with("a"), bench.plan("a")
    bench.locate(place, disposal_id)
    place.before = lambda step, _work: None if step == "second" else holds.place(
        bench.context, account_id="a", kind="H-6", datasets=["support"], reason_code="court_order",
        placed_by="compliance:e-0007", review_due=DAY,
    ) and None  # fmt: skip
    bench.advance(place, disposal_id)
    assert bench.row(disposal_id).outcome == Outcome.BLOCKED
    bench.locate(place, disposal_id, as_of=TOMORROW)
    assert [c for c, _ in place.calls].count("locate") == 1


@pytest.mark.parametrize(
    ("event", "now", "acts"),
    [
        ("terminated", AccountFacts("a", "individual"), []),
        ("terminated", AccountFacts("a", "individual", state=State.REQUESTED, requested_on=DAY), []),
        ("requested", AccountFacts("a", "individual"), []),
        ("requested", AccountFacts("a", "individual", state=State.REQUESTED, requested_on=DAY), ["first", "second"]),
        ("consent_withdrawn", AccountFacts("a", "individual"), ["first", "second"]),
    ],
)
def test_nothing_is_begun_once_the_register_took_its_trigger_back(
    bench: Bench, event: str, now: AccountFacts, acts: list[str]
) -> None:
    """A termination recorded by mistake and undone while the night waited for its second person."""
    place, disposal_id = place_with("a"), bench.plan("a", trigger_event=event)
    bench.locate(place, disposal_id)
    bench.context.accounts.due_facts.append(now)  # type: ignore[attr-defined]
    bench.advance(place, disposal_id)
    row = bench.row(disposal_id)
    assert place.acts() == acts
    if not acts:
        assert (row.outcome, row.code, row.needs_person) == (Outcome.BLOCKED, "trigger_undone", True)
        assert row.due_at == TOMORROW


def test_a_termination_that_the_register_has_again_goes_on(bench: Bench) -> None:
    place, disposal_id = place_with("a"), bench.plan("a")
    facts = bench.context.accounts.due_facts  # type: ignore[attr-defined]
    bench.locate(place, disposal_id)
    facts.append(AccountFacts("a", "individual"))
    bench.advance(place, disposal_id)
    facts[:] = [AccountFacts("a", "individual", state=State.TERMINATED, requested_on=DAY, terminated_on=DAY)]
    bench.locate(place, disposal_id, as_of=TOMORROW)
    bench.advance(place, disposal_id, as_of=TOMORROW)
    assert place.acts() == ["first", "second"]
    assert bench.row(disposal_id).outcome == Outcome.CONFIRMED_ABSENT


def test_what_was_begun_is_carried_on_whoever_came_back_since(bench: Bench) -> None:
    place, disposal_id = place_with("a", not_before=DAY + timedelta(days=90)), bench.plan("a")
    bench.locate(place, disposal_id)
    bench.advance(place, disposal_id)
    bench.context.accounts.due_facts.append(AccountFacts("a", "individual"))  # type: ignore[attr-defined]
    bench.advance(place, disposal_id, as_of=DAY + timedelta(days=90))
    assert place.acts() == ["first", "second"]
