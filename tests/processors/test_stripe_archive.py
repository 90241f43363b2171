"""Stripe: what a law keeps is extracted before anything is touched, each record reduced to its law's closed list."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
from collections.abc import Iterator
from typing import Any

import pytest

from include.archive.rows import reduce
from include.errors import Unreachable
from include.outcomes import Outcome
from include.policy import schedule
from include.policy.terms import record_terms
from include.processors import NOT_ARCHIVED, Record, Settlement
from include.processors._stripe.documents import Documents
from include.sandbox._stripe.billing import pdf_of
from include.sandbox._stripe.money import credit_note
from include.sandbox._stripe.shapes import dispute, invoice, paid_with, refund, stamp
from include.sandbox.standin import Serving
from include.sandbox.stripe import StandIn
from tests.processors.stripe_world import CUSTOMER_STEPS, DAY, OLD, RECENT, TODAY, World, person, subject

SCHEDULE = schedule.load()
MARK = "field-nobody-keeps"


@pytest.fixture
def world() -> Iterator[World]:
    """A Stripe account without limits in the way."""
    standin = StandIn(limit_factor=1000)
    with Serving(standin) as serving:
        yield World(standin, serving.url)


def extracted(world: World) -> dict[str, Record]:
    return {r.source_id: r for r in world.extract(world.work(subject(1)))}


def archived(record: Record, subject_type: str = "individual") -> dict[str, dict[str, Any]]:
    """Return what each law's closed list leaves of a record, by rule."""
    terms = record_terms(
        kind=record.kind, dates=record.dates, subject_type=subject_type, consumer_like=True, offshore=False,
        schedule=SCHEDULE,
    )  # fmt: skip
    return {term.rule_id: reduce(record, term) for term in terms}


def test_refunds_credit_notes_and_closed_disputes_are_records_of_their_own(world: World) -> None:
    world.seed(person(1, "paid_back"))
    found = extracted(world)
    taken = found.pop("du_s0000001x900:taken_back")
    assert (taken.kind, taken.items["fee.received"], taken.dates["transaction"]) == ("payment", -11001, OLD)
    kinds = {key.partition("_")[0]: (r.kind, r.dates) for key, r in found.items()}
    assert {k: kind for k, (kind, _) in kinds.items()} == {
        "ch": "payment", "re": "payment", "cn": "payment", "du": "complaint",
    }  # fmt: skip
    assert found["re_s0000001x900"].items["fee.received"] == -100
    assert found["cn_s0000001x900"].items["fee.billed"] == -200
    assert kinds["re"][1]["transaction"] == OLD
    case = found["du_s0000001x900"]
    assert case.items["case.body"] == "reason general; outcome lost; amount 11001"
    assert case.dates == {"case_closed": OLD + 365 * DAY, "recorded": OLD}


def test_what_was_billed_and_received_adds_up_to_what_stripe_holds(world: World) -> None:
    world.seed(person(1, "paid_back", payments=4))
    found = extracted(world)
    received = sum(int(r.items.get("fee.received") or 0) for r in found.values())
    billed = sum(int(r.items.get("fee.billed") or 0) for r in found.values())
    captured = sum(c["amount_captured"] for c in world.all("charge"))
    lost = sum(d["amount"] for d in world.all("dispute"))
    assert received == captured - 100 - 200 - lost  # a refund, a credit note paid outside Stripe, a dispute
    assert billed == captured - 200


def test_an_invoice_paid_in_two_charges_is_billed_once(world: World) -> None:
    objects = person(1, payments=2)
    owner = objects["customer"][0]
    objects["invoice"], objects["invoice_payment"] = (
        [invoice("in_1", owner, amount=22001, created=stamp(OLD))],
        [
            paid_with(f"inpay_{i}", "in_1", intent["id"], amount=intent["amount"], created=stamp(OLD))
            for i, intent in enumerate(objects["payment_intent"])
        ],
    )
    world.seed(objects)
    found = extracted(world)
    assert sum(r.items.get("fee.billed") or 0 for r in found.values()) == 22001
    assert sum(r.items.get("fee.received") or 0 for r in found.values()) == 22001
    assert len(found) == 3


def test_a_credit_note_before_payment_lowers_what_was_billed_once(world: World) -> None:
    objects = person(1, payments=1)
    objects["invoice"][0] |= {"amount_due": 10700, "amount_paid": 10700, "pre_payment_credit_notes_amount": 300}
    objects["charge"][0] |= {"amount": 10700, "amount_captured": 10700}
    note = credit_note("cn_1", objects["invoice"][0], amount=300, created=stamp(OLD))
    objects["credit_note"] = [note | {"out_of_band_amount": 0, "pre_payment_amount": 300, "post_payment_amount": 0}]
    world.seed(objects)
    found = extracted(world)
    assert sum(r.items.get("fee.billed") or 0 for r in found.values()) == 10700
    assert sum(r.items.get("fee.received") or 0 for r in found.values()) == 10700


