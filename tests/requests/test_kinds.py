"""What each kind of request changes, in every store, and what it leaves alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import delete, select

from include.database import disposal, locator
from include.disposals import begin_run, discover, holds, notices, release, requests
from include.disposals.request_events import with_requests
from include.errors import DecisionRefused
from include.policy.facts import State
from include.policy.planner import plan
from include.policy.requests import Asked, Unfounded
from tests.requests.conftest import DAY, World

CONSENTED = {"partner_info", "prize_entry", "cookie", "clarity_identity", "audience_member"}
VENDORS = {"salesforce", "stripe", "zendesk", "live", "adroll"}


def changed(before: dict[str, dict[str, Any]], after: dict[str, dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Return the objects that left or changed, by store (and table)."""
    found: dict[str, list[dict[str, Any]]] = {}
    for store, objects in before.items():
        for key, body in objects.items():
            if after[store].get(key) != body:
                name = body["table"] if store == "accounts" else store
                found.setdefault(name, []).append(body)
    return found


def mine(world: World, found: dict[str, list[dict[str, Any]]], account: str) -> None:
    """Assert that nobody else's object changed."""
    person = next(p for p in world.made.people if p.account_id == account)
    for store, bodies in found.items():
        for body in bodies:
            if "account_id" in body:
                assert body["account_id"] == account, store
            elif store == "live":
                assert body["key"].startswith(f"accounts/{account}/")
            elif store not in ("adroll", "stripe", "salesforce", "zendesk"):
                raise AssertionError(f"{store} changed")
            else:
                others = [p.email for p in world.made.people if p.email and p.email != person.email]
                assert not any(f'"{e}"' in str(body).replace("'", '"') for e in others if store != "adroll")


def test_termination_of_a_live_account_takes_what_falls_due_at_once_and_keeps_the_rest(world: World) -> None:
    account = world.account("end_user_instruction")
    before = world.dump()
    row = world.ask(account, Asked("termination", DAY))
    found = changed(before, world.dump())
    mine(world, found, account)
    assert {"end_user", "end_user_device"} <= set(found)
    assert set(found) <= CONSENTED | VENDORS | {"end_user", "end_user_device"}
    assert row.terminated_on == DAY
    assert {line["rule_id"] for line in row.plan["later"]} >= {"R-01"}
    assert all(i.trigger_event == "erasure_requested" and i.free_from == DAY for i in world.items(row))


def test_the_later_phases_of_a_termination_come_on_their_dates(world: World) -> None:

    account = world.account("end_user_instruction")
    with world.context.engine.connect() as connection:
        facts = with_requests(connection, world.context.accounts.facts([account]))[0]
    assert (facts.state, facts.terminated_on) == (State.TERMINATED, DAY)
    later = plan(facts, world.context.schedule, [], DAY + timedelta(days=190)).disposals
    assert {"account", "settlement"} <= {d.scope_id for d in later if d.rule_id == "R-01"}


def test_erasure_of_a_terminated_account_leaves_what_a_law_names_and_nothing_else(world: World) -> None:
    account = world.account("ended_lately_individual")
    before = world.dump()
    row = world.ask(account, Asked("erasure", DAY))
    after = world.dump()
    mine(world, changed(before, after), account)
    left = {b["table"] for b in after["accounts"].values() if b.get("account_id") == account}
    assert left <= {"audience_member", "clarity_identity", "consent", "account", "paper_register"}, left
    assert row.plan["kept"]
    assert {"R-02i"} <= {k["rule_id"] for k in row.plan["kept"]}
    held = [i for i in world.items(row) if i.processor == "own_database" and i.outcome != "confirmed_absent"]
    assert [(h.scope_id, h.outcome, h.code) for h in held if h.scope_id != "access_log"] == []


def test_erasure_of_a_live_account_refuses_what_the_contract_needs_and_offers_termination(world: World) -> None:
    account = world.account("prize_running")
    before = world.dump()
    row = world.ask(account, Asked("erasure", DAY))
    found = changed(before, world.dump())
    mine(world, found, account)
    assert set(found) <= CONSENTED | {"salesforce", "adroll"}
    assert {r["offer"] for r in row.plan["refused"]} == {"termination"}
    assert {"own_database", "stripe", "zendesk", "s3"} <= {r["processor"] for r in row.plan["refused"]}


