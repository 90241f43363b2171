"""Clarity deletes nothing for one person: the outcome is a date, computed by calendar months, and says so."""

from __future__ import annotations

import logging
from calendar import monthrange
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text

from include.connections import Connection
from include.errors import ConfigurationError, Refused
from include.outcomes import Outcome
from include.processors import Site, Work
from include.processors.clarity import Processor, gone_from
from include.sandbox.clarity import TOKEN, StandIn
from include.sandbox.servers import PostgresServer
from include.sandbox.standin import Serving
from tests.processors.registers import AS_OF, accounts_database, after, empty, faults, insert, rows, subject, work

SEEN = [
    {"account_id": "1", "last_seen_on": date(2026, 1, 31), "consent_denied": True},
    {"account_id": "10", "last_seen_on": date(2026, 2, 10), "consent_denied": False},
]


@pytest.fixture(scope="module")
def register(postgres: PostgresServer) -> Iterator[Engine]:
    with accounts_database(postgres) as engine:
        yield engine


@pytest.fixture
def accounts(register: Engine) -> Engine:
    empty(register)
    insert(register, "clarity_identity", SEEN)
    return register


@pytest.fixture
def clarity() -> Iterator[Serving]:
    with Serving(StandIn()) as serving:
        yield serving


def processor(accounts: Engine, clarity: Serving, *, token: str = TOKEN, as_of: date = AS_OF, **site: Any) -> Processor:
    connection = Connection("clarity", password=token, extra={"endpoint_url": clarity.url})
    return Processor(Site(connection, {}, as_of, accounts=accounts, **site))


def located(place: Processor, account_id: str, event: str = "terminated") -> Work:
    asked = subject(account_id, event=event, dataset="recordings")
    return work(asked, place.locate([asked])[0])


@pytest.mark.parametrize(
    ("seen", "gone"),
    [
        ("2026-02-10", "2027-03-11"),
        ("2026-01-31", "2027-03-01"),
        ("2027-01-29", "2028-03-01"),
        ("2027-01-28", "2028-02-29"),
        ("2026-11-30", "2028-01-01"),
        ("2026-12-31", "2028-02-01"),
        ("2026-10-31", "2027-12-01"),
        ("2028-02-29", "2029-04-01"),
    ],
)
def test_thirteen_months_are_those_of_the_civil_act_and_the_first_day_is_not_counted(seen: str, gone: str) -> None:
    assert gone_from(date.fromisoformat(seen)) == date.fromisoformat(gone)


def test_thirteen_months_are_never_short() -> None:
    for offset in range(1500):
        day = date(2026, 1, 1) + timedelta(days=offset)
        gone, year, month = gone_from(day), *divmod(day.year * 12 + day.month - 1 + 13, 12)
        same_day = date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))
        assert timedelta(0) < gone - same_day <= timedelta(days=4)
        assert gone >= gone_from(day - timedelta(days=1))


def test_the_end_is_a_date_and_says_that_we_deleted_nothing(accounts: Engine, clarity: Serving) -> None:
    place = processor(accounts, clarity)
    item = located(place, "1")
    assert place.steps(item) == ()
    (result,) = place.read_back([item])
    assert (result.outcome, result.until, result.code, result.basis) == (
        Outcome.EXPIRES_BY_PROCESSOR,
        date(2027, 3, 1),
        "not_deleted_by_us",
        "clarity_retention_13_months",
    )


def test_a_later_visit_moves_the_date(accounts: Engine, clarity: Serving) -> None:
    place = processor(accounts, clarity)
    item = located(place, "10")
    with accounts.begin() as connection:
        connection.execute(text("UPDATE clarity_identity SET last_seen_on = '2026-03-01' WHERE account_id = '10'"))
    (result,) = place.read_back([item])
    assert (result.until, after(item, result).locator["last_seen_on"]) == (date(2027, 4, 2), "2026-03-01")


def test_the_date_outlives_the_row_in_the_register(accounts: Engine, clarity: Serving) -> None:
    place = processor(accounts, clarity)
    item = located(place, "1")
    with accounts.begin() as connection:
        connection.execute(text("DELETE FROM clarity_identity"))
    (result,) = place.read_back([item])
    assert (result.outcome, result.until) == (Outcome.EXPIRES_BY_PROCESSOR, date(2027, 3, 1))


def test_withdrawn_consent_waits_until_the_site_stopped_sending(accounts: Engine, clarity: Serving) -> None:
    place = processor(accounts, clarity)
    item = located(place, "10", "consent_withdrawn")
    (result,) = place.read_back([item])
    assert (result.outcome, result.code, result.until) == (
        Outcome.AWAITING,
        "collection_not_stopped",
        date(2026, 3, 3),
    )
    with accounts.begin() as connection:
        connection.execute(text("UPDATE clarity_identity SET consent_denied = true, last_seen_on = '2026-03-02'"))
    (result,) = place.read_back([after(item, result)])
    assert (result.outcome, result.until) == (Outcome.EXPIRES_BY_PROCESSOR, date(2027, 4, 3))


