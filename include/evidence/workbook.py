"""`ledger.xlsx` and a CSV twin per sheet, from the entries of an export folder, in one pass and flat memory.

    figures = write_tables(folder, titles=…, selection=Selection())

Every text is written as text (no cell can be a formula), numbers as numbers, dates as ISO text, times with +09:00. CSV
is UTF-8 with a byte order mark, so that Korean Excel opens it right.
"""

from __future__ import annotations

import csv
import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from include.evidence.figures import Figures, Summary
from include.evidence.lives import Following, Selection
from include.evidence.sheets import EMPTY, Builder, Ledger, Row, Sheet, Titles, safe
from include.evidence.sheets_disposals import Confirmations, Exceptions, Paper, Requests
from include.evidence.sheets_registers import Access, Holds, Policies, Storage
from include.evidence.sheets_registers import Requests as PersonRequests

logger = logging.getLogger(__name__)
TOLD = 100_000
EXCEL_ROWS = 1_048_576
HEADER_ROWS = 2


class _Table:
    """One sheet being written, in the workbook and as CSV; goes on in another worksheet when Excel's rows are full."""

    def __init__(self, book: Any, formats: Mapping[str, Any], sheet: Sheet, folder: Path, limit: int) -> None:
        self.sheet, self.rows, self.csv = sheet, 0, folder / f"{sheet.file}.csv"
        self._book, self._formats, self._limit, self._pages = book, formats, limit, 0
        self._file = self.csv.open("w", encoding="utf-8-sig", newline="")
        self._lines = csv.writer(self._file)
        exact = sheet.number == Ledger.sheet.number  # its Korean headers are those of the official form
        self._lines.writerow([ko if exact and i < 8 else f"{ko} · {en}" for i, (ko, en) in enumerate(sheet.columns)])
        self._page()

    def _page(self) -> None:
        self._pages += 1
        name = self.sheet.name if self._pages == 1 else f"{self.sheet.name} ({self._pages})"
        self._sheet = self._book.add_worksheet(name)
        self._at = 0
        self._sheet.freeze_panes(HEADER_ROWS, 0)
        self._sheet.set_landscape()
        self._sheet.set_paper(8)  # A3: twenty columns are read on one sheet of it, on A4 they are not
        self._sheet.fit_to_pages(1, 0)
        self._sheet.set_margins(left=0.4, right=0.4, top=0.5, bottom=0.6)
        self._sheet.repeat_rows(0, HEADER_ROWS - 1)
        self._sheet.set_footer(f"&L{self.sheet.ko} · {self.sheet.en}&R&P/&N")
        for column, (ko, en) in enumerate(self.sheet.columns):
            self._sheet.set_column(column, column, _width(ko, en))
        for language in (0, 1):
            for column, header in enumerate(self.sheet.columns):
                self._sheet.write_string(self._at, column, header[language], self._formats["header"])
            self._at += 1

    def write(self, rows: Iterable[Row]) -> None:
        """Append rows."""
        for row in rows:
            if self._at >= self._limit:
                self._page()
            cells = [safe(cell) for cell in row]
            self._lines.writerow(cells)
            for column, cell in enumerate(cells):
                if isinstance(cell, int):
                    self._sheet.write_number(self._at, column, cell)
                elif cell:
                    self._sheet.write_string(self._at, column, cell, self._formats["cell"])
            self._at += 1
            self.rows += 1

    def close(self) -> None:
        """End the sheet; an empty one says so."""
        if self._at > HEADER_ROWS:
            self._sheet.autofilter(HEADER_ROWS - 1, 0, self._at - 1, len(self.sheet.columns) - 1)
        if not self.rows:
            self._sheet.write_string(self._at, 0, EMPTY, self._formats["note"])
            self._lines.writerow([EMPTY])
        self._file.close()


def write_tables(
    folder: Path, *, titles: Mapping[str, str], selection: Selection, first_index: int = 0, excel_rows: int = EXCEL_ROWS
) -> tuple[Figures, list[Path]]:
    """Write `ledger.xlsx` and `csv/*.csv` beside `entries.jsonl`; return the figures and the files."""
    import xlsxwriter

    named = Titles(titles)
    storage = Storage(named)
    builders: Sequence[Builder] = (
        Ledger(folder / "ledger.csv"), Requests(named), storage, Holds(named), Confirmations(named),
        PersonRequests(named), Exceptions(named), Paper(named), Policies(named), Access(named),
    )  # fmt: skip
    following = Following(first_index, selection)
    summary = Summary(named, whole=selection.whole and not first_index)
    texts, book_path = folder / "csv", folder / "ledger.xlsx"
    texts.mkdir(exist_ok=True)
    with xlsxwriter.Workbook(
        str(book_path), {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False}
    ) as book:
        formats = {
            "header": book.add_format({"bold": True, "text_wrap": True, "valign": "top", "bg_color": "#DDE6ED"}),
            "note": book.add_format({"italic": True}),
            "cell": book.add_format({"text_wrap": True, "valign": "top"}),
        }
        tables = [_Table(book, formats, b.sheet, texts, excel_rows) for b in builders]
        for item in following.items(folder / "entries.jsonl"):
            if not (item.index + 1) % TOLD:
                logger.info("sheets entries=%d", item.index + 1)
            summary.take(item, following)
            for builder, table in zip(builders, tables, strict=True):
                table.write(builder.take(item))
        figures = summary.close(following, storage.objects)
        tables.append(_Table(book, formats, summary.sheet, texts, excel_rows))
        tables[-1].write(summary.rows(following))
        for builder, table in zip(builders, tables, strict=False):
            table.write(builder.finish(following))
        for table in tables:
            table.close()
            figures.rows[table.sheet.number] = table.rows
    return figures, [book_path, *(table.csv for table in tables)]


def read_titles(folder: Path) -> dict[str, str]:
    """Return the titles the export's ledger was written with."""
    path = folder / "titles.json"
    titles: dict[str, str] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return titles


def _width(ko: str, en: str) -> int:
    if "SHA-256" in ko or "태그" in ko:
        return 24
    return min(max(2 * len(ko), len(en), 10) + 2, 26)
