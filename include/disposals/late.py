"""Records that came to be after a disposal was extracted: they reach the archive before the act that destroys them.

A refund or a dispute may follow months after a customer was deleted, when the person can no longer be located anew.
The processor then answers `NOT_ARCHIVED` with a locator that names the new records; here they are extracted, and staged
in the transaction that records the waiting. Until they are packed the disposal may not act (`unpacked`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Connection, Row

from include.archive.staging import ArchiveKeys, stage
from include.disposals.context import Context
from include.disposals.locators import CONSUMER_LIKE
from include.errors import ArchiveError, ProcessorError
from include.outcomes import Outcome
from include.processors import ProcessorContract, Record, Result, Work


@dataclass(frozen=True, slots=True)
class Late:
    """What was extracted late, by disposal, and the code of what could not be."""

    rows: Mapping[str, Row[Any]] = field(default_factory=dict)
    records: Mapping[str, Sequence[Record]] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)
    consumers: Mapping[str, bool] = field(default_factory=dict)

    @classmethod
    def of(cls, context: Context, processor: ProcessorContract, works: Sequence[tuple[Row[Any], Work]]) -> Late:
        """Extract one disposal after the other; one that cannot be extracted fails alone."""
        if not works:
            return cls()
        records: dict[str, Sequence[Record]] = {}
        refused: dict[str, str] = {}
        for _row, work in works:
            try:
                records[work.disposal_id] = processor.extract([work])
            except ProcessorError as error:
                refused[work.disposal_id] = error.code
        facts = context.accounts.facts({row.account_id for row, _work in works})
        remembered = {row.account_id: True for row, work in works if work.locator.get(CONSUMER_LIKE)}
        return cls(
            {work.disposal_id: row for row, work in works},
            records,
            refused,
            remembered | {f.account_id: f.consumer_like for f in facts},
        )

    def judged(self, result: Result) -> Result:
        """Return the result, or a failure where its records could not be extracted: its locator stays the old one."""
        code = self.refused.get(result.disposal_id)
        return replace(result, outcome=Outcome.FAILED, code=code, until=None, locator=None) if code else result

    def stage(self, connection: Connection, context: Context, disposal_ids: Collection[str]) -> None:
        """Stage the records of these disposals; call it before their rows change in the same transaction.

        A record without the date its law counts from stops everything here, as nothing was written yet.
        """
        keys = ArchiveKeys.of(context.wrapper)
        for disposal_id in sorted(set(self.records) & set(disposal_ids)):
            row = self.rows[disposal_id]
            try:
                stage(
                    connection,
                    disposal_id=row.disposal_id,
                    account_id=row.account_id,
                    subject_type=row.subject_type,
                    consumer_like=self.consumers.get(row.account_id, False),
                    records=self.records[disposal_id],
                    schedule=context.schedule,
                    as_of=context.as_of,
                    keys=keys,
                )
            except ArchiveError as error:
                raise ArchiveError(f"A late record of disposal {disposal_id} cannot be archived: {error}") from error
