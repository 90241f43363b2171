"""Stripe: everything of a person is found, nobody else's is touched, and nothing is claimed that was not read."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import replace

import pytest
from sqlalchemy import create_engine, text
from stripe import ca_bundle_path
from urllib3.connection import HTTPConnection

from include.connections import Connection
from include.errors import ConfigurationError, ProcessorError, RateLimited, Refused, Unreachable
from include.outcomes import Outcome
from include.processors import NOT_ARCHIVED, Site, Work, load, names
from include.processors._manual import REQUESTS
from include.processors._stripe import batch
from include.processors._stripe.http import _pool
from include.sandbox._stripe.money import credit_grant
from include.sandbox._stripe.shapes import (
    charge,
    checkout,
    customer,
    invoice,
    payment_intent,
    refund,
    stamp,
    subscription,
)
from include.sandbox.standin import Serving
from include.sandbox.stripe import LOCK_TIMEOUT_BODY, PERMISSION_BODY, RATE_LIMIT_BODY, StandIn
from tests.processors.stripe_world import CUSTOMER_STEPS, DAY, OLD, RECENT, TODAY, World, as_work, person, subject

UNKNOWN_PATH = {"error": {"type": "invalid_request_error", "message": "Unrecognized request URL (GET: /v1/x)."}}


@pytest.fixture
def world() -> Iterator[World]:
    """A Stripe account without limits in the way."""
    standin = StandIn(limit_factor=1000)
    with Serving(standin) as serving:
        yield World(standin, serving.url)


# -- finding -------------------------------------------------------------------------------------------------------
def test_the_folder_is_the_registry() -> None:
    assert "stripe" in names()


def test_all_customers_of_a_person_are_found_whatever_the_case_of_their_e_mail(world: World) -> None:
    world.seed(person(1, "two_customers"))
    assert len(world.work(subject(1)).locator["customers"]) == 2


def test_a_customer_the_search_does_not_know_yet_is_found_by_its_e_mail(world: World) -> None:
    world.standin.search_delay = 3600
    world.seed(person(1))
    assert len(world.work(subject(1)).locator["customers"]) == 1


def test_a_customer_whose_e_mail_changed_is_found_by_its_account_id(world: World) -> None:
    world.seed(person(1, email="other@example.com"))
    assert len(world.work(subject(1)).locator["customers"]) == 1


def test_a_customer_known_by_e_mail_only_is_found(world: World) -> None:
    world.seed(person(1, "no_metadata"))
    assert len(world.work(subject(1)).locator["customers"]) == 1


def test_accounts_with_ids_that_begin_alike_keep_theirs(world: World) -> None:
    world.seed(person(1), person(10), person(100))
    assert [world.work(subject(n)).locator["customers"] for n in (1, 10, 100)] == [
        ["cus_s0000001x000"], ["cus_s0000010x000"], ["cus_s0000100x000"],
    ]  # fmt: skip


def test_an_e_mail_that_only_contains_ours_is_nobody_we_look_for(world: World) -> None:
    world.seed(person(2, "no_metadata", email="xsample0001@example.com"))
    assert world.locate(subject(1))[0].count == 0


def test_a_customer_with_another_accounts_id_is_not_ours_though_the_e_mail_is(world: World) -> None:
    world.seed(person(1), person(2, email="sample0001@example.com"))
    assert world.work(subject(1)).locator["customers"] == ["cus_s0000001x000"]


def test_an_e_mail_shared_by_two_accounts_of_the_batch_needs_a_person(world: World) -> None:
    world.seed(person(1, "no_metadata"))
    found = world.locate(subject(1), subject(2, emails=("SAMPLE0001@example.com",)), subject(3))
    assert [(f.outcome, f.code) for f in found] == [
        (Outcome.FAILED, "ambiguous"), (Outcome.FAILED, "ambiguous"), (Outcome.LOCATED, None),
    ]  # fmt: skip


def test_an_e_mail_shared_with_a_living_account_needs_a_person(world: World) -> None:
    world.accounts = create_engine("sqlite://")
    world.settings["email_sources"] = [["account_profile", "email"]]
    world.seed(person(1, "no_metadata"))
    with pytest.raises(ConfigurationError, match="account_profile"):
        world.locate(subject(1))


def test_the_accounts_database_says_whose_an_e_mail_is(world: World, engine: object) -> None:
    with engine.begin() as connection:  # type: ignore[attr-defined]
        connection.execute(text("CREATE TABLE account_profile (account_id text, email text)"))
        connection.execute(text("CREATE TABLE billing_contact (account_id text, email text)"))
        connection.execute(text("INSERT INTO billing_contact VALUES ('77', 'Sample0001@example.com')"))
    world.accounts = engine
    world.seed(person(1, "no_metadata"), person(2, "no_metadata"))
    assert [f.code for f in world.locate(subject(1), subject(2))] == ["ambiguous", None]


def test_a_shared_e_mail_does_not_matter_where_customers_carry_account_ids(world: World) -> None:
    world.seed(person(1), person(2, email="sample0001@example.com"))
    found = world.locate(subject(1), subject(2, emails=("sample0001@example.com",)))
    assert [f.locator["customers"] for f in found] == [["cus_s0000001x000"], ["cus_s0000002x000"]]


def test_an_account_without_identifiers_needs_a_person(world: World) -> None:
    assert world.locate(subject(1, account_id="", emails=()))[0].code == "no_identifier"


def test_guests_are_found_by_their_checkout_session(world: World) -> None:
    world.seed(person(1, "guest_only"))
    locator = world.work(subject(1)).locator
    assert (len(locator["sessions"]), len(locator["guest_intents"]), len(locator["charges"])) == (2, 2, 2)


def test_a_customer_that_only_a_checkout_session_links_to_the_e_mail_needs_a_person(world: World) -> None:
    objects = person(2, "no_metadata", email="other@example.com")
    session = checkout("cs_1", objects["customer"][0], "pi_s0000002x000", amount=5, created=stamp(OLD))
    details = {**session["customer_details"], "email": "sample0001@example.com"}
    linked = {**session, "customer": objects["customer"][0]["id"], "customer_details": details}
    world.seed(objects, {"checkout_session": [linked]})
    assert world.locate(subject(1))[0].code == "ambiguous"


def test_more_than_one_page_of_charges_is_read(world: World) -> None:
    world.seed(person(1, payments=230))
    assert len(world.work(subject(1)).locator["charges"]) == 230


def test_more_than_one_page_of_customers_is_read(world: World) -> None:
    rows = [
        customer(f"cus_{i:03d}", email="sample0001@example.com", name="Sample", created=stamp(OLD), account_id="1")
        for i in range(130)
    ]
    world.seed({"customer": rows})
    assert len(world.processor().finder.belongings(subject(1)).live) == 130


def test_a_customer_deleted_by_somebody_else_is_still_redacted(world: World) -> None:
    world.seed(person(1))
    world.standin.search_delay = 3600
    world.standin.store.put(
        "customer", "cus_s0000001x000", {"id": "cus_s0000001x000", "object": "customer", "deleted": True}
    )
    work = world.work(subject(1))
    assert work.locator["gone"] == ["cus_s0000001x000"]
    assert [s.name for s in world.processor().steps(work)] == ["scrub", "redact", "run_redaction"]


def test_nothing_located_is_confirmed_absent_with_count_zero(world: World) -> None:
    found = world.locate(subject(1))[0]
    work = as_work(subject(1), found)
    result = world.read_back(work)
    assert (found.outcome, found.count, found.locator) == (Outcome.LOCATED, 0, {})
    assert world.processor().steps(work) == ()
    assert (result.outcome, result.count) == (Outcome.CONFIRMED_ABSENT, 0)


@pytest.mark.parametrize(
    "hostile",
    ["", "../", "//host.example.com", "a'b", 'a"b', 'x" OR email:"', "a+b@example.com", "김표본0001", "\\", "1%2F"],
)
def test_hostile_values_reach_nobody_else(world: World, hostile: str) -> None:
    world.seed(person(1))
    found = world.locate(subject(2, account_id=hostile, emails=(hostile, f"{hostile}@example.com")))[0]
    assert found.count == 0
    assert world.changes() == []


def test_hostile_ids_that_are_real_are_found(world: World) -> None:
    for number, hostile in enumerate(["a'b", 'a"b', "a\\b", "x OR y", "김표본", "../", "A b"], start=1):
        world.seed(person(number, account_id=hostile))
        assert world.work(subject(number, account_id=hostile)).locator["customers"] == [f"cus_s{number:07d}x000"]


# -- holds ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("variant", "code"),
    [
        ("open_invoice", "open_invoice"), ("draft_invoice", "draft_invoice"), ("dispute_open", "open_dispute"),
        ("non_zero_balance", "non_zero_balance"), ("pending_refund", "pending_refund"),
        ("cash_balance", "non_zero_balance"), ("pending_item", "pending_invoice_item"),
    ],
)  # fmt: skip
def test_what_is_not_settled_blocks_and_is_not_touched(world: World, variant: str, code: str) -> None:
    world.seed(person(1, variant))
    found = world.locate(subject(1))[0]
    assert (found.outcome, found.code) == (Outcome.BLOCKED, code)
    assert world.changes() == []


def test_an_inquiry_that_does_not_mark_its_charge_blocks(world: World) -> None:
    world.seed(person(1, "inquiry", on=RECENT), person(2, on=RECENT))
    found = world.locate(subject(1), subject(2))
    assert [(f.outcome, f.code) for f in found] == [(Outcome.BLOCKED, "open_dispute"), (Outcome.LOCATED, None)]
    asked = [r["path"] for r in world.standin.requests if r["path"].startswith("/v1/disputes")]
    assert len(asked) == 1, "the account's disputes are listed once for a batch"


def test_a_balance_in_another_currency_blocks(world: World) -> None:
    world.seed(person(1))
    moves = [
        {"id": f"cbtxn_{i}", "object": "customer_balance_transaction", "customer": "cus_s0000001x000", "created": i,
         "currency": currency, "ending_balance": end}
        for i, (currency, end) in enumerate([("krw", 0), ("usd", -500), ("krw", 0)])
    ]  # fmt: skip
    world.seed({"balance_transaction": moves})
    assert world.locate(subject(1))[0].code == "non_zero_balance"


@pytest.mark.parametrize(("category", "outcome"), [("paid", Outcome.BLOCKED), ("promotional", Outcome.LOCATED)])
def test_credits_that_were_bought_block_and_a_promotion_does_not(world: World, category: str, outcome: Outcome) -> None:
    objects = person(1)
    world.seed(objects)
    owner = objects["customer"][0]
    world.seed({"credit_grant": [credit_grant("credgr_1", owner, value=5, created=stamp(OLD), category=category)]})
    assert world.locate(subject(1))[0].outcome is outcome


def test_an_uncollectible_invoice_blocks_where_policy_says_so(world: World) -> None:
    objects = person(1)
    bad = invoice("in_bad", objects["customer"][0], amount=5, created=stamp(OLD), status="uncollectible")
    world.seed(objects, {"invoice": [bad]})
    assert world.locate(subject(1))[0].outcome is Outcome.LOCATED
    world.settings["uncollectible_invoices"] = "hold"
    assert world.locate(subject(1))[0].code == "uncollectible_invoice"


def test_running_subscriptions_block_where_policy_does_not_cancel_them(world: World) -> None:
    world.settings["subscriptions"] = "hold"
    world.seed(person(1, "active_subscription"), person(2))
    assert [f.code for f in world.locate(subject(1), subject(2))] == ["running_subscription", None]


def test_a_customer_that_an_account_of_the_new_api_owns_needs_a_person(world: World) -> None:
    objects = person(1)
    objects["customer"][0]["customer_account"] = "acct_1"
    world.seed(objects)
    assert world.locate(subject(1))[0].code == "customer_account"


def test_a_setting_nobody_knows_is_refused(world: World) -> None:
    world.settings["dispute_windw_days"] = 5
    with pytest.raises(ConfigurationError, match="dispute_windw_days"):
        world.processor()


@pytest.mark.parametrize("value", [-1, "120", True, None])
def test_a_window_that_is_no_number_of_days_is_refused(world: World, value: object) -> None:
    world.settings["dispute_window_days"] = value
    with pytest.raises(ConfigurationError, match="dispute_window_days"):
        world.processor()


@pytest.mark.parametrize("status", ["processing", "requires_capture", "requires_action"])
def test_a_payment_on_its_way_blocks(world: World, status: str) -> None:
    objects = person(1)
    intent = payment_intent("pi_busy", objects["customer"][0], amount=5, created=stamp(TODAY - DAY))
    world.seed(objects, {"payment_intent": [{**intent, "status": status}]})
    assert world.locate(subject(1))[0].code == "pending_payment"


def test_a_hold_that_came_after_locating_stops_the_first_step(world: World) -> None:
    world.seed(person(1))
    work = world.work(subject(1))
    world.seed(person(1, "open_invoice"))
    _, result = world.advance(work)
    assert result is not None
    assert (result.outcome, result.code) == (Outcome.BLOCKED, "open_invoice")
    assert world.changes() == []


def test_usage_owed_is_billed_before_the_subscription_ends_and_then_blocks(world: World) -> None:
    objects = person(1)
    world.seed(objects, {"subscription": [subscription("sub_9", objects["customer"][0], created=stamp(OLD), owed=700)]})
    _, result = world.advance(world.work(subject(1)))
    assert result is not None
    assert (result.outcome, result.code) == (Outcome.BLOCKED, "open_invoice")
    assert [i["amount_due"] for i in world.all("invoice") if i["status"] == "open"] == [700]
    assert world.all("customer")[0].get("deleted") is None


# -- what the law keeps ----------------------------------------------------------------------------------------------
def test_every_payment_is_extracted_once_with_dates_and_items(world: World) -> None:
    world.seed(person(1, payments=3))
    records = world.processor().extract([world.work(subject(1))])
    first = min(records, key=lambda r: r.dates["transaction"])
    assert len(records) == 3
    assert first.dates == {"transaction": OLD, "paid_and_supplied": OLD}
    wanted = ("name", "email", "fee.billed", "fee.received", "fee.received_at", "fee.method")
    assert {k: first.items[k] for k in wanted} == {
        "name": "Sample Person 0001", "email": "sample0001@example.com", "fee.billed": 11000, "fee.received": 11000,
        "fee.received_at": OLD.isoformat(), "fee.method": "card",
    }  # fmt: skip
    assert first.items["billing_address"] == "1 Sample Road, Unit 1, Seoul, 00000, KR"


def test_a_refund_lowers_what_was_received(world: World) -> None:
    objects = person(1, payments=1)
    objects["charge"][0]["amount_refunded"] = 1000
    world.seed(objects)
    assert world.processor().extract([world.work(subject(1))])[0].items["fee.received"] == 10000


def test_other_currencies_keep_their_name_and_decimals(world: World) -> None:
    objects = person(1, payments=1)
    objects["charge"][0]["currency"] = "usd"
    world.seed(objects)
    assert world.processor().extract([world.work(subject(1))])[0].items["fee.received"] == "USD 110.00"


def test_an_invoice_settled_outside_stripe_is_a_record_of_its_own(world: World) -> None:
    objects = person(1, payments=1)
    for kind in ("charge", "payment_intent", "invoice_payment"):
        objects[kind] = []
    world.seed(objects)
    records = world.processor().extract([world.work(subject(1))])
    assert [(r.items["fee.received"], r.items["fee.method"]) for r in records] == [(11000, "outside_stripe")]


def test_payments_of_guests_are_extracted(world: World) -> None:
    world.seed(person(1, "guest_only"))
    assert len(world.processor().extract([world.work(subject(1))])) == 2


def test_a_charge_made_while_the_list_was_paged_is_extracted(world: World) -> None:
    objects = person(1, payments=120)
    late = objects["charge"].pop()
    world.seed(objects)
    work, processor = world.work(subject(1)), world.processor()
    real, seen = processor.api.pages, []

    def pages(path: str, **params: object) -> list[dict[str, object]]:
        rows = real(path, **params)
        if path == "/v1/charges" and not seen:
            seen.append(path)
            world.seed({"charge": [late]})
        return rows  # type: ignore[no-any-return]

    processor.api.pages = pages
    assert late["id"] in {r.source_id for r in processor.extract([work])}


def test_an_export_that_is_refused_stops_before_anything_is_destroyed(world: World) -> None:
    world.seed(person(1), person(2))
    works = [world.work(subject(1)), world.work(subject(2))]
    bad = {"error": {"type": "invalid_request_error", "code": "parameter_unknown", "message": "no"}}
    world.fault("status", status=400, body=bad, path="cus_s0000001")
    with pytest.raises(Unreachable):
        world.processor().extract(works)


# -- the way to the end ----------------------------------------------------------------------------------------------
def test_an_old_customer_is_erased_and_redacted_in_one_go(world: World) -> None:
    world.seed(person(1, "legacy_source"), person(2))
    other = [o for o in map(json.dumps, world.standin.store.dump()) if "s0000002" in o]
    work, stopped = world.advance(world.work(subject(1)))
    result = world.read_back(work)
    assert stopped is None
    assert (result.outcome, result.basis) == (Outcome.RETAINED_BY_PROCESSOR, "stripe_aml_card_rules")
    left = "\n".join(o for o in map(json.dumps, world.standin.store.dump()) if "s0000001" in o)
    assert "sample0001@example.com" not in left
    assert "Sample Person 0001" not in left
    assert [o for o in map(json.dumps, world.standin.store.dump()) if "s0000002" in o] == other


def test_a_young_payment_lets_the_customer_go_and_makes_redaction_wait(world: World) -> None:
    world.seed(person(1, on=RECENT))
    _, stopped = world.advance(world.work(subject(1)))
    assert stopped is not None
    assert stopped.until == RECENT + DAY + 120 * DAY
    assert world.all("customer") == [{"id": "cus_s0000001x000", "object": "customer", "deleted": True}]
    assert world.all("redaction_job") == []


def test_redaction_follows_when_the_window_has_closed(world: World) -> None:
    world.seed(person(1, on=RECENT))
    work, _ = world.advance(world.work(subject(1)))
    world.move(RECENT + 121 * DAY)
    work, stopped = world.advance(work)
    assert stopped is None
    assert world.read_back(work).outcome is Outcome.RETAINED_BY_PROCESSOR
    assert world.all("charge")[0]["billing_details"]["email"] == "[redacted]"


def test_a_policy_window_shorter_than_stripes_ninety_days_does_not_shorten_the_wait(world: World) -> None:
    world.settings["dispute_window_days"] = 5
    world.seed(person(1, on=RECENT, payments=1))
    work, stopped = world.advance(world.work(subject(1)))
    assert stopped is not None
    assert stopped.until == RECENT + 91 * DAY
    world.move(stopped.until)
    assert world.advance(work)[1] is None


def test_subscriptions_end_cards_are_detached_and_fields_blanked_before_deletion(world: World) -> None:
    world.seed(person(1, "active_subscription"))
    work, processor = world.work(subject(1)), world.processor()
    for step in ("cancel_subscriptions", "detach", "scrub"):
        assert processor.act(step, [work])[0].outcome is Outcome.ACCEPTED
    assert {s["status"] for s in world.all("subscription")} == {"canceled"}
    assert [m["customer"] for m in world.all("payment_method")] == [None]
    row = world.all("customer")[0]
    assert [row[k] for k in ("email", "name", "phone", "address", "description", "individual_name")] == [None] * 6
    assert row["metadata"] == {"account_id": "1"}
    assert {c["receipt_email"] for c in world.all("charge")} == {None}
    assert {i["description"] for i in world.all("payment_intent")} == {None}


def test_more_sources_than_a_customer_shows_are_all_taken_off(world: World) -> None:
    objects = person(1, "legacy_source")
    more = [{**objects["source"][0], "id": f"card_{i:03d}"} for i in range(25)]
    world.seed(objects, {"source": more})
    assert world.processor().act("detach", [world.work(subject(1))])[0].outcome is Outcome.ACCEPTED
    assert world.all("source") == []


def test_a_begun_payment_is_blanked_while_it_can_be_and_then_cancelled(world: World) -> None:
    objects = person(1)
    begun = payment_intent("pi_begun", objects["customer"][0], amount=5, created=stamp(OLD))
    world.seed(objects, {"payment_intent": [{**begun, "status": "requires_payment_method", "latest_charge": None}]})
    world.processor().act("scrub", [world.work(subject(1))])
    row = next(i for i in world.all("payment_intent") if i["id"] == "pi_begun")
    assert (row["status"], row["receipt_email"], row["description"]) == ("canceled", None, None)


def test_a_final_payment_is_asked_once_what_it_takes(world: World) -> None:
    world.settings["threads"] = 1
    world.seed(*(person(n) for n in range(1, 5)))
    results = world.processor().act("scrub", [world.work(subject(n)) for n in range(1, 5)])
    assert {r.code for r in results} == {"left_to_redaction"}
    assert [r["status"] for r in world.standin.requests].count(400) == 1
    assert {(i["description"], i["receipt_email"] is None) for i in world.all("payment_intent")} == {(None, False)}


def test_a_scrubbed_customer_can_still_be_found(world: World) -> None:
    world.seed(person(1, "no_metadata"))
    work = world.work(subject(1))
    world.processor().act("scrub", [work])
    assert world.work(subject(1)).locator["customers"] == work.locator["customers"]


def test_begun_payments_are_cancelled_so_that_redaction_can_run(world: World) -> None:
    objects = person(1)
    intent = payment_intent("pi_begun", objects["customer"][0], amount=5, created=stamp(OLD))
    world.seed(objects, {"payment_intent": [{**intent, "status": "requires_payment_method", "latest_charge": None}]})
    work, stopped = world.advance(world.work(subject(1)))
    assert stopped is None
    assert world.read_back(work).outcome is Outcome.RETAINED_BY_PROCESSOR


def test_guests_are_redacted_through_their_payments(world: World) -> None:
    world.seed(person(1, "guest_only"))
    work, stopped = world.advance(world.work(subject(1)))
    assert stopped is None
    assert world.read_back(work).outcome is Outcome.RETAINED_BY_PROCESSOR
    assert "sample0001@example.com" not in json.dumps(list(world.standin.store.dump()))


def test_a_person_with_more_than_ten_customers_gets_more_than_one_job(world: World) -> None:
    rows = [
        customer(f"cus_{i:03d}", email="sample0001@example.com", name="Sample", created=stamp(OLD), account_id="1")
        for i in range(13)
    ]
    world.seed({"customer": rows})
    work, stopped = world.advance(world.work(subject(1)))
    assert stopped is None
    assert [len(j["objects"]["customers"]) for j in world.all("redaction_job")] == [10, 3]
    assert world.read_back(work).outcome is Outcome.RETAINED_BY_PROCESSOR


def test_everything_done_twice_changes_nothing_more(world: World) -> None:
    world.seed(person(1))
    located = world.work(subject(1))
    work, _ = world.advance(located)
    before = world.changes()
    again, stopped = world.advance(work)
    assert stopped is None
    assert world.changes() == before
    assert world.read_back(again) == world.read_back(work)


def test_a_second_run_from_the_first_locator_ends_the_same_way(world: World) -> None:
    world.seed(person(1))
    located = world.work(subject(1))
    world.advance(located)
    work, stopped = world.advance(located)
    assert stopped is None
    assert world.read_back(work).outcome is Outcome.RETAINED_BY_PROCESSOR
    assert len(world.all("redaction_job")) == 1


# -- redaction ---------------------------------------------------------------------------------------------------------
def test_redaction_not_enabled_is_retained_by_the_processor_and_said_so(world: World) -> None:
    world.standin.redaction_enabled = False
    world.seed(person(1))
    work, stopped = world.advance(world.work(subject(1)))
    result = world.read_back(work)
    due = TODAY + 30 * DAY
    assert stopped is None
    assert (result.outcome, result.code, result.basis) == (
        Outcome.RETAINED_BY_PROCESSOR, "redaction_not_enabled", "processor_own_duties",
    )  # fmt: skip
    assert (result.needs_person, result.until) == (True, due), "a request to Stripe stays open"
    assert result.exceptions == (
        {
            "item": "kept_by_processor", "items": ["customer", "charge", "payment_intent", "invoice"],
            "law": "processor_own_duties",
        },
        {"item": "manual_request", "items": ["redaction_not_enabled"], "until": due.isoformat()},
    )  # fmt: skip
    assert "redaction_not_enabled" in REQUESTS


def test_redaction_that_stripe_switches_on_later_is_taken_up(world: World) -> None:
    world.standin.redaction_enabled = False
    world.seed(person(1))
    work, _ = world.advance(world.work(subject(1)))
    world.standin.redaction_enabled = True
    again = world.read_back(work)
    assert (again.outcome, again.code) == (Outcome.FAILED, "redaction_outstanding")
    assert again.locator is not None
    work, stopped = world.advance(replace(work, locator=again.locator))
    assert stopped is None
    assert world.read_back(work).code == "inaccessible_to_us"


def test_evidence_lists_what_stripe_keeps_after_a_redaction(world: World) -> None:
    world.seed(person(1, "paid_back"))
    work, _ = world.advance(world.work(subject(1)))
    (kept,) = world.read_back(work).exceptions
    assert kept == {
        "item": "kept_by_processor", "law": "aml_and_card_rules",
        "items": ["customer", "charge", "payment_intent", "invoice", "refund", "dispute", "credit_note"],
    }  # fmt: skip


def test_a_lost_create_reply_is_settled_at_once_by_listing(world: World) -> None:
    world.seed(person(1))
    world.fault("cut_after", method="POST", path="redaction_jobs$", times=3)
    work, stopped = world.advance(world.work(subject(1)))
    assert stopped is None
    assert len(world.all("redaction_job")) == 1
    assert world.read_back(work).outcome is Outcome.RETAINED_BY_PROCESSOR


def test_a_job_whose_id_was_never_stored_is_found_by_listing(world: World) -> None:
    world.seed(person(1))
    work, _ = world.advance(world.work(subject(1)))
    bare = replace(work, locator={**work.locator, "jobs": [], "redaction": None})
    world.move(TODAY + 2 * DAY)
    result = world.processor().act("redact", [bare])[0]
    assert result.outcome is Outcome.ACCEPTED
    assert result.locator is not None
    assert [j["id"] for j in result.locator["jobs"]] == [j["id"] for j in world.all("redaction_job")]


def test_a_job_that_holds_other_people_is_never_run_by_us(world: World) -> None:
    world.seed(person(1), person(2))
    work = world.work(subject(1))
    other = world.work(subject(2))
    api = world.processor().api
    api.post(
        "/v1/privacy/redaction_jobs",
        {"objects": {"customers": [*work.locator["customers"], *other.locator["customers"]]}}, preview=True,
    )  # fmt: skip
    _, stopped = world.advance(work)
    assert stopped is not None
    assert (stopped.outcome, stopped.code) == (Outcome.FAILED, "redaction_refused")
    assert world.all("customer")[1]["email"] == "sample0002@example.com"


def test_validation_errors_are_shown_per_kind_of_object_and_named_in_the_locator_only(world: World) -> None:
    objects = person(1)
    world.seed(objects)
    work = world.work(subject(1))
    for step in CUSTOMER_STEPS:
        result = world.processor().act(step, [work])[0]
        work = replace(work, locator=result.locator) if result.locator is not None else work
    method = {**objects["payment_method"][0], "customer": "cus_s0000001x000"}
    running = subscription("sub_9", objects["customer"][0], created=stamp(OLD))
    world.seed({"payment_method": [method, {**method, "id": "pm_2"}], "subscription": [running]})
    work, stopped = world.advance(work, "redact", "run_redaction")
    assert stopped is not None
    assert (stopped.outcome, stopped.code) == (Outcome.FAILED, "redaction_invalid_state")
    assert stopped.counts == {"payment_method.invalid_state": 2, "subscription.invalid_state": 1}
    assert {e["id"] for e in work.locator["errors"]} == {method["id"], "pm_2", "sub_9"}
    assert world.read_back(work).code == "redaction_outstanding"
    for row in world.all("payment_method"):
        world.standin.store.update("payment_method", row["id"], customer=None)
    world.standin.store.update("subscription", "sub_9", status="canceled")
    result = world.processor().act("run_redaction", [work])[0]
    assert result.outcome is Outcome.ACCEPTED, "the same job is validated again"
    assert len(world.all("redaction_job")) == 1


def test_more_errors_than_a_job_shows_are_all_counted(world: World) -> None:
    objects = person(1)
    world.seed(objects)
    work = world.work(subject(1))
    for step in CUSTOMER_STEPS:
        result = world.processor().act(step, [work])[0]
        work = replace(work, locator=result.locator) if result.locator is not None else work
    method = {**objects["payment_method"][0], "customer": "cus_s0000001x000"}
    world.seed({"payment_method": [{**method, "id": f"pm_{i}"} for i in range(25)]})
    _, stopped = world.advance(work, "redact", "run_redaction")
    assert stopped is not None
    assert stopped.counts == {"payment_method.invalid_state": 25}


def test_a_job_still_running_after_the_polling_time_waits_for_tomorrow(world: World) -> None:
    world.settings["poll_seconds"] = 0.1
    world.standin.job_reads = 1000
    world.seed(person(1))
    work, stopped = world.advance(world.work(subject(1)))
    assert stopped is not None
    assert (stopped.outcome, stopped.until) == (Outcome.AWAITING, TODAY + DAY)
    world.standin.job_reads = 1
    work, stopped = world.advance(work)
    assert stopped is None


def test_a_cancelled_job_is_made_anew_and_stored_before_it_runs(world: World) -> None:
    world.seed(person(1))
    work = world.work(subject(1))
    for step in ("cancel_subscriptions", "detach", "scrub", "delete_customer", "redact"):
        result = world.processor().act(step, [work])[0]
        work = replace(work, locator=result.locator) if result.locator is not None else work
    world.standin.store.update("redaction_job", world.all("redaction_job")[0]["id"], status="canceled")
    world.move(TODAY + DAY)
    result = world.processor().act("run_redaction", [work])[0]
    assert (result.outcome, result.code) == (Outcome.AWAITING, "redaction_canceled")
    assert result.locator is not None
    work = replace(work, locator=result.locator)
    assert world.processor().act("run_redaction", [work])[0].outcome is Outcome.ACCEPTED


def test_a_dispute_opened_after_the_deletion_makes_redaction_wait(world: World) -> None:
    world.seed(person(1, on=RECENT))
    work, _ = world.advance(world.work(subject(1)))
    disputed = person(1, "dispute_open", on=RECENT)
    world.seed({"charge": disputed["charge"], "dispute": disputed["dispute"]})
    world.move(TODAY + 200 * DAY)
    _, stopped = world.advance(work)
    assert stopped is not None
    assert (stopped.outcome, stopped.code) == (Outcome.AWAITING, "open_dispute")
    assert world.all("redaction_job") == []


def _until(world: World, step: str) -> Work:
    """Return the work as it is stored when a task ended before `step`."""
    work = world.work(subject(1))
    for name in (*CUSTOMER_STEPS, "redact"):
        if name == step:
            break
        result = world.processor().act(name, [work])[0]
        work = replace(work, locator=result.locator) if result.locator is not None else work
    return work


def test_a_dispute_opened_while_a_job_was_validated_keeps_it_from_being_run(world: World) -> None:
    world.seed(person(1))
    work = _until(world, "run_redaction")
    world.standin.store.update("redaction_job", world.all("redaction_job")[0]["id"], status="ready")
    disputed = person(1, "dispute_open")
    world.seed({"charge": disputed["charge"], "dispute": disputed["dispute"]})
    world.move(TODAY + DAY)
    result = world.processor().act("run_redaction", [work])[0]
    assert (result.outcome, result.code) == (Outcome.AWAITING, "open_dispute")
    assert [j["status"] for j in world.all("redaction_job")] == ["ready"]


def test_a_refund_made_while_a_job_was_validated_is_archived_before_the_job_is_run(world: World) -> None:
    world.seed(person(1))
    work = _until(world, "run_redaction")
    paid = world.all("charge")[0]
    world.standin.store.update("charge", paid["id"], refunds=None)
    world.seed({"refund": [refund("re_1", paid["id"], amount=5, created=stamp(TODAY), status="succeeded")]})
    world.move(TODAY + DAY)
    result = world.processor().act("run_redaction", [work])[0]
    assert (result.outcome, result.code) == (Outcome.AWAITING, NOT_ARCHIVED)
    assert result.locator is not None
    assert [r.source_id for r in world.extract(replace(work, locator=result.locator))] == ["re_1"]


@pytest.mark.parametrize("step", CUSTOMER_STEPS[1:])
def test_a_step_that_an_earlier_night_left_off_at_reads_first_what_keeps_the_customer(world: World, step: str) -> None:
    """A hold or an outage may lie between two steps; what came up meanwhile keeps the customer all the same."""
    objects = person(1)
    world.seed(objects)
    work = _until(world, step)
    new = invoice("in_new", objects["customer"][0], amount=5, created=stamp(TODAY), status="open")
    world.seed({"invoice": [new]})
    before = world.changes()
    world.move(TODAY + 40 * DAY)
    result = world.processor().act(step, [work])[0]
    assert (result.outcome, result.code) == (Outcome.BLOCKED, "open_invoice")
    assert world.changes() == before
    assert world.all("customer")[0].get("deleted") is not True


def test_a_charge_between_two_steps_is_archived_before_the_customer_is_deleted(world: World) -> None:
    objects = person(1)
    world.seed(objects)
    work = _until(world, "delete_customer")
    world.seed({"charge": [charge("ch_new", objects["customer"][0], amount=7, created=stamp(TODAY), method="card")]})
    world.move(TODAY + DAY)
    result = world.processor().act("delete_customer", [work])[0]
    assert (result.outcome, result.code) == (Outcome.AWAITING, NOT_ARCHIVED)
    assert world.all("customer")[0].get("deleted") is not True


def test_a_job_that_succeeded_without_redacting_is_found_out(world: World) -> None:
    world.seed(person(1))
    work, _ = world.advance(world.work(subject(1)))
    world.seed({"charge": person(1)["charge"]})
    result = world.read_back(work)
    assert (result.outcome, result.code, result.needs_person) == (Outcome.FAILED, "redaction_incomplete", True)
    assert result.counts == {"charge": 2}


@pytest.mark.parametrize("kind", ["payment_intent", "invoice", "dispute"])
def test_a_redaction_that_kept_one_kind_is_found_out(world: World, kind: str) -> None:
    objects = person(1, "paid_back")
    world.seed(objects)
    work, _ = world.advance(world.work(subject(1)))
    world.seed({kind: objects[kind]})
    assert world.read_back(work).counts == {kind: len(objects[kind])}


# -- faults -------------------------------------------------------------------------------------------------------
def test_a_deletion_that_only_says_200_is_not_believed(world: World) -> None:
    world.seed(person(1))
    world.fault("lie", method="DELETE", path="/v1/customers/[^/]+$")
    work, stopped = world.advance(world.work(subject(1)))
    assert stopped is not None
    assert (stopped.outcome, stopped.code) == (Outcome.FAILED, "still_present")
    assert world.read_back(work).code == "still_present"
    assert world.advance(work)[1] is None


def test_a_deletion_whose_answer_was_lost_is_settled_by_reading(world: World) -> None:
    world.seed(person(1))
    world.fault("cut_after", method="DELETE", path="/v1/customers/[^/]+$")
    assert world.advance(world.work(subject(1)))[1] is None


def test_an_unknown_customer_is_not_a_deleted_one(world: World) -> None:
    world.seed(person(1))
    work = world.work(subject(1))
    world.standin.store.delete("customer", "cus_s0000001x000")
    assert world.read_back(work).code == "still_present"


def test_a_customer_the_index_showed_too_late_is_found_by_the_read_back(world: World) -> None:
    world.standin.redaction_enabled = False
    world.standin.search_delay = 3600
    world.seed(person(1), person(9, account_id="1", email="other@example.com"))
    work = world.work(subject(1))
    for step in ("scrub", "delete_customer", "redact"):
        result = world.processor().act(step, [work])[0]
        work = replace(work, locator=result.locator) if result.locator is not None else work
    world.standin.search_delay = 0
    world.seed(person(9, account_id="1", email="other@example.com"))
    result = world.read_back(work)
    assert (result.outcome, result.code) == (Outcome.FAILED, "late_customer")
    assert result.locator is not None
    assert len(result.locator["customers"]) == 2, "the one already deleted is known by the locator alone"
    work = replace(work, locator=result.locator)
    work, stopped = world.advance(work)
    assert stopped is not None
    assert stopped.code == NOT_ARCHIVED
    assert {r.source_id for r in world.extract(work)} == {"ch_s0000009x000", "ch_s0000009x001"}
    assert world.advance(work)[1] is None
    assert all(c.get("deleted") for c in world.all("customer"))


def test_a_charge_that_came_after_the_extract_is_extracted_before_the_customer_goes(world: World) -> None:
    world.seed(person(1))
    work = world.work(subject(1))
    known = work.locator["extracted"]["charges"]
    work = replace(work, locator={**work.locator, "extracted": {**work.locator["extracted"], "charges": known[1:]}})
    result = world.processor().act("cancel_subscriptions", [work])[0]
    assert known
    assert (result.outcome, result.code) == (Outcome.AWAITING, NOT_ARCHIVED)
    assert result.locator is not None
    assert [r.source_id for r in world.extract(replace(work, locator=result.locator))] == known[:1]


def test_what_only_an_e_mail_found_stays_known_when_a_refund_follows_the_locating(world: World) -> None:
    """The company's own database, and with it the e-mail, may be erased by then: nobody could be located anew."""
    world.seed(person(1, "no_metadata"), person(2, "guest_only", email="sample0001@example.com"))
    work = world.work(subject(1))
    paid = world.all("charge")[0]
    world.seed({"refund": [refund("re_1", paid["id"], amount=5, created=stamp(TODAY), status="succeeded")]})
    world.standin.store.update("charge", paid["id"], refunds=None)
    result = world.processor().act("cancel_subscriptions", [work])[0]
    assert (result.outcome, result.code) == (Outcome.AWAITING, NOT_ARCHIVED)
    assert result.locator is not None
    assert {k: result.locator[k] for k in ("customers", "sessions")} == {
        k: work.locator[k] for k in ("customers", "sessions")
    }
    work = replace(work, locator=result.locator)
    assert [r.source_id for r in world.extract(work)] == ["re_1"]
    world.advance(work)
    assert all(row.get("deleted") for row in world.all("customer"))


