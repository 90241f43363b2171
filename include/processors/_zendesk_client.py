"""The way to Zendesk's API: zenpy's transport behind an adapter that keeps traffic, waiting and errors in our hands.

zenpy follows `links.next` wherever it points, sleeps through any `Retry-After`, breaks on one that is a date, and
quotes whole replies in its exceptions. So every call goes through `Gate`, which sends to one host only, waits little,
and raises our errors before zenpy sees the reply; replies are read as plain JSON, past zenpy's cache. Zendesk publishes
no idempotency key: only reads, and calls answered 429 (not carried out), are repeated here.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar
from urllib.parse import urlencode, urlsplit, urlunsplit

import requests
from requests.adapters import HTTPAdapter

from include.connections import TIMEOUT_SECONDS, Connection
from include.errors import ConfigurationError, Refused, Unreachable
from include.errors import RateLimited as RateLimitedError

NAME = "zendesk"
CHUNK = 100  # ids per bulk call, Zendesk's maximum
PATIENCE = 20.0  # longest single wait inside a task
WAITS = 60.0  # longest wait altogether
JOB_SECONDS = 120.0
RETRY_PAUSES = (0.5, 2.0)
LOTS = {"api": 20, "purge_user": 10, "export": 10, "deleted_listing": 1}  # small, as an abandoned lot is lost
UNSTATED = 60.0  # a 429 that names no time: the published limits count by the minute

CODES = frozenset(
    {"RecordNotFound", "RecordInvalid", "TooManyJobs", "TooManyValues", "InvalidEndpoint", "Forbidden", "invalid"}
)

Row = dict[str, Any]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Answer:
    """One reply that says something: its status and JSON body (None for 204)."""

    status: int
    body: Any = field(repr=False)
    digest: str = ""

    @property
    def code(self) -> str:
        """Zendesk's error word if it is one of the known ones; never its description, which quotes people."""
        word = self.body.get("error") if isinstance(self.body, dict) else None
        return word if isinstance(word, str) and word in CODES else f"http_{self.status}"

    def rows(self, key: str) -> list[Row]:
        """Return the list under `key`; a reply without it says nothing."""
        found = self.body.get(key) if isinstance(self.body, dict) else None
        if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
            raise Unreachable(NAME, "unexpected_shape", status=self.status)
        return found


@dataclass(frozen=True, slots=True)
class Job:
    """The end of a background job: `status` is Zendesk's word, or `lost` where nobody can tell."""

    status: str
    results: Any = field(default=None, repr=False)
    digest: str | None = None

    @property
    def succeeded(self) -> bool:
        """Whether an all-or-nothing job says it did everything; still no proof."""
        return self.status == "completed" and isinstance(self.results, dict) and self.results.get("success") is True


def sleep(seconds: float) -> None:
    """Wait; tests replace this."""
    time.sleep(seconds)


def retry_after(headers: Any, now: float | None = None) -> float:
    """Return the seconds a 429 asks for: a number, an HTTP date, `ratelimit-reset`, or a minute when it names none."""
    text = str(headers.get("Retry-After") or headers.get("ratelimit-reset") or "").strip()
    if not text:
        return UNSTATED
    if re.fullmatch(r"\d{1,9}(\.\d+)?", text):
        return max(float(text), 0.1)
    try:
        until = parsedate_to_datetime(text)
        sent = headers.get("Date")
        start = parsedate_to_datetime(sent).timestamp() if sent and now is None else (now or time.time())
    except ValueError:
        return UNSTATED
    until = until if until.tzinfo else until.replace(tzinfo=UTC)
    return max(until.timestamp() - start, 0.1)


class Gate(HTTPAdapter):
    """Sends to the vendor's host, or to `endpoint_url` instead, and nowhere else; raises our errors for what fails."""

    def __init__(self, host: str, endpoint_url: str | None) -> None:
        super().__init__(max_retries=0)
        self.host, self.endpoint, self.waited = host, urlsplit(endpoint_url) if endpoint_url else None, 0.0

    def address(self, url: str) -> str:
        """Return where to really send: links name the vendor's host, or that of the endpoint."""
        parts, target = urlsplit(url), self.endpoint
        vendor = parts.scheme == "https" and parts.netloc.lower() == self.host
        if target is None and vendor:
            return url
        if target is not None and (vendor or (parts.scheme, parts.netloc) == (target.scheme, target.netloc)):
            prefix = target.path.rstrip("/")
            path = parts.path if prefix and parts.path.startswith(prefix + "/") else prefix + parts.path
            return urlunsplit((target.scheme, target.netloc, path, parts.query, ""))
        raise Refused(NAME, "foreign_host", advice="A link led away from the account's host and was not followed.")

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        """Send, and wait or repeat where that is safe."""
        request.url = self.address(str(request.url))
        pauses = list(RETRY_PAUSES) if request.method == "GET" else []
        while True:
            try:
                return self._once(request, args, kwargs)
            except RateLimitedError as error:
                if error.retry_after > PATIENCE or self.waited + error.retry_after > WAITS:
                    raise
                pause = error.retry_after
                self.waited += pause
            except Unreachable:
                if not pauses:
                    raise
                pause = pauses.pop(0)
            sleep(pause)

    def _once(self, request: requests.PreparedRequest, args: Any, kwargs: Any) -> requests.Response:
        response: requests.Response | None = None
        try:
            response = super().send(request, *args, **kwargs)
            response.content  # noqa: B018 - reads the body here, where a cut connection is ours to name
        except requests.RequestException:
            response = None  # the text of this exception holds the address, and so what we searched for
        if response is None:
            raise Unreachable(NAME, "no_answer")
        self._judge(response)
        return response

    def _judge(self, response: requests.Response) -> None:
        status = response.status_code
        answer = read(response)
        if answer.code == "TooManyJobs":
            seconds = retry_after(response.headers) if response.headers.get("Retry-After") else PATIENCE / 2
            raise RateLimitedError(NAME, retry_after=seconds, code="too_many_jobs", status=status)
        if status == 429:
            raise RateLimitedError(NAME, retry_after=retry_after(response.headers))
        if status >= 500 or 300 <= status < 400:
            raise Unreachable(NAME, f"http_{status}", status=status, request_id=request_id(response))
        if answer.body is None and status != 204:
            raise Unreachable(NAME, "not_json", status=status, request_id=request_id(response))
        if status == 401:
            raise Refused(NAME, "not_authenticated", status=status, advice="Check the connection's login and token.")


