"""Salesforce: nothing is called destroyed that is still there, and nothing of anybody else is touched."""

from __future__ import annotations

import datetime as dt
import logging
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from include.connections import Connection
from include.errors import ConfigurationError, ProcessorError, RateLimited, Refused, Unreachable
from include.outcomes import Outcome
from include.processors import Found, Result, Site, Subject, Work
from include.processors._salesforce_client import Client
from include.processors.salesforce import Processor
from include.sandbox.salesforce import CONSUMER_KEY, CONSUMER_SECRET, StandIn, make_id, seed_person
from include.sandbox.standin import Fault, Serving

ON = dt.date(2026, 9, 1)
DAY = dt.timedelta(days=1)
EVERYTHING, MARKETING = ("customer", "marketing"), ("marketing",)


class Org:
    """An organisation, and a small engine that drives the processor over it."""

    def __init__(self, standin: StandIn, url: str) -> None:
        self.standin, self.url, self.today = standin, url, ON
        standin.set_date(ON)
        self.settings: dict[str, Any] = {"poll_seconds": 2}
        self.extra = {
            "consumer_key": CONSUMER_KEY,
            "consumer_secret": CONSUMER_SECRET,
            "domain": "acme.my",
            "endpoint_url": url,
        }

    def processor(self) -> Processor:
        return Processor(Site(Connection("salesforce", extra=self.extra), self.settings, self.today))

    def seed(
        self, number: int, variant: int, *, email: str | None = None, company: str | None = "Sample Co"
    ) -> Subject:
        address = email or f"person{number}@example.com"
        name = f"Sample Person {number:04d}"
        self.standin.seed(
            seed_person(
                number=number,
                account_id=str(number),
                email=address,
                name=name,
                company=company,
                on=ON - 3 * DAY,
                variant=variant,
            )
        )
        return subject(number, address)

    def rows(self) -> dict[tuple[str, str], Mapping[str, Any]]:
        return {(r["kind"], r["id"]): r for r in self.standin.store.dump()}

    def live(self) -> dict[tuple[str, str], Mapping[str, Any]]:
        return {key: row for key, row in self.rows().items() if not row.get("IsDeleted")}

    def next_day(self) -> None:
        self.today += DAY
        self.standin.set_date(self.today)

    def fault(self, kind: str, **fields: Any) -> None:
        self.standin.faults = [Fault(kind, **fields)]

    def act(self, work: Sequence[Work]) -> tuple[list[Work], list[Result]]:
        """Run all steps; stop at the first that was not accepted by all."""
        processor, work, results = self.processor(), list(work), []
        for step in ("open_jobs", "hard_delete", "open_leftover_jobs", "hard_delete_leftovers"):
            ready = [w for w in work if step in {s.name for s in processor.steps(w)}]
            results = processor.act(step, ready) if ready else []
            found = {r.disposal_id: r.locator for r in results if r.locator is not None}
            work = [replace(w, locator=found.get(w.disposal_id, w.locator)) for w in work]
            if any(r.outcome is not Outcome.ACCEPTED for r in results):
                break
        return work, results

    def read(self, work: Sequence[Work]) -> list[Result]:
        return self.processor().read_back(work)

    def erase(self, *subjects: Subject) -> list[Result]:
        """Locate, act, and read back today and tomorrow."""
        work = [located(s, f) for s, f in zip(subjects, self.processor().locate(subjects), strict=True)]
        work, _results = self.act(work)
        self.read(work)
        self.next_day()
        return self.read(work)


def subject(number: int, *emails: str, datasets: tuple[str, ...] = EVERYTHING) -> Subject:
    return Subject(
        f"disposal-{number}", str(number), "individual", "customer", datasets, "R-14", "terminated", ON, emails=emails
    )


def located(one: Subject, found: Found) -> Work:
    assert found.outcome is Outcome.LOCATED, found.code
    return Work(one.disposal_id, one.account_id, one.scope_id, one.datasets, found.locator)


