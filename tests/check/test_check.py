"""The checker: a whole setup has no missing line, and each fault gives its own line that says what to do."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import insert, text

from include import check, database, keys
from include.check import (
    Line,
    Setup,
    State,
    airflow_database,
    databases,
    identities,
    optional,
    places,
    secret_keys,
    stores,
)
from include.check.sources import absent
from include.connections import Connection, s3_client
from include.disposals import guards
from include.disposals.context import Decision
from include.errors import ConfigurationError
from include.install import grant_reader
from include.keys import LocalWrapper
from include.policy import schedule as schedules
from include.sandbox import adroll, clarity, company, salesforce, zendesk
from include.sandbox.servers import PostgresServer, S3Server
from include.sandbox.stack import airflow_connection
from include.sandbox.standin import Fault, Serving
from include.sandbox.stripe import StandIn as Stripe

NOW = datetime.now(UTC)
NOVEMBER = datetime(2026, 11, 26, 3, 0, tzinfo=UTC)
SCHEDULE = schedules.load()


READER = "airflow_reader_of_check"


class Whole:
    """A setup in which nothing is missing; a test takes one thing away."""

    def __init__(self, connections: dict[str, Connection], standins: dict[str, Any]) -> None:
        self.connections, self.standins = connections, standins

    def setup(self, *, now: datetime | None = None, without: str = "", **changes: Connection) -> Setup:
        known = {k: v for k, v in {**self.connections, **changes}.items() if k != without}

        def connection(name: str) -> Connection:
            if name not in known:
                raise absent(name)
            return known[name]

        return Setup(connection=connection, now=now or datetime.now(UTC))  # locks run on the store's own clock


@pytest.fixture(scope="module")
def whole(postgres: PostgresServer, s3: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    ours, theirs, airflow = (f"c_{uuid4().hex[:8]}" for _ in range(3))
    postgres.create_database(ours, template="template_retention")
    postgres.create_database(theirs)
    postgres.create_database(airflow)
    owner = postgres.connection("airflow_db_clean", airflow)
    run_sql(owner, "; ".join(f"CREATE TABLE {t} (words text)" for t in ("xcom", "dag_run", "log", "ab_user")))
    grant_reader(owner, READER)
    engine = database.connect(postgres.connection("accounts_db", theirs))
    company.create(engine)
    engine.dispose()
    engine = database.connect(postgres.connection("retention_db", ours))
    guards.approve_schedule(
        Decision(engine, SCHEDULE, NOW.date()), role=SCHEDULE.privacy_officer_role, pseudonym="e-0001"
    )
    engine.dispose()
    folder = tmp_path_factory.mktemp("keys")
    for path in ("signing.key", "kek.key", f"tags/{NOW.year}.key", f"tags/{NOW.year + 1}.key"):
        keys.create(folder / path)
    with ExitStack() as stack:
        kinds = {
            "salesforce": salesforce.StandIn, "stripe": Stripe, "zendesk": zendesk.StandIn,
            "adroll": adroll.StandIn, "clarity": clarity.StandIn,
        }  # fmt: skip
        served = {n: stack.enter_context(Serving(kind())) for n, kind in kinds.items()}
        at = {n: {"endpoint_url": s.url} for n, s in served.items()}
        made = [
            postgres.connection("retention_db", ours),
            replace(postgres.connection("airflow_db", airflow), login=READER),
            owner,
            *(postgres.connection(n, theirs) for n in ("accounts_db", "own_database", "paper")),
            s3.connection("archive_store", "archiver", bucket="archive"),
            s3.connection("evidence_store", "notary", bucket="evidence"),
            s3.connection("s3", "eraser", bucket="live"),
            Connection("evidence_signing", extra={"file": str(folder / "signing.key"), "origin": "evidence.example/t"}),
            Connection("evidence_tags", extra={"folder": str(folder / "tags")}),
            Connection("archive_kek", extra={"file": str(folder / "kek.key")}),
            Connection(
                "salesforce",
                extra=at["salesforce"]
                | {
                    "domain": "sandbox.my", "consumer_key": salesforce.CONSUMER_KEY,
                    "consumer_secret": salesforce.CONSUMER_SECRET, "version": "67.0",
                },
            ),
            Connection("stripe", password="sk_test_sample", extra=at["stripe"]),
            Connection(
                "zendesk", login="agent@example.com", password=zendesk.API_TOKEN,
                extra=at["zendesk"] | {"subdomain": "sandbox"},
            ),
            Connection(
                "adroll", password=adroll.TOKEN,
                extra=at["adroll"] | {"apikey": adroll.API_KEY, "advertisable": adroll.ADVERTISABLE},
            ),
            Connection("clarity", password=clarity.TOKEN, extra=at["clarity"]),
        ]  # fmt: skip
        yield Whole({c.name: c for c in made}, {n: s.standin for n, s in served.items()})
    for name in (ours, theirs, airflow):
        postgres.drop_database(name)


@pytest.fixture
def retention(postgres: PostgresServer) -> Iterator[Connection]:
    """A migrated database of ours that a test may spoil."""
    name = f"c_{uuid4().hex[:8]}"
    postgres.create_database(name, template="template_retention")
    yield postgres.connection("retention_db", name)
    postgres.drop_database(name)


def bad(lines: Iterator[Line]) -> list[str]:
    """Return the lines that stand in the way, as printed."""
    return [str(line) for line in lines if not line.good]


def run_sql(connection: Connection, statement: str) -> None:
    with psycopg.connect(
        host=connection.extra["host"], user="postgres", dbname=connection.schema, autocommit=True
    ) as session:
        session.execute(statement.encode())


def test_a_whole_setup_has_no_missing_line(whole: Whole) -> None:
    lines = list(check.lines(whole.setup()))
    assert bad(iter(lines)) == []
    looked_at = {line.place for line in lines}
    assert looked_at == {*whole.connections, "schedule", "smtp_default", "evidence_tsa"}
    assert {line.place for line in lines if line.state is State.UNSET} == {"smtp_default", "evidence_tsa"}


def test_looking_twice_leaves_the_same_objects_and_rows(whole: Whole, s3: S3Server) -> None:
    def everything() -> Any:
        client = s3_client(s3.connection("s3", "admin"))
        found = {}
        for bucket in ("live", "archive", "evidence"):
            page = client.list_object_versions(Bucket=bucket, Prefix="retention-check/")
            found[bucket] = [v["VersionId"] for kind in ("Versions", "DeleteMarkers") for v in page.get(kind, ())]
        return found, {n: list(s.store.dump()) for n, s in whole.standins.items()}

    list(check.lines(whole.setup()))
    before = everything()
    assert not before[0]["archive"] and not before[0]["live"] and len(before[0]["evidence"]) == 1
    list(check.lines(whole.setup()))
    assert everything() == before


@pytest.mark.parametrize(
    "name",
    [
        "retention_db", "accounts_db", "own_database", "paper", "archive_store", "evidence_store", "s3",
        "evidence_signing", "evidence_tags", "archive_kek", "salesforce", "stripe", "zendesk", "adroll", "clarity",
    ],
)  # fmt: skip
def test_a_connection_that_is_not_there_is_named_with_the_way_to_create_it(name: str, whole: Whole) -> None:
    room = {
        "retention_db": databases, "accounts_db": databases, "archive_store": stores, "evidence_store": stores,
        "evidence_signing": secret_keys, "evidence_tags": secret_keys, "archive_kek": secret_keys,
    }.get(name, places)  # fmt: skip
    setup = whole.setup(without=name)
    lines = bad(room.lines(setup) if room is secret_keys else room.lines(setup, SCHEDULE))  # type: ignore[attr-defined]
    assert any(
        line.startswith(f"missing  {name}: the connection exists") and f"AIRFLOW_CONN_{name.upper()}" in line
        for line in lines
    )


# -- databases -------------------------------------------------------------------------------------------------------
def test_a_schema_behind_this_version_is_found(whole: Whole, retention: Connection) -> None:
    run_sql(retention, "UPDATE retention.alembic_version SET version_num = '0001'")
    (line,) = bad(databases.lines(whole.setup(retention_db=retention), SCHEDULE))
    assert "stands at 0001" in line
    assert "include.install" in line


def test_a_database_without_our_schema_is_found(whole: Whole) -> None:
    bare = replace(whole.connections["accounts_db"], name="retention_db")
    (line,) = bad(databases.lines(whole.setup(retention_db=bare), SCHEDULE))
    assert "schema retention is not there" in line


def test_a_right_the_role_lacks_is_named(whole: Whole, retention: Connection) -> None:
    role = f"r_{uuid4().hex[:8]}"
    run_sql(
        retention,
        f"CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA retention TO {role};"
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA retention TO {role};"
        f"REVOKE UPDATE ON retention.disposal FROM {role}",
    )
    lines = bad(databases.lines(whole.setup(retention_db=replace(retention, login=role)), SCHEDULE))
    assert [line for line in lines if "the role lacks retention.disposal UPDATE." in line]


def test_a_schedule_nobody_approved_is_found(whole: Whole, retention: Connection) -> None:
    (line,) = bad(databases.lines(whole.setup(retention_db=retention), SCHEDULE))
    assert "is not approved" in line
    assert "approve-schedule" in line


def test_a_disabled_guard_over_entries_is_found(whole: Whole, retention: Connection) -> None:
    run_sql(retention, "ALTER TABLE retention.entry DISABLE TRIGGER ALL")
    assert any("the trigger that refuses changes of entries" in line for line in bad(
        databases.lines(whole.setup(retention_db=retention), SCHEDULE)
    ))  # fmt: skip


def test_a_database_that_forgets_commits_in_a_crash_is_found(whole: Whole, retention: Connection) -> None:
    run_sql(retention, f'ALTER DATABASE "{retention.schema}" SET synchronous_commit = off')
    found = bad(databases.lines(whole.setup(retention_db=retention), SCHEDULE))
    assert any("synchronous_commit is off" in line for line in found)


def test_a_database_that_is_down_says_so(whole: Whole, tmp_path: Path) -> None:
    away = replace(whole.connections["retention_db"], extra={"host": str(tmp_path)})
    (line,) = bad(databases.lines(whole.setup(retention_db=away), SCHEDULE))
    assert "the database does not answer" in line


@pytest.fixture
def theirs(postgres: PostgresServer) -> Iterator[Connection]:
    """A company's database that a test may spoil."""
    name = f"c_{uuid4().hex[:8]}"
    postgres.create_database(name)
    engine = database.connect(postgres.connection("accounts_db", name))
    company.create(engine)
    engine.dispose()
    yield postgres.connection("accounts_db", name)
    postgres.drop_database(name)


