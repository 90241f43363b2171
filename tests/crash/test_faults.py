"""What a night stands on goes away in its middle: PostgreSQL, S3, a place, the line, space."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import select, text

from include import database
from include.database import entry
from include.errors import EvidenceError, Unreachable
from include.evidence.log import stage as stage_entries
from include.evidence.note import open_checkpoint
from include.evidence.store import EvidenceStore
from include.sandbox.servers import PostgresServer, S3Server, temporary_folder
from tests.crash import work
from tests.crash.lives import ACTED_ON, Life, living
from tests.crash.nursery import Ended, Nursery
from tests.evidence import samples
from tests.processors.s3_proxy import proxy_to
from tests.processors.worlds import make
from tests.processors.worlds.play import Stage, staged

DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def own_servers() -> Iterator[tuple[PostgresServer, S3Server]]:
    """Servers of these tests alone, because they are killed."""
    with temporary_folder("rt-cpg-") as one, temporary_folder("rt-cs3-") as two:
        postgres, s3 = PostgresServer(one / "pg").start(), S3Server(two).start()
        postgres.create_database("template_retention")
        engine = database.connect(postgres.connection("retention_db", "template_retention"))
        database.migrate(engine)
        engine.dispose()
        for bucket, lock in (("live", False), ("archive", True), ("evidence", True)):
            s3.create_bucket(bucket, lock=lock)
        yield postgres, s3
        postgres.stop()
        s3.stop()


@pytest.fixture(scope="module")
def stage(own_servers: tuple[PostgresServer, S3Server]) -> Iterator[Stage]:
    with staged(*own_servers) as made:
        # Here a server does go away, and what was committed has to have been written.
        for engine in (made.context.engine, made.accounts):
            with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.execute(text(f'ALTER DATABASE "{engine.url.database}" RESET synchronous_commit'))
            engine.dispose()
        yield made


class Faulty(Life):
    """A life in whose middle something happens: `strike` runs once, when the first change reaches the place."""

    strike: Callable[[Life], None]
    struck = False

    def _witness(self, request: str) -> None:
        super()._witness(request)
        if not self.struck:
            self.struck = True
            self.strike(self)
            self._connect_anew()

    def _child(self, job: Any) -> Ended:
        """Run a task; after the blow the test itself waits until PostgreSQL answers."""
        ended = super()._child(job)
        if self.struck:
            wait_for(self.stage.postgres)
            self._connect_anew()
        return ended

    def _connect_anew(self) -> None:
        """Use no connection made before the blow: the task may go on to a second change, which is witnessed too."""
        for engine in (self.stage.context.engine, self.stage.accounts):
            engine.dispose()


def live_through(
    stage: Stage, nursery: Nursery, name: str, strike: Callable[[Life], None], mend: Callable[[Life], object]
) -> None:
    """Let something strike a life at its first change, mend it after that night, and hold what holds of every life."""
    world = make(stage, name)
    with living(stage, world, nursery, of=Faulty) as life:
        assert isinstance(life, Faulty)
        life.tolerant = True
        life.strike = strike
        life.run()
        mend(life)
        life.nights()
        assert life.struck
        assert not life.wrong, life.wrong
        assert life.end() == world.variants[world.variant], life.heard
        life.agree()
        life.check("")


def wait_for(postgres: PostgresServer) -> None:
    """Wait until the server takes sessions."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with contextlib.suppress(psycopg.OperationalError), psycopg.connect(_login(postgres)):
            return
        time.sleep(0.1)


def _login(postgres: PostgresServer) -> str:
    return f"host={postgres.socket_dir} user=postgres dbname=postgres"


def crash_postgres(postgres: PostgresServer) -> None:
    """Kill one backend with SIGKILL: the server ends every session, recovers from its log and takes new ones."""
    with contextlib.suppress(psycopg.OperationalError), psycopg.connect(_login(postgres)) as connection:
        os.kill(connection.info.backend_pid, signal.SIGKILL)
        connection.execute("SELECT pg_sleep(10)")
    wait_for(postgres)


