"""AdRoll lists are posted once without all who leave, believed only when counted, and end in a vendor request."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine

from include.connections import Connection
from include.errors import ConfigurationError, RateLimited, Refused, Unreachable
from include.outcomes import Outcome
from include.processors import Result, Site, Work
from include.processors.adroll import Processor
from include.sandbox.adroll import ADVERTISABLE, API_KEY, TOKEN, StandIn, seed
from include.sandbox.servers import PostgresServer
from include.sandbox.standin import Serving
from tests.processors.registers import AS_OF, accounts_database, after, empty, faults, insert, rows, subject, work

FOREVER = 10**6


def email(account_id: str) -> str:
    return f"Sample{account_id}@example.com"


LISTS = {"newsletter": [str(n) for n in range(1, 151)], "trial": [str(n) for n in range(1, 102)]}


@pytest.fixture(scope="module")
def register(postgres: PostgresServer) -> Iterator[Engine]:
    with accounts_database(postgres) as engine:
        yield engine


@pytest.fixture
def accounts(register: Engine) -> Engine:
    empty(register)
    members = [{"segment_id": s, "account_id": a, "email": email(a)} for s, people in LISTS.items() for a in people]
    insert(register, "audience_member", members)
    return register


@pytest.fixture
def adroll() -> Iterator[Serving]:
    with Serving(StandIn()) as serving:
        serving.standin.seed(seed({s: [email(a) for a in people] for s, people in LISTS.items()}))
        yield serving


def processor(accounts: Engine | None, url: str, *, as_of: date = AS_OF, key: str = API_KEY, **site: Any) -> Processor:
    connection = Connection(
        "adroll", password=TOKEN, extra={"endpoint_url": url, "apikey": key, "advertisable": ADVERTISABLE}
    )
    return Processor(Site(connection, {}, as_of, accounts=accounts, **site))


def located(place: Processor, *account_ids: str) -> list[Work]:
    asked = [subject(a) for a in account_ids]
    return [work(s, f) for s, f in zip(asked, place.locate(asked), strict=True)]


def run(place: Processor, items: list[Work]) -> tuple[list[Result], list[Result]]:
    acted = place.act("repost", items)
    return acted, place.read_back([after(w, r) for w, r in zip(items, acted, strict=True)])


def members(adroll: Serving, segment_id: str) -> set[str]:
    return set(adroll.standin.store.get("segment", segment_id)["members"])  # type: ignore[index]


def registered(accounts: Engine) -> set[tuple[str, str]]:
    return {(r[0], r[1]) for r in rows(accounts, "audience_member")}


def posts(adroll: Serving) -> list[str]:
    return [r["path"].split("?")[0] for r in adroll.standin.requests if r["method"] == "POST"]


# -- the plain way ---------------------------------------------------------------------------------
def test_everybody_leaving_goes_in_one_post_a_list(accounts: Engine, adroll: Serving) -> None:
    place = processor(accounts, adroll.url)
    acted, read = run(place, located(place, "120", "130", "140"))
    assert posts(adroll) == ["/audience/v1/segments/newsletter"]
    assert members(adroll, "newsletter") == {email(a).lower() for a in LISTS["newsletter"]} - {
        email(a).lower() for a in ("120", "130", "140")
    }
    assert [r.outcome for r in acted] == [Outcome.ACCEPTED] * 3
    assert {(r.outcome, r.code, r.until, r.basis) for r in read} == {
        (Outcome.MANUAL_PENDING, "vendor_request_to_send", date(2026, 3, 7), "list_replaced")
    }


def test_other_members_and_other_lists_stay_as_they_are(accounts: Engine, adroll: Serving) -> None:
    before, listed = registered(accounts), members(adroll, "trial")
    place = processor(accounts, adroll.url)
    run(place, located(place, "110"))
    assert registered(accounts) == before - {("newsletter", "110")}
    assert members(adroll, "trial") == listed
    assert {email("11").lower(), email("1").lower(), email("10").lower()} <= members(adroll, "newsletter")


def test_a_list_that_would_fall_below_a_hundred_is_stopped_and_says_so(accounts: Engine, adroll: Serving) -> None:
    place = processor(accounts, adroll.url)
    acted, read = run(place, located(place, "1", "10"))
    assert {r.code for r in acted} == {"list_below_minimum_deactivated"}
    assert adroll.standin.store.get("segment", "trial")["is_active"] is False  # type: ignore[index]
    assert adroll.standin.store.get("segment", "newsletter")["is_active"] is True  # type: ignore[index]
    assert {(r.outcome, r.basis) for r in read} == {(Outcome.MANUAL_PENDING, "list_deactivated")}


def test_exactly_a_hundred_remaining_are_posted(accounts: Engine, adroll: Serving) -> None:
    place = processor(accounts, adroll.url)
    acted, _ = run(place, located(place, "1"))
    assert len(members(adroll, "trial")) == 100
    assert acted[0].code is None


def test_nobody_in_a_list_is_absent_by_our_own_register(accounts: Engine, adroll: Serving) -> None:
    place = processor(accounts, adroll.url)
    (item,) = located(place, "1000")
    assert place.steps(item) == ()
    (result,) = place.read_back([item])
    assert (result.outcome, result.code, result.count) == (Outcome.CONFIRMED_ABSENT, "none_located", 0)
    assert adroll.standin.requests == []


def test_two_disposals_of_one_account_share_the_post(accounts: Engine, adroll: Serving) -> None:
    place = processor(accounts, adroll.url)
    asked = [subject("120"), subject("120", number=1)]
    acted, read = run(place, [work(s, f) for s, f in zip(asked, place.locate(asked), strict=True)])
    assert posts(adroll) == ["/audience/v1/segments/newsletter"]
    assert {r.outcome for r in read} == {Outcome.MANUAL_PENDING}
    assert len(acted) == 2


def test_erasing_twice_changes_nothing_the_second_time(accounts: Engine, adroll: Serving) -> None:
    place = processor(accounts, adroll.url)
    items = located(place, "120")
    run(place, items)
    before = members(adroll, "newsletter")
    _, read = run(place, items)
    assert (members(adroll, "newsletter"), read[0].outcome) == (before, Outcome.MANUAL_PENDING)
    assert located(place, "120")[0].locator == {}


def test_twenty_lists_cost_one_call_each_and_three_readings(accounts: Engine, adroll: Serving) -> None:
    people = [str(n) for n in range(1, 103)]
    many = {f"list{n}": people for n in range(18)}
    adroll.standin.seed(seed({s: [email(a) for a in people] for s in many}))
    insert(
        accounts,
        "audience_member",
        [{"segment_id": s, "account_id": a, "email": email(a)} for s in many for a in people],
    )
    place = processor(accounts, adroll.url)
    run(place, located(place, "101"))
    assert len(posts(adroll)) == 20
    assert len(adroll.standin.requests) == 23


# -- replies that lie, are lost, or come late ------------------------------------------------------
def test_a_list_that_appends_is_found_out_and_left_to_a_person(accounts: Engine, adroll: Serving) -> None:
    faults(adroll.url, {"kind": "append", "times": FOREVER})
    place = processor(accounts, adroll.url)
    acted, read = run(place, located(place, "120"))
    assert (acted[0].outcome, acted[0].code, acted[0].needs_person) == (Outcome.FAILED, "list_appended", True)
    assert (read[0].outcome, read[0].code) == (Outcome.FAILED, "still_present")
    assert ("newsletter", "120") in registered(accounts)


def test_a_reply_that_lies_once_is_settled_by_posting_again(accounts: Engine, adroll: Serving) -> None:
    faults(adroll.url, {"kind": "lie", "method": "POST"})
    place = processor(accounts, adroll.url)
    acted, _ = run(place, located(place, "120"))
    assert acted[0].outcome is Outcome.ACCEPTED
    assert email("120").lower() not in members(adroll, "newsletter")


def test_a_reply_that_always_lies_is_given_one_night_and_then_a_person(accounts: Engine, adroll: Serving) -> None:
    faults(adroll.url, {"kind": "lie", "method": "POST", "times": FOREVER})
    place = processor(accounts, adroll.url)
    items = located(place, "120")
    (first,) = place.act("repost", items)
    assert (first.outcome, first.code, first.until) == (
        Outcome.AWAITING,
        "count_not_settled",
        AS_OF + timedelta(days=1),
    )
    tomorrow = processor(accounts, adroll.url, as_of=AS_OF + timedelta(days=1))
    (second,) = tomorrow.act("repost", [after(items[0], first)])
    assert (second.outcome, second.code, second.needs_person) == (Outcome.FAILED, "list_count_differs", True)
    assert ("newsletter", "120") in registered(accounts)


def test_a_count_that_lags_is_closed_the_night_after(accounts: Engine, adroll: Serving) -> None:
    faults(adroll.url, {"kind": "stale", "method": "GET", "times": FOREVER})
    place = processor(accounts, adroll.url)
    items = located(place, "120")
    # The listing before the post has nothing stale to show, the ones after it do.
    (first,) = place.act("repost", items)
    adroll.standin.store.update("segment", "newsletter", count_before=150)
    faults(adroll.url)
    tomorrow = processor(accounts, adroll.url, as_of=AS_OF + timedelta(days=1))
    acted, read = run(tomorrow, [after(items[0], first)])
    assert (acted[0].outcome, read[0].outcome) == (Outcome.ACCEPTED, Outcome.MANUAL_PENDING)


@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_a_lost_reply_is_settled_by_looking_and_not_repeated(accounts: Engine, adroll: Serving, method: str) -> None:
    faults(adroll.url, {"kind": "cut_after", "method": method})
    place = processor(accounts, adroll.url)
    acted, read = run(place, located(place, "120") if method == "POST" else located(place, "1", "2"))
    assert {r.outcome for r in acted} == {Outcome.ACCEPTED}
    assert {r.outcome for r in read} == {Outcome.MANUAL_PENDING}
    changing = [r for r in adroll.standin.requests if r["method"] == method]
    assert len(changing) == 1


def test_a_lost_reply_of_a_list_that_appends_is_no_success(accounts: Engine, adroll: Serving) -> None:
    faults(adroll.url, {"kind": "append", "times": FOREVER}, {"kind": "cut_after", "method": "POST", "times": FOREVER})
    place = processor(accounts, adroll.url)
    with pytest.raises(Unreachable):
        place.act("repost", located(place, "120"))
    assert ("newsletter", "120") in registered(accounts)


def test_a_crash_before_the_register_followed_is_repeated_safely(accounts: Engine, adroll: Serving) -> None:
    place = processor(accounts, adroll.url)
    items = located(place, "120")
    place.act("repost", items)  # what became of it was never written down
    insert(accounts, "audience_member", [{"segment_id": "newsletter", "account_id": "120", "email": email("120")}])
    assert place.read_back(items)[0].code == "still_present"
    _, read = run(place, items)
    assert read[0].outcome is Outcome.MANUAL_PENDING
    assert email("120").lower() not in members(adroll, "newsletter")


def test_who_joined_a_list_again_is_taken_off_again(accounts: Engine, adroll: Serving) -> None:
    place = processor(accounts, adroll.url)
    items = located(place, "120")
    acted, _ = run(place, items)
    adroll.standin.seed(seed({"newsletter": [email(a) for a in LISTS["newsletter"]]}))
    insert(accounts, "audience_member", [{"segment_id": "newsletter", "account_id": "120", "email": email("120")}])
    item = after(items[0], acted[0])
    (read,) = place.read_back([item])
    assert (read.outcome, read.code) == (Outcome.FAILED, "still_present")
    _, again = run(place, [after(item, read)])
    assert again[0].outcome is Outcome.MANUAL_PENDING
    assert email("120").lower() not in members(adroll, "newsletter")


def test_a_count_that_changed_since_opens_the_list_again(accounts: Engine, adroll: Serving) -> None:
    place = processor(accounts, adroll.url)
    items = located(place, "120")
    (acted,) = place.act("repost", items)
    adroll.standin.seed(seed({"newsletter": [email(a) for a in LISTS["newsletter"]]}))
    item = after(items[0], acted)
    (read,) = place.read_back([item])
    assert (read.outcome, read.code) == (Outcome.FAILED, "list_count_differs")
    _, again = run(place, [after(item, read)])
    assert again[0].outcome is Outcome.MANUAL_PENDING
    assert email("120").lower() not in members(adroll, "newsletter")


# -- what nothing may be done about ----------------------------------------------------------------
def test_a_list_larger_than_the_register_is_not_posted(accounts: Engine, adroll: Serving) -> None:
    everybody = [*(email(a) for a in LISTS["newsletter"]), "unknown@example.com"]
    adroll.standin.seed(seed({"newsletter": everybody}))
    place = processor(accounts, adroll.url)
    (acted,) = place.act("repost", located(place, "120"))
    assert (acted.outcome, acted.code, acted.needs_person) == (Outcome.FAILED, "list_larger_than_register", True)
    assert len(members(adroll, "newsletter")) == 151


def test_an_address_another_account_keeps_is_ambiguous_and_stops_only_that_one(
    accounts: Engine, adroll: Serving
) -> None:
    insert(
        accounts,
        "audience_member",
        [{"segment_id": "newsletter", "account_id": "twin", "email": email("120").upper()}],
    )
    place = processor(accounts, adroll.url)
    found = place.locate([subject("120"), subject("130")])
    assert [(f.outcome, f.code) for f in found] == [(Outcome.FAILED, "ambiguous"), (Outcome.LOCATED, None)]
    acted, _ = run(place, located(place, "130"))
    assert acted[0].outcome is Outcome.ACCEPTED
    assert email("120").lower() in members(adroll, "newsletter")


def test_two_accounts_behind_one_address_leave_together(accounts: Engine, adroll: Serving) -> None:
    insert(accounts, "audience_member", [{"segment_id": "newsletter", "account_id": "twin", "email": email("120")}])
    place = processor(accounts, adroll.url)
    acted, _ = run(place, located(place, "120", "twin"))
    assert {r.outcome for r in acted} == {Outcome.ACCEPTED}
    assert email("120").lower() not in members(adroll, "newsletter")


def test_an_address_that_became_shared_after_locating_is_not_taken_off(accounts: Engine, adroll: Serving) -> None:
    place = processor(accounts, adroll.url)
    items = located(place, "120", "130")
    insert(accounts, "audience_member", [{"segment_id": "newsletter", "account_id": "twin", "email": email("120")}])
    acted, _ = run(place, items)
    assert [(r.outcome, r.code) for r in acted] == [(Outcome.FAILED, "ambiguous"), (Outcome.ACCEPTED, None)]
    assert registered(accounts) >= {("newsletter", "120"), ("newsletter", "twin")}


def test_a_list_the_vendor_lost_needs_two_readings_to_be_gone(accounts: Engine, adroll: Serving) -> None:
    adroll.standin.store.delete("segment", "newsletter")
    place = processor(accounts, adroll.url)
    acted, read = run(place, located(place, "120"))
    assert (acted[0].outcome, read[0].outcome) == (Outcome.ACCEPTED, Outcome.MANUAL_PENDING)


def test_one_404_is_not_believed(accounts: Engine, adroll: Serving) -> None:
    lost = {"errors": [{"message": "Not found.", "code": 16}]}
    faults(
        adroll.url,
        {"kind": "lie", "method": "POST", "times": FOREVER},
        {"kind": "status", "method": "GET", "path": "segments/", "status": 404, "body": lost, "times": FOREVER},
    )
    place = processor(accounts, adroll.url)
    (acted,) = place.act("repost", located(place, "120"))
    assert acted.outcome is Outcome.AWAITING
    assert ("newsletter", "120") in registered(accounts)


# -- trouble with the whole vendor -----------------------------------------------------------------
def test_a_spent_quota_keeps_what_is_settled_and_comes_back_for_the_rest(accounts: Engine) -> None:
    people = [str(n) for n in range(1, 103)]
    many = {f"list{n:02d}": people for n in range(25)}
    insert(
        accounts,
        "audience_member",
        [{"segment_id": s, "account_id": f"x{a}", "email": f"x{a}@example.com"} for s in many for a in people],
    )
    with Serving(StandIn(limit_factor=0.25)) as adroll:
        adroll.standin.seed(seed({s: [f"x{a}@example.com" for a in people] for s in many}))
        place = processor(accounts, adroll.url)
        items = located(place, "x1")
        (first,) = place.act("repost", items)
        assert (first.outcome, first.code, first.needs_person) == (Outcome.FAILED, "rate_limited", False)
        assert len(first.locator["done"]) == 20  # type: ignore[index]
        adroll.standin.limit_factor = 1.0
        acted, read = run(place, [after(items[0], first)])
        assert (acted[0].outcome, read[0].outcome) == (Outcome.ACCEPTED, Outcome.MANUAL_PENDING)
        assert all("x1@example.com" not in members(adroll, s) for s in many)


def test_a_quota_without_a_word_waits_an_hour(accounts: Engine, adroll: Serving) -> None:
    faults(adroll.url, {"kind": "status", "status": 429, "body": {}, "times": FOREVER})
    place = processor(accounts, adroll.url)
    with pytest.raises(RateLimited) as raised:
        place.act("repost", located(place, "120"))
    assert raised.value.retry_after == 3600


@pytest.mark.parametrize("value", ["0", "Thu, 01 Jan 2026 00:00:00 GMT"])
def test_a_short_wait_is_waited_for(accounts: Engine, adroll: Serving, value: str) -> None:
    faults(adroll.url, {"kind": "status", "status": 429, "headers": {"Retry-After": value}, "times": 2})
    place = processor(accounts, adroll.url)
    acted, _ = run(place, located(place, "120"))
    assert acted[0].outcome is Outcome.ACCEPTED


def test_our_own_share_of_the_quota_is_kept(accounts: Engine, adroll: Serving) -> None:
    place = processor(accounts, adroll.url, reserve=lambda quota, calls: 900.0)
    with pytest.raises(RateLimited) as raised:
        place.check()
    assert (raised.value.retry_after, adroll.standin.requests) == (900.0, [])


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "status", "status": 503},
        {"kind": "html", "status": 200},
        {"kind": "status", "status": 302, "headers": {"Location": "http://127.0.0.1:9/"}},
        {"kind": "cut_before"},
    ],
)
def test_one_bad_answer_to_a_reading_is_asked_again_and_many_are_an_outage(
    accounts: Engine, adroll: Serving, fault: dict[str, Any]
) -> None:
    place = processor(accounts, adroll.url)
    items = located(place, "120")
    faults(adroll.url, {**fault, "method": "GET", "times": FOREVER})
    with pytest.raises((Unreachable, Refused)):
        place.act("repost", items)
    assert ("newsletter", "120") in registered(accounts)
    faults(adroll.url, {**fault, "method": "GET", "times": 1})
    assert run(place, items)[1][0].outcome is Outcome.MANUAL_PENDING


def test_a_web_page_that_says_404_is_no_list_that_is_gone(accounts: Engine, adroll: Serving) -> None:
    place = processor(accounts, adroll.url)
    faults(adroll.url, {"kind": "html", "status": 404, "times": FOREVER})
    with pytest.raises(Unreachable):
        place.act("repost", located(place, "120"))
    assert ("newsletter", "120") in registered(accounts)


@pytest.mark.parametrize("status", [400, 404, 409])
def test_a_post_refused_by_something_in_between_is_posted_again_and_needs_nobody(
    accounts: Engine, adroll: Serving, status: int
) -> None:
    place = processor(accounts, adroll.url)
    items = located(place, "120")
    faults(adroll.url, {"kind": "html", "status": status, "method": "POST"})
    (acted,) = place.act("repost", items)
    assert acted.outcome is Outcome.ACCEPTED
    assert place.read_back([after(i, acted) for i in items])[0].outcome is Outcome.MANUAL_PENDING


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_stops_the_processor(accounts: Engine, adroll: Serving, status: int) -> None:
    faults(adroll.url, {"kind": "status", "status": status, "body": {}, "after": 1, "times": FOREVER})
    place = processor(accounts, adroll.url)
    with pytest.raises(Refused):
        place.act("repost", located(place, "120"))
    assert ("newsletter", "120") in registered(accounts)


def test_the_check_reads_only(accounts: Engine, adroll: Serving) -> None:
    processor(accounts, adroll.url).check()
    assert [(r["method"], r["status"]) for r in adroll.standin.requests] == [("GET", 200)]


# -- hostile values and secrets --------------------------------------------------------------------
@pytest.mark.parametrize("segment_id", ["", "../advertisers", "//host", "trial?x=", "trial/reactivate", "한글", "a b"])
def test_a_hostile_list_id_is_for_a_person_and_reaches_nothing(
    accounts: Engine, adroll: Serving, segment_id: str
) -> None:
    insert(accounts, "audience_member", [{"segment_id": segment_id, "account_id": "bad", "email": "bad@example.com"}])
    place = processor(accounts, adroll.url)
    (found,) = place.locate([subject("bad")])
    assert (found.outcome, found.code) == (Outcome.FAILED, "invalid_identifier")
    item = Work("d", "bad", "audience", ("audience",), {"segments": {segment_id: ["bad@example.com"]}})
    (result,) = place.act("repost", [item])
    assert (result.code, result.needs_person) == ("invalid_identifier", True)
    assert adroll.standin.requests == []


def test_an_empty_address_is_for_a_person(accounts: Engine, adroll: Serving) -> None:
    insert(accounts, "audience_member", [{"segment_id": "newsletter", "account_id": "none", "email": " "}])
    (found,) = processor(accounts, adroll.url).locate([subject("none")])
    assert (found.outcome, found.code) == (Outcome.FAILED, "no_identifier")


@pytest.mark.parametrize("account_id", ["", "../", "1' OR '1'='1", "한글", "%", " 1"])
def test_a_hostile_account_reaches_no_other_row(accounts: Engine, adroll: Serving, account_id: str) -> None:
    assert processor(accounts, adroll.url).locate([subject(account_id)])[0].count == 0


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "status", "status": 400, "body": {"errors": [{"message": "sample120@example.com", "code": 1}]}},
        {"kind": "status", "status": 500, "body": {"errors": [{"message": "sample120@example.com"}]}},
        {"kind": "cut_before"},
        {"kind": "status", "status": 401},
    ],
)
def test_neither_key_nor_address_is_in_what_is_raised_or_logged(
    accounts: Engine, adroll: Serving, caplog: pytest.LogCaptureFixture, fault: dict[str, Any]
) -> None:
    caplog.set_level(logging.DEBUG)
    place = processor(accounts, adroll.url, key="a-secret-key")
    faults(adroll.url, {**fault, "times": FOREVER})
    items = located(place, "120")
    with pytest.raises((Unreachable, Refused)) as raised:
        place.act("repost", items)
    error = raised.value
    assert error.__context__ is None or error.__suppress_context__
    said = f"{error} {error!r} {caplog.text} {items} {place}"
    assert "a-secret-key" not in said
    assert "sample120" not in said.lower()


def test_a_refused_post_is_for_a_person_and_the_list_stays(accounts: Engine, adroll: Serving) -> None:
    faults(
        adroll.url, {"kind": "status", "method": "POST", "status": 400, "body": {"errors": [{"code": 1}]}, "times": 9}
    )
    place = processor(accounts, adroll.url)
    (result,) = place.act("repost", located(place, "120"))
    assert (result.outcome, result.code, result.needs_person) == (Outcome.FAILED, "list_refused", True)
    assert ("newsletter", "120") in registered(accounts)


def test_what_is_missing_in_the_connection_is_named(accounts: Engine, adroll: Serving) -> None:
    with pytest.raises(ConfigurationError, match="apikey"):
        processor(accounts, adroll.url, key="")
    with pytest.raises(ConfigurationError, match="accounts_db"):
        processor(None, adroll.url)
    with pytest.raises(ConfigurationError, match="no step"):
        processor(accounts, adroll.url).act("delete", [])
