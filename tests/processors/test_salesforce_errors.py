"""Salesforce: every broken answer is one of our errors, no hostile id is sent, and no text quotes a person."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import StaticPool, create_engine, text

from include.connections import Connection
from include.errors import ConfigurationError, ProcessorError, RateLimited, Refused, Unreachable
from include.outcomes import Outcome
from include.processors import Site, Work
from include.processors._salesforce.client import Client
from include.processors.salesforce import Processor
from tests.processors.salesforce_world import EVERYTHING, ON, Org, located, subject, world


@pytest.fixture
def org() -> Iterator[Org]:
    with world() as org:
        yield org


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
    org.fault("status", path="/query", status=status, body=body, headers=headers, times=9)
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


def test_an_organisation_that_describes_nothing_is_searched_by_address_alone(org: Org) -> None:
    person, keyless = org.seed(1, 0), subject(2)
    org.standin.composites = False
    org.fault("status", path="/sobjects", times=999, status=404, body=[{"errorCode": "NOT_FOUND", "message": "x"}])
    found, nothing = org.processor().locate([person, keyless])
    assert (nothing.outcome, nothing.code) == (Outcome.FAILED, "no_identifier")
    assert org.read([Work("disposal-2", "2", "customer", EVERYTHING, {})])[0].code == "no_identifier"
    work, _ = org.act([located(person, found)])
    org.next_day()
    assert org.read(work)[0].outcome is Outcome.CONFIRMED_ABSENT
    assert not [k for k in org.rows() if k[0] in {"Contact", "Case", "EmailMessage"}]


def test_hidden_objects_are_refused_because_not_seeing_is_no_proof(org: Org) -> None:
    body = {"sobjects": [{"name": "Contact"}, {"name": "Account"}]}
    org.fault("status", path="/sobjects$", times=99, status=200, body=body)
    with pytest.raises(Refused, match="Lead, Case"):
        org.processor().check()


def test_the_address_book_tells_who_else_uses_an_address(org: Org) -> None:
    engine = create_engine("sqlite://", poolclass=StaticPool)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE profile (id text, mail text)"))
        connection.execute(
            text("INSERT INTO profile VALUES ('1', 'person1@example.com'), ('2', 'PERSON1@example.com')")
        )
    org.settings["address_book"] = {"table": "profile", "account": "id", "email": "mail"}
    person = org.seed(1, 4)
    site = Site(Connection("salesforce", extra=org.extra), org.settings, org.today, accounts=engine)
    assert Processor(site).locate([person])[0].code == "ambiguous"
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE profile"))
    with pytest.raises(ConfigurationError, match="address_book"):
        Processor(site).locate([person])


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


@pytest.mark.parametrize(
    "body",
    [
        {"totalSize": 1, "done": True, "records": [{}]},
        {"totalSize": 1, "done": True, "records": [{"Id": "not an id of ours", "LinkedEntityId": "x"}]},
        {"totalSize": 1, "done": True, "records": ["text"]},
    ],
    ids=str,
)
def test_rows_that_lack_what_was_asked_for_are_no_answer(org: Org, body: Any) -> None:
    person = org.seed(1, 3)
    work = [located(person, org.processor().locate([person])[0])]
    org.fault("status", path="/queryAll", after=12, times=999, status=200, body=body)
    with pytest.raises(Unreachable, match="unexpected_answer"):
        org.processor().locate([person])
    org.settings["bundled_reads"] = False
    org.fault("status", path="/queryAll", after=18, times=999, status=200, body=body)
    with pytest.raises(Unreachable, match="unexpected_answer"):
        org.read(work)


def test_names_a_server_makes_up_never_become_part_of_an_address(org: Org) -> None:
    names = ("../../evil__c", "//evil/evil__c", "e evil__c", "Name FROM evil__c")
    listed = [{"name": n} for n in (*names, "Account", "Contact", "Lead", "Case", "Task", "Event", "CampaignMember")]
    org.fault("status", path="/sobjects$", status=200, body={"sobjects": listed})
    org.processor().locate([org.seed(1, 0)])
    assert not [r for r in org.standin.requests if "evil" in r["path"]]
