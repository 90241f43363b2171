"""Thin `@task` functions of every DAG that destroys, and how they are wired.

Each fetches connections, builds a `Context` and calls one room.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

from airflow.sdk import TaskGroup, get_current_context, task

from include.errors import RetentionError
from include.tasks import (
    EVIDENCE,
    SEOUL,
    Run,
    authority,
    business_date,
    configured_schedule,
    connection,
    connection_or_none,
    lease_owner,
    opened,
    refuse_what_no_form_has,
    site,
)
from include.tasks.alerts import NIGHT, mail_crash, publish

if TYPE_CHECKING:
    from include.disposals import Context
    from include.evidence.store import EvidenceStore

KEYS = ("evidence_signing", "evidence_tags", "archive_kek")
STORES = ("accounts_db", "retention_db", "evidence_store", "archive_store")
Finish = Callable[[Any, Any, list[Any]], Any]
"""From the run, the own database's batches and the last acts to the task that ends them."""


@task(multiple_outputs=False)
def begin() -> Run:
    """Check business date, schedule and connections; open the run."""
    from include import processors
    from include.disposals import begin_run, guards, runs

    refuse_what_no_form_has()
    as_of = business_date()
    needed = [connection(name) for name in (*STORES, *KEYS)]
    places = [c for c in map(connection_or_none, processors.connection_names(configured_schedule().processors)) if c]
    with opened({"run_id": "", "as_of": as_of.isoformat()}) as context:
        runs.check_as_of(
            context.engine,
            as_of,
            seoul_today=datetime.now(SEOUL).date(),
            sandbox=os.environ.get("RETENTION_CLOCK") == "sandbox",
            connections=[c for c in (*needed, *places) if c.name not in KEYS],
        )
        with context.engine.begin() as transaction:
            guards.check_approved(transaction, context.schedule.sha256, as_of)
        run_id = begin_run(context, airflow_run_id=str(get_current_context()["dag_run"].run_id))
    return {"run_id": str(run_id), "as_of": as_of.isoformat()}


@task(multiple_outputs=False)
def discover(run: Run) -> dict[str, int]:
    """Plan what fell due up to the business date."""
    from include import disposals

    with opened(run) as context:
        found = disposals.discover(context, UUID(run["run_id"]))
    print(f"{found.accounts} accounts looked at, {found.planned} disposals new, {found.blocked} of them held")  # noqa: T201
    return {"accounts": found.accounts, "planned": found.planned, "blocked": found.blocked}


@task.short_circuit(ignore_downstream_trigger_rules=True)
def anything_due() -> bool:
    """Return whether any open disposal is due and no night is working on it; if not, the hourly run ends here."""
    from include.disposals.discover import due_counts
    from include.disposals.runs import night_at_work

    as_of = business_date()
    with opened({"run_id": "", "as_of": as_of.isoformat()}) as context, context.engine.connect() as connection_:
        return bool(due_counts(connection_, as_of)) and not night_at_work(connection_)


@task
def batches(run: Run, processor: str) -> list[str]:
    """Divide what is due at a processor into batches and return their ids."""
    from include import disposals, processors

    with opened(run) as context:
        return disposals.make_batches(context, UUID(run["run_id"]), processor, processors.load(processor).batch_size)


@task(map_index_template="{{ label }}", multiple_outputs=False)
def locate(run: Run, processor: str, batch_id: str) -> dict[str, int]:
    """Locate a batch at its processor and stage what a law keeps."""
    from include import disposals
    from include.archive.staging import ArchiveKeys

    with opened(run) as context:
        _label(context, batch_id)
        connect, keys = partial(site, context, processor), ArchiveKeys.of(context.wrapper)
        return disposals.locate_batch(context, processor, connect, batch_id, lease_owner(), keys)


