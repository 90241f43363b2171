"""Staging and sealing: the same bytes after any crash, and never a second history."""

from __future__ import annotations

import base64
import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, func, select, text
from sqlalchemy.exc import DBAPIError, OperationalError

from include.database import checkpoint, entry
from include.errors import EvidenceError, VerificationError
from include.evidence import tiles, tree
from include.evidence.entries import canonical
from include.evidence.finding import Wanted, catch_up
from include.evidence.finding import count as found
from include.evidence.log import LOCK, latest, stage
from include.evidence.note import Checkpoint, Signer, open_checkpoint
from include.evidence.rebuild import rebuild
from include.evidence.store import EvidenceStore, Stored
from tests.evidence import samples, vectors
from tests.evidence.conftest import NOW, Log


def some(count: int, *, first: int = 0) -> list[dict[str, Any]]:
    return [samples.disposal(i, "planned") for i in range(first, first + count)]


def leaves(log: Log) -> list[bytes]:
    with log.engine.connect() as connection:
        rows = connection.execute(
            select(entry.c.body).where(entry.c.log_index.is_not(None)).order_by(entry.c.log_index)
        )
        return [tree.leaf_hash(bytes(b)) for b in rows.scalars()]


def published(log: Log) -> Checkpoint:
    stored = log.store.get("checkpoint")
    assert stored is not None
    return open_checkpoint(stored.body.decode(), [log.signer.vkey])


class Crashing(EvidenceStore):
    """A bucket whose writer dies right before or right after the n-th write."""

    def __init__(self, store: EvidenceStore, *, at: int, after: bool) -> None:
        super().__init__(store._client, store.bucket, prefix=store.prefix)
        self.at, self.after, self.numbers = at, after, itertools.count(1)

    def _put(self, key: str, body: bytes, **more: Any) -> str | None:
        number = next(self.numbers)  # writes come from several threads
        if number == self.at and not self.after:
            raise KeyboardInterrupt
        result = super()._put(key, body, **more)
        if number == self.at:
            raise KeyboardInterrupt
        return result


def test_staging_returns_ids_in_order_and_keeps_the_canonical_bytes(log: Log) -> None:
    entries = some(5)
    ids = log.stage(entries)
    with log.engine.connect() as connection:
        rows = connection.execute(select(entry).order_by(entry.c.entry_id)).all()
    assert [r.entry_id for r in rows] == ids == sorted(ids)
    assert [bytes(r.body) for r in rows] == [canonical(e) for e in entries]
    assert [str(r.disposal_id) for r in rows] == [e["disposal_id"] for e in entries]


def test_entries_leave_with_the_transaction_they_were_staged_in(log: Log) -> None:
    with log.engine.connect() as connection:
        stage(connection, some(1))
        connection.rollback()
    assert log.seal().size == 0


def test_one_refused_entry_refuses_all(log: Log) -> None:
    with pytest.raises(EvidenceError, match="unknown key"):
        log.stage([*some(2), samples.base("run_started", email="x")])
    assert log.seal().size == 0


def test_disposal_ids_must_be_as_many_as_entries(log: Log) -> None:
    with pytest.raises(EvidenceError, match="2 evidence entries came with 1"), log.engine.begin() as connection:
        stage(connection, some(2), [None])  # type: ignore[list-item]


def test_staging_nothing_is_nothing(log: Log) -> None:
    assert log.stage([]) == []


def test_a_log_that_never_had_an_entry_seals_to_nothing(log: Log) -> None:
    assert log.seal() == Checkpoint(vectors.NAME, 0, tree.EMPTY_ROOT)
    assert log.objects() == []


def test_a_seal_publishes_the_root_of_everything_staged(log: Log) -> None:
    log.stage(some(3))
    sealed = log.seal()
    assert sealed == published(log)
    assert sealed.root == tree.root(leaves(log))
    assert log.objects() == ["checkpoint", "checkpoints/000000000000003", "tile/0/000.p/3", "tile/entries/000.p/3"]


