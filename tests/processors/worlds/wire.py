"""A proxy of bytes between a processor and its place: cuts, delays, duplicates, breaks framing and lies in the headers.

Unlike `tamper` it stands outside every HTTP library, so it can say what no server of ours would: half a status line, a
second answer nobody asked for, a damaged gzip stream, a chunk without an end. It knows no vendor.
"""

from __future__ import annotations

import contextlib
import gzip
import random
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

Headers = tuple[tuple[str, str], ...]
NAME = "wire"
"""How its threads are called, so that what they connect to is told apart from what a processor does."""
PAGE = b"<!doctype html><html><body><h1>Just a moment</h1></body></html>"


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it came."""

    method: str
    path: str
    raw: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Reply:
    """One whole answer, its body as the place meant it."""

    status: int
    headers: Headers
    body: bytes

    def header(self, name: str) -> str:
        """Return a header, or nothing."""
        return next((v for n, v in self.headers if n.lower() == name.lower()), "")

    def with_(self, *added: tuple[str, str], without: tuple[str, ...] = ()) -> Reply:
        """Return it with headers replaced or left out."""
        names = {n.lower() for n, _ in added} | {n.lower() for n in without}
        return replace(self, headers=(*((n, v) for n, v in self.headers if n.lower() not in names), *added))

    def head(self, *, version: str = "1.1") -> bytes:
        """Return status line and headers."""
        lines = [f"HTTP/{version} {self.status} Said", *(f"{n}: {v}" for n, v in self.headers)]
        return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"

    def whole(self) -> bytes:
        """Return all of it, with its true length."""
        kept = self.with_(without=("Transfer-Encoding", "Content-Length", "Connection"))
        if self.status == 204:
            return kept.head()
        return kept.with_(("Content-Length", str(len(self.body)))).head() + self.body


@dataclass(frozen=True, slots=True)
class Told:
    """What goes out instead: bytes, and whether the connection ends with them."""

    raw: bytes
    close: bool = True
    reset: bool = False


Fault = Callable[[Reply, random.Random], Told]


def _said(status: int, body: bytes = PAGE, kind: str = "text/html", **headers: str) -> Fault:
    named = tuple((n.replace("_", "-"), v) for n, v in headers.items())
    reply = Reply(status, (("Content-Type", kind), *named), body)
    return lambda _reply, _dice: Told(reply.whole(), close=False)


def _cut(reply: Reply, dice: random.Random) -> Told:
    raw = reply.whole()
    return Told(raw[: dice.randrange(len(raw))], reset=dice.random() < 0.5)


def _half(reply: Reply, dice: random.Random) -> Told:
    """Half of the body under a length that fits it: complete for HTTP, broken for its reader."""
    return Told(replace(reply, body=reply.body[: dice.randrange(len(reply.body) + 1)]).whole(), close=False)


def _garbled(reply: Reply, dice: random.Random) -> Told:
    if not reply.body:
        return Told(reply.whole(), close=False)
    at = dice.randrange(len(reply.body))
    return Told(replace(reply, body=reply.body[:at] + b"\x00\xff" + reply.body[at + 1 :]).whole(), close=False)


def _labelled(reply: Reply, dice: random.Random) -> Told:
    kind = dice.choice(("text/html", "application/octet-stream", "text/plain; charset=utf-16", "image/png", ""))
    return Told(reply.with_(("Content-Type", kind)).whole(), close=False)


def _zipped(reply: Reply, _dice: random.Random) -> Told:
    """Right, though nobody may have asked for it."""
    return Told(replace(reply, body=gzip.compress(reply.body)).with_(("Content-Encoding", "gzip")).whole(), close=False)


def _zip_broken(reply: Reply, dice: random.Random) -> Told:
    packed = bytearray(gzip.compress(reply.body))
    packed[dice.randrange(10, len(packed))] ^= 0x55
    broken = bytes(packed[: -dice.choice((1, 4, 8))] if dice.random() < 0.5 else packed)
    return Told(replace(reply, body=broken).with_(("Content-Encoding", "gzip")).whole(), close=False)


def _not_zipped(reply: Reply, _dice: random.Random) -> Told:
    return Told(reply.with_(("Content-Encoding", "gzip")).whole(), close=False)


def _chunks(reply: Reply, dice: random.Random) -> bytes:
    out, body = b"", reply.body
    while body:
        size = min(len(body), dice.choice((1, 2, 7, 64, 500)))
        out += f"{size:X};odd=yes\r\n".encode() + body[:size] + b"\r\n"
        body = body[size:]
    return reply.with_(("Transfer-Encoding", "chunked"), without=("Content-Length",)).head() + out


def _chunked(reply: Reply, dice: random.Random) -> Told:
    """Right, in small pieces with extensions and a trailer."""
    if reply.status == 204:
        return Told(reply.whole(), close=False)
    return Told(_chunks(reply, dice) + b"0\r\nX-Late: yes\r\n\r\n", close=False)


def _endless_chunk(reply: Reply, dice: random.Random) -> Told:
    return Told(_chunks(reply, dice))


def _bad_chunk(reply: Reply, dice: random.Random) -> Told:
    return Told(_chunks(reply, dice) + b"zz\r\nwhat\r\n")


def _long(reply: Reply, _dice: random.Random) -> Told:
    """More is announced than comes."""
    return Told(
        reply.with_(
            ("Content-Length", str(len(reply.body) + 40)),
        ).head()
        + reply.body
    )


def _short(reply: Reply, dice: random.Random) -> Told:
    """Less is announced than comes: what is over looks like the next answer."""
    announced = dice.randrange(len(reply.body) + 1)
    return Told(reply.with_(("Content-Length", str(announced))).head() + reply.body, close=False)


def _twice(reply: Reply, _dice: random.Random) -> Told:
    """The same answer twice: the second waits for the next question."""
    return Told(reply.whole() * 2, close=False)


def _old(reply: Reply, _dice: random.Random) -> Told:
    """HTTP/1.0: no length, the end is the end of the connection."""
    return Told(reply.with_(without=("Content-Length", "Transfer-Encoding")).head(version="1.0") + reply.body)


def _hinted(reply: Reply, _dice: random.Random) -> Told:
    return Told(b"HTTP/1.1 103 Early Hints\r\nLink: </x>; rel=preload\r\n\r\n" + reply.whole(), close=False)


def _as(status: int) -> Fault:
    def answer(reply: Reply, _dice: random.Random) -> Told:
        return Told(replace(reply, status=status, body=b"" if status == 204 else reply.body).whole(), close=False)

    return answer


def _bom(reply: Reply, _dice: random.Random) -> Told:
    return Told(replace(reply, body=b"\xef\xbb\xbf" + reply.body).whole(), close=False)


def _nonsense(_reply: Reply, dice: random.Random) -> Told:
    return Told(dice.choice((b"\x16\x03\x01\x02\x00", b"HTTP/9.9 hello\r\n\r\n", b"\r\n\r\n", b"SSH-2.0-x\r\n")))


FAULTS: dict[str, Fault] = {
    "cut": _cut,
    "half": _half,
    "garbled": _garbled,
    "labelled": _labelled,
    "zipped": _zipped,
    "zip_broken": _zip_broken,
    "not_zipped": _not_zipped,
    "chunked": _chunked,
    "endless_chunk": _endless_chunk,
    "bad_chunk": _bad_chunk,
    "long": _long,
    "short": _short,
    "twice": _twice,
    "old": _old,
    "hinted": _hinted,
    "as_202": _as(202),
    "as_204": _as(204),
    "as_206": _as(206),
    "bom": _bom,
    "nonsense": _nonsense,
    "s_400": _said(400),
    "s_403_wait": _said(403, Retry_After="30"),
    "s_403_page": _said(403),
    "s_408": _said(408, b"", Connection="close"),
    "s_409": _said(409, b'{"error": "conflict"}', "application/json"),
    "s_412": _said(412),
    "s_421": _said(421),
    "s_423": _said(423, b'{"error": "locked"}', "application/json"),
    "s_425": _said(425),
    "s_429_soon": _said(429, Retry_After="0"),
    "s_429_nonsense": _said(429, Retry_After="soon"),
    "s_429_negative": _said(429, Retry_After="-5"),
    "s_500_json": _said(500, b'{"error": {"type": "api_error"}}', "application/json"),
    "s_502": _said(502),
    "s_503_wait": _said(503, Retry_After="1"),
    "s_504": _said(504),
    "s_520": _said(520),
    "s_530": _said(530),
    "s_200_error": _said(200, b'{"errors": [{"message": "no", "code": 1}], "error": "no"}', "application/json"),
    "s_200_number": _said(200, b"0", "application/json"),
    "s_200_string": _said(200, b'"ok"', "application/json"),
}
REDIRECTS = {f"to_{status}": status for status in (300, 301, 302, 303, 307, 308)}
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
