"""What waits for a person: counts for a viewer, lists with ages, forms that start what the DAGs' own forms start."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import insert, update

from include.console.reading import decisions as reading
from include.database import archive_object, hold, schedule_version
from include.database.decisions import manual_order, manual_request
from include.database.requests import request
from include.disposals import holds, stopping
from include.policy import schedule
from include.policy.answers import answer_clocks
from tests.console.conftest import NOW, FakeGate, Visit
from tests.disposals.conftest import DAY, Bench

PARAMS: dict[str, dict[str, Any]] = {
    "manage_holds": {
        "account_id": {"type": ["null", "string"], "title": "Account id · 계정 번호"},
        "kind": {"type": "string", "enum": ["H-6"], "title": "Kind · 종류"},
        "processor": {"type": ["null", "string"], "title": "Place · 처리처"},
        "datasets": {"type": ["null", "array"], "items": {"type": "string"}, "title": "Datasets · 데이터"},
        "reason": {"type": ["null", "string"], "title": "Reason code · 사유 코드"},
        "review_due": {"type": ["null", "string"], "format": "date", "title": "Next review · 다음 재검토일"},
        "release_as": {"type": ["null", "string"], "enum": [None, "paid", "written_release"], "title": "Released as"},
    },
    "answer_request": {
        "request_id": {"type": "string"},
        "decision": {"type": "string", "enum": ["refused", "withdrawn", "confirmed"], "title": "결정 · Decision"},
        "law": {"type": "string", "enum": ["none", "pipa_36_1"], "title": "근거 법령 · Law"},
    },
    "answer_manual": {
        "order_id": {"type": "string"},
        "reference": {"type": "string", "title": "Reference number · 증빙 번호"},
        "method": {"type": "string", "enum": ["shred", "vendor_confirmation"], "title": "Method · 방법"},
        "witness": {"type": ["null", "string"], "title": "Witness · 입회자"},
    },
    "global_stop": {
        "reason": {"type": "string", "enum": ["wrong_deletion", "drill"], "title": "Reason"},
        "finding": {"type": "string", "enum": ["not_an_incident"], "title": "Finding"},
    },
}


@pytest.fixture
def airflow(gate: FakeGate) -> FakeGate:
    """An Airflow that knows the DAGs' forms and takes their runs."""
    for dag, params in PARAMS.items():
        details = {"params": {n: {"value": None, "schema": schema} for n, schema in params.items()}}
        gate.answers[("GET", f"/dags/{dag}/details")] = (200, details)
        gate.answers[("POST", f"/dags/{dag}/dagRuns")] = (200, {"dag_run_id": "manual__7"})
    return gate


def place(bench: Bench, account: str, *, due: date = DAY + timedelta(days=60), reviewed: date | None = None) -> str:
    made = holds.place(
        bench.context, account_id=account, kind="H-6", datasets=["account_profile"], reason_code="court_order",
        placed_by="operator:e-abc", review_due=DAY + timedelta(days=60),
    )  # fmt: skip
    with bench.context.engine.begin() as connection:
        connection.execute(update(hold).where(hold.c.hold_id == made).values(review_due=due, reviewed_on=reviewed))
    return str(made)


def receive(bench: Bench, account: str, *, due: date, status: str = "received") -> str:
    identity = uuid4()
    clocks = [
        {
            "rule": c.rule,
            "due": str(c.due),
            "legal_due": str(c.legal_due),
            "law": c.law,
            "article": c.article,
            "duty": c.duty,
        }
        for c in answer_clocks(DAY, bench.context.schedule)
    ]
    row = {
        "request_id": identity, "account_id": account, "subject_tag": "ab" * 32, "key_epoch": "2026",
        "kind": "erasure", "channel": "web", "identity_check": "login", "received_on": DAY, "clocks": clocks,
        "due": due, "legal_due": due, "due_rule": clocks[0]["rule"], "status": status, "notice_by": "post",
        "notice_state": "pending", "overrides": False, "datasets": [],
    }  # fmt: skip
    with bench.context.engine.begin() as connection:
        connection.execute(insert(request).values(row))
    return str(identity)


def order(bench: Bench, *, code: str = "paper_destruction_order", due: date = DAY) -> str:
    request_id, order_id = uuid4(), uuid4()
    with bench.context.engine.begin() as connection:
        connection.execute(
            insert(manual_request).values(request_id=request_id, processor="paper", code=code, made_on=DAY, due=due)
        )
        connection.execute(insert(manual_order).values(order_id=order_id, request_id=request_id, box="B-7", records=3))
    return str(order_id)


