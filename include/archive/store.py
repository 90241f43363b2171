"""The archive's bucket: write once under a lock, check what is really there, remove every version.

The bucket must have versioning and Object Lock; an upload counts only after a HEAD with `ChecksumMode=ENABLED` showed
the same SHA-256, the lock's mode and a retain-until that is late enough (HEAD works in every storage class). AWS:
"Locking objects with Object Lock", "Checking object integrity". Locks run on the storage server's own clock.
"""

from __future__ import annotations

import base64
import hashlib
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import IO, TYPE_CHECKING, Any

from include.connections import Connection, s3_client
from include.errors import ArchiveError, ArchiveUnreachable

if TYPE_CHECKING:
    from botocore.client import BaseClient

MODE = "GOVERNANCE"
LARGEST_SKEW = timedelta(minutes=5)
DELETE_AT_ONCE = 1000
SMALL = 1 << 20
"""Bytes that are sent without asking first; boto3 announces every file and waits for the store's 100 Continue."""

WRITTEN_BEFORE = frozenset({"PreconditionFailed", "ConditionalRequestConflict"})
NOT_RESTORED = "InvalidObjectState"
FROZEN = frozenset({"GLACIER", "DEEP_ARCHIVE"})
"""Classes that are restored, for hours, before anything is read (AWS: "Understanding archive retrieval options")."""
READABLE = "GLACIER_IR"
RESTORE_DAYS = 3

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Plan:
    """What an object must be once it is written. A held subject's copy has a legal hold instead of a date."""

    key: str
    sha256: str
    storage_class: str
    retain_until: datetime | None = None
    legal_hold: bool = False


@dataclass(frozen=True, slots=True)
class Head:
    """What the store says an object is."""

    version_id: str
    sha256: str | None
    mode: str | None
    retain_until: datetime | None
    legal_hold: bool
    storage_class: str


