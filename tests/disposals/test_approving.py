"""Which schedule version governs, from when, after which notice; and the officer's monthly signature."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert, select

from include.database import checkpoint
from include.database.decisions import ledger_check
from include.disposals import alerts, approving, guards
from include.disposals.approving import Notice
from include.disposals.context import Context
from include.errors import DecisionRefused
from include.policy import schedule
from tests.disposals.conftest import DAY, Bench

OFFICER: dict[str, Any] = {"role": "privacy_officer", "pseudonym": "e-0001"}
SHORTER = (b"{event: terminated, period: P6M}", b"{event: terminated, period: P3M}")
THRESHOLD = (b"first_nights: 200 ", b"first_nights: 100 ")


def changed(context: Context, change: tuple[bytes, bytes]) -> Context:
    """Return the context under a version that differs in one place."""
    body = context.schedule.body.replace(*change)
    assert body != context.schedule.body
    return replace(context, schedule=schedule.parse(body, file="new.yaml"))


def governs(context: Context, on: date) -> bool:
    with context.engine.connect() as connection:
        try:
            guards.check_approved(connection, context.schedule.sha256, on)
        except DecisionRefused:
            return False
    return True


@pytest.mark.parametrize(
    ("change", "effective", "sent", "good"),
    [
        ("minor", date(2026, 12, 1), date(2026, 11, 23), True),  # vector 25: seven days
        ("minor", date(2026, 12, 1), date(2026, 11, 24), False),
        ("material", date(2026, 12, 31), date(2026, 11, 30), True),  # and thirty
        ("material", date(2026, 12, 31), date(2026, 12, 1), False),
        ("minor", date(2026, 12, 1), None, False),
        ("none", date(2026, 12, 1), date(2026, 1, 1), False),
        (None, date(2026, 12, 1), date(2026, 1, 1), False),
    ],
)
def test_a_change_of_terms_waits_for_its_notice(
    context: Context, change: str | None, effective: date, sent: date | None, good: bool
) -> None:
    new = changed(context, SHORTER)
    notice = Notice(effective, change, sent)
    if not good:
        with pytest.raises(DecisionRefused):
            approving.approve_schedule(new, notice=notice, **OFFICER)
        assert not governs(new, effective)
        return
    approving.approve_schedule(new, notice=notice, **OFFICER)
    assert not governs(new, effective - timedelta(days=1))
    assert governs(new, effective)
    assert governs(context, DAY)


def test_our_own_thresholds_need_no_notice(context: Context, bench: Bench) -> None:
    new = changed(context, THRESHOLD)
    approving.approve_schedule(new, **OFFICER)
    assert governs(new, DAY)
    told = [e for e in bench.entries() if e["event"] == "policy_approved"]
    assert [e["code"] for e in told] == ["change_first", "change_none"]
    assert told[1]["policy_text_sha256"] == new.schedule.policy_text_sha256


def test_only_the_officer_approves_and_signs(context: Context) -> None:
    for role in ("operator", "approver", "admin"):
        with pytest.raises(DecisionRefused, match="Only the role"):
            approving.approve_schedule(changed(context, THRESHOLD), role=role, pseudonym="e-0002")
        with pytest.raises(DecisionRefused, match="Only the role"):
            approving.sign_ledger(context, month="2026-10", role=role, pseudonym="e-0002")


@pytest.fixture
def sealed(context: Context) -> Context:
    with context.engine.begin() as connection:
        connection.execute(insert(checkpoint).values(size=3, root=bytes(32), note="n", frontier=[bytes(32)]))
    return context


def test_a_month_is_signed_with_its_exceptions_over_the_newest_checkpoint(sealed: Context, bench: Bench) -> None:
    bench.plan("late", destroy_by=date(2026, 10, 10), closed_on=date(2026, 10, 12), outcome="confirmed_absent")
    bench.plan("open", destroy_by=date(2026, 10, 20))
    bench.plan("held", destroy_by=date(2026, 10, 20), outcome="blocked", code="hold_h-3")
    bench.plan("in time", destroy_by=date(2026, 10, 10), closed_on=date(2026, 10, 9), outcome="confirmed_absent")
    bench.plan("november", destroy_by=date(2026, 11, 1))
    found = approving.sign_ledger(sealed, month="2026-10", **OFFICER)
    assert {k: n for k, n in found.items() if n} == {
        "closed": 2, "closed_late": 1, "open_past_its_day": 2, "held": 1,
    }  # fmt: skip
    bench.plan("another", destroy_by=date(2026, 10, 20))
    assert approving.sign_ledger(sealed, month="2026-10", **OFFICER) == found
    (told,) = [e for e in bench.entries() if e["event"] == "cpo_check"]
    assert (told["code"], told["log_size"], told["counts"]) == ("month_2026_10", 3, found)
    with sealed.engine.connect() as connection:
        assert connection.execute(select(ledger_check.c.signed_by)).scalar_one() == "privacy_officer:e-0001"


@pytest.mark.parametrize("month", ["2026-11", "2026-12", "2026-13", "October", "2026-1"])
def test_only_a_month_that_is_over_can_be_signed(sealed: Context, month: str) -> None:
    with pytest.raises(DecisionRefused, match="is over"):
        approving.sign_ledger(sealed, month=month, **OFFICER)


def test_an_unsigned_month_alerts_after_thirty_days(sealed: Context) -> None:
    def said(on: date) -> list[str]:
        found = alerts.alerts(replace(sealed, as_of=on), now=datetime.now(UTC))
        return [line for line in found if line.startswith("ledger of")]

    assert said(date(2026, 12, 30)) == []
    assert said(date(2026, 12, 31)) == ["ledger of 2026-11 is not signed by the privacy officer, due 2026-12-30"]
    approving.sign_ledger(replace(sealed, as_of=date(2026, 12, 31)), month="2026-11", **OFFICER)
    assert said(date(2026, 12, 31)) == []


def test_months_are_those_that_ended() -> None:
    assert alerts.months(date(2026, 11, 24), date(2026, 11, 30)) == []
    assert alerts.months(date(2026, 11, 24), date(2027, 1, 1)) == [
        ("2026-11", date(2026, 11, 30)),
        ("2026-12", date(2026, 12, 31)),
    ]
