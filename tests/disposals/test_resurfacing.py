"""Who was erased and is there again: noticed by tag, erased again only where nobody else can be meant."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import func, select, update

from include.database import disposal
from include.database.decisions import sighting, sweep, tombstone
from include.disposals import alerts, begin_run, brake, resurfacing, tombstones
from include.disposals.approvals import staff
from include.errors import Unreachable
from include.outcomes import Outcome
from include.policy.facts import AccountFacts, State
from include.processors._sweeps import Swept, object_ids
from tests.disposals.conftest import DAY, Bench
from tests.disposals.fakes import Place

NOW = datetime(2026, 11, 24, 17, tzinfo=UTC)
ENDED = date(2026, 11, 20)


@dataclass
class Listed(Place):
    """A place that can be listed by time."""

    records_now: list[Swept] = field(default_factory=list)
    asked: list[datetime | None] = field(default_factory=list)

    def sweep(self, since: datetime | None) -> Iterator[Swept]:
        self._answer("sweep", ())
        self.asked.append(since)
        return iter(self.records_now)

    def objects(self, locator: Mapping[str, Any]) -> list[str]:
        return object_ids({"id": f"object-{locator.get('key')}"})


class Town:
    """One place, an account erased there, and the company's own view of who is a customer."""

    def __init__(self, bench: Bench) -> None:
        self.bench, self.context = bench, bench.context
        self.place = Listed(records={"a": {"bin", "record"}})
        self.disposal_id = bench.plan("a", trigger_date=ENDED)
        self.owners: dict[str, set[str]] = {}

    def erase(self) -> None:
        """Erase the account at the place."""
        self.bench.locate(self.place, self.disposal_id)
        self.bench.advance(self.place, self.disposal_id)
        assert self.bench.row(self.disposal_id).outcome == Outcome.CONFIRMED_ABSENT

    def seen(self, **record: Any) -> dict[str, int]:
        """Sweep with one record there; return what was counted."""
        self.place.records_now = [Swept(**({"datasets": ("support",)} | record))]
        resurfacing.sweep_places(
            self.context, {"zendesk": lambda: self.place}, lambda emails: self.owners, now=NOW  # type: ignore[dict-item]
        )  # fmt: skip
        return [e["counts"] for e in self.bench.entries() if e["event"] == "swept"][-1]

    def is_customer(self, account: str, state: State) -> None:
        """Let the company know an account."""
        ended = ENDED if state is State.TERMINATED else None
        self.context.accounts.due_facts.append(  # type: ignore[attr-defined]
            AccountFacts(account, "individual", state=state, requested_on=ended, terminated_on=ended)
        )

    def sightings(self) -> int:
        with self.context.engine.connect() as connection:
            return connection.execute(select(func.count()).select_from(sighting)).scalar_one()


@pytest.fixture
def town(bench: Bench) -> Town:
    made = Town(bench)
    made.erase()
    return made


def test_tombstones_are_tags_with_a_term_of_their_own(town: Town) -> None:
    with town.context.engine.connect() as connection:
        rows = connection.execute(select(tombstone)).all()
    tags = town.context.tags
    assert {(r.kind, r.tag) for r in rows} == {
        ("account_id", tags.tag("a", epoch="2026")),
        ("email", tags.tag("A@Example.com", epoch="2026", kind="email")),
        ("object", tags.tag("object-a", epoch="2026", kind="object.zendesk")),
    }
    assert {(r.erased_on, r.expires_on) for r in rows} == {(DAY, date(2029, 11, 24))}
    with town.context.engine.begin() as connection:
        assert tombstones.forget_expired(connection, date(2029, 11, 24)) == 0
        assert tombstones.forget_expired(connection, date(2029, 11, 25)) == 3


