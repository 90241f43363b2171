"""Where a process may die: each commit and each call to the outside, counted and announced as it passes.

Nothing of this is in the product. In a child process (`tests.crash.nursery`) the database driver's commit and Python's
own sockets are wrapped, so that every client library passes here whatever it is built on. A point is one line on a
pipe; at the point asked for the process kills itself with a real SIGKILL, after which nothing of it runs any more.

    commit ours        about to send COMMIT to our database (`theirs`: to the company's), whoever opened the connection
    committed ours     COMMIT was answered
    call GET /path     a request is about to be sent
    sent GET /path     it was sent and carried out; nothing of the answer was read
    replied GET /path  the answer was read, and nothing was done about it yet
    file open a.csv    a file below a folder named `crash-…` is about to be opened for writing, renamed or removed

A transaction that wrote nothing leaves nothing behind and is no point.
"""

from __future__ import annotations

import os
import re
import select
import signal
import socket
import sys
import threading
from typing import Any
from weakref import WeakKeyDictionary

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.rows import tuple_row

PATIENCE = 30.0
REQUEST = re.compile(rb"([A-Z]+ \S+) HTTP/1\.[01]\r\n")


class Points:
    """Counts the points of this process that begin with `of`; dies at number `die_at` (from 1), if that comes."""

    def __init__(self, pipe: int, die_at: int | None, of: str = "") -> None:
        self._pipe, self._die_at, self._of = pipe, die_at, of
        self._count = 0
        self._lock = threading.Lock()

    def pass_(self, label: str) -> None:
        """Announce a point and die there if it is the one."""
        with self._lock:
            self._count += label.startswith(self._of)
            os.write(self._pipe, f"point {label}\n".encode(errors="replace"))
            if self._count == self._die_at and label.startswith(self._of):
                os.kill(os.getpid(), signal.SIGKILL)


def install(points: Points) -> None:
    """Let every commit and every HTTP request of this process pass the points from now on."""
    _commits(points)
    _sockets(points)
    sys.addaudithook(_Files(points))


class _Files:
    """Counts what is done below a folder named `crash-…`, as Python's audit events tell of it beforehand."""

    def __init__(self, points: Points) -> None:
        self._points, self._clearing = points, False

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if not writes and event not in ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "shutil.rmtree"):
            return
        ours = "/crash-" in str(arguments[0])
        if event == "shutil.rmtree":
            self._clearing = ours  # which goes on with names alone, relative to an open folder
        elif ours or (self._clearing and event in ("os.remove", "os.rmdir")):
            self._points.pass_(f"file {event} {os.path.basename(str(arguments[0]))}")


def _commits(points: Points) -> None:
    commit = psycopg.Connection.commit

    def counted(self: psycopg.Connection[Any]) -> None:
        if self.info.transaction_status != TransactionStatus.INTRANS:
            commit(self)
            return
        where = self.info.dbname.partition("_")[0]
        with self.cursor(row_factory=tuple_row) as cursor:
            found = cursor.execute("SELECT pg_current_xact_id_if_assigned()").fetchone()
        wrote = found != (None,)
        if wrote:
            points.pass_(f"commit {where}")
        commit(self)
        if wrote:
            points.pass_(f"committed {where}")

    psycopg.Connection.commit = counted  # type: ignore[method-assign]


def _sockets(points: Points) -> None:
    asked: WeakKeyDictionary[socket.socket, str] = WeakKeyDictionary()

    def before(connection: socket.socket, data: Any) -> None:
        if connection.family == socket.AF_INET and connection not in asked:
            found = REQUEST.match(bytes(data[:4000]))
            if found is None:  # the body, after the place asked for it with 100 Continue
                asked[connection] = "body"
                return
            line = found[1].decode("latin-1")
            points.pass_(f"call {line}")
            asked[connection] = line

    def answered(connection: socket.socket, receive: Any, *arguments: Any) -> Any:
        line = asked.get(connection)
        if line is None:
            return receive(connection, *arguments)
        select.select([connection], [], [], PATIENCE)
        points.pass_(f"sent {line}")
        found = receive(connection, *arguments)
        asked.pop(connection, None)
        points.pass_(f"replied {line}")
        return found

    plain = socket.socket
    send, sendall, recv, recv_into = plain.send, plain.sendall, plain.recv, plain.recv_into

    def sends(self: socket.socket, data: Any, *flags: Any) -> int:
        before(self, data)
        return send(self, data, *flags)

    def sends_all(self: socket.socket, data: Any, *flags: Any) -> None:
        before(self, data)
        sendall(self, data, *flags)

    plain.send, plain.sendall = sends, sends_all  # type: ignore[method-assign, assignment]
    plain.recv = lambda self, *a: answered(self, recv, *a)  # type: ignore[method-assign]
    plain.recv_into = lambda self, *a: answered(self, recv_into, *a)  # type: ignore[method-assign]
