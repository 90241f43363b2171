"""The real processors against their stand-ins: calls a subject needs, by the quota they count against.

No goal: how fast a stand-in answers says nothing of the vendor. The calls are what the vendor would count.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import func, select, update

from include import accounts, database, keys, processors
from include.archive.staging import ArchiveKeys
from include.connections import Connection
from include.database import batch_item, disposal
from include.disposals import Context, advance_batch, begin_run, locate_batch, make_batches
from include.disposals.archiving import pack_staged
from include.disposals.discover import discover
from include.evidence.tags import SubjectTags
from include.policy import schedule
from include.processors import ProcessorContract, Site
from include.sandbox import company
from include.sandbox.stack import STANDINS, Stack
from tests.bench.company import approve
from tests.bench.frame import Bench
from tests.bench.registry import PLACE
from tests.bench.rows import Row, say

ROOT = Path(__file__).parents[2]
DAY = date(2026, 11, 24)
SEED = 7
UNLIMITED = 1e6


class RealStack(Stack):
    """The sandbox without Airflow, its stand-ins without limits."""

    @property
    def environment(self) -> dict[str, str]:
        """The sandbox's environment, its limits out of reach."""
        return {**super().environment, "SANDBOX_LIMIT_FACTOR": str(UNLIMITED)}


@dataclass(slots=True)
class Place:
    """What one processor took for the subjects of a night."""

    subjects: int = 0
    batches: int = 0
    wall: float = 0.0
    cpu: float = 0.0


class Night:
    """One night over a seeded company, processor by processor."""

    def __init__(self, stack: RealStack, count: int) -> None:
        self.stack, self.count = stack, count
        self.engine, self.company = (database.connect(stack.connections[n]) for n in ("retention_db", "accounts_db"))
        database.migrate(self.engine)
        self.places: dict[str, Place] = {}
        self.reserved: Counter[tuple[str, str]] = Counter()

    @cached_property
    def context(self) -> Context:
        """The night's context, its schedule approved."""
        known = schedule.load()
        found = Context(
            engine=self.engine,
            accounts=accounts.Accounts(self.company, known.processors["own_database"].settings),
            schedule=known,
            tags=SubjectTags(keys.epochs(self.stack.connections["evidence_tags"])),
            wrapper=keys.wrapper(self.stack.connections["archive_kek"]),
            as_of=DAY,
            dag_id="nightly_retention",
        )
        approve(found)
        return replace(found, run_id=begin_run(found, airflow_run_id="bench"))

    def seed(self) -> None:
        """Fill every store."""
        made = company.generate(seed=SEED, count=self.count, anchor=DAY)
        company.create(self.company)
        company.load(self.company, made)
        live = self.stack.s3.connection("s3", "admin", bucket="live")
        company.seed_standins(made, urls={n: self.stack.url(n) for n in STANDINS}, s3_connection=live)
        for name in STANDINS:
            httpx.put(self.stack.url(name) + "/_sandbox/clock", json={"date": DAY.isoformat()}).raise_for_status()

    def run(self) -> None:
        """Plan, locate everywhere, archive, act."""
        context = self.context
        assert context.run_id is not None
        discover(context, context.run_id)
        with self.engine.begin() as connection:
            connection.execute(update(disposal).where(disposal.c.gate.is_not(None)).values(gate=None))
        names = [n for n in processors.names() if n != PLACE]
        batches = {n: make_batches(context, context.run_id, n, processors.load(n).batch_size) for n in names}
        archive = ArchiveKeys.of(context.wrapper)
        for name in names:
            for number, batch_id in enumerate(batches[name]):
                connect = partial(self._site, name)
                owner = f"bench/{name}/{number}"
                self._timed(name, partial(locate_batch, context, name, connect, batch_id, owner, archive))
        pack_staged(context, self.stack.connections["archive_store"])
        for name in names:
            for number, batch_id in enumerate(batches[name]):
                work = partial(advance_batch, context, self._site(name), batch_id, f"bench/{name}/{number}")
                self._timed(name, work)
        for name, ids in batches.items():
            place = self.places.setdefault(name, Place())
            place.subjects, place.batches = self._subjects(ids), len(ids)

    def requests(self) -> dict[str, int]:
        """Return how many requests each stand-in answered since it was seeded."""
        return {n: len(httpx.get(self.stack.url(n) + "/_sandbox/requests", timeout=60).json()) for n in STANDINS}

    def _site(self, name: str) -> ProcessorContract:
        kind = processors.load(name)
        found = self.stack.connections[name]

        def reserve(quota: str, calls: int) -> float:
            self.reserved[name, quota] += calls
            return 0.0

        settings = self.context.schedule.processors[name].settings
        site = Site(found, settings, DAY, accounts=self.company, reserve=reserve, connect=self._connection)
        return kind(site)

    def _connection(self, name: str) -> Connection:
        return self.stack.connections[name]

    def _timed(self, name: str, work: Callable[[], object]) -> None:
        place = self.places.setdefault(name, Place())
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        place.wall += time.perf_counter() - wall
        place.cpu += time.process_time() - cpu

    def _subjects(self, batch_ids: list[str]) -> int:
        with self.engine.connect() as connection:
            return int(
                connection.execute(
                    select(func.count(func.distinct(disposal.c.subject_tag)))
                    .join(batch_item, batch_item.c.disposal_id == disposal.c.disposal_id)
                    .where(batch_item.c.batch_id.in_(batch_ids))
                ).scalar_one()
            )

    def close(self) -> None:
        """End the sessions."""
        self.engine.dispose()
        self.company.dispose()


