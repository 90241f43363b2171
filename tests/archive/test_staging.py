"""Staging: reduced, encrypted, as often as one likes."""

from __future__ import annotations

from datetime import date

import pytest
from sqlalchemy import update

from include.archive.keyring import ArchiveKeys
from include.archive.rows import ArchivedRow
from include.archive.staging import open_staged, ready, unpacked
from include.database import archive_row
from include.errors import ArchiveError, ConfigurationError
from include.keys import LocalWrapper
from include.processors import Record
from tests.archive.conftest import Desk, payment, short


def test_one_record_is_staged_once_under_each_law_that_keeps_it(desk: Desk) -> None:
    desk.stage("a1", payment(1))
    rows = [ArchivedRow.decode(open_staged(r, desk.keys)) for r in desk.rows("archive_row")]
    assert {r.rule_id for r in rows} == {"R-02i", "R-04"}
    assert all(set(r.items) == set(desk.schedule.kept_items(r.rule_id, "individual")) for r in rows)


def test_staging_again_adds_nothing(desk: Desk) -> None:
    disposal_id = desk.stage("a1", payment(1))
    before = desk.rows("archive_row")
    desk.stage("a1", payment(1), disposal_id=disposal_id)
    assert desk.rows("archive_row") == before


def test_a_changed_source_replaces_the_staged_row(desk: Desk) -> None:
    disposal_id = desk.stage("a1", payment(1), terms_of=short(60))
    desk.stage("a1", payment(1, **{"fee.received": 5}), disposal_id=disposal_id, terms_of=short(60))
    (row,) = desk.rows("archive_row")
    assert ArchivedRow.decode(open_staged(row, desk.keys)).items["fee.received"] == 5


def test_every_disposal_that_relies_on_a_record_waits_for_it(desk: Desk) -> None:
    first = desk.stage("a1", payment(1))
    second = desk.stage("a1", payment(1))
    other = desk.stage("a2")
    with desk.engine.connect() as connection:
        assert unpacked(connection, [first, str(second), other]) == {first, second}
        assert ready(connection, [first, str(second), other]) == {other}


def test_a_record_whose_clocks_have_ended_is_not_archived(desk: Desk) -> None:
    old = Record(
        "", "old", "payment", {"transaction": date(2015, 1, 5), "paid_and_supplied": date(2015, 1, 6)}, payment(1).items
    )
    desk.stage("a1", old)
    assert desk.count("archive_row") == 0


def test_only_the_law_that_still_runs_keeps_a_record(desk: Desk) -> None:
    dates = {"transaction": date(2020, 6, 1), "paid_and_supplied": date(2020, 6, 1)}
    desk.stage("a1", Record("", "mid", "payment", dates, payment(1).items), as_of=date(2025, 9, 1))
    assert [r.rule_id for r in desk.rows("archive_row")] == ["R-02i"]


def test_a_record_without_the_date_its_law_counts_from_is_refused(desk: Desk) -> None:
    with pytest.raises(ArchiveError, match="clock"):
        desk.stage("a1", Record("", "x", "payment", {}, payment(1).items))
    assert desk.count("archive_row") == 0


def test_staged_rows_hold_no_readable_item(desk: Desk) -> None:
    desk.stage("a1", payment(1))
    dumped = repr(desk.rows("archive_row")).encode()
    assert not [v for v in payment(1).items.values() if str(v).encode() in dumped and len(str(v)) > 4]
    assert b"pay-1" not in dumped


def test_a_row_moved_to_another_law_does_not_open(desk: Desk) -> None:
    desk.stage("a1", payment(1), terms_of=short(60))
    with desk.engine.begin() as connection:
        connection.execute(update(archive_row).values(rule_id="R-03"))
    with pytest.raises(ConfigurationError, match="does not open"):
        open_staged(desk.rows("archive_row")[0], desk.keys)


def test_another_key_opens_nothing(desk: Desk) -> None:
    desk.stage("a1", payment(1), terms_of=short(60))
    with pytest.raises(ConfigurationError, match="does not open"):
        open_staged(desk.rows("archive_row")[0], ArchiveKeys.of(LocalWrapper(b"x" * 32)))


def test_the_same_source_id_at_two_places_is_two_records(desk: Desk) -> None:
    desk.stage("a1", payment(1, source_id="1"), disposal_id=desk.plan("a1", processor="stripe"), terms_of=short(60))
    desk.stage(
        "a1", payment(1, source_id="1"), disposal_id=desk.plan("a1", processor="own_database"), terms_of=short(60)
    )
    assert desk.count("archive_row") == 2
