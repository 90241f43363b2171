"""What one law keeps of one record: its closed list, nothing else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Protocol

from include.errors import ArchiveError

if TYPE_CHECKING:
    from include.policy.terms import RecordTerm

Value = str | int | float | bool


class SourceRecord(Protocol):
    """What a processor extracted (`include.processors.Record`)."""

    @property
    def source_id(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def dates(self) -> Mapping[str, date]: ...
    @property
    def items(self) -> Mapping[str, Any]: ...
    @property
    def offshore(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class ArchivedRow:
    """One record as the archive keeps it under one law."""

    rule_id: str
    kind: str
    subject_type: str
    last_day: date
    items: Mapping[str, Value] = field(repr=False)

    def encode(self) -> bytes:
        """Return canonical JSON, to be encrypted."""
        body = {
            "rule_id": self.rule_id,
            "kind": self.kind,
            "subject_type": self.subject_type,
            "last_day": self.last_day.isoformat(),
            "items": dict(self.items),
        }
        return json.dumps(body, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()

    @classmethod
    def decode(cls, body: bytes) -> ArchivedRow:
        """Return the row again."""
        return cls.of(json.loads(body))

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> ArchivedRow:
        """Return the row of parsed JSON."""
        return cls(
            rule_id=raw["rule_id"],
            kind=raw["kind"],
            subject_type=raw["subject_type"],
            last_day=date.fromisoformat(raw["last_day"]),
            items=raw["items"],
        )


def reduce(record: SourceRecord, term: RecordTerm) -> dict[str, Value]:
    """Return the items of `record` that the law behind `term` lists for this subject type; everything else is dropped.

    Absent and empty values are not kept. A nested value is refused, because a closed list cannot say what is inside it.
    """
    kept: dict[str, Value] = {}
    for name in term.items:
        value = _flat(name, record.items.get(name), record.kind)
        if value not in (None, ""):
            kept[name] = value
    return kept


def window_end(last_day: date) -> date:
    """Return the end of the half-week of `last_day`: Wednesday for Monday to Wednesday, otherwise Sunday."""
    end = 2 if last_day.weekday() <= 2 else 6
    return last_day + timedelta(days=end - last_day.weekday())


def _flat(name: str, value: Any, kind: str) -> Value | None:
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if isinstance(value, (date, datetime)):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    raise ArchiveError(
        f"Item {name!r} of a {kind} record is not a single value but a {type(value).__name__}; a closed list cannot "
        "hold it. The processor must extract flat items. Nothing was changed at the source."
    )