def test_a_declared_column_that_is_missing_is_named(whole: Whole, theirs: Connection) -> None:
    run_sql(theirs, "ALTER TABLE billing_contact RENAME account_id TO account_number")
    (line,) = bad(databases.lines(whole.setup(accounts_db=theirs), SCHEDULE))
    assert "a column that the schedule declares is missing" in line
    assert "account_id" in line


def test_a_list_that_cannot_be_cleared_is_named(whole: Whole, theirs: Connection) -> None:
    role = f"r_{uuid4().hex[:8]}"
    run_sql(theirs, f"CREATE ROLE {role} LOGIN; GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")
    (line,) = bad(databases.lines(whole.setup(accounts_db=replace(theirs, login=role)), SCHEDULE))
    assert "lacks DELETE on audience_member" in line
    assert "GRANT DELETE" in line


def test_an_undeclared_column_that_promises_personal_data_is_found(whole: Whole, theirs: Connection) -> None:
    run_sql(theirs, "CREATE TABLE newsletter (id int, email text)")
    lines = bad(places.lines(whole.setup(own_database=replace(theirs, name="own_database")), SCHEDULE))
    assert len(lines) == 1
    assert "nothing says what happens to newsletter.email" in lines[0]


# -- keys ------------------------------------------------------------------------------------------------------------
def test_a_key_file_others_may_read_is_refused(whole: Whole, tmp_path: Path) -> None:
    path = keys.create(tmp_path / "kek.key")
    path.chmod(0o640)
    (line,) = bad(secret_keys.lines(whole.setup(archive_kek=Connection("archive_kek", extra={"file": str(path)}))))
    assert f"chmod 0600 {path}" in line


