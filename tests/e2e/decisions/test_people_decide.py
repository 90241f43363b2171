"""What people decide by form, through Airflow's REST API: signature, proof, stop, restore, the end of a contract."""

from __future__ import annotations

import time
from datetime import timedelta
from email import message_from_bytes, policy
from typing import Any

import pytest
from sqlalchemy import insert, select, text

from include import database
from include.database import disposal, global_stop
from include.database.decisions import ledger_check, manual_order, manual_request, night, offboarding
from include.sandbox import airflow
from include.sandbox.company.tables import metadata
from tests.e2e.decisions.conftest import Town
from tests.e2e.running import TODAY, until

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(1800)]
A_NIGHT = 62
"""Subjects a night at Salesforce, by the quota and the schedule of this town."""
LAST_MONTH = f"{TODAY.replace(day=1) - timedelta(days=1):%Y-%m}"


@pytest.fixture(scope="module", autouse=True)
def approved_night(town: Town) -> None:
    """A night that somebody let go; there is one where the nights' own tests ran before."""
    if "approved" not in town.one(select(night.c.decision)):
        run = town.start("nightly_retention", {}, "admin")
        assert town.finish("nightly_retention", run, {"approve_plan": ("approver", "Approve")}) == "success"


def test_the_officer_signs_a_month_that_is_over_and_nobody_else_does(town: Town) -> None:
    assert town.finish("cpo_check", town.start("cpo_check", {"month": LAST_MONTH}, "compliance")) == "success"
    assert town.one(select(ledger_check.c.month)) == [LAST_MONTH]
    early = town.start("cpo_check", {"month": f"{TODAY:%Y-%m}"}, "compliance")
    assert town.finish("cpo_check", early) == "failed sign"
    with pytest.raises(RuntimeError, match="403"):
        airflow.Api(town.stack, "operator").trigger("cpo_check", {"month": LAST_MONTH})
    signed = [e for e in town.entries() if e["event"] == "cpo_check"]
    assert [e["actor"]["role"] for e in signed] == ["privacy_officer"]


def test_one_proof_closes_an_order_and_a_wrong_one_nothing(town: Town) -> None:
    mine = (
        select(manual_order.c.order_id)
        .join(manual_request, manual_request.c.request_id == manual_order.c.request_id)
        .where(manual_request.c.processor == "paper", manual_order.c.answered_on.is_(None))
        .order_by(manual_order.c.order_id)
    )
    order = town.one(mine)[0]
    proof = {
        "order_id": str(order), "reference": "PD-2026-0001", "done_on": TODAY.isoformat(), "method": "shred",
        "executor": "records_office:e-0012", "witness": None,
    }  # fmt: skip
    assert town.finish("answer_manual", town.start("answer_manual", proof, "operator")) == "failed take_proof"
    assert order in town.one(mine)
    seen = proof | {"witness": "records_office:e-0013"}
    assert town.finish("answer_manual", town.start("answer_manual", seen, "operator")) == "success"
    assert order not in town.one(mine)
    assert [e for e in town.entries() if e["event"] == "manual_attested"]


def test_what_a_restore_brought_back_goes_again_with_a_second_person_only(town: Town) -> None:
    theirs = database.connect(town.stack.connections["accounts_db"])
    with theirs.begin() as connection:
        left = set(connection.execute(text("SELECT account_id FROM account")).scalars())
        back = next(p for p in town.made.case("terminated_individual") if p.account_id not in left)
        for table in ("account", "account_profile", "drm_usage"):
            for row in back.dicts(table):
                connection.execute(insert(metadata.tables[table]).values(row))

    def there() -> int:
        with theirs.connect() as connection:
            asked = text("SELECT count(*) FROM account_profile WHERE account_id = :a")
            return int(connection.execute(asked, {"a": back.account_id}).scalar_one())

    form = {"processor": "own_database", "restored_to": (TODAY - timedelta(days=1)).isoformat()}
    assert there() == 1
    with pytest.raises(RuntimeError, match="403"):
        airflow.Api(town.stack, "viewer").trigger("after_restore", form)
    run = town.start("after_restore", form, "operator")
    town.finish("after_restore", run, {"approve_plan": ("approver", "Approve")})
    theirs_left = there()
    theirs.dispose()
    assert theirs_left == 0
    assert [e["processor"] for e in town.entries() if e["event"] == "restored"] == ["own_database"]
    assert [e for e in town.entries() if e["event"] == "reappeared"]


