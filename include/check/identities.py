"""That nobody can delete where they must not, found out by trying, on names that never existed.

The erasing identity (`s3`) in the archive and evidence buckets, the archive's in the live and evidence buckets, the
evidence log's in the live and archive buckets. Two deletions are tried, because they are two rights. One names version
`null` of a random name (`s3:DeleteObjectVersion`): where it is allowed, nothing happens. One names no version
(`s3:DeleteObject`): where it is allowed, S3 writes a delete marker over a name that holds nothing; the line says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

from include.check import Line, Setup, tried
from include.check.stores import code_of
from include.connections import Connection, s3_client
from include.errors import ConfigurationError
from include.policy.schedule import Schedule
from include.processors._s3.places import places


def lines(setup: Setup, schedule: Schedule) -> Iterator[Line]:
    """Yield one line for each identity and bucket it must not delete in."""
    known = {name: found for name in ("s3", "archive_store", "evidence_store") if (found := _known(setup, name))}
    ours = {n: str(known[n].extra.get("bucket") or "") for n in ("archive_store", "evidence_store") if n in known}
    for name, identity in known.items():
        forbidden = {bucket for owner, bucket in ours.items() if owner != name and bucket}
        if name != "s3" and "s3" in known:
            forbidden |= _live(setup, known["s3"], schedule)
            forbidden.discard(str(identity.extra.get("bucket") or ""))
        for bucket in sorted(forbidden):
            yield tried(name, f"cannot delete in bucket {bucket}", lambda i=identity, b=bucket: _cannot(i, b))  # type: ignore[misc]


def _known(setup: Setup, name: str) -> Connection | None:
    """Return a connection, None where it is missing: other lines say so."""
    try:
        return setup.connection(name)
    except ConfigurationError:
        return None


def _live(setup: Setup, eraser: Connection, schedule: Schedule) -> set[str]:
    place = schedule.processors.get("s3")
    ours = frozenset({schedule.settings.archive.bucket, schedule.settings.evidence.bucket})
    try:
        found = places(eraser, place.settings if place else {}, ours, setup.connection)
        return {p.bucket for p, _ in found}
    except ConfigurationError:
        return set()


def _cannot(identity: Connection, bucket: str) -> str:
    client, key = s3_client(identity), f"retention-check/{uuid4().hex}"
    version = code_of(lambda: client.delete_object(Bucket=bucket, Key=key, VersionId="null"))
    if version != "AccessDenied":
        raise _may(identity, bucket, "s3:DeleteObjectVersion", version)
    answer: dict[str, Any] = {}
    marker = code_of(lambda: answer.update(client.delete_object(Bucket=bucket, Key=key)))
    if marker != "AccessDenied":
        left = f" A delete marker now stands over the empty name {key}." if answer.get("DeleteMarker") else ""
        raise _may(identity, bucket, "s3:DeleteObject", marker, left)
    return "refused, as it must be"


def _may(identity: Connection, bucket: str, right: str, code: str, left: str = "") -> ConfigurationError:
    if code:
        return ConfigurationError(
            f"Connection {identity.name}: a deletion tried in bucket {bucket} ended with {code} instead of "
            "AccessDenied, so nothing is proven. Check the bucket's name and its policy."
        )
    return ConfigurationError(
        f"Connection {identity.name} may delete in bucket {bucket}. Take {right} on {bucket} from its role, or deny it "
        f"in the bucket's policy, before any night runs.{left}"
    )