@pytest.fixture
def org() -> Iterator[Org]:
    standin = StandIn()
    with Serving(standin) as serving:
        yield Org(standin, serving.url)


# -- the whole way -----------------------------------------------------------------------------------------------------
def test_every_shape_of_person_is_deleted_for_good_and_read_back_as_gone(org: Org) -> None:
    bystanders = [org.seed(100 + variant, variant) for variant in range(8)]
    before = org.rows()
    people = [org.seed(n, n, company="Sample Co" if n % 2 else None) for n in range(8)]
    results = org.erase(*people)
    assert [r.outcome for r in results] == [Outcome.CONFIRMED_ABSENT] * 8
    after = {
        k: v for k, v in org.rows().items() if v.get("Name") != "Sample Company" and "Sample Company" not in str(v)
    }
    assert after == before, "bystanders are byte-identical and nothing else is left"
    assert all(s.account_id.startswith("10") for s in bystanders)


def test_rows_that_are_still_readable_are_awaiting_and_never_confirmed(org: Org) -> None:
    person = org.seed(1, 0)
    processor = org.processor()
    work, _ = org.act([located(person, processor.locate([person])[0])])
    [today] = org.read(work)
    assert (today.outcome, today.until) == (Outcome.AWAITING, ON + DAY)
    org.next_day()
    assert org.read(work)[0].outcome is Outcome.CONFIRMED_ABSENT


def test_without_a_readable_day_it_is_confirmed_at_once(org: Org) -> None:
    org.standin.visible_days = 0
    person = org.seed(1, 0)
    work, _ = org.act([located(person, org.processor().locate([person])[0])])
    assert org.read(work)[0].outcome is Outcome.CONFIRMED_ABSENT


def test_a_person_salesforce_never_knew_is_confirmed_absent_without_a_changing_call(org: Org) -> None:
    person = subject(9, "nobody@example.com")
    [found] = org.processor().locate([person])
    assert (found.outcome, found.count) == (Outcome.LOCATED, 0)
    assert org.processor().steps(located(person, found)) == ()
    assert org.read([located(person, found)])[0].outcome is Outcome.CONFIRMED_ABSENT
    assert not any(r["changing"] for r in org.standin.requests)


def test_erasing_twice_ends_the_same_way_and_deletes_nothing_the_second_time(org: Org) -> None:
    person = org.seed(1, 0)
    work = [located(person, org.processor().locate([person])[0])]
    done, _ = org.act(work)
    count = len(org.standin.requests)
    again, results = org.act(work)
    assert all(r.outcome is Outcome.ACCEPTED for r in results)
    uploads = [r for r in org.standin.requests[count:] if r["method"] == "PUT"]
    assert uploads == []
    org.next_day()
    assert {r.outcome for r in org.read([*done]) + org.read([*again])} == {Outcome.CONFIRMED_ABSENT}


# -- whose is it -------------------------------------------------------------------------------------------------------
def test_marketing_alone_leaves_every_customer_object_byte_identical(org: Org) -> None:
    people = [replace(org.seed(n, n), datasets=MARKETING) for n in range(8)]
    before = org.rows()
    results = org.erase(*people)
    assert {r.outcome for r in results} == {Outcome.CONFIRMED_ABSENT}
    gone = set(before) - set(org.rows())
    assert {kind for kind, _ in gone} == {"Lead", "CampaignMember", "Task"}
    assert all(before[key]["WhoId"].startswith("00Q") for key in gone if key[0] == "Task")
    assert {key: row for key, row in before.items() if key not in gone} == org.rows()
    assert any(row["kind"] == "Lead" and row["IsConverted"] for row in org.rows().values())


def test_a_company_account_is_never_touched(org: Org) -> None:
    person = org.seed(1, 0, company="Sample Trading")
    company = {k: v for k, v in org.rows().items() if k[0] == "Account"}
    assert org.erase(person)[0].outcome is Outcome.CONFIRMED_ABSENT
    assert {k: v for k, v in org.rows().items() if k[0] == "Account"} == company


