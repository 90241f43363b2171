"""The benchmark's processor: exactly six HTTP calls a subject, none of them shared by two.

locate: search. act `delete`: read, delete. act `purge`: purge. read_back: read, search.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import Any, ClassVar, TypeVar

from include.errors import RateLimited, Unreachable
from include.outcomes import Outcome
from include.processors import Found, Quota, Record, Result, Site, Step, Subject, Work
from include.processors._reserve import Reserve

NAME = "sixcalls"
CALLS = 6
AT_ONCE = 4
STEPS = (Step("delete"), Step("purge"))
T = TypeVar("T")
U = TypeVar("U")


class Processor:
    """Erases one record a subject; several subjects at once over kept connections."""

    name: ClassVar[str] = NAME
    batch_size: ClassVar[int] = 200
    exclusive: ClassVar[bool] = False
    quotas: ClassVar[tuple[Quota, ...]] = (Quota("api", 1_000_000, 1.0),)

    def __init__(self, site: Site) -> None:
        import httpx

        self._site, self._reserve = site, Reserve.of(NAME, site.settings)
        self._http = httpx.Client(base_url=str(site.connection.endpoint_url), timeout=30, trust_env=False)
        self._lot, self._credit, self._lock = int(site.settings.get("lot", 0)), 0, Lock()

    def check(self) -> None:
        """There is nothing to prove: no rights are asked for."""

    def locate(self, subjects: Sequence[Subject]) -> list[Found]:
        """One search a subject."""
        return self._each(self._locate, subjects)

    def _locate(self, subject: Subject) -> Found:
        reply = self._call("GET", f"/search/{subject.account_id}")
        ids = reply.json()["ids"]
        return Found(subject.disposal_id, Outcome.LOCATED, count=len(ids), locator={"id": ids[0]} if ids else {})

    def extract(self, work: Sequence[Work]) -> list[Record]:
        """Nothing here is kept by a law."""
        return []

    def steps(self, work: Work) -> tuple[Step, ...]:
        """Delete, then purge."""
        return STEPS if work.locator else ()

    def act(self, step: str, work: Sequence[Work]) -> list[Result]:
        """Read and delete, or purge."""
        self._site.go_on()
        return self._each(self._delete if step == "delete" else self._purge, work)

    def _delete(self, work: Work) -> Result:
        there = self._call("GET", f"/records/{work.locator['id']}")
        if there.status_code == 404:
            return Result(work.disposal_id, Outcome.ACCEPTED, http_status=404)
        done = self._call("DELETE", f"/records/{work.locator['id']}")
        return Result(work.disposal_id, Outcome.ACCEPTED, http_status=done.status_code)

    def _purge(self, work: Work) -> Result:
        done = self._call("DELETE", f"/deleted/{work.locator['id']}")
        return Result(work.disposal_id, Outcome.ACCEPTED, http_status=done.status_code)

    def read_back(self, work: Sequence[Work]) -> list[Result]:
        """Read by id and by search."""
        return self._each(self._gone, work)

    def _gone(self, work: Work) -> Result:
        left = int(self._call("GET", f"/records/{work.locator['id']}").status_code != 404) if work.locator else 0
        left += len(self._call("GET", f"/search/{work.account_id}").json()["ids"])
        if left:
            return Result(work.disposal_id, Outcome.FAILED, code="still_present")
        return Result(work.disposal_id, Outcome.CONFIRMED_ABSENT, count=0, verify_method="read_and_search")

    def _each(self, call: Callable[[T], U], parts: Sequence[T]) -> list[U]:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            return list(pool.map(call, parts))

    def _pace(self) -> None:
        """Reserve calls in lots where the settings say so, and wait as long as the reservation says."""
        if not self._lot:
            return
        with self._lock:
            if not self._credit:
                time.sleep(self._site.reserve("api", self._lot))
                self._credit = self._lot
            self._credit -= 1

    def _call(self, method: str, path: str) -> Any:
        import httpx

        self._reserve.check()
        self._pace()
        try:
            reply = self._http.request(method, path)
        except httpx.HTTPError:
            raise Unreachable(NAME, "no_answer") from None
        self._reserve.see(reply.headers)
        if reply.status_code == 429:
            raise RateLimited(NAME, retry_after=float(reply.headers["Retry-After"]))
        if reply.status_code >= 500:
            raise Unreachable(NAME, f"http_{reply.status_code}", status=reply.status_code)
        return reply
