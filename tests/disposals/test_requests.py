"""The register of requests, and what the engine does with a request: every refusal, wait and second question."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import insert, select, update

from include.database.requests import request, request_item
from include.disposals import (
    Context,
    approvals,
    begin_run,
    previews,
    release,
    request_events,
    requests,
    stopping,
)
from include.disposals.approvals import Staff
from include.disposals.finding import wanted_of
from include.errors import DecisionRefused, NotAccepted
from include.policy.facts import Event, Hold
from include.policy.requests import EVENT
from tests.disposals.conftest import DAY, Bench
from tests.disposals.fakes import Place


@pytest.fixture
def ada(context: Context) -> Staff:
    """The operator."""
    return approvals.staff("ada", "operator", context.wrapper)


@pytest.fixture
def ben(context: Context) -> Staff:
    """The approver."""
    return approvals.staff("ben", "approver", context.wrapper)


def receive(context: Context, ada: Staff, account: str = "a1", **more: Any) -> tuple[Context, UUID]:
    """Register a request in a run of its own."""
    name = str(uuid4())
    run = begin_run(replace(context, dag_id="erase_account"), airflow_run_id=name)
    inside = replace(context, dag_id="erase_account", run_id=run)
    values = {
        "account_id": account, "kind": "erasure", "channel": "web", "identity_check": "login", "received_on": DAY,
        "notice_by": "mail",
    } | {k: v for k, v in more.items() if k != "status"}  # fmt: skip
    status = more.get("status", requests.RECEIVED)
    request_id = requests.receive(inside, requests.Intake(**values), None, by=ada, airflow_run_id=name, status=status)
    return inside, request_id


def change(context: Context, request_id: UUID, **values: Any) -> None:
    """Set columns of a request, as a plan would."""
    with context.engine.begin() as connection:
        connection.execute(update(request).where(request.c.request_id == request_id).values(**values))


def row(context: Context, request_id: UUID) -> Any:
    """Return a request."""
    with context.engine.connect() as connection:
        return release.requested(connection, request_id)


def link(
    context: Context, request_id: UUID, disposal_id: str, count: int | None, digest: str | None = "ab" * 32
) -> None:
    """Make a disposal one of the request's."""
    with context.engine.begin() as connection:
        connection.execute(
            insert(request_item).values(
                request_id=request_id, disposal_id=UUID(disposal_id), digest=digest, approved_count=count
            )
        )


def approve(context: Context, ada: Staff, ben: Staff, digest: str = "ab" * 32) -> None:
    """Have a digest approved."""
    later = datetime.now(UTC) + timedelta(hours=1)
    asked = approvals.request(context, kind=release.KIND, digest=digest, by=ada, expires=later)
    approvals.decide(context, asked, by=ben, decision=approvals.APPROVED, digest=digest)


# -- the register --------------------------------------------------------------------------------------------------
def test_a_request_is_registered_with_every_clock_and_no_name(context: Context, bench: Bench, ada: Staff) -> None:
    inside, request_id = receive(context, ada)
    found = row(context, request_id)
    assert {c["rule"]: c["duty"] for c in found.clocks} == {
        "KR": "answer", "GDPR": "answer", "CCPA": "answer", "CCPA-CONFIRM": "confirm",
    }  # fmt: skip
    assert (found.due, found.due_rule) == (date(2026, 12, 4), "KR")
    entry = next(e for e in bench.entries() if e["event"] == "request_received")
    assert (entry["code"], entry["basis"], entry["until"]) == ("erasure", "web", "2026-12-04")
    assert (
        requests.receive(
            inside,
            requests.Intake("a1", "erasure", "web", "login", DAY, "mail"),
            None,
            by=ada,
            airflow_run_id="again",
        )
        == request_id
    )


def test_a_guardians_request_keeps_how_it_was_checked_and_no_document(
    context: Context, bench: Bench, ada: Staff
) -> None:
    _, request_id = receive(
        context, ada, kind="guardian", relation_check="family_certificate", verifier="operator:e-0001", child_age=12
    )
    found = row(context, request_id)
    assert (found.relation_check, found.verifier, found.child_age) == ("family_certificate", "operator:e-0001", 12)
    entry = next(e for e in bench.entries() if e["event"] == "request_received")
    assert entry["subject_type"] == "child"


