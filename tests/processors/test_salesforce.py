"""Salesforce: everything of the person is deleted for good, and nothing of anybody else is touched."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from include.outcomes import Outcome
from include.sandbox.salesforce import make_id, seed_person
from tests.processors.salesforce_world import DAY, MARKETING, ON, Org, ids, located, subject, world


@pytest.fixture
def org() -> Iterator[Org]:
    with world() as org:
        yield org


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
    assert not any(row["kind"] == "Lead" for row in org.rows().values()), "a converted Lead is marketing data too"


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
    before = {k: v for k, v in org.rows().items() if k[1] in ids(staying, 0)}
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
    before = {k: v for k, v in org.rows().items() if k[1] in ids(bystander, 4)}
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
    other = next(k for k in ids(staying, 0) if k.startswith("003"))
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
