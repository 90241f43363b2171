"""Every question has one command, and its answer rests on entries that can be proven."""

from __future__ import annotations

import io
import json
import re
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from include.database import access_log
from include.evidence import verify
from include.evidence.ask import ask
from include.evidence.export import export
from include.evidence.proofs import check_row
from include.evidence.questions import QUESTIONS, Asked
from include.evidence.sources import DatabaseSource, FolderSource
from include.evidence.tags import SubjectTags
from tests.evidence import samples, vectors
from tests.evidence.conftest import NOW
from tests.evidence.test_verify import SIGNER, sealed

KEY = bytes(range(32))
TAG = SubjectTags({"2026": KEY}).tag("a0001", epoch="2026")
OFFICER = {"role": "privacy_officer", "pseudonym": "e-0001"}
HELD = {"subject_tag": TAG, "key_epoch": "2026", "hold_kinds": ["H-6"]}
HOLDS = [f"00000000-0000-0000-0000-00000000000{n}" for n in (1, 2)]
OBJECT = {"rule_id": "R-03", "object_digest": "ab" * 32, "rows": 7, "last_day": "2027-01-20"}
RECONCILED = {
    "terminated": 7, "destroyed": 1, "held": 2, "kept": 1, "not_yet_due": 3, "not_done": 0, "waiting": 1,
}  # fmt: skip
ENTRIES = [
    samples.base("policy_approved", policy_text_sha256="cd" * 32, actor=OFFICER),
    samples.base("population", code="source", counts={"live": 3, "terminated": 2}),
    *(e | {"subject_tag": TAG} for e in samples.life(1)),
    samples.disposal(2, "planned", subject_tag=TAG, processor="salesforce", scope="customer"),
    samples.disposal(2, "blocked", subject_tag=TAG, processor="salesforce", scope="customer", code="hold_h-5"),
    *(e | {"destroy_by": "2026-11-24"} for e in samples.life(3)),
    samples.base("hold_placed", **HELD, hold_ids=[HOLDS[0]]),
    samples.base("hold_placed", **HELD, hold_ids=[HOLDS[1]]),
    samples.base("hold_released", **HELD, hold_ids=[HOLDS[1]]),
    samples.base("archive_written", **OBJECT),
    samples.base("archive_written", **OBJECT | {"object_digest": "ef" * 32, "rule_id": "R-05"}),
    samples.base("archive_destroyed", **{k: OBJECT[k] for k in ("rule_id",)}, object_digest="ef" * 32),
    samples.base("archive_read", actor=OFFICER, approver=OFFICER),
    samples.base("request_received", subject_tag=TAG, key_epoch="2026", code="erasure"),
    samples.base("request_answered", subject_tag=TAG, key_epoch="2026", code="refused_settlement"),
    samples.disposal(4, "planned", rule_id="R-12"),
    samples.disposal(4, "manual_attested", rule_id="R-12", processor="paper", witness=OFFICER),
    samples.base("key_destroyed", key_epoch="2023", code="confirmed_absent"),
    samples.disposal(5, "planned", free_from="2026-12-01"),
    samples.disposal(5, "attempted", free_from="2026-12-01", step="delete_rows"),
    samples.base("notice_sent", subject_tag=TAG, key_epoch="2026", code="seven_days"),
    samples.base("restored"),
    samples.base("population", code="reconciled", counts=RECONCILED),
]


def answered(name: str, **asked: Any) -> tuple[list[str], list[int]]:
    found = QUESTIONS[name].answer(enumerate(ENTRIES), Asked(**{"on": "2026-11-25", **asked}))
    assert all(0 <= row < len(ENTRIES) for row in found.rows)
    return found.lines, found.rows


