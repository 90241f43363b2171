"""`engine_subjects_per_s`: how fast the engine erases where nothing but itself slows it down."""

from __future__ import annotations

import statistics
import time
from collections import Counter
from dataclasses import dataclass
from datetime import date

import httpx
from sqlalchemy import func, select

from include.archive.staging import ArchiveKeys
from include.connections import Connection
from include.database import disposal, entry
from include.disposals import advance_batch, locate_batch, make_batches
from include.processors import Site, load
from tests.bench.company import Night, night, write_schedule
from tests.bench.frame import Bench
from tests.bench.registry import PLACE
from tests.bench.rows import Row, say
from tests.bench.sixcalls_server import served

DAY = date(2026, 11, 24)
SEED = 7
PEER_PER_S, PEER_CPU = 1.1, 0.94
"""Fides 2.84.2 with six calls a subject on two cores, without any read-back: measured once, on another day."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One night's subjects: seconds and our own processor seconds from plan to proof."""

    wall: float
    cpu: float
    steps: dict[str, float]
    entries: int


def engine_subjects_per_s(bench: Bench) -> list[Row]:
    """Plan, locate, act and read back subjects at a place of six HTTP calls each."""
    count, found = bench.sizes.engine, list[Measured]()
    path = write_schedule(bench.folder / "engine")
    for number in range(bench.sizes.repeat):
        with served() as url, night(bench, count, DAY, path) as one:
            found.append(_erase(one, url, count))
            calls = httpx.get(f"{url}/_counts").json()
        if calls["calls"] != 6 * count or calls["purged"] != count:
            raise RuntimeError(f"the bench processor made {calls} for {count} subjects instead of six calls each")
        say(
            f"  run {number + 1} of {bench.sizes.repeat}: {count / found[-1].wall:.0f} subjects/s, "
            f"{found[-1].cpu / count:.4f} CPU-s a subject"
        )
    rates = [count / m.wall for m in found]
    cpu = [m.cpu / count for m in found]
    value, spent = statistics.median(rates), statistics.median(cpu)
    reported = {
        "subjects": count,
        "calls_per_subject": 6,
        "cpu_s_per_subject": round(spent, 5),
        "cpu_s_per_subject_min_max": [round(min(cpu), 5), round(max(cpu), 5)],
        "entries_per_subject": round(found[0].entries / count, 2),
        "seconds_by_step": {k: round(statistics.median(m.steps[k] for m in found), 2) for k in found[0].steps},
        "peer_cpu_s_per_subject": PEER_CPU,
    }
    met = value >= 30 and spent <= 0.03
    goal = ">= 30/s and <= 0.03 CPU-s a subject"
    return [Row("engine_subjects_per_s", value, "subjects/s", PEER_PER_S, value / PEER_PER_S, goal, met, rates,
                reported, SEED)]  # fmt: skip


def _erase(one: Night, url: str, count: int) -> Measured:
    context, kind = one.context, load(PLACE)
    steps: Counter[str] = Counter()
    wall, cpu = time.perf_counter(), time.process_time()
    planned = one.release()
    steps["discover"] = time.perf_counter() - wall
    assert context.run_id is not None
    batches = make_batches(context, context.run_id, PLACE, kind.batch_size)
    keys = ArchiveKeys.of(context.wrapper)
    for step in ("locate", "advance"):
        started = time.perf_counter()
        for number, batch_id in enumerate(batches):
            site = Site(Connection(PLACE, extra={"endpoint_url": url}), {}, context.as_of, accounts=one.accounts)
            if step == "locate":
                locate_batch(context, PLACE, lambda s=site: kind(s), batch_id, f"bench/{number}", keys)
            else:
                advance_batch(context, kind(site), batch_id, f"bench/{number}")
        steps[step] = time.perf_counter() - started
    spent = time.perf_counter() - wall, time.process_time() - cpu
    with context.engine.connect() as connection:
        done = connection.execute(
            select(func.count()).where(disposal.c.outcome == "confirmed_absent", disposal.c.closed_on.is_not(None))
        ).scalar_one()
        entries = connection.execute(select(func.count()).select_from(entry)).scalar_one()
    if not planned == done == count:
        raise RuntimeError(f"of {count} subjects {planned} were planned and {done} proven gone")
    return Measured(*spent, dict(steps), entries)
