"""What falls due, when and why; and what no plan may ever do."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import pytest

from include.errors import DecisionRefused
from include.policy.facts import AccountFacts, Event, Hold, State, state_of
from include.policy.planner import Plan, PlannedDisposal, due_triggers, overridden, plan, population, reaches
from include.policy.schedule import load
from include.policy.terms import record_terms

SCHEDULE = load()
AS_OF = date(2026, 11, 24)


def account(
    *,
    subject_type: str = "individual",
    requested: date | None = None,
    terminated: date | None = None,
    withheld: bool = False,
    events: tuple[Event, ...] = (),
    present: frozenset[str] | None = None,
    consumer_like: bool = False,
) -> AccountFacts:
    return AccountFacts(
        account_id="a0001",
        subject_type=subject_type,
        consumer_like=consumer_like,
        state=state_of(requested_on=requested, withheld=withheld, terminated_on=terminated),
        requested_on=requested,
        terminated_on=terminated,
        events=events,
        present=present,
    )


def every(found: Plan) -> dict[tuple[str, str, str], PlannedDisposal]:
    return {(d.rule_id, d.processor, d.scope_id): d for d in (*found.disposals, *found.not_yet_due)}


def due(facts: AccountFacts, *holds: Hold, as_of: date = AS_OF) -> set[tuple[str, str, str]]:
    return {(d.rule_id, d.processor, d.scope_id) for d in plan(facts, SCHEDULE, holds, as_of).disposals}


VENDORS = {
    ("R-14", "salesforce", "customer"),
    ("R-14", "stripe", "payments"),
    ("R-14", "zendesk", "support"),
    ("R-14", "s3", "live_objects"),
    ("R-14", "adroll", "audience"),
    ("R-14", "clarity", "recordings"),
}
FROZEN = {
    ("R-01", "own_database", "account"),
    ("R-01", "own_database", "usage"),
    ("R-01", "own_database", "support_history"),
    ("R-01", "own_database", "settlement"),
    ("R-01", "own_database", "access_log"),
    ("R-01", "paper", "paper"),
}
OWN_CONSENT = {("R-11", "own_database", scope) for scope in ("consent", "prize_consent", "cookie")}
CONSENT = OWN_CONSENT | {
    ("R-11", "adroll", "audience"),
    ("R-11", "clarity", "recordings"),
    ("R-11", "salesforce", "marketing"),
}


def test_nothing_of_a_live_account_is_due() -> None:
    found = plan(account(), SCHEDULE, (), AS_OF)
    assert found == Plan(disposals=(), kept=(), not_yet_due=())


def test_a_request_stops_marketing_and_nothing_else() -> None:
    facts = account(requested=date(2026, 11, 20))
    assert due(facts) == CONSENT
    assert every(plan(facts, SCHEDULE, (), AS_OF)).keys() == CONSENT


def test_a_request_is_due_on_the_day_after_it() -> None:
    facts = account(requested=AS_OF)
    assert due(facts) == set()
    assert due(facts, as_of=AS_OF + timedelta(days=1)) == CONSENT


def test_a_withheld_termination_stops_marketing_but_starts_no_term() -> None:
    facts = account(requested=date(2024, 1, 10), withheld=True)
    assert facts.state is State.WITHHELD
    assert every(plan(facts, SCHEDULE, (), AS_OF)).keys() == CONSENT


def test_a_termination_ends_the_processors_at_once_and_the_rest_after_six_months() -> None:
    facts = account(terminated=date(2026, 4, 30))
    ended = {("R-12", "own_database", "end_user")} | OWN_CONSENT | VENDORS
    assert due(facts, as_of=date(2026, 5, 1)) == ended
    assert due(facts, as_of=date(2026, 10, 31)) == ended
    assert due(facts, as_of=date(2026, 11, 1)) == ended | FROZEN


def test_the_five_years_of_credit_information_run_from_the_end_of_the_relation() -> None:
    found = every(plan(account(terminated=date(2024, 2, 29)), SCHEDULE, (), AS_OF))
    assert found["R-08", "own_database", "credit_information"].last_day == date(2029, 2, 28)


def test_an_achieved_purpose_ends_credit_information_three_months_later() -> None:
    achieved = Event("credit_purpose_achieved", date(2026, 1, 31))
    found = every(plan(account(terminated=date(2025, 12, 1), events=(achieved,)), SCHEDULE, (), AS_OF))
    one = found["R-08", "own_database", "credit_information"]
    assert (one.trigger_event, one.free_from) == ("credit_purpose_achieved", date(2026, 5, 1))


def test_marketing_ends_at_the_earliest_of_its_events() -> None:
    withdrawn = Event("consent_withdrawn", date(2026, 3, 2))
    facts = account(requested=date(2026, 5, 1), terminated=date(2026, 6, 1), events=(withdrawn,))
    found = every(plan(facts, SCHEDULE, (), AS_OF))
    one = found["R-11", "adroll", "audience"]
    assert (one.trigger_event, one.trigger_date) == ("consent_withdrawn", date(2026, 3, 2))
    assert found["R-14", "adroll", "audience"].trigger_date == date(2026, 6, 1)


def test_a_consent_given_again_can_end_again() -> None:
    history = (
        Event("consent_given", date(2024, 1, 1)),
        Event("consent_withdrawn", date(2024, 6, 1)),
        Event("consent_given", date(2025, 1, 1)),
    )
    found = plan(account(requested=date(2026, 5, 1), events=history), SCHEDULE, (), AS_OF)
    starts = [(d.trigger_event, d.trigger_date) for d in found.disposals if d.processor == "adroll"]
    assert starts == [("consent_withdrawn", date(2024, 6, 1)), ("requested", date(2026, 5, 1))]


@pytest.mark.parametrize(
    ("history", "starts"),
    [
        ((("given", 1), ("withdrawn", 9), ("given", 9)), [9]),
        ((("given", 1), ("withdrawn", 5), ("given", 9), ("withdrawn", 9)), [5, 9]),
        ((("given", 1), ("withdrawn", 5), ("withdrawn", 7)), [5]),
    ],
)
def test_a_consent_given_and_withdrawn_on_one_day_is_read_in_order(
    history: tuple[tuple[str, int], ...], starts: list[int]
) -> None:
    events = tuple(Event(f"consent_{what}", date(2026, 1, day)) for what, day in history)
    found = plan(account(events=events), SCHEDULE, (), AS_OF)
    assert [d.trigger_date.day for d in found.disposals if d.processor == "adroll"] == starts


def test_a_prize_draw_that_is_over_takes_its_entries_only() -> None:
    facts = account(events=(Event("event_ended", date(2026, 3, 1)), Event("event_ended", date(2026, 9, 1))))
    found = plan(facts, SCHEDULE, (), AS_OF)
    assert [(d.scope_id, d.datasets, d.trigger_date) for d in found.disposals] == [
        ("prize", ("prize_entry",), date(2026, 3, 1)),
        ("prize", ("prize_entry",), date(2026, 9, 1)),
    ]


def test_the_end_of_one_processors_contract_reaches_that_processor_only() -> None:
    facts = account(events=(Event("processor_contract_ended", date(2026, 11, 1), ("support",)),))
    assert due(facts) == {("R-14", "zendesk", "support")}


def test_a_customers_instruction_and_the_end_of_his_contract_both_count() -> None:
    facts = account(terminated=date(2026, 6, 1), events=(Event("instruction", date(2026, 2, 1)),))
    found = [d for d in plan(facts, SCHEDULE, (), AS_OF).disposals if d.rule_id == "R-12"]
    assert [(d.trigger_event, d.trigger_date) for d in found] == [
        ("instruction", date(2026, 2, 1)),
        ("terminated", date(2026, 6, 1)),
    ]


def test_guardian_data_leaves_five_days_after_a_refusal_and_at_once_after_a_request() -> None:
    refused = every(plan(account(events=(Event("guardian_refused", date(2026, 11, 18)),)), SCHEDULE, (), AS_OF))
    closed = every(plan(account(events=(Event("guardian_request_closed", date(2026, 11, 18)),)), SCHEDULE, (), AS_OF))
    assert refused["R-13", "own_database", "guardian"].last_day == date(2026, 11, 23)
    assert closed["R-13", "own_database", "guardian"].last_day == date(2026, 11, 18)


def test_every_credit_record_and_every_month_of_operator_log_has_its_own_clock() -> None:
    events = (
        Event("credit_record", date(2022, 5, 1)),
        Event("credit_record", date(2024, 2, 29)),
        Event("operator_log", date(2024, 10, 31)),
        Event("operator_log", date(2024, 11, 30)),
    )
    found = plan(account(events=events), SCHEDULE, (), AS_OF)
    assert [(d.rule_id, d.trigger_date) for d in found.disposals] == [
        ("R-07", date(2022, 5, 1)),
        ("R-10", date(2024, 10, 31)),
    ]
    later = {(d.rule_id, d.last_day) for d in found.not_yet_due}
    assert later == {("R-07", date(2027, 3, 2)), ("R-10", date(2026, 11, 30))}


def test_the_newest_access_log_is_kept_three_months_even_past_the_maximum() -> None:
    facts = account(terminated=date(2026, 1, 15), events=(Event("access_logged", date(2026, 6, 10)),))
    found = every(plan(facts, SCHEDULE, (), AS_OF))
    log = found["R-01", "own_database", "access_log"]
    assert (log.trigger_date, log.last_day) == (date(2026, 1, 15), date(2026, 9, 10))
    assert {r.rule_id for r in log.reasons} == {"R-01", "R-09"}
    assert found["R-01", "own_database", "account"].last_day == date(2026, 7, 15)


def test_an_older_access_log_moves_nothing() -> None:
    facts = account(terminated=date(2026, 1, 15), events=(Event("access_logged", date(2026, 1, 10)),))
    assert every(plan(facts, SCHEDULE, (), AS_OF))["R-01", "own_database", "access_log"].last_day == date(2026, 7, 15)


def test_marketing_and_processor_rules_of_one_day_are_one_disposal_with_both_reasons() -> None:
    found = every(plan(account(terminated=date(2026, 11, 1)), SCHEDULE, (), AS_OF))
    assert {k for k in found if k[1] == "adroll"} == {("R-14", "adroll", "audience")}
    assert {r.rule_id for r in found["R-14", "adroll", "audience"].reasons} == {"R-11", "R-14"}
    assert {k for k in found if k[1] == "salesforce"} == {("R-14", "salesforce", "customer")}
    assert found["R-14", "salesforce", "customer"].datasets == ("customer", "marketing")


def test_a_hold_on_the_wider_disposal_does_not_delay_marketing() -> None:
    hold = Hold("h", "H-6", processor="salesforce", datasets=("customer",))
    found = {
        k: d.held_by for k, d in every(plan(account(terminated=date(2026, 11, 1)), SCHEDULE, [hold], AS_OF)).items()
    }
    assert found["R-11", "salesforce", "marketing"] == ()
    assert found["R-14", "salesforce", "customer"] == ("H-6",)


def test_a_scope_without_rows_is_not_planned() -> None:
    facts = account(terminated=date(2025, 1, 1), present=frozenset({"access_log", "drm_usage"}))
    own = {d.scope_id for d in plan(facts, SCHEDULE, (), AS_OF).disposals if d.processor == "own_database"}
    assert own == {"usage", "access_log"}


def test_a_place_nobody_looked_into_is_planned() -> None:
    own = {d.scope_id for d in plan(account(terminated=date(2025, 1, 1)), SCHEDULE, (), AS_OF).disposals}
    assert {"account", "settlement", "access_log", "consent", "end_user", "paper"} <= own


def test_rules_for_individuals_do_not_reach_a_business() -> None:
    events = (Event("credit_record", date(2020, 1, 1)), Event("guardian_refused", date(2020, 1, 1)))
    assert due(account(subject_type="business", events=events)) == set()


SETTLEMENT = ("own_database", "settlement")


@pytest.mark.parametrize("kind", ["H-1", "H-2"])
def test_a_settlement_hold_blocks_the_settlement_fields_only(kind: str) -> None:
    facts = account(terminated=date(2026, 1, 15))
    found = plan(facts, SCHEDULE, [Hold("h", kind)], AS_OF)
    held = {(d.processor, d.scope_id) for d in found.disposals if d.held_by}
    assert held == {SETTLEMENT, ("stripe", "payments")}
    assert {d.held_by for d in found.disposals if d.held_by} == {(kind,)}


def test_a_released_hold_frees_on_the_day_after_and_restarts_nothing() -> None:
    facts = account(terminated=date(2026, 1, 15))
    released = Hold("h", "H-1", released_on=date(2026, 9, 3))
    found = every(plan(facts, SCHEDULE, [released], AS_OF))
    settlement = found["R-01", *SETTLEMENT]
    assert (settlement.free_from, settlement.destroy_by) == (date(2026, 9, 4), date(2026, 9, 8))
    assert found["R-01", "own_database", "account"].free_from == date(2026, 7, 16)


def test_a_hold_released_today_is_over_tomorrow() -> None:
    facts = account(terminated=date(2026, 1, 15))
    released = Hold("h", "H-1", released_on=AS_OF)
    assert ("R-01", *SETTLEMENT) not in due(facts, released)
    assert ("R-01", *SETTLEMENT) in due(facts, released, as_of=AS_OF + timedelta(days=1))


def test_a_dispute_holds_the_evidence_of_its_case() -> None:
    facts = account(terminated=date(2026, 1, 15))
    found = every(plan(facts, SCHEDULE, [Hold("h", "H-3", datasets=("support_history",))], AS_OF))
    assert {k for k, d in found.items() if d.held_by} == {("R-01", "own_database", "support_history")}


def test_a_debt_withholds_the_termination_itself() -> None:
    facts = account(requested=date(2026, 1, 10), terminated=date(2026, 1, 15))
    assert due(facts, Hold("h", "H-4")) == CONSENT


def test_a_cleared_debt_makes_its_day_the_effective_termination() -> None:
    facts = account(requested=date(2026, 1, 10), terminated=date(2026, 1, 15))
    found = every(plan(facts, SCHEDULE, [Hold("h", "H-4", released_on=date(2026, 4, 30))], AS_OF))
    frozen = found["R-01", "own_database", "account"]
    assert (frozen.trigger_date, frozen.last_day) == (date(2026, 4, 30), date(2026, 10, 31))
    assert found["R-11", "adroll", "audience"].trigger_date == date(2026, 1, 10)


def test_a_pending_correction_holds_the_contested_field_until_the_person_asks_for_erasure() -> None:
    hold = Hold("h", "H-5", datasets=("account_profile",), placed_on=date(2026, 11, 1))
    facts = account(terminated=date(2026, 1, 15))
    held = {k for k, d in every(plan(facts, SCHEDULE, [hold], AS_OF)).items() if d.held_by}
    assert held == {("R-01", "own_database", "account")}
    erase = Event("erasure_requested", date(2026, 11, 5))
    assert overridden(hold, SCHEDULE, [erase])
    asked = account(terminated=date(2026, 1, 15), events=(erase,))
    assert not any(d.held_by for d in plan(asked, SCHEDULE, [hold], AS_OF).disposals)


@pytest.mark.parametrize(
    "erase",
    [Event("erasure_requested", date(2026, 10, 1)), Event("erasure_requested", date(2026, 11, 5), ("cookie",))],
)
def test_an_older_or_other_erasure_request_does_not_lift_a_correction(erase: Event) -> None:
    assert not overridden(
        Hold("h", "H-5", datasets=("account_profile",), placed_on=date(2026, 11, 1)), SCHEDULE, [erase]
    )


def test_an_order_that_names_no_records_holds_everything() -> None:
    facts = account(terminated=date(2026, 1, 15))
    found = plan(facts, SCHEDULE, [Hold("h", "H-6")], AS_OF)
    assert all(d.held_by == ("H-6",) for d in found.disposals)


def test_an_investigation_holds_the_logs() -> None:
    facts = account(terminated=date(2026, 1, 15))
    found = plan(facts, SCHEDULE, [Hold("h", "H-7")], AS_OF)
    assert {d.scope_id for d in found.disposals if d.held_by} == {"access_log"}


@pytest.mark.parametrize(
    ("hold", "processor", "datasets", "expected"),
    [
        (Hold("h", "H-7", processor="zendesk"), "zendesk", ("support",), True),
        (Hold("h", "H-7", processor="zendesk"), "stripe", ("payments",), False),
        (Hold("h", "H-6", datasets=("support",)), "zendesk", ("support",), True),
        (Hold("h", "H-6", datasets=("support",)), "adroll", ("audience",), False),
        (Hold("h", "H-99"), "adroll", ("audience",), True),
        (Hold("h", "H-4"), "salesforce", ("marketing",), False),
    ],
)
def test_an_unclear_hold_keeps_rather_than_destroys(
    hold: Hold, processor: str, datasets: tuple[str, ...], expected: bool
) -> None:
    assert reaches(hold, SCHEDULE, processor=processor, datasets=datasets) is expected


def test_an_account_that_contradicts_itself_is_refused() -> None:
    with pytest.raises(DecisionRefused, match="termination date is None"):
        AccountFacts("a1", "individual", state=State.TERMINATED)
    with pytest.raises(DecisionRefused, match="subject_type"):
        AccountFacts("a1", "robot")


@pytest.mark.parametrize(
    ("requested", "withheld", "terminated", "state"),
    [
        (None, False, None, "LIVE"),
        (date(2026, 1, 1), False, None, "REQUESTED"),
        (date(2026, 1, 1), True, None, "WITHHELD"),
        (date(2026, 1, 1), False, date(2026, 1, 2), "TERMINATED"),
        (None, False, date(2026, 1, 2), "TERMINATED"),
    ],
)
def test_the_state_follows_from_the_register(
    requested: date | None, withheld: bool, terminated: date | None, state: str
) -> None:
    assert state_of(requested_on=requested, withheld=withheld, terminated_on=terminated) == state


def test_kept_items_are_those_a_living_basis_lists() -> None:
    events = (Event("transaction", date(2025, 1, 2)), Event("paid_and_supplied", date(2025, 1, 2)))
    found = plan(account(terminated=date(2026, 1, 15), events=events), SCHEDULE, (), AS_OF)
    until = {(k.item, k.rule_id): k.until for k in found.kept}
    assert until["email", "R-02i"] == date(2031, 3, 31)
    assert until["supply.completed_on", "R-04"] == date(2030, 1, 2)
    assert ("phone", "R-04") not in until
    settlement = every(found)["R-01", *SETTLEMENT]
    assert {r.rule_id for r in settlement.reasons if r.decision == "keep"} == {"R-02i", "R-04"}


def test_an_old_payment_does_not_ride_along() -> None:
    events = (Event("transaction", date(2015, 1, 2)), Event("paid_and_supplied", date(2015, 1, 2)))
    assert plan(account(terminated=date(2026, 1, 15), events=events), SCHEDULE, (), AS_OF).kept == ()


def test_electronic_commerce_law_reaches_a_business_only_if_it_is_like_a_consumer() -> None:
    events = (Event("paid_and_supplied", date(2025, 1, 2)),)
    facts = account(subject_type="business", terminated=date(2026, 1, 15), events=events)
    assert plan(facts, SCHEDULE, (), AS_OF).kept == ()
    like = plan(replace(facts, consumer_like=True), SCHEDULE, (), AS_OF).kept
    assert {k.rule_id for k in like} == {"R-04"}


def test_a_population_counts_states_and_plans() -> None:
    facts = [
        account(),
        account(requested=date(2026, 11, 1)),
        account(requested=date(2026, 11, 1), withheld=True),
        account(terminated=date(2026, 11, 1)),
    ]
    counts = population(facts, [plan(f, SCHEDULE, (), AS_OF) for f in facts])
    assert counts == {
        "live": 1,
        "requested": 1,
        "withheld": 1,
        "terminated": 1,
        "due": 3,
        "held": 0,
        "not_yet_due": 1,
        "kept": 0,
    }


def test_every_event_that_ends_in_a_disposal_has_a_newest_due_date() -> None:
    found = {(d.rule_id, d.event): d for d in due_triggers(SCHEDULE, AS_OF)}
    assert found["R-01", "terminated"].latest_trigger_date == date(2026, 5, 23)
    assert found["R-14", "terminated"].latest_trigger_date == date(2026, 11, 23)
    assert found["R-11", "event_ended"].scope_ids == ("prize",)
    assert found["R-01", "terminated"].scope_ids == (
        "account", "usage", "support_history", "settlement", "access_log", "paper",
    )  # fmt: skip


def test_a_plan_names_nobody_in_its_text() -> None:
    assert "a0001" not in repr(plan(account(terminated=date(2025, 1, 1)), SCHEDULE, (), AS_OF))


def test_records_and_events_give_the_same_terms() -> None:
    terms = record_terms(
        kind="payment",
        dates={"transaction": date(2025, 1, 2), "paid": date(2025, 1, 2), "supplied": date(2025, 1, 9)},
        subject_type="individual",
        consumer_like=False,
        offshore=False,
        schedule=SCHEDULE,
    )
    assert {t.rule_id: t.last_day for t in terms} == {"R-02i": date(2031, 3, 31), "R-04": date(2030, 1, 9)}
