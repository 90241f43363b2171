"""The Stripe stand-in keeps the vendor's oddities on the wire."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from include.sandbox._stripe.shapes import invoice, subscription
from include.sandbox._stripe.wire import parse_form
from include.sandbox.standin import Fault, Serving
from include.sandbox.stripe import VARIANTS, StandIn, seed_person

ON = dt.date(2026, 1, 15)
JOBS = "/v1/privacy/redaction_jobs"
PREVIEW = {"Stripe-Version": "2026-09-30.preview"}


def objects(number: int = 1, variant: str = "one_customer", **changes: Any) -> Any:
    given: dict[str, Any] = {
        "account_id": str(number), "email": f"Sample{number}@example.com", "name": f"Sample Person {number:04d}",
        "payments": [{"payment_id": "p1", "amount": 1000, "paid_on": ON, "method": "card"}], **changes,
    }  # fmt: skip
    return seed_person(number=number, on=ON, variant=VARIANTS.index(variant), **given)


@pytest.fixture
def standin() -> StandIn:
    return StandIn(limit_factor=1000)


@pytest.fixture
def http(standin: StandIn) -> Iterator[httpx.Client]:
    with Serving(standin) as serving, httpx.Client(base_url=serving.url, auth=("sk_test_sample", "")) as client:
        yield client


CUSTOMER = "/v1/customers/cus_s0000001x000"


def test_the_same_seed_gives_the_same_objects() -> None:
    assert [objects(7, v) for v in VARIANTS] == [objects(7, v) for v in VARIANTS]


def test_the_e_mail_filter_is_exact_and_case_sensitive(standin: StandIn, http: httpx.Client) -> None:
    standin.seed(objects())
    spellings = ("Sample1@example.com", "sample1@example.com", "Sample1")
    hits = [len(http.get("/v1/customers", params={"email": e}).json()["data"]) for e in spellings]
    assert hits == [1, 0, 0]


def test_search_ignores_case_finds_parts_and_lags(standin: StandIn, http: httpx.Client) -> None:
    standin.search_delay = 3600
    standin.seed(objects())
    query = {"query": 'email:"SAMPLE1@EXAMPLE"'}
    assert http.get("/v1/customers/search", params=query).json()["data"] == []
    standin.search_delay = 0
    standin.seed(objects())
    assert len(http.get("/v1/customers/search", params=query).json()["data"]) == 1
    standin.search_delay = 3600
    http.delete(CUSTOMER)
    assert len(http.get("/v1/customers/search", params=query).json()["data"]) == 1


def test_metadata_search_is_exact(standin: StandIn, http: httpx.Client) -> None:
    standin.seed(objects(1))
    standin.seed(objects(10))
    found = http.get("/v1/customers/search", params={"query": "metadata['account_id']:'1'"}).json()
    assert (found["object"], [c["id"] for c in found["data"]]) == ("search_result", ["cus_s0000001x000"])


@pytest.mark.parametrize("query", ["", "email", 'email:"a" AND name:"b" OR name:"c"', 'card:"x"', 'email:"a'])
def test_a_query_it_cannot_read_is_refused(http: httpx.Client, query: str) -> None:
    assert http.get("/v1/customers/search", params={"query": query}).status_code == 400


def test_a_deleted_customer_answers_get_but_neither_delete_nor_post(standin: StandIn, http: httpx.Client) -> None:
    standin.seed(objects())
    gone = {"id": "cus_s0000001x000", "object": "customer", "deleted": True}
    assert http.delete(CUSTOMER).json() == gone
    assert http.get(CUSTOMER).json() == gone
    again, change = http.delete(CUSTOMER), http.post(CUSTOMER, data={"name": "x"})
    assert (again.status_code, again.json()["error"]["code"]) == (404, "resource_missing")
    assert (change.status_code, change.json()["error"]["code"]) == (400, "resource_missing")


def test_deletion_keeps_payments_and_ends_subscriptions_silently(standin: StandIn, http: httpx.Client) -> None:
    seeded = objects(1, "active_subscription")
    standin.seed(seeded)
    standin.seed({"subscription": [subscription("sub_owed", seeded["customer"][0], created=1, owed=500)]})
    before = [standin.store.all(kind) for kind in ("charge", "invoice", "payment_intent")]
    http.delete(CUSTOMER)
    assert [standin.store.all(kind) for kind in ("charge", "invoice", "payment_intent")] == before
    assert {s["status"] for s in standin.store.all("subscription")} == {"canceled"}


def test_subscriptions_hide_canceled_ones_unless_asked(standin: StandIn, http: httpx.Client) -> None:
    standin.seed(objects(1, "active_subscription"))
    counts = [
        len(http.get("/v1/subscriptions", params=p).json()["data"])
        for p in ({}, {"status": "all"}, {"status": "canceled"})
    ]
    assert counts == [1, 2, 1]


def test_a_customer_shows_its_sources_and_tax_ids_when_asked(standin: StandIn, http: httpx.Client) -> None:
    standin.seed(objects(1, "legacy_source"))
    shown = http.get(CUSTOMER, params={"expand[]": ["sources", "tax_ids"]}).json()
    assert [[r["id"] for r in shown[part]["data"]] for part in ("sources", "tax_ids")] == [
        ["card_s0000001x900"], ["txi_s0000001x900"],
    ]  # fmt: skip
    assert {"sources", "tax_ids"}.isdisjoint(http.get(CUSTOMER).json())


def test_disputes_do_not_list_by_customer(http: httpx.Client) -> None:
    answer = http.get("/v1/disputes", params={"customer": "cus_s0000001x000"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "parameter_unknown")


def test_a_charges_billing_details_cannot_be_written(standin: StandIn, http: httpx.Client) -> None:
    standin.seed(objects())
    assert http.post("/v1/charges/ch_s0000001x000", data={"billing_details[name]": ""}).status_code == 400


def test_pages_follow_a_cursor_newest_first(standin: StandIn, http: httpx.Client) -> None:
    owner = objects()["customer"][0]
    standin.seed({"invoice": [invoice(f"in_{i}", owner, amount=1, created=i) for i in range(25)]})
    first = http.get("/v1/invoices").json()
    assert (len(first["data"]), first["has_more"], first["data"][0]["id"]) == (10, True, "in_24")
    rest = http.get("/v1/invoices", params={"limit": 100, "starting_after": first["data"][-1]["id"]}).json()
    assert (len(rest["data"]), rest["has_more"]) == (15, False)
    assert http.get("/v1/invoices", params={"limit": 101}).status_code == 400


def test_metadata_merges_and_an_empty_string_unsets(standin: StandIn, http: httpx.Client) -> None:
    standin.seed(objects())
    http.post(CUSTOMER, data={"metadata[a]": "1", "metadata[account_id]": "", "address": "", "name": ""})
    row = http.get(CUSTOMER).json()
    assert (row["metadata"], row["address"], row["name"]) == ({"a": "1"}, None, None)
    http.post(CUSTOMER, data={"metadata": ""})
    assert http.get(CUSTOMER).json()["metadata"] == {}


def test_a_known_idempotency_key_is_replayed_for_a_day(standin: StandIn, http: httpx.Client) -> None:
    standin.seed(objects())
    headers = {"Idempotency-Key": "k1"}
    http.post(CUSTOMER, data={"name": "A"}, headers=headers)
    http.post(CUSTOMER, data={"name": "B"})
    again = http.post(CUSTOMER, data={"name": "A"}, headers=headers)
    assert (again.json()["name"], again.headers["Idempotent-Replayed"]) == ("A", "true")
    assert http.get(CUSTOMER).json()["name"] == "B"
    other = http.post(CUSTOMER, data={"name": "C"}, headers=headers)
    assert other.json()["error"]["type"] == "idempotency_error"


def test_every_answer_carries_a_request_id_and_errors_have_stripes_shape(http: httpx.Client) -> None:
    answer = http.get("/v1/customers/cus_nobody")
    assert answer.headers["Request-Id"].startswith("req_")
    assert answer.json()["error"] == {
        "type": "invalid_request_error", "message": "No such customer: 'cus_nobody'", "code": "resource_missing",
        "doc_url": "https://stripe.com/docs/error-codes/resource-missing", "param": "id",
    }  # fmt: skip


@pytest.mark.parametrize("key", ["", "pk_test_x", "sk_test_expired"])
def test_other_keys_are_unauthorized(http: httpx.Client, key: str) -> None:
    assert http.get("/v1/customers", auth=(key, "")).status_code == 401


def test_an_endpoint_takes_25_calls_a_second_and_says_no_more() -> None:
    with Serving(StandIn()) as serving, httpx.Client(base_url=serving.url, auth=("sk_test_sample", "")) as client:
        answers = [client.get("/v1/charges/ch_1") for _ in range(26)]
        assert client.get("/v1/refunds").status_code == 200
    assert [a.status_code for a in answers].count(429) == 1
    assert answers[-1].headers["Stripe-Rate-Limited-Reason"] == "endpoint-rate"
    assert "Retry-After" not in answers[-1].headers


def test_a_fault_that_lies_keeps_the_customer(standin: StandIn, http: httpx.Client) -> None:
    standin.seed(objects())
    standin.faults.append(Fault("lie", method="DELETE"))
    assert http.delete(CUSTOMER).json()["deleted"] is True
    assert "deleted" not in http.get(CUSTOMER).json()


def test_nested_forms_are_read() -> None:
    assert parse_form("a[b][c]=1&a[b][d]=&e[0]=x&e[1]=y&f[]=z&g=h%5Bi") == {
        "a": {"b": {"c": "1", "d": ""}}, "e": ["x", "y"], "f": ["z"], "g": "h[i",
    }  # fmt: skip


def make_job(http: httpx.Client, *keys: str) -> httpx.Response:
    return http.post(JOBS, data={f"objects[customers][{i}]": key for i, key in enumerate(keys)}, headers=PREVIEW)


def look(http: httpx.Client, key: str) -> Any:
    return http.get(f"{JOBS}/{key}", headers=PREVIEW).json()


def test_redaction_is_an_unknown_path_without_preview_or_where_it_is_off(standin: StandIn, http: httpx.Client) -> None:
    plain = http.get(JOBS)
    standin.redaction_enabled = False
    off = http.get(JOBS, headers=PREVIEW)
    for answer in (plain, off):
        assert answer.status_code == 404
        assert answer.json()["error"]["message"].startswith("Unrecognized request URL")
        assert "code" not in answer.json()["error"]


def test_a_young_payment_fails_validation_until_the_clock_has_moved(standin: StandIn, http: httpx.Client) -> None:
    standin.set_date(ON + dt.timedelta(days=30))
    standin.seed(objects(1, "open_invoice"))
    job = make_job(http, "cus_s0000001x000").json()
    http.delete(CUSTOMER)
    assert job["status"] == "created"
    failed = look(http, job["id"])
    assert failed["status"] == "failed"
    kinds = {e["erroring_object"]["object_type"] for e in failed["validation_errors"]["data"]}
    assert kinds == {"charge", "payment_intent", "invoice"}
    http.post("/v1/invoices/in_s0000001x900/void")
    standin.set_date(ON + dt.timedelta(days=91))
    assert http.post(f"{JOBS}/{job['id']}/run", headers=PREVIEW).status_code == 400
    http.post(f"{JOBS}/{job['id']}/validate", headers=PREVIEW)
    assert look(http, job["id"])["status"] == "ready"


def test_a_job_that_ran_blanks_everything_below_the_customer(standin: StandIn, http: httpx.Client) -> None:
    standin.set_date(ON + dt.timedelta(days=200))
    standin.seed(objects())
    standin.seed(objects(2))
    http.delete(CUSTOMER)
    job = make_job(http, "cus_s0000001x000").json()
    look(http, job["id"])
    assert http.post(f"{JOBS}/{job['id']}/run", headers=PREVIEW).json()["status"] == "redacting"
    assert look(http, job["id"])["status"] == "succeeded"
    assert http.get("/v1/charges/ch_s0000001x000").json()["billing_details"]["email"] == "[redacted]"
    assert http.get("/v1/charges/ch_s0000002x000").json()["billing_details"]["email"] == "Sample2@example.com"
    assert http.post("/v1/charges/ch_s0000001x000", data={"description": "x"}).status_code == 400


def test_a_customer_is_in_one_job_only_and_a_job_takes_ten(standin: StandIn, http: httpx.Client) -> None:
    standin.seed(objects())
    first, second = make_job(http, "cus_s0000001x000"), make_job(http, "cus_s0000001x000")
    assert (first.status_code, second.status_code) == (200, 400)
    assert make_job(http, *(f"cus_{i}" for i in range(11))).status_code == 400


def test_state_survives_a_restart(tmp_path: Path) -> None:
    StandIn(tmp_path).seed(objects())
    assert StandIn(tmp_path)._index["cus_s0000001x000"]["email"] == "Sample1@example.com"


def test_what_shows_only_when_expanded_is_not_there_otherwise(standin: StandIn, http: httpx.Client) -> None:
    standin.seed(objects(1, "cash_balance"))
    plain = http.get(CUSTOMER).json()
    asked = http.get(CUSTOMER, params={"expand[]": ["cash_balance", "invoice_credit_balance"]}).json()
    assert {"cash_balance", "invoice_credit_balance"}.isdisjoint(plain)
    assert (asked["cash_balance"]["available"], asked["invoice_credit_balance"]) == ({"krw": 700}, {})
    assert http.get(CUSTOMER, params={"expand[]": ["charges"]}).status_code == 400


def test_a_customer_with_a_cash_balance_cannot_be_deleted(standin: StandIn, http: httpx.Client) -> None:
    standin.seed(objects(1, "cash_balance"))
    standin.store.update("customer", "cus_s0000001x000", _cash_balance={"krw": 0})
    assert http.delete(CUSTOMER).status_code == 400
    assert http.get(CUSTOMER).json().get("deleted") is None


def test_a_payment_of_an_open_session_ends_with_its_session_only(standin: StandIn, http: httpx.Client) -> None:
    standin.seed(objects(1, "begun"))
    assert http.post("/v1/payment_intents/pi_s0000001x900/cancel").status_code == 400
    assert http.post("/v1/checkout/sessions/cs_s0000001x900/expire").json()["status"] == "expired"
    assert http.get("/v1/payment_intents/pi_s0000001x900").json()["status"] == "canceled"
    assert http.post("/v1/checkout/sessions/cs_s0000001x900/expire").status_code == 400


def test_an_invoice_changes_only_from_the_states_stripe_allows(standin: StandIn, http: httpx.Client) -> None:
    seeded = objects(1, "draft_invoice")
    standin.seed(seeded)
    path = "/v1/invoices/in_s0000001x900"
    assert http.post(f"{path}/void").status_code == 400
    assert http.post(f"{path}/finalize", data={"auto_advance": "false"}).json()["status"] == "open"
    assert http.delete(path).status_code == 400
    assert http.post(f"{path}/pay").status_code == 402
    assert http.post(f"{path}/pay", data={"paid_out_of_band": "true"}).json()["status"] == "paid"


def test_a_pdf_lies_elsewhere_and_takes_no_key(standin: StandIn, http: httpx.Client) -> None:
    standin.seed(objects())
    link = standin.store.all("invoice")[0]["invoice_pdf"]
    server = str(http.base_url).rstrip("/")
    moved = httpx.get(f"{server}{httpx.URL(link).raw_path.decode()}")
    assert (moved.status_code, httpx.URL(moved.headers["Location"]).host) == (302, "files.stripe.com")
    place = httpx.URL(moved.headers["Location"]).path
    assert httpx.get(f"{server}{place}").content.startswith(b"%PDF")
    assert http.get(place).status_code == 404


def test_a_list_by_a_deleted_customer_may_be_refused(standin: StandIn, http: httpx.Client) -> None:
    standin.seed(objects())
    http.delete(CUSTOMER)
    assert len(http.get("/v1/charges", params={"customer": "cus_s0000001x000"}).json()["data"]) == 1
    standin.lists_take_deleted = False
    answer = http.get("/v1/charges", params={"customer": "cus_s0000001x000"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "resource_missing")