@task(map_index_template="{{ label }}", multiple_outputs=False)
def advance(run: Run, processor: str, batch_id: str) -> dict[str, int]:
    """Carry a batch through its steps as far as it goes now, and read back."""
    from include import disposals

    with opened(run) as context:
        _label(context, batch_id)
        return disposals.advance_batch(context, site(context, processor), batch_id, lease_owner())


def _label(context: Context, batch_id: str) -> None:
    from include.disposals.batches import label

    get_current_context()["label"] = label(context, batch_id)


@task(trigger_rule="all_done", multiple_outputs=False)
def archive(run: Run) -> dict[str, int]:
    """Pack what the batches staged into cold storage, one object per law and half-week, and check it there."""
    from include.disposals.archiving import pack_staged

    with opened(run) as context:
        report = pack_staged(context, connection("archive_store"))
    print(f"{report['objects']} objects written and checked, {report['rows']} rows")  # noqa: T201
    return report


@task(multiple_outputs=False)
def archive_lapse(run: Run) -> dict[str, int]:
    """Destroy what every basis has outlived, confirm it by listing, then destroy its keys."""
    from include.disposals.archiving import lapse_due

    with opened(run) as context:
        report = lapse_due(context, connection("archive_store"))
    print(", ".join(f"{name} {count}" for name, count in report.items()))  # noqa: T201
    return report


@task(trigger_rule="all_done", retries=0, multiple_outputs=False)
def archive_report(run: Run) -> dict[str, int]:
    """Raise when a group of the archive outlived its basis and is neither destroyed nor kept to a date."""
    from include.disposals.archiving import outlived

    with opened(run) as context:
        left = outlived(context, now=datetime.now(UTC))
    if left:
        raise RetentionError("Outlived and not destroyed: " + "; ".join(left) + ". The next run goes on from there.")
    return {"gaps": 0}


@task(trigger_rule="all_done", multiple_outputs=False)
def seal(run: Run, *, last: bool = False) -> dict[str, int]:
    """Seal what was recorded so far into the evidence log; the last seal of a run closes it with its counts first."""
    from include import keys
    from include.disposals import finish_run
    from include.disposals.offboarding import close_finished
    from include.disposals.reporting import summary
    from include.evidence import log
    from include.evidence.note import Signer
    from include.evidence.store import EvidenceStore

    with opened(run) as context:
        if last:
            counts = {f"{p}.{o}": n for p, by in summary(context).items() for o, n in by.items()}
            for ended in close_finished(context):
                print(f"nothing is left at {ended.processor}, whose contract ended on {ended.ended_on}")  # noqa: T201
            finish_run(context, UUID(run["run_id"]), counts)
        signing = connection("evidence_signing")
        signer = Signer(keys.signing_seed(signing), signing.require("origin"))
        store = EvidenceStore.of(connection("evidence_store"))
        now = datetime.now(UTC)
        term = timedelta(days=366 * context.schedule.settings.evidence_term_years)
        size = log.seal(context.engine, store, signer, now=now, lock_until=now + term).size
        if last and size:
            _anchor(context, store, signer.vkey, now + term)
        return {"size": size}


def _anchor(context: Context, store: EvidenceStore, vkey: str, lock_until: datetime) -> None:
    """Have the checkpoint timestamped where an authority is configured; a silent one never stops the night.

    The audit turns red when stamps are missing.
    """
    from include.disposals.record import base_entry
    from include.evidence.anchors import anchor

    asked = authority()
    if asked is None:
        return
    try:
        anchor(
            context.engine,
            store,
            asked,
            vkey=vkey,
            entry=base_entry(context, "anchored"),
            lock_until=lock_until,
        )
    except RetentionError as error:
        print(f"not timestamped: {error}")  # noqa: T201