@pytest.mark.parametrize(
    "headers",
    [{"Stripe-Rate-Limited-Reason": "endpoint-rate"}, {"Stripe-Should-Retry": "true"}, {"Retry-After": "0"}, {}],
)
def test_a_short_429_is_waited_out(world: World, headers: dict[str, str]) -> None:
    world.seed(person(1))
    processor = world.processor()
    waits: list[float] = []
    processor.api._sleep = waits.append
    world.fault("status", status=429, headers=headers, body=RATE_LIMIT_BODY)
    assert processor.locate([subject(1)])[0].outcome is Outcome.LOCATED
    assert waits == [pytest.approx(1.0, abs=1.0)]


@pytest.mark.parametrize(
    ("headers", "body", "code", "seconds"),
    [
        ({"Retry-After": "600"}, RATE_LIMIT_BODY, "rate_limited", 600),
        ({"Retry-After": "Fri, 01 Jan 2100 00:00:00 GMT"}, RATE_LIMIT_BODY, "rate_limited", 1e6),
        ({"Stripe-Should-Retry": "false"}, LOCK_TIMEOUT_BODY, "lock_timeout", 1),
        ({"Stripe-Rate-Limited-Reason": "global-concurrency"}, RATE_LIMIT_BODY, "global_concurrency", 1),
        ({"Stripe-Rate-Limited-Reason": "resource-specific"}, RATE_LIMIT_BODY, "resource_specific", 1),
    ],
)
def test_a_long_429_stops_the_batch_with_its_wait(
    world: World, headers: dict[str, str], body: object, code: str, seconds: float
) -> None:
    processor = world.processor()
    processor.api._sleep = lambda _seconds: None
    world.fault("status", status=429, headers=headers, body=body, times=99)
    with pytest.raises(RateLimited) as caught:
        processor.locate([subject(1)])
    assert caught.value.code == code
    assert caught.value.retry_after >= seconds


