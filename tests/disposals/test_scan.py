"""The self-scan against real PostgreSQL: each kind of needle in each place is found and named without its value."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, func, insert, select, text, update

from include import database
from include.accounts import Identifiers
from include.database import disposal
from include.database.scan import scan_key, scan_needle, self_scan
from include.disposals import Context, locators
from include.disposals.scan import needles
from include.disposals.scan.search import Scanned, gaps, scan
from include.disposals.scan.tokens import Kind
from include.errors import ConfigurationError
from include.sandbox.servers import PostgresServer
from tests.disposals.conftest import Bench
from tests.disposals.fakes import Place

NOW = datetime.now(UTC)
PERSON = {
    Kind.EMAIL: "sample.person@example.com",
    Kind.NAME: "김표본",
    Kind.PHONE: "010-0000-0193",
    Kind.LOGIN: "login0193",
    Kind.OBJECT: "cus_s0000111x000",
}
TABLES = {
    # Airflow's places, by the columns a text can stand in and the type they have there.
    "xcom": "value jsonb", "rendered_task_instance_fields": "rendered_fields json", "dag_run": "conf jsonb, note text",
    "dag_run_note": "content varchar(1000)", "task_instance_note": "content varchar(1000)",
    "hitl_detail": "subject text, body text, params json, params_input json, options json",
    "log": "extra text, event text",
    "asset_event": "extra json", "task_state_store": "value text", "task_instance_history": "rendered_map_index text",
}  # fmt: skip


@pytest.fixture
def airflow(postgres: PostgresServer) -> Iterator[Engine]:
    """A database with Airflow's tables, as far as a scan reads them; a real one is scanned in tests/e2e."""
    name = f"airflow_{uuid4().hex[:12]}"
    postgres.create_database(name)
    engine = database.connect(postgres.connection("airflow_db", name))
    with engine.begin() as connection:
        for table, columns in TABLES.items():
            connection.execute(text(f"CREATE TABLE {table} (id int, {columns})"))
        connection.execute(
            text(
                "CREATE TABLE task_instance (dag_id text, run_id text, task_id text, pid int, try_number int,"
                " start_date timestamptz, end_date timestamptz, rendered_map_index text)"
            )
        )
        connection.execute(text("CREATE TABLE ab_user (email text, last_name text)"))
    yield engine
    engine.dispose()
    postgres.drop_database(name)


class World:
    """One person located at a place and erased there, and everything a scan reads."""

    def __init__(self, context: Context, bench: Bench, airflow: Engine, logs: Path) -> None:
        self.context, self.bench, self.airflow, self.logs = context, bench, airflow, logs
        person = Identifiers(
            emails=(PERSON[Kind.EMAIL],),
            login_id=PERSON[Kind.LOGIN],
            name=PERSON[Kind.NAME],
            phones=(PERSON[Kind.PHONE],),
        )
        context.accounts.identifiers = lambda ids: dict.fromkeys(ids, person)  # type: ignore[method-assign]
        self.place = Place(records={"acc-1": {"bin", "record"}})
        self.disposal = bench.plan("acc-1")
        bench.locate(self.place, self.disposal)
        with context.engine.begin() as connection:
            locators.save(
                connection, context, "found", {self.disposal: {"customers": [PERSON[Kind.OBJECT]], "key": "acc-1"}}
            )
        (logs / "dag_id=nightly_retention" / "run_id=r1" / "task_id=begin").mkdir(parents=True)
        self.log("attempt=1.log", "Task started")

    def log(self, name: str, line: str) -> Path:
        """Write one line into a task's log."""
        path = self.logs / "dag_id=nightly_retention" / "run_id=r1" / "task_id=begin" / name
        with path.open("a") as file:
            file.write(line + "\n")
        return path

    def erase(self) -> None:
        """Carry the person's disposal to its proof."""
        self.bench.advance(self.place, self.disposal)
        assert self.bench.row(self.disposal).closed_on is not None

    def scan(self, *, whole: bool = True, later: float = 0) -> Scanned | None:
        """Scan now."""
        assert self.context.run_id
        return scan(
            self.context, self.context.run_id, airflow=self.airflow, logs=self.logs, whole=whole,
            now=datetime.now(UTC) + timedelta(seconds=later),
        )  # fmt: skip

    def count(self, table: Any) -> int:
        """Return how many rows a table has."""
        with self.context.engine.connect() as connection:
            return int(connection.execute(select(func.count()).select_from(table)).scalar_one())


