"""The self-scan and the clean-up on a real Airflow: its own tables, its own logs, the role that may only read."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, select, text, update

from include import database, keys
from include.database import disposal, entry
from include.disposals import Context, begin_run, cleaning, guards, locators
from include.disposals.scan import search as scanning
from include.disposals.scan.search import Scanned, scan
from include.evidence.tags import SubjectTags
from include.policy import schedule
from include.sandbox import airflow
from include.sandbox.servers import temporary_folder
from include.sandbox.stack import Stack
from tests.disposals.conftest import Bench
from tests.disposals.fakes import Accounts

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(900)]
ROOT = Path(__file__).parents[2]
PERSON = {
    "email": "sample.person@example.com", "name": "김표본", "phone": "010-0000-0193", "object": "cus_s0000111x000",
    "login": "login0193",
}  # fmt: skip


class Leaking:
    """A real Airflow in which one run of the DAG `leaks` has put one erased person everywhere."""

    def __init__(self, stack: Stack, context: Context) -> None:
        self.stack, self.context = stack, context
        self.logs = stack.local / "airflow" / "logs"
        self.api = airflow.Api(stack, "admin")

    def leak(self) -> str:
        """Run the DAG up to its question and write a note; return the run's id."""
        self.api.wait_for_dag("leaks", seconds=300)
        run = self.api.trigger("leaks", PERSON)
        deadline = time.monotonic() + 300
        while not self.api.waiting_for_answer("leaks", run):
            assert time.monotonic() < deadline, "the DAG did not come to its question"
            time.sleep(1)
        self.api.call("PATCH", f"/dags/leaks/dagRuns/{run}", json={"note": f"about {PERSON['name']}"})
        return run

    def erase(self, account: str) -> None:
        """Put one disposal there that was located and is closed."""
        found = Bench(self.context).plan(account)
        keys_ = {"emails": [PERSON["email"]], "name": PERSON["name"], "phones": [PERSON["phone"]]}
        body = keys_ | {"login_id": PERSON["login"], "customers": [PERSON["object"]]}
        with self.context.engine.begin() as connection:
            locators.save(connection, self.context, "found", {found: body})
            connection.execute(database.locator.delete())
            connection.execute(
                update(disposal).where(disposal.c.disposal_id == UUID(found)).values(closed_on=self.context.as_of)
            )

    def scan(self) -> Scanned:
        """Scan as a night does, through the role that may only read."""
        engine = database.connect(self.stack.connections["airflow_db"])
        assert self.context.run_id
        try:
            scanned = scan(
                self.context, self.context.run_id, airflow=engine, logs=self.logs, whole=True, now=datetime.now(UTC)
            )
        finally:
            engine.dispose()
        assert scanned is not None
        return scanned

    def reader(self) -> Engine:
        """Return an engine of the role that may only read."""
        return database.connect(self.stack.connections["airflow_db"])


@pytest.fixture(scope="module")
def leaking() -> Iterator[Leaking]:
    """The stack with a DAG folder of its own; no company, no processors."""
    with ExitStack() as ending:
        stack = Stack(ROOT, ending.enter_context(temporary_folder("rt-scan-")))
        stack.dags = Path(__file__).parent / "leaks"
        ending.callback(stack.stop)
        stack.start_servers()
        engine = database.connect(stack.connections["retention_db"])
        ending.callback(engine.dispose)
        database.migrate(engine)
        context = Context(
            engine=engine,
            accounts=Accounts(),
            schedule=schedule.load(),
            tags=SubjectTags({"2026": bytes(32)}),
            wrapper=keys.wrapper(stack.connections["archive_kek"]),
            as_of=date(2026, 11, 24),
            dag_id="nightly_retention",
        )
        guards.approve_schedule(context, role=context.schedule.privacy_officer_role, pseudonym="e-0001")
        context = replace(context, run_id=begin_run(context, airflow_run_id=str(uuid4())))
        airflow.prepare(stack)
        airflow.start(stack)
        yield Leaking(stack, context)


def test_a_clean_airflow_is_clean(leaking: Leaking) -> None:
    leaking.erase("acc-1")
    assert leaking.scan().code == "clean"


def test_what_a_dag_leaks_is_found_wherever_airflow_keeps_it(leaking: Leaking, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scanning, "SHOWN", 10_000)
    leaking.erase("acc-2")
    leaking.leak()
    scanned = leaking.scan()
    assert scanned.code == "found"
    tables = {(h.place.split()[0], h.kind) for h in scanned.hits if ".log:" not in h.place}
    assert {
        ("public.dag_run.conf", "email"), ("public.dag_run.conf", "phone"), ("public.xcom.value", "phone"),
        ("public.rendered_task_instance_fields.rendered_fields", "name"), ("public.dag_run_note.content", "name"),
        ("public.hitl_detail.subject", "email"), ("public.hitl_detail.body", "phone"),
        ("public.asset_event.extra", "object"), ("public.task_state_store.value", "login"),
    } <= tables  # fmt: skip
    logs = {(h.place.split("task_id=")[1].split("/")[0], h.kind) for h in scanned.hits if "task_id=" in h.place}
    assert {("say", "email"), ("say", "name"), ("push", "phone")} <= logs
    assert not [v for v in PERSON.values() if v in str(scanned)]


def test_the_clean_up_takes_all_of_it_and_says_how_much(leaking: Leaking) -> None:
    later = datetime.now(UTC) + timedelta(days=leaking.context.schedule.settings.metadata_days + 1)
    counts = cleaning.clean(leaking.context, leaking.stack.connections["airflow_db_clean"], leaking.logs, now=later)
    assert counts["airflow.dag_run"] >= 1
    assert counts["airflow.xcom"] >= 1
    assert counts["airflow.log"] >= 1
    assert counts["logs.files"] >= 4
    assert leaking.scan().code == "clean"
    with leaking.context.engine.connect() as connection:
        bodies = [json.loads(b) for b in connection.execute(select(entry.c.body)).scalars()]
    assert [e["counts"] for e in bodies if e["event"] == "metadata_cleaned"] == [counts]


def test_the_scans_role_can_neither_write_nor_read_secrets_and_staff(leaking: Leaking) -> None:
    engine = leaking.reader()
    for refused in (
        "SELECT * FROM connection",
        "SELECT * FROM ab_user",
        "DELETE FROM xcom",
        "UPDATE dag_run SET conf = NULL",
    ):
        with engine.connect() as session, pytest.raises(Exception, match="permission denied"):
            session.execute(text(refused))
    engine.dispose()
