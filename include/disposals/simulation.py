"""A new schedule version tried on the accounts as they are now; nothing is changed anywhere.

Reads `accounts_db` and, for the holds people placed, `retention_db` from `AIRFLOW_CONN_…`, as Airflow does.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import date
from itertools import islice

from sqlalchemy import Engine

from include import accounts, database
from include.connections import Connection
from include.disposals import holds
from include.policy.facts import AccountFacts, Hold
from include.policy.schedule import Schedule
from include.policy.simulation import Difference, Move, difference

CHUNK = 1000
SHOWN = 12
"""Moved days shown of each rule at each place, unless all are asked for."""


def current_difference(old: Schedule, new: Schedule, as_of: date, *, every_day: bool = False) -> list[str]:
    """Return the difference by rule and place over today's accounts, as lines of text: counts and days, nobody.

    Of each rule at each place the first `SHOWN` moved days are listed, or all with `every_day`.
    """
    with ExitStack() as stack:
        companys, ours = (
            database.connect(Connection.from_environment(name)) for name in ("accounts_db", "retention_db")
        )
        stack.callback(companys.dispose)
        stack.callback(ours.dispose)
        found = difference(population(companys, ours, new), old, new, as_of)
    return [*_told(found, old, new, as_of), *_moved(found, None if every_day else SHOWN)]


def population(companys: Engine, ours: Engine, schedule: Schedule) -> Iterator[tuple[AccountFacts, list[Hold]]]:
    """Yield every account with its holds, computed and placed, in batches."""
    return held_population(accounts.Accounts(companys, schedule.processors["own_database"].settings), ours)


def held_population(reader: accounts.Accounts, ours: Engine) -> Iterator[tuple[AccountFacts, list[Hold]]]:
    """Yield every account a reader knows with its holds, computed and placed, in batches."""
    ids = iter(reader.every())
    while chunk := list(islice(ids, CHUNK)):
        computed = reader.computed_holds(chunk)
        with ours.connect() as connection:
            placed = holds.placed(connection, chunk)
        for facts in reader.facts(chunk):
            yield facts, [*computed.get(facts.account_id, []), *placed.get(facts.account_id, [])]


def _told(found: Difference, old: Schedule, new: Schedule, as_of: date) -> list[str]:
    head = (
        f"{found.accounts} accounts on {as_of}: version {old.version} ({old.sha256[:12]}) -> "
        f"version {new.version} ({new.sha256[:12]})"
    )
    columns = ("due before", "due after", "newly due", "no longer", "earlier", "later", "added", "removed")
    lines = [head, f"{'place:rule':<28}" + "".join(f"{c:>12}" for c in columns)]
    moved = False
    for line in found.lines:
        counts = (line.due_before, line.due_after, line.newly_due, line.no_longer_due,
                  line.earlier, line.later, line.added, line.removed)  # fmt: skip
        moved = moved or any(counts[2:])
        lines.append(f"{line.key:<28}" + "".join(f"{n:>12}" for n in counts))
    if found.unplannable:
        lines.append(f"{found.unplannable} accounts have a date nobody can plan with; they are not in the counts.")
    newly, limit = sum(found.newly_due.values()), new.settings.brake.schedule_change
    if not moved:
        lines.append("Nobody's date moves.")
    if newly > limit:
        lines.append(f"{newly} disposals become due at once, more than {limit}: its first night asks a second person.")
    return lines


def _moved(found: Difference, most: int | None) -> list[str]:
    """Return which days move, by rule and place: from, to, how many disposals, by how many days."""
    by_key: dict[str, list[Move]] = {}
    for move in found.moves:
        by_key.setdefault(move.key, []).append(move)
    lines = ["", f"{'place:rule':<28}{'due from':>12}{'now from':>12}{'disposals':>12}{'days':>8}"] if by_key else []
    for key, moves in by_key.items():
        for move in moves[:most]:
            both = move.before and move.after
            days = f"{(move.after - move.before).days:+d}" if both else "added" if move.after else "removed"  # type: ignore[operator]
            lines.append(f"{key:<28}{move.before or '-'!s:>12}{move.after or '-'!s:>12}{move.count:>12}{days:>8}")
        if left := moves[len(moves) if most is None else most :]:
            n = sum(m.count for m in left)
            lines.append(f"{key:<28}... {len(left)} more pairs of days, {n} disposals: --every-day lists them")
    return lines