def test_a_company_account_in_a_locator_is_not_sent(org: Org) -> None:
    person = org.seed(1, 0, company="Sample Trading")
    work = located(person, org.processor().locate([person])[0])
    company = make_id("Account", "Sample Trading")
    rows = {**work.locator["rows"], "Account": [company]}
    _, results = org.act([replace(work, locator={**work.locator, "rows": rows})])
    assert (results[0].outcome, results[0].code) == (Outcome.FAILED, "not_a_person_account")
    assert results[0].needs_person
    assert ("Account", company) in org.live()


def test_a_record_with_another_accounts_key_is_theirs_even_with_the_same_address(org: Org) -> None:
    leaving, staying = org.seed(1, 0, email="both@example.com"), org.seed(2, 0, email="both@example.com")
    before = {k: v for k, v in org.rows().items() if k[1] in _ids(staying, 0)}
    assert org.erase(leaving)[0].outcome is Outcome.CONFIRMED_ABSENT
    assert {k: v for k, v in org.rows().items() if k in before} == before


def test_an_unkeyed_record_behind_a_shared_address_stops_that_disposal_alone(org: Org) -> None:
    shared = org.seed(1, 4, email="both@example.com")
    org.seed(2, 0, email="both@example.com")
    other = org.seed(3, 0)
    first, second = org.processor().locate([shared, other])
    assert (first.outcome, first.code) == (Outcome.FAILED, "ambiguous")
    assert second.outcome is Outcome.LOCATED


def test_accounts_that_differ_only_in_the_case_of_their_key_are_two(org: Org) -> None:
    upper = replace(subject(0, "upper@example.com"), account_id="A1")
    for account, email in (("A1", "upper@example.com"), ("a1", "lower@example.com")):
        org.standin.seed(
            seed_person(number=1, account_id=account, email=email, name="N", company="C", on=ON, variant=0)
        )
    assert org.erase(upper)[0].outcome is Outcome.CONFIRMED_ABSENT
    assert {r["AccountKey__c"] for k, r in org.rows().items() if k[0] == "Contact"} == {"a1"}


@pytest.mark.parametrize(
    "email",
    ["o'sample+tag@example.com", 'quo"te@example.com', "UPPER@Example.COM", "100%_x@example.com", "김표본@example.kr"],
)
def test_unusual_addresses_find_their_records_and_no_others(org: Org, email: str) -> None:
    bystander = org.seed(2, 4, email="100axx@example.com")
    before = {k: v for k, v in org.rows().items() if k[1] in _ids(bystander, 4)}
    person = org.seed(1, 4, email=email)
    assert org.erase(person)[0].outcome is Outcome.CONFIRMED_ABSENT
    assert {k: v for k, v in org.rows().items() if k in before} == before
    assert email.casefold() not in str(org.rows()).casefold()


@pytest.mark.parametrize("email", ["", "  ", "no-at-sign", "a b@example.com", "x@\n", "' OR Name != '"])
def test_without_key_and_address_nothing_is_searched_and_the_disposal_fails(org: Org, email: str) -> None:
    person = replace(subject(1, email), account_id="")
    [found] = org.processor().locate([person])
    assert (found.outcome, found.code) == (Outcome.FAILED, "no_identifier")
    assert org.standin.requests == []


def test_an_account_without_an_address_is_found_by_its_key(org: Org) -> None:
    org.seed(1, 6)
    assert org.processor().locate([subject(1)])[0].count == 7


def test_a_file_shared_with_the_company_stays_and_ones_own_goes(org: Org) -> None:
    assert org.erase(org.seed(1, 3))[0].outcome is Outcome.CONFIRMED_ABSENT
    titles = [r["Title"] for k, r in org.rows().items() if k[0] == "ContentDocument"]
    assert titles == ["Sample Brochure"]


