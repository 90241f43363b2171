"""The report: the same numbers in both languages, and pages that can be read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from include.evidence.lives import Selection
from include.evidence.people import add_people_files
from include.evidence.report import Bars, Block, Cover, Heading, Table, Text, blocks
from include.evidence.report_pages import draw
from include.evidence.sheets import Titles
from include.evidence.workbook import write_tables
from tests.evidence.people import TITLES, folder, night

COVER = Cover("log.example", 0, 30, "root=", "ab" * 32)


def contents(path: Path, language: str) -> list[Block]:
    figures, _ = write_tables(folder(path, night()), titles=TITLES, selection=Selection())
    return blocks(figures, COVER, Titles(TITLES), Selection(), language)


def numbers(block: Block) -> list[str]:
    if isinstance(block, Table):
        texts = [cell for row in block.rows for cell in row]
    elif isinstance(block, Bars):
        texts = [str(n) for _, values in block.series for n in values]
    else:
        texts = [block.text]
    return [n for text in texts for n in re.findall(r"\d+", text)]


def test_both_languages_show_the_same_numbers(tmp_path: Path) -> None:
    korean, english = (contents(tmp_path, language) for language in ("ko", "en"))
    assert [type(b) for b in korean] == [type(b) for b in english]
    for ko, en in zip(korean, english, strict=True):
        if not isinstance(ko, Heading | Text):
            assert numbers(ko) == numbers(en)


def test_the_english_report_has_no_korean_in_it(tmp_path: Path) -> None:
    for block in contents(tmp_path, "en"):
        shown = repr(block)
        assert not re.search(r"[가-힣]", shown), shown


def test_the_cover_states_period_log_root_and_schedule(tmp_path: Path) -> None:
    cover = contents(tmp_path, "en")[0]
    assert isinstance(cover, Table)
    facts = dict(cover.rows)  # type: ignore[arg-type]
    assert facts["Period (business dates)"] == "2026-11-25 ~ 2026-12-01"
    assert (facts["Checkpoint root"], facts["Schedule SHA-256"]) == ("root=", "ab" * 32)
    assert (facts["Disposals due"], facts["Proven by reading"], facts["Not proven"]) == ("6", "2", "4")


def test_the_outcomes_of_a_place_add_up_to_what_was_due(tmp_path: Path) -> None:
    table = next(b for b in contents(tmp_path, "en") if isinstance(b, Table) and b.header[-1] == "Due")
    for row in table.rows:
        assert sum(map(int, row[1:-1])) == int(row[-1])


def test_every_character_of_the_report_has_a_glyph(tmp_path: Path) -> None:
    from reportlab.pdfbase import pdfmetrics

    draw(tmp_path / "x.pdf", title="파기", subtitle="", footer="", blocks=[Text("x")])
    known = pdfmetrics.getFont("NanumGothic").face.charToGlyph
    texts = "".join(repr(b) for language in ("ko", "en") for b in contents(tmp_path, language))
    assert not {c for c in texts if ord(c) not in known and c.isprintable()}


def test_pages_are_numbered_and_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    long = [Heading("제목"), *(Text(f"문단 {n}") for n in range(200))]
    for name in ("a.pdf", "b.pdf"):
        draw(tmp_path / name, title="보고서", subtitle="s", footer="f", blocks=long)
    pdf = (tmp_path / "a.pdf").read_bytes()
    assert pdf == (tmp_path / "b.pdf").read_bytes()
    assert int(re.findall(rb"/Count (\d+)", pdf)[0]) > 3


@pytest.mark.parametrize("entries", [night(), []], ids=["a night", "nothing"])
def test_everything_people_read_is_returned_for_the_manifest(tmp_path: Path, entries: list[dict[str, object]]) -> None:
    path = folder(tmp_path / "export", entries)
    before = {p for p in path.rglob("*") if p.is_file()}
    written = add_people_files(path, processors=["stripe"], prove=lambda note, size, index: f"{index}\n\n{note}")
    assert {p for p in path.rglob("*") if p.is_file()} - before == set(written)
    assert len(written) == 12 + 2 + 2
    assert all(p.stat().st_size for p in written)
