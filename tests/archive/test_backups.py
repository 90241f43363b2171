"""A live key survives the loss of the database; a destroyed one comes back from nowhere."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import delete, insert
from sqlalchemy.dialects.postgresql import insert as pg_insert

from include.archive import backups, recovery
from include.archive.erasure import crypto_erase
from include.archive.retrieval import retrieve
from include.archive.store import ArchiveStore
from include.database import (
    archive_key,
    archive_key_erasure,
    archive_link,
    archive_object,
    archive_record,
    disposal,
    global_stop,
    hold,
)
from include.errors import ArchiveError, DecisionRefused
from include.keys import LocalWrapper, seal_bytes
from include.sandbox.servers import S3Server
from tests.archive.conftest import TODAY, Desk, payment, short, wait_until
from tests.archive.test_disposal import LATER, names_in
from tests.conftest import s3_server


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    """A server of its own: `recover` reads every object there is, and other tests leave some that are unfit."""
    with s3_server() as server:
        yield server


FACTS_BEFORE = {
    "object_key", "bucket", "rule_id", "window_end", "rows", "subjects", "sha256", "retain_until", "last_day",
    "destroy_by", "storage_class", "legal_hold", "copied_from",
}  # fmt: skip


def lose(desk: Desk) -> None:
    """Forget what our database knows about packed objects."""
    with desk.engine.begin() as connection:
        for table in (archive_link, archive_record, archive_key, archive_key_erasure, archive_object):
            connection.execute(delete(table))


def two(desk: Desk, seconds: float = 3600) -> str:
    for n in range(2):
        desk.stage(f"a{n}", payment(n), terms_of=short(seconds))
    (key,) = desk.pack().keys
    desk.close()
    return key


def test_live_keys_survive_the_loss_of_the_database(desk: Desk) -> None:
    key = two(desk)
    before = [r._asdict() for r in desk.rows("archive_object")]
    lose(desk)
    report = recovery.recover(desk.engine, desk.store, desk.keys)
    assert report.objects >= 1
    assert names_in(desk, key) == {"Sample Person 0000", "Sample Person 0001"}
    (after,) = [r._asdict() for r in desk.rows("archive_object") if r.object_key == key]
    same = set(before[0]) - {"written_at", "checked_at"}
    assert {n: after[n] for n in same} == {n: before[0][n] for n in same}
    asked: dict[str, Any] = {"purpose": "tax_inspection", "reader": "e-1", "role": "compliance", "approver": "e-2"}
    found = retrieve(desk.engine, desk.store, "a1", as_of=TODAY, keys=desk.keys, record=desk.record, **asked)
    assert {r.items["name"] for r in found.rows} == {"Sample Person 0001"}
    assert recovery.recover(desk.engine, desk.store, desk.keys).objects == 0


def test_a_destroyed_key_does_not_come_back(desk: Desk) -> None:
    key = two(desk)
    stale = [r._asdict() for r in desk.rows("archive_key")]
    crypto_erase(desk.engine, desk.store, "a0", keys=desk.keys, as_of=TODAY, record=desk.record)
    assert len(desk.store.versions(desk.keys_at(key))) == 1
    with desk.engine.begin() as connection:  # a database restored from an older backup knows the key again
        connection.execute(delete(archive_key))
        connection.execute(insert(archive_key), stale)
    assert recovery.recover(desk.engine, desk.store, desk.keys).dropped == 1
    assert names_in(desk, key) == {"Sample Person 0001"}


def test_the_backup_goes_with_its_group(desk: Desk) -> None:
    key = two(desk, seconds=2)
    until = next(r.retain_until for r in desk.rows("archive_object"))
    wait_until(until)
    assert desk.lapse(as_of=LATER).destroyed == 1
    assert desk.store.versions(desk.keys_at(key)) == []


def test_a_crypto_erasure_is_confirmed_when_the_last_database_backup_has_expired(desk: Desk) -> None:
    two(desk)
    crypto_erase(desk.engine, desk.store, "a0", keys=desk.keys, as_of=TODAY, record=desk.record, key_backup_days=35)
    assert desk.events()[-2:] == ["archive_crypto_erase_attempted", "archive_crypto_erased"]
    with desk.engine.begin() as connection:
        connection.execute(archive_object.update().values(last_day=TODAY + timedelta(days=400)))
    assert desk.lapse(as_of=TODAY + timedelta(days=35)).confirmed == 0
    assert desk.lapse(as_of=TODAY + timedelta(days=36)).confirmed == 1
    assert desk.recorded[-1].event == "archive_crypto_erase_confirmed"
    assert desk.lapse(as_of=TODAY + timedelta(days=37)).confirmed == 0


def shared(desk: Desk, seconds: float = 3600) -> tuple[str, str]:
    """Pack two objects that share their backup; the first one's lock is over after `seconds`. Both know a0 and a1."""
    for n in range(2):
        desk.stage(f"a{n}", payment(n), terms_of=short(seconds))
        desk.stage(f"a{n}", payment(n), terms_of=short(3600, rule_id="R-04"))
    keys = {key.split("/")[1]: key for key in desk.pack().keys}
    desk.close()
    first, other = keys.pop("R-02i"), keys.pop("R-04")
    assert desk.keys_at(first) == desk.keys_at(other)
    return first, other


