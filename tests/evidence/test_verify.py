"""An export verifies with nothing but its folder, and any change in it is found."""

from __future__ import annotations

import base64
import csv
import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import insert

from include.database import checkpoint
from include.errors import EvidenceError
from include.evidence import tree, verify
from include.evidence.entries import canonical
from include.evidence.export import Exported, export
from include.evidence.log import stage
from include.evidence.note import Checkpoint, Signer
from tests.evidence import samples, vectors
from tests.evidence.conftest import NOW

SIGNER = Signer(vectors.SEED, vectors.NAME)
TITLES = {
    "account_profile": "계정 정보 · account",
    "support_history": "상담, 이력",
    "R-01": "=계약 종료 후 6개월",
    "law:R-01": "개인정보 보호법 21(1)",
    "head": "privacy_officer",
}
ENTRIES = [
    samples.base("run_started"),
    *samples.life(1),
    *samples.life(2),
    samples.disposal(3, "planned"),
    samples.disposal(3, "blocked", code="h-1", hold_kinds=["H-1"]),
    samples.disposal(4, "planned"),
    samples.disposal(4, "located", count_before=0),
    samples.disposal(4, "confirmed_absent", count_before=0, count_after=0, verify_method="select_count"),
    *samples.life(5)[:4],
    samples.disposal(5, "confirmed_anonymised", code="aggregate", as_of="2026-11-28"),
    samples.base("run_finished", counts={"own_database.confirmed_absent": 3}),
]


def sealed(engine: Any, entries: list[dict[str, Any]], *, signer: Signer = SIGNER) -> None:
    """Put entries into the log as a seal leaves them, without a bucket."""
    from sqlalchemy import text

    with engine.begin() as connection:
        stage(connection, entries)
        connection.execute(text("UPDATE retention.entry SET log_index = entry_id - 1 WHERE log_index IS NULL"))
        rows = connection.execute(text("SELECT leaf_hash FROM retention.entry ORDER BY log_index")).scalars()
        frontier = tree.frontier_of(map(bytes, rows))
        size = connection.execute(text("SELECT count(*) FROM retention.entry")).scalar_one()
        note = signer.sign(Checkpoint(signer.name, size, tree.fold(frontier)).body())
        connection.execute(
            insert(checkpoint).values(size=size, root=tree.fold(frontier), note=note, frontier=frontier, signed_at=NOW)
        )


@pytest.fixture
def whole(engine: Any, tmp_path: Path) -> Path:
    sealed(engine, ENTRIES)
    return export(engine, tmp_path / "full", vkey=SIGNER.vkey, titles=TITLES, signer=SIGNER).folder


def run(folder: Path, *options: str, capsys: Any) -> tuple[int, str]:
    code = verify.main([str(folder), *options])
    return code, capsys.readouterr().out


def examine(folder: Path, vkey: str | None = SIGNER.vkey, since: bytes | None = None) -> verify.Folder:
    examined = verify.Folder(folder, vkey=vkey, since=since)
    examined.examine()
    return examined


