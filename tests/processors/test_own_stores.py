"""The company's further stores are places of their own; what nobody declared is found; large batches go in parts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from include import database
from include.accounts.tables import Tables
from include.connections import Connection
from include.errors import ConfigurationError, Refused, Unreachable
from include.outcomes import Outcome
from include.policy import schedule as schedules
from include.processors import Result, Site, Subject, Work, connection_names, names
from include.processors._own_database import scan
from include.processors._own_database.sql import opened
from include.processors.own_database import Processor
from include.sandbox.servers import PostgresServer

ON = date(2026, 11, 24)
DAY = timedelta(days=1)
ACCOUNTS = (
    "CREATE TABLE account (account_id text PRIMARY KEY, subject_type text, consumer_like boolean, requested_on date, "
    "withheld boolean, debt_cleared_on date, terminated_on date)",
    "CREATE TABLE usage (usage_id int PRIMARY KEY, account_id text REFERENCES account, detail text)",
    "CREATE TABLE usage_part (part_id int PRIMARY KEY, usage_id int REFERENCES usage, account_id text)",
)
WAREHOUSE = (
    "CREATE TABLE orders (order_id int PRIMARY KEY, customer text, total int)",
    "CREATE TABLE contact (contact_id int PRIMARY KEY, customer text, mail text, phone varchar(60))",
)
SETTINGS: dict[str, Any] = {
    "backup_expires_within_days": 35,
    "tables": {
        "usage_part": {"dataset": "usage", "key": "part_id"},
        "usage": {"dataset": "usage", "key": "usage_id"},
    },
    "stores": {
        "warehouse": {
            "connection": "warehouse",
            "backup_expires_within_days": 7,
            "tables": {
                "orders": {"dataset": "warehouse_orders", "key": "order_id", "account": "customer"},
                "contact": {
                    "dataset": "warehouse_contact", "key": "contact_id", "account": "customer",
                    "action": "null_columns", "columns": ["mail", "phone"],
                },
            },
        },
        "log_store": {"datasets": ["app_log"], "expires_within_days": 30},
        "cache": {"datasets": ["session"], "manual_within_days": 3},
    },
}  # fmt: skip


class Company:
    """An accounts database and a warehouse, each its own."""

    def __init__(self, postgres: PostgresServer) -> None:
        self.postgres = postgres
        self.accounts, self.warehouse = (f"s_{uuid4().hex[:12]}" for _ in range(2))
        for name, tables in ((self.accounts, ACCOUNTS), (self.warehouse, WAREHOUSE)):
            postgres.create_database(name)
            for table in tables:
                self.sql(table, on=name)

    def sql(self, statement: str, *values: Any, on: str = "") -> list[tuple[Any, ...]]:
        with psycopg.connect(
            host=self.postgres.socket_dir, user="postgres", dbname=on or self.accounts, autocommit=True
        ) as connection:
            cursor = connection.execute(statement, values or None)  # type: ignore[call-overload]
            return cursor.fetchall() if cursor.description else []

    def connection(self, name: str) -> Connection:
        return self.postgres.connection(name, {"warehouse": self.warehouse}.get(name, self.accounts))

    def processor(self, settings: Mapping[str, Any] = SETTINGS, *, on: date = ON) -> Processor:
        return Processor(Site(self.connection("own_database"), settings, on, connect=self.connection))

    def erase(self, *asked: Subject, settings: Mapping[str, Any] = SETTINGS) -> list[Result]:
        processor = self.processor(settings)
        work = works(processor, *asked)
        for step in {s.name for w in work for s in processor.steps(w)}:
            acted = processor.act(step, [w for w in work if processor.steps(w)])
            if failed := [r for r in acted if r.outcome is not Outcome.ACCEPTED]:
                return failed
        return processor.read_back(work)


@pytest.fixture
def company(postgres: PostgresServer) -> Iterator[Company]:
    made = Company(postgres)
    yield made
    for name in (made.accounts, made.warehouse):
        postgres.drop_database(name)


def subject(account_id: str, *datasets: str) -> Subject:
    return Subject(str(uuid4()), account_id, "individual", "scope", datasets, "R-01", "terminated", ON - 200 * DAY)


def works(processor: Processor, *asked: Subject) -> list[Work]:
    found = processor.locate(asked)
    assert [f.disposal_id for f in found] == [s.disposal_id for s in asked]
    return [
        Work(s.disposal_id, s.account_id, s.scope_id, s.datasets, f.locator) for s, f in zip(asked, found, strict=True)
    ]


def with_(*path: str, **changes: Any) -> dict[str, Any]:
    """Return the settings with one mapping changed; None removes a key."""

    def changed(part: Mapping[str, Any], rest: tuple[str, ...]) -> dict[str, Any]:
        if rest:
            return {**part, rest[0]: changed(part.get(rest[0], {}), rest[1:])}
        return {k: v for k, v in {**part, **changes}.items() if v is not None}

    return changed(SETTINGS, path)


# -- each store is a place ---------------------------------------------------------------------------------------------
def test_a_warehouse_is_erased_and_counted_in_its_own_database(company: Company) -> None:
    for number, customer in enumerate(("1", "1", "10", "1.bak"), start=1):
        company.sql("INSERT INTO orders VALUES (%s, %s, 1)", number, customer, on=company.warehouse)
        company.sql(
            "INSERT INTO contact VALUES (%s, %s, 'sample@example.com', '010')", number, customer, on=company.warehouse
        )
    (read,) = company.erase(subject("1", "warehouse_orders", "warehouse_contact"))
    assert (read.outcome, read.count, read.verify_method) == (Outcome.CONFIRMED_ABSENT, 0, "row_count_by_account")
    assert read.backup_expires_on == ON + 7 * DAY
    assert company.sql("SELECT customer FROM orders ORDER BY 1", on=company.warehouse) == [("1.bak",), ("10",)]
    assert company.sql("SELECT customer FROM contact WHERE mail IS NULL", on=company.warehouse) == [("1",), ("1",)]


def test_one_batch_over_all_stores_gives_each_disposal_its_own_end(company: Company) -> None:
    company.sql("INSERT INTO account VALUES ('1', 'individual', false, null, false, null, '2026-01-31')")
    company.sql("INSERT INTO usage VALUES (1, '1', 'x')")
    company.sql("INSERT INTO orders VALUES (1, '1', 1)", on=company.warehouse)
    asked = [subject("1", d) for d in ("session", "usage", "app_log", "warehouse_orders")]
    ends = company.erase(*asked)
    assert [r.disposal_id for r in ends] == [s.disposal_id for s in asked]
    assert [(r.outcome, r.until, r.basis) for r in ends] == [
        (Outcome.MANUAL_PENDING, ON + 3 * DAY, "cache"),
        (Outcome.CONFIRMED_ABSENT, None, None),
        (Outcome.EXPIRES_BY_PROCESSOR, ON + 31 * DAY, "log_store_within_30_days"),
        (Outcome.CONFIRMED_ABSENT, None, None),
    ]
    assert company.sql("SELECT 1 FROM usage UNION ALL SELECT 1 FROM account") == []


def test_the_date_of_a_store_that_lapses_does_not_move_with_the_nights(company: Company) -> None:
    (work,) = works(company.processor(), subject("1", "app_log"))
    later = company.processor(on=ON + 10 * DAY).read_back([work])[0]
    assert later.until == ON + 31 * DAY


def test_nothing_is_claimed_of_a_store_nobody_can_search(company: Company) -> None:
    for dataset in ("app_log", "session"):
        (end,) = company.erase(subject("never-seen", dataset))
        assert end.outcome not in {Outcome.CONFIRMED_ABSENT, Outcome.CONFIRMED_ANONYMISED}
        assert end.backup_expires_on is None


def test_one_store_that_is_down_names_itself_and_nothing_is_erased_anywhere(company: Company) -> None:
    company.sql("INSERT INTO account VALUES ('1', 'individual', false, null, false, null, '2026-01-31')")
    company.sql("INSERT INTO usage VALUES (1, '1', 'x')")
    company.sql("DROP TABLE orders", on=company.warehouse)
    with pytest.raises(ConfigurationError, match="Connection warehouse: the schedule declares table orders"):
        company.processor().check()
    assert company.sql("SELECT count(*) FROM usage") == [(1,)]


def test_a_store_that_is_down_holds_up_its_own_disposals_only(company: Company) -> None:
    company.sql("INSERT INTO account VALUES ('1', 'individual', false, null, false, null, '2026-01-31')")
    company.sql("INSERT INTO usage VALUES (1, '1', 'x')")
    company.sql("INSERT INTO orders VALUES (1, '1', 1)", on=company.warehouse)
    asked = [subject("1", "usage"), subject("1", "warehouse_orders")]
    work = works(company.processor(), *asked)
    company.postgres.drop_database(company.warehouse)
    processor = company.processor()
    processor.check()
    for answers in (processor.locate(asked), processor.act("erase", work), processor.read_back(work)):
        assert answers[1].outcome is Outcome.FAILED
        assert answers[1].code == "unreachable"
    assert processor.read_back(work)[0].outcome is Outcome.CONFIRMED_ABSENT
    with pytest.raises(Unreachable):
        processor.read_back(work[1:])


def test_a_scope_over_two_stores_and_a_dataset_without_a_store_are_refused(company: Company) -> None:
    with pytest.raises(ConfigurationError, match=r"several stores \(the accounts database, warehouse\)"):
        company.processor().locate([subject("1", "usage", "warehouse_orders")])
    with pytest.raises(ConfigurationError, match="no table is declared for elsewhere"):
        company.processor().locate([subject("1", "elsewhere")])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (with_("stores", "log_store", manual_within_days=3), "exactly one of"),
        (with_("stores", "cache", manual_within_days=None), "exactly one of"),
        (with_("stores", "log_store", datasets=[]), "needs `datasets`"),
        (with_("stores", "log_store", connection="logs"), "nothing is connected to"),
        (with_("stores", "warehouse", connection=None), "needs `connection`"),
        (with_("stores", "warehouse", backup_expires_within_days=None), "backup_expires_within_days"),
        (with_("stores", "warehouse", schema="retention"), "never erased"),
        (with_("stores", "cache", datasets=["app_log"]), "lies in two stores"),
        (with_("stores", "cache", datasets=["usage"]), "lies in two stores"),
        (with_(backup_expires_within_days=None), "backup_expires_within_days"),
        (with_("tables", "usage", action="hmac"), "delete"),
        (with_("tables", "usage", action="anonymise", columns=["detail"]), "markedly difficult"),
    ],
)
def test_a_declaration_that_leaves_something_open_is_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        Tables.parse(change)


def test_every_connection_of_a_store_is_known_to_the_guards() -> None:
    sections = schedules.load().processors
    with_stores = {"own_database": sections["own_database"].model_copy(update={"settings": SETTINGS})}
    assert set(connection_names(with_stores)) == {*names(), "warehouse"}
    assert set(connection_names(sections)) == set(names())


def test_a_store_whose_connection_is_missing_is_named(company: Company) -> None:
    with pytest.raises(ConfigurationError, match="'warehouse'"):
        Processor(Site(company.connection("own_database"), SETTINGS, ON))


# -- what nobody declared ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("place", "statements", "named"),
    [
        ("accounts", ("CREATE TABLE export (ref text)", "INSERT INTO export VALUES ('a-01'), ('a-02')"), "export.ref"),
        (
            "accounts",
            ("CREATE SCHEMA mart; CREATE TABLE mart.facts (who uuid, n int)",
             "INSERT INTO account SELECT gen_random_uuid()::text FROM generate_series(1, 3)",
             "INSERT INTO mart.facts SELECT account_id::uuid, 1 FROM account WHERE length(account_id) > 30"),
            "mart.facts.who",
        ),
        (
            "accounts",
            ("CREATE TABLE note (body text)", "INSERT INTO note VALUES ('write to sample.person@example.com, please')"),
            "note.body",
        ),
        (
            "warehouse",
            ("CREATE TABLE event (payload jsonb)",
             """INSERT INTO event VALUES ('{"user": {"to": "sample@example.com"}}')"""),
            "event.payload",
        ),
        ("warehouse", ("CREATE TABLE lead (e_mail text)",), "lead.e_mail"),
    ],
)  # fmt: skip
def test_a_column_nobody_declared_is_found_by_what_it_holds(
    company: Company, place: str, statements: tuple[str, ...], named: str
) -> None:
    company.sql("INSERT INTO account (account_id) VALUES ('a-01'), ('a-02'), ('a-03')")
    company.processor().check()
    for statement in statements:
        company.sql(statement, on=getattr(company, place))
    with pytest.raises(ConfigurationError, match=named.replace(".", r"\.")):
        company.processor().check()


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE kind AS SELECT 'K-' || n AS code FROM generate_series(1, 50) n",
        "CREATE TABLE price AS SELECT n AS amount, 'KRW' AS currency FROM generate_series(1, 50) n",
        "CREATE TABLE one (code text); INSERT INTO one VALUES ('a-01'), ('x'), ('y')",
    ],
)
def test_words_that_are_nobodys_pass(company: Company, statement: str) -> None:
    company.sql("INSERT INTO account (account_id) VALUES ('a-01'), ('a-02')")
    company.sql(statement)
    company.processor().check()


def test_a_declared_exception_passes_by_content_too(company: Company) -> None:
    company.sql("CREATE TABLE sender (box text); INSERT INTO sender VALUES ('noreply@example.com')")
    with opened(company.connection("own_database"), read_only=True) as connection:
        assert scan.undeclared(connection, Tables.parse(SETTINGS)) == ["sender.box"]
    company.processor({**SETTINGS, "impersonal": ["sender.box"]}).check()


def test_a_parent_declared_before_its_children_is_named(company: Company) -> None:
    turned = {**SETTINGS, "tables": dict(reversed(SETTINGS["tables"].items()))}
    with pytest.raises(ConfigurationError, match="table usage_part refers to usage; declare it before"):
        company.processor(turned).check()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"action": "anonymise", "columns": ["total"], "because": "statistics"}, r"orders\.total cannot take"),
        ({"action": "null_columns", "columns": ["order_id"]}, r"orders\.order_id may not be empty"),
    ],
)
def test_an_action_a_column_cannot_take_is_named_before_anything_is_done(
    company: Company, change: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigurationError, match=said):
        company.processor(with_("stores", "warehouse", "tables", "orders", **change)).check()


# -- acting ------------------------------------------------------------------------------------------------------------
@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("include.processors._own_database.rows.AT_ONCE", 10)
    monkeypatch.setattr("include.processors._own_database.rows.PART", 4)


def many(company: Company, *accounts: str) -> None:
    for number, account in enumerate(accounts):
        company.sql("INSERT INTO account VALUES (%s, 'individual', false, null, false, null, '2026-01-31')", account)
        company.sql(
            "INSERT INTO usage SELECT n, %s, 'x' FROM generate_series(%s::int, %s::int) n",
            account, number * 100, number * 100 + 9,
        )  # fmt: skip
        company.sql(
            "INSERT INTO usage_part SELECT usage_id, usage_id, account_id FROM usage WHERE account_id = %s", account
        )


def test_very_many_rows_go_in_parts_children_first_and_neighbours_stay(company: Company, parts: None) -> None:
    many(company, "1", "10", "2")
    ends = company.erase(subject("1", "usage"), subject("2", "usage"))
    assert {r.outcome for r in ends} == {Outcome.CONFIRMED_ABSENT}
    for table, rows in (("usage", 10), ("usage_part", 10), ("account", 1)):
        assert company.sql(f"SELECT account_id, count(*) FROM {table} GROUP BY 1") == [("10", rows)]


def test_a_part_that_was_cut_is_gone_on_with(company: Company, parts: None) -> None:
    many(company, "1")
    processor = company.processor()
    work = works(processor, subject("1", "usage"))
    company.sql("DELETE FROM usage_part WHERE part_id < 6")
    assert processor.act("erase", work)[0].outcome is Outcome.ACCEPTED
    assert processor.read_back(work)[0].outcome is Outcome.CONFIRMED_ABSENT


def test_a_row_that_refers_from_elsewhere_stops_the_parts_and_only_its_own_disposal(
    company: Company, parts: None
) -> None:
    many(company, "1", "2")
    company.sql("CREATE TABLE keeps (n int PRIMARY KEY REFERENCES usage); INSERT INTO keeps VALUES (3)")
    settings = {**SETTINGS, "impersonal": ["keeps"]}
    processor = company.processor(settings)
    work = works(processor, subject("1", "usage"), subject("2", "usage"))
    first, second = processor.act("erase", work)
    assert (first.outcome, first.code, first.needs_person) == (Outcome.FAILED, "foreign_key", True)
    assert second.outcome is Outcome.ACCEPTED
    assert processor.read_back(work)[0].code == "still_present"
    assert processor.read_back(work)[1].outcome is Outcome.CONFIRMED_ABSENT


def test_a_trigger_that_refuses_one_row_is_for_a_person_and_is_not_quoted(company: Company) -> None:
    many(company, "1", "2")
    company.sql(
        "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS "
        "$$BEGIN IF OLD.account_id = '1' THEN RAISE EXCEPTION 'Sample Person 0001'; END IF; RETURN OLD; END$$"
    )
    company.sql("CREATE TRIGGER no BEFORE DELETE ON usage FOR EACH ROW EXECUTE FUNCTION no()")
    processor = company.processor()
    work = works(processor, subject("1", "usage"), subject("2", "usage"))
    first, second = processor.act("erase", work)
    assert (first.outcome, first.code, first.needs_person) == (Outcome.FAILED, "refused_by_trigger", True)
    assert second.outcome is Outcome.ACCEPTED
    assert "Sample" not in repr((first, second))


def test_a_value_no_night_can_change_stops_the_processor_by_code(company: Company) -> None:
    company.sql("INSERT INTO contact VALUES (1, '1', 'sample@example.com', '010')", on=company.warehouse)
    company.sql(
        "ALTER TABLE contact ADD CONSTRAINT short CHECK (true); ALTER TABLE contact ALTER mail TYPE varchar(20)",
        on=company.warehouse,
    )
    settings = with_(
        "stores", "warehouse", "tables", "contact", action="anonymise", because="statistics", columns=["mail"]
    )
    processor = company.processor(settings)
    with pytest.raises(ConfigurationError, match=r"contact\.mail cannot take"):
        processor.check()
    work = works(processor, subject("1", "warehouse_contact"))
    with pytest.raises(Refused, match="sqlstate_22001") as caught:
        processor.act("erase", work)
    assert "example.com" not in str(caught.value)


def test_a_random_word_is_never_the_same_twice_and_points_at_nobody(company: Company) -> None:
    for number, customer in ((1, "1"), (2, "1"), (3, "10")):
        company.sql("INSERT INTO contact VALUES (%s, %s, 'a@example.com', '1')", number, customer, on=company.warehouse)
    settings = with_(
        "stores", "warehouse", "tables", "contact", action="anonymise", because="statistics", columns=["mail", "phone"]
    )
    (end,) = company.erase(subject("1", "warehouse_contact"), settings=settings)
    assert (end.outcome, end.basis) == (Outcome.CONFIRMED_ANONYMISED, "statistics")
    assert end.backup_expires_on == ON + 7 * DAY
    rows = company.sql("SELECT contact_id, customer, mail, phone FROM contact ORDER BY 1", on=company.warehouse)
    assert rows[2] == (3, "10", "a@example.com", "1")
    words = [word for row in rows[:2] for word in row[2:]]
    assert len(set(words)) == 4
    assert [row[1] for row in rows[:2]] == [None, None]


def test_settings_of_the_packaged_schedule_parse_and_have_no_further_store() -> None:
    settings = schedules.load().processors["own_database"].settings
    assert Tables.parse(settings).stores == {}


def test_a_sweep_looks_through_every_connected_store_and_names_the_others(company: Company) -> None:
    for account, ended in (("live", None), ("ended", ON)):
        company.sql("INSERT INTO account (account_id, terminated_on) VALUES (%s, %s)", account, ended)
    company.sql("INSERT INTO usage VALUES (1, 'live', 'x'), (2, 'ended', 'x')")
    orders = "INSERT INTO orders VALUES (1, 'live', 9), (2, 'ended', 9), (3, 'gone', 9), (4, 'gone', 9), (5, NULL, 9)"
    company.sql(orders, on=company.warehouse)
    company.sql("INSERT INTO contact VALUES (1, 'emptied', NULL, NULL), (2, 'gone', 'm', NULL)", on=company.warehouse)
    engine = database.connect(company.connection("accounts_db"))
    processor = Processor(
        Site(company.connection("own_database"), SETTINGS, ON, accounts=engine, connect=company.connection)
    )

    def seen(since: datetime | None) -> set[tuple[str, str]]:
        return {(one.datasets[0], one.account_id) for one in processor.sweep(since)}

    without_customer = {
        ("usage", "ended"), ("warehouse_orders", "ended"), ("warehouse_orders", "gone"), ("warehouse_contact", "gone"),
    }  # fmt: skip
    assert seen(datetime(2026, 11, 23, tzinfo=UTC)) == without_customer
    assert seen(None) == without_customer | {("usage", "live"), ("warehouse_orders", "live")}
    engine.dispose()
    assert processor.not_listed() == ("cache", "log_store")