def loaded(desk: Desk, object_key: str) -> tuple[bytes, str]:
    """Return the bytes and the ETag of an object's backup."""
    found = desk.store.load(desk.keys_at(object_key))
    assert found is not None
    return found


def kept_of(desk: Desk, object_key: str) -> set[str]:
    """Return which of a0 and a1 the backup still has a key of for an object."""
    (row,) = [r for r in desk.rows("archive_object") if r.object_key == object_key]
    return {a for a in ("a0", "a1") if desk.keys.tag(a) in (desk.saved(row) or {})}


def due(desk: Desk, object_key: str) -> None:
    """Wait until an object's lock is over."""
    wait_until(next(r.retain_until for r in desk.rows("archive_object") if r.object_key == object_key))


def test_an_object_takes_its_keys_out_of_the_backup_it_shares_and_the_last_one_takes_all(desk: Desk) -> None:
    first, other = shared(desk, seconds=2)
    place = desk.keys_at(first)
    assert kept_of(desk, first) == kept_of(desk, other) == {"a0", "a1"}
    due(desk, first)
    assert desk.lapse(as_of=LATER).destroyed == 1
    assert list(backups.read(desk.store, desk.keys, place)) == [other]
    assert len(desk.store.versions(place)) == 1
    assert kept_of(desk, other) == {"a0", "a1"}
    assert names_in(desk, other) == {"Sample Person 0000", "Sample Person 0001"}
    last = next(r for r in desk.rows("archive_object") if r.object_key == other)
    backups.forget(desk.store, desk.keys, last)
    assert desk.store.versions(place) == []


def test_destroying_an_object_brings_no_key_back_that_a_restored_database_knows_again(desk: Desk) -> None:
    first, other = shared(desk, seconds=2)
    restored(desk, lambda: crypto_erase(desk.engine, desk.store, "a0", keys=desk.keys, as_of=TODAY, record=desk.record))
    assert desk.count("archive_key") == 4
    due(desk, first)
    assert desk.lapse(as_of=LATER).destroyed == 1
    assert kept_of(desk, other) == {"a1"}
    assert recovery.recover(desk.engine, desk.store, desk.keys).dropped == 1
    assert names_in(desk, other) == {"Sample Person 0001"}


def test_one_persons_erasure_brings_no_key_of_another_back_that_a_restored_database_knows_again(desk: Desk) -> None:
    key = two(desk)
    asked: dict[str, Any] = {"keys": desk.keys, "as_of": TODAY, "record": desk.record}
    restored(desk, lambda: crypto_erase(desk.engine, desk.store, "a0", **asked))
    assert crypto_erase(desk.engine, desk.store, "a1", **asked) == 1
    assert kept_of(desk, key) == set()


def test_a_key_of_a_destroyed_object_is_not_saved_again_with_those_it_was_written_with(desk: Desk) -> None:
    """After a restore, and the backup itself lost: what is written anew holds keys of objects in the bucket alone."""
    first, other = shared(desk, seconds=2)
    due(desk, first)
    restored(desk, lambda: desk.lapse(as_of=LATER))
    desk.store.destroy(desk.keys_at(first))
    assert desk.lapse(as_of=TODAY).saved == 1
    assert list(backups.read(desk.store, desk.keys, desk.keys_at(first))) == [other]
    assert recovery.recover(desk.engine, desk.store, desk.keys).dropped == 2


def test_an_older_version_that_could_not_be_removed_goes_with_the_next_run(desk: Desk) -> None:
    first, other = shared(desk, seconds=2)
    place = desk.keys_at(first)
    row = next(r for r in desk.rows("archive_object") if r.object_key == first)
    with pytest.raises(ArchiveError, match="older version"):
        backups.forget(_KeepsOldVersions(desk.store._client, "archive"), desk.keys, row)
    assert list(backups.read(desk.store, desk.keys, place)) == [other]
    assert len(desk.store.versions(place)) == 2
    due(desk, first)
    assert desk.lapse(as_of=LATER).destroyed == 1
    assert len(desk.store.versions(place)) == 1


