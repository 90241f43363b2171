"""What somebody who can write every file, and sometimes sign, does to an export: the verifier says so in words."""

from __future__ import annotations

import copy
import json
import random
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from include.disposals.reporting import rules
from include.evidence import verify
from include.evidence.entries import canonical
from include.evidence.export import More, export
from include.policy import schedule
from tests.evidence import samples
from tests.evidence.samples import spelled
from tests.evidence.test_verify import ENTRIES, SIGNER, TITLES, examine, remanifest, sealed

SCHEDULE = schedule.load()
BROKE = "could not go on"
ODD: list[Any] = [
    None, True, False, -1, 0, 2**53, 10**40, "", "9999-12-31", "0001-01-01", "2026-02-30", "\ud800", "x" * 9000, [], {},
    [[]], {"a": 1}, "\u202e", "H-1",
]  # fmt: skip


@pytest.fixture
def whole(engine: Any, tmp_path: Path) -> Path:
    sealed(engine, [e | {"policy_sha256": SCHEDULE.sha256} for e in ENTRIES])
    more = More(rules=rules([SCHEDULE]), schedules={SCHEDULE.sha256: SCHEDULE.body})
    return export(engine, tmp_path / "x", vkey=SIGNER.vkey, titles=TITLES, signer=SIGNER, more=more).folder


def flaws(folder: Path, vkey: str | None = SIGNER.vkey, **options: Any) -> list[str]:
    return examine(folder, vkey=vkey, **options).flaws


def bent(value: Any, places: random.Random) -> Any:
    """Return a copy with one thing in it replaced, dropped or added."""
    made = copy.deepcopy(value)
    inside = made
    while isinstance(inside, dict | list) and inside:
        key = places.choice(sorted(inside) if isinstance(inside, dict) else list(range(len(inside))))
        deeper = inside[key]
        if not isinstance(deeper, dict | list) or not deeper or places.random() < 0.2:
            if places.random() < 0.2:
                del inside[key]
            else:
                inside[key] = places.choice(ODD)
            return made
        inside = deeper
    return places.choice(ODD)


@pytest.mark.parametrize("name", ["rules.json", "titles.json", "manifest.json", "counts.json"])
def test_a_file_of_json_bent_anywhere_ends_in_words(whole: Path, name: str) -> None:
    places, data = random.Random(8785), (whole / name).read_bytes()
    for _ in range(250):
        (whole / name).write_bytes(spelled(bent(json.loads(data), places)))
        if name != "manifest.json":
            remanifest(whole, signer=SIGNER)
        assert not any(BROKE in f for f in flaws(whole)), (whole / name).read_bytes()[:3000]


