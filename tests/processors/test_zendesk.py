"""The Zendesk processor finds exactly one person, and stops before anything that is not theirs to lose."""

from __future__ import annotations

import json
import traceback
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine

from include.errors import ConfigurationError
from include.outcomes import Outcome
from include.processors import NOT_ARCHIVED, STALE_LOCATOR
from include.processors._zendesk.redact import is_readable
from include.sandbox.zendesk import comment_row, ticket_row, user_row
from tests.processors.zendesk_world import (
    EMAIL,
    NAME,
    SETTINGS,
    TODAY,
    USER,
    World,
    after,
    caller,
    carry_out,
    company,
    erase,
    located,
    opened,
    subject,
)


@pytest.fixture
def world() -> Iterator[World]:
    with opened() as world:
        yield world


# -- finding -------------------------------------------------------------------------------------------------------


def test_a_person_is_found_with_every_ticket_role(world: World) -> None:
    world.seed()
    [work] = located(world.processor(), subject())
    assert work.locator == {
        "users": [USER],
        "tickets": [101, 102],
        "comments": [[100, 1002]],
        "located_on": TODAY.isoformat(),
    }


def test_the_locator_holds_ids_only(world: World) -> None:
    world.seed("suspended")
    [work] = located(world.processor(), subject())
    assert "@" not in json.dumps(work.locator)
    assert "Sample" not in json.dumps(work.locator)


def test_nobody_there_is_absent_with_count_zero(world: World) -> None:
    world.seed("nobody")
    processor = world.processor()
    [work] = located(processor, subject())
    assert processor.steps(work) == ()
    [result] = processor.read_back([work])
    assert (result.outcome, result.count) == (Outcome.CONFIRMED_ABSENT, 0)


def test_a_partial_email_is_not_ours(world: World) -> None:
    world.standin.seed({"user": [user_row(1, name="Other", email=f"re-{EMAIL}", external_id=None, on=TODAY)]})
    [found] = world.processor().locate([subject()])
    assert (found.outcome, found.count) == (Outcome.LOCATED, 0)


def test_an_external_id_that_differs_in_case_is_not_ours(world: World) -> None:
    world.standin.seed({"user": [user_row(1, name="Other", email="other@example.com", external_id="A0001", on=TODAY)]})
    [found] = world.processor().locate([subject(account_id="a0001")])
    assert found.count == 0


@pytest.mark.parametrize("other", ["10", "100", "11"])
def test_colliding_account_ids_are_kept_apart(world: World, other: str) -> None:
    world.standin.seed({"user": [user_row(1, name="Other", email="other@example.com", external_id=other, on=TODAY)]})
    assert world.processor().locate([subject(account_id="1")])[0].count == 0


def test_our_email_on_the_user_of_an_account_that_holds_it_too_is_that_accounts(world: World) -> None:
    world.standin.seed({"user": [user_row(1, name="Other", email=EMAIL, external_id="77", on=TODAY)]})
    [found] = world.processor(**company(("1", EMAIL), ("77", EMAIL))).locate([subject()])
    assert (found.outcome, found.count) == (Outcome.LOCATED, 0)


@pytest.mark.parametrize("merged", [True, False])
def test_our_email_on_the_user_of_an_account_that_does_not_hold_it_needs_a_person(world: World, merged: bool) -> None:
    other = user_row(1, name="Other", email="other@example.com" if merged else EMAIL, external_id="77", on=TODAY)
    identity = {"id": 5, "user_id": 1, "type": "email", "value": EMAIL, "primary": False}
    world.standin.seed({"user": [other], "identity": [identity] if merged else []})
    [found] = world.processor(**company(("1", EMAIL), ("77", "other@example.com"))).locate([subject()])
    assert (found.outcome, found.code) == (Outcome.FAILED, "email_on_another_account")


def test_an_email_is_compared_regardless_of_case(world: World) -> None:
    world.standin.seed({"user": [user_row(1, name="Sample", email=EMAIL.upper(), external_id=None, on=TODAY)]})
    [work] = located(world.processor(), subject())
    assert work.locator["users"] == [1]


