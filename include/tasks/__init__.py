"""What every task is made with: connections as plain values, the `Context` of a run, a connected processor.

What passes between tasks is a run reference `{"run_id", "as_of"}`, batch ids and counts; never anything about a person.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID
from zoneinfo import ZoneInfo

from airflow.sdk import Asset, get_current_context
from airflow.sdk.exceptions import AirflowFailException, AirflowNotFoundException

from include import forms
from include.connections import Connection
from include.errors import ConfigurationError
from include.retries import ByErrorClass

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from include.accounts import Accounts
    from include.disposals import Context
    from include.evidence.anchors import Authority
    from include.processors import ProcessorContract

SEOUL = ZoneInfo("Asia/Seoul")
EVIDENCE = Asset("evidence")  # no scheme: with one, parsing would import every provider
TALKATIVE = ("stripe", "zenpy", "httpx", "httpcore", "urllib3", "botocore", "boto3", "simple_salesforce", "requests")

Run = dict[str, str]

defaults = {
    "owner": "privacy",
    "retries": 2,
    "retry_delay": timedelta(seconds=5),
    "retry_exponential_backoff": 2.0,
    "max_retry_delay": timedelta(minutes=5),
    "retry_policy": ByErrorClass(),
    "show_return_value_in_logs": False,
}
"""`default_args` of every DAG."""


def connection(name: str) -> Connection:
    """Return an Airflow connection as a plain value, or say which one is missing."""
    from airflow.sdk import Connection as AirflowConnection

    try:
        found = AirflowConnection.get(name)
    except AirflowNotFoundException:
        raise ConfigurationError(
            f"There is no Airflow connection {name!r}. Create it (docs/configuration.md lists its fields), then clear "
            "this task."
        ) from None
    return Connection.of_airflow(name, found)


def configured_schedule() -> Any:
    from include.policy import schedule

    path = os.environ.get("RETENTION_SCHEDULE")
    return schedule.load(Path(path) if path else None)


def business_date() -> date:
    """Return the run's business date: its parameter, or the Seoul date of `run_after`."""
    context = get_current_context()
    wanted = (context.get("params") or {}).get("as_of")
    if wanted:
        return forms.day("as_of", wanted)
    day: date = context["dag_run"].run_after.astimezone(SEOUL).date()
    return day


def refuse_what_no_form_has() -> None:
    """Refuse a run started with keys its DAG has no field for, or with text that no field asks for."""
    context = get_current_context()
    forms.check(context["dag_run"].conf, context["dag"].params)


def lease_owner() -> str:
    """Return who holds a lease: the same for every retry of the same task instance."""
    ti = get_current_context()["ti"]
    return f"{ti.dag_id}/{ti.run_id}/{ti.task_id}/{ti.map_index}"


@contextmanager
def opened(run: Run | None) -> Iterator[Context]:
    """Yield the `Context` of a run; engines are closed afterwards."""
    from include import accounts, database, keys
    from include.disposals import Context
    from include.evidence.tags import SubjectTags

    if not run:
        raise AirflowFailException("The run did not begin (see task begin), so there is nothing to work on.")
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)  # they print URLs, and URLs hold e-mails
    ti = get_current_context()["ti"]
    schedule = configured_schedule()
    engines: list[Engine] = [database.connect(connection(n)) for n in ("retention_db", "accounts_db")]
    try:
        yield Context(
            engine=engines[0],
            accounts=accounts.Accounts(engines[1], schedule.processors["own_database"].settings),
            schedule=schedule,
            tags=SubjectTags(keys.epochs(connection("evidence_tags"))),
            wrapper=keys.wrapper(connection("archive_kek")),
            as_of=date.fromisoformat(run["as_of"]),
            run_id=UUID(run["run_id"]) if run.get("run_id") else None,
            dag_id=ti.dag_id,
            attempt=ti.try_number,
            version=os.environ.get("RETENTION_VERSION", "dev"),
        )
    finally:
        for engine in engines:
            engine.dispose()


def accounts_of(context: Context) -> Accounts:
    """Return the whole reader of the accounts database; the engine of disposals asks for less of it."""
    from include.accounts import Accounts

    assert isinstance(context.accounts, Accounts)  # `opened` made it
    return context.accounts


def site(context: Context, name: str) -> ProcessorContract:
    """Return the processor `name`, connected."""
    from include import processors
    from include.disposals import guards
    from include.disposals.quotas import reserver

    kind, found = processors.load(name), connection(name)
    schedule = context.schedule
    settings = schedule.processors[name].settings
    # `limit_factor` is what a sandbox's stand-ins allow beyond the published limits.
    share = float(settings.get("quota_share", 0.5)) * float(found.extra.get("limit_factor", 1))
    return kind(
        processors.Site(
            connection=found,
            settings=settings,
            as_of=context.as_of,
            accounts=accounts_of(context).engine,
            reserve=reserver(context.engine, name, kind.quotas, share=share),
            go_on=partial(guards.check_running, context.engine),
            # Whatever the schedule calls them, the buckets our own connections name are never a place to erase.
            ours=frozenset({schedule.settings.archive.bucket, schedule.settings.evidence.bucket})
            | {str(c.extra.get("bucket")) for c in map(connection_or_none, ("archive_store", "evidence_store")) if c},
            connect=connection,
        )
    )


def connection_or_none(name: str) -> Connection | None:
    """Return a processor's connection; one that is missing makes that processor's own group fail, not the night."""
    try:
        return connection(name)
    except ConfigurationError:
        return None


def authority() -> Authority | None:
    """Return the timestamp authority of connection `evidence_tsa`, or None where there is none."""
    from include.evidence.anchors import Authority

    found = connection_or_none("evidence_tsa")
    return Authority.of(found) if found else None
