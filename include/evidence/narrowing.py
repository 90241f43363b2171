"""Answering a question from the entries it is about, so that a page can: the same answer, fewer entries read.

    source = NarrowSource(engine)
    QUESTIONS["late"].answer(source.about("late", asked), asked)        # as over `DatabaseSource.entries()`

Which entries a question is about is found in `entry_find` and `entry_life`, which hold what the sealed entries say and
nothing of our own state: a disposal that our tables call closed and the log does not is open here. The answer is made
of the entries themselves. A test asks every question both ways. What needs more than `LIMIT` entries is refused with
the command that reads them all.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from functools import partial
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Engine, Select, func, or_, select

from include.database import among, entry
from include.database.finding import entry_find, entry_life
from include.errors import EvidenceError
from include.evidence.answers import Asked, Entry
from include.evidence.finding import catch_up, disposals_of, sealed_size
from include.evidence.verify import DESTROYED

LIMIT = 100_000
PAGE = 5_000
EVENTS: dict[str, tuple[str, ...]] = {
    "requests": ("request_received", "request_answered"),
    "refusals": ("request_received", "request_answered", "notice_sent"),
    "holds": ("hold_placed", "hold_reviewed", "hold_released"),
    "cold-storage": ("archive_written", "archive_destroyed"),
    "outlived": ("archive_written", "archive_destroyed"),
    "cold-reads": ("archive_read",),
    "beyond-list": ("archive_inventory",),
    "rule-changes": ("policy_approved",),
    "notices": ("notice_sent", "policy_approved"),
}
"""Questions whose answer rests on some kinds of entries only. Without `rules.json` changes of dates are not counted."""

_C, _LIFE = entry_find.c, entry_life.c
Chosen = Select[tuple[int]]


def _rows(*where: ColumnElement[bool]) -> Chosen:
    return select(_C.log_index).where(*where)


def _kinds(kinds: Sequence[str], connection: Connection, asked: Asked) -> Chosen:
    return _rows(_C.event.in_(kinds))


def _paper(connection: Connection, asked: Asked) -> Chosen:
    return _rows(_C.processor == "paper", _C.event.in_((*DESTROYED, "manual_attested")))


def _policy_of(connection: Connection, asked: Asked) -> Chosen:
    return _rows(or_(_C.event == "policy_approved", _C.log_index == asked.index))


def _of(disposals: list[UUID] | Select[tuple[UUID]]) -> Chosen:
    inside = entry.c.disposal_id.in_(disposals) if isinstance(disposals, Select) else among(
        entry.c.disposal_id, disposals
    )  # fmt: skip
    return select(entry.c.log_index).where(inside, entry.c.log_index.is_not(None))


def _tagged(connection: Connection, asked: Asked) -> Chosen:
    return _of(disposals_of(connection, asked.tags))


def _open(connection: Connection, asked: Asked) -> Chosen:
    """Entries of every disposal that the log leaves open, or closes only after the asked date."""
    return _of([disposal_id for disposal_id, _ in _left_open(connection, asked)])


def _left_open(connection: Connection, asked: Asked) -> list[tuple[UUID, int]]:
    """Return these disposals, each with its last entry: as values, so that PostgreSQL looks each up in an index.

    More than `LIMIT` are more entries than an answer may rest on; the rest is not needed to see that.
    """
    chosen = select(_LIFE.disposal_id, _LIFE.last_index).limit(LIMIT + 1)
    rows = list(connection.execute(chosen.where(_LIFE.closed_on.is_(None))))
    if asked.on:
        rows += connection.execute(chosen.where(_LIFE.closed_on > date.fromisoformat(asked.on)))
    return [(disposal_id, last) for disposal_id, last in rows]


def _backups(connection: Connection, asked: Asked) -> Chosen:
    expires = _C.backup_until >= date.fromisoformat(asked.on)
    return _rows(or_(_C.event.in_(("archive_destroyed", "key_destroyed")), expires))


def _restored(connection: Connection, asked: Asked) -> Chosen:
    """What was restored or decided, and the whole life of whatever reappeared."""
    back = select(entry.c.disposal_id).join(entry_find, _C.log_index == entry.c.log_index)
    lives = _of(back.where(_C.event == "reappeared").distinct())
    return _rows(_C.event.in_(("restored", "sighting_decided"))).union_all(lives)  # type: ignore[return-value]


def _corrected(connection: Connection, asked: Asked) -> Chosen:
    of = {last: disposal_id for disposal_id, last in _left_open(connection, Asked())}
    waiting = connection.execute(_rows(among(_C.log_index, list(of)), _C.code == "hold_h-5"))
    return _of([of[row.log_index] for row in waiting])


def _reconciled(connection: Connection, asked: Asked) -> Chosen:
    return _rows(_C.event == "population").union_all(_open(connection, Asked()))  # type: ignore[return-value]


BY: dict[str, Callable[[Connection, Asked], Chosen]] = {
    "was-destroyed": _tagged,
    "still-held": _tagged,
    "due-not-done": _open,
    "late": lambda c, a: _rows(_C.late),
    "early": lambda c, a: _rows(_C.early),
    "unconfirmed": lambda c, a: _open(c, Asked()),
    "who": lambda c, a: _rows(_C.people),
    "paper": _paper,
    "backups": _backups,
    "restores": _restored,
    "policy-of": _policy_of,
    "corrections": _corrected,
    "end-users": lambda c, a: _rows(_C.rule_id == "R-12"),
    "reconcile": _reconciled,
    "run": lambda c, a: _rows(_C.run_id == UUID(a.run_id)),
}
BY |= {name: partial(_kinds, kinds) for name, kinds in EVENTS.items()}
"""How each question finds its entries; `scan` and `keys` are about every entry there is."""


class NarrowSource:
    """Reads, up to the newest checkpoint, the entries that one question is about.

    What a seal left out of the derived tables is added first, so that no answer lacks it.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.size = catch_up(engine)
        self.read = 0

    def about(self, name: str, asked: Asked) -> Iterator[tuple[int, Entry]]:
        """Yield index and entry, in log order; refuse what would take a page too long."""
        with self._engine.connect() as connection:
            made = BY.get(name)
            chosen = made(connection, asked) if made else _rows()
            indexes = chosen.subquery()
            first = indexes.c[0]
            within = select(first).where(first < self.size).limit(LIMIT + 1).subquery()
            self.read = int(connection.execute(select(func.count()).select_from(within)).scalar_one())
            if self.read > LIMIT:
                raise EvidenceError(
                    f"This answer rests on more than {LIMIT:,} entries, too many for a page. Ask it as a command: "
                    f"python -m include.evidence ask {name}"
                )
            found = sorted(connection.execute(select(first).where(first < self.size)).scalars())
            yield from bodies(connection, found)


