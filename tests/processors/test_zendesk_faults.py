"""Zendesk lying, cutting, limiting and mumbling: nothing is believed that was not read, and nobody is named."""

from __future__ import annotations

import contextlib
import logging
import random
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
import requests

from include.connections import Connection
from include.errors import ConfigurationError, RateLimited, Refused, Unreachable
from include.outcomes import Outcome
from include.processors import Result
from include.processors._zendesk.gate import Gate, retry_after
from include.sandbox.standin import Fault
from include.sandbox.zendesk import comment_row, user_row
from tests.processors.zendesk_world import (
    EMAIL,
    NAME,
    TODAY,
    USER,
    World,
    after,
    carry_out,
    erase,
    located,
    opened,
    subject,
    told,
)


@pytest.fixture
def world() -> Iterator[World]:
    with opened() as world:
        yield world


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
