"""State and evidence together: how a disposal's row and its entry change in one transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, bindparam, delete, update

from include.database import among, disposal, locator
from include.disposals import locators, tombstones
from include.disposals.context import Context, Decision
from include.evidence.entries import is_code, is_request_id
from include.evidence.log import stage
from include.outcomes import TERMINAL, Outcome
from include.processors import STALE_LOCATOR, Result


@dataclass(frozen=True, slots=True)
class Change:
    """One disposal's new state: the fields of `Result` that count, the step it belongs to, and when to look again."""

    result: Result
    step: str | None = None
    next_step: str | None = None
    method: str | None = None
    due_at: date | None = None
    closed_on: date | None = None
    hold_kinds: tuple[str, ...] = ()
    exceptions: tuple[Mapping[str, Any], ...] = ()
    proof: Mapping[str, Any] = field(default_factory=dict)
    """Further fields of the entry: what attests a manual step."""


def utc_seconds(moment: datetime | None = None) -> str:
    """Return real UTC to the second, as entries carry it."""
    return (moment or datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%SZ")


def base_entry(context: Context | Decision, event: str) -> dict[str, Any]:
    """Return the fields every entry has."""
    fields: dict[str, Any] = {
        "schema": "erasure-evidence/1",
        "event": event,
        "recorded_at": utc_seconds(),
        "as_of": context.as_of.isoformat(),
        "policy_sha256": context.schedule.sha256,
    }
    if context.run_id:
        fields["run"] = {
            "dag": context.dag_id,
            "run_id": str(context.run_id),
            "try": context.attempt,
            "version": context.version,
        }
    return fields


def run_entry(context: Context, run_id: UUID, event: str, **fields: Any) -> dict[str, Any]:
    """Return an entry about a whole run."""
    entry = base_entry(context, event)
    entry["run"] = {
        "dag": context.dag_id,
        "run_id": str(run_id),
        "try": context.attempt,
        "version": context.version,
    }
    return entry | fields


def disposal_entry(
    context: Context | Decision, row: Row[Any] | Mapping[str, Any], event: str, **fields: Any
) -> dict[str, Any]:
    """Return an entry about one disposal: who (by tag), what, where, why and when it fell due."""
    values = dict(row) if isinstance(row, Mapping) else dict(row._mapping)
    identity = {
        "disposal_id": str(values["disposal_id"]),
        "subject_tag": values["subject_tag"],
        "key_epoch": values["key_epoch"],
        "subject_type": values["subject_type"],
        "processor": values["processor"],
        "scope": values["scope_id"],
        "datasets": list(values["datasets"]),
        "categories": list(values["categories"]),
        "rule_id": values["rule_id"],
        "rule_version": values["rule_version"],
        "trigger_event": values["trigger_event"],
        "trigger_date": values["trigger_date"].isoformat(),
        "last_day": values["last_day"].isoformat(),
        "free_from": values["free_from"].isoformat(),
        "destroy_by": values["destroy_by"].isoformat(),
    }
    given = {k: v for k, v in fields.items() if v is not None and v != [] and v != ()}
    # A disposal is judged by the schedule version it was planned under, whatever governs tonight.
    return base_entry(context, event) | {"policy_sha256": values["schedule_sha256"]} | identity | given


def change_entry(context: Context, row: Row[Any], change: Change) -> dict[str, Any]:
    """Return the entry for one change of state."""
    result = change.result
    closed = change.closed_on is not None and result.outcome in TERMINAL
    return disposal_entry(
        context,
        row,
        str(result.outcome),
        step=change.step,
        method=change.method,
        code=word(result.code),
        until=result.until.isoformat() if result.until else None,
        basis=word(result.basis),
        count_before=row.count_before if closed else (result.count if result.outcome is Outcome.LOCATED else None),
        count_after=result.count if closed else None,
        verify_method=word(result.verify_method),
        http_status=result.http_status,
        vendor_request_id=result.request_id if result.request_id and is_request_id(result.request_id) else None,
        backup_expires_on=result.backup_expires_on.isoformat() if closed and result.backup_expires_on else None,
        receipt_sha256=result.receipt_sha256,
        hold_kinds=list(change.hold_kinds),
        counts={word(k): n for k, n in result.counts.items()} or None,
        exceptions=[dict(e) for e in (*change.exceptions, *result.exceptions)],
        **change.proof,
    )


def word(value: str | None) -> str | None:
    """Return a code that may stand in evidence; whatever a processor answered, it never stops the record of the act."""
    return value if value is None or is_code(value) else "unlisted_code"


def apply(connection: Connection, context: Context, rows: Mapping[str, Row[Any]], changes: Sequence[Change]) -> None:
    """Write new states and entries in the caller's transaction; a closed disposal loses locator and account id."""
    if not changes:
        return
    told = [c for c in changes if not _repeats(rows[c.result.disposal_id], c)]
    stage(
        connection,
        [change_entry(context, rows[c.result.disposal_id], c) for c in told],
        [c.result.disposal_id for c in told],
    )
    connection.execute(
        update(disposal)
        .where(disposal.c.disposal_id == bindparam("b_id"))
        .values(
            {
                name: bindparam(f"b_{name}")
                for name in (
                    "outcome", "code", "until", "basis", "step", "due_at", "closed_on", "needs_person",
                    "count_before", "count_after", "account_id", "updated_at",
                )
            }
        ),
        [_values(rows[c.result.disposal_id], c) for c in changes],
    )  # fmt: skip
    tombstones.settle(connection, context, {c.result.disposal_id: c.result.outcome for c in changes if c.closed_on})
    stale = [c.result.disposal_id for c in changes if c.closed_on is None and c.result.code == STALE_LOCATOR]
    lookup = locators.carried(connection, context, {i: rows[i] for i in stale})
    over = [UUID(i) for i in (*stale, *(c.result.disposal_id for c in changes if c.closed_on is not None))]
    if over:
        connection.execute(delete(locator).where(among(locator.c.disposal_id, over)))
    locators.save(connection, context, "search", lookup)


def _repeats(row: Row[Any], change: Change) -> bool:
    """Return whether this only says again what the log says already: still held, or still not to be searched."""
    return (
        change.step in ("locate", None)
        and change.result.outcome in (Outcome.BLOCKED, Outcome.FAILED)
        and (row.outcome, row.code) == (change.result.outcome, word(change.result.code))
    )


def _values(row: Row[Any], change: Change) -> dict[str, Any]:
    result = change.result
    located = result.outcome is Outcome.LOCATED
    return {
        "b_id": row.disposal_id,
        "b_outcome": str(result.outcome),
        "b_code": word(result.code),
        "b_until": result.until,
        "b_basis": result.basis,
        "b_step": change.next_step,
        "b_due_at": change.due_at,
        "b_closed_on": change.closed_on,
        "b_needs_person": result.needs_person,
        "b_count_before": result.count if located else row.count_before,
        "b_count_after": result.count if change.closed_on is not None else row.count_after,
        "b_account_id": None if change.closed_on is not None else row.account_id,
        "b_updated_at": datetime.now(UTC),
    }