def bodies(connection: Connection, indexes: Sequence[int]) -> Iterator[tuple[int, Entry]]:
    """Yield index and content of the entries at these log indexes, in pages, each page in log order."""
    for at in range(0, len(indexes), PAGE):
        rows = connection.execute(
            select(entry.c.log_index, entry.c.body)
            .where(among(entry.c.log_index, indexes[at : at + PAGE]))
            .order_by(entry.c.log_index)
        )
        yield from ((index, _entry(body)) for index, body in rows)


def _entry(body: bytes) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(bytes(body))
    return read


def one(engine: Engine, index: int) -> tuple[bytes, Entry] | None:
    """Return the bytes and the content of one sealed entry, or None where there is none."""
    if not 0 <= index < sealed_size(engine):
        return None
    with engine.connect() as connection:
        body = connection.execute(select(entry.c.body).where(entry.c.log_index == index)).scalar()
    return None if body is None else (bytes(body), _entry(body))


def life_of(engine: Engine, disposal_id: UUID) -> list[tuple[int, Entry]]:
    """Return the sealed entries of one disposal, in log order."""
    size = sealed_size(engine)
    with engine.connect() as connection:
        rows = connection.execute(
            select(entry.c.log_index, entry.c.body)
            .where(entry.c.disposal_id == disposal_id, entry.c.log_index < size)
            .order_by(entry.c.log_index)
        ).all()
    return [(row.log_index, _entry(row.body)) for row in rows]
