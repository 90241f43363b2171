"""The bench's own schedule and accounts: the packaged schedule, in which one more processor holds something."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import yaml
from sqlalchemy import Engine, update

from include import processors
from include.accounts import Accounts
from include.database import disposal
from include.disposals import Context, approving, begin_run
from include.disposals.discover import discover
from include.evidence.tags import SubjectTags
from include.keys import LocalWrapper
from include.policy import schedule
from tests.bench.frame import Bench
from tests.bench.planning import load
from tests.bench.registry import PLACE, register

BRAKE = {"first_nights": 5000, "always_under": 500, "schedule_change": 500}
"""The most a schedule may say; a night of more new disposals asks a second person, whom the benchmark plays."""


def write_schedule(folder: Path, **settings: Any) -> Path:
    """Write the bench's schedule and the files it pins into `folder`; only what is at `sixcalls` falls due at once."""
    folder.mkdir(parents=True, exist_ok=True)
    body = yaml.safe_load(schedule.PACKAGED.read_text(encoding="utf-8"))
    body["settings"]["brake"] |= BRAKE
    body["processors"][PLACE] = {
        "id": "O-90", "title": {"ko": "측정", "en": "bench"}, "entrusted": {"ko": "측정", "en": "bench"},
        "datasets": {"bench_record": ["D-01"]}, "settings": {"quota_share": 0.5, **settings},
    }  # fmt: skip
    rules = {rule["id"]: rule for rule in body["rules"]}
    for name, event in (("R-11", "consent_withdrawn"), ("R-12", "instruction"), ("R-14", "processor_contract_ended")):
        rules[name]["triggers"] = [t for t in rules[name]["triggers"] if t["event"] == event]
        for scope in rules[name]["scopes"]:
            scope.pop("events", None)
    # What started at an event that is left out starts at the one that stays.
    rules["R-11"]["scopes"] = [s for s in rules["R-11"]["scopes"] if s["id"] != "prize"]
    body["rules"].insert(
        0,
        {
            "id": "R-90", "version": 1, "title": {"ko": "측정", "en": "bench"}, "kind": "max",
            "subjects": ["individual", "business"], "categories": ["D-01"], "phase": "F0",
            "triggers": [{"event": "terminated", "period": "P0D"}], "items": "all",
            "basis": deepcopy(rules["R-14"]["basis"]), "methods": ["delete"],
            "scopes": [{"id": "bench", "processor": PLACE, "datasets": ["bench_record"]}],
        },
    )  # fmt: skip
    for pinned in (schedule.PACKAGE / "privacy_policy.ko.txt", schedule.PACKAGE / "holidays_kr.yaml"):
        shutil.copy(pinned, folder)
    path = folder / "retention_schedule.yaml"
    path.write_text(yaml.safe_dump(body, allow_unicode=True, sort_keys=False), encoding="utf-8")
    return path


def ended_yesterday(engine: Engine, day: date, count: int, *, first: int = 0) -> None:
    """Load `count` accounts whose contracts ended the day before `day`."""
    load(engine, count, ended=lambda _number: day - timedelta(days=1), first=first)


def approve(context: Context) -> None:
    """Let the schedule in force be approved, as the sandbox does."""
    notice = approving.Notice(context.as_of, "material", context.as_of - timedelta(days=31))
    approving.approve_schedule(context, role=context.schedule.privacy_officer_role, pseudonym="e-0001", notice=notice)


@dataclass(frozen=True, slots=True)
class Night:
    """An engine's night without Airflow: the context, and the accounts database for the processors."""

    context: Context
    accounts: Engine

    def release(self) -> int:
        """Plan what is due and open its gate, as the brake does when nothing is unusual; return how many."""
        run_id = self.context.run_id
        assert isinstance(run_id, UUID)
        found = discover(self.context, run_id)
        with self.context.engine.begin() as connection:
            connection.execute(update(disposal).where(disposal.c.gate == run_id).values(gate=None))
        return found.planned


def context_on(engine: Engine, known: schedule.Schedule, day: date, accounts: Engine | None = None) -> Context:
    """Return a night's context on our database; without `accounts` for what does not read the company's."""
    return Context(
        engine=engine,
        accounts=Accounts(accounts or engine, known.processors["own_database"].settings),
        schedule=known,
        tags=SubjectTags({str(y): bytes([y % 256]) * 32 for y in range(2024, 2030)}),
        wrapper=LocalWrapper(bytes(range(32))),
        as_of=day,
        dag_id="nightly_retention",
    )


@contextmanager
def night(bench: Bench, count: int, day: date, path: Path) -> Iterator[Night]:
    """Yield a night over `count` accounts that ended yesterday, under the schedule at `path`."""
    register()
    known = schedule.load(path, processors=processors.names())
    with bench.database() as engine, bench.database(template="template0") as accounts:
        ended_yesterday(accounts, day, count)
        context = context_on(engine, known, day, accounts)
        approve(context)
        yield Night(replace(context, run_id=begin_run(context, airflow_run_id="bench")), accounts)
