"""Exports for people: of one run, or of what somebody asked for."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from functools import partial
from pathlib import Path
from uuid import UUID

from sqlalchemy import func, select, update

from include.connections import Connection
from include.database import entry, run
from include.database.decisions import offboarding
from include.disposals.context import Context
from include.disposals.reporting import export_run
from include.errors import EvidenceError
from include.evidence import proofs
from include.evidence.lives import Selection
from include.evidence.people import add_people_files
from include.evidence.store import EvidenceStore


def export_of_run(
    context: Context, signing: Connection, store: Connection, *, dag_id: str, airflow_run_id: str
) -> Path:
    """Write the export of one run again, now with what people read, and return its folder."""
    with context.engine.connect() as connection:
        of = connection.execute(
            select(run.c.run_id, run.c.as_of).where(run.c.dag_id == dag_id, run.c.airflow_run_id == airflow_run_id)
        ).first()
    if of is None:
        raise EvidenceError(f"No run of {dag_id} is recorded under the id this export was triggered with.")
    night = replace(context, as_of=of.as_of)
    return export_run(
        night, signing, of.run_id, store=EvidenceStore.of(store), extras=partial(_extras, selection=Selection())
    )


def export_asked(
    context: Context, signing: Connection, store: Connection, *, asked: Mapping[str, str], full: bool, name: str
) -> Path:
    """Write an export for a period, a processor, a request or a subject, into a folder of its own; return it.

    `asked` has the keys from, to, processor, request and subject_tag, each only where it was given. A request's export
    is that of its subject, because what became of the request is what became of the subject's disposals.
    """
    tag = asked.get("subject_tag", "")
    if "request" in asked:
        tag = _subject_of(context, asked["request"], tag)
    selection = Selection(asked.get("from", ""), asked.get("to", ""), asked.get("processor", ""), tag)
    place = EvidenceStore.of(store)
    extras = partial(_extras, selection=selection, prove=partial(proofs.row_proof_at, place))
    root = Path(os.environ.get("RETENTION_EXPORTS", ".local/exports"))
    folder = root / f"asked-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
    run_id = None if full else _first_run(context, selection.start)
    return export_run(context, signing, run_id, folder, store=place, extras=extras)


def certify_endings(context: Context, signing: Connection, store: Connection) -> list[Path]:
    """Write the one certificate of every ended contract that was closed since, with its subjects' tags; return them.

    It stands on an export from the first night of the ending on. One that could not be written is tried by the next
    run; once written it is named in the table, by folder.
    """
    wanted = select(offboarding).where(offboarding.c.closed_on.is_not(None), offboarding.c.certificate.is_(None))
    with context.engine.connect() as connection:
        closed = connection.execute(wanted.order_by(offboarding.c.ended_on)).all()
    written = []
    for row in closed:
        asked = {"processor": row.processor, "from": row.first_night.isoformat()}
        # Named after the night that closed it, so that one which was cut off is replaced, not joined.
        night = replace(context, as_of=row.closed_on)
        folder = export_asked(night, signing, store, asked=asked, full=False, name=str(row.offboarding_id))
        with context.engine.begin() as connection:
            connection.execute(
                update(offboarding)
                .where(offboarding.c.offboarding_id == row.offboarding_id)
                .values(certificate=f"{folder.parent.name}/{folder.name}")
            )
        written.append(folder)
    return written


def _extras(
    folder: Path, *, selection: Selection, prove: Callable[[str, int, int], str] | None = None
) -> Sequence[Path]:
    return add_people_files(
        folder,
        selection=selection,
        processors=(selection.processor,) if selection.processor and not selection.subject_tag else (),
        subject_tags=(selection.subject_tag,) if selection.subject_tag else (),
        prove=prove,
    )


def _subject_of(context: Context, request_id: str, tag: str) -> str:
    """Return the tag of the subject whose request it is, from the entry that records it."""
    named = f'"request_id":"{UUID(request_id)}"'.encode()
    with context.engine.connect() as connection:
        bodies = connection.execute(
            select(entry.c.body)
            .where(func.strpos(func.encode(entry.c.body, "escape"), func.encode(named, "escape")) > 0)
            .order_by(entry.c.entry_id)
        ).scalars()
        tags = {found for body in bodies if (found := json.loads(body).get("subject_tag"))}
    if len(tags) != 1 or (tag and tag not in tags):
        raise EvidenceError(
            f"The log records {len(tags)} subjects of a request {request_id}, and an export is about one"
            + (", the one whose tag was given. Nothing was exported." if tag else ". Nothing was exported.")
        )
    return str(tags.pop())


def _first_run(context: Context, start: str) -> UUID:
    """Return the run an export that is not whole begins with: the first of the period, or the newest."""
    order = run.c.started_at.asc() if start else run.c.started_at.desc()
    wanted = select(run.c.run_id).order_by(order).limit(1)
    if start:
        wanted = wanted.where(run.c.as_of >= date.fromisoformat(start))
    with context.engine.connect() as connection:
        found = connection.execute(wanted).scalar()
    if found is None:
        raise EvidenceError("No run lies in this period, so nothing can be exported for it.")
    return UUID(str(found))