def test_a_withdrawn_consent_touches_no_contract_support_or_billing_data(world: World) -> None:
    account = world.account("consent_withdrawn")
    before = world.dump()
    row = world.ask(account, Asked("consent_withdrawal", DAY))
    found = changed(before, world.dump())
    mine(world, found, account)
    assert "partner_info" in found
    assert set(found) <= CONSENTED | {"salesforce", "adroll"}
    assert {i.rule_id for i in world.items(row)} == {"R-11"}


def test_a_guardian_takes_the_guardians_own_data_too(world: World) -> None:
    account = world.account("child_terminated")
    before = world.dump()
    row = world.ask(
        account, Asked("guardian", DAY, child_age=12), relation_check="family_certificate", verifier="operator:e-0001"
    )
    found = changed(before, world.dump())
    mine(world, found, account)
    assert {"guardian", "account_profile"} <= set(found)
    assert [i.rule_id for i in world.items(row) if "guardian" in i.datasets] == ["R-13"]
    assert (row.relation_check, row.verifier, row.child_age) == ("family_certificate", "operator:e-0001", 12)
    with pytest.raises(Unfounded) as refused:
        world.plan(world.account("guardian_closed"), Asked("guardian", DAY, child_age=14))
    assert refused.value.code == "not_a_child"


def test_end_users_go_on_the_customers_recorded_instruction_only(world: World) -> None:
    account = world.account("ended_lately_business")
    with pytest.raises(Unfounded) as refused:
        world.plan(account, Asked("end_user", DAY, end_user="viewer-1"))
    assert refused.value.code == "no_instruction"
    for wrong in (Asked("end_user", DAY, instruction=True), Asked("erasure", DAY, end_user="viewer-1")):
        with pytest.raises(DecisionRefused, match="end user's id"):
            world.plan(account, wrong)


def test_one_end_user_goes_with_its_devices_and_no_other_of_the_customer(world: World) -> None:
    account = world.account("ended_lately_business")
    person = next(p for p in world.made.people if p.account_id == account)
    users = person.dicts("end_user")
    gone, stays = users[0], users[1:]
    devices = [d["device_id"] for d in person.dicts("end_user_device") if d["end_user_id"] == gone["end_user_id"]]
    assert stays and devices
    before = world.dump()
    row = world.ask(account, Asked("end_user", DAY, end_user=gone["external_id"], instruction=True))
    found = changed(before, world.dump())
    mine(world, found, account)
    assert {t: sorted(b.get("device_id") or b["end_user_id"] for b in rows) for t, rows in found.items()} == {
        "end_user": [gone["end_user_id"]], "end_user_device": sorted(devices),
    }  # fmt: skip
    (item,) = world.items(row)
    assert (item.outcome, item.subject_type, item.count_before) == ("confirmed_absent", "end_user", 1 + len(devices))
    tags = world.context.tags
    assert row.subject_tag == item.subject_tag == tags.tag(
        f"{account}/{gone['external_id']}", epoch=row.key_epoch, kind="end_user"
    )  # fmt: skip
    assert not [e for e in world.entries() if gone["external_id"] in str(e)]
    again = world.ask(account, Asked("end_user", DAY, end_user=gone["external_id"], instruction=True))
    assert [i.disposal_id for i in world.items(again)] == [item.disposal_id]


def test_an_end_user_whose_id_was_lost_reaches_nobody(world: World) -> None:
    """Without the id the rows of every end user of that customer would match; it waits for a person instead."""
    account = world.account("ended_lately_business")
    other = next(p for p in world.made.people if p.account_id == account).dicts("end_user")[-1]
    asked = Asked("end_user", DAY, end_user=other["external_id"], instruction=True)
    context, row = world.register(account, asked)
    world.approve(context, row)
    release.release(context, row, world.plan(account, asked).disposals, end_user=asked.end_user)
    with context.engine.begin() as connection:
        connection.execute(delete(locator))
    before = world.dump()
    world.carry(context, row)
    assert changed(before, world.dump()) == {}
    assert [(i.outcome, i.code) for i in world.items(row)] == [("failed", "no_identifier")]


