"""What the landing page shows: one pass over what is open, one over what ended in the last nights, a few single rows.

Counts are made in SQL, and each open disposal is counted under exactly one state and one prospect:

    state      due, failed, person, held, waiting, kept, lapses
    prospect   late (its day is over), miss (the next look comes after its day), person, held, dated (the place or a
               law names a later date), in_time
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, case, func, or_, select, text

from include.console.reading import decisions, evidence
from include.database import disposal, quota, run
from include.database.decisions import night
from include.database.requests import request
from include.disposals import stopping

NIGHTLY = "nightly_retention"
NIGHTS = 14
AHEAD = 10
"""How many days of deadlines stand alone in the picture; what is later is one column."""
STATES = ("due", "failed", "person", "held", "waiting", "kept", "lapses")
ENDS = ("destroyed", "nothing", "anonymised", "attested", "kept", "expired", "cancelled")
PROSPECTS = ("late", "miss", "person", "held", "dated", "in_time")


@dataclass(frozen=True, slots=True)
class Open:
    """How many open disposals share a processor, a state, a prospect and a last day to destroy.

    Days that are over are one, under the oldest of them; days more than ten ahead are one, under None.
    """

    processor: str
    state: str
    prospect: str
    destroy_by: date | None
    count: int


@dataclass(frozen=True, slots=True)
class Ended:
    """How many disposals ended on a business date at a processor, and how."""

    closed_on: date
    processor: str
    end: str
    count: int


@dataclass(frozen=True, slots=True)
class Deadline:
    """One line of the burn-down: what has this last day at this processor; `past`: this day or later ones, all over."""

    day: date
    processor: str
    prospect: str
    count: int
    past: bool


def state(as_of: date) -> ColumnElement[str]:
    """Return the SQL of an open disposal's state."""
    d = disposal.c
    return case(
        (d.outcome.in_(("failed", "reappeared")), "failed"),
        (or_(d.needs_person, d.outcome == "manual_pending"), "person"),
        (d.outcome == "blocked", "held"),
        (d.outcome.in_(("retained", "retained_by_processor")), "kept"),
        (d.outcome == "expires_by_processor", "lapses"),
        (d.due_at <= as_of, "due"),
        else_="waiting",
    )


def prospect(as_of: date) -> ColumnElement[str]:
    """Return the SQL of what will become of an open disposal's last day."""
    d = disposal.c
    dated = and_(
        d.outcome.in_(("awaiting", "expires_by_processor", "retained", "retained_by_processor")),
        func.coalesce(d.until, d.due_at) >= as_of,
    )
    return case(
        (and_(d.outcome == "blocked", func.coalesce(d.code, "").startswith("hold_")), "held"),
        (and_(dated, func.coalesce(d.until, d.due_at) > d.destroy_by), "dated"),
        (d.destroy_by < as_of, "late"),
        (or_(d.needs_person, d.outcome == "manual_pending"), "person"),
        (or_(d.due_at.is_(None), d.due_at > d.destroy_by), "miss"),
        else_="in_time",
    )


def open_now(connection: Connection, as_of: date) -> list[Open]:
    """Return the open disposals, counted in one pass over an index that holds nothing else."""
    d = disposal.c
    day = case(
        (d.destroy_by < as_of, as_of - timedelta(days=1)),
        (d.destroy_by <= as_of + timedelta(days=AHEAD), d.destroy_by),
        else_=None,
    )
    columns = d.processor, state(as_of).label("state"), prospect(as_of).label("prospect"), day.label("day")
    rows = connection.execute(
        select(*columns, func.count(), func.min(d.destroy_by)).where(d.closed_on.is_(None)).group_by(*range_of(columns))
    )
    return [
        Open(place, state_, prospect_, oldest if day_ and day_ < as_of else day_, count)
        for place, state_, prospect_, day_, count, oldest in rows
    ]


def range_of(columns: Sequence[Any]) -> list[ColumnElement[Any]]:
    """Return `1, 2, …` for GROUP BY: the same expression twice would be two expressions to PostgreSQL."""
    return [text(str(n)) for n in range(1, len(columns) + 1)]  # type: ignore[misc]


def ended(connection: Connection, since: date) -> list[Ended]:
    """Return what ended on a business date from `since` on, counted."""
    d = disposal.c
    end = case(
        (and_(d.outcome == "confirmed_absent", d.count_before == 0), "nothing"),
        (d.outcome == "confirmed_absent", "destroyed"),
        (d.outcome == "confirmed_anonymised", "anonymised"),
        (d.outcome == "manual_attested", "attested"),
        (d.outcome.in_(("retained_by_processor", "retained")), "kept"),
        (d.outcome == "expires_by_processor", "expired"),
        else_="cancelled",
    )
    columns = d.closed_on, d.processor, end.label("end")
    rows = connection.execute(select(*columns, func.count()).where(d.closed_on >= since).group_by(*range_of(columns)))
    return [Ended(*row) for row in rows]


