"""Every processor's disposal, killed with SIGKILL at each commit and each call of its life, and taken up again.

A killed process leaves behind what the place and our database hold, and nothing else. Of the points of a life only
those are killed at which that differs: after each commit that wrote something, after each request that may have
changed something; and besides the first of every other kind (before a commit, before, after and between the halves of a
call, reads and changes apart). Between two of these nothing is left that could differ. With CRASH_POINTS=all every
ordinal is killed, until a life ends without being killed.
"""

from __future__ import annotations

import logging
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest

from include import processors
from include.evidence import log
from include.evidence.export import export
from include.evidence.note import Signer
from include.evidence.store import EvidenceStore
from include.sandbox.servers import PostgresServer, S3Server
from tests.crash.courses import EVERY, chosen
from tests.crash.lives import Life, carried_out, ended_well, living
from tests.crash.nursery import Nursery
from tests.processors.worlds import WORLDS, kind_of, make
from tests.processors.worlds.base import World
from tests.processors.worlds.play import Stage, staged

SIGNER = Signer(bytes(range(32)), "crash.example.com/log")


@dataclass
class Theatre:
    """A stage, a nursery, and how often lives were ended on it."""

    stage: Stage
    nursery: Nursery


@pytest.fixture(scope="module")
def theatre(postgres: PostgresServer, s3: S3Server) -> Iterator[Theatre]:
    with staged(postgres, s3) as stage, Nursery() as nursery:
        yield Theatre(stage, nursery)


def played() -> list[tuple[str, str]]:
    """Return every processor with each kind of person on whom an act occurs that occurs on nobody before."""
    found = []
    for name in processors.names():
        kind = kind_of(name)
        on = {kind.richest: None} | {a.on: None for a in kind.acts if a.on and not a.rare}
        found += [(name, variant) for variant in on]
    return found


def around_own_acts(life: Life, world: World, ordinals: list[int]) -> list[int]:
    """Keep those at or right after an act that no other variant plays."""
    own = [a for a in world.acts if a.on == world.variant]
    found, near = [], False
    for ordinal, point in enumerate(life.points, 1):
        if any(f" {a.method} " in f" {point.partition(' ')[2]} " for a in own):
            near = True
        elif point.startswith("call"):
            near = False
        if near and ordinal in ordinals:
            found.append(ordinal)
    return found


@pytest.mark.parametrize(("name", "variant"), played())
def test_a_life_survives_being_killed_anywhere(
    name: str, variant: str, theatre: Theatre, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    stage, nursery = theatre.stage, theatre.nursery
    for rehearsal in (True, False):
        with living(stage, make(stage, name, variant), nursery, rehearsal=rehearsal) as life:
            life.nights()
            ended_well(life, caplog.text, None)
            usual, ordinals = carried_out(life.world), chosen(life.points)
            if variant != kind_of(name).richest and not EVERY:
                ordinals = around_own_acts(life, life.world, ordinals)
    total = len(life.points)
    if name == "own_database":
        assert "committed theirs" in life.points, "the company's database is changed, and that was no point"
    at = iter(range(1, 10**6) if EVERY else ordinals)
    words: Counter[str] = Counter()
    wrong: list[str] = []
    while True:
        ordinal = next(at, None)
        if ordinal is None:
            break
        with living(stage, make(stage, name, variant), nursery, die_at=ordinal, stranger=ordinal % 2 == 0) as life:
            life.nights()
            if EVERY and not life.died:
                break
            try:
                ended_well(life, caplog.text, usual)
            except AssertionError as error:
                wrong.append(f"point {ordinal}: {error}")
        words[life.died.partition(" ")[0]] += bool(life.died)
    print(f"{name}, {variant}: {total} points, killed at {words.total()}: {dict(words)}")
    assert not wrong, "\n".join(wrong)
    assert words["sent"] or words["committed"]
    # What takes longer or shorter than the life that was counted ends before its last points.
    assert words.total() >= 0.9 * len(ordinals)


def test_the_evidence_of_all_these_lives_verifies(theatre: Theatre, s3: S3Server, tmp_path: Path) -> None:
    stage = theatre.stage
    with living(stage, make(stage, "own_database"), theatre.nursery, die_at=9) as life:
        life.nights()
    connection = s3.connection("evidence_store", "notary", bucket="evidence")
    store = EvidenceStore(EvidenceStore.of(connection)._client, "evidence", prefix=f"{uuid4().hex}/")
    log.seal(stage.context.engine, store, SIGNER, now=datetime.now(UTC))
    folder = export(stage.context.engine, tmp_path / "night", vkey=SIGNER.vkey).folder
    told = subprocess.run(
        [sys.executable, str(folder / "verify.py"), str(folder)], capture_output=True, text=True, check=False
    )
    print(told.stdout)
    assert told.returncode == 0, told.stdout + told.stderr


def test_every_processor_is_killed() -> None:
    assert {name for name, _ in played()} == set(WORLDS) == set(processors.names())