def test_a_stop_halts_an_ended_contract_within_one_call_and_two_people_release_it(town: Town) -> None:
    form = {"processor": "salesforce", "ended_on": (TODAY - timedelta(days=1)).isoformat()}
    with pytest.raises(RuntimeError, match="403"):
        airflow.Api(town.stack, "operator").trigger("offboard_processor", form)
    run = town.start("offboard_processor", form, "compliance")
    admin, approver = airflow.Api(town.stack, "admin"), airflow.Api(town.stack, "approver")
    until(town.stack, "offboard_processor", run, "approve_plan", "awaiting_input")
    time.sleep(airflow.HEARD_AFTER)
    (asked,) = admin.waiting_for_answer("offboard_processor", run)
    assert f"{A_NIGHT} a night by its quota" in asked["body"]
    town.slowly("salesforce", "jobs/ingest", seconds=5)
    approver.answer("offboard_processor", run, "approve_plan", "Approve")
    until(town.stack, "offboard_processor", run, "salesforce.advance", "running")
    _until_acted(town)
    stopped = town.start("global_stop", {"action": "stop", "reason": "drill"}, "operator")
    assert town.finish("global_stop", stopped) == "success"
    town.at_its_own_pace("salesforce")
    ended = town.finish("offboard_processor", run)
    assert ended.startswith("failed")
    assert "salesforce.advance" in ended.split(), "it was through before the stop"
    entries = town.entries()
    stop = [e["event"] for e in entries].index("stop_set")
    assert [e for e in entries[:stop] if _ended_contract(e)], "nothing was under way that a stop could halt"
    assert "attempted" not in [e["event"] for e in entries[stop:]]

    mine = town.start("global_stop", {"action": "release"}, "approver")
    assert town.finish("global_stop", mine, {"approve": ("approver", "Approve")}).startswith("failed")
    assert town.one(select(global_stop.c.released_at)) == [None]
    other = town.start("global_stop", {"action": "release"}, "operator")
    assert town.finish("global_stop", other, {"approve": ("approver", "Approve")}) == "success"
    assert town.one(select(global_stop.c.released_at)) != [None]


def test_the_contract_ends_over_the_nights_its_quota_needs(town: Town) -> None:
    (row,) = town.rows(select(offboarding))
    nights = -(-row.subjects // A_NIGHT)
    assert (row.a_night, row.estimated_end) == (A_NIGHT, TODAY + timedelta(days=nights - 1))
    assert nights >= 2
    assert len(_acted_on(town)) <= A_NIGHT
    day = TODAY + timedelta(days=1)
    town.clock(day)
    town.finish("advance_disposals", town.start("advance_disposals", {"as_of": day.isoformat()}, "admin"))
    assert A_NIGHT < len(_acted_on(town)) <= 2 * A_NIGHT
    assert town.one(select(offboarding.c.closed_on)) == [None]


def test_its_last_night_writes_one_certificate_and_names_the_unsigned_month(town: Town) -> None:
    """A good two months on, with the night's new plan refused: what was let go before goes on and ends."""
    day = TODAY + timedelta(days=70)
    town.clock(day)
    run = town.start("nightly_retention", {"as_of": day.isoformat()}, "admin")
    town.finish("nightly_retention", run, {"approve_plan": ("approver", "Reject")})
    (row,) = town.rows(select(offboarding))
    left = select(disposal.c.outcome, disposal.c.code).where(
        disposal.c.offboarding_id == row.offboarding_id, disposal.c.closed_on.is_(None)
    )
    if waiting := town.rows(left):  # what Salesforce keeps readable for a day
        later = day + timedelta(days=2)
        town.clock(later)
        town.finish("advance_disposals", town.start("advance_disposals", {"as_of": later.isoformat()}, "admin"))
        waiting = town.rows(left)
    assert waiting == []
    (row,) = town.rows(select(offboarding))
    folder = town.stack.local / "exports" / row.certificate
    assert [p.name for p in (folder / "certificates").glob("processor-salesforce*.pdf")]
    (ended,) = [e for e in town.entries() if e["event"] == "processor_ended"]
    assert ended["counts"]["subjects"] == row.subjects

    told = f"ledger of {TODAY:%Y-%m} is not signed by the privacy officer"
    logs = (town.stack.local / "airflow" / "logs").rglob(f"run_id={run}/task_id=report/*.log")
    assert told in "".join(p.read_text() for p in logs)
    mails = [
        message_from_bytes(p.read_bytes(), policy=policy.default) for p in (town.stack.local / "mail").glob("*.eml")
    ]
    assert told in "".join(m.get_body(("html",)).get_content() for m in mails)  # type: ignore[union-attr]


def _ended_contract(one: dict[str, Any]) -> bool:
    """Say whether an entry is an act on what an ended contract's processor holds."""
    return one["event"] == "attempted" and one.get("trigger_event") == "processor_contract_ended"


def _acted_on(town: Town) -> set[str]:
    return {e["subject_tag"] for e in town.entries() if _ended_contract(e)}


def _until_acted(town: Town, seconds: float = 300) -> None:
    """Wait until an act on the ended contract has begun."""
    deadline = time.monotonic() + seconds
    while not _acted_on(town):
        assert time.monotonic() < deadline, "no act has begun"
        time.sleep(0.5)
