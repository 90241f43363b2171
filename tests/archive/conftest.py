"""An archive on a real bucket: a desk that plans disposals, stages records with short terms, packs and lapses."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Connection, Engine, func, insert, select, update

from include.archive import backups
from include.archive.disposal import LapseReport, lapse
from include.archive.facts import ObjectFacts
from include.archive.keyring import ArchiveKeys
from include.archive.packing import PackReport, pack
from include.archive.staging import stage
from include.archive.store import ArchiveStore
from include.database import disposal, metadata, run, schedule_version
from include.keys import LocalWrapper
from include.policy import schedule as policy
from include.policy.terms import RecordTerm, record_terms
from include.processors import Record
from include.sandbox.servers import S3Server

TODAY = date(2026, 3, 2)  # a Monday


@pytest.fixture(scope="session")
def schedule() -> policy.Schedule:
    return policy.load()


def person(number: int) -> dict[str, Any]:
    """Everything a source might hold of a synthetic person: listed items and many that no law lists."""
    return {
        "name": f"Sample Person {number:04d}",
        "email": f"person{number:04d}@example.com",
        "phone": f"010-0000-{number:04d}",
        "billing_address": f"{number} Example Street",
        "fee.billed": 10_000 + number,
        "fee.received": 10_000 + number,
        "fee.received_at": date(2026, 1, 5),
        "fee.method": "card",
        "company_name": f"Sample Company {number:04d}",
        "trade_name": f"Sample Trade {number:04d}",
        "representative": f"Sample Head {number:04d}",
        "business_no": f"000-00-{number:05d}",
        "corporation_no": f"000000-{number:07d}",
        "supply.completed_on": date(2026, 1, 6),
        "invoice.number": "SAMPLE-0001",
        "invoice.pdf_sha256": "0" * 64,
        "login_id": f"login{number:04d}",
        "password_hash": "x" * 60,
        "card_number": "0000 0000 0000 0000",
        "ip": "192.0.2.1",
        "note": "likes long walks",
        "nationality": "KR",
    }


def payment(number: int, *, source_id: str | None = None, **items: Any) -> Record:
    """One payment of a synthetic person, with every date its laws ask for."""
    return Record(
        disposal_id="",
        source_id=source_id or f"pay-{number}",
        kind="payment",
        dates={"transaction": date(2026, 1, 5), "paid_and_supplied": date(2026, 1, 6)},
        items=person(number) | items,
    )


@dataclass(slots=True)
class Desk:
    """What a night does with the archive, in short words."""

    engine: Engine
    store: ArchiveStore
    schedule: policy.Schedule
    keys: ArchiveKeys = field(default_factory=lambda: ArchiveKeys.of(LocalWrapper(b"k" * 32)))
    recorded: list[ObjectFacts] = field(default_factory=list)
    archived: list[UUID] = field(default_factory=list)

    def plan(self, account_id: str, *, subject_type: str = "individual", processor: str = "stripe") -> UUID:
        """Insert a disposal and return its id."""
        disposal_id = uuid4()
        with self.engine.begin() as connection:
            run_id = connection.scalar(select(run.c.run_id).where(run.c.dag_id == "d")) or self._begin(connection)
            connection.execute(
                insert(disposal).values(
                    disposal_id=disposal_id,
                    subject_tag=f"tag-{uuid4()}",
                    key_epoch="2026",
                    account_id=account_id,
                    subject_type=subject_type,
                    processor=processor,
                    rule_id="R-14",
                    rule_version=1,
                    scope_id="payments",
                    trigger_event="terminated",
                    trigger_date=TODAY,
                    last_day=TODAY,
                    free_from=TODAY,
                    destroy_by=TODAY,
                    datasets=["payments"],
                    categories=["D-05"],
                    schedule_sha256="s",
                    run_id=run_id,
                    outcome="planned",
                )
            )
        return disposal_id

    def _begin(self, connection: Connection) -> UUID:
        connection.execute(insert(schedule_version).values(sha256="s", policy_text_sha256="p", body=b""))
        run_id = uuid4()
        connection.execute(
            insert(run).values(run_id=run_id, dag_id="d", airflow_run_id="r", as_of=TODAY, schedule_sha256="s")
        )
        return run_id

    def stage(
        self,
        account_id: str,
        *records: Record,
        subject_type: str = "individual",
        consumer_like: bool = False,
        disposal_id: UUID | None = None,
        terms_of: Callable[..., Any] = record_terms,
        as_of: date = TODAY,
    ) -> UUID:
        """Stage records of one account and return its disposal."""
        disposal_id = disposal_id or self.plan(account_id, subject_type=subject_type)
        with self.engine.begin() as connection:
            stage(
                connection,
                disposal_id=disposal_id,
                account_id=account_id,
                subject_type=subject_type,
                consumer_like=consumer_like,
                records=records,
                schedule=self.schedule,
                as_of=as_of,
                keys=self.keys,
                terms_of=terms_of,
            )
        return disposal_id

    def pack(
        self,
        *,
        store: ArchiveStore | None = None,
        as_of: date = TODAY,
        now: datetime | None = None,
        storage_class: str = "GLACIER_IR",
    ) -> PackReport:
        """Pack what is staged."""
        return pack(
            self.engine,
            store or self.store,
            as_of=as_of,
            now=now or datetime.now(UTC),
            keys=self.keys,
            owner="test",
            record=self.record,
            archived=self._archived,
            storage_class=storage_class,
        )

    def lapse(self, *, as_of: date = TODAY + timedelta(days=10), **more: Any) -> LapseReport:
        """Destroy what has outlived its basis."""
        return lapse(
            self.engine,
            more.pop("store", self.store),
            as_of=as_of,
            now=more.pop("now", datetime.now(UTC)),
            keys=self.keys,
            record=self.record,
            **more,
        )

    def keys_at(self, object_key: str) -> str:
        """Return where an object's keys are saved."""
        return str(next(r.keys_at for r in self.rows("archive_object") if r.object_key == object_key))

    def saved(self, row: Any) -> dict[str, bytes] | None:
        """Return the keys by tag that the backup holds of one object, or None where it does not list it."""
        found = backups.read(self.store, self.keys, row.keys_at).get(row.object_key)
        return None if found is None else found[1]

    def close(self) -> None:
        """Let every disposal be done: its source is gone."""
        with self.engine.begin() as connection:
            connection.execute(update(disposal).values(closed_on=TODAY, outcome="confirmed_absent", attempts=1))

    def record(self, connection: Connection, facts: ObjectFacts) -> None:
        assert connection.in_transaction()
        self.recorded.append(facts)

    def _archived(self, connection: Connection, disposal_ids: Collection[UUID]) -> None:
        assert connection.in_transaction()
        self.archived += disposal_ids

    def rows(self, table: str) -> list[Any]:
        """Return every row of one of our tables."""
        with self.engine.connect() as connection:
            return list(connection.execute(select(metadata.tables[f"retention.{table}"])))

    def count(self, table: str) -> int:
        with self.engine.connect() as connection:
            return connection.scalar(select(func.count()).select_from(metadata.tables[f"retention.{table}"])) or 0

    def events(self) -> list[str]:
        return [facts.event for facts in self.recorded]


