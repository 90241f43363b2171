"""A new schedule version tried on the accounts as they are: counts by rule and place, and nothing changes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import Engine

from include import database
from include.policy import schedule
from include.sandbox import company
from include.sandbox.servers import PostgresServer
from include.sandbox.stack import airflow_connection

ROOT = Path(__file__).parents[2]
ON = date(2026, 11, 24)


@pytest.fixture
def environment(engine: Engine, postgres: PostgresServer) -> Iterator[dict[str, str]]:
    """A seeded company, and the connections as Airflow has them."""
    name = f"c_{uuid4().hex[:10]}"
    postgres.create_database(name)
    theirs = database.connect(postgres.connection("accounts_db", name))
    company.create(theirs)
    company.load(theirs, company.generate(seed=7, count=80, anchor=ON))
    yield {
        **os.environ,
        "AIRFLOW_CONN_ACCOUNTS_DB": airflow_connection(postgres.connection("accounts_db", name)),
        "AIRFLOW_CONN_RETENTION_DB": airflow_connection(postgres.connection("retention_db", str(engine.url.database))),
    }
    theirs.dispose()
    postgres.drop_database(name)


def simulate(environment: dict[str, str], new: Path, old: Path, *more: str) -> subprocess.CompletedProcess[str]:
    command = ["simulate", str(new), "--against", str(old), "--as-of", ON.isoformat(), *more]
    return subprocess.run(
        [sys.executable, "-m", "include.policy", *command], cwd=ROOT, env=environment, capture_output=True, text=True,
        check=False,
    )  # fmt: skip


def counts(said: str) -> dict[str, list[int]]:
    """Return the numbers of each `place:rule` line."""
    found = {}
    for line in said.splitlines()[2:]:
        words = line.split()
        if len(words) == 9 and ":" in words[0]:
            found[words[0]] = [int(w) for w in words[1:]]
    return found


def test_the_same_version_moves_nobody(environment: dict[str, str]) -> None:
    done = simulate(environment, schedule.PACKAGED, schedule.PACKAGED)
    assert done.returncode == 0, done.stderr
    assert "80 accounts" in done.stdout
    assert "Nobody's date moves." in done.stdout
    assert counts(done.stdout)["zendesk:r-14"][0] > 0


def test_a_shorter_term_shows_who_becomes_due_by_rule(environment: dict[str, str], tmp_path: Path) -> None:
    new = tmp_path / "new.yaml"
    body = schedule.PACKAGED.read_bytes().replace(
        b"{event: terminated, period: P6M}", b"{event: terminated, period: P3M}"
    )
    new.write_bytes(body)
    done = simulate(environment, new, schedule.PACKAGED)
    assert done.returncode == 0, done.stderr
    before, after, newly, no_longer, earlier, later, added, removed = counts(done.stdout)["own_database:r-01"]
    assert newly == after - before > 0
    assert earlier >= newly
    assert (no_longer, later, added, removed) == (0, 0, 0, 0)
    assert counts(done.stdout)["zendesk:r-14"][2:] == [0] * 6
    back = simulate(environment, schedule.PACKAGED, new)
    assert counts(back.stdout)["own_database:r-01"][3] == newly


def test_every_moved_day_is_shown_by_rule_and_place(environment: dict[str, str], tmp_path: Path) -> None:
    new = tmp_path / "new.yaml"
    new.write_bytes(
        schedule.PACKAGED.read_bytes().replace(b"{event: terminated, period: P6M}", b"{event: terminated, period: P7M}")
    )
    done = simulate(environment, new, schedule.PACKAGED, "--every-day")
    moved = [line.split() for line in done.stdout.split("due from")[1].splitlines()[1:]]
    assert {m[0] for m in moved} >= {"own_database:r-01", "paper:r-01"}
    assert not [m for m in moved if m[0].endswith(":r-14")]
    days = [(date.fromisoformat(m[1]), date.fromisoformat(m[2]), int(m[3]), int(m[4])) for m in moved]
    assert all(now > was and (now - was).days == shift and 28 <= shift <= 31 for was, now, _, shift in days)
    later = sum(n for m, (_, _, n, _) in zip(moved, days, strict=True) if m[0] == "own_database:r-01")
    assert later == counts(done.stdout)["own_database:r-01"][5] > 0
    short = simulate(environment, new, schedule.PACKAGED).stdout
    assert "more pairs of days" in short
    assert len(short.splitlines()) < len(done.stdout.splitlines())


def test_it_names_nobody_and_says_what_is_missing(environment: dict[str, str]) -> None:
    done = simulate(environment, schedule.PACKAGED, schedule.PACKAGED)
    assert "@" not in done.stdout
    del environment["AIRFLOW_CONN_ACCOUNTS_DB"]
    refused = simulate(environment, schedule.PACKAGED, schedule.PACKAGED)
    assert refused.returncode == 2
    assert "AIRFLOW_CONN_ACCOUNTS_DB is not set" in refused.stderr
