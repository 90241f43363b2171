"""Every question has one command, and its answer rests on entries that can be proven."""

from __future__ import annotations

import io
import json
import re
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select

from include.database import access_log, schedule_version
from include.disposals.reporting import rules
from include.errors import ScheduleError
from include.evidence import verify
from include.evidence.answers import Asked
from include.evidence.ask import EVERY, ask
from include.evidence.entries import canonical
from include.evidence.export import More, export
from include.evidence.proofs import check_row
from include.evidence.sources import DatabaseSource, FolderSource
from include.evidence.tags import SubjectTags
from include.policy import schedule
from tests.evidence import key_service, samples, vectors
from tests.evidence.conftest import NOW
from tests.evidence.test_verify import SIGNER, sealed

KEY = bytes(range(32))
RUN = str(samples.UUID(int=7))
TAG = SubjectTags({"2026": KEY}).tag("a0001", epoch="2026")
OFFICER = {"role": "privacy_officer", "pseudonym": "e-0001"}
HELD = {"subject_tag": TAG, "key_epoch": "2026", "hold_kinds": ["H-6"]}
HOLDS = [f"00000000-0000-0000-0000-00000000000{n}" for n in (1, 2)]
OBJECT = {"rule_id": "R-03", "object_digest": "ab" * 32, "rows": 7, "last_day": "2027-01-20"}
ASKING = {"approval_id": HOLDS[0], "approved_sha256": "cd" * 32, "code": "night"}
REQUEST = {"subject_tag": TAG, "key_epoch": "2026", "request_id": HOLDS[1]}
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
    samples.base(
        "request_received", **REQUEST, code="guardian", basis="mail", verify_method="family_certificate",
        until="2026-12-05",
    ),
    samples.base("request_answered", **REQUEST, code="partly_refused", basis="settlement") | {"as_of": "2026-11-28"},
    samples.disposal(4, "planned", rule_id="R-12"),
    samples.disposal(4, "manual_attested", rule_id="R-12", processor="paper", witness=OFFICER),
    samples.base("key_destroyed", key_epoch="2023", code="confirmed_absent"),
    samples.disposal(5, "planned", free_from="2026-12-01"),
    samples.disposal(5, "attempted", free_from="2026-12-01", step="delete_rows"),
    samples.base("notice_sent", **REQUEST, code="mail") | {"as_of": "2026-11-27"},
    samples.base("restored"),
    samples.base("population", code="reconciled", counts=RECONCILED),
    samples.base("approval_requested", **ASKING, actor=OFFICER),
    samples.base("approved", **ASKING, actor=OFFICER),
    samples.disposal(1, "reappeared", subject_tag=TAG, code="by_account"),
    samples.base("policy_approved", policy_text_sha256="cd" * 32, actor=OFFICER, code="change_material",
                 proof_date="2026-11-25", until="2026-12-26"),
    samples.base("archive_inventory", rule_id="R-04", rows=9, counts={"objects": 2, "beyond_list": 0, "unread": 0}),
    samples.disposal(6, "planned", subject_tag=TAG, processor="stripe"),
    samples.disposal(
        6, "confirmed_absent", subject_tag=TAG, processor="stripe", count_before=0, backup_expires_on="2026-12-30",
        exceptions=[{"items": ["billing.amount"], "rule_id": "R-02i", "until": "2031-12-31"}],
    ),
]  # fmt: skip


