"""Seeded lies told between client and place, to every processor in turn: not one false "destroyed".

`RETENTION_LIES=10000` tells more of them; `python -m tests.processors.lies` prints what came of each.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from include import processors
from include.sandbox.servers import PostgresServer, S3Server
from tests.processors import lies
from tests.processors.worlds.play import Stage, staged

LIES = int(os.environ.get("RETENTION_LIES", "160"))
BYTES = max(60, LIES // 3)


@pytest.fixture(scope="module")
def stage(postgres: PostgresServer, s3: S3Server) -> Iterator[Stage]:
    with staged(postgres, s3) as made:
        yield made


def test_nothing_is_called_destroyed_that_is_there_whatever_is_told(stage: Stage) -> None:
    told = lies.tell(stage, LIES, processors.names(), seed=1)
    said = lies.report(told)
    print(said)
    assert sum(t.count for t in told.values()) >= LIES
    assert all(t.plays for t in told.values()), said
    assert [line for t in told.values() for line in (*t.false, *t.open, *t.named)] == [], said


def test_nothing_is_called_destroyed_whatever_becomes_of_the_bytes(stage: Stage) -> None:
    told = lies.tell(stage, BYTES, lies.HTTP, seed=1, way=lies.by_bytes)
    said = lies.report(told)
    print(said)
    assert sum(t.count for t in told.values()) >= BYTES
    assert [line for t in told.values() for line in (*t.false, *t.open, *t.named)] == [], said
