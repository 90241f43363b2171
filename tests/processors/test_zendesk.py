"""The Zendesk processor finds exactly one person, deletes in Zendesk's order, and believes only what it reads."""

from __future__ import annotations

import contextlib
import json
import logging
import random
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from email.utils import format_datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import requests
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.pool import StaticPool

from include.connections import Connection
from include.errors import ConfigurationError, RateLimited, Refused, Unreachable
from include.outcomes import Outcome
from include.processors import STALE_LOCATOR, Result, Site, Subject, Work, _zendesk_gate
from include.processors._zendesk_gate import Gate, retry_after
from include.processors._zendesk_proof import Patience, Proof
from include.processors._zendesk_redact import blacked_out, is_readable
from include.processors.zendesk import Processor
from include.sandbox.standin import Fault, Serving
from include.sandbox.zendesk import API_TOKEN, VARIANTS, StandIn, comment_row, seed_person, ticket_row, user_row

TODAY = datetime.now(ZoneInfo("Asia/Seoul")).date()
EMAIL = "sample.person.0001@example.com"
NAME = "Sample Person 0001"
USER = 900_000_010
SETTINGS = {"complaint_selector": {"tags": ["complaint", "dispute"]}, "products": ["support", "chat"]}


@dataclass
class World:
    """A stand-in, its address, and a processor on it."""

    standin: StandIn
    url: str
    waits: list[float]

    def processor(self, as_of: date = TODAY, **changes: Any) -> Processor:
        connection = Connection(
            "zendesk",
            login="agent@example.com",
            password=API_TOKEN,
            extra={"subdomain": "sandbox", "endpoint_url": self.url},
        )
        return Processor(Site(**{"connection": connection, "settings": SETTINGS, "as_of": as_of, **changes}))

    def seed(self, variant: str = "plain", number: int = 1, **changes: Any) -> None:
        values = {
            "number": number,
            "account_id": str(number),
            "email": f"sample.person.{number:04d}@example.com",
            "name": f"Sample Person {number:04d}",
            "on": TODAY,
            "variant": VARIANTS.index(variant),
        }
        self.standin.seed(seed_person(**{**values, **changes}))

    def fault(self, **fields: Any) -> None:
        self.standin.faults.append(Fault(**fields))

    def dump(self) -> str:
        return "".join(json.dumps(o, ensure_ascii=False) for o in self.standin.store.dump())

    def changing(self) -> list[str]:
        return [f"{r['method']} {r['path']}" for r in self.standin.requests if r["changing"]]


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    standin, waits = StandIn(), []
    monkeypatch.setattr(_zendesk_gate, "sleep", waits.append)
    with Serving(standin) as serving:
        yield World(standin, serving.url, waits)


def subject(number: int = 1, **changes: Any) -> Subject:
    given = Subject(
        disposal_id=f"d{number}",
        account_id=str(number),
        subject_type="individual",
        scope_id="support",
        datasets=("support",),
        rule_id="R-14",
        trigger_event="terminated",
        trigger_date=TODAY,
        emails=(f"sample.person.{number:04d}@example.com",),
    )
    return replace(given, **changes)


def located(processor: Processor, *subjects: Subject) -> list[Work]:
    found = processor.locate(subjects)
    assert [f.outcome for f in found] == [Outcome.LOCATED] * len(subjects)
    return [
        Work(s.disposal_id, s.account_id, "support", ("support",), json.loads(json.dumps(dict(f.locator))))
        for s, f in zip(subjects, found, strict=True)
    ]


def carry_out(processor: Processor, works: Sequence[Work]) -> list[Result]:
    """Do what the engine does: each step for those that are on it, then read back."""
    current = {w.disposal_id: w for w in works}
    stopped: dict[str, Result] = {}
    for name in ("redact", "delete_tickets", "purge_tickets", "delete_user", "purge_user"):
        group = [
            w for w in current.values() if w.disposal_id not in stopped and name in {s.name for s in processor.steps(w)}
        ]
        for result in processor.act(name, group) if group else []:
            if result.locator is not None:
                current[result.disposal_id] = replace(current[result.disposal_id], locator=result.locator)
            if result.outcome is not Outcome.ACCEPTED:
                stopped[result.disposal_id] = result
    rest = [w for w in current.values() if w.disposal_id not in stopped]
    stopped |= {r.disposal_id: r for r in (processor.read_back(rest) if rest else [])}
    return [stopped[w.disposal_id] for w in works]


def after(works: Sequence[Work], results: Sequence[Result]) -> list[Work]:
    """Return the works as the engine stores them: with the locators of their last results."""
    return [replace(w, locator=r.locator or w.locator) for w, r in zip(works, results, strict=True)]


def erase(world: World, *subjects: Subject) -> list[Result]:
    processor = world.processor()
    return carry_out(processor, located(processor, *(subjects or (subject(),))))


def told(error: BaseException) -> str:
    """Return everything a traceback of an error could print."""
    return f"{error!s} {error!r} {error.__cause__!r} {error.__context__!r}"


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


def company(*holders: tuple[str, str]) -> dict[str, Any]:
    """Return what the processor gets to see whose an e-mail is: accounts with their addresses."""
    accounts = create_engine("sqlite://", poolclass=StaticPool)
    with accounts.begin() as connection:
        connection.execute(text("CREATE TABLE account_profile (account_id text, email text)"))
        for account, email in holders:
            connection.execute(text("INSERT INTO account_profile VALUES (:a, :e)"), {"a": account, "e": email})
    owners = {"table": "account_profile", "account": "account_id", "email": "email"}
    return {"accounts": accounts, "settings": {**SETTINGS, "email_owners": owners}}


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


