"""What an export holds besides its entries: history, single proofs, open items, counts, and people's files."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from include.errors import EvidenceError
from include.evidence import verify
from include.evidence.export import More, checkpoint_before, export
from include.evidence.proofs import check_row
from tests.evidence import samples
from tests.evidence.conftest import Log
from tests.evidence.test_verify import SIGNER, examine, remanifest


def three_seals(log: Log) -> list[bytes]:
    """Seal 5, 12 and 20 entries; return the signed checkpoints."""
    notes = []
    for low, high in ((0, 5), (5, 12), (12, 20)):
        log.stage([samples.disposal(n, "planned") for n in range(low, high)])
        log.seal()
        stored = log.store.get("checkpoint")
        assert stored is not None
        notes.append(stored.body)
    return notes


def made(log: Log, folder: Path, first: int = 0, **more: Any) -> Path:
    extras = more.pop("extras", None)
    return export(
        log.engine,
        folder,
        vkey=log.signer.vkey,
        signer=log.signer,
        first_index=first,
        more=More(store=log.store, **more),
        extras=extras,
    ).folder


def test_an_earlier_checkpoint_is_proven_to_be_the_beginning(log: Log, tmp_path: Path) -> None:
    old = three_seals(log)
    folder = made(log, tmp_path / "x", previous=checkpoint_before(log.engine, 20))
    assert (folder / "checkpoint-prev.txt").read_bytes() == old[1]
    found = examine(folder)
    assert found.flaws == []
    assert "consistent with the checkpoint over 12 entries beside it" in found.facts


def test_a_night_answers_since_the_last_audit_by_its_consistency_proof(log: Log, tmp_path: Path) -> None:
    old = three_seals(log)
    folder = made(log, tmp_path / "x", first=14, previous=12)
    assert not [c for c in examine(folder, since=old[1]).open_checks if "--since" in c]
    assert [c for c in examine(folder, since=old[0]).open_checks if "begins at 5 or before" in c]


@pytest.mark.parametrize("name", ["consistency.txt", "checkpoint-prev.txt"])
def test_a_bent_consistency_proof_is_found_even_under_a_new_manifest(log: Log, tmp_path: Path, name: str) -> None:
    three_seals(log)
    folder = made(log, tmp_path / "x", previous=12)
    lines = (folder / name).read_bytes().splitlines(keepends=True)
    for bent in (lines[:-1], [*lines, lines[-1]], [lines[0].replace(b"12", b"13"), *lines[1:]], lines[::-1]):
        (folder / name).write_bytes(b"".join(bent))
        remanifest(folder, signer=SIGNER)
        if bent != lines:
            assert examine(folder).flaws


def test_requested_rows_are_proven_one_by_one(log: Log, tmp_path: Path) -> None:
    three_seals(log)
    folder = made(log, tmp_path / "x", proof_rows=[0, 7, 19])
    names = sorted(p.name for p in (folder / "proofs").iterdir())
    assert names == ["000000000.tlog-proof", "000000007.tlog-proof", "000000019.tlog-proof"]
    lines = (folder / "entries.jsonl").read_bytes().splitlines()
    for name in names:
        index = int(name.split(".")[0])
        assert check_row((folder / "proofs" / name).read_text(), lines[index], log.signer.vkey) == index
    found = examine(folder)
    assert found.flaws == []
    assert "3 row proofs" in found.facts


def test_a_proof_of_another_row_is_found_even_under_a_new_manifest(log: Log, tmp_path: Path) -> None:
    three_seals(log)
    folder = made(log, tmp_path / "x", proof_rows=[7])
    path = folder / "proofs/000000007.tlog-proof"
    text = path.read_text()
    for bent in (
        text.replace("index 7", "index 6"),
        text.replace("index 7", "index 70"),
        text.replace("\n20\n", "\n21\n"),
    ):
        path.write_text(bent)
        remanifest(folder, signer=SIGNER)
        assert any("tlog-proof" in f for f in examine(folder).flaws)


def test_what_is_open_stands_in_a_list_of_its_own(log: Log, tmp_path: Path) -> None:
    log.stage([*samples.life(1), samples.disposal(2, "planned"), samples.disposal(2, "blocked", code="hold_h-1")])
    log.seal()
    folder = made(log, tmp_path / "x")
    rows = list(csv.DictReader((folder / "open.csv").read_text(encoding="utf-8-sig").splitlines()))
    assert [(r["outcome"], r["code"], r["log index"]) for r in rows] == [("blocked", "hold_h-1", "6")]
    counts = json.loads((folder / "counts.json").read_text())
    assert counts["disposals"]["own_database"]["planned"] == 2
    assert counts["disposals"]["own_database"]["confirmed_absent"] == 1


@pytest.mark.parametrize("name", ["open.csv", "counts.json"])
def test_an_open_item_or_a_count_that_was_changed_is_found_though_signed_again(
    log: Log, tmp_path: Path, name: str
) -> None:
    three_seals(log)
    folder = made(log, tmp_path / "x")
    path = folder / name
    path.write_bytes(path.read_bytes().replace(b"20", b"19", 1) if name == "counts.json" else b"")
    remanifest(folder, signer=SIGNER)
    assert any(name in f for f in examine(folder).flaws)


def test_peoples_files_are_covered_by_the_manifest(log: Log, tmp_path: Path) -> None:
    def write(folder: Path) -> list[Path]:
        assert (folder / "entries.jsonl").is_file()
        (folder / "certificates").mkdir()
        made = [folder / "report.pdf", folder / "certificates/1.txt"]
        for path in made:
            path.write_bytes(b"%\n")
        return made

    three_seals(log)
    folder = made(log, tmp_path / "x", extras=write)
    assert examine(folder).flaws == []
    (folder / "report.pdf").write_bytes(b"%x")
    assert examine(folder).flaws == ["'report.pdf': its digest is not the manifest's"]


def test_an_extra_file_may_not_replace_one_of_the_export(log: Log, tmp_path: Path) -> None:
    three_seals(log)
    with pytest.raises(EvidenceError, match="written by the export itself"):
        made(log, tmp_path / "x", extras=lambda folder: [folder / "ledger.csv"])
    assert not (tmp_path / "x").exists()


def test_proofs_need_the_bucket(log: Log, tmp_path: Path) -> None:
    three_seals(log)
    with pytest.raises(EvidenceError, match="Name its store"):
        export(log.engine, tmp_path / "x", vkey=log.signer.vkey, more=More(proof_rows=[1]))


def test_every_consistency_proof_of_a_small_log_is_judged_rightly() -> None:
    from include.evidence import tree

    leaves = [tree.leaf_hash(bytes([n])) for n in range(20)]
    nodes = tree.nodes_of(leaves)
    for new in range(1, 21):
        for old in range(new + 1):
            proof = tree.consistency_proof(nodes, old, new)
            pair = [(n, tree.root(leaves[:n])) for n in (old, new)]
            assert verify.is_consistent(pair[0], pair[1], proof)
            assert not verify.is_consistent(pair[0], pair[1], [*proof, bytes(32)])
            if 0 < old < new:
                assert not verify.is_consistent((old, bytes(32)), pair[1], proof)
                assert not verify.is_consistent(pair[0], (new, bytes(32)), proof)
            for index in range(new):
                path = tree.inclusion_proof(nodes, index, new)
                assert verify.follows_inclusion(leaves[index], index, new, path) == pair[1][1]
                assert verify.follows_inclusion(leaves[index], index, new, [*path, bytes(32)]) is None
