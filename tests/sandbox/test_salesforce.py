"""The Salesforce stand-in answers as the vendor's pages say, oddities included."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from include.sandbox.salesforce import (
    CONSUMER_KEY,
    CONSUMER_SECRET,
    VARIANTS,
    StandIn,
    make_id,
    seed_person,
    to_18,
)
from include.sandbox.standin import Fault, Serving

ON = dt.date(2026, 9, 1)


class Caller:
    """A plain HTTP client with a token."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.session = requests.Session()
        answer = self.session.post(
            f"{url}/services/oauth2/token",
            data={"grant_type": "client_credentials"},
            auth=(CONSUMER_KEY, CONSUMER_SECRET),
        )
        self.session.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        self.token = answer.json()["access_token"]

    def __call__(self, method: str, path: str, **options: Any) -> requests.Response:
        return self.session.request(method, f"{self.url}/services/data/v67.0/{path}", **options)

    def query(self, soql: str, *, deleted: bool = False) -> requests.Response:
        return self("GET", "queryAll" if deleted else "query", params={"q": soql})


@pytest.fixture
def standin() -> StandIn:
    standin = StandIn()
    standin.set_date(ON)
    return standin


@pytest.fixture
def call(standin: StandIn) -> Iterator[Caller]:
    with Serving(standin) as serving:
        caller = Caller(serving.url)
        yield caller
        caller.session.close()


def seed(standin: StandIn, variant: int, *, number: int = 1, company: str | None = "Sample Company") -> dict[str, Any]:
    rows = seed_person(
        number=number,
        account_id=f"a{number:04d}",
        email=f"person{number}@example.com",
        name=f"Sample Person {number:04d}",
        company=company,
        on=ON - dt.timedelta(days=3),
        variant=variant,
    )
    standin.seed(rows)
    return rows


def error(response: requests.Response) -> tuple[int, str]:
    return response.status_code, response.json()[0]["errorCode"]


def test_seeding_is_deterministic_and_its_ids_are_well_formed() -> None:
    for variant in range(VARIANTS):
        first, second = (
            seed_person(
                number=7, account_id="100", email="a@example.com", name="N", company=None, on=ON, variant=variant
            )
            for _ in range(2)
        )
        assert first == second
        for rows in first.values():
            assert all(len(r["id"]) == 18 and to_18(r["id"][:15]) == r["id"] for r in rows)
    assert make_id("Contact", "1") != make_id("Contact", "10")


def test_the_18_character_form_is_the_documented_one() -> None:
    assert to_18("001A0000006Vm9r") == "001A0000006Vm9rIAC"


def test_a_request_without_a_good_token_is_refused(call: Caller) -> None:
    call.session.headers["Authorization"] = "Bearer nothing"
    assert error(call.query("SELECT Id FROM Contact")) == (401, "INVALID_SESSION_ID")


def test_wrong_credentials_get_no_token(call: Caller) -> None:
    answer = requests.post(
        f"{call.url}/services/oauth2/token", data={"grant_type": "client_credentials"}, auth=("x", "y")
    )
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")


def test_text_is_compared_without_case_and_deleted_rows_need_query_all(standin: StandIn, call: Caller) -> None:
    contact = seed(standin, 0)["Contact"][0]["id"]
    soql = "SELECT Id, Email FROM Contact WHERE Email = 'PERSON1@Example.com'"
    assert [r["Id"] for r in call.query(soql).json()["records"]] == [contact]
    standin.destroy("Case", seed(standin, 0)["Case"][0]["id"], hard=False)
    assert call("DELETE", f"sobjects/Contact/{contact}").status_code == 204
    assert call.query(soql).json()["totalSize"] == 0
    rows = call.query("SELECT Id, IsDeleted FROM Contact WHERE Id = '" + contact[:15] + "'", deleted=True).json()
    assert rows["records"][0]["IsDeleted"] is True


def test_archived_tasks_are_hidden_from_query(standin: StandIn, call: Caller) -> None:
    lead = seed(standin, 2)["Lead"][0]["id"]
    soql = f"SELECT Id FROM Task WHERE WhoId IN ('{lead}')"
    assert call.query(soql).json()["totalSize"] == 0
    assert call.query(soql, deleted=True).json()["totalSize"] == 1