def caller(user_id: int, phone: str, **more: Any) -> dict[str, Any]:
    """Return a user as Talk makes one of an unknown number."""
    return {**user_row(user_id, name=f"Caller {phone}", email=None, external_id=None, on=TODAY), "phone": phone, **more}


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


# -- erasing -------------------------------------------------------------------------------------------------------


def test_a_person_is_gone_and_the_bystander_untouched(world: World) -> None:
    world.seed()
    before = {k: world.standin.store.get(*k) for k in (("user", 800_000_010), ("ticket", 100), ("comment", 1001))}
    [result] = erase(world)
    assert result.outcome is Outcome.AWAITING
    assert NAME not in world.dump()
    assert "sample.person.0001" not in world.dump().replace(f"re-{EMAIL}", "")
    assert {k: world.standin.store.get(*k) for k in before} == before


def test_it_is_confirmed_only_when_every_product_has_completed(world: World) -> None:
    world.seed()
    [result] = erase(world)
    assert (result.outcome, result.until) == (Outcome.AWAITING, TODAY + timedelta(days=1))
    world.standin.set_date(TODAY + timedelta(days=1))
    later = world.processor(TODAY + timedelta(days=1))
    work = Work("d1", "1", "support", ("support",), result.locator or {})
    [result] = later.read_back([work])
    assert (result.outcome, result.count) == (Outcome.CONFIRMED_ABSENT, 4)


def test_a_product_that_has_not_started_yet_is_waited_for(world: World) -> None:
    processor = world.processor()
    rows = [("request_deletion", "all"), ("started", "support"), ("complete", "support")]
    answers = [{"action": a, "application": p, "created_at": "2026-01-01T00:00:00Z"} for a, p in rows]
    processor.client.pages = lambda *_a, **_k: iter(answers)  # type: ignore[method-assign]
    assert Proof(processor.client, TODAY, Patience(), processor.search)._complete(1)
    assert not Proof(processor.client, TODAY, Patience(frozenset({"chat"})), processor.search)._complete(1)


def test_suspended_mails_go_too(world: World) -> None:
    world.seed("suspended")
    erase(world)
    assert world.standin.store.all("suspended_ticket") == []


def test_erasing_twice_changes_nothing_more(world: World) -> None:
    world.seed()
    processor = world.processor()
    works = located(processor, subject())
    first = carry_out(processor, works)
    state = world.dump()
    again = carry_out(world.processor(), works)
    assert [r.outcome for r in again] == [r.outcome for r in first]
    assert world.dump() == state


@pytest.mark.parametrize(("age", "most"), [(0, 8.0), (200, 9.0)], ids=["recent", "archived"])
def test_requests_stay_within_eight_per_account_plus_the_single_purge(
    world: World, age: int, most: float, capsys: pytest.CaptureFixture[str]
) -> None:
    """An archived ticket costs one request more: nothing but asking for it alone shows that it is gone."""
    kinds = ("nobody", "plain", "complaint", "email_only", "suspended", "plain", "plain", "plain")
    numbers = range(1, 101)
    world.standin.limit_factor = 100
    for number in numbers:
        world.seed(kinds[number % 8], number, on=TODAY - timedelta(days=age))
    processor = world.processor()
    works = located(processor, *(subject(n) for n in numbers))
    processor.extract(works)
    results = carry_out(processor, works)
    world.standin.set_date(TODAY + timedelta(days=1))
    later = world.processor(TODAY + timedelta(days=1))
    waiting = [w for w, r in zip(after(works, results), results, strict=True) if r.outcome is Outcome.AWAITING]
    assert {r.outcome for r in later.read_back(waiting)} == {Outcome.CONFIRMED_ABSENT}
    purges = sum("/deleted_users/" in line for line in world.changing())
    assert purges == len(waiting) == 88
    counts = processor.client.counts + later.client.counts
    counts["purge_user"] -= purges
    with capsys.disabled():
        each = ", ".join(f"{step} {n / len(numbers):.2f}" for step, n in counts.items())
        print(f"\nZendesk requests per account: {each}; together {counts.total() / len(numbers):.2f}")
    assert counts.total() / len(numbers) <= most


def test_purges_respect_the_published_limit(world: World) -> None:
    world.seed()
    asked: list[tuple[str, int]] = []
    processor = world.processor(reserve=lambda quota, calls: asked.append((quota, calls)) or 0.0)
    carry_out(processor, located(processor, subject()))
    assert {"api", "purge_user", "deleted_listing", "export"} == {quota for quota, _ in asked}


def test_a_long_wait_for_a_quota_goes_back_to_the_scheduler(world: World) -> None:
    with pytest.raises(RateLimited) as error:
        world.processor(reserve=lambda _quota, _calls: 400.0).locate([subject()])
    assert error.value.retry_after == 400.0


# -- redaction -----------------------------------------------------------------------------------------------------


def test_a_comment_on_anothers_ticket_is_blacked_out(world: World) -> None:
    world.seed()
    erase(world)
    comment = world.standin.store.get("comment", 1002)
    assert not is_readable(comment)
    assert comment["html_body"].startswith('<div class="zd-comment"')


def attach(world: World, **fields: Any) -> None:
    file = {
        "id": 9,
        "file_name": "scan.png",
        "size": 10,
        "content_url": "https://elsewhere.example.com/9?name=scan.png",
    }
    world.standin.store.update("comment", 1002, attachments=[{**file, **fields}])


def finish(world: World, *subjects: Subject, days: int = 1) -> list[Result]:
    """Erase, and read back some days later, as the engine does until nothing is due."""
    people = subjects or (subject(),)
    works = located(world.processor(), *people)
    results: list[Result] = []
    for _ in range(4):
        results = carry_out(world.processor(), works)
        works = after(works, results)
    world.standin.set_date(TODAY + timedelta(days=days))
    return world.processor(TODAY + timedelta(days=days)).read_back(works)