def test_a_viewer_sees_counts_and_no_list(bench: Bench, visit: Callable[[str], Visit]) -> None:
    place(bench, "acc-1", due=DAY - timedelta(days=1))
    receive(bench, "acc-2", due=DAY - timedelta(days=2))
    order(bench)
    text = visit("viewer").get("/decisions?lang=en").text
    assert "1 review overdue" in text
    assert "1 overdue" in text
    assert "acc-" not in text
    for path in ("holds", "requests", "manual", "approvals", "stop"):
        assert visit("viewer").get(f"/decisions/{path}").status_code == 403


def test_holds_stand_with_their_age_and_the_overdue_first(bench: Bench, visit: Callable[[str], Visit]) -> None:
    place(bench, "acc-late", due=DAY - timedelta(days=3))
    place(bench, "acc-early")
    text = visit("approver").get("/decisions/holds?lang=en").text
    assert text.index("acc-late") < text.index("acc-early")
    assert "review or release it now" in text
    assert "3 days late" in text
    assert "holds/place" not in text  # an approver places none


def test_a_review_starts_manage_holds_with_what_its_own_form_would_send(
    bench: Bench, visit: Callable[[str], Visit], airflow: FakeGate
) -> None:
    identity = place(bench, "acc-1")
    page = f"/decisions/holds/one?id={identity}"
    form = {"action": "review", "hold_id": identity, "reason": "case_open", "review_due": "2027-01-10"}
    assert "manual__7" in visit("operator").post("/decisions/holds/act", form, page=page).text
    assert airflow.asked[-1] == (
        "operator", "POST", "/dags/manage_holds/dagRuns", {"logical_date": None, "conf": form},
    )  # fmt: skip
    shown = visit("operator").get(f"{page}&lang=en").text
    assert "written release" in shown
    assert "paid" not in shown.split("release_as")[1].split("</select>")[0]  # not a way an order ends


def test_an_approver_finds_no_form_to_release_a_hold(
    bench: Bench, visit: Callable[[str], Visit], airflow: FakeGate
) -> None:
    identity = place(bench, "acc-1")
    assert "<form" not in visit("approver").get(f"/decisions/holds/one?id={identity}").text
    refused = visit("approver").post("/decisions/holds/act", {"action": "release", "hold_id": identity})
    assert refused.status_code == 403
    assert not [a for a in airflow.asked if a[1] == "POST"]


def test_a_request_shows_its_clocks_and_what_is_next(
    bench: Bench, visit: Callable[[str], Visit], airflow: FakeGate
) -> None:
    late = receive(bench, "acc-1", due=DAY - timedelta(days=2))
    released = receive(bench, "acc-2", due=DAY + timedelta(days=2), status="approved")
    text = visit("operator").get("/decisions/requests?lang=en").text
    assert "2 days late" in text
    assert "a second person approves" in text
    assert "tell the person and attest it" in text
    page = f"/decisions/requests/one?id={late}"
    assert "2026-12-04" in visit("operator").get(page).text
    visit("operator").post("/decisions/requests/answer", {"request_id": late, "decision": "withdrawn"}, page=page)
    assert airflow.asked[-1][3]["conf"] == {"decision": "withdrawn", "request_id": late}
    assert "can no longer be refused" in visit("operator").get(f"/decisions/requests/one?id={released}&lang=en").text


def test_a_clock_says_what_it_is_for_and_a_receipt_is_confirmed_while_the_request_is_open(
    bench: Bench, visit: Callable[[str], Visit], airflow: FakeGate
) -> None:
    released = receive(bench, "acc-1", due=DAY + timedelta(days=2), status="approved")
    page = f"/decisions/requests/one?id={released}"
    shown = visit("operator").get(f"{page}&lang=en").text
    confirming = shown.split("CCPA-CONFIRM")[1].split("</tr>")[0]
    assert "confirming that it came in" in confirming
    assert "not confirmed yet" in confirming
    assert "can no longer be refused" in shown
    choices = shown.split('name="decision"')[1].split("</select>")[0]
    assert "confirmed" in choices
    assert "withdrawn" not in choices
    assert 'name="law"' not in shown
    visit("operator").post("/decisions/requests/answer", {"request_id": released, "decision": "confirmed"}, page=page)
    assert airflow.asked[-1][3]["conf"] == {"decision": "confirmed", "request_id": released}
    with bench.context.engine.begin() as connection:
        connection.execute(update(request).values(confirmed_on=DAY))
    shown = visit("operator").get(f"{page}&lang=en").text
    assert f"confirmed on {DAY}" in shown
    assert "<select" not in shown