@pytest.mark.parametrize(
    ("soql", "code"),
    [
        ("SELECT Id FROM Contact WHERE", "MALFORMED_QUERY"),
        ("SELECT Id FROM Contact WHERE Email ~ 'a'", "MALFORMED_QUERY"),
        ("SELECT Nothing FROM Contact", "INVALID_FIELD"),
        ("SELECT Id FROM Nothing", "INVALID_TYPE"),
        ("SELECT Id FROM Contact WHERE Id = '../x'", "INVALID_QUERY_FILTER_OPERATOR"),
        ("SELECT Id FROM Case WHERE Description = 'x'", "INVALID_FIELD"),
        ("SELECT Id FROM ContentDocumentLink", "MALFORMED_QUERY"),
    ],
)
def test_what_the_query_language_does_not_allow_is_an_error(call: Caller, soql: str, code: str) -> None:
    assert error(call.query(soql)) == (400, code)


def test_person_account_columns_exist_only_with_the_feature(standin: StandIn, call: Caller) -> None:
    soql = "SELECT Id FROM Account WHERE IsPersonAccount = true"
    assert call.query(soql).status_code == 200
    standin.person_accounts = False
    assert error(call.query(soql)) == (400, "INVALID_FIELD")


def test_long_results_come_in_pages_and_long_addresses_are_refused(standin: StandIn, call: Caller) -> None:
    standin.page_size = 2
    for number in range(5):
        seed(standin, 2, number=number)
    page = call.query("SELECT Id FROM Lead").json()
    assert (page["totalSize"], page["done"], len(page["records"])) == (5, False, 2)
    following = call.session.get(call.url + page["nextRecordsUrl"]).json()
    assert len(following["records"]) == 2
    assert call.query(f"SELECT Id FROM Lead WHERE Name = '{'x' * 16_400}'").status_code == 414


def test_counting_and_escapes_work(standin: StandIn, call: Caller) -> None:
    seed(standin, 2)
    standin.store.update("Lead", standin.store.keys("Lead")[0], Name="O'Sample 100%")
    assert call.query("SELECT COUNT() FROM Lead WHERE Name = 'O\\'Sample 100%'").json()["totalSize"] == 1
    assert call.query("SELECT COUNT() FROM Lead WHERE Name LIKE '%100\\%'").json()["totalSize"] == 1
    assert call.query("SELECT COUNT() FROM Lead WHERE NOT (Name LIKE 'O%' AND Status = 'x')").json()["totalSize"] == 1


def test_a_collection_delete_answers_200_with_failed_rows_in_place_and_without_id(
    standin: StandIn, call: Caller
) -> None:
    rows = seed(standin, 0)
    contact, task = rows["Contact"][0]["id"], rows["Task"][0]["id"]
    answer = call("DELETE", "composite/sobjects", params={"ids": f"{contact},{task}", "allOrNone": "false"})
    failed, done = answer.json()
    assert answer.status_code == 200
    assert failed["errors"][0]["statusCode"] == "DELETE_FAILED"
    assert "id" not in failed
    assert "Sample Person 0001" in failed["errors"][0]["message"]
    assert done == {"id": task, "success": True, "errors": []}


def test_deleting_twice_says_entity_is_deleted(standin: StandIn, call: Caller) -> None:
    task = seed(standin, 0)["Task"][0]["id"]
    assert call("DELETE", f"sobjects/Task/{task}").status_code == 204
    assert error(call("DELETE", f"sobjects/Task/{task}")) == (404, "ENTITY_IS_DELETED")


def test_the_recycle_bin_is_emptied_after_15_days(standin: StandIn, call: Caller) -> None:
    task = seed(standin, 0)["Task"][0]["id"]
    call("DELETE", f"sobjects/Task/{task}")
    standin.set_date(ON + dt.timedelta(days=14))
    assert standin.store.get("Task", task) is not None
    standin.set_date(ON + dt.timedelta(days=16))
    assert standin.store.get("Task", task) is None