def answered(name: str, **asked: Any) -> tuple[list[str], list[int]]:
    found = EVERY[name].answer(enumerate(ENTRIES), Asked(**{"on": "2026-11-25", **asked}))
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
        ("who", {}, "2 times the same person in two parts"),
        ("requests", {}, "request_received guardian mail family_certificate; due 2026-12-05, answered on 2026-11-28, "
         "after 3 days, partly_refused"),
        ("refusals", {}, "partly_refused, basis settlement, noticed 2026-11-27"),
        ("still-held", {"tags": frozenset({TAG})}, "stripe: kept under R-02i: billing.amount, until 2031-12-31"),
        ("holds", {}, "1 holds placed by hand are active"),
        ("cold-storage", {}, "R-03: 1 objects, 7 rows, ending 2027-01-20 to 2027-01-20"),
        ("cold-reads", {}, "archive_read"),
        ("outlived", {"on": "2027-01-21"}, "1 archived objects have outlived"),
        ("outlived", {"on": "2027-01-20"}, "0 archived objects have outlived"),
        ("policy-of", {"index": 6}, "approved 2026-11-25 by privacy_officer, entry 0"),
        ("notices", {}, "notice_sent mail"),
        ("notices", {}, "2026-11-25 notice of change_material, 31 days before it governs on 2026-12-26"),
        ("restores", {}, "1 restores, 1 disposals reappeared: 0 carried out again, 1 under way"),
        ("backups", {}, "stripe: 1 destroyed, in backups until 2026-12-30"),
        ("beyond-list", {}, "R-04: 0 of 9 rows exceed their list"),
        ("paper", {}, "witness privacy_officer:e-0001"),
        ("restores", {}, "restored"),
        ("scan", {}, "0 entries hold something"),
        ("corrections", {}, "1 disposals wait for a pending correction"),
        ("end-users", {}, "1 manual_attested"),
        ("keys", {}, "epoch 2023: confirmed_absent on 2026-11-25"),
        ("reconcile", {}, "source on 2026-11-25: 3 live, 2 terminated"),
        ("reconcile", {}, "7 terminated = 1 destroyed + 2 held + 1 kept + 3 not_yet_due + 0 not_done"),
        ("reconcile", {}, "in the log now: 2 subjects with something open, 1 of them held"),
        ("late", {"on": "", "language": "ko"}, "파기 기한을 넘겨 파기한 것 1건"),
        ("reconcile", {"language": "ko"}, "7 가입해지(terminated) = 1 파기(destroyed) + 2 보류(held)"),
        ("due-not-done", {"language": "ko"}, "1 salesforce 보류·차단(blocked) 보류 H-5(hold_h-5)"),
        ("run", {"run_id": str(samples.UUID(int=7))}, "72 hours from then end 2026-11-27T17:00:00Z"),
    ],
)  # fmt: skip
def test_a_question_is_answered(name: str, asked: dict[str, Any], words: str) -> None:
    lines, _ = answered(name, **asked)
    assert any(words in line for line in lines), lines


def test_a_change_of_rules_says_which_due_dates_it_moves() -> None:
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
    asked = Asked(on="2026-11-30", until="2026-12-31", rules=samples.spelled(data))
    lines = EVERY["rule-changes"].answer(enumerate(entries), asked).lines
    assert lines == ["2026-12-01: schedule efefefefefef approved", "1 due dates differ under R-01"]


def test_the_page_of_questions_names_every_command_under_its_number() -> None:
    page = (Path(__file__).parents[2] / "docs/questions.md").read_text(encoding="utf-8")
    rows = {int(m[1]): m[2] for m in re.finditer(r"^\| (\d+) \| [^|]+ \| ([^|]+) \|", page, re.M)}
    assert sorted(rows) == list(range(1, 31))
    for name, question in EVERY.items():
        assert f"`ask {name}" in rows[question.number]
    answered_by = {n for n, cell in rows.items() if "`ask " in cell or "python -m" in cell}
    assert answered_by == set(range(1, 31))


def proofs_in(out: str) -> list[str]:
    """Return the proofs that stand in an answer, each with its checkpoint."""
    return re.findall(r"c2sp\.org/tlog-proof@v1\n[^—]+— \S+ \S+\n", out)


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


def test_an_answer_comes_with_proofs_that_hold(folder: Path, opening: Path, capsys: Any) -> None:
    """An auditor has neither keys nor database: the opening names the tag, and looking it up needs no record."""
    code = ask(["was-destroyed", "--opening", str(opening), "--folder", str(folder)])
    out = capsys.readouterr().out
    assert code == 0
    assert "a0001" not in out
    lines = (folder / "entries.jsonl").read_bytes().splitlines()
    assert [check_row(p, lines[int(p.split()[2])], SIGNER.vkey) for p in proofs_in(out)] == [6, 37, 8]
    assert "prove any of 33 with: ask prove-row N" in out


@pytest.fixture
def opening(tmp_path: Path) -> Path:
    found = SubjectTags({"2026": KEY}).open("a0001", epoch="2026")
    path = tmp_path / "opening.json"
    made = {"epoch": found.epoch, "kind": found.kind, "value": found.value, "key": found.key.hex()}
    path.write_text(json.dumps(made))
    return path


