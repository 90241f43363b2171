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
from include.processors import Result, Site, Subject, Work, _zendesk_gate
from include.processors._zendesk_gate import Gate, retry_after
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
    assert work.locator == {"users": [USER], "tickets": [101, 102], "comments": [[100, 1002]]}


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


def test_our_email_on_another_accounts_user_is_not_ours(world: World) -> None:
    world.standin.seed({"user": [user_row(1, name="Other", email=EMAIL, external_id="77", on=TODAY)]})
    assert world.processor().locate([subject()])[0].count == 0


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
    accounts = create_engine("sqlite://", poolclass=StaticPool)
    with accounts.begin() as connection:
        connection.execute(text("CREATE TABLE account_profile (account_id text, email text)"))
        connection.execute(
            text("INSERT INTO account_profile VALUES ('1', :e), ('2', :f)"), {"e": EMAIL, "f": EMAIL.upper()}
        )
    owners = {"table": "account_profile", "account": "account_id", "email": "email"}
    processor = world.processor(accounts=accounts, settings={**SETTINGS, "email_owners": owners})
    [found] = processor.locate([subject()])
    assert found.code == "ambiguous"


def test_an_accounts_database_that_cannot_answer_quotes_no_address(world: World, engine: Engine) -> None:
    world.seed("email_only")
    owners = {"table": "no_such_table", "account": "account_id", "email": "email"}
    processor = world.processor(accounts=engine, settings={**SETTINGS, "email_owners": owners})
    with pytest.raises(ConfigurationError, match="email_owners") as caught:
        processor.locate([subject()])
    assert EMAIL not in "".join(traceback.format_exception(caught.value))


def test_a_member_of_staff_is_never_erased(world: World) -> None:
    agent = {**user_row(1, name="Sample", email=EMAIL, external_id="1", on=TODAY), "role": "agent"}
    world.standin.seed({"user": [agent]})
    [found] = world.processor().locate([subject()])
    assert (found.outcome, found.code) == (Outcome.FAILED, "not_an_end_user")


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


def test_a_link_to_another_host_gets_no_credentials(world: World) -> None:
    world.seed()
    world.standin.seed({"ticket": [ticket_row(5000 + i, USER, status="closed", on=TODAY) for i in range(150)]})
    world.standin.link_host = "https://elsewhere.example.com"
    with pytest.raises(Refused, match="foreign_host"):
        world.processor().locate([subject()])


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


def test_a_ticket_opened_after_the_look_blocks_the_user(world: World) -> None:
    world.seed()
    processor = world.processor()
    works = located(processor, subject())
    world.standin.seed({"ticket": [ticket_row(7000, USER, status="open", on=TODAY)]})
    [result] = carry_out(processor, works)
    assert (result.outcome, result.code) == (Outcome.BLOCKED, "open_ticket")
    assert world.standin.store.get("user", USER)["active"]


def test_a_ticket_closed_after_the_look_goes_too(world: World) -> None:
    world.seed()
    processor = world.processor()
    works = located(processor, subject())
    world.standin.seed({"ticket": [ticket_row(7000, USER, status="closed", on=TODAY)]})
    carry_out(processor, works)
    assert world.standin.store.get("ticket", 7000) is None


def test_a_late_complaint_needs_a_person_because_nothing_archived_it(world: World) -> None:
    world.seed()
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
    from include.processors._zendesk_proof import Proof

    assert Proof(processor.client, TODAY, frozenset(), 5)._complete(1)
    assert not Proof(processor.client, TODAY, frozenset({"chat"}), 5)._complete(1)


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


def test_requests_stay_within_eight_per_account_plus_the_single_purge(world: World) -> None:
    numbers = range(1, 61)
    for number in numbers:
        world.seed(
            ("nobody", "plain", "complaint", "email_only", "suspended", "plain", "plain", "plain")[number % 8], number
        )
    processor = world.processor()
    works = located(processor, *(subject(n) for n in numbers))
    processor.extract(works)
    results = carry_out(processor, works)
    world.standin.set_date(TODAY + timedelta(days=1))
    later = world.processor(TODAY + timedelta(days=1))
    waiting = [
        replace(w, locator=r.locator) for w, r in zip(works, results, strict=True) if r.outcome is Outcome.AWAITING
    ]
    assert {r.outcome for r in later.read_back([replace(w, locator=w.locator or {}) for w in waiting])} == {
        Outcome.CONFIRMED_ABSENT
    }
    purges = sum("/deleted_users/" in line for line in world.changing())
    assert purges == len(waiting) == 53
    assert (processor.client.calls + later.client.calls - purges) / len(numbers) <= 8


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


def test_a_file_on_anothers_closed_ticket_ends_in_a_manual_step(world: World) -> None:
    world.seed()
    world.standin.store.update("comment", 1002, attachments=[{"id": 9, "file_name": "scan.png", "size": 10}])
    [result] = erase(world)
    world.standin.set_date(TODAY + timedelta(days=1))
    work = Work("d1", "1", "support", ("support",), result.locator or {})
    [result] = world.processor(TODAY + timedelta(days=1)).read_back([work])
    assert (result.outcome, result.code) == (Outcome.MANUAL_PENDING, "attachment_on_closed_ticket")


def test_a_file_on_anothers_open_ticket_is_redacted(world: World) -> None:
    world.seed()
    world.standin.store.update("ticket", 100, status="open")
    world.standin.store.update("comment", 1002, attachments=[{"id": 9, "file_name": "scan.png", "size": 10}])
    erase(world)
    assert world.standin.store.get("comment", 1002)["attachments"][0]["file_name"] == "redacted.txt"


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


def test_a_returning_user_is_not_called_absent(world: World) -> None:
    world.seed()
    processor = world.processor()
    works = located(processor, subject())
    carry_out(processor, works)
    world.standin.seed({"user": [user_row(5, name="Back", email="back@example.com", external_id="1", on=TODAY)]})
    [result] = processor.read_back(works)
    assert (result.outcome, result.code) == (Outcome.FAILED, "still_present")
    assert 5 in (result.locator or {})["users"]


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


def test_the_gate_keeps_a_path_of_the_endpoint() -> None:
    gate = Gate("sandbox.zendesk.com", "http://127.0.0.1:1/zd")
    assert gate.address("https://sandbox.zendesk.com/api/v2/x?a=1") == "http://127.0.0.1:1/zd/api/v2/x?a=1"
    assert gate.address("http://127.0.0.1:1/zd/api/v2/x") == "http://127.0.0.1:1/zd/api/v2/x"


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