def test_a_file_on_anothers_closed_ticket_is_redacted_with_the_comment(world: World) -> None:
    world.seed()
    attach(world)
    [result] = finish(world)
    assert result.outcome is Outcome.CONFIRMED_ABSENT
    assert world.standin.store.get("comment", 1002)["attachments"][0]["file_name"] == "redacted.txt"
    assert not any("/attachments/" in line for line in world.changing())


def test_a_file_nothing_can_redact_ends_in_a_manual_step(world: World) -> None:
    world.seed()
    attach(world, content_url=None)  # on a closed ticket, and without an address to name it by
    [result] = finish(world)
    assert (result.outcome, result.code) == (Outcome.MANUAL_PENDING, "file_left_on_ticket")
    assert not is_readable(world.standin.store.get("comment", 1002))


def test_files_that_cannot_be_named_do_not_keep_the_text_readable(world: World) -> None:
    world.seed()
    attach(world)
    world.fault(kind="status", status=422, body={"error": "RecordInvalid"}, path="/comment_redactions/")
    erase(world)
    assert not is_readable(world.standin.store.get("comment", 1002))


def test_a_file_on_anothers_open_ticket_is_redacted(world: World) -> None:
    world.seed()
    world.standin.store.update("ticket", 100, status="open")
    attach(world, content_url=None)
    erase(world)
    assert world.standin.store.get("comment", 1002)["attachments"][0]["file_name"] == "redacted.txt"


def call(world: World, **data: Any) -> None:
    world.standin.store.update("comment", 1002, type="VoiceComment", data={"call_id": 55, **data})
    world.standin.seed({"recording": [{"id": 55}]})


def test_call_recordings_go(world: World) -> None:
    world.seed()
    call(world, recording_url="https://sandbox.zendesk.com/api/v2/channels/voice/calls/CA55/twilio/recording")
    [result] = finish(world)
    assert result.outcome is Outcome.CONFIRMED_ABSENT
    assert world.standin.store.get("recording", 55) is None


def test_a_recording_that_is_said_to_be_gone_is_tried_again(world: World) -> None:
    world.seed()
    call(world, recording_url="https://sandbox.zendesk.com/api/v2/channels/voice/calls/CA55/twilio/recording")
    world.fault(kind="lie", method="DELETE", path="/recordings")
    [result] = finish(world)
    assert result.outcome is Outcome.CONFIRMED_ABSENT
    assert world.standin.store.get("recording", 55) is None


def test_a_call_that_keeps_numbers_or_words_is_not_called_absent(world: World) -> None:
    world.seed()
    call(world, transcription_text=f"{NAME} speaking", **{"from": "+821012345678"})
    [result] = finish(world)
    assert (result.outcome, result.code) == (Outcome.MANUAL_PENDING, "call_data_left")


def test_a_mail_header_that_keeps_the_address_is_not_called_absent(world: World) -> None:
    world.seed()
    source = {"from": {"address": EMAIL, "name": NAME}, "to": {}, "rel": None}
    world.standin.store.update("comment", 1002, via={"channel": "email", "source": source})
    [result] = finish(world)
    assert (result.outcome, result.code) == (Outcome.MANUAL_PENDING, "mail_header_left")


def chat(world: World, *, key: str = "chat_index", **more: Any) -> None:
    """Let the person chat on a bystander's closed ticket, between the bystander's own lines."""
    who = {"actor_id": USER, "actor_name": NAME, "actor_type": "end-user"}
    other = {"actor_id": 800_000_010, "actor_name": "Bystander 0001", "actor_type": "end-user"}
    history = [
        {**other, "type": "ChatMessage", key: 0, "message": "a bystander's line"},
        {**who, "type": "ChatJoin", key: 1},
        {**who, "type": "ChatMessage", key: 2, "message": f"{NAME} <{EMAIL}>, 010-1234-5678"},
        {**who, "type": "ChatFileAttachment", key: 3, "filename": "passport.png"},
    ]
    value = {"chat_id": "2109.10502823.Sjuj2YrBpXwei", "visitor_id": "1-a", "history": history}
    event = {"id": 1, "type": "ChatStartedEvent", "value": value, **more}
    world.standin.store.update("ticket", 100, via={"channel": "chat"})
    world.standin.seed({"audit": [{"id": 70, "ticket_id": 100, "author_id": -1, "events": [event]}]})


@pytest.mark.parametrize("key", ["chat_index", "message_id"])
def test_what_a_person_said_in_a_chat_of_another_is_blacked_out(world: World, key: str) -> None:
    world.seed()
    chat(world, key=key)
    [result] = finish(world)
    assert result.outcome is Outcome.CONFIRMED_ABSENT
    history = world.standin.store.get("audit", 70)["events"][0]["value"]["history"]
    assert history[0]["message"] == "a bystander's line"
    assert set(history[2]["message"]) == {"▇"}
    assert history[3]["filename"] == "redacted.txt"
    assert NAME not in world.dump()


def test_a_chat_that_goes_on_is_waited_for_some_nights_and_then_a_person_looks(world: World) -> None:
    world.seed()
    chat(world)
    world.standin.store.update("ticket", 100, status="open")
    works = located(world.processor(), subject())
    for _ in range(7):
        [result] = carry_out(world.processor(), works)
        assert (result.outcome, result.code) == (Outcome.AWAITING, "chat_goes_on")
        works = after(works, [result])
    [result] = carry_out(world.processor(), works)
    assert (result.code, result.needs_person) == ("chat_redaction_refused", True)
    world.standin.store.update("ticket", 100, status="solved")
    assert carry_out(world.processor(), works)[0].code == "compliance_deletion"


