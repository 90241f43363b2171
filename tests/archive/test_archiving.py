"""The daily disposal as its DAG runs it: narrow holds, entries before and after, and a report that notices gaps."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import insert, select, text, update

from include.accounts import Accounts
from include.archive.staging import stage
from include.connections import Connection
from include.database import archive_row, entry, hold
from include.disposals import Context, begin_run, guards
from include.disposals.archiving import lapse_due, outlived
from include.errors import DecisionRefused
from include.evidence.tags import SubjectTags
from include.sandbox import company
from include.sandbox.servers import S3Server
from tests.archive.conftest import TODAY, Desk, payment, short, wait_until
from tests.archive.test_disposal import LATER, names_in


@pytest.fixture
def bucket(s3: S3Server) -> Connection:
    return s3.connection("archive_store", "archiver", bucket="archive")


@pytest.fixture
def context(desk: Desk) -> Context:
    """A run of the DAG on the day after the groups' last day, over a company that is still there."""
    company.create(desk.engine)
    settings = desk.schedule.processors["own_database"].settings
    made = Context(
        engine=desk.engine,
        accounts=Accounts(desk.engine, settings),
        schedule=desk.schedule,
        tags=SubjectTags({"2026": bytes(32)}),
        wrapper=desk.keys.wrapper,
        as_of=LATER,
        dag_id="archive_disposal",
    )
    guards.approve_schedule(made, role=made.schedule.privacy_officer_role, pseudonym="e-0001")
    return replace(made, run_id=begin_run(made, airflow_run_id="r1"))


def pack_short(desk: Desk, count: int, seconds: float = 2) -> str:
    """Pack a group whose lock ends in a moment, however long staging took; return its key when it is over."""
    disposal_id, terms = desk.plan("a0"), short(3600)
    with desk.engine.begin() as connection:
        for n in range(count):
            stage(
                connection,
                disposal_id=disposal_id,
                account_id=f"a{n}",
                subject_type="individual",
                consumer_like=False,
                records=[payment(n)],
                schedule=desk.schedule,
                as_of=TODAY,
                keys=desk.keys,
                terms_of=terms,
            )
    until = datetime.now(UTC) + timedelta(seconds=seconds + count / 250)
    with desk.engine.begin() as connection:
        connection.execute(update(archive_row).values(free_from_utc=until))
    (key,) = desk.pack().keys
    wait_until(until + timedelta(seconds=1))
    return key


def dispute(desk: Desk, account_id: str, dataset: str) -> None:
    with desk.engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO account (account_id, subject_type, consumer_like, withheld, created_on, nationality) "
                "VALUES (:a, 'individual', false, false, '2020-01-01', 'KR')"
            ),
            {"a": account_id},
        )
        connection.execute(
            text("INSERT INTO dispute (dispute_id, account_id, dataset, opened_on) VALUES (:a, :a, :d, '2026-01-01')"),
            {"a": account_id, "d": dataset},
        )


def entries(desk: Desk) -> list[dict[str, Any]]:
    with desk.engine.connect() as connection:
        return [json.loads(b) for b in connection.execute(select(entry.c.body).order_by(entry.c.entry_id)).scalars()]


def test_a_group_goes_with_its_intent_recorded_first_and_its_proof_after(
    desk: Desk, context: Context, bucket: Connection
) -> None:
    pack_short(desk, 2)
    assert lapse_due(context, bucket)["destroyed"] == 1
    made = [e for e in entries(desk) if e["event"].startswith("archive")]
    assert [e["event"] for e in made] == ["archive_destroy_attempted", "archive_destroyed"]
    assert made[1]["count_before"] == 1
    assert made[1]["until"] == (LATER + timedelta(days=35)).isoformat()
    assert outlived(context, now=datetime.now(UTC)) == []


def test_with_one_held_subject_of_500_the_other_499_go_on_their_day(
    desk: Desk, context: Context, bucket: Connection
) -> None:
    key = pack_short(desk, 500)
    dispute(desk, "a77", "payment")
    counts = lapse_due(context, bucket)
    assert (counts["destroyed"], counts["held_copies"], counts["retained"]) == (1, 1, 1)
    assert desk.store.versions(key) == []
    (copy,) = [r.object_key for r in desk.rows("archive_object") if r.legal_hold]
    assert names_in(desk, copy) == {"Sample Person 0077"}
    assert desk.count("archive_key") == 1
    assert outlived(context, now=datetime.now(UTC)) == []


def test_a_dispute_about_something_else_keeps_no_payment(desk: Desk, context: Context, bucket: Connection) -> None:
    pack_short(desk, 1)
    dispute(desk, "a0", "support_history")
    assert lapse_due(context, bucket)["destroyed"] == 1


def test_a_lock_that_outlasts_the_business_date_is_retained_with_its_date(
    desk: Desk, context: Context, bucket: Connection
) -> None:
    desk.stage("a1", payment(1), terms_of=short(3600))
    desk.pack()
    assert lapse_due(context, bucket)["retained"] == 1
    kept = next(e for e in entries(desk) if e["event"] == "archive_retained")
    assert (kept["basis"], kept["rule_id"]) == ("lock", "R-02i")
    assert outlived(context, now=datetime.now(UTC)) == []


def test_a_hold_whose_review_is_overdue_is_a_gap(desk: Desk, context: Context, bucket: Connection) -> None:
    pack_short(desk, 1)
    with desk.engine.begin() as connection:
        connection.execute(
            insert(hold).values(
                hold_id=uuid4(), account_id="a0", kind="H-6", datasets=["payment"], reason_code="court",
                placed_by="compliance:1", placed_on=TODAY, review_due=TODAY,
            )
        )  # fmt: skip
    assert lapse_due(context, bucket)["held_copies"] == 1
    (gap,) = outlived(context, now=datetime.now(UTC))
    assert "hold overdue since 2026-03-02" in gap


def test_what_outlived_its_basis_and_was_not_looked_at_is_a_gap(desk: Desk, context: Context) -> None:
    desk.stage("a1", payment(1), terms_of=short(3600))
    desk.pack()
    unfinished, group = outlived(context, now=datetime.now(UTC))
    assert unfinished == "the archive run did not finish"
    assert group.startswith("R-02i of 2026-03-02, to be destroyed by 2026-03-07")


def test_a_schedule_nobody_approved_destroys_nothing(desk: Desk, context: Context, bucket: Connection) -> None:
    key = pack_short(desk, 1)
    with desk.engine.begin() as connection:
        connection.execute(text("UPDATE retention.schedule_version SET approved_at = NULL"))
    with pytest.raises(DecisionRefused, match="not approved"):
        lapse_due(context, bucket)
    assert len(desk.store.versions(key)) == 1
