"""One step of deleting over a batch: which rows, through which job, and what became of each."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from include.errors import Refused, Unreachable
from include.processors import Work
from include.processors._salesforce.client import Client
from include.processors._salesforce.layout import Layout
from include.processors._salesforce.owners import PREFIXES
from include.processors._salesforce.session import LATER, NAME, PASSING, Rejected
from include.processors._salesforce.soql import ID, Test, to_18

RECORDS = ("Case", "Contact", "Account", "Lead")
"""Deleted first, in this order, after the custom objects (a look-up may forbid deleting what it points to); most of
what hangs on them goes with them."""
NOT_IN_BULK, NO_SOAP = "rest", "recycle_bin_out_of_reach"
FRESH = 60.0
"""Seconds for which a look at what is left is taken for the look before deleting."""
WORKING = frozenset({"UploadComplete", "InProgress"})
NOTHING_LEFT = frozenset({"ENTITY_IS_DELETED", "INVALID_CROSS_REFERENCE_KEY", "NOT_FOUND", "INVALID_ID_FIELD"})
"""Row errors that may mean "already gone", or "not visible to us": only reading back decides."""
TRY_AGAIN = PASSING | LATER | {"REQUEST_LIMIT_EXCEEDED", "merged", "unprocessed", "job_reopened", NO_SOAP}


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
    deleted: dict[str, list[str]] = field(default_factory=dict)
    """Rows that are deleted but can still be read, by object."""
    binned: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    """Rows found in the recycle bin: by object and id, the disposals they belong to."""

    def kinds(self) -> set[str]:
        """Return the objects that have rows."""
        return {k for kinds in self.rows.values() for k, ids in kinds.items() if ids}

    def stopped(self, kind: str, identifier: str) -> bool:
        """Tell whether something of a row's person could not go yet; what comes later would only be blocked by it."""
        return any(
            set(codes.values()) - NOTHING_LEFT and identifier in self.rows[disposal].get(kind, ())
            for disposal, codes in self.codes.items()
        )

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
        old = set(map(to_18, one.locator.get("binned") or ()))
        skip = set() if binned else old
        batch.rows[one.disposal_id] = {k: [j for j in map(to_18, ids) if j not in skip] for k, ids in kinds.items()}
        for kind, ids in kinds.items():
            for identifier in old & set(map(to_18, ids)):
                batch.binned.setdefault(kind, {}).setdefault(identifier, []).append(one.disposal_id)
        batch.leftovers |= {str(k) for k in one.locator.get("leftovers") or ()} & set(batch.rows[one.disposal_id])
        for kind, job in (one.locator.get("jobs") or {}).items():
            batch.jobs.setdefault(kind, str(job))
    return batch


def first_of_all(kind: str) -> bool:
    """Tell whether an object's rows go in the first round: records, and custom objects before them."""
    return kind in RECORDS or kind.endswith("__c")


def by_order(kind: str) -> tuple[int, str]:
    """Return the order of deleting: custom objects, records, then what hung on them."""
    if kind in RECORDS:
        return 1 + RECORDS.index(kind), kind
    return (0 if kind.endswith("__c") else 1 + len(RECORDS)), kind


def no_hard_delete() -> Refused:
    """Return the error that says which permission is missing, what else could be done, and that nothing was deleted."""
    return Refused(
        NAME,
        "FeatureNotEnabled",
        advice="Give the API user the permission 'Bulk API Hard Delete' (a permission set will do), or let the "
        "schedule say settings.delete_through: recycle_bin. Nothing was deleted: an ordinary delete would leave the "
        "rows in the recycle bin for 15 days.",
    )