def nights(connection: Connection, *, count: int = NIGHTS) -> list[Any]:
    """Return the newest nightly runs, the newest first, with what the brake said."""
    return list(
        connection.execute(
            select(run, night.c.decision, night.c.reason)
            .join(night, night.c.run_id == run.c.run_id, isouter=True)
            .where(run.c.dag_id == NIGHTLY)
            .order_by(run.c.started_at.desc())
            .limit(count)
        )
    )


@dataclass(frozen=True, slots=True)
class Standing:
    """Single facts of this moment: the stop, running breach clocks, what is asked, and the state of the log."""

    stop: Any
    clocks: Sequence[stopping.Clock]
    asked: int
    unsealed: int
    size: int


def standing(connection: Connection, now: datetime) -> Standing:
    """Return them as they are `now`."""
    newest = evidence.newest(connection)
    return Standing(
        stop=stopping.current(connection),
        clocks=stopping.clocks(connection),
        asked=decisions.asked(connection, now),
        unsealed=evidence.unsealed(connection),
        size=newest.size if newest else 0,
    )


@dataclass(frozen=True, slots=True)
class AnswerDue:
    """How many unanswered requests are due on a day (the strictest clock, unrolled), and how many days are left."""

    day: date
    count: int
    left: int


def answers_due(connection: Connection, as_of: date) -> list[AnswerDue]:
    """Return the days on which requests must be answered, the first one first."""
    rows = connection.execute(
        select(request.c.due, func.count())
        .where(request.c.closed_on.is_(None))
        .group_by(request.c.due)
        .order_by(request.c.due)
        .limit(31)
    )
    return [AnswerDue(day, count, (day - as_of).days) for day, count in rows]


@dataclass(frozen=True, slots=True)
class QuotaUse:
    """One published limit: how many seconds of calls are reserved ahead, of a window of `seconds`."""

    processor: str
    quota: str
    ahead: int
    seconds: int

    @property
    def percent(self) -> int:
        """How much of one window is reserved; above 100 the next calls wait longer than a window."""
        return round(100 * self.ahead / self.seconds) if self.seconds else 0


def quotas(connection: Connection, windows: Mapping[tuple[str, str], float], now: datetime) -> list[QuotaUse]:
    """Return every published limit (`windows`: (processor, quota) to seconds) with what is reserved of it now."""
    free = {(r.processor, r.quota): r.next_free for r in connection.execute(select(quota))}
    return [
        QuotaUse(*key, max(0, round((free[key] - now).total_seconds())) if key in free else 0, round(seconds))
        for key, seconds in sorted(windows.items())
    ]


def by_processor(opened: Sequence[Open], over: Sequence[Ended], day: date | None) -> dict[str, Counter[str]]:
    """Return what each processor has open by state, and ended on `day` by end (under `end.<word>`)."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for row in opened:
        found[row.processor][row.state] += row.count
    for end in over:
        if end.closed_on == day:
            found[end.processor][f"end.{end.end}"] += end.count
    return dict(sorted(found.items()))


def deadlines(opened: Sequence[Open], as_of: date) -> list[Deadline]:
    """Return what missed its last day or will, ordered by that day and then the worst first.

    What is past is one line a processor and prospect, under its oldest day; what comes has a line a day. Days without
    anything to miss are left out.
    """
    counts: Counter[tuple[str, int, date | None]] = Counter()
    oldest: dict[tuple[str, int], date] = {}
    for row in opened:
        if row.destroy_by is None or row.prospect == "in_time":
            continue
        past = row.destroy_by < as_of
        key = row.processor, PROSPECTS.index(row.prospect)
        counts[*key, None if past else row.destroy_by] += row.count
        if past:
            oldest[key] = min(row.destroy_by, oldest.get(key, row.destroy_by))
    found = [
        Deadline(day or oldest[place, rank], place, PROSPECTS[rank], n, past=day is None)
        for (place, rank, day), n in counts.items()
    ]
    return sorted(found, key=lambda d: (d.day, PROSPECTS.index(d.prospect), d.processor))


def burn_down(opened: Sequence[Open], as_of: date) -> dict[str, Counter[str]]:
    """Return prospects per column of the picture: `past`, each of the next days as ISO date, `later`."""
    days = [as_of + timedelta(days=n) for n in range(AHEAD + 1)]
    found: dict[str, Counter[str]] = {name: Counter() for name in ("past", *(d.isoformat() for d in days), "later")}
    for row in opened:
        day = row.destroy_by
        key = "later" if day is None else "past" if day < as_of else day.isoformat()
        found[key][row.prospect] += row.count
    return found


def by_night(over: Sequence[Ended], days: Sequence[date]) -> dict[date, Counter[str]]:
    """Return what ended on each of these business dates."""
    found: dict[date, Counter[str]] = {day: Counter() for day in days}
    for row in over:
        if row.closed_on in found:
            found[row.closed_on][row.end] += row.count
    return found