def test_an_individual_two_people_refer_to_stays(org: Org) -> None:
    leaving, staying = org.seed(1, 3), org.seed(2, 0)
    individual = make_id("Individual", "1", "")
    other = next(k for k in _ids(staying, 0) if k.startswith("003"))
    org.standin.store.update("Contact", other, IndividualId=individual)
    assert org.erase(leaving)[0].outcome is Outcome.CONFIRMED_ABSENT
    assert ("Individual", individual) in org.live()


def test_an_email_on_somebody_elses_case_needs_a_person(org: Org) -> None:
    leaving, staying = org.seed(1, 0), org.seed(2, 0)
    case = make_id("Case", staying.account_id, "")
    mail = {
        "id": make_id("EmailMessage", "mixed"),
        "ParentId": case,
        "FromAddress": "person2@example.com",
        "CcAddress": "person1@example.com",
    }
    org.standin.seed({"EmailMessage": [mail]})
    [result] = org.erase(leaving)
    assert (result.outcome, result.code, result.count) == (Outcome.MANUAL_PENDING, "shared_records", 1)
    assert ("EmailMessage", mail["id"]) in org.live()


def test_a_record_merged_into_another_is_followed(org: Org) -> None:
    person = org.seed(1, 5)
    loser = make_id("Contact", "1", "merged")
    master = {
        "id": make_id("Contact", "master"),
        "LastName": "Sample",
        "Email": "old@example.com",
        "AccountKey__c": None,
    }
    org.standin.seed({"Contact": [master]})
    org.standin.store.update("Contact", loser, MasterRecordId=master["id"])
    assert org.erase(person)[0].outcome is Outcome.CONFIRMED_ABSENT
    assert ("Contact", master["id"]) not in org.rows()


def test_a_record_merged_into_another_accounts_needs_a_person(org: Org) -> None:
    person = org.seed(1, 0)
    org.seed(2, 0)
    master = make_id("Contact", "2", "")
    org.standin.store.update("Contact", make_id("Contact", "1", ""), IsDeleted=True, MasterRecordId=master)
    [found] = org.processor().locate([person])
    assert (found.outcome, found.code) == (Outcome.FAILED, "merged_into_another")


def test_two_scopes_of_one_account_in_a_batch_keep_to_their_datasets(org: Org) -> None:
    person = org.seed(1, 4)
    other = replace(person, disposal_id="disposal-m", datasets=MARKETING)
    everything, marketing = org.processor().locate([person, other])
    assert set(marketing.locator["rows"]) == {"Lead", "CampaignMember"}
    assert set(everything.locator["rows"]) > set(marketing.locator["rows"])


# -- honesty -----------------------------------------------------------------------------------------------------------
def test_a_row_reported_deleted_but_kept_is_never_confirmed(org: Org) -> None:
    org.standin.visible_days = 0
    person = org.seed(1, 0)
    org.fault("row_lie", times=99)
    work, results = org.act([located(person, org.processor().locate([person])[0])])
    assert results[0].outcome is Outcome.ACCEPTED
    for _night in range(3):
        [result] = org.read(work)
        assert (result.outcome, result.code) == (Outcome.FAILED, "still_present")
        org.next_day()
    org.standin.faults = []
    work, _ = org.act([replace(work[0], locator=result.locator or {})])
    assert org.read(work)[0].outcome is Outcome.CONFIRMED_ABSENT


@pytest.mark.parametrize(("method", "path"), [("PUT", "batches"), ("PATCH", "ingest"), ("POST", "ingest")])
def test_a_reply_that_lies_about_any_job_call_is_found_out(org: Org, method: str, path: str) -> None:
    person = org.seed(1, 2)
    org.fault("lie", method=method, path=path, times=99)
    work = [located(person, org.processor().locate([person])[0])]
    try:
        work, results = org.act(work)
        assert any(r.outcome is not Outcome.ACCEPTED for r in results) or org.read(work)[0].code == "still_present"
    except ProcessorError:
        pass
    assert org.read(work)[0].outcome is not Outcome.CONFIRMED_ABSENT
    assert ("Lead", make_id("Lead", "1", "")) in org.live()


