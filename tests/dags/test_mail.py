"""The privacy officer's mail as Airflow's notifier sends it, to a mail server of our own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from uuid import UUID

import pytest

from tests.e2e import mailbox
from tests.e2e.mailbox import Mailbox
from tests.evidence import vectors

ROOT = Path(__file__).parents[2]
OFFICER = "officer@example.com"
SEND = """
import sys
from unittest.mock import patch
from airflow.sdk.exceptions import AirflowSkipException
from include.tasks import evidence
from include.errors import Unreachable
audited = {"size": 8, "root": "XcnaeacGWamtVZy3Ad7ZoqudgjqtL0lgz+Nw7/RgQyg=", "checkpoint": sys.stdin.read()}
with patch.object(evidence, "get_current_context", dict):
    try:
        print("SAID", evidence.mail_root.function(audited))
    except (AirflowSkipException, Unreachable) as error:
        print("SAID", type(error).__name__, error)
"""

NOTICE = """
from types import SimpleNamespace
from uuid import UUID
from include.errors import RetentionError
from include.tasks import notice_mail
told = SimpleNamespace(subject="Your request", text="All of it is erased.")
try:
    print("SAID", notice_mail.send("officer@example.com", told, UUID(int=7)))
except RetentionError as error:
    print("SAID", type(error).__name__, error)
"""


def send(
    box: Mailbox, home: Path, *, officer: str = OFFICER, port: int = 0, script: str = SEND, retry_limit: int = 0
) -> str:
    """Run the task's function in a process of its own, as a worker would; return what it said."""
    extra = {"disable_ssl": True, "disable_tls": True, "from_email": "log@example.com", "retry_limit": retry_limit}
    smtp = {"conn_type": "smtp", "host": "127.0.0.1", "port": port or box.port, "extra": extra}
    env = {**os.environ, "AIRFLOW_HOME": str(home), "AIRFLOW__CORE__LOAD_EXAMPLES": "False", "PYTHONPATH": str(ROOT)}
    env |= {"AIRFLOW_CONN_SMTP_DEFAULT": json.dumps(smtp), "RETENTION_OFFICER_EMAIL": officer}
    done = subprocess.run(
        [sys.executable, "-c", script], input=vectors.CHECKPOINT, cwd=ROOT, env=env, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert OFFICER not in done.stdout + done.stderr
    line = next((x for x in done.stdout.splitlines() if x.startswith("SAID")), None)
    assert line, done.stderr[-2000:]
    return line


def test_the_officer_gets_the_root_and_the_checkpoint_to_the_byte(tmp_path: Path) -> None:
    with mailbox.served() as box:
        assert send(box, tmp_path) == "SAID mailed"
    (mail,) = box.mails
    (attached,) = mail.iter_attachments()
    assert (mail["To"], mail["From"]) == (OFFICER, "log@example.com")
    assert attached.get_payload(decode=True) == vectors.CHECKPOINT.encode()
    body = mail.get_body(("html",))
    assert body is not None
    assert "XcnaeacGWamtVZy3Ad7ZoqudgjqtL0lgz+Nw7/RgQyg=" in body.get_content()
    assert "증적 점검 이상 없음" in str(mail["Subject"])


@pytest.mark.parametrize("refuse", ["550 no such mailbox officer@example.com", "451 later"])
def test_a_mail_that_cannot_leave_fails_the_task_without_the_address(tmp_path: Path, refuse: str) -> None:
    with mailbox.served(refuse=refuse) as box:
        said = send(box, tmp_path)
    assert said.startswith("SAID Unreachable")
    assert not box.mails


def test_a_mail_server_that_is_down_fails_the_task(tmp_path: Path) -> None:
    with mailbox.served() as box:
        pass
    assert send(box, tmp_path, port=box.port).startswith("SAID Unreachable")


def test_a_notice_carries_the_id_by_which_a_mail_server_knows_it(tmp_path: Path) -> None:
    with mailbox.served() as box:
        assert send(box, tmp_path, script=NOTICE) == "SAID None"
    assert [m["Message-ID"] for m in box.mails] == [f"<{UUID(int=7)}@notice>"]


@pytest.mark.parametrize("refuse", ["550 no such mailbox officer@example.com", "451 later"])
def test_a_notice_the_server_refused_is_known_not_to_have_gone_out(tmp_path: Path, refuse: str) -> None:
    with mailbox.served(refuse=refuse) as box:
        assert send(box, tmp_path, script=NOTICE).startswith("SAID NotAccepted")
    assert not box.mails
    assert send(box, tmp_path, script=NOTICE, port=box.port).startswith("SAID NotAccepted"), "the server is down"


def test_a_notice_whose_answer_was_lost_goes_out_once_and_is_not_called_unsent(tmp_path: Path) -> None:
    with mailbox.served(lose_answer=True) as box:
        said = send(box, tmp_path, script=NOTICE, retry_limit=5)
    assert said.startswith("SAID MailUnknown")
    assert f"<{UUID(int=7)}@notice>" in said
    assert len(box.mails) == 1


def test_without_an_officer_nothing_is_sent_and_the_task_is_skipped(tmp_path: Path) -> None:
    with mailbox.served() as box:
        assert send(box, tmp_path, officer="").startswith("SAID AirflowSkipException")
    assert not box.mails
