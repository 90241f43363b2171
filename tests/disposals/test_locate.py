"""Locating: what is found is kept encrypted, a place that cannot be searched delays nobody else, what a law keeps
comes first.
"""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from sqlalchemy import select

from include.database import archive_row, locator
from include.disposals import locators
from include.errors import Unreachable
from include.outcomes import Outcome
from include.policy.facts import Hold
from include.processors import Record
from tests.disposals.conftest import DAY, Bench
from tests.disposals.fakes import Accounts, Place

TOMORROW = DAY + timedelta(days=1)


def own(bench: Bench, account: str = "a", **columns: object) -> str:
    return bench.plan(
        account, "own_database", rule_id="R-01", scope_id="account", datasets=["account_profile"], **columns
    )


def stored(bench: Bench, disposal_id: str) -> tuple[str, dict[str, object]]:
    with bench.context.engine.connect() as connection:
        return locators.read(connection, bench.context, [disposal_id])[disposal_id]


def test_what_was_found_is_unreadable_without_the_key(bench: Bench) -> None:
    place, disposal_id = Place(records={"acct-7": {"record"}}), bench.plan("acct-7")
    bench.locate(place, disposal_id)
    assert stored(bench, disposal_id) == ("found", {"key": "acct-7"})
    with bench.context.engine.connect() as connection:
        assert b"acct-7" not in bytes(connection.execute(select(locator.c.ciphertext)).scalar_one())


def test_the_own_database_waits_until_the_others_are_located_and_not_until_they_are_confirmed(bench: Bench) -> None:
    elsewhere = Place(records={"a": {"bin", "record"}}, not_before=DAY + timedelta(days=90))
    database = Place(name="own_database", records={"a": {"bin", "record"}})
    stripe, account = bench.plan("a"), own(bench)
    bench.locate(database, account)
    bench.advance(database, account)
    assert database.acts() == []
    bench.locate(elsewhere, stripe)
    bench.advance(database, account)
    assert bench.row(account).outcome == Outcome.CONFIRMED_ABSENT
    assert bench.row(stripe).outcome == Outcome.LOCATED


def test_stripe_clarity_and_a_salesforce_that_is_down_do_not_hold_the_own_database_back(bench: Bench) -> None:
    """One account: Stripe waits ninety days, Clarity thirteen months, Salesforce is down; the others finish later."""
    ninety, clarity_end = DAY + timedelta(days=90), date(2027, 12, 24)
    stripe = Place(
        name="stripe", records={"a": {"bin", "record"}}, not_before=ninety, ends_as=Outcome.RETAINED_BY_PROCESSOR
    )
    clarity = Place(name="clarity", ends_as=Outcome.EXPIRES_BY_PROCESSOR, until=clarity_end)
    salesforce = Place(name="salesforce", records={"a": {"bin", "record"}}, down=True)
    database = Place(name="own_database", records={"a": {"bin", "record"}})
    at = {p.name: bench.plan("a", p.name) for p in (stripe, clarity, salesforce)} | {"own_database": own(bench)}
    for place in (stripe, clarity, database):
        bench.locate(place, at[place.name])
    with pytest.raises(Unreachable):
        bench.locate(salesforce, at["salesforce"])
    for place in (stripe, clarity, database):
        bench.advance(place, at[place.name])
    assert bench.row(at["own_database"]).outcome == Outcome.CONFIRMED_ABSENT
    assert isinstance(bench.context.accounts, Accounts)
    bench.context.accounts.gone.add("a")

    salesforce.down = False
    bench.locate(salesforce, at["salesforce"], as_of=TOMORROW)
    bench.advance(salesforce, at["salesforce"], as_of=TOMORROW)
    assert bench.row(at["salesforce"]).outcome == Outcome.CONFIRMED_ABSENT
    bench.advance(stripe, at["stripe"], as_of=ninety)
    assert bench.row(at["stripe"]).outcome == Outcome.RETAINED_BY_PROCESSOR
    bench.advance(clarity, at["clarity"], as_of=clarity_end)
    assert bench.row(at["clarity"]).closed_on == clarity_end


def test_search_keys_of_a_place_that_was_down_outlive_the_account_and_leave_with_the_locator(bench: Bench) -> None:
    place, disposal_id = Place(records={"a": {"record"}}, down=True), bench.plan("a")
    with pytest.raises(Unreachable):
        bench.locate(place, disposal_id)
    kind, keys = stored(bench, disposal_id)
    assert (kind, keys["emails"]) == ("search", ["a@example.com"])
    place.down = False
    bench.locate(place, disposal_id)
    assert stored(bench, disposal_id) == ("found", {"key": "a"})


def test_a_held_disposal_is_looked_at_again_tomorrow_and_noted_once(bench: Bench) -> None:
    assert isinstance(bench.context.accounts, Accounts)
    bench.context.accounts.holds["a"] = [Hold(hold_id="x", kind="H-3", datasets=("support",), placed_on=DAY)]
    place, disposal_id = Place(records={"a": {"record"}}), bench.plan("a")
    bench.locate(place, disposal_id)
    bench.locate(place, disposal_id, as_of=TOMORROW)
    assert bench.events(disposal_id) == ["blocked"]
    assert bench.row(disposal_id).due_at == TOMORROW + timedelta(days=1)
    assert place.calls == []


def test_nothing_located_is_read_back_once_and_ends_as_absent_with_a_count_of_zero(bench: Bench) -> None:
    place, disposal_id = Place(), bench.plan("nobody")
    bench.locate(place, disposal_id)
    bench.advance(place, disposal_id)
    row = bench.row(disposal_id)
    assert (row.outcome, row.count_before, row.count_after) == (Outcome.CONFIRMED_ABSENT, 0, 0)
    assert place.acts() == []


def test_a_source_is_not_touched_before_what_a_law_keeps_is_in_the_archive(bench: Bench) -> None:
    disposal_id = bench.plan("a", "stripe", scope_id="payments", datasets=["payments"])
    record = Record(
        disposal_id, "ch_1", "payment",
        {"transaction": date(2026, 5, 2), "paid": date(2026, 5, 2), "supplied": date(2026, 5, 31)},
        {"name": "Sample Person", "fee.billed": 1000, "card.fingerprint": "zzz"},
    )  # fmt: skip
    place = Place(name="stripe", records={"a": {"bin", "record"}}, archivable={disposal_id: [record]})
    bench.locate(place, disposal_id)
    with bench.context.engine.connect() as connection:
        assert connection.execute(select(archive_row.c.rule_id)).all()
    bench.advance(place, disposal_id)
    assert place.acts() == []
    assert bench.row(disposal_id).outcome == Outcome.LOCATED