def test_an_end_user_is_still_known_after_a_hold_came_between(world: World) -> None:
    account = world.account("ended_lately_business")
    one = next(p for p in world.made.people if p.account_id == account).dicts("end_user")[-1]
    asked = Asked("end_user", DAY, end_user=one["external_id"], instruction=True)
    context, row = world.register(account, asked)
    world.approve(context, row)
    release.release(context, row, world.plan(account, asked).disposals, end_user=asked.end_user)
    batches = world.locate(context)
    (item,) = world.items(row)
    assert item.outcome == "located"
    hold_id = holds.place(
        context, account_id=account, kind="H-6", datasets=["end_user"], reason_code="court_order",
        placed_by="operator:e-0001", review_due=DAY + timedelta(days=30),
    )  # fmt: skip
    before = world.dump()
    world.advance(context, batches)
    assert [i.outcome for i in world.items(row)] == ["blocked"]
    assert changed(before, world.dump()) == {}
    holds.release(context, hold_id, released_by="operator:e-0002")
    world.carry(replace(context, as_of=DAY + timedelta(days=2)), row)
    assert [i.outcome for i in world.items(row)] == ["confirmed_absent"]
    assert [r["end_user_id"] for r in changed(before, world.dump())["end_user"]] == [one["end_user_id"]]


def test_an_order_to_erase_takes_the_listed_records_alone(world: World) -> None:
    account = world.account("overpaid_and_staying")
    before = world.dump()
    row = world.ask(account, Asked("court_erase", DAY, listed=("own_database/cookie", "own_database/drm_usage")))
    found = changed(before, world.dump())
    mine(world, found, account)
    assert set(found) <= {"cookie", "clarity_identity", "drm_usage"}
    assert {i.trigger_event for i in world.items(row)} == {"order_received"}
    with pytest.raises(Unfounded) as refused:
        world.plan(account, Asked("court_erase", DAY, listed=("own_database/credit_record",)))
    assert refused.value.code == "statutory_minimum"


def test_an_order_to_preserve_plans_nothing_and_holds(world: World) -> None:
    planned = world.plan(world.account("returned"), Asked("court_preserve", DAY, listed=("zendesk/support",)))
    assert (planned.disposals, planned.kind.hold) == ((), "H-6")


def test_a_preview_changes_nothing_anywhere_and_reads_like_the_evidence(world: World) -> None:
    account = world.account("ended_lately_business")
    before, calls = world.dump(), world.changing()
    shown = world.preview(account, Asked("erasure", DAY))
    assert world.dump() == before
    assert world.changing() == calls
    assert len(shown["lines"]) > 5
    assert all(line["count_before"] is not None or line["code"] for line in shown["lines"])
    planned = next(e for e in world.entries() if e["event"] == "planned")
    same = {"processor", "scope", "datasets", "categories", "rule_id", "trigger_event", "trigger_date", "last_day",
            "free_from", "destroy_by"}  # fmt: skip
    assert same <= set(shown["lines"][0]) & set(planned)


def test_two_requests_for_one_account_share_their_disposals_and_act_once(world: World) -> None:
    """The second is planned while the first is under way: what is open is followed, what is done stays done."""
    account = world.account("plus_address")
    first, one = world.register(account, Asked("erasure", DAY))
    second, two = world.register(account, Asked("consent_withdrawal", DAY))
    for context, row, asked in ((first, one, "erasure"), (second, two, "consent_withdrawal")):
        world.approve(context, row)
        release.release(context, row, world.plan(account, Asked(asked, DAY)).disposals)
    shared = {i.disposal_id for i in world.items(one)} & {i.disposal_id for i in world.items(two)}
    assert {i.processor for i in world.items(two) if i.disposal_id in shared} >= {"adroll", "clarity", "salesforce"}
    before = len([e for e in world.entries() if e["event"] == "attempted"])
    world.carry(first, one)
    between = [e for e in world.entries() if e["event"] == "attempted"][before:]
    world.carry(second, two)
    after = [e for e in world.entries() if e["event"] == "attempted"][before:]
    assert between
    assert [e for e in after if e["processor"] == "adroll"] == [e for e in between if e["processor"] == "adroll"]
    known = [i.disposal_id for i in world.items(one)]
    release.release(first, world.row(one.request_id), world.plan(account, Asked("erasure", DAY)).disposals)
    assert [i.disposal_id for i in world.items(one)] == known


