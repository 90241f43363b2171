"""`plan_1m`: the work of planning follows what is due, not how many accounts there are."""

from __future__ import annotations

import statistics
import tracemalloc
from collections.abc import Iterator
from datetime import date, timedelta

from sqlalchemy import Engine, text

from include import database
from include.accounts import Accounts
from include.policy import schedule
from include.policy.planner import plan
from include.sandbox.company_tables import COLUMNS, create
from include.sandbox.servers import PostgresServer
from tests.bench.rows import Row, say, timed

DAY = date(2026, 11, 24)
REPEAT = 5


def plan_1m(server: PostgresServer, *, accounts: int, due: int) -> Row:
    """Plan a night over `accounts` customers of whom `due` are due; the baseline reads every register row once."""
    server.create_database("bench_plan")
    engine = database.connect(server.connection("accounts_db", "bench_plan"))
    try:
        say(f"  {accounts:,} accounts are loaded ({due:,} due)")
        _load(engine, accounts, due)
        runs, scans, found = [], [], 0
        for number in range(REPEAT):
            scans.append(timed(lambda: _scan(engine)).wall)
            counted: list[int] = []
            runs.append(timed(lambda: counted.append(_plan(engine))).wall)
            found = counted[0]
            say(f"  run {number + 1} of {REPEAT}: planned in {runs[-1]:.2f} s, scanned in {scans[-1]:.2f} s")
        tracemalloc.start()
        _plan(engine)
        peak = tracemalloc.get_traced_memory()[1] / 2**20
        tracemalloc.stop()
    finally:
        engine.dispose()
        server.drop_database("bench_plan")
    value, baseline = statistics.median(runs), statistics.median(scans)
    ratio = value / baseline
    return Row(
        "plan_1m" if accounts == 1_000_000 else f"plan_{accounts}",
        value, "s", baseline, ratio, "ratio <= 1.5", ratio <= 1.5, runs,
        {"accounts": accounts, "due": due, "disposals_planned": found, "peak_python_mb": round(peak, 1)},
    )  # fmt: skip


def _plan(engine: Engine) -> int:
    in_force = schedule.load()
    accounts = Accounts(engine, in_force.processors["own_database"].settings)
    return sum(len(plan(facts, in_force, (), DAY).disposals) for facts in accounts.due(in_force, DAY))


def _scan(engine: Engine) -> int:
    """Read every row of the register through the same driver, as a planner without an index would have to."""
    with engine.connect() as connection:
        rows = connection.execution_options(stream_results=True).execute(text("SELECT * FROM account"))
        return sum(len(page) for page in rows.partitions(1000))


def _load(engine: Engine, accounts: int, due: int) -> None:
    create(engine)
    every = accounts // due
    with engine.begin() as connection:
        for table, rows in (("account", _register(accounts, every)), ("account_profile", _profiles(accounts))):
            columns = ", ".join(f'"{c}"' for c in COLUMNS[table])
            cursor = connection.connection.cursor()
            with cursor, cursor.copy(f'COPY "{table}" ({columns}) FROM STDIN') as copy:  # type: ignore[attr-defined]
                for row in rows:
                    copy.write_row(row)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM ANALYZE")


def _register(accounts: int, every: int) -> Iterator[tuple[object, ...]]:
    ended = DAY - timedelta(days=1)
    for number in range(accounts):
        gone = ended if number % every == 0 else None
        yield (f"acct_{number:08d}", "individual", False, "KR", None, gone, False, None, gone, date(2020, 1, 1))


def _profiles(accounts: int) -> Iterator[tuple[object, ...]]:
    for number in range(accounts):
        yield (f"acct_{number:08d}", f"login-{number}", f"p{number}@example.com", None, f"Sample {number}", None, None)