@pytest.mark.parametrize("counted", [400, 0])
def test_what_was_authorised_and_never_captured_is_neither_billed_nor_given_back(world: World, counted: int) -> None:
    objects = person(1, payments=2)
    objects["charge"][1] |= {"amount": 1000, "amount_captured": 600, "amount_refunded": counted}
    world.seed(objects)
    items = extracted(world)[objects["charge"][1]["id"]].items
    assert (items["fee.billed"], items["fee.received"]) == (600, 600)


@pytest.mark.parametrize(("reason", "rest"), [("paid", 7001), ("written_off", None)])
def test_what_was_paid_elsewhere_on_a_bill_begun_by_card_is_received(
    world: World, reason: str, rest: int | None
) -> None:
    objects = person(1, payments=1)
    objects["invoice"][0] |= {"status": "open", "total": 18001, "amount_due": 18001, "amount_paid": 11000}
    world.seed(objects)
    released = Settlement(reason, TODAY - DAY, ("compliance:e-0001", "approver:e-0002"))
    found = {r.source_id: r for r in world.extract(world.work(subject(1, settled=(released,))))}
    bill = found.get(objects["invoice"][0]["id"])
    assert (bill.items["fee.received"] if bill else None) == rest
    assert sum(r.items.get("fee.billed") or 0 for r in found.values()) == 18001


def test_a_dispute_that_was_won_closed_when_the_money_came_back(world: World) -> None:
    objects = person(1, "paid_back")
    back = [{"id": "txn_1", "created": stamp(OLD)}, {"id": "txn_2", "created": stamp(OLD + 40 * DAY)}]
    objects["dispute"][0] |= {"status": "won", "balance_transactions": back}
    world.seed(objects)
    assert extracted(world)["du_s0000001x900"].dates["case_closed"] == OLD + 40 * DAY


def test_records_full_of_extra_fields_leave_only_their_laws_closed_lists(world: World) -> None:
    objects = person(1, "paid_back")
    for kind, rows in objects.items():
        for row in rows:
            row |= {f"extra_{i}": MARK for i in range(5)} | {"metadata": {"account_id": "1", "note": MARK}}
            row |= {"description": MARK, "memo": MARK, "statement_descriptor": MARK, "footer": MARK}
            if kind == "dispute":
                row["evidence"] = {**row["evidence"], "uncategorized_text": MARK, "customer_purchase_ip": MARK}
            if kind == "charge":
                row["outcome"] = {**row["outcome"], "seller_message": MARK}
                row["payment_method_details"]["card"] |= {"fingerprint": MARK, "last4": MARK}
    world.seed(objects)
    found = extracted(world)
    listed = {rule: set(SCHEDULE.kept_items(rule, "individual")) for rule in ("R-02i", "R-04", "R-05")}
    seen = set()
    for record in found.values():
        assert MARK not in repr(dict(record.items)) + repr(record.dates)
        for rule, items in archived(record).items():
            seen.add(rule)
            assert set(items) <= listed[rule]
            assert "metadata" not in repr(items)
    assert seen == set(listed)


def test_a_businesss_records_keep_no_address_phone_or_e_mail(world: World) -> None:
    world.seed(person(1, "paid_back"))
    for record in extracted(world).values():
        for items in archived(record, "business").values():
            assert not {"billing_address", "phone", "email", "name"} & set(items)


# -- documents -----------------------------------------------------------------------------------------------------
def test_of_an_invoices_pdf_the_number_and_the_digest_are_kept(world: World) -> None:
    world.seed(person(1, payments=1))
    (bill,) = world.all("invoice")
    (record,) = extracted(world).values()
    assert record.items["invoice.number"] == bill["number"]
    assert record.items["invoice.pdf_sha256"] == hashlib.sha256(pdf_of(bill)).hexdigest()
    assert "invoice.pdf" not in record.items
    assert {"invoice.number", "invoice.pdf_sha256"} <= set(archived(record)["R-04"])
    assert "invoice.number" not in archived(record)["R-02i"], "the policy's own list does not name it"


def test_the_documents_bytes_are_extracted_only_where_the_schedule_names_a_law_for_them(world: World) -> None:
    world.settings["invoice_document_laws"] = ["R-02b"]
    world.seed(person(1, payments=1))
    (record,) = extracted(world).values()
    assert base64.b64decode(record.items["invoice.pdf"]) == pdf_of(world.all("invoice")[0])
    assert all("invoice.pdf" not in items for items in archived(record).values()), "no closed list names it"


def test_no_document_is_fetched_where_policy_wants_none(world: World) -> None:
    world.settings["invoice_pdf"] = "none"
    world.seed(person(1, payments=1))
    (record,) = extracted(world).values()
    assert "invoice.pdf_sha256" not in record.items
    assert not [r for r in world.standin.requests if "/pdf" in r["path"]]


def test_a_document_that_is_gone_stops_nothing(world: World) -> None:
    world.seed(person(1, payments=1))
    world.fault("status", status=404, path="^/invoice/", times=99)
    (record,) = extracted(world).values()
    assert "invoice.pdf_sha256" not in record.items
    assert record.items["invoice.number"]


