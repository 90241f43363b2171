"""Classes that must be restored before they are read, on moto: no server that installs from a wheel has them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from moto import mock_aws
from sqlalchemy import Engine

from include.archive.inventory import excess
from include.archive.store import ArchiveStore
from include.connections import Connection, s3_client
from include.policy import schedule as policy
from tests.archive.conftest import TODAY, Desk, payment, short, wait_until
from tests.archive.test_disposal import LATER
from tests.archive.test_retrieval import read

CLASSES = ["GLACIER", "DEEP_ARCHIVE"]


@pytest.fixture
def aws(engine: Engine, schedule: policy.Schedule) -> Iterator[Desk]:
    """A desk whose bucket is AWS's own, as far as moto goes: no endpoint_url, the region's address."""
    with mock_aws():
        connection = Connection("archive_store", login="key", password="secret", extra={"bucket": "archive"})
        s3_client(connection).create_bucket(
            Bucket="archive",
            ObjectLockEnabledForBucket=True,
            CreateBucketConfiguration={"LocationConstraint": "ap-northeast-2"},
        )
        yield Desk(engine, ArchiveStore.of(connection), schedule)


@pytest.mark.parametrize("storage_class", CLASSES)
def test_a_look_into_a_frozen_class_asks_for_a_restore_and_names_the_day(aws: Desk, storage_class: str) -> None:
    aws.stage("a1", payment(1), terms_of=short(3600))
    aws.pack(storage_class=storage_class)
    first = read(aws, "a1")
    assert (first.rows, first.pending, first.due_at) == ((), 1, TODAY + timedelta(days=1))
    again = read(aws, "a1")
    assert [r.items["name"] for r in again.rows] == ["Sample Person 0001"]
    assert (again.pending, again.due_at) == (0, None)
    assert len(aws.rows("access_log")) == 2


def test_the_default_class_is_read_at_once(aws: Desk) -> None:
    aws.stage("a1", payment(1), terms_of=short(3600))
    aws.pack()
    assert read(aws, "a1").due_at is None


@pytest.mark.parametrize("storage_class", CLASSES)
def test_what_is_frozen_is_counted_as_not_looked_at_and_never_as_right(aws: Desk, storage_class: str) -> None:
    aws.stage("a1", payment(1), terms_of=short(3600))
    aws.pack(storage_class=storage_class)
    passed: list[str] = []
    assert list(excess(aws.engine, aws.store, keys=aws.keys, items=lambda _r, _s: (), unread=passed)) == []
    assert passed == [aws.rows("archive_object")[0].object_key]


@pytest.mark.parametrize("storage_class", CLASSES)
def test_a_held_subject_of_a_frozen_group_waits_for_the_restore_and_is_then_copied(
    aws: Desk, storage_class: str
) -> None:
    terms = short(2)
    for n in range(3):
        aws.stage(f"a{n}", payment(n), terms_of=terms)
    (key,) = aws.pack(storage_class=storage_class).keys
    wait_until(aws.rows("archive_object")[0].retain_until)
    waiting = aws.lapse(as_of=LATER, computed=lambda _rule: {"a1": LATER})
    assert [(f.basis, f.until) for f in waiting.retained] == [("restore", LATER + timedelta(days=1))]
    assert len(aws.store.versions(key)) == 1
    done = aws.lapse(as_of=LATER + timedelta(days=1), computed=lambda _rule: {"a1": LATER + timedelta(days=2)})
    assert (done.copied, done.destroyed) == (1, 1)
    assert aws.store.versions(key) == []