def test_an_order_shows_the_words_to_send_and_takes_its_proof(
    bench: Bench, visit: Callable[[str], Visit], airflow: FakeGate
) -> None:
    identity = order(bench)
    page = f"/decisions/manual/one?id={identity}"
    text = visit("operator").get(f"{page}&lang=en").text
    assert "records office" in text
    assert "shred" in text
    assert "vendor_confirmation" not in text  # no way to answer an order about paper
    form = {"order_id": identity, "reference": "PD-2026-0001", "method": "shred", "witness": "office:e-2"}
    visit("operator").post("/decisions/manual/answer", form, page=page)
    assert airflow.asked[-1][3]["conf"] == form


def test_anybody_in_charge_stops_and_the_clock_is_shown(
    bench: Bench, visit: Callable[[str], Visit], airflow: FakeGate
) -> None:
    form = {"action": "stop", "reason": "wrong_deletion"}
    visit("compliance").post("/decisions/stop", form, page="/decisions/stop")
    assert airflow.asked[-1][3]["conf"] == form
    stopping.set_stop(bench.context, reason_code="wrong_deletion", set_by="operator:e-abc", now=NOW)
    assert "Breach clock: 72 hours left" in visit("viewer").get("/decisions?lang=en").text
    shown = visit("approver").get("/decisions/stop?lang=en").text
    assert "Ask for release" in shown
    assert "Stop everything now" not in shown
    assert visit("admin").post("/decisions/stop", form, page="/decisions/stop").status_code == 403


QUESTION = {
    "subject": "Release the global stop? · 전체 중지를 해제할까요?",
    "body": "**12** disposals wait\n\n| place:rule | tonight |\n|---|---:|\n| zendesk:R-14 | 12 |\n\n"
    "<script>x()</script>",
    "options": ["Approve", "Reject"],
    "created_at": "2026-11-24T02:00:00Z",
    "task_instance": {
        "dag_id": "global_stop", "dag_run_id": "manual__2026-11-24T02:00:00+00:00", "task_id": "approve",
        "map_index": -1,
    },
}  # fmt: skip
LIST = "/dags/~/dagRuns/~/hitlDetails?response_received=false&limit=50&order_by=created_at"


def test_a_question_is_answered_by_the_approver_alone_and_its_text_runs_nothing(
    bench: Bench, visit: Callable[[str], Visit], airflow: FakeGate
) -> None:
    run = "manual__2026-11-24T02%3A00%3A00%2B00%3A00"
    path = f"/dags/global_stop/dagRuns/{run}/taskInstances/approve/-1/hitlDetails"
    airflow.answers[("GET", LIST)] = (200, {"hitl_details": [QUESTION], "total_entries": 1})
    airflow.answers[("GET", path)] = (200, QUESTION)
    airflow.answers[("PATCH", path)] = (200, {})
    text = visit("approver").get("/decisions/approvals?lang=en").text
    assert "<td" in text
    assert "<script>x" not in text
    form = {"dag": "global_stop", "run": QUESTION["task_instance"]["dag_run_id"], "task": "approve", "map": "-1"}  # type: ignore[index]
    assert visit("operator").post("/decisions/approvals/answer", {**form, "choice": "Approve"}).status_code == 403
    done = visit("approver").post(
        "/decisions/approvals/answer?lang=en", {**form, "choice": "Approve"}, page="/decisions/approvals"
    )
    assert "Release the global stop?: Approve" in done.text
    assert airflow.asked[-1][1:] == ("PATCH", path, {"chosen_options": ["Approve"], "params_input": {}})
    other = visit("approver").post(
        "/decisions/approvals/answer", {**form, "task": "other", "choice": "Approve"}, page="/decisions/approvals"
    )
    assert other.status_code == 400