def test_a_key_that_wrapped_nothing_of_what_is_stored_is_found(whole: Whole, retention: Connection) -> None:
    engine = database.connect(retention)
    other, one = LocalWrapper(bytes(32)), uuid4()
    with engine.begin() as session:
        session.execute(text("SET session_replication_role = replica"))
        session.execute(
            insert(database.locator).values(
                disposal_id=one, kind="found", nonce=b"", ciphertext=b"",
                wrapped_key=other.wrap(bytes(32), f"locator:{one}"),
            )
        )  # fmt: skip
    engine.dispose()
    (line,) = bad(secret_keys.lines(whole.setup(retention_db=retention)))
    assert line.startswith("missing  archive_kek")
    assert "another key-encryption key wrapped it" in line


def test_a_signing_key_that_did_not_sign_the_log_is_found(whole: Whole, retention: Connection) -> None:
    engine = database.connect(retention)
    with engine.begin() as session:
        session.execute(
            insert(database.checkpoint).values(
                size=1, root=bytes(32), frontier=[],
                note="evidence.example/t\n1\n" + "A" * 43 + "=\n\n\u2014 evidence.example/t " + "A" * 90 + "\n",
            )
        )  # fmt: skip
    engine.dispose()
    (line,) = bad(secret_keys.lines(whole.setup(retention_db=retention)))
    assert "signed with another key" in line


