"""What people decide, through Airflow's REST API: the brake refused, a hold by form, a debt written off by two."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select, text

from include import database
from include.database import disposal, hold
from include.database.decisions import night
from include.sandbox import airflow
from tests.e2e.decisions.conftest import Town

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(1800)]


def test_a_rejected_night_acts_on_nothing(town: Town) -> None:
    before = town.changing()
    run_id = town.start("nightly_retention", {}, "admin")
    # The seeded company has plans past their last day, so a refusal turns the report red, and nothing else.
    assert town.finish("nightly_retention", run_id, {"approve_plan": ("approver", "Reject")}) == "failed report"
    assert town.one(select(night.c.decision)) == ["rejected"]
    assert town.changing() == before
    waiting = town.one(select(func.count()).where(disposal.c.code == "plan_not_approved"))[0]
    assert waiting == town.one(select(func.count()).select_from(disposal))[0] > 200


def test_it_is_asked_again_and_carried_out_once_somebody_lets_it_go(town: Town) -> None:
    before = town.changing()
    run_id = town.start("nightly_retention", {}, "admin")
    assert town.finish("nightly_retention", run_id, {"approve_plan": ("approver", "Approve")}) == "success"
    assert town.one(select(night.c.decision).order_by(night.c.judged_at)) == ["rejected", "approved"]
    assert town.changing() > before
    assert town.one(select(func.count()).where(disposal.c.code == "plan_not_approved")) == [0]


def test_a_usual_night_asks_nobody_and_works_on_everything(town: Town) -> None:
    run_id = town.start("nightly_retention", {}, "admin")
    assert town.finish("nightly_retention", run_id) == "success"
    *_, (_, tasks) = airflow.Api(town.stack, "admin").follow("nightly_retention", run_id)
    states = {t["task_id"]: t["state"] for t in tasks}
    assert (states["approve_plan"], states["settle"]) == ("skipped", "success")
    assert {states[name] for name in states if name.endswith(".batches")} == {"success"}


def test_a_hold_is_placed_and_written_off_by_two(town: Town) -> None:
    companys = database.connect(town.stack.connections["accounts_db"])
    with companys.connect() as connection:
        live = text("SELECT account_id FROM account WHERE terminated_on IS NULL AND account_id ~ '^a[0-9]+$' LIMIT 1")
        account = connection.execute(live).scalar_one()
    companys.dispose()
    due = (datetime.now(UTC) + timedelta(days=30)).date().isoformat()
    placing = {
        "action": "place", "account_id": account, "kind": "H-2", "reason": "invoice_open", "review_due": due,
    }  # fmt: skip
    assert town.finish("manage_holds", town.start("manage_holds", placing, "operator")) == "success"
    placed = town.one(select(hold.c.hold_id).where(hold.c.account_id == account, hold.c.reason_code == "invoice_open"))
    assert len(placed) == 1
    write_off = {"action": "release", "hold_id": str(placed[0]), "release_as": "written_off"}
    run_id = town.start("manage_holds", write_off, "operator")
    assert town.finish("manage_holds", run_id, {"approve": ("approver", "Approve")}) == "success"
    reason = select(hold.c.release_reason).where(hold.c.hold_id == placed[0])
    assert town.one(reason) == ["written_off"]


def test_the_form_refuses_what_it_does_not_have(town: Town) -> None:
    """An e-mail never becomes an account id, and an unknown key stops the run."""
    with pytest.raises(RuntimeError, match="400"):
        town.start("manage_holds", {"action": "place", "account_id": "someone@example.com"}, "operator")
    unknown = town.start("manage_holds", {"action": "place", "note": "a sentence"}, "operator")
    assert town.finish("manage_holds", unknown) == "failed approve carry_out write_off"


def test_a_viewer_starts_nothing(town: Town) -> None:
    airflow.Api(town.stack, "admin").wait_for_dag("global_stop")
    with pytest.raises(RuntimeError, match="403"):
        airflow.Api(town.stack, "viewer").trigger("global_stop", {"action": "stop"})