def test_a_backup_from_when_every_object_had_its_own_opens_and_goes(desk: Desk) -> None:
    key = two(desk)
    row = next(r for r in desk.rows("archive_object") if r.object_key == key)
    place = "keys/" + key.removeprefix("archive/")
    facts = {n: v.isoformat() if isinstance(v, date) else v for n, v in row._asdict().items() if n in FACTS_BEFORE}
    wrapped = {k.archive_tag: base64.b64encode(k.wrapped_key).decode() for k in desk.rows("archive_key")}
    body = json.dumps({"object": facts, "keys": wrapped}).encode()
    sealed = seal_bytes(body, desk.keys.wrapper, f"archive-keys:{key}")
    names = ("wrapped_key", "nonce", "ciphertext")
    before = json.dumps({n: base64.b64encode(getattr(sealed, n)).decode() for n in names})
    desk.store.destroy(row.keys_at)
    desk.store.create(place, before.encode())
    with desk.engine.begin() as connection:
        connection.execute(archive_object.update().values(keys_at=place))
    lose(desk)
    assert recovery.recover(desk.engine, desk.store, desk.keys).objects >= 1
    assert names_in(desk, key) == {"Sample Person 0000", "Sample Person 0001"}
    crypto_erase(desk.engine, desk.store, "a0", keys=desk.keys, as_of=TODAY, record=desk.record)
    assert kept_of(desk, key) == {"a1"}
    (again,) = [r for r in desk.rows("archive_object") if r.object_key == key]
    backups.forget(desk.store, desk.keys, again)
    assert desk.store.versions(place) == []


@pytest.mark.parametrize(
    "damage",
    [
        lambda body: json.dumps({**body, "nonce": body["wrapped_key"][:16]}).encode(),
        lambda _body: b"", lambda _body: b"{}", lambda _body: b"[]", lambda _body: b"no json",
        lambda body: json.dumps({**body, "nonce": "?"}).encode(),
    ],
)  # fmt: skip
def test_a_damaged_backup_stops_what_needs_it_and_says_how_to_go_on(desk: Desk, damage: Any) -> None:
    key = two(desk, seconds=2)
    body, etag = loaded(desk, key)
    desk.store.save(desk.keys_at(key), damage(json.loads(body)), etag)
    due(desk, key)
    with pytest.raises(ArchiveError, match=r"delete every version of this one object"):
        desk.lapse(as_of=LATER)
    assert desk.count("archive_key") == 2
    desk.store.destroy(desk.keys_at(key))
    assert desk.lapse(as_of=LATER).destroyed == 1
    assert desk.count("archive_key") == 0


def test_a_backup_says_nothing_without_the_key_encryption_key(desk: Desk) -> None:
    key = two(desk)
    body, _ = loaded(desk, key)
    assert body
    assert desk.keys.tag("a0").encode() not in body
    other = type(desk.keys).of(LocalWrapper(b"x" * 32))
    with pytest.raises(Exception, match="does not open"):
        recovery.recover(desk.engine, desk.store, other)


def test_a_backup_that_was_lost_is_written_again_by_the_daily_run(desk: Desk) -> None:
    key = two(desk)
    desk.store.destroy(desk.keys_at(key))
    assert [row.object_key for row in backups.unsaved(desk.engine, desk.store)] == [key]
    assert desk.lapse(as_of=TODAY).saved == 1
    assert backups.unsaved(desk.engine, desk.store) == []


class _KeepsOldVersions(ArchiveStore):
    def _delete(self, key: str, versions: Any) -> None:
        pass


def test_keys_stay_accounted_for_when_an_older_backup_cannot_be_removed(desk: Desk) -> None:
    two(desk)
    store = _KeepsOldVersions(desk.store._client, "archive")
    with pytest.raises(ArchiveError, match="older version"):
        crypto_erase(desk.engine, store, "a0", keys=desk.keys, as_of=TODAY, record=desk.record)
    assert desk.count("archive_key") == 2
    assert crypto_erase(desk.engine, desk.store, "a0", keys=desk.keys, as_of=TODAY, record=desk.record) == 1
    assert desk.count("archive_key") == 1


def test_a_held_persons_keys_are_not_destroyed_early(desk: Desk) -> None:
    two(desk)
    with desk.engine.begin() as connection:
        connection.execute(
            insert(hold).values(
                hold_id=uuid4(), account_id="a0", kind="H-6", datasets=[], reason_code="court",
                placed_by="compliance:1", placed_on=TODAY, review_due=TODAY,
            )
        )  # fmt: skip
    with pytest.raises(DecisionRefused, match="hold"):
        crypto_erase(desk.engine, desk.store, "a0", keys=desk.keys, as_of=TODAY, record=desk.record)
    assert desk.count("archive_key") == 2