def test_next_years_tag_key_is_asked_for_in_december(whole: Whole, tmp_path: Path) -> None:
    keys.create(tmp_path / "2026.key")
    tags = Connection("evidence_tags", extra={"folder": str(tmp_path)})
    assert bad(secret_keys.lines(whole.setup(evidence_tags=tags, now=NOVEMBER))) == []
    (line,) = bad(secret_keys.lines(whole.setup(evidence_tags=tags, now=datetime(2026, 12, 1, tzinfo=UTC))))
    assert "2027.key" in line
    (late, _) = bad(secret_keys.lines(whole.setup(evidence_tags=tags, now=datetime(2027, 12, 1, tzinfo=UTC))))
    assert "no key for 2027" in late


# -- buckets ---------------------------------------------------------------------------------------------------------
def test_a_bucket_without_locks_is_found(whole: Whole, s3: S3Server) -> None:
    for name in ("archive_store", "evidence_store"):
        lines = bad(stores.lines(whole.setup(**{name: s3.connection(name, "admin", bucket="live")}), SCHEDULE))
        assert any("Object Lock is not enabled" in line for line in lines)
        assert any("Make them the same" in line for line in lines)


def test_a_role_without_the_right_to_lock_is_found(whole: Whole, s3: S3Server) -> None:
    """The eraser may write in `live` and has none of the lock rights there."""
    store = s3.connection("evidence_store", "eraser", bucket="live")
    lines = bad(stores.lines(whole.setup(evidence_store=store), SCHEDULE))
    assert any(
        "a name that is not there ended with AccessDenied" in line and "s3:PutObjectRetention" in line for line in lines
    )