def test_sent_mail_and_converted_leads_cannot_be_updated(standin: StandIn, call: Caller) -> None:
    mail = seed(standin, 0)["EmailMessage"][0]["id"]
    lead = seed(standin, 3)["Lead"][0]["id"]
    assert error(call("PATCH", f"sobjects/EmailMessage/{mail}", json={"Subject": ""}))[0] == 400
    assert error(call("PATCH", f"sobjects/Lead/{lead}", json={"Company": "x"})) == (
        400,
        "CANNOT_UPDATE_CONVERTED_LEAD",
    )
    assert call("DELETE", f"sobjects/Lead/{lead}").status_code == 204


def job(call: Caller, kind: str, ids: list[str], *, uploads: int = 1) -> tuple[str, requests.Response]:
    created = call("POST", "jobs/ingest", json={"object": kind, "operation": "hardDelete", "contentType": "CSV"})
    identifier = created.json()["id"]
    for _ in range(uploads):
        assert call("PUT", f"jobs/ingest/{identifier}/batches", data="Id\n" + "\n".join(ids)).status_code == 201
    return identifier, call("PATCH", f"jobs/ingest/{identifier}", json={"state": "UploadComplete"})


def test_a_complete_job_may_have_failed_rows_and_its_rows_stay_readable_a_day(standin: StandIn, call: Caller) -> None:
    rows = seed(standin, 0)
    free = seed(standin, 5, number=2)["Contact"][0]["id"]
    identifier, _closed = job(call, "Contact", [rows["Contact"][0]["id"], free])
    info = call("GET", f"jobs/ingest/{identifier}").json()
    assert (info["state"], info["numberRecordsProcessed"], info["numberRecordsFailed"]) == ("JobComplete", 2, 1)
    assert free in call("GET", f"jobs/ingest/{identifier}/successfulResults").text
    assert "DELETE_FAILED:" in call("GET", f"jobs/ingest/{identifier}/failedResults").text
    assert call("GET", f"jobs/ingest/{identifier}/unprocessedrecords").status_code == 204
    assert call.query(f"SELECT Id FROM Contact WHERE Id = '{free}'", deleted=True).json()["totalSize"] == 1
    standin.set_date(ON + dt.timedelta(days=1))
    assert call.query(f"SELECT Id FROM Contact WHERE Id = '{free}'", deleted=True).json()["totalSize"] == 0


def test_jobs_vanish_after_a_week(standin: StandIn, call: Caller) -> None:
    identifier, _closed = job(call, "Task", [seed(standin, 0)["Task"][0]["id"]])
    standin.set_date(ON + dt.timedelta(days=8))
    assert call("GET", f"jobs/ingest/{identifier}").status_code == 404


def test_a_second_upload_is_noticed_only_when_the_job_is_closed(standin: StandIn, call: Caller) -> None:
    _identifier, closed = job(call, "Task", [seed(standin, 0)["Task"][0]["id"]], uploads=2)
    assert error(closed) == (400, "INVALIDJOB")


def test_hard_delete_needs_its_permission(standin: StandIn, call: Caller) -> None:
    standin.permissions["PermissionsBulkApiHardDelete"] = False
    created = call("POST", "jobs/ingest", json={"object": "Task", "operation": "hardDelete"})
    assert error(created) == (400, "FEATURENOTENABLED")
    rows = call.query("SELECT PermissionsBulkApiHardDelete FROM UserPermissionAccess").json()["records"]
    assert rows[0]["PermissionsBulkApiHardDelete"] is False


def test_a_failed_job_may_have_deleted_rows(standin: StandIn, call: Caller) -> None:
    tasks = [seed(standin, 0, number=n)["Task"][0]["id"] for n in (1, 2)]
    standin.faults = [Fault("job_failed")]
    identifier, _closed = job(call, "Task", tasks)
    assert call("GET", f"jobs/ingest/{identifier}").json()["state"] == "Failed"
    assert tasks[0] in call("GET", f"jobs/ingest/{identifier}/successfulResults").text
    assert tasks[1] in call("GET", f"jobs/ingest/{identifier}/unprocessedRecords").text


