"""Between client and stand-in: answers that are not the place's, and requests that do not reach it.

Unlike the faults of a stand-in, nothing here knows the vendor: it is what a broken proxy, a wrong address, an
overloaded balancer or a cache in between would do. `tampered` is a WSGI application in front of a stand-in; places that
have a proxy of their own answer with `INSTEAD`.
"""

from __future__ import annotations

import random
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from include.sandbox.standin import Fault, Frame

Reply = tuple[int, dict[str, str], bytes]

HTML = b"<!doctype html><html><body><h1>Service unavailable</h1></body></html>"
PAGE = {"Content-Type": "text/html"}
JSON = {"Content-Type": "application/json"}
INSTEAD: Mapping[str, Reply] = {
    "empty": (200, JSON, b""),
    "braces": (200, JSON, b"{}"),
    "brackets": (200, JSON, b"[]"),
    "null": (200, JSON, b"null"),
    "html": (200, PAGE, HTML),
    "no_content": (204, {}, b""),
    "lost": (404, PAGE, HTML),
    "lost_json": (404, JSON, b'{"message": "no Route matched with those values"}'),
    "gone_page": (410, PAGE, HTML),
    "bad_request": (400, PAGE, HTML),
    "timeout": (408, PAGE, HTML),
    "conflict": (409, PAGE, HTML),
    "rate": (429, PAGE, HTML),
    "rate_soon": (429, {**PAGE, "Retry-After": "0"}, HTML),
    "broken": (500, PAGE, HTML),
    "gateway": (502, PAGE, HTML),
    "unavailable": (503, PAGE, HTML),
    "late": (504, PAGE, HTML),
}
"""What may come back though the place was never asked."""
READING = (*INSTEAD, "cut_before", "cut_after", "truncated", "stale")
CHANGING = (*INSTEAD, "cut_before", "cut_after", "truncated", *("lie",) * 12)
"""What may happen to a request besides: said but not done, done but not said, half said, said of the past."""


@dataclass
class Liar:
    """Chooses, seeded, which requests are lied about, and counts."""

    seed: int
    rate: float
    most: int
    told: dict[str, int] = field(default_factory=dict)
    on: bool = True

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    @property
    def count(self) -> int:
        return sum(self.told.values())

    def choose(self, method: str) -> str | None:
        """Return what goes wrong with a request now, or None; about changes it lies twice as often."""
        reads = method in ("GET", "HEAD")
        return self._one(READING if reads else CHANGING, self.rate if reads else 2 * self.rate)

    def strikes(self, kind: str) -> bool:
        """Return whether this one thing goes wrong now, where nothing else could."""
        return self._one((kind,), self.rate) is not None

    def _one(self, kinds: Sequence[str], rate: float) -> str | None:
        if not self.on or self.count >= self.most or self._random.random() > rate:
            return None
        kind = self._random.choice(kinds)
        self.told[kind] = self.told.get(kind, 0) + 1
        return kind


def tampered(standin: Frame, choose: Callable[[str, str], str | None], redirect_to: str = "") -> Any:
    """Return a WSGI application in front of a stand-in; `choose(method, path)` says what goes wrong, if anything."""
    remembered: dict[str, tuple[str, list[tuple[str, str]], bytes]] = {}

    def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        kind = None if path.startswith("/_sandbox/") else choose(method, path)
        whole = f"{method} {environ['REQUEST_URI']}"
        if kind == "redirect":
            start_response("307 Temporary Redirect", [("Location", redirect_to + path)])
            return [b""]
        if kind in INSTEAD:
            status, headers, body = INSTEAD[kind]
            start_response(f"{status} Said", list(headers.items()))
            return [body]
        if kind in ("cut_before", "cut_after", "lie"):
            standin.faults.insert(0, Fault(kind))
        if kind == "stale" and whole in remembered:
            status_line, kept, body = remembered[whole]
            start_response(status_line, kept)
            return [body]
        answer: list[Any] = []
        body = b"".join(standin(environ, lambda status, headers, _info=None: answer.extend((status, headers))))
        if method == "GET":
            remembered.setdefault(whole, (answer[0], answer[1], body))
        if kind in ("truncated", "stale"):  # nothing of the past to tell yet: half of the present
            body = body[: len(body) // 2]
            answer[1] = [(n, v) for n, v in answer[1] if n.lower() != "content-length"]
        start_response(*answer)
        return [body]

    return application


class Trap:
    """A port where nobody should ever knock."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._socket.setblocking(False)
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def knocked(self) -> bool:
        """Return whether somebody connected."""
        try:
            self._socket.accept()[0].close()
        except BlockingIOError:
            return False
        return True

    def close(self) -> None:
        self._socket.close()
