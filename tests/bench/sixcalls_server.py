"""The place the bench processor erases at: one record an account, deletable once, and a limit it says and enforces.

    python -m tests.bench.sixcalls_server PORT [LIMIT WINDOW_SECONDS]

Every account has a record until that is deleted (then it is hidden) and purged; what was erased stays erased. With a
limit, each answer says what is left of the window's calls, whoever made them, and beyond it the answer is 429.
`PUT /_live/N` is traffic of the company itself: N calls of this window are gone.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from include.sandbox.servers import free_ports, stop, wait_for

ROOT = Path(__file__).parents[2]
REASONS = {200: "OK", 204: "No Content", 404: "Not Found", 429: "Too Many Requests"}


class Place:
    """Its records and its counts."""

    def __init__(self, limit: int = 0, window: float = 1.0) -> None:
        self.limit, self.window = limit, window
        self.deleted: set[str] = set()
        self.purged: set[str] = set()
        self.calls = self.refused = self.used = self.low = 0
        self.ends = 0.0

    def answer(self, method: str, path: str) -> tuple[int, Any, dict[str, str]]:
        """Return status, body and headers of one request."""
        head, _, key = path.strip("/").partition("/")
        if head == "_counts":
            return 200, {"calls": self.calls, "refused": self.refused, "purged": len(self.purged), "low": self.low}, {}
        if head == "_live":
            self._turn()
            self.used += int(key)
            return 204, None, {}
        headers = self._spend()
        if headers.get("Retry-After"):
            return 429, {"error": "too_many"}, headers
        return (*self._act(method, head, key), headers)

    def _turn(self) -> None:
        if time.monotonic() >= self.ends:
            self.ends, self.used = time.monotonic() + self.window, 0

    def _spend(self) -> dict[str, str]:
        self.calls += 1
        if not self.limit:
            return {}
        self._turn()
        self.low += self.limit - self.used < self.limit / 5
        self.used += 1
        left = max(self.limit - self.used, 0)
        reset = max(self.ends - time.monotonic(), 0)
        said = {
            "ratelimit-limit": str(self.limit),
            "ratelimit-remaining": str(left),
            "ratelimit-reset": str(int(reset) + 1),
        }
        if self.used > self.limit:
            self.refused += 1
            said["Retry-After"] = f"{reset:.1f}"
        return said

    def _act(self, method: str, head: str, key: str) -> tuple[int, Any]:
        if head == "search":
            return 200, {"ids": [] if key in self.deleted else [key]}
        if head == "deleted":
            known = key in self.deleted
            self.purged |= {key} if known else set()
            return (204, None) if known else (404, {"error": "not_found"})
        if key in self.deleted:
            return 404, {"error": "not_found"}
        if method == "DELETE":
            self.deleted.add(key)
            return 204, None
        return 200, {"id": key, "name": "Sample"}


class Wire(asyncio.Protocol):
    """HTTP/1.1 without bodies in requests, connections kept."""

    def __init__(self, place: Place) -> None:
        self.place, self.rest = place, b""
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.rest += data
        while (end := self.rest.find(b"\r\n\r\n")) >= 0:
            line = self.rest[: self.rest.index(b"\r\n")].decode("ascii")
            self.rest = self.rest[end + 4 :]
            method, path, _ = line.split(" ")
            status, body, headers = self.place.answer(method, path)
            content = b"" if body is None else json.dumps(body).encode()
            lines = [f"HTTP/1.1 {status} {REASONS[status]}", f"Content-Length: {len(content)}",
                     *(f"{k}: {v}" for k, v in headers.items())]  # fmt: skip
            self.transport.write("\r\n".join(lines).encode() + b"\r\n\r\n" + content)


@contextmanager
def served(*, limit: int = 0, window: float = 1.0) -> Iterator[str]:
    """Yield the address of a place in a process of its own."""
    (port,) = free_ports(1)
    command = [sys.executable, "-m", __name__, str(port), str(limit), str(window)]
    process = subprocess.Popen(command, cwd=ROOT, start_new_session=True)
    try:
        wait_for(f"http://127.0.0.1:{port}/_counts", process)
        yield f"http://127.0.0.1:{port}"
    finally:
        stop(process)


async def _serve(port: int, place: Place) -> None:
    server = await asyncio.get_running_loop().create_server(lambda: Wire(place), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(
        _serve(int(sys.argv[1]), Place(*(kind(a) for kind, a in zip((int, float), sys.argv[2:], strict=False))))
    )
