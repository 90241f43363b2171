"""Packing on a real S3 server: one object per law and half-week, proven before anything counts as archived."""

from __future__ import annotations

import io
import json
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import IO, Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from sqlalchemy import Engine, text

from include.archive import packing
from include.archive.bodies import decrypt, lines
from include.archive.objects import Archive
from include.archive.rows import ArchivedRow
from include.archive.staging import ready, stage
from include.archive.store import ArchiveStore, Head, Plan
from include.connections import Connection, s3_client
from include.errors import ArchiveError, ArchiveUnreachable, ConfigurationError, Unreachable
from include.keys import KmsWrapper
from include.sandbox.servers import S3Server, free_ports
from tests.archive.conftest import TODAY, Desk, payment, person, short


def opened(desk: Desk, object_key: str) -> dict[str, list[ArchivedRow]]:
    """Decrypt one object with the keys in the database."""
    (row,) = [r for r in desk.rows("archive_object") if r.object_key == object_key]
    wrapped = {k.archive_tag: k.wrapped_key for k in desk.rows("archive_key") if k.object_key == object_key}
    read = lines(desk.store, object_key, row.sha256)
    assert read is not None
    return {line.archive_tag: decrypt(line, object_key, wrapped[line.archive_tag], desk.keys) for line in read}


def test_a_packed_group_is_locked_checked_and_complete(desk: Desk) -> None:
    ids = [desk.stage(f"a{n}", payment(n), payment(n, source_id=f"second-{n}"), terms_of=short(3600)) for n in range(3)]
    report = desk.pack()
    (row,) = desk.rows("archive_object")
    head = desk.store.head(row.object_key)
    assert (report.objects, report.rows, report.subjects) == (1, 6, 3)
    assert row.object_key.startswith("archive/R-02i/2026-03-04/")
    assert row.state == "checked"
    assert head is not None
    assert (head.sha256, head.mode, head.storage_class) == (row.sha256, "GOVERNANCE", "GLACIER_IR")
    assert head.retain_until == row.retain_until
    contents = opened(desk, row.object_key)
    assert {tag: len(rows) for tag, rows in contents.items()} == {desk.keys.tag(f"a{n}"): 2 for n in range(3)}
    assert contents[desk.keys.tag("a1")][0].items["name"] == "Sample Person 0001"
    assert sorted(desk.archived) == sorted(ids)
    assert desk.events() == ["archive_written"]
    assert {(r.disposal_id, r.object_key) for r in desk.rows("archive_link")} == {(i, row.object_key) for i in ids}
    assert desk.count("archive_row") == desk.count("archive_wait") == 0


def test_nothing_that_a_law_lists_is_lost_and_nothing_else_is_kept(desk: Desk) -> None:
    for n in range(60):
        kind = "business" if n % 3 == 0 else "individual"
        desk.stage(f"a{n}", payment(n), subject_type=kind, consumer_like=n % 2 == 0)
    desk.pack()
    kept: dict[tuple[str, str], dict[str, Any]] = {}
    for row in desk.rows("archive_object"):
        for tag, rows in opened(desk, row.object_key).items():
            kept |= {(tag, r.rule_id): dict(r.items) for r in rows}
    expected = {}
    for n in range(60):
        business = n % 3 == 0
        rules = ["R-02b" if business else "R-02i", *(["R-04"] if not business or n % 2 == 0 else [])]
        for rule_id in rules:
            listed = desk.schedule.kept_items(rule_id, "business" if business else "individual")
            source = {k: str(v) if isinstance(v, date) else v for k, v in person(n).items()}
            expected[desk.keys.tag(f"a{n}"), rule_id] = {k: source[k] for k in listed if k in source}
    assert kept == expected


@pytest.mark.parametrize("subjects", [5, 50])
def test_objects_are_bounded_by_laws_and_half_weeks_not_by_people(desk: Desk, subjects: int) -> None:
    for n in range(subjects):
        for rule_id in ("R-02i", "R-04"):
            day = TODAY + timedelta(days=n % 5)  # Monday to Friday: two half-weeks
            desk.stage(f"a{n}", payment(n), terms_of=short(3600, last_day=day, rule_id=rule_id))
    assert desk.pack().objects == 4


def test_the_bytes_in_the_bucket_say_nothing(desk: Desk, s3: S3Server) -> None:
    desk.stage("account-0042", payment(42), terms_of=short(3600))
    (key,) = desk.pack().keys
    admin = s3_client(s3.connection("admin", "admin"))
    answer = admin.get_object(Bucket="archive", Key=key)
    body = answer["Body"].read() + key.encode() + json.dumps(answer["Metadata"]).encode()
    said = [*person(42).values(), "account-0042", "pay-42"]
    assert not [v for v in said if len(str(v)) > 4 and str(v).encode() in body]
    assert set(json.loads(body.split(b"\n")[0])) == {"archive_tag", "ciphertext", "nonce"}
    assert not [k.wrapped_key for k in desk.rows("archive_key") if k.wrapped_key in body]