def short(seconds: float, *, last_day: date = TODAY, rule_id: str = "R-02i") -> Callable[..., tuple[RecordTerm, ...]]:
    """Return the schedule's own terms of one rule, ending `seconds` from now: locks run on the server's clock."""
    until = datetime.now(UTC) + timedelta(seconds=seconds)

    def terms(**given: Any) -> tuple[RecordTerm, ...]:
        kept = given["schedule"].kept_items(rule_id, given["subject_type"])
        return (
            RecordTerm(
                rule_id=rule_id,
                rule_version=1,
                items=kept,
                trigger_event="transaction",
                trigger_date=last_day,
                last_day=last_day,
                free_from=last_day + timedelta(days=1),
                free_from_utc=until,
                destroy_by=last_day + timedelta(days=5),
                law="law",
                article="1",
            ),
        )

    return terms


def wait_until(moment: datetime) -> None:
    """Wait until the server's clock, which is this machine's, has passed `moment`."""
    time.sleep(max(0.0, (moment - datetime.now(UTC)).total_seconds()) + 0.1)


@pytest.fixture
def store(s3: S3Server) -> ArchiveStore:
    """The archive bucket as the identity that may not bypass governance."""
    return ArchiveStore.of(s3.connection("archive_store", "archiver", bucket="archive"))


@pytest.fixture
def desk(engine: Engine, store: ArchiveStore, schedule: policy.Schedule) -> Desk:
    return Desk(engine, store, schedule)