def test_a_chat_message_that_would_end_the_mark_needs_a_person(world: World) -> None:
    world.seed()
    chat(world)
    [audit] = world.standin.store.all("audit")
    audit["events"][0]["value"]["history"][2]["message"] = f"</redact>{NAME}"
    world.standin.store.put("audit", 70, audit)
    [result] = erase(world)
    assert (result.code, result.needs_person) == ("chat_text_unredactable", True)


def test_a_chat_that_keeps_the_name_is_not_called_absent(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StandIn, "forget_in_chats", lambda *_: None)
    world.seed()
    chat(world)
    [result] = finish(world)
    assert (result.outcome, result.code) == (Outcome.MANUAL_PENDING, "chat_name_left")


def test_an_empty_html_entity_is_nothing_to_read() -> None:
    assert not is_readable({"html_body": "<p>▇▇&nbsp;▇</p>", "plain_body": "▇▇\u00a0▇"})
    assert blacked_out("<p>&nbsp;</p>") == "<p>&nbsp;</p>"


def test_a_body_redacted_only_as_html_counts_as_readable() -> None:
    assert is_readable({"html_body": "<p>▇▇▇</p>", "plain_body": "still there"})


def test_links_are_marked_as_a_whole() -> None:
    html = '<a href="mailto:x@example.com">me</a>'
    assert blacked_out(html) == '<a href="mailto:x@example.com" redact><redact>me</redact></a>'


# -- merged, shared, archived --------------------------------------------------------------------------------------


def merge(world: World, into: int, **via: Any) -> None:
    """Let an agent merge the person's ticket 101 into another, as Zendesk does: quoting its last words."""
    world.standin.store.update("ticket", 101, tags=["closed_by_merge"])
    source = {"rel": "merge", "from": {}, "to": {}, **via}
    world.standin.seed(
        {
            "comment": [
                comment_row(2001, 101, 1, f"merged into #{into}", on=TODAY, via={"channel": "web", "source": source}),
                comment_row(
                    2002, into, 1, f"#101 was merged. Last comment: {NAME} writes", on=TODAY,
                    via={"channel": "web", "source": {"rel": "merge", "from": {"ticket_ids": [101]}, "to": {}}},
                ),
            ]
        }
    )  # fmt: skip


def test_words_merged_into_anothers_ticket_are_blacked_out(world: World) -> None:
    world.seed()
    merge(world, 100, to={"ticket_id": 100})
    [result] = finish(world)
    assert result.outcome is Outcome.CONFIRMED_ABSENT
    assert NAME not in world.dump()
    assert world.standin.live_ticket(100)


def test_a_merge_that_does_not_say_where_to_needs_a_person(world: World) -> None:
    world.seed()
    merge(world, 100)
    [found] = world.processor().locate([subject()])
    assert (found.outcome, found.code) == (Outcome.FAILED, "merged_ticket")


def test_a_merge_among_own_tickets_needs_nothing(world: World) -> None:
    world.seed()
    merge(world, 102, to={"ticket_id": 102})
    [result] = finish(world)
    assert result.outcome is Outcome.CONFIRMED_ABSENT


def archive(world: World) -> None:
    for ticket_id in (101, 102):
        world.standin.store.update("ticket", ticket_id, status="closed", updated_at="2020-01-01T00:00:00Z")


@pytest.mark.parametrize("unknown", ["success", "failure"])
@pytest.mark.parametrize("listed", [True, False])
def test_servers_that_answer_a_purge_of_nothing_with_a_job_are_understood(
    world: World, monkeypatch: pytest.MonkeyPatch, unknown: str, listed: bool
) -> None:
    """Nobody documents what purging an unknown ticket answers, nor does every server leave old ones out of its list."""

    def purge_ticket(self: StandIn, request: Any, ticket_id: int) -> Any:
        return self.start_job(request, "job_purge_tickets", [str(ticket_id)])

    real = StandIn.job_purge_tickets

    def job(self: StandIn, targets: Sequence[str]) -> Any:
        gone = not any(self.store.get("ticket", t) for t in targets)
        return {"success": unknown == "success"} if gone else real(self, targets)

    monkeypatch.setattr(StandIn, "purge_ticket", purge_ticket)
    monkeypatch.setattr(StandIn, "job_purge_tickets", job)
    if listed:
        monkeypatch.setattr(StandIn, "_archived", lambda *_: False)
    world.seed()
    archive(world)
    works = located(world.processor(), subject())
    results = carry_out(world.processor(), works)
    assert world.standin.store.get("ticket", 101) is None
    if listed or unknown == "success":
        assert results[0].code == "compliance_deletion"
        return
    results = carry_out(world.processor(), after(works, results))  # archived, and the place cannot tell gone from stuck
    assert (results[0].outcome, results[0].code) == (Outcome.AWAITING, "purged_by_schedule")


def test_one_404_that_is_not_true_does_not_pass_for_a_purge(world: World) -> None:
    world.seed()
    archive(world)
    world.standin.scrub_ticket(101)
    works = located(world.processor(), subject())
    world.fault(kind="status", status=404, body={"error": "RecordNotFound"}, method="DELETE", path="/deleted_tickets/")
    carry_out(world.processor(), works)
    assert world.standin.store.get("ticket", 102) is None


def test_comments_that_are_not_shown_of_a_ticket_that_is_there_are_no_answer(world: World) -> None:
    world.seed()
    works = located(world.processor(), subject())
    processor = world.processor()
    for step in ("delete_tickets", "purge_tickets", "delete_user", "purge_user"):
        works = after(works, processor.act(step, works))
    body = {"error": "RecordNotFound", "description": "Not found"}
    world.fault(kind="status", status=404, body=body, method="GET", path="/tickets/100/comments")
    with pytest.raises(Unreachable, match="not_shown"):
        processor.read_back(works)


