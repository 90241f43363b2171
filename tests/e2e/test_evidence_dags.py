"""The evidence DAGs in real Airflow after a real night: exports by asset and by hand, the audit, the officer's mail."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from include.connections import Connection, s3_client
from include.evidence.note import open_checkpoint
from include.evidence.tags import SubjectTags
from include.keys import epochs
from include.sandbox import airflow, company, night
from include.sandbox.servers import stop, temporary_folder
from include.sandbox.stack import Stack
from tests.e2e import mailbox
from tests.e2e.mailbox import Mailbox
from tests.evidence import authority
from tests.programs import needs

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(1800), needs("openssl")]
ROOT = Path(__file__).parents[2]
OFFICER = "officer@example.com"


class Watched(Stack):
    """A sandbox with a mail server, a timestamp authority and an officer to write to."""

    more: dict[str, Connection]

    @cached_property
    def connections(self) -> dict[str, Connection]:
        return super().connections | self.more

    @property
    def environment(self) -> dict[str, str]:
        return super().environment | {"RETENTION_OFFICER_EMAIL": OFFICER}


class Room:
    """One night that has run, Airflow still up, and what a test asks of it."""

    def __init__(self, stack: Stack, box: Mailbox, authority_root: Path) -> None:
        self.stack, self.box, self.root = stack, box, authority_root
        self.api = airflow.Api(stack, "admin")

    def run(self, dag_id: str, **conf: Any) -> tuple[str, str, dict[str, str]]:
        """Trigger a DAG and return its run id, final state and the states of its tasks."""
        self.api.wait_for_dag(dag_id)
        run_id = self.api.trigger(dag_id, conf)
        return run_id, *self.ended(dag_id, run_id)

    def ended(self, dag_id: str, run_id: str) -> tuple[str, dict[str, str]]:
        """Wait for a run's end; return its state and those of its tasks."""
        state, tasks = list(self.api.follow(dag_id, run_id))[-1]
        return state, {t["task_id"]: t["state"] for t in tasks}

    def xcom(self, dag_id: str, run_id: str, task_id: str, index: int = 0) -> Any:
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/return_value"
        value = self.api.call("GET", path, params={"map_index": index, "deserialize": "true"})["value"]
        return json.loads(value) if isinstance(value, str) and value[:1] in '{["' else value

    def verdict(self, folder: Path, *options: str) -> str:
        """Verify a folder with the verifier in it, in a bare Python; it must pass."""
        command = [sys.executable, "-I", str(folder / "verify.py"), "--vkey", str(folder / "vkey"), *options]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    tsa = tmp_path_factory.mktemp("tsa")
    root = authority.certify(tsa, "ours")
    with temporary_folder("rt-evidence-") as local, authority.served(tsa) as url, mailbox.served() as box:
        stack = Watched(ROOT, local)
        stamps = {"endpoint_url": url, "roots": str(root), "chain": str(tsa / "tsa.pem")}
        mail = {"disable_ssl": True, "disable_tls": True, "from_email": "log@example.com", "retry_limit": 0}
        stack.more = {
            "evidence_tsa": Connection("evidence_tsa", extra=stamps),
            "smtp_default": Connection("smtp_default", host="127.0.0.1", port=box.port, extra=mail),
        }
        try:
            stack.start_servers()
            with night.opened(stack, datetime.now(night.SEOUL).date()) as context:
                night._prepare_company(stack, context, 60, 7)
            stack.by_itself = False  # one night and no other, whatever hour it is
            airflow.prepare(stack)
            airflow.start(stack)
            made = Room(stack, box, root)
            made.api.wait_for_dag("evidence_export")
            _, state = night._night(stack, {})
            assert state == "success"
            made.api.call("PATCH", "/dags/nightly_retention", json={"is_paused": True})
            stack.by_itself = True  # the export begins because the night ended
            stop(stack.processes["scheduler"])
            airflow.start_scheduler(stack)
            yield made
        finally:
            stack.stop()


@pytest.fixture(scope="module")
def exported(room: Room) -> Path:
    """The folder that the night's asset had exported for people."""
    for _ in range(60):
        runs = room.api.call("GET", "/dags/evidence_export/dagRuns")["dag_runs"]
        triggered = [r for r in runs if r["run_type"] == "asset_triggered"]
        if triggered:
            break
        time.sleep(2)
    (found,) = triggered
    state, tasks = room.ended("evidence_export", found["dag_run_id"])
    assert state == "success", tasks
    return Path(room.xcom("evidence_export", found["dag_run_id"], "export"))


def test_a_night_starts_the_export_of_what_people_read(room: Room, exported: Path) -> None:
    names = {p.relative_to(exported).as_posix() for p in exported.rglob("*") if p.is_file()}
    assert {"ledger.xlsx", "report.ko.pdf", "report.en.pdf", "verify.py", "checkpoint.tsr", "rules.json"} <= names
    assert len([n for n in names if n.startswith("csv/")]) == 11
    said = room.verdict(exported, "--tsa", str(room.root), "--since", str(exported / "checkpoint"), "--strict")
    assert said.startswith("VERIFIED: signed by the key you gave")
    assert "timestamped 20" in said


