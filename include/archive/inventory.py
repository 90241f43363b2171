"""What is in the archive per law and year, when it ends, and what should not be there."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, date, datetime
from typing import Any

from sqlalchemy import Engine, select

from include.archive.bodies import decrypt, lines
from include.archive.keyring import ArchiveKeys
from include.archive.store import ArchiveStore
from include.database import archive_key, archive_object

MINIMUM_DAYS = {"STANDARD_IA": 30, "GLACIER_IR": 90, "GLACIER": 90, "DEEP_ARCHIVE": 180}
"""AWS bills the rest when an object leaves its class earlier (S3 pricing, minimum storage duration)."""

KEPT = ("checked", "destroying")

Items = Callable[[str, str], Sequence[str]]
"""The closed list of a rule for a subject type (`Schedule.kept_items`)."""


@dataclass(frozen=True, slots=True)
class Line:
    """One law and one year of last days.

    `overdue` groups outlived their basis; `billed_early` ones end before their class's minimum storage days.
    """

    rule_id: str
    year: int
    objects: int
    rows: int
    subjects: int
    first_end: date
    last_end: date
    locked_until: datetime
    storage_classes: str
    held_copies: int
    overdue: int
    billed_early: int


@dataclass(frozen=True, slots=True)
class Excess:
    """Items in an object that the law's closed list does not name; there must be none. Names only, never values."""

    object_key: str
    rule_id: str
    kind: str
    items: tuple[str, ...]


def table(engine: Engine, *, as_of: date) -> list[Line]:
    """Return the inventory, one line per law and year in which its groups end."""
    with engine.connect() as connection:
        objects = connection.execute(select(archive_object).where(archive_object.c.state.in_(KEPT))).all()
        tags: dict[str, set[str]] = {}
        for key, tag in connection.execute(
            select(archive_key.c.object_key, archive_key.c.archive_tag)
            .join(archive_object, archive_object.c.object_key == archive_key.c.object_key)
            .where(archive_object.c.state.in_(KEPT))
        ):
            tags.setdefault(key, set()).add(tag)
    groups: dict[tuple[str, int], list[Any]] = {}
    for row in objects:
        groups.setdefault((row.rule_id, row.last_day.year), []).append(row)
    return [_line(rule_id, year, rows, tags, as_of) for (rule_id, year), rows in sorted(groups.items())]


def _line(rule_id: str, year: int, rows: Sequence[Any], tags: dict[str, set[str]], as_of: date) -> Line:
    return Line(
        rule_id=rule_id,
        year=year,
        objects=len(rows),
        rows=sum(r.rows for r in rows),
        subjects=len(set().union(*(tags.get(r.object_key, set()) for r in rows))),
        first_end=min(r.last_day for r in rows),
        last_end=max(r.last_day for r in rows),
        locked_until=max(r.retain_until for r in rows),
        storage_classes=" ".join(sorted({r.storage_class for r in rows})),
        held_copies=sum(r.legal_hold for r in rows),
        overdue=sum(r.last_day < as_of and not r.legal_hold for r in rows),
        billed_early=sum(_days(r) < MINIMUM_DAYS.get(r.storage_class, 0) for r in rows),
    )


def _days(row: Any) -> int:
    return int((row.retain_until - row.written_at).days)


def excess(
    engine: Engine, store: ArchiveStore, *, keys: ArchiveKeys, items: Items, unread: list[str] | None = None
) -> Iterator[Excess]:
    """Decrypt every readable object and yield what exceeds its closed list; `unread` gets what needs a restore."""
    with engine.connect() as connection:
        objects = connection.execute(
            select(archive_object).where(archive_object.c.state.in_(KEPT)).order_by(archive_object.c.object_key)
        ).all()
    for row in objects:
        with engine.connect() as connection:
            wrapped = {
                key.archive_tag: key.wrapped_key
                for key in connection.execute(select(archive_key).where(archive_key.c.object_key == row.object_key))
            }
        read = lines(store, row.object_key, row.sha256)
        if read is None and unread is not None:
            unread.append(row.object_key)
        for line in read or ():
            if line.archive_tag in wrapped:
                for kept in decrypt(line, row.object_key, wrapped[line.archive_tag], keys):
                    more = sorted(set(kept.items) - set(items(kept.rule_id, kept.subject_type)))
                    if more or kept.rule_id != row.rule_id:
                        yield Excess(row.object_key, kept.rule_id, kept.kind, tuple(more))


def strangers(engine: Engine, store: ArchiveStore) -> list[str]:
    """Return keys in the bucket that no live row of `archive_object` names: what abandoned uploads left, or worse."""
    with engine.connect() as connection:
        known = set(
            connection.scalars(
                select(archive_object.c.object_key).where(archive_object.c.state.in_((*KEPT, "writing")))
            )
        )
    return [key for key in store.keys("archive/") if key not in known]


def missing(engine: Engine, store: ArchiveStore) -> list[str]:
    """Return objects our database calls checked that the bucket does not list."""
    present = set(store.keys("archive/"))
    with engine.connect() as connection:
        kept = connection.scalars(select(archive_object.c.object_key).where(archive_object.c.state == "checked"))
        return sorted(set(kept) - present)


def to_csv(inventory: Sequence[Line]) -> bytes:
    """Return the inventory as CSV in UTF-8 with a byte order mark, which Korean Excel needs; times in UTC."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [f.name for f in fields(Line)], lineterminator="\r\n")
    writer.writeheader()
    for line in inventory:
        values = asdict(line)
        values["locked_until"] = line.locked_until.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        writer.writerow(values)
    return b"\xef\xbb\xbf" + text.getvalue().encode()