def test_a_secondary_email_identity_finds_the_person(world: World) -> None:
    world.standin.seed(
        {
            "user": [user_row(1, name="Sample", email="old@example.com", external_id=None, on=TODAY)],
            "identity": [{"id": 5, "user_id": 1, "type": "email", "value": EMAIL, "primary": False}],
        }
    )
    [work] = located(world.processor(), subject())
    assert work.locator["users"] == [1]


def test_two_users_of_one_person_are_both_found(world: World) -> None:
    world.seed("two_users")
    [work] = located(world.processor(), subject())
    assert work.locator["users"] == [USER, USER + 1]


def test_two_hits_by_email_alone_need_a_person(world: World) -> None:
    users = [user_row(i, name="Sample", email=EMAIL, external_id=None, on=TODAY) for i in (1, 2)]
    world.standin.seed({"user": users})
    [found] = world.processor().locate([subject()])
    assert (found.outcome, found.code) == (Outcome.FAILED, "ambiguous")


def test_two_accounts_behind_one_email_stop_only_these_two(world: World) -> None:
    world.seed("email_only")
    world.seed(number=3)
    found = world.processor().locate([subject(1), subject(2, emails=(EMAIL,)), subject(3)])
    assert [f.code for f in found] == ["ambiguous", "ambiguous", None]


def test_an_email_that_another_account_of_the_company_holds_is_ambiguous(world: World) -> None:
    world.seed("email_only")
    processor = world.processor(**company(("1", EMAIL), ("2", EMAIL.upper())))
    [found] = processor.locate([subject()])
    assert found.code == "ambiguous"


def test_an_accounts_database_that_cannot_answer_quotes_no_address(world: World, engine: Engine) -> None:
    world.seed("email_only")
    owners = {"table": "no_such_table", "account": "account_id", "email": "email"}
    processor = world.processor(accounts=engine, settings={**SETTINGS, "email_owners": owners})
    with pytest.raises(ConfigurationError, match="email_owners") as caught:
        processor.locate([subject()])
    assert EMAIL not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"role": "agent"}, "not_an_end_user"),
        ({"role": "admin"}, "not_an_end_user"),
        ({"role": "agent", "role_type": 1, "custom_role_id": 9}, "not_an_end_user"),
        ({"role_type": 3}, "not_an_end_user"),
        ({"chat_only": True}, "not_an_end_user"),
        ({"role": "something new"}, "not_an_end_user"),
        ({"shared": True}, "shared_from_another_zendesk"),
        ({"shared_agent": True}, "shared_from_another_zendesk"),
    ],
)
def test_a_member_of_staff_and_a_shared_user_are_never_erased(world: World, fields: dict[str, Any], code: str) -> None:
    user = {**user_row(1, name="Sample", email=EMAIL, external_id="1", on=TODAY), **fields}
    world.standin.seed({"user": [user]})
    [found] = world.processor().locate([subject()])
    assert (found.outcome, found.code) == (Outcome.FAILED, code)


def test_a_user_who_became_staff_after_the_look_is_not_deleted(world: World) -> None:
    world.seed()
    processor = world.processor()
    works = located(processor, subject())
    world.standin.store.update("user", USER, role="agent", role_type=1)
    [result] = carry_out(processor, works)
    assert (result.code, result.needs_person) == ("identity_changed", True)
    assert world.standin.store.get("user", USER)["active"]


@pytest.mark.parametrize("ours", ["010-1234-5678", "+82 10 1234 5678", "(010) 1234 5678"])
def test_somebody_who_only_ever_called_is_found_by_phone(world: World, ours: str) -> None:
    world.standin.voice = True
    world.standin.seed({"user": [caller(1, "+821012345678"), caller(2, "+8210123456789")]})
    [work] = located(world.processor(), subject(phones=(ours,)))
    assert work.locator["users"] == [1]