def test_a_question_beyond_the_list_is_answered_and_one_that_was_answered_is_not(
    visit: Callable[[str], Visit], airflow: FakeGate
) -> None:
    path = "/dags/global_stop/dagRuns/manual__9/taskInstances/approve/2/hitlDetails"
    airflow.answers[("GET", LIST)] = (200, {"hitl_details": [QUESTION], "total_entries": 51})
    ti = {"dag_id": "global_stop", "dag_run_id": "manual__9", "task_id": "approve", "map_index": 2}
    airflow.answers[("GET", path)] = (200, QUESTION | {"task_instance": ti, "response_received": False})
    airflow.answers[("PATCH", path)] = (200, {})
    approver = visit("approver")
    assert "50 more wait" in approver.get("/decisions/approvals?lang=en").text
    form = {"dag": "global_stop", "run": "manual__9", "task": "approve", "map": "2", "choice": "Approve"}
    assert approver.post("/decisions/approvals/answer", form, page="/decisions/approvals").status_code == 200
    assert airflow.asked[-1][1:3] == ("PATCH", path)
    airflow.answers[("GET", path)] = (200, QUESTION | {"response_received": True})
    assert approver.post("/decisions/approvals/answer", form, page="/decisions/approvals").status_code == 400
    airflow.answers[("GET", path)] = (503, {})
    silent = approver.post("/decisions/approvals/answer?lang=en", form, page="/decisions/approvals")
    assert silent.status_code == 400
    assert "did not say that it took the answer (503)" in silent.text
    elsewhere = {**form, "map": "2/../../x"}
    assert approver.post("/decisions/approvals/answer", elsewhere, page="/decisions/approvals").status_code == 400


def test_a_form_that_lacks_a_field_is_shown_without_it(
    bench: Bench, visit: Callable[[str], Visit], airflow: FakeGate
) -> None:
    airflow.answers[("GET", "/dags/global_stop/details")] = (200, {"params": {}})
    assert "Stop everything now" in visit("approver").get("/decisions/stop?lang=en").text
    stopping.set_stop(bench.context, reason_code="wrong_deletion", set_by="operator:e-abc", now=NOW)
    assert "Ask for release" in visit("approver").get("/decisions/stop?lang=en").text


# -- schedule and archive ------------------------------------------------------------------------------------------
def test_every_rule_is_said_in_both_languages_with_its_law_and_example(
    bench: Bench, visit: Callable[[str], Visit]
) -> None:
    for language, kept, law in (("en", "Kept for at most 6 months", "Personal Information Protection Act"),
                                ("ko", "6개월", "개인정보 보호법")):  # fmt: skip
        text = visit("viewer").get(f"/schedule?day=2026-02-28&lang={language}").text
        assert all(f'id="{rule}"' in text for rule in bench.context.schedule.rules)
        assert kept in text
        assert law in text
        assert "2026-08-31" in text  # six months from 28 February end with August, not on the 28th
        assert "2026-09-05" in text
    assert visit("viewer").get("/schedule?day=soon").status_code == 400


