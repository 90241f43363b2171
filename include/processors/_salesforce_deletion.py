"""One step of deleting over a batch: which rows, through which job, and what became of each."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from include.errors import Refused
from include.processors import Work
from include.processors._salesforce_client import ID, Client, to_18
from include.processors._salesforce_owners import PREFIXES
from include.processors._salesforce_session import NAME, Rejected

RECORDS = ("Case", "Contact", "Account", "Lead")
"""Deleted first, in this order; most of what hangs on them goes with them."""
NOT_IN_BULK = "rest"
WORKING = frozenset({"UploadComplete", "InProgress"})
NOTHING_LEFT = frozenset({"ENTITY_IS_DELETED", "INVALID_CROSS_REFERENCE_KEY", "NOT_FOUND", "INVALID_ID_FIELD"})
"""Row errors that may mean "already gone", or "not visible to us": only reading back decides."""
TRY_AGAIN = frozenset({"UNABLE_TO_LOCK_ROW", "merged", "unprocessed", "QUERY_TIMEOUT", "UNKNOWN_EXCEPTION"})


@dataclass(slots=True)
class Batch:
    """One step over a batch: what each disposal has, and what became of its rows."""

    work: Sequence[Work]
    rows: dict[str, dict[str, list[str]]]
    jobs: dict[str, str] = field(default_factory=dict)
    codes: dict[str, dict[str, str]] = field(default_factory=lambda: defaultdict(dict))
    running: set[str] = field(default_factory=set)
    broken: set[str] = field(default_factory=set)
    leftovers: set[str] = field(default_factory=set)

    def kinds(self) -> set[str]:
        """Return the objects that have rows."""
        return {k for kinds in self.rows.values() for k, ids in kinds.items() if ids}

    def of(self, kind: str) -> dict[str, list[str]]:
        """Return the disposals of each id of one object."""
        owners: dict[str, list[str]] = {}
        for disposal, kinds in self.rows.items():
            for identifier in kinds.get(kind, ()):
                owners.setdefault(identifier, []).append(disposal)
        return owners


def sort_out(work: Sequence[Work], *, binned: bool = False) -> Batch:
    """Sort the locators' rows out; anything that is not an id of its object stops that disposal, and is never sent."""
    batch = Batch(work, {})
    for one in work:
        kinds = {k: [str(i) for i in ids] for k, ids in (one.locator.get("rows") or {}).items()}
        good = all(
            ID.fullmatch(i) and i.startswith(PREFIXES.get(k, "")) and k.isidentifier()
            for k, ids in kinds.items()
            for i in ids
        )
        if not good:
            batch.broken.add(one.disposal_id)
            continue
        skip = set() if binned else set(map(to_18, one.locator.get("binned") or ()))
        batch.rows[one.disposal_id] = {k: [j for j in map(to_18, ids) if j not in skip] for k, ids in kinds.items()}
        batch.leftovers |= {str(k) for k in one.locator.get("leftovers") or ()} & set(batch.rows[one.disposal_id])
        for kind, job in (one.locator.get("jobs") or {}).items():
            batch.jobs.setdefault(kind, str(job))
    return batch


def by_order(kind: str) -> tuple[int, str]:
    """Return the order of deleting: records first, then what hung on them."""
    return RECORDS.index(kind) if kind in RECORDS else len(RECORDS), kind


def no_hard_delete() -> Refused:
    """Return the error that says which permission is missing, and that nothing was deleted."""
    return Refused(
        NAME,
        "FeatureNotEnabled",
        advice="Give the API user the permission 'Bulk API Hard Delete' (a permission set will do). Nothing was "
        "deleted: an ordinary delete would leave the rows in the recycle bin for 15 days.",
    )


