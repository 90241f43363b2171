"""`plan_1m`: the work of planning follows what is due, not how many accounts there are."""

from __future__ import annotations

import statistics
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import cycle

from sqlalchemy import Engine, text

from include.accounts import Accounts
from include.policy import schedule
from include.policy.facts import AccountFacts, State
from include.policy.planner import plan
from include.sandbox.company.tables import COLUMNS, create
from tests.bench.frame import Bench
from tests.bench.rows import Row, Spent, say, timed

DAY = date(2026, 11, 24)
DAYS = 30
"""The contracts that ended did so over a month, not all on one day."""


@dataclass(frozen=True, slots=True)
class _Measured:
    plans: list[float]
    scans: list[float]
    cpu: tuple[float, float]
    planned: int
    peak_mb: float


def plan_1m(bench: Bench) -> list[Row]:
    """Plan a night over many accounts; the baseline reads every row of their register once, by the same driver."""
    sizes = bench.sizes
    found = {accounts: _measure(bench, accounts, due) for accounts, due in sizes.plan_points}
    whole = found[sizes.accounts] = _measure(bench, sizes.accounts, sizes.due)
    say(f"  the same {sizes.due:,} due among a tenth of the accounts")
    fewer = _measure(bench, max(sizes.accounts // 10, sizes.due), sizes.due)
    value, baseline = statistics.median(whole.plans), statistics.median(whole.scans)
    ratio = value / baseline
    reported = {
        "accounts": sizes.accounts,
        "due": sizes.due,
        "disposals_planned": whole.planned,
        "peak_python_mb": round(whole.peak_mb, 1),
        "peak_python_mb_at_a_tenth_of_the_accounts": round(fewer.peak_mb, 1),
        "seconds_at_a_tenth_of_the_accounts": round(statistics.median(fewer.plans), 3),
        "seconds_per_due_account": round(value / sizes.due, 6),
        "our_cpu_s": {"plan": round(whole.cpu[0], 2), "scan": round(whole.cpu[1], 2)},
        "cpu_s_per_account_where_no_two_are_alike": round(_unlike(2000).cpu / 2000, 6),
        "points": {n: {"plan": statistics.median(m.plans), "scan": statistics.median(m.scans)}
                   for n, m in sorted(found.items())},
    }  # fmt: skip
    return [Row("plan_1m", value, "s", baseline, ratio, "ratio <= 1.5", ratio <= 1.5, whole.plans, reported)]


def _measure(bench: Bench, accounts: int, due: int) -> _Measured:
    with bench.database(template="template0") as engine:
        say(f"  {accounts:,} accounts are loaded ({due:,} due)")
        _load(engine, accounts, due)
        plans, scans, cpu, found = [], [], (0.0, 0.0), 0
        for number in range(bench.sizes.repeat):
            read = timed(lambda: _scan(engine))
            counted: list[int] = []
            planned = timed(lambda into=counted: into.append(_plan(engine)))
            plans.append(planned.wall)
            scans.append(read.wall)
            cpu = (planned.cpu, read.cpu)
            found = counted[0]
            say(f"  run {number + 1} of {bench.sizes.repeat}: planned in {plans[-1]:.2f} s, read in {scans[-1]:.2f} s")
        tracemalloc.start()
        _plan(engine)
        peak = tracemalloc.get_traced_memory()[1] / 2**20
        tracemalloc.stop()
        return _Measured(plans, scans, cpu, found, peak)


def _plan(engine: Engine) -> int:
    in_force = schedule.load()
    accounts = Accounts(engine, in_force.processors["own_database"].settings)
    return sum(len(plan(facts, in_force, (), DAY).disposals) for facts in accounts.due(in_force, DAY))


def _unlike(count: int) -> Spent:
    """Plan accounts of which no two share their dates: the planner cannot use what it planned before."""
    in_force, first = schedule.load(), date(2019, 1, 1)
    facts = [
        AccountFacts(f"a{n}", "individual", state=State.TERMINATED, requested_on=day, terminated_on=day)
        for n in range(count)
        if (day := first + timedelta(days=n))
    ]
    return timed(lambda: [plan(one, in_force, (), DAY) for one in facts])


def _scan(engine: Engine) -> int:
    """Read every row of the register through the same driver, as a planner without an index would have to."""
    with engine.connect() as connection:
        rows = connection.execution_options(stream_results=True).execute(text("SELECT * FROM account"))
        return sum(len(page) for page in rows.partitions(1000))


def _load(engine: Engine, accounts: int, due: int) -> None:
    every = accounts // due
    days = cycle(range(1, 1 + DAYS))
    load(engine, accounts, ended=lambda number: DAY - timedelta(days=next(days)) if number % every == 0 else None)


def load(engine: Engine, accounts: int, *, ended: object, first: int = 0) -> None:
    """Load customers by COPY into the seeded company's tables; `ended(number)` is a termination date or None."""
    create(engine)
    with engine.begin() as connection:
        for table, rows in (
            ("account", _register(first, accounts, ended)),
            ("account_profile", _profiles(first, accounts)),
        ):
            columns = ", ".join(f'"{c}"' for c in COLUMNS[table])
            cursor = connection.connection.cursor()
            with cursor, cursor.copy(f'COPY "{table}" ({columns}) FROM STDIN') as copy:  # type: ignore[attr-defined]
                for row in rows:
                    copy.write_row(row)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM ANALYZE")


def _register(first: int, accounts: int, ended: object) -> Iterator[tuple[object, ...]]:
    for number in range(first, first + accounts):
        gone = ended(number)  # type: ignore[operator]
        yield (f"acct_{number:08d}", "individual", False, "KR", None, gone, False, None, gone, date(2020, 1, 1))


def _profiles(first: int, accounts: int) -> Iterator[tuple[object, ...]]:
    for n in range(first, first + accounts):
        yield (f"acct_{n:08d}", f"login-{n}", f"p{n}@example.com", None, f"Sample {n}", None, None)
