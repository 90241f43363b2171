"""Everything in any order: a model plans, works, dies, holds, stops, lies, seals and waits, and the invariants stand.

CRASH_EXAMPLES=20 tries twenty times as many orders.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from sqlalchemy import Engine, select, text, update

from include.database import claim, disposal, entry
from include.disposals import claims, holds, stopping
from include.disposals.context import Context
from include.errors import RetentionError
from include.evidence import log
from include.evidence.export import export
from include.evidence.note import Signer
from include.evidence.store import EvidenceStore
from include.evidence.verify import Folder
from include.outcomes import Outcome
from include.processors import Work
from include.sandbox.servers import S3Server, temporary_folder
from tests.disposals.conftest import DAY, Bench, context
from tests.disposals.fakes import Place

__all__ = ["context"]

MORE = int(os.environ.get("CRASH_EXAMPLES", "1"))
ACCOUNTS = ("a", "b", "c")
ONE = timedelta(days=1)
FORGOTTEN = ("batch_item", "locator", "claim", "tombstone", "sighting", "hold", "global_stop", "disposal")
SIGNER = Signer(bytes(range(32)), "machine.example.com/log")


class Dead(BaseException):
    """The process died: nothing after it runs, not even what gives a lease back."""


@dataclass
class Model:
    """What the machine knows of the world besides our database."""

    bench: Bench
    store: EvidenceStore
    place: Place = field(default_factory=Place)
    today: date = DAY
    serial: int = 0
    held: dict[UUID, tuple[str, date | None]] = field(default_factory=dict)
    stopped: bool = False
    dies: tuple[str, str] | None = None
    open: dict[str, str] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    @property
    def context(self) -> Context:
        return replace(self.bench.context, as_of=self.today)

    def is_held(self, account: str) -> bool:
        """A hold counts from the moment it is committed up to and including the day it is released on."""
        return any(a == account and (off is None or off >= self.today) for a, off in self.held.values())

    def acts(self, step: str, work: Sequence[Work]) -> None:
        """Hold what must be true at the moment a call that changes something is made; die before it if asked to."""
        for one in work:
            row = self.bench.row(one.disposal_id)
            if row.outcome != Outcome.ATTEMPTED:
                self.wrong.append(f"{step} while {row.outcome} is committed")
            if self.is_held(one.account_id):
                self.wrong.append(f"{step} on {one.account_id}, which is held")
            if self.stopped:
                self.wrong.append(f"{step} while the global stop is set")
            if row.free_from > self.today:
                self.wrong.append(f"{step} before its day")
        self.die("before", step)

    def die(self, when: str, step: str) -> None:
        if self.dies == (when, step):
            self.dies = None
            raise Dead

    def work(self, owner: str) -> None:
        """Run what a night runs; a death leaves the lease behind."""
        given_back = claims.release

        def release(engine: Engine, held: claims.Claim) -> None:
            if not dead:
                given_back(engine, held)

        dead = False
        ids = list(self.open)
        for task in (self.bench.locate, self.bench.advance):
            claims.release = release
            try:
                task(self.place, *ids, owner=owner, as_of=self.today)
            except Dead:
                dead = True
            except RetentionError:
                pass
            finally:
                claims.release = given_back
            if dead:
                return

    def verify(self) -> list[str]:
        """Return what an auditor would find wrong with the log as it is sealed now."""
        log.seal(self.bench.context.engine, self.store, SIGNER, now=datetime.now(UTC))
        with temporary_folder("rt-machine-") as root:
            folder = export(self.bench.context.engine, root / "night", vkey=SIGNER.vkey).folder
            found = Folder(folder, vkey=SIGNER.vkey, since=None)
            found.examine()
            return list(found.flaws)


def machine(make: Callable[[], contextlib.AbstractContextManager[Model]]) -> type[RuleBasedStateMachine]:
    """Return the machine's class; `make` gives each run a model of its own."""

    class Disposals(RuleBasedStateMachine):
        """Rules are what may happen at any time; invariants are what never may."""

        @initialize()
        def begin(self) -> None:
            self._made = make()
            self.m = self._made.__enter__()
            self.m.place.before = self.m.acts
            self.m.place.after = lambda step, _work: self.m.die("after", step)

        @rule(account=st.sampled_from(ACCOUNTS), early=st.booleans())
        def discover(self, account: str, early: bool) -> None:
            if account not in self.m.open.values():
                self.m.serial += 1
                free = self.m.today + ONE if early else date(2026, 11, 21)
                self.m.place.records[account] = {"bin", "record"}
                planned = self.m.bench.plan(
                    account, trigger_date=date(2020, 1, 1) + self.m.serial * ONE, free_from=free,
                    due_at=self.m.today,
                )  # fmt: skip
                self.m.open[planned] = account

        @rule(owner=st.sampled_from(["r:t:0", "r:t:1"]))
        def advance(self, owner: str) -> None:
            if self.m.open:
                self.m.work(owner)

        @rule(when=st.sampled_from(["before", "after"]), step=st.sampled_from(["first", "second"]))
        def crash(self, when: str, step: str) -> None:
            self.m.dies = (when, step)
            self.advance("r:t:0")
            self.m.dies = None

        @rule()
        def lease_runs_out(self) -> None:
            with self.m.context.engine.begin() as connection:
                connection.execute(update(claim).values(expires_at=text("now() - interval '1 second'")))

        @rule(account=st.sampled_from(ACCOUNTS))
        def hold(self, account: str) -> None:
            held = holds.place(
                self.m.context, account_id=account, kind="H-2", datasets=[], reason_code="invoice_open",
                placed_by="compliance:e-0007", review_due=self.m.today + ONE,
            )  # fmt: skip
            self.m.held[held] = (account, None)

        @rule()
        def release_holds(self) -> None:
            for hold_id, (account, off) in self.m.held.items():
                if off is None:
                    holds.release(self.m.context, hold_id, released_by="compliance:e-0008")
                    self.m.held[hold_id] = (account, self.m.today)

        @rule()
        def stop(self) -> None:
            if not self.m.stopped:
                stopping.set_stop(self.m.context, reason_code="drill", set_by="operator:e-0001")
                self.m.stopped = True

        @rule()
        def start_again(self) -> None:
            with self.m.context.engine.begin() as connection:
                connection.execute(text("DELETE FROM retention.global_stop"))
            self.m.stopped = False

        @rule(down=st.booleans(), lies=st.booleans(), lags=st.booleans())
        def place_misbehaves(self, down: bool, lies: bool, lags: bool) -> None:
            self.m.place.down, self.m.place.lies = down, lies
            self.m.place.not_before = self.m.today + ONE if lags else None

        @rule(days=st.integers(1, 3))
        def tomorrow(self, days: int) -> None:
            self.m.today += days * ONE

        @rule()
        def seal(self) -> None:
            log.seal(self.m.context.engine, self.m.store, SIGNER, now=datetime.now(UTC))

        @invariant()
        def stands(self) -> None:
            if not hasattr(self, "m"):
                return
            assert not self.m.wrong, self.m.wrong
            for disposal_id, account in list(self.m.open.items()):
                row = self.m.bench.row(disposal_id)
                events = self.m.bench.events(disposal_id)
                assert (events[-1] if events else "planned") == row.outcome
                if row.closed_on is not None:
                    assert row.outcome == Outcome.CONFIRMED_ABSENT
                    assert not self.m.place.records[account], "called destroyed, and there"
                    assert row.account_id is None
                    del self.m.open[disposal_id]

        def teardown(self) -> None:
            """All trouble ends: everything ends, and an auditor finds nothing."""
            if not hasattr(self, "m"):
                return
            try:
                self.release_holds()
                self.start_again()
                self.lease_runs_out()
                self.place_misbehaves(False, False, False)
                for _ in range(12):
                    self.m.today += ONE
                    if self.m.open:
                        self.m.work("r:t:9")
                    self.stands()
                assert not self.m.open, [self.m.bench.row(i) for i in self.m.open]
                if self.m.serial:
                    assert self.m.verify() == []
            finally:
                self._made.__exit__(None, None, None)

    return Disposals


@pytest.fixture
def model(context: Context, s3: S3Server) -> Callable[[], contextlib.AbstractContextManager[Model]]:
    bench = Bench(context)
    connection = s3.connection("evidence_store", "notary", bucket="evidence")

    # Entries stay from run to run, as in life: one log, one bucket.
    store = EvidenceStore(EvidenceStore.of(connection)._client, "evidence", prefix=f"{uuid4().hex}/")

    @contextlib.contextmanager
    def made() -> Iterator[Model]:
        fresh = Model(bench, store)
        yield fresh
        with context.engine.begin() as transaction:
            for table in FORGOTTEN:
                transaction.execute(text(f"DELETE FROM retention.{table}"))

    return made


def test_any_order_of_events_keeps_every_promise(
    model: Callable[[], contextlib.AbstractContextManager[Model]], context: Context
) -> None:
    run_state_machine_as_test(
        machine(model),
        settings=settings(
            max_examples=6 * MORE, stateful_step_count=20, deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )  # fmt: skip
    with context.engine.connect() as connection:
        left: list[Any] = list(connection.execute(select(disposal.c.disposal_id).where(disposal.c.closed_on.is_(None))))
        assert not left
        assert connection.execute(select(entry.c.entry_id)).first()
