"""Keyset paging: a list goes on after the last row's own key, so that page 10,000 costs what page 1 costs.

    page = paging.read(connection, statement, (disposal.c.destroy_by, disposal.c.disposal_id), after=ask.after)
    page.rows, page.next                 # `next` goes into the link as ?after=…; None on the last page

Keys must be unique together, never null, and have an index in this order. All ascend, or all descend.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Date, DateTime, Integer, Row, Select, Uuid, literal, tuple_

from include.errors import DecisionRefused

SIZE = 50


@dataclass(frozen=True, slots=True)
class Rows:
    """One page of a list; `next` is the cursor of the following one, `first` whether nothing stands before."""

    rows: Sequence[Any]
    next: str | None
    first: bool


def read(
    connection: Connection,
    statement: Select[Any],
    keys: Sequence[ColumnElement[Any]],
    *,
    after: str = "",
    size: int = SIZE,
    descending: bool = False,
) -> Rows:
    """Return one page of a statement that selects every key column under its own name."""
    if after:
        mark = tuple_(*[literal(v, k.type) for k, v in zip(keys, _parse(after, keys), strict=True)])
        statement = statement.where(tuple_(*keys) < mark if descending else tuple_(*keys) > mark)
    order = [k.desc() if descending else k.asc() for k in keys]
    rows = connection.execute(statement.order_by(*order).limit(size + 1)).all()
    more = len(rows) > size
    return Rows(rows[:size], cursor(rows[size - 1], keys) if more else None, not after)


def cursor(row: Row[Any], keys: Sequence[ColumnElement[Any]]) -> str:
    """Return the cursor after this row."""
    values = [getattr(row, str(k.key)) for k in keys]
    text = json.dumps([v.isoformat() if isinstance(v, date | datetime) else v if _plain(v) else str(v) for v in values])
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _plain(value: object) -> bool:
    return isinstance(value, int | str)


def _parse(text: str, keys: Sequence[ColumnElement[Any]]) -> list[Any]:
    try:
        values = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        return [_typed(k, v) for k, v in zip(keys, values, strict=True)]
    except (ValueError, TypeError, AttributeError):
        raise DecisionRefused("This page of the list is not one we handed out. Start again from the first.") from None


def _typed(key: ColumnElement[Any], value: Any) -> Any:
    if isinstance(key.type, Uuid):
        return UUID(value)
    if isinstance(key.type, DateTime):
        return datetime.fromisoformat(value)
    if isinstance(key.type, Date):
        return date.fromisoformat(value)
    if isinstance(key.type, Integer):
        return int(value)
    return str(value)
