"""A disposal's whole life in processes that die: killed once at a point, taken up again by a new process until it ends.

`Life` is a `Play` whose tasks run in children of a nursery. Besides what every play holds, it witnesses each request
that changes something, at the moment the place receives it, against what our database has committed by then.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import func, select, text, update

from include.database import claim, locator
from include.evidence.verify import Lives
from include.outcomes import TERMINAL, Outcome
from tests.crash import work
from tests.crash.nursery import Ended, Nursery
from tests.processors.worlds import WORLDS
from tests.processors.worlds.base import World
from tests.processors.worlds.databases import DatabaseWorld
from tests.processors.worlds.play import Play, Stage, playing

ACTED_ON = [name for name, kind in WORLDS.items() if kind.acts]
"""Places a program changes, so that something can happen in the middle of a change. Why it changes nothing at the
others stands in their `without`, case by case; what needs no change in its middle is played on them too.
"""
MOST_NIGHTS = 24
OURS = ("ProcessorError", "Unreachable", "RateLimited", "Refused", "ConfigurationError")
"""Errors after which Airflow retries; any other fails the test."""
OPEN_ENDS = (Outcome.MANUAL_PENDING, Outcome.EXPIRES_BY_PROCESSOR)
"""Ends that stay open: a person answers, or the processor's own date comes."""


@dataclass
class Life(Play):
    """A play in child processes; `die_at` counts points over all of them, from 1."""

    nursery: Nursery = field(kw_only=True)
    die_at: int | None = field(default=None, kw_only=True)
    stranger: bool = field(default=False, kw_only=True)
    """Whether whoever takes over is another task, which has to wait for the lease to run out."""
    rehearsal: bool = field(default=False, kw_only=True)
    points: list[str] = field(default_factory=list)
    died: str = ""
    tolerant: bool = False
    """Whether what falls over when a server goes away is left to Airflow, which tries the task again."""
    owner: str = "run:task:0"
    wrong: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.world.witness = self._witness

    # -- tasks -----------------------------------------------------------------------------------------------------
    def locate(self) -> None:
        self._task(work.locate)
        self._archive_takes_everything()

    def advance(self) -> None:
        self._task(work.advance)

    def _task(self, job: Any) -> None:
        """Run a task; where it dies, let it be retried at once, or by another owner once the lease has run out."""
        ended = self._child(job)
        if not ended.killed:
            return
        self.died = ended.points[-1]
        self.agree()
        if self.stranger:
            self.owner = "run:task:1"
            self._nothing_under_a_foreign_lease(job)
            self._leases_run_out()
        self._child(job)

    def _leases_run_out(self) -> None:
        with self.stage.context.engine.begin() as connection:
            connection.execute(update(claim).values(expires_at=func.now() - text("interval '1 second'")))

    def _nothing_under_a_foreign_lease(self, job: Any) -> None:
        """While the dead task's lease runs, another owner calls nobody and writes nothing."""
        with self.stage.context.engine.connect() as connection:
            leased = connection.execute(select(claim.c.owner)).scalars().all()
        if leased:
            ended = self._child(job)
            calls = [p for p in ended.points if p.startswith("call ")]
            if calls:
                self.wrong.append(f"a lease of {leased} did not keep another task from {calls[0]}")

    def _child(self, job: Any) -> Ended:
        left = None if self.die_at is None or self.died else self.die_at - len(self.points)
        if self.rehearsal:
            ended = self.nursery.rehearse(job, self._night())
        else:
            ended = self.nursery.run(*self._job(job), die_at=left)
        if not self.died:
            self.points += ended.points
        if ended.error:
            self.heard.append(ended.trace)
            if ended.error not in OURS and not self.tolerant:
                raise AssertionError(f"after {self.died or 'nothing'}: {ended.trace}")
        return ended

    def _job(self, job: Any) -> tuple[Any, ...]:
        """Return what a child is to do."""
        return job, self._night()

    def _night(self) -> work.Task:
        world, stage = self.world, self.stage
        theirs = stage.postgres.connection("accounts_db", stage.accounts_name)
        return work.Task(
            name=world.name,
            ours=stage.postgres.connection("retention_db", stage.context.engine.url.database or ""),
            theirs=theirs,
            theirs_of_processor=world.through() if isinstance(world, DatabaseWorld) else theirs,
            connection=world.connection(),
            settings=world.settings(),
            as_of=world.today,
            run_id=stage.context.run_id or UUID(int=0),
            batch_id=self._batch(),
            owner=self.owner,
            known=None if world.name == "own_database" else dict(world.known),
        )

    # -- what must hold --------------------------------------------------------------------------------------------
    def _witness(self, request: str) -> None:
        """Intent first: whatever changes something arrives while every disposal it may be for is `attempted`."""
        for row in self.rows():
            if row.outcome != Outcome.ATTEMPTED:
                self.wrong.append(f"{request} arrived while {row.outcome} was committed, not attempted")

    def agree(self) -> None:
        """State and evidence say the same, whatever happened in between."""
        with self.stage.context.engine.connect() as connection:
            for row in self.rows():
                events = [e["event"] for e in self.entries(str(row.disposal_id))]
                last = events[-1] if events else "planned"
                if last != row.outcome:
                    self.wrong.append(f"after {self.died}: the row says {row.outcome}, its last entry {last}")
                found = connection.execute(
                    select(func.count()).select_from(locator).where(locator.c.disposal_id == row.disposal_id)
                ).scalar_one()
                if row.closed_on and (found or row.account_id):
                    self.wrong.append(f"after {self.died}: closed, and still holds who it was about")
                if Outcome(row.outcome) in TERMINAL and not row.closed_on and not row.needs_person:
                    self.wrong.append(f"after {self.died}: {row.outcome} and not closed")

    def read_back_last(self) -> None:
        """What is called gone was read after the last change."""
        confirmed = self.row().outcome == Outcome.CONFIRMED_ABSENT
        if confirmed and (self.world.changes() or [False])[-1]:
            self.wrong.append(f"killed at {self.died}: confirmed, and nothing was read after the last change")


