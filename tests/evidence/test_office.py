"""The workbook and the ledger as a spreadsheet program opens them: every cell as it was written, none computed."""

from __future__ import annotations

import csv
import subprocess
from pathlib import Path

import pytest

from include.evidence.people import add_people_files
from include.evidence.sheets import EMPTY
from tests.evidence.people import folder, night
from tests.programs import needs

pytestmark = needs("soffice")
EVERY_SHEET = "csv:Text - txt - csv (StarCalc):44,34,76,1,,0,false,true,false,false,false,-1"


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """An export for people, and the folder to which LibreOffice wrote what it read from it."""
    base = tmp_path_factory.mktemp("office")
    path = folder(base / "night", night())
    add_people_files(path)
    for file in ("ledger.xlsx", "ledger.csv"):
        convert(path / file, base / "read", base / "profile")
    return path, base / "read"


def convert(file: Path, out: Path, profile: Path) -> None:
    command = ["soffice", f"-env:UserInstallation=file://{profile}", "--headless", "--infilter=CSV:44,34,76"]
    if file.suffix != ".csv":
        command.pop()
    done = subprocess.run(
        [*command, "--convert-to", EVERY_SHEET, "--outdir", str(out), str(file)],
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def rows(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8-sig", newline="") as lines:
        return [line for line in csv.reader(lines) if any(line)]


def test_every_sheet_opens_with_the_cells_of_its_csv_twin(opened: tuple[Path, Path]) -> None:
    path, read = opened
    twins = sorted((path / "csv").glob("*.csv"))
    sheets = {int(p.stem.removeprefix("ledger-").split(" ")[0]): p for p in read.glob("ledger-[0-9]*.csv")}
    assert sorted(sheets) == [int(t.name[:2]) for t in twins] == list(range(1, 12))
    for twin in twins:
        shown, written = rows(sheets[int(twin.name[:2])]), rows(twin)
        width = len(written[0])
        assert len(shown) == len(written) + 1, (
            twin.name
        )  # the workbook's header is Korean and English, one below the other
        for one, other in zip(shown[2:], written[1:], strict=True):
            if other == [EMPTY]:
                assert one[0] == EMPTY
            else:
                assert [c.lstrip("'") for c in one[:width]] == [c.lstrip("'") for c in other], twin.name


def test_the_ledger_opens_in_korean_without_computing_anything(opened: tuple[Path, Path]) -> None:
    path, read = opened
    (found,) = [p for p in read.glob("ledger*.csv") if "ledger-" not in p.name or p.stem == "ledger-ledger"]
    shown, written = rows(found), rows(path / "ledger.csv")
    assert shown[0] == written[0]
    assert [row[5] for row in shown] == [row[5] for row in written]
    assert len(shown) == len(written) == 3
