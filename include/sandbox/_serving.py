"""HTTP/1.1 for stand-ins: connections are kept alive and every answer leaves in one piece.

werkzeug's own server closes every connection and sends head and body apart, so that a night spends more on connecting
than on answering.
"""

from __future__ import annotations

import logging
import socket
import sys
import threading
from collections.abc import Callable, Iterable
from email.utils import formatdate
from io import BytesIO
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import IO, Any, cast
from urllib.parse import unquote_to_bytes, urlsplit

from werkzeug.serving import DechunkedInput

LONGEST_LINE = 65536
NO_BODY = ("1", "204", "304")
Application = Callable[[dict[str, Any], Any], Iterable[bytes]]

_log = logging.getLogger(__name__)


class _Malformed(Exception):
    """The bytes are no request; carries the status line of the answer."""


class _Handler(StreamRequestHandler):
    """One connection and the requests that come over it."""

    disable_nagle_algorithm = True
    server: Server

    def handle(self) -> None:
        self.server.opened(self.connection)
        try:
            while self._one():
                pass
        except _Malformed as malformed:
            self._send(str(malformed), [], b"", last=True, head=False)
        except OSError:  # the other side left, or the connection was cut on purpose
            pass
        finally:
            self.server.forgotten(self.connection)

    def _line(self) -> str:
        line = self.rfile.readline(LONGEST_LINE + 1)
        if len(line) > LONGEST_LINE:
            raise _Malformed("414 URI Too Long")
        return line.decode("latin-1").rstrip("\r\n")

    def _one(self) -> bool:
        """Answer one request; return whether the connection stays open."""
        line = self._line()
        if not line:
            return False
        try:
            method, target, version = line.split(" ")
        except ValueError:
            raise _Malformed("400 Bad Request") from None
        environ = self._environ(method, target, version)
        wish = environ.get("HTTP_CONNECTION", "").lower()
        last = "close" in wish or (version != "HTTP/1.1" and "keep-alive" not in wish)
        status, headers, body = self._ask(environ)
        self._send(status, headers, body, last=last, head=method == "HEAD")
        return not last

    def _environ(self, method: str, target: str, version: str) -> dict[str, Any]:
        if not target.startswith("/"):  # the absolute form, as proxies get it
            whole = urlsplit(target)
            target = f"{whole.path}?{whole.query}" if whole.query else whole.path
        path, _, query = target.partition("?")
        host, port = self.server.server_address[:2]
        environ: dict[str, Any] = {
            "REQUEST_METHOD": method, "SCRIPT_NAME": "", "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
            "QUERY_STRING": query, "RAW_URI": target, "REQUEST_URI": target,
            "SERVER_NAME": host, "SERVER_PORT": str(port), "SERVER_PROTOCOL": version,
            "REMOTE_ADDR": self.client_address[0],
            "wsgi.version": (1, 0), "wsgi.url_scheme": "http", "wsgi.errors": sys.stderr, "wsgi.multithread": True,
            "wsgi.multiprocess": False, "wsgi.run_once": False, "werkzeug.socket": self.connection,
        }  # fmt: skip
        while line := self._line():
            name, _, value = line.partition(":")
            key = name.upper().replace("-", "_")
            if "_" not in name:  # an underscore could pose as another header
                key = key if key in {"CONTENT_TYPE", "CONTENT_LENGTH"} else f"HTTP_{key}"
                value = value.strip()
                environ[key] = f"{environ[key]},{value}" if key in environ else value
        environ["wsgi.input"] = BytesIO(self._body(environ))
        return environ

    def _body(self, environ: dict[str, Any]) -> bytes:
        """Read the whole body first: what stays unread would pose as the next request."""
        if environ.get("HTTP_EXPECT", "").lower() == "100-continue":
            self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if "chunked" in environ.get("HTTP_TRANSFER_ENCODING", "").lower():
            body = DechunkedInput(cast(IO[bytes], self.rfile)).read()
            del environ["HTTP_TRANSFER_ENCODING"]
            environ["CONTENT_LENGTH"] = str(len(body))
            return body
        length = environ.get("CONTENT_LENGTH") or "0"
        if not length.isdigit():
            raise _Malformed("400 Bad Request")
        return self.rfile.read(int(length)) if length != "0" else b""

    def _ask(self, environ: dict[str, Any]) -> tuple[str, list[tuple[str, str]], bytes]:
        """Return the application's answer; its mistakes are a 500 and a line in our log."""
        answer: list[Any] = []

        def start_response(status: str, headers: list[tuple[str, str]], _exc_info: Any = None) -> None:
            answer[:] = [status, list(headers)]

        try:
            parts = self.server.application(environ, start_response)
            try:
                body = b"".join(parts)
            finally:
                if hasattr(parts, "close"):
                    parts.close()
        except ConnectionError:
            raise
        except Exception:
            _log.exception("a stand-in failed at %s", environ["REQUEST_METHOD"])
            return "500 Internal Server Error", [], b""
        return answer[0], answer[1], body

    def _send(self, status: str, headers: list[tuple[str, str]], body: bytes, *, last: bool, head: bool) -> None:
        names = {name.lower() for name, _ in headers}
        lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in headers)]
        if "date" not in names:
            lines.append(f"Date: {formatdate(usegmt=True)}")
        if "content-length" not in names and not status.startswith(NO_BODY):
            lines.append(f"Content-Length: {len(body)}")
        if last:
            lines.append("Connection: close")
        self.wfile.write("\r\n".join([*lines, "", ""]).encode("latin-1") + (b"" if head else body))


class Server(ThreadingTCPServer):
    """An application on a port of this machine (loopback unless `host` says otherwise), a thread to a connection."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int, application: Application, *, host: str = "127.0.0.1") -> None:
        self.application = application
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__((host, port), _Handler)

    def opened(self, connection: socket.socket) -> None:
        """Remember a connection, so that it ends with the server."""
        with self._lock:
            self._open.add(connection)

    def forgotten(self, connection: socket.socket) -> None:
        """Forget a connection that is over."""
        with self._lock:
            self._open.discard(connection)

    def server_close(self) -> None:
        """Close the port and every connection that was kept alive."""
        super().server_close()
        with self._lock:
            for connection in self._open:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:  # the other side was quicker
                    continue
