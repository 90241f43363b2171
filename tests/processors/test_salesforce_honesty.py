"""Salesforce: nothing is called destroyed that is still there, and nothing stays open that could be closed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from include.errors import ProcessorError, Unreachable
from include.outcomes import Outcome
from include.processors import Work
from include.sandbox.salesforce import make_id
from tests.processors.salesforce_world import EVERYTHING, ON, Org, located, world


@pytest.fixture
def org() -> Iterator[Org]:
    with world() as org:
        yield org


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
    [("POST", "ingest", 0), ("PUT", "batches", 0), ("PATCH", "ingest", 0)],
)
def test_a_connection_cut_after_any_changing_call_is_settled_by_looking_again(
    org: Org, method: str, path: str, after: int
) -> None:
    person = org.seed(1, 0)
    work = [located(person, org.processor().locate([person])[0])]
    org.fault("cut_after", method=method, path=path, after=after)
    with pytest.raises(Unreachable):
        org.act(work)
    assert org.read(work)[0].outcome is not Outcome.CONFIRMED_ABSENT
    work, results = org.act(work)
    if results[0].code == "job_reopened":  # the next run fills the job whose id is stored by now
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
    [reopened] = org.processor().act("hard_delete", [work])
    assert (reopened.outcome, reopened.code, reopened.needs_person) == (Outcome.FAILED, "job_reopened", False)
    assert (org.standin.store.get("_job", job) or {})["state"] == "Aborted"
    other = (reopened.locator or {})["jobs"]["Lead"]
    assert (org.standin.store.get("_job", other) or {})["uploads"] == [], "its id is stored before a row is sent"
    work = replace(work, locator=reopened.locator or {})
    assert org.processor().act("hard_delete", [work])[0].outcome is Outcome.ACCEPTED
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


def test_a_locked_case_does_not_drag_its_contact_into_a_persons_hands(org: Org) -> None:
    person = org.seed(1, 0)
    work = [located(person, org.processor().locate([person])[0])]
    org.fault("row_locked")
    work, results = org.act(work)
    assert (results[0].code, results[0].needs_person) == ("UNABLE_TO_LOCK_ROW", False)
    work, results = org.act(work)
    if results[0].code == "job_reopened":
        work, results = org.act(work)
    assert results[0].outcome is Outcome.ACCEPTED
    org.next_day()
    assert org.read(work)[0].outcome is Outcome.CONFIRMED_ABSENT


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
