"""A stop that is set in the middle of a long act lets at most the call that is under way finish, at every place."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from include.disposals import advance_batch
from include.errors import DecisionRefused
from include.processors import Site, load
from include.sandbox.servers import PostgresServer, S3Server
from tests.processors.worlds import WORLDS, make
from tests.processors.worlds.base import World
from tests.processors.worlds.play import Stage, playing, staged

DAY = timedelta(days=1)
ACTING = sorted(name for name, world in WORLDS.items() if world.acts)


@pytest.fixture(scope="module")
def stage(postgres: PostgresServer, s3: S3Server) -> Iterator[Stage]:
    with staged(postgres, s3) as made:
        yield made


class Switch:
    """The stop as the processor sees it: off until the n-th call that changes something."""

    def __init__(self, calls: int) -> None:
        self.calls, self.asked = calls, 0

    def __call__(self) -> None:
        self.asked += 1
        if self.asked > self.calls:
            raise DecisionRefused("The global stop is set (drill). Nothing is acted on until it is released.")


@pytest.mark.parametrize("name", ACTING)
@pytest.mark.parametrize("calls", [0, 1])
def test_after_a_stop_no_further_call_changes_anything(stage: Stage, name: str, calls: int) -> None:
    world: World = make(stage, name)
    switch = Switch(calls)
    with playing(stage, world) as play:
        play.plan()
        play.locate()
        before = len(world.requests())
        stopped = False
        for _ in range(6):
            site = Site(
                world.connection(), world.settings(), world.today, accounts=world.accounts_engine(), go_on=switch
            )
            try:
                advance_batch(play._context(), load(name)(site), play._batch(), "stopped")
            except DecisionRefused:
                stopped = True
                break
            world.move(max(world.today + DAY, play.row().due_at or world.today))
        if not stopped:
            # The whole act was the one call that was let through: there was nothing more to stop.
            assert switch.asked == calls == 1, f"{name} never asked whether it may go on: {play.end()}"
            return
        assert len(world.requests()) - before <= calls
        assert play.row().closed_on is None
        assert world.left()
        # Released, it is read first and carried to the end that is documented for it.
        assert play.nights() == type(world).variants[world.variant]
        play.check("")