def test_the_erasing_identity_can_neither_read_nor_delete_the_archive(desk: Desk, s3: S3Server) -> None:
    desk.stage("a1", payment(1), terms_of=short(3600))
    (key,) = desk.pack().keys
    eraser = s3_client(s3.connection("s3", "eraser"))
    for call in (eraser.get_object, eraser.delete_object):
        with pytest.raises(ClientError, match="AccessDenied"):
            call(Bucket="archive", Key=key)


def test_a_subjects_key_does_not_open_anothers_line(desk: Desk) -> None:
    for n in (1, 2):
        desk.stage(f"a{n}", payment(n), terms_of=short(3600))
    (key,) = desk.pack().keys
    wrapped = {k.archive_tag: k.wrapped_key for k in desk.rows("archive_key")}
    first = next(iter(lines(desk.store, key, desk.rows("archive_object")[0].sha256) or ()))
    other = next(w for tag, w in wrapped.items() if tag != first.archive_tag)
    with pytest.raises(ConfigurationError, match="does not open"):
        decrypt(first, key, other, desk.keys)


def test_a_second_extraction_after_packing_adds_nothing_and_waits_for_nothing(desk: Desk) -> None:
    terms = short(3600)
    desk.stage("a1", payment(1), terms_of=terms)
    desk.pack()
    again = desk.stage("a1", payment(1), terms_of=terms)
    assert desk.pack().objects == 0
    with desk.engine.connect() as connection:
        assert ready(connection, [again]) == {again}
    assert again in {r.disposal_id for r in desk.rows("archive_link")}


def test_a_source_that_changed_after_packing_is_archived_anew(desk: Desk) -> None:
    terms = short(3600)
    desk.stage("a1", payment(1), terms_of=terms)
    desk.pack()
    desk.stage("a1", payment(1, **{"fee.received": 7}), terms_of=terms)
    (key,) = desk.pack().keys
    assert opened(desk, key)[desk.keys.tag("a1")][0].items["fee.received"] == 7


def test_a_quiet_night_does_not_touch_the_bucket(desk: Desk) -> None:
    closed = ArchiveStore.of(_nowhere())
    assert desk.pack(store=closed).objects == 0


class _Saboteur(ArchiveStore):
    """A store on the real bucket that does something else at the moment of writing."""

    def __init__(self, desk: Desk, act: Callable[[_Saboteur, Plan, IO[bytes]], Head]) -> None:
        super().__init__(desk.store._client, desk.store.bucket)
        self._act = act

    def write(self, plan: Plan, body: IO[bytes]) -> Head:
        return self._act(self, plan, body)

    def honest(self, plan: Plan, body: IO[bytes]) -> Head:
        return super().write(plan, body)


def _die_before(store: _Saboteur, plan: Plan, body: IO[bytes]) -> Head:
    raise KeyboardInterrupt


def _die_after(store: _Saboteur, plan: Plan, body: IO[bytes]) -> Head:
    store.honest(plan, body)
    raise KeyboardInterrupt


def _other_bytes(store: _Saboteur, plan: Plan, body: IO[bytes]) -> Head:
    store._client.put_object(Bucket=store.bucket, Key=plan.key, Body=b"half of it")
    return store.honest(plan, body)


def _short_lock(store: _Saboteur, plan: Plan, body: IO[bytes]) -> Head:
    early = datetime.now(UTC) + timedelta(seconds=2)
    store.honest(replace(plan, retain_until=early.replace(microsecond=0)), body)
    return store.prove(plan)


def _no_lock(store: _Saboteur, plan: Plan, body: IO[bytes]) -> Head:
    store.honest(replace(plan, retain_until=None), body)
    return store.prove(plan)


def _wrong_digest(store: _Saboteur, plan: Plan, body: IO[bytes]) -> Head:
    return store.honest(plan, io.BytesIO(body.read() + b"x"))


@pytest.mark.parametrize(("crash", "settled"), [(_die_before, {"abandoned", "checked"}), (_die_after, {"checked"})])
def test_a_crash_around_the_upload_loses_and_doubles_nothing(
    desk: Desk, crash: Callable[..., Head], settled: set[str]
) -> None:
    disposal_id = desk.stage("a1", payment(1), payment(2), terms_of=short(3600))
    with pytest.raises(KeyboardInterrupt):
        desk.pack(store=_Saboteur(desk, crash))
    with desk.engine.connect() as connection:
        assert ready(connection, [disposal_id]) == set()
    desk.pack()
    checked = [r for r in desk.rows("archive_object") if r.state == "checked"]
    assert {r.state for r in desk.rows("archive_object")} == settled
    assert [len(rows) for r in checked for rows in opened(desk, r.object_key).values()] == [2]
    assert desk.archived == [disposal_id]
    assert desk.count("archive_row") == 0


