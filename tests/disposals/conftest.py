"""A context on a fresh database with an approved schedule, and a way to put disposals into it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, func, insert, select

from include.archive.staging import ArchiveKeys
from include.database import batch, batch_item, disposal, entry
from include.disposals import Context, advance_batch, begin_run, guards, locate_batch
from include.evidence.tags import SubjectTags
from include.keys import LocalWrapper
from include.policy import schedule
from tests.disposals.fakes import Accounts, Place

DAY = date(2026, 11, 24)


@pytest.fixture
def context(engine: Engine) -> Context:
    """A context on 2026-11-24 whose schedule the privacy officer has approved."""
    made = Context(
        engine=engine,
        accounts=Accounts(),
        schedule=schedule.load(),
        tags=SubjectTags({"2026": bytes(32), "2027": bytes(range(32))}),
        wrapper=LocalWrapper(bytes(range(32))),
        as_of=DAY,
        dag_id="nightly_retention",
    )
    guards.approve_schedule(made, role=made.schedule.privacy_officer_role, pseudonym="e-0001")
    return replace(made, run_id=begin_run(made, airflow_run_id="r1"))


class Bench:
    """What the tests say in a line: plan, locate, advance, and look at the row."""

    def __init__(self, context: Context) -> None:
        self.context = context

    def plan(self, account: str, processor: str = "zendesk", **columns: Any) -> str:
        """Store one planned disposal and return its id."""
        disposal_id = uuid4()
        row = {
            "disposal_id": disposal_id,
            "subject_tag": self.context.tags.tag(account, epoch="2026"),
            "key_epoch": "2026",
            "account_id": account,
            "subject_type": "individual",
            "processor": processor,
            "rule_id": "R-14",
            "rule_version": 1,
            "scope_id": "support",
            "trigger_event": "terminated",
            "trigger_date": date(2026, 11, 20),
            "last_day": date(2026, 11, 20),
            "free_from": date(2026, 11, 21),
            "destroy_by": date(2026, 11, 25),
            "datasets": ["support"],
            "categories": ["D-08"],
            "schedule_sha256": self.context.schedule.sha256,
            "run_id": self.context.run_id,
            "outcome": "planned",
            "due_at": self.context.as_of,
        }
        with self.context.engine.begin() as connection:
            connection.execute(insert(disposal).values(row | columns))
        return str(disposal_id)

    def batch(self, *ids: str, processor: str = "zendesk") -> str:
        """Store a batch of these disposals."""
        batch_id = uuid4()
        with self.context.engine.begin() as connection:
            number = connection.execute(select(func.count()).select_from(batch)).scalar_one()
            connection.execute(
                insert(batch).values(batch_id=batch_id, run_id=self.context.run_id, processor=processor, number=number)
            )
            connection.execute(insert(batch_item), [{"batch_id": batch_id, "disposal_id": UUID(i)} for i in ids])
        return str(batch_id)

    def locate(self, place: Place, *ids: str, owner: str = "t", as_of: date | None = None) -> dict[str, int]:
        """Locate these disposals at the place."""
        context = replace(self.context, as_of=as_of or self.context.as_of)
        batch_id = self.batch(*ids, processor=place.name)
        return locate_batch(context, place.name, lambda: place, batch_id, owner, ArchiveKeys.of(context.wrapper))

    def advance(self, place: Place, *ids: str, owner: str = "t", as_of: date | None = None) -> dict[str, int]:
        """Advance these disposals at the place."""
        context = replace(self.context, as_of=as_of or self.context.as_of)
        return advance_batch(context, place, self.batch(*ids, processor=place.name), owner)

    def row(self, disposal_id: str) -> Any:
        """Return the disposal's row."""
        with self.context.engine.connect() as connection:
            return connection.execute(select(disposal).where(disposal.c.disposal_id == UUID(disposal_id))).one()

    def entries(self, disposal_id: str | None = None) -> list[dict[str, Any]]:
        """Return the recorded entries, of one disposal if named."""
        with self.context.engine.connect() as connection:
            rows = connection.execute(select(entry.c.body).order_by(entry.c.entry_id)).scalars()
            found = [json.loads(b) for b in rows]
        return [e for e in found if disposal_id is None or e.get("disposal_id") == disposal_id]

    def events(self, disposal_id: str) -> list[str]:
        """Return the words of one disposal's entries, in order."""
        return [e["event"] for e in self.entries(disposal_id)]


@pytest.fixture
def bench(context: Context) -> Bench:
    """The tests' short hand."""
    return Bench(context)


@pytest.fixture
def full() -> Callable[[], set[str]]:
    """What an untouched record looks like."""
    return lambda: {"bin", "record"}