@pytest.mark.parametrize(("status", "searched"), [(200, False), (404, True), (403, True)])
def test_phones_are_searched_unless_the_account_says_it_takes_no_calls(
    world: World, status: int, searched: bool
) -> None:
    if status != 200:
        world.fault(kind="status", status=status, body={"error": "RecordNotFound"}, path="/account/settings")
    world.processor().locate([subject(phones=("010-1234-5678",))])
    assert any("phone" in r["path"] for r in world.standin.requests) == searched


def test_a_phone_alone_does_not_make_somebody_with_an_email_ours(world: World) -> None:
    world.standin.voice = True
    world.standin.seed({"user": [caller(1, "+821012345678", email="colleague@example.com")]})
    assert world.processor().locate([subject(phones=("010-1234-5678",))])[0].count == 0


def test_two_callers_of_one_number_need_a_person(world: World) -> None:
    world.standin.voice = True
    world.standin.seed({"user": [caller(1, "+821012345678"), caller(2, "+821012345678")]})
    [found] = world.processor().locate([subject(phones=("01012345678",))])
    assert (found.outcome, found.code) == (Outcome.FAILED, "ambiguous")


def test_somebody_an_agent_deleted_softly_is_found_and_purged(world: World) -> None:
    world.seed("email_only")
    world.standin.store.update("user", USER, active=False, _deleted_at=f"{TODAY}T00:00:00Z")
    [result] = erase(world)
    assert result.outcome is Outcome.AWAITING
    assert world.standin.store.get("user", USER)["_purged_at"]
    assert NAME not in world.dump()


@pytest.mark.parametrize(
    "value", ["", "../", "//host", "a,b", "1,2", "'\" OR 1", "한글", "+", "a b", "%2e%2e", "x" * 300, "type:user"]
)
def test_hostile_account_ids_reach_nobody_else(world: World, value: str) -> None:
    world.seed()
    world.seed(number=2)
    [found] = world.processor().locate([subject(account_id=value, emails=("nobody@example.com",))])
    assert (found.outcome, found.count) == (Outcome.LOCATED, 0)


@pytest.mark.parametrize("value", ['"@example.com', "a b@example.com", "@", "x", "*", '" email:a', "a:b@example.com"])
def test_an_email_that_is_search_syntax_needs_a_person(world: World, value: str) -> None:
    world.seed()
    [found] = world.processor().locate([subject(account_id="77", emails=(value,))])
    assert (found.outcome, found.code) == (Outcome.FAILED, "unsearchable_email")


def test_a_hangul_address_is_searched_like_any_other(world: World) -> None:
    world.seed(email="김표본0001@example.kr")
    [work] = located(world.processor(), subject(emails=("김표본0001@example.kr",)))
    assert work.locator["users"] == [USER]


def test_without_any_identifier_nothing_is_searched(world: World) -> None:
    [found] = world.processor().locate([subject(account_id="", emails=())])
    assert (found.outcome, found.code) == (Outcome.FAILED, "no_identifier")


def test_links_to_the_vendors_own_host_stay_at_the_endpoint(world: World) -> None:
    world.seed()
    tickets = [ticket_row(5000 + i, USER, status="closed", on=TODAY) for i in range(150)]
    world.standin.seed({"ticket": tickets})
    world.standin.link_host = "https://sandbox.zendesk.com"
    [work] = located(world.processor(), subject())
    assert len(work.locator["tickets"]) == 152


def test_links_to_any_host_stay_at_the_endpoint(world: World) -> None:
    """A validator or proxy in between is not the host that the links of the place behind it name."""
    world.seed()
    world.standin.seed({"ticket": [ticket_row(5000 + i, USER, status="closed", on=TODAY) for i in range(150)]})
    world.standin.link_host = "http://elsewhere.example.com:4010"
    [work] = located(world.processor(), subject())
    assert len(work.locator["tickets"]) == 152


