"""Clocks that jump, a day back or a month ahead, in the middle of a disposal and of an archive's day.

There are three: the business date a task was given (a run of yesterday that is cleared today), the clock of the machine
a worker runs on, and the database's, on which leases run.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, text, update

from include.database import claim, run
from include.disposals import begin_run, claims
from include.sandbox.servers import PostgresServer, S3Server
from tests.crash import work
from tests.crash.lives import Life, closed_once, ended_well, living
from tests.crash.nursery import Nursery
from tests.crash.test_archive import Cellar
from tests.processors.worlds import WORLDS, make
from tests.processors.worlds.base import ON, Act
from tests.processors.worlds.play import Stage, staged

DAY = timedelta(days=1)
BACK, AHEAD = -1, 30


@pytest.fixture(scope="module")
def stage(postgres: PostgresServer, s3: S3Server) -> Iterator[Stage]:
    with staged(postgres, s3) as made:
        yield made


@dataclass
class Jumping(Life):
    """A life of a disposal that falls free on `ON`; a clock jumps once, before it acts or where it dies."""

    date_by: int = field(default=0, kw_only=True)
    """Days by which the business date jumps."""
    wall_by: int = field(default=0, kw_only=True)
    """Days by which the clock of the worker's machine is wrong after the jump."""
    before_acting: bool = field(default=False, kw_only=True)
    jumped: bool = False

    def plan(self, account_id: str = "1", **columns: Any) -> str:
        last = ON - DAY
        return super().plan(
            account_id, **{"last_day": last, "free_from": ON, "destroy_by": ON + 5 * DAY, "due_at": last, **columns}
        )

    def advance(self) -> None:
        if self.before_acting and not self.jumped:
            self._jump()
            before = list(self.world.carried_out()), self.world.left()
            super().advance()
            if self.date_by < 0:
                assert (list(self.world.carried_out()), self.world.left()) == before, "it acted before its day"
                self.world.today = ON
        else:
            super().advance()

    def _jump(self) -> None:
        self.jumped = True
        self.world.today += self.date_by * DAY  # ours alone: the place's own clock is right

    def _task(self, job: Any) -> None:
        before = self.died
        super()._task(job)
        if self.died and not before and self.date_by < 0:
            self.world.today = ON

    def agree(self) -> None:
        super().agree()
        if self.died and not self.jumped:
            self._jump()

    def _job(self, job: Any) -> tuple[Any, ...]:
        by = self.wall_by * DAY if self.jumped else 0 * DAY
        return (work.at_another_time, by, job, self._night()) if by else super()._job(job)


STARTED = {"attempted", "manual_pending", "expires_by_processor", "confirmed_absent"}
"""What begins, or is an end: said before the day, an order to a person is as wrong as an act."""


def changes(point: str, acts: Sequence[Act]) -> bool:
    """Return whether at this point a place has received one of these acts, or the database the commit of one."""
    if point == "committed theirs":
        return any(act.method == "SQL" for act in acts)
    if not point.startswith("sent "):
        return False
    method, path = point.removeprefix("sent ").split(" ", 1)
    ways = (path, path.partition("?")[0])
    return any(re.fullmatch(act.method, method) and any(re.search(act.path, way) for way in ways) for act in acts)


def last_change(life: Life) -> int:
    """Return the ordinal of the last change a place received, or of the database's last commit of one."""
    return [n for n, point in enumerate(life.points, 1) if changes(point, life.world.acts)][-1]


JUMPS = {
    "the date back": (BACK, 0),
    "the date ahead": (AHEAD, 0),
    "the clock back": (0, BACK),
    "the clock ahead": (0, AHEAD),
}
"""What jumps -> days by which the business date does, and the clock of the worker's machine."""