@pytest.mark.parametrize(
    ("method", "path", "after"),
    [("POST", "ingest", 0), ("PUT", "batches", 0), ("PATCH", "ingest", 0), ("GET", "successfulResults", 0)],
)
def test_a_connection_cut_after_any_call_is_settled_by_looking_again(
    org: Org, method: str, path: str, after: int
) -> None:
    person = org.seed(1, 0)
    work = [located(person, org.processor().locate([person])[0])]
    org.fault("cut_after", method=method, path=path, after=after)
    with pytest.raises(Unreachable):
        org.act(work)
    assert org.read(work)[0].outcome is not Outcome.CONFIRMED_ABSENT
    work, results = org.act(work)
    assert [r.outcome for r in results] == [Outcome.ACCEPTED]
    org.next_day()
    assert org.read(work)[0].outcome is Outcome.CONFIRMED_ABSENT


def test_a_job_that_was_filled_but_never_closed_is_given_up_for_a_new_one(org: Org) -> None:
    person = org.seed(1, 2)
    processor = org.processor()
    [opened] = processor.act("open_jobs", [located(person, processor.locate([person])[0])])
    work = replace(located(person, processor.locate([person])[0]), locator=opened.locator or {})
    job = work.locator["jobs"]["Lead"]
    org.standin.store.update("_job", job, uploads=["Id\nrubbish\n"])
    assert org.processor().act("hard_delete", [work])[0].outcome is Outcome.ACCEPTED
    assert (org.standin.store.get("_job", job) or {})["state"] == "Aborted"
    assert ("Lead", make_id("Lead", "1", "")) not in org.live()


def test_a_slow_job_is_awaited_and_joined_instead_of_started_again(org: Org) -> None:
    org.settings["poll_seconds"] = 0
    org.standin.polls = 3
    person = org.seed(1, 2)
    processor = org.processor()
    [opened] = processor.act("open_jobs", [located(person, processor.locate([person])[0])])
    work = Work("disposal-1", "1", "customer", EVERYTHING, opened.locator or {})
    [first] = processor.act("hard_delete", [work])
    assert (first.outcome, first.code, first.until) == (Outcome.AWAITING, "job_running", ON)
    results = [org.processor().act("hard_delete", [replace(work, locator=first.locator or {})])[0] for _ in range(4)]
    assert results[-1].outcome is Outcome.ACCEPTED
    assert len(org.standin.store.keys("_job")) == 1


def test_partial_success_is_told_per_person(org: Org) -> None:
    people = [org.seed(n, 2) for n in (1, 2, 3)]
    work = [located(s, f) for s, f in zip(people, org.processor().locate(people), strict=True)]
    org.fault("row_locked", times=1)
    _, results = org.act(work)
    assert sorted((r.outcome.value, r.code) for r in results) == sorted(
        [("failed", "UNABLE_TO_LOCK_ROW"), ("accepted", None), ("accepted", None)], key=str
    )
    assert not any(r.needs_person for r in results)


def test_a_failed_job_with_unprocessed_rows_is_finished_on_the_next_run(org: Org) -> None:
    people = [org.seed(n, 2) for n in (1, 2)]
    work = [located(s, f) for s, f in zip(people, org.processor().locate(people), strict=True)]
    org.fault("job_failed")
    work, results = org.act(work)
    assert {r.code for r in results} == {None, "unprocessed"}
    work, results = org.act(work)
    assert {r.outcome for r in results} <= {Outcome.ACCEPTED}
    org.next_day()
    assert {r.outcome for r in org.read(work)} == {Outcome.CONFIRMED_ABSENT}


