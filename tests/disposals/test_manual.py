"""What a person does by hand: grouped once a night, answered by proofs, each disposal with its own evidence."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select, update

from include.database import access_log
from include.database.decisions import manual_order, manual_request
from include.disposals import alerts, holds, locators, manual, reporting
from include.disposals.handing_over import hand_over
from include.disposals.manual import Order, Proof
from include.errors import DecisionRefused, Unreachable
from include.evidence.lookups import Person
from include.outcomes import Outcome
from include.processors import Work
from tests.disposals.conftest import DAY, Bench

DUE = DAY + timedelta(days=5)
SHREDDED = Proof("PD-2026-0001", DAY, "shred", "records_office:e-0012", "records_office:e-0013")
CONFIRMED = Proof("NR-20261124-77", DAY, "vendor_confirmation", "privacy_team:e-0004")
BY = "operator:e-0002"


@dataclass
class Paper:
    """The paper register, as the processor clears it."""

    cleared: list[str] = field(default_factory=list)
    down: bool = False

    def attested(self, work: list[Work]) -> None:
        if self.down:
            raise Unreachable("paper", "register_unreachable")
        self.cleared += [p for w in work for p in w.locator["papers"]]


class Desk:
    """What the tests say in a line: put something before a person, ask, answer."""

    def __init__(self, bench: Bench) -> None:
        self.bench, self.context, self.paper = bench, bench.context, Paper()

    def pending(self, account: str, processor: str, code: str, **columns: Any) -> str:
        """Store a disposal that waits for a person."""
        values = {"outcome": "manual_pending", "code": code, "until": DUE, "due_at": None, "step": "read_back"}
        return self.bench.plan(account, processor=processor, **(values | columns))

    def papers(self, account: str, *boxes: str) -> str:
        """Store a disposal of papers in these boxes."""
        disposal_id = self.pending(account, "paper", "paper_destruction_order", datasets=["paper"])
        body = {"papers": [f"{account}-{b}" for b in boxes], "boxes": list(boxes)}
        with self.context.engine.begin() as connection:
            locators.save(connection, self.context, "found", {disposal_id: body})
        return disposal_id

    def hold(self, account: str, dataset: str) -> None:
        """Place a court's hold on it."""
        holds.place(
            self.context, account_id=account, kind="H-6", datasets=[dataset], reason_code="court_order",
            placed_by="compliance:e-0007", review_due=DAY,
        )  # fmt: skip

    def orders(self, processor: str = "") -> list[Order]:
        """Return the open orders."""
        with self.context.engine.connect() as connection:
            return [o for o in manual.open_orders(connection) if processor in ("", o.processor)]

    def answer(self, order: Order, proof: Proof, *, as_of: date = DAY) -> int:
        """Answer an order."""
        context = replace(self.context, as_of=as_of)
        connect: Any = (lambda: self.paper) if order.processor == "paper" else None
        return manual.answer(context, order.order_id, proof, by=BY, connect=connect)


@pytest.fixture
def desk(bench: Bench) -> Desk:
    return Desk(bench)


def test_a_night_makes_one_request_a_place_and_a_second_run_adds_none(desk: Desk) -> None:
    for account in "abc":
        desk.pending(account, "adroll", "vendor_request_to_send")
    desk.papers("a", "B-1")
    assert manual.ask_by_hand(desk.context) == {"adroll": 1, "paper": 1}
    assert manual.ask_by_hand(desk.context) == {}
    (order,) = desk.orders("adroll")
    assert (order.records, order.due, order.made_on) == (3, DUE, DAY)
    assert str(order.request_id)[:8] in order.subject
    assert DUE.isoformat() in order.body