@pytest.mark.parametrize(
    ("name", "asked", "words"),
    [
        ("was-destroyed", {"tags": frozenset({TAG})}, "account (D-01, D-08): confirmed_absent on 2026-11-25"),
        ("was-destroyed", {"tags": frozenset({"0" * 64}), "epochs": ("2026",)}, "no record under epochs 2026"),
        ("still-held", {"tags": frozenset({TAG})}, "salesforce/customer (D-01, D-08): blocked, code hold_h-5"),
        ("due-not-done", {}, "1 salesforce blocked hold_h-5"),
        ("late", {"on": ""}, "1 destroyed after their date"),
        ("early", {}, "1 acts before the period was over"),
        ("unconfirmed", {}, "own_database: 1 attempted"),
        ("who", {}, "1 archive_read: privacy_officer:e-0001, privacy_officer:e-0001"),
        ("who", {}, "1 times the same person in two parts"),
        ("requests", {}, "request_received erasure"),
        ("refusals", {}, "1 found"),
        ("holds", {}, "1 holds placed by hand are active"),
        ("cold-storage", {}, "R-03: 1 objects, 7 rows, ending 2027-01-20 to 2027-01-20"),
        ("cold-reads", {}, "archive_read"),
        ("outlived", {"on": "2027-01-21"}, "1 archived objects have outlived"),
        ("outlived", {"on": "2027-01-20"}, "0 archived objects have outlived"),
        ("policy-of", {"index": 6}, "approved 2026-11-25 by privacy_officer, entry 0"),
        ("notices", {}, "notice_sent seven_days"),
        ("paper", {}, "witness privacy_officer:e-0001"),
        ("restores", {}, "restored"),
        ("scan", {}, "0 entries hold something"),
        ("corrections", {}, "1 disposals wait for a pending correction"),
        ("end-users", {}, "1 manual_attested"),
        ("keys", {}, "epoch 2023: confirmed_absent on 2026-11-25"),
        ("reconcile", {}, "source on 2026-11-25: 3 live, 2 terminated"),
        ("reconcile", {}, "7 terminated = 1 destroyed + 2 held + 1 kept + 3 not_yet_due + 0 not_done"),
        ("reconcile", {}, "in the log now: 2 subjects with something open, 1 of them held"),
        ("run", {"run_id": str(samples.UUID(int=7))}, "72 hours from then end 2026-11-27T17:00:00Z"),
    ],
)  # fmt: skip
def test_a_question_is_answered(name: str, asked: dict[str, Any], words: str) -> None:
    lines, _ = answered(name, **asked)
    assert any(words in line for line in lines), lines


def test_a_change_of_rules_says_which_due_dates_it_moves() -> None:
    from include.disposals.reporting import rules
    from include.policy import schedule

    now = schedule.load()
    data = json.loads(json.dumps(rules([now])))
    longer = json.loads(json.dumps(data["policies"][now.sha256]))
    longer["rules"]["R-01"]["triggers"]["terminated"]["months"] = 7
    data["policies"]["ef" * 32] = longer
    entries = [
        samples.base("policy_approved", policy_text_sha256="cd" * 32, actor=OFFICER, policy_sha256=now.sha256),
        samples.disposal(1, "planned"),
        samples.base("policy_approved", policy_text_sha256="cd" * 32, actor=OFFICER, policy_sha256="ef" * 32)
        | {"as_of": "2026-12-01"},
    ]
    asked = Asked(on="2026-11-30", until="2026-12-31", rules=json.dumps(data).encode())
    lines = QUESTIONS["rule-changes"].answer(enumerate(entries), asked).lines
    assert lines == ["2026-12-01: schedule efefefefefef approved", "1 due dates differ under R-01"]


def test_the_page_of_questions_names_every_command_under_its_number() -> None:
    page = (Path(__file__).parents[2] / "docs/questions.md").read_text(encoding="utf-8")
    rows = {int(m[1]): m[2] for m in re.finditer(r"^\| (\d+) \| [^|]+ \| ([^|]+) \|", page, re.M)}
    assert sorted(rows) == list(range(1, 31))
    for name, question in QUESTIONS.items():
        assert f"`ask {name}" in rows[question.number]
    answered_by = {n for n, cell in rows.items() if "`ask " in cell or "python -m" in cell}
    assert {n for n, cell in rows.items() if "work" in cell} == set(range(1, 31)) - answered_by