def test_a_schedule_is_read_with_the_files_beside_it_and_is_in_force_once_approved_and_effective(
    bench: Bench, visit: Callable[[str], Visit], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words, body = b"our own words\n", bench.context.schedule.body
    known = (schedule.PACKAGE / "privacy_policy.ko.txt").read_bytes()
    body = body.replace(sha256(known).hexdigest().encode(), sha256(words).hexdigest().encode())
    (tmp_path / "privacy_policy.ko.txt").write_bytes(words)
    (tmp_path / "holidays_kr.yaml").write_bytes((schedule.PACKAGE / "holidays_kr.yaml").read_bytes())
    (tmp_path / "ours.yaml").write_bytes(body)
    monkeypatch.setenv("RETENTION_SCHEDULE", str(tmp_path / "ours.yaml"))
    ours = schedule.load(tmp_path / "ours.yaml")
    row = {"policy_text_sha256": ours.policy_text_sha256, "body": body, "approved_by": "privacy_officer:e-1"}
    row |= {"sha256": ours.sha256, "effective_on": DAY + timedelta(days=1), "approved_at": NOW + timedelta(days=900)}
    with bench.context.engine.begin() as connection:
        connection.execute(insert(schedule_version).values(row))

    def in_force(text: str) -> list[str]:
        return [x for x in text.splitlines() if "in force</span>" in x]

    monkeypatch.delenv("RETENTION_SCHEDULE")
    (line,) = in_force(visit("viewer").get("/schedule?lang=en").text)
    assert bench.context.schedule.sha256[:16] in line
    monkeypatch.setenv("RETENTION_SCHEDULE", str(tmp_path / "ours.yaml"))
    text = visit("viewer").get("/schedule?lang=en").text
    assert "not approved or not effective yet" in text  # the version in force has another policy text than lies here
    assert in_force(text) == []
    assert "has problems" not in text
    with bench.context.engine.begin() as connection:
        today = update(schedule_version).where(schedule_version.c.sha256 == ours.sha256).values(effective_on=DAY)
        connection.execute(today)
    text = visit("viewer").get("/schedule?lang=en").text
    (line,) = in_force(text)
    assert ours.sha256[:16] in line
    assert "not effective yet" not in text
    assert "The schedule is sound" in text
    assert "The configured file is another version" not in text
    (tmp_path / "ours.yaml").write_bytes(body.replace(b"destroy_within_days: 5", b"destroy_within_days: many"))
    text = visit("viewer").get("/schedule?lang=en").text
    assert "The configured file is another version" in text
    assert "destroy_within_days" in text  # what is wrong with it


def test_two_versions_are_compared_part_by_part(bench: Bench, visit: Callable[[str], Visit]) -> None:
    new = bench.context.schedule.body.replace(b"{event: terminated, period: P6M}", b"{event: terminated, period: P5M}")
    with bench.context.engine.begin() as connection:
        connection.execute(
            insert(schedule_version).values(
                sha256="cd" * 32, policy_text_sha256=bench.context.schedule.policy_text_sha256, body=new
            )
        )
    old = bench.context.schedule.sha256
    text = visit("viewer").get(f"/schedule/versions?old={old}&new={'cd' * 32}&lang=en").text
    assert "rule R-01" in text
    assert "triggers" in text
    assert "period: P5M" in text
    assert "Compute over today" not in text  # a viewer computes nothing
    assert "Compute over today" in visit("operator").get(f"/schedule/versions?old={old}&new={'cd' * 32}&lang=en").text
    assert visit("viewer").get(f"/schedule/versions?old={'ee' * 32}&new={old}").status_code == 400


def keep(bench: Bench, rule: str, last_day: date, **more: Any) -> None:
    row = {
        "object_key": f"archive/{uuid4().hex}", "bucket": "archive", "rule_id": rule, "window_end": last_day,
        "rows": 40, "subjects": 7, "sha256": "x", "retain_until": NOW + timedelta(days=400), "last_day": last_day,
        "destroy_by": last_day + timedelta(days=5), "storage_class": "GLACIER_IR", "state": "checked",
        "keys_at": "keys/x",
    }  # fmt: skip
    with bench.context.engine.begin() as connection:
        connection.execute(insert(archive_object).values(row | more))


def test_the_archive_is_shown_by_law_and_year_and_by_end(bench: Bench, visit: Callable[[str], Visit]) -> None:
    keep(bench, "R-04", date(2031, 5, 1))
    keep(bench, "R-04", date(2031, 9, 1))
    keep(bench, "R-02i", DAY - timedelta(days=9))
    keep(bench, "R-02i", DAY - timedelta(days=9), legal_hold=True)
    keep(bench, "R-05", date(2029, 1, 1), state="gone")
    text = visit("viewer").get("/archive?lang=en").text
    assert "<strong>160</strong>" in text
    assert "2031-05-01 – 2031-09-01" in text
    assert "R-05" not in text
    assert "archive/groups" not in text
    assert visit("viewer").get("/archive/groups").status_code == 403
    listed = visit("operator").get("/archive/groups?lang=en").text
    assert listed.index("past its end") < listed.index("2031-05-01")
    assert "legal hold" in listed
    assert "2031" not in visit("operator").get("/archive/groups?rule=R-02i").text
    assert visit("operator").get("/archive/readers").status_code == 403
    assert visit("compliance").get("/archive/readers").status_code == 200


def test_what_is_next_follows_the_state() -> None:
    class Row:
        status, notice_state, notice_by, review_due = "approved", "pending", "mail", DAY

    assert reading.next_of_request(Row()) == "carry_out"  # type: ignore[arg-type]
    assert reading.next_of_hold(Row(), DAY + timedelta(days=1)) == "review_late"  # type: ignore[arg-type]
    assert reading.next_of_hold(Row(), DAY - timedelta(days=30)) == "wait"  # type: ignore[arg-type]
    assert reading.releases("H-4") == ["paid", "written_off"]
