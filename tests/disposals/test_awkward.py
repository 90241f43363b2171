"""Awkward moments: two tasks at once, a place that changes between looking and acting, a batch with one bad record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, insert, select, update

from include.database import checkpoint, claim, disposal, entry, locator, run
from include.disposals import claims, finish_run
from include.disposals.reporting import gaps, overdue
from include.disposals.runs import night_at_work
from include.errors import Refused, Unreachable
from include.outcomes import Outcome
from include.processors import STALE_LOCATOR, Found, Record, Result, Step, Subject, Work
from tests.disposals.conftest import DAY, Bench
from tests.disposals.fakes import Place

TOMORROW = DAY + timedelta(days=1)


def place_with(*accounts: str, **more: Any) -> Place:
    return Place(records={a: {"bin", "record"} for a in accounts}, **more)


def test_a_task_that_read_before_another_finished_sees_what_the_other_did(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its first look is older than its lease; acting on it would repeat, or overwrite a locator with nothing found."""
    place, disposal_id = place_with("a", not_before=DAY + timedelta(days=90)), bench.plan("a")
    take = claims.take

    def slow(*arguments: Any) -> claims.Claim:
        monkeypatch.setattr(claims, "take", take)
        bench.locate(place, disposal_id, owner="other")
        bench.advance(place, disposal_id, owner="other")
        place.records["a"].clear()
        return take(*arguments)

    monkeypatch.setattr(claims, "take", slow)
    bench.locate(place, disposal_id)
    bench.advance(place, disposal_id)
    row = bench.row(disposal_id)
    assert (row.outcome, row.step) == (Outcome.AWAITING, "second")
    with bench.context.engine.connect() as connection:
        assert connection.execute(select(locator.c.kind)).scalars().all() == ["found"]


def test_what_turns_up_only_in_the_read_back_is_located_and_extracted_before_it_is_touched(bench: Bench) -> None:
    place, disposal_id = Place(), bench.plan("a")
    bench.locate(place, disposal_id)
    place.records["a"] = {"bin", "record"}
    bench.advance(place, disposal_id)
    assert (bench.row(disposal_id).code, place.acts()) == (STALE_LOCATOR, [])
    bench.advance(place, disposal_id)
    assert place.acts() == []
    bench.locate(place, disposal_id)
    bench.advance(place, disposal_id)
    assert bench.row(disposal_id).outcome == Outcome.CONFIRMED_ABSENT


def test_the_address_a_place_was_searched_by_outlives_the_account_and_a_stale_locator(bench: Bench) -> None:
    """What a place found nobody by is kept there in the locator; without it the second search would find nobody."""
    place, disposal_id = Place(), bench.plan("a")
    asked: list[Subject] = []
    locate = place.locate

    def by_address(subjects: Sequence[Subject]) -> list[Found]:
        asked.extend(subjects)
        kept = {"emails": list(subjects[0].emails), "phones": ["+82101234"], "located_on": "2026-11-24"}
        return [replace(f, locator=f.locator or kept) for f in locate(subjects)]

    place.locate = by_address  # type: ignore[method-assign]
    place.steps = lambda w: (Step("first"), Step("second")) if "key" in w.locator else ()  # type: ignore[method-assign]
    bench.locate(place, disposal_id)
    place.records["a"] = {"bin", "record"}
    bench.context.accounts.gone.add("a")  # type: ignore[attr-defined]
    bench.advance(place, disposal_id)
    assert bench.row(disposal_id).code == STALE_LOCATOR
    bench.locate(place, disposal_id)
    assert (asked[-1].emails, asked[-1].phones) == (("a@example.com",), ("+82101234",))
    bench.advance(place, disposal_id)
    assert bench.row(disposal_id).outcome == Outcome.CONFIRMED_ABSENT
    assert place.records["a"] == set()


def test_a_right_that_was_lost_since_locating_is_noticed_before_anything_is_read_as_absent(bench: Bench) -> None:
    place, disposal_id = Place(), bench.plan("a")
    bench.locate(place, disposal_id)

    def demoted() -> None:
        raise Refused("zendesk", "not_an_admin", status=403)

    place.check = demoted  # type: ignore[method-assign]
    with pytest.raises(Refused):
        bench.advance(place, disposal_id)
    assert bench.row(disposal_id).outcome == Outcome.LOCATED