def test_the_terminated_accounts_of_the_night_add_up(room: Room, exported: Path) -> None:
    entries = [json.loads(line) for line in (exported / "entries.jsonl").read_bytes().splitlines()]
    told = {e["code"]: e["counts"] for e in entries if e["event"] == "population"}
    counts = told["reconciled"]
    assert counts["terminated"] == told["source"]["terminated"] == len(_ended(room)) > 0
    assert told["source"]["unlisted"] == told["source"]["unplannable"] == 0
    classes = ("destroyed", "held", "kept", "not_yet_due", "not_done")
    assert counts["terminated"] == sum(counts[k] for k in classes)
    assert all(counts[k] for k in ("held", "not_yet_due"))
    # The two classes that the entries alone show, counted anew from them and from the seeded company.
    newest = {e["disposal_id"]: e for e in entries if "disposal_id" in e}.values()
    failed = {e["subject_tag"] for e in newest if e["event"] == "failed"}
    held = {e["subject_tag"] for e in newest if e["event"] == "blocked"}
    assert counts["not_done"] == sum(bool(tags & failed) for tags in _ended(room))
    assert counts["held"] == sum(bool(tags & held and not tags & failed) for tags in _ended(room))


def test_the_audit_passes_and_the_officer_gets_root_and_checkpoint(room: Room, exported: Path) -> None:
    before = len(room.box.mails)
    # Tomorrow's: the first night destroys what is years late, which today's rightly finds. That one begins by itself,
    # and mails what it finds, where Airflow sees this DAG for the first time within 2.4 hours after its hour.
    tomorrow = date.fromisoformat(exported.name[:10]) + timedelta(days=1)
    run_id, state, tasks = room.run("evidence_audit", as_of=tomorrow.isoformat())
    assert (state, tasks) == ("success", {"audit": "success", "mail_root": "success"})
    (mail,) = (m for m in room.box.mails[before:] if "evidence_audit passed" in str(m["Subject"]))
    (attached,) = mail.iter_attachments()
    note = attached.get_payload(decode=True)
    assert isinstance(note, bytes)
    shown = open_checkpoint(note.decode(), [(exported / "vkey").read_text()])
    audited = room.xcom("evidence_audit", run_id, "audit", -1)
    assert (mail["To"], shown.size) == (OFFICER, audited["size"])
    assert audited["root"] in str(mail["Subject"]).replace("\n", "")
    kept = exported.parent / "mailed.txt"
    kept.write_bytes(note)
    assert "NOT CHECKED: that nothing was rewritten" not in room.verdict(exported, "--since", str(kept))


def test_an_export_asked_for_by_processor_and_by_subject_certifies_it(room: Room, exported: Path) -> None:
    run_id, state, _ = room.run("evidence_export", processor="zendesk")
    assert state == "success"
    folder = Path(room.xcom("evidence_export", run_id, "export"))
    assert (folder / "certificates" / "processor-zendesk.pdf").is_file()
    assert "of " in room.verdict(folder)
    with (folder / "ledger.csv").open(encoding="utf-8-sig", newline="") as lines:
        tag = next(csv.DictReader(lines))["subject tag"]
    run_id, state, _ = room.run("evidence_export", subject_tag=tag)
    assert state == "success"
    folder = Path(room.xcom("evidence_export", run_id, "export"))
    assert (folder / "certificates" / f"subject-{tag[:16]}.pdf").is_file()
    assert "row proofs" in room.verdict(folder)


def test_an_account_is_looked_up_with_its_proof(room: Room, exported: Path, tmp_path: Path) -> None:
    """As an auditor does it: with the opening of one tag, and no key."""
    with (exported / "ledger.csv").open(encoding="utf-8-sig", newline="") as lines:
        gone = {row["subject tag"] for row in csv.DictReader(lines)}
    tags = SubjectTags(epochs(room.stack.connections["evidence_tags"]))
    account = next(a for a in (p.account_id for p in _company(room).people) if gone & set(tags.all(a).values()))
    opened = tags.open(account, epoch=next(e for e, tag in tags.all(account).items() if tag in gone))
    named = {"epoch": opened.epoch, "kind": opened.kind, "value": opened.value, "key": opened.key.hex()}
    (tmp_path / "opening.json").write_text(json.dumps(named))
    command = [sys.executable, "-m", "include.evidence", "ask", "was-destroyed", "--folder", str(exported)]
    command += ["--opening", str(tmp_path / "opening.json")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "confirmed_absent" in done.stdout
    assert "c2sp.org/tlog-proof@v1" in done.stdout


def _company(room: Room) -> company.Company:
    """Return the company as it was seeded."""
    known = json.loads((room.stack.local / "company.json").read_text())
    return company.generate(seed=known["seed"], count=known["accounts"], anchor=date.fromisoformat(known["anchor"]))


def _ended(room: Room) -> list[set[str]]:
    """Return the tags of every account that was terminated when the night began."""
    tags = SubjectTags(epochs(room.stack.connections["evidence_tags"]))
    rows = [row for person in _company(room).people for row in person.dicts("account")]
    return [set(tags.all(row["account_id"]).values()) for row in rows if row["terminated_on"]]


def test_an_audit_that_finds_something_is_red_and_mailed(room: Room, exported: Path) -> None:
    """Last: it bends the bucket as only somebody with its keys could."""
    store = room.stack.connections["evidence_store"]
    admin = s3_client(room.stack.s3.connection("evidence_store", "admin"))
    size = (exported / "checkpoint").read_text().split("\n")[1]
    admin.put_object(Bucket=store.extra["bucket"], Key=f"checkpoints/{int(size):015d}", Body=b"another history")
    before = len(room.box.mails)
    _, state, tasks = room.run("evidence_audit")
    assert (state, tasks) == ("failed", {"audit": "failed", "mail_root": "upstream_failed"})
    (mail,) = room.box.mails[before:]
    body = mail.get_body(("html",))
    assert body is not None
    said = body.get_content()
    assert f"the locked copy of checkpoint {size} is missing or another one" in said
    assert "destructions after their last day for it" in said
