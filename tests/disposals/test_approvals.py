"""An approval counts only for exactly what was shown, by somebody else, in time."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from include.disposals import approvals
from include.disposals.approvals import APPROVED, EXPIRED, REJECTED, Staff
from include.disposals.context import Context
from include.errors import DecisionRefused
from tests.disposals.conftest import Bench

PLAN, OTHER = "ab" * 32, "cd" * 32
LATER = datetime.now(UTC) + timedelta(hours=1)


@pytest.fixture
def people(context: Context) -> tuple[Staff, Staff]:
    """An operator and an approver."""
    return approvals.staff("Ada", "operator", context.wrapper), approvals.staff("ben", "approver", context.wrapper)


def ask(context: Context, by: Staff, **more: Any) -> UUID:
    """Ask for an approval of the plan."""
    return approvals.request(context, **({"kind": "erase_account", "digest": PLAN, "by": by, "expires": LATER} | more))


def stands(context: Context, digest: str = PLAN) -> UUID:
    """Return the approval that stands."""
    with context.engine.connect() as connection:
        return approvals.check(connection, kind="erase_account", digest=digest)


def test_a_second_persons_approval_stands_for_its_digest_alone(context: Context, people: tuple[Staff, Staff]) -> None:
    ada, ben = people
    asked = ask(context, ada)
    with pytest.raises(DecisionRefused, match="No approval"):
        stands(context)
    approvals.decide(context, asked, by=ben, decision=APPROVED, digest=PLAN)
    assert stands(context) == asked
    with pytest.raises(DecisionRefused, match="No approval"):
        stands(context, OTHER)


@pytest.mark.parametrize("name", ["Ada", "ada", " ADA ", "aDA"])
def test_the_requester_cannot_approve_under_any_spelling(context: Context, name: str) -> None:
    asked = ask(context, approvals.staff("Ada", "operator", context.wrapper))
    with pytest.raises(DecisionRefused, match="own request"):
        approvals.decide(
            context, asked, by=approvals.staff(name, "approver", context.wrapper), decision=APPROVED, digest=PLAN
        )
    with pytest.raises(DecisionRefused):
        stands(context)


def test_the_database_itself_refuses_one_person_in_both_parts(context: Context, people: tuple[Staff, Staff]) -> None:
    asked = ask(context, people[0])
    for decided_by in ("requested_by", "NULL"):
        with pytest.raises(IntegrityError), context.engine.begin() as connection:
            connection.execute(
                text(
                    f"UPDATE retention.approval SET decision = 'approved', decided_by = {decided_by} "
                    "WHERE approval_id = :i"
                ),
                {"i": asked},
            )


def test_another_digest_a_late_answer_and_a_second_answer_are_refused(
    context: Context, people: tuple[Staff, Staff]
) -> None:
    ada, ben = people
    asked = ask(context, ada)
    with pytest.raises(DecisionRefused, match="digests differ"):
        approvals.decide(context, asked, by=ben, decision=APPROVED, digest=OTHER)
    late = ask(context, ada, expires=datetime.now(UTC) - timedelta(seconds=1))
    with pytest.raises(DecisionRefused, match="Ask anew"):
        approvals.decide(context, late, by=ben, decision=APPROVED, digest=PLAN)
    approvals.decide(context, asked, by=ben, decision=REJECTED, digest=PLAN)
    with pytest.raises(DecisionRefused, match="decided already"):
        approvals.decide(context, asked, by=ben, decision=APPROVED, digest=PLAN)


def test_silence_is_recorded_and_is_no_approval(context: Context, bench: Bench, people: tuple[Staff, Staff]) -> None:
    asked = ask(context, people[0])
    approvals.decide(context, asked, by=None, decision=EXPIRED, digest=PLAN)
    with pytest.raises(DecisionRefused):
        stands(context)
    assert [e["event"] for e in bench.entries() if "approval_id" in e] == ["approval_requested", "approval_expired"]


def test_the_log_gets_roles_and_pseudonyms_and_never_a_name(
    context: Context, bench: Bench, people: tuple[Staff, Staff]
) -> None:
    ada, ben = people
    asked = ask(context, ada)
    assert ask(context, ada, approval_id=asked) == asked
    approvals.decide(context, asked, by=ben, decision=APPROVED, digest=PLAN)
    approvals.decide(context, asked, by=ben, decision=APPROVED, digest=PLAN)
    found = [e for e in bench.entries() if "approval_id" in e]
    assert [(e["event"], e["actor"]["role"]) for e in found] == [
        ("approval_requested", "operator"),
        ("approved", "approver"),
    ]
    assert "ada" not in str(found).lower()
    assert repr(ada).count("Ada") == 0
    assert found[0]["actor"]["pseudonym"] != found[1]["actor"]["pseudonym"]


def test_login_names_become_pseudonyms_after_their_term_and_four_eyes_stand(
    context: Context, people: tuple[Staff, Staff]
) -> None:
    ada, ben = people
    old, young = ask(context, ada), ask(context, ada, digest=OTHER)
    for asked, digest in ((old, PLAN), (young, OTHER)):
        approvals.decide(context, asked, by=ben, decision=APPROVED, digest=digest)
    with context.engine.begin() as connection:
        connection.execute(
            text("UPDATE retention.approval SET decided_at = now() - interval '91 days' WHERE approval_id = :i"),
            {"i": old},
        )
    term = datetime.now(UTC) - timedelta(days=90)
    assert (approvals.forget_names(context, term), approvals.forget_names(context, term)) == (2, 0)
    with context.engine.connect() as connection:
        asked_by = text("SELECT approval_id, requested_by || ' ' || decided_by FROM retention.approval")
        names = {i: both for i, both in connection.execute(asked_by)}
    assert names == {old: f"{ada.pseudonym} {ben.pseudonym}", young: "ada ben"}
    assert stands(context) == old
