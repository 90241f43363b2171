"""The eleven sheets, read back from their CSV twins."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from include.errors import EvidenceError
from include.evidence.lives import Selection
from include.evidence.sheets import EMPTY, safe
from include.evidence.verify import OFFICIAL
from include.evidence.workbook import read_titles, write_tables
from tests.evidence.people import RECONCILED, folder, night, stripe
from tests.evidence.samples import base, disposal, life


def tables(path: Path, selection: Selection | None = None, first_index: int = 0) -> dict[int, list[list[str]]]:
    _, written = write_tables(
        path, titles=read_titles(path), selection=selection or Selection(), first_index=first_index
    )
    found = {}
    for file in written:
        if file.suffix == ".csv":
            with file.open(encoding="utf-8-sig", newline="") as lines:
                found[int(file.name[:2])] = list(csv.reader(lines))
    return found


@pytest.fixture(scope="module")
def sheets(tmp_path_factory: pytest.TempPathFactory) -> dict[int, list[list[str]]]:
    return tables(folder(tmp_path_factory.mktemp("night"), night()))


def cell(rows: list[list[str]], row: int, english: str) -> str:
    return rows[row][next(i for i, name in enumerate(rows[0]) if name.endswith(english))]


def test_there_are_eleven_sheets(sheets: dict[int, list[list[str]]]) -> None:
    assert sorted(sheets) == list(range(1, 12))


def test_the_ledger_begins_with_the_exact_columns_of_the_official_form(sheets: dict[int, list[list[str]]]) -> None:
    assert tuple(sheets[1][0][:8]) == OFFICIAL
    assert [row[4] for row in sheets[1][1:]] == ["2026-11-25", "2026-12-01"]


def test_the_ledger_sheet_holds_the_rows_of_the_ledger_the_verifier_checks(tmp_path: Path) -> None:
    path = folder(tmp_path, night())
    with (path / "ledger.csv").open(encoding="utf-8-sig", newline="") as lines:
        rows = list(csv.reader(lines))[1:]
    assert tables(path)[1][1:] == rows


def test_a_request_names_the_standing_approval_it_was_planned_under(sheets: dict[int, list[list[str]]]) -> None:
    own = next(i for i, row in enumerate(sheets[2]) if "R-01 " in row[6])
    assert cell(sheets[2], own, "disposals") == "2"
    assert cell(sheets[2], own, "records found") == "3"
    assert cell(sheets[2], own, "approved by") == "privacy_officer e-0001"


def test_a_request_whose_approval_lies_before_the_export_says_so(tmp_path: Path) -> None:
    rows = tables(folder(tmp_path, life(1)))[2]
    assert "before this export" in cell(rows, 1, "approved on")


def test_separate_storage_shows_what_is_stored_and_what_is_gone(sheets: dict[int, list[list[str]]]) -> None:
    states = {cell(sheets[3], i, "object sha256")[:2]: cell(sheets[3], i, "state") for i in (1, 2)}
    assert states == {"bb": "파기됨 · destroyed", "aa": "보관 중 · stored"}
    stored = next(i for i in (1, 2) if cell(sheets[3], i, "object sha256")[:2] == "aa")
    assert cell(sheets[3], stored, "readers") == "privacy_officer e-0001"


def test_holds_are_those_people_placed_and_those_the_books_cause(sheets: dict[int, list[list[str]]]) -> None:
    assert [row[0] for row in sheets[4][1:]] == ["H-6 법원 명령 보류 · court order"] * 2
    assert [cell(sheets[4], i, "disposals blocked") for i in (1, 2)] == ["", "1"]


def test_what_a_processor_keeps_is_never_confirmed(sheets: dict[int, list[list[str]]]) -> None:
    kept = next(i for i, row in enumerate(sheets[5]) if "stripe_aml_card_rules" in row)
    assert cell(sheets[5], kept, "confirmed on") == ""
    assert cell(sheets[5], kept, "receipt sha256") == "cd" * 32
    assert cell(sheets[5], kept, "requested on") == "2026-11-25"


def test_a_sheet_without_any_entry_says_so_in_both_languages(sheets: dict[int, list[list[str]]]) -> None:
    assert sheets[6][1:] == [[EMPTY]]


def test_exceptions_are_everything_that_was_not_destroyed_in_time(sheets: dict[int, list[list[str]]]) -> None:
    what = sorted(row[0].partition(" · ")[2] for row in sheets[7][1:])
    assert what == ["destroyed late", "failed", "held or blocked", "kept by processor", "waits for a person"]
    late = next(i for i, row in enumerate(sheets[7]) if "destroyed late" in row[0])
    assert cell(sheets[7], late, "days late") == "6"


def test_paper_that_is_not_attested_has_no_date(sheets: dict[int, list[list[str]]]) -> None:
    assert cell(sheets[8], 1, "destroyed on") == ""


def test_the_summary_adds_up_and_agrees_with_the_run(sheets: dict[int, list[list[str]]]) -> None:
    total = next(row for row in sheets[11] if row[1] == "합계 · total")
    numbers = [int(n) for n in total[2:17]]
    assert numbers[0] == sum(numbers[1:]) == 6
    assert next(row for row in sheets[11] if "run's own counts" in row[1])[18] == "예 · yes"


def test_the_terminated_accounts_are_reconciled_with_what_became_of_them(sheets: dict[int, list[list[str]]]) -> None:
    head = next(i for i, row in enumerate(sheets[11]) if "terminated accounts reconciled" in row[1])
    terminated, *classes = [int(row[17]) for row in sheets[11][head : head + 6]]
    assert terminated == sum(classes) == 7
    assert sheets[11][head][18] == "예 · yes"


def test_a_reconciliation_that_does_not_add_up_is_shown(tmp_path: Path) -> None:
    entries = [base("population", code="reconciled", counts=RECONCILED | {"held": 0})]
    rows = tables(folder(tmp_path, entries))[11]
    assert next(row for row in rows if "terminated accounts reconciled" in row[1])[18] == "아니오 · no"


def test_a_run_that_counted_otherwise_is_shown(tmp_path: Path) -> None:
    entries = night()
    entries[-1] = base("run_finished", counts={"own_database.confirmed_absent": 3})
    rows = tables(folder(tmp_path, entries))[11]
    assert next(row for row in rows if "run's own counts" in row[1])[18] == "아니오 · no"


def test_a_part_of_the_log_is_never_said_to_agree_with_the_runs_counts(tmp_path: Path) -> None:
    rows = tables(folder(tmp_path, night(), before=5), first_index=5)[11]
    assert next(row for row in rows if "run's own counts" in row[1])[18] == "확인 불가 · cannot be told here"


def test_a_period_shows_what_ended_in_it_and_what_is_open_at_its_end(tmp_path: Path) -> None:
    rows = tables(folder(tmp_path, night()), Selection(start="2026-11-26", end="2026-12-31"))
    assert [row[4] for row in rows[1][1:]] == ["2026-12-01"]
    assert len(rows[7]) == 1 + 4


def test_what_comes_after_the_period_is_not_known_in_it(tmp_path: Path) -> None:
    rows = tables(folder(tmp_path, night()), Selection(end="2026-11-30"))
    assert len(rows[1]) == 2


def test_an_export_of_one_processor_shows_no_other(tmp_path: Path) -> None:
    rows = tables(folder(tmp_path, night()), Selection(processor="stripe"))
    assert rows[1][1:] == [[EMPTY]]
    assert {row[0] for row in rows[5][1:]} == {"스트라이프 · Stripe"}


def test_an_export_of_one_subject_shows_no_other(tmp_path: Path) -> None:
    tag = disposal(2, "planned")["subject_tag"]
    rows = tables(folder(tmp_path, night()), Selection(subject_tag=tag))
    assert [row[19] for row in rows[1][1:]] == [tag]
    assert rows[5][1:] == [[EMPTY]]


@pytest.mark.parametrize(
    "wrong", [{"subject_tag": "someone@example.com"}, {"start": "yesterday"}, {"processor": "x y"}]
)
def test_a_selection_refuses_what_could_be_personal_data(wrong: dict[str, str]) -> None:
    with pytest.raises(EvidenceError):
        Selection(**wrong)


def test_a_disposal_that_came_back_is_an_exception_again(tmp_path: Path) -> None:
    rows = tables(folder(tmp_path, [*life(1), disposal(1, "reappeared")]))
    assert [row[0] for row in rows[7][1:]] == ["실패 · failed"] * 2
    assert next(r for r in rows[11] if r[1] == "합계 · total")[2] == "2"


def test_a_failure_that_was_overcome_is_still_shown(tmp_path: Path) -> None:
    entries = life(1)
    entries.insert(3, disposal(1, "failed", code="timeout"))
    assert tables(folder(tmp_path, entries))[7][1][0] == "실패 후 완료 · done after failures"


def test_an_answered_request_of_a_person_counts_its_days(tmp_path: Path) -> None:
    who = {"subject_tag": "11" * 32, "key_epoch": "2026"}
    entries = [
        base("request_received", code="erase", subject_type="child", until="2026-12-05", **who),
        base("request_answered", code="refused", basis="R-05", as_of="2026-11-29", **who),
    ]  # fmt: skip
    (row,) = tables(folder(tmp_path, entries))[6][1:]
    assert row[4:10] == ["예 · yes", "2026-12-05", "2026-11-29", "4", "거절 · refused", "R-05"]


def test_times_are_korean_with_their_offset(sheets: dict[int, list[list[str]]]) -> None:
    assert cell(sheets[5], 1, "recorded at (KST)") == "2026-11-25T02:00:00+09:00"


@pytest.mark.parametrize("text", ["=1+1", "+82", "-1", "@x", "\t=1", " =1", "\r@x"])
def test_no_cell_can_start_a_formula(text: str) -> None:
    assert str(safe(text)).startswith("'")
    assert safe(safe(text)) == safe(text)


def test_a_processor_is_overdue_until_it_is_read_as_gone(tmp_path: Path) -> None:
    rows = tables(
        folder(tmp_path, [stripe(1, "planned"), stripe(1, "awaiting", until="2026-12-09", as_of="2026-11-30")])
    )
    assert cell(rows[5], 1, "days overdue") == "5"