@pytest.fixture
def folder(engine: Any, tmp_path: Path) -> Path:
    sealed(engine, ENTRIES)
    return export(engine, tmp_path / "x", vkey=SIGNER.vkey, signer=SIGNER).folder


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    path = tmp_path / "keys"
    path.mkdir()
    (path / "2026.key").write_bytes(KEY)
    (path / "2026.key").chmod(0o600)
    return path


def test_an_answer_comes_with_proofs_that_hold(folder: Path, keys: Path, capsys: Any) -> None:
    code = ask(["was-destroyed", "--keys", str(keys), "--folder", str(folder)], stdin=io.StringIO("a0001\n"))
    out = capsys.readouterr().out
    assert code == 0
    assert "a0001" not in out
    proofs = ["c2sp.org/tlog-proof@v1" + p for p in out.split("c2sp.org/tlog-proof@v1")[1:]]
    lines = (folder / "entries.jsonl").read_bytes().splitlines()
    assert [check_row(p.rstrip("\n") + "\n", lines[int(p.split()[2])], SIGNER.vkey) for p in proofs] == [6, 8]


def test_a_row_is_proven_under_the_key_one_brings(folder: Path, tmp_path: Path, capsys: Any) -> None:
    key = tmp_path / "vkey"
    key.write_text(SIGNER.vkey)
    assert ask(["prove-row", "6", "--vkey", str(key), "--folder", str(folder)]) == 0
    assert "proven under the key you gave" in capsys.readouterr().out
    assert ask(["prove-row", "600", "--folder", str(folder)]) == 1


@pytest.mark.parametrize("first", [1, 3, 8, 16, 21])
def test_every_row_of_a_night_is_proven_from_its_folder_alone(engine: Any, tmp_path: Path, first: int) -> None:
    sealed(engine, ENTRIES)
    night = export(engine, tmp_path / "x", vkey=SIGNER.vkey, signer=SIGNER, first_index=first).folder
    source, lines = FolderSource(night), (night / "entries.jsonl").read_bytes().splitlines()
    for index in range(first, len(ENTRIES)):
        assert check_row(source.proof(index), lines[index - first], SIGNER.vkey) == index


def test_database_and_folder_answer_alike(engine: Any, folder: Path) -> None:
    ours, theirs = DatabaseSource(engine), FolderSource(folder)
    assert list(ours.entries()) == list(theirs.entries())
    for size in (0, 1, 7, len(ENTRIES)):
        assert ours.root_at(size) == theirs.root_at(size)
    assert [ours.proof(n) for n in range(len(ENTRIES))] == [theirs.proof(n) for n in range(len(ENTRIES))]


def test_a_log_that_was_rewritten_since_the_last_audit_is_named(folder: Path, tmp_path: Path, capsys: Any) -> None:
    from include.evidence.note import Checkpoint

    key, old = tmp_path / "vkey", tmp_path / "old"
    key.write_text(SIGNER.vkey)
    for root, code in ((FolderSource(folder).root_at(9), 0), (bytes(32), 1)):
        old.write_text(SIGNER.sign(Checkpoint(vectors.NAME, 9, root).body()), encoding="utf-8")
        assert ask(["not-rewritten", str(old), "--vkey", str(key), "--folder", str(folder)]) == code
    assert "IS NOT the beginning" in capsys.readouterr().out


