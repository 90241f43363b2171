"""The inventory shows what is kept and what should not be there."""

from __future__ import annotations

from datetime import date, timedelta

from sqlalchemy import update

from include.archive.inventory import excess, missing, strangers, table, to_csv
from include.database import archive_object
from tests.archive.conftest import TODAY, Desk, payment, short


def test_the_table_counts_by_law_and_year(desk: Desk) -> None:
    for n in range(3):
        desk.stage(f"a{n}", payment(n))
    desk.pack()
    lines = table(desk.engine, as_of=TODAY)
    assert [(line.rule_id, line.year, line.objects, line.rows, line.subjects) for line in lines] == [
        ("R-02i", 2032, 1, 3, 3),
        ("R-04", 2031, 1, 3, 3),
    ]
    assert [line.last_end for line in lines] == [date(2032, 3, 31), date(2031, 1, 6)]
    assert [(line.overdue, line.billed_early, line.held_copies) for line in lines] == [(0, 0, 0)] * 2


def test_a_group_that_outlived_its_basis_and_one_that_leaves_its_class_early_are_named(desk: Desk) -> None:
    desk.stage("a1", payment(1), terms_of=short(3600))
    desk.pack()
    (line,) = table(desk.engine, as_of=TODAY + timedelta(days=1))
    assert (line.overdue, line.billed_early) == (1, 1)


def test_no_stored_item_exceeds_its_list_and_one_that_does_is_found(desk: Desk) -> None:
    desk.stage("a1", payment(1))
    desk.pack()
    listed = desk.schedule.kept_items
    assert list(excess(desk.engine, desk.store, keys=desk.keys, items=listed)) == []
    shorter = list(
        excess(desk.engine, desk.store, keys=desk.keys, items=lambda r, s: [i for i in listed(r, s) if i != "email"])
    )
    assert {e.items for e in shorter} == {("email",)}
    assert "example.com" not in repr(shorter)


def test_what_the_bucket_and_the_database_disagree_on_is_listed(desk: Desk) -> None:
    desk.stage("a1", payment(1), terms_of=short(3600))
    (key,) = desk.pack().keys
    assert key not in strangers(desk.engine, desk.store)
    assert missing(desk.engine, desk.store) == []
    with desk.engine.begin() as connection:
        connection.execute(update(archive_object).values(state="abandoned"))
    assert key in strangers(desk.engine, desk.store)


def test_the_export_opens_in_excel(desk: Desk) -> None:
    desk.stage("a1", payment(1))
    desk.pack()
    text = to_csv(table(desk.engine, as_of=TODAY))
    assert text.startswith(b"\xef\xbb\xbfrule_id,year,")
    assert b"\r\nR-02i,2032,1,1,1,2032-03-31,2032-03-31,2032-03-31T15:00:00Z,GLACIER_IR,0,0,0\r\n" in text