def test_the_global_stop_stops_the_archive_too(desk: Desk) -> None:
    key = two(desk)
    with desk.engine.begin() as connection:
        connection.execute(insert(global_stop).values(stop_id=uuid4(), reason_code="wrong_deletion", set_by="x:1"))
        connection.execute(archive_object.update().values(retain_until=datetime.now(UTC)))
    with pytest.raises(DecisionRefused, match="stop"):
        desk.lapse(as_of=LATER)
    with pytest.raises(DecisionRefused, match="stop"):
        crypto_erase(desk.engine, desk.store, "a0", keys=desk.keys, as_of=TODAY, record=desk.record)
    assert len(desk.store.versions(key)) == 1


def restored(desk: Desk, act: Any) -> None:
    """Run `act`, then put the keys, objects and records of before it back, as a restore of an older backup would."""
    tables = (archive_object, archive_key, archive_record)
    before = [[r._asdict() for r in desk.rows(t.name)] for t in tables]
    act()
    with desk.engine.begin() as connection:
        for table, rows in zip(tables, before, strict=True):
            for row in rows:
                connection.execute(pg_insert(table).values(row).on_conflict_do_nothing())
            if table is archive_object:
                for row in rows:
                    connection.execute(table.update().where(table.c.object_key == row["object_key"]).values(row))


def test_a_restored_database_does_not_bring_the_last_key_of_an_object_back(desk: Desk) -> None:
    desk.stage("a0", payment(0), terms_of=short(3600))
    (key,) = desk.pack().keys
    desk.close()
    asked: dict[str, Any] = {"purpose": "tax_inspection", "reader": "e-1", "role": "compliance", "approver": "e-2"}
    restored(desk, lambda: crypto_erase(desk.engine, desk.store, "a0", keys=desk.keys, as_of=TODAY, record=desk.record))
    assert desk.count("archive_key") == 1
    with pytest.raises(DecisionRefused, match="was destroyed"):
        retrieve(desk.engine, desk.store, "a0", as_of=TODAY, keys=desk.keys, record=desk.record, **asked)
    assert desk.lapse(as_of=TODAY).saved == 0
    assert recovery.recover(desk.engine, desk.store, desk.keys).dropped == 1
    assert not [k for k in desk.rows("archive_key") if k.object_key == key]
    lose(desk)
    assert recovery.recover(desk.engine, desk.store, desk.keys).objects >= 1
    assert not [k for k in desk.rows("archive_key") if k.object_key == key]


def test_a_record_whose_key_a_restored_database_lost_again_is_archived_again(desk: Desk) -> None:
    terms = short(3600)
    desk.stage("a0", payment(0), terms_of=terms)
    desk.pack()
    desk.close()
    restored(desk, lambda: crypto_erase(desk.engine, desk.store, "a0", keys=desk.keys, as_of=TODAY, record=desk.record))
    assert recovery.recover(desk.engine, desk.store, desk.keys).dropped == 1
    desk.stage("a0", payment(0), terms_of=terms)
    (key,) = desk.pack().keys
    assert names_in(desk, key) == {"Sample Person 0000"}


def test_a_restored_database_does_not_bring_a_destroyed_group_back(desk: Desk) -> None:
    key = two(desk, seconds=2)
    wait_until(next(r.retain_until for r in desk.rows("archive_object")))
    restored(desk, lambda: desk.lapse(as_of=LATER))
    assert desk.count("archive_key") == 2
    assert desk.lapse(as_of=TODAY).saved == 0
    assert desk.store.versions(desk.keys_at(key)) == []
    assert recovery.recover(desk.engine, desk.store, desk.keys).dropped == 2
    assert not [k for k in desk.rows("archive_key") if k.object_key == key]


def test_keys_stay_while_the_source_goes_on_the_strength_of_them(desk: Desk) -> None:
    terms = short(3600)
    disposal_id = desk.stage("a0", payment(0), terms_of=terms)

    def erase() -> int:
        return crypto_erase(desk.engine, desk.store, "a0", keys=desk.keys, as_of=TODAY, record=desk.record)

    with pytest.raises(DecisionRefused, match="staged and not packed"):
        erase()
    desk.pack()
    with pytest.raises(DecisionRefused, match="1 disposals have not acted yet"):
        erase()
    assert desk.count("archive_key") == 1
    desk.stage("a1", payment(1), terms_of=terms)  # another account's open disposal is no reason
    with desk.engine.begin() as connection:
        connection.execute(
            disposal.update().where(disposal.c.disposal_id == disposal_id).values(attempts=1, outcome="awaiting")
        )
    assert erase() == 1