def test_an_archived_ticket_that_a_purge_silently_left_is_found_out(world: World) -> None:
    world.seed()
    archive(world)
    world.standin.stubborn = frozenset({102})
    processor = world.processor()
    works = located(processor, subject())
    results = carry_out(processor, works)
    assert (results[0].outcome, results[0].code) == (Outcome.FAILED, "purge_not_reported")
    [result] = world.processor().act("purge_tickets", after(works, results))
    assert (result.outcome, result.code) == (Outcome.AWAITING, "purged_by_schedule")
    assert result.until == TODAY + timedelta(days=31)
    world.standin.set_date(TODAY + timedelta(days=31))
    [result] = world.processor(TODAY + timedelta(days=31)).act("purge_tickets", after(works, [result]))
    assert result.outcome is Outcome.ACCEPTED
    assert world.standin.store.get("ticket", 102) is None


def test_a_listed_ticket_that_a_purge_silently_left_is_found_out(world: World) -> None:
    world.seed()
    world.standin.stubborn = frozenset({102})
    works = located(world.processor(), subject())
    results = carry_out(world.processor(), works)
    assert (results[0].outcome, results[0].code) == (Outcome.FAILED, "still_present")
    world.standin.stubborn = frozenset()
    [result] = carry_out(world.processor(), after(works, results))
    assert result.outcome is Outcome.AWAITING
    assert world.standin.store.get("ticket", 102) is None


def test_a_server_that_shows_deleted_tickets_as_deleted_is_understood(world: World) -> None:
    world.seed()
    processor = world.processor()
    works = located(processor, subject())
    real = processor.client.show_many

    def show_many(kind: str, wanted: Any, **more: str) -> Any:
        found, side = real(kind, wanted, **more)
        for row in world.standin.store.all("ticket") if kind == "tickets" else ():
            if row["id"] in set(wanted) and row.get("_deleted_at"):
                found[row["id"]] = {**row, "status": "deleted"}
        return found, side

    processor.client.show_many = show_many  # type: ignore[method-assign]
    [result] = carry_out(processor, works)
    assert result.outcome is Outcome.AWAITING
    assert world.standin.store.get("ticket", 101) is None


def test_a_bulk_read_that_hides_deleted_users_leaves_nobody_unpurged(world: World) -> None:
    world.seed()
    world.standin.hides_deleted = True
    [result] = finish(world)
    assert result.outcome is Outcome.CONFIRMED_ABSENT
    assert world.standin.store.get("user", USER)["_purged_at"]


def test_a_user_who_is_active_again_before_the_purge_is_deleted_first(world: World) -> None:
    world.seed()
    processor = world.processor()
    works = located(processor, subject())
    for step in ("redact", "delete_tickets", "purge_tickets", "delete_user"):
        works = after(works, processor.act(step, works))
    world.standin.store.update("user", USER, active=True, _deleted_at=None)
    [result] = world.processor().act("purge_user", works)
    assert result.outcome is Outcome.ACCEPTED
    assert world.standin.store.get("user", USER)["_purged_at"]


# -- the second look -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("people", [1, 2, 3, 30])
def test_words_that_a_stale_index_hid_are_found_before_the_end(world: World, people: int) -> None:
    numbers = [1 + 6 * n for n in range(people)]  # each of these wrote on a bystander's ticket
    for number in numbers:
        world.seed(number=number)
    world.standin.store.update("ticket", 100, email_cc_ids=[], collaborator_ids=[])  # only the index knows of the first
    world.fault(kind="stale_index", path="/search/export")
    subjects = [subject(n) for n in numbers]
    works = located(world.processor(), *subjects)
    assert "comments" not in works[0].locator
    results = carry_out(world.processor(), works)
    works = after(works, results)
    world.standin.set_date(TODAY + timedelta(days=1))
    tomorrow = TODAY + timedelta(days=1)
    results = world.processor(tomorrow).read_back(works)
    assert results[0].outcome is Outcome.FAILED
    assert {r.outcome for r in results[1:]} <= {Outcome.CONFIRMED_ABSENT}
    works = after(works, results)
    assert carry_out(world.processor(tomorrow), works[:1])[0].outcome is Outcome.CONFIRMED_ABSENT
    assert not is_readable(world.standin.store.get("comment", 1002))


@pytest.mark.parametrize("understood", ["first", "last", "none", "all"])
def test_the_second_look_asks_alone_where_a_query_for_many_is_not_understood(world: World, understood: str) -> None:
    numbers = [1, 7, 13, 19]
    for number in numbers:
        world.seed(number=number)
    world.standin.store.update("ticket", 100, email_cc_ids=[], collaborator_ids=[])  # only the index knows of the first
    world.fault(kind="stale_index", path="/search/export")
    processor = world.processor()
    works = after(w := located(processor, *(subject(n) for n in numbers)), carry_out(processor, w))
    world.standin.set_date(TODAY + timedelta(days=1))
    later = world.processor(TODAY + timedelta(days=1))
    real = later.search.commented

    def commented(users: Sequence[int]) -> Any:
        taken = {"first": users[:1], "last": users[-1:], "none": [], "all": users}[understood]
        return real(users if len(users) == 1 else taken) if len(users) == 1 or taken else []

    later.search.commented = commented  # type: ignore[method-assign]
    assert later.read_back(works)[0].code == "still_present"


def test_somebody_a_stale_index_hid_is_found_by_looking_again(world: World) -> None:
    world.seed("email_only")
    world.fault(kind="stale_index", path="/users/search")
    processor = world.processor()
    works = located(processor, subject())
    assert processor.steps(works[0]) == ()
    [result] = processor.read_back(works)
    assert (result.outcome, result.code) == (Outcome.FAILED, "still_present")


