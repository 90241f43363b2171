"""What a request reaches, as data of the schedule; nothing here reads any place."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from include.errors import DecisionRefused, ScheduleError
from include.policy import schedule
from include.policy.facts import AccountFacts, Event, Hold, State
from include.policy.requests import EVENT, ORDER, Asked, RequestPlan, Unfounded, listable, plan_request

KNOWN = schedule.load()
DAY = date(2026, 11, 26)
EVERYTHING = frozenset(KNOWN.processors["own_database"].datasets)


def person(state: State = State.LIVE, **more: object) -> AccountFacts:
    """Return an account that has something everywhere."""
    ended = {"terminated_on": DAY - timedelta(days=30)} if state is State.TERMINATED else {}
    return AccountFacts("a0001", "individual", state=state, present=EVERYTHING, **(ended | more))  # type: ignore[arg-type]


def asked(kind: str, facts: AccountFacts, *holds: Hold, **more: object) -> RequestPlan:
    """Plan a request received today."""
    return plan_request(Asked(kind, DAY, **more), facts, KNOWN, holds, DAY)  # type: ignore[arg-type]


def reached(plan: RequestPlan) -> set[str]:
    """Return `processor/dataset` of everything the plan reaches."""
    return {f"{d.processor}/{x}" for d in plan.disposals for x in d.datasets}


@pytest.mark.parametrize("kind", ["termination", "erasure", "consent_withdrawal", "court_erase"])
@pytest.mark.parametrize("state", [State.LIVE, State.TERMINATED])
def test_no_kind_ever_reaches_a_statutory_minimum(kind: str, state: State) -> None:
    plan = asked(kind, person(state), listed=tuple(listable(KNOWN)) if kind == "court_erase" else ())
    assert plan.disposals
    assert not {"own_database/credit_record", "own_database/operator_access_log"} & reached(plan)
    assert {KNOWN.rules[d.rule_id].kind for d in plan.disposals} == {"max"}


def test_what_a_request_reaches_is_free_on_the_day_it_came_in() -> None:
    for one in asked("erasure", person(State.TERMINATED)).disposals:
        assert (one.trigger_event, one.free_from, one.destroy_by) == (EVENT, DAY, DAY + timedelta(days=4))


def test_a_statutory_floor_still_makes_the_log_wait() -> None:
    facts = person(State.TERMINATED, events=(Event("access_logged", DAY - timedelta(days=10)),))
    log = next(d for d in asked("erasure", facts).disposals if d.scope_id == "access_log")
    assert log.free_from > DAY
    assert [code for code, _ in log.moved_by] == ["R-09"]


def test_erasure_of_a_terminated_account_reaches_every_place() -> None:
    plan = asked("erasure", person(State.TERMINATED))
    assert {d.processor for d in plan.disposals} == {
        "adroll", "clarity", "own_database", "paper", "s3", "salesforce", "stripe", "zendesk",
    }  # fmt: skip
    assert plan.refused == ()
    assert "own_database/guardian" not in reached(plan)


def test_erasure_of_a_live_account_refuses_the_rest_and_offers_termination() -> None:
    plan = asked("erasure", person())
    assert {d.rule_id for d in plan.disposals} == {"R-11"}
    assert {(r.code, r.offer) for r in plan.refused} == {("contract_in_force", "termination")}
    refused = {f"{r.processor}/{d}" for r in plan.refused for d in r.datasets}
    everything = {f"{name}/{d}" for name, section in KNOWN.processors.items() for d in section.datasets}
    assert refused | reached(plan) == everything
    assert not refused & reached(plan)


def test_termination_takes_what_falls_due_now_and_names_the_later_dates() -> None:
    plan = asked("termination", person())
    assert plan.terminated_on == DAY
    assert "own_database/account_profile" not in reached(plan)
    assert {"own_database/end_user", "stripe/payments", "salesforce/customer"} <= reached(plan)
    later = {d.scope_id: d.free_from for d in plan.later}
    assert later["account"] == date(2027, 5, 27)


def test_a_debt_withholds_the_termination_and_marketing_stops_all_the_same() -> None:
    debt = Hold("h", "H-4", placed_on=DAY - timedelta(days=9))
    plan = asked("termination", person(), debt)
    assert {d.rule_id for d in plan.disposals} == {"R-11"}
    assert (plan.terminated_on, {r.code for r in plan.refused}) == (None, {"termination_withheld"})


def test_consent_withdrawal_leaves_contract_support_and_billing_alone() -> None:
    for state in (State.LIVE, State.TERMINATED):
        assert reached(asked("consent_withdrawal", person(state))) == {
            "adroll/audience", "clarity/recordings", "salesforce/marketing", "own_database/partner_info",
            "own_database/prize_entry", "own_database/cookie",
        }  # fmt: skip


def test_a_guardian_reaches_the_guardians_own_data_under_its_rule() -> None:
    plan = asked("guardian", person(State.TERMINATED), child_age=13)
    assert [d.rule_id for d in plan.disposals if "guardian" in d.datasets] == ["R-13"]
    for age in (None, 14, 17):
        with pytest.raises(Unfounded) as refused:
            asked("guardian", person(State.TERMINATED), child_age=age)
        assert refused.value.code == "not_a_child"


def test_end_users_need_the_customers_recorded_instruction() -> None:
    with pytest.raises(Unfounded, match="instruction"):
        asked("end_user", person(), end_user="u-1")
    told = person(events=(Event("instruction", DAY - timedelta(days=2)),))
    plan = asked("end_user", told, end_user="u-1")
    assert reached(plan) == {"own_database/end_user", "own_database/end_user_device"}
    assert {d.trigger_event for d in plan.disposals} == {ORDER}


def test_an_order_reaches_what_it_lists_and_must_list_something() -> None:
    plan = asked("court_erase", person(), listed=("own_database/payment", "zendesk/support"))
    assert reached(plan) == {"own_database/payment", "zendesk/support"}
    assert {c for d in plan.disposals if d.processor == "own_database" for c in d.categories} == {"D-05"}
    with pytest.raises(DecisionRefused, match="lists"):
        asked("court_erase", person())


def test_the_persons_own_request_lifts_a_pending_correction_and_a_courts_order_does_not() -> None:
    pending = Hold("c", "H-5", datasets=("partner_info",), placed_on=DAY - timedelta(days=3))
    own = asked("consent_withdrawal", person(), pending)
    order = asked("court_erase", person(), pending, listed=("own_database/partner_info",))
    assert [d.held_by for d in own.disposals if "partner_info" in d.datasets] == [()]
    assert [d.held_by for d in order.disposals if "partner_info" in d.datasets] == [("H-5",)]


def test_every_other_hold_stands_against_a_request() -> None:
    order = Hold("o", "H-6", datasets=("account_profile", "support"), placed_on=DAY)
    held = {d.scope_id for d in asked("erasure", person(State.TERMINATED), order).disposals if d.held_by}
    assert held == {"account", "support"}


def test_a_request_from_the_future_is_refused() -> None:
    with pytest.raises(DecisionRefused, match="after"):
        plan_request(Asked("erasure", DAY + timedelta(days=1)), person(), KNOWN, (), DAY)


@pytest.mark.parametrize(
    ("before", "after", "where"),
    [
        (
            "        - {rule: R-12}\n        - {rule: R-14}\n      withheld",
            "        - {rule: R-10}\n      withheld",
            "R-10",
        ),
        ("        - {rule: R-13}", "        - {rule: R-13, scopes: [nothing]}", "nothing"),
        ("{id: KR, period: P10D", "{id: KR, period: P11D", "answer_days"),
        ("hold: H-6", "hold: H-9", "H-9"),
        ("offer: termination}", "offer: anything}", "anything"),
        ("    dataset: account_profile", "    dataset: mailbox", "dataset"),
    ],
)
def test_a_schedule_whose_requests_do_not_hold_together_is_refused(before: str, after: str, where: str) -> None:
    text = KNOWN.body.decode()
    assert before in text
    with pytest.raises(ScheduleError, match=where):
        schedule.parse(text.replace(before, after, 1).encode(), file="changed.yaml")


def test_a_schedule_without_requests_is_sound_and_says_so_when_one_is_asked() -> None:
    text = KNOWN.body.decode()
    start, end = text.index("requests:\n"), text.index("contradictions:\n")
    without = schedule.parse((text[:start] + text[end:]).encode(), file="without.yaml")
    with pytest.raises(DecisionRefused.__mro__[1], match="requests"):
        plan_request(Asked("erasure", DAY), person(), without, (), DAY)
