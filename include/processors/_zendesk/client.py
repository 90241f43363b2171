"""The way to Zendesk's API: zenpy's transport behind `Gate`, read as plain JSON, past zenpy's cache."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlencode, urlsplit

import requests

from include.connections import TIMEOUT_SECONDS, Connection
from include.errors import ConfigurationError, RateLimited, Refused, Unreachable
from include.processors._reserve import Reserve
from include.processors._zendesk import gate
from include.processors._zendesk.gate import NAME, PATIENCE, Answer, Gate, Row, read

CHUNK = 100  # ids per bulk call, Zendesk's maximum
JOB_SECONDS = 120.0
LOTS = {"api": 20, "purge_user": 10, "export": 10, "deleted_listing": 1}  # small, as an abandoned lot is lost
DEEP = 100  # beyond this page the list of deleted tickets allows half as many requests

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Job:
    """The end of a background job: Zendesk's word, or `missing` (404), `refused` (409, 422), `lost` (no answer)."""

    status: str
    results: Any = field(default=None, repr=False)
    digest: str | None = None

    @property
    def succeeded(self) -> bool:
        """Whether an all-or-nothing job says it did everything; still no proof."""
        return self.status == "completed" and isinstance(self.results, dict) and self.results.get("success") is True


class Client:
    """Reads and deletes at one Zendesk account; counts its requests by `step`, which the processor sets."""

    def __init__(
        self,
        connection: Connection,
        reserve: Callable[[str, int], float],
        go_on: Callable[[], None] = lambda: None,
        left: Reserve | None = None,
    ) -> None:
        subdomain = connection.require("subdomain").lower()
        if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", subdomain):
            raise ConfigurationError(f"Connection {connection.name}: extra 'subdomain' is not a plain subdomain.")
        if not connection.login or not connection.password:
            raise ConfigurationError(
                f"Connection {connection.name}: login (agent e-mail) and password (API token) are needed."
            )
        self.base, self.reserve = f"https://{subdomain}.zendesk.com", reserve
        self.step, self.counts = "check", Counter[str]()
        self._credit: dict[str, int] = {}
        self._go_on = go_on
        for logger in ("zenpy", "urllib3"):  # at DEBUG both print addresses, which hold what we searched for
            logging.getLogger(logger).setLevel(logging.WARNING)
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.headers["Cache-Control"] = "no-cache"
        self._left = left or Reserve(NAME, 0.0)
        door = Gate(urlsplit(self.base).netloc, connection.endpoint_url, seen=self._left.see)
        for scheme in ("https://", "http://"):
            self.session.mount(scheme, door)
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

    @property
    def calls(self) -> int:
        """How many requests were made so far."""
        return self.counts.total()

    # -- single calls ----------------------------------------------------------------------------------------------
    def spend(self, quota: str) -> None:
        """Use one call of a published limit, reserved in lots; a long wait belongs to the scheduler, not to a task."""
        if self._credit.get(quota, 0) == 0:
            seconds = self.reserve(quota, LOTS[quota])
            if seconds > PATIENCE:
                raise RateLimited(NAME, retry_after=seconds, code=f"quota_{quota}", status=None)
            if seconds > 0:
                gate.sleep(seconds)
            self._credit[quota] = LOTS[quota]
        self._credit[quota] -= 1

    def call(self, method: str, path: str, parameters: Row | None = None, *, body: Any = None) -> Answer:
        """Carry out one call; 2xx, 403, 404, 409 and 422 are returned, everything else raises."""
        self._left.check()
        self.spend("api")
        if method.upper() != "GET":
            self._go_on()
        self.counts[self.step] += 1
        url = path if path.startswith("http") else f"{self.base}/api/v2{path}"
        if parameters:
            url += "?" + urlencode(parameters)
        answer = self._send(method, url, body)
        if answer.status >= 400 and answer.status not in {403, 404, 409, 422}:
            raise refused(answer, "Zendesk does not accept this call.")
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
            raise Unreachable(NAME, answer.code, status=404, request_id=answer.request_id)
        if answer.status >= 400:
            raise refused(answer, "The agent may lack a permission.")
        if not isinstance(answer.body, dict):
            raise Unreachable(NAME, "not_json", status=answer.status, request_id=answer.request_id)
        return answer

    def pages(
        self,
        path: str,
        key: str,
        parameters: Row | None = None,
        *,
        quota: str | None = None,
        missing: bool = False,
        of: tuple[str, int] | None = None,
    ) -> Iterator[Row]:
        """Yield all rows of a listing, cursor or offset pages; nothing where its parent may be `missing`.

        `of` names the parent, a kind and an id: then a 404 counts only if the parent, read alone, is not there either.
        """
        query: Row | None = {**(parameters or {}), "page[size]": CHUNK}
        if path.startswith("/users/s"):  # search and show_many know no cursor
            query = {**(parameters or {}), "per_page": CHUNK}
        seen: set[str] = set()
        link: str | None = path
        while link:
            for _ in range(2 if quota == "deleted_listing" and len(seen) >= DEEP else 1):
                if quota:
                    self.spend(quota)
            answer = self.get(link, query, missing=missing or of is not None)
            if answer.status == 404:
                if of is not None and self.show(*of) is not None:
                    raise Unreachable(NAME, "not_shown", status=404)
                return
            yield from answer.rows(key)
            link, query = self._next(answer.body), None
            if link in seen:
                raise Unreachable(NAME, "endless_pages")
            seen.add(link or "")

    def _next(self, body: Row) -> str | None:
        """Return where the next page is: a cursor's link, or `next_page`."""
        meta, links = body.get("meta"), body.get("links")
        if isinstance(meta, dict):
            following = links.get("next") if isinstance(links, dict) else None
            if meta.get("has_more") and not following:
                raise Unreachable(NAME, "page_without_link")
            return self._absolute(following) if meta.get("has_more") else None
        return self._absolute(body.get("next_page"))

    def _absolute(self, link: object) -> str | None:
        if not link:
            return None
        return f"{self.base}{link}" if str(link).startswith("/") else str(link)

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
                raise refused(answer, "The agent may lack a permission.")
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
            raise Unreachable(NAME, "unexpected_shape", status=answer.status, request_id=answer.request_id)
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
        if answer.status == 403:
            raise refused(answer, "Bulk deletion needs an administrator.")
        if answer.status >= 400:
            return Job("refused")
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
            gate.sleep(pause)
            waited, pause = waited + pause, min(pause * 1.6, 5.0)
        return Job("working")


def refused(answer: Answer, advice: str) -> Refused:
    """Return what stops this processor, with Zendesk's word and id of the request."""
    return Refused(NAME, answer.code, status=answer.status, request_id=answer.request_id, advice=advice)


def chunks(ids: Sequence[T]) -> Iterator[list[T]]:
    """Yield lists of at most 100 ids."""
    for start in range(0, len(ids), CHUNK):
        yield list(ids[start : start + CHUNK])
