"""The edge: gauges reach a StatsD server, and alerts a mail server, in a process as a worker is one."""

from __future__ import annotations

import email
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from email import policy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = """
import json, sys
from airflow.sdk.execution_time import task_runner
from airflow.sdk.observability import stats
from airflow.sdk.observability.metrics import stats_utils
stats.initialize(factory=stats_utils.get_stats_factory(), export_legacy_names=True)
from include.tasks import alerts
alerts.emit({"retention.overdue.own_database": 3.0, "retention.due.stripe": 0.0}, green=False)
sent = alerts.mail("알림 <1>", ["overdue: 3 (stripe)", "<b>"])
alerts.mail_late(context={"dag_run": {"run_id": "scheduled__1"}, "deadline": {}})
class Broken(Exception): pass
alerts.mail_crash({"exception": Broken("sample@example.com"), "dag_run": None})
print("RESULT" + json.dumps(sent))
"""


class Mail:
    """A mail server that keeps what it is given; `refusing` answers every recipient with 550."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []
        self.refusing = False
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listening.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            with client, client.makefile("rwb", buffering=0) as lines:
                lines.write(b"220 sandbox\r\n")
                for line in lines:
                    self._answer(line.split()[0].upper() if line.split() else b"", lines)

    def _answer(self, word: bytes, lines: socket.SocketIO) -> None:  # type: ignore[name-defined]
        if word == b"DATA":
            lines.write(b"354 go on\r\n")
            body = b""
            while (line := lines.readline()) != b".\r\n":
                body += line
            self.taken.append(body)
        if word == b"RCPT" and self.refusing:
            lines.write(b"550 no such person sample@example.com\r\n")
        else:
            lines.write(b"221 bye\r\n" if word == b"QUIT" else b"250 ok\r\n")


@pytest.fixture
def server() -> Iterator[Mail]:
    mail = Mail()
    yield mail
    mail.close()


def at_the_edge(tmp_path: Path, **environment: str) -> tuple[bool, str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("AIRFLOW", "RETENTION"))}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=ROOT, capture_output=True, text=True, check=False, timeout=300,
        env={**clean, "PYTHONPATH": str(ROOT), "AIRFLOW_HOME": str(tmp_path), **environment},
    )  # fmt: skip
    line = next((x for x in done.stdout.splitlines() if x.startswith("RESULT")), None)
    assert line, done.stderr[-3000:]
    return json.loads(line.removeprefix("RESULT")), done.stdout + done.stderr


def received(server: socket.socket) -> Iterator[str]:
    """Yield what has arrived; loopback datagrams are there once the sender has ended."""
    while True:
        try:
            yield server.recv(4096).decode()
        except BlockingIOError:
            return


def smtp(port: int) -> str:
    extra = {"disable_ssl": True, "disable_tls": True, "from_email": "retention@example.com", "retry_limit": 1}
    return json.dumps({"conn_type": "smtp", "host": "127.0.0.1", "port": port, "extra": extra})


def test_numbers_reach_statsd_and_alerts_are_mailed(tmp_path: Path, server: Mail) -> None:
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as statsd:
        statsd.bind(("127.0.0.1", 0))
        statsd.setblocking(False)
        sent, _ = at_the_edge(
            tmp_path,
            AIRFLOW__METRICS__STATSD_ON="True",
            AIRFLOW__METRICS__STATSD_HOST="127.0.0.1",
            AIRFLOW__METRICS__STATSD_PORT=str(statsd.getsockname()[1]),
            AIRFLOW_CONN_SMTP_DEFAULT=smtp(server.port),
            RETENTION_ALERTS_EMAIL="privacy@example.com",
        )
        told = {line for line in received(statsd) if ".retention." in line}
    assert told == {
        "airflow.retention.overdue.own_database:3.0|g",
        "airflow.retention.due.stripe:0.0|g",
        "airflow.retention.runs.red:1|c",
    }
    assert sent is True
    mails = [email.message_from_bytes(raw, policy=policy.default) for raw in server.taken]
    assert [str(m["To"]) for m in mails] == ["privacy@example.com"] * 3
    bodies = [m.get_body(("html",)).get_content() for m in mails]  # type: ignore[union-attr]
    assert str(mails[0]["Subject"]) == "알림 <1>"
    assert "overdue: 3 (stripe)" in bodies[0]
    assert "&lt;b&gt;" in bodies[0]
    assert "night_late: scheduled__1" in bodies[1]
    assert "report_failed: Broken" in bodies[2]
    assert not [b for b in bodies if "sample@example.com" in b]


def test_a_mail_server_that_refuses_never_stops_a_night_and_is_not_quoted(tmp_path: Path, server: Mail) -> None:
    server.refusing = True
    sent, output = at_the_edge(
        tmp_path, AIRFLOW_CONN_SMTP_DEFAULT=smtp(server.port), RETENTION_OFFICER_EMAIL="privacy@example.com"
    )
    assert sent is False
    assert "the alert was not mailed" in output
    assert "sample@example.com" not in output