def test_an_account_that_is_no_customers_is_erased_again_behind_the_brake(town: Town, bench: Bench) -> None:
    assert town.seen(account_id="a", emails=("a@example.com",)) == {"records": 1, "reappeared": 1}
    row = bench.row(town.disposal_id)
    assert (row.outcome, row.account_id, row.closed_on) == (Outcome.REAPPEARED, "a", None)
    town.place.records["a"] = {"bin", "record"}
    assert bench.locate(town.place, town.disposal_id) == {}
    run_id = begin_run(town.context, airflow_run_id="next")
    by = staff("ada", "operator", town.context.wrapper)
    assert brake.judge_night(town.context, run_id, by=by, expires=NOW).reason is None
    town.context.accounts.gone.add("a")  # type: ignore[attr-defined]
    bench.locate(town.place, town.disposal_id)
    bench.advance(town.place, town.disposal_id)
    assert bench.row(town.disposal_id).outcome == Outcome.CONFIRMED_ABSENT
    assert bench.events(town.disposal_id)[-6:] == [
        "located", "attempted", "accepted", "attempted", "accepted", "confirmed_absent",
    ]  # fmt: skip
    assert "reappeared" in bench.events(town.disposal_id)


def test_the_places_own_object_counts_with_the_account(town: Town) -> None:
    assert town.seen(object_id="object-a", account_id="a") == {"records": 1, "reappeared": 1}


def test_an_object_without_its_account_is_shown_to_a_person(town: Town, bench: Bench) -> None:
    assert town.seen(object_id="object-a") == {"records": 1, "for_a_person": 1}
    assert bench.row(town.disposal_id).closed_on == DAY


def test_a_match_by_email_alone_touches_nothing_and_is_asked_once(town: Town, bench: Bench) -> None:
    for _ in range(2):
        assert town.seen(object_id="another", account_id="b", emails=("A@EXAMPLE.com",)) == {
            "records": 1, "for_a_person": 1,
        }  # fmt: skip
    assert (bench.row(town.disposal_id).closed_on, town.sightings()) == (DAY, 1)
    said = alerts.alerts(town.context, now=NOW)
    assert "zendesk: 1 may be back after erasure; decide each, nothing was touched" in said
    with town.context.engine.connect() as connection:
        one = connection.execute(select(sighting.c.sighting_id)).scalar_one()
    resurfacing.decide(town.context, one, new_person=True, by="operator:e-0002")
    assert not [line for line in alerts.alerts(town.context, now=NOW) if "may be back" in line]


def test_the_same_customer_who_came_back_is_no_sign_of_anything(town: Town, bench: Bench) -> None:
    town.is_customer("a", State.LIVE)
    assert town.seen(account_id="a", emails=("a@example.com",)) == {"records": 1, "customer": 1}
    assert (bench.row(town.disposal_id).closed_on, town.sightings()) == (DAY, 0)


def test_an_email_that_a_live_account_uses_now_stops_the_machine(town: Town, bench: Bench) -> None:
    town.is_customer("b", State.LIVE)
    town.owners = {"a@example.com": {"b"}}
    assert town.seen(account_id="a", emails=("a@example.com",)) == {"records": 1, "for_a_person": 1}
    assert bench.row(town.disposal_id).closed_on == DAY


def test_a_terminated_account_still_in_the_register_goes_by_todays_plan(town: Town, bench: Bench) -> None:
    town.is_customer("a", State.TERMINATED)
    assert town.seen(account_id="a") == {"records": 1, "reappeared": 1}
    assert bench.row(town.disposal_id).outcome == Outcome.REAPPEARED


def test_what_another_disposal_is_about_to_erase_is_no_sign_of_anything(town: Town, bench: Bench) -> None:
    bench.plan("a", trigger_date=date(2026, 11, 22))
    assert town.seen(account_id="a") == {"records": 1, "under_way": 1}
    assert bench.row(town.disposal_id).closed_on == DAY


def test_another_dataset_at_the_same_place_is_another_matter(town: Town) -> None:
    assert town.seen(account_id="a", datasets=("marketing",)) == {"records": 1}