def test_a_read_back_that_asks_for_a_person_is_not_followed_by_the_next_step(bench: Bench) -> None:
    place, disposal_id = place_with("a"), bench.plan("a")
    bench.locate(place, disposal_id)

    def die(_step: str, _work: Sequence[Work]) -> None:
        place.after = lambda _s, _w: None
        raise KeyboardInterrupt

    place.after = die
    with pytest.raises(KeyboardInterrupt):
        bench.advance(place, disposal_id)
    place.read_back = lambda work: [  # type: ignore[method-assign]
        Result(w.disposal_id, Outcome.FAILED, code="ambiguous", needs_person=True) for w in work
    ]
    bench.advance(place, disposal_id)
    assert (place.acts(), bench.row(disposal_id).needs_person) == (["first"], True)


def test_one_record_that_cannot_be_extracted_stops_one_disposal(bench: Bench) -> None:
    place = place_with("a", "b", "c")
    ids = [bench.plan(a) for a in "abc"]

    def extract(work: Sequence[Work]) -> list[Record]:
        if any(w.account_id == "b" for w in work):
            raise Unreachable("zendesk", "not_exported", status=404)
        return []

    place.extract = extract  # type: ignore[method-assign]
    bench.locate(place, *ids)
    assert [bench.row(i).outcome for i in ids] == [Outcome.LOCATED, Outcome.FAILED, Outcome.LOCATED]


def test_a_record_without_the_date_its_law_counts_from_stops_one_disposal(bench: Bench) -> None:
    place = place_with("a", "b", name="stripe")
    ids = [bench.plan(a, "stripe", scope_id="payments", datasets=["payments"]) for a in "ab"]
    place.archivable = {ids[0]: [Record(ids[0], "ch_1", "payment", {}, {"fee.billed": 1})]}
    bench.locate(place, *ids)
    assert [(bench.row(i).outcome, bench.row(i).code) for i in ids] == [
        (Outcome.FAILED, "record_without_date"),
        (Outcome.LOCATED, None),
    ]


def test_an_unforeseen_error_at_one_place_leaves_its_search_keys_for_later(bench: Bench) -> None:
    place, disposal_id = place_with("a"), bench.plan("a")

    def broken(_subjects: Sequence[Subject]) -> list[Found]:
        raise KeyError("a field that was not there")

    place.locate = broken  # type: ignore[method-assign]
    with pytest.raises(KeyError):
        bench.locate(place, disposal_id)
    assert bench.row(disposal_id).code == "unexpected_error"
    with bench.context.engine.connect() as connection:
        assert connection.execute(select(locator.c.kind)).scalars().all() == ["search"]


def test_a_place_that_stays_down_is_noted_once_and_not_every_hour(bench: Bench) -> None:
    place, disposal_id = place_with("a", down=True), bench.plan("a")
    for _ in range(3):
        with pytest.raises(Unreachable):
            bench.locate(place, disposal_id)
    assert bench.events(disposal_id) == ["failed"]


def test_what_could_not_be_located_again_is_not_acted_on_from_old_ids(bench: Bench) -> None:
    place, disposal_id = place_with("a"), bench.plan("a")
    bench.locate(place, disposal_id)
    with bench.context.engine.begin() as connection:
        connection.execute(update(disposal).values(outcome="blocked", code="open_ticket"))
    place.down = True
    with pytest.raises(Unreachable):
        bench.locate(place, disposal_id, as_of=TOMORROW)
    place.down = False
    bench.advance(place, disposal_id, as_of=TOMORROW)
    assert place.acts() == []
    bench.locate(place, disposal_id, as_of=TOMORROW)
    bench.advance(place, disposal_id, as_of=TOMORROW)
    assert bench.row(disposal_id).outcome == Outcome.CONFIRMED_ABSENT


