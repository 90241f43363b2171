"""Two workers on the same batch: two real processes, two owners, one of which may act.

Airflow may start a task twice (a zombie that lives on, a cleared run), and two schedulers' runs may hold the same
disposals. The lease lets one of them act; one whose lease was taken over meanwhile (its machine slept, or the
database's clock jumped) writes nothing any more.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from sqlalchemy import func, select, text, update

from include.database import claim
from include.sandbox.servers import PostgresServer, S3Server
from tests.crash import work
from tests.crash.lives import ACTED_ON, Life, carried_out, closed_once, ended_well, living
from tests.crash.nursery import Ended, Nursery
from tests.processors.worlds import WORLDS, make
from tests.processors.worlds.play import Stage, staged

RIVAL = "run:task:rival"
LONGEST_WAIT = 5.0
"""Seconds a rival that must not act is waited for; one that calls a place that is at work waits longer."""


@pytest.fixture(scope="module")
def workers() -> Iterator[tuple[Nursery, Nursery]]:
    with Nursery() as one, Nursery() as other:
        yield one, other


@pytest.fixture(scope="module")
def stage(postgres: PostgresServer, s3: S3Server) -> Iterator[Stage]:
    with staged(postgres, s3) as made:
        yield made


@dataclass
class Race(Life):
    """A life each of whose tasks is run by two workers, on one batch."""

    rival: Nursery = field(kw_only=True)
    ended: list[Ended] = field(default_factory=list)

    def _task(self, job: Any) -> None:
        """Let both begin at the same moment."""
        task = self._night()
        theirs = replace(task, owner=RIVAL)
        start = threading.Barrier(2)

        def run(nursery: Nursery, of: work.Task) -> Ended:
            start.wait()
            return nursery.run(job, of)

        with ThreadPoolExecutor(2) as pool:
            both = [pool.submit(run, self.nursery, task), pool.submit(run, self.rival, theirs)]
        for one in both:
            self._hear(one.result())
        self.agree()

    def _hear(self, ended: Ended) -> None:
        self.ended.append(ended)
        if ended.error:
            self.heard.append(ended.trace)
            self.wrong.append(f"a worker failed: {ended.trace}")


@dataclass
class Intruded(Race):
    """A life in whose first change, at the moment the place receives it, a rival begins the same batch."""

    steals: bool = field(default=False, kw_only=True)
    """Whether the first worker's lease is over by then."""
    task: work.Task | None = None
    thread: threading.Thread | None = None

    def _task(self, job: Any) -> None:
        self.task = self._night()
        self._hear(self.nursery.run(job, self.task))
        if self.thread:
            self.thread.join(60)
            assert not self.thread.is_alive()
        self.agree()

    def _witness(self, request: str) -> None:
        super()._witness(request)
        if self.thread is not None:
            return
        assert self.task is not None
        theirs = replace(self.task, owner=RIVAL)
        found: list[Ended] = []
        self.thread = threading.Thread(target=lambda: found.append(self.rival.run(work.advance, theirs)))
        if self.steals:
            with self.stage.context.engine.begin() as connection:
                connection.execute(update(claim).values(expires_at=func.now() - text("interval '30 days'")))
        self.thread.start()
        if self.steals:
            self._wait_for_takeover()
            return
        self.thread.join(LONGEST_WAIT)
        acted = [p for one in found for p in one.points if p.startswith(("call", "commit theirs"))]
        if self.thread.is_alive() or acted or found[0].error or found[0].returned:
            self.wrong.append(f"while another worker was at it a rival did {acted or found or 'something endless'}")

    def _wait_for_takeover(self) -> None:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            with self.stage.context.engine.connect() as connection:
                if RIVAL in connection.execute(select(claim.c.owner)).scalars().all():
                    return
            time.sleep(0.01)
        self.wrong.append("a lease that is over was not taken over")


def usual_of(stage: Stage, name: str, workers: tuple[Nursery, Nursery]) -> Any:
    """Return how often each act is carried out in a life that nobody disturbs, warming both nurseries up."""
    usual = None
    for nursery in workers:
        with living(stage, make(stage, name), nursery, rehearsal=True) as life:
            life.nights()
            usual = carried_out(life.world)
    return usual


@pytest.mark.parametrize("name", WORLDS)
def test_two_workers_that_begin_at_once_act_once(
    name: str, stage: Stage, workers: tuple[Nursery, Nursery], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    usual = usual_of(stage, name, workers)
    won = []
    for _ in range(2):
        with living(stage, make(stage, name), workers[0], of=Race, rival=workers[1]) as life:
            assert isinstance(life, Race)
            life.nights()
            ended_well(life, caplog.text, usual)
            closed_once(life)
            won += [bool(e.returned) for e in life.ended]
    assert any(won)
    assert not all(won), "never did two workers meet"


@pytest.mark.parametrize("name", ACTED_ON)
@pytest.mark.parametrize("steals", [False, True], ids=["under a lease", "after its lease"])
def test_a_worker_that_begins_while_another_acts(
    name: str, steals: bool, stage: Stage, workers: tuple[Nursery, Nursery], caplog: pytest.LogCaptureFixture
) -> None:
    """Under a lease it calls nobody; after one it takes over, and the one before writes nothing any more."""
    caplog.set_level(logging.INFO)
    usual = usual_of(stage, name, workers)
    with living(stage, make(stage, name), workers[0], of=Intruded, rival=workers[1], steals=steals) as life:
        assert isinstance(life, Intruded)
        life.nights()
        assert life.thread is not None
        ended_well(life, caplog.text, usual)
        closed_once(life)