def test_trouble_in_the_second_look_is_no_case_for_a_person(world: World) -> None:
    for number in (1, 2):
        world.seed("nobody", number)
    processor = world.processor()
    works = located(processor, subject(1), subject(2))
    world.fault(kind="status", status=503, path="/users/search", times=3)
    results = processor.read_back(works)
    assert [(r.outcome, r.needs_person) for r in results] == [
        (Outcome.FAILED, False),
        (Outcome.CONFIRMED_ABSENT, False),
    ]


@pytest.mark.parametrize(("path", "code"), [("/comment_redactions/", "redaction"), ("/deleted_users/", "purge")])
def test_a_right_that_is_lacking_stops_the_processor(world: World, path: str, code: str) -> None:
    world.seed()
    world.fault(kind="status", status=403, body={"error": "Forbidden"}, path=path, times=99)
    with pytest.raises(Refused, match=f"{code}_not_permitted"):
        erase(world)


def test_a_complaint_of_another_is_kept_before_words_in_it_are_blacked_out(world: World) -> None:
    world.seed()
    world.standin.store.update("ticket", 100, tags=["complaint"])
    processor = world.processor()
    works = located(processor, subject())
    assert works[0].locator["complaints"] == [100]
    [record] = processor.extract(works)
    assert (record.source_id, record.items["name"]) == ("100", NAME)
    assert f"{NAME} adds a line" in record.items["case.body"]
    assert erase(world)[0].outcome is Outcome.AWAITING


def test_an_open_complaint_of_another_with_words_of_ours_is_a_hold(world: World) -> None:
    world.seed()
    world.standin.store.update("ticket", 100, tags=["complaint"], status="pending")
    [found] = world.processor().locate([subject()])
    assert (found.outcome, found.code) == (Outcome.BLOCKED, "open_complaint")
    assert world.changing() == []


def test_compliance_that_never_ends_goes_to_a_person_and_is_asked_again(world: World) -> None:
    world.seed()
    world.standin.slow_products = timedelta(days=10_000)
    works = located(world.processor(), subject())
    works = after(works, carry_out(world.processor(), works))
    for days, code in ((1, "compliance_deletion"), (29, "compliance_deletion"), (30, "compliance_overdue")):
        world.standin.set_date(TODAY + timedelta(days=days))
        [result] = world.processor(TODAY + timedelta(days=days)).read_back(works)
        works = after(works, [result])
        assert (result.code, result.needs_person) == (code, code == "compliance_overdue")


def test_a_name_that_is_not_replaced_yet_is_waited_for(world: World) -> None:
    world.seed()
    works = located(world.processor(), subject())
    works = after(works, carry_out(world.processor(), works))
    shell = {"id": USER, "name": NAME, "email": None, "external_id": None, "role": "end-user", "active": False}
    world.standin.set_date(TODAY + timedelta(days=1))
    later = world.processor(TODAY + timedelta(days=1))
    real = later.client.show_many
    later.client.show_many = lambda k, i, **m: ({USER: shell} if k == "users" else {}, []) if i else real(k, i, **m)  # type: ignore[method-assign]
    [result] = later.read_back(works)
    assert (result.outcome, result.code) == (Outcome.AWAITING, "name_not_scrubbed")


def test_redaction_marks_text_and_images_and_leaves_tags() -> None:
    html = '<p>a &lt;b<br>c</p><img src="x.png"/>'
    marked = '<p><redact>a &lt;b</redact><br><redact>c</redact></p><img src="x.png" redact>'
    assert blacked_out(html) == marked


def test_an_unknown_comment_body_counts_as_readable() -> None:
    assert is_readable({"id": 1})


# -- lies, losses, limits ------------------------------------------------------------------------------------------

CHANGING = [
    "/comment_redactions/",
    "/tickets/destroy_many",
    "/deleted_tickets/",
    "/users/destroy_many",
    "/deleted_users/",
]


@pytest.mark.parametrize("path", CHANGING)
@pytest.mark.parametrize("times", [1, 1000])
def test_a_reply_that_lies_is_never_believed(world: World, path: str, times: int) -> None:
    world.seed()
    world.fault(kind="lie", method="PUT|DELETE", path=path, times=times)
    processor = world.processor()
    [result] = carry_out(processor, located(processor, subject()))
    gone = NAME not in world.dump()
    assert (result.outcome in {Outcome.AWAITING, Outcome.CONFIRMED_ABSENT}) == gone


@pytest.mark.parametrize("path", CHANGING)
def test_after_a_lie_the_next_run_finishes(world: World, path: str) -> None:
    world.seed()
    world.fault(kind="lie", method="PUT|DELETE", path=path)
    processor = world.processor()
    works = located(processor, subject())
    carry_out(processor, works)
    [result] = carry_out(world.processor(), works)
    assert result.outcome is Outcome.AWAITING
    assert NAME not in world.dump()


@pytest.mark.parametrize("times", [1, 2])
def test_a_job_that_lies_about_archived_tickets_is_found_out(world: World, times: int) -> None:
    world.seed()
    for ticket_id in (101, 102):
        world.standin.store.update("ticket", ticket_id, status="closed", updated_at="2020-01-01T00:00:00Z")
    processor = world.processor()
    works = located(processor, subject())
    world.standin.faults = []
    processor.act("delete_tickets", works)
    world.fault(kind="lie", method="GET", path="/job_statuses/", times=times, after=1)
    [result] = processor.act("purge_tickets", works)
    assert (result.outcome is Outcome.ACCEPTED) == (world.standin.store.get("ticket", 101) is None)


@pytest.mark.parametrize("path", CHANGING)
def test_a_lost_reply_is_settled_by_looking_again(world: World, path: str) -> None:
    world.seed()
    world.fault(kind="cut_after", method="PUT|DELETE", path=path)
    processor = world.processor()
    works = located(processor, subject())
    with contextlib.suppress(Unreachable):
        carry_out(processor, works)
    [result] = carry_out(world.processor(), works)
    assert result.outcome is Outcome.AWAITING
    assert NAME not in world.dump()