@pytest.mark.parametrize("body", [LOCK_TIMEOUT_BODY, {"error": {"type": "idempotency_error"}}, "<html>"])
def test_a_409_is_tried_again_and_says_nothing_about_the_record(world: World, body: object) -> None:
    world.seed(person(1))
    world.fault("status", status=409, body=body, times=2, after=3)
    assert world.advance(world.work(subject(1)))[1] is None
    world.fault("status", status=409, body=body, times=99)
    with pytest.raises(Unreachable):
        world.locate(subject(1))


def test_a_refusal_that_stripe_says_to_repeat_is_repeated(world: World) -> None:
    world.seed(person(1))
    refusal = {"error": {"type": "invalid_request_error", "code": "parameter_missing", "message": "no"}}
    world.fault("status", status=400, body=refusal, headers={"Stripe-Should-Retry": "true"}, after=2)
    assert world.locate(subject(1))[0].outcome is Outcome.LOCATED


@pytest.mark.parametrize("code", ["HongGildong", "010-1234-5678", "sample person", "a" * 300, 7, None, "x\ny"])
def test_a_code_that_is_none_is_not_repeated(world: World, code: object) -> None:
    world.seed(person(1))
    work = world.work(subject(1))
    body = {"error": {"type": "invalid_request_error", "code": code, "message": "Sample Person 0001"}}
    world.fault("status", status=400, body=body, times=99, method="POST")
    result = world.processor().act("scrub", [work])[0]
    assert (result.outcome, result.code) == (Outcome.FAILED, "invalid_request")