def test_one_proof_closes_many_disposals_each_with_its_own_entry(desk: Desk, bench: Bench) -> None:
    ids = [desk.pending(a, "adroll", "vendor_request_to_send") for a in "abc"]
    manual.ask_by_hand(desk.context)
    assert desk.answer(desk.orders()[0], CONFIRMED) == 3
    for disposal_id in ids:
        row = bench.row(disposal_id)
        assert (row.outcome, row.closed_on, row.account_id) == (Outcome.MANUAL_ATTESTED, DAY, None)
        (told,) = [e for e in bench.entries(disposal_id) if e["event"] == "manual_attested"]
        assert told["actor"] == {"role": "privacy_team", "pseudonym": "e-0004"}
        assert (told["method"], told["proof_date"]) == ("vendor_confirmation", DAY.isoformat())
        assert CONFIRMED.reference not in str(told)
    assert desk.orders() == []
    assert reporting.waiting_for_a_person(desk.context) == {}


def test_paper_is_ordered_by_box_and_closes_when_every_box_is_attested(desk: Desk, bench: Bench) -> None:
    one, both = desk.papers("a", "B-1"), desk.papers("b", "B-1", "B-2")
    manual.ask_by_hand(desk.context)
    first, second = desk.orders()
    assert [(o.box, o.records) for o in (first, second)] == [("B-1", 2), ("B-2", 1)]
    assert desk.answer(first, SHREDDED) == 1
    assert (bench.row(one).outcome, bench.row(both).outcome) == (Outcome.MANUAL_ATTESTED, Outcome.MANUAL_PENDING)
    assert desk.answer(second, replace(SHREDDED, method="incinerate", reference="PD-2026-0002")) == 1
    assert bench.row(both).outcome == Outcome.MANUAL_ATTESTED
    assert sorted(desk.paper.cleared) == ["a-B-1", "b-B-1", "b-B-2"]
    (told,) = [e for e in bench.entries(both) if e["event"] == "manual_attested"]
    assert told["witness"] == {"role": "records_office", "pseudonym": "e-0013"}
    assert (told["method"], told["sanitization"]) == ("incinerate", "destroy")


def test_a_register_that_cannot_be_cleared_closes_nothing_and_the_same_proof_goes_on(desk: Desk, bench: Bench) -> None:
    disposal_id = desk.papers("a", "B-1")
    manual.ask_by_hand(desk.context)
    (order,) = desk.orders()
    desk.paper.down = True
    with pytest.raises(Unreachable):
        desk.answer(order, SHREDDED)
    assert bench.row(disposal_id).outcome == Outcome.MANUAL_PENDING
    desk.paper.down = False
    assert desk.answer(order, SHREDDED) == 1
    assert desk.answer(order, SHREDDED) == 0
    assert bench.events(disposal_id).count("manual_attested") == 1


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"method": "vendor_confirmation"}, "method is one of"),
        ({"reference": "by word of mouth"}, "reference number has the form"),
        ({"reference": "PD-26-1"}, "reference number has the form"),
        ({"done_on": DAY - timedelta(days=1)}, "the date lies between"),
        ({"done_on": DAY + timedelta(days=1)}, "the date lies between"),
        ({"witness": None}, "a witness is needed"),
        ({"witness": "manager:e-0012"}, "two people"),
        ({"executor": "Sample Person"}, "role and pseudonym"),
    ],
)
def test_a_proof_that_proves_nothing_is_refused_and_nothing_recorded(
    desk: Desk, bench: Bench, wrong: dict[str, Any], why: str
) -> None:
    disposal_id = desk.papers("a", "B-1")
    manual.ask_by_hand(desk.context)
    with pytest.raises(DecisionRefused, match=why) as refused:
        desk.answer(desk.orders()[0], replace(SHREDDED, **wrong))
    assert "Sample Person" not in str(refused.value)
    assert bench.row(disposal_id).outcome == Outcome.MANUAL_PENDING
    assert len(desk.orders()) == 1


