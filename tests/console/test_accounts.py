"""One account: found without telling, shown whole, every look-up logged, and nothing typed kept anywhere."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any
from uuid import UUID

import pytest
from fastapi import FastAPI
from sqlalchemy import Engine, insert, select, update

from include import database, forms
from include.accounts import Accounts
from include.console.app import create_app
from include.console.pages.accounts import DAG
from include.console.reading import account as reading
from include.console.services import Services
from include.database import access_log
from include.disposals import Context, begin_run, discover, guards, holds
from include.disposals.approving import Notice
from include.disposals.record import Change, apply
from include.evidence.tags import SubjectTags
from include.outcomes import Outcome
from include.policy import schedule
from include.policy.facts import Hold
from include.processors import Result
from include.sandbox import company
from include.sandbox.servers import PostgresServer
from include.tasks.request_form import FORM
from tests.console.conftest import NOW, FakeGate, Visit
from tests.disposals.conftest import DAY, Bench

DETAILS = {
    "params": {n: {"value": p.value if p.has_value else None, "schema": dict(p.schema)} for n, p in FORM.items()}
}


@dataclass
class World:
    """The seeded company, and our state after a night has planned it."""

    made: Any
    context: Context
    accounts: Accounts

    def account(self, case: str) -> Any:
        return self.made.case(case)[0]

    def logged(self) -> list[Any]:
        with self.context.engine.connect() as connection:
            return list(connection.execute(select(access_log).order_by(access_log.c.access_id)))


@pytest.fixture(scope="module")
def companys(postgres: PostgresServer) -> Iterator[tuple[Any, Engine]]:
    """The company's own database, seeded once."""
    postgres.create_database("console_accounts")
    engine = database.connect(postgres.connection("accounts_db", "console_accounts"))
    company.create(engine)
    made = company.generate(seed=7, count=150, anchor=DAY)
    company.load(engine, made)
    yield made, engine
    engine.dispose()
    postgres.drop_database("console_accounts")


@pytest.fixture
def world(context: Context, companys: tuple[Any, Engine]) -> World:
    """A night planned over the company."""
    made, engine = companys
    accounts = Accounts(engine, context.schedule.processors["own_database"].settings)
    mine = replace(context, accounts=accounts, dag_id="nightly_retention")
    run_id = begin_run(mine, airflow_run_id="scheduled__planned")
    mine = replace(mine, run_id=run_id)
    discover(mine, run_id)
    return World(made, mine, accounts)


@pytest.fixture
def services(engine: Engine, world: World) -> Services:
    """The sources of the pages: the seeded company, our state, fixed keys."""

    class Seeded(Services):
        accounts = world.accounts  # type: ignore[assignment]
        tags = SubjectTags({"2026": bytes(32), "2027": bytes(range(32))})  # type: ignore[assignment]
        schedule = schedule.load()  # type: ignore[assignment]

    made = Seeded(lambda name: pytest.fail(f"connection {name} was asked for"), now=lambda: NOW)  # type: ignore[arg-type]
    made.__dict__.update(engine=engine, wrapper=world.context.wrapper)
    return made


@pytest.fixture
def app(gate: FakeGate, services: Services) -> FastAPI:
    """The console over it, with the DAG's own form."""
    gate.answers["GET", f"/dags/{DAG}/details"] = (200, DETAILS)
    gate.answers["POST", f"/dags/{DAG}/dagRuns"] = (200, {"dag_run_id": "manual__1"})
    return create_app(gate, services)


def test_a_person_is_found_by_what_they_say_and_the_answer_is_masked(
    world: World, visit: Callable[[str], Visit]
) -> None:
    person = world.account("mixed_case_email")
    reply = visit("operator").post("/accounts/find", {"email": person.email.swapcase()}, page="/accounts")
    assert reply.status_code == 200
    assert person.account_id in reply.text
    assert person.email.lower() not in reply.text.lower()
    assert person.name not in reply.text
    (row,) = world.logged()
    assert (row.action, row.role, row.ip) == ("account_found", "operator", "testclient")
    assert row.subject_tag == world.context.tags.tag(person.account_id, epoch="2026")
    assert row.who.startswith("e-")


