"""A socket in front of the real PostgreSQL that refuses, cuts before or after a commit, rolls back where a commit was
asked for, or is slow, on demand.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from include.sandbox.servers import temporary_folder
from tests.processors.worlds.tamper import Liar

SOCKET = ".s.PGSQL.5432"
COMMIT, ROLLBACK = b"Q\x00\x00\x00\x0bCOMMIT\x00", b"Q\x00\x00\x00\x0dROLLBACK\x00"
WRITES = (b"DELETE FROM", b"UPDATE ")


@dataclass
class PgProxy:
    """Where it listens, and what goes wrong how often."""

    folder: Path
    upstream: str
    wrong: dict[str, int] = field(default_factory=dict)
    """`unavailable`, `cut_before`, `cut_after`, `rolled_back` (of a commit after a change) or `slow` -> times."""
    liar: Liar | None = None
    witness: Callable[[str], None] = lambda _request: None
    """Called before the commit of a change is passed on."""
    sessions: int = 0
    _open: set[socket.socket] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def break_(self, kind: str, times: int) -> None:
        """Let something go wrong from now on; being unavailable ends what is open."""
        with self._lock:
            self.wrong[kind] = times
            victims = list(self._open) if kind == "unavailable" else []
        for victim in victims:
            close(victim)

    def take(self, kind: str) -> bool:
        """Return whether this goes wrong now, and count it."""
        with self._lock:
            left = self.wrong.get(kind, 0)
            if left:
                self.wrong[kind] = left - 1
            if left:
                return True
            return self.liar is not None and kind != "slow" and self.liar.strikes(kind)

    def serve(self, client: socket.socket) -> None:
        """Carry one connection."""
        self.sessions += 1
        if self.take("unavailable"):
            close(client)
            return
        server = socket.socket(socket.AF_UNIX)
        server.connect(self.upstream)
        with self._lock:
            self._open.add(client)
        swallow = threading.Event()
        back = threading.Thread(target=self._back, args=(server, client, swallow), daemon=True)
        back.start()
        try:
            self._forth(client, server, swallow)
        finally:  # also where a witness fails: a session left open would keep its locks for ever
            close(server)
            close(client)
            back.join(10)
            with self._lock:
                self._open.discard(client)

    def _forth(self, client: socket.socket, server: socket.socket, swallow: threading.Event) -> None:
        wrote = False
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                wrote = wrote or any(w in data for w in WRITES)
                if self.take("slow"):
                    time.sleep(0.1)
                if wrote and b"COMMIT" in data:
                    wrote = False
                    self.witness("COMMIT of a change")
                    if self.take("cut_before"):
                        break
                    if self.take("cut_after"):
                        swallow.set()
                    elif self.take("rolled_back"):
                        data = data.replace(COMMIT, ROLLBACK)
                server.sendall(data)

    @staticmethod
    def _back(server: socket.socket, client: socket.socket, swallow: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(65536):
                if swallow.is_set():
                    break
                client.sendall(data)
        close(client)
        close(server)


def close(one: socket.socket) -> None:
    """Close a socket whatever its state."""
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()


@contextlib.contextmanager
def proxy_to_postgres(socket_dir: str) -> Iterator[PgProxy]:
    """Yield a proxy to the server whose socket lies in `socket_dir`."""
    with temporary_folder("rt-px-") as folder, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / SOCKET))
        listener.listen(16)
        proxy = PgProxy(folder, str(Path(socket_dir) / SOCKET))

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    threading.Thread(target=proxy.serve, args=(client,), daemon=True).start()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield proxy
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        thread.join(5)