def test_a_wrong_key_is_refused(world: World) -> None:
    world.key = "sk_test_expired"
    with pytest.raises(Refused, match="unauthorized"):
        world.processor().check()


def test_a_restricted_key_is_told_which_permission_it_lacks(world: World) -> None:
    world.fault("status", status=403, body=PERMISSION_BODY)
    with pytest.raises(Refused) as caught:
        world.processor().check()
    assert caught.value.code == "missing_rak_customer_write"
    assert "rk_test" not in str(caught.value)


@pytest.mark.parametrize("body", [None, "no", {"error": 7}, {}])
def test_the_status_counts_when_the_body_says_nothing(world: World, body: object) -> None:
    for status, kind in ((401, Refused), (403, Refused), (429, RateLimited), (502, Unreachable), (400, Unreachable)):
        world.standin.faults.clear()
        world.fault("status", status=status, body=body, headers={"Retry-After": "99"}, times=9)
        with pytest.raises(kind):
            world.processor().check()


def test_a_publishable_key_is_refused_before_any_call(world: World) -> None:
    world.key = "pk_test_x"
    with pytest.raises(ConfigurationError):
        world.processor()


@pytest.mark.parametrize("kind", ["status", "html", "cut_before"])
def test_trouble_that_passes_is_outlived(world: World, kind: str) -> None:
    world.seed(person(1))
    world.fault(kind, times=2, after=3)
    assert world.advance(world.work(subject(1)))[1] is None


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("status", {"status": 500}), ("status", {"status": 503, "body": "oops"}),
        ("status", {"status": 500, "body": {"error": 7}}), ("status", {"status": 404, "body": UNKNOWN_PATH}),
        ("html", {"status": 200}), ("html", {"status": 404}), ("cut_before", {}),
        ("status", {"status": 200, "body": {}}), ("status", {"status": 200, "body": [1]}),
        ("status", {"status": 302, "headers": {"Location": "http://other.example.com/"}}),
    ],
)  # fmt: skip
def test_trouble_that_stays_is_unreachable(world: World, kind: str, fields: dict[str, object]) -> None:
    world.fault(kind, times=9999, **fields)
    with pytest.raises(Unreachable):
        world.locate(subject(1))


