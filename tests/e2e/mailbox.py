"""A mail server of our own on loopback: it takes what is sent to it (RFC 5321) and keeps it."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage


@dataclass
class Mailbox:
    """What arrived, and at which port."""

    port: int = 0
    refuse: str = ""
    lose_answer: bool = False
    mails: list[EmailMessage] = field(default_factory=list)
    recipients: list[str] = field(default_factory=list)


@contextmanager
def served(*, refuse: str = "", lose_answer: bool = False) -> Iterator[Mailbox]:
    """Serve a mailbox; `refuse` is the reply to every recipient instead of taking the mail.

    With `lose_answer` a mail is taken, and the connection goes before the sender is told so.
    """
    box = Mailbox(refuse=refuse, lose_answer=lose_answer)

    class Session(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self._say("220 mailbox.example ESMTP")
            while line := self.rfile.readline():
                verb = line.strip().split(b" ")[0].upper().split(b":")[0]
                if verb == b"QUIT":
                    self._say("221 bye")
                    return
                if verb == b"DATA":
                    self._say("354 go on")
                    self._take()
                    if box.lose_answer:
                        return
                    self._say("250 kept")
                elif verb == b"RCPT":
                    box.recipients.append(line.decode().strip())
                    self._say(box.refuse or "250 ok")
                elif verb in (b"EHLO", b"HELO"):
                    self._say("250 mailbox.example")
                else:
                    self._say("250 ok")

        def _take(self) -> None:
            lines = []
            while (line := self.rfile.readline()) not in (b".\r\n", b""):
                lines.append(line[1:] if line.startswith(b"..") else line)
            message = message_from_bytes(b"".join(lines), policy=policy.default)
            assert isinstance(message, EmailMessage)
            box.mails.append(message)

        def _say(self, text: str) -> None:
            self.wfile.write(text.encode() + b"\r\n")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Session) as server:
        server.daemon_threads = True
        box.port = server.server_address[1]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield box
        finally:
            server.shutdown()