@task(trigger_rule="all_done", outlets=[EVIDENCE])
def export(run: Run) -> str:
    """Export the run's evidence and verify it as an auditor would; return the folder.

    An ended contract with nothing left gets its one certificate here, in an export of its own.
    """
    from include.disposals.people_export import certify_endings
    from include.disposals.reporting import export_run
    from include.evidence.store import EvidenceStore

    with opened(run) as context:
        store = EvidenceStore.of(connection("evidence_store"))
        signing = connection("evidence_signing")
        folder = export_run(context, signing, UUID(run["run_id"]), store=store)
        try:
            for certificate in certify_endings(context, signing, connection("evidence_store")):
                print(f"certificate of an ended contract: {certificate}")  # noqa: T201
        except RetentionError as error:
            # The run's own export stands all the same; the report names the ending and the next run tries again.
            print(f"no certificate of an ended contract yet: {error}")  # noqa: T201
        return str(folder)


@task(trigger_rule="all_done", retries=0, multiple_outputs=False, on_failure_callback=mail_crash)
def report(run: Run, exported: str | None) -> dict[str, int]:
    """Compare what was promised with what is proven, from our own database; raise on any gap."""
    from include.disposals.alerts import alerts
    from include.disposals.offboarding import uncertified
    from include.disposals.reporting import gaps, overdue, summary
    from include.disposals.requests import deadline_alerts
    from include.disposals.scan.search import gaps as unscanned

    with opened(run) as context:
        for processor, outcomes in sorted(summary(context).items()):
            print(f"{processor:>14}  " + "  ".join(f"{o} {n}" for o, n in sorted(outcomes.items())))  # noqa: T201
        for words, count in overdue(context).items():
            print(f"overdue, a person must act: {words} {count}")  # noqa: T201
        told = [f"a person must look: {line}" for line in alerts(context, now=datetime.now(UTC))]
        told += [f"to be answered: {due}" for due in deadline_alerts(context)]
        print("\n".join(told))  # noqa: T201
        missing = gaps(context, UUID(run["run_id"]), exported=exported is not None)
        if left := uncertified(context):
            missing.append(f"ended contracts without their certificate {left} (see task export)")
        missing += unscanned(context, UUID(run["run_id"]), always=context.dag_id == NIGHT)
        for alert in publish(context, missing, told):
            print(f"alert {alert}")  # noqa: T201
    if missing:
        raise RetentionError("Promised and not proven: " + "; ".join(missing) + ". The next run goes on from there.")
    return {"gaps": 0}


def places() -> list[str]:
    """Return the names of all processors, as a form offers them; the task refuses those it cannot be done for."""
    from include import processors

    return list(processors.names())


def carry_through(run: Any, start: Any, *, finish: Finish | None = None, judge: Any = report) -> None:
    """Wire one group per processor between `start` and the report: locate, archive, seal, act, scan, seal, export.

    Every processor locates before anything is acted on, because the archive must hold what a law keeps, the company's
    own database must not go before the others are located, and the plan must be sealed before the first act. `finish`
    wires what follows the acts and returns the last of it; `judge` is the leaf.
    """
    from include import processors
    from include.tasks.scan import self_scan

    places, located, advanced = {}, [], []
    for name in processors.names():
        with TaskGroup(name, tooltip=f"Everything at {name}: locate, then act and read back") as group:
            ids = batches(run, name)
            start >> ids
            located.append(locate.override(pool=name).partial(run=run, processor=name).expand(batch_id=ids))
            places[name] = (group, ids)
    archived = archive(run)
    plan_sealed = seal.override(task_id="seal_plan")(run)
    located >> archived >> plan_sealed
    for name, (group, ids) in places.items():
        with group:
            acted = advance.override(pool=name).partial(run=run, processor=name).expand(batch_id=ids)
            plan_sealed >> acted
            advanced.append(acted)
    scanned = self_scan(run)
    sealed = seal.override(task_id="seal")(run, last=True)
    exported = export(run)
    ended = finish(run, places["own_database"][1], advanced) if finish else advanced
    ended >> scanned >> sealed >> exported
    judge(run, exported)