def test_a_lost_purge_reply_is_settled_at_once(world: World) -> None:
    world.seed()
    world.fault(kind="cut_after", method="DELETE", path="/deleted_users/")
    [result] = erase(world)
    assert result.outcome is Outcome.AWAITING


def test_one_bad_record_does_not_stop_the_others(world: World) -> None:
    world.seed()
    world.seed(number=2)
    world.fault(kind="status", status=500, method="DELETE", path=f"/deleted_users/{USER}$", times=9)
    results = erase(world, subject(1), subject(2))
    assert [r.outcome for r in results] == [Outcome.FAILED, Outcome.AWAITING]


def test_some_failures_in_a_bulk_job_fail_only_their_owners(world: World) -> None:
    for number in (1, 2):
        world.seed("email_only", number)
        world.standin.store.delete("ticket", number * 100 + 2)
    world.standin.faults.append(Fault(kind="partial", method="DELETE"))
    results = erase(world, subject(1), subject(2))
    assert [r.outcome for r in results] == [Outcome.AWAITING, Outcome.FAILED]
    assert world.standin.store.get("user", USER + 10)["active"]


def test_a_ticket_somebody_else_purged_does_not_hold_up_the_rest(world: World) -> None:
    world.seed()
    processor = world.processor()
    works = located(processor, subject())
    world.standin.scrub_ticket(101)
    assert carry_out(processor, works)[0].outcome is Outcome.AWAITING
    assert world.standin.store.get("ticket", 102) is None


def test_too_many_jobs_is_waited_out(world: World) -> None:
    world.seed()
    body = {"error": "TooManyJobs", "description": f"{NAME} started too many"}
    world.fault(kind="status", status=429, body=body, method="DELETE", path="destroy_many", times=2)
    assert erase(world)[0].outcome is Outcome.AWAITING
    assert sum(world.waits) >= 20


def test_too_many_jobs_for_long_goes_back_to_the_scheduler(world: World) -> None:
    world.seed()
    world.fault(kind="status", status=429, body={"error": "TooManyJobs"}, path="destroy_many", times=99)
    with pytest.raises(RateLimited, match="too_many_jobs"):
        erase(world)


def test_a_short_retry_after_is_waited_out(world: World) -> None:
    world.seed()
    world.fault(kind="status", status=429, headers={"Retry-After": "7"})
    assert located(world.processor(), subject())
    assert 7.0 in world.waits


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"Retry-After": "93"}, 93.0),
        ({"Retry-After": "in two hours"}, 7200.0),
        ({"ratelimit-reset": "45"}, 45.0),
        ({"Retry-After": "soon"}, 60.0),
        ({}, 60.0),
    ],
)
def test_every_form_of_429_is_understood(world: World, headers: dict[str, str], expected: float) -> None:
    if headers.get("Retry-After") == "in two hours":
        headers = {"Retry-After": format_datetime(datetime.now(UTC) + timedelta(hours=2), usegmt=True)}
    world.fault(kind="status", status=429, headers=headers)
    with pytest.raises(RateLimited) as error:
        world.processor().locate([subject()])
    assert error.value.retry_after == pytest.approx(expected, abs=10)