def test_a_store_that_is_down_is_unknown_and_not_missing(whole: Whole) -> None:
    with closing(socket.socket()) as silent:  # bound and never listening: nobody else can answer there
        silent.bind(("127.0.0.1", 0))
        nowhere = {"endpoint_url": f"http://127.0.0.1:{silent.getsockname()[1]}", "bucket": "evidence"}
        down = replace(whole.connections["evidence_store"], extra=nowhere)
        lines = bad(stores.lines(whole.setup(evidence_store=down), SCHEDULE))
    assert lines
    assert [line for line in lines if not line.startswith("unknown")] == []


@pytest.mark.parametrize(
    ("name", "bucket", "forbidden"),
    [
        ("s3", "live", {"archive", "evidence"}),
        ("archive_store", "archive", {"live", "evidence"}),
        ("evidence_store", "evidence", {"live", "archive"}),
    ],
)
def test_an_identity_that_may_delete_where_it_must_not_is_found_by_trying(
    name: str, bucket: str, forbidden: set[str], whole: Whole, s3: S3Server
) -> None:
    setup = whole.setup(**{name: s3.connection(name, "admin", bucket=bucket)})
    found = [line for line in identities.lines(setup, SCHEDULE) if not line.good]
    assert {line.what.rpartition(" ")[2] for line in found} == forbidden
    assert all("s3:DeleteObjectVersion" in line.words and line.place == name for line in found)


def test_a_try_at_a_bucket_that_is_not_there_proves_nothing(whole: Whole, s3: S3Server) -> None:
    store = s3.connection("archive_store", "archiver", bucket="no-such-bucket")
    eraser = s3.connection("s3", "admin", bucket="live")
    lines = bad(identities.lines(whole.setup(archive_store=store, s3=eraser), SCHEDULE))
    assert any("no-such-bucket" in line and "nothing is proven" in line for line in lines)


# -- processors ------------------------------------------------------------------------------------------------------
def test_salesforce_without_hard_delete_is_found(whole: Whole, monkeypatch: pytest.MonkeyPatch) -> None:
    lacking = {**whole.standins["salesforce"].permissions, "PermissionsBulkApiHardDelete": False}
    monkeypatch.setattr(whole.standins["salesforce"], "permissions", lacking)
    (line,) = bad(places.lines(whole.setup(), SCHEDULE))
    assert line.startswith("missing  salesforce")
    assert "Hard Delete" in line.partition("how:")[2]


def test_stripe_without_redaction_is_found(whole: Whole) -> None:
    whole.standins["stripe"].redaction_enabled = False
    try:
        (line,) = bad(places.lines(whole.setup(), SCHEDULE))
    finally:
        whole.standins["stripe"].redaction_enabled = True
    assert line.startswith("missing  stripe: redaction jobs are enabled")
    assert "Stripe support" in line


def faulty(whole: Whole, name: str, fault: Fault) -> list[str]:
    whole.standins[name].faults = [fault]
    try:
        return bad(places.lines(whole.setup(), SCHEDULE))
    finally:
        whole.standins[name].faults = []


def test_a_restricted_stripe_key_is_found(whole: Whole) -> None:
    from include.sandbox._stripe.wire import PERMISSION_BODY

    (line,) = faulty(whole, "stripe", Fault("status", path="/v1/invoices", status=403, body=PERMISSION_BODY))
    assert line.startswith("missing  stripe")
    assert "HTTP 403" in line


def test_a_zendesk_agent_is_no_administrator(whole: Whole) -> None:
    agent = {"user": {"id": 1, "name": "Sample Agent", "role": "agent", "active": True}}
    (line,) = faulty(whole, "zendesk", Fault("status", path="/users/me", times=9, status=200, body=agent))
    assert line.startswith("missing  zendesk: its user is an administrator")


@pytest.mark.parametrize(("name", "path"), [("adroll", "/"), ("salesforce", "/"), ("zendesk", "/")])
def test_a_processor_that_is_down_is_unknown(name: str, path: str, whole: Whole) -> None:
    lines = faulty(whole, name, Fault("status", path=path, times=99, status=503))
    assert lines
    assert all(line.startswith(f"unknown  {name}") for line in lines)