def test_one_persons_trouble_is_that_persons_only(world: World) -> None:
    world.seed(person(1), person(2))
    one, two = world.work(subject(1)), world.work(subject(2))
    world.fault("status", status=500, path="cus_s0000001", times=9999)
    results = world.processor().act("scrub", [one, two])
    assert [r.outcome for r in results] == [Outcome.FAILED, Outcome.ACCEPTED]
    assert results[0].code == "server_error"


def test_a_dead_vendor_is_given_up_after_a_few(world: World) -> None:
    world.fault("status", status=500, times=9999)
    with pytest.raises(Unreachable):
        world.locate(*(subject(n) for n in range(1, 40)))
    assert len(world.standin.requests) <= 3 * (batch.GIVE_UP_AFTER + 4)


def test_our_own_quota_is_asked_before_calling(world: World) -> None:
    processor = world.processor()
    asked: list[str] = []
    processor.api._reserve = lambda quota, _calls: (asked.append(quota), 0.0)[1]
    processor.check()
    known = {q.name for q in processor.quotas}
    assert {"api", "list customers"} <= set(asked) <= known


@pytest.mark.parametrize(("factor", "block"), [(1, 5), (20, 25)])
def test_wider_limits_are_reserved_in_larger_blocks(world: World, factor: float, block: int) -> None:
    extra = {"endpoint_url": world.url, "limit_factor": factor}
    site = Site(Connection("stripe", password=world.key, extra=extra), {}, TODAY)
    processor = load("stripe")(site)
    blocks: list[int] = []
    processor.api._reserve = lambda _quota, calls: (blocks.append(calls), 0.0)[1]
    processor.check()
    assert set(blocks) == {block}


