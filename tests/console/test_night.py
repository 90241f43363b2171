"""The morning's page: each open disposal under one state and one prospect, and nothing about anybody in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import insert

from include.console.app import STATIC
from include.console.pages.night import END_KIND, figures_of
from include.console.reading import night as reading
from include.console.words import texts
from include.database import quota
from include.disposals import Context, approvals, begin_run, stopping
from include.disposals.brake import judge_night
from tests.console.conftest import Visit
from tests.disposals.conftest import DAY, Bench

DAYS = timedelta


def counted(context: Context) -> list[reading.Open]:
    with context.engine.connect() as connection:
        return reading.open_now(connection, DAY)


@pytest.mark.parametrize(
    ("columns", "state", "prospect"),
    [
        ({"outcome": "planned", "due_at": DAY}, "due", "in_time"),
        ({"outcome": "planned", "due_at": DAY + DAYS(1)}, "waiting", "in_time"),
        ({"outcome": "planned", "due_at": DAY + DAYS(5)}, "waiting", "miss"),
        ({"outcome": "planned", "due_at": DAY, "destroy_by": DAY - DAYS(1)}, "due", "late"),
        ({"outcome": "planned", "due_at": DAY, "destroy_by": DAY}, "due", "in_time"),
        ({"outcome": "awaiting", "until": DAY + DAYS(90), "due_at": DAY + DAYS(90)}, "waiting", "dated"),
        ({"outcome": "awaiting", "until": DAY - DAYS(1), "destroy_by": DAY - DAYS(2)}, "due", "late"),
        ({"outcome": "blocked", "code": "hold_h-2", "due_at": None}, "held", "held"),
        ({"outcome": "blocked", "code": "plan_not_approved", "destroy_by": DAY - DAYS(1)}, "held", "late"),
        ({"outcome": "failed", "code": "still_present", "due_at": DAY}, "failed", "in_time"),
        ({"outcome": "failed", "needs_person": True, "due_at": None}, "failed", "person"),
        ({"outcome": "reappeared", "needs_person": True, "due_at": None}, "failed", "person"),
        ({"outcome": "manual_pending", "until": DAY + DAYS(7), "due_at": None}, "person", "person"),
        ({"outcome": "retained", "until": DAY + DAYS(900)}, "kept", "dated"),
        ({"outcome": "expires_by_processor", "until": DAY + DAYS(30)}, "lapses", "dated"),
        ({"outcome": "accepted", "due_at": None}, "waiting", "miss"),
    ],
)
def test_an_open_disposal_is_counted_under_one_state_and_one_prospect(
    context: Context, bench: Bench, columns: dict[str, Any], state: str, prospect: str
) -> None:
    bench.plan("a1", destroy_by=columns.pop("destroy_by", DAY + DAYS(2)), **columns)
    (row,) = counted(context)
    assert (row.state, row.prospect, row.count) == (state, prospect, 1)
    assert row.state in reading.STATES
    assert row.prospect in reading.PROSPECTS


def test_what_ended_is_counted_by_its_night_and_only_what_was_read_back_is_destroyed(
    context: Context, bench: Bench
) -> None:
    for number, (outcome, before) in enumerate(
        [("confirmed_absent", 3), ("confirmed_absent", 0), ("confirmed_absent", None), ("manual_attested", 1),
         ("retained_by_processor", 2), ("confirmed_anonymised", 1), ("expires_by_processor", 1), ("cancelled", None)]
    ):  # fmt: skip
        bench.plan(f"a{number}", outcome=outcome, count_before=before, closed_on=DAY, due_at=None)
    bench.plan("a99", outcome="confirmed_absent", count_before=1, closed_on=DAY - DAYS(40), due_at=None)
    with context.engine.connect() as connection:
        ends = {e.end: e.count for e in reading.ended(connection, DAY - DAYS(14))}
    assert ends == {
        "destroyed": 2, "nothing": 1, "attested": 1, "kept": 1, "anonymised": 1, "expired": 1, "cancelled": 1,
    }  # fmt: skip
    assert counted(context) == []


def test_every_end_has_a_colour_of_its_own_and_stands_in_the_key(visit: Callable[[str], Visit]) -> None:
    assert tuple(END_KIND) == reading.ENDS
    assert len(set(END_KIND.values())) == len(END_KIND)
    styles = (STATIC / "console.css").read_text()
    shown = visit("viewer").get("/?lang=en").text
    key = shown.split('id="nights-picture"')[1].split("</section>")[0]
    for end, kind in END_KIND.items():
        assert f".chart .{kind}, .key .{kind} " in styles
        assert f'<i class="{kind}"></i>{texts()[f"end.{end}"][1]}</li>' in key


words = st.sampled_from(reading.STATES), st.sampled_from(reading.PROSPECTS)
rows = st.lists(
    st.builds(
        reading.Open,
        processor=st.sampled_from(["stripe", "zendesk"]),
        state=words[0],
        prospect=words[1],
        destroy_by=st.none() | st.integers(-900, 10).map(lambda n: DAY + DAYS(n)),
        count=st.integers(1, 10**6),
    )
)


@given(rows)
def test_the_picture_and_the_table_lose_nobody(opened: list[reading.Open]) -> None:
    whole = sum(r.count for r in opened)
    burn = reading.burn_down(opened, DAY)
    assert sum(sum(c.values()) for c in burn.values()) == whole
    assert len(burn) == reading.AHEAD + 3
    named = sum(r.count for r in opened if r.destroy_by is not None and r.prospect != "in_time")
    lines = reading.deadlines(opened, DAY)
    assert sum(d.count for d in lines) == named
    assert [d.day for d in lines] == sorted(d.day for d in lines)
    assert sum(sum(c.values()) for c in reading.by_processor(opened, [], None).values()) == whole


@given(st.dictionaries(st.sampled_from([*reading.STATES, *(f"end.{e}" for e in reading.ENDS)]), st.integers(0, 99)))
def test_a_processors_figures_add_up_to_all_it_has(counts: dict[str, int]) -> None:
    assert sum(figures_of(counts).values()) == sum(counts.values())


def test_the_page_names_nobody_and_shows_the_night(
    context: Context, bench: Bench, visit: Callable[[str], Visit]
) -> None:
    night = replace(context, run_id=begin_run(context, airflow_run_id="scheduled__1"))
    bench.plan("a4711", outcome="failed", code="still_present", destroy_by=DAY - DAYS(1))
    shown = visit("viewer").get("/?lang=en").text
    assert 'dags/nightly_retention/runs/scheduled__1"' in shown
    assert "dags/nightly_retention/runs/scheduled__1/tasks/group/zendesk" in shown
    assert "past its day" in shown
    for secret in ("a4711", context.tags.tag("a4711", epoch="2026"), str(night.run_id)):
        assert secret not in shown


def test_a_stop_is_told_first_and_a_breach_clock_with_it(context: Context, visit: Callable[[str], Visit]) -> None:
    stopping.set_stop(
        context, reason_code="wrong_plan", set_by="operator:e-a", now=datetime(2026, 11, 24, 2, tzinfo=UTC)
    )
    shown = visit("viewer").get("/?lang=en").text
    assert "Everything is stopped" in shown
    assert "71 hours left" in shown
    assert shown.index("Everything is stopped") < shown.index("figures")
    assert "(wrong plan)" in shown  # the words of the reason, not its code
    assert "wrong_plan" not in shown


def test_a_breach_clock_that_ran_out_says_how_long_ago(context: Context, visit: Callable[[str], Visit]) -> None:
    stopping.set_stop(
        context, reason_code="wrong_plan", set_by="operator:e-a", now=datetime(2026, 11, 20, 22, tzinfo=UTC)
    )
    shown = visit("viewer").get("/?lang=en").text
    assert "Breach clock ran out 5 hours ago" in shown
    assert "-5 hours" not in shown


def test_a_set_brake_says_who_must_act(context: Context, bench: Bench, visit: Callable[[str], Visit]) -> None:
    for number in range(context.schedule.settings.brake.first_nights + 1):
        bench.plan(f"a{number}", gate=context.run_id)
    by = approvals.staff("ada", "operator", context.wrapper)
    asked = judge_night(context, context.run_id, by=by, expires=datetime(2099, 1, 1, tzinfo=UTC))  # type: ignore[arg-type]
    assert asked.reason == "first_nights"
    shown = visit("viewer").get("/?lang=en").text
    assert "Brake set" in shown
    assert "1 waiting for an answer" in shown


def test_a_quota_shows_how_much_of_its_window_is_reserved(context: Context, visit: Callable[[str], Visit]) -> None:
    now = datetime(2026, 11, 24, 3, tzinfo=UTC)
    with context.engine.begin() as connection:
        connection.execute(insert(quota).values(processor="zendesk", quota="api", next_free=now + DAYS(seconds=45)))
        connection.execute(insert(quota).values(processor="stripe", quota="api", next_free=now - DAYS(seconds=45)))
    with context.engine.connect() as connection:
        found = reading.quotas(connection, {("zendesk", "api"): 60, ("stripe", "api"): 1, ("s3", "x"): 5}, now)
    assert [(q.processor, q.ahead, q.percent) for q in found] == [("s3", 0, 0), ("stripe", 0, 0), ("zendesk", 45, 75)]
    assert "75 % (45 s)" in visit("viewer").get("/?lang=en").text


def test_before_the_first_night_the_page_says_so(visit: Callable[[str], Visit]) -> None:
    reply = visit("viewer").get("/?lang=en")
    assert reply.status_code == 200
    assert "No night has run yet" in reply.text


def test_the_business_date_is_the_newest_a_run_worked_with(context: Context, visit: Callable[[str], Visit]) -> None:
    begin_run(replace(context, as_of=date(2027, 3, 1)), airflow_run_id="ahead")
    assert "2027-03-01" in visit("viewer").get("/?lang=en").text