def test_an_open_dispute_is_held_and_the_notice_says_so(world: World) -> None:
    account = world.account("disputed_support")
    context, row = world.register(account, Asked("erasure", DAY))
    world.approve(context, row)
    release.release(context, row, world.plan(account, Asked("erasure", DAY)).disposals)
    before = world.dump()
    world.carry(context, row)
    after = world.dump()
    held = [i for i in world.items(row) if i.code == "hold_h-3"]
    assert {i.scope_id for i in held} >= {"support_history"}
    kept = [b for b in before["accounts"].values() if b["table"] == "support_history" and b["account_id"] == account]
    assert kept
    assert all(b in after["accounts"].values() for b in kept)
    told = notices.compose(row.plan, world.items(row), world.context.schedule)
    assert "보류된 정보:" in told.text
    assert "분쟁" in told.text
    assert "dispute" in told.text
    assert "이의 제기" in told.text
    person = next(p for p in world.made.people if p.account_id == account)
    assert not [v for v in (person.email, person.name, account) if v and v in told.text]


def test_a_hold_placed_between_preview_and_act_stops_the_act(world: World) -> None:
    account = world.account("only_here")
    context, row = world.register(account, Asked("erasure", DAY))
    world.approve(context, row)
    release.release(context, row, world.plan(account, Asked("erasure", DAY)).disposals)
    holds.place(
        context,
        account_id=account,
        kind="H-6",
        datasets=["account_profile"],
        reason_code="court_order",
        placed_by="compliance:e-0001",
        review_due=DAY + timedelta(days=30),
    )
    world.carry(context, row)
    requests.note_notice(context, row.request_id, "mail")
    world.carry(context, row)
    outcomes = {i.scope_id: (i.outcome, i.code) for i in world.items(row) if i.processor == "own_database"}
    assert outcomes["account"] == ("blocked", "hold_h-6")
    assert outcomes["cookie"][0] == "confirmed_absent"
    assert len(world.context.accounts.facts([account])) == 1


def test_a_plan_that_grew_after_its_preview_is_not_released(world: World) -> None:
    account = world.account("advertised_before")
    context, row = world.register(account, Asked("consent_withdrawal", DAY))
    world.approve(context, row)
    with pytest.raises(DecisionRefused, match="not in the preview"):
        release.release(context, row, world.plan(account, Asked("erasure", DAY)).disposals)
    assert world.items(row) == []


def test_a_pending_correction_freezes_every_copy_until_the_person_asks_for_erasure(world: World) -> None:
    account = world.account("correction_pending")
    facts = world.context.accounts.facts([account])[0]
    pending = world.context.accounts.computed_holds([account])[account]
    nightly = plan(facts, world.context.schedule, pending, DAY).disposals
    frozen = {d.processor for d in nightly if "H-5" in d.held_by}
    assert frozen == {"own_database", "salesforce", "zendesk", "s3"}
    assert not [d for d in world.plan(account, Asked("erasure", DAY)).disposals if "H-5" in d.held_by]
    row = world.ask(account, Asked("erasure", DAY))
    assert {i.outcome for i in world.items(row) if i.processor == "own_database"} == {"confirmed_absent"}


def test_the_night_plans_nothing_again_that_a_request_took_over(world: World) -> None:
    """해지 of a live account: its termination falls due for the night too, and finds the work done.

    Last of these tests: it plans a night for everybody.
    """
    account = world.account("requested_today")
    row = world.ask(account, Asked("termination", DAY))
    tomorrow = replace(world.context, as_of=DAY + timedelta(days=1), dag_id="nightly_retention")
    run_id = begin_run(tomorrow, airflow_run_id="the next night")
    discover(replace(tomorrow, run_id=run_id), run_id)
    done = {i.disposal_id for i in world.items(row)}
    with world.context.engine.connect() as connection:
        mine = connection.execute(select(disposal).where(disposal.c.subject_tag == row.subject_tag)).all()
    assert {d.disposal_id for d in mine} == done