def test_calls_share_few_connections(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[object] = []
    real = HTTPConnection.connect
    monkeypatch.setattr(HTTPConnection, "connect", lambda self: (opened.append(self), real(self))[1])
    world.seed(*(person(n) for n in range(1, 9)))
    world.processor().locate([subject(n) for n in range(1, 9)])
    assert len(world.standin.requests) > 40
    assert len(opened) <= 4


def test_a_proxy_is_used_for_stripe_but_not_for_an_address_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://user:pass@127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    ours, theirs = (_pool(address, 1, ca_bundle_path, "api.example.com") for address in ("http://127.0.0.1:8", None))
    assert ours.proxy is None
    assert theirs.proxy is not None
    assert theirs.proxy.port == 9
    assert theirs.proxy_headers["proxy-authorization"].startswith("Basic ")
    monkeypatch.setenv("no_proxy", "api.example.com")
    assert _pool(None, 1, ca_bundle_path, "api.example.com").proxy is None
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("https_proxy", "socks5://127.0.0.1:9")
    with pytest.raises(ConfigurationError, match="HTTPS_PROXY"):
        _pool(None, 1, ca_bundle_path, "api.example.com")


def test_no_wait_longer_than_twenty_seconds_is_slept(world: World) -> None:
    processor = world.processor()
    processor.api._reserve = lambda _quota, _calls: 21.0
    with pytest.raises(RateLimited):
        processor.check()


def test_personal_data_reaches_neither_logs_nor_exceptions(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    world.seed(person(1))
    world.advance(world.work(subject(1)))
    body = {"error": {"type": "api_error", "code": "sample0001@example.com", "message": "No Sample Person 0001"}}
    world.fault("status", status=500, body=body, times=99)
    with pytest.raises(ProcessorError) as caught:
        world.locate(subject(1))
    chain = [caught.value, caught.value.__cause__, caught.value.__context__]
    said = caplog.text + "".join(f"{e!r}{e}" for e in chain if e is not None and isinstance(e, ProcessorError))
    assert "sample0001" not in said
    assert "Sample Person" not in said
    assert caught.value.__cause__ is None


def test_a_customer_stripe_will_not_delete_for_its_cash_balance_needs_a_person(world: World) -> None:
    objects = person(1)
    objects["customer"][0]["_cash_balance"] = {"krw": 0}
    world.seed(objects)
    _, stopped = world.advance(world.work(subject(1)))
    assert stopped is not None
    assert (stopped.code, stopped.needs_person) == ("deletion_refused_cash_balance", True)


def test_begun_subscriptions_sessions_and_set_ups_are_ended_first(world: World) -> None:
    world.seed(person(1, "begun"))
    work, stopped = world.advance(world.work(subject(1)))
    assert stopped is None
    kinds = ("subscription_schedule", "setup_intent")
    assert [[r["status"] for r in world.all(k)] for k in kinds] == [["canceled"], ["canceled"]]
    assert {s["status"] for s in world.all("checkout_session")} == {"expired"}
    assert world.read_back(work).code == "inaccessible_to_us"


@pytest.mark.parametrize("said", ["Unrecognized request URL (GET: /v1/x).", "No such page"])
def test_paths_only_some_accounts_have_may_be_unknown_where_nothing_hangs_on_them(world: World, said: str) -> None:
    body = {"error": {"type": "invalid_request_error", "message": said}}
    world.seed(person(1))
    world.fault("status", status=404, body=body, path="invoiceitems|credit_grants|subscription_schedules", times=99)
    work, stopped = world.advance(world.work(subject(1)))
    assert stopped is None
    world.processor().check()
    assert world.read_back(work).code == "inaccessible_to_us"


def test_a_half_deleted_person_is_never_located_anew(world: World) -> None:
    world.seed(person(1, "two_customers"))
    work = world.work(subject(1))
    world.standin.store.put(
        "customer", "cus_s0000001x000", {"id": "cus_s0000001x000", "object": "customer", "deleted": True}
    )
    extracted = {**work.locator["extracted"], "charges": work.locator["extracted"]["charges"][1:]}
    result = world.processor().act(
        "cancel_subscriptions", [replace(work, locator={**work.locator, "extracted": extracted})]
    )[0]
    assert (result.outcome, result.code) == (Outcome.AWAITING, NOT_ARCHIVED), "its locator is all that knows them"
    assert result.locator is not None
    assert result.locator["late"] == {"charges": work.locator["extracted"]["charges"][:1]}


@pytest.mark.parametrize("fields", [{"kind": "html", "status": 404}, {"kind": "status", "status": 503}])
def test_trouble_with_such_a_path_is_not_taken_for_its_absence(world: World, fields: dict[str, object]) -> None:
    world.seed(person(1, "pending_item"))
    world.fault(**fields, path="invoiceitems", times=99)  # type: ignore[arg-type]
    with pytest.raises(Unreachable):
        world.locate(subject(1))
