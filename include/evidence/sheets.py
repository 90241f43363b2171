"""The eleven sheets people read, built from entries alone and in one pass.

A sheet is columns, `take(item)` for each entry and `finish(end)` for what is still open; both yield rows. Titles only
name codes. Sheet 1 is the ledger of the folder, row for row, because the verifier checks that file to the byte.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from include.evidence.lives import Following, Item
from include.evidence.verify import FORMULA, OFFICIAL, OURS

Cell = str | int
Row = tuple[Cell, ...]
EMPTY = "이 기간에 해당 사항 없음 · None in this period."


@dataclass(frozen=True, slots=True)
class Sheet:
    """What one sheet is called, and its columns as `(한글, English)`."""

    number: int
    file: str
    ko: str
    en: str
    columns: tuple[tuple[str, str], ...]

    @property
    def name(self) -> str:
        """The sheet's name in a workbook."""
        return f"{self.number} {self.ko}"


class Builder(Protocol):
    """Turns entries into the rows of one sheet."""

    sheet: Sheet

    def take(self, item: Item) -> Iterable[Row]: ...
    def finish(self, end: Following) -> Iterable[Row]: ...


@dataclass(frozen=True, slots=True)
class Titles:
    """What codes are called; a code without a title is shown as it is."""

    by_code: Mapping[str, str]

    def __call__(self, code: str) -> str:
        return self.by_code.get(code, code)

    def several(self, codes: Iterable[str]) -> str:
        """Return the titles of codes, each once."""
        return ", ".join(dict.fromkeys(map(self, codes)))

    def law(self, rule_id: str) -> str:
        """Return the legal basis of a rule, empty if the titles do not know it."""
        return self.by_code.get(f"law:{rule_id}", "")

    def place(self, processor: str) -> str:
        """Return what a processor is called."""
        return self.by_code.get(f"place:{processor}", processor)


_ENGLISH = (
    "no.", "personal-information file", "kind of data", "created", "destroyed on", "reason", "handled by", "head",
)  # fmt: skip
_KOREAN = {
    "rule id": "규칙", "legal basis": "법적 근거", "trigger date": "기산일", "last day": "보유 만료일",
    "destroy by": "파기 기한", "days late": "초과 일수", "system": "시스템", "method": "파기 방법",
    "verify result": "확인 결과", "outcome": "결과", "log index": "기록 번호", "subject tag": "식별 태그",
    "checkpoint size": "기록 크기",
}  # fmt: skip


class Ledger:
    """개인정보파일 파기 관리대장: the exact official columns, then ours."""

    sheet = Sheet(
        1,
        "01-destruction-ledger",
        "파기 관리대장",
        "destruction ledger",
        (*zip(OFFICIAL, _ENGLISH, strict=True), *((_KOREAN.get(name, name), name) for name in OURS)),
    )

    def __init__(self, ledger: Path) -> None:
        self._rows = self._read(ledger)
        self._next = next(self._rows, None)

    def take(self, item: Item) -> Iterator[Row]:
        """Yield the ledger's row for this entry, if it has one and lies in the period."""
        while self._next is not None and self._next[0] <= item.index:
            index, row = self._next
            self._next = next(self._rows, None)
            if index == item.index and item.shown:
                yield row

    def finish(self, end: Following) -> Iterator[Row]:
        """Yield nothing: what is open is not destroyed."""
        yield from ()

    @staticmethod
    def _read(ledger: Path) -> Iterator[tuple[int, Row]]:
        with ledger.open(encoding="utf-8-sig", newline="") as file:
            lines = csv.reader(file)
            names = next(lines)
            at = names.index("log index")
            whole = {0, at, names.index("days late"), names.index("checkpoint size")}
            for line in lines:
                yield int(line[at]), tuple(int(c) if i in whole else c for i, c in enumerate(line))


def safe(cell: Cell) -> Cell:
    """Return a cell that stays on its line and that no spreadsheet takes for a formula."""
    if isinstance(cell, int):
        return cell
    if not cell.isprintable():
        cell = "".join(c if c.isprintable() else " " for c in cell)
    return f"'{cell}" if cell.strip().lstrip(" '")[:1] in FORMULA and not cell.startswith("'") else cell
