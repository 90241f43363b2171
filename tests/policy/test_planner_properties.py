"""What no plan may ever do, whatever the account and its holds."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from include.policy.facts import EVENTS, AccountFacts, Event, Hold, state_of
from include.policy.periods import evaluate
from include.policy.planner import PlannedDisposal, _plan, due_triggers, plan, reaches
from include.policy.schedule import load

SCHEDULE = load()
OWN = tuple(SCHEDULE.processors["own_database"].datasets)
DAYS = st.dates(date(2019, 1, 1), date(2027, 6, 30))
EVENT = st.builds(
    Event,
    kind=st.sampled_from(sorted(EVENTS - {"terminated", "requested", "expired"})),
    date=DAYS,
    datasets=st.sampled_from([(), (), ("support",), ("prize_entry",), ("audience",)]),
    offshore=st.booleans(),
)
HOLD = st.builds(
    Hold,
    hold_id=st.uuids().map(str),
    kind=st.sampled_from([*SCHEDULE.holds]),
    processor=st.sampled_from([None, None, "zendesk", "own_database", "salesforce"]),
    datasets=st.sampled_from([(), (), ("support_history",), ("account_profile",), ("payment",)]),
    placed_on=st.none() | DAYS,
    released_on=st.none() | DAYS,
)


@st.composite
def facts_of(draw: st.DrawFn) -> AccountFacts:
    requested = draw(st.none() | DAYS)
    terminated = draw(st.none() | DAYS)
    return AccountFacts(
        account_id="a0001",
        subject_type=draw(st.sampled_from(["individual", "business"])),
        consumer_like=draw(st.booleans()),
        state=state_of(requested_on=requested, withheld=draw(st.booleans()), terminated_on=terminated),
        requested_on=requested,
        terminated_on=terminated,
        events=tuple(draw(st.lists(EVENT, max_size=8))),
        present=draw(st.none() | st.frozensets(st.sampled_from(OWN))),
    )


GENERATED = settings(max_examples=100, deadline=None, derandomize=True)


@GENERATED
@given(facts_of(), st.lists(HOLD, max_size=3), DAYS)
def test_the_same_input_gives_the_same_plan(facts: AccountFacts, holds: list[Hold], as_of: date) -> None:
    first = plan(facts, SCHEDULE, holds, as_of)
    again = replace(facts, events=tuple(reversed(facts.events)))
    assert plan(again, SCHEDULE, list(reversed(holds)), as_of) == first


@GENERATED
@given(facts_of(), st.lists(HOLD, max_size=3), DAYS)
def test_nothing_is_due_before_its_day_and_no_identity_is_planned_twice(
    facts: AccountFacts, holds: list[Hold], as_of: date
) -> None:
    found = plan(facts, SCHEDULE, holds, as_of)
    assert all(d.free_from <= as_of for d in found.disposals)
    assert all(d.free_from > as_of for d in found.not_yet_due)
    identities = [
        (d.processor, d.rule_id, d.scope_id, d.trigger_event, d.trigger_date)
        for d in (*found.disposals, *found.not_yet_due)
    ]
    assert len(identities) == len(set(identities))
    for one in (*found.disposals, *found.not_yet_due):
        assert one.last_day == one.free_from - timedelta(days=1)
        assert one.destroy_by == one.last_day + timedelta(days=5)
        assert one.trigger_date < one.free_from


@GENERATED
@given(facts_of(), st.lists(HOLD, max_size=3), DAYS)
def test_no_disposal_ends_before_the_period_of_its_rule(facts: AccountFacts, holds: list[Hold], as_of: date) -> None:
    found = plan(facts, SCHEDULE, holds, as_of)
    for one in (*found.disposals, *found.not_yet_due):
        rule = SCHEDULE.rules[one.rule_id]
        trigger = next(t for t in rule.triggers if t.event == one.trigger_event)
        kind = "min" if rule.kind == "min" else "max"
        term = evaluate(one.trigger_date, trigger.period, kind=kind, holidays=SCHEDULE.holidays)
        assert one.free_from >= term.free_from


@GENERATED
@given(facts_of(), st.lists(HOLD, max_size=3), DAYS)
def test_a_held_disposal_is_held_by_a_hold_that_reaches_it(facts: AccountFacts, holds: list[Hold], as_of: date) -> None:
    found = plan(facts, SCHEDULE, holds, as_of)
    for one in (*found.disposals, *found.not_yet_due):
        reaching = {
            h.kind
            for h in holds
            if (h.released_on is None or h.released_on > as_of)
            and reaches(h, SCHEDULE, processor=one.processor, datasets=one.datasets)
        }
        assert set(one.held_by) <= reaching
        assert reaching - set(one.held_by) <= {"H-5"}, "only an erasure request lifts a hold"


@GENERATED
@given(facts_of(), DAYS, st.sampled_from(["H-1", "H-2"]))
def test_a_settlement_hold_changes_nothing_else(facts: AccountFacts, as_of: date, kind: str) -> None:
    free, held = (plan(facts, SCHEDULE, holds, as_of) for holds in ([], [Hold("h", kind)]))
    others = [
        {
            d
            for d in (*p.disposals, *p.not_yet_due)
            if (d.processor, d.scope_id) not in (("own_database", "settlement"), ("stripe", "payments"))
        }
        for p in (free, held)
    ]
    assert others[0] == others[1]


@GENERATED
@given(facts_of(), DAYS)
def test_nothing_is_kept_that_no_living_basis_lists(facts: AccountFacts, as_of: date) -> None:
    for kept in plan(facts, SCHEDULE, (), as_of).kept:
        assert kept.item in SCHEDULE.kept_items(kept.rule_id, facts.subject_type)
        assert kept.until >= as_of
        assert facts.terminated_on is not None
        if SCHEDULE.rules[kept.rule_id].consumers_only:
            assert facts.subject_type == "individual" or facts.consumer_like


@GENERATED
@given(facts_of(), DAYS, st.integers(0, 400))
def test_what_is_due_stays_due_on_every_later_night(facts: AccountFacts, as_of: date, days: int) -> None:
    now = plan(facts, SCHEDULE, (), as_of).disposals
    later = plan(facts, SCHEDULE, (), as_of + timedelta(days=days)).disposals
    assert {_term(d) for d in now} <= {_term(d) for d in later}


def _term(one: PlannedDisposal) -> tuple[str, str, str, str, date, date]:
    return (one.processor, one.rule_id, one.scope_id, one.trigger_event, one.trigger_date, one.free_from)


@GENERATED
@given(facts_of(), DAYS)
def test_every_due_disposal_is_found_by_the_prefilter(facts: AccountFacts, as_of: date) -> None:
    newest = {(d.rule_id, d.event): d for d in due_triggers(SCHEDULE, as_of)}
    for one in plan(facts, SCHEDULE, (), as_of).disposals:
        trigger = newest[one.rule_id, one.trigger_event]
        assert one.trigger_date <= trigger.latest_trigger_date
        assert one.scope_id in trigger.scope_ids


@GENERATED
@given(facts_of(), DAYS)
def test_every_field_of_a_disposal_has_a_reason(facts: AccountFacts, as_of: date) -> None:
    found = plan(facts, SCHEDULE, (), as_of)
    for one in (*found.disposals, *found.not_yet_due):
        fields = {(c, f) for c in one.categories for f in SCHEDULE.categories[c].fields}
        assert {(r.category, r.field) for r in one.reasons if r.decision == "destroy"} == fields
        assert all(r.law and r.article for r in one.reasons)


@GENERATED
@given(facts_of(), st.lists(HOLD, max_size=2), DAYS)
def test_accounts_alike_get_the_same_plan_each_under_its_own_name(
    facts: AccountFacts, holds: list[Hold], as_of: date
) -> None:
    """What is remembered of one account is planned for another, and must be what planning that one anew gives."""
    other = replace(facts, account_id="b0002")
    for held in ([], holds):
        found = [plan(one, SCHEDULE, held, as_of) for one in (facts, other, facts)]
        anew = _plan(other, SCHEDULE, held, as_of)
        assert found[1] == anew
        assert found[0] == found[2]
        for one in (*found[1].disposals, *found[1].not_yet_due):
            assert one.account_id == "b0002"
        assert [replace(d, account_id="") for d in found[0].disposals] == [
            replace(d, account_id="") for d in anew.disposals
        ]
