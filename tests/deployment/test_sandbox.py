"""The sandbox in containers: what `seed` does there, against the real servers and stand-ins of this suite."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import text

from include import database
from include.check import Setup, databases, secret_keys
from include.check.sources import from_airflow
from include.errors import ConfigurationError
from include.policy import schedule
from include.sandbox import adroll, clarity, compose, salesforce, stripe, zendesk
from include.sandbox.servers import PostgresServer, S3Server
from include.sandbox.stack import airflow_connection
from include.sandbox.standin import Serving

KINDS = {"salesforce": salesforce, "stripe": stripe, "zendesk": zendesk, "adroll": adroll, "clarity": clarity}


def test_seeding_fills_every_store_once_and_approves_the_schedule(
    postgres: PostgresServer, s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = f"d_{uuid4().hex[:8]}", f"d_{uuid4().hex[:8]}"
    postgres.create_database(ours, template="template_retention")
    postgres.create_database(theirs)
    monkeypatch.setattr(compose, "KEYS", str(tmp_path / "keys"))
    monkeypatch.setattr(compose, "ACCOUNTS", 20)
    with ExitStack() as stack:
        served = {n: stack.enter_context(Serving(k.StandIn())) for n, k in KINDS.items()}  # type: ignore[attr-defined]
        for made in compose.connections("unused"):
            if made.schema:
                moved = postgres.connection(made.name, ours if made.name == "retention_db" else theirs)
            elif made.name in served:
                moved = replace(made, extra={**made.extra, "endpoint_url": served[made.name].url})
            elif made.endpoint_url:
                moved = replace(made, extra={**made.extra, "endpoint_url": s3.endpoint_url})
            else:
                moved = made
            monkeypatch.setenv(f"AIRFLOW_CONN_{made.name.upper()}", airflow_connection(moved))
        compose._seed()
        held = {n: len(list(s.standin.store.dump())) for n, s in served.items()}
        compose._seed()
        assert {n: len(list(s.standin.store.dump())) for n, s in served.items()} == held
    assert all(held[n] for n in ("salesforce", "stripe", "zendesk", "adroll"))
    setup, loaded = Setup(connection=from_airflow, now=compose.datetime.now(compose.ZoneInfo("UTC"))), schedule.load()
    assert [str(line) for line in (*databases.lines(setup, loaded), *secret_keys.lines(setup)) if not line.good] == []
    engine = database.connect(from_airflow("accounts_db"))
    with engine.connect() as session:
        assert session.execute(text("SELECT count(*) FROM account")).scalar_one() == 20
    engine.dispose()
    for name in (ours, theirs):
        postgres.drop_database(name)


def test_a_processor_of_the_real_world_is_never_seeded() -> None:
    with pytest.raises(ConfigurationError, match="leaves the sandbox"):
        compose._url(compose.Connection("stripe", password="sk_test_sample"))
