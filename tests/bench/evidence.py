"""`evidence_seal` and `evidence_verify`: sealing costs what is new, verifying a few times what reading costs."""

from __future__ import annotations

import hashlib
import json
import random
import statistics
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Engine

from include.evidence.export import More, export
from include.evidence.log import seal, stage
from include.evidence.note import Signer
from include.evidence.store import EvidenceStore
from tests.bench.frame import Bench
from tests.bench.rows import Row, say, timed
from tests.evidence.samples import life

SIGNER = Signer(bytes(range(32)), "evidence.example/bench")
PAGE = 5000
SEED = 7
LIFE = 5
"""Entries of one disposal from plan to proof."""


def evidence_seal(bench: Bench) -> list[Row]:
    """Append and seal entries onto a large log; the baseline does the same onto a small one."""
    sizes = bench.sizes
    spent: dict[int, list[float]] = {}
    parts: dict[str, list[float]] = {"append": [], "seal": []}
    with bench.database() as small, bench.database() as large:
        logs = {sizes.small_log: (small, _store(bench)), sizes.large_log: (large, _store(bench))}
        for size, (engine, store) in logs.items():
            say(f"  a log of {size:,} entries is made")
            for page in _pages(range(size // LIFE)):
                _append(engine, page)
            _seal(engine, store)
            with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.exec_driver_sql("VACUUM ANALYZE")
        for number in range(sizes.repeat):
            for size, (engine, store) in logs.items():
                start = (size + number * sizes.sealed) // LIFE
                pages = list(_pages(range(start, start + sizes.sealed // LIFE)))
                appended = sum(timed(lambda e=engine, p=page: _append(e, p)).wall for page in pages)
                sealed = timed(lambda e=engine, s=store: _seal(e, s)).wall
                spent.setdefault(size, []).append(appended + sealed)
                if size == sizes.large_log:
                    parts["append"].append(appended)
                    parts["seal"].append(sealed)
                say(f"  run {number + 1} of {sizes.repeat}: onto {size:,} in {appended + sealed:.2f} s")
    mine, other = (statistics.median(spent[s]) for s in (sizes.large_log, sizes.small_log))
    rate, ratio = sizes.sealed / mine, mine / other
    reported = {f"{name}_seconds": round(statistics.median(runs), 3) for name, runs in parts.items()}
    return [
        Row(
            "evidence_seal", rate, "entries/s", sizes.sealed / other, ratio, "value >= 4,000, ratio of times <= 1.3",
            rate >= 4000 and ratio <= 1.3, [sizes.sealed / s for s in spent[sizes.large_log]],
            {**reported, "log": sizes.large_log, "new_entries": sizes.sealed}, SEED,
        )
    ]  # fmt: skip


def evidence_verify(bench: Bench) -> list[Row]:
    """Verify an export with its own `verify.py`, as an auditor does; the baseline is a bare loop over the lines."""
    points = {n: _verified(bench, n) for n in (*bench.sizes.verify_points, bench.sizes.verified)}
    seconds, loops, memory = points[bench.sizes.verified]
    value, baseline = statistics.median(seconds), statistics.median(loops)
    ratio = value / baseline
    reported = {
        "entries": bench.sizes.verified,
        "peak_mb": round(memory, 1),
        "open_disposals": OPEN_AT_ONCE,
        "points": {n: {"verify": statistics.median(s), "loop": statistics.median(b), "peak_mb": round(m, 1)}
                   for n, (s, b, m) in points.items()},
    }  # fmt: skip
    met = ratio <= 5 and value < 60
    return [Row("evidence_verify", value, "s", baseline, ratio, "ratio <= 5, < 60 s", met, seconds, reported, SEED)]


def _verified(bench: Bench, entries: int) -> tuple[list[float], list[float], float]:
    say(f"  {entries:,} entries are logged and exported")
    with bench.database() as engine:
        store = _store(bench)
        for page in _interleaved(entries):
            _append(engine, page)
        _seal(engine, store)
        folder = bench.folder / f"export-{entries}"
        more = More(store=store)
        export(engine, folder, vkey=SIGNER.vkey, signer=SIGNER, more=more)
    seconds, loops, memory = [], [], 0.0
    for number in range(bench.sizes.repeat):
        loops.append(timed(lambda: _loop(folder / "entries.jsonl")).wall)
        peak: list[float] = []
        seconds.append(timed(lambda into=peak: into.append(_auditor(folder))).wall)
        memory = max(memory, *peak)
        say(f"  run {number + 1} of {bench.sizes.repeat}: verified in {seconds[-1]:.2f} s, read in {loops[-1]:.2f} s")
    return seconds, loops, memory


MEASURED = """
import runpy, sys
del sys.argv[0]
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
finally:
    # Not getrusage: what a child says there begins with its parent's memory.
    lines = open("/proc/self/status").readlines() if sys.platform == "linux" else []
    print("VmHWM", next((line.split()[1] for line in lines if line.startswith("VmHWM")), 0))
"""


def _auditor(folder: Path) -> float:
    """Verify in a process of its own; return the most memory that held, in MB (0 where the system does not say)."""
    command = [sys.executable, "-c", MEASURED, str(folder / "verify.py"), str(folder), "--vkey", SIGNER.vkey]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the export of the benchmark does not verify: {done.stdout[:2000]}{done.stderr[:2000]}")
    return int(done.stdout.rpartition("VmHWM ")[2]) / 1024


def _loop(path: Path) -> None:
    with path.open("rb") as file:
        for line in file:
            json.loads(line)
            hashlib.sha256(line)


def _append(engine: Engine, entries: list[dict[str, Any]]) -> None:
    with engine.begin() as connection:
        stage(connection, entries)


def _seal(engine: Engine, store: EvidenceStore) -> None:
    now = datetime.now(UTC)
    seal(engine, store, SIGNER, now=now, lock_until=now + timedelta(days=1098))


def _store(bench: Bench) -> EvidenceStore:
    found = bench.s3.connection("evidence_store", "notary", bucket="evidence")
    return EvidenceStore.of(replace(found, extra={**found.extra, "prefix": f"{uuid4().hex}/"}))


def _pages(numbers: range) -> Iterator[list[dict[str, Any]]]:
    for start in range(numbers.start, numbers.stop, PAGE // LIFE):
        yield [e for n in range(start, min(start + PAGE // LIFE, numbers.stop)) for e in life(n)]


OPEN_AT_ONCE = 2000


def _interleaved(entries: int) -> Iterator[list[dict[str, Any]]]:
    """Yield the lives of disposals as a night leaves them: some two thousand open at any time, in random turns."""
    order, page, number = random.Random(SEED), list[dict[str, Any]](), 0
    running: list[list[dict[str, Any]]] = []
    for _ in range(entries):
        if len(running) < min(OPEN_AT_ONCE, entries // LIFE):
            running.append(_unlike(number)[::-1])
            number += 1
        at = order.randrange(len(running))
        page.append(running[at].pop())
        if not running[at]:
            running[at] = running[-1]
            running.pop()
        if len(page) == PAGE:
            yield page
            page = []
    yield page


def _unlike(number: int) -> list[dict[str, Any]]:
    """Return a life whose ids are random, as the real ones are, and whose place and counts differ."""
    place = ("zendesk", "stripe", "salesforce", "s3", "own_database")[number % 5]
    order = random.Random(number)
    named = {"disposal_id": str(UUID(int=order.getrandbits(128), version=4)), "processor": place}
    return [e | named | ({"count_before": 1 + number % 9} if "count_before" in e else {}) for e in life(number)]
