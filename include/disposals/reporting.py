"""What was promised against what is proven, from our own database; and the export of a run."""

from __future__ import annotations

import os
from pathlib import Path
from uuid import UUID

from sqlalchemy import func, or_, select

from include import keys
from include.connections import Connection
from include.database import disposal, entry, run
from include.disposals.context import Context
from include.errors import EvidenceError
from include.evidence.export import export
from include.evidence.note import Signer


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


def gaps(context: Context, run_id: UUID) -> list[str]:
    """Return what is due and neither proven nor dated, in words without anybody in them.

    Every open disposal that is still due after a run is a gap, whichever task should have moved it; so is a run that
    never finished discovering, and a disposal that waits for a person longer than its limit is named beside them.
    """
    with context.engine.connect() as connection:
        rows = connection.execute(
            select(disposal.c.processor, disposal.c.outcome, disposal.c.code, func.count())
            .where(disposal.c.closed_on.is_(None), disposal.c.due_at <= context.as_of)
            .group_by(disposal.c.processor, disposal.c.outcome, disposal.c.code)
            .order_by(disposal.c.processor)
        ).all()
        found = [f"{p} {o}{f' ({c})' if c else ''} {n}" for p, o, c, n in rows]
        begun = connection.execute(select(run).where(run.c.run_id == run_id)).first()
    if begun is None:
        found.append("the run itself is not recorded")
    elif begun.dag_id == "nightly_retention" and begun.population is None:
        found.append("discover did not finish")
    elif begun.population and begun.population.get("unplannable"):
        found.append(f"accounts with a date nobody can plan with {begun.population['unplannable']}")
    return found


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


def export_run(context: Context, signing: Connection, run_id: UUID | None, folder: Path | None = None) -> Path:
    """Export the entries of a run (everything when `run_id` is None) and return the folder."""
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
    export(context.engine, target, first_index=first, vkey=signer.vkey, titles=titles(context), signer=signer)
    return target


def titles(context: Context) -> dict[str, str]:
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
    for place in schedule.processors.values():
        for dataset, categories in place.datasets.items():
            held = [schedule.categories[c].title for c in categories]
            named[dataset] = f"{', '.join(t.ko for t in held)} · {', '.join(t.en for t in held)}"
    return named