@pytest.fixture
def database(engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The log's database named as Airflow has it."""
    extra = {"host": engine.url.query["host"]}
    given = {"login": engine.url.username, "schema": engine.url.database, "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_RETENTION_DB", json.dumps(given))


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


PEOPLE = ["--by", "compliance:e-0007", "--approved-by", "compliance:e-0008"]


@pytest.mark.parametrize("offline", [False, True])
def test_a_look_up_with_the_companys_keys_is_recorded_wherever_the_answer_comes_from(
    engine: Any, folder: Path, keys: Path, database: None, capsys: Any, offline: bool
) -> None:
    command = ["was-destroyed", "--keys", str(keys), *(["--folder", str(folder)] if offline else [])]
    assert ask(command, stdin=io.StringIO("a0001\n")) == 1
    assert "say who asks" in capsys.readouterr().err
    assert ask([*command, *PEOPLE], stdin=io.StringIO("a0001\n")) == 0
    with engine.connect() as connection:
        assert connection.execute(select(access_log.c.who, access_log.c.subject_tag)).all() == [("e-0007", TAG)]


def saying(words: str, folder: Path) -> Path:
    """Write a schedule like the packaged one that says otherwise about look-ups."""
    other = folder / "schedule.yaml"
    other.write_bytes(schedule.load().body.replace(b"lookup_four_eyes: false", f"lookup_four_eyes: {words}".encode()))
    for name in ("privacy_policy.ko.txt", "holidays_kr.yaml"):
        (folder / name).write_bytes((schedule.PACKAGE / name).read_bytes())
    return other


@pytest.mark.parametrize("more", [[], ["--approved-by", "privacy_officer:e-0007"]])
def test_a_schedule_may_say_that_a_look_up_takes_two_people(
    engine: Any, folder: Path, keys: Path, database: None, capsys: Any, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, more: list[str],
) -> None:  # fmt: skip
    monkeypatch.setenv("RETENTION_SCHEDULE", str(saying("true", tmp_path)))
    command = ["was-destroyed", "--keys", str(keys), *PEOPLE[:2], *more]
    assert ask(command, stdin=io.StringIO("a0001\n")) == 1
    assert "two people" in capsys.readouterr().err
    with engine.connect() as connection:
        assert connection.execute(select(access_log.c.who)).all() == []


def test_the_approved_schedule_decides_about_two_people_not_a_file_somebody_names(
    engine: Any, folder: Path, keys: Path, database: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = schedule.load(saying("true", tmp_path))
    monkeypatch.delenv("RETENTION_SCHEDULE", raising=False)
    command = ["was-destroyed", "--keys", str(keys), *PEOPLE[:2]]
    assert ask(command, stdin=io.StringIO("a0001\n")) == 0  # nothing is approved yet: the file is all there is
    given = {"sha256": now.sha256, "body": now.body, "policy_text_sha256": now.policy_text_sha256, "approved_at": NOW}
    with engine.begin() as connection:
        connection.execute(insert(schedule_version).values(given))
    assert ask(command, stdin=io.StringIO("a0001\n")) == 1


def test_a_schedule_without_the_line_asks_for_one_person_and_no_other_word_stands_for_it() -> None:
    """An earlier version, which does not say so, stays readable: exports need its rules."""
    body = schedule.load().body
    without = b"".join(x for x in body.splitlines(keepends=True) if b"lookup_four_eyes" not in x)
    assert not schedule.parse(without, file="before").settings.lookup_four_eyes
    with pytest.raises(ScheduleError, match="lookup_four_eyes"):
        schedule.parse(body.replace(b"lookup_four_eyes: false", b"lookup_four_eyes: sometimes"), file="bent")


def test_tags_are_computed_with_a_key_that_a_kms_holds(
    engine: Any, folder: Path, database: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    wrapped = tmp_path / "wrapped"
    wrapped.mkdir()
    for year, key in (("2025", bytes(32)), ("2026", KEY)):
        (wrapped / f"{year}.key").write_bytes(key[::-1])
        (wrapped / f"{year}.key").chmod(0o600)
    with key_service.served() as url:
        extra = {"folder": str(wrapped), "kms_key_id": "alias/tags", "endpoint_url": url}
        given = {"login": "id", "password": "secret", "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_EVIDENCE_TAGS", json.dumps(given))
        assert ask(["was-destroyed", *PEOPLE], stdin=io.StringIO("a0001\r\n")) == 0
        assert "own_database/account" in capsys.readouterr().out
        assert ask(["was-destroyed", *PEOPLE], stdin=io.StringIO("a0002\n")) == 0
        assert "no record under epochs 2025, 2026" in capsys.readouterr().out


def test_without_keys_anywhere_the_command_says_what_to_name(
    folder: Path, database: None, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_EVIDENCE_TAGS", raising=False)
    assert ask(["was-destroyed", *PEOPLE], stdin=io.StringIO("a0001\n")) == 1
    assert "AIRFLOW_CONN_EVIDENCE_TAGS is not set" in capsys.readouterr().err


def test_an_opening_convinces_an_auditor_about_one_account_without_any_key(
    engine: Any, folder: Path, keys: Path, tmp_path: Path, database: None, capsys: Any
) -> None:
    command = ["open-tag", "2026", "--keys", str(keys)]
    assert ask(command, stdin=io.StringIO("a0001\n")) == 1
    assert "a0001" not in capsys.readouterr().out
    assert ask([*command, *PEOPLE], stdin=io.StringIO("a0001\n")) == 0
    opening = tmp_path / "opening.json"
    opening.write_text(capsys.readouterr().out)
    assert json.loads(opening.read_text())["tag"] == TAG
    assert KEY.hex() not in opening.read_text()
    with engine.connect() as connection:
        assert connection.execute(select(access_log.c.action, access_log.c.subject_tag)).all() == [("tag_opened", TAG)]
    assert verify.main([str(folder), "--vkey", SIGNER.vkey, "--opening", str(opening)]) == 1  # these entries are bent
    said = capsys.readouterr().out
    assert f"has tag {TAG} under epoch 2026" in said
    assert "stripe/account: confirmed_absent on 2026-11-25, entry 37" in said
    opening.write_text(opening.read_text().replace("a0001", "a0002"))
    verify.main([str(folder), "--vkey", SIGNER.vkey, "--opening", str(opening)])
    assert "no record under this epoch in these entries" in capsys.readouterr().out


@pytest.mark.parametrize("language", ["ko", "en"])
@pytest.mark.parametrize("offline", [False, True])
def test_every_question_of_the_page_is_answered_in_both_languages_and_carries_its_proof(
    engine: Any, keys: Path, database: None, tmp_path: Path, capsys: Any, offline: bool, language: str
) -> None:
    """The commands are those of docs/questions.md, run as they stand there; 17 and 29 ask no log."""
    sealed(engine, ENTRIES)
    more = More(rules=rules([schedule.load()]))
    folder = export(engine, tmp_path / "x", vkey=SIGNER.vkey, signer=SIGNER, more=more).folder
    page = (Path(__file__).parents[2] / "docs/questions.md").read_text(encoding="utf-8")
    rows = {int(m[1]): m[2] for m in re.finditer(r"^\| (\d+) \| [^|]+ \| `ask ([^`]+)`", page, re.M)}
    assert set(range(1, 31)) - rows.keys() == {17, 29}
    (tmp_path / "old").write_bytes((folder / "checkpoint").read_bytes())
    (tmp_path / "vkey").write_text(SIGNER.vkey)
    placed = {
        "OLD_CHECKPOINT": str(tmp_path / "old"), "KEY": str(tmp_path / "vkey"), "N": "6", "RUN_ID": RUN,
        "DATE": "2026-11-25", "FROM": "2026-11-25", "TO": "2026-12-31", "ROLE:PSEUDONYM": "compliance:e-0007",
        "ROLE:SECOND": "compliance:e-0008",
    }  # fmt: skip
    bodies = [canonical(e) for e in ENTRIES]
    for number, command in rows.items():
        words = [placed.get(w, w) for w in command.split()]
        name = words[0]
        if "tags" in (EVERY[name].needs if name in EVERY else ()):
            words += ["--keys", str(keys)]
        if name in EVERY and "on" in EVERY[name].needs and "--on" not in words:
            words += ["--on", "2026-11-25"]
        words += ["--language", language, *(["--folder", str(folder)] if offline else [])]
        assert ask(words, stdin=io.StringIO("a0001\n")) == 0, (number, capsys.readouterr().err)
        out = capsys.readouterr().out
        if name == "not-rewritten":
            continue
        texts = proofs_in(out)
        assert texts or out.endswith((folder / "checkpoint").read_text(encoding="utf-8")), (number, out)
        for text in texts:
            at = int(text.split()[2])
            assert check_row(text, bodies[at], SIGNER.vkey) == at
        if name in EVERY:
            assert bool(re.search(r"[가-힣]", out)) == (language == "ko"), (number, out)


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
    answer = EVERY["scan"].answer(entries, Asked())
    assert [line for line in answer.lines if "2 scans" in line and "1 of them not clean" in line]
    assert [line for line in answer.lines if line.startswith("newest: clean") and "hits 0, logs.files 51" in line]
    assert [line for line in answer.lines if "cleaned 1 times" in line]
    assert 0 in answer.rows