def test_a_wrong_token_is_missing(whole: Whole) -> None:
    changed = replace(whole.connections["adroll"], password="wrong")
    (line,) = bad(places.lines(whole.setup(adroll=changed), SCHEDULE))
    assert line.startswith("missing  adroll")


# -- optional --------------------------------------------------------------------------------------------------------
@pytest.fixture
def mail() -> Iterator[int]:
    """A mail server that greets, says hello and refuses every login."""

    def serve(listening: socket.socket) -> None:
        while True:
            try:
                client, _ = listening.accept()
            except OSError:
                return
            with client, client.makefile("rwb", buffering=0) as lines:
                lines.write(b"220 sandbox\r\n")
                for line in lines:
                    word = line.split()[0].upper()
                    answer = {b"EHLO": b"250-sandbox\r\n250 AUTH PLAIN", b"AUTH": b"535 no", b"QUIT": b"221 bye"}
                    lines.write(answer.get(word, b"250 ok") + b"\r\n")

    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        threading.Thread(target=serve, args=(listening,), daemon=True).start()
        yield listening.getsockname()[1]


def test_mail_is_tried_without_sending_any(whole: Whole, mail: int) -> None:
    plain = {"disable_ssl": True, "disable_tls": True}
    smtp = Connection("smtp_default", host="127.0.0.1", port=mail, extra=plain | {"from_email": "dpo@example.com"})
    assert bad(optional.lines(whole.setup(smtp_default=smtp))) == []
    (line,) = bad(optional.lines(whole.setup(smtp_default=replace(smtp, extra=plain))))
    assert "from_email" in line
    (line,) = bad(optional.lines(whole.setup(smtp_default=replace(smtp, login="me", password="no"))))
    assert "refuses the login (code 535)" in line
    (line,) = bad(optional.lines(whole.setup(smtp_default=replace(smtp, port=1))))
    assert line.startswith("unknown")


def test_an_authority_without_roots_is_named(whole: Whole) -> None:
    tsa = Connection("evidence_tsa", extra={"endpoint_url": "http://127.0.0.1:1"})
    (line,) = bad(optional.lines(whole.setup(evidence_tsa=tsa)))
    assert "'roots'" in line


# -- the command -----------------------------------------------------------------------------------------------------
def command(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    root = Path(__file__).parents[2]
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("AIRFLOW", "RETENTION"))}
    return subprocess.run(
        [sys.executable, "-m", "include.check", *arguments], cwd=root, env={**clean, **environment},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


def test_the_command_ends_with_zero_only_when_nothing_is_missing(whole: Whole) -> None:
    environment = {f"AIRFLOW_CONN_{n.upper()}": airflow_connection(c) for n, c in whole.connections.items()}
    done = command(environment)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "Nothing is missing."), done.stdout + done.stderr
    del environment["AIRFLOW_CONN_STRIPE"]
    done = command(environment, "--problems")
    assert done.returncode == 1
    assert done.stdout.splitlines()[0] == "missing  stripe: the connection exists"
    assert done.stdout.splitlines()[-1] == "1 missing or unknown."
    secrets = [c.password for c in whole.connections.values() if c.password]
    assert not [s for s in secrets if s in done.stdout + done.stderr]


def test_a_schedule_the_lint_refuses_is_one_line(whole: Whole, tmp_path: Path) -> None:
    path = tmp_path / "schedule.yaml"
    path.write_text("version: nonsense\n")
    setup = replace(whole.setup(), schedule=path)
    (line,) = bad(check.lines(setup))
    assert line.startswith("missing  schedule: passes the lint")


def test_a_connection_in_another_form_than_json_says_where(monkeypatch: pytest.MonkeyPatch) -> None:
    from include.check.sources import from_airflow

    monkeypatch.setenv("AIRFLOW_CONN_STRIPE", "{not json")
    with pytest.raises(ConfigurationError, match="AIRFLOW_CONN_STRIPE is not JSON"):
        from_airflow("stripe")


