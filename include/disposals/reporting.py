"""What was promised against what is proven, from our own database; and the export of a run."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import Engine, and_, exists, func, or_, select

from include import keys
from include.connections import Connection
from include.database import checkpoint, claim, disposal, entry, run, schedule_version
from include.disposals.brake import NOT_APPROVED
from include.disposals.context import Context, Decision
from include.errors import EvidenceError, ScheduleError
from include.evidence.export import Extras, More, checkpoint_before, export
from include.evidence.log import latest
from include.evidence.note import Signer
from include.evidence.store import EvidenceStore
from include.evidence.verify import RULES_SCHEMA
from include.policy import schedule as schedules
from include.policy.requests import EVENT, ORDER
from include.policy.schedule import Schedule

AT_ONCE = {event: {"months": 0, "days": -1} for event in (EVENT, ORDER)}
"""A request keeps nothing: the day before it came in is the last one."""


def summary(context: Context) -> dict[str, dict[str, int]]:
    """Return `{processor: {outcome: count}}` over all disposals, open and closed."""
    with context.engine.connect() as connection:
        rows = connection.execute(
            select(disposal.c.processor, disposal.c.outcome, func.count()).group_by(
                disposal.c.processor, disposal.c.outcome
            )
        )
        counts: dict[str, dict[str, int]] = {}
        for processor, outcome, count in rows:
            counts.setdefault(processor, {})[outcome] = count
    return counts


def gaps(context: Context, run_id: UUID, *, exported: bool = True) -> list[str]:
    """Return what is promised and neither proven nor dated, in words without anybody in them.

    Every open disposal that is still due after a run, or failed and will be tried again, is a gap, whichever task
    should have moved it; so is a run that did not finish discovering, sealing or exporting. What another run works on
    at this moment is its own to answer for.
    """
    with context.engine.connect() as connection:
        begun = connection.execute(select(run).where(run.c.run_id == run_id)).first()
        if begun is None:
            return ["the run itself is not recorded"]
        other = exists().where(
            claim.c.processor == disposal.c.processor,
            claim.c.account_id == disposal.c.account_id,
            claim.c.expires_at > func.now(),
            ~claim.c.owner.startswith(f"{begun.dag_id}/{begun.airflow_run_id}/", autoescape=True),
        )
        rows = connection.execute(
            select(disposal.c.processor, disposal.c.outcome, disposal.c.code, func.count())
            .where(
                disposal.c.closed_on.is_(None),
                or_(
                    disposal.c.due_at <= context.as_of,
                    and_(disposal.c.outcome == "failed", ~disposal.c.needs_person),
                    # A plan that nobody let go is no excuse beyond the last day to destroy.
                    and_(disposal.c.gate.is_not(None), disposal.c.destroy_by < context.as_of),
                ),
                # Another night's plan waits for its own second person.
                or_(disposal.c.gate.is_(None), disposal.c.gate == run_id),
                ~other,
            )
            .group_by(disposal.c.processor, disposal.c.outcome, disposal.c.code)
            .order_by(disposal.c.processor)
        ).all()
        found = [f"{p} {o}{f' ({c})' if c else ''} {n}" for p, o, c, n in rows]
        unsealed = connection.execute(
            select(func.count()).where(
                entry.c.log_index.is_(None), entry.c.recorded_at <= (begun.finished_at or func.now())
            )
        ).scalar_one()
        sealed = connection.execute(select(func.coalesce(func.max(checkpoint.c.size), 0))).scalar_one()
        indexed = connection.execute(select(func.count(entry.c.log_index))).scalar_one()
    if begun.dag_id == "nightly_retention" and begun.population is None:
        found.append("discover did not finish")
    if begun.population and begun.population.get("unplannable"):
        found.append(f"accounts with a date nobody can plan with {begun.population['unplannable']}")
    if begun.population and begun.population.get("unlisted"):
        found.append(f"terminated accounts that were not looked at {begun.population['unlisted']}")
    if begun.finished_at is None or unsealed or indexed > sealed:
        found.append("the evidence of this run is not sealed")
    if not exported:
        found.append("the evidence of this run is not exported")
    return found


def overdue(context: Context) -> dict[str, int]:
    """Return `{words: count}` of what passed its last day to destroy and waits for a person or a hold of the place, and
    of what a second person did not let go, whatever its day.
    """
    with context.engine.connect() as connection:
        rows = connection.execute(
            select(disposal.c.processor, disposal.c.outcome, disposal.c.code, func.count())
            .where(
                disposal.c.closed_on.is_(None),
                or_(disposal.c.destroy_by < context.as_of, disposal.c.code == NOT_APPROVED),
                or_(
                    disposal.c.needs_person,
                    and_(disposal.c.outcome == "manual_pending", disposal.c.until < context.as_of),
                    and_(disposal.c.outcome == "blocked", ~disposal.c.code.startswith("hold_")),
                ),
            )
            .group_by(disposal.c.processor, disposal.c.outcome, disposal.c.code)
            .order_by(disposal.c.processor)
        )
        return {f"{p} {o}{f' ({c})' if c else ''}": n for p, o, c, n in rows}


def waiting_for_a_person(context: Context) -> dict[str, int]:
    """Return `{processor: count}` of disposals that only a person can move: manual ones and failures to decide."""
    with context.engine.connect() as connection:
        rows = connection.execute(
            select(disposal.c.processor, func.count())
            .where(
                disposal.c.closed_on.is_(None),
                or_(disposal.c.needs_person, disposal.c.outcome == "manual_pending"),
            )
            .group_by(disposal.c.processor)
        )
        return {processor: count for processor, count in rows}


def export_run(
    context: Context,
    signing: Connection,
    run_id: UUID | None,
    folder: Path | None = None,
    *,
    store: EvidenceStore | None = None,
    extras: Extras | None = None,
    proof_rows: Collection[int] = (),
) -> Path:
    """Export the entries of a run (everything when `run_id` is None) and return the folder.

    With the evidence `store` it carries proofs and timestamps too; `extras` writes what people read.
    """
    with context.engine.connect() as connection:
        first = 0
        if run_id:
            begun = connection.execute(select(run).where(run.c.run_id == run_id)).one()
            index = connection.execute(
                select(func.min(entry.c.log_index)).where(entry.c.entry_id >= begun.first_entry)
            ).scalar()
            if index is None:
                raise EvidenceError("Nothing of this run is sealed, so nothing can be exported. Look at the task seal.")
            first = int(index)
    root = folder or Path(os.environ.get("RETENTION_EXPORTS", ".local/exports"))
    target = root / f"{context.as_of.isoformat()}-{'full' if run_id is None else str(run_id)[:8]}"
    signer = Signer(keys.signing_seed(signing), signing.require("origin"))
    known = stored_schedules(context)
    more = More(
        rules=rules(known),
        schedules={s.sha256: s.body for s in known},
        store=store,
        proof_rows=proof_rows,
        previous=checkpoint_before(context.engine, first or latest(context.engine).size) if store else None,
    )
    export(
        context.engine,
        target,
        first_index=first,
        vkey=signer.vkey,
        titles=titles(context),
        signer=signer,
        more=more,
        extras=extras,
    )
    return target


def stored_schedules(context: Context) -> list[Schedule]:
    """Return every stored version that can be read here; one whose holiday table is not installed is left out.

    An export then lacks that version's rules, and its verifier says which dates it could not check.
    """
    found = {context.schedule.sha256: context.schedule}
    return list((found | {s.sha256: s for s in schedules_in(context.engine)}).values())


def schedules_in(engine: Engine) -> list[Schedule]:
    """Return the schedule versions of a database that can be read here, oldest first."""
    folder = Path(os.environ["RETENTION_SCHEDULE"]).parent if os.environ.get("RETENTION_SCHEDULE") else None
    found = []
    with engine.connect() as connection:
        bodies = connection.execute(select(schedule_version.c.body).order_by(schedule_version.c.stored_at)).scalars()
        for body in map(bytes, bodies):
            try:
                read = schedules.parse(body, file="stored schedule", folder=folder or schedules.PACKAGE)
            except ScheduleError:
                continue
            found.append(read)
    return found


def rules(known: Iterable[Schedule]) -> Mapping[str, Any]:
    """Return the plain data of `rules.json`: what it takes to recompute every date of a plan."""
    policies, holidays = {}, {}
    for schedule in known:
        table = schedule.holidays
        pinned = f"{table.version}:{schedule.settings.holiday_table.sha256[:12]}"
        holidays[pinned] = {
            "first_year": table.first_year,
            "last_year": table.last_year,
            "days": sorted(day.isoformat() for day in table.days),
        }
        policies[schedule.sha256] = {
            "destroy_within_days": schedule.period_rules.destroy_within_days,
            "rolls": {"min": schedule.period_rules.roll_min, "max": schedule.period_rules.roll_max},
            "holidays": pinned,
            "floors": [
                {"floor": rule.id, "rule": floor.rule, "scope": floor.scope}
                for rule in schedule.rules.values()
                for floor in rule.floors
            ],
            "rules": {
                rule.id: {
                    "version": rule.version,
                    "kind": rule.kind,
                    "triggers": {t.event: {"months": t.period.months, "days": t.period.days} for t in rule.triggers}
                    | ({} if rule.kind == "min" else AT_ONCE),
                }
                for rule in schedule.rules.values()
            },
        }
    return {"schema": RULES_SCHEMA, "policies": policies, "holidays": holidays}


def titles(context: Context | Decision) -> dict[str, str]:
    """Return the bilingual titles the ledger shows for rules and for what each dataset holds."""
    schedule = context.schedule
    named = {
        "handler": "개인정보 파기 담당자 · destruction task",
        "head": f"개인정보 보호책임자 · {schedule.privacy_officer_role}",
    }
    for rule in schedule.rules.values():
        named[rule.id] = f"{rule.title.ko} · {rule.title.en}"
        named[f"law:{rule.id}"] = "; ".join(f"{b.law} {b.article} · {b.law_en}" for b in rule.basis)
    for category in schedule.categories.values():
        named[category.id] = f"{category.title.ko} · {category.title.en}"
    for hold in schedule.holds.values():
        named[hold.id] = f"{hold.title.ko} · {hold.title.en}"
    for name, place in schedule.processors.items():
        named[f"place:{name}"] = " · ".join(dict.fromkeys((place.title.ko, place.title.en)))
        for dataset, categories in place.datasets.items():
            held = [schedule.categories[c].title for c in categories]
            named[dataset] = f"{', '.join(t.ko for t in held)} · {', '.join(t.en for t in held)}"
    return named
