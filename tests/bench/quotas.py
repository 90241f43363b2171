"""`quota_use`: how much of our part of a published limit is used while work is left, and whose the rest stays."""

from __future__ import annotations

import threading
import time
from datetime import date
from typing import Any

import httpx
from sqlalchemy import Engine

from include.connections import Connection
from include.disposals.quotas import reserver
from include.errors import RateLimited
from include.processors import Quota, Site, Subject, load
from tests.bench.frame import Bench
from tests.bench.registry import PLACE, register
from tests.bench.rows import Row, say
from tests.bench.sixcalls_server import served

LIMIT, WINDOW, SHARE, RESERVE = 700, 60.0, 0.5, 0.2
"""Zendesk's published limit, and the default part of it that is ours."""
WORKERS, LOT, SETTLED = 3, 5, 4.0
DAY = date(2026, 11, 24)


def quota_use(bench: Bench) -> list[Row]:
    """Let several workers search without end under half a published limit; count at the place, not at us."""
    register()
    seconds, uses, refused, calls = bench.sizes.quota_seconds, [], 0, 0
    for number in range(min(bench.sizes.repeat, 3)):
        with bench.database() as engine, served(limit=LIMIT, window=WINDOW) as url:
            used, seen = _work(engine, url, seconds)
        uses.append(used / (LIMIT / WINDOW * SHARE * seconds))
        refused, calls = refused + seen["refused"], calls + seen["calls"]
        say(f"  run {number + 1}: {uses[-1]:.3f} of the allotment used, {seen['refused']} of {seen['calls']} refused")
    with bench.database() as engine, served(limit=LIMIT, window=WINDOW) as url:
        late, stayed = _yields(engine, url)
    say(f"  below the reserve {late} further calls were made; then it said: come back in {stayed:.0f} s")
    value = sorted(uses)[len(uses) // 2]
    share_refused = refused / calls
    met = value >= 0.95 and share_refused <= 0.005 and late <= _IN_FLIGHT
    reported = {
        "published_per_s": LIMIT / WINDOW, "quota_share": SHARE, "refused_share": share_refused,
        "quota_reserve": RESERVE, "calls_after_the_header_fell_below_the_reserve": late, "workers": WORKERS,
    }  # fmt: skip
    goal = ">= 0.95 of the allotment, 429s <= 0.5 %, yields below the reserve"
    return [Row("quota_use", value, "of allotment", 1.0, value, goal, met, uses, reported)]


_IN_FLIGHT = 4
"""Calls of one task that may be under way when the header falls: what `sixcalls` makes at once."""


def _work(engine: Engine, url: str, seconds: float) -> tuple[int, Any]:
    """Return the calls made in `seconds` after the burst that every window allows, and the place's own counts."""
    ended = threading.Event()
    threads = [threading.Thread(target=_search, args=(engine, url, ended)) for _ in range(WORKERS)]
    for thread in threads:
        thread.start()
    time.sleep(SETTLED)
    first, started = _counts(url), time.monotonic()
    time.sleep(seconds)
    last, took = _counts(url), time.monotonic() - started
    ended.set()
    for thread in threads:
        thread.join()
    return round((last["calls"] - first["calls"]) * seconds / took), _counts(url)


def _search(engine: Engine, url: str, ended: threading.Event) -> None:
    place = _place(engine, url)
    number = 0
    while not ended.is_set():
        number += 1
        place.locate([_subject(f"a{number}-{n}") for n in range(4)])


def _yields(engine: Engine, url: str) -> tuple[int, float]:
    """Let the company's own traffic use the window up; return how many calls came after that, and the wait."""
    place = _place(engine, url)
    place.locate([_subject("first")])
    httpx.put(f"{url}/_live/{int(LIMIT * (1 - RESERVE))}").raise_for_status()
    before = _counts(url)["calls"]
    try:
        place.locate([_subject(f"b{n}") for n in range(100)])
    except RateLimited as limited:
        return _counts(url)["calls"] - before, limited.retry_after
    raise RuntimeError("the processor went on into what belongs to the company's own traffic")


def _place(engine: Engine, url: str) -> Any:
    kind = load(PLACE)
    reserve = reserver(engine, PLACE, [Quota("api", LIMIT, WINDOW)], share=SHARE)
    connection = Connection(PLACE, extra={"endpoint_url": url})
    return kind(Site(connection, {"lot": LOT, "quota_reserve": RESERVE}, DAY, reserve=reserve))


def _subject(account: str) -> Subject:
    return Subject(account, account, "individual", "bench", ("bench_record",), "R-90", "terminated", DAY)


def _counts(url: str) -> Any:
    return httpx.get(f"{url}/_counts").json()