@pytest.mark.parametrize(
    ("kind", "fields"), [("status", {"status": 503}), ("html", {"status": 200}), ("cut_before", {})]
)
def test_a_document_that_is_not_served_stops_the_export(world: World, kind: str, fields: dict[str, Any]) -> None:
    world.seed(person(1, payments=1))
    work = world.work(subject(1))
    world.fault(kind, path="^/(invoice|files)/", times=1, **fields)
    assert len(world.extract(work)) == 1, "once is outlived"
    world.fault(kind, path="^/(invoice|files)/", times=99, **fields)
    with pytest.raises(Unreachable) as caught:
        world.extract(work)
    assert "in_s0000001" not in str(caught.value)


def test_a_document_is_asked_without_the_key_and_at_our_address_whatever_a_redirect_says(world: World) -> None:
    world.seed(person(1, payments=1))
    processor = world.processor()
    body = processor.api.documents.fetch("https://pay.stripe.com/invoice/acct_x/test_in_s0000001x000/pdf?s=ap")
    assert body.startswith(b"%PDF")  # the stand-in answers 404 to a request with a key
    assert [r["path"].split("/")[1] for r in world.standin.requests[-2:]] == ["invoice", "files"]


@pytest.mark.parametrize(
    "link", ["http://pay.stripe.com/x", "https://stripe.com.example.com/x", "https://example.com/x", "file:///x", "//x"]
)
def test_without_an_address_of_ours_only_stripes_hosts_are_asked(link: str) -> None:
    documents = Documents(None, 1, pause=0, pace=lambda _quota: None, sleep=lambda _seconds: None)
    with pytest.raises(Unreachable, match="document_elsewhere"):
        documents.fetch(link)


# -- what comes late -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", ["charges", "payment_intents", "invoices", "credit_notes"])
def test_every_list_is_read_again_when_something_was_made_while_it_was_paged(world: World, kind: str) -> None:
    one = {"charges": "charge", "payment_intents": "payment_intent", "invoices": "invoice"}.get(kind, "credit_note")
    objects = person(1, "paid_back", payments=220)
    bill, note = objects["invoice"][0], objects["credit_note"][0]
    objects["credit_note"] = [{**note, "id": f"cn_{i}", "invoice": bill["id"]} for i in range(120)]
    late = objects[one].pop()
    world.seed(objects)
    processor = world.processor()
    real, seen = processor.api.page, []

    def page(path: str, **params: object) -> Any:
        answer = real(path, **params)
        if path == f"/v1/{kind}" and not seen:
            seen.append(path)
            world.seed({one: [{**late, "created": stamp(TODAY)}]})
        return answer

    processor.api.page = page
    rows = processor.api.settled(f"/v1/{kind}", customer="cus_s0000001x000")
    assert seen
    assert late["id"] in {r["id"] for r in rows}


def gone(world: World, *, on: dt.date = RECENT) -> Any:
    """Return the work of a person whose customer is deleted and whose redaction waits."""
    world.seed(person(1, on=on))
    work = world.work(subject(1))
    for step in CUSTOMER_STEPS:
        result = world.processor().act(step, [work])[0]
        assert result.outcome is Outcome.ACCEPTED
        work = replaced(work, result)
    return work


def replaced(work: Any, result: Any) -> Any:
    from dataclasses import replace

    return replace(work, locator=result.locator) if result.locator is not None else work


@pytest.mark.parametrize("listable", [True, False])
def test_a_refund_after_the_deletion_is_extracted_before_redaction_destroys_it(world: World, listable: bool) -> None:
    world.standin.lists_take_deleted = True
    work = gone(world)
    world.standin.lists_take_deleted = listable
    given = RECENT + 30 * DAY
    world.seed({"refund": [refund("re_late", "ch_s0000001x000", amount=50, created=stamp(given), status="succeeded")]})
    world.move(TODAY + 300 * DAY)
    result = world.processor().act("redact", [work])[0]
    assert (result.outcome, result.code) == (Outcome.AWAITING, NOT_ARCHIVED)
    assert world.all("redaction_job") == []
    work = replaced(work, result)
    assert {r.source_id: r.items["fee.received"] for r in world.extract(work)} == {"re_late": -50}
    assert world.processor().act("redact", [work])[0].outcome is Outcome.ACCEPTED


def test_a_dispute_after_the_deletion_is_extracted_once_it_is_closed(world: World) -> None:
    work = gone(world)
    late = dispute("du_late", "ch_s0000001x000", amount=11000, created=stamp(RECENT + 60 * DAY))
    world.seed({"dispute": [late]})
    world.standin.store.update("charge", "ch_s0000001x000", disputed=True)
    world.move(TODAY + 300 * DAY)
    assert world.processor().act("redact", [work])[0].code == "open_dispute"
    world.standin.store.update("dispute", "du_late", status="lost")
    result = world.processor().act("redact", [work])[0]
    assert result.code == NOT_ARCHIVED
    assert [r.kind for r in world.extract(replaced(work, result))] == ["complaint", "payment"]