@pytest.fixture
def world(context: Context, bench: Bench, airflow: Engine, tmp_path: Path) -> World:
    """The world."""
    return World(context, bench, airflow, tmp_path / "logs")


def clean(scanned: Scanned | None) -> bool:
    """Whether a scan was made and found nothing."""
    return scanned is not None and scanned.code == "clean"


def test_a_clean_scan_is_recorded_and_forgets_whom_it_looked_for(world: World) -> None:
    world.erase()
    assert world.count(scan_needle) == 1
    assert clean(scanned := world.scan())
    assert scanned is not None
    assert scanned.counts["needles"] >= 5
    assert scanned.counts["airflow.tables"] == len(TABLES) + 1  # staff stay out
    assert scanned.counts["own.tables"] > 30
    assert world.count(scan_needle) == 0
    (entry,) = [e for e in world.bench.entries() if e["event"] == "self_scanned"]
    assert (entry["code"], entry["counts"]["hits"]) == ("clean", 0)
    assert world.context.run_id
    assert gaps(world.context, world.context.run_id, always=True) == []


def test_an_open_disposal_is_looked_for_until_it_is_closed(world: World) -> None:
    assert clean(world.scan())
    assert world.count(scan_needle) == 1
    world.erase()
    assert clean(world.scan())
    assert world.count(scan_needle) == 0


def test_nothing_of_the_person_is_stored_to_look_for_it(world: World) -> None:
    with world.context.engine.connect() as connection:
        stored = bytes(connection.execute(select(scan_needle.c.digests)).scalar_one())
        wrapped = bytes(connection.execute(select(scan_key.c.wrapped_key)).scalar_one())
    assert not [v for v in PERSON.values() if v.encode() in stored]
    assert len(stored) % needles.SIZE == 0
    key = world.context.wrapper.unwrap(wrapped, "scan:2026-11")
    assert needles.mac(key, "email", PERSON[Kind.EMAIL]) in stored
    assert needles.mac(bytes(32), "email", PERSON[Kind.EMAIL]) not in stored


PLACES = [(t, c.split()[0]) for t, columns in TABLES.items() for c in columns.split(", ")]


@pytest.mark.parametrize("kind", list(Kind))
def test_every_kind_of_needle_is_found_in_every_place_of_airflow(world: World, kind: Kind) -> None:
    world.erase()
    told = {"deep": [{"words": f"about {PERSON[kind]}."}]}
    with world.airflow.begin() as connection:
        for table, column in PLACES:
            value = told["deep"][0]["words"] if column in ("content", "note", "subject", "event") else json.dumps(told)
            connection.execute(text(f"INSERT INTO {table} (id, {column}) VALUES (1, :value)"), {"value": value})
    scanned = world.scan()
    assert scanned is not None
    assert {(h.kind, h.place.split()[0]) for h in scanned.hits} == {(kind.value, f"public.{t}.{c}") for t, c in PLACES}
    assert not [v for v in PERSON.values() if v in str(scanned)]


@pytest.mark.parametrize("kind", list(Kind))
def test_every_kind_is_found_in_a_log_with_file_and_line(world: World, kind: Kind) -> None:
    world.erase()
    world.log("attempt=2.log", json.dumps({"event": f"Returned value was: {PERSON[kind]}", "level": "info"}))
    scanned = world.scan()
    assert scanned is not None
    (hit,) = scanned.hits
    assert str(hit) == f"dag_id=nightly_retention/run_id=r1/task_id=begin/attempt=2.log:1: {kind.value}"
    assert world.context.run_id
    assert gaps(world.context, world.context.run_id, always=True) == [
        "personal data in 1 places of logs or tables, named by task self_scan"
    ]


def test_a_finding_is_searched_for_again_until_it_is_gone(world: World) -> None:
    world.erase()
    leak = world.log("attempt=2.log", PERSON[Kind.EMAIL])
    first, second = world.scan(), world.scan(whole=False, later=3600)
    assert first is not None
    assert second is not None
    assert (first.found, second.found) == (1, 1)
    leak.unlink()
    assert clean(world.scan())


@pytest.mark.parametrize("kind", list(Kind))
def test_every_kind_is_found_in_our_own_tables(world: World, kind: Kind) -> None:
    world.erase()
    columns = ("code", "basis", "account_id")
    with world.context.engine.begin() as connection:
        connection.execute(update(disposal).values(dict.fromkeys(columns, f"x {PERSON[kind]}")))
    scanned = world.scan()
    assert scanned is not None
    assert {(h.kind, h.place.split()[0]) for h in scanned.hits} == {
        (kind.value, f"retention.disposal.{c}") for c in columns
    }