def test_a_refusal_names_reason_law_and_route_of_objection(context: Context, bench: Bench, ada: Staff) -> None:
    _, request_id = receive(context, ada)
    with pytest.raises(DecisionRefused, match="reason code, the law and the route"):
        requests.conclude(context, request_id, "refused", by=ada, reason_code="on_hold")
    full = {"reason_code": "contract_in_force", "law": "pipa_36_1", "objection": "privacy_officer"}
    requests.conclude(context, request_id, "refused", by=ada, **full)
    found = row(context, request_id)
    assert (found.status, found.reason_code, found.law, found.objection) == ("refused", *full.values())
    assert (found.account_id, found.closed_on) == (None, DAY)
    answered = next(e for e in bench.entries() if e["event"] == "request_answered")
    assert (answered["code"], answered["basis"]) == ("refused", "contract_in_force")


@pytest.mark.parametrize("status", ["withdrawn", "identity_not_proven"])
def test_a_request_ends_withdrawn_or_unproven(context: Context, ada: Staff, status: str) -> None:
    _, request_id = receive(context, ada)
    requests.conclude(context, request_id, status, by=ada)
    requests.conclude(context, request_id, status, by=ada)
    assert row(context, request_id).status == status
    with pytest.raises(DecisionRefused):
        requests.conclude(context, request_id, "refused", by=ada, reason_code="x", law="y", objection="z")


def test_what_was_released_cannot_be_refused_any_more(context: Context, ada: Staff) -> None:
    _, request_id = receive(context, ada)
    change(context, request_id, status="approved")
    with pytest.raises(DecisionRefused, match="released already"):
        requests.conclude(context, request_id, "withdrawn", by=ada)


