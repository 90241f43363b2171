"""Loss and restore at awkward moments: what is alive stays readable, what was destroyed comes back from nowhere."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import delete, func, insert, select

from include.archive import backups, recovery
from include.archive.erasure import crypto_erase
from include.archive.objects import ONE_PACKER
from include.archive.store import ArchiveStore
from include.database import (
    archive_key,
    archive_key_erasure,
    archive_link,
    archive_object,
    archive_record,
    archive_row,
    archive_wait,
)
from include.errors import ArchiveError
from include.sandbox.servers import S3Server
from tests.archive.conftest import TODAY, Desk, payment, short
from tests.archive.test_backups import kept_of, lose, shared, two
from tests.archive.test_disposal import names_in
from tests.conftest import s3_server


@pytest.fixture
def s3() -> Iterator[S3Server]:
    """A server of its own for each test: they lose, hide and damage what lies there."""
    with s3_server() as server:
        yield server


class Watched(ArchiveStore):
    """A store that does `before` each time a call of one name begins."""

    def __init__(self, store: ArchiveStore, name: str, before: Callable[..., Any]) -> None:
        super().__init__(store._client, store.bucket)
        honest = getattr(super(), name)

        def watched(*args: Any, **given: Any) -> Any:
            before(*args)
            return honest(*args, **given)

        setattr(self, name, watched)


def hide(desk: Desk, key: str) -> None:
    """Delete as a console does: a marker on top, the version stays."""
    desk.store._client.delete_object(Bucket="archive", Key=key)


def erase(desk: Desk, account_id: str, store: ArchiveStore | None = None) -> int:
    return crypto_erase(desk.engine, store or desk.store, account_id, keys=desk.keys, as_of=TODAY, record=desk.record)


def recover(desk: Desk) -> recovery.Recovery:
    return recovery.recover(desk.engine, desk.store, desk.keys)


def test_nothing_is_packed_destroyed_or_erased_while_keys_are_recovered(desk: Desk) -> None:
    two(desk)
    free = []

    def look(*_: Any) -> None:
        with desk.engine.connect() as connection:
            free.append(connection.scalar(select(func.pg_try_advisory_lock(ONE_PACKER))))

    store = Watched(desk.store, "keys", look)
    recovery.recover(desk.engine, store, desk.keys)
    assert free
    assert not any(free)


def test_a_bucket_that_is_empty_costs_no_key(desk: Desk, s3: S3Server) -> None:
    two(desk)
    s3.create_bucket("elsewhere", lock=True)
    with desk.engine.begin() as connection:
        connection.execute(archive_object.update().values(bucket="elsewhere"))
    with pytest.raises(ArchiveError, match="right bucket"):
        recovery.recover(desk.engine, ArchiveStore.of(s3.connection("s3", "admin", bucket="elsewhere")), desk.keys)
    assert desk.count("archive_key") == 2


def test_objects_of_another_bucket_keep_their_keys(desk: Desk) -> None:
    two(desk)
    with desk.engine.begin() as connection:
        connection.execute(archive_object.update().values(bucket="elsewhere"))
    assert recover(desk).dropped == 0
    assert desk.count("archive_key") == 2


def test_a_hidden_backup_is_written_anew_by_the_daily_run(desk: Desk) -> None:
    key = two(desk)
    hide(desk, desk.keys_at(key))
    assert [row.object_key for row in backups.unsaved(desk.engine, desk.store)] == [key]
    assert desk.lapse(as_of=TODAY).saved == 1
    assert kept_of(desk, key) == {"a0", "a1"}
    assert len(desk.store.versions(desk.keys_at(key))) == 1


def test_a_hidden_backup_is_named_where_the_database_is_lost_and_comes_back_when_it_is_shown(desk: Desk) -> None:
    key = two(desk)
    place = desk.keys_at(key)
    hide(desk, place)
    lose(desk)
    with pytest.raises(ArchiveError, match=f"{place}: a delete marker hides it"):
        recover(desk)
    (marker,) = desk.store._client.list_object_versions(Bucket="archive", Prefix=place)["DeleteMarkers"]
    desk.store._client.delete_object(Bucket="archive", Key=place, VersionId=marker["VersionId"])
    assert recover(desk).objects == 1
    assert names_in(desk, key) == {"Sample Person 0000", "Sample Person 0001"}


def test_an_object_that_is_not_as_written_keeps_no_other_one_away(desk: Desk) -> None:
    first, other = shared(desk)
    body = desk.store._client.get_object(Bucket="archive", Key=other)["Body"].read()
    desk.store._client.put_object(Bucket="archive", Key=other, Body=body[:-1], ChecksumAlgorithm="SHA256")
    lose(desk)
    with pytest.raises(ArchiveError, match=f"1 objects with 2 keys are back.*1 key backups.*{other}"):
        recover(desk)
    assert names_in(desk, first) == {"Sample Person 0000", "Sample Person 0001"}


def test_an_object_abandoned_before_a_restore_is_abandoned_again_and_its_rows_are_packed_anew(desk: Desk) -> None:
    """Its bytes may be right after all (an upload that landed late); its keys are in the restored database alone."""
    for n in range(2):
        desk.stage(f"a{n}", payment(n), terms_of=short(3600))
        desk.stage(f"a{n}", payment(n), terms_of=short(3600, rule_id="R-04"))
    proofs = itertools.count(1)
    with pytest.raises(RuntimeError):
        desk.pack(store=Watched(desk.store, "prove", lambda *_: next(proofs) == 2 and _die()))
    writing = {row.rule_id: row for row in desk.rows("archive_object")}
    assert {row.state for row in writing.values()} == {"writing"}
    assert all(desk.store.head(row.object_key) for row in writing.values())
    backups.forget(desk.store, desk.keys, writing["R-02i"])  # the database of today knows nothing of it
    report = desk.pack()
    assert (report.resumed, report.abandoned, report.objects) == (1, 1, 1)
    checked = [r for r in desk.rows("archive_object") if r.state == "checked"]
    assert sorted(r.rule_id for r in checked) == ["R-02i", "R-04"]
    assert all(kept_of(desk, row.object_key) == {"a0", "a1"} for row in checked)


def test_an_object_whose_whole_backup_went_before_a_restore_is_abandoned_again(desk: Desk) -> None:
    desk.stage("a0", payment(0), terms_of=short(3600))
    with pytest.raises(RuntimeError):
        desk.pack(store=Watched(desk.store, "prove", _die))
    (writing,) = desk.rows("archive_object")
    backups.forget(desk.store, desk.keys, writing)
    assert desk.store.versions(writing.keys_at) == []
    report = desk.pack()
    assert (report.resumed, report.abandoned, report.objects) == (0, 1, 1)
    assert desk.store.versions(writing.keys_at) == []


def test_a_hidden_backup_stops_whoever_would_rewrite_or_remove_it(desk: Desk) -> None:
    first, _ = shared(desk)
    place = desk.keys_at(first)
    row = next(r for r in desk.rows("archive_object") if r.object_key == first)
    hide(desk, place)
    before = desk.store.versions(place)
    for act in (
        lambda: backups.forget(desk.store, desk.keys, row),
        lambda: backups.drop(desk.store, desk.keys, place, desk.keys.tag("a0")),
        lambda: backups.clean(desk.store, desk.keys, place),
        lambda: backups.destroyed(desk.store, desk.keys, row, desk.keys.tag("a0")),
    ):
        with pytest.raises(ArchiveError, match="a delete marker hides it"):
            act()
    assert desk.store.versions(place) == before


def test_a_hidden_object_is_named_where_the_database_is_lost(desk: Desk) -> None:
    key = two(desk)
    hide(desk, key)
    lose(desk)
    with pytest.raises(ArchiveError, match=f"{key}: a delete marker hides it"):
        recover(desk)


def test_what_was_recovered_is_told_also_where_something_could_not_be(desk: Desk) -> None:
    first, other = shared(desk)
    hide(desk, other)
    lose(desk)
    heard: list[recovery.Recovery] = []
    with pytest.raises(ArchiveError):
        recovery.recover(desk.engine, desk.store, desk.keys, heard.append)
    assert [(r.objects, r.keys) for r in heard] == [(1, 2)]
    assert names_in(desk, first) == {"Sample Person 0000", "Sample Person 0001"}


def test_what_another_one_wrote_after_our_proof_is_not_removed_with_the_older_versions(desk: Desk) -> None:
    place = "keys/contested.jsonl"
    desk.store.create(place, b"1")
    _, etag = desk.store.load(place) or (b"", "")

    def overtaken(key: str, _versions: Any) -> None:
        _, seen = desk.store.load(key) or (b"", "")
        desk.store._client.put_object(Bucket="archive", Key=key, Body=b"3", IfMatch=seen)

    with pytest.raises(ArchiveError, match="still listed"):
        Watched(desk.store, "_delete", overtaken).save(place, b"2", etag)
    assert (desk.store.load(place) or (b"",))[0] == b"3"


def test_what_was_read_before_somebody_else_wrote_is_not_written_over_it(desk: Desk) -> None:
    first, other = shared(desk)
    row = next(r for r in desk.rows("archive_object") if r.object_key == first)
    done = []

    def erased_meanwhile(*_: Any) -> None:
        if not done:
            done.append(erase(desk, "a0"))

    store = Watched(desk.store, "save", erased_meanwhile)
    with pytest.raises(ArchiveError, match="not there as it was written"):
        backups.forget(store, desk.keys, row)
    assert done == [2]
    assert kept_of(desk, other) == {"a1"}
    backups.forget(store, desk.keys, row)
    assert kept_of(desk, other) == {"a1"}


def test_a_key_destroyed_after_a_dump_leaves_an_object_that_the_dump_calls_writing(desk: Desk) -> None:
    """With the rows the dump still has of it: they would be packed again, or be called archived with no key."""
    for n in range(2):
        desk.stage(f"a{n}", payment(n), terms_of=short(3600))
    with pytest.raises(RuntimeError):
        desk.pack(store=Watched(desk.store, "prove", _die))
    dump = {
        t: [r._asdict() for r in desk.rows(t.name)] for t in (archive_object, archive_key, archive_row, archive_wait)
    }
    assert desk.pack().resumed == 1
    desk.close()
    assert erase(desk, "a0") == 1
    with desk.engine.begin() as connection:
        for table in (archive_link, archive_record, archive_key_erasure, *reversed(dump)):
            connection.execute(delete(table))
        for table, rows in dump.items():
            connection.execute(insert(table), rows)
    assert recover(desk).dropped == 1
    only = {desk.keys.tag("a1")}
    assert {r.archive_tag for r in desk.rows("archive_row")} == only
    assert desk.count("archive_wait") == 1
    assert desk.pack().resumed == 1
    assert {r.archive_tag for r in desk.rows("archive_record")} == only
    (key,) = [r.object_key for r in desk.rows("archive_object")]
    assert names_in(desk, key) == {"Sample Person 0001"}


def test_an_older_version_that_a_killed_erasure_left_goes_with_the_recovery(desk: Desk) -> None:
    key = two(desk)
    store = Watched(desk.store, "_delete", _die)
    with pytest.raises(RuntimeError):
        erase(desk, "a0", store)
    assert len(desk.store.versions(desk.keys_at(key))) == 2
    assert recover(desk).dropped == 1
    assert len(desk.store.versions(desk.keys_at(key))) == 1
    assert kept_of(desk, key) == {"a1"}


def _die(*_: Any) -> None:
    raise RuntimeError("killed")
