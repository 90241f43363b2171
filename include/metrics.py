"""The night in numbers, and what should wake somebody: read from our own database, nobody in them.

    numbers = read(session, as_of, now=now)              # {"retention.overdue.stripe": 3.0, …}
    for alert in alerts(numbers): ...                    # each has a section of its name in docs/runbooks.md

Names carry the processor, because plain StatsD drops tags. Numbers are states at the end of a run, so all are gauges
except `retention.runs.green` and `retention.runs.red`, which count.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from sqlalchemy import Connection, and_, case, func, or_, select

from include.database import checkpoint, disposal, entry, global_stop, quota
from include.database.scan import self_scan
from include.outcomes import Outcome

NEAR = timedelta(days=3)
"""How long before its last day an open disposal is called near."""

AHEAD = 6 * 3600.0
"""Seconds a quota may be reserved ahead before somebody should know: longer than a night."""

DATED = (
    Outcome.AWAITING.value, Outcome.EXPIRES_BY_PROCESSOR.value, Outcome.RETAINED.value, Outcome.MANUAL_PENDING.value,
)  # fmt: skip
DESTROYED = (Outcome.CONFIRMED_ABSENT.value, Outcome.CONFIRMED_ANONYMISED.value)


@dataclass(frozen=True, slots=True)
class Alert:
    """Something for a person: `name` is its section in docs/runbooks.md, `count` how many, `where` which processors."""

    name: str
    count: int
    where: tuple[str, ...] = ()

    def __str__(self) -> str:
        places = f" ({', '.join(self.where)})" if self.where else ""
        return f"{self.name}: {self.count}{places}"


def read(session: Connection, as_of: date, *, now: datetime) -> dict[str, float]:
    """Return every number on business date `as_of`; `now` is real UTC, for quotas.

    Per processor: `due` (open, to be worked on up to today), `waiting` (open, with a later date or none), `person`
    (only a person moves it), `held` (a hold blocks it), `failed`, `reappeared`, `confirmed` (read back as gone),
    `near` and `overdue` (last day to destroy close or past, with neither a hold nor a date), `dated` (past it, and the
    place names a later date: Stripe's ninety days, Clarity's expiry, a lock, a request to a vendor that is not late).
    """
    numbers: dict[str, float] = defaultdict(float)
    numbers |= _disposals(session, as_of)
    for processor, name, free in session.execute(select(quota.c.processor, quota.c.quota, quota.c.next_free)):
        numbers[f"retention.quota_ahead.{processor}.{name}"] = max(0.0, (free - now).total_seconds())
    standing = select(func.count()).where(global_stop.c.released_at.is_(None))
    numbers["retention.stopped"] = float(session.execute(standing).scalar_one())
    unsealed = select(func.count()).where(entry.c.log_index.is_(None))
    numbers["retention.evidence.unsealed"] = float(session.execute(unsealed).scalar_one())
    found = select(self_scan.c.hits).order_by(self_scan.c.finished_at.desc()).limit(1)
    numbers["retention.scan.hits"] = float(session.execute(found).scalar() or 0)
    size = select(func.coalesce(func.max(checkpoint.c.size), 0))
    numbers["retention.evidence.size"] = float(session.execute(size).scalar_one())
    return dict(numbers)


def _disposals(session: Connection, as_of: date) -> dict[str, float]:
    """Count in the database, so that the work does not grow into this process."""
    d = disposal.c
    is_open = d.closed_on.is_(None)
    held = and_(d.outcome == "blocked", func.coalesce(d.code, "").startswith("hold_"))
    dated = and_(d.outcome.in_(DATED), func.coalesce(d.until, d.due_at) >= as_of)
    loose = and_(is_open, ~held, ~func.coalesce(dated, False))
    counted = {
        "due": and_(is_open, d.due_at <= as_of),
        "waiting": and_(is_open, or_(d.due_at.is_(None), d.due_at > as_of)),
        "person": and_(is_open, or_(d.needs_person, d.outcome == "manual_pending")),
        "held": and_(is_open, held),
        "failed": and_(is_open, d.outcome == "failed"),
        "reappeared": d.outcome == "reappeared",
        "confirmed": d.outcome.in_(DESTROYED),
        "near": and_(loose, d.destroy_by >= as_of, d.destroy_by <= as_of + NEAR),
        "overdue": and_(loose, d.destroy_by < as_of),
        "dated": and_(is_open, dated, d.destroy_by < as_of),
    }
    columns = [func.sum(case((condition, 1), else_=0)).label(name) for name, condition in counted.items()]
    rows = session.execute(select(d.processor, *columns).group_by(d.processor)).mappings()
    return {f"retention.{name}.{row['processor']}": float(row[name]) for row in rows for name in counted}


def alerts(numbers: Mapping[str, float], *, gaps: int = 0) -> list[Alert]:
    """Return what should wake somebody, the worst first; `gaps` is how much a run promised and did not prove."""
    found = [Alert("promised_not_proven", gaps)] if gaps else []
    if numbers.get("retention.scan.hits"):
        found.append(Alert("personal_data_found", int(numbers["retention.scan.hits"])))
    for name in ("overdue", "reappeared", "failed", "near", "person"):
        where = {key.rpartition(".")[2]: n for key, n in numbers.items() if key.startswith(f"retention.{name}.") and n}
        if where:
            found.append(Alert(name, int(sum(where.values())), tuple(sorted(where))))
    if numbers.get("retention.stopped"):
        found.append(Alert("stopped", 1))
    ahead = [k.removeprefix("retention.quota_ahead.") for k, n in numbers.items() if "quota_ahead" in k and n > AHEAD]
    if ahead:
        found.append(Alert("quota", len(ahead), tuple(sorted(ahead))))
    return found


NAMES = (
    "promised_not_proven", "personal_data_found", "overdue", "reappeared", "failed", "near", "person", "stopped",
    "quota",
)  # fmt: skip
"""Every alert there is, apart from those Airflow raises itself (`night_late`, `audit_failed`)."""
