"""What may become of the bytes of one answer, by name; nothing here knows a vendor."""

from __future__ import annotations

import gzip
import random
from collections.abc import Callable
from dataclasses import dataclass, replace

Headers = tuple[tuple[str, str], ...]
PAGE = b"<!doctype html><html><body><h1>Just a moment</h1></body></html>"


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
