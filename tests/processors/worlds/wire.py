"""A proxy of bytes between a processor and its place: cuts, delays, duplicates, breaks framing and lies in the headers.

Unlike `tamper` it stands outside every HTTP library, so it can say what no server of ours would: half a status line, a
second answer nobody asked for, a damaged gzip stream, a chunk without an end. It knows no vendor.
"""

from __future__ import annotations

import contextlib
import random
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from tests.processors.worlds.wire_faults import FAULTS, PAGE, REDIRECTS, Reply, Told

NAME = "wire"
"""How its threads are called, so that what they connect to is told apart from what a processor does."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it came."""

    method: str
    path: str
    raw: bytes = field(repr=False)


INSTEAD_OF = ("another", "lost_before", "asked_twice", "delivered_late", "slow")
"""What is not a changed answer: that of another request, none, the request doubled, or carried out later."""
KINDS = (*FAULTS, *REDIRECTS, *INSTEAD_OF)


@dataclass
class Script:
    """Chooses, seeded, what goes wrong with which request; counts what was told."""

    seed: int
    rate: float = 0.3
    most: int = 12
    on: bool = True
    kinds: tuple[str, ...] = KINDS
    told: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.dice = random.Random(self.seed)
        self.lock = threading.Lock()

    def choose(self, _asked: Asked) -> str | None:
        """Return what goes wrong now, or None."""
        with self.lock:
            if not self.on or self.told.total() >= self.most or self.dice.random() > self.rate:
                return None
            kind = self.dice.choice(self.kinds)
            self.told[kind] += 1
            return kind


class Wire:
    """A running proxy to `upstream`; redirections of its own lead to `elsewhere`."""

    def __init__(
        self, upstream: str, elsewhere: str, script: Script, *, prefix: str = "",
        before: Callable[[bytes], bytes] = lambda raw: raw, after: Callable[[Reply], Reply] = lambda reply: reply,
    ) -> None:  # fmt: skip
        """Stand before `upstream`, at an address that ends in `prefix`; `before` and `after` edit what passes."""
        self._prefix, self._before, self._after = prefix.encode(), before, after
        parts = urlsplit(upstream)
        self.upstream = (parts.hostname or "", parts.port or 80)
        self.elsewhere, self.script = elsewhere, script
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}{prefix}{parts.path}"
        self.remembered: list[Reply] = []
        self.late: list[bytes] = []
        threading.Thread(target=self._accept, daemon=True, name=NAME).start()

    def close(self) -> None:
        """Stop listening."""
        self._socket.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True, name=NAME).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection, connection.makefile("rb") as reader:
            while asked := read_request(reader, connection):
                told = self._answer(asked)
                connection.sendall(told.raw)
                if told.reset:
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
                if told.close:
                    return

    def _answer(self, asked: Asked) -> Told:
        kind = self.script.choose(asked)
        while self.late:
            self._forward(self.late.pop())
        if kind == "lost_before":
            return Told(b"", reset=self.script.dice.random() < 0.5)
        if kind == "delivered_late" and asked.method != "GET":
            self.late.append(asked.raw)
            return FAULTS["s_504"](Reply(504, (), b""), self.script.dice)
        if kind in REDIRECTS:
            where = self.elsewhere + asked.path
            return Told(Reply(REDIRECTS[kind], (("Location", where),), b"").whole(), close=False)
        if kind and kind.startswith("s_") and self.script.dice.random() < 0.5:
            return FAULTS[kind](Reply(0, (), b""), self.script.dice)
        reply = self._forward(asked.raw)
        if kind == "asked_twice":
            reply = self._forward(asked.raw)
        if kind == "slow":
            time.sleep(0.05)
        if kind == "another" and self.remembered:
            return Told(self.script.dice.choice(self.remembered).whole(), close=False)
        self.remembered = [*self.remembered[-30:], reply]
        if kind in FAULTS and asked.method != "HEAD":
            return FAULTS[kind](reply, self.script.dice)
        return Told(reply.head() if asked.method == "HEAD" else reply.whole(), close=False)

    def _forward(self, raw: bytes) -> Reply:
        with socket.create_connection(self.upstream, timeout=60) as upstream, upstream.makefile("rb") as reader:
            if self._prefix:
                method, path, rest = raw.split(b" ", 2)
                if not path.startswith(self._prefix):
                    return Reply(404, (("Content-Type", "text/html"),), PAGE)
                raw = b" ".join((method, path.removeprefix(self._prefix), rest))
            upstream.sendall(self._before(raw))
            return self._after(read_reply(reader, head_only=raw.startswith(b"HEAD ")))


@contextlib.contextmanager
def wired(upstream: str, elsewhere: str, script: Script, **edits: Any) -> Iterator[Wire]:
    """Yield a running proxy."""
    wire = Wire(upstream, elsewhere, script, **edits)
    try:
        yield wire
    finally:
        wire.close()


# -- reading HTTP ------------------------------------------------------------------------------------------------------
def _lines(reader: object) -> list[bytes]:
    lines = []
    while (line := reader.readline()) not in (b"\r\n", b"\n", b""):  # type: ignore[attr-defined]
        lines.append(line)
    return lines


def _body(reader: object, head: bytes, *, to_the_end: bool) -> bytes:
    length = re.search(rb"(?im)^content-length:\s*(\d+)", head)
    if re.search(rb"(?im)^transfer-encoding:\s*chunked", head):
        body = b""
        while size := int(reader.readline().split(b";")[0], 16):  # type: ignore[attr-defined]
            body += reader.read(size)  # type: ignore[attr-defined]
            reader.readline()  # type: ignore[attr-defined]
        _lines(reader)
        return body
    if length:
        return bytes(reader.read(int(length[1])))  # type: ignore[attr-defined]
    return bytes(reader.read()) if to_the_end else b""  # type: ignore[attr-defined]


def read_request(reader: object, connection: socket.socket) -> Asked | None:
    """Return the next request, framed by its length; None when the client has gone."""
    lines = _lines(reader)
    if not lines:
        return None
    head = b"".join(lines)
    if re.search(rb"(?im)^expect:\s*100-continue", head):
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    body = _body(reader, head, to_the_end=False)
    method, path, _ = lines[0].decode("latin-1").split(" ", 2)
    kept = re.sub(rb"(?im)^(transfer-encoding|content-length|expect|connection):.*\r?\n", b"", head)
    length = f"Content-Length: {len(body)}\r\n".encode() if body or method in ("POST", "PUT", "PATCH") else b""
    return Asked(method, path, kept + length + b"Connection: close\r\n\r\n" + body)


def read_reply(reader: object, *, head_only: bool) -> Reply:
    """Return one whole answer, without its framing."""
    lines = _lines(reader)
    status = int(lines[0].split(b" ")[1])
    pairs = [line.decode("latin-1").rstrip("\r\n").partition(":") for line in lines[1:]]
    hidden = ("transfer-encoding", "connection", *(() if head_only else ("content-length",)))
    headers = tuple((n, v.strip()) for n, _, v in pairs if n.lower() not in hidden)
    body = b"" if head_only or status in (204, 304) else _body(reader, b"".join(lines), to_the_end=True)
    return Reply(status, headers, body)
