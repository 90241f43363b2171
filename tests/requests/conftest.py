"""One seeded company in every store (PostgreSQL, S3, the stand-ins), and a request carried through as the DAG does."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import select

from include import database, processors
from include.archive.staging import ArchiveKeys
from include.database import entry
from include.disposals import (
    Context,
    advance_batch,
    approvals,
    begin_run,
    locate_batch,
    make_batches,
    notices,
    previews,
    release,
    request_events,
    requests,
)
from include.disposals.approvals import Staff
from include.disposals.archiving import pack_staged
from include.disposals.looking import look
from include.disposals.quotas import reserver
from include.policy.answers import answer_clocks, strictest
from include.policy.requests import Asked, RequestPlan, plan_request
from include.sandbox import company, night
from include.sandbox.company.tables import metadata as COMPANY
from include.sandbox.servers import temporary_folder
from include.sandbox.stack import STANDINS, Stack

ROOT = Path(__file__).parents[2]
DAY = date(2026, 11, 26)
ACCOUNTS = 150


class World:
    """The company and its stores; `ask` carries one request through, `dump` shows everything there is."""

    def __init__(self, stack: Stack, context: Context) -> None:
        self.stack, self.context = stack, context
        self.made = company.generate(seed=7, count=ACCOUNTS, anchor=DAY)
        self.ada = approvals.staff("ada", "operator", context.wrapper)
        self.ben = approvals.staff("ben", "approver", context.wrapper)

    def account(self, case: str) -> str:
        """Return the account of a situation of the seeded company."""
        return self.made.case(case)[0].account_id

    def dump(self) -> dict[str, dict[str, Any]]:
        """Return every object of every store: `{store: {key: body}}`."""
        night.dump(self.stack, "now")
        stores: dict[str, dict[str, Any]] = {}
        for path in sorted((self.stack.local / "dumps" / "now").iterdir()):
            rows = [json.loads(line) for line in path.open()]
            stores[path.stem] = {json.dumps(_key(path.stem, r), sort_keys=True): r for r in rows}
        return stores

    def changing(self) -> dict[str, int]:
        """Return how many vendor requests so far could change something."""
        return {
            name: sum(
                json.loads(line)["changing"]
                for line in (self.stack.local / "standins" / f"{name}.requests.jsonl").open()
            )
            for name in STANDINS
        }

    def entries(self) -> list[dict[str, Any]]:
        """Return every entry recorded so far."""
        with self.context.engine.connect() as connection:
            return [
                json.loads(b) for b in connection.execute(select(entry.c.body).order_by(entry.c.entry_id)).scalars()
            ]

    def site(self, context: Context, name: str, accounts: Any) -> Any:
        """Return a processor, connected."""
        kind, found = processors.load(name), self.stack.connections[name]
        return kind(
            processors.Site(
                connection=found,
                settings=context.schedule.processors[name].settings,
                as_of=context.as_of,
                accounts=accounts,
                reserve=reserver(context.engine, name, kind.quotas, share=20.0),
                ours=frozenset({"archive", "evidence"}),
            )
        )

    def plan(self, account: str, asked: Asked) -> RequestPlan:
        """Plan as the DAG's tasks do."""
        context = self.context
        with context.engine.connect() as connection:
            from include.disposals import holds

            placed = holds.placed(connection, [account]).get(account, [])
            facts = request_events.with_requests(connection, context.accounts.facts([account]))[0]
        known = [*context.accounts.computed_holds([account]).get(account, []), *placed]
        return plan_request(asked, facts, context.schedule, known, context.as_of)

    def preview(self, account: str, asked: Asked) -> dict[str, Any]:
        """Return the preview of a request; reads only."""
        plan = self.plan(account, asked)
        accounts = database.connect(self.stack.connections["accounts_db"])
        lines = []
        for name in sorted({d.processor for d in plan.disposals}):
            planned = [d for d in plan.disposals if d.processor == name]
            connect = partial(self.site, self.context, name, accounts)
            lines += look(self.context, planned, connect, end_user=asked.end_user)
        accounts.dispose()
        clock = strictest(answer_clocks(asked.received_on, self.context.schedule))
        return previews.body(plan, asked, lines, self.context.schedule, clock=clock, subject_tag="0" * 64)

    def register(self, account: str, asked: Asked, **more: Any) -> tuple[Context, Any]:
        """Register a request in a run of its own and keep its preview; return the run's context and the row."""
        run_id = begin_run(replace(self.context, dag_id="erase_account"), airflow_run_id=str(uuid4()))
        context = replace(self.context, run_id=run_id, dag_id="erase_account")
        values = {
            "account_id": account, "kind": asked.kind, "channel": "web", "identity_check": "login",
            "received_on": asked.received_on, "notice_by": "mail", "child_age": asked.child_age,
            "end_user": asked.end_user,
        } | more  # fmt: skip
        request_id = requests.receive(
            context, requests.Intake(**values), self.plan(account, asked), by=self.ada, airflow_run_id=str(run_id)
        )
        shown = self.preview(account, asked)
        requests.keep_plan(context, request_id, shown, previews.digest(shown))
        return context, self.row(request_id)

    def row(self, request_id: Any) -> Any:
        """Return the request's row."""
        with self.context.engine.connect() as connection:
            return release.requested(connection, request_id)

    def approve(self, context: Context, row: Any, by: Staff | None = None) -> None:
        """Have the preview approved."""
        later = datetime.now(UTC) + timedelta(hours=1)
        asked = approvals.request(context, kind=release.KIND, digest=row.plan_digest, by=self.ada, expires=later)
        approvals.decide(context, asked, by=by or self.ben, decision=approvals.APPROVED, digest=row.plan_digest)

    def carry(self, context: Context, row: Any) -> None:
        """Do what the DAG's groups do: locate everywhere, pack the archive, act everywhere."""
        ids = self.locate(context)
        pack_staged(context, self.stack.connections["archive_store"])
        self.advance(context, ids)

    def locate(self, context: Context) -> dict[str, list[str]]:
        """Make the batches and locate them; return them by place."""
        assert context.run_id is not None
        accounts = database.connect(self.stack.connections["accounts_db"])
        ids = {n: make_batches(context, context.run_id, n, processors.load(n).batch_size) for n in processors.names()}
        keys = ArchiveKeys.of(context.wrapper)
        for name, several in ids.items():
            for batch in several:
                locate_batch(context, name, partial(self.site, context, name, accounts), batch, f"l-{name}", keys)
        accounts.dispose()
        return ids

    def advance(self, context: Context, ids: Mapping[str, list[str]]) -> None:
        """Act on batches that were located."""
        accounts = database.connect(self.stack.connections["accounts_db"])
        for name, several in ids.items():
            for batch in several:
                advance_batch(context, self.site(context, name, accounts), batch, f"a-{name}")
        accounts.dispose()

    def items(self, row: Any) -> list[Any]:
        """Return the request's disposals."""
        with self.context.engine.connect() as connection:
            return release.items(connection, row.request_id)

    def ask(self, account: str, asked: Asked, **more: Any) -> Any:
        """Carry a request through to its answer and return its row."""
        context, row = self.register(account, asked, **more)
        self.approve(context, row)
        release.release(context, row, self.plan(account, asked).disposals, end_user=asked.end_user)
        self.carry(context, row)
        told = notices.compose(row.plan, self.items(row), context.schedule)
        assert told.text
        requests.note_notice(context, row.request_id, "mail")
        self.carry(context, row)
        requests.certify(context, row.request_id)
        return self.row(row.request_id)


def _key(store: str, row: dict[str, Any]) -> list[Any]:
    if store == "accounts":
        return [row["table"], *(row[c.name] for c in COMPANY.tables[row["table"]].primary_key)]
    if store == "live":
        return [row["key"], row["version_id"]]
    return [row["kind"], row["id"]]


@pytest.fixture(scope="session")
def world() -> Iterator[World]:
    """The company as it was seeded, without Airflow."""
    with temporary_folder("rt-requests-") as folder:
        stack = Stack(ROOT, folder)
        try:
            stack.start_servers()
            with night.opened(stack, DAY) as context:
                night._prepare_company(stack, context, ACCOUNTS, 7)
                import httpx

                for name in STANDINS:
                    httpx.put(stack.url(name) + "/_sandbox/clock", json={"date": DAY.isoformat()}).raise_for_status()
                yield World(stack, context)
        finally:
            stack.stop()