def test_a_reading_that_failed_where_nothing_was_found_is_made_again_though_the_company_forgot_the_account(
    bench: Bench,
) -> None:
    place, disposal_id = place_with(), bench.plan("a")
    bench.locate(place, disposal_id)
    bench.context.accounts.gone.add("a")  # type: ignore[attr-defined]
    honest = place.read_back

    def lost(_work: Sequence[Work]) -> list[Result]:
        raise Unreachable("zendesk", "no_answer")

    place.read_back = lost  # type: ignore[method-assign]
    with pytest.raises(Unreachable):
        bench.advance(place, disposal_id)
    assert (bench.row(disposal_id).outcome, bench.row(disposal_id).attempts) == (Outcome.FAILED, 0)
    place.read_back = honest  # type: ignore[method-assign]
    bench.locate(place, disposal_id, as_of=TOMORROW)
    bench.advance(place, disposal_id, as_of=TOMORROW)
    assert bench.row(disposal_id).outcome == Outcome.CONFIRMED_ABSENT


def test_a_batch_of_tens_of_thousands_fits_into_the_lock_table(bench: Bench) -> None:
    accounts = [f"a{n:06d}" for n in range(40_000)]
    taken = claims.take(bench.context.engine, "adroll", accounts, "me")
    assert len(taken.accounts) == 40_000
    with bench.context.engine.begin() as connection:
        claims.lock_accounts(connection, accounts)
        assert len(claims.hold(connection, taken)) == 40_000


def test_an_exclusive_processor_is_left_to_a_later_run_when_another_holds_it_too_long(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "PATIENCE", 0.1)
    engine = bench.context.engine
    with claims.exclusive(engine, "adroll", wanted=True):
        with pytest.raises(Unreachable, match="busy"), claims.exclusive(engine, "adroll", wanted=True):
            raise AssertionError("two runs re-post one list")
    with claims.exclusive(engine, "adroll", wanted=True):
        pass


def _sealed(bench: Bench) -> None:
    with bench.context.engine.begin() as connection:
        connection.execute(update(entry).values(log_index=entry.c.entry_id - 1))
        size = connection.execute(select(func.count()).select_from(entry)).scalar_one()
        connection.execute(
            insert(checkpoint).values(size=size, root=b"r", note="n", frontier=[], signed_at=datetime(2026, 11, 24))
        )


def test_a_run_whose_evidence_is_not_sealed_or_not_exported_has_a_gap(bench: Bench) -> None:
    run_id = bench.context.run_id
    assert run_id is not None
    with bench.context.engine.begin() as connection:
        connection.execute(update(run).values(population={}))
    assert gaps(bench.context, run_id) == ["the evidence of this run is not sealed"]
    finish_run(bench.context, run_id, {})
    _sealed(bench)
    assert gaps(bench.context, run_id) == []
    assert gaps(bench.context, run_id, exported=False) == ["the evidence of this run is not exported"]


def test_what_another_run_is_working_on_is_not_this_runs_gap(bench: Bench) -> None:
    assert bench.context.run_id is not None
    bench.plan("a")
    assert any("zendesk planned 1" in g for g in gaps(bench.context, bench.context.run_id))
    claims.take(bench.context.engine, "zendesk", ["a"], "advance_disposals/other/locate/0")
    assert not any("zendesk" in g for g in gaps(bench.context, bench.context.run_id))
    with bench.context.engine.begin() as connection:
        connection.execute(update(claim).values(owner="nightly_retention/r1/locate/0"))
    assert any("zendesk" in g for g in gaps(bench.context, bench.context.run_id))


def test_the_hourly_run_leaves_the_field_to_a_night_at_work(bench: Bench) -> None:
    assert bench.context.run_id is not None
    with bench.context.engine.connect() as connection:
        assert night_at_work(connection)
    finish_run(bench.context, bench.context.run_id, {})
    with bench.context.engine.connect() as connection:
        assert not night_at_work(connection)


def test_what_waits_for_a_person_past_its_limit_is_named_every_night(bench: Bench) -> None:
    bench.plan("a", outcome="failed", code="ambiguous", needs_person=True, due_at=None)
    bench.plan("b", outcome="manual_pending", code="vendor_request_to_send", until=date(2026, 11, 30), due_at=None)
    assert overdue(bench.context) == {}
    later = replace(bench.context, as_of=date(2026, 12, 2))
    assert overdue(later) == {"zendesk failed (ambiguous)": 1, "zendesk manual_pending (vendor_request_to_send)": 1}