def test_a_look_up_in_the_database_is_recorded(
    engine: Any, folder: Path, keys: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    url = engine.url
    extra = {"host": url.query["host"]}
    monkeypatch.setenv(
        "AIRFLOW_CONN_RETENTION_DB", json.dumps({"login": url.username, "schema": url.database, "extra": extra})
    )
    command = ["was-destroyed", "--keys", str(keys)]
    assert ask(command, stdin=io.StringIO("a0001\n")) == 1
    assert "say who asks" in capsys.readouterr().err
    assert ask([*command, "--by", "compliance:e-0007"], stdin=io.StringIO("a0001\n")) == 0
    with engine.connect() as connection:
        assert connection.execute(select(access_log.c.who, access_log.c.subject_tag)).all() == [("e-0007", TAG)]
    monkeypatch.setenv("RETENTION_LOOKUP_FOUR_EYES", "1")
    assert ask([*command, "--by", "compliance:e-0007"], stdin=io.StringIO("a0001\n")) == 1


def test_an_opening_convinces_an_auditor_about_one_account_without_any_key(
    engine: Any, folder: Path, keys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    extra = {"host": engine.url.query["host"]}
    given = {"login": engine.url.username, "schema": engine.url.database, "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_RETENTION_DB", json.dumps(given))
    command = ["open-tag", "2026", "--keys", str(keys)]
    assert ask(command, stdin=io.StringIO("a0001\n")) == 1
    assert "a0001" not in capsys.readouterr().out
    assert ask([*command, "--by", "compliance:e-0007"], stdin=io.StringIO("a0001\n")) == 0
    opening = tmp_path / "opening.json"
    opening.write_text(capsys.readouterr().out)
    assert json.loads(opening.read_text())["tag"] == TAG
    assert KEY.hex() not in opening.read_text()
    with engine.connect() as connection:
        assert connection.execute(select(access_log.c.action, access_log.c.subject_tag)).all() == [("tag_opened", TAG)]
    assert verify.main([str(folder), "--vkey", SIGNER.vkey, "--opening", str(opening)]) == 1  # these entries are bent
    said = capsys.readouterr().out
    assert f"has tag {TAG} under epoch 2026" in said
    assert "own_database/account: confirmed_absent on 2026-11-25, entry 6" in said
    opening.write_text(opening.read_text().replace("a0001", "a0002"))
    verify.main([str(folder), "--vkey", SIGNER.vkey, "--opening", str(opening)])
    assert "no record under this epoch in these entries" in capsys.readouterr().out


@pytest.mark.parametrize("bent", ["", "[]", "{}", '{"epoch":1,"kind":"","value":"","key":""}', '{"epoch":"2026"}'])
def test_a_file_that_opens_nothing_is_refused_in_words(folder: Path, tmp_path: Path, capsys: Any, bent: str) -> None:
    (tmp_path / "o").write_text(bent)
    assert verify.main([str(folder), "--opening", str(tmp_path / "o")]) == 1
    assert "not a file with epoch, kind, value and key" in capsys.readouterr().out


def test_dates_of_questions_are_business_dates() -> None:
    assert date.fromisoformat(ENTRIES[0]["as_of"]) - NOW.date() == timedelta(days=1)


def test_the_scan_of_logs_and_tables_is_answered_from_what_each_run_found() -> None:
    run = {"dag": "nightly_retention", "run_id": str(samples.UUID(int=7)), "try": 1, "version": "abcdef"}
    base = {"schema": "erasure-evidence/1", "recorded_at": "2026-11-26T17:00:00Z", "as_of": "2026-11-27"}
    scanned = base | {"event": "self_scanned", "run": run}
    entries = [
        (0, scanned | {"code": "found", "counts": {"hits": 2, "logs.files": 51}}),
        (1, scanned | {"code": "clean", "counts": {"hits": 0, "logs.files": 51}}),
        (2, base | {"event": "metadata_cleaned", "code": "cleaned", "counts": {"airflow.xcom": 3}}),
    ]
    answer = QUESTIONS["scan"].answer(entries, Asked())
    assert [line for line in answer.lines if "2 scans" in line and "1 of them not clean" in line]
    assert [line for line in answer.lines if line.startswith("newest: clean") and "hits 0, logs.files 51" in line]
    assert [line for line in answer.lines if "cleaned 1 times" in line]
    assert 0 in answer.rows