@pytest.mark.parametrize(
    ("sabotage", "cause"),
    [
        (_other_bytes, "SHA-256"),
        (_wrong_digest, "BadDigest"),
        (_short_lock, "too short"),
        (_no_lock, "lock is missing"),
    ],
)
def test_an_unproven_object_marks_nothing_archived_and_the_next_run_packs_anew(
    desk: Desk, sabotage: Callable[..., Head], cause: str
) -> None:
    disposal_id = desk.stage("a1", payment(1), terms_of=short(3600))
    with pytest.raises(ArchiveError, match=cause):
        desk.pack(store=_Saboteur(desk, sabotage))
    with desk.engine.connect() as connection:
        assert ready(connection, [disposal_id]) == set()
    assert desk.events() == desk.archived == []
    desk.pack()
    assert desk.archived == [disposal_id]
    assert desk.events() == ["archive_abandoned", "archive_written"]
    (checked,) = [r.object_key for r in desk.rows("archive_object") if r.state == "checked"]
    assert {k.object_key for k in desk.rows("archive_key")} == {checked}


def test_one_group_that_cannot_be_proven_does_not_stop_the_others(desk: Desk) -> None:
    bad = desk.stage("a1", payment(1), terms_of=short(3600, rule_id="R-02i"))
    good = desk.stage("a2", payment(2), terms_of=short(3600, rule_id="R-04"))

    def only_tax(store: _Saboteur, plan: Plan, body: IO[bytes]) -> Head:
        return (_no_lock if "R-02i" in plan.key else _Saboteur.honest)(store, plan, body)

    with pytest.raises(ArchiveError, match="1 of 2 archive objects"):
        desk.pack(store=_Saboteur(desk, only_tax))
    assert desk.archived == [good]
    with desk.engine.connect() as connection:
        assert ready(connection, [bad, good]) == {good}


def test_a_lost_reply_is_settled_by_looking(desk: Desk) -> None:
    desk.stage("a1", payment(1), terms_of=short(3600))
    store = ArchiveStore(_LosesReplies(desk.store._client), "archive")
    assert desk.pack(store=store).objects == 1
    assert len(desk.store.versions(desk.rows("archive_object")[0].object_key)) == 1


class _LosesReplies:
    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def put_object(self, **given: Any) -> None:
        self._client.put_object(**given)
        raise EndpointConnectionError(endpoint_url="http://127.0.0.1")


def test_a_row_that_changes_while_its_object_is_written_is_packed_again(desk: Desk) -> None:
    terms = short(3600)
    disposal_id = desk.stage("a1", payment(1), terms_of=terms)

    def restage(store: _Saboteur, plan: Plan, body: IO[bytes]) -> Head:
        desk.stage("a1", payment(1, **{"fee.received": 9}), disposal_id=disposal_id, terms_of=terms)
        return store.honest(plan, body)

    desk.pack(store=_Saboteur(desk, restage))
    assert desk.archived == []
    (key,) = desk.pack().keys
    assert desk.archived == [disposal_id]
    assert opened(desk, key)[desk.keys.tag("a1")][0].items["fee.received"] == 9


def test_packing_and_staging_never_wait_for_each_other_in_a_circle(desk: Desk) -> None:
    terms = short(3600)
    digest = {n: desk.keys.record("stripe", "payment", payment(n).source_id) for n in (1, 2)}
    low, high = sorted(digest, key=lambda n: digest[n])
    ids = {n: desk.stage(f"a{n}", payment(n), terms_of=terms) for n in (high, low)}  # the higher one lies first

    def again(connection: Any, n: int) -> None:
        stage(
            connection, disposal_id=ids[n], account_id=f"a{n}", subject_type="individual", consumer_like=False,
            records=[payment(n, **{"fee.received": 9})], schedule=desk.schedule, as_of=TODAY, keys=desk.keys,
            terms_of=terms,
        )  # fmt: skip

    with ThreadPoolExecutor(1) as pool:
        with desk.engine.begin() as connection:
            again(connection, low)
            # What a packing does once it is past the gate that staging holds.
            archive = Archive(
                desk.engine, desk.store, desk.keys, TODAY, datetime.now(UTC), desk.record, lambda _c, _ids: None
            )
            packed = pool.submit(packing._pack_some, archive, [("R-02i", date(2026, 3, 4))])
            _until_it_waits(desk.engine)
            again(connection, high)
        assert [row.rows for row in packed.result(30)] == [2]
    assert desk.count("archive_row") == desk.count("archive_wait") == 0