def test_a_contact_with_a_portal_user_needs_a_person_and_stays_open(org: Org) -> None:
    person = org.seed(1, 5)
    contact = make_id("Contact", "1", "")
    user = {"id": make_id("User", "portal"), "ContactId": contact, "Username": "person1@example.com", "IsActive": True}
    org.standin.seed({"User": [user]})
    work, results = org.act([located(person, org.processor().locate([person])[0])])
    assert (results[0].outcome, results[0].code, results[0].needs_person) == (Outcome.FAILED, "DELETE_FAILED", True)
    org.next_day()
    assert org.read(work)[0].outcome is Outcome.FAILED


def test_history_that_outlives_its_record_is_counted_as_residue(org: Org) -> None:
    org.standin.history_stays = True
    [result] = org.erase(org.seed(1, 0))
    assert (result.outcome, result.code, result.count) == (Outcome.MANUAL_PENDING, "history_residue", 1)


def test_rows_found_in_the_recycle_bin_are_purged(org: Org) -> None:
    person = org.seed(1, 5)
    [found] = org.processor().locate([person])
    assert len(found.locator["binned"]) == 2
    assert org.erase(person)[0].outcome is Outcome.CONFIRMED_ABSENT


def test_a_purged_row_that_does_not_disappear_is_still_present_after_two_days(org: Org) -> None:
    org.standin.visible_days = 30
    person = org.seed(1, 2)
    work, _ = org.act([located(person, org.processor().locate([person])[0])])
    outcomes = []
    for _night in range(3):
        outcomes.append(org.read(work)[0].outcome)
        org.next_day()
    assert outcomes == [Outcome.AWAITING, Outcome.AWAITING, Outcome.FAILED]


def test_objects_the_bulk_api_does_not_take_go_through_rest(org: Org) -> None:
    person = org.seed(1, 6)
    contact = make_id("Contact", "1", "second")
    [found] = org.processor().locate([person])
    rows = {"FeedItem": found.locator["rows"]["FeedItem"]}
    work, results = org.act([replace(located(person, found), locator={**found.locator, "rows": rows})])
    assert results[0].outcome is Outcome.ACCEPTED
    assert work[0].locator["jobs"] == {"FeedItem": "rest"}
    assert not [k for k in org.rows() if k[0] == "FeedItem"]
    assert ("Contact", contact) in org.live()


# -- errors ------------------------------------------------------------------------------------------------------------
def test_a_missing_permission_is_refused_before_anything_is_touched(org: Org) -> None:
    person = org.seed(1, 0)
    org.standin.permissions["PermissionsBulkApiHardDelete"] = False
    with pytest.raises(Refused, match="Bulk API Hard Delete"):
        org.processor().check()
    with pytest.raises(Refused):
        org.processor().locate([person])
    org.standin.permissions["PermissionsBulkApiHardDelete"] = True
    org.standin.permissions["PermissionsViewAllData"] = False
    with pytest.raises(Refused, match="PermissionsViewAllData"):
        org.processor().read_back([Work("d", "1", "customer", EVERYTHING, {})])
    assert not any(r["changing"] for r in org.standin.requests)


def test_a_token_that_expires_mid_way_is_renewed_once(org: Org) -> None:
    person = org.seed(1, 0)
    org.fault("expired", after=9)
    assert org.erase(person)[0].outcome is Outcome.CONFIRMED_ABSENT