def carried_out(world: World) -> Counter[str]:
    """Return how often each act was carried out, as the place saw it."""
    found: Counter[str] = Counter()
    for method, path in world.carried_out():
        for act in world.acts:
            if re.fullmatch(act.method, method) and re.search(act.path, path):
                found[act.name] += 1
    return found


def ended_well(life: Life, logged: str, usual: Counter[str] | None) -> None:
    """Hold everything that must hold when a life is over."""
    world = life.world
    life.agree()
    life.read_back_last()
    assert not life.wrong, life.wrong
    where = f"killed at {life.died}"
    assert life.end() == world.variants[world.variant], f"{where}: ended as {life.end()}; heard {life.heard}"
    assert not world.doubled(), f"{where}: {world.doubled()}"
    for act in world.acts:
        often, once = carried_out(world)[act.name], usual[act.name] if usual is not None else 10**6
        assert act.again or often <= once, f"{where}: {act.name} {often} times, not {once}"
    life.check(logged)


def closed_once(life: Life) -> None:
    """The evidence says the end once, intent before it, in an order a verifier accepts.

    Where a program changes nothing (`World.acts` is empty) there is no intent to say.
    """
    events = [e["event"] for e in life.entries()]
    row = life.row()
    assert row.closed_on is not None or Outcome(row.outcome) in OPEN_ENDS, life.end()
    assert events.count(row.outcome) == 1, events
    assert events.count("planned") <= 1
    if life.world.acts:
        assert events.index("attempted") < events.index(row.outcome)
    else:
        assert "attempted" not in events, events
    following = Lives(whole=False)
    wrong = [problem for n, e in enumerate(life.entries()) if (problem := following.follow(n, e))]
    assert not wrong, wrong


@contextmanager
def living(stage: Stage, world: World, nursery: Nursery, *, of: type[Life] = Life, **given: Any) -> Iterator[Life]:
    """Yield a life of one world's target, planned."""
    with playing(stage, world):
        life = of(stage, world, nursery=nursery, **given)
        life.plan()
        yield life