def test_every_date_of_the_vendors_schedule_is_stated(accounts: Engine, clarity: Serving) -> None:
    place = processor(accounts, clarity)
    (result,) = place.read_back([located(place, "1")])  # seen last on 2026-01-31
    assert {e["item"]: date.fromisoformat(e["until"]) for e in result.exceptions} == {
        "playback": date(2026, 3, 3),
        "clicks_and_heatmaps": date(2027, 3, 1),
        "labelled_and_favourite_recordings": date(2027, 3, 1),
    }
    assert result.until == date.fromisoformat(max(e["until"] for e in result.exceptions))


@pytest.mark.parametrize(
    ("seen", "denied", "stopped"),
    [
        ("2026-03-01", False, True),  # the day it left
        ("2026-03-02", False, False),  # a day later: the site still sends
        ("2026-03-02", True, True),
    ],
)
def test_who_left_must_not_be_recorded_any_more(
    accounts: Engine, clarity: Serving, seen: str, denied: bool, stopped: bool
) -> None:
    place = processor(accounts, clarity)
    item = located(place, "10")  # left on 2026-03-01
    with accounts.begin() as connection:
        connection.execute(
            text("UPDATE clarity_identity SET last_seen_on = :seen, consent_denied = :denied WHERE account_id = '10'"),
            {"seen": seen, "denied": denied},
        )
    (result,) = place.read_back([item])
    assert (result.outcome is Outcome.EXPIRES_BY_PROCESSOR) == stopped
    assert stopped or (result.outcome, result.code) == (Outcome.AWAITING, "collection_not_stopped")


def test_thirty_quiet_days_after_leaving_are_enough(accounts: Engine, clarity: Serving) -> None:
    with accounts.begin() as connection:
        connection.execute(text("UPDATE clarity_identity SET last_seen_on = '2026-03-05' WHERE account_id = '10'"))
    for as_of, outcome in (
        (date(2026, 4, 3), Outcome.AWAITING),
        (date(2026, 4, 4), Outcome.EXPIRES_BY_PROCESSOR),
    ):
        place = processor(accounts, clarity, as_of=as_of)
        (result,) = place.read_back([located(place, "10")])
        assert (result.outcome, result.until) == (
            outcome,
            date(2026, 4, 4) if outcome is Outcome.AWAITING else date(2027, 4, 6),
        )


def test_who_was_never_recorded_is_absent_by_our_own_register(accounts: Engine, clarity: Serving) -> None:
    place = processor(accounts, clarity)
    (result,) = place.read_back([located(place, "100")])
    assert (result.outcome, result.code, result.count) == (Outcome.CONFIRMED_ABSENT, "none_located", 0)


def test_an_unknown_last_visit_is_for_a_person(accounts: Engine, clarity: Serving) -> None:
    insert(accounts, "clarity_identity", [{"account_id": "2", "last_seen_on": None, "consent_denied": True}])
    found = processor(accounts, clarity).locate([subject("2")])[0]
    assert (found.outcome, found.code) == (Outcome.FAILED, "last_seen_unknown")


@pytest.mark.parametrize("account_id", ["", "../", "//host", "1' OR '1'='1", "한글", "%", "１"])
def test_hostile_ids_reach_no_other_row(accounts: Engine, clarity: Serving, account_id: str) -> None:
    assert processor(accounts, clarity).locate([subject(account_id)])[0].count == 0


def test_the_check_asks_for_totals_once_and_only_while_the_day_has_exports_left(
    accounts: Engine, clarity: Serving
) -> None:
    processor(accounts, clarity, reserve=lambda quota, calls: 0.0).check()
    processor(accounts, clarity, reserve=lambda quota, calls: 8640.0).check()
    assert [r["path"] for r in clarity.standin.requests] == ["/export-data/api/v1/project-live-insights?numOfDays=1"]


def test_a_wrong_token_stops_the_processor_without_showing_it(
    accounts: Engine, clarity: Serving, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(Refused) as raised:
        processor(accounts, clarity, token="a-secret-token").check()
    assert raised.value.code == "unauthorized"
    assert "a-secret-token" not in f"{raised.value} {raised.value.__context__} {caplog.text}"


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "status", "status": 503},
        {"kind": "html", "status": 200},
        {"kind": "cut_before"},
        {"kind": "status", "status": 429},
    ],
)
def test_no_disposal_waits_for_an_export_that_proves_nothing(
    accounts: Engine, clarity: Serving, fault: dict[str, Any]
) -> None:
    faults(clarity.url, {**fault, "times": 9})
    place = processor(accounts, clarity)
    place.check()
    assert place.read_back([located(place, "1")])[0].outcome is Outcome.EXPIRES_BY_PROCESSOR


def test_nothing_changes_anywhere(accounts: Engine, clarity: Serving) -> None:
    before = rows(accounts, "clarity_identity")
    place = processor(accounts, clarity)
    place.check()
    place.read_back([located(place, "1")])
    assert rows(accounts, "clarity_identity") == before
    assert not any(r["changing"] for r in clarity.standin.requests)


def test_a_step_is_refused_and_a_token_asked_for(accounts: Engine, clarity: Serving) -> None:
    with pytest.raises(ConfigurationError, match="no step"):
        processor(accounts, clarity).act("delete", [])
    with pytest.raises(ConfigurationError, match="password"):
        processor(accounts, clarity, token="")
