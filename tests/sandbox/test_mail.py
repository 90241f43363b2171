"""The mail stand-in: what is sent lies there as it was sent, and a refusal reaches the client."""

from __future__ import annotations

import smtplib
from email import message_from_bytes
from email.mime.text import MIMEText
from pathlib import Path

import pytest

from include.sandbox.mail import MailServer


def send(server: MailServer, text: str) -> None:
    """Send one mail."""
    mail = MIMEText(text, "plain", "utf-8")
    mail["Subject"], mail["From"], mail["To"] = "결과", "privacy@example.com", "person@example.com"
    with smtplib.SMTP("127.0.0.1", server.port, timeout=10) as client:
        client.send_message(mail)


def test_a_mail_is_kept_to_the_byte_also_with_leading_dots(tmp_path: Path) -> None:
    with MailServer(tmp_path) as server:
        send(server, ".first line\n..second\n파기")
        send(server, "another")
    (first, second) = sorted(server.kept(), key=len, reverse=True)
    assert message_from_bytes(first).get_payload(decode=True) == ".first line\n..second\n파기".encode()
    assert message_from_bytes(second).get_payload(decode=True) == b"another"


def test_while_it_refuses_nothing_is_kept_and_the_client_knows(tmp_path: Path) -> None:
    with MailServer(tmp_path) as server:
        (tmp_path / "refuse").touch()
        with pytest.raises(smtplib.SMTPRecipientsRefused):
            send(server, "not taken")
        assert server.kept() == []
        (tmp_path / "refuse").unlink()
        send(server, "taken")
        assert len(server.kept()) == 1
