"""Every date of a plan is computed anew by the shipped verifier, from plain data and without our code."""

from __future__ import annotations

from contextlib import suppress
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.disposals.reporting import rules
from include.evidence import verify
from include.evidence.export import More, export
from include.policy import schedule
from include.policy.periods import evaluate
from tests.evidence import samples
from tests.evidence.test_verify import SIGNER, examine, remanifest, sealed

SCHEDULE = schedule.load()
DATA = rules([SCHEDULE])
RULES = verify.Rules(samples.spelled(DATA))
STARTS = [(r.id, r.version, t) for r in SCHEDULE.rules.values() for t in r.triggers]


def plan(rule_id: str, started_by: str, on: date, last: date, **more: Any) -> dict[str, Any]:
    days = {"last_day": 0, "free_from": 1, "destroy_by": 5}
    return samples.disposal(
        1,
        more.pop("event", "planned"),
        rule_id=rule_id,
        trigger_event=started_by,
        trigger_date=on.isoformat(),
        policy_sha256=SCHEDULE.sha256,
        **{k: (last + timedelta(days=n)).isoformat() for k, n in days.items()},
        **more,
    )


def flaws(engine: Any, tmp_path: Path, entries: list[dict[str, Any]], *, data: Any = DATA) -> verify.Folder:
    sealed(engine, entries)
    more = More(rules=data, schedules={SCHEDULE.sha256: SCHEDULE.body})
    return examine(export(engine, tmp_path / "x", vkey=SIGNER.vkey, signer=SIGNER, more=more).folder)


@settings(max_examples=400, deadline=None)
@given(start=st.sampled_from(STARTS), on=st.dates(date(2001, 1, 1), date(2042, 12, 31)))
def test_the_verifier_computes_what_the_planner_computes(start: Any, on: date) -> None:
    rule_id, version, trigger = start
    kind = "min" if SCHEDULE.rules[rule_id].kind == "min" else "max"
    term = evaluate(on, trigger.period, kind=kind, holidays=SCHEDULE.holidays, rules=SCHEDULE.period_rules)
    entry = plan(rule_id, trigger.event, on, term.last_day, rule_version=version)
    assert RULES.judge(entry) is None
    for days in (-1, 1):
        bent = plan(rule_id, trigger.event, on, term.last_day + timedelta(days=days), rule_version=version)
        assert "has last day" in str(RULES.judge(bent))


@pytest.mark.parametrize(
    ("rule_id", "event", "on", "last"),
    [
        ("R-01", "terminated", "2026-02-28", "2026-08-31"),
        ("R-01", "terminated", "2025-08-31", "2026-02-28"),
        ("R-01", "terminated", "2026-11-30", "2027-05-31"),
        ("R-08", "terminated", "2023-02-28", "2028-02-29"),
        ("R-07", "credit_record", "2024-02-29", "2027-03-02"),
        ("R-13", "guardian_refused", "2026-12-22", "2026-12-27"),
    ],
)
def test_month_ends_leap_years_and_holidays_are_as_the_civil_act_says(
    rule_id: str, event: str, on: str, last: str
) -> None:
    assert RULES.judge(plan(rule_id, event, date.fromisoformat(on), date.fromisoformat(last))) is None


def test_a_last_day_off_by_one_is_found_though_signed_by_the_true_key(engine: Any, tmp_path: Path) -> None:
    right, on = date(2026, 11, 20), date(2026, 5, 20)
    late = [plan("R-01", "terminated", on, right + timedelta(days=1), event=e) for e in ("planned", "located")]
    found = flaws(engine, tmp_path, late)
    assert "by R-01 they are 2026-11-20, 2026-11-21, 2026-11-25" in found.flaws[0]


@pytest.mark.parametrize("key", ["last_day", "free_from", "destroy_by", "trigger_date"])
def test_a_single_date_changed_after_the_plan_is_found(engine: Any, tmp_path: Path, key: str) -> None:
    lives = [plan("R-01", "terminated", date(2026, 5, 20), date(2026, 11, 20), event=e) for e in ("planned", "located")]
    lives[1][key] = "2026-11-22"
    assert "names another subject, place, reason or date" in flaws(engine, tmp_path, lives).flaws[0]


def test_a_released_hold_makes_a_day_later_and_is_counted(engine: Any, tmp_path: Path) -> None:
    moved = [{"code": "H-1", "date": "2026-12-03"}]
    found = flaws(engine, tmp_path, [plan("R-01", "terminated", date(2026, 5, 20), date(2026, 12, 3), moved_by=moved)])
    assert found.flaws == []
    assert "dates recomputed: 1, 1 of them moved by a floor or a released hold" in found.facts


