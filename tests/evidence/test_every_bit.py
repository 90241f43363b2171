"""A whole export with everything in it, and one bit, row or file of it changed: the verifier shipped in it notices."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from include.disposals.reporting import rules
from include.evidence import proofs
from include.evidence.anchors import anchor
from include.evidence.export import More, export
from include.evidence.people import add_people_files
from include.evidence.verify import Folder
from include.policy import schedule
from tests.evidence import authority, samples
from tests.evidence.conftest import Log
from tests.evidence.test_anchors import BASE, PAST, named
from tests.evidence.test_verify import SIGNER, examine, remanifest
from tests.programs import needs

pytestmark = needs("openssl")
SCHEDULE = schedule.load()
TAG = samples.disposal(1, "planned")["subject_tag"]
NAMES = (
    "entries.jsonl", "checkpoint", "checkpoint-prev.txt", "consistency.txt", "checkpoint.tsr", "tsa-chain.pem",
    "left.txt", "ledger.csv", "open.csv", "counts.json", "rules.json", "titles.json", "vkey", "verify.py",
    "ledger.xlsx", "report.ko.pdf", "report.en.pdf", f"schedules/{SCHEDULE.sha256}.yaml",
    "csv/01-destruction-ledger.csv", "csv/11-summary.csv", "certificates/processor-own_database.pdf",
    f"certificates/subject-{TAG[:16]}.txt", "proofs/000000011.tlog-proof",
)  # fmt: skip


def entries() -> list[dict[str, Any]]:
    named_by = {"policy_sha256": SCHEDULE.sha256}
    made = [samples.base("run_started"), *samples.life(7), samples.base("run_started"), *samples.life(1)]
    made += [*samples.life(2), samples.disposal(3, "planned"), samples.disposal(3, "located", count_before=2)]
    return [entry | named_by | PAST for entry in made]


@pytest.fixture
def whole(log: Log, tmp_path: Path) -> Path:
    """The export of a night that is not the log's first, timestamped, with proofs and all that people read."""
    tsa = tmp_path / "tsa"
    tsa.mkdir()
    authority.certify(tsa, "ours")
    for part in (entries()[:6], entries()[6:]):
        log.stage(part)
        log.seal()
    with authority.served(tsa) as url:
        anchor(log.engine, log.store, named(tsa, url), vkey=log.signer.vkey, entry=BASE)
    return export(
        log.engine,
        tmp_path / "night",
        vkey=log.signer.vkey,
        signer=log.signer,
        first_index=7,
        titles={"R-01": "해지 후 6개월 · six months after termination"},
        more=More(
            rules=rules([SCHEDULE]), schedules={SCHEDULE.sha256: SCHEDULE.body}, store=log.store, previous=6,
            proof_rows=[9],
        ),
        extras=partial(
            add_people_files, processors=["own_database"], subject_tags=[TAG],
            prove=partial(proofs.row_proof_at, log.store),
        ),
    ).folder  # fmt: skip


def strict(folder: Path) -> Folder:
    """Examine with everything an auditor brings."""
    tsa = folder.parent / "tsa" / "root.pem"
    found = Folder(folder, vkey=SIGNER.vkey, since=(folder / "checkpoint-prev.txt").read_bytes(), tsa=tsa)
    found.examine()
    return found


def files(folder: Path) -> Iterator[Path]:
    return (p for p in sorted(folder.rglob("*")) if p.is_file())


def test_an_export_with_everything_in_it_leaves_nothing_unchecked(whole: Path) -> None:
    names = {p.relative_to(whole).as_posix() for p in files(whole)}
    assert set(NAMES) | {"manifest.json", "manifest.note"} <= names
    found = strict(whole)
    assert (found.flaws, found.open_checks) == ([], [])


def test_a_single_flipped_bit_anywhere_in_any_file_is_found(whole: Path) -> None:
    """Bits at both ends of each file and at places nobody chose: twelve a file, a hundred where the text is parsed."""
    places = random.Random(6962)
    parsed = {"manifest.json", "manifest.note", "checkpoint", "left.txt", "consistency.txt", "entries.jsonl"}
    for path in list(files(whole)):
        data = path.read_bytes()
        bits = 8 * len(data)
        some = places.sample(range(bits), min(bits, 100 if path.name in parsed else 10))
        for bit in [0, bits - 1, *some]:
            bent = bytearray(data)
            bent[bit // 8] ^= 1 << bit % 8
            path.write_bytes(bent)
            assert examine(whole).flaws, f"bit {bit} of {path.name}"
        path.write_bytes(data)
    assert examine(whole).flaws == []


def test_every_bit_of_the_smallest_files_is_found(whole: Path) -> None:
    for name in ("vkey", "manifest.note"):
        data = (whole / name).read_bytes()
        for bit in range(8 * len(data)):
            bent = bytearray(data)
            bent[bit // 8] ^= 1 << bit % 8
            (whole / name).write_bytes(bent)
            assert examine(whole).flaws, f"bit {bit} of {name}"
        (whole / name).write_bytes(data)


def test_a_file_cut_short_emptied_lengthened_or_taken_away_is_found(whole: Path) -> None:
    for path in list(files(whole)):
        data = path.read_bytes()
        for bent in (data[:-1], b"", data + b"\n", data + data[:1]):
            path.write_bytes(bent)
            assert examine(whole).flaws, path.name
        path.unlink()
        gone = examine(whole)
        # Without the note nothing but the manifest's signature is lost, and the verdict says so.
        assert gone.flaws or (path.name == "manifest.note" and any("manifest.note" in c for c in gone.open_checks))
        path.write_bytes(data)


@pytest.mark.parametrize("name", ["ledger.csv", "open.csv", "entries.jsonl", "left.txt", "consistency.txt"])
def test_lines_dropped_or_swapped_are_found_even_when_everything_is_signed_again(whole: Path, name: str) -> None:
    """Who holds the key can sign another manifest, but not another history: the auditor's older checkpoint stays."""
    path = whole / name
    lines = path.read_bytes().splitlines(keepends=True)
    forged = [lines[:n] + lines[n + 1 :] for n in range(len(lines))]
    forged += [[*lines[:n], lines[n + 1], lines[n], *lines[n + 2 :]] for n in range(len(lines) - 1)]
    assert len(forged) >= 1
    for bent in forged:
        if bent != lines:
            path.write_bytes(b"".join(bent))
            remanifest(whole, signer=SIGNER)
            assert examine(whole).flaws, name


def test_the_verifier_in_the_folder_finds_a_flipped_bit_with_a_bare_python(whole: Path, tmp_path: Path) -> None:
    def verdict(*options: str) -> tuple[int, str]:
        command = [sys.executable, "-I", "-S", str(whole / "verify.py"), *options]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
        assert "Traceback" not in done.stderr
        return done.returncode, done.stdout

    assert verdict()[0] == 0
    for name in ("ledger.xlsx", "report.ko.pdf", "entries.jsonl"):
        data = (whole / name).read_bytes()
        (whole / name).write_bytes(data[:50] + bytes([data[50] ^ 4]) + data[51:])
        code, said = verdict("--vkey", SIGNER.vkey)
        assert (code, said[:6]) == (1, "FLAWED"), name
        (whole / name).write_bytes(data)
    shutil.rmtree(whole / "csv")
    assert verdict()[0] == 1
