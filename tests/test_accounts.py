"""Reads of the company's accounts database, over a seeded company of two hundred accounts."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine, text

from include import database
from include.accounts import Accounts
from include.accounts.find import owners
from include.connections import Connection
from include.errors import ConfigurationError
from include.policy import schedule as schedules
from include.policy.facts import AccountFacts, State
from include.policy.planner import PlannedDisposal, plan
from include.policy.schedule import Schedule
from include.sandbox import company
from include.sandbox.servers import PostgresServer

ANCHOR = date(2026, 11, 24)
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def schedule() -> Schedule:
    return schedules.load()


@pytest.fixture(scope="module")
def made() -> company.Company:
    return company.generate(seed=7, count=200, anchor=ANCHOR)


@pytest.fixture(scope="module")
def seeded(postgres: PostgresServer, made: company.Company) -> Iterator[Engine]:
    """One database for all the tests that only read."""
    postgres.create_database("accounts_read")
    engine = database.connect(postgres.connection("accounts_db", "accounts_read"))
    company.create(engine)
    company.load(engine, made)
    yield engine
    engine.dispose()
    postgres.drop_database("accounts_read")


@pytest.fixture
def own(postgres: PostgresServer) -> Iterator[Engine]:
    """An empty accounts database for a test that writes."""
    name = f"t_{uuid4().hex[:12]}"
    postgres.create_database(name)
    engine = database.connect(postgres.connection("accounts_db", name))
    company.create(engine)
    yield engine
    engine.dispose()
    postgres.drop_database(name)


def settings(schedule: Schedule) -> dict[str, Any]:
    return dict(schedule.processors["own_database"].settings)


@pytest.fixture(scope="module")
def accounts(seeded: Engine, schedule: Schedule) -> Accounts:
    return Accounts(seeded, settings(schedule))


@pytest.fixture(scope="module")
def due(accounts: Accounts, schedule: Schedule) -> dict[str, AccountFacts]:
    return {f.account_id: f for f in accounts.due(schedule, ANCHOR)}


@pytest.fixture(scope="module")
def plans(
    accounts: Accounts, due: dict[str, AccountFacts], schedule: Schedule
) -> dict[str, tuple[PlannedDisposal, ...]]:
    holds = accounts.computed_holds(due)
    return {i: plan(f, schedule, holds.get(i, []), ANCHOR).disposals for i, f in due.items()}


def ids(made: company.Company, case: str) -> list[str]:
    found = [p.account_id for p in made.case(case)]
    assert found
    return found


def insert(engine: Engine, table: str, **values: Any) -> None:
    with engine.begin() as connection:
        names = ", ".join(values)
        connection.execute(text(f"INSERT INTO {table} ({names}) VALUES ({', '.join(':' + n for n in values)})"), values)


def account(engine: Engine, account_id: str, **values: Any) -> None:
    row = {"subject_type": "individual", "consumer_like": False, "withheld": False, "created_on": date(2020, 1, 1)}
    insert(engine, "account", account_id=account_id, **{**row, **values})


# -- due -----------------------------------------------------------------------------------------------------------
def test_the_first_selection_loses_nobody_whom_the_planner_would_end(
    accounts: Accounts, schedule: Schedule, made: company.Company, due: dict[str, AccountFacts]
) -> None:
    everybody = accounts.facts([p.account_id for p in made.people])
    planned = {f.account_id for f in everybody if plan(f, schedule, [], ANCHOR).disposals}
    assert planned <= set(due)


def test_ordinary_live_accounts_are_not_even_looked_at(made: company.Company, due: dict[str, AccountFacts]) -> None:
    assert not set(ids(made, "live")) & set(due)


@pytest.mark.parametrize(
    "case",
    ["requested_today", "ended_today", "prize_running", "credit_purpose_lately", "guardian_refused_lately", "returned"],
)
def test_what_falls_due_later_is_not_planned_tonight(
    case: str, made: company.Company, plans: dict[str, tuple[PlannedDisposal, ...]]
) -> None:
    assert not any(plans.get(i) for i in ids(made, case))


def test_six_months_end_tonight_for_one_and_tomorrow_for_another(
    made: company.Company, plans: dict[str, tuple[PlannedDisposal, ...]]
) -> None:
    rules = {case: {d.rule_id for i in ids(made, case) for d in plans[i]} for case in ("due_tonight", "due_tomorrow")}
    assert "R-01" in rules["due_tonight"]
    assert "R-01" not in rules["due_tomorrow"]
    assert "R-14" in rules["due_tomorrow"]


def test_every_rule_that_destroys_has_somebody_due(plans: dict[str, tuple[PlannedDisposal, ...]]) -> None:
    rules = Counter(d.rule_id for disposals in plans.values() for d in disposals)
    assert set(rules) == {"R-01", "R-07", "R-08", "R-10", "R-11", "R-12", "R-13", "R-14"}


def test_every_law_keeps_something_of_somebody(
    accounts: Accounts, due: dict[str, AccountFacts], schedule: Schedule
) -> None:
    kept = {k.rule_id for f in due.values() for k in plan(f, schedule, [], ANCHOR).kept}
    assert kept >= {"R-02i", "R-02b", "R-03", "R-04", "R-05"}


def test_a_late_log_keeps_only_the_log(made: company.Company, plans: dict[str, tuple[PlannedDisposal, ...]]) -> None:
    for account_id in ids(made, "logged_on_lately"):
        scopes = {d.scope_id for d in plans[account_id]}
        assert "access_log" not in scopes
        assert {"account", "settlement"} <= scopes


def test_a_settlement_hold_reaches_no_advertising_and_no_logs(
    made: company.Company, plans: dict[str, tuple[PlannedDisposal, ...]]
) -> None:
    for account_id in ids(made, "overpaid"):
        held = {(d.processor, d.scope_id) for d in plans[account_id] if d.held_by}
        assert held == {("own_database", "settlement"), ("stripe", "payments")}


def test_a_withheld_account_still_stops_being_marketed_to(
    made: company.Company, plans: dict[str, tuple[PlannedDisposal, ...]]
) -> None:
    for account_id in ids(made, "withheld"):
        assert {d.rule_id for d in plans[account_id]} == {"R-11"}
        assert not any(d.held_by for d in plans[account_id])


def test_a_hold_released_today_blocks_through_today(
    made: company.Company, plans: dict[str, tuple[PlannedDisposal, ...]]
) -> None:
    def settled(case: str) -> bool:
        return all(any(d.scope_id == "settlement" and not d.held_by for d in plans[i]) for i in ids(made, case))

    assert settled("hold_released_yesterday")
    assert not settled("hold_released_today")


def test_due_accounts_come_in_the_same_order_every_time(accounts: Accounts, schedule: Schedule) -> None:
    one, two = ([f.account_id for f in accounts.due(schedule, ANCHOR)] for _ in range(2))
    assert one == two


def test_nothing_is_due_where_nobody_is_registered(own: Engine, schedule: Schedule) -> None:
    assert list(Accounts(own, settings(schedule)).due(schedule, ANCHOR)) == []


# -- facts ---------------------------------------------------------------------------------------------------------
def test_a_month_of_operator_logs_is_one_event_on_its_last_day(own: Engine, schedule: Schedule) -> None:
    account(own, "1")
    for n, day in enumerate((date(2024, 2, 1), date(2024, 2, 29), date(2024, 3, 1))):
        insert(own, "operator_access_log", log_id=str(n), account_id="1", logged_on=day, operator="e-1", action="view")
    (facts,) = Accounts(own, settings(schedule)).facts(["1"])
    assert [(e.kind, e.date) for e in facts.events] == [
        ("operator_log", date(2024, 2, 29)),
        ("operator_log", date(2024, 3, 31)),
    ]


def test_a_month_is_due_only_once_all_of_it_is(own: Engine, schedule: Schedule) -> None:
    account(own, "1")
    insert(
        own, "operator_access_log", log_id="x", account_id="1", logged_on=date(2024, 11, 1), operator="e", action="v"
    )
    reader = Accounts(own, settings(schedule))
    assert list(reader.due(schedule, date(2026, 11, 24))) == []
    assert len(list(reader.due(schedule, date(2026, 12, 5)))) == 1


def test_a_guardians_refusal_counts_from_the_day_of_collection(own: Engine, schedule: Schedule) -> None:
    account(own, "1")
    insert(
        own, "guardian", guardian_id="g", account_id="1", name="보호자표본", contact="g@example.com",
        collected_on=date(2026, 11, 1), refused_on=date(2026, 11, 3),
    )  # fmt: skip
    (facts,) = Accounts(own, settings(schedule)).facts(["1"])
    assert [(e.kind, e.date) for e in facts.events] == [("guardian_refused", date(2026, 11, 1))]


def test_only_the_newest_log_counts(own: Engine, schedule: Schedule) -> None:
    account(own, "1")
    for n, day in enumerate((date(2026, 1, 1), date(2026, 3, 1))):
        insert(own, "access_log", log_id=str(n), account_id="1", logged_on=day, ip="192.0.2.1")
    (facts,) = Accounts(own, settings(schedule)).facts(["1"])
    assert [(e.kind, e.date) for e in facts.events] == [("access_logged", date(2026, 3, 1))]


def test_a_contract_without_an_end_ends_with_the_account(own: Engine, schedule: Schedule) -> None:
    account(own, "1", terminated_on=date(2026, 1, 31))
    insert(own, "contract", contract_id="c", account_id="1", kind="contract", concluded_on=date(2020, 1, 1))
    (facts,) = Accounts(own, settings(schedule)).facts(["1"])
    assert [(e.kind, e.date) for e in facts.events] == [("contract_ended", date(2026, 1, 31))]


def test_facts_name_the_datasets_that_hold_something(own: Engine, schedule: Schedule) -> None:
    account(own, "1", nationality="KR")
    insert(own, "cookie", cookie_id="c", account_id="1", last_seen_on=date(2026, 1, 1))
    (facts,) = Accounts(own, settings(schedule)).facts(["1"])
    assert facts.present == {"account_profile", "cookie"}


def test_the_nationality_alone_is_still_something_to_erase(own: Engine, schedule: Schedule) -> None:
    account(own, "1", nationality="KR")
    account(own, "2")
    insert(own, "cookie", cookie_id="c", account_id="2", last_seen_on=date(2026, 1, 1))
    one, two = Accounts(own, settings(schedule)).facts(["1", "2"])
    assert one.present == {"account_profile"}
    assert two.present == {"cookie"}


def test_states_follow_the_register(own: Engine, schedule: Schedule) -> None:
    account(own, "live")
    account(own, "requested", requested_on=date(2026, 11, 1))
    account(own, "withheld", requested_on=date(2026, 11, 1), withheld=True)
    account(own, "ended", requested_on=date(2026, 11, 1), terminated_on=date(2026, 11, 2))
    reader = Accounts(own, settings(schedule))
    facts = {f.account_id: f.state for f in reader.facts(["live", "requested", "withheld", "ended"])}
    assert facts == {
        "live": State.LIVE,
        "requested": State.REQUESTED,
        "withheld": State.WITHHELD,
        "ended": State.TERMINATED,
    }
    assert reader.population(date(2026, 11, 24)) == {"live": 1, "requested": 1, "withheld": 1, "terminated": 1}
    assert reader.population(date(2026, 11, 1)) == {"live": 1, "requested": 2, "withheld": 1, "terminated": 0}


# -- holds ---------------------------------------------------------------------------------------------------------
def test_every_computed_hold_occurs(accounts: Accounts, made: company.Company) -> None:
    found = Counter(
        h.kind for holds in accounts.computed_holds([p.account_id for p in made.people]).values() for h in holds
    )
    assert set(found) == {"H-1", "H-2", "H-3", "H-4", "H-5"}


def test_a_released_hold_is_returned_with_its_day(accounts: Accounts, made: company.Company) -> None:
    holds = accounts.computed_holds(ids(made, "hold_released_yesterday"))
    assert {h.released_on for several in holds.values() for h in several} == {ANCHOR - DAY}


def test_a_dispute_covers_its_evidence_at_the_vendor_too(accounts: Accounts, made: company.Company) -> None:
    holds = accounts.computed_holds(ids(made, "disputed_support"))
    assert {h.datasets for several in holds.values() for h in several} == {("support_history", "support")}


def test_an_open_complaint_is_a_dispute_even_when_nobody_entered_one(own: Engine, schedule: Schedule) -> None:
    account(own, "1", terminated_on=date(2026, 1, 1))
    insert(
        own, "support_history", support_id="s", account_id="1", kind="complaint", opened_on=date(2025, 12, 1), body="x"
    )
    holds = Accounts(own, settings(schedule)).computed_holds(["1"])
    assert [(h.kind, h.released_on) for h in holds["1"]] == [("H-3", None)]


def test_a_hold_is_read_anew_every_time(own: Engine, schedule: Schedule) -> None:
    account(own, "1")
    reader = Accounts(own, settings(schedule))
    assert reader.computed_holds(["1"]) == {}
    insert(own, "dispute", dispute_id="d", account_id="1", dataset="payment", opened_on=date(2026, 11, 1))
    assert [h.kind for h in reader.computed_holds(["1"])["1"]] == ["H-3"]


# -- identifiers ---------------------------------------------------------------------------------------------------
def test_identifiers_are_as_the_company_holds_them(accounts: Accounts, made: company.Company) -> None:
    for person in made.case("mixed_case_email"):
        keys = accounts.identifiers([person.account_id])[person.account_id]
        assert keys.emails[0] == person.email
        assert keys.emails[0] != keys.emails[0].lower()


def test_an_account_without_identifiers_has_empty_ones(accounts: Accounts, made: company.Company) -> None:
    for account_id, keys in accounts.identifiers(ids(made, "without_identifiers")).items():
        assert (keys.emails, keys.login_id, keys.name, keys.phones) == ((), "", "", ()), account_id


def test_an_account_that_is_gone_has_none(accounts: Accounts) -> None:
    assert accounts.identifiers(["nobody"]) == {}


def test_identifiers_do_not_show_in_a_repr(accounts: Accounts) -> None:
    (keys,) = accounts.identifiers(["10"]).values()
    assert repr(keys) == "Identifiers()"


def test_two_accounts_behind_one_address_are_told(accounts: Accounts, made: company.Company) -> None:
    one, other = ids(made, "shared_email")[0], ids(made, "shared_email_live")[0]
    email = accounts.identifiers([one])[one].emails[0]
    assert owners(accounts, [email.swapcase()]) == {email.lower(): {one, other}}


def test_an_address_of_ones_own_is_not_shared(accounts: Accounts) -> None:
    for account_id, keys in accounts.identifiers(["1", "10"]).items():
        found = owners(accounts, keys.emails)
        assert set().union(*found.values()) == {account_id}


# -- what can be wrong ---------------------------------------------------------------------------------------------
def test_a_database_that_does_not_answer_is_named(schedule: Schedule) -> None:
    nowhere = database.connect(Connection("accounts_db", host="127.0.0.1", port=9, login="x", schema="x"))
    with pytest.raises(ConfigurationError, match="accounts_db: the database does not answer"):
        list(Accounts(nowhere, settings(schedule)).due(schedule, ANCHOR))


def test_a_missing_table_is_named(own: Engine, schedule: Schedule) -> None:
    account(own, "1", terminated_on=date(2026, 1, 1))
    with own.begin() as connection:
        connection.execute(text("DROP TABLE cookie"))
    with pytest.raises(ConfigurationError, match=r"accounts_db: a table .*public\.cookie"):
        Accounts(own, settings(schedule)).facts(["1"])


def test_a_missing_column_is_named(own: Engine, schedule: Schedule) -> None:
    with own.begin() as connection:
        connection.execute(text("ALTER TABLE account DROP COLUMN withheld"))
    with pytest.raises(ConfigurationError, match="withheld"):
        Accounts(own, settings(schedule)).facts(["1"])


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"schema": "retention"}, "schema"),
        ({"schema": 'public"; --'}, "schema"),
        ({"tabels": {}}, "tabels"),
        ({"tables": {"cookie": {"dataset": "cookie", "key": "id; DROP TABLE x"}}}, "tables.cookie.key"),
        (
            {"tables": {"cookie": {"dataset": "cookie", "key": "id", "action": "anonymise", "columns": ["x"]}}},
            "because",
        ),
        ({"ledgers": ["consent", "cookie"]}, "cookie is declared twice"),
    ],
)
def test_a_wrong_declaration_is_refused_with_its_line(
    schedule: Schedule, seeded: Engine, change: dict[str, Any], where: str
) -> None:
    with pytest.raises(ConfigurationError, match=where):
        Accounts(seeded, settings(schedule) | change)


def test_a_rename_needs_only_the_schedule(own: Engine, schedule: Schedule) -> None:
    with own.begin() as connection:
        connection.execute(text("ALTER TABLE account RENAME TO customer"))
        connection.execute(text("ALTER TABLE customer RENAME COLUMN terminated_on TO left_on"))
    declared = settings(schedule)
    declared["register"] = {**declared["register"], "table": "customer", "terminated_on": "left_on"}
    declared["tables"] = {("customer" if k == "account" else k): v for k, v in declared["tables"].items()}
    with own.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO customer "
                "(account_id, subject_type, consumer_like, withheld, created_on, left_on, nationality) VALUES "
                "('1', 'individual', false, false, '2020-01-01', '2026-01-01', 'KR')"
            )
        )
    found = defaultdict(list)
    for facts in Accounts(own, declared).due(schedule, ANCHOR):
        found[facts.account_id].append(facts.terminated_on)
    assert found == {"1": [date(2026, 1, 1)]}