def _until_it_waits(engine: Engine) -> None:
    """Return once some transaction waits for a row another one holds."""
    waiting = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    ends = time.monotonic() + 20
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        while not connection.scalar(waiting):
            assert time.monotonic() < ends, "nothing waits"
            time.sleep(0.02)


def _nowhere() -> Connection:
    return Connection(
        name="archive_store",
        login="archiver",
        password="x",
        extra={"endpoint_url": f"http://127.0.0.1:{free_ports(1)[0]}", "bucket": "archive"},
    )


def test_an_unreachable_store_keeps_everything_waiting(desk: Desk) -> None:
    disposal_id = desk.stage("a1", payment(1), terms_of=short(3600))
    with pytest.raises(ArchiveUnreachable, match="could not read bucket versioning"):
        desk.pack(store=ArchiveStore.of(_nowhere()))
    with desk.engine.connect() as connection:
        assert ready(connection, [disposal_id]) == set()


def test_a_store_that_goes_down_is_asked_three_times_and_the_next_run_packs_everything_once(desk: Desk) -> None:
    days = [TODAY + timedelta(days=7 * n) for n in range(6)]
    ids = [desk.stage(f"a{n}", payment(n), terms_of=short(3600, last_day=day)) for n, day in enumerate(days)]
    asked: list[str] = []

    def down(store: _Saboteur, plan: Plan, body: IO[bytes]) -> Head:
        asked.append(plan.key)
        if len(asked) == 1:
            return store.honest(plan, body)
        raise ArchiveUnreachable("the store does not answer")

    with pytest.raises(ArchiveUnreachable, match="does not answer"):
        desk.pack(store=_Saboteur(desk, down))
    assert len(asked) == 4
    assert len(desk.archived) == 1, "what was proven before counts"
    desk.pack()
    assert sorted(desk.archived) == sorted(ids)
    states = Counter(r.state for r in desk.rows("archive_object"))
    assert states == {"checked": 6, "abandoned": 5}


def test_a_bucket_without_object_lock_is_refused(desk: Desk, s3: S3Server) -> None:
    desk.stage("a1", payment(1), terms_of=short(3600))
    store = ArchiveStore.of(s3.connection("archive_store", "admin", bucket="live"))
    with pytest.raises(ArchiveError, match="bucket live: Object Lock is not enabled"):
        desk.pack(store=store)


def test_a_bucket_without_versioning_is_refused(desk: Desk, s3: S3Server) -> None:
    admin = s3_client(s3.connection("s3", "admin"))
    admin.create_bucket(Bucket="plain")
    desk.stage("a1", payment(1), terms_of=short(3600))
    with pytest.raises(ArchiveError, match="versioning is not enabled"):
        desk.pack(store=ArchiveStore.of(s3.connection("archive_store", "admin", bucket="plain")))


def test_a_clock_that_is_wrong_is_named(desk: Desk) -> None:
    desk.stage("a1", payment(1), terms_of=short(36000))
    with pytest.raises(ArchiveError, match="clock and ours differ by"):
        desk.pack(now=datetime.now(UTC) + timedelta(hours=1))


def test_a_key_service_that_is_down_leaves_rows_and_sources_alone(desk: Desk) -> None:
    desk.stage("a1", payment(1), terms_of=short(3600))
    honest = desk.keys

    def down() -> bytes:
        raise Unreachable("kms", "EndpointConnectionError")

    desk.keys = replace(honest, wrapper=KmsWrapper(down))
    with pytest.raises(Unreachable, match="kms"):
        desk.pack()
    desk.keys = honest
    assert desk.count("archive_object") == 0
    assert desk.pack().objects == 1


def test_a_row_whose_basis_ended_before_it_was_packed_is_dropped(desk: Desk) -> None:
    disposal_id = desk.stage("a1", payment(1), terms_of=short(3600))
    report = desk.pack(as_of=TODAY + timedelta(days=1))
    assert (report.dropped, report.objects) == (1, 0)
    with desk.engine.connect() as connection:
        assert ready(connection, [disposal_id]) == {disposal_id}


def test_a_group_larger_than_a_page_is_streamed_whole(desk: Desk) -> None:
    for n in range(1, 40):
        desk.stage(f"a{n}", *(payment(n, source_id=f"{n}-{m}") for m in range(40)), terms_of=short(3600))
    report = desk.pack()
    assert (report.objects, report.rows, report.subjects) == (1, 1560, 39)
    assert sum(len(rows) for rows in opened(desk, report.keys[0]).values()) == 1560
