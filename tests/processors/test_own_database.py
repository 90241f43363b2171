"""The company's own database: what is located, kept, erased and read back, and what is never touched."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from include import database
from include.accounts import Accounts
from include.connections import Connection
from include.errors import ConfigurationError, Refused, Unreachable
from include.outcomes import Outcome
from include.policy import schedule as schedules
from include.policy.planner import PlannedDisposal, plan
from include.policy.terms import record_terms
from include.processors import Found, Record, Result, Site, Subject, Work, load
from include.processors.own_database import Processor
from include.sandbox import company
from include.sandbox.company.tables import COLUMNS
from include.sandbox.servers import PostgresServer

ANCHOR = date(2026, 11, 24)
DAY = timedelta(days=1)
ACCOUNT = ("account_profile", "drm_usage", "watermark_usage", "support_history")
SETTLEMENT = ("payment", "contract", "billing_contact", "business_identity")
CONSENT = ("prize_entry", "partner_info", "cookie")
ENDED = ("terminated", date(2026, 1, 31))


@dataclass
class Bench:
    """A database, a processor on it, and short ways to use both."""

    postgres: PostgresServer
    name: str
    settings: Mapping[str, Any]
    session: psycopg.Connection[Any] | None = None

    @property
    def connection(self) -> Connection:
        return self.postgres.connection("own_database", self.name)

    @property
    def processor(self) -> Processor:
        return Processor(Site(self.connection, self.settings, ANCHOR))

    def open(self) -> psycopg.Connection[Any]:
        if self.session is None:
            self.session = psycopg.connect(
                host=self.postgres.socket_dir, user="postgres", dbname=self.name, autocommit=True
            )
        return self.session

    def close(self) -> None:
        self.open().close()

    def sql(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        cursor = self.open().execute(statement, values or None)  # type: ignore[call-overload]
        return cursor.fetchall() if cursor.description else []

    def add(self, table: str, **values: Any) -> None:
        columns = ", ".join(values)
        self.sql(f"INSERT INTO {table} ({columns}) VALUES ({', '.join(['%s'] * len(values))})", *values.values())

    def account(self, account_id: str, *, ended: date | None = date(2026, 1, 31), **values: Any) -> None:
        row = {"subject_type": "individual", "consumer_like": False, "withheld": False, "created_on": date(2020, 1, 1)}
        self.add("account", account_id=account_id, terminated_on=ended, nationality="KR", **{**row, **values})
        self.add(
            "account_profile", account_id=account_id, login_id=f"login{account_id}", name="김표본0001",
            email=f"user{account_id}@example.com",
        )  # fmt: skip

    def dump(self) -> dict[str, list[tuple[Any, ...]]]:
        """Return every row of every table as text."""
        return {t: self.sql(f"SELECT t::text FROM {t} t ORDER BY 1") for t in sorted(COLUMNS)}

    def subject(
        self, account_id: str, datasets: tuple[str, ...], *, event: str = "terminated", day: date = ENDED[1]
    ) -> Subject:
        return Subject(str(uuid4()), account_id, "individual", "scope", datasets, "R-01", event, day)

    def locate(self, *subjects: Subject) -> tuple[list[Found], list[Work]]:
        found = self.processor.locate(subjects)
        works = [
            Work(s.disposal_id, s.account_id, s.scope_id, s.datasets, f.locator)
            for s, f in zip(subjects, found, strict=True)
        ]
        return found, works

    def erase(self, account_id: str, datasets: tuple[str, ...], **trigger: Any) -> Result:
        """Carry one disposal from locating to reading back."""
        _, works = self.locate(self.subject(account_id, datasets, **trigger))
        processor = self.processor
        processor.extract(works)
        for step in processor.steps(works[0]):
            (acted,) = processor.act(step.name, works)
            if acted.outcome is not Outcome.ACCEPTED:
                return acted
        return processor.read_back(works)[0]


@pytest.fixture(scope="session")
def declared() -> dict[str, Any]:
    return dict(schedules.load().processors["own_database"].settings)


@pytest.fixture(scope="module")
def template(postgres: PostgresServer) -> str:
    postgres.create_database("template_accounts")
    engine = database.connect(postgres.connection("accounts_db", "template_accounts"))
    company.create(engine)
    engine.dispose()
    return "template_accounts"


@pytest.fixture(scope="module")
def shared(postgres: PostgresServer, template: str, declared: dict[str, Any]) -> Iterator[Bench]:
    """One database for the tests that leave its tables as they are."""
    postgres.create_database("own_shared", template=template)
    bench = Bench(postgres, "own_shared", declared)
    yield bench
    bench.close()
    postgres.drop_database("own_shared")


@pytest.fixture
def bench(shared: Bench) -> Iterator[Bench]:
    """The shared database, empty."""
    yield Bench(shared.postgres, shared.name, shared.settings, shared.open())
    for table in reversed(COLUMNS):
        shared.sql(f"DELETE FROM {table}")


@pytest.fixture
def fresh(postgres: PostgresServer, template: str, declared: dict[str, Any]) -> Iterator[Bench]:
    """A database of its own, for a test that changes tables."""
    name = f"t_{uuid4().hex[:12]}"
    postgres.create_database(name, template=template)
    bench = Bench(postgres, name, declared)
    yield bench
    bench.close()
    postgres.drop_database(name)


def test_it_is_a_processor_of_the_registry() -> None:
    assert load("own_database") is Processor


# -- locating ------------------------------------------------------------------------------------------------------
def test_only_the_datasets_in_scope_are_counted(bench: Bench) -> None:
    bench.account("1")
    bench.add("cookie", cookie_id="c", account_id="1", last_seen_on=ANCHOR)
    (found, other), _ = bench.locate(bench.subject("1", CONSENT), bench.subject("1", ACCOUNT))
    assert (found.outcome, found.count) == (Outcome.LOCATED, 1)
    assert other.locator["counts"] == {"account_profile": 1, "account": 1}


def test_locating_changes_nothing(bench: Bench) -> None:
    bench.account("1")
    before = bench.dump()
    bench.locate(bench.subject("1", ACCOUNT), bench.subject("1", SETTLEMENT))
    assert bench.dump() == before


def test_an_account_nobody_knows_is_found_empty_and_read_back_as_absent(bench: Bench) -> None:
    (found,), works = bench.locate(bench.subject("nobody", ACCOUNT))
    assert (found.outcome, found.count) == (Outcome.LOCATED, 0)
    assert bench.processor.steps(works[0]) == ()
    assert bench.processor.read_back(works)[0].outcome is Outcome.CONFIRMED_ABSENT


def test_an_empty_account_id_is_no_identifier(bench: Bench) -> None:
    (found,), _ = bench.locate(bench.subject("", ACCOUNT))
    assert (found.outcome, found.code) == (Outcome.FAILED, "no_identifier")


def test_an_open_complaint_blocks_its_own_disposal_only(bench: Bench) -> None:
    for account_id in ("1", "2"):
        bench.account(account_id)
    bench.add(
        "support_history", support_id="s", account_id="1", kind="complaint", opened_on=date(2025, 12, 1), body="x"
    )
    (held, free), _ = bench.locate(bench.subject("1", ACCOUNT), bench.subject("2", ACCOUNT))
    assert (held.outcome, held.code) == (Outcome.BLOCKED, "open_complaint")
    assert free.outcome is Outcome.LOCATED


def test_a_dataset_without_a_table_stops_the_batch(bench: Bench) -> None:
    with pytest.raises(ConfigurationError, match="no table is declared for search_index"):
        bench.locate(bench.subject("1", ("search_index",)))


# -- what a law keeps ----------------------------------------------------------------------------------------------
def _with_records(bench: Bench, account_id: str = "1") -> None:
    bench.account(account_id)
    bench.add(
        "payment", payment_id=f"p{account_id}", account_id=account_id, billed=11_000, received=11_000,
        received_on=date(2025, 5, 1), supplied_on=date(2025, 5, 9), method="card", offshore=True,
    )  # fmt: skip
    bench.add(
        "contract", contract_id=f"c{account_id}", account_id=account_id, kind="contract", concluded_on=date(2020, 1, 1)
    )
    bench.add(
        "contract", contract_id=f"w{account_id}", account_id=account_id, kind="withdrawal", ended_on=date(2025, 6, 1),
        concluded_on=date(2025, 6, 1),
    )  # fmt: skip
    bench.add(
        "support_history", support_id=f"s{account_id}", account_id=account_id, kind="complaint",
        opened_on=date(2025, 7, 1), closed_on=date(2025, 7, 20), body="김표본0001 complains",
    )  # fmt: skip
    bench.add(
        "support_history", support_id=f"i{account_id}", account_id=account_id, kind="inquiry",
        opened_on=date(2025, 7, 1), closed_on=date(2025, 7, 2), body="asks",
    )  # fmt: skip
    bench.add(
        "billing_contact", account_id=account_id, name="김표본0001", email="billing@example.com", address="표본로 1",
        phone="010-0000-0001",
    )  # fmt: skip


def _extracted(bench: Bench) -> dict[str, Record]:
    _with_records(bench)
    _, works = bench.locate(bench.subject("1", ACCOUNT), bench.subject("1", SETTLEMENT))
    return {r.kind: r for r in bench.processor.extract(works)}


def test_payments_contracts_withdrawals_and_closed_complaints_are_extracted(bench: Bench) -> None:
    records = _extracted(bench)
    assert {k: dict(r.dates) for k, r in records.items()} == {
        "payment": {"transaction": date(2025, 5, 1), "paid_and_supplied": date(2025, 5, 9)},
        "contract": {"contract_ended": date(2026, 1, 31)},
        "withdrawal": {"recorded": date(2025, 6, 1)},
        "complaint": {"case_closed": date(2025, 7, 20)},
    }
    assert records["payment"].offshore


def test_a_payment_carries_the_partys_items_and_the_fee(bench: Bench) -> None:
    assert dict(_extracted(bench)["payment"].items) == {
        "name": "김표본0001", "email": "billing@example.com", "billing_address": "표본로 1", "phone": "010-0000-0001",
        "fee.billed": 11_000, "fee.received": 11_000, "fee.received_at": "2025-05-01", "fee.method": "card",
        "supply.completed_on": "2025-05-09",
    }  # fmt: skip


def test_every_record_has_the_dates_the_laws_ask_for(bench: Bench) -> None:
    schedule = schedules.load()
    for record in _extracted(bench).values():
        terms = record_terms(
            kind=record.kind, dates=record.dates, subject_type="individual", consumer_like=False,
            offshore=record.offshore, schedule=schedule,
        )  # fmt: skip
        assert terms, record.kind


def test_records_outside_the_scope_are_not_extracted(bench: Bench) -> None:
    _with_records(bench)
    _, works = bench.locate(bench.subject("1", ACCOUNT))
    assert {r.kind for r in bench.processor.extract(works)} == {"complaint"}


def test_a_record_does_not_show_the_person_in_its_repr(bench: Bench) -> None:
    assert "표본" not in repr(_extracted(bench))


# -- erasing -------------------------------------------------------------------------------------------------------
def test_all_scopes_of_an_account_leave_nothing_of_it(bench: Bench) -> None:
    _with_records(bench)
    bench.add("drm_usage", usage_id="d", account_id="1", used_on=ANCHOR, detail="x")
    bench.add("consent", account_id="1", purpose="P4", given_on=date(2020, 1, 1))
    results = [bench.erase("1", datasets) for datasets in (ACCOUNT, SETTLEMENT)]
    assert [r.outcome for r in results] == [Outcome.CONFIRMED_ABSENT] * 2
    assert all(rows == [] for rows in bench.dump().values())


def test_a_prefix_of_an_id_reaches_nobody_else(bench: Bench) -> None:
    for account_id in ("1", "10", "100"):
        bench.account(account_id)
    bench.erase("1", ACCOUNT)
    assert bench.sql("SELECT account_id FROM account_profile ORDER BY 1") == [("10",), ("100",)]


@pytest.mark.parametrize(
    "hostile", ["' OR 1=1 --", "1'; DROP TABLE cookie; --", "%", "../1", "한글", "1\n10", "{1,10}"]
)
def test_a_hostile_id_is_only_an_id(bench: Bench, hostile: str) -> None:
    for account_id in ("1", "10", hostile):
        bench.account(account_id)
    assert bench.erase(hostile, ACCOUNT).outcome is Outcome.CONFIRMED_ABSENT
    assert bench.sql("SELECT account_id FROM account_profile ORDER BY 1") == [("1",), ("10",)]


def test_the_register_row_stays_while_a_held_scope_holds_rows(bench: Bench) -> None:
    _with_records(bench)
    assert bench.erase("1", ACCOUNT).outcome is Outcome.CONFIRMED_ABSENT
    assert bench.sql("SELECT nationality, born_on FROM account") == [(None, None)]
    assert bench.erase("1", SETTLEMENT).outcome is Outcome.CONFIRMED_ABSENT
    assert bench.sql("SELECT * FROM account") == []


def test_a_live_account_keeps_its_register_row_when_its_last_row_goes(bench: Bench) -> None:
    bench.account("1", ended=None)
    bench.sql("DELETE FROM account_profile")
    bench.sql("UPDATE account SET nationality = NULL")
    bench.add("cookie", cookie_id="c", account_id="1", last_seen_on=ANCHOR)
    bench.erase("1", CONSENT, event="consent_withdrawn", day=ANCHOR - DAY)
    assert bench.sql("SELECT account_id FROM account") == [("1",)]


def test_an_open_dispute_keeps_the_register_row(bench: Bench) -> None:
    bench.account("1")
    bench.add("dispute", dispute_id="d", account_id="1", dataset="payment", opened_on=ANCHOR)
    assert bench.erase("1", ACCOUNT).outcome is Outcome.CONFIRMED_ABSENT
    assert len(bench.sql("SELECT * FROM account")) == len(bench.sql("SELECT * FROM dispute")) == 1


def test_devices_go_before_the_users_they_belong_to(bench: Bench) -> None:
    bench.account("1", ended=None)
    bench.add("end_user", end_user_id="e", account_id="1", external_id="x")
    bench.add("end_user_device", device_id="d", end_user_id="e", account_id="1", device_key="k")
    result = bench.erase("1", ("end_user", "end_user_device"), event="instruction", day=ANCHOR - DAY)
    assert result.outcome is Outcome.CONFIRMED_ABSENT
    assert bench.sql("SELECT * FROM end_user") == bench.sql("SELECT * FROM end_user_device") == []


@pytest.mark.parametrize(
    ("table", "dataset", "event", "trigger", "column", "goes", "stays"),
    [
        ("credit_record", "credit_record", "credit_record", date(2023, 5, 31), "recorded_on", [0], [-1, 1]),
        (
            "operator_access_log", "operator_access_log", "operator_log", date(2024, 2, 29), "logged_on", [0, -28],
            [-29, 1],
        ),
        ("prize_entry", "prize_entry", "event_ended", date(2026, 11, 1), "event_ended_on", [0, -40], [1]),
        (
            "credit_information", "credit_information", "credit_purpose_achieved", date(2026, 7, 1),
            "purpose_achieved_on", [0, -9], [1, None],
        ),
        ("guardian", "guardian", "guardian_request_closed", date(2026, 7, 1), "request_closed_on", [0], [1, None]),
    ],
)  # fmt: skip
def test_an_event_about_some_rows_erases_those_rows_only(
    bench: Bench, table: str, dataset: str, event: str, trigger: date, column: str, goes: list[int], stays: list[Any]
) -> None:
    bench.account("1", ended=None)
    more: dict[str, dict[str, Any]] = {
        "credit_record": {"items": "x", "reason": "y"},
        "operator_access_log": {"operator": "e-1", "action": "view"},
        "prize_entry": {"form": "x"},
        "credit_information": {"detail": "x"},
        "guardian": {"name": "보호자표본", "contact": "g@example.com", "collected_on": date(2026, 1, 1)},
    }
    for n, offset in enumerate([*goes, *stays]):
        day = None if offset is None else trigger + offset * DAY
        bench.add(table, **{COLUMNS[table][0]: f"k{n}", "account_id": "1", column: day, **more[table]})
    result = bench.erase("1", (dataset,), event=event, day=trigger)
    assert result.outcome is Outcome.CONFIRMED_ABSENT
    kept = {row[0] for row in bench.sql(f"SELECT {COLUMNS[table][0]} FROM {table}")}
    assert kept == {f"k{n}" for n in range(len(goes), len(goes) + len(stays))}


def test_a_guardian_is_erased_for_a_refusal_only_when_refused(bench: Bench) -> None:
    bench.account("1", ended=None)
    for key, refused in (("refused", date(2026, 11, 3)), ("pending", None)):
        bench.add(
            "guardian", guardian_id=key, account_id="1", name="보호자표본", contact="g@example.com",
            collected_on=date(2026, 11, 1), refused_on=refused,
        )  # fmt: skip
    bench.erase("1", ("guardian",), event="guardian_refused", day=date(2026, 11, 1))
    assert bench.sql("SELECT guardian_id FROM guardian") == [("pending",)]


def test_erasing_twice_ends_the_same_way(bench: Bench) -> None:
    bench.account("1")
    _, works = bench.locate(bench.subject("1", ACCOUNT))
    for _ in range(2):
        assert bench.processor.act("erase", works)[0].outcome is Outcome.ACCEPTED
        assert bench.processor.read_back(works)[0].outcome is Outcome.CONFIRMED_ABSENT


def test_every_second_account_goes_in_one_batch_and_the_others_stay(bench: Bench) -> None:
    for n in range(60):
        bench.account(f"a{n}")
    _, works = bench.locate(*(bench.subject(f"a{n}", ACCOUNT) for n in range(0, 60, 2)))
    bench.processor.act("erase", works)
    assert {r.outcome for r in bench.processor.read_back(works)} == {Outcome.CONFIRMED_ABSENT}
    assert {row[0] for row in bench.sql("SELECT account_id FROM account")} == {f"a{n}" for n in range(1, 60, 2)}


def test_a_batch_is_one_transaction(fresh: Bench) -> None:
    for account_id in ("1", "2"):
        fresh.account(account_id)
    fresh.sql("CREATE TABLE seen (xid xid8)")
    fresh.sql(
        "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS "
        "'BEGIN INSERT INTO seen VALUES (pg_current_xact_id()); RETURN OLD; END'"
    )
    fresh.sql("CREATE TRIGGER note BEFORE DELETE ON account_profile FOR EACH ROW EXECUTE FUNCTION note()")
    _, works = fresh.locate(fresh.subject("1", ACCOUNT), fresh.subject("2", ACCOUNT))
    fresh.processor.act("erase", works)
    assert fresh.sql("SELECT count(*), count(DISTINCT xid) FROM seen") == [(2, 1)]


# -- archive before destroy ----------------------------------------------------------------------------------------
def test_a_payment_that_came_after_the_extract_is_not_erased(bench: Bench) -> None:
    _with_records(bench)
    _, works = bench.locate(bench.subject("1", SETTLEMENT))
    bench.add(
        "payment", payment_id="late", account_id="1", billed=1, received=1, received_on=ANCHOR, method="card",
        offshore=False,
    )  # fmt: skip
    before = bench.dump()
    (result,) = bench.processor.act("erase", works)
    assert (result.outcome, result.code, result.needs_person) == (Outcome.FAILED, "changed_since_located", False)
    assert bench.dump() == before


def test_a_payment_that_changed_after_the_extract_stops_only_its_own_disposal(bench: Bench) -> None:
    for account_id in ("1", "2"):
        _with_records(bench, account_id)
    _, works = bench.locate(bench.subject("1", SETTLEMENT), bench.subject("2", SETTLEMENT))
    bench.sql("UPDATE payment SET received = 1 WHERE account_id = '1'")
    assert [r.outcome for r in bench.processor.act("erase", works)] == [Outcome.FAILED, Outcome.ACCEPTED]
    assert bench.sql("SELECT account_id FROM payment") == [("1",)]


def test_a_row_that_somebody_else_removed_meanwhile_does_not_matter(bench: Bench) -> None:
    _with_records(bench)
    _, works = bench.locate(bench.subject("1", SETTLEMENT))
    bench.sql("DELETE FROM payment")
    assert bench.processor.act("erase", works)[0].outcome is Outcome.ACCEPTED


# -- reading back --------------------------------------------------------------------------------------------------
def test_what_is_still_there_is_never_called_absent(bench: Bench) -> None:
    bench.account("1")
    _, works = bench.locate(bench.subject("1", ACCOUNT))
    (result,) = bench.processor.read_back(works)
    assert (result.outcome, result.code, result.count) == (Outcome.FAILED, "still_present", 2)


def test_a_trigger_that_undoes_the_deletion_is_seen(fresh: Bench) -> None:
    """Answers as if done: PostgreSQL itself reports success here."""
    fresh.account("1")
    fresh.sql("CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'")
    fresh.sql("CREATE TRIGGER keep BEFORE DELETE ON account_profile FOR EACH ROW EXECUTE FUNCTION keep()")
    result = fresh.erase("1", ACCOUNT)
    assert (result.outcome, result.code) == (Outcome.FAILED, "still_present")


def test_a_row_that_something_undeclared_refers_to_fails_alone(fresh: Bench) -> None:
    for account_id in ("1", "2"):
        fresh.account(account_id)
    fresh.sql("CREATE TABLE badge (badge_id text, owner text REFERENCES account_profile)")
    fresh.sql("INSERT INTO badge VALUES ('b', '1')")
    _, works = fresh.locate(fresh.subject("1", ACCOUNT), fresh.subject("2", ACCOUNT))
    results = fresh.processor.act("erase", works)
    assert [(r.outcome, r.code) for r in results] == [(Outcome.FAILED, "foreign_key"), (Outcome.ACCEPTED, None)]
    assert fresh.sql("SELECT account_id FROM account_profile") == [("1",)]


def test_a_register_row_that_something_refers_to_shows_as_still_present(fresh: Bench) -> None:
    fresh.account("1")
    fresh.sql("CREATE TABLE badge (badge_id text, owner text REFERENCES account)")
    fresh.sql("INSERT INTO badge VALUES ('b', '1')")
    assert fresh.erase("1", ACCOUNT).code == "still_present"
    assert fresh.sql("SELECT * FROM account_profile") == []


def test_a_crash_before_the_commit_leaves_everything(fresh: Bench) -> None:
    fresh.account("1")
    _, works = fresh.locate(fresh.subject("1", ACCOUNT))
    before = fresh.dump()
    with psycopg.connect(host=fresh.postgres.socket_dir, user="postgres", dbname=fresh.name) as blocker:
        blocker.execute("LOCK TABLE account IN ACCESS EXCLUSIVE MODE")

        def act() -> None:
            with pytest.raises(Unreachable):
                fresh.processor.act("erase", works)

        worker = threading.Thread(target=act)
        worker.start()
        kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND wait_event_type = 'Lock'"
        while worker.is_alive():
            fresh.sql(kill, fresh.name)
            worker.join(0.1)
        blocker.rollback()
    assert fresh.dump() == before


# -- other ways to erase -------------------------------------------------------------------------------------------
def test_columns_can_be_emptied_and_the_row_kept(fresh: Bench, declared: dict[str, Any]) -> None:
    tables = {
        **declared["tables"],
        "drm_usage": {**declared["tables"]["drm_usage"], "action": "null_columns", "columns": ["detail"]},
    }
    fresh.settings = {**declared, "tables": tables}
    fresh.sql("ALTER TABLE drm_usage ALTER detail DROP NOT NULL, DROP CONSTRAINT drm_usage_account_id_fkey")
    fresh.account("1")
    fresh.add("drm_usage", usage_id="d", account_id="1", used_on=ANCHOR, detail="x")
    assert fresh.erase("1", ("drm_usage",)).outcome is Outcome.CONFIRMED_ABSENT
    assert fresh.sql("SELECT account_id, detail FROM drm_usage") == [("1", None)]


def test_anonymising_leaves_random_words_no_account_and_its_own_outcome(fresh: Bench, declared: dict[str, Any]) -> None:
    changed = {"action": "anonymise", "columns": ["detail"], "because": "aggregated_statistics_depend_on_the_row"}
    tables = {**declared["tables"], "drm_usage": {**declared["tables"]["drm_usage"], **changed}}
    fresh.settings = {**declared, "tables": tables}
    fresh.sql("ALTER TABLE drm_usage ALTER account_id DROP NOT NULL")
    fresh.account("1")
    for key in ("d1", "d2"):
        fresh.add("drm_usage", usage_id=key, account_id="1", used_on=ANCHOR, detail="same")
    result = fresh.erase("1", ("drm_usage",))
    assert (result.outcome, result.basis) == (Outcome.CONFIRMED_ANONYMISED, changed["because"])
    (one,), (two,) = fresh.sql("SELECT detail FROM drm_usage WHERE account_id IS NULL")
    assert len({one, two, "same"}) == 3


# -- what can be wrong ---------------------------------------------------------------------------------------------
def test_the_seeded_company_is_declared_completely(bench: Bench) -> None:
    bench.processor.check()


@pytest.mark.parametrize(
    ("ddl", "named"),
    [
        ("CREATE TABLE mailing (mailing_id text, email text)", r"mailing\.email"),
        ("CREATE TABLE copies (copy_id text, account_id text)", r"copies\.account_id"),
        ("CREATE TABLE badge (badge_id text, owner text REFERENCES account_profile)", r"badge\.owner"),
        ("CREATE MATERIALIZED VIEW people AS SELECT email AS e_mail FROM account_profile", r"people\.e_mail"),
        ("CREATE SCHEMA dw CREATE TABLE fact (phone text)", r"dw\.fact\.phone"),
        ("ALTER TABLE account ADD COLUMN contact_email text", r"account\.contact_email"),
        ("ALTER TABLE consent ADD COLUMN phone text", r"consent\.phone"),
    ],
)
def test_what_nobody_declared_is_named(fresh: Bench, ddl: str, named: str) -> None:
    fresh.sql(ddl)
    with pytest.raises(ConfigurationError, match=named):
        fresh.processor.check()


def test_a_declared_exception_passes(fresh: Bench) -> None:
    fresh.sql("CREATE TABLE mailing (mailing_id text, email text)")
    fresh.settings = {**fresh.settings, "impersonal": [*fresh.settings["impersonal"], "mailing.email"]}
    fresh.processor.check()


@pytest.mark.parametrize(
    ("ddl", "named"),
    [
        ("DROP TABLE cookie", "table cookie, which is not there"),
        ("ALTER TABLE payment DROP COLUMN payment_id", "table payment has no column payment_id"),
        ("ALTER TABLE cookie RENAME TO c; CREATE VIEW cookie AS SELECT * FROM c", "cookie"),
    ],
)
def test_what_is_declared_and_not_there_is_named(fresh: Bench, ddl: str, named: str) -> None:
    for statement in ddl.split(";"):
        fresh.sql(statement)
    with pytest.raises(ConfigurationError, match=named):
        fresh.processor.check()


@pytest.fixture
def weak_role(fresh: Bench) -> Iterator[Connection]:
    """A role that may read and delete everywhere, without owning anything."""
    role = f"r_{uuid4().hex[:10]}"
    fresh.sql(f"CREATE ROLE {role} LOGIN")
    fresh.sql(f"GRANT SELECT, DELETE, UPDATE ON ALL TABLES IN SCHEMA public TO {role}")
    yield Connection("own_database", login=role, schema=fresh.name, extra={"host": fresh.postgres.socket_dir})
    fresh.sql(f"DROP OWNED BY {role}")
    fresh.sql(f"DROP ROLE {role}")


def test_a_role_with_the_two_rights_is_enough(fresh: Bench, weak_role: Connection) -> None:
    Processor(Site(weak_role, fresh.settings, ANCHOR)).check()


def test_a_role_that_may_not_delete_is_refused(fresh: Bench, weak_role: Connection) -> None:
    fresh.sql(f"REVOKE DELETE ON cookie FROM {weak_role.login}")
    with pytest.raises(Refused, match="cookie"):
        Processor(Site(weak_role, fresh.settings, ANCHOR)).check()


def test_row_security_that_would_hide_rows_is_refused(fresh: Bench, weak_role: Connection) -> None:
    fresh.sql("ALTER TABLE cookie ENABLE ROW LEVEL SECURITY")
    with pytest.raises(ConfigurationError, match="row security hides rows of cookie"):
        Processor(Site(weak_role, fresh.settings, ANCHOR)).check()


def test_a_database_that_is_down_is_unreachable(bench: Bench) -> None:
    nowhere = Connection("own_database", host="127.0.0.1", port=9, login="x", schema="x")
    with pytest.raises(Unreachable):
        Processor(Site(nowhere, bench.settings, ANCHOR)).locate([bench.subject("1", ACCOUNT)])


def test_our_own_schema_is_refused(bench: Bench) -> None:
    with pytest.raises(ConfigurationError, match="never erased"):
        Processor(Site(bench.connection, {**bench.settings, "schema": "retention"}, ANCHOR))


def test_no_error_quotes_a_person(fresh: Bench) -> None:
    _with_records(fresh)
    fresh.sql("ALTER TABLE account_profile ADD CHECK (name IS NOT NULL)")
    settings = dict(fresh.settings)
    settings["tables"] = {
        **settings["tables"],
        "account_profile": {
            "dataset": "account_profile", "key": "account_id", "action": "null_columns", "columns": ["name", "email"],
        },
    }  # fmt: skip
    fresh.settings = settings
    result = fresh.erase("1", ACCOUNT)
    assert (result.outcome, result.code) == (Outcome.FAILED, "constraint")
    assert "표본" not in repr(result)


# -- the whole company ---------------------------------------------------------------------------------------------
def test_nobody_else_of_the_company_loses_a_row(bench: Bench) -> None:
    made = company.generate(seed=7, count=200, anchor=ANCHOR)
    engine = database.connect(bench.connection)
    company.load(engine, made)
    engine.dispose()
    gone = {p.account_id for p in made.people if p.case.startswith("terminated_")}
    everything = tuple(dict.fromkeys(t["dataset"] for t in bench.settings["tables"].values()))
    others = {
        table: {r for r in rows if not any(f"{c}{a}{d}" in r[0] for a in gone for c in "(," for d in ",)")}
        for table, rows in bench.dump().items()
    }
    _, works = bench.locate(*(bench.subject(a, everything) for a in sorted(gone)))
    bench.processor.act("erase", works)
    assert {r.outcome for r in bench.processor.read_back(works)} == {Outcome.CONFIRMED_ABSENT}
    left = {table: set(rows) for table, rows in bench.dump().items()}
    for table in set(left) - {"audience_member", "clarity_identity", "paper_register"}:
        assert left[table] == others[table], table


def test_after_the_night_nothing_due_and_unheld_is_left_and_planned_again(bench: Bench) -> None:
    schedule = schedules.load()
    engine = database.connect(bench.connection)
    company.load(engine, company.generate(seed=7, count=200, anchor=ANCHOR))
    accounts = Accounts(engine, bench.settings)

    def due() -> list[PlannedDisposal]:
        facts = list(accounts.due(schedule, ANCHOR))
        holds = accounts.computed_holds([f.account_id for f in facts])
        plans = [plan(f, schedule, holds.get(f.account_id, []), ANCHOR) for f in facts]
        return [d for p in plans for d in p.disposals if d.processor == "own_database"]

    before = due()
    subjects = [
        bench.subject(d.account_id, d.datasets, event=d.trigger_event, day=d.trigger_date)
        for d in before
        if not d.held_by
    ]
    _, works = bench.locate(*subjects)
    processor = bench.processor
    processor.extract(works)
    results = processor.act("erase", [w for w in works if processor.steps(w)])
    assert {r.outcome for r in results} == {Outcome.ACCEPTED}
    assert {r.outcome for r in processor.read_back(works)} == {Outcome.CONFIRMED_ABSENT}
    again = due()
    engine.dispose()
    assert [d for d in again if not d.held_by] == []
    assert {(d.account_id, d.scope_id) for d in again} == {(d.account_id, d.scope_id) for d in before if d.held_by}