ASK = """
import sys
from include.check.sources import from_airflow
from include.errors import ConfigurationError
for name in ("zendesk", "stripe", "nowhere"):
    try:
        found = from_airflow(name)
        print(found.host, found.password, dict(found.extra))
    except ConfigurationError as error:
        print(error)
"""


def test_what_airflow_keeps_elsewhere_is_asked_of_airflow(tmp_path: Path) -> None:
    """The URI form, and a secrets backend of Airflow's own: a file."""
    (tmp_path / "found.json").write_text('{"zendesk": "http://agent:kept@127.0.0.2"}')
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("AIRFLOW", "RETENTION"))}
    done = subprocess.run(
        [sys.executable, "-c", ASK], cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=300,
        env={
            **clean, "AIRFLOW_HOME": str(tmp_path), "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{tmp_path}/no.db",
            "AIRFLOW_CONN_STRIPE": "http://:sk_test_sample@127.0.0.1?stripe_version=preview",
            "AIRFLOW__SECRETS__BACKEND": "airflow.secrets.local_filesystem.LocalFilesystemBackend",
            "AIRFLOW__SECRETS__BACKEND_KWARGS": f'{{"connections_file_path": "{tmp_path}/found.json"}}',
        }, check=False,
    )  # fmt: skip
    zendesk_, stripe, nowhere = done.stdout.splitlines()[-3:]
    assert zendesk_ == "127.0.0.2 kept {}"
    assert stripe == "127.0.0.1 sk_test_sample {'stripe_version': 'preview'}", done.stderr[-2000:]
    assert "'nowhere'" in nowhere
    assert "secrets backend" in nowhere


def test_the_scans_role_must_be_able_to_read_every_table_it_is_to_look_at(whole: Whole) -> None:
    setup = whole.setup()
    assert bad(airflow_database.lines(setup)) == []
    run_sql(setup.connection("airflow_db_clean"), f"REVOKE SELECT ON xcom FROM {READER}")
    try:
        (line,) = bad(airflow_database.lines(setup))
    finally:
        run_sql(setup.connection("airflow_db_clean"), f"GRANT SELECT ON xcom TO {READER}")
    assert "may not read xcom" in line
    assert "Grant SELECT" in line


@pytest.mark.parametrize("right", ["INSERT ON log", "TRUNCATE ON ab_user", "UPDATE (words) ON dag_run"])
def test_the_scans_role_may_write_in_no_table_and_in_no_column(
    whole: Whole, right: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup = whole.setup()
    monkeypatch.setattr(Connection, "is_loopback", property(lambda _: False))  # here a role may do what it likes
    assert bad(airflow_database.lines(setup)) == []
    run_sql(setup.connection("airflow_db_clean"), f"GRANT {right} TO {READER}")
    try:
        (line,) = bad(airflow_database.lines(setup))
    finally:
        run_sql(setup.connection("airflow_db_clean"), f"REVOKE {right} FROM {READER}")
    assert f"may write in 1 tables, for example {right.split()[-1]}" in line


def test_another_database_is_not_taken_for_airflows(whole: Whole) -> None:
    other = replace(whole.connections["accounts_db"], name="airflow_db")
    (line,) = bad(airflow_database.lines(whole.setup(airflow_db=other)))
    assert "not Airflow's database" in line


def test_who_may_not_delete_in_airflows_tables_cannot_clean_them(whole: Whole) -> None:
    reader = replace(whole.connections["airflow_db"], name="airflow_db_clean")
    (line,) = bad(airflow_database.lines(whole.setup(airflow_db_clean=reader)))
    assert "may not delete" in line


@pytest.mark.parametrize("name", ["airflow_db", "airflow_db_clean"])
def test_a_missing_way_to_airflows_database_is_named(whole: Whole, name: str) -> None:
    (line,) = bad(airflow_database.lines(whole.setup(without=name)))
    assert f"no Airflow connection '{name}'" in line
