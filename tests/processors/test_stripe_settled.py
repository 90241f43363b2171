"""Stripe: no draft or open invoice is closed unless two people released its debt as paid or written off."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from include.errors import Unreachable
from include.outcomes import Outcome
from include.processors import NOT_ARCHIVED, Settlement
from include.sandbox._stripe.shapes import invoice, stamp
from include.sandbox.standin import Serving
from include.sandbox.stripe import StandIn
from tests.processors.stripe_world import DAY, OLD, TODAY, World, person, subject

PAID = Settlement("paid", TODAY - DAY, ("compliance:e-0001", "approver:e-0002"))
WRITTEN_OFF = replace(PAID, reason="written_off")


@pytest.fixture
def world() -> Iterator[World]:
    """A Stripe account without limits in the way."""
    standin = StandIn(limit_factor=1000)
    with Serving(standin) as serving:
        yield World(standin, serving.url)


def bills(world: World) -> dict[str, str]:
    return {i["id"]: i["status"] for i in world.all("invoice") if i["id"] in {"in_s0000001x900", "in_sub"}}


def closings(world: World) -> list[str]:
    return [c for c in world.changes() if "/v1/invoices/" in c]


@pytest.mark.parametrize(
    ("variant", "settlement", "end"),
    [
        ("open_invoice", PAID, "paid"), ("open_invoice", WRITTEN_OFF, "void"), ("draft_invoice", PAID, "paid"),
        ("draft_invoice", WRITTEN_OFF, None),
    ],
)  # fmt: skip
def test_a_released_invoice_is_closed_as_it_was_released(
    world: World, variant: str, settlement: Settlement, end: str | None
) -> None:
    world.seed(person(1, variant), person(2, variant))
    work, stopped = world.advance(world.work(subject(1, settled=(settlement,))))
    assert stopped is None
    assert bills(world).get("in_s0000001x900") == end
    assert world.read_back(work).code == "inaccessible_to_us"
    assert all("s0000002" not in c for c in world.changes())


def test_a_subscriptions_draft_that_cannot_be_deleted_is_made_final_and_void(world: World) -> None:
    objects = person(1)
    draft = invoice(
        "in_sub", objects["customer"][0], amount=5, created=stamp(OLD), status="draft", subscription="sub_1"
    )
    world.seed(objects, {"invoice": [draft]})
    _, stopped = world.advance(world.work(subject(1, settled=(WRITTEN_OFF,))))
    assert stopped is None
    assert bills(world)["in_sub"] == "void"


@pytest.mark.parametrize("variant", ["open_invoice", "draft_invoice"])
def test_without_a_release_nothing_is_closed(world: World, variant: str) -> None:
    world.seed(person(1, variant))
    assert world.locate(subject(1))[0].outcome is Outcome.BLOCKED
    assert world.changes() == []


def test_a_release_says_nothing_of_an_invoice_made_after_it(world: World) -> None:
    world.seed(person(1, "open_invoice", on=TODAY))
    found = world.locate(subject(1, settled=(PAID,)))[0]
    assert (found.outcome, found.code) == (Outcome.BLOCKED, "open_invoice")


def test_a_release_taken_back_before_the_act_leaves_the_invoice_alone(world: World) -> None:
    world.seed(person(1, "open_invoice"))
    work = replace(world.work(subject(1, settled=(PAID,))), settled=())
    _, stopped = world.advance(work)
    assert stopped is not None
    assert (stopped.outcome, stopped.code) == (Outcome.BLOCKED, "open_invoice")
    result = world.processor().act("settle_invoices", [work])[0]
    assert (result.outcome, result.code) == (Outcome.BLOCKED, "open_invoice")
    assert closings(world) == []


def test_an_invoice_released_after_locating_is_extracted_first(world: World) -> None:
    objects = person(1)
    world.seed(objects)
    work = world.work(subject(1))
    new = invoice("in_sub", objects["customer"][0], amount=5, created=stamp(TODAY - 2 * DAY), status="open")
    world.seed({"invoice": [new]})
    work, stopped = world.advance(replace(work, settled=(PAID,)))
    assert stopped is not None
    assert stopped.code == NOT_ARCHIVED
    assert closings(world) == []
    assert [r.source_id for r in world.extract(work)] == ["in_sub"]
    world.advance(work)
    assert bills(world)["in_sub"] == "paid"


@pytest.mark.parametrize(("settlement", "received"), [(PAID, 9900), (WRITTEN_OFF, 0)])
def test_the_archive_has_the_invoice_before_it_is_closed(world: World, settlement: Settlement, received: int) -> None:
    world.seed(person(1, "open_invoice"))
    found = {r.source_id: r for r in world.extract(world.work(subject(1, settled=(settlement,))))}
    items = found["in_s0000001x900"].items
    assert (items["fee.billed"], items["fee.received"]) == (9900, received)
    assert items["fee.received_at"] == (PAID.on.isoformat() if received else None)


@pytest.mark.parametrize(
    "fault", [{"kind": "lie"}, {"kind": "cut_after"}, {"kind": "status", "status": 500, "body": {}}]
)
def test_a_closing_that_did_not_happen_is_not_believed(world: World, fault: dict[str, Any]) -> None:
    world.seed(person(1, "open_invoice"))
    work = world.work(subject(1, settled=(WRITTEN_OFF,)))
    world.fault(**fault, method="POST", path="/void$", times=3)
    if fault["kind"] == "lie":
        _, stopped = world.advance(work)
        assert stopped is not None
        assert (stopped.outcome, stopped.code) == (Outcome.FAILED, "invoice_still_open")
    else:
        with pytest.raises(Unreachable):
            world.advance(work)
    assert world.all("customer")[0].get("deleted") is None
    world.standin.faults.clear()
    assert world.advance(work)[1] is None
    assert bills(world)["in_s0000001x900"] == "void"


@pytest.mark.parametrize(
    ("reason", "by"),
    [
        ("paid", ("compliance:e-0001",)), ("paid", ("compliance:e-0001", "approver:e-0001")), ("written_off", ()),
        ("forgotten", ("compliance:e-0001", "approver:e-0002")), ("paid", ("compliance:e-0001", "approver:")),
    ],
)  # fmt: skip
def test_one_person_or_another_reason_settles_nothing(reason: str, by: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="two different people"):
        Settlement(reason, TODAY, by)
