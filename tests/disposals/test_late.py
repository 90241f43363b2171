"""Records that come after the extract reach the archive before the act; a debt settled by two reaches the processor;
what a processor keeps while a request is open stays open.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import delete, select, update

from include.database import archive_row, archive_wait, hold, locator
from include.disposals import holds
from include.disposals.reporting import gaps, waiting_for_a_person
from include.errors import Unreachable
from include.outcomes import Outcome
from include.policy.facts import AccountFacts
from include.processors import NOT_ARCHIVED, Record, Result, Settlement, Work
from tests.disposals.conftest import DAY, Bench
from tests.disposals.fakes import Place

NEXT = DAY + timedelta(days=1)


@dataclass
class Late(Place):
    """A place where a record turns up at the second step."""

    known: set[str] = field(default_factory=set)
    broken: bool = False
    settled: list[tuple[Settlement, ...]] = field(default_factory=list)

    def act(self, step: str, work: Sequence[Work]) -> list[Result]:
        self.settled += [w.settled for w in work]
        waiting = [w for w in work if step == "second" and "late" not in w.locator]
        if not waiting:
            return super().act(step, work)
        until = self.until or NEXT
        return [
            Result(
                w.disposal_id, Outcome.AWAITING, code=NOT_ARCHIVED, until=until, locator={**w.locator, "late": ["re_1"]}
            )
            for w in work
        ]

    def extract(self, work: Sequence[Work]) -> list[Record]:
        if self.broken:
            raise Unreachable(self.name, "export_server_error", status=503)
        day = date(2026, 11, 1)
        return [
            Record(
                w.disposal_id, "re_1", "payment", {"transaction": day, "paid_and_supplied": day},
                {"fee.received": -50, "extra": "dropped"},
            )
            for w in work
            if w.locator.get("late")
        ]  # fmt: skip


def waits(bench: Bench, disposal_id: str) -> list[Any]:
    with bench.context.engine.connect() as connection:
        return list(connection.execute(select(archive_wait).where(archive_wait.c.disposal_id == UUID(disposal_id))))


def test_a_late_record_is_staged_and_the_act_waits_until_it_is_packed(bench: Bench) -> None:
    place = Late(records={"a": {"bin", "record"}})
    made = bench.plan("a")
    bench.locate(place, made)
    bench.advance(place, made)
    row = bench.row(made)
    assert (row.outcome, row.code, row.step, row.due_at) == ("awaiting", NOT_ARCHIVED, "second", NEXT)
    assert place.acts() == ["first"]
    assert len(waits(bench, made)) == 2, "R-02 and R-04 keep a payment"
    bench.advance(place, made, as_of=NEXT)
    assert place.acts() == ["first"], "nothing is done before it lies in a checked object"
    with bench.context.engine.begin() as connection:
        connection.execute(delete(archive_wait))
        connection.execute(delete(archive_row))
    bench.advance(place, made, as_of=NEXT)
    assert place.acts() == ["first", "second"]
    assert bench.row(made).outcome == "confirmed_absent"


def test_a_late_record_of_a_consumer_like_business_is_kept_by_commerce_law_after_its_account_is_erased(
    bench: Bench,
) -> None:
    """The register says who is consumer-like (C-13), and is gone when a refund follows months later."""
    place = Late(records={"a": {"bin", "record"}})
    made = bench.plan("a", subject_type="business")
    day = date(2026, 10, 1)
    paid = Record(made, "ch_1", "payment", {"transaction": day, "paid_and_supplied": day}, {"fee.received": 50})
    extract, register = place.extract, bench.context.accounts
    place.extract = lambda work: [*extract(work), *([] if work[0].locator.get("late") else [paid])]  # type: ignore[method-assign]
    register.due_facts.append(AccountFacts("a", "business", consumer_like=True))  # type: ignore[attr-defined]
    bench.locate(place, made)
    first = {row.rule_id for row in waits(bench, made)}
    with bench.context.engine.begin() as connection:
        connection.execute(delete(archive_wait))
        connection.execute(delete(archive_row))
    register.due_facts.clear()  # type: ignore[attr-defined]
    register.gone.add("a")  # type: ignore[attr-defined]
    bench.advance(place, made)
    assert bench.row(made).code == NOT_ARCHIVED
    assert {row.rule_id for row in waits(bench, made)} == first == {"R-02b", "R-04"}


def test_a_late_record_that_cannot_be_extracted_stops_its_disposal_only(bench: Bench) -> None:
    place = Late(records={"a": {"bin", "record"}}, broken=True)
    made = bench.plan("a")
    place.broken = False
    bench.locate(place, made)
    place.broken = True
    bench.advance(place, made)
    row = bench.row(made)
    assert (row.outcome, row.code, row.needs_person) == ("failed", "export_server_error", False)
    assert waits(bench, made) == []
    place.broken = False
    bench.advance(place, made)
    assert bench.row(made).code == NOT_ARCHIVED
    assert place.acts() == ["first"]


@pytest.mark.parametrize(
    ("reason", "second", "settled"),
    [
        ("paid", "approver:e-0002", True), ("written_off", "approver:e-0002", True), ("paid", None, False),
        ("paid", "approver:e-0001", False), ("mistaken", "approver:e-0002", False), (None, None, False),
    ],
)  # fmt: skip
def test_a_debt_two_people_released_is_told_to_the_processor(
    bench: Bench, reason: str | None, second: str | None, settled: bool
) -> None:
    earlier = replace(bench.context, as_of=DAY - timedelta(days=1))
    placed = holds.place(
        earlier, account_id="a", kind="H-2", datasets=["payments"], reason_code="underpaid",
        placed_by="compliance:e-0001", review_due=DAY + timedelta(days=30),
    )  # fmt: skip
    holds.release(earlier, placed, released_by="compliance:e-0001")
    with bench.context.engine.begin() as connection:
        connection.execute(
            update(hold).where(hold.c.hold_id == placed).values(release_reason=reason, release_second_by=second)
        )
    place = Late(records={"a": {"bin", "record"}, "b": {"bin", "record"}})
    made, other = bench.plan("a"), bench.plan("b")
    bench.locate(place, made, other)
    bench.advance(place, made)
    bench.advance(place, other)
    mine = (Settlement(str(reason), earlier.as_of, ("compliance:e-0001", str(second))),) if settled else ()
    assert set(place.settled) == {mine, ()}


def test_what_is_kept_with_a_request_under_way_stays_open_with_its_locator(bench: Bench) -> None:
    @dataclass
    class Keeps(Place):
        def read_back(self, work: Sequence[Work]) -> list[Result]:
            kept = {"item": "kept_by_processor", "items": ["charge"], "law": "processor_own_duties"}
            return [
                Result(
                    w.disposal_id, Outcome.RETAINED_BY_PROCESSOR, code="redaction_not_enabled", basis="own_duties",
                    until=NEXT, needs_person=True, exceptions=(kept,), counts={"charge.invalid_state": 2},
                )
                for w in work
            ]  # fmt: skip

    place = Keeps(records={"a": {"bin", "record"}})
    made = bench.plan("a")
    bench.locate(place, made)
    bench.advance(place, made)
    row, last = bench.row(made), bench.entries(made)[-1]
    assert (row.outcome, row.closed_on, row.due_at, row.needs_person) == ("retained_by_processor", None, None, True)
    assert (last["event"], last["until"], last["counts"]) == (
        "retained_by_processor", NEXT.isoformat(), {"charge.invalid_state": 2},
    )  # fmt: skip
    assert last["exceptions"][0]["items"] == ["charge"]
    with bench.context.engine.connect() as connection:
        assert connection.execute(select(locator.c.kind)).scalars().all() == ["found"]
    assert waiting_for_a_person(bench.context) == {"zendesk": 1}
    assert bench.context.run_id is not None
    assert not [g for g in gaps(bench.context, bench.context.run_id) if "zendesk" in g]