@dataclass(slots=True)
class Deletion:
    """Deletes through Bulk 2.0, where an object allows it, and waits for a job at most `poll_seconds`.

    With `through_bin` everything is deleted through REST and purged from the recycle bin, for organisations that do
    not grant hard delete.
    """

    client: Client
    layout: Layout
    poll_seconds: float
    through_bin: bool = False
    _fresh: dict[str, tuple[frozenset[str], float]] = field(default_factory=dict)

    def opened_for(self, batch: Batch, kinds: Iterable[str]) -> set[str]:
        """Open jobs for those of the objects that have rows left, and remember for a minute which they are."""
        present = self.present(batch, kinds)
        opened = self.open(batch, present)
        self._fresh = {k: (frozenset(ids), time.monotonic() + FRESH) for k, ids in present.items()}
        return opened

    def _left(self, batch: Batch, kind: str) -> list[str]:
        """Return the rows to delete: as read a moment ago for exactly this batch, or read now."""
        ids, until = self._fresh.pop(kind, (frozenset[str](), 0.0))
        owners = batch.of(kind)
        if time.monotonic() < until and ids <= owners.keys():
            return [i for i in owners if i in ids]
        return self.present(batch, [kind]).get(kind, [])

    def present(self, batch: Batch, kinds: Iterable[str]) -> dict[str, list[str]]:
        """Read which rows are still there and not deleted; keep the order, so that rows of one parent stay together."""
        present: dict[str, list[str]] = {}
        wanted = [(kind, [*batch.of(kind)]) for kind in kinds]
        found = self.client.select_many([(kind, self._columns(kind), [Test("Id", ids)]) for kind, ids in wanted])
        for (kind, ids), answer in zip(wanted, found, strict=True):
            rows = {to_18(i): r for i, r in answer.items()}
            live = []
            for identifier in (i for i in ids if i in rows):
                row = rows[identifier]
                if kind == "Account" and not row.get("IsPersonAccount"):
                    self._mark(batch, kind, identifier, "not_a_person_account")
                elif row.get("IsDeleted") and row.get("MasterRecordId") and to_18(row["MasterRecordId"]) not in rows:
                    self._mark(batch, kind, identifier, "merged")
                elif row.get("IsDeleted"):
                    batch.deleted.setdefault(kind, []).append(identifier)
                else:
                    live.append(identifier)
            if live:
                present[kind] = live
        return present

    def _columns(self, kind: str) -> list[str]:
        columns = ["Id", "IsDeleted"]
        if kind in RECORDS and (kind != "Case" or self.layout.knows(kind, "MasterRecordId", default=False)):
            columns.append("MasterRecordId")
        if kind == "Account" and self.layout.person_accounts():
            columns.append("IsPersonAccount")
        return columns

    @staticmethod
    def _mark(batch: Batch, kind: str, identifier: str, code: str) -> None:
        for disposal in batch.of(kind).get(identifier, ()):
            batch.codes[disposal][identifier] = code

    def open(self, batch: Batch, kinds: Iterable[str]) -> set[str]:
        """Open one job an object, or keep the one of an earlier try while it is open; return the objects."""
        opened = set(kinds)
        for kind in sorted(opened, key=by_order):
            job = batch.jobs.get(kind, "")
            if job != NOT_IN_BULK and not (job and self.client.job_state(job) == "Open"):
                batch.jobs[kind] = self._new_job(kind)
        return opened

    def _new_job(self, kind: str) -> str:
        if self.through_bin:
            return NOT_IN_BULK
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
            ids, codes = [i for i in self._left(batch, kind) if not batch.stopped(kind, i)], dict[str, str]()
            if batch.jobs.get(kind) == NOT_IN_BULK:
                codes = self._through_rest(ids, batch.deleted.get(kind, []) if first_of_all(kind) else [])
            elif ids:
                codes = self._run(batch, kind, ids, deadline)
            for identifier, code in codes.items():
                self._mark(batch, kind, identifier, code)

    def _through_rest(self, ids: Sequence[str], in_bin: Sequence[str]) -> dict[str, str]:
        """Delete and purge rows; `in_bin` are those an earlier try may have deleted without coming to purge them."""
        codes = {i: c for i, c in self.client.delete_rows(ids).items() if c}
        kept = self._empty_bin([*(i for i in ids if i not in codes), *in_bin])
        return codes | kept if self.through_bin else codes  # what Bulk does not take may know no recycle bin at all

    def _empty_bin(self, ids: Sequence[str]) -> dict[str, str]:
        """Purge rows; a refusal is the code of these rows, so that it keeps nobody else of the batch from going on."""
        try:
            return self.client.empty_recycle_bin(ids)
        except Rejected as error:
            return dict.fromkeys(ids, error.code)
        except Unreachable as error:
            if error.status not in {404, 405}:
                raise
            return dict.fromkeys(ids, NO_SOAP)

    def _run(self, batch: Batch, kind: str, ids: Sequence[str], deadline: float) -> dict[str, str]:
        """Run one job to its end, or join the one an earlier try started; return the codes of rows that failed."""
        job = batch.jobs.get(kind)
        if job is None:
            return self._reopen(batch, kind, ids)
        try:
            self.client.run_job(job, ids)
        except Rejected:  # it was used before
            state = self.client.job_state(job)
            if state not in WORKING:
                if state == "Open":
                    self.client.abort_job(job)
                ids = self.present(batch, [kind]).get(kind, [])  # what that job calls done, and kept, is sent again
                return self._reopen(batch, kind, ids)
        if self.client.wait_for_job(job, deadline) in WORKING:
            batch.running |= {d for i in ids for d in batch.of(kind)[i]}
            return {}
        report = self.client.job_report(job)
        missing = {i: "unprocessed" for i in ids if i not in report.done and i not in report.failed}
        return missing | {i: c for i, c in report.failed.items() if i in set(ids)}

    def _reopen(self, batch: Batch, kind: str, ids: Sequence[str]) -> dict[str, str]:
        """Open another job for rows that are left. It is filled by the next call, once its id is stored."""
        if ids:
            batch.jobs[kind] = self._new_job(kind)
        return dict.fromkeys(ids, "job_reopened")

    def purge(self, batch: Batch) -> None:
        """Empty the recycle bin of rows that were in it before we came, and are in it still."""
        for kind in sorted(batch.binned, key=by_order):  # parents first: what was deleted with them goes with them
            owners = batch.binned[kind]
            rows = self.client.select(kind, ["Id", "IsDeleted"], Test("Id", owners))
            ids = sorted(to_18(i) for i, row in rows.items() if row.get("IsDeleted"))
            for identifier, code in self._empty_bin(ids).items():
                for disposal in owners[identifier]:
                    batch.codes[disposal][identifier] = code
