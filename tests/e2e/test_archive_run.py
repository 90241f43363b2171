"""The archive's daily DAG in real Airflow: scheduler, LocalExecutor, REST; groups with short locks on a real S3 server.

The locks are placed through the product's own staging with an injected date function, and end by themselves: nothing
here may bypass governance.
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select, text

from include.archive import backups
from include.archive.keyring import ArchiveKeys
from include.archive.store import ArchiveStore
from include.connections import s3_client
from include.database import archive_key, archive_object, entry
from include.disposals import Context, begin_run, guards, stopping
from include.disposals.archiving import pack_staged
from include.sandbox import airflow
from include.sandbox.night import opened
from include.sandbox.servers import temporary_folder
from include.sandbox.stack import Stack
from tests.archive.conftest import Desk, payment, short, wait_until
from tests.archive.test_archiving import dispute
from tests.archive.test_disposal import names_in

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(1800)]
ROOT = Path(__file__).parents[2]
TODAY = datetime.now(ZoneInfo("Asia/Seoul")).date()
YESTERDAY = TODAY - timedelta(days=1)
DAG = "archive_disposal"


@dataclass
class Office:
    """A sandbox of its own with Airflow running, and the groups in its archive."""

    stack: Stack
    context: Context
    desk: Desk
    due: str
    locked: str
    living: str

    def run(self, as_of: date) -> tuple[str, dict[str, str]]:
        """Trigger the DAG over REST and follow it to its end; return its state and those of its tasks."""
        api = airflow.Api(self.stack, "admin")
        api.wait_for_dag(DAG)
        run_id = api.trigger(DAG, {"as_of": as_of.isoformat()})
        *_, (state, tasks) = api.follow(DAG, run_id)
        return state, {t["task_id"]: t["state"] for t in tasks}

    def listed(self) -> set[str]:
        """Return every key the bucket still lists a version or a delete marker of, as its administrator sees it."""
        client = s3_client(self.stack.s3.connection("admin", "admin"))
        pages = client.get_paginator("list_object_versions").paginate(Bucket="archive")
        return {v["Key"] for p in pages for v in [*p.get("Versions", ()), *p.get("DeleteMarkers", ())]}

    def expected(self, *objects: str) -> set[str]:
        """Return what the bucket lists while it keeps these objects; the backups of their keys name no other one."""
        places = {self.desk.keys_at(o) for o in objects}
        named = {o for place in places for o in backups.read(self.desk.store, self.desk.keys, place)}
        assert named == set(objects)
        return {*objects, *places}

    def entries(self, *events: str) -> list[dict[str, Any]]:
        """Return the entries of some events, sealed or not."""
        with self.context.engine.connect() as connection:
            bodies = connection.execute(select(entry.c.body).order_by(entry.c.entry_id)).scalars()
            return [e for e in map(json.loads, bodies) if e["event"] in events]

    def held_copy(self) -> Any:
        """Return the row of the held subject's own object."""
        return next((r for r in self.desk.rows("archive_object") if r.legal_hold), None)


@pytest.fixture(scope="module")
def office() -> Iterator[Office]:
    with ExitStack() as ending:
        stack = Stack(ROOT, ending.enter_context(temporary_folder("rt-archive-")))
        stack.by_itself = False
        ending.callback(stack.stop)
        stack.start_servers()
        context = ending.enter_context(opened(stack, TODAY))
        guards.approve_schedule(context, role=context.schedule.privacy_officer_role, pseudonym="e-0001")
        airflow.prepare(stack)
        airflow.start(stack)
        yield _seeded(stack, context)


