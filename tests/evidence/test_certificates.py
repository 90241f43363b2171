"""Certificates state what is proven, and beside it what is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from include.errors import EvidenceError
from include.evidence.certificates import certify, cover_of, write_certificate
from include.evidence.people import add_people_files
from include.evidence.report import Cover
from include.evidence.sheets import Titles
from tests.evidence.people import TITLES, folder, night, stripe
from tests.evidence.samples import disposal, life

TAG = str(disposal(1, "planned")["subject_tag"])


def certificate(path: Path, before: int = 0, **about: str) -> str:
    cover = Cover("log.example", before, 99, "root=", "ab" * 32)
    (pdf, text), _ = write_certificate(path, cover, titles=Titles(TITLES), **about)  # type: ignore[arg-type]
    assert pdf.read_bytes().startswith(b"%PDF-")
    return text.read_text(encoding="utf-8")


def test_a_subject_certificate_names_each_proven_line_by_its_log_index(tmp_path: Path) -> None:
    path = folder(tmp_path, night())
    text = certificate(path, subject_tag=TAG)
    _, (index,) = write_certificate(
        path, Cover("log.example", 0, 99, "root=", "ab" * 32), titles=Titles(TITLES), subject_tag=TAG
    )
    assert '"confirmed_absent"' in (path / "entries.jsonl").read_text().splitlines()[index]
    assert f"3 > 0 | 행 삭제 · row delete / select_count | {index}" in text
    assert "증명되지 않은 건 · not proven: 0" in text


def test_what_a_processor_keeps_or_failed_is_not_proven(tmp_path: Path) -> None:
    proven, rest = certificate(folder(tmp_path, night()), processor="stripe").split("증명되지 않은 것 · Not proven")
    assert "증명된 건 · proven: 0" in proven
    assert "수탁사 자체 보관 · kept by processor" in rest
    assert "실패 · failed" in rest


def test_a_subject_nobody_recorded_gets_no_destruction_certified(tmp_path: Path) -> None:
    text = certificate(folder(tmp_path, night()), subject_tag="00" * 32)
    assert "no record in this range" in text


def test_a_line_that_found_nothing_says_so(tmp_path: Path) -> None:
    gone = stripe(9, "confirmed_absent", code="none_located", count_before=0, count_after=0)
    text = certificate(folder(tmp_path, [stripe(9, "planned"), gone]), processor="stripe")
    assert "보유 없음 확인 · nothing was there | 0 > 0" in text


def test_log_indexes_count_from_the_beginning_of_the_log(tmp_path: Path) -> None:
    path = folder(tmp_path, life(1), before=1000)
    cover = Cover("log.example", 1000, 1005, "root=", "ab" * 32)
    assert write_certificate(path, cover, titles=Titles(TITLES), subject_tag=TAG)[1] == (1004,)


@pytest.mark.parametrize("about", [{"subject_tag": TAG}, {"processor": "stripe"}])
def test_a_certificate_is_made_of_entries_alone_and_is_the_same_every_time(
    tmp_path: Path, about: dict[str, str]
) -> None:
    """The console and the end of a processor have entries and no folder; nothing is read or written."""
    path = folder(tmp_path, night())
    cover = cover_of((path / "checkpoint").read_text(encoding="utf-8"), 0, "ab" * 32)
    made = [certify(enumerate(night()), cover, titles=Titles(TITLES), **about) for _ in (1, 2)]  # type: ignore[arg-type]
    (pdf, text), indexes = write_certificate(path, cover, titles=Titles(TITLES), **about)  # type: ignore[arg-type]
    assert made[0] == made[1]
    assert (made[0].pdf, made[0].text.encode()) == (pdf.read_bytes(), text.read_bytes())
    assert made[0].indexes == indexes
    assert "서명 · signature" in made[0].text


@pytest.mark.parametrize("about", [{}, {"subject_tag": TAG, "processor": "stripe"}])
def test_a_certificate_is_about_one_thing(tmp_path: Path, about: dict[str, str]) -> None:
    with pytest.raises(EvidenceError, match="exactly one"):
        certificate(folder(tmp_path, night()), **about)


def test_each_line_of_a_subject_gets_its_proof_file(tmp_path: Path) -> None:
    path = folder(tmp_path, life(1), before=1000)
    written = add_people_files(path, subject_tags=[TAG], prove=lambda note, size, index: f"{index} {size}\n\n{note}")
    proof = path / "proofs" / "000001004.tlog-proof"
    assert proof in written
    assert proof.read_text(encoding="utf-8") == "1004 1005\n\n" + (path / "checkpoint").read_text(encoding="utf-8")