@pytest.mark.parametrize("name", ACTED_ON)
def test_postgres_restarts_while_a_place_acts(stage: Stage, nursery: Nursery, name: str) -> None:
    live_through(stage, nursery, name, lambda _life: crash_postgres(stage.postgres), lambda _life: None)


def test_s3_is_killed_while_versions_go(stage: Stage, nursery: Nursery) -> None:
    def strike(_life: Life) -> None:
        process = stage.s3.process
        assert process is not None
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)

    live_through(stage, nursery, "s3", strike, lambda _life: stage.s3.start())


@pytest.mark.parametrize("name", ACTED_ON)
def test_the_line_to_a_place_is_cut_while_it_acts(stage: Stage, nursery: Nursery, name: str) -> None:
    """Every connection is cut and nothing answers until the next run; what was done before stays done."""

    def strike(life: Life) -> None:
        life.world.trouble("cut_before", times=10**6)

    live_through(stage, nursery, name, strike, lambda life: life.world.mend())


# -- the evidence path -------------------------------------------------------------------------------------------------
def logged(stage: Stage, nursery: Nursery, endpoint: str) -> work.Books:
    """Return the books of a new database with entries to seal, whose bucket is reached through `endpoint`."""
    name = f"faulty_{uuid4().hex[:10]}"
    stage.postgres.create_database(name, template="template_retention")
    ours = stage.postgres.connection("retention_db", name)
    with work.engine_of(ours).begin() as connection:
        stage_entries(connection, [e for n in range(1, 20) for e in samples.life(n)])
    store = stage.s3.connection("evidence_store", "notary", bucket="evidence")
    extra = {**store.extra, "prefix": f"{uuid4().hex}/", "endpoint_url": endpoint}
    return work.Books(ours, replace(store, extra=extra), stage.context.as_of)


@pytest.mark.parametrize("refusal", [(507, "InsufficientStorage"), (500, "InternalError"), (503, "SlowDown")])
def test_a_full_evidence_store_stops_the_seal_and_the_next_one_goes_on(
    refusal: tuple[int, str], stage: Stage, nursery: Nursery
) -> None:
    status, code = refusal
    body = f"<Error><Code>{code}</Code></Error>".encode()
    with proxy_to(stage.s3.endpoint_url) as proxy:
        books = logged(stage, nursery, proxy.url)
        puts = iter(range(10**6))
        proxy.fault = lambda method, _path, _body: (
            (status, {"Content-Type": "application/xml"}, body) if method == "PUT" and next(puts) >= 2 else None
        )
        ended = nursery.run(work.seal, books)
        assert ended.error in (Unreachable.__name__, EvidenceError.__name__), ended.trace
        proxy.fault = None
        again = nursery.run(work.seal, books)
        assert not again.error, again.trace
        published = EvidenceStore.of(books.store).get("checkpoint")
        assert published is not None
        with work.engine_of(books.ours).connect() as connection:
            count = len(connection.execute(select(entry.c.entry_id)).all())
        assert open_checkpoint(published.body.decode(), [work.SIGNER.vkey]).size == again.returned == count
    work.hang_up()


def test_a_full_disk_leaves_no_half_export(stage: Stage, nursery: Nursery, tmp_path: Path) -> None:
    books = logged(stage, nursery, stage.s3.endpoint_url)
    assert not nursery.run(work.seal, books).error
    folder = tmp_path / "exports" / "night"
    ended = nursery.run(work.export_on_a_full_disk, books, str(folder))
    assert ended.error == "OSError"
    assert f"[Errno {errno.EFBIG}]" in ended.trace
    assert not folder.exists()
    assert not nursery.run(work.export, books, str(folder)).error
    assert (folder / "manifest.json").is_file()
    work.hang_up()