def test_a_tombstone_of_an_older_epoch_is_still_recognised(town: Town) -> None:
    later = replace(town.context, as_of=date(2027, 2, 1))
    town.context = later
    assert town.seen(account_id="a") == {"records": 1, "reappeared": 1}


def test_an_erasure_under_way_is_no_tombstone(bench: Bench) -> None:
    town = Town(bench)
    bench.locate(town.place, town.disposal_id)
    assert town.seen(account_id="a") == {"records": 1}


def test_a_place_that_cannot_be_listed_or_fails_is_named(bench: Bench) -> None:
    def down() -> Any:
        raise Unreachable("stripe", "no_answer")

    swept = resurfacing.sweep_places(
        bench.context, {"adroll": Place, "stripe": down, "zendesk": Listed}, lambda _e: {}, now=NOW  # type: ignore[dict-item]
    )  # fmt: skip
    assert swept == {"adroll": "not_swept", "stripe": "no_answer", "zendesk": "swept"}
    said = alerts.alerts(bench.context, now=NOW)
    assert {"adroll: not swept (not_swept)", "stripe: not swept (no_answer)"} <= set(said)


def test_a_part_of_a_place_that_cannot_be_listed_is_named_beside_it(bench: Bench) -> None:
    class Partly(Listed):
        def not_listed(self) -> tuple[str, ...]:
            return ("log_store",)

    swept = resurfacing.sweep_places(bench.context, {"own_database": Partly}, lambda _e: {}, now=NOW)  # type: ignore[dict-item]
    assert swept == {"own_database": "swept"}
    assert "own_database/log_store: not swept (not_swept)" in alerts.alerts(bench.context, now=NOW)
    told = [(e["processor"], e["code"], e.get("basis")) for e in bench.entries() if e["event"] == "swept"]
    assert told == [("own_database", "not_swept", "log_store"), ("own_database", "swept", None)]


def test_a_sweep_goes_on_where_the_last_good_one_ended(bench: Bench) -> None:
    place = Listed()

    def run(now: datetime) -> None:
        resurfacing.sweep_places(bench.context, {"zendesk": lambda: place}, lambda _e: {}, now=now)  # type: ignore[dict-item]

    run(NOW)
    place.down = True
    run(NOW + timedelta(days=1))
    place.down = False
    run(NOW + timedelta(days=2))
    assert place.asked == [NOW - timedelta(days=8), NOW - timedelta(days=1)]
    with bench.context.engine.connect() as connection:
        assert connection.execute(select(sweep.c.swept_until)).scalar_one() == NOW + timedelta(days=2)


def test_a_restore_reapplies_what_is_newer_than_its_point_whatever_the_restored_register_says(
    town: Town, bench: Bench
) -> None:
    town.is_customer("a", State.LIVE)
    town.place.records_now = [Swept(("support",), account_id="a"), Swept(("support",), account_id="b")]
    place: Any = town.place
    gate = uuid4()
    assert resurfacing.reapply(town.context, "zendesk", place, since=DAY + timedelta(days=1), gate=gate) == 0
    assert resurfacing.reapply(town.context, "zendesk", place, since=DAY, gate=gate) == 1
    assert resurfacing.reapply(town.context, "zendesk", place, since=DAY, gate=gate) == 0
    assert place.asked[-1] is None
    assert bench.row(town.disposal_id).gate == gate


def test_a_closed_disposal_is_reopened_once_by_two_sweeps(town: Town) -> None:
    match = resurfacing.Match(town.bench.row(town.disposal_id), "account_id", Swept(("support",), account_id="a"))
    assert resurfacing.reopen(town.context, match, gate=uuid4())
    assert not resurfacing.reopen(town.context, match, gate=uuid4())
    with town.context.engine.begin() as connection:
        connection.execute(update(disposal).where(disposal.c.disposal_id == UUID(town.disposal_id)).values(gate=None))