def test_a_seal_stands_though_what_finds_its_entries_could_not_be_filled(
    log: Log, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    free = []

    def broken(engine: Engine) -> int:
        with engine.connect() as connection:
            free.append(connection.execute(select(func.pg_try_advisory_lock(LOCK))).scalar_one())
            connection.execute(select(func.pg_advisory_unlock(LOCK)))
        raise OperationalError("INSERT", {}, Exception("no space left"))

    monkeypatch.setattr("include.evidence.log.catch_up", broken)
    log.stage(some(3))
    assert log.seal().size == published(log).size == 3
    assert free == [True]  # others need not wait for it
    assert "not findable yet" in caplog.text
    monkeypatch.undo()
    assert catch_up(log.engine) == 3
    with log.engine.connect() as connection:
        assert found(connection, Wanted()) == 3


def test_sealing_again_writes_nothing(log: Log) -> None:
    log.stage(some(3))
    first = log.seal()
    etag = log.store.get("checkpoint")
    assert log.seal() == first
    assert log.store.get("checkpoint") == etag


def test_a_log_grown_over_several_seals_has_the_roots_of_the_definition(log: Log) -> None:
    for count in (1, 254, 1, 1, 300):
        log.stage(some(count))
        sealed = log.seal()
        assert sealed.root == tree.root(leaves(log))
    bundle = log.store.get("tile/entries/001")
    assert bundle is not None
    assert [tree.leaf_hash(e) for e in tiles.unpack(bundle.body, 256)] == leaves(log)[256:512]
    upper = log.store.get("tile/1/000.p/2")
    assert upper is not None
    assert upper.body == tree.root(leaves(log)[:256]) + tree.root(leaves(log)[256:512])


def test_indexes_follow_the_order_of_staging_among_what_is_committed(log: Log) -> None:
    with log.engine.connect() as slow:
        (early,) = stage(slow, some(1))
        (late,) = log.stage(some(1, first=1))
        log.seal()
        slow.commit()
    log.seal()
    with log.engine.connect() as connection:
        index = dict(connection.execute(select(entry.c.entry_id, entry.c.log_index)).tuples().all())
    assert early < late
    assert (index[late], index[early]) == (0, 1)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("at", [1, 2, 3, 4])
def test_a_seal_that_died_anywhere_is_finished_with_the_same_bytes(log: Log, at: int, after: bool) -> None:
    log.stage(some(257))
    log.seal()
    log.stage(some(2, first=300))
    whole = log.store
    log.store = Crashing(whole, at=at, after=after)  # two tiles, the checkpoint's copy, the checkpoint
    with pytest.raises(KeyboardInterrupt):
        log.seal()
    log.store = whole
    sealed = log.seal()
    assert sealed == published(log)
    tiles_of_both = ["tile/0/000", "tile/0/001.p/1", "tile/0/001.p/3", "tile/1/000.p/1"]
    bundles_of_both = ["tile/entries/000", "tile/entries/001.p/1", "tile/entries/001.p/3"]
    assert log.objects() == [
        "checkpoint",
        "checkpoints/000000000000257",
        "checkpoints/000000000000259",
        *tiles_of_both,
        *bundles_of_both,
    ]
    stored = log.store.get("checkpoint")
    assert stored is not None
    undisturbed = Checkpoint(vectors.NAME, 259, tree.root(leaves(log)))
    assert stored.body.decode() == log.signer.sign(undisturbed.body())


def test_entries_staged_after_a_crash_follow_those_that_had_their_index(log: Log) -> None:
    log.stage(some(2))
    whole = log.store
    log.store = Crashing(whole, at=1, after=False)
    with pytest.raises(KeyboardInterrupt):
        log.seal()
    log.store = whole
    log.stage(some(2, first=2))
    assert log.seal().root == tree.root(tree.leaf_hash(canonical(e)) for e in some(4))


def test_a_bucket_that_holds_other_bytes_stops_the_seal(log: Log) -> None:
    log.overwrite("tile/0/000.p/2", b"another log's tile")
    log.stage(some(2))
    with pytest.raises(EvidenceError, match=r"other bytes under tile/0/000\.p/2"):
        log.seal()
    assert latest(log.engine).size == 0
    assert "checkpoint" not in log.objects()


def test_a_bucket_that_knows_more_than_the_database_stops_the_seal(log: Log) -> None:
    more = log.signer.sign(Checkpoint(vectors.NAME, 9, bytes(32)).body())
    log.overwrite("checkpoint", more.encode())
    log.stage(some(2))
    with pytest.raises(EvidenceError, match="signed up to 9 entries, this database only to 0"):
        log.seal()


def test_a_bucket_with_another_history_stops_the_seal(log: Log) -> None:
    log.stage(some(2))
    log.seal()
    other = log.signer.sign(Checkpoint(vectors.NAME, 2, bytes(32)).body())
    log.overwrite("checkpoint", other.encode())
    log.stage(some(2))
    with pytest.raises(EvidenceError, match="is not this log's"):
        log.seal()
    assert latest(log.engine).size == 2


def test_a_checkpoint_signed_by_another_key_stops_the_seal(log: Log) -> None:
    log.stage(some(2))
    log.seal()
    log.signer = Signer(bytes(32), vectors.NAME)
    log.stage(some(2))
    with pytest.raises(VerificationError, match="No known key"):
        log.seal()


def test_a_bucket_whose_checkpoint_vanished_stops_the_seal(log: Log) -> None:
    for first in (0, 1):
        log.stage(some(1, first=first))
        log.seal()
    log.client.delete_object(Bucket=log.store.bucket, Key=log.store.prefix + "checkpoint")
    log.stage(some(1))
    with pytest.raises(EvidenceError, match="has no checkpoint"):
        log.seal()


@pytest.mark.parametrize("hidden", [False, True])
def test_database_and_bucket_gone_back_together_do_not_sign_a_second_history(
    log: Log, postgres: Any, hidden: bool
) -> None:
    """A backup of the database, and the checkpoint of that day put back into the bucket: only the copies know more."""
    from include import database

    log.stage(some(3))
    log.seal()
    then = log.store.get("checkpoint")
    assert then is not None
    postgres.create_database("backup", template="template_retention")
    engine = database.connect(postgres.connection("retention_db", "backup"))
    older = Log(engine, log.store, log.signer, log.client)
    try:
        rebuild(engine, log.store, log.signer.vkey, now=NOW)
        log.stage(some(5, first=3))
        log.seal()
        log.overwrite("checkpoint", then.body)
        if hidden:
            log.client.delete_object(Bucket=log.store.bucket, Key=log.store.prefix + "checkpoints/000000000000008")
        older.stage(some(1, first=90))
        with pytest.raises(EvidenceError, match="locked checkpoint over 8 entries, this database knows only 3"):
            older.seal()
        assert latest(engine).size == 3
    finally:
        engine.dispose()
        postgres.drop_database("backup")


def test_a_new_database_over_a_bucket_without_a_checkpoint_signs_nothing(log: Log, postgres: Any) -> None:
    from include import database

    log.stage(some(3))
    log.seal()
    log.client.delete_object(Bucket=log.store.bucket, Key=log.store.prefix + "checkpoint")
    postgres.create_database("fresh", template="template_retention")
    engine = database.connect(postgres.connection("retention_db", "fresh"))
    fresh = Log(engine, log.store, log.signer, log.client)
    try:
        fresh.stage(some(1, first=90))
        with pytest.raises(EvidenceError, match="locked checkpoint over 3 entries"):
            fresh.seal()
    finally:
        engine.dispose()
        postgres.drop_database("fresh")


def test_a_checkpoint_replaced_meanwhile_is_not_overwritten(log: Log) -> None:
    log.stage(some(1))
    log.seal()
    with pytest.raises(EvidenceError, match="changed while this seal ran"):
        log.store.replace_checkpoint(b"mine", previous=Stored(b"old", '"00000000000000000000000000000000"'))


def test_entry_bytes_cannot_change_or_leave_the_database(log: Log) -> None:
    log.stage(some(1))
    for statement in (
        "UPDATE retention.entry SET body = 'x'",
        "DELETE FROM retention.entry",
        "TRUNCATE retention.entry",
    ):
        with pytest.raises(DBAPIError, match="append-only"), log.engine.begin() as connection:
            connection.execute(text(statement))


def test_entries_changed_behind_the_trigger_are_not_sealed_over(log: Log) -> None:
    log.stage(some(3))
    log.seal()
    with log.engine.begin() as connection:
        connection.execute(text("ALTER TABLE retention.entry DISABLE TRIGGER USER"))
        forged = canonical(samples.disposal(1, "located"))
        connection.execute(
            text("UPDATE retention.entry SET body = :b, leaf_hash = :h WHERE log_index = 1"),
            {"b": forged, "h": tree.leaf_hash(forged)},
        )
    log.stage(some(1))
    with pytest.raises(EvidenceError, match="changed after they were signed"):
        log.seal()


def test_a_changed_frontier_is_not_built_upon(log: Log) -> None:
    log.stage(some(3))
    log.seal()
    with log.engine.begin() as connection:
        connection.execute(checkpoint.update().values(frontier=[bytes(32), bytes(32)]))
    with pytest.raises(EvidenceError, match="does not add up"):
        log.seal()


def test_full_tiles_and_checkpoint_copies_are_locked_partial_ones_are_not(log: Log) -> None:
    until = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=20)
    log.stage(some(257))
    log.seal(lock_until=until)
    heads = {
        k: log.client.head_object(Bucket=log.store.bucket, Key=log.store.prefix + k, ChecksumMode="ENABLED")
        for k in log.objects()
    }
    locked = {k for k, h in heads.items() if h.get("ObjectLockMode") == "COMPLIANCE"}
    assert locked == {"tile/0/000", "tile/entries/000", "checkpoints/000000000000257"}
    assert heads["tile/0/000"]["ObjectLockRetainUntilDate"] == until
    assert base64.b64decode(heads["tile/0/000"]["ChecksumSHA256"])


