"""The archive and evidence buckets: versioned, under Object Lock, and our identities can write and read a canary there.

A locked canary would stay for its lock's time. So the right to lock is proven without one: a retention asked for a name
that does not exist ends in NoSuchKey where the right is there, and in AccessDenied where it is not.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

from include.archive.store import ArchiveStore
from include.check import Line, Setup, have, tried
from include.connections import Connection, s3_client
from include.errors import ArchiveError, ConfigurationError, Unreachable
from include.evidence.store import EvidenceStore
from include.policy.schedule import Schedule

CANARY = "retention-check/canary"
BODY = b"written by python -m include.check; holds nothing\n"
BRIEF = timedelta(seconds=60)


def lines(setup: Setup, schedule: Schedule) -> Iterator[Line]:
    """Yield what is known of both buckets."""
    named = schedule.settings.archive.bucket, schedule.settings.evidence.bucket
    for name, bucket, looks in (
        ("archive_store", named[0], _archive),
        ("evidence_store", named[1], _evidence),
    ):
        found = have(setup, name)
        if isinstance(found, Line):
            yield found
            continue
        yield tried(name, "is the bucket the schedule protects", lambda f=found, b=bucket: _same(f, b))  # type: ignore[misc]
        for what, look in looks(found, setup):
            yield tried(name, what, look)


def _same(found: Connection, bucket: str) -> str:
    """Refuse another bucket: only the one that the schedule names is refused as a place to erase."""
    if found.require("bucket") != bucket:
        raise ConfigurationError(
            f"Connection {found.name} names bucket {found.require('bucket')!r}, the schedule {bucket!r}. Make them the "
            "same: the schedule's is the one no processor may erase in."
        )
    return bucket


def _archive(found: Connection, setup: Setup) -> Iterator[tuple[str, Callable[[], str]]]:
    def bucket() -> str:
        ArchiveStore.of(found).check(setup.now)
        return "its clock agrees with ours"

    def canary() -> str:
        store, key = ArchiveStore.of(found), f"retention-check/{uuid4().hex}"
        store.save(key, BODY, None)
        try:
            found_body, etag = store.load(key) or (b"", "")
            if found_body != BODY:
                raise ConfigurationError(f"Bucket {store.bucket} returns other bytes than were written.")
            _only_what_was_read(store, key, etag)
            _once(found, key)
            _may_lock(found, "GOVERNANCE", setup)
        finally:
            store.destroy(key)
        return "and removed again"

    yield "versioning and Object Lock are on", bucket
    yield "a canary can be written, read, locked and removed", canary


def _only_what_was_read(store: ArchiveStore, key: str, etag: str) -> None:
    """Refuse a store that ignores `If-Match`: a key backup could be overwritten by an older one."""
    store.save(key, BODY + BODY, etag)
    with contextlib.suppress(ArchiveError):
        store.save(key, BODY, etag)
        raise ConfigurationError(
            f"Bucket {store.bucket}: an object was overwritten by somebody who had read an older one. Use a store that "
            "honours If-Match; without it a destroyed key could come back into its backup."
        )


def _evidence(found: Connection, setup: Setup) -> Iterator[tuple[str, Callable[[], str]]]:
    def bucket() -> str:
        client, name = s3_client(found), found.require("bucket")
        versioning = asked(lambda: client.get_bucket_versioning(Bucket=name))
        if versioning.get("Status") != "Enabled":
            raise ConfigurationError(f"Evidence bucket {name}: versioning is not enabled. Enable it.")
        try:
            lock = asked(lambda: client.get_object_lock_configuration(Bucket=name))
        except ConfigurationError as error:
            raise ConfigurationError(
                f"Evidence bucket {name}: Object Lock is not enabled, or this role may not read that ({error}) "
                "Enable it when the bucket is created; grant s3:GetBucketObjectLockConfiguration."
            ) from None
        if lock["ObjectLockConfiguration"].get("ObjectLockEnabled") != "Enabled":
            raise ConfigurationError(f"Evidence bucket {name}: Object Lock is not enabled. Create a bucket with it.")
        return "compliance locks are set object by object"

    def canary() -> str:
        store = EvidenceStore.of(found)
        store.put_new(CANARY, BODY)
        there = store.get(CANARY)
        if there is None or there.body != BODY:
            raise ConfigurationError(f"Bucket {store.bucket} returns other bytes than were written.")
        _once(found, store.prefix + CANARY)
        _may_lock(found, "COMPLIANCE", setup)
        return f"{store.prefix}{CANARY} stays, the same one every time"

    yield "versioning and Object Lock are on", bucket
    yield "a canary can be written once, read and locked", canary


def _once(found: Connection, key: str) -> None:
    """Prove that a name that is taken cannot be written again under `If-None-Match: *`."""
    client = s3_client(found)
    code = code_of(lambda: client.put_object(Bucket=found.require("bucket"), Key=key, Body=BODY, IfNoneMatch="*"))
    if code not in ("PreconditionFailed", "412"):
        raise ConfigurationError(
            f"Connection {found.name}: a second write of the same name ended with {code or 'success'} instead of 412. "
            "Use a store that honours If-None-Match; without it two writers could overwrite each other."
        )


def _may_lock(found: Connection, mode: str, setup: Setup) -> None:
    client = s3_client(found)
    code = code_of(
        lambda: client.put_object_retention(
            Bucket=found.require("bucket"),
            Key=f"retention-check/{uuid4().hex}",
            Retention={"Mode": mode, "RetainUntilDate": setup.now + BRIEF},
        )
    )
    if code not in ("NoSuchKey", "404", "NotFound"):
        raise ConfigurationError(
            f"Connection {found.name}: locking a name that is not there ended with {code or 'success'} instead of "
            "NoSuchKey. Grant s3:PutObjectRetention and s3:ListBucket on the bucket."
        )


def code_of(call: Callable[[], Any]) -> str:
    """Return the code S3 refuses a call with, empty when it is carried out; silence is `Unreachable`."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        call()
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", "unknown"))
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") or 0)
        if status >= 500 or code in ("SlowDown", "RequestTimeout"):
            raise Unreachable("s3", code, status=status) from None
        return "AccessDenied" if status == 403 else code
    except BotoCoreError as error:
        raise Unreachable("s3", type(error).__name__) from None
    return ""


def asked(call: Callable[[], Any]) -> Any:
    """Return S3's answer, or raise `ConfigurationError` with its code."""
    kept: list[Any] = []
    if code := code_of(lambda: kept.append(call())):
        raise ConfigurationError(f"S3 refused with {code}. Check the bucket's name, the role and the bucket policy.")
    return kept[0]
