"""The evidence bucket: objects that are written once, and one that is replaced under a condition.

Nothing here overwrites. A name that is taken is compared byte by byte, and a difference stops the seal: either somebody
else writes to this bucket or the database went back in time, and both need a person.
"""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from include.connections import Connection, s3_client
from include.errors import EvidenceError, Unreachable

if TYPE_CHECKING:
    from botocore.client import BaseClient

TRIES = 5
CHECKPOINT = "checkpoint"
COPIES = "checkpoints/"


@dataclass(frozen=True, slots=True)
class Stored:
    """An object's bytes and the tag that a conditional replacement names."""

    body: bytes
    etag: str


class EvidenceStore:
    """One bucket (versioned, with Object Lock), below an optional `prefix` that ends with a slash."""

    def __init__(self, client: BaseClient, bucket: str, *, prefix: str = "") -> None:
        self._client = client
        self.bucket, self.prefix = bucket, prefix

    @classmethod
    def of(cls, connection: Connection) -> EvidenceStore:
        """Return the store a connection names: `extra.bucket`, and `extra.prefix` if several logs share it."""
        return cls(
            s3_client(connection), connection.require("bucket"), prefix=str(connection.extra.get("prefix") or "")
        )

    def put_new(self, key: str, body: bytes, *, retain_until: datetime | None = None) -> bool:
        """Write an object that must not exist; return False when the same bytes are there already.

        `retain_until` locks it in *compliance* mode: nobody, the owner of the account included, can shorten that.
        """
        lock: dict[str, Any] = {}
        if retain_until is not None:
            lock = {"ObjectLockMode": "COMPLIANCE", "ObjectLockRetainUntilDate": retain_until}
        for attempt in range(TRIES):
            code = self._put(key, body, IfNoneMatch="*", **lock)
            if code is None:
                return True
            if code == "PreconditionFailed":
                self._compare(key, body)
                return False
            self._pause(attempt)
        raise Unreachable(
            "evidence_store", "ConditionalRequestConflict", advice="Another writer is busy; the next seal tries again."
        )

    def get(self, key: str) -> Stored | None:
        """Return an object, or None where there is none."""

        def read() -> Stored:
            found = self._client.get_object(Bucket=self.bucket, Key=self.prefix + key)
            return Stored(found["Body"].read(), found["ETag"])

        answer = self._call(read, ("NoSuchKey", "404"))
        return answer if isinstance(answer, Stored) else None

    def refuse_a_fork(self, size: int) -> None:
        """Raise where a locked copy of a checkpoint, hidden by a deletion or not, covers more than `size` entries.

        Then database *and* bucket went back in time together, and signing would begin a second history.
        """
        answer = self._call(
            lambda: self._client.list_object_versions(
                Bucket=self.bucket,
                Prefix=self.prefix + COPIES,
                KeyMarker=f"{self.prefix}{copy_key(size)}.tsr",  # the last name of that size
                MaxKeys=8,
            ),
            (),
        )
        found = [*answer.get("Versions", ()), *answer.get("DeleteMarkers", ())]
        names = [v["Key"].removeprefix(self.prefix + COPIES) for v in found]
        larger = [n for name in names if name[:1].isdecimal() and (n := int(name.partition(".")[0])) > size]
        if larger:
            raise EvidenceError(
                f"The evidence bucket keeps a locked checkpoint over {larger[0]} entries, this database knows only "
                f"{size}: nothing was signed. Bring the bucket's newest checkpoint back (its versions hold it), "
                "rebuild the database from the bucket, then seal."
            )

    def replace_checkpoint(self, body: bytes, *, previous: Stored | None) -> None:
        """Replace the checkpoint, if it still is `previous` (None: if there is none)."""
        condition = {"IfMatch": previous.etag} if previous else {"IfNoneMatch": "*"}
        for attempt in range(TRIES):
            code = self._put(CHECKPOINT, body, **condition)
            if code is None:
                return
            if code == "PreconditionFailed":
                now = self.get(CHECKPOINT)
                if now is not None and now.body == body:
                    return  # our own write, whose reply was lost
                raise EvidenceError(
                    "The checkpoint in the evidence bucket changed while this seal ran. Another log writes to the same "
                    "bucket: find it before anything is sealed again."
                )
            self._pause(attempt)
        raise Unreachable(
            "evidence_store", "ConditionalRequestConflict", advice="Another writer is busy; the next seal tries again."
        )

    def _put(self, key: str, body: bytes, **more: Any) -> str | None:
        """Put an object with its SHA-256; return the code of a refused condition, or None when it was written."""
        digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
        answer = self._call(
            lambda: self._client.put_object(
                Bucket=self.bucket,
                Key=self.prefix + key,
                Body=body,
                ContentType="text/plain; charset=utf-8" if key == CHECKPOINT else "application/octet-stream",
                ChecksumAlgorithm="SHA256",  # AWS asks for it beside a lock; the digest alone is not enough
                ChecksumSHA256=digest,
                **more,
            ),
            ("PreconditionFailed", "ConditionalRequestConflict"),
        )
        return answer if isinstance(answer, str) else None

    def _compare(self, key: str, body: bytes) -> None:
        there = self.get(key)
        if there is None or there.body != body:
            raise EvidenceError(
                f"The evidence bucket holds other bytes under {key} than this log. Sealing stops: another log writes "
                "to the bucket, or this database was restored from a backup; then rebuild it from the bucket."
            )

    def _call(self, call: Callable[[], Any], expected: tuple[str, ...]) -> Any:
        """Return the answer, or the code when it is one of `expected`; anything else becomes an error of ours."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            return call()
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", "unknown"))
            status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
            if status == 412:
                code = "PreconditionFailed"
            if code in expected:
                return code
            if status >= 500 or code in ("SlowDown", "RequestTimeout", "ConditionalRequestConflict"):
                raise Unreachable("evidence_store", code, status=status, advice="The next seal tries again.") from error
            raise EvidenceError(
                f"The evidence bucket {self.bucket!r} refused us: {code}, HTTP {status}. Check connection "
                "evidence_store, the bucket's name and its policy. Nothing was signed."
            ) from error
        except BotoCoreError as error:
            raise Unreachable("evidence_store", type(error).__name__, advice="The next seal tries again.") from error

    @staticmethod
    def _pause(attempt: int) -> None:
        time.sleep(0.1 * 2**attempt)


def copy_key(size: int) -> str:
    """Return the key of the locked copy of a checkpoint: by size in order, so that one call finds a larger one."""
    return f"{COPIES}{size:015d}"