def test_it_is_found_in_bytes_too_where_they_are_text(world: World) -> None:
    """No table is left out for being encrypted: what is readable in it is read."""
    world.erase()
    other = world.bench.plan("acc-2")
    with world.context.engine.begin() as connection:
        connection.execute(
            insert(database.locator).values(
                disposal_id=UUID(other), kind="found", wrapped_key=b"\xff\x00", nonce=b"\x80",
                ciphertext=b"\x80\x00\x01" + PERSON[Kind.EMAIL].encode() + b"\x00\xfe",
            )
        )  # fmt: skip
    scanned = world.scan()
    assert scanned is not None
    assert [h.place.split()[0] for h in scanned.hits] == ["retention.locator.ciphertext"]


def test_the_encrypted_locator_of_an_open_disposal_is_no_finding(world: World) -> None:
    assert world.count(database.locator) == 1
    assert clean(world.scan())


def test_opaque_account_ids_may_stand_in_airflow(world: World) -> None:
    world.erase()
    with world.airflow.begin() as connection:
        connection.execute(text("""INSERT INTO dag_run (id, conf) VALUES (1, '{"account_id": "acc-1"}')"""))
    assert clean(world.scan())


def test_a_vendor_sdk_that_logs_at_debug_would_be_caught(world: World) -> None:
    """urllib3 at DEBUG writes the path of every request; so do the SDKs built on it."""
    world.erase()
    handler = logging.FileHandler(world.log("attempt=3.log", ""))
    logger = logging.getLogger("urllib3.connectionpool")
    before = logger.level
    logger.setLevel(logging.DEBUG)
    logger.addHandler(handler)
    try:
        logger.debug(
            '%s://%s:%s "%s %s %s" %s %s', "http", "127.0.0.1", 9001, "GET",
            "/api/v2/search?query=email%3Asample.person%40example.com", "HTTP/1.1", 200, None,
        )  # fmt: skip
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)
        handler.close()
    scanned = world.scan()
    assert scanned is not None
    assert [h.kind for h in scanned.hits] == ["email"]


def test_a_name_in_a_file_name_is_found_and_not_repeated(world: World) -> None:
    world.erase()
    world.log(f"{PERSON[Kind.LOGIN]}.log", f"and {PERSON[Kind.EMAIL]}")
    scanned = world.scan()
    assert scanned is not None
    assert [h.kind for h in scanned.hits] == ["login", "email"]
    assert not [v for v in PERSON.values() if v in str(scanned)]


def test_logs_that_lie_elsewhere_make_the_scan_fail_and_keep_what_it_looks_for(world: World) -> None:
    world.erase()
    with world.airflow.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO task_instance VALUES ('nightly_retention', 'r1', 'zendesk.locate', 7, 1, now(), now(), '')"
            )
        )
    scanned = world.scan()
    assert scanned is not None
    assert (scanned.code, scanned.unseen) == ("logs_not_seen", ("nightly_retention/zendesk.locate of r1",))
    assert world.count(scan_needle) == 1


def test_what_may_stand_elsewhere_is_no_finding_a_box_in_its_order_and_an_end_users_id_in_its_form(
    world: World,
) -> None:
    found = {
        "boxes": ["B-2019-0042"], "places": [{"box": "B-2019-0042", "paper": "PAPER-2019-0042-7"}],
        "person": "viewer-0012-1", "end_user": "viewer-0012-1",
    }  # fmt: skip
    with world.context.engine.begin() as connection:
        locators.save(connection, world.context, "found", {world.disposal: found})
    world.erase()
    with world.context.engine.begin() as connection:
        connection.execute(update(disposal).values(basis="B-2019-0042 and viewer-0012-1"))
    assert clean(world.scan())


def test_what_a_place_calls_a_paper_is_still_looked_for(world: World) -> None:
    with world.context.engine.begin() as connection:
        locators.save(
            connection, world.context, "found", {world.disposal: {"places": [{"paper": "PAPER-2019-0042-7"}]}}
        )
    world.erase()
    with world.context.engine.begin() as connection:
        connection.execute(update(disposal).values(basis="PAPER-2019-0042-7"))
    scanned = world.scan()
    assert scanned is not None
    assert {h.kind for h in scanned.hits} == {"object"}


