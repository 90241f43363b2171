"""The install step against a real PostgreSQL: tables, pools and roles are there, and nobody who could log in."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from include import install, processors
from include.sandbox.servers import PostgresServer
from include.sandbox.stack import airflow_connection

ROOT = Path(__file__).parents[2]


@pytest.mark.airflow
def test_installing_makes_tables_pools_and_roles_and_no_user(postgres: PostgresServer, tmp_path: Path) -> None:
    ours, theirs = f"i_{uuid4().hex[:8]}", f"i_{uuid4().hex[:8]}"
    for name in (ours, theirs):
        postgres.create_database(name)
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith(("AIRFLOW", "RETENTION"))},
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__CORE__AUTH_MANAGER": "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(tmp_path / "none"),
        "AIRFLOW__CORE__FERNET_KEY": base64.urlsafe_b64encode(bytes(32)).decode(),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"postgresql+psycopg2://postgres:@/{theirs}?host={postgres.socket_dir}",
        "AIRFLOW_CONN_RETENTION_DB": airflow_connection(postgres.connection("retention_db", ours)),
    }
    done = subprocess.run(
        [sys.executable, "-m", "include.install"],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=500,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Connections not there yet: accounts_db" in done.stdout
    with psycopg.connect(host=postgres.socket_dir, user="postgres", dbname=theirs) as session:
        pools = {row[0] for row in session.execute("SELECT pool FROM slot_pool")}
        roles = {row[0] for row in session.execute("SELECT name FROM ab_role")}
        users = session.execute("SELECT count(*) FROM ab_user").fetchone()
    assert set(processors.names()) <= pools
    assert set(install.rights()) <= roles
    assert users == (0,)
    with psycopg.connect(host=postgres.socket_dir, user="postgres", dbname=ours) as session:
        assert session.execute("SELECT count(*) FROM retention.alembic_version").fetchone() != (0,)
    for name in (ours, theirs):
        postgres.drop_database(name)