def test_a_date_in_the_past_waits_almost_nothing() -> None:
    assert retry_after({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0.1


@pytest.mark.parametrize("kind", ["status", "html", "cut_before"])
def test_a_read_survives_one_failure(world: World, kind: str) -> None:
    world.seed()
    world.fault(kind=kind, method="GET", path="/tickets/requested")
    assert located(world.processor(), subject())


@pytest.mark.parametrize("status", [200, 404, 500, 503])
def test_html_is_no_answer(world: World, status: int) -> None:
    world.seed()
    world.fault(kind="html", status=status, times=99)
    with pytest.raises(Unreachable):
        world.processor().locate([subject()])


@pytest.mark.parametrize("status", [200, 422, 503])
def test_a_search_that_is_unavailable_is_no_answer(world: World, status: int) -> None:
    world.seed()
    world.fault(kind="status", status=status, body={"error": "unavailable"}, path="/search/export", times=99)
    with pytest.raises(Unreachable):
        world.processor().locate([subject()])


def test_html_while_reading_back_confirms_nothing(world: World) -> None:
    world.seed()
    processor = world.processor()
    works = located(processor, subject())
    world.fault(kind="html", status=200, times=99)
    with pytest.raises(Unreachable):
        processor.read_back(works)


@pytest.mark.parametrize("body", [{}, {"users": None}, {"users": ["x"]}, [], "text"])
def test_a_reply_of_the_wrong_shape_is_no_answer(world: World, body: Any) -> None:
    world.fault(kind="status", status=200, body=body, times=99)
    with pytest.raises(Unreachable):
        world.processor().locate([subject()])


def test_a_token_that_expires_stops_the_processor(world: World) -> None:
    world.seed()
    processor = world.processor()
    works = located(processor, subject())
    world.fault(kind="status", status=401, body={"error": "Couldn't authenticate you"}, times=99)
    with pytest.raises(Refused, match="not_authenticated"):
        processor.act("delete_tickets", works)


def test_check_refuses_a_wrong_token(world: World) -> None:
    world.processor().check()
    connection = Connection(
        "zendesk", login="a@example.com", password="wrong", extra={"subdomain": "sandbox", "endpoint_url": world.url}
    )
    with pytest.raises(Refused):
        world.processor(connection=connection).check()


def test_a_job_that_never_ends_confirms_nothing(world: World) -> None:
    world.seed()
    processor = world.processor()
    works = located(processor, subject())
    world.fault(
        kind="status",
        status=200,
        body={"job_status": {"id": "1", "status": "working"}},
        path="/job_statuses/",
        times=999,
    )
    [result] = processor.act("delete_tickets", works)
    assert (result.outcome, result.code) == (Outcome.FAILED, "still_present")
    assert sum(world.waits) < 130


def test_a_user_that_was_overlooked_goes_too(world: World) -> None:
    world.seed()
    works = located(world.processor(), subject())
    works = after(works, carry_out(world.processor(), works))
    before = TODAY - timedelta(days=9)
    world.standin.seed({"user": [user_row(5, name="Back", email="back@example.com", external_id="1", on=before)]})
    [result] = world.processor().read_back(works)
    assert (result.outcome, result.code) == (Outcome.FAILED, "still_present")
    assert 5 in (result.locator or {})["users"]
    assert carry_out(world.processor(), after(works, [result]))[0].outcome is Outcome.AWAITING
    assert world.standin.store.get("user", 5)["_purged_at"]


def test_a_customer_who_came_back_since_is_not_deleted_but_looked_at(world: World) -> None:
    world.seed()
    works = located(world.processor(), subject())
    works = after(works, carry_out(world.processor(), works))
    world.standin.seed({"user": [user_row(5, name="Back", email="back@example.com", external_id="1", on=TODAY)]})
    [result] = world.processor().read_back(works)
    assert (result.code, result.needs_person) == ("user_returned", True)
    [result] = carry_out(world.processor(), after(works, [result]))  # the person let it go on
    assert result.outcome is Outcome.AWAITING
    assert world.standin.store.get("user", 5)["active"]


def test_nothing_of_a_person_reaches_logs_or_exceptions(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    world.seed()
    assert erase(world)[0].outcome is Outcome.AWAITING
    body = {"error": "RecordInvalid", "description": f"{NAME} <{EMAIL}>"}
    for status in (400, 401, 403, 404, 409, 422, 429, 500):
        world.standin.faults = [Fault(kind="status", status=status, body=body, times=99)]
        with pytest.raises((Unreachable, Refused, RateLimited)) as caught:
            world.processor().locate([subject()])
        assert "ample" not in told(caught.value)
    world.standin.faults = [Fault(kind="cut_before", times=99)]
    with pytest.raises(Unreachable) as caught:
        world.processor().locate([subject()])
    assert "ample" not in told(caught.value)
    assert "ample.person" not in caplog.text
    assert NAME not in caplog.text


# -- the gate ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example.com/api",
        "http://sandbox.zendesk.com/api",
        "https://sandbox.zendesk.com.example.com/",
        "https://a@sandbox.zendesk.com/",
        "https://sandbox.zendesk.com:8443/",
        "file:///etc/passwd",
    ],
)
def test_the_gate_lets_nothing_out_but_to_the_accounts_host(url: str) -> None:
    with pytest.raises(Refused):
        Gate("sandbox.zendesk.com", None).address(url)


@pytest.mark.parametrize(
    "host", ["https://sandbox.zendesk.com", "http://127.0.0.1:1/zd", "http://localhost:9", "https://a@b"]
)
def test_the_gate_sends_everything_to_the_endpoint_and_keeps_its_path(host: str) -> None:
    gate = Gate("sandbox.zendesk.com", "http://127.0.0.1:1/zd")
    assert gate.address(f"{host}/api/v2/x?a=1") == "http://127.0.0.1:1/zd/api/v2/x?a=1"


@pytest.mark.parametrize("url", ["https://sandbox.zendesk.com/agent", "file:///api/v2/x", "http://127.0.0.1:1/"])
def test_the_gate_follows_no_link_out_of_the_api(url: str) -> None:
    with pytest.raises(Refused, match="foreign_path"):
        Gate("sandbox.zendesk.com", "http://127.0.0.1:1").address(url)


def test_a_subdomain_that_is_a_host_is_refused(world: World) -> None:
    connection = Connection("zendesk", login="a", password="b", extra={"subdomain": "evil.example.com/"})
    with pytest.raises(ConfigurationError, match="subdomain"):
        world.processor(connection=connection)


def test_the_sandbox_needs_its_token(world: World) -> None:
    assert requests.get(f"{world.url}/api/v2/users/me", timeout=5).status_code == 401
    assert comment_row(1, 1, 1, "x", on=TODAY)["id"] == 1


@pytest.mark.parametrize("seed", range(6))
def test_no_mix_of_faults_is_ever_called_destroyed(world: World, seed: int) -> None:
    chance = random.Random(seed)
    for number in (1, 2, 3, 7):
        world.seed(("plain", "complaint", "two_users", "suspended")[chance.randrange(4)], number)
    people = [subject(n) for n in (1, 2, 3, 7)]
    processor = world.processor()
    works = located(processor, *people)
    kinds = ("lie", "cut_after", "cut_before", "html", "status", "partial", "lie")
    for run in range(6):
        world.standin.faults = [
            Fault(
                kind=chance.choice(kinds),
                method=chance.choice(("DELETE", "PUT", "GET", ".*")),
                status=chance.choice((200, 404, 429, 500, 503)),
                after=chance.randrange(8),
            )
            for _ in range(0 if run > 3 else 3)
        ]
        world.standin.set_date(TODAY + timedelta(days=run))
        results: Sequence[Result] = ()
        with contextlib.suppress(Unreachable, RateLimited, Refused):
            results = carry_out(world.processor(TODAY + timedelta(days=run)), works)
        dump = world.dump()
        for number, result in zip((1, 2, 3, 7), results, strict=False):
            if result.outcome is Outcome.CONFIRMED_ABSENT:
                assert f"Sample Person {number:04d}" not in dump
    assert {r.outcome for r in results} == {Outcome.CONFIRMED_ABSENT}