def remanifest(folder: Path, *, signer: Signer | None = None) -> None:
    """What a forger does who may write every file but does not hold the key."""
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    for name in manifest["files"]:
        data = (folder / name).read_bytes()
        rows = data.count(b"\n") - (name in ("ledger.csv", "open.csv"))
        manifest["files"][name] = {"sha256": hashlib.sha256(data).hexdigest(), "rows": rows}
    text = json.dumps(manifest, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    (folder / "manifest.json").write_text(text, encoding="utf-8", newline="\n")
    (folder / "manifest.note").unlink(missing_ok=True)
    if signer:
        note = signer.sign(f"{verify.MANIFEST_NOTE}\n{hashlib.sha256(text.encode()).hexdigest()}\n")
        (folder / "manifest.note").write_text(note, encoding="utf-8", newline="\n")


def test_a_true_export_verifies_with_the_auditors_key(whole: Path, capsys: Any) -> None:
    code, out = run(whole, "--vkey", SIGNER.vkey, capsys=capsys)
    assert code == 0
    assert out.startswith("VERIFIED: signed by the key you gave")
    assert "ended: 3 confirmed_absent, 1 confirmed_anonymised" in out
    assert "open: 1, 1 blocked" in out
    assert "destroyed after their date: 1" in out


def test_without_a_key_the_signer_is_not_established(whole: Path, capsys: Any) -> None:
    code, out = run(whole, capsys=capsys)
    assert code == 0
    assert "signer not established" in out
    assert "NOT CHECKED: the signer" in out


def test_strict_fails_on_anything_not_checked(whole: Path, capsys: Any) -> None:
    code, out = run(whole, "--strict", capsys=capsys)
    assert code == 1
    assert out.startswith("INCOMPLETE")


def test_the_shipped_verifier_runs_alone_in_a_bare_python(whole: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(whole / "verify.py")], capture_output=True, text=True, check=False, cwd="/"
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "signer not established" in done.stdout


def test_the_module_answers_on_the_command_line(whole: Path, tmp_path: Path) -> None:
    key = tmp_path / "auditors.vkey"
    key.write_text(SIGNER.vkey + "\n")
    command = [sys.executable, "-m", "include.evidence"]
    good = subprocess.run(
        [*command, "verify", str(whole), "--vkey", str(key)], capture_output=True, text=True, check=False
    )
    assert (good.returncode, good.stderr) == (0, "")
    for bad in (
        [],
        ["verify"],
        ["check", str(whole)],
        ["verify", str(tmp_path / "none")],
        ["verify", str(whole), "--vkey", "x"],
    ):
        done = subprocess.run([*command, *bad], capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert "Traceback" not in done.stderr


def test_the_ledger_has_the_official_columns_and_only_destructions(whole: Path) -> None:
    data = (whole / "ledger.csv").read_bytes()
    assert data.startswith(b"\xef\xbb\xbf")
    rows = list(csv.DictReader(data.decode("utf-8-sig").splitlines()))
    assert list(rows[0])[:8] == [
        "번호", "개인정보 파일명", "자료의 종류", "생성일", "폐기일", "폐기사유", "처리담당자", "처리부서장",
    ]  # fmt: skip
    assert [r["번호"] for r in rows] == ["1", "2", "3", "4"]
    assert [r["outcome"] for r in rows] == ["confirmed_absent"] * 3 + ["confirmed_anonymised"]
    assert rows[0]["개인정보 파일명"] == "계정 정보 · account, 상담, 이력"
    assert rows[0]["method"] == "row_delete"
    assert rows[0]["verify result"] == "select_count 3 > 0"
    assert "nothing was there" in rows[2]["verify result"]
    assert [r["days late"] for r in rows] == ["0", "0", "0", "3"]
    assert [int(r["log index"]) for r in rows] == [5, 10, 15, 20]
    assert rows[0]["subject tag"] == samples.disposal(1, "planned")["subject_tag"]


def test_no_cell_of_the_ledger_can_start_a_formula(whole: Path) -> None:
    rows = list(csv.reader((whole / "ledger.csv").read_text(encoding="utf-8-sig").splitlines()))
    assert rows[1][5].startswith("'=")
    assert not any(cell.startswith(("=", "+", "-", "@")) for row in rows for cell in row)


def test_entries_are_the_canonical_bytes_in_log_order(whole: Path) -> None:
    assert (whole / "entries.jsonl").read_bytes() == b"".join(canonical(e) + b"\n" for e in ENTRIES)


def test_the_manifest_counts_rows_and_digests_of_every_file(whole: Path) -> None:
    manifest = json.loads((whole / "manifest.json").read_text(encoding="utf-8"))
    assert (manifest["first_index"], manifest["size"]) == (0, len(ENTRIES))
    assert manifest["files"]["entries.jsonl"]["rows"] == len(ENTRIES)
    assert manifest["files"]["ledger.csv"]["rows"] == 4
    assert set(manifest["files"]) | {"manifest.json", "manifest.note"} == {p.name for p in whole.iterdir()}


@pytest.mark.parametrize("first", [1, 2, 3, 7, 16, 21, len(ENTRIES)])
def test_an_export_of_a_night_verifies_from_its_left_edge(engine: Any, tmp_path: Path, first: int) -> None:
    sealed(engine, ENTRIES)
    done = export(engine, tmp_path / "night", vkey=SIGNER.vkey, first_index=first, titles=TITLES, signer=SIGNER)
    assert (done.first_index, done.size) == (first, len(ENTRIES))
    left = (done.folder / "left.txt").read_text().splitlines()
    assert [base64.b64decode(x) for x in left] == tree.frontier_of(
        tree.leaf_hash(canonical(e)) for e in ENTRIES[:first]
    )
    assert examine(done.folder).flaws == []


def test_a_full_export_has_no_left_edge(whole: Path) -> None:
    assert not (whole / "left.txt").exists()


def test_exporting_again_replaces_the_folder_with_the_same_bytes(engine: Any, whole: Path) -> None:
    before = {p.name: p.read_bytes() for p in whole.iterdir()}
    export(engine, whole, vkey=SIGNER.vkey, titles=TITLES, signer=SIGNER)
    assert {p.name: p.read_bytes() for p in whole.iterdir()} == before


def test_a_folder_with_other_files_is_not_replaced(engine: Any, tmp_path: Path) -> None:
    sealed(engine, ENTRIES)
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(EvidenceError, match="holds other files"):
        export(engine, tmp_path, vkey=SIGNER.vkey)
    assert (tmp_path / "mine.txt").read_text() == "keep"


def test_nothing_sealed_is_nothing_to_export(engine: Any, tmp_path: Path) -> None:
    with pytest.raises(EvidenceError, match="Seal first"):
        export(engine, tmp_path / "x", vkey=SIGNER.vkey)


@pytest.mark.parametrize(
    "name", ["entries.jsonl", "ledger.csv", "checkpoint", "vkey", "titles.json", "manifest.json", "manifest.note"]
)
def test_a_single_flipped_bit_is_found_in_every_file(whole: Path, name: str) -> None:
    path = whole / name
    data = path.read_bytes()
    step = max(1, len(data) * 8 // 150)
    for bit in range(0, len(data) * 8, step):
        bent = bytearray(data)
        bent[bit // 8] ^= 1 << bit % 8
        path.write_bytes(bent)
        assert examine(whole).flaws, f"bit {bit} of {name}"
    path.write_bytes(data)
    assert examine(whole).flaws == []


def lines_of(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


def drop(lines: list[bytes]) -> list[bytes]:
    return lines[:2] + lines[3:]


def swap(lines: list[bytes]) -> list[bytes]:
    return [*lines[:1], lines[2], lines[1], *lines[3:]]


def double(lines: list[bytes]) -> list[bytes]:
    return [*lines, lines[-1]]


@pytest.mark.parametrize("name", ["entries.jsonl", "ledger.csv"])
@pytest.mark.parametrize("forge", [drop, swap, double])
def test_rows_dropped_swapped_or_added_are_found_even_under_a_new_manifest(
    whole: Path, name: str, forge: Callable[[list[bytes]], list[bytes]]
) -> None:
    (whole / name).write_bytes(b"".join(forge(lines_of(whole / name))))
    remanifest(whole)
    assert examine(whole).flaws


def test_a_changed_date_in_the_ledger_is_found_even_under_a_new_manifest(whole: Path) -> None:
    path = whole / "ledger.csv"
    path.write_bytes(path.read_bytes().replace(b"2026-11-28", b"2026-11-25"))
    remanifest(whole)
    assert any("ledger.csv" in f for f in examine(whole).flaws)


def test_an_unlisted_file_a_missing_one_and_a_link_are_found(whole: Path) -> None:
    (whole / "extra.txt").write_text("x")
    assert "not listed" in examine(whole).flaws[0]
    (whole / "extra.txt").unlink()
    (whole / "link").symlink_to(whole / "vkey")
    assert "neither a file nor a folder" in examine(whole).flaws[0]
    (whole / "link").unlink()
    (whole / "titles.json").unlink()
    assert "not there" in examine(whole).flaws[0]


def test_a_log_signed_again_by_another_key_is_found_with_the_auditors_key(engine: Any, tmp_path: Path) -> None:
    other = Signer(bytes(32), vectors.NAME)
    sealed(engine, ENTRIES, signer=other)
    folder = export(engine, tmp_path / "x", vkey=other.vkey, signer=other).folder
    assert examine(folder, vkey=None).flaws == []
    assert examine(folder, vkey=SIGNER.vkey).flaws


def test_a_log_rewritten_since_the_last_audit_is_found(engine: Any, tmp_path: Path) -> None:
    sealed(engine, ENTRIES)
    folder = export(engine, tmp_path / "x", vkey=SIGNER.vkey, signer=SIGNER).folder
    for size, forged, flawed in [(5, False, False), (5, True, True), (len(ENTRIES), False, False), (99, True, True)]:
        leaves = [tree.leaf_hash(canonical(e)) for e in ENTRIES[:size]]
        root = bytes(32) if forged else tree.root(leaves)
        old = SIGNER.sign(Checkpoint(SIGNER.name, size, root).body()).encode()
        assert bool(examine(folder, since=old).flaws) == flawed


def forged_life(engine: Any, tmp_path: Path, entries: list[dict[str, Any]]) -> list[str]:
    """Seal entries with the true key and return what an auditor still finds wrong with them."""
    sealed(engine, entries)
    return examine(export(engine, tmp_path / "x", vkey=SIGNER.vkey, signer=SIGNER).folder).flaws


def test_a_destruction_without_an_intent_is_found(engine: Any, tmp_path: Path) -> None:
    life = samples.life(1)
    assert "without an intent" in forged_life(engine, tmp_path, [life[0], life[1], life[4]])[0]


def test_a_destruction_without_a_plan_is_found(engine: Any, tmp_path: Path) -> None:
    assert "without a plan" in forged_life(engine, tmp_path, samples.life(1)[2:])[0]


def test_an_act_before_its_date_is_found(engine: Any, tmp_path: Path) -> None:
    life = [e | {"free_from": "2026-11-26"} for e in samples.life(1)]
    assert "before 2026-11-26" in forged_life(engine, tmp_path, life)[0]


def test_a_proof_for_another_subject_is_found(engine: Any, tmp_path: Path) -> None:
    life = samples.life(1)
    life[-1] = life[-1] | {"subject_tag": "f" * 64}
    assert "names another subject" in forged_life(engine, tmp_path, life)[0]


def test_a_disposal_planned_twice_is_found(engine: Any, tmp_path: Path) -> None:
    assert "planned already" in forged_life(engine, tmp_path, [samples.life(1)[0]] * 2)[0]


COUNTS = {
    "terminated": 9, "destroyed": 4, "held": 1, "kept": 2, "not_yet_due": 2, "not_done": 0, "waiting": 1,
}  # fmt: skip


def test_terminated_accounts_that_add_up_are_told(engine: Any, tmp_path: Path) -> None:
    sealed(engine, [samples.base("population", code="reconciled", counts=COUNTS)])
    facts = examine(export(engine, tmp_path / "x", vkey=SIGNER.vkey, signer=SIGNER).folder).facts
    assert any("9 = 4 destroyed + 1 held + 2 kept + 2 not yet due + 0 not done" in f for f in facts)


@pytest.mark.parametrize("bend", [{"held": 0}, {"terminated": 10}, {"not_done": 1}, {"waiting": 3}])
def test_terminated_accounts_that_do_not_add_up_are_found(engine: Any, tmp_path: Path, bend: dict[str, int]) -> None:
    entry = samples.base("population", code="reconciled", counts=COUNTS | bend)
    assert "do not add up" in forged_life(engine, tmp_path, [entry])[0]


def test_a_reconciliation_without_a_class_is_found(engine: Any, tmp_path: Path) -> None:
    counts = {k: n for k, n in COUNTS.items() if k != "kept"}
    entry = samples.base("population", code="reconciled", counts=counts)
    assert "without naming every class" in forged_life(engine, tmp_path, [entry])[0]


def test_an_expiry_whose_date_passed_is_no_longer_open(engine: Any, tmp_path: Path) -> None:
    life = [
        samples.disposal(1, "planned"),
        samples.disposal(1, "expires_by_processor", until="2026-12-01"),
        samples.disposal(1, "expires_by_processor", until="2026-12-01", code="date_passed"),
    ]
    sealed(engine, life)
    facts = examine(export(engine, tmp_path / "x", vkey=SIGNER.vkey).folder).facts
    assert "ended: 1 expires_by_processor" in facts
    assert "open: 0" in facts


@pytest.mark.parametrize("name", ["entries.jsonl", "ledger.csv", "checkpoint", "vkey", "titles.json", "manifest.json"])
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.one_of(st.binary(max_size=200), st.text(max_size=200).map(lambda t: t.encode("utf-8", "replace"))))
def test_hostile_bytes_in_any_file_are_flaws_and_never_a_traceback(whole: Path, name: str, data: bytes) -> None:
    path = whole / name
    before = path.read_bytes()
    try:
        path.write_bytes(data)
        if name != "manifest.json":
            remanifest(whole)
        assert examine(whole, vkey=None).flaws
    finally:
        path.write_bytes(before)


HOSTILE = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 2**60) | st.text(st.characters(max_codepoint=126), max_size=12),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["role", "x", "sha256", "rows"]), inner)
    ),
    max_leaves=5,
)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(key=st.sampled_from([*sorted(samples.life(1)[4]), "actor", "approver", "created_from"]), value=HOSTILE)
def test_entries_of_any_shape_are_read_without_a_traceback(whole: Path, key: str, value: Any) -> None:
    """The root is wrong anyway; what counts is that nothing but words comes out."""
    entries = [dict(e) for e in ENTRIES]
    entries[5][key] = value
    lines = b"".join(json.dumps(e, sort_keys=True, separators=(",", ":")).encode() + b"\n" for e in entries)
    (whole / "entries.jsonl").write_bytes(lines)
    remanifest(whole)
    if entries != ENTRIES:
        assert examine(whole).flaws


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(key=st.sampled_from(["schema", "origin", "first_index", "size", "files", "more"]), value=HOSTILE)
def test_manifests_of_any_shape_are_read_without_a_traceback(whole: Path, key: str, value: Any) -> None:
    path = whole / "manifest.json"
    before = path.read_bytes()
    try:
        manifest = json.loads(before) | {key: value}
        path.write_text(json.dumps(manifest, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
        (whole / "manifest.note").unlink(missing_ok=True)
        if manifest != json.loads(before):
            assert examine(whole).flaws
    finally:
        path.write_bytes(before)


@pytest.mark.parametrize(
    ("public", "message", "signature"),
    [
        (
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        ),
        (
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            "72",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        ),
    ],
)
def test_our_own_ed25519_agrees_with_rfc_8032(public: str, message: str, signature: str) -> None:
    key, text, signed = bytes.fromhex(public), bytes.fromhex(message), bytes.fromhex(signature)
    assert verify.ed25519_is_good(key, text, signed)
    for at in range(0, 512, 37):
        bent = bytearray(signed)
        bent[at // 8] ^= 1 << at % 8
        assert not verify.ed25519_is_good(key, text, bytes(bent))
    assert not verify.ed25519_is_good(key, text + b"x", signed)


def test_our_own_ed25519_refuses_a_second_spelling_of_a_signature() -> None:
    """S and S + L verify alike in careless implementations; only the smaller is a signature."""
    order = 2**252 + 27742317777372353535851937790883648493
    body = b"a log\n"
    payload = base64.b64decode(SIGNER.sign(body.decode()).rsplit(" ", 1)[1])
    public = base64.b64decode(
        SIGNER.vkey.rsplit("+", 1)[1] if SIGNER.vkey.count("+") == 2 else SIGNER.vkey.split("+", 2)[2]
    )[1:]
    signature = payload[4:]
    larger = (int.from_bytes(signature[32:], "little") + order).to_bytes(32, "little")
    assert verify.ed25519_is_good(public, body, signature)
    assert not verify.ed25519_is_good(public, body, signature[:32] + larger)


def test_exports_do_not_touch_each_other(engine: Any, tmp_path: Path) -> None:
    sealed(engine, ENTRIES)
    first = export(engine, tmp_path / "a", vkey=SIGNER.vkey, signer=SIGNER)
    second = export(engine, tmp_path / "b", vkey=SIGNER.vkey, first_index=4)
    shutil.rmtree(second.folder)
    assert isinstance(first, Exported)
    assert examine(first.folder).flaws == []


def test_what_is_kept_while_a_request_is_open_is_not_over() -> None:
    kept = {"event": "retained_by_processor", "basis": "own_duties"}
    assert verify.closes(kept)
    assert not verify.closes({**kept, "until": "2026-12-24"})