@dataclass(frozen=True, slots=True)
class Seen:
    """What one night took at one processor: its calls, in all and by quota, over that night's subjects."""

    place: Place
    calls: Counter[str]


def real_processors(bench: Bench) -> list[Row]:
    """Report one row a processor: subjects a second against its stand-in, and what each costs at the vendor.

    Two nights of different size tell what a night costs anyhow from what every further subject adds.
    """
    small, large = (_night(bench, count) for count in (max(bench.sizes.real // 4, 10), bench.sizes.real))
    return [_row(name, small[name], seen) for name, seen in sorted(large.items()) if seen.place.subjects]


def _night(bench: Bench, count: int) -> dict[str, Seen]:
    folder = bench.folder / f"real-{count}"
    folder.mkdir()
    stack = RealStack(ROOT, folder)
    try:
        say(f"  PostgreSQL, S3 and the stand-ins start; a company of {count} accounts is seeded")
        stack.start_servers()
        night = Night(stack, count)
        night.seed()
        before = night.requests()
        night.run()
        after = night.requests()
        night.close()
    finally:
        stack.stop()
    found = {}
    for name, place in night.places.items():
        calls = Counter({q: n for (p, q), n in night.reserved.items() if p == name})
        calls["all"] = after.get(name, 0) - before.get(name, 0)
        found[name] = Seen(place, calls)
    return found


def _row(name: str, small: Seen, large: Seen) -> Row:
    place = large.place
    value = place.subjects / place.wall
    calls = {q: parts(small, large, q) for q in sorted(large.calls)}
    reported: dict[str, Any] = {
        "subjects": [small.place.subjects, place.subjects],
        "batches": [small.place.batches, place.batches],
        "calls": [small.calls["all"], large.calls["all"]],
        "calls_a_batch": {q: round(a, 1) for q, (a, _) in calls.items()},
        "calls_a_subject": {q: round(b, 3) for q, (_, b) in calls.items()},
        "cpu_s_per_subject": round(place.cpu / place.subjects, 4),
        "batch_size": processors.load(name).batch_size,
    }
    say(f"  {name}: {value:.1f} subjects/s, {reported['calls_a_subject']['all']} calls a subject and a batch's own")
    return Row(f"engine_{name}", value, "subjects/s", None, None, "", None, (), reported, SEED)


def parts(small: Seen, large: Seen, quota: str) -> tuple[float, float]:
    """Return calls a batch and calls a subject that give both nights' counts, neither below zero."""
    (m1, n1, c1), (m2, n2, c2) = (
        (s.place.batches, s.place.subjects, s.calls[quota]) for s in (small, large)
    )  # fmt: skip
    det = m1 * n2 - m2 * n1
    each = (m1 * c2 - m2 * c1) / det if det else c2 / n2
    each = min(max(each, 0.0), c2 / n2)
    return (c2 - each * n2) / m2, each