@pytest.mark.parametrize("path", ["query", "jobs", "sobjects"])
def test_a_token_refused_for_ever_stops_the_processor(org: Org, path: str) -> None:
    person = org.seed(1, 0)
    work = [located(person, org.processor().locate([person])[0])]
    org.fault("expired", path=path, times=10_000)
    count = len(org.standin.requests)
    with pytest.raises(Refused, match="INVALID_SESSION_ID"):
        _ = org.act(work) if path == "jobs" else org.processor().locate([person])
    assert len(org.standin.requests) - count < 20


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"kind": "status", "status": 503}, Unreachable),
        ({"kind": "status", "status": 500, "body": [{"errorCode": "UNKNOWN_EXCEPTION", "message": "x"}]}, Unreachable),
        ({"kind": "html", "status": 200}, Unreachable),
        ({"kind": "html", "status": 502}, Unreachable),
        ({"kind": "html", "status": 401}, Refused),
        ({"kind": "html", "status": 403}, Refused),
        ({"kind": "html", "status": 420}, Unreachable),
        ({"kind": "cut_before"}, Unreachable),
        ({"kind": "cut_after"}, Unreachable),
        ({"kind": "status", "status": 410, "body": [{"errorCode": "GONE", "message": "x"}]}, Refused),
        ({"kind": "status", "status": 302, "headers": {"Location": "http://elsewhere.example.com/"}}, Unreachable),
        ({"kind": "status", "status": 400, "body": [{"errorCode": "MALFORMED_QUERY", "message": "x"}]}, Refused),
        ({"kind": "status", "status": 200, "body": {"done": True, "records": [], "totalSize": 3}}, Unreachable),
        ({"kind": "status", "status": 200, "body": []}, Unreachable),
    ],
    ids=str,
)
def test_every_broken_answer_becomes_one_of_our_errors(
    org: Org, fields: dict[str, Any], error: type[ProcessorError]
) -> None:
    person = org.seed(1, 0)
    org.fault(path="/query", times=10_000, **fields)
    with pytest.raises(error):
        org.processor().locate([person])


@pytest.mark.parametrize(
    ("body", "headers", "status", "wait"),
    [
        (None, {"Retry-After": "7"}, 429, 7),
        (None, {}, 429, 60),
        (None, {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, 429, 1),
        ([{"errorCode": "REQUEST_LIMIT_EXCEEDED", "message": "TotalRequests Limit exceeded."}], {}, 403, 3600),
        (
            [{"errorCode": "REQUEST_LIMIT_EXCEEDED", "message": "ConcurrentRequests (Concurrent API) Limit exceeded."}],
            {},
            403,
            30,
        ),
    ],
)
def test_each_form_of_a_limit_says_how_long_to_wait(
    org: Org, body: Any, headers: dict[str, str], status: int, wait: float
) -> None:
    org.fault("status", path="/query", status=status, body=body, headers=headers)
    with pytest.raises(RateLimited) as caught:
        org.processor().locate([org.seed(1, 0)])
    assert caught.value.retry_after == wait


def test_our_share_of_the_daily_calls_is_not_exceeded(org: Org) -> None:
    org.standin.calls = 89_998
    with pytest.raises(RateLimited, match="daily_api_share"):
        org.processor().locate([org.seed(1, 0)])


def test_refused_credentials_stop_the_processor(org: Org) -> None:
    org.extra["consumer_secret"] = "wrong"
    with pytest.raises(Refused, match="invalid_grant"):
        org.processor().check()


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"domain": ""}, "domain"),
        ({"domain": "evil.example.com/x"}, "domain"),
        ({"domain": "login"}, "My Domain"),
        ({"consumer_key": ""}, "consumer_key"),
        ({"consumer_secret": ""}, "consumer_secret"),
        ({"private_key": "-----"}, "login"),
    ],
)
def test_an_incomplete_connection_is_named(org: Org, change: dict[str, str], word: str) -> None:
    org.extra |= change
    with pytest.raises(ConfigurationError, match=word):
        org.processor().check()
    assert org.standin.requests == []


def test_a_jwt_logs_in(org: Org) -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    extra = {**org.extra, "private_key": key.decode()}
    connection = Connection("salesforce", login="eraser@example.com", extra=extra)
    Processor(Site(connection, {}, ON)).check()


