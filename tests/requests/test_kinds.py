"""What each kind of request changes, in every store, and what it leaves alone."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

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

    from include.policy.facts import State
    from include.policy.planner import plan

    account = world.account("end_user_instruction")
    with world.context.engine.connect() as connection:
        from include.disposals.request_events import with_requests

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
        world.plan(account, Asked("end_user", DAY))
    assert refused.value.code == "no_instruction"


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
    plan = world.plan(world.account("returned"), Asked("court_preserve", DAY, listed=("zendesk/support",)))
    assert (plan.disposals, plan.kind.hold) == ((), "H-6")


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
