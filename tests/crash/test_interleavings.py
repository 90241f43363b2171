"""Random interleavings of everything that happens to disposals, held against what must hold after each step.

A machine plans, locates, acts, verifies, places and releases holds, lets the place lie or go away, lets tasks die at
any commit or call, restarts them as another owner too, and moves the clocks, also for single tasks (an old run that is
cleared). The database and the engine are real; the place is small and knows the truth.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import create_engine, event, func, select, update

from include.connections import database_url, s3_client
from include.database import claim, disposal, locator
from include.disposals import Context, begin_run, guards, holds
from include.errors import ProcessorError
from include.evidence import log, verify
from include.evidence.export import export
from include.evidence.note import Signer
from include.evidence.store import EvidenceStore
from include.evidence.tags import SubjectTags
from include.keys import LocalWrapper
from include.outcomes import TERMINAL, Outcome
from include.policy import schedule
from include.processors import Work
from include.sandbox.servers import PostgresServer, S3Server
from tests.disposals.conftest import DAY, Bench
from tests.disposals.fakes import Accounts, Place

MORE = int(os.environ.get("CRASH_EXAMPLES", "1"))
ONE = timedelta(days=1)
SIGNER = Signer(bytes(range(32)), "interleavings.example.com/log")
LOADED = schedule.load()


class Died(BaseException):
    """The process is gone: nothing of it reaches the database any more."""


class Process:
    """The process that works now; once it died, no commit of it arrives until a new one is started."""

    def __init__(self) -> None:
        self.left: int | None = None
        self.dead = False

    def point(self) -> None:
        """Pass a commit or a call; die there when it is the one."""
        if self.left is not None:
            self.left -= 1
            self.dead = self.dead or self.left < 0
        if self.dead:
            raise Died


class World(RuleBasedStateMachine):
    """Some customers at one place, and the state machine of the product working on them."""

    postgres: ClassVar[PostgresServer]
    s3: ClassVar[S3Server]

    def __init__(self) -> None:
        super().__init__()
        self.open()

    def open(self) -> None:
        self.name = f"machine_{uuid4().hex[:10]}"
        self.postgres.create_database(self.name, template="template_retention")
        self.engine = create_engine(database_url(self.postgres.connection("retention_db", self.name)))
        self.process = Process()
        event.listen(self.engine, "commit", lambda _connection: self.process.point())
        context = Context(
            engine=self.engine,
            accounts=Accounts(),
            schedule=LOADED,
            tags=SubjectTags({str(year): bytes(32) for year in range(2026, 2040)}),
            wrapper=LocalWrapper(bytes(range(32))),
            as_of=DAY,
            dag_id="nightly_retention",
        )
        guards.approve_schedule(context, role=LOADED.privacy_officer_role, pseudonym="e-0001")
        self.bench = Bench(replace(context, run_id=begin_run(context, airflow_run_id="r1")))
        self.place = Place(before=self._before, after=self._after)
        self.today, self.working = DAY, DAY
        self.free_from: dict[str, date] = {}
        self.ids: dict[str, str] = {}
        self.held: dict[str, UUID] = {}
        self.released: dict[str, date] = {}
        self.wrong: list[str] = []

    # -- the place ---------------------------------------------------------------------------------------------------
    def _before(self, step: str, work: Sequence[Work]) -> None:
        """Judge each act in the moment it arrives."""
        self.process.point()
        for one in work:
            account = one.account_id
            if self.working < self.free_from[account]:
                self.wrong.append(f"{step} of {account} on {self.working}, free from {self.free_from[account]}")
            if account in self.held or self.released.get(account, date.min) >= self.working:
                self.wrong.append(f"{step} of {account}, which is held on {self.working}")
            if self.bench.row(one.disposal_id).outcome != Outcome.ATTEMPTED:
                self.wrong.append(f"{step} of {account} without a committed intent")

    def _after(self, _step: str, _work: Sequence[Work]) -> None:
        self.process.point()

    @initialize()
    def plan_some(self) -> None:
        """Begin with one of each kind: due, due with nothing there, not due yet but looked at, and due later."""
        for free_in, there, early in ((-2, True, False), (-1, False, False), (3, True, True), (2, True, False)):
            self.plan(free_in, there, early)

    @rule(free_in=st.integers(-5, 6), there=st.booleans(), early=st.booleans())
    def plan(self, free_in: int, there: bool, early: bool) -> None:
        account = f"a{len(self.ids)}"
        free = self.today + free_in * ONE
        self.free_from[account] = free
        if there:
            self.place.records[account] = {"bin", "record"}
        due = self.today if early else max(free, self.today)  # a date that is wrong must not make anything go early
        self.ids[account] = self.bench.plan(
            account, last_day=free - ONE, free_from=free, destroy_by=free + 4 * ONE, due_at=due
        )

    @rule(back=st.sampled_from([0, 0, 0, 1, 3]), owner=st.sampled_from("ab"), die_at=st.none() | st.integers(1, 14))
    def locate(self, back: int, owner: str, die_at: int | None) -> None:
        self._work(self.bench.locate, back, owner, die_at)

    @rule(back=st.sampled_from([0, 0, 0, 1, 3]), owner=st.sampled_from("ab"), die_at=st.none() | st.integers(1, 14))
    def advance(self, back: int, owner: str, die_at: int | None) -> None:
        self._work(self.bench.advance, back, owner, die_at)

    @rule(owner=st.sampled_from("ab"))
    def night(self, owner: str) -> None:
        self._work(self.bench.locate, 0, owner, None)
        self._work(self.bench.advance, 0, owner, None)

    @rule(owner=st.sampled_from("ab"), number=st.integers(0, 5))
    def night_with_a_hold_in_its_middle(self, owner: str, number: int) -> None:
        self._work(self.bench.locate, 0, owner, None)
        self.hold(number)
        self._work(self.bench.advance, 0, owner, None)

    def _work(self, job: Any, back: int, owner: str, die_at: int | None) -> None:
        """Do a task on everything, in a process that may die at a point; its run may be one of some days ago."""
        if not self.ids:
            return
        self.working = max(self.today - back * ONE, DAY)
        self.process.left = die_at
        try:
            with contextlib.suppress(ProcessorError):
                job(self.place, *self.ids.values(), owner=owner, as_of=self.working)
        except Died:
            pass
        finally:
            self.process.left, self.process.dead = None, False
            self.engine.dispose()

    @rule(number=st.integers(0, 5))
    def hold(self, number: int) -> None:
        account = f"a{number}"
        if account in self.ids and account not in self.held:
            self.held[account] = holds.place(
                self._now(), account_id=account, kind="H-6", datasets=[], reason_code="court_order",
                placed_by="compliance:e-0007", review_due=self.today + 20 * ONE,
            )  # fmt: skip

    @precondition(lambda self: self.held)
    @rule()
    def release(self) -> None:
        account, hold_id = self.held.popitem()
        holds.release(self._now(), hold_id, released_by="compliance:e-0007")
        self.released[account] = self.today

    @rule(days=st.sampled_from([1, 1, 2, 30]))
    def step_clock(self, days: int) -> None:
        self.today += days * ONE

    @rule(by=st.sampled_from([-1, 1, 30]))
    def jump_of_the_databases_clock(self, by: int) -> None:
        """Leases run on it: after a jump back they lie far ahead, after one ahead they are over."""
        with self.engine.begin() as connection:
            connection.execute(update(claim).values(expires_at=claim.c.expires_at - by * ONE))

    @rule(lies=st.booleans(), down=st.sampled_from([False, False, True]))
    def trouble(self, lies: bool, down: bool) -> None:
        self.place.lies, self.place.down = lies, down

    def _now(self) -> Context:
        return replace(self.bench.context, as_of=self.today)

    # -- what must hold ----------------------------------------------------------------------------------------------
    @invariant()
    def nothing_was_done_wrong(self) -> None:
        assert not self.wrong, self.wrong

    @invariant()
    def nothing_is_called_gone_that_is_there(self) -> None:
        for account, row in self._rows().items():
            if row.closed_on is not None:
                assert not self.place.records.get(account), f"{account} is closed as {row.outcome} and there"
                with self.engine.connect() as connection:
                    kept = connection.execute(select(locator).where(locator.c.disposal_id == row.disposal_id)).first()
                assert kept is None, f"{account} is closed and can still be found"

    @invariant()
    def state_and_evidence_agree_and_every_end_is_said_once(self) -> None:
        following = verify.Lives(whole=False)
        events: dict[str, list[str]] = {}
        for number, one in enumerate(self.bench.entries()):
            if "disposal_id" in one:
                assert (problem := following.follow(number, one)) is None, problem
                events.setdefault(one["disposal_id"], []).append(one["event"])
        for row in self._rows().values():
            said = events.get(str(row.disposal_id), ["planned"])
            assert said[-1] == row.outcome, f"the row says {row.outcome}, the log {said}"
            ends = [e for e in said if Outcome(e) in TERMINAL]
            assert "attempted" in said or not row.closed_on or not row.count_before, f"an end without intent: {said}"
            assert len(ends) == (1 if row.closed_on is not None else 0), f"{row.outcome} and {said}"

    def _rows(self) -> dict[str, Any]:
        if not self.ids:
            return {}
        with self.engine.connect() as connection:
            rows = {str(r.disposal_id): r for r in connection.execute(select(disposal))}
        return {account: rows[disposal_id] for account, disposal_id in self.ids.items()}

    # -- the end -----------------------------------------------------------------------------------------------------
    def teardown(self) -> None:
        try:
            self._everything_ends()
            self._the_log_verifies()
        finally:
            self.engine.dispose()
            self.postgres.drop_database(self.name)

    def _everything_ends(self) -> None:
        """Once all trouble is over, some nights bring every disposal to its end."""
        self.place.lies = self.place.down = False
        while self.held:
            self.release()
        with self.engine.begin() as connection:
            connection.execute(update(claim).values(expires_at=func.now() - timedelta(seconds=1)))
        self.today += 20 * ONE
        for _ in range(4):
            self.today += ONE
            self._work(self.bench.locate, 0, "c", None)
            self._work(self.bench.advance, 0, "c", None)
        self.nothing_was_done_wrong()
        self.nothing_is_called_gone_that_is_there()
        self.state_and_evidence_agree_and_every_end_is_said_once()
        left = {a: (r.outcome, r.code) for a, r in self._rows().items() if r.closed_on is None}
        assert not left, f"never ended: {left}"
        assert not any(self.place.records.values())

    def _the_log_verifies(self) -> None:
        connection = self.s3.connection("evidence_store", "notary", bucket="evidence")
        store = EvidenceStore(s3_client(connection), "evidence", prefix=f"{self.name}/")
        log.seal(self.engine, store, SIGNER, now=datetime.now(UTC))
        with TemporaryDirectory() as folder:
            done = export(self.engine, Path(folder) / "night", vkey=SIGNER.vkey, signer=SIGNER).folder
            examined = verify.Folder(done, vkey=SIGNER.vkey, since=None)
            examined.examine()
            told, passed = verify.verdict(examined, strict=False)
            assert passed, told


@pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisWarning")
def test_no_interleaving_breaks_what_must_hold(postgres: PostgresServer, s3: S3Server) -> None:
    World.postgres, World.s3 = postgres, s3
    run_state_machine_as_test(
        World,
        settings=settings(
            max_examples=10 * MORE,
            stateful_step_count=25,
            phases=[Phase.generate] if MORE == 1 else list(Phase),  # to shrink takes minutes: with CRASH_EXAMPLES
            derandomize=MORE == 1,
            suppress_health_check=list(HealthCheck),
        ),
    )