def test_an_ambiguous_search_shows_every_match_and_an_empty_one_is_refused(
    world: World, visit: Callable[[str], Visit]
) -> None:
    one, two = world.account("shared_email"), world.account("shared_email_live")
    shown = visit("operator").post("/accounts/find", {"email": one.email}, page="/accounts").text
    assert one.account_id in shown
    assert two.account_id in shown
    assert visit("operator").post("/accounts/find", {"email": " "}, page="/accounts").status_code == 400
    assert visit("operator").post("/accounts/find", {"name": "Kim"}, page="/accounts").status_code == 400


def test_a_line_break_in_a_field_is_no_second_key(world: World, visit: Callable[[str], Visit]) -> None:
    person = world.account("mixed_case_email")
    reply = visit("operator").post(
        "/accounts/find", {"login_id": f"nobody\nemail {person.email}"}, page="/accounts?lang=en"
    )
    assert person.account_id not in reply.text


def test_nothing_typed_is_found_in_a_log_or_a_header_or_an_error(
    world: World, visit: Callable[[str], Visit], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    secret = "somebody.private@example.com"
    for field, page in (("email", "find"), ("account", "one"), ("account", "certificate"), ("business_no", "find")):
        reply = visit("compliance").post(f"/accounts/{page}", {field: secret}, page="/accounts")
        assert secret not in reply.text
        assert secret not in str(reply.headers)
    assert secret not in caplog.text
    assert secret not in str(world.logged())


def test_an_account_shows_everything_held_by_place_law_and_end_date(
    world: World, services: Services, visit: Callable[[str], Visit]
) -> None:
    person = _planned(world)
    seen = reading.read(services, person, DAY, proofs=False)
    identities = [(h.processor, h.rule_id, h.scope_id) for h in seen.held if h.state != "in_use"]
    assert identities
    assert all(h.destroy_by and h.last_day for h in seen.held if h.state != "in_use")
    with world.context.engine.connect() as connection:
        rows = connection.execute(select(database.disposal).where(database.disposal.c.account_id == person)).all()
    assert {(r.processor, r.rule_id, r.scope_id) for r in rows} <= set(identities)
    shown = visit("operator").post("/accounts/one", {"account": person}, page="/accounts?lang=en").text
    assert "Held now" in shown
    for row in rows:
        assert row.destroy_by.isoformat() in shown
    assert "@" not in shown
    assert all(tag not in shown for tag in world.context.tags.all(person).values())


def test_what_ended_shows_its_entry_to_who_may_read_evidence_and_to_nobody_else(
    world: World, visit: Callable[[str], Visit]
) -> None:
    person = _planned(world)
    row = _finish(world, person)
    with world.context.engine.begin() as connection:  # as a seal does
        connection.execute(update(database.entry).values(log_index=database.entry.c.entry_id))
    shown = visit("compliance").post("/accounts/one", {"account": person}, page="/accounts").text
    assert world.context.tags.tag(person, epoch=row.key_epoch) in shown
    plain = visit("operator").post("/accounts/one", {"account": person}, page="/accounts?lang=en").text
    assert "destroyed" in plain
    assert row.subject_tag not in plain
    assert "evidence/row/proof?n=" in shown
    assert "evidence/row/proof" not in plain
    by_role = {(r.role, r.action) for r in world.logged()}
    assert ("compliance", "tag_opened") in by_role
    assert ("operator", "account_viewed") in by_role
    assert ("operator", "tag_opened") not in by_role


ENDS = {
    "confirmed_absent": "gone", "confirmed_anonymised": "gone", "retained_by_processor": "held",
    "manual_attested": "otherwise", "expires_by_processor": "otherwise", "cancelled": "otherwise",
}  # fmt: skip


@pytest.mark.parametrize(("outcome", "under"), ENDS.items())
def test_only_what_was_read_back_as_gone_is_called_destroyed(
    world: World, bench: Bench, services: Services, outcome: str, under: str
) -> None:
    person = "a777777"
    bench.plan(person, outcome=outcome, closed_on=DAY, due_at=None, account_id=None, basis="redaction_not_enabled")
    seen = reading.read(services, person, DAY, proofs=False)
    found = {"gone": seen.gone, "otherwise": seen.otherwise, "held": seen.held}
    assert {name: len(rows) for name, rows in found.items()} == dict.fromkeys(found, 0) | {under: 1}


def test_what_a_place_keeps_after_its_disposal_ended_is_still_held(
    world: World, bench: Bench, visit: Callable[[str], Visit]
) -> None:
    person = "a777777"
    bench.plan(
        person, "stripe", outcome="retained_by_processor", closed_on=DAY, due_at=None, account_id=None,
        code="redaction_not_enabled",
    )  # fmt: skip
    shown = visit("operator").post("/accounts/one", {"account": person}, page="/accounts?lang=en").text
    assert "Nothing is held" not in shown
    assert "Nothing was destroyed yet." in shown
    assert "kept by the processor" in shown
    assert "the place keeps it" in shown


def test_an_account_the_register_does_not_know_is_not_called_destroyed(
    world: World, bench: Bench, visit: Callable[[str], Visit]
) -> None:
    bench.plan("a777777", account_id=None)
    operator = visit("operator")
    assert "파기됨" not in operator.post("/accounts/one", {"account": "a777777"}, page="/accounts").text
    shown = operator.post("/accounts/one", {"account": "a777777"}, page="/accounts?lang=en").text
    assert '<span class="badge plain"><span aria-hidden="true">○</span> not in the company' in shown


@pytest.mark.parametrize(("state", "none"), [("checked", False), ("destroying", False), ("gone", True)])
def test_nothing_is_held_only_where_the_archive_keeps_nothing_either(
    world: World, bench: Bench, visit: Callable[[str], Visit], state: str, none: bool
) -> None:
    person = "a777777"
    disposal_id = bench.plan(person, outcome="confirmed_absent", closed_on=DAY, due_at=None, account_id=None)
    row = {
        "object_key": "archive/x", "bucket": "archive", "rule_id": "R-04", "window_end": DAY, "rows": 1, "subjects": 1,
        "sha256": "x", "retain_until": NOW, "last_day": date(2031, 1, 1), "destroy_by": date(2031, 1, 6),
        "storage_class": "GLACIER_IR", "state": state, "keys_at": "keys/x",
    }  # fmt: skip
    with bench.context.engine.begin() as connection:
        connection.execute(insert(database.archive_object).values(row))
        connection.execute(insert(database.archive_link).values(disposal_id=UUID(disposal_id), object_key="archive/x"))
    shown = visit("operator").post("/accounts/one", {"account": person}, page="/accounts?lang=en").text
    assert ("✓ Nothing is held." in shown) is none
    assert ("what a law keeps apart stands below" in shown) is not none


def test_a_tag_opening_is_an_entry_of_the_log_with_role_and_tag(
    world: World, bench: Bench, visit: Callable[[str], Visit]
) -> None:
    person = _planned(world)
    visit("compliance").post("/accounts/one", {"account": person}, page="/accounts")
    opened = [e for e in bench.entries() if e["event"] == "tag_opened"]
    assert {e["subject_tag"] for e in opened} == set(world.context.tags.all(person).values())
    assert {e["actor"]["role"] for e in opened} == {"compliance"}
    assert repr(person) not in str(opened)


def test_where_look_ups_take_two_people_no_page_opens_a_tag(
    world: World, visit: Callable[[str], Visit], bench: Bench, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    stricter = schedule.load().body.replace(b"lookup_four_eyes: false", b"lookup_four_eyes: true")
    approved = replace(world.context, schedule=schedule.parse(stricter, file="stricter"))
    notice = Notice(DAY, change="minor", sent_on=DAY - timedelta(8))
    guards.approve_schedule(approved, role="privacy_officer", pseudonym="e-1", notice=notice)
    monkeypatch.delenv("RETENTION_SCHEDULE", raising=False)  # the file, which says false, was not approved instead
    person = _planned(world)
    shown = visit("compliance").post("/accounts/one", {"account": person}, page="/accounts").text
    assert all(tag not in shown for tag in world.context.tags.all(person).values())
    assert [e for e in bench.entries() if e["event"] == "tag_opened"] == []
    assert [r.action for r in world.logged()] == ["account_viewed"]


def test_where_the_approved_version_cannot_be_read_look_ups_take_two_people(world: World, services: Services) -> None:
    assert not services.four_eyes
    with world.context.engine.begin() as connection:
        unreadable = world.context.schedule.body.replace(b"lookup_four_eyes: false", b"lookup_four_eyes: sometimes")
        connection.execute(update(database.schedule_version).values(body=unreadable))
    assert services.four_eyes
    assert Services.schedule.fget(services).sha256 == schedule.load().sha256  # type: ignore[attr-defined]


@pytest.mark.parametrize("typed", ["somebody@example.com", "01012345678", "02-123-4567", "123-45-67890", "Kim", ""])
def test_what_is_no_account_id_becomes_no_tag(
    world: World, visit: Callable[[str], Visit], bench: Bench, typed: str
) -> None:
    before = len(bench.entries())
    form = {"account": typed, "account_id": typed, "question": "was-destroyed"}
    for path in ("/accounts/one", "/accounts/certificate", "/evidence/questions/account"):
        reply = visit("compliance").post(f"{path}?lang=en", form, page="/accounts")
        assert reply.status_code == 400
        assert "not an internal account id" in reply.text
    assert world.logged() == []
    assert len(bench.entries()) == before


def test_the_shape_of_an_account_id_is_that_of_the_erasure_form() -> None:
    assert FORM["account_id"].schema["pattern"] == forms.ACCOUNT


@pytest.mark.parametrize("path", ["/accounts/one", "/accounts/certificate", "/evidence/questions/account"])
def test_no_key_is_fetched_while_a_transaction_is_open(
    world: World, visit: Callable[[str], Visit], services: Services, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    person, fetched, known = _planned(world), [], services.tags

    def tags(self: Services) -> SubjectTags:
        fetched.append(self.engine.pool.checkedout())  # type: ignore[attr-defined]
        return known

    monkeypatch.setattr(type(services), "tags", property(tags))
    form = {"account": person, "account_id": person, "question": "was-destroyed"}
    for role in ("compliance", "operator"):
        visit(role).post(path, form, page="/accounts")
    assert fetched
    assert set(fetched) == {0}


def test_an_unknown_id_says_so_and_the_look_up_is_logged_all_the_same(
    world: World, visit: Callable[[str], Visit]
) -> None:
    reply = visit("operator").post("/accounts/one", {"account": "a999999"}, page="/accounts?lang=en")
    assert reply.status_code == 400
    assert len(world.logged()) == 1


def test_holds_stand_on_the_page(world: World, visit: Callable[[str], Visit]) -> None:
    person = _planned(world)
    holds.place(
        world.context, account_id=person, kind="H-6", datasets=(), reason_code="court_order",
        placed_by="operator:e-a", review_due=DAY,
    )  # fmt: skip
    shown = visit("operator").post("/accounts/one", {"account": person}, page="/accounts").text
    assert "H-6" in shown


@pytest.mark.parametrize(("released_on", "stands"), [(None, True), (DAY, True), (DAY - timedelta(days=1), False)])
def test_a_hold_of_the_companys_records_is_shown_while_it_stands_whatever_was_placed(
    world: World, services: Services, visit: Callable[[str], Visit], monkeypatch: pytest.MonkeyPatch,
    released_on: date | None, stands: bool,
) -> None:  # fmt: skip
    person = _planned(world)
    made = holds.place(
        world.context, account_id=person, kind="H-2", datasets=(), reason_code="unpaid", placed_by="operator:e-a",
        review_due=DAY,
    )  # fmt: skip
    with world.context.engine.begin() as connection:  # a placed hold of the same kind, released long ago
        released = {"released_on": DAY - timedelta(days=90), "released_by": "operator:e-a", "released_at": NOW}
        connection.execute(update(database.hold).where(database.hold.c.hold_id == made).values(released))
    held = Hold("invoice:1", "H-2", released_on=released_on)
    monkeypatch.setattr(type(world.accounts), "computed_holds", lambda _self, _ids: {person: [held]})
    shown = visit("operator").post("/accounts/one", {"account": person}, page="/accounts?lang=en").text
    assert ("computed from the source" in shown) is stands


def test_the_erasure_form_is_the_dags_own_and_a_dry_run_is_the_default(
    world: World, gate: FakeGate, visit: Callable[[str], Visit]
) -> None:
    person = _planned(world)
    browser = visit("operator")
    shown = browser.post("/accounts/one", {"account": person}, page="/accounts").text
    for name in FORM:
        if name != "account_id":
            assert f'name="{name}"' in shown, name
    assert 'name="account_id"' not in shown
    assert 'name="dry_run" value="yes" checked' in shown
    filled = {"account": person, "kind": "erasure", "received_on": "2026-11-24", "channel": "web",
              "identity_check": "login", "relation_check": "none", "notice_by": "mail", "dry_run": "yes",
              "unknown": "x", "account_id": "a1"}  # fmt: skip
    reply = browser.post("/accounts/erase", filled, page="/accounts")
    assert reply.status_code == 200
    user, method, path, body = gate.asked[-1]
    assert (user, method, path) == ("operator", "POST", f"/dags/{DAG}/dagRuns")
    assert body["conf"] == {
        "account_id": person, "kind": "erasure", "received_on": "2026-11-24", "channel": "web",
        "identity_check": "login", "dry_run": True, "records": [], "relation_check": "none", "child_age": None,
        "notice_by": "mail", "as_of": None, "end_user_id": None, "instruction": None,
    }  # fmt: skip


def test_a_form_airflow_refuses_starts_nothing_and_quotes_nothing(
    world: World, gate: FakeGate, visit: Callable[[str], Visit]
) -> None:
    gate.answers["POST", f"/dags/{DAG}/dagRuns"] = (400, {"detail": "Invalid input for param channel: 'typed' is not"})
    reply = visit("operator").post(
        "/accounts/erase", {"account": "a0001", "channel": "typed"}, page="/accounts?lang=en"
    )
    assert reply.status_code == 400
    assert "channel" in reply.text
    assert "typed" not in reply.text
    gate.answers["POST", f"/dags/{DAG}/dagRuns"] = (403, None)
    assert visit("operator").post("/accounts/erase", {"account": "a0001"}, page="/accounts").status_code == 400


def test_an_account_is_shown_also_when_airflow_gives_no_form(
    world: World, gate: FakeGate, visit: Callable[[str], Visit]
) -> None:
    del gate.answers["GET", f"/dags/{DAG}/details"]
    reply = visit("operator").post("/accounts/one", {"account": _planned(world)}, page="/accounts?lang=en")
    assert reply.status_code == 200
    assert "does not give out the form" in reply.text


def _planned(world: World) -> str:
    """Return an account the night planned something of."""
    with world.context.engine.connect() as connection:
        found = connection.execute(select(database.disposal.c.account_id).order_by(database.disposal.c.disposal_id))
        return str(found.scalars().first())


def _finish(world: World, person: str) -> Any:
    """Confirm one of the account's disposals and return its row."""
    with world.context.engine.begin() as connection:
        row = connection.execute(
            select(database.disposal).where(database.disposal.c.account_id == person).limit(1)
        ).one()
        done = Result(str(row.disposal_id), Outcome.CONFIRMED_ABSENT, count=0, verify_method="second_listing_empty")
        apply(connection, world.context, {str(row.disposal_id): row}, [Change(done, closed_on=DAY)])
    return row
