"""The install step and then every Airflow service of the compose file, as plain processes against a real PostgreSQL.

Same commands, environment and health checks as in `docker-compose.yaml`; Redis, which is no Python package, is replaced
by Celery's own broker of files.
"""

from __future__ import annotations

import base64
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from uuid import uuid4

import httpx
import psycopg
import pytest
import yaml

from include import install, processors
from include.sandbox.servers import PostgresServer, free_ports, stop
from include.sandbox.stack import airflow_connection

ROOT = Path(__file__).parents[2]
SERVICES = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())["services"]
COMPONENTS = ("api-server", "scheduler", "dag-processor", "triggerer", "worker")
SECONDS = 300


@pytest.fixture(scope="module")
def environment(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of every service after `init` ran; `OURS` and `THEIRS` name the two databases."""
    ours, theirs = f"i_{uuid4().hex[:8]}", f"i_{uuid4().hex[:8]}"
    for name in (ours, theirs):
        postgres.create_database(name)
    home = tmp_path_factory.mktemp("airflow")
    api, health, triggers, logs = map(str, free_ports(4))
    key = base64.urlsafe_b64encode(bytes(32)).decode()
    made = {
        **{k: v for k, v in os.environ.items() if not k.startswith(("AIRFLOW", "RETENTION"))},
        **{k: v for k, v in SERVICES["worker"]["environment"].items() if not k.endswith("_CMD")},
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "HOSTNAME": socket.gethostname(),
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
        "AIRFLOW__CORE__FERNET_KEY": key,
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{api}/execution/",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"postgresql+psycopg2://postgres:@/{theirs}?host={postgres.socket_dir}",
        "AIRFLOW__API__PORT": api,
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__API__SECRET_KEY": key,
        "AIRFLOW__API_AUTH__JWT_SECRET": key * 2,
        "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_SERVER_PORT": health,
        "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": triggers,
        "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": logs,
        "AIRFLOW__CELERY__BROKER_URL": "filesystem://",
        "AIRFLOW__CELERY__RESULT_BACKEND": f"db+postgresql://postgres:@/{theirs}?host={postgres.socket_dir}",
        "AIRFLOW__CELERY__WORKER_CONCURRENCY": "1",
        **{
            f"AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__{k}": str(home / "broker")
            for k in ("DATA_FOLDER_IN", "DATA_FOLDER_OUT", "CONTROL_FOLDER")
        },
        "AIRFLOW_CONN_RETENTION_DB": airflow_connection(postgres.connection("retention_db", ours)),
        "OURS": ours,
        "THEIRS": theirs,
    }
    (home / "broker").mkdir()
    done = subprocess.run(
        [sys.executable, *SERVICES["init"]["command"][1:]],
        cwd=ROOT, env=made, capture_output=True, text=True, check=False, timeout=SECONDS,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Connections not there yet: accounts_db" in done.stdout
    yield made
    for name in (ours, theirs):
        postgres.drop_database(name)


@pytest.mark.airflow
def test_installing_makes_tables_pools_and_roles_and_no_user(
    environment: dict[str, str], postgres: PostgresServer
) -> None:
    with psycopg.connect(host=postgres.socket_dir, user="postgres", dbname=environment["THEIRS"]) as session:
        pools = {row[0] for row in session.execute("SELECT pool FROM slot_pool")}
        roles = {row[0] for row in session.execute("SELECT name FROM ab_role")}
        users = session.execute("SELECT count(*) FROM ab_user").fetchone()
    assert set(processors.names()) <= pools
    assert set(install.rights()) <= roles
    assert users == (0,)
    with psycopg.connect(host=postgres.socket_dir, user="postgres", dbname=environment["OURS"]) as session:
        assert session.execute("SELECT count(*) FROM retention.alembic_version").fetchone() != (0,)


@pytest.mark.airflow
def test_every_service_starts_and_its_own_health_check_passes(environment: dict[str, str], tmp_path: Path) -> None:
    started = {name: start(name, environment, tmp_path) for name in COMPONENTS}
    waiting = dict(started)
    deadline = time.monotonic() + SECONDS
    try:
        while waiting and time.monotonic() < deadline:
            time.sleep(5)
            for name, process in list(waiting.items()):
                assert process.poll() is None, f"{name} ended: {(tmp_path / name).read_text()[-3000:]}"
                if healthy(name, environment):
                    del waiting[name]
        assert not waiting, {name: (tmp_path / name).read_text()[-2000:] for name in waiting}
    finally:
        for process in started.values():
            stop(process, seconds=30)


def start(name: str, environment: Mapping[str, str], folder: Path) -> subprocess.Popen[bytes]:
    """Start one service with the command of the compose file, its output in a file of its name."""
    with (folder / name).open("wb") as out:
        return subprocess.Popen(
            SERVICES[name]["command"], cwd=ROOT, env=dict(environment), stdout=out, stderr=out, start_new_session=True
        )


def healthy(name: str, environment: Mapping[str, str]) -> bool:
    """Return whether the health check of the compose file passes now; only its ports are this test's own."""
    kind, *test = SERVICES[name]["healthcheck"]["test"]
    moved = {
        ":8080": f":{environment['AIRFLOW__API__PORT']}",
        ":8974": f":{environment['AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_SERVER_PORT']}",
    }
    for old, new in moved.items():
        test = [word.replace(old, new) for word in test]
    if test[0] == "curl":  # in the image; this machine may lack it
        try:
            return httpx.get(test[-1], timeout=10).is_success
        except httpx.TransportError:
            return False
    command = ["/bin/sh", "-c", test[0].replace("$$", "$")] if kind == "CMD-SHELL" else test
    done = subprocess.run(command, env=dict(environment), capture_output=True, check=False, timeout=120)
    return done.returncode == 0