# -- hostile input and privacy -----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "identifier",
    ["", "../Account/001000000000001AAA", "//evil.example.com/x", "001000000000001AAA", "a" * 18, "é" * 15],
)
def test_a_hostile_id_in_a_locator_is_never_sent(org: Org, identifier: str) -> None:
    good = org.seed(2, 2)
    work = located(good, org.processor().locate([good])[0])
    bad = Work("disposal-1", "1", "customer", EVERYTHING, {"emails": [], "rows": {"Lead": [identifier]}})
    count = len(org.standin.requests)
    org.act([bad, work])
    first, second = org.processor().act("open_jobs", [bad, work])
    assert (first.outcome, first.code, first.needs_person) == (Outcome.FAILED, "malformed_id", True)
    assert second.outcome is Outcome.ACCEPTED
    sent = str(org.standin.requests[count:]) + str([j["uploads"] for j in org.standin.store.all("_job")])
    assert identifier == "" or identifier not in sent


@pytest.mark.parametrize("identifier", ["", "../x", "//h/x"])
def test_the_client_refuses_a_hostile_id_itself(org: Org, identifier: str) -> None:
    client = Client(Connection("salesforce", extra=org.extra))
    for call in (
        lambda: client.run_job(identifier, []),
        lambda: client.delete_rows([identifier]),
        lambda: client.empty_recycle_bin([identifier]),
        lambda: client.job_state(identifier),
    ):
        with pytest.raises(Refused, match="malformed_id"):
            call()
    assert org.standin.requests == []


def test_a_hostile_id_from_the_server_stops_that_person_only(org: Org) -> None:
    person, other = org.seed(1, 2), org.seed(2, 2)
    row = {"id": "../Account/001000000000001AAA", "AccountKey__c": "1", "LastName": "x", "IsConverted": False}
    org.standin.seed({"Lead": [row]})
    first, second = org.processor().locate([person, other])
    assert (first.outcome, first.code) == (Outcome.FAILED, "malformed_id")
    assert second.outcome is Outcome.LOCATED


def test_no_error_and_no_log_line_quotes_a_person(org: Org, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    person = org.seed(1, 0)
    texts = []
    message = "Sample Person 0001 person1@example.com"
    for status, code in (
        (400, "DELETE_FAILED"),
        (500, "Sample Person"),
        (403, message),
        (404, "NOT_FOUND"),
        (300, "x"),
    ):
        body = [{"errorCode": code, "message": message}]
        org.fault("status", path="/query", after=2, status=status, body=body, times=99)
        with pytest.raises(ProcessorError) as caught:
            org.processor().locate([person])
        texts += traceback.format_exception(caught.value)
        assert caught.value.__cause__ is None
        assert caught.value.__context__ is None
    org.standin.faults = []
    results = org.erase(person)
    texts += [repr(r) for r in results] + [r.getMessage() for r in caplog.records]
    assert "person1" not in "".join(texts)
    assert "Sample Person" not in "".join(texts)


def test_all_traffic_goes_to_the_endpoint(org: Org) -> None:
    """The suite refuses every other address, and the instance a token names is `sandbox.my.salesforce.com`."""
    assert org.erase(org.seed(1, 5))[0].outcome is Outcome.CONFIRMED_ABSENT
    paths = {r["path"].split("?")[0].split("/")[2] for r in org.standin.requests}
    assert paths == {"oauth2", "data", "Soap"}


def test_a_batch_of_500_needs_few_requests(org: Org) -> None:
    people = [org.seed(n, n) for n in range(500)]
    assert {r.outcome for r in org.erase(*people)} == {Outcome.CONFIRMED_ABSENT}
    deletes = [r for r in org.standin.requests if r["method"] in {"PUT", "DELETE"} or "Soap" in r["path"]]
    assert len(deletes) <= 500 / 50 + 2
    assert len(org.standin.requests) <= 500 / 2


def _ids(person: Subject, variant: int) -> set[str]:
    number = int(person.account_id)
    rows = seed_person(
        number=number,
        account_id=person.account_id,
        email=person.emails[0],
        name=f"Sample Person {number:04d}",
        company="Sample Co",
        on=ON - 3 * DAY,
        variant=variant,
    )
    return {r["id"] for kind in rows.values() for r in kind}
