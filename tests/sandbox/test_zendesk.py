"""The Zendesk stand-in shows the oddities that make erasing at Zendesk hard."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import requests

from include.sandbox.standin import Serving
from include.sandbox.zendesk import API_TOKEN, VARIANTS, StandIn, seed_person, ticket_row, user_row

TODAY = datetime.now(ZoneInfo("Asia/Seoul")).date()
EMAIL = "sample.person.0001@example.com"
USER = 900_000_010


class Api:
    """A bare client on a stand-in."""

    def __init__(self, standin: StandIn, url: str) -> None:
        self.standin, self.url = standin, url

    def __call__(self, method: str, path: str, **kwargs: Any) -> requests.Response:
        kwargs.setdefault("auth", ("agent@example.com/token", API_TOKEN))
        return requests.request(method, f"{self.url}/api/v2{path}", timeout=5, **kwargs)

    def job(self, path: str) -> dict[str, Any]:
        key = self("DELETE", path).json()["job_status"]["id"]
        states = [self("GET", f"/job_statuses/{key}").json()["job_status"] for _ in range(2)]
        assert [s["status"] for s in states] == ["working", "completed"]
        return states[-1]


@pytest.fixture
def api() -> Iterator[Api]:
    standin = StandIn()
    person = {"number": 1, "account_id": "Ian1", "email": EMAIL, "name": "Sample Person 0001", "on": TODAY}
    standin.seed(seed_person(**person, variant=VARIANTS.index("plain")))
    with Serving(standin) as serving:
        yield Api(standin, serving.url)


def test_every_variant_has_unique_ids_and_a_bystander() -> None:
    seen: set[tuple[str, int]] = set()
    for number, variant in enumerate(range(len(VARIANTS)), start=1):
        rows = seed_person(
            number=number, account_id=str(number), email="a@example.com", name="Sample", on=TODAY, variant=variant
        )
        keys = [(kind, row["id"]) for kind, group in rows.items() for row in group]
        assert len(keys) == len(set(keys) - seen)
        assert rows["user"][0]["name"].startswith("Bystander")
        seen |= set(keys)


def test_a_wrong_token_is_refused(api: Api) -> None:
    assert api("GET", "/users/me", auth=("agent@example.com/token", "wrong")).status_code == 401


def test_external_ids_match_regardless_of_case(api: Api) -> None:
    assert [u["id"] for u in api("GET", "/users/search?external_id=IAN1").json()["users"]] == [USER]


def test_a_search_matches_parts_of_an_email(api: Api) -> None:
    found = api("GET", f"/users/search?query=email:{EMAIL}").json()["users"]
    assert {u["email"] for u in found} == {EMAIL, f"re-{EMAIL}"}


def test_type_inside_an_export_query_is_an_error(api: Api) -> None:
    assert api("GET", "/search/export?query=type:ticket&filter[type]=ticket").status_code == 422


def test_a_requester_of_unclosed_tickets_cannot_be_deleted(api: Api) -> None:
    reply = api("DELETE", f"/users/{USER}")
    assert (reply.status_code, reply.json()["error"]) == (422, "RecordInvalid")


def test_a_deleted_user_is_only_inactive_until_purged(api: Api) -> None:
    api.standin.store.update("ticket", 102, status="closed")
    assert api("DELETE", f"/deleted_users/{USER}").status_code == 404
    assert api("DELETE", f"/users/{USER}").json()["user"]["active"] is False
    assert api("GET", f"/users/{USER}").json()["user"]["email"] == EMAIL
    assert api("DELETE", f"/deleted_users/{USER}").json()["deleted_user"]["name"] == "Sample Person 0001"
    assert api("GET", f"/users/{USER}").status_code == 404
    assert "Sample Person 0001" in str(api.standin.store.all("comment"))


def test_compliance_statuses_complete_a_day_later(api: Api) -> None:
    api.standin.store.update("ticket", 102, status="closed")
    api("DELETE", f"/users/{USER}")
    api("DELETE", f"/deleted_users/{USER}")
    path = f"/users/{USER}/compliance_deletion_statuses"

    def complete() -> set[str]:
        rows = api("GET", path).json()["compliance_deletion_statuses"]
        return {r["application"] for r in rows if r["action"] == "complete"}

    assert complete() == {"support"}
    api.standin.set_date(TODAY + timedelta(days=1))
    assert complete() == {"support", "explore", "chat"}
    assert api("GET", "/users/5/compliance_deletion_statuses").json()["error"] == "RecordNotFound"


def test_a_deleted_ticket_stays_in_the_list_until_purged(api: Api) -> None:
    assert api.job("/tickets/destroy_many?ids=101,102,999")["results"][2]["success"] is False
    assert api("GET", "/tickets/101").status_code == 404
    assert {t["id"] for t in api("GET", "/deleted_tickets").json()["deleted_tickets"]} == {101, 102}
    assert api.job("/deleted_tickets/destroy_many?ids=101,102")["results"] == {"success": True}
    assert api("GET", "/deleted_tickets").json()["deleted_tickets"] == []


def test_purging_tickets_is_all_or_nothing(api: Api) -> None:
    api("DELETE", "/tickets/101")
    assert api.job("/deleted_tickets/destroy_many?ids=101,102")["results"] == {"success": False}
    assert api.standin.store.get("ticket", 101)


def test_archived_tickets_never_appear_among_the_deleted(api: Api) -> None:
    api.standin.store.update("ticket", 101, updated_at="2020-01-01T00:00:00Z")
    api("DELETE", "/tickets/101")
    assert api("GET", "/deleted_tickets").json()["deleted_tickets"] == []


def test_the_deleted_listing_allows_ten_requests_a_minute(api: Api) -> None:
    replies = [api("GET", "/deleted_tickets") for _ in range(11)]
    assert [r.status_code for r in replies] == [200] * 10 + [429]
    assert replies[-1].headers["X-Rate-Limit"] == "10"


def test_no_more_than_thirty_jobs_run_at_once(api: Api) -> None:
    replies = [api("DELETE", "/tickets/destroy_many?ids=101") for _ in range(31)]
    assert replies[-1].json()["error"] == "TooManyJobs"


def test_no_more_than_a_hundred_ids_go_into_a_job(api: Api) -> None:
    ids = ",".join(map(str, range(101)))
    assert api("DELETE", f"/tickets/destroy_many?ids={ids}").json()["error"] == "TooManyValues"


def test_job_statuses_are_readable_for_one_day(api: Api) -> None:
    key = api("DELETE", "/tickets/destroy_many?ids=101").json()["job_status"]["id"]
    api.standin.set_date(TODAY + timedelta(days=2))
    assert api("GET", f"/job_statuses/{key}").status_code == 404
    assert api.standin.store.get("ticket", 101)["_deleted_at"]


def test_deleted_tickets_and_users_are_scrubbed_after_thirty_days(api: Api) -> None:
    api("DELETE", "/tickets/101")
    api("DELETE", "/tickets/102")
    api("DELETE", f"/users/{USER}")
    api.standin.set_date(TODAY + timedelta(days=31))
    assert api("GET", f"/users/{USER}").status_code == 404
    assert api.standin.store.get("ticket", 101) is None


def test_comment_redaction_works_on_closed_tickets_and_checks_the_body(api: Api) -> None:
    html = api.standin.store.get("comment", 1002)["html_body"]
    marked = html.replace("Sample Person 0001", "<redact>Sample Person 0001</redact>")
    reply = api("PUT", "/comment_redactions/1002", json={"ticket_id": 100, "html_body": marked})
    assert reply.json()["comment"]["body"] == "▇" * 18 + " adds a line"
    assert api("PUT", "/comment_redactions/1001", json={"ticket_id": 100, "html_body": marked}).status_code == 422


def test_pages_follow_by_cursor(api: Api) -> None:
    api.standin.seed({"ticket": [ticket_row(5000 + i, USER, status="closed", on=TODAY) for i in range(5)]})
    first = api("GET", f"/users/{USER}/tickets/requested?page[size]=4").json()
    assert (len(first["tickets"]), first["meta"]["has_more"]) == (4, True)
    second = requests.get(first["links"]["next"], auth=("a/token", API_TOKEN), timeout=5).json()
    assert (len(second["tickets"]), second["meta"]["has_more"]) == (3, False)


def test_deleting_a_user_ends_memberships(api: Api) -> None:
    api.standin.seed(
        {
            "user": [user_row(1, name="Sample", email="m@example.com", external_id=None, on=TODAY)],
            "organization_membership": [{"id": 7, "user_id": 1, "organization_id": 2}],
        }
    )
    api("DELETE", "/users/1")
    assert api("GET", "/users/1/organization_memberships").json()["organization_memberships"] == []


def test_a_failed_result_of_a_job_has_the_published_shape(api: Api) -> None:
    failed = api.job("/tickets/destroy_many?ids=101,999")["results"][1]
    assert set(failed) == {"id", "action", "success", "error", "details"}  # with `index` it would be a created one too


def test_a_deleted_user_has_every_field_of_the_published_shape_and_is_unknown_once_purged(api: Api) -> None:
    api.standin.store.update("ticket", 102, status="closed")
    api("DELETE", f"/users/{USER}")
    shown = api("GET", f"/deleted_users/{USER}").json()["deleted_user"]
    wanted = {"id", "url", "name", "email", "created_at", "updated_at", "time_zone", "phone", "shared_phone_number"}
    assert wanted | {"photo", "locale_id", "locale", "organization_id", "role", "active"} == set(shown)
    api("DELETE", f"/deleted_users/{USER}")
    assert api("GET", f"/deleted_users/{USER}").status_code == 404
    [listed] = api("GET", "/deleted_users").json()["deleted_users"]
    assert (listed["id"], listed["name"], listed["email"]) == (USER, "Permanently Deleted User", "")


def test_a_value_that_must_be_a_string_is_left_out_where_there_is_none(api: Api) -> None:
    api.standin.store.update("user", USER, email=None)
    shown = api("GET", f"/users/{USER}").json()["user"]
    assert "email" not in shown
    assert shown["phone"] is None


def test_a_phone_is_searched_by_parts_whatever_its_form(api: Api) -> None:
    api.standin.store.update("user", USER, phone="+821012345678")
    for asked in ("phone:010-1234-5678", "phone:+821012345678", "phone:1234567"):
        found = api("GET", "/users/search", params={"query": asked}).json()["users"]
        assert [u["id"] for u in found] == [USER]


def test_files_are_redacted_with_their_comment_even_on_closed_tickets(api: Api) -> None:
    address = "https://sandbox.zendesk.com/attachments/token/1/?name=a.png"
    api.standin.store.update("comment", 1002, attachments=[{"id": 1, "file_name": "a.png", "content_url": address}])
    assert api("PUT", "/tickets/100/comments/1002/attachments/1/redact", json={}).status_code == 422
    other = {"ticket_id": 100, "external_attachment_urls": ["https://elsewhere.example.com/"]}
    assert api("PUT", "/comment_redactions/1002", json=other).status_code == 422
    reply = api("PUT", "/comment_redactions/1002", json={"ticket_id": 100, "external_attachment_urls": [address]})
    assert reply.json()["comment"]["attachments"][0]["file_name"] == "redacted.txt"


def test_chat_events_stand_in_audits_and_keep_the_name_until_the_purge(api: Api) -> None:
    said = {
        "actor_id": USER,
        "actor_name": "Sample Person 0001",
        "type": "ChatMessage",
        "chat_index": 0,
        "message": "hi",
    }
    event = {"id": 1, "type": "ChatStartedEvent", "value": {"chat_id": "1.2", "history": [said]}}
    api.standin.seed({"audit": [{"id": 5, "ticket_id": 100, "events": [event]}]})
    wrong = {"chat_id": "1.2", "chat_index": 0, "text": "<redact>ho</redact>"}
    assert api("PUT", "/chat_redactions/100", json=wrong).status_code == 422
    reply = api("PUT", "/chat_redactions/100", json={**wrong, "text": "<redact>hi</redact>"})
    assert reply.json()["chat_event"]["value"]["history"][0]["message"] == "▇▇"
    api.standin.store.update("ticket", 100, status="open")
    assert api("PUT", "/chat_redactions/100", json={**wrong, "text": "<redact>▇▇</redact>"}).status_code == 422
    api.standin.store.update("ticket", 102, status="closed")
    api("DELETE", f"/users/{USER}")
    api("DELETE", f"/deleted_users/{USER}")
    [audit] = api("GET", "/tickets/100/audits").json()["audits"]
    assert audit["events"][0]["value"]["history"][0]["actor_name"] == "Permanently Deleted User"