@pytest.mark.parametrize("number", ["010-1234-5678", "someone@example.com", "홍길동-1", "abcd"])
def test_a_reference_is_a_number_and_never_a_persons(desk: Desk, number: str) -> None:
    desk.pending("a", "adroll", "vendor_request_to_send")
    manual.ask_by_hand(desk.context)
    with pytest.raises(DecisionRefused, match="reference number"):
        desk.answer(desk.orders()[0], replace(CONFIRMED, reference=number))


def test_another_proof_for_an_answered_order_and_an_unknown_order_are_refused(desk: Desk) -> None:
    desk.pending("a", "adroll", "vendor_request_to_send")
    manual.ask_by_hand(desk.context)
    (order,) = desk.orders()
    desk.answer(order, CONFIRMED)
    with pytest.raises(DecisionRefused, match="another proof"):
        desk.answer(order, replace(CONFIRMED, reference="NR-9999"))
    with pytest.raises(DecisionRefused, match="no order"):
        manual.answer(desk.context, uuid4(), CONFIRMED, by=BY)


def test_what_can_be_read_is_closed_by_reading_and_not_by_the_proof(desk: Desk, bench: Bench) -> None:
    disposal_id = desk.pending("a", "salesforce", "shared_records", datasets=["customer"])
    manual.ask_by_hand(desk.context)
    removed = replace(CONFIRMED, method="removed", reference="CHG-0042")
    assert desk.answer(desk.orders()[0], removed) == 0
    row = bench.row(disposal_id)
    assert (row.outcome, row.due_at, row.closed_on) == (Outcome.MANUAL_PENDING, DAY, None)
    # The next read-back still shows it: it is asked for again.
    assert manual.ask_by_hand(desk.context) == {"salesforce": 1}


def test_clarity_is_asked_once_and_its_disposal_goes_on_to_its_own_date(desk: Desk, bench: Bench) -> None:
    lapses = DAY + timedelta(days=400)
    disposal_id = desk.pending(
        "a", "clarity", "not_deleted_by_us", outcome="expires_by_processor", until=lapses, due_at=lapses
    )
    manual.ask_by_hand(desk.context)
    assert desk.answer(desk.orders()[0], replace(CONFIRMED, method="labels_removed")) == 0
    assert bench.row(disposal_id).outcome == Outcome.EXPIRES_BY_PROCESSOR
    assert manual.ask_by_hand(desk.context) == {}
    assert [e["event"] for e in bench.entries() if e.get("processor") == "clarity" and "disposal_id" not in e] == [
        "manual_requested",
        "manual_answered",
    ]


def test_a_reminder_is_named_once_and_what_is_overdue_every_night(desk: Desk) -> None:
    desk.pending("a", "adroll", "vendor_request_to_send")
    manual.ask_by_hand(desk.context)
    two_before = replace(desk.context, as_of=DUE - timedelta(days=2))
    assert manual.remind(replace(desk.context, as_of=DUE - timedelta(days=3))) == ([], [])
    words = f"adroll vendor_request_to_send: 1 orders, due {DUE}"
    assert manual.remind(two_before) == ([words], [])
    assert manual.remind(two_before) == ([], [])
    late = replace(desk.context, as_of=DUE + timedelta(days=1))
    assert manual.remind(late) == manual.remind(late) == ([], [words])


def test_an_order_that_touches_an_account_put_on_hold_since_is_called_off(desk: Desk, bench: Bench) -> None:
    desk.papers("a", "B-1")
    manual.ask_by_hand(desk.context)
    (order,) = desk.orders()
    desk.hold("a", "paper")
    said = alerts.alerts(desk.context, now=datetime.now(UTC))
    assert f"manual order {order.order_id} touches an account on hold: do not carry it out yet" in said


def test_nothing_of_a_person_is_stored_with_a_request(desk: Desk) -> None:
    desk.pending("account-of-somebody", "adroll", "vendor_request_to_send")
    manual.ask_by_hand(desk.context)
    with desk.context.engine.connect() as connection:
        rows = [
            *connection.execute(select(manual_request)).mappings(),
            *connection.execute(select(manual_order)).mappings(),
        ]
    assert "account-of-somebody" not in str(rows)
    assert all(isinstance(r["request_id"], UUID) for r in rows)


