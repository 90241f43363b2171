"""Exports for people, end to end: a real log, a real bucket, and the shipped verifier over the folder."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import insert, select

from include.connections import Connection
from include.database import run
from include.database.decisions import offboarding
from include.disposals import Context, begin_run, finish_run
from include.disposals.offboarding import uncertified
from include.disposals.people_export import certify_endings, export_asked, export_of_run
from include.errors import EvidenceError
from include.evidence.log import seal, stage
from include.evidence.note import Signer
from include.evidence.store import EvidenceStore
from include.sandbox.servers import S3Server
from tests.evidence import samples, vectors

TAG = str(samples.disposal(1, "planned")["subject_tag"])
NOW = datetime(2026, 11, 25, tzinfo=UTC)


@dataclass
class Room:
    """A sealed log with one run's entries, and the connections an export needs."""

    context: Context
    signing: Connection
    store: Connection
    exports: Path


@pytest.fixture
def room(context: Context, s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Room:
    seed = tmp_path / "signing.key"
    seed.write_bytes(vectors.SEED)
    seed.chmod(0o600)
    signing = Connection("evidence_signing", extra={"file": str(seed), "origin": vectors.NAME})
    bucket = s3.connection("evidence_store", "notary", bucket="evidence")
    store = replace(bucket, extra={**bucket.extra, "prefix": f"{uuid4().hex}/"})
    second = begin_run(replace(context, run_id=None), airflow_run_id="r2")
    sha = context.schedule.sha256
    with context.engine.begin() as connection:
        stage(connection, [entry | {"policy_sha256": sha} for n in (1, 2) for entry in samples.life(n)])
    finish_run(context, second, {"own_database.confirmed_absent": 2})
    seal(context.engine, EvidenceStore.of(store), Signer(vectors.SEED, vectors.NAME), now=NOW)
    monkeypatch.setenv("RETENTION_EXPORTS", str(tmp_path / "exports"))
    return Room(context, signing, store, tmp_path / "exports")


def names(folder: Path) -> set[str]:
    listed = set(json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["files"])
    there = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert there - {"manifest.json", "manifest.note"} == listed
    return listed


def verdict(folder: Path) -> int:
    vkey = folder / "vkey"
    run = [sys.executable, str(folder / "verify.py"), str(folder), "--vkey", str(vkey)]
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.returncode


def test_the_export_of_a_run_is_made_again_with_what_people_read(room: Room) -> None:
    folder = export_of_run(room.context, room.signing, room.store, dag_id="nightly_retention", airflow_run_id="r2")
    assert folder.parent == room.exports
    assert {"ledger.xlsx", "report.ko.pdf", "report.en.pdf", "csv/11-summary.csv"} <= names(folder)
    assert json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["first_index"] > 0
    verdict(folder)


def test_an_export_about_a_subject_carries_certificate_and_proofs_and_verifies(room: Room) -> None:
    folder = export_asked(room.context, room.signing, room.store, asked={"subject_tag": TAG}, full=True, name="by hand")
    found = names(folder)
    assert {f"certificates/subject-{TAG[:16]}.pdf", f"certificates/subject-{TAG[:16]}.txt"} <= found
    assert len([n for n in found if n.endswith(".tlog-proof")]) == 1
    verdict(folder)


def test_an_export_about_a_processor_carries_its_certificate(room: Room) -> None:
    asked = {"processor": "own_database", "from": "2026-11-01", "to": "2026-12-31"}
    folder = export_asked(room.context, room.signing, room.store, asked=asked, full=True, name="by hand")
    assert "certificates/processor-own_database.txt" in names(folder)
    text = (folder / "certificates" / "processor-own_database.txt").read_text(encoding="utf-8")
    assert "증명된 건 · proven: 2" in text


def test_an_ended_contract_is_certified_once_by_the_run_that_finds_it_closed(room: Room) -> None:
    first_night = room.context.as_of

    def end(processor: str, closed: bool) -> None:
        with room.context.engine.begin() as connection:
            (run_id,) = connection.execute(select(run.c.run_id).limit(1)).scalars()
            connection.execute(
                insert(offboarding).values(
                    offboarding_id=uuid4(), processor=processor, ended_on=first_night, run_id=run_id, digest="",
                    subjects=2, a_night=2, first_night=first_night, estimated_end=first_night,
                    closed_on=first_night if closed else None,
                )
            )  # fmt: skip

    end("own_database", closed=True)
    end("zendesk", closed=False)
    assert uncertified(room.context) == 1
    (folder,) = certify_endings(room.context, room.signing, room.store)
    assert "certificates/processor-own_database.pdf" in names(folder)
    text = (folder / "certificates" / "processor-own_database.txt").read_text(encoding="utf-8")
    assert TAG in text
    verdict(folder)
    assert certify_endings(room.context, room.signing, room.store) == []
    assert uncertified(room.context) == 0
    with room.context.engine.connect() as connection:
        named = connection.execute(select(offboarding.c.processor, offboarding.c.certificate)).all()
    assert sorted(named) == [("own_database", f"{folder.parent.name}/{folder.name}"), ("zendesk", None)]


def test_one_bit_of_what_people_read_is_found_by_the_verifier(room: Room) -> None:
    folder = export_asked(room.context, room.signing, room.store, asked={}, full=True, name="by hand")
    path = folder / "report.ko.pdf"
    path.write_bytes(path.read_bytes()[:-1] + b"\x0b")
    with pytest.raises(AssertionError, match=r"report\.ko\.pdf"):
        verdict(folder)


def test_an_export_for_days_without_a_run_is_refused(room: Room) -> None:
    with pytest.raises(EvidenceError, match="No run"):
        export_asked(room.context, room.signing, room.store, asked={"from": "2030-01-01"}, full=False, name="by hand")


def test_a_run_nobody_recorded_is_refused(room: Room) -> None:
    with pytest.raises(EvidenceError, match="No run"):
        export_of_run(room.context, room.signing, room.store, dag_id="nightly_retention", airflow_run_id="r99")


def test_an_export_about_a_request_is_that_of_its_subject(room: Room) -> None:
    import json as codec

    from sqlalchemy import text

    from include.evidence import tree

    wanted = str(uuid4())
    received = samples.base("request_received", subject_tag=TAG, key_epoch="2026", code="erasure", request_id=wanted)
    body = codec.dumps(received, sort_keys=True, separators=(",", ":")).encode()
    with room.context.engine.begin() as connection:
        connection.execute(
            text("INSERT INTO retention.entry (body, leaf_hash) VALUES (:b, :h)"),
            {"b": body, "h": tree.leaf_hash(body)},
        )
    seal(room.context.engine, EvidenceStore.of(room.store), Signer(vectors.SEED, vectors.NAME), now=NOW)
    folder = export_asked(
        room.context, room.signing, room.store, asked={"request": wanted}, full=True, name="manual__request"
    )
    assert f"certificates/subject-{TAG[:16]}.pdf" in names(folder)
    verdict(folder)
    for asked in ({"request": str(uuid4())}, {"request": wanted, "subject_tag": "f" * 64}):
        with pytest.raises(EvidenceError, match="Nothing was exported"):
            export_asked(room.context, room.signing, room.store, asked=asked, full=True, name="x")
