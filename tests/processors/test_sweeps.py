"""Somebody erased may sign up again, at every place that can be listed: seen, shown to a person, never touched."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from sqlalchemy import select, text

from include.accounts.find import owners
from include.database.decisions import sighting
from include.disposals import resurfacing
from include.processors import load, names
from include.sandbox.servers import PostgresServer, S3Server
from tests.processors.worlds import make
from tests.processors.worlds.base import ON, TARGET, HttpWorld, Person, World, add_accounts
from tests.processors.worlds.play import Play, Stage, playing, staged

LISTED = [name for name in names() if hasattr(load(name), "sweep")]
BY_ACCOUNT = {"s3", "own_database"}
"""Places that are searched by account id only, so that an e-mail is no match there."""
KINDS = {"zendesk": ("user",), "stripe": ("customer",)}
NEWCOMER = Person("77", 77, TARGET.email, TARGET.name)


@pytest.fixture(scope="module")
def stage(postgres: PostgresServer, s3: S3Server) -> Iterator[Stage]:
    with staged(postgres, s3) as made:
        yield made


def swept(play: Play, world: World) -> dict[str, int]:
    """Sweep the place through its processor; return what was counted."""
    context = replace(play.stage.context, as_of=world.today)
    now = datetime.combine(world.today, datetime.min.time(), UTC) + timedelta(hours=20)
    who = partial(owners, play.stage.context.accounts)
    codes = resurfacing.sweep_places(context, {world.name: world.processor}, who, now=now)  # type: ignore[arg-type]
    assert codes == {world.name: "swept"}
    with context.engine.connect() as connection:
        bodies = connection.execute(
            text("SELECT body FROM retention.entry ORDER BY entry_id DESC LIMIT 1")
        ).scalar_one()
    return json.loads(bytes(bodies))["counts"]  # type: ignore[no-any-return]


def erased(play: Play, world: World) -> None:
    """Erase the target, and let the place forget its sweeps."""
    play.plan()
    play.nights()
    with play.stage.context.engine.begin() as connection:
        for table in ("sighting", "sweep"):
            connection.execute(text(f"DELETE FROM retention.{table}"))


def touch(world: World) -> None:
    """Let what was seeded have been written today, as what comes in anew has."""
    noon = datetime.combine(world.today, datetime.min.time(), UTC) + timedelta(hours=12)
    if isinstance(world, HttpWorld):
        for kind, name, value in (
            ("user", "updated_at", noon.strftime("%Y-%m-%dT%H:%M:%SZ")),
            ("customer", "created", int(noon.timestamp())),
        ):
            for row in world.standin.store.all(kind) if kind in KINDS.get(world.name, ()) else ():
                if f"{kind}/{row['id']}" not in world.others:
                    world.standin.store.update(kind, row["id"], **{name: value})
        world.standin.store.commit()


def sign_up(world: World) -> None:
    """Let a new, live customer come with the e-mail of the erased one."""
    add_accounts(world.accounts, NEWCOMER)
    with world.accounts.begin() as connection:
        connection.execute(text("UPDATE account SET terminated_on = NULL WHERE account_id = '77'"))
    world.seed(NEWCOMER, world.richest)
    touch(world)


def clean(play: Play) -> None:
    with play.stage.context.engine.begin() as connection:
        for table in ("sighting", "tombstone", "sweep"):
            connection.execute(text(f"DELETE FROM retention.{table}"))


def test_these_places_can_be_listed() -> None:
    assert LISTED == ["own_database", "s3", "salesforce", "stripe", "zendesk"]


@pytest.mark.parametrize("name", LISTED)
def test_who_signs_up_again_is_never_touched(stage: Stage, name: str) -> None:
    world = make(stage, name)
    with playing(stage, world) as play:
        erased(play, world)
        world.move(max(world.today, ON))
        before = len(world.requests())
        sign_up(world)
        signed_up = world.snapshot()
        counts = swept(play, world)
        assert counts["records"] >= 1
        assert counts.get("reappeared", 0) == 0
        assert world.snapshot() == signed_up
        assert len(world.requests()) == before
        with stage.context.engine.connect() as connection:
            cases = connection.execute(select(sighting.c.kind)).scalars().all()
        assert cases == ([] if name in BY_ACCOUNT else ["email"])
        clean(play)


@pytest.mark.parametrize("name", LISTED)
def test_who_was_put_back_under_the_same_account_is_noticed(stage: Stage, name: str) -> None:
    world = make(stage, name)
    with playing(stage, world) as play:
        erased(play, world)
        if name != "own_database":
            world.forget()
        world.seed(TARGET, world.variant)
        touch(world)
        found = swept(play, world)
        assert found.get("reappeared") == 1, found
        assert play.row().outcome == "reappeared"
        clean(play)