def test_whom_a_request_is_about_is_handed_to_the_right_role_and_logged_by_tag(desk: Desk, bench: Bench) -> None:
    ids = [desk.pending(a, "adroll", "vendor_request_to_send") for a in "ab"]
    found = {i: {"segments": {"S1": [f"{n}@example.com"]}, "due": "2026-12-24"} for n, i in enumerate(ids)}
    with desk.context.engine.begin() as connection:
        locators.save(connection, desk.context, "found", found)
    manual.ask_by_hand(desk.context)
    (order,) = desk.orders("adroll")
    context = desk.context
    hand = partial(hand_over, context, order.request_id)
    with pytest.raises(DecisionRefused, match="may not read"):
        hand(by=Person("viewer", "e-0001"))
    assert _looked(bench) == []
    said = hand(by=Person("privacy_officer", "e-0004"))
    assert said.startswith("To: dpo@nextroll.com")
    assert {line.split("\t", 1)[1] for line in said.splitlines() if "\t" in line} == {
        "segments.S1\t0@example.com", "segments.S1\t1@example.com",
    }  # fmt: skip
    tags = sorted(bench.row(i).subject_tag for i in ids)
    assert _looked(bench) == [("e-0004", "privacy_officer", tag) for tag in tags]
    assert "@example.com" not in str(bench.entries(ids[0]))
    desk.answer(order, CONFIRMED)
    with pytest.raises(DecisionRefused, match="No open request"):
        hand(by=Person("privacy_officer", "e-0004"))


def test_who_is_held_or_whose_order_has_its_proof_is_not_handed_over(desk: Desk, bench: Bench) -> None:
    ids = {a: desk.pending(a, "adroll", "vendor_request_to_send") for a in "ab"}
    found = {i: {"segments": {"S1": [f"{a}@example.com"]}, "due": "2026-12-24"} for a, i in ids.items()}
    with desk.context.engine.begin() as connection:
        locators.save(connection, desk.context, "found", found)
    manual.ask_by_hand(desk.context)
    (order,) = desk.orders("adroll")
    by = Person("privacy_officer", "e-0004")
    desk.hold("a", "support")
    said = hand_over(desk.context, order.request_id, by=by)
    assert "a@example.com" not in said
    assert "1 held, left out" in said
    assert said.splitlines()[-1] == "1\tsegments.S1\tb@example.com"
    assert [tag for *_, tag in _looked(bench)] == [bench.row(ids["b"]).subject_tag]
    desk.hold("b", "support")
    with pytest.raises(DecisionRefused, match="2 held"):
        hand_over(desk.context, order.request_id, by=by)
    assert len(_looked(bench)) == 1


def test_a_box_with_its_proof_is_not_handed_over_with_the_boxes_that_wait(desk: Desk, bench: Bench) -> None:
    for account, box in (("a", "B-1"), ("b", "B-2")):
        desk.papers(account, box)
    manual.ask_by_hand(desk.context)
    first, second = sorted(desk.orders("paper"), key=lambda o: o.box)
    assert first.request_id == second.request_id
    with desk.context.engine.begin() as connection:
        connection.execute(update(manual_order).where(manual_order.c.box == "B-1").values(answered_on=DAY))
    said = hand_over(desk.context, first.request_id, by=Person("privacy_officer", "e-0004"))
    assert "B-2" in said
    assert "B-1" not in said


def _looked(bench: Bench) -> list[tuple[str, str, str]]:
    with bench.context.engine.connect() as connection:
        rows = connection.execute(select(access_log).order_by(access_log.c.subject_tag)).all()
    return [(r.who, r.role, r.subject_tag) for r in rows if r.action == "identifiers_handed_over"]