def test_the_cost_of_a_seal_does_not_grow_with_the_log(log: Log) -> None:
    written = []
    log.store = Counting(log.store, written)
    log.stage(some(1300))
    log.seal()
    written.clear()
    log.stage(some(1))
    log.seal()
    assert sorted(written[:2]) == ["tile/0/005.p/21", "tile/entries/005.p/21"]
    assert written[2:] == ["checkpoints/000000000001301", "checkpoint"]


class Counting(EvidenceStore):
    """A bucket that remembers what was written."""

    def __init__(self, store: EvidenceStore, written: list[str]) -> None:
        super().__init__(store._client, store.bucket, prefix=store.prefix)
        self.written = written

    def _put(self, key: str, body: bytes, **more: Any) -> str | None:
        self.written.append(key)
        return super()._put(key, body, **more)


def test_an_upper_tile_that_is_gone_is_computed_from_the_entries(log: Log) -> None:
    log.stage(some(260))
    log.seal()
    log.client.delete_object(Bucket=log.store.bucket, Key=log.store.prefix + "tile/1/000.p/1")
    log.stage(some(300))
    assert log.seal().root == tree.root(leaves(log))


def test_an_empty_database_is_rebuilt_from_the_bucket(log: Log, postgres: Any) -> None:
    from include import database

    log.stage(some(600))
    sealed = log.seal()
    before = leaves(log)
    postgres.create_database("rebuilt", template="template_retention")
    engine = database.connect(postgres.connection("retention_db", "rebuilt"))
    fresh = Log(engine, log.store, log.signer, log.client)
    try:
        assert rebuild(engine, log.store, log.signer.vkey, now=NOW) == sealed
        assert leaves(fresh) == before
        fresh.stage(some(1))
        assert fresh.seal().size == 601
    finally:
        engine.dispose()
        postgres.drop_database("rebuilt")