def _seeded(stack: Stack, context: Context) -> Office:
    """Pack a group that is due, one whose lock outlasts its day, and one that lives on; one subject is in dispute."""
    bucket = stack.connections["archive_store"]
    desk = Desk(context.engine, ArchiveStore.of(bucket), context.schedule, keys=ArchiveKeys.of(context.wrapper))
    before = replace(context, as_of=YESTERDAY, dag_id="nightly_retention")
    before = replace(before, run_id=begin_run(before, airflow_run_id="the night before"))
    due, locked, living = (
        short(8, last_day=YESTERDAY),
        short(7200, last_day=YESTERDAY, rule_id="R-04"),
        short(7200, last_day=TODAY + timedelta(days=400), rule_id="R-04"),
    )
    for n in range(5):
        for terms, number in ((due, n), (locked, 100 + n), (living, 200 + n)):
            desk.stage(f"a{number}", payment(number), terms_of=terms, as_of=YESTERDAY)
    pack_staged(before, bucket)
    dispute(replace(desk, engine=context.accounts.engine), "a3", "payment")
    rows = sorted(desk.rows("archive_object"), key=lambda r: (r.last_day, r.retain_until))
    wait_until(rows[0].retain_until + timedelta(seconds=1))
    return Office(stack, context, desk, *(r.object_key for r in rows))


def test_the_first_run_takes_what_is_due_and_nothing_else(office: Office) -> None:
    assert office.listed() == office.expected(office.due, office.locked, office.living)
    state, tasks = office.run(TODAY)
    assert (state, set(tasks.values())) == ("success", {"success"})
    copy = office.held_copy()
    kept = (office.locked, office.living, copy.object_key)
    assert office.listed() == office.expected(*kept)
    assert names_in(office.desk, copy.object_key) == {"Sample Person 0003"}
    with office.context.engine.connect() as connection:
        assert set(connection.execute(select(archive_key.c.object_key)).scalars()) == set(kept)
        states = dict(connection.execute(select(archive_object.c.object_key, archive_object.c.state)).all())
    assert states == {office.due: "destroyed", **dict.fromkeys(kept, "checked")}
    told = [
        (e["event"], e.get("basis"), e.get("rows")) for e in office.entries("archive_destroyed", "archive_retained")
    ]
    assert sorted(map(str, told)) == sorted(
        map(str, [("archive_destroyed", None, 5), ("archive_retained", "lock", 5), ("archive_retained", "hold", 1)])
    )


def test_the_proof_of_it_is_exported_and_verifies_without_us(office: Office) -> None:
    exports = sorted((office.stack.local / "exports").iterdir(), key=lambda p: p.stat().st_mtime)
    folder = exports[-1]
    lines = [json.loads(line) for line in (folder / "entries.jsonl").read_bytes().splitlines()]
    gone = [e for e in lines if e["event"] == "archive_destroyed"]
    row = next(r for r in office.desk.rows("archive_object") if r.object_key == office.due)
    assert [e["object_digest"] for e in gone] == [base64.b64decode(row.sha256).hex()]
    command = [sys.executable, "-m", "include.evidence", "verify", str(folder)]
    done = subprocess.run(
        [*command, "--vkey", (folder / "vkey").read_text().strip()],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_person_stands_in_its_logs_or_entries(office: Office) -> None:
    logs = "".join(p.read_text(errors="replace") for p in (office.stack.local / "airflow" / "logs").rglob("*.log"))
    assert "archive_lapse" in logs
    entries = json.dumps(office.entries("archive_destroyed", "archive_retained", "archive_written"))
    for said in ("Sample Person", "@example.com", "Example Street", '"a3"'):
        assert said not in logs.replace("example.com/erasure", "")
        assert said not in entries


def test_a_released_hold_lets_the_copy_go_on_the_next_run(office: Office) -> None:
    copy = office.held_copy()
    with office.context.accounts.engine.begin() as connection:
        connection.execute(text("UPDATE dispute SET closed_on = :day"), {"day": TODAY})
    state, _ = office.run(TODAY + timedelta(days=1))
    assert state == "success"
    assert office.listed() == office.expected(office.locked, office.living)
    assert office.desk.store.versions(copy.object_key) == []


def test_a_stopped_archive_destroys_nothing_and_the_run_is_red(office: Office) -> None:
    before = office.listed()
    stopping.set_stop(office.context, reason_code="wrong_deletion", set_by="privacy_officer:e-0001")
    with office.context.engine.begin() as connection:  # its lock is long: only the stop may be what keeps it
        connection.execute(archive_object.update().values(retain_until=datetime.now(UTC)))
    state, tasks = office.run(TODAY + timedelta(days=2))
    assert (state, tasks["archive_lapse"], tasks["seal"], tasks["archive_report"]) == (
        "failed",
        "failed",
        "success",
        "failed",
    )
    assert office.listed() == before