def test_an_hourly_run_with_nobody_to_look_for_has_scanned_whoever_is_closed_after_it(world: World) -> None:
    assert world.context.run_id
    assert world.scan(whole=False) is None
    world.erase()
    assert gaps(world.context, world.context.run_id, always=False) == []
    assert "self_scanned" not in [e["event"] for e in world.bench.entries()]


def test_a_task_that_ended_without_a_worker_has_its_older_log(world: World) -> None:
    """An answered question ends now; what its worker wrote, it wrote before the last scan."""
    world.erase()
    old = world.logs / "dag_id=erase_account" / "run_id=r2" / "task_id=approve" / "attempt=1.log"
    old.parent.mkdir(parents=True)
    old.write_text("asked\n")
    os.utime(old, (0, 0))
    with world.airflow.begin() as connection:
        connection.execute(
            text("INSERT INTO task_instance VALUES ('erase_account', 'r2', 'approve', 7, 1, now(), now(), '')")
        )
    scanned = world.scan(whole=False)
    assert scanned is not None
    assert (scanned.code, scanned.unseen) == ("clean", ())


def test_a_table_the_role_may_not_read_is_named_and_nothing_is_recorded(world: World, postgres: PostgresServer) -> None:
    world.erase()
    role = f"reader_{uuid4().hex[:8]}"
    with world.airflow.begin() as connection:
        connection.execute(text(f"CREATE ROLE {role} LOGIN"))
        connection.execute(text(f"GRANT SELECT ON dag_run TO {role}"))
    name = world.airflow.url.database or ""
    engine = database.connect(replace(postgres.connection("airflow_db", name), login=role))
    assert world.context.run_id
    with pytest.raises(ConfigurationError, match=r"may not read .*xcom.*Grant SELECT"):
        scan(world.context, world.context.run_id, airflow=engine, logs=world.logs, whole=True, now=NOW)
    engine.dispose()
    assert world.count(self_scan) == 0
    assert gaps(world.context, world.context.run_id, always=False) == ["the self-scan did not finish"]


def test_an_hourly_run_that_erased_nobody_scans_nothing(world: World) -> None:
    assert world.scan(whole=False) is None
    assert world.context.run_id
    assert gaps(world.context, world.context.run_id, always=False) == []


def test_an_hourly_scan_reads_only_the_logs_written_since(world: World) -> None:
    assert clean(world.scan(later=3600))
    old = world.log("attempt=2.log", PERSON[Kind.EMAIL])
    new = world.log("attempt=3.log", PERSON[Kind.PHONE])
    soon = (datetime.now(UTC) + timedelta(seconds=3700)).timestamp()
    os.utime(new, (soon, soon))
    world.erase()
    hourly, nightly = world.scan(whole=False, later=3601), world.scan(later=3602)
    assert hourly is not None
    assert nightly is not None
    assert [h.place.rpartition("/")[2] for h in hourly.hits] == ["attempt=3.log:1"]
    assert [h.place.rpartition("/")[2] for h in nightly.hits] == [f"{old.name}:1", "attempt=3.log:1"]


def test_a_polled_job_does_not_grow_what_is_looked_for(world: World) -> None:
    body = {world.disposal: {"customers": [PERSON[Kind.OBJECT]], "job": "750uQt5bkZThIUgQQN"}}
    sizes = []
    for _ in range(3):
        with world.context.engine.begin() as connection:
            locators.save(connection, world.context, "found", body)
            sizes.append(len(bytes(connection.execute(select(scan_needle.c.digests)).scalar_one())))
    assert sizes[0] == sizes[2]


def test_what_a_batch_shares_is_nobodys_own(world: World) -> None:
    ids = [world.bench.plan(f"acc-{n}") for n in range(10, 14)]
    shared = {i: {"segments": {"SEGNEWSLETTER0001": [f"person{n}@example.com"]}} for n, i in enumerate(ids)}
    with world.context.engine.begin() as connection:
        locators.save(connection, world.context, "found", shared)
        known = needles.load(connection, world.context.wrapper)
    assert known.hold("email", "person2@example.com")
    assert not known.hold("object", "SEGNEWSLETTER0001")


def test_a_key_is_destroyed_with_its_last_digest(world: World) -> None:
    world.erase()
    world.context = replace(world.context, as_of=world.context.as_of.replace(month=12, day=1))
    assert clean(world.scan())
    assert world.count(scan_key) == 0