# -- holds ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("variant", "code"), [("open_ticket", "open_ticket"), ("open_complaint", "open_complaint")])
def test_an_unclosed_ticket_blocks_and_nothing_is_changed(world: World, variant: str, code: str) -> None:
    world.seed(variant)
    [found] = world.processor().locate([subject()])
    assert (found.outcome, found.code) == (Outcome.BLOCKED, code)
    assert world.changing() == []


def test_a_ticket_nobody_can_classify_needs_a_person(world: World) -> None:
    world.seed()
    world.standin.store.update("ticket", 101, tags=None)
    [found] = world.processor().locate([subject()])
    assert (found.outcome, found.code) == (Outcome.FAILED, "unclassifiable_ticket")


def test_a_ticket_reopened_after_the_look_is_left_alone(world: World) -> None:
    world.seed()
    processor = world.processor()
    works = located(processor, subject())
    world.standin.store.update("ticket", 101, status="open")
    [result] = carry_out(processor, works)
    assert (result.outcome, result.code) == (Outcome.BLOCKED, "open_ticket")
    assert world.standin.live_ticket(101)


def test_a_ticket_that_became_anothers_is_left_and_a_person_looks_once(world: World) -> None:
    world.seed()
    processor = world.processor()
    works = located(processor, subject())
    world.standin.store.update("ticket", 101, requester_id=800_000_010)
    [result] = carry_out(processor, works)
    assert (result.outcome, result.code, result.needs_person) == (Outcome.FAILED, "requester_changed", True)
    assert world.standin.live_ticket(101)
    [work] = after(works, [result])
    assert (work.locator["tickets"], work.locator["comments"]) == ([102], [[100, 1002], [101, 1010]])
    [result] = carry_out(world.processor(), [work])  # the person let it go on
    assert result.outcome is Outcome.AWAITING
    assert world.standin.live_ticket(101)
    assert not is_readable(world.standin.store.get("comment", 1010))


@pytest.mark.parametrize("status", ["open", "closed"])
def test_a_ticket_opened_after_the_look_is_written_down_before_it_is_touched(world: World, status: str) -> None:
    world.seed()
    processor = world.processor()
    works = located(processor, subject())
    world.standin.seed({"ticket": [ticket_row(7000, USER, status=status, on=TODAY)]})
    [result] = carry_out(processor, works)
    assert (result.outcome, result.code) == (Outcome.AWAITING, "late_ticket")
    assert 7000 in (result.locator or {})["tickets"]
    assert world.standin.live_ticket(7000)
    assert world.standin.store.get("user", USER)["active"]
    [result] = world.processor().act("delete_user", after(works, [result]))
    if status == "open":
        assert (result.outcome, result.code) == (Outcome.BLOCKED, "open_ticket")
        assert world.standin.live_ticket(7000)
        assert world.standin.store.get("user", USER)["active"]
    else:
        assert result.outcome is Outcome.ACCEPTED
        assert world.standin.store.get("ticket", 7000) is None


def test_a_crash_after_a_late_ticket_was_deleted_loses_nothing(world: World) -> None:
    world.seed()
    works = located(world.processor(), subject())
    world.standin.seed({"ticket": [ticket_row(7000, USER, status="closed", on=TODAY)]})
    [work] = after(works, carry_out(world.processor(), works))
    world.processor().tickets.delete([work])  # and then the process dies, with nothing stored
    [result] = world.processor().act("delete_user", [work])
    assert result.outcome is Outcome.ACCEPTED
    assert world.standin.store.get("ticket", 7000) is None


def test_a_late_complaint_is_located_and_archived_anew(world: World) -> None:
    world.seed()
    processor = world.processor()
    works = located(processor, subject())
    world.standin.seed({"ticket": [ticket_row(7000, USER, status="closed", on=TODAY, tags=["complaint"])]})
    [result] = carry_out(processor, works)
    assert (result.outcome, result.code) == (Outcome.FAILED, STALE_LOCATOR)
    assert world.standin.live_ticket(7000)
    [work] = located(world.processor(), subject())
    assert work.locator["complaints"] == [7000]


