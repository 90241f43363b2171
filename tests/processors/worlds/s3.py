"""S3: objects with versions, delete markers and unfinished uploads under an account's prefix."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, ClassVar
from uuid import uuid4

from sqlalchemy import Engine

from include.connections import Connection, s3_client
from include.policy.schedule import Schedule
from include.sandbox.servers import S3Server
from tests.processors.s3_proxy import XML, Answer, Proxy, proxy_to
from tests.processors.worlds.base import EVER, NEIGHBOURS, TARGET, Act, Person, World
from tests.processors.worlds.tamper import INSTEAD, Trap

BUCKET = "live"
GONE = "confirmed_absent"
DELETE = Act("delete versions", "POST", r"[?&]delete(=|&|$)")
ABORT = Act("abort an upload", "DELETE", r"[?&]uploadId=")


@cache
def admin_of(endpoint_url: str) -> Any:
    """Return a client that may do everything, one per server."""
    extra = {"endpoint_url": endpoint_url}
    return s3_client(Connection("s3", login="admin", password="admin-secret", extra=extra))


@dataclass
class Wrong:
    """One kind of trouble on matching requests."""

    kind: str
    act: Act | None
    times: int
    headers: Mapping[str, str]


class S3World(World):
    """A prefix of its own in the live bucket of a real S3 server, reached through a proxy."""

    name: ClassVar[str] = "s3"
    datasets: ClassVar[tuple[str, ...]] = ("live_objects",)
    scope_id: ClassVar[str] = "live_objects"
    richest: ClassVar[str] = "versions, markers and an upload"
    variants = {
        "versions, markers and an upload": GONE,
        "one object": GONE,
        "only delete markers": GONE,
        "only an unfinished upload": GONE,
        "nothing": GONE,
    }
    acts = (DELETE, ABORT)
    oddities = {
        "partial": "half of a delete request fails entry by entry, the other half only says that it did not",
        "stale": "a listing is that of before",
    }
    without: ClassVar[dict[str, str]] = {
        "merged": "a prefix is one account's; S3 merges nothing",
        "several_records": "a prefix is one account's; whatever is below it is one record",
        "value_refused": "nothing is overwritten: every version is deleted",
        "rate_date": "S3 says SlowDown and names no date",
        "rate_bare": "played as `rate_seconds`: SlowDown may come without a word on how long",
    }
    deletes = "every version and delete marker under the account's prefix, and unfinished uploads"
    anonymises = "nothing"
    reads = "a second listing of versions, markers and uploads, newer than the deletes: empty"
    not_provable = "nothing that S3 shows; what Object Lock or a legal hold keeps is `retained` until its date"

    def __init__(self, accounts: Engine, schedule: Schedule, variant: str, server: S3Server) -> None:
        super().__init__(accounts, schedule, variant)
        self.server, self.root = server, f"w{uuid4().hex[:10]}/"
        self.admin = admin_of(server.endpoint_url)
        self.wrong: list[Wrong] = []
        self.changing: list[tuple[str, str]] = []
        self.proxy: Proxy

    @contextlib.contextmanager
    def serving(self) -> Iterator[None]:
        self.trap = Trap()
        with proxy_to(self.server.endpoint_url) as self.proxy:
            self.proxy.fault = self._fault
            yield
        assert not self.trap.knocked(), "a redirection was followed to another host"
        self.trap.close()

    def connection(self) -> Connection:
        direct = self.server.connection("s3", "eraser", bucket=BUCKET)
        return replace(direct, extra={**direct.extra, "endpoint_url": self.proxy.url})

    def settings(self) -> dict[str, Any]:
        return {**super().settings(), "places": [{"bucket": BUCKET, "prefix": self.root + "{account_id}/"}]}

    # -- people ----------------------------------------------------------------------------------------------------
    def seed(self, person: Person, variant: str) -> None:
        folder = f"{self.root}{person.account_id}/"
        everything = variant == self.richest
        if everything or variant == "one object":
            self._put(f"{folder}profile.json", f"{person.name} {person.email}".encode())
        if everything:
            self._put(f"{folder}한글 이름+기호%2F.txt", b"one")
            self._put(f"{folder}한글 이름+기호%2F.txt", b"two")
        if everything or variant == "only delete markers":
            self.admin.delete_object(Bucket=BUCKET, Key=f"{folder}gone/long ago")
        if everything or variant == "only an unfinished upload":
            where = {"Bucket": BUCKET, "Key": f"{folder}big"}
            upload = self.admin.create_multipart_upload(**where)["UploadId"]
            self.admin.upload_part(**where, UploadId=upload, PartNumber=1, Body=b"part")

    def neighbours_are(self) -> str:
        return "one object"

    def seed_bystanders(self) -> None:
        for key in ("1", "index.json", "x/1/file", f"10{NEIGHBOURS[0].account_id}/file"):
            self._put(self.root + key, b"stays")

    def _put(self, key: str, body: bytes) -> None:
        self.admin.put_object(Bucket=BUCKET, Key=key, Body=body)

    # -- the truth -------------------------------------------------------------------------------------------------
    def snapshot(self) -> dict[str, str]:
        page = self.admin.list_object_versions(Bucket=BUCKET, Prefix=self.root)
        uploads = self.admin.list_multipart_uploads(Bucket=BUCKET, Prefix=self.root)
        return {
            **{f"{v['Key']}?{v['VersionId']}": v["ETag"] for v in page.get("Versions", ())},
            **{f"{m['Key']}?{m['VersionId']}": "marker" for m in page.get("DeleteMarkers", ())},
            **{f"{u['Key']}?{u['UploadId']}": "upload" for u in uploads.get("Uploads", ())},
        }

    def left(self) -> list[str]:
        return sorted(set(self.snapshot()) - set(self.others))

    def kind(self, key: str, value: str) -> str:
        return value if value in ("marker", "upload") else "version"

    def requests(self) -> list[tuple[str, str]]:
        return self.changing

    def changes(self) -> list[bool]:
        return [not line.startswith(("GET ", "HEAD ")) for line in self.proxy.seen]

    def vanish(self) -> None:
        prefix = f"{self.root}{TARGET.account_id}/"
        page = self.admin.list_object_versions(Bucket=BUCKET, Prefix=prefix)
        for row in (*page.get("Versions", ()), *page.get("DeleteMarkers", ())):
            self.admin.delete_object(Bucket=BUCKET, Key=row["Key"], VersionId=row["VersionId"])
        for row in self.admin.list_multipart_uploads(Bucket=BUCKET, Prefix=prefix).get("Uploads", ()):
            self.admin.abort_multipart_upload(Bucket=BUCKET, Key=row["Key"], UploadId=row["UploadId"])

    # -- trouble ---------------------------------------------------------------------------------------------------
    def trouble(self, kind: str, act: Act | None = None, *, times: int = 1, headers: Mapping[str, str] = {}) -> None:
        self.wrong.append(Wrong(kind, act, times, headers))

    def mend(self) -> None:
        self.wrong.clear()

    def unmet(self) -> int:
        return sum(w.times for w in self.wrong if w.times < EVER // 2)

    def _partly(self, body: bytes) -> Answer | None:
        """Answer as S3 does when it could delete nothing of the second half: nothing was, and only some is told."""
        versions = re.findall(rb"<Object>.*?</Object>", body, re.DOTALL)
        if not versions:
            return None
        told = b"".join(
            o.replace(b"Object>", b"Error>").replace(b"</Error>", b"<Code>InternalError</Code></Error>")
            for o in versions[len(versions) // 2 :]
        )
        return 200, XML, b'<DeleteResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">' + told + b"</DeleteResult>"

    def calls(self) -> int:
        return len(self.proxy.seen)

    def _fault(self, method: str, path: str, body: bytes) -> Answer | str | None:
        if method not in ("GET", "HEAD"):
            self.witness(f"{method} {path}")
            self.changing.append((method, path))
        for wrong in self.wrong:
            act = wrong.act
            if wrong.times > 0 and (act is None or (re.fullmatch(act.method, method) and re.search(act.path, path))):
                wrong.times -= 1
                return self._answer(wrong, method, body)
        kind = self.liar.choose(method) if self.liar else None
        return self._answer(Wrong(kind, None, 0, {}), method, body) if kind else None

    def _answer(self, wrong: Wrong, method: str, body: bytes) -> Answer | str | None:
        if wrong.kind == "redirect":
            return 307, {"Location": f"{self.trap.url}/x"}, b""
        if wrong.kind in INSTEAD and wrong.kind not in ("html", "unavailable", "rate"):
            return INSTEAD[wrong.kind]
        if wrong.kind == "lie" and method in ("GET", "HEAD"):
            return None
        if wrong.kind == "partial":
            return self._partly(body)
        if wrong.kind == "lie":
            if method == "DELETE":
                return 204, {}, b""
            return 200, XML, b'<DeleteResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"></DeleteResult>'
        if wrong.kind == "slow":
            time.sleep(0.05)
            return None
        if wrong.kind == "html":
            return 200, {"Content-Type": "text/html"}, b"<html><body>Service unavailable</body></html>"
        said = f"{TARGET.name} {TARGET.email}"
        words = {
            "unavailable": (503, "ServiceUnavailable"),
            "rate": (503, "SlowDown"),
            "unauthorized": (403, "InvalidAccessKeyId"),
        }
        if wrong.kind in words:
            status, code = words[wrong.kind]
            body = f"<Error><Code>{code}</Code><Message>{said}</Message><Key>{said}</Key></Error>"
            return status, {**XML, **wrong.headers}, body.encode()
        return wrong.kind
