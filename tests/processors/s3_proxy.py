"""A proxy in front of the real S3 server that counts requests and misbehaves on demand."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

Answer = tuple[int, dict[str, str], bytes]
Fault = Callable[[str, str, bytes], "Answer | Callable[[Answer], Answer] | str | None"]
"""Method, path with query, body -> an answer given instead, an edit of the server's own, None to pass it on, or a word:
`cut_before`, `cut_half` (the server gets half the body), `damage` (one byte arrives changed), `cut_after`, `truncated`
(half of the answer comes back) or `stale` (the first answer to the same request)."""

XML = {"Content-Type": "application/xml"}


@dataclass
class Proxy:
    """Where to send requests, what to do with them, and what passed."""

    port: int = 0
    fault: Fault | None = None
    seen: list[str] = field(default_factory=list)
    first: dict[str, Answer] = field(default_factory=dict)
    ahead: float = 0
    """How many seconds the server's clock seems to be ahead."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def proxy_to(upstream: str) -> Iterator[Proxy]:
    """Yield a running proxy; the Host header is kept, because it is signed."""
    target, proxy = urlsplit(upstream), Proxy()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_args: object) -> None:
            """Say nothing."""

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            proxy.seen.append(f"{self.command} {self.path}")
            wanted = proxy.fault(self.command, self.path, body) if proxy.fault else None
            if wanted == "cut_half":
                self.forward_half(body)
            if wanted in ("cut_before", "cut_half"):
                self.close_connection = True
                return
            if wanted == "damage":
                body = body[:-1] + bytes([body[-1] ^ 1])
            whole = f"{self.command} {self.path}"
            if wanted == "stale" and whole in proxy.first:
                wanted = proxy.first[whole]
            status, headers, content = wanted if isinstance(wanted, tuple) else self.forward(body)
            if self.command == "GET" and not isinstance(wanted, tuple):
                proxy.first.setdefault(whole, (status, headers, content))
            if wanted == "truncated":
                content = content[: len(content) // 2]
            if callable(wanted):
                status, headers, content = wanted((status, headers, content))
            if wanted == "cut_after":
                self.close_connection = True
                return
            self.send_response(status)
            for name, value in headers.items():
                if name.lower() not in ("content-length", "transfer-encoding", "connection", "date", "server"):
                    self.send_header(name, value)
            length = headers.get("Content-Length", "0") if self.command == "HEAD" else str(len(content))
            self.send_header("Content-Length", length)
            self.end_headers()
            self.wfile.write(content)

        def forward(self, body: bytes) -> Answer:
            upstream = http.client.HTTPConnection(target.hostname or "", target.port, timeout=30)
            upstream.request(self.command, self.path, body or None, dict(self.headers))
            reply = upstream.getresponse()
            content = reply.read()
            upstream.close()
            return reply.status, dict(reply.getheaders()), content

        def forward_half(self, body: bytes) -> None:
            """Send the whole head and half the body, then end the connection, as a cut line does."""
            with socket.create_connection((target.hostname, target.port)) as upstream:
                head = f"{self.command} {self.path} HTTP/1.1\r\n" + "".join(
                    f"{name}: {value}\r\n" for name, value in self.headers.items()
                )
                upstream.sendall(head.encode() + b"\r\n" + body[: len(body) // 2])

        def date_time_string(self, timestamp: float | None = None) -> str:
            return super().date_time_string((timestamp or time.time()) + proxy.ahead)

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = answer

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    proxy.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()


def error(status: int, code: str) -> Answer:
    """Return an error as S3 words it, quoting a key as S3 does."""
    body = f"<Error><Code>{code}</Code><Message>secret-key-name</Message><Key>secret-key-name</Key></Error>"
    return status, XML, body.encode()
