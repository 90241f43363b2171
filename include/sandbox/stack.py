"""The local stack: PostgreSQL, S3, the stand-ins and Airflow as processes of this machine, each clone on its own ports.

Everything lives under `.local/`. What was started is written to `.local/processes.json`, so that `stop` ends exactly
that.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path

import psutil

from include import keys
from include.connections import Connection
from include.sandbox import standins
from include.sandbox.broker import BrokerServer
from include.sandbox.servers import S3_PORTS, PostgresServer, S3Server, free_ports, stop, wait_for

STANDINS = standins.names()
BUCKETS = {"live": False, "archive": True, "evidence": True}
KEY_YEARS = range(2024, 2046)
ORIGIN = "evidence.example/erasure"
LIMIT_FACTOR = 20.0
"""How much more than published the stand-ins allow, and we reserve, so that a night takes minutes."""


class Stack:
    """The processes and connections of one clone; `local` is where they keep everything (by default `.local`).

    `workers` is how many Celery workers carry the tasks; 0: Airflow's LocalExecutor does. `by_itself` says whether
    Airflow begins runs that nobody asked for, by the clock or because another run ended.
    """

    by_itself = True

    def __init__(self, root: Path, local: Path | None = None, *, workers: int = 0) -> None:
        self.root, self.workers = root, workers
        self.dags = root / "dags"
        self.local = local or root / ".local"
        self.local.mkdir(exist_ok=True)
        self.local.chmod(0o755)
        self.postgres = PostgresServer(self.local / "postgres")
        self.s3 = S3Server(self.local / "s3", {n: self.ports[f"s3:{n}"] for n in S3_PORTS})
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    @cached_property
    def ports(self) -> dict[str, int]:
        """The ports of this clone, picked free once and kept in `.local/ports.json`."""
        path = self.local / "ports.json"
        names = [f"s3:{n}" for n in S3_PORTS] + list(STANDINS) + ["mail", "airflow", "broker"]
        if path.exists():
            known: dict[str, int] = json.loads(path.read_text())
            if set(known) == set(names):
                return known
        known = dict(zip(names, free_ports(len(names)), strict=True))
        path.write_text(json.dumps(known, indent=1))
        return known

    @cached_property
    def broker(self) -> BrokerServer:
        """The broker of the workers' queue."""
        return BrokerServer(self.local / "broker", self.ports["broker"], self.secret("broker"))

    def url(self, standin: str) -> str:
        """The address of a stand-in."""
        return f"http://127.0.0.1:{self.ports[standin]}"

    # -- starting and stopping -------------------------------------------------------------------------------------
    def start_servers(self) -> None:
        """Start PostgreSQL, S3 and the stand-ins, and create databases, buckets and keys that are not there."""
        self.postgres.start()
        for database in ("airflow", "retention", "accounts"):
            self.postgres.create_database(database)
        self.s3.start()
        if self.s3.process:
            self._remember("s3", self.s3.process)
        for bucket, lock in BUCKETS.items():
            self.s3.create_bucket(bucket, lock=lock)
        ports = [f"{name}={self.ports[name]}" for name in (*STANDINS, "mail")]
        self.spawn("standins", [sys.executable, "-m", "include.sandbox", "serve", str(self.local / "standins"), *ports])
        for name in STANDINS:
            wait_for(self.url(name) + "/_sandbox/clock", self.processes["standins"])
        if self.workers:
            self.spawn("broker", self.broker.command())
            self.broker.wait(self.processes["broker"])
        self._create_keys()

    def spawn(self, name: str, command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        """Start a process group of ours, its output in `.local/logs/<name>.log`."""
        logs = self.local / "logs"
        logs.mkdir(exist_ok=True)
        with (logs / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=self.root, start_new_session=True,
                env=dict(environment or self.environment),
            )  # fmt: skip
        self.processes[name] = process
        self._remember(name, process)

    def stop(self) -> None:
        """Stop everything this object started, last started first."""
        for process in reversed(list(self.processes.values())):
            stop(process)
        self.s3.stop()
        self.postgres.stop()
        (self.local / "processes.json").unlink(missing_ok=True)

    def _remember(self, name: str, process: subprocess.Popen[bytes]) -> None:
        path = self.local / "processes.json"
        known = json.loads(path.read_text()) if path.exists() else {}
        known[name] = {"pid": process.pid, "created": psutil.Process(process.pid).create_time()}
        path.write_text(json.dumps(known))

    def stop_remembered(self) -> list[str]:
        """Stop what an earlier command of this clone left running; return the names. Other processes are never
        touched.
        """
        path = self.local / "processes.json"
        known = json.loads(path.read_text()) if path.exists() else {}
        stopped = []
        for name, process in reversed(list(known.items())):
            with contextlib.suppress(psutil.NoSuchProcess):
                if abs(psutil.Process(process["pid"]).create_time() - process["created"]) < 1:
                    _end_group(process["pid"])
                    stopped.append(name)
        if (self.local / "postgres" / "postmaster.pid").exists():
            self.postgres.start().stop()
            stopped.append("postgres")
        path.unlink(missing_ok=True)
        return stopped

    # -- keys and connections --------------------------------------------------------------------------------------
    def _create_keys(self) -> None:
        folder = self.local / "keys"
        for path in (folder / "evidence_signing.key", folder / "archive_kek.key"):
            if not path.exists():
                keys.create(path)
        for year in KEY_YEARS:
            if not (folder / "tags" / f"{year}.key").exists():
                keys.create(folder / "tags" / f"{year}.key")

    @cached_property
    def connections(self) -> dict[str, Connection]:
        """Every Airflow connection of the sandbox, by name."""
        folder = self.local / "keys"
        made = [
            self.postgres.connection("retention_db", "retention"),
            *(self.postgres.connection(name, "accounts") for name in ("accounts_db", "own_database", "paper")),
            self.s3.connection("evidence_store", "notary", bucket="evidence"),
            self.s3.connection("archive_store", "archiver", bucket="archive"),
            self.s3.connection("s3", "eraser", bucket="live"),
            Connection("evidence_signing", extra={"file": str(folder / "evidence_signing.key"), "origin": ORIGIN}),
            Connection("evidence_tags", extra={"folder": str(folder / "tags")}),
            Connection(
                "smtp_default",
                host="127.0.0.1",
                port=self.ports["mail"],
                extra={"disable_ssl": True, "disable_tls": True, "from_email": "privacy@example.com"},
            ),
            Connection(
                "airflow_api",
                host="127.0.0.1",
                port=self.ports["airflow"],
                login="admin",
                password=self.secret("user-admin"),
            ),
            replace(self.postgres.connection("airflow_db", "airflow"), login="airflow_reader"),
            self.postgres.connection("airflow_db_clean", "airflow"),
            Connection("archive_kek", extra={"file": str(folder / "archive_kek.key")}),
            *(standins.connection(n, self.url(n), limit_factor=LIMIT_FACTOR) for n in STANDINS),
        ]
        return {c.name: c for c in made}

    @property
    def environment(self) -> dict[str, str]:
        """The environment of every process of the stack."""
        return {
            **{k: v for k, v in os.environ.items() if not k.startswith(("AIRFLOW", "RETENTION"))},
            "PYTHONPATH": str(self.root),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
            "RETENTION_CLOCK": "sandbox",
            "RETENTION_LOCAL": str(self.local),
            "SANDBOX_LIMIT_FACTOR": str(LIMIT_FACTOR),
            "RETENTION_EXPORTS": str(self.local / "exports"),
            "RETENTION_VERSION": code_version(self.root),
        }

    def secret(self, name: str) -> str:
        """Return a random secret of this clone, made once and kept 0600."""
        path = self.local / "keys" / f"{name}.secret"
        if not path.exists():
            path.parent.mkdir(mode=0o700, exist_ok=True)
            path.touch(mode=0o600)
            path.write_text(secrets.token_urlsafe(24))
        return path.read_text()


def airflow_connection(connection: Connection) -> str:
    """Return the JSON form Airflow reads from `AIRFLOW_CONN_*`."""
    fields = asdict(connection)
    kind = "aws" if "bucket" in connection.extra else "postgres" if connection.schema else "http"
    return json.dumps({"conn_type": kind, **{k: v for k, v in fields.items() if k != "name" and v not in ("", None)}})


def code_version(root: Path) -> str:
    """Return the commit of the checkout, or `unversioned`."""
    git = shutil.which("git")
    if git:
        done = subprocess.run(
            [git, "rev-parse", "--short=12", "HEAD"], cwd=root, capture_output=True, text=True, check=False
        )
        if done.returncode == 0:
            return done.stdout.strip()
    return "unversioned"


def _end_group(pid: int) -> None:
    """SIGTERM a process group, SIGKILL what stays."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGTERM)
    _, alive = psutil.wait_procs([p for p in _group(pid)], timeout=15)
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def _group(pid: int) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, ProcessLookupError):
            if os.getpgid(process.pid) == pid:
                found.append(process)
    return found
