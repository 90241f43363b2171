"""A mail server that delivers nothing: it takes mail over SMTP and keeps it as files, one `.eml` each.

Faults, like the other stand-ins: while a file `refuse` lies in the folder, every recipient is answered with 550.
"""

from __future__ import annotations

import socketserver
import threading
from pathlib import Path
from types import TracebackType
from uuid import uuid4

LIMIT = 1 << 20


class _Session(socketserver.StreamRequestHandler):
    """One SMTP conversation (RFC 5321): enough of it for a client that sends a mail."""

    server: _Server
    timeout = 30

    def handle(self) -> None:
        self._say("220 sandbox ESMTP")
        while line := self.rfile.readline(LIMIT):
            verb = line.strip().split(b" ")[0].upper()
            if verb == b"EHLO":
                self._say("250-sandbox\r\n250 8BITMIME")
            elif verb == b"RCPT" and (self.server.folder / "refuse").exists():
                self._say("550 5.1.1 mailbox unavailable")
            elif verb == b"DATA":
                self._say("354 go on")
                self._take()
            elif verb == b"QUIT":
                self._say("221 bye")
                return
            else:
                self._say("250 ok" if verb in (b"HELO", b"MAIL", b"RCPT", b"RSET", b"NOOP") else "502 not here")

    def _take(self) -> None:
        lines = []
        while (line := self.rfile.readline(LIMIT)) and line != b".\r\n":
            lines.append(line[1:] if line.startswith(b"..") else line)
        part = self.server.folder / f"{uuid4().hex}.part"
        part.write_bytes(b"".join(lines))
        part.rename(part.with_suffix(".eml"))
        self._say("250 2.0.0 kept")

    def _say(self, text: str) -> None:
        self.wfile.write(text.encode() + b"\r\n")


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        super().__init__(("127.0.0.1", port), _Session)


class MailServer:
    """Serves on a port of this machine until it is left; mail lies in `folder`."""

    def __init__(self, folder: Path, port: int = 0) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._server = _Server(folder, port)
        self.port = int(self._server.server_address[1])

    def __enter__(self) -> MailServer:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def kept(self) -> list[bytes]:
        """Return every mail so far."""
        return [p.read_bytes() for p in sorted(self.folder.glob("*.eml"))]
