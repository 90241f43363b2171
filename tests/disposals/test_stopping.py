"""The global stop: immediate, everywhere, with a breach clock, and released by two persons only."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import Engine, select, update
from sqlalchemy.exc import IntegrityError

from include.database import approval, global_stop
from include.disposals import approvals, guards, stopping
from include.disposals.approvals import Staff, staff
from include.disposals.context import Context
from include.errors import DecisionRefused
from include.sandbox.servers import PostgresServer
from include.sandbox.stack import airflow_connection
from tests.disposals.conftest import Bench

NOW = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
LATER = datetime.now(UTC) + timedelta(hours=1)
ROOT = Path(__file__).parents[2]


@pytest.fixture
def ada(context: Context) -> Staff:
    return staff("ada", "operator", context.wrapper)


@pytest.fixture
def ben(context: Context) -> Staff:
    return staff("ben", "approver", context.wrapper)


def stop(context: Context) -> None:
    stopping.set_stop(context, reason_code="wrong_deletion", set_by="operator:e-0002", now=NOW)


def stopped(context: Context) -> bool:
    try:
        guards.check_running(context.engine)
    except DecisionRefused:
        return True
    return False


def test_a_stop_starts_the_seventy_two_hours(context: Context, bench: Bench) -> None:
    stop(context)
    with context.engine.connect() as connection:
        (clock,) = stopping.clocks(connection)
    assert clock.answer_by == datetime(2026, 11, 23, 9, 30, tzinfo=UTC)  # vector 22: 18:30 in Seoul, three days on
    assert clock.hours_left(NOW + timedelta(hours=70)) == 2
    (told,) = [e for e in bench.entries() if e["event"] == "stop_set"]
    assert (told["code"], told["answer_by"]) == ("wrong_deletion", "2026-11-23T09:30:00Z")


def test_a_drill_starts_no_clock_and_an_unknown_reason_is_refused(context: Context) -> None:
    with pytest.raises(DecisionRefused, match="one of these reasons"):
        stopping.set_stop(context, reason_code="just_because", set_by="operator:e-0002")
    stopping.set_stop(context, reason_code="drill", set_by="operator:e-0002")
    assert stopped(context)
    with context.engine.connect() as connection:
        assert stopping.clocks(connection) == []


def test_a_second_stop_adds_nothing(context: Context, bench: Bench) -> None:
    stop(context)
    stop(context)
    assert len([e for e in bench.entries() if e["event"] == "stop_set"]) == 1


def test_one_person_cannot_release(context: Context, ada: Staff) -> None:
    stop(context)
    asked = stopping.ask_release(context, by=ada, expires=LATER)
    with pytest.raises(DecisionRefused, match="own request"):
        stopping.decide_release(context, asked, by=ada, approved=True)
    assert stopped(context)


def test_two_persons_release_and_the_clock_runs_on_until_it_is_assessed(
    context: Context, ada: Staff, ben: Staff, bench: Bench
) -> None:
    stop(context)
    asked = stopping.ask_release(context, by=ada, expires=LATER)
    assert stopping.decide_release(context, asked, by=ben, approved=True)
    assert not stopped(context)
    with context.engine.connect() as connection:
        (clock,) = stopping.clocks(connection)
    stopping.assess(context, clock.stop_id, finding="not_an_incident", by="privacy_officer:e-0001")
    stopping.assess(context, clock.stop_id, finding="not_an_incident", by="privacy_officer:e-0001")
    with context.engine.connect() as connection:
        assert stopping.clocks(connection) == []
    words = [e["event"] for e in bench.entries()]
    assert words.count("stop_released") == words.count("incident_assessed") == 1


@pytest.mark.parametrize("answer", ["rejected", "silence"])
def test_a_rejection_or_silence_releases_nothing(context: Context, ada: Staff, ben: Staff, answer: str) -> None:
    stop(context)
    asked = stopping.ask_release(context, by=ada, expires=LATER)
    by = ben if answer == "rejected" else None
    assert not stopping.decide_release(context, asked, by=by, approved=False)
    assert stopped(context)
    with pytest.raises(DecisionRefused, match="decided already"):
        stopping.decide_release(context, asked, by=ben, approved=True)
    assert stopped(context)


def test_an_approval_of_an_earlier_stop_does_not_release_the_next(context: Context, ada: Staff, ben: Staff) -> None:
    stop(context)
    old = stopping.ask_release(context, by=ada, expires=LATER)
    assert stopping.decide_release(context, old, by=ben, approved=True)
    stop(context)
    with pytest.raises(DecisionRefused, match="digests differ"):
        stopping.decide_release(context, old, by=ben, approved=True)
    assert stopped(context)


def test_the_database_refuses_a_release_without_an_approval(context: Context) -> None:
    stop(context)
    with pytest.raises(IntegrityError), context.engine.begin() as connection:
        connection.execute(update(global_stop).values(released_at=NOW))
    assert stopped(context)


def test_nothing_to_release_and_an_unknown_stop_say_so(context: Context, ada: Staff) -> None:
    with pytest.raises(DecisionRefused, match="No stop stands"):
        stopping.ask_release(context, by=ada, expires=LATER)
    with pytest.raises(DecisionRefused, match="There is no stop"):
        stopping.assess(context, uuid4(), finding="not_an_incident", by="privacy_officer:e-0001")


def test_names_stay_out_of_the_log(context: Context, ada: Staff, ben: Staff, bench: Bench) -> None:
    stop(context)
    stopping.decide_release(context, stopping.ask_release(context, by=ada, expires=LATER), by=ben, approved=True)
    assert not {"ada", "ben"} & {v for e in bench.entries() for v in e.get("actor", {}).values()}
    with context.engine.connect() as connection:
        rows = connection.execute(select(approval.c.requested_by, approval.c.decided_by)).all()
    assert rows == [("ada", "ben")]


def test_the_command_line_stops_and_releases_with_two_names(
    engine: Engine, context: Context, postgres: PostgresServer, tmp_path: Path
) -> None:
    key = tmp_path / "kek.key"
    key.write_bytes(bytes(range(32)))
    key.chmod(0o600)
    database = str(engine.url.database)
    env = {
        **os.environ,
        "AIRFLOW_CONN_RETENTION_DB": airflow_connection(postgres.connection("retention_db", database)),
        "AIRFLOW_CONN_ARCHIVE_KEK": f'{{"conn_type": "http", "extra": {{"file": "{key}"}}}}',
    }

    def command(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "include.disposals", *words], cwd=ROOT, env=env, capture_output=True, text=True,
            check=False,
        )  # fmt: skip

    said = command("stop", "--role", "operator", "--pseudonym", "e-0002", "--reason", "wrong_plan")
    assert said.returncode == 0, said.stderr
    assert "72.0 hours left" in said.stdout
    asked = command("ask-release", "--role", "operator", "--login", "ada").stdout
    approval_id = asked.split("--approval ")[1].split()[0]
    alone = command("release-stop", "--role", "approver", "--login", "Ada", "--approval", approval_id)
    assert alone.returncode == 1
    assert "second person" in alone.stderr
    assert command("release-stop", "--role", "approver", "--login", "ben", "--approval", approval_id).returncode == 0
    assert "No stop stands" in command("status").stdout
    with context.engine.connect() as connection:
        assert approvals.check(
            connection,
            kind=stopping.KIND,
            digest=stopping.digest_of(connection.execute(select(global_stop.c.stop_id)).scalar_one()),
        )
