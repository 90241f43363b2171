"""Salesforce: what is far from the contact's own record is found as well, and what is half somebody else's stays."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from include.errors import RateLimited, Refused
from include.outcomes import Outcome
from include.processors import Subject
from include.sandbox.salesforce import make_id
from tests.processors import salesforce_requests
from tests.processors.salesforce_world import DAY, Org, located, subject, world

GONE, MANUAL = Outcome.CONFIRMED_ABSENT, Outcome.MANUAL_PENDING


@pytest.fixture
def org() -> Iterator[Org]:
    with world() as org:
        yield org


def add(org: Org, kind: str, which: str, **fields: Any) -> str:
    identifier = make_id(kind, which)
    org.standin.seed({kind: [{"id": identifier, "IsDeleted": False, **fields}]})
    return identifier


def contact(person: Subject, which: str = "") -> str:
    return make_id("Contact", person.account_id, which)


# -- far from the record -----------------------------------------------------------------------------------------------
def test_the_lead_a_contact_was_goes_with_it_though_its_address_is_an_old_one(org: Org) -> None:
    person = org.seed(1, 0)
    lead = add(org, "Lead", "old", LastName="S", Email="old@example.com", IsConverted=True,
               ConvertedContactId=contact(person))  # fmt: skip
    assert org.erase(person)[0].outcome is GONE
    assert ("Lead", lead) not in org.rows()


def test_the_contact_a_lead_became_goes_when_nothing_says_it_is_anothers(org: Org) -> None:
    person = org.seed(1, 2)
    became = add(org, "Contact", "became", LastName="S")
    org.standin.store.update("Lead", make_id("Lead", "1", ""), IsConverted=True, ConvertedContactId=became)
    assert org.erase(person)[0].outcome is GONE
    assert ("Contact", became) not in org.rows()


def test_a_contact_with_another_address_that_a_lead_became_is_for_a_person(org: Org) -> None:
    person = org.seed(1, 2)
    became = add(org, "Contact", "became", LastName="S", Email="colleague@example.com")
    org.standin.store.update("Lead", make_id("Lead", "1", ""), IsConverted=True, ConvertedContactId=became)
    result = org.erase(person)[0]
    assert (result.outcome, result.code) == (MANUAL, "shared_records"), "though its lead, the way there, is gone by now"
    assert ("Contact", became) in org.live()


def test_a_web_case_filed_under_a_company_is_still_the_persons(org: Org) -> None:
    person = org.seed(1, 0)
    company = make_id("Account", "Sample Co")
    case = add(org, "Case", "web", AccountId=company, SuppliedEmail="PERSON1@example.com", Subject="x")
    assert org.erase(person)[0].outcome is GONE
    assert ("Case", case) not in org.rows()
    assert ("Account", company) in org.live()


def test_mails_filed_under_a_company_or_only_related_to_the_contact_go(org: Org) -> None:
    person = org.seed(1, 0)
    filed = add(org, "EmailMessage", "filed", RelatedToId=make_id("Account", "Sample Co"),
                ToAddress="Sample <person1@example.com>; help@example.com", FromAddress="help@example.com")  # fmt: skip
    related = add(org, "EmailMessage", "related", FromAddress="old@example.com", ToAddress="help@example.com")
    add(
        org, "EmailMessageRelation", "r", EmailMessageId=related, RelationId=contact(person), RelationType="FromAddress"
    )
    assert org.erase(person)[0].outcome is GONE
    assert not {("EmailMessage", filed), ("EmailMessage", related)} & set(org.rows())


def test_a_case_of_somebody_else_that_only_shows_an_address_is_theirs(org: Org) -> None:
    person, other = org.seed(1, 0), org.seed(2, 0)
    case = add(org, "Case", "c", ContactId=contact(other), ContactEmail="person1@example.com", Subject="x")
    assert org.erase(person)[0].outcome is GONE
    assert ("Case", case) in org.live()


def test_a_merged_case_is_followed(org: Org) -> None:
    person = org.seed(1, 0)
    master = add(org, "Case", "master", Subject="kept")
    merged = add(org, "Case", "loser", ContactId=contact(person), IsDeleted=True, MasterRecordId=master,
                 SystemModstamp="2026-08-30T03:00:00.000+0000")  # fmt: skip
    assert org.erase(person)[0].outcome is GONE
    assert not {("Case", master), ("Case", merged)} & set(org.rows())


def test_a_custom_look_up_that_forbids_deleting_its_contact_goes_first(org: Org) -> None:
    person = org.seed(1, 5)
    booking = add(org, "Booking__c", "b", Guest__c=contact(person))
    assert org.erase(person)[0].outcome is GONE
    assert ("Booking__c", booking) not in org.rows()


def test_contact_points_roles_and_files_on_custom_rows_are_found(org: Org) -> None:
    person = org.seed(1, 3)
    survey = add(org, "Survey_Response__c", "s", Contact__c=contact(person))
    document = add(org, "ContentDocument", "d", Title="Answers")
    add(org, "ContentDocumentLink", "l", ContentDocumentId=document, LinkedEntityId=survey)
    add(org, "ContactPointEmail", "p", ParentId=make_id("Individual", "1", ""), EmailAddress="older@example.com")
    add(org, "AccountContactRole", "a", ContactId=contact(person))
    add(org, "CaseContactRole", "c", ContactId=contact(person))
    assert org.erase(person)[0].outcome is GONE
    left = {kind for kind, _ in org.rows()}
    assert not left & {"Survey_Response__c", "ContactPointEmail", "AccountContactRole", "CaseContactRole"}
    assert ("ContentDocument", document) not in org.rows()


def test_the_history_of_a_custom_row_is_residue_too(org: Org) -> None:
    person = org.seed(1, 5)
    add(org, "Survey_Response__History", "h", ParentId=make_id("Survey_Response__c", "1", ""), OldValue="a")
    org.standin.history_stays = True
    result = org.erase(person)[0]
    assert (result.outcome, result.code, result.count) == (MANUAL, "history_residue", 2)


# -- half somebody else's ----------------------------------------------------------------------------------------------
def test_a_record_that_refers_to_two_people_stays_for_a_person_to_decide(org: Org) -> None:
    leaving, staying = org.seed(1, 0), org.seed(2, 0)
    referral = add(org, "Referral__c", "r", Referrer__c=contact(leaving), Referred__c=contact(staying))
    [found] = org.processor().locate([leaving])
    assert "Referral__c" not in found.locator["rows"]
    work, _ = org.act([located(leaving, found)])
    assert ("Referral__c", referral) in org.live()
    org.next_day()
    result = org.read(work)[0]
    assert (result.outcome, result.code, result.count) == (MANUAL, "shared_records", 1)


def test_a_record_that_refers_only_to_people_who_leave_goes(org: Org) -> None:
    first, second = org.seed(1, 0), org.seed(2, 0)
    referral = add(org, "Referral__c", "r", Referrer__c=contact(first), Referred__c=contact(second))
    assert {r.outcome for r in org.erase(first, second)} == {GONE}
    assert ("Referral__c", referral) not in org.rows()


def test_a_persons_address_in_a_companys_account_is_shown_and_the_account_stays(org: Org) -> None:
    person = org.seed(1, 0)
    company = make_id("Account", "Sample Co")
    org.standin.store.update("Account", company, Billing_Email__c="person1@example.com")
    before = org.rows()[("Account", company)]
    result = org.erase(person)[0]
    assert (result.outcome, result.code, result.count) == (MANUAL, "shared_records", 1)
    assert org.rows()[("Account", company)] == before


def test_an_address_in_a_second_field_of_somebody_elses_contact_leaves_that_contact_alone(org: Org) -> None:
    """A spouse's or an assistant's address is kept so; the contact is theirs."""
    person = org.seed(1, 0)
    fields = {"LastName": "S", "Email": "other@example.com", "Second_Email__c": "person1@example.com"}
    other = add(org, "Contact", "spouse", **fields)
    result = org.erase(person)[0]
    assert (result.outcome, result.code, result.count) == (MANUAL, "shared_records", 1)
    assert ("Contact", other) in org.live()


def test_a_contact_with_only_a_second_address_is_found_by_it(org: Org) -> None:
    person = org.seed(1, 0)
    second = add(org, "Contact", "second", LastName="S", Second_Email__c="person1@example.com")
    assert org.erase(person)[0].outcome is GONE
    assert ("Contact", second) not in org.rows()


@pytest.mark.parametrize(
    "written", ["010-0000-0001", "01000000001", "+82 10-0000-0001", "(010) 0000 0001", "82-10-0000.0001"]
)
def test_a_phone_number_alone_finds_a_record_but_never_deletes_it(org: Org, written: str) -> None:
    person = replace(org.seed(1, 0), phones=("010-0000-0001",))
    lead = add(org, "Lead", "called", LastName="S", Phone=written, IsConverted=False)
    booking = add(org, "Booking__c", "called", Guest_Phone__c=written)
    case = add(org, "Case", "called", SuppliedPhone=written)
    result = org.erase(person)[0]
    assert (result.outcome, result.code, result.count) == (MANUAL, "shared_records", 3)
    assert {("Lead", lead), ("Booking__c", booking), ("Case", case)} <= set(org.live())


def test_a_number_in_another_persons_record_is_theirs(org: Org) -> None:
    person = replace(org.seed(1, 0), phones=("010-0000-0001",))
    for which, fields in (
        ("keyed", {"AccountKey__c": "7"}),
        ("mailed", {"Email": "partner@example.com"}),
        ("like", {"Phone": "110 0000 0001"}),
    ):  # fmt: skip
        add(org, "Contact", which, **{"LastName": "S", "Phone": "010-0000-0001", **fields})
    assert org.erase(person)[0].outcome is GONE
    assert len([k for k in org.live() if k[0] == "Contact"]) == 3


def test_a_task_that_was_given_to_somebody_else_meanwhile_is_no_longer_the_persons(org: Org) -> None:
    person, other = org.seed(1, 0), org.seed(2, 0)
    [found] = org.processor().locate([person])
    rows = {"Task": found.locator["rows"]["Task"]}
    task = rows["Task"][0]
    work = replace(located(person, found), locator={"emails": [], "rows": rows})
    for row in [r for r in org.rows().values() if r.get("AccountKey__c") == "1"]:
        org.standin.store.delete(row["kind"], row["id"])
    org.standin.store.update("Task", task, WhoId=contact(other))
    [result] = org.read([work])
    assert (result.outcome, result.code) == (MANUAL, "shared_records")


def test_a_contact_point_of_somebody_else_with_the_persons_address_is_for_a_person(org: Org) -> None:
    person = org.seed(1, 0)
    other = add(org, "Individual", "other", LastName="S")
    point = add(org, "ContactPointEmail", "p", ParentId=other, EmailAddress="person1@example.com")
    result = org.erase(person)[0]
    assert (result.outcome, result.code) == (MANUAL, "shared_records")
    assert ("ContactPointEmail", point) in org.live()


def test_a_custom_setting_with_the_persons_address_is_configuration(org: Org) -> None:
    setting = add(org, "Mail_Settings__c", "m", Sender__c="person1@example.com")
    assert org.erase(org.seed(1, 0))[0].outcome is GONE
    assert ("Mail_Settings__c", setting) in org.live()


# -- other organisations -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "absent",
    [
        {"Individual", "ContactPointEmail"},
        {"FeedItem", "FeedComment"},
        {"EmailMessage", "EmailMessageRelation"},
        {"AccountContactRelation", "AccountContactRole", "CaseContactRole"},
        {"ContentDocument", "ContentDocumentLink", "Attachment", "Note"},
        {"Survey_Response__c", "Referral__c", "Booking__c", "Survey_Response__History"},
    ],
    ids=lambda absent: min(absent),
)
def test_an_organisation_without_a_feature_has_nothing_of_it_and_all_else_goes(org: Org, absent: set[str]) -> None:
    people = [org.seed(n, n) for n in range(1, 7)]
    for kind in absent:
        for key in org.standin.store.keys(kind):
            org.standin.store.delete(kind, key)
    org.standin.absent = absent
    assert {r.outcome for r in org.erase(*people)} == {GONE}
    assert {k for k, _ in org.live()} <= {
        "Account",
        "Campaign",
        "Opportunity",
        "ContentDocument",
        "ContentDocumentLink",
    }


def test_without_person_accounts_companies_are_left_alone_and_contacts_go(org: Org) -> None:
    org.standin.person_accounts = False
    person = org.seed(1, 0)
    assert org.erase(person)[0].outcome is GONE
    assert ("Account", make_id("Account", "Sample Co")) in org.live()


@pytest.mark.parametrize("hidden", [("Contact", "Email"), ("Lead", "Email"), ("Case", "SuppliedEmail")])
def test_a_field_hidden_by_field_level_security_stops_the_processor(org: Org, hidden: tuple[str, str]) -> None:
    person = org.seed(1, 0)
    org.standin.hidden = {hidden}
    with pytest.raises(Refused, match=".".join(hidden)):
        org.processor().locate([person])
    with pytest.raises(Refused, match="fields_hidden"):
        org.processor().check()


def test_a_key_field_the_schedule_names_must_be_visible(org: Org) -> None:
    org.standin.hidden = {("Contact", "AccountKey__c")}
    org.processor().check()
    org.settings["external_key_field"] = "AccountKey__c"
    with pytest.raises(Refused, match="AccountKey__c"):
        org.processor().check()


def test_an_object_the_schedule_declares_absent_is_not_missed(org: Org) -> None:
    org.standin.absent = {"CampaignMember"}
    with pytest.raises(Refused, match="absent_objects"):
        org.processor().check()
    org.settings["absent_objects"] = ["CampaignMember"]
    org.processor().check()


@pytest.mark.parametrize("kind", ["Lead", "Case", "CampaignMember"])
def test_a_person_is_erased_where_a_standard_object_is_declared_absent(org: Org, kind: str) -> None:
    person = org.seed(1, 6)
    org.standin.absent, org.settings["absent_objects"] = {kind}, [kind]
    assert org.erase(person)[0].outcome is GONE


def test_a_standard_object_the_schedule_adds_is_searched_as_a_custom_one_is(org: Org) -> None:
    org.settings["custom_objects"] = []
    org.settings["more_objects"] = ["Survey_Response__c"]
    person = org.seed(1, 5)
    assert "Survey_Response__c" in org.processor().locate([person])[0].locator["rows"]
    org.settings["more_objects"] = ["Quote"]
    with pytest.raises(Refused, match="Quote"):
        org.processor().check()


def test_a_page_in_place_of_a_bundle_is_no_answer_and_the_reads_are_made_one_by_one(org: Org) -> None:
    person = org.seed(1, 0)
    work = _work(org, [person])
    org.fault("html", path="/composite$", status=200, times=999)
    work, results = org.act(work)
    assert results[0].outcome is Outcome.ACCEPTED
    org.next_day()
    assert org.read(work)[0].outcome is GONE


def test_an_organisation_without_composite_is_asked_one_by_one(org: Org) -> None:
    org.standin.composites = False
    assert org.erase(org.seed(1, 3))[0].outcome is GONE
    tried = [r for r in org.standin.requests if r["path"].endswith("/composite")]
    assert len(tried) <= 3, "once in a session is enough to know"


def test_before_any_act_nothing_but_get_is_sent(org: Org) -> None:
    org.processor().check()
    org.processor().locate([org.seed(n, n) for n in range(8)])
    assert {r["method"] for r in org.standin.requests if "oauth2" not in r["path"]} == {"GET"}


def test_a_query_the_vendor_calls_too_complicated_is_asked_in_parts(org: Org) -> None:
    org.standin.most_patterns = 7
    people = [org.seed(n, n) for n in range(40)]
    assert {r.outcome for r in org.erase(*people)} == {GONE}


def test_long_tokens_leave_room_for_them(org: Org, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("secrets.token_urlsafe", lambda _n=None: "t" * 2_500)
    people = [org.seed(n, n) for n in range(120)]
    assert {f.outcome for f in org.processor().locate(people)} == {Outcome.LOCATED}


# -- the other way, and the recycle bin --------------------------------------------------------------------------------
def test_an_organisation_that_grants_no_hard_delete_may_choose_the_recycle_bin(org: Org) -> None:
    org.standin.permissions["PermissionsBulkApiHardDelete"] = False
    org.settings["delete_through"] = "recycle_bin"
    people = [org.seed(n, n) for n in range(8)]
    methods = {s.method for w in _work(org, people) for s in org.processor().steps(w)}
    assert methods == {"delete_and_empty_recycle_bin"}
    assert {r.outcome for r in org.erase(*people)} == {GONE}
    assert not [r for r in org.standin.requests if "/jobs/" in r["path"]]


def test_rows_deleted_but_not_yet_purged_when_the_line_was_cut_are_purged_next_time(org: Org) -> None:
    org.settings["delete_through"] = "recycle_bin"
    work = _work(org, [org.seed(1, 5)])
    org.fault("cut_after", method="DELETE")
    with pytest.raises(Exception, match="no_answer"):
        org.act(work)
    work, results = org.act(work)
    assert results[0].outcome is Outcome.ACCEPTED
    org.next_day()
    assert org.read(work)[0].outcome is GONE


def test_a_recycle_bin_out_of_reach_keeps_only_its_own_people_open_and_not_for_ever(org: Org) -> None:
    work = _work(org, [org.seed(1, 5), org.seed(2, 0)])
    org.fault("html", path="Soap", status=404, times=999)
    work, results = org.act(work)
    assert [(r.outcome, r.code, r.needs_person) for r in results] == [
        (Outcome.FAILED, "recycle_bin_out_of_reach", False), (Outcome.ACCEPTED, None, False)
    ]  # fmt: skip
    org.today += 20 * DAY  # the bin empties itself after 15 days
    org.standin.set_date(org.today)
    work, results = org.act(work)
    assert {r.outcome for r in results} == {Outcome.ACCEPTED}
    assert {r.outcome for r in org.read(work)} == {GONE}


@pytest.mark.parametrize(
    ("code", "error"), [("REQUEST_LIMIT_EXCEEDED", RateLimited), ("INSUFFICIENT_ACCESS", None)], ids=str
)
def test_a_soap_fault_means_what_its_word_says(org: Org, code: str, error: type[Exception] | None) -> None:
    work = _work(org, [org.seed(1, 5)])
    fault = f"<x:Envelope><x:Body><x:Fault><faultcode>sf:{code}</faultcode></x:Fault></x:Body></x:Envelope>"
    org.standin.soap = lambda _request, version: org.standin._soap(500, fault)  # type: ignore[method-assign]
    if error:
        with pytest.raises(error):
            org.act(work)
    else:
        _, results = org.act(work)
        assert (results[0].outcome, results[0].code, results[0].needs_person) == (Outcome.FAILED, code, True)


def _work(org: Org, people: list[Subject]) -> list[Any]:
    found = org.processor().locate(people)
    return [located(s, f) for s, f in zip(people, found, strict=True)]


# -- reads -------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", ["status", "html", "cut_before", "cut_after"])
def test_a_read_that_fails_once_is_asked_again_in_place(org: Org, kind: str) -> None:
    person = org.seed(1, 0)
    for path in ("/query", "/sobjects", "/composite", "Results"):
        org.standin.faults = []
        org.fault(kind, path=path, after=1, status=503)
        assert org.processor().locate([person])[0].outcome is Outcome.LOCATED
    assert org.erase(person)[0].outcome is GONE


def test_an_error_of_one_read_in_a_bundle_is_that_reads_error(org: Org) -> None:
    work = _work(org, [org.seed(1, 0)])
    org.standin.hidden = {("Task", "WhoId")}
    with pytest.raises(Refused, match="INVALID_FIELD"):
        org.read(work)


def test_a_nameless_person_is_not_confused_with_a_permission_that_is_not_told(org: Org) -> None:
    del org.standin.permissions["PermissionsQueryAllFiles"]
    org.processor().check()
    assert org.processor().locate([subject(1, "nobody@example.com")])[0].count == 0


def test_a_batch_of_500_keeps_to_the_budget_and_prints_it(org: Org, capsys: pytest.CaptureFixture[str]) -> None:
    found = salesforce_requests.counted(org, 500)
    with capsys.disabled():
        print("\n" + salesforce_requests.table(found, 500))
    assert salesforce_requests.deletes(found) <= 500 / 50
    assert sum(sum(counts.values()) for counts in found.values()) <= 500 / 3


# -- half of it went ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("variant", range(7))
def test_what_hung_on_a_record_that_went_is_not_taken_for_another_persons(org: Org, variant: int) -> None:
    """A job that deleted only one kind of row leaves the rest ours: it is deleted next, and no person is asked."""
    sample = located(subject(1, "person1@example.com"), org.processor().locate([org.seed(1, variant)])[0])
    org.act([sample])
    for number, kind in enumerate(sorted(sample.locator["rows"]), start=2):
        person = org.seed(number, variant)
        work = located(person, org.processor().locate([person])[0])
        for identifier in work.locator["rows"][kind]:
            org.standin.store.delete(kind, identifier)
        (result,) = org.read([work])
        left = [(k, i) for k, ids in work.locator["rows"].items() for i in ids if (k, i) in org.rows()]
        assert result.code != "shared_records", kind
        assert (result.outcome is GONE) == (not left), (kind, result.code, left)
        again, _results = org.act([replace(work, locator=result.locator or work.locator)])
        org.next_day()
        (result,) = org.read(again)
        assert result.outcome is GONE or result.code == "history_residue", (kind, result.code)
        rows = work.locator["rows"]
        assert not [(k, i) for k, ids in rows.items() for i in ids if (k, i) in org.rows()], kind
        old = [
            r for (k, _), r in org.rows().items() if k == "ContactHistory" and r["ContactId"] in rows.get("Contact", ())
        ]
        assert bool(old) == (result.outcome is MANUAL), kind