class ArchiveStore:
    """One bucket. `bucket` comes from the connection's extra unless given."""

    def __init__(self, client: BaseClient, bucket: str) -> None:
        self._client: Any = client
        self.bucket = bucket

    @classmethod
    def of(cls, connection: Connection) -> ArchiveStore:
        """Return the store of connection `archive_store`."""
        return cls(s3_client(connection), connection.require("bucket"))

    def check(self, now: datetime) -> None:
        """Refuse a bucket that could lose or overwrite an object, and a clock so wrong that locks would mislead."""
        with self._calling("read bucket versioning"):
            versioning = self._client.get_bucket_versioning(Bucket=self.bucket)
        if versioning.get("Status") != "Enabled":
            raise ArchiveError(
                f"Archive bucket {self.bucket}: versioning is not enabled. Enable it; the sources are untouched."
            )
        try:
            with self._calling("read Object Lock configuration"):
                lock = self._client.get_object_lock_configuration(Bucket=self.bucket)["ObjectLockConfiguration"]
        except ArchiveUnreachable:
            raise
        except ArchiveError as error:
            raise ArchiveError(
                f"Archive bucket {self.bucket}: Object Lock is not enabled, or this role may not read that. "
                f"Enable it (AWS: on the bucket's Properties); nothing was destroyed at the source. {error}"
            ) from error
        if lock.get("ObjectLockEnabled") != "Enabled":
            raise ArchiveError(f"Archive bucket {self.bucket}: Object Lock is not enabled; nothing was destroyed.")
        self._check_clock(versioning, now)

    def _check_clock(self, response: dict[str, Any], now: datetime) -> None:
        stamp = response["ResponseMetadata"]["HTTPHeaders"].get("date")
        skew = abs(parsedate_to_datetime(stamp) - now) if stamp else timedelta(0)
        if skew > LARGEST_SKEW:
            raise ArchiveError(
                f"Archive bucket {self.bucket}: its clock and ours differ by {skew.total_seconds():.0f} s, so a lock "
                "would end on another day than planned. Set the clock (NTP); nothing was destroyed at the source."
            )

    def write(self, plan: Plan, body: IO[bytes]) -> Head:
        """Upload once, then prove by HEAD that what is there is what was planned; so is a lost reply settled."""
        size = body.seek(0, os.SEEK_END)
        body.seek(0)
        lock: dict[str, Any] = {"ObjectLockLegalHoldStatus": "ON"} if plan.legal_hold else {}
        if plan.retain_until is not None:
            lock |= {"ObjectLockMode": MODE, "ObjectLockRetainUntilDate": plan.retain_until}
        try:
            with self._calling("write an object", passing=WRITTEN_BEFORE):
                self._client.put_object(
                    Bucket=self.bucket,
                    Key=plan.key,
                    Body=body if size > SMALL else body.read(),
                    ChecksumAlgorithm="SHA256",  # S3 asks for this header, or Content-MD5, beside a lock
                    ChecksumSHA256=plan.sha256,
                    StorageClass=plan.storage_class,
                    IfNoneMatch="*",
                    ContentType="application/x-ndjson",
                    **lock,
                )
        except ArchiveUnreachable:
            if self.head(plan.key) is None:
                raise
        return self.prove(plan)

    def create(self, key: str, body: bytes) -> None:
        """Store small bytes (no lock) under a name that nothing has ever had; raise unless they are there.

        Because the name must be free there is no older version to look for. The store's own SHA-256 in its reply
        proves the bytes; where the reply lacks it, is lost, or says the name is taken, a HEAD has to.
        """
        sha256 = base64.b64encode(hashlib.sha256(body).digest()).decode()
        answer: dict[str, Any] = {}
        try:
            with self._calling("save a key backup", passing=WRITTEN_BEFORE):
                answer = self._client.put_object(
                    Bucket=self.bucket,
                    Key=key,
                    Body=body,
                    ChecksumAlgorithm="SHA256",
                    ChecksumSHA256=sha256,
                    IfNoneMatch="*",
                )
        except ArchiveUnreachable:
            if self.head(key) is None:
                raise
        if answer.get("ChecksumSHA256") == sha256:
            return
        head = self.head(key)
        if head is None or head.sha256 != sha256:
            raise ArchiveError(f"Archive object {key}: it is not there as it was written.")

    def save(self, key: str, body: bytes, replacing: str | None) -> None:
        """Store small bytes that may be replaced (no lock), prove them by HEAD, then remove every older version.

        `replacing` is the ETag of what they take the place of, None of nothing: what somebody else wrote meanwhile
        stays, and the error says so (AWS: "Conditional writes").
        """
        free: dict[str, str] = {"IfMatch": replacing} if replacing else {"IfNoneMatch": "*"}
        sha256 = base64.b64encode(hashlib.sha256(body).digest()).decode()
        older = self.versions(key)
        try:
            with self._calling("save a key backup", passing=WRITTEN_BEFORE):
                self._client.put_object(
                    Bucket=self.bucket, Key=key, Body=body, ChecksumAlgorithm="SHA256", ChecksumSHA256=sha256, **free
                )
        except ArchiveUnreachable:
            head = self.head(key)
            if head is None or head.sha256 != sha256:
                raise
        head = self.head(key)
        if head is None or head.sha256 != sha256:
            raise ArchiveError(f"Archive object {key}: it is not there as it was written.")
        self._delete(key, [v for v in older if v != head.version_id])
        if self.versions(key) != [head.version_id]:
            raise ArchiveError(f"Archive object {key}: an older version is still listed after deletion.")

    def load(self, key: str) -> tuple[bytes, str] | None:
        """Return small bytes and their ETag, or None when there are none."""
        answer: dict[str, Any] = {}
        with self._calling("read a key backup", passing={"404", "NoSuchKey", "NotFound"}):
            answer = self._client.get_object(Bucket=self.bucket, Key=key)
            return bytes(answer["Body"].read()), str(answer["ETag"])
        return None

    def prove(self, plan: Plan) -> Head:
        """Return the object's head if digest and lock are as planned; raise `ArchiveError` naming what is not."""
        head = self.head(plan.key)
        if head is None:
            raise ArchiveError(f"Archive object {plan.key} is not there after it was written.")
        if head.sha256 != plan.sha256:
            found = "absent" if head.sha256 is None else "another one"
            raise ArchiveError(f"Archive object {plan.key}: the store's SHA-256 is {found}.")
        if plan.legal_hold and not head.legal_hold:
            raise ArchiveError(f"Archive object {plan.key}: its legal hold is missing.")
        if plan.retain_until is not None:
            if head.mode not in (MODE, "COMPLIANCE") or head.retain_until is None:
                raise ArchiveError(f"Archive object {plan.key}: its lock is missing.")
            if head.retain_until < plan.retain_until:
                raise ArchiveError(
                    f"Archive object {plan.key}: its lock ends {head.retain_until:%Y-%m-%dT%H:%M:%SZ}, "
                    f"too short for {plan.retain_until:%Y-%m-%dT%H:%M:%SZ}."
                )
        return head

    def head(self, key: str) -> Head | None:
        """Return what the store says about the newest version, or None when there is none."""
        answer: dict[str, Any] = {}
        with self._calling("read an object's head", passing={"404", "NoSuchKey", "NotFound"}):
            answer = self._client.head_object(Bucket=self.bucket, Key=key, ChecksumMode="ENABLED")
        if not answer:
            return None
        until = answer.get("ObjectLockRetainUntilDate")
        return Head(
            version_id=answer.get("VersionId", ""),
            sha256=answer.get("ChecksumSHA256"),
            mode=answer.get("ObjectLockMode"),
            retain_until=until.astimezone(UTC) if until else None,
            legal_hold=answer.get("ObjectLockLegalHoldStatus") == "ON",
            storage_class=answer.get("StorageClass") or "STANDARD",
        )

    @contextmanager
    def reading(self, key: str) -> Iterator[IO[bytes] | None]:
        """Yield the object's bytes as a stream, or None where its class needs a restore first."""
        answer: dict[str, Any] = {}
        with self._calling("read an object", passing={NOT_RESTORED}):
            answer = self._client.get_object(Bucket=self.bucket, Key=key)
        stream = answer.get("Body")
        try:
            yield stream
        finally:
            if stream is not None:
                stream.close()

    def restore(self, key: str) -> None:
        """Ask for a temporary readable copy (hours); asking again while it is under way is no error."""
        with self._calling("restore an object", passing={"RestoreAlreadyInProgress"}):
            self._client.restore_object(
                Bucket=self.bucket,
                Key=key,
                RestoreRequest={"Days": RESTORE_DAYS, "GlacierJobParameters": {"Tier": "Standard"}},
            )

    def release_legal_hold(self, key: str) -> None:
        """Take the legal hold off and read back that it is off."""
        with self._calling("release a legal hold"):
            self._client.put_object_legal_hold(Bucket=self.bucket, Key=key, LegalHold={"Status": "OFF"})
        head = self.head(key)
        if head is not None and head.legal_hold:
            raise ArchiveError(f"Archive object {key}: its legal hold is still on after it was released.")

    def versions(self, key: str) -> list[str]:
        """Return the version ids of exactly this key, delete markers included."""
        found: list[str] = []
        with self._calling("list an object's versions"):
            for page in self._client.get_paginator("list_object_versions").paginate(Bucket=self.bucket, Prefix=key):
                entries = [*page.get("Versions", ()), *page.get("DeleteMarkers", ())]
                found += [entry["VersionId"] for entry in entries if entry["Key"] == key]
        return found

    def keys(self, prefix: str, *, newest: bool = False) -> Iterator[str]:
        """Yield every key under a prefix that has a version left, once; with `newest`, that no delete marker hides."""
        last = None
        with self._calling("list the archive"):
            for page in self._client.get_paginator("list_object_versions").paginate(Bucket=self.bucket, Prefix=prefix):
                for entry in page.get("Versions", ()):
                    if entry["Key"] != last and (entry["IsLatest"] or not newest):
                        last = entry["Key"]
                        yield last

    def destroy(self, key: str) -> int:
        """Remove every version and delete marker of a key and confirm by listing; return how many were removed.

        S3 answers "deleted" for a version that never existed, so only the empty listing afterwards proves anything.
        """
        versions = self.versions(key)
        self._delete(key, versions)
        left = self.versions(key)
        if left:
            raise ArchiveError(f"Archive object {key}: {len(left)} versions are still listed after deletion.")
        return len(versions)

    def _delete(self, key: str, versions: Sequence[str]) -> None:
        for start in range(0, len(versions), DELETE_AT_ONCE):
            part = [{"Key": key, "VersionId": v} for v in versions[start : start + DELETE_AT_ONCE]]
            with self._calling("delete an object's versions"):
                answer = self._client.delete_objects(Bucket=self.bucket, Delete={"Objects": part, "Quiet": True})
            codes = sorted({str(e.get("Code")) for e in answer.get("Errors", ())})
            if codes:
                raise ArchiveError(f"Archive object {key}: deleting its versions was refused ({', '.join(codes)}).")

    @contextmanager
    def _calling(self, what: str, *, passing: frozenset[str] | set[str] = frozenset()) -> Iterator[None]:
        """Turn S3's errors into ours; codes in `passing` are an answer, not an error."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", "unknown"))
            status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") or 0)
            if code in passing:
                return
            kind = ArchiveUnreachable if status >= 500 or code in {"SlowDown", "RequestTimeout"} else ArchiveError
            raise kind(f"Archive bucket {self.bucket}: could not {what}: {code} (HTTP {status}).") from error
        except BotoCoreError as error:
            raise ArchiveUnreachable(
                f"Archive bucket {self.bucket}: could not {what}: {type(error).__name__}. The next run looks again."
            ) from error