@dataclass(slots=True)
class Deletion:
    """Deletes through Bulk 2.0, where an object allows it, and waits for a job at most `poll_seconds`."""

    client: Client
    poll_seconds: float

    def present(self, batch: Batch, kinds: Iterable[str]) -> dict[str, list[str]]:
        """Read which rows are still there and not deleted; keep the order, so that rows of one parent stay together."""
        present: dict[str, list[str]] = {}
        for kind in kinds:
            ids = [*batch.of(kind)]
            columns = ["Id", "IsDeleted", *(["MasterRecordId"] if kind in RECORDS else [])]
            columns += ["IsPersonAccount"] if kind == "Account" else []
            rows = {to_18(str(r["Id"])): r for r in self.client.select(kind, columns, "Id", ids)}
            live = []
            for identifier in (i for i in ids if i in rows):
                row = rows[identifier]
                if kind == "Account" and not row.get("IsPersonAccount"):
                    self._mark(batch, kind, identifier, "not_a_person_account")
                elif row.get("IsDeleted") and row.get("MasterRecordId") and to_18(row["MasterRecordId"]) not in rows:
                    self._mark(batch, kind, identifier, "merged")
                elif not row.get("IsDeleted"):
                    live.append(identifier)
            if live:
                present[kind] = live
        return present

    @staticmethod
    def _mark(batch: Batch, kind: str, identifier: str, code: str) -> None:
        for disposal in batch.of(kind).get(identifier, ()):
            batch.codes[disposal][identifier] = code

    def open(self, batch: Batch, kinds: Iterable[str]) -> set[str]:
        """Open one job an object, or keep the one of an earlier try while it is open; return the objects."""
        opened = set(kinds)
        for kind in opened:
            job = batch.jobs.get(kind, "")
            if job != NOT_IN_BULK and not (job and self.client.job_state(job) == "Open"):
                batch.jobs[kind] = self._new_job(kind)
        return opened

    def _new_job(self, kind: str) -> str:
        try:
            return self.client.create_job(kind)
        except Rejected as error:
            if error.code.upper() == "FEATURENOTENABLED":
                raise no_hard_delete() from None
            if error.code.upper() in {"INVALIDENTITY", "INVALID_ENTITY", "INVALID_TYPE"} and kind not in RECORDS:
                return NOT_IN_BULK  # some objects, feed items for one, are not taken by the Bulk API
            raise

    def delete(self, batch: Batch, kinds: Sequence[str]) -> None:
        """Delete the rows of these objects for good, one object after the other, as far as the polling time goes."""
        deadline = time.monotonic() + self.poll_seconds
        for kind in kinds:
            if batch.running:  # a contact cannot go before its case has: the next call goes on from here
                batch.running |= {d for owners in batch.of(kind).values() for d in owners}
                continue
            for ids in self.present(batch, [kind]).values():
                if batch.jobs.get(kind) == NOT_IN_BULK:
                    codes = {i: c for i, c in self.client.delete_rows(ids).items() if c}
                    self.client.empty_recycle_bin([i for i in ids if i not in codes])
                else:
                    codes = self._run(batch, kind, ids, deadline)
                for identifier, code in codes.items():
                    self._mark(batch, kind, identifier, code)

    def _run(self, batch: Batch, kind: str, ids: Sequence[str], deadline: float) -> dict[str, str]:
        """Run one job to its end, or join the one an earlier try started; return the codes of rows that failed."""
        job = batch.jobs.get(kind) or self._new_job(kind)
        try:
            self.client.run_job(job, ids)
        except Rejected:  # it was used before
            state = self.client.job_state(job)
            if state not in WORKING:
                if state == "Open":
                    self.client.abort_job(job)
                ids = self.present(batch, [kind]).get(kind, [])  # what that job calls done, and kept, is sent again
                if not ids:
                    return {}
                job = self._new_job(kind)
                self.client.run_job(job, ids)
        batch.jobs[kind] = job
        if self.client.wait_for_job(job, deadline) in WORKING:
            batch.running |= {d for i in ids for d in batch.of(kind)[i]}
            return {}
        report = self.client.job_report(job)
        missing = {i: "unprocessed" for i in ids if i not in report.done and i not in report.failed}
        return missing | {i: c for i, c in report.failed.items() if i in set(ids)}

    def purge(self, batch: Batch) -> None:
        """Empty the recycle bin of rows that were in it before we came."""
        binned = {
            to_18(i)
            for w in batch.work
            if w.disposal_id not in batch.broken
            for i in w.locator.get("binned") or ()
            if ID.fullmatch(i)
        }
        if binned:
            self.client.empty_recycle_bin(sorted(binned))
