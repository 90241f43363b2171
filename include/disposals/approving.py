"""Which schedule version governs, and from when; and the officer's monthly signature under the ledger.

A version governs from its effective day, and only after the privacy officer's `policy_approved` entry over its sha256
and the policy text's. Where it changes people's terms, its notice went out in time: seven days before, thirty where
rights change materially (policy text 12), counted back with the effective day excluded.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from sqlalchemy import Connection, func, insert, or_, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from include.database import checkpoint, disposal, schedule_version
from include.database.decisions import ledger_check
from include.disposals.context import Context, Decision
from include.disposals.record import base_entry
from include.errors import DecisionRefused, ScheduleError
from include.evidence.log import stage
from include.policy import schedule as schedules
from include.policy.deadlines import notice_day
from include.policy.schedule import Schedule

CHANGES = ("none", "minor", "material")
"""What a version changes for people: nothing (our own thresholds or places' settings), something, or their rights."""


@dataclass(frozen=True, slots=True)
class Notice:
    """What the officer says of a version. `change` may stay None for the first one and where nothing changes."""

    effective_on: date
    change: str | None = None
    sent_on: date | None = None


def approve_schedule(context: Context | Decision, *, role: str, pseudonym: str, notice: Notice | None = None) -> None:
    """Let the schedule in `context` govern from the notice's effective day (default: at once).

    Approving it again adds nothing. Refused: another role than the officer's, a notice that is missing or too late,
    and `none` where rules, holds, categories or the policy text differ.
    """
    officer = context.schedule.privacy_officer_role
    if role != officer:
        raise DecisionRefused(f"Only the role {officer!r} may approve a schedule; {role!r} may not.")
    said = notice or Notice(context.as_of)
    with context.engine.begin() as connection:
        remember_schedule(connection, context)
        change = _check_notice(connection, context.schedule, said)
        done = connection.execute(
            update(schedule_version)
            .where(schedule_version.c.sha256 == context.schedule.sha256, schedule_version.c.approved_at.is_(None))
            .values(
                approved_by=f"{role}:{pseudonym}",
                approved_at=func.now(),
                effective_on=said.effective_on,
                change=change,
                notice_sent_on=said.sent_on,
            )
        )
        if done.rowcount:
            fields: dict[str, Any] = {
                "policy_text_sha256": context.schedule.policy_text_sha256,
                "actor": {"role": role, "pseudonym": pseudonym},
                "code": f"change_{change}",
                "until": said.effective_on.isoformat(),
            }
            if said.sent_on is not None:
                fields["proof_date"] = said.sent_on.isoformat()  # the day people were told
            stage(connection, [base_entry(context, "policy_approved") | fields])


def sign_ledger(context: Context | Decision, *, month: str, role: str, pseudonym: str) -> dict[str, int]:
    """Record the officer's check of a month that is over; return the exceptions it was signed with, as counts.

    The signature binds the newest checkpoint (log size and root), so what was signed can be proven later. Signing the
    same month again adds nothing.
    """
    officer = context.schedule.privacy_officer_role
    if role != officer:
        raise DecisionRefused(f"Only the role {officer!r} signs the ledger; {role!r} may not.")
    if not re.fullmatch(r"20\d\d-(0[1-9]|1[0-2])", month) or month >= f"{context.as_of:%Y-%m}":
        raise DecisionRefused(f"The month to sign is over, written YYYY-MM; today is {context.as_of}.")
    with context.engine.begin() as connection:
        known = connection.execute(select(ledger_check).where(ledger_check.c.month == month)).first()
        if known is not None:
            return dict(known.exceptions)
        sealed = connection.execute(select(checkpoint).order_by(checkpoint.c.size.desc()).limit(1)).first()
        if sealed is None:
            raise DecisionRefused("Nothing is sealed yet, so there is no ledger to sign.")
        found = exceptions(connection, month)
        connection.execute(
            insert(ledger_check).values(
                month=month,
                log_size=sealed.size,
                log_root=sealed.root.hex(),
                exceptions=found,
                signed_by=f"{role}:{pseudonym}",
                signed_on=context.as_of,
            )
        )
        entry = base_entry(context, "cpo_check") | {
            "actor": {"role": role, "pseudonym": pseudonym},
            "code": f"month_{month.replace('-', '_')}",
            "counts": found,
            "log_size": sealed.size,
            "log_root": sealed.root.hex(),
        }
        stage(connection, [entry])
    return found


def exceptions(connection: Connection, month: str) -> dict[str, int]:
    """Return what of a month's ledger is not as it should be, by code: late, open past its day, failed, undecided."""
    start = date.fromisoformat(f"{month}-01")
    end = (start + timedelta(days=32)).replace(day=1)
    c = disposal.c
    due = (c.destroy_by >= start, c.destroy_by < end)
    asked = {
        "closed": (c.closed_on >= start, c.closed_on < end),
        "closed_late": (c.closed_on >= start, c.closed_on < end, c.closed_on > c.destroy_by),
        "open_past_its_day": (*due, c.closed_on.is_(None)),
        "held": (*due, c.closed_on.is_(None), c.code.startswith("hold_")),
        "not_let_go": (*due, c.closed_on.is_(None), c.gate.is_not(None)),
        "waits_for_a_person": (
            *due, c.closed_on.is_(None), or_(c.needs_person, c.outcome == "manual_pending"),
        ),
        "failed": (*due, c.closed_on.is_(None), c.outcome == "failed"),
        "reappeared": (*due, c.outcome == "reappeared"),
    }  # fmt: skip
    return {
        code: connection.execute(select(func.count()).select_from(disposal).where(*where)).scalar_one()
        for code, where in asked.items()
    }


def remember_schedule(connection: Connection, context: Context | Decision) -> None:
    """Store the schedule's bytes under its sha256, unapproved."""
    connection.execute(
        upsert(schedule_version)
        .values(
            sha256=context.schedule.sha256,
            policy_text_sha256=context.schedule.policy_text_sha256,
            body=context.schedule.body,
        )
        .on_conflict_do_nothing()
    )


def _check_notice(connection: Connection, new: Schedule, said: Notice) -> str:
    """Return what the version changes for people, or refuse it."""
    before = connection.execute(
        select(schedule_version.c.sha256, schedule_version.c.body)
        .where(schedule_version.c.approved_at.is_not(None))
        .order_by(schedule_version.c.approved_at.desc())
        .limit(1)
    ).first()
    if before is None or before.sha256 == new.sha256:
        return "first"
    differs = _differs(bytes(before.body), new)
    change = said.change or ("none" if not differs else None)
    if change is None or (change == "none" and differs):
        raise DecisionRefused(
            f"This version changes {', '.join(differs)}. Say what that means for people: --change minor or material, "
            "with --notice-sent-on and --effective-on."
        )
    if change == "none":
        return change
    days = new.settings.notice_days_material if change == "material" else new.settings.notice_days
    last = notice_day(said.effective_on, days=days)
    if said.sent_on is None or said.sent_on > last:
        raise DecisionRefused(
            f"A {change} change that takes effect on {said.effective_on} needs its notice sent by {last} "
            f"({days} days before); sent: {said.sent_on or 'not stated'}. Choose a later effective day."
        )
    return change


def _differs(before: bytes, new: Schedule) -> list[str]:
    """Return which parts that people's terms rest on differ from the last approved version."""
    try:
        old = schedules.parse(before, file="stored schedule")
    except ScheduleError:
        return ["everything (the last version cannot be read here)"]
    parts = ("policy_text_sha256", "rules", "holds", "categories", "closed_lists", "purposes", "period_rules")
    found = [p.replace("_sha256", "").replace("_", " ") for p in parts if _plain(old, p) != _plain(new, p)]
    entrusted = ("title", "entrusted", "foreign", "datasets")
    places = [{n: tuple(getattr(s, e) for e in entrusted) for n, s in x.processors.items()} for x in (old, new)]
    return found + (["processors"] if places[0] != places[1] else [])


def _plain(schedule: Schedule, part: str) -> Any:
    value = getattr(schedule, part)
    return dict(value) if hasattr(value, "items") else value
