"""What one `make run` left, read whole: the dumps before and after, the summary, and the evidence."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

from tests.e2e.outside_evidence import Evidence
from tests.e2e.outside_places import STORES, People, Record, lines, processor, records
from tests.e2e.outside_policy import Reading, Window


class Night:
    """What one `make run` left in its folder."""

    def __init__(self, local: Path, known: Path | None = None) -> None:
        self.local = local
        self.summary: dict[str, Any] = json.loads((local / "run-summary.json").read_text())
        self.as_of = date.fromisoformat(self.summary["as_of"])
        before, after = local / "dumps" / "before", local / "dumps" / "after"
        earlier = {s: {k: (line, b) for k, line, b in lines(known, s)} if known else {} for s in STORES}
        rows = {**{k: b for k, (_, b) in earlier["accounts"].items()}}
        rows.update({k: b for k, _, b in lines(before, "accounts")})
        self.reading, self.people = Reading(rows.values()), People(rows.values())
        self.after = {s: {k: (line, b) for k, line, b in lines(after, s)} for s in STORES}
        self.records = [r for s in STORES for r in self._records(before, s, earlier[s])]
        self.by_account: dict[str, list[Record]] = defaultdict(list)
        for record in self.records:
            for account in {a for a, _ in record.owners}:
                self.by_account[account].append(record)
        self.evidence = Evidence(local, self.reading.accounts)
        self.export = local / "exports" / Path(self.summary["export_path"]).name

    def _records(self, before: Path, store: str, earlier: dict[tuple[str, str], Any]) -> Iterator[Record]:
        now = {k: (line, b) for k, line, b in lines(before, store)}
        # Owners are read from the oldest form of a record: a redacted one no longer says whose it was.
        oldest = [(k, line, b) for k, (line, b) in (now | earlier).items()]
        for record in records(store, oldest, self.people):
            if record.key in now:
                line, body = now[record.key]
                yield Record(store, record.key, line, body, record.owners, record.mentions)

    def of(self, account: str) -> list[Record]:
        """Return the records of one account."""
        return self.by_account[account]

    def window(self, record: Record, account: str, dataset: str) -> Window:
        """Return when this record of the account may and must be gone."""
        return self.reading.window(account, dataset, record.body)

    def standing(self, record: Record) -> str:
        """Return `kept`, `open` or `due`; a record of several accounts is what its most kept owner says."""
        found = {self.window(record, a, d).at(self.as_of) for a, d in record.owners} or {"kept"}
        return next(s for s in ("kept", "open", "due") if s in found)

    def changed_by(self, record: Record) -> bool:
        """Return whether the evidence says that an act on one of its people touched this place."""
        return any(
            self.evidence.attempted(a, processor(d), d) or (d in ("register", "ledger") and a in self.evidence.touched)
            for a, d in record.owners | record.mentions
        )