def test_emptying_the_recycle_bin_leaves_rows_readable_for_a_day(standin: StandIn, call: Caller) -> None:
    task = seed(standin, 0)["Task"][0]["id"]
    call("DELETE", f"sobjects/Task/{task}")
    body = f"<e><sessionId>{call.token}</sessionId><emptyRecycleBin><ids>{task}</ids></emptyRecycleBin></e>"
    first = call.session.post(f"{call.url}/services/Soap/u/67.0", data=body)
    second = call.session.post(f"{call.url}/services/Soap/u/67.0", data=body)
    assert "<success>true</success>" in first.text
    assert "no recycle bin entry found" in second.text
    standin.set_date(ON + dt.timedelta(days=1))
    assert standin.store.get("Task", task) is None


def test_purging_a_parent_purges_what_was_deleted_along_with_it(standin: StandIn, call: Caller) -> None:
    standin.visible_days = 0
    rows = seed(standin, 5)
    contact, member = rows["Contact"][0]["id"], rows["CampaignMember"][0]["id"]
    assert call("DELETE", f"sobjects/Contact/{contact}").status_code == 204
    body = f"<e><sessionId>{call.token}</sessionId><emptyRecycleBin><ids>{contact}</ids></emptyRecycleBin></e>"
    call.session.post(f"{call.url}/services/Soap/u/67.0", data=body)
    assert standin.store.get("Contact", contact) is None
    assert standin.store.get("CampaignMember", member) is None


def test_a_composite_answers_200_with_a_status_for_each_read_and_takes_five_queries(
    standin: StandIn, call: Caller
) -> None:
    def composite(*paths: str) -> requests.Response:
        reads = [
            {"method": "GET", "url": f"/services/data/v67.0/{path}", "referenceId": f"r{n}"}
            for n, path in enumerate(paths)
        ]
        return call("POST", "composite", json={"allOrNone": False, "compositeRequest": reads})

    answer = composite(
        "queryAll/?q=SELECT+Id+FROM+Lead", "query/?q=SELECT+Nothing+FROM+Lead", "sobjects/Nothing/describe"
    )
    assert [a["httpStatusCode"] for a in answer.json()["compositeResponse"]] == [200, 400, 404]
    assert answer.json()["compositeResponse"][1]["body"][0]["errorCode"] == "INVALID_FIELD"
    assert composite(*["query/?q=SELECT+Id+FROM+Lead"] * 6).status_code == 400
    standin.composites = False
    assert error(composite("sobjects")) == (404, "NOT_FOUND")


def test_address_and_headers_together_have_a_limit(call: Caller) -> None:
    soql = f"SELECT Id FROM Lead WHERE Name = '{'x' * 15_000}'"
    assert call.query(soql).status_code == 200
    assert call("GET", "query", params={"q": soql}, headers={"X-Long": "y" * 2_000}).status_code == 431


def test_a_hidden_field_is_neither_described_nor_queried(standin: StandIn, call: Caller) -> None:
    standin.hidden = {("Contact", "Email")}
    assert "Email" not in {f["name"] for f in call("GET", "sobjects/Contact/describe").json()["fields"]}
    assert error(call.query("SELECT Email FROM Contact")) == (400, "INVALID_FIELD")


def test_a_look_up_may_forbid_deleting_what_it_points_to(standin: StandIn, call: Caller) -> None:
    contact = seed(standin, 5)["Contact"][0]["id"]
    standin.seed({"Booking__c": [{"id": make_id("Booking__c", "b"), "Guest__c": contact, "IsDeleted": False}]})
    assert error(call("DELETE", f"sobjects/Contact/{contact}")) == (400, "DELETE_FAILED")


def test_usage_is_told_in_a_header_and_the_daily_limit_is_a_403(standin: StandIn, call: Caller) -> None:
    assert call.query("SELECT Id FROM Lead").headers["Sforce-Limit-Info"].startswith("api-usage=")
    standin.limit_factor = 0.0
    assert error(call.query("SELECT Id FROM Lead")) == (403, "REQUEST_LIMIT_EXCEEDED")