def test_a_floor_makes_a_day_later_by_its_own_period(engine: Any, tmp_path: Path) -> None:
    moved = [{"code": "R-09", "date": "2026-10-23"}]
    base = {"moved_by": moved, "scope": "access_log"}
    entry = plan("R-01", "terminated", date(2026, 3, 26), date(2027, 1, 25), **base)
    assert RULES.judge(entry) is None
    assert RULES.judge(plan("R-01", "terminated", date(2026, 3, 26), date(2027, 1, 26), **base)) is not None
    assert "no floor of this scope" in str(RULES.judge(entry | {"scope": "account"}))


@pytest.mark.parametrize("moved", [[{"code": "H-1", "date": "2026-11-20"}], [{"code": "H-1", "date": "2026-01-01"}]])
def test_a_hold_that_moves_nothing_may_not_be_named(moved: Any) -> None:
    entry = plan("R-01", "terminated", date(2026, 5, 20), date(2026, 11, 20), moved_by=moved)
    assert "moves nothing" in str(RULES.judge(entry))


def test_another_rule_version_or_event_than_the_schedules_is_found() -> None:
    entry = plan("R-01", "terminated", date(2026, 5, 20), date(2026, 11, 20))
    assert "does not have" in str(RULES.judge(entry | {"rule_version": 2}))
    assert "does not have" in str(RULES.judge(entry | {"rule_id": "R-77"}))
    assert "does not start R-01" in str(RULES.judge(entry | {"trigger_event": "requested"}))


def test_dates_under_a_schedule_that_is_not_there_are_named_as_not_checked(engine: Any, tmp_path: Path) -> None:
    entry = plan("R-01", "terminated", date(2026, 5, 20), date(2026, 11, 20)) | {"policy_sha256": "cd" * 32}
    found = flaws(engine, tmp_path, [entry])
    assert found.flaws == []
    assert any("cdcdcdcdcdcd: rules.json lacks it" in c for c in found.open_checks)


def test_without_rules_the_dates_are_named_as_not_checked(engine: Any, tmp_path: Path) -> None:
    entry = plan("R-01", "terminated", date(2026, 5, 20), date(2026, 11, 20))
    assert any("no rules.json" in c for c in flaws(engine, tmp_path, [entry], data=None).open_checks)


def test_a_later_day_whose_plan_lies_before_the_export_is_named_as_not_checked(engine: Any, tmp_path: Path) -> None:
    moved = [{"code": "H-1", "date": "2026-12-03"}]
    life = [plan("R-01", "terminated", date(2026, 5, 20), date(2026, 12, 3), moved_by=moved)]
    life.append(plan("R-01", "terminated", date(2026, 5, 20), date(2026, 12, 3), event="located"))
    sealed(engine, life)
    more = More(rules=DATA)
    done = export(engine, tmp_path / "x", vkey=SIGNER.vkey, signer=SIGNER, first_index=1, more=more)
    found = examine(done.folder)
    assert found.flaws == []
    assert any("whose plans lie before entry 1" in c for c in found.open_checks)


def test_a_schedule_file_must_be_the_one_that_was_approved(engine: Any, tmp_path: Path) -> None:
    folder = flaws(engine, tmp_path, [samples.base("run_started")]).path
    path = folder / f"schedules/{SCHEDULE.sha256}.yaml"
    path.write_bytes(path.read_bytes() + b"# more\n")
    remanifest(folder, signer=SIGNER)
    assert any("not the schedule that was approved" in f for f in examine(folder).flaws)


HOSTILE = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 2**60) | st.text(max_size=8),
    lambda x: st.lists(x, max_size=3) | st.dictionaries(st.sampled_from(["rules", "days", "floors", "R-01"]), x),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None)
@given(key=st.sampled_from(["schema", "policies", "holidays"]), value=HOSTILE)
def test_rules_of_any_shape_are_read_without_a_traceback(key: str, value: Any) -> None:
    with suppress(verify.Flaw):
        verify.Rules(samples.spelled({**DATA, key: value}))


@settings(max_examples=150, deadline=None)
@given(at=st.sampled_from(["rules", "floors", "rolls", "holidays", "destroy_within_days"]), value=HOSTILE)
def test_policies_of_any_shape_are_read_without_a_traceback(at: str, value: Any) -> None:
    policy = {**DATA["policies"][SCHEDULE.sha256], at: value}
    try:
        bent = verify.Rules(samples.spelled({**DATA, "policies": {SCHEDULE.sha256: policy}}))
        bent.judge(plan("R-01", "terminated", date(2026, 5, 20), date(2026, 11, 20)))
    except verify.Flaw:
        pass
