"""S3 prefixes are emptied of every version, marker and upload, without touching a neighbour, and proven by listing."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from email.utils import format_datetime
from functools import cache
from typing import Any
from urllib.parse import quote_plus, unquote, urlsplit
from uuid import uuid4

import pytest

from include.connections import Connection, s3_client
from include.errors import ConfigurationError, RateLimited, Refused, Unreachable
from include.outcomes import Outcome
from include.processors import Result, Site, Work
from include.processors.s3 import Processor
from include.sandbox.servers import S3Server
from tests.processors.registers import AS_OF, after, subject, work
from tests.processors.s3_proxy import XML, Proxy, error, proxy_to

SENTINEL = "Sample Person 0001.pdf"


@cache
def admin_of(endpoint_url: str) -> Any:
    extra = {"endpoint_url": endpoint_url}
    return s3_client(Connection("s3", login="admin", password="admin-secret", extra=extra))


class Place:
    """One template of its own in the live bucket, written by the company (admin), erased by the eraser."""

    def __init__(self, server: S3Server, bucket: str = "live") -> None:
        self.server, self.bucket, self.root = server, bucket, f"t{uuid4().hex[:10]}/"
        self.admin: Any = admin_of(server.endpoint_url)

    @property
    def settings(self) -> dict[str, Any]:
        return {"places": [{"bucket": self.bucket, "prefix": self.root + "{account_id}/"}]}

    def put(self, key: str, *bodies: bytes | None, **lock: Any) -> list[str]:
        made = []
        for body in bodies or (b"x",):
            if body is None:
                made.append(self.admin.delete_object(Bucket=self.bucket, Key=self.root + key)["VersionId"])
            else:
                reply = self.admin.put_object(Bucket=self.bucket, Key=self.root + key, Body=body, **lock)
                made.append(reply["VersionId"])
        return made

    def upload(self, key: str) -> str:
        where = {"Bucket": self.bucket, "Key": self.root + key}
        upload_id: str = self.admin.create_multipart_upload(**where)["UploadId"]
        self.admin.upload_part(**where, UploadId=upload_id, PartNumber=1, Body=b"part")
        return upload_id

    def stored(self, below: str = "") -> dict[tuple[str, str], bytes | None]:
        """Return every version and marker with its bytes."""
        page = self.admin.list_object_versions(Bucket=self.bucket, Prefix=self.root + below)
        found: dict[tuple[str, str], bytes | None] = {
            (m["Key"], m["VersionId"]): None for m in page.get("DeleteMarkers", [])
        }
        for v in page.get("Versions", []):
            got = self.admin.get_object(Bucket=self.bucket, Key=v["Key"], VersionId=v["VersionId"])
            found[v["Key"], v["VersionId"]] = got["Body"].read()
        return found

    def uploads(self) -> list[str]:
        page = self.admin.list_multipart_uploads(Bucket=self.bucket, Prefix=self.root)
        return sorted(u["Key"].removeprefix(self.root) for u in page.get("Uploads", []))

    def processor(self, identity: str = "eraser", *, url: str = "", **settings: Any) -> Processor:
        connection = self.server.connection("s3", identity)
        if url:
            connection = replace(connection, extra={**connection.extra, "endpoint_url": url})
        return Processor(Site(connection, {**self.settings, **settings}, AS_OF), sleep=lambda _seconds: None)


@pytest.fixture
def place(s3: S3Server) -> Place:
    return Place(s3)


@pytest.fixture
def proxy(s3: S3Server) -> Iterator[Proxy]:
    with proxy_to(s3.endpoint_url) as proxy:
        yield proxy


@pytest.fixture
def locked(s3: S3Server) -> Place:
    s3.create_bucket("locked", lock=True)
    return Place(s3, "locked")


def located(processor: Processor, *account_ids: str) -> list[Work]:
    asked = [subject(a, dataset="live_objects") for a in account_ids]
    return [work(s, f) for s, f in zip(asked, processor.locate(asked), strict=True)]


def erase(processor: Processor, items: list[Work]) -> tuple[list[Result], list[Result]]:
    acted = processor.act("delete_versions", items)
    return acted, processor.read_back([after(w, r) for w, r in zip(items, acted, strict=True)])


# -- the plain way ---------------------------------------------------------------------------------
def test_versions_markers_and_uploads_are_gone_and_a_second_listing_says_so(place: Place) -> None:
    place.put("1/profile.json", b"one", b"two")
    place.put("1/한글 이름+기호%2F.txt", b"x", None)
    place.put("1/deep/er/file", None)
    place.upload("1/big")
    processor = place.processor()
    items = located(processor, "1")
    assert items[0].locator == {"versions": 5, "uploads": 1}
    acted, read = erase(processor, items)
    assert acted[0].outcome is Outcome.ACCEPTED
    assert (read[0].outcome, read[0].count, read[0].verify_method) == (
        Outcome.CONFIRMED_ABSENT,
        0,
        "second_listing_empty",
    )
    assert (place.stored(), place.uploads()) == ({}, [])


def test_neighbours_stay_byte_for_byte(place: Place) -> None:
    for key in ("10/a", "100/a", "1.bak", "1", "1.bak/a", "1=2/a", "01/a", "A1/a", "x/1/a"):
        place.put(key, b"first " + key.encode(), None, b"second")
    place.upload("10/big")
    place.upload("1.bak/big")
    before = place.stored()
    place.put("1/a", b"due")
    place.upload("1/big")
    processor = place.processor()
    _, read = erase(processor, located(processor, "1"))
    assert read[0].outcome is Outcome.CONFIRMED_ABSENT
    assert place.stored() == before
    assert place.uploads() == ["1.bak/big", "10/big"]


def test_upper_and_lower_case_are_two_accounts(place: Place) -> None:
    place.put("abc/f", b"stays")
    place.put("ABC/f", b"due")
    processor = place.processor()
    erase(processor, located(processor, "ABC"))
    assert list(place.stored().values()) == [b"stays"]


def test_nothing_there_is_confirmed_by_listing_without_a_step(place: Place) -> None:
    processor = place.processor()
    (item,) = located(processor, "1")
    assert processor.steps(item) == ()
    assert processor.read_back([item])[0].outcome is Outcome.CONFIRMED_ABSENT


def test_markers_alone_and_uploads_alone_are_something(place: Place) -> None:
    place.put("1/gone", None)
    place.upload("2/big")
    processor = place.processor()
    items = located(processor, "1", "2")
    assert [len(processor.steps(i)) for i in items] == [1, 1]
    _, read = erase(processor, items)
    assert {r.outcome for r in read} == {Outcome.CONFIRMED_ABSENT}


def test_erasing_twice_is_the_same_as_once(place: Place) -> None:
    place.put("1/a", b"x")
    processor = place.processor()
    items = located(processor, "1")
    erase(processor, items)
    acted, read = erase(processor, items)
    assert (acted[0].outcome, read[0].outcome) == (Outcome.ACCEPTED, Outcome.CONFIRMED_ABSENT)


def test_every_place_is_emptied_by_itself(s3: S3Server) -> None:
    first, second = Place(s3), Place(s3)
    first.put("1/a", b"original")
    second.put("1/a", b"replica", None)
    settings = {"places": first.settings["places"] + second.settings["places"]}
    processor = Processor(Site(s3.connection("s3", "eraser"), settings, AS_OF))
    items = located(processor, "1")
    assert items[0].locator["versions"] == 3
    assert erase(processor, items)[1][0].outcome is Outcome.CONFIRMED_ABSENT
    assert {**first.stored(), **second.stored()} == {}


def test_a_replica_that_keeps_its_copy_leaves_the_disposal_open(s3: S3Server, proxy: Proxy) -> None:
    first, second = Place(s3), Place(s3)
    first.put("1/a", b"original")
    second.put("1/a", b"replica")
    root = second.root.encode()
    proxy.fault = lambda method, path, body: (
        (200, XML, b"<DeleteResult/>") if "?delete" in path and root in body else None
    )
    connection = s3.connection("s3", "eraser")
    connection = replace(connection, extra={**connection.extra, "endpoint_url": proxy.url})
    settings = {"places": first.settings["places"] + second.settings["places"]}
    processor = Processor(Site(connection, settings, AS_OF))
    _, read = erase(processor, located(processor, "1"))
    assert (read[0].outcome, read[0].count) == (Outcome.FAILED, 1)
    assert first.stored() == {}


def test_more_than_a_page_and_more_than_one_delete(place: Place, proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("include.processors._s3.calls.MOST", 4)
    place.put("1/one", *[b"x"] * 5, None)  # a page may end inside one key
    for n in range(5):
        place.put(f"1/f{n}", b"x")
        place.upload(f"1/u{n}")
    place.put("10/a", b"stays")
    processor = place.processor(url=proxy.url)
    items = located(processor, "1")
    assert items[0].locator == {"versions": 11, "uploads": 5}
    assert erase(processor, items)[1][0].outcome is Outcome.CONFIRMED_ABSENT
    assert len([r for r in proxy.seen if "?delete" in r]) == 3
    assert list(place.stored().values()) == [b"stays"]


def test_requests_stay_within_three_an_account_and_three_a_thousand_versions(place: Place, proxy: Proxy) -> None:
    accounts = [f"a{n}" for n in range(12)]
    for account in accounts:
        place.put(f"{account}/f", b"x", b"y")
    processor = place.processor(url=proxy.url)
    _, read = erase(processor, located(processor, *accounts))
    assert {r.outcome for r in read} == {Outcome.CONFIRMED_ABSENT}
    assert len(proxy.seen) <= 3 * len(accounts) + 3


# -- locks -----------------------------------------------------------------------------------------
def test_a_lock_keeps_until_its_date_and_the_rest_goes(locked: Place) -> None:
    until = datetime(2031, 5, 31, 3, 0, tzinfo=UTC)  # noon in Seoul: over all day on 1 June
    locked.put("1/locked", b"x", ObjectLockMode="GOVERNANCE", ObjectLockRetainUntilDate=until)
    locked.put("1/free", b"x")
    locked.put("2/free", b"x")
    processor = locked.processor("admin")
    items = located(processor, "1", "2")
    acted, read = erase(processor, items)
    for result in (acted[0], read[0]):
        assert (result.outcome, result.until, result.basis, result.count) == (
            Outcome.RETAINED,
            date(2031, 6, 1),
            "object_lock",
            1,
        )
    assert read[1].outcome is Outcome.CONFIRMED_ABSENT
    assert [k.removeprefix(locked.root) for k, _ in locked.stored()] == ["1/locked"]


def test_the_latest_lock_counts_and_compliance_is_a_lock_too(locked: Place) -> None:
    soon = datetime.now(UTC) + timedelta(days=2)
    late = datetime(2031, 1, 1, tzinfo=UTC)
    locked.put("1/a", b"x", ObjectLockMode="COMPLIANCE", ObjectLockRetainUntilDate=soon)
    locked.put("1/b", b"x", ObjectLockMode="GOVERNANCE", ObjectLockRetainUntilDate=late)
    processor = locked.processor("admin")
    acted, _ = erase(processor, located(processor, "1"))
    assert (acted[0].until, acted[0].count) == (date(2031, 1, 2), 2)


def test_a_legal_hold_is_retained_with_a_next_look_and_released_it_goes(locked: Place) -> None:
    (version,) = locked.put("1/held", b"x", ObjectLockLegalHoldStatus="ON")
    processor = locked.processor("admin")
    items = located(processor, "1")
    acted, read = erase(processor, items)
    for result in (acted[0], read[0]):
        assert (result.outcome, result.basis, result.until) == (
            Outcome.RETAINED,
            "legal_hold",
            AS_OF + timedelta(days=30),
        )
    locked.admin.put_object_legal_hold(
        Bucket="locked", Key=locked.root + "1/held", VersionId=version, LegalHold={"Status": "OFF"}
    )
    assert erase(processor, items)[1][0].outcome is Outcome.CONFIRMED_ABSENT


def test_a_plain_delete_would_look_done_and_a_lock_still_shows(locked: Place) -> None:
    until = datetime.now(UTC) + timedelta(days=2)
    locked.put("1/a", b"x", ObjectLockMode="GOVERNANCE", ObjectLockRetainUntilDate=until)
    locked.put("1/a", None)  # the marker hides the object from any plain listing
    processor = locked.processor("admin")
    _, read = erase(processor, located(processor, "1"))
    assert (read[0].outcome, read[0].basis) == (Outcome.RETAINED, "object_lock")


def test_denied_without_a_lock_is_for_a_person(place: Place, proxy: Proxy) -> None:
    place.put("1/a", b"x")
    place.put("2/a", b"x")
    proxy.fault = _refuse_entries(place.root + "1/", "AccessDenied", once=False)
    processor = place.processor(url=proxy.url)
    acted, read = erase(processor, located(processor, "1", "2"))
    assert (acted[0].outcome, acted[0].code, acted[0].needs_person) == (Outcome.FAILED, "access_denied", True)
    assert read[0].code == "still_present"
    assert acted[1].outcome is Outcome.ACCEPTED


# -- replies that lie, are lost, or say no ------------------------------------------------------------
def _refuse_entries(prefix: str, code: str, *, once: bool) -> Any:
    """Answer a DeleteObjects as S3 does when entries fail: 200, and an error for each key below `prefix`."""
    state = {"left": 1 if once else 10**6}

    def fault(method: str, path: str, body: bytes) -> Any:
        if "?delete" not in path or state["left"] == 0:
            return None
        state["left"] -= 1
        entries = re.findall(r"<Key>(.*?)</Key><VersionId>(.*?)</VersionId>", body.decode())
        refused = [(k, v) for k, v in entries if k.startswith(prefix)]
        if not refused:
            return None
        errors = "".join(
            f"<Error><Key>{k}</Key><VersionId>{v}</VersionId><Code>{code}</Code><Message/></Error>" for k, v in refused
        )
        return 200, XML, f"<DeleteResult>{errors}</DeleteResult>".encode()

    return fault


def test_a_delete_that_only_says_so_is_found_out(place: Place, proxy: Proxy) -> None:
    place.put("1/a", b"x")
    proxy.fault = lambda method, path, body: (200, XML, b"<DeleteResult/>") if "?delete" in path else None
    processor = place.processor(url=proxy.url)
    items = located(processor, "1")
    acted, read = erase(processor, items)
    assert acted[0].outcome is Outcome.ACCEPTED
    assert (read[0].outcome, read[0].code, read[0].count) == (Outcome.FAILED, "still_present", 1)
    proxy.fault = None
    assert erase(processor, [after(items[0], read[0])])[1][0].outcome is Outcome.CONFIRMED_ABSENT


def test_a_lost_reply_is_settled_by_listing(place: Place, proxy: Proxy) -> None:
    place.put("1/a", b"x")
    proxy.fault = lambda method, path, body: "cut_after" if "?delete" in path else None
    processor = place.processor(url=proxy.url)
    items = located(processor, "1")
    with pytest.raises(Unreachable):
        processor.act("delete_versions", items)
    assert processor.read_back(items)[0].outcome is Outcome.CONFIRMED_ABSENT


def test_entries_told_to_slow_down_are_tried_again(place: Place, proxy: Proxy) -> None:
    place.put("1/a", b"x")
    proxy.fault = _refuse_entries(place.root, "SlowDown", once=True)
    processor = place.processor(url=proxy.url)
    acted, read = erase(processor, located(processor, "1"))
    assert (acted[0].outcome, read[0].outcome) == (Outcome.ACCEPTED, Outcome.CONFIRMED_ABSENT)


@pytest.mark.parametrize(("code", "ours"), [("SlowDown", "slow_down"), ("InternalError", "refused")])
def test_entries_that_never_go_are_tried_next_night(place: Place, proxy: Proxy, code: str, ours: str) -> None:
    place.put("1/a", b"x")
    place.put("2/a", b"x")
    proxy.fault = _refuse_entries(place.root, code, once=False)
    processor = place.processor(url=proxy.url)
    acted, _ = erase(processor, located(processor, "1", "2"))
    assert {(r.outcome, r.code, r.needs_person) for r in acted} == {(Outcome.FAILED, ours, False)}


@pytest.mark.parametrize(
    ("answer", "raised"),
    [
        (error(503, "SlowDown"), RateLimited),
        ((429, {"Retry-After": "7"}, b""), RateLimited),
        (error(500, "InternalError"), Unreachable),
        (error(503, "ServiceUnavailable"), Unreachable),
        ((200, {"Content-Type": "text/html"}, b"<html><body>Service unavailable</body></html>"), Unreachable),
        ((200, {"Content-Type": "text/html"}, b"<!doctype html><p>oh"), Unreachable),
        ((200, XML, b""), Unreachable),
        ("cut_before", Unreachable),
        (error(403, "AccessDenied"), Refused),
        (error(403, "ExpiredToken"), Refused),
        (error(400, "ExpiredToken"), Refused),
        (error(404, "NoSuchBucket"), ConfigurationError),
    ],
)
def test_no_answer_to_a_listing_is_ever_an_empty_listing(
    place: Place, proxy: Proxy, answer: Any, raised: type[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    place.put(f"1/{SENTINEL}", b"x")
    processor = place.processor(url=proxy.url)
    items = located(processor, "1")
    proxy.fault = lambda method, path, body: answer
    for call in (processor.read_back, lambda w: processor.act("delete_versions", w)):
        with pytest.raises(raised) as caught:
            call(items)
        assert caught.value.__suppress_context__ or caught.value.__context__ is None
        assert "secret-key-name" not in str(caught.value)
    proxy.fault = None
    assert processor.read_back(items)[0].code == "still_present"
    assert SENTINEL not in caplog.text


def test_a_listing_that_breaks_off_is_not_complete(place: Place, proxy: Proxy) -> None:
    page = "<ListVersionsResult><Name>live</Name><IsTruncated>true</IsTruncated></ListVersionsResult>"
    proxy.fault = lambda method, path, body: (200, XML, page.encode()) if "versions" in path else None
    with pytest.raises(Unreachable):
        place.processor(url=proxy.url).locate([subject("1")])


def test_a_listing_of_another_prefix_is_not_ours(place: Place, proxy: Proxy) -> None:
    page = (
        "<ListVersionsResult><Name>live</Name><Prefix>other/</Prefix><IsTruncated>false</IsTruncated>"
        "</ListVersionsResult>"
    )
    proxy.fault = lambda method, path, body: (200, XML, page.encode()) if "versions" in path else None
    with pytest.raises(Unreachable):
        place.processor(url=proxy.url).locate([subject("1")])


def test_keys_outside_the_prefix_are_left_alone_even_if_listed(place: Place, proxy: Proxy) -> None:
    (version,) = place.put("10/a", b"stays")
    page = (
        f"<ListVersionsResult><Name>live</Name><IsTruncated>false</IsTruncated><Version><Key>{place.root}10/a</Key>"
        f"<VersionId>{version}</VersionId></Version></ListVersionsResult>"
    )
    proxy.fault = lambda method, path, body: (200, XML, page.encode()) if "versions" in path else None
    processor = place.processor(url=proxy.url)
    item = Work("d", "1", "live_objects", ("live_objects",), {"versions": 1, "uploads": 0})
    processor.act("delete_versions", [item])
    assert not any("?delete" in r for r in proxy.seen)
    assert list(place.stored().values()) == [b"stays"]


def test_an_upload_that_is_not_there_any_more_is_as_good(place: Place, proxy: Proxy) -> None:
    place.upload("1/big")
    processor = place.processor(url=proxy.url)
    items = located(processor, "1")
    proxy.fault = lambda method, path, body: error(404, "NoSuchUpload") if method == "DELETE" else None
    acted, read = erase(processor, items)
    assert (acted[0].outcome, read[0].code) == (Outcome.ACCEPTED, "still_present")
    proxy.fault = None
    assert erase(processor, items)[1][0].outcome is Outcome.CONFIRMED_ABSENT


def test_what_arrives_after_the_delete_keeps_the_disposal_open(place: Place) -> None:
    place.put("1/a", b"x")
    processor = place.processor()
    items = located(processor, "1")
    processor.act("delete_versions", items)
    place.upload("1/late")
    (read,) = processor.read_back(items)
    assert (read.outcome, read.code) == (Outcome.FAILED, "still_present")
    assert erase(processor, [after(items[0], read)])[1][0].outcome is Outcome.CONFIRMED_ABSENT


# -- hostile ids and places that may never be erased ---------------------------------------------------
HOSTILE = [
    "",
    ".",
    "..",
    "../",
    "//",
    "//host",
    "1/",
    "/1",
    "1/../10",
    "a\\b",
    "1\n",
    " 1",
    "{account_id}",
    "\x00",
    "\ud800",
]


@pytest.mark.parametrize("account_id", HOSTILE)
def test_a_hostile_id_is_for_a_person_and_reaches_nothing(place: Place, proxy: Proxy, account_id: str) -> None:
    processor = place.processor(url=proxy.url)
    (found,) = processor.locate([subject(account_id)])
    assert (found.outcome, found.code) == (Outcome.FAILED, "invalid_identifier")
    item = Work("d", account_id, "live_objects", ("live_objects",), {"versions": 1, "uploads": 1})
    for result in (*processor.act("delete_versions", [item]), *processor.read_back([item])):
        assert (result.outcome, result.code, result.needs_person) == (Outcome.FAILED, "invalid_identifier", True)
    assert proxy.seen == []


@pytest.mark.parametrize("account_id", ["한글", "a+b", "a%2Fb", "a b", "O'Brien", '"', "<x>&", "*", "?versions", "%"])
def test_odd_ids_reach_exactly_their_own_objects(place: Place, account_id: str) -> None:
    place.put("1/a", b"stays")
    place.put(f"{account_id}/a", b"due")
    place.put(f"{account_id}0/a", b"stays too")
    processor = place.processor()
    assert erase(processor, located(processor, account_id))[1][0].outcome is Outcome.CONFIRMED_ABSENT
    assert sorted(v for v in place.stored().values() if v) == [b"stays", b"stays too"]


@pytest.mark.parametrize("bucket", ["archive", "evidence"])
def test_our_own_buckets_are_refused_and_the_eraser_has_no_right_there(s3: S3Server, bucket: str) -> None:
    connection = s3.connection("s3", "eraser", bucket=bucket)
    with pytest.raises(ConfigurationError, match=bucket):
        Processor(Site(connection, {}, AS_OF))
    with pytest.raises(ConfigurationError, match=bucket):
        Processor(Site(connection, {"places": [{"bucket": bucket}]}, AS_OF))
    admin = admin_of(s3.endpoint_url)
    key = f"accounts/1/{uuid4().hex}"
    version = admin.put_object(Bucket=bucket, Key=key, Body=b"kept")["VersionId"]
    eraser: Any = s3_client(connection)
    reply = eraser.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key, "VersionId": version}]})
    assert [e["Code"] for e in reply["Errors"]] == ["AccessDenied"]
    assert admin.get_object(Bucket=bucket, Key=key, VersionId=version)["Body"].read() == b"kept"


def test_a_bucket_named_by_the_schedule_as_ours_is_refused(s3: S3Server) -> None:
    with pytest.raises(ConfigurationError, match="cold"):
        Processor(Site(s3.connection("s3", "eraser", bucket="cold"), {"refused_buckets": ["cold"]}, AS_OF))


@pytest.mark.parametrize(
    "prefix",
    [
        "accounts/",
        "{account_id}",
        "accounts/{account_id}",
        "acct{account_id}/",
        "{account_id}.bak/",
        "{id}/",
        "a/{account_id}/{x}/",
        "{account_id}/{account_id}/",
    ],
)
def test_a_prefix_without_the_account_between_delimiters_is_refused(s3: S3Server, prefix: str) -> None:
    with pytest.raises(ConfigurationError, match="between delimiters"):
        Processor(Site(s3.connection("s3", "eraser"), {"places": [{"bucket": "live", "prefix": prefix}]}, AS_OF))


@pytest.mark.parametrize(
    "prefix", ["{account_id}/", "acct={account_id}/", "a/{account_id}/files/", "a/b/{account_id}/"]
)
def test_a_prefix_with_the_account_between_delimiters_works(s3: S3Server, prefix: str) -> None:
    account = uuid4().hex
    admin = admin_of(s3.endpoint_url)
    key = prefix.replace("{account_id}", account) + "f"
    admin.put_object(Bucket="live", Key=key, Body=b"x")
    admin.create_multipart_upload(Bucket="live", Key=key)
    settings = {"places": [{"bucket": "live", "prefix": prefix}]}
    processor = Processor(Site(s3.connection("s3", "eraser"), settings, AS_OF))
    items = located(processor, account)
    assert items[0].locator == {"versions": 1, "uploads": 1}
    assert erase(processor, items)[1][0].outcome is Outcome.CONFIRMED_ABSENT


def test_what_is_wrong_in_the_settings_is_named(s3: S3Server) -> None:
    live = s3.connection("s3", "eraser", bucket="live")
    with pytest.raises(ConfigurationError, match="twice"):
        Processor(Site(live, {"places": [{}, {"bucket": "live"}]}, AS_OF))
    with pytest.raises(ConfigurationError, match="prefixes"):
        Processor(Site(live, {"places": [{"prefixes": "x"}]}, AS_OF))
    with pytest.raises(ConfigurationError, match="bucket"):
        Processor(Site(s3.connection("s3", "eraser"), {}, AS_OF))
    with pytest.raises(ConfigurationError, match="no step"):
        Processor(Site(live, {}, AS_OF)).act("delete", [])


def test_the_check_reads_and_a_wrong_key_is_refused(place: Place, proxy: Proxy) -> None:
    place.processor(url=proxy.url).check()
    assert {r.split()[0] for r in proxy.seen} == {"GET"}
    with pytest.raises(Refused):
        place.processor("nobody").check()


def test_a_bucket_that_asks_for_a_second_factor_is_refused(place: Place, proxy: Proxy) -> None:
    body = b"<VersioningConfiguration><Status>Enabled</Status><MfaDelete>Enabled</MfaDelete></VersioningConfiguration>"
    proxy.fault = lambda method, path, _body: (200, XML, body) if path.endswith("?versioning") else None
    with pytest.raises(Refused) as raised:
        place.processor(url=proxy.url).check()
    assert raised.value.code == "mfa_delete"


def test_all_traffic_goes_to_the_connections_address(place: Place, proxy: Proxy) -> None:
    place.put("1/a", b"x")
    processor = place.processor(url=proxy.url)
    erase(processor, located(processor, "1"))
    assert len(proxy.seen) == 6


def test_nothing_about_a_person_is_in_locators_or_results(place: Place) -> None:
    place.put(f"1/{SENTINEL}", b"x")
    processor = place.processor()
    items = located(processor, "1")
    acted, read = erase(processor, items)
    assert SENTINEL not in f"{items[0].locator} {items} {acted} {read} {processor}"


# -- keys that XML cannot carry, other servers, other accounts -----------------------------------------------------
def listing(keys: list[str], version: str = "v1") -> bytes:
    """Return a listing as AWS words it when asked for encoded keys."""
    rows = "".join(f"<Version><Key>{quote_plus(k)}</Key><VersionId>{version}</VersionId></Version>" for k in keys)
    return (
        "<ListVersionsResult xmlns='http://s3.amazonaws.com/doc/2006-03-01/'><Name>live</Name><EncodingType>url"
        f"</EncodingType><IsTruncated>false</IsTruncated>{rows}</ListVersionsResult>"
    ).encode()


@pytest.mark.parametrize("odd", ["a\x01b", "line\r\nbreak", "\ufffe", "a\tb"])
def test_a_version_whose_key_no_xml_can_name_is_deleted_by_its_address(place: Place, proxy: Proxy, odd: str) -> None:
    keys = [f"{place.root}1/{odd}", f"{place.root}1/plain+ 한글"]
    asked: list[tuple[str, str, bytes]] = []

    def fault(method: str, path: str, body: bytes) -> Any:
        asked.append((method, path, body))
        if method == "GET" and "versions" in path:
            done = any(m in ("POST", "DELETE") for m, _, _ in asked)
            return 200, XML, listing([] if done else keys)
        if method in ("POST", "DELETE"):
            return (204, {}, b"") if method == "DELETE" else (200, XML, b"<DeleteResult></DeleteResult>")
        return None

    proxy.fault = fault
    processor = place.processor(url=proxy.url)
    items = located(processor, "1")
    assert items[0].locator["versions"] == 2
    assert erase(processor, items)[1][0].outcome is Outcome.CONFIRMED_ABSENT
    (alone,) = [path for method, path, _ in asked if method == "DELETE"]
    assert unquote(urlsplit(alone).path) == f"/live/{keys[0]}"
    assert "versionId=v1" in alone
    (together,) = [body.decode() for method, _, body in asked if method == "POST"]
    assert keys[1] in together and odd not in together


def test_an_upload_whose_key_breaks_the_listing_is_asked_for_encoded_and_aborted(place: Place, proxy: Proxy) -> None:
    key = f"{place.root}1/a\x01b+c d"
    gone: list[str] = []

    def fault(method: str, path: str, _body: bytes) -> Any:
        if method == "DELETE":
            gone.append(path)
            return 204, {}, b""
        if method != "GET" or "uploads" not in path:
            return None
        encoded = "encoding-type=url" in path
        shown = quote_plus(key) if encoded else f"{place.root}1/a&#x1;b+c d"
        row = "" if gone else f"<Upload><Key>{shown}</Key><UploadId>u1</UploadId></Upload>"
        said = "<EncodingType>url</EncodingType>" if encoded else ""
        return 200, XML, (
            f"<ListMultipartUploadsResult xmlns='http://s3.amazonaws.com/doc/2006-03-01/'><Bucket>live</Bucket>{said}"
            f"<IsTruncated>false</IsTruncated>{row}</ListMultipartUploadsResult>"
        ).encode()  # fmt: skip

    proxy.fault = fault
    processor = place.processor(url=proxy.url)
    items = located(processor, "1")
    assert items[0].locator["uploads"] == 1
    assert erase(processor, items)[1][0].outcome is Outcome.CONFIRMED_ABSENT
    assert [unquote(urlsplit(p).path) for p in gone] == [f"/live/{key}"]


def test_a_replica_in_another_account_is_reached_by_its_own_connection(s3: S3Server, proxy: Proxy) -> None:
    s3.create_bucket("replica")
    first, second = Place(s3), Place(s3, "replica")
    for at in (first, second):
        at.put("1/a", b"x")
    main = s3.connection("s3", "eraser")
    other = replace(s3.connection("s3", "admin"), name="s3_replica", extra={**main.extra, "endpoint_url": proxy.url})
    settings = {"places": [*first.settings["places"], {**second.settings["places"][0], "connection": "s3_replica"}]}
    processor = Processor(Site(main, settings, AS_OF, connect={"s3_replica": other}.__getitem__))
    _, read = erase(processor, located(processor, "1"))
    assert read[0].outcome is Outcome.CONFIRMED_ABSENT
    assert first.stored() == second.stored() == {}
    assert proxy.seen and all("/replica" in r for r in proxy.seen)


@pytest.mark.parametrize(
    "bucket", ["arn:aws:s3:ap-northeast-2:1:accesspoint/x", "live-abc-s3alias", "live/../archive", "한글", "Live"]
)
def test_what_may_stand_before_another_bucket_is_refused(s3: S3Server, bucket: str) -> None:
    with pytest.raises(ConfigurationError, match="plain name of a bucket"):
        Processor(Site(s3.connection("s3", "eraser"), {"places": [{"bucket": bucket}]}, AS_OF))


@pytest.mark.parametrize(("status", "code"), [(301, "PermanentRedirect"), (400, "AuthorizationHeaderMalformed")])
def test_a_bucket_in_another_region_is_for_whoever_configures_it(
    place: Place, proxy: Proxy, status: int, code: str
) -> None:
    proxy.fault = lambda method, _path, _body: error(status, code)
    with pytest.raises(ConfigurationError, match="another region"):
        place.processor(url=proxy.url).locate([subject("1", dataset="live_objects")])


def test_a_wait_given_as_a_date_is_passed_on(place: Place, proxy: Proxy) -> None:
    moment = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    answer = error(503, "SlowDown")
    proxy.fault = lambda *_: (answer[0], {**answer[1], "Retry-After": moment}, answer[2])
    with pytest.raises(RateLimited) as caught:
        place.processor(url=proxy.url).locate([subject("1", dataset="live_objects")])
    assert 3500 < caught.value.retry_after <= 3600


def test_the_request_id_is_kept_and_the_message_is_not(place: Place, proxy: Proxy) -> None:
    answer = error(403, "AccessDenied")
    proxy.fault = lambda *_: (answer[0], {**answer[1], "x-amz-request-id": "0A49CE4060975EAC"}, answer[2])
    with pytest.raises(Refused) as caught:
        place.processor(url=proxy.url).check()
    assert caught.value.request_id == "0A49CE4060975EAC"
    assert "secret-key-name" not in str(caught.value)