def test_a_ticket_that_became_a_complaint_after_locating_is_archived_before_it_is_deleted(world: World) -> None:
    """Reopened as a complaint while the disposal waited, and solved again: its record is kept three years."""
    world.seed()
    works = located(world.processor(), subject())
    world.standin.store.update("ticket", 101, tags=["complaint"], status="solved")
    [result] = carry_out(world.processor(), works)
    assert (result.outcome, result.code) == (Outcome.AWAITING, NOT_ARCHIVED)
    assert world.standin.live_ticket(101)
    works = after(works, [result])
    assert [r.source_id for r in world.processor().extract(works)] == ["101"]
    [result] = carry_out(world.processor(), works)
    assert result.code != NOT_ARCHIVED
    assert world.standin.store.get("ticket", 101) is None


def test_a_complaint_that_went_on_after_locating_is_archived_again_before_it_is_deleted(world: World) -> None:
    world.seed("complaint")
    works = located(world.processor(), subject())
    [before] = world.processor().extract(works)
    world.standin.seed({"comment": [comment_row(7001, 103, USER, "It broke again.", on=TODAY)]})
    world.standin.store.update("ticket", 103, updated_at=f"{TODAY}T01:00:00Z")
    [result] = carry_out(world.processor(), works)
    assert (result.outcome, result.code) == (Outcome.AWAITING, NOT_ARCHIVED)
    assert world.standin.live_ticket(103)
    works = after(works, [result])
    [now] = world.processor().extract(works)
    assert "It broke again." in now.items["case.body"]
    assert "It broke again." not in before.items["case.body"]
    [result] = carry_out(world.processor(), works)
    assert result.code != NOT_ARCHIVED
    assert world.standin.store.get("ticket", 103) is None


def test_a_ticket_that_nobody_can_classify_any_more_is_left_to_a_person(world: World) -> None:
    world.seed()
    works = located(world.processor(), subject())
    world.standin.store.update("ticket", 101, tags=None)
    [result] = carry_out(world.processor(), works)
    assert (result.outcome, result.code, result.needs_person) == (Outcome.FAILED, "unclassifiable_ticket", True)
    assert world.standin.live_ticket(101)


def test_a_late_complaint_of_somebody_without_a_key_needs_a_person(world: World) -> None:
    world.seed("email_only")
    processor = world.processor()
    works = located(processor, subject())
    world.standin.seed({"ticket": [ticket_row(7000, USER, status="closed", on=TODAY, tags=["complaint"])]})
    [result] = carry_out(processor, works)
    assert (result.code, result.needs_person) == ("late_complaint", True)
    assert world.standin.live_ticket(7000)


def test_a_user_who_became_someone_elses_is_not_deleted(world: World) -> None:
    world.seed("email_only")
    processor = world.processor()
    works = located(processor, subject())
    world.standin.store.update("user", USER, external_id="77")
    [result] = carry_out(processor, works)
    assert (result.code, result.needs_person) == ("identity_changed", True)
    assert world.standin.store.get("user", USER)["active"]


# -- the archive ---------------------------------------------------------------------------------------------------


def test_a_closed_complaint_is_extracted_with_the_items_the_law_lists(world: World) -> None:
    world.seed("complaint")
    processor = world.processor()
    [record] = processor.extract(located(processor, subject()))
    closed = TODAY - timedelta(days=88)
    assert (record.kind, record.source_id, dict(record.dates)) == ("complaint", "103", {"case_closed": closed})
    assert record.items["case.opened_on"] == (TODAY - timedelta(days=90)).isoformat()
    assert record.items["case.closed_on"] == closed.isoformat()
    assert (record.items["name"], record.items["email"], record.items["case.kind"]) == (NAME, EMAIL, "complaint")


def test_without_a_complaint_selector_the_processor_is_refused(world: World) -> None:
    with pytest.raises(ConfigurationError, match="complaint_selector"):
        world.processor(settings={})