def request_id(response: requests.Response) -> str | None:
    """Return Zendesk's request id if it looks like one."""
    value = str(response.headers.get("X-Zendesk-Request-Id") or response.headers.get("X-Request-Id") or "")
    return value if re.fullmatch(r"[A-Za-z0-9-]{8,64}", value) else None


def read(response: requests.Response) -> Answer:
    """Return the reply as JSON; the body is None where it is not a JSON object."""
    try:
        body = json.loads(response.content) if response.content else None
    except ValueError:
        body = None
    digest = hashlib.sha256(response.content).hexdigest()
    return Answer(response.status_code, body if isinstance(body, dict) else None, digest)


class Client:
    """Reads and deletes at one Zendesk account; counts its requests in `calls`."""

    def __init__(
        self,
        connection: Connection,
        reserve: Callable[[str, int], float],
        go_on: Callable[[], None] = lambda: None,
    ) -> None:
        subdomain = connection.require("subdomain").lower()
        if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", subdomain):
            raise ConfigurationError(f"Connection {connection.name}: extra 'subdomain' is not a plain subdomain.")
        if not connection.login or not connection.password:
            raise ConfigurationError(
                f"Connection {connection.name}: login (agent e-mail) and password (API token) are needed."
            )
        self.base, self.reserve, self.calls = f"https://{subdomain}.zendesk.com", reserve, 0
        self._credit: dict[str, int] = {}
        self._go_on = go_on
        for logger in ("zenpy", "urllib3"):  # at DEBUG both print addresses, which hold what we searched for
            logging.getLogger(logger).setLevel(logging.WARNING)
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.headers["Cache-Control"] = "no-cache"
        gate = Gate(urlsplit(self.base).netloc, connection.endpoint_url)
        for scheme in ("https://", "http://"):
            self.session.mount(scheme, gate)
        self._api = self._zenpy(subdomain, connection)

    def _zenpy(self, subdomain: str, connection: Connection) -> Any:
        from zenpy import Zenpy

        zenpy = Zenpy(
            subdomain=subdomain,
            email=connection.login,
            token=connection.password,
            session=self.session,
            timeout=TIMEOUT_SECONDS,
            ratelimit_budget=1,
            disable_cache=True,
        )
        return zenpy.users

    # -- single calls ----------------------------------------------------------------------------------------------
    def spend(self, quota: str) -> None:
        """Use one call of a published limit, reserved in lots; a long wait belongs to the scheduler, not to a task."""
        if self._credit.get(quota, 0) == 0:
            seconds = self.reserve(quota, LOTS[quota])
            if seconds > PATIENCE:
                raise RateLimitedError(NAME, retry_after=seconds, code=f"quota_{quota}", status=None)
            if seconds > 0:
                sleep(seconds)
            self._credit[quota] = LOTS[quota]
        self._credit[quota] -= 1

    def call(self, method: str, path: str, parameters: Row | None = None, *, body: Any = None) -> Answer:
        """Carry out one call; 2xx, 403, 404, 409 and 422 are returned, everything else raises."""
        self.spend("api")
        if method.upper() != "GET":
            self._go_on()
        self.calls += 1
        url = path if path.startswith("http") else f"{self.base}/api/v2{path}"
        if parameters:
            url += "?" + urlencode(parameters)
        answer = self._send(method, url, body)
        if answer.status >= 400 and answer.status not in {403, 404, 409, 422}:
            raise Refused(NAME, answer.code, status=answer.status, advice="Zendesk does not accept this call.")
        return answer

    def _send(self, method: str, url: str, body: Any) -> Answer:
        from zenpy.lib.exception import APIException, ZenpyException

        try:
            response = self._api._call_api(
                getattr(self.session, method.lower()), url, timeout=TIMEOUT_SECONDS, json=body, allow_redirects=False
            )
        except (APIException, ZenpyException, requests.RequestException) as error:
            response = getattr(error, "response", None)  # its text quotes the reply and goes no further
        if response is None:
            raise Unreachable(NAME, "no_answer")
        return read(response)

    def get(self, path: str, parameters: Row | None = None, *, missing: bool = False) -> Answer:
        """Read; a 404 is returned only where the caller may take it as `missing`."""
        answer = self.call("GET", path, parameters)
        if answer.status == 404 and missing and answer.code == "RecordNotFound":
            return answer
        if answer.status == 404:
            raise Unreachable(NAME, answer.code, status=404)
        if answer.status >= 400:
            raise Refused(NAME, answer.code, status=answer.status, advice="The agent may lack a permission.")
        return answer

    def pages(
        self, path: str, key: str, parameters: Row | None = None, *, quota: str | None = None, missing: bool = False
    ) -> Iterator[Row]:
        """Yield all rows of a listing, cursor or offset pages; nothing where the parent is `missing`."""
        query: Row | None = {**(parameters or {}), "page[size]": CHUNK}
        if path.startswith("/users/s"):  # search and show_many know no cursor
            query = {**(parameters or {}), "per_page": CHUNK}
        seen: set[str] = set()
        link: str | None = path
        while link:
            if quota:
                self.spend(quota)
            answer = self.get(link, query, missing=missing)
            if answer.status == 404:
                return
            yield from answer.rows(key)
            link, query = self._next(answer.body), None
            if link in seen:
                raise Unreachable(NAME, "endless_pages")
            seen.add(link or "")

    @staticmethod
    def _next(body: Row) -> str | None:
        meta, links = body.get("meta"), body.get("links")
        if isinstance(meta, dict):
            following = links.get("next") if isinstance(links, dict) else None
            if meta.get("has_more") and not following:
                raise Unreachable(NAME, "page_without_link")
            return str(following) if meta.get("has_more") else None
        following = body.get("next_page")
        return str(following) if following else None

    # -- many at once ----------------------------------------------------------------------------------------------
    def show_many(self, kind: str, ids: Iterable[int], **more: str) -> tuple[dict[int, Row], list[Row] | None]:
        """Return what is there of `ids` (`users` or `tickets`), and the rows of `include` if all were side-loaded."""
        found: dict[int, Row] = {}
        side: list[Row] | None = []
        for chunk in chunks(sorted(set(ids))):
            answer = self.call("GET", f"/{kind}/show_many", {"ids": ",".join(map(str, chunk)), **more})
            if answer.status == 404:
                rows, side = [row for key in chunk if (row := self.show(kind, key))], None
            elif answer.status >= 400:
                raise Refused(NAME, answer.code, status=answer.status)
            else:
                rows = answer.rows(kind)
                loaded = more.get("include") in answer.body
                side = side + answer.rows(more["include"]) if loaded and side is not None else None
            found |= {int(row["id"]): row for row in rows if int(row["id"]) in chunk}
        return found, side

    def show(self, kind: str, key: int) -> Row | None:
        """Return one user or ticket, or None where Zendesk knows of none."""
        answer = self.get(f"/{kind}/{int(key)}", missing=True)
        if answer.status == 404:
            return None
        row = answer.body.get(kind.removesuffix("s"))
        if not isinstance(row, dict):
            raise Unreachable(NAME, "unexpected_shape", status=answer.status)
        return row

    def run_job(self, path: str, ids: Sequence[int] = ()) -> Job:
        """Delete through a background job and wait at most two minutes for its end."""
        answer = None
        try:
            answer = self.call("DELETE", path, {"ids": ",".join(map(str, ids))} if ids else None)
        except Unreachable:
            return Job("lost")
        if answer.status == 404:
            return Job("missing" if answer.code == "RecordNotFound" else "lost")
        if answer.status >= 400:
            raise Refused(NAME, answer.code, status=answer.status, advice="Bulk deletion needs an administrator.")
        job = answer.body.get("job_status") if isinstance(answer.body, dict) else None
        return self._poll(str(job["id"])) if isinstance(job, dict) and job.get("id") else Job("lost")

    def _poll(self, job_id: str) -> Job:
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,80}", job_id):
            return Job("lost")
        waited, pause = 0.0, 0.2
        while waited < JOB_SECONDS:
            answer = self.get(f"/job_statuses/{job_id}", missing=True)
            job = answer.body.get("job_status") if answer.status == 200 else None
            if not isinstance(job, dict):
                return Job("lost")
            if job.get("status") not in {"queued", "working"}:
                return Job(str(job.get("status")), job.get("results"), answer.digest)
            sleep(pause)
            waited, pause = waited + pause, min(pause * 1.6, 5.0)
        return Job("working")


def chunks(ids: Sequence[T]) -> Iterator[list[T]]:
    """Yield lists of at most 100 ids."""
    for start in range(0, len(ids), CHUNK):
        yield list(ids[start : start + CHUNK])
