"""The command line: a table, an export and a chart; a look by two people; keys destroyed on purpose."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine, select

from include.archive.__main__ import main
from include.archive.erasure import crypto_erase
from include.archive.keyring import ArchiveKeys
from include.archive.store import ArchiveStore
from include.connections import Connection
from include.database import entry
from include.keys import LocalWrapper, create
from include.sandbox import company
from include.sandbox.servers import PostgresServer, S3Server
from include.sandbox.stack import airflow_connection
from tests.archive.conftest import TODAY, Desk, payment

ASKED = ["--account", "a1", "--reader", "e-0001", "--role", "compliance", "--approver", "e-0002"]


@pytest.fixture
def office(desk: Desk, s3: S3Server, postgres: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """A desk whose connections stand in the environment as Airflow's do."""
    key = tmp_path / "kek.key"
    key.touch(0o600)
    key.write_bytes(b"k" * 32)  # that of every desk: they share one bucket, and its key backups
    desk.keys = ArchiveKeys.of(LocalWrapper(key.read_bytes()))
    name = str(desk.engine.url.database)
    for connection in (
        postgres.connection("retention_db", name),
        postgres.connection("accounts_db", name),
        s3.connection("archive_store", "archiver", bucket="archive"),
        Connection("archive_kek", extra={"file": str(key)}),
    ):
        monkeypatch.setenv(f"AIRFLOW_CONN_{connection.name.upper()}", airflow_connection(connection))
    for n in range(2):
        desk.stage(f"a{n}", payment(n))
    desk.pack()
    desk.close()
    return desk


def entries(engine: Engine) -> list[dict[str, Any]]:
    with engine.connect() as connection:
        return [json.loads(b) for b in connection.execute(select(entry.c.body).order_by(entry.c.entry_id)).scalars()]


def test_the_inventory_is_a_table_an_export_and_a_chart(
    office: Desk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    csv, png = tmp_path / "a.csv", tmp_path / "a.png"
    code = main(["--as-of", TODAY.isoformat(), "inventory", "--csv", str(csv), "--png", str(png)])
    said = capsys.readouterr().out
    assert code == 0
    assert "R-02i   2032        1        2         2" in said
    assert "rows with items beyond their list: none" in said
    assert csv.read_bytes().startswith(b"\xef\xbb\xbfrule_id")
    assert png.read_bytes().startswith(b"\x89PNG")
    assert "example.com" not in said
    made = [(e["event"], e["rule_id"], e["rows"], e["counts"]) for e in entries(office.engine)]
    right = {"objects": 1, "beyond_list": 0, "unread": 0, "outlived": 0, "billed_early": 0}
    assert made == [("archive_inventory", "R-02i", 2, right), ("archive_inventory", "R-04", 2, right)]


def test_a_group_that_outlived_its_basis_makes_the_inventory_fail(
    office: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--as-of", "2033-01-01", "inventory"]) == 1
    assert "objects that outlived their basis: 2" in capsys.readouterr().out


def test_a_look_shows_one_account_and_leaves_an_entry_with_its_tag(
    office: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["retrieve", "--purpose", "tax_inspection", *ASKED]) == 0
    shown = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {row["items"]["name"] for row in shown} == {"Sample Person 0001"}
    made = entries(office.engine)
    assert {e["event"] for e in made} == {"archive_read"}
    assert {e["archive_tag"] for e in made} == {office.keys.tag("a1")}
    assert made[0]["code"] == "tax_inspection"
    assert made[0]["actor"] == {"role": "compliance", "pseudonym": "e-0001"}
    assert made[0]["approver"]["pseudonym"] == "e-0002"
    assert "Sample" not in json.dumps(made)


@pytest.mark.parametrize(
    ("position", "value", "said"),
    [(5, "marketing", "may not read"), (7, "e-0001", "second person"), (3, "Sample Person 0001", "'actor'")],
)
def test_a_look_that_may_not_be_is_refused_before_anything_is_read(
    office: Desk, capsys: pytest.CaptureFixture[str], position: int, value: str, said: str
) -> None:
    asked = [*ASKED]
    asked[position] = value
    assert main(["retrieve", "--purpose", "tax_inspection", *asked]) == 1
    out = capsys.readouterr()
    assert said in out.err
    assert out.out == ""
    assert entries(office.engine) == []
    assert office.count("access_log") == 0


def test_keys_are_destroyed_by_the_privacy_officer_and_a_second_person(
    office: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    company.create(office.engine)
    assert main(["crypto-erase", *ASKED]) == 1
    asked = [*ASKED]
    asked[5] = office.schedule.privacy_officer_role
    assert main(["crypto-erase", *asked]) == 0
    assert "not deletion" in capsys.readouterr().out
    assert {k.archive_tag for k in office.rows("archive_key")} == {office.keys.tag("a0")}
    made = [(e["event"], e.get("code"), e["method"]) for e in entries(office.engine)]
    assert (
        made
        == [("key_destroy_attempted", None, "crypto_erase")] * 2 + [("key_destroyed", "accepted", "crypto_erase")] * 2
    )


def test_a_missing_connection_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_RETENTION_DB", raising=False)
    assert main(["inventory"]) == 1
    assert "AIRFLOW_CONN_RETENTION_DB is not set" in capsys.readouterr().err


def test_the_drill_a_lost_database_gets_its_live_keys_back_and_no_destroyed_one(
    desk: Desk,
    s3: S3Server,
    postgres: PostgresServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    name, key = f"drill-{uuid4().hex[:8]}", create(tmp_path / "kek.key")
    s3.create_bucket(name, lock=True)
    bucket = s3.connection("archive_store", "admin", bucket=name)
    desk = replace(desk, store=ArchiveStore.of(bucket), keys=ArchiveKeys.of(LocalWrapper(key.read_bytes())))
    for n in range(3):
        desk.stage(f"a{n}", payment(n))
    desk.pack()
    desk.close()
    crypto_erase(desk.engine, desk.store, "a2", keys=desk.keys, as_of=TODAY, record=desk.record)
    postgres.create_database(name, template="template_retention")
    for connection in (
        postgres.connection("retention_db", name), bucket, Connection("archive_kek", extra={"file": str(key)}),
    ):  # fmt: skip
        monkeypatch.setenv(f"AIRFLOW_CONN_{connection.name.upper()}", airflow_connection(connection))
    assert main(["retrieve", "--purpose", "tax_inspection", *ASKED]) == 0
    assert capsys.readouterr().out == ""
    assert main(["recover-keys"]) == 0
    assert "2 objects with 4 keys are back; 0 destroyed keys left again" in capsys.readouterr().out
    assert main(["retrieve", "--purpose", "tax_inspection", *ASKED]) == 0
    shown = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {row["items"]["name"] for row in shown} == {"Sample Person 0001"}
    assert main(["retrieve", "--purpose", "tax_inspection", *[x.replace("a1", "a2") for x in ASKED]]) == 0
    assert capsys.readouterr().out == ""
    assert main(["--as-of", TODAY.isoformat(), "inventory"]) == 0