@pytest.mark.parametrize("name", WORLDS)
def test_nothing_goes_before_its_day_and_everything_ends_when_a_clock_jumps(
    name: str,
    stage: Stage,
    nursery: Nursery,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Between locating and acting, and between the last act (whose task dies) and its verification.

    Where a program changes nothing (`World.acts` is empty) there is only the former, before its end is said.
    """
    caplog.set_level(logging.INFO)
    for rehearsal in (True, False):
        with living(stage, make(stage, name), nursery, of=Jumping, rehearsal=rehearsal) as life:
            life.nights()
    acts = bool(life.world.acts)
    at = last_change(life) if acts else 0
    for what, (date_by, wall_by) in JUMPS.items():
        for before_acting in (True, False) if acts else (True,):
            given: dict[str, Any] = {"before_acting": True} if before_acting else {"die_at": at}
            with living(
                stage, make(stage, name), nursery, of=Jumping, date_by=date_by, wall_by=wall_by, **given
            ) as life:
                assert isinstance(life, Jumping)
                life.nights()
                assert life.jumped, what
                ended_well(life, caplog.text, None)
                closed_once(life)
                early = [e for e in life.entries() if e["event"] in STARTED and e["as_of"] < e["free_from"]]
                assert not early, f"{what}: {early}"


class Returned(Life):
    """A life whose worker died; then the database's clock went back by a day."""

    def _nothing_under_a_foreign_lease(self, job: Any) -> None:
        with self.stage.context.engine.begin() as connection:
            assert connection.execute(update(claim).values(expires_at=claim.c.expires_at + DAY)).rowcount
        super()._nothing_under_a_foreign_lease(job)

    def _leases_run_out(self) -> None:
        with self.stage.context.engine.begin() as connection:
            connection.execute(
                update(claim).values(expires_at=claim.c.expires_at - claims.LEASE - timedelta(minutes=1))
            )


def test_a_lease_neither_is_stolen_nor_lasts_a_day_when_the_databases_clock_goes_back(
    stage: Stage, nursery: Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    name = "own_database"
    with living(stage, make(stage, name), nursery) as life:
        life.nights()
    at = last_change(life)
    with living(stage, make(stage, name), nursery, of=Returned, die_at=at, stranger=True) as life:
        life.run()  # the stranger ends it in the same night, a quarter of an hour after the death
        assert life.died
        ended_well(life, caplog.text, None)
        closed_once(life)


def test_a_living_owner_keeps_its_lease_when_the_databases_clock_goes_back(stage: Stage) -> None:
    engine = stage.context.engine
    mine = claims.take(engine, "zendesk", ["a"], "me")
    with engine.begin() as connection:
        connection.execute(update(claim).values(expires_at=claim.c.expires_at + DAY))
    assert not claims.take(engine, "zendesk", ["a"], "other").accounts
    with engine.begin() as connection:
        left = connection.execute(select(claim.c.expires_at - func.now())).scalar_one()
        assert left <= claims.LEASE
        assert claims.hold(connection, mine) == {"a"}
        connection.execute(text("DELETE FROM retention.claim"))


@pytest.mark.parametrize("by", [BACK * DAY, AHEAD * DAY])
def test_the_archive_neither_packs_nor_drops_nor_destroys_by_a_wrong_clock(
    by: timedelta, nursery: Nursery, postgres: PostgresServer, s3: S3Server
) -> None:
    cellar = Cellar(postgres, s3)
    packed = nursery.run(work.at_another_time, by, work.pack, cellar.books)
    assert packed.error == "ArchiveError", packed
    cellar.agree()
    assert len(cellar.desk.rows("archive_row")) == 6
    assert not nursery.run(work.pack, cellar.books).error
    later = replace(cellar.books, as_of=ON + 10 * DAY)
    refused = nursery.run(work.at_another_time, by, work.lapse, later, "new")
    assert refused.error == "DecisionRefused", refused.trace
    assert not [r for r in cellar.desk.rows("run") if r.airflow_run_id == "new"]
    begin_run(later.context(), airflow_run_id="begun")
    lapsed = nursery.run(work.at_another_time, by, work.lapse, later, "begun")
    assert lapsed.error == "ArchiveError", lapsed
    kept = nursery.run(work.lapse, later, "begun")
    assert kept.returned["retained"] == 2
    cellar.agree()
    assert {r.state for r in cellar.desk.rows("archive_object")} == {"checked"}
    assert len(cellar.end()["contents"]) == 2
    with cellar.desk.engine.connect() as connection:
        assert connection.execute(select(func.count()).select_from(run)).scalar_one() == 2
    cellar.close()
