"""What every line of the benchmark stands on: its sizes, and servers that start when the first line asks for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from sqlalchemy import Engine

from include import database
from include.sandbox.servers import PostgresServer, S3Server, temporary_folder
from tests.bench.rows import Row

if TYPE_CHECKING:
    from tests.bench.airflow import Running


@dataclass(frozen=True, slots=True)
class Sizes:
    """How large each line is measured; the names of the lines stay those of the full sizes."""

    repeat: int = 5
    accounts: int = 1_000_000
    due: int = 10_000
    plan_points: tuple[tuple[int, int], ...] = ((100, 1), (1_000, 10), (10_000, 100), (100_000, 1_000))
    engine: int = 2_000
    real: int = 300
    quota_seconds: float = 20.0
    sealed: int = 10_000
    small_log: int = 10_000
    large_log: int = 1_000_000
    verified: int = 1_000_000
    verify_points: tuple[int, ...] = (100, 1_000, 10_000, 100_000)
    archived: int = 10_000
    nights: tuple[int, int] = (1_000, 10_000)
    night_repeat: int = 1
    empty_nights: int = 3
    batches: tuple[int, ...] = (100, 1_000, 10_000, 100_000)


TINY = Sizes(
    repeat=2, accounts=400, due=20, plan_points=((100, 10),), engine=20, real=40, quota_seconds=3.0, sealed=40,
    small_log=50, large_log=600, verified=600, verify_points=(100,), archived=30, nights=(20, 40), empty_nights=1,
    batches=(10, 250),
)  # fmt: skip
"""Small enough for the test suite; ratios at these sizes mean nothing."""


class Bench:
    """Sizes, servers and a folder of one run of the benchmark."""

    def __init__(self, sizes: Sizes, stack: ExitStack) -> None:
        self.sizes, self._stack = sizes, stack
        self.counted: dict[int, int] = {}
        """Task instances of the nights that ran, by subjects."""

    @cached_property
    def folder(self) -> Path:
        """A folder that is removed at the end."""
        return self._stack.enter_context(temporary_folder("rt-bench-"))

    @cached_property
    def postgres(self) -> PostgresServer:
        """A PostgreSQL of this run; `template_retention` is migrated."""
        server = PostgresServer(self.folder / "pg").start()
        self._stack.callback(server.stop)
        server.create_database("template_retention")
        engine = database.connect(server.connection("retention_db", "template_retention"))
        database.migrate(engine)
        engine.dispose()
        return server

    @cached_property
    def s3(self) -> S3Server:
        """An S3 server of this run with the buckets `archive` and `evidence`, both with Object Lock."""
        server = S3Server(self.folder / "s3").start()
        self._stack.callback(server.stop)
        for bucket in ("archive", "evidence"):
            server.create_bucket(bucket, lock=True)
        return server

    @cached_property
    def airflow(self) -> Running:
        """An Airflow of this run, started by the first line that needs it."""
        from tests.bench.airflow import running

        return self._stack.enter_context(running(self.folder / "airflow"))

    @contextmanager
    def database(self, *, template: str = "template_retention") -> Iterator[Engine]:
        """Yield an engine on a fresh database, dropped afterwards."""
        name = f"b_{uuid4().hex[:12]}"
        self.postgres.create_database(name, template=template)
        engine = database.connect(self.postgres.connection("retention_db", name))
        try:
            yield engine
        finally:
            engine.dispose()
            self.postgres.drop_database(name)


Line = Callable[[Bench], list[Row]]
"""Measures one line, or a family of them."""
