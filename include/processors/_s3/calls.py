"""S3 calls that erasing needs, with their traps closed: exact prefixes, every page, per-entry errors, no vendor text.

A web page (`<html>…`) is well-formed XML, and boto3 reads it as a listing without entries; so a page counts only if it
names the bucket and says whether it is the last.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus
from zoneinfo import ZoneInfo

from include.connections import Connection, s3_client
from include.errors import Refused, Unreachable
from include.processors._s3.errors import AGAIN, DENIED, GONE, NAME, NO_ANSWER, Plain, no_search, translated
from include.processors._s3.places import Place

if TYPE_CHECKING:
    from botocore.client import BaseClient

SEOUL = ZoneInfo("Asia/Seoul")
MOST = 1000
"""Keys a `DeleteObjects` request takes, and entries a listing page has."""
NOT_XML = re.compile("[\x00-\x1f\x7f-\x9f\ufffe\uffff]")
"""What XML cannot carry, or carries changed (a carriage return)."""
QUIET = ("boto3", "botocore", "urllib3", "s3transfer")


@dataclass(frozen=True, slots=True, order=True)
class Version:
    """One version or delete marker."""

    key: str = field(repr=False)
    version_id: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Upload:
    """One unfinished multipart upload; its parts hold data that no object listing shows."""

    key: str = field(repr=False)
    upload_id: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Lock:
    """What keeps a version: a date until which it is locked, a legal hold without a date, or both."""

    until: date | None = None
    held: bool = False


class Bucket:
    """One place and the calls that go there."""

    def __init__(
        self,
        place: Place,
        connection: Connection,
        *,
        sleep: Callable[[float], None],
        go_on: Callable[[], None] = lambda: None,
    ) -> None:
        for name in QUIET:
            logging.getLogger(name).setLevel(logging.WARNING)  # their lines hold keys
        if place.region:
            connection = replace(connection, extra={**connection.extra, "region_name": place.region})
        self.place, self._sleep, self._go_on = place, sleep, go_on
        self._client: BaseClient = s3_client(connection)
        self._client.meta.events.register("after-call.s3.ListMultipartUploads", _decode)
        self._client.meta.events.register("before-call.s3.HeadBucket", no_search)

    def check(self) -> None:
        """Refuse a bucket whose versions only a second factor can delete; a listing that is denied says so itself."""
        with translated(self.place):
            state = self._client.get_bucket_versioning(Bucket=self.place.bucket)
        if state.get("MFADelete") == "Enabled":
            raise Refused(NAME, "mfa_delete", advice=f"Bucket {self.place.bucket} asks for a second factor to delete.")

    def versions(self, account_id: str) -> list[Version]:
        """Return every version and delete marker of one account, and of nobody else."""
        prefix = self.place.prefix(account_id)
        return [
            Version(row["Key"], row["VersionId"])
            for page in self._pages("list_object_versions", "Name", prefix)
            for row in (*page.get("Versions", ()), *page.get("DeleteMarkers", ()))
            if row["Key"].startswith(prefix)
        ]

    def written(self, prefix: str) -> Iterator[tuple[str, datetime]]:
        """Yield key and time of every version below a prefix; a delete marker is not data."""
        for page in self._pages("list_object_versions", "Name", prefix):
            yield from ((row["Key"], row["LastModified"]) for row in page.get("Versions", ()))

    def uploads(self, account_ids: Iterable[str]) -> dict[str, list[Upload]]:
        """Return the unfinished uploads of some accounts, from one listing over what their prefixes share."""
        prefixes = {self.place.prefix(a): a for a in account_ids}
        found: dict[str, list[Upload]] = {}
        for page in self._upload_pages(_shared(prefixes)):
            for row in page.get("Uploads", ()):
                account = self._owner(row["Key"], prefixes)
                if account is not None:
                    found.setdefault(account, []).append(Upload(row["Key"], row["UploadId"]))
        return found

    def _upload_pages(self, prefix: str) -> list[dict[str, Any]]:
        """Return a listing of uploads; encoded only where a key breaks the XML.

        Not every server that says it encoded keys did (SeaweedFS), and `a+b` looks the same in both.
        """
        try:
            return list(self._pages("list_multipart_uploads", "Bucket", prefix))
        except Unreachable as error:
            if error.code == NO_ANSWER:
                raise
        return list(self._pages("list_multipart_uploads", "Bucket", prefix, EncodingType="url"))

    def _pages(self, call: str, names_bucket: str, prefix: str, **asked: str) -> Iterator[dict[str, Any]]:
        """Yield the pages of a listing up to one that says it is the last."""
        more: Any = True
        with translated(self.place):
            pages = self._client.get_paginator(call)
            size = {"PageSize": MOST}
            for page in pages.paginate(Bucket=self.place.bucket, Prefix=prefix, PaginationConfig=size, **asked):
                more = page.get("IsTruncated")
                if page.get(names_bucket) != self.place.bucket or page.get("Prefix", prefix) != prefix or more is None:
                    raise Unreachable(NAME, "odd_listing")
                yield page
        if more:
            raise Unreachable(NAME, "unfinished_listing")

    def _owner(self, key: str, prefixes: dict[str, str]) -> str | None:
        """Return the account among `prefixes` whose prefix begins `key`."""
        depth = self.place.template.count("/")
        parts = key.split("/")
        return prefixes.get("/".join(parts[:depth]) + "/") if len(parts) > depth else None

    def abort(self, uploads: Iterable[Upload]) -> None:
        """Abort uploads; one that is not there any more is as good."""
        for upload in uploads:
            self._go_on()
            try:
                with translated(self.place, plain=GONE):
                    self._client.abort_multipart_upload(
                        Bucket=self.place.bucket, Key=upload.key, UploadId=upload.upload_id
                    )
            except Plain:
                continue

    def delete(self, versions: Sequence[Version], *, tries: int = 3) -> dict[Version, str]:
        """Delete versions by their ids, never by key alone; return the code of each that was refused.

        The reply calls an absent version deleted, so only a listing afterwards says what is gone.
        """
        refused: dict[Version, str] = {}
        left = list(versions)
        for attempt in range(1, tries + 1):
            refused |= self._delete_once(left)
            left = [v for v, code in refused.items() if code in AGAIN]
            if not left or attempt == tries:
                break
            for version in left:
                del refused[version]
            self._sleep(0.3 * attempt)
        return refused

    def _delete_once(self, versions: Sequence[Version]) -> dict[Version, str]:
        refused = {}
        alone = [v for v in versions if NOT_XML.search(v.key)]
        for version in alone:
            if (code := self._delete_alone(version)) is not None:
                refused[version] = code
        together = [v for v in versions if not NOT_XML.search(v.key)]
        for start in range(0, len(together), MOST):
            chunk = together[start : start + MOST]
            entries = [{"Key": v.key, "VersionId": v.version_id} for v in chunk]
            self._go_on()
            with translated(self.place):
                reply = self._client.delete_objects(
                    Bucket=self.place.bucket, Delete={"Objects": entries, "Quiet": True}
                )
            for error in reply.get("Errors", ()):
                meant = {Version(error.get("Key", ""), error["VersionId"])} if error.get("VersionId") else None
                for version in chunk if meant is None else meant & set(chunk):
                    if version.key == error.get("Key"):
                        refused[version] = str(error.get("Code") or "unknown")
        return refused

    def _delete_alone(self, version: Version) -> str | None:
        """Delete a version whose key no XML can name; return the code of a refusal."""
        try:
            with translated(self.place, plain=GONE | DENIED | AGAIN):
                self._client.delete_object(Bucket=self.place.bucket, Key=version.key, VersionId=version.version_id)
        except Plain as refusal:
            return None if refusal.code in GONE else refusal.code
        return None

    def lock(self, version: Version) -> Lock | None:
        """Return what keeps a version, or None when nothing does (or it may not be seen)."""
        head = self._ask("head_object", version)
        retention = (
            head if head is not None else (self._ask("get_object_retention", version) or {}).get("Retention", {})
        )
        status = (
            head.get("ObjectLockLegalHoldStatus")
            if head is not None
            else (self._ask("get_object_legal_hold", version) or {}).get("LegalHold", {}).get("Status")
        )
        moment = retention.get("ObjectLockRetainUntilDate") or retention.get("RetainUntilDate")
        until = _seoul_day(moment) if moment and moment > datetime.now(UTC) else None
        return Lock(until, status == "ON") if until or status == "ON" else None

    def _ask(self, call: str, version: Version) -> dict[str, Any] | None:
        """Return a reply about one version, or None where it may not be seen, has none, or is a delete marker."""
        nothing = {
            *GONE, *DENIED, "404", "405", "MethodNotAllowed", "InvalidRequest", "NoSuchObjectLockConfiguration",
            "ObjectLockConfigurationNotFoundError", "NoSuchObjectLegalHold",
        }  # fmt: skip
        try:
            with translated(self.place, plain=frozenset(nothing)):
                reply: dict[str, Any] = getattr(self._client, call)(
                    Bucket=self.place.bucket, Key=version.key, VersionId=version.version_id
                )
                return reply
        except Plain:
            return None


def _shared(prefixes: Collection[str]) -> str:
    """Return the beginning that all prefixes share."""
    low, high = min(prefixes), max(prefixes)
    same = next((i for i, (a, b) in enumerate(zip(low, high, strict=False)) if a != b), min(len(low), len(high)))
    return low[:same]


def _seoul_day(moment: datetime) -> date:
    """Return the first Seoul date on which a lock is over all day."""
    return (moment.astimezone(SEOUL) - timedelta(microseconds=1)).date() + timedelta(days=1)


def _decode(parsed: dict[str, Any], **_event: Any) -> None:
    """Decode the keys of a listing of uploads, where the server says that it encoded them."""
    if parsed.get("EncodingType") != "url":
        return
    for part in (parsed, *parsed.get("Uploads", ())):
        for name in ("Key", "Prefix", "KeyMarker", "NextKeyMarker"):
            if name in part:
                part[name] = unquote_plus(part[name])