def test_a_request_withdrawn_while_it_is_released_is_either_withdrawn_or_released(
    context: Context, ada: Staff, ben: Staff, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both look at the same moment; were both to go through, what a person took back would be erased."""
    _, request_id = receive(context, ada)
    change(context, request_id, plan_digest="ab" * 32, plan={"lines": []})
    approve(context, ada, ben)
    with ThreadPoolExecutor(1) as pool:
        withdrawing: list[Future[None]] = []
        check = release.guards.check_not_stopped

        def meanwhile(connection: Any) -> None:
            withdrawing.append(pool.submit(requests.conclude, context, request_id, "withdrawn", by=ada))
            wait(withdrawing, timeout=1)
            check(connection)

        monkeypatch.setattr(release.guards, "check_not_stopped", meanwhile)
        release.release(context, row(context, request_id), [])
        with pytest.raises(DecisionRefused, match="released already"):
            withdrawing[0].result(timeout=10)
    found = row(context, request_id)
    assert (found.status, found.closed_on, found.account_id) == ("approved", None, "a1")


def test_only_somebody_erased_before_is_answered_that_nothing_is_held(context: Context, ada: Staff) -> None:
    _, open_one = receive(context, ada)
    with pytest.raises(DecisionRefused, match="erased before"):
        requests.conclude(context, open_one, "answered", by=ada)
    _, gone = receive(context, ada, account="a2", status=requests.ALREADY)
    requests.conclude(context, gone, "answered", by=ada)
    assert row(context, gone).status == "answered"


def test_asking_the_same_again_supersedes_what_was_never_released(context: Context, ada: Staff) -> None:
    _, first = receive(context, ada)
    _, second = receive(context, ada)
    _, other = receive(context, ada, kind="consent_withdrawal")
    assert [row(context, i).status for i in (first, second, other)] == ["superseded", "received", "received"]
    with pytest.raises(DecisionRefused, match="asked anew by a later run"):
        release.release(context, _with_account(row(context, first)), [])


def _with_account(found: Any) -> Any:
    from types import SimpleNamespace

    return SimpleNamespace(**{**found._mapping, "account_id": "a1", "plan": {"lines": []}})


def test_deadlines_are_told_before_they_pass_and_not_after_the_answer(context: Context, ada: Staff) -> None:
    _, request_id = receive(context, ada)
    assert requests.deadline_alerts(context) == []
    near = replace(context, as_of=date(2026, 12, 2))
    late = replace(context, as_of=date(2026, 12, 6))
    assert [str(a).split(": ")[1] for a in requests.deadline_alerts(near)] == ["due 2026-12-04 by KR, 2 days left"]
    told = [str(a).split(": ")[1] for a in requests.deadline_alerts(late)]
    assert told == [
        "due 2026-12-04 by KR, 2 days late",
        "receipt to be confirmed 2026-12-08 by CCPA-CONFIRM, 2 days left",
    ]
    requests.confirm(late, request_id, by=ada)
    requests.confirm(late, request_id, by=ada)
    assert [a.alert.rule for a in requests.deadline_alerts(late)] == ["KR"]
    much_later = replace(context, as_of=date(2026, 12, 23))
    assert [a.alert.rule for a in requests.deadline_alerts(much_later)] == ["KR", "GDPR"]
    requests.conclude(context, request_id, "withdrawn", by=ada)
    assert requests.deadline_alerts(late) == []
    with pytest.raises(DecisionRefused, match="no open request"):
        requests.confirm(late, request_id, by=ada)


def test_a_confirmation_is_one_entry_and_answers_nothing(context: Context, bench: Bench, ada: Staff) -> None:
    _, request_id = receive(context, ada)
    requests.confirm(context, request_id, by=ada)
    assert (row(context, request_id).status, row(context, request_id).confirmed_on) == ("received", DAY)
    (told,) = [e for e in bench.entries() if e["event"] == "request_confirmed"]
    assert told["actor"] == {"role": ada.role, "pseudonym": ada.pseudonym}


def test_ids_are_forgotten_once_nothing_needs_them(context: Context, ada: Staff) -> None:
    _, closed = receive(context, ada)
    _, ended = receive(context, ada, account="a2", kind="termination")
    _, still = receive(context, ada, account="a3")
    change(context, closed, closed_on=DAY)
    change(context, ended, closed_on=DAY, terminated_on=DAY, status="answered")
    assert requests.forget(context, ["a2"]) == 1
    assert [row(context, i).account_id for i in (closed, ended, still)] == [None, "a2", "a3"]
    assert requests.forget(context, []) == 1  # the company's register has the termination by now
    assert row(context, ended).account_id is None


def test_a_runs_form_is_kept_until_days_after_the_certificate(context: Context, ada: Staff) -> None:
    _, open_one = receive(context, ada)
    _, fresh = receive(context, ada, account="a2")
    _, old = receive(context, ada, account="a3")
    now = datetime.now(UTC)
    change(context, fresh, closed_on=DAY, certified_at=now - timedelta(days=5))
    change(context, old, closed_on=DAY, certified_at=now - timedelta(days=31))
    kept = requests.runs_to_keep(context, now - timedelta(days=30))
    assert kept == {row(context, open_one).airflow_run_id, row(context, fresh).airflow_run_id}


# -- the engine ------------------------------------------------------------------------------------------------------
def test_nothing_of_a_request_is_acted_on_without_its_approval(
    context: Context, bench: Bench, ada: Staff, ben: Staff, full: Any
) -> None:
    """Whatever a task's state says: only the row with the digest, by somebody else, counts at the act."""
    _, request_id = receive(context, ada)
    place, one = Place(records={"a1": full()}), bench.plan("a1")
    link(context, request_id, one, count=9)
    bench.locate(place, one)
    assert bench.advance(place, one) == {"blocked": 1}
    assert place.acts() == []
    assert (bench.row(one).code, bench.row(one).needs_person) == ("not_approved", True)
    approve(context, ada, ben)
    assert bench.advance(place, one, as_of=DAY + timedelta(days=1)) == {"accepted": 2, "confirmed_absent": 1}


def test_a_rejection_after_the_release_stops_the_next_step(
    context: Context, bench: Bench, ada: Staff, ben: Staff, full: Any
) -> None:
    _, request_id = receive(context, ada)
    place, one = Place(records={"a1": full()}), bench.plan("a1")
    link(context, request_id, one, count=9)
    approve(context, ada, ben)
    bench.locate(place, one)
    later = datetime.now(UTC) + timedelta(hours=1)
    again = approvals.request(context, kind=release.KIND, digest="ab" * 32, by=ada, expires=later)
    approvals.decide(context, again, by=ben, decision=approvals.REJECTED, digest="ab" * 32)
    assert bench.advance(place, one) == {"blocked": 1}
    assert place.acts() == []


@pytest.mark.parametrize(("shown", "stops"), [(2, False), (3, False), (1, True), (0, True), (None, True)])
def test_more_than_was_shown_stops_that_disposal_and_is_asked_about(
    context: Context, bench: Bench, ada: Staff, ben: Staff, full: Any, shown: int | None, stops: bool
) -> None:
    _, request_id = receive(context, ada)
    change(context, request_id, plan_digest="ab" * 32)
    place, one = Place(records={"a1": full()}), bench.plan("a1")
    link(context, request_id, one, count=shown)
    approve(context, ada, ben)
    assert bench.locate(place, one) == ({"blocked": 1} if stops else {"located": 1})
    with context.engine.connect() as connection:
        found = release.differences(connection, request_id)
    assert [(f.approved_count, f.found_count) for f in found] == ([(shown, 2)] if stops else [])
    if stops:
        digest = previews.digest({"more": str(found)})
        with pytest.raises(DecisionRefused, match="No approval"):
            release.release_more(context, row(context, request_id), found, digest)
        approve(context, ada, ben, digest)
        release.release_more(context, row(context, request_id), found, digest)
        assert bench.locate(place, one) == {"located": 1}
    assert bench.advance(place, one) == {"accepted": 2, "confirmed_absent": 1}


def _to_be_told(context: Context, ada: Staff) -> tuple[Context, UUID, list[str]]:
    inside, request_id = receive(context, ada)
    change(context, request_id, status="approved", notice_state="pending")
    return inside, request_id, []


@pytest.mark.parametrize("after", [False, True])
def test_a_process_that_dies_around_the_mail_never_sends_a_second_one(
    context: Context, bench: Bench, ada: Staff, after: bool
) -> None:
    inside, request_id, sent = _to_be_told(context, ada)

    def dies() -> None:
        sent.extend(["mail"] * after)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        requests.tell(inside, request_id, dies)
    assert row(context, request_id).notice_state == "sending"
    with pytest.raises(DecisionRefused, match="not pending any more"):
        requests.tell(inside, request_id, lambda: sent.append("mail"))
    assert len(sent) == after
    assert not [e for e in bench.entries() if e["event"] == "notice_sent"]
    assert "the person was not told" in release.gaps(context, row(context, request_id), exported=True, certified=True)
    requests.note_notice(inside, request_id, "mail", by=ada, receipt="ab" * 32)
    assert row(context, request_id).notice_state == "sent"
    assert [e["code"] for e in bench.entries() if e["event"] == "notice_sent"] == ["mail"]


def test_a_mail_the_server_refused_is_sent_again(context: Context, bench: Bench, ada: Staff) -> None:
    inside, request_id, sent = _to_be_told(context, ada)

    def refused() -> None:
        raise NotAccepted("no")

    with pytest.raises(NotAccepted):
        requests.tell(inside, request_id, refused)
    assert row(context, request_id).notice_state == "pending"
    requests.tell(inside, request_id, lambda: sent.append("mail"))
    assert (sent, row(context, request_id).notice_state) == (["mail"], "sent")


@pytest.mark.parametrize("state", ["pending", "sending"])
def test_what_holds_the_address_waits_for_the_notice_and_nothing_else_does(
    context: Context, bench: Bench, ada: Staff, full: Any, state: str
) -> None:
    _, request_id = receive(context, ada)
    change(context, request_id, status="approved", notice_state=state)
    place = Place(name="own_database", records={"a1": full()})
    other = Place(name="zendesk", records={"a1": full()})
    address = bench.plan("a1", "own_database", scope_id="account", datasets=["account_profile"], rule_id="R-01")
    usage = bench.plan("a1")
    for where, which in ((place, address), (other, usage)):
        bench.locate(where, which)
    assert bench.advance(other, usage) == {"accepted": 2, "confirmed_absent": 1}
    assert bench.advance(place, address) == {"awaiting": 1}
    assert (bench.row(address).code, bench.row(address).until) == ("notice_first", date(2026, 12, 4))
    requests.note_notice(context, request_id, "mail")
    assert bench.advance(place, address) == {"accepted": 2, "confirmed_absent": 1}
    told = [e for e in bench.entries() if e["event"] == "notice_sent"]
    assert [e["code"] for e in told] == ["mail"]


def test_a_pending_correction_freezes_its_field_until_the_person_asks_for_erasure(
    context: Context, bench: Bench, ada: Staff, full: Any
) -> None:
    """H-5 at the act itself: the register of requests is where the engine learns of the erasure request."""
    pending = Hold("c1", "H-5", datasets=("support",), placed_on=DAY - timedelta(days=3))
    context.accounts.holds["a1"] = [pending]  # type: ignore[attr-defined]
    place, one = Place(records={"a1": full()}), bench.plan("a1")
    assert bench.locate(place, one) == {}
    assert bench.row(one).code == "hold_h-5"
    _, request_id = receive(context, ada)
    change(context, request_id, overrides=True, datasets=["support"])
    tomorrow = DAY + timedelta(days=1)
    assert bench.locate(place, one, as_of=tomorrow) == {}  # asked for, not approved yet
    change(context, request_id, status="approved")
    assert bench.locate(place, one, as_of=tomorrow + timedelta(days=1)) == {"located": 1}
    assert bench.advance(place, one, as_of=tomorrow + timedelta(days=1)) == {"accepted": 2, "confirmed_absent": 1}


def test_a_request_for_other_data_lifts_no_correction(context: Context, ada: Staff) -> None:
    _, request_id = receive(context, ada)
    change(context, request_id, overrides=True, status="approved", datasets=["cookie"])
    with context.engine.connect() as connection:
        assert request_events.events(connection, ["a1"]) == {"a1": [Event(EVENT, DAY, ("cookie",))]}


def test_a_run_of_a_request_takes_that_requests_disposals_alone(context: Context, bench: Bench, ada: Staff) -> None:
    from include.database import batch_item
    from include.disposals import make_batches

    inside, request_id = receive(context, ada)
    mine, other = bench.plan("a1"), bench.plan("a2")
    link(context, request_id, mine, count=1)
    assert inside.run_id is not None and context.run_id is not None
    for run, expected in ((inside.run_id, {mine}), (context.run_id, {mine, other})):
        ids = make_batches(context, run, "zendesk", 10)
        with context.engine.connect() as connection:
            found = connection.execute(select(batch_item.c.disposal_id).where(batch_item.c.batch_id.in_(ids))).scalars()
            assert {str(i) for i in found} == expected


def test_the_global_stop_keeps_an_approved_request_from_being_released(
    context: Context, ada: Staff, ben: Staff
) -> None:
    _, request_id = receive(context, ada)
    change(context, request_id, plan_digest="ab" * 32, plan={"lines": []})
    approve(context, ada, ben)
    stopping.set_stop(context, reason_code="wrong_deletion", set_by="admin:e-0002")
    with pytest.raises(DecisionRefused, match="global stop"):
        release.release(context, row(context, request_id), [])


def test_finding_reads_standard_input_and_logs_the_tag(context: Context) -> None:
    with pytest.raises(DecisionRefused, match="key value"):
        wanted_of("name A\nsomething else")
    assert wanted_of("someone@example.com").email == "someone@example.com"
    assert wanted_of("name A B\ncompany C").company == "C"
    assert "someone" not in repr(wanted_of("someone@example.com"))