def test_a_database_restored_from_a_backup_catches_up(log: Log, postgres: Any) -> None:
    """The backup has one sealed entry and one that was sealed only afterwards."""
    from include import database

    postgres.create_database("older", template="template_retention")
    engine = database.connect(postgres.connection("retention_db", "older"))
    older = Log(engine, log.store, log.signer, log.client)
    try:
        for each in (log, older):
            each.stage(some(1))
        log.seal()
        rebuild(engine, log.store, log.signer.vkey, now=NOW)
        for each in (log, older):
            each.stage(some(1, first=1))
        log.stage(some(2, first=2))
        sealed = log.seal()
        with pytest.raises(EvidenceError, match="Rebuild it"):
            older.seal()
        assert rebuild(engine, log.store, log.signer.vkey, now=NOW) == sealed
        assert leaves(older) == leaves(log)
        assert older.seal() == sealed
    finally:
        engine.dispose()
        postgres.drop_database("older")


def test_a_bucket_whose_entries_were_changed_is_not_rebuilt_from(log: Log, postgres: Any) -> None:
    from include import database

    log.stage(some(2))
    log.seal()
    log.overwrite("tile/entries/000.p/2", tiles.pack([canonical(e) for e in some(2, first=5)]))
    postgres.create_database("forged", template="template_retention")
    engine = database.connect(postgres.connection("retention_db", "forged"))
    try:
        with pytest.raises(EvidenceError, match="do not add up"):
            rebuild(engine, log.store, log.signer.vkey, now=NOW)
        assert latest(engine).size == 0
    finally:
        engine.dispose()
        postgres.drop_database("forged")
