"""`ledger.xlsx` and its CSV twins."""

from __future__ import annotations

import csv
import tracemalloc
from pathlib import Path

from include.evidence.lives import Selection
from include.evidence.workbook import read_titles, write_tables
from tests.evidence.people import folder, night
from tests.evidence.samples import life


def write(path: Path, **options: int) -> list[Path]:
    return write_tables(path, titles=read_titles(path), selection=Selection(), **options)[1]


def test_the_workbook_holds_what_its_csv_twins_hold(tmp_path: Path) -> None:
    from openpyxl import load_workbook

    path = folder(tmp_path, night())
    book_path, *twins = write(path)
    book = load_workbook(book_path)
    assert len(book.sheetnames) == len(twins) == 11
    for twin, sheet in zip(twins, book.worksheets, strict=True):
        with twin.open(encoding="utf-8-sig", newline="") as lines:
            rows = list(csv.reader(lines))[1:]
        shown = [[str(c or "") if c != 0 else "0" for c in row] for row in sheet.iter_rows(min_row=3, values_only=True)]
        assert [[c for c in row if c] for row in shown] == [[c for c in row if c] for row in rows]


def test_no_cell_of_the_workbook_is_a_formula(tmp_path: Path) -> None:
    from openpyxl import load_workbook

    book = load_workbook(write(folder(tmp_path, night()))[0])
    cells = [c for sheet in book for row in sheet.iter_rows() for c in row if c.value is not None]
    assert not [c for c in cells if c.data_type == "f" or str(c.value)[:1] in "=+-@\t"]
    assert "'=개인정보 보호법 21 · PIPA" in {c.value for c in cells}


def test_every_sheet_has_its_headers_in_korean_and_in_english(tmp_path: Path) -> None:
    from openpyxl import load_workbook

    for sheet in load_workbook(write(folder(tmp_path, night()))[0]):
        korean, english = sheet.iter_rows(min_row=1, max_row=2, values_only=True)
        assert all(korean)
        assert all(english)
        assert all(str(name).isascii() for name in english)


def test_counts_are_numbers_and_dates_are_iso_texts(tmp_path: Path) -> None:
    from openpyxl import load_workbook

    sheet = load_workbook(write(folder(tmp_path, night()))[0]).worksheets[0]
    first = [c.value for c in sheet[3]]
    assert (first[0], first[4], first[13]) == (1, "2026-11-25", 0)


def test_csv_begins_with_the_byte_order_mark_of_utf_8(tmp_path: Path) -> None:
    _, *twins = write(folder(tmp_path, night()))
    assert {twin.read_bytes()[:3] for twin in twins} == {b"\xef\xbb\xbf"}


def test_rows_beyond_what_excel_can_hold_go_on_in_another_sheet(tmp_path: Path) -> None:
    from openpyxl import load_workbook

    path = folder(tmp_path, [entry for n in range(1, 6) for entry in life(n)])
    book = load_workbook(write(path, excel_rows=4)[0])
    parts = [s for s in book.worksheets if s.title.startswith("1 ")]
    assert [s.title for s in parts] == ["1 파기 관리대장", "1 파기 관리대장 (2)", "1 파기 관리대장 (3)"]
    assert [c for s in parts for (c,) in s.iter_rows(min_row=3, max_col=1, values_only=True)] == [1, 2, 3, 4, 5]


def test_memory_does_not_grow_with_what_is_closed(tmp_path: Path) -> None:
    peaks = []
    for count in (300, 700):
        path = folder(tmp_path / str(count), [entry for n in range(1, count + 1) for entry in life(n)])
        write(path)
        tracemalloc.start()
        write(path)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 60_000