def test_entries_bent_anywhere_end_in_words(whole: Path) -> None:
    places, lines = random.Random(6962), (whole / "entries.jsonl").read_bytes().splitlines()
    for _ in range(400):
        at = places.randrange(len(lines))
        made = bent(json.loads(lines[at]), places)
        line = json.dumps(made, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()
        (whole / "entries.jsonl").write_bytes(b"\n".join([*lines[:at], line, *lines[at + 1 :]]) + b"\n")
        remanifest(whole, signer=SIGNER)
        found = flaws(whole)
        assert found or line == lines[at]
        assert not any(BROKE in f for f in found), line


@pytest.mark.parametrize("name", ["rules.json", "titles.json", "manifest.json"])
@pytest.mark.parametrize(
    "other",
    [
        lambda data: b"\xef\xbb\xbf" + data,
        lambda data: data.replace(b"\n", b"\r\n"),
        lambda data: data[:-1],
        lambda data: data + b" ",
        lambda data: json.dumps(json.loads(data)).encode(),
        lambda data: data.decode().encode("utf-16"),
        lambda data: data.replace(b'{\n  "', b'{\n  "again": 1,\n  "again": 1,\n  "', 1),
        lambda data: data.replace(b'{\n  "', b'{\n  "A": NaN,\n  "', 1),
        lambda data: data.replace(b'{\n  "', b'{\n  "A": 1e3,\n  "', 1),
        lambda data: data.replace(b'{\n  "', b'{\n  "A": ' + b"9" * 5000 + b',\n  "', 1),
        lambda data: b"[" * 100_000 + data,
    ],
    ids=["bom", "crlf", "no end", "blank", "one line", "utf-16", "twice", "nan", "float", "huge", "deep"],
)
def test_json_spelled_another_way_is_a_flaw(whole: Path, name: str, other: Any) -> None:
    """Two readers must not find two meanings in one file, so there is one spelling, even for who can sign."""
    (whole / name).write_bytes(other((whole / name).read_bytes()))
    if name != "manifest.json":
        remanifest(whole, signer=SIGNER)
    found = flaws(whole)
    assert re.match(rf"{name}: not (JSON|in its canonical form)", found[-1]), found


SPACE = canonical(samples.base("run_started")).replace(b'"dev"', b'"Hong Gil-dong"')
LARGE = canonical(samples.base("anchored", log_size=1, log_root="ab" * 32)).replace(b'"log_size":1', b'"log_size":%d')


@pytest.mark.parametrize(
    "line", [SPACE, LARGE % 2**53, LARGE % 10**30, LARGE.replace(b"%d", b"-0"), LARGE.replace(b"%d", b"01")]
)
def test_no_line_holds_words_with_spaces_or_numbers_readers_differ_about(line: bytes) -> None:
    with pytest.raises(verify.Flaw):
        verify.read_entry(line)
    assert verify.read_entry(LARGE % (2**53 - 1))["log_size"] == 2**53 - 1


def test_a_count_that_is_no_number_does_not_stand_for_nothing_was_there() -> None:
    """`false` equals 0 in Python; a destruction without an intent must not hide behind it."""
    line = canonical(samples.disposal(1, "confirmed_absent", count_before=0, count_after=0))
    with pytest.raises(verify.Flaw, match="count_before"):
        verify.read_entry(line.replace(b'"count_before":0', b'"count_before":false'))


@pytest.mark.parametrize("ending", ["\n", "", "\n\n", "\r\n"])
def test_a_consistency_proof_of_no_lines_is_a_flaw(engine: Any, whole: Path, ending: str) -> None:
    (whole / "checkpoint-prev.txt").write_bytes((whole / "checkpoint").read_bytes())
    (whole / "consistency.txt").write_text(f"{len(ENTRIES)} {len(ENTRIES)}{ending}", newline="")
    files = json.loads((whole / "manifest.json").read_text(encoding="utf-8"))
    files["files"] |= {name: {"sha256": "", "rows": 0} for name in ("checkpoint-prev.txt", "consistency.txt")}
    (whole / "manifest.json").write_bytes(spelled(files))
    remanifest(whole, signer=SIGNER)
    assert bool(flaws(whole)) == (ending != "\n")


def test_a_manifest_whose_signature_was_taken_away_is_a_flaw_for_who_brings_the_key(whole: Path) -> None:
    """Otherwise a report could be changed, the manifest with it, and the note simply left out."""
    (whole / "titles.json").write_bytes(spelled({"head": "somebody else"}))
    remanifest(whole)
    assert any("manifest.note: missing" in f for f in flaws(whole))


def test_a_note_of_more_signatures_than_anybody_needs_is_not_worked_through(whole: Path) -> None:
    note = (whole / "checkpoint").read_text(encoding="utf-8")
    with pytest.raises(verify.Flaw, match="more than 100 signatures"):
        verify.open_note("checkpoint", (note + 100 * (note.splitlines()[-1] + "\n")).encode(), SIGNER.vkey)


def test_a_proof_of_more_hashes_than_a_tree_is_high_is_a_flaw(whole: Path) -> None:
    checkpoint = (whole / "checkpoint").read_bytes()
    text = f"{verify.PROOF_HEADER}\nindex 1\n" + 65 * ("A" * 43 + "=\n") + "\n"
    with pytest.raises(verify.Flaw, match="than any tree is high"):
        verify.Proof("p.tlog-proof", text.encode() + checkpoint, checkpoint)


def test_a_proof_whose_name_would_write_on_the_terminal_is_named_safely() -> None:
    with pytest.raises(verify.Flaw) as told:
        verify.Proof("x\x1b[2J\nVERIFIED.tlog-proof", b"", b"")
    assert str(told.value).isprintable()


@pytest.mark.parametrize("name", ["../outside.txt", "/etc/hostname", "a/../../outside.txt", "a\\b", "C:x", "", "."])
def test_no_name_in_a_manifest_leads_out_of_the_folder(whole: Path, name: str) -> None:
    (whole.parent / "outside.txt").write_text("secret")
    manifest = json.loads((whole / "manifest.json").read_text(encoding="utf-8"))
    manifest["files"][name] = {"sha256": "0" * 64, "rows": None}
    (whole / "manifest.json").write_bytes(spelled(manifest))
    assert re.search(r"not a manifest|not there", flaws(whole)[-1])


def test_a_line_without_an_end_does_not_fill_the_memory(whole: Path) -> None:
    with (whole / "entries.jsonl").open("wb") as file:
        file.truncate(1 << 33)  # eight sparse gigabytes of NUL
    assert "too long or has no end" in flaws(whole)[-1]


@pytest.mark.parametrize("value", ["a0001\x00account_id", "\x00"])
def test_an_opening_with_a_nul_inside_is_refused(whole: Path, value: str) -> None:
    made = {"epoch": "2026", "kind": "account_id", "value": value, "key": "00" * 32}
    folder = verify.Folder(whole, vkey=SIGNER.vkey, since=None, opening=json.dumps(made).encode())
    folder.examine()
    assert "--opening" in folder.flaws[0]


@pytest.mark.parametrize(
    "cell", ["=1", "+1", "-1", "@a", "\t=1", "\r=1", " =1", "\u3000=1", "\uff1d1", "\uff0b1", "\uff0d1", "\uff20a"]
)
def test_no_cell_starts_a_formula_in_any_spelling(cell: str) -> None:
    assert verify._cell(cell).startswith("'")


def test_a_verdict_is_printed_on_a_console_that_lacks_its_characters(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (tmp_path / "out").open("w", encoding="cp949") as out:
        monkeypatch.setattr(sys, "stdout", out)
        (whole / "\u1e9e").write_text("x")
        assert verify.main([str(whole), "--vkey", SIGNER.vkey]) == 1
    assert "not listed" in (tmp_path / "out").read_text(encoding="cp949")
