"""Deleting and purging tickets in bulk; what a job reports is never taken for what happened.

A purge job is all-or-nothing and its result is one object, so the place is asked again; tickets that were reopened, or
became another requester's since they were located, are left alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from include.outcomes import Outcome
from include.processors import Result, Work
from include.processors._zendesk_client import Client, Job, Row, chunks
from include.processors._zendesk_find import CLOSED
from include.processors._zendesk_proof import ids


class Tickets:
    """The two ticket steps of a batch."""

    def __init__(self, client: Client) -> None:
        self.client = client

    def delete(self, works: Sequence[Work]) -> list[Result]:
        """Delete the located tickets softly, and the suspended mails for good."""
        present, _ = self.client.show_many("tickets", ids(works, "tickets"))
        blocked = {w.disposal_id: code for w in works if (code := _why_not(w, present))}
        allowed = [w for w in works if w.disposal_id not in blocked]
        job = self.jobs("/tickets/destroy_many", [i for i in ids(allowed, "tickets") if i in present])
        for chunk in chunks(ids(allowed, "suspended")):
            self.client.call("DELETE", "/suspended_tickets/destroy_many", {"ids": ",".join(map(str, chunk))})
        left, _ = self.client.show_many("tickets", ids(allowed, "tickets"))
        results = []
        for work in works:
            code = blocked.get(work.disposal_id) or _why_not(work, left)
            mine = set(work.locator.get("tickets", ()))
            if code:
                results.append(Result(work.disposal_id, Outcome.BLOCKED, code))
            elif mine & set(left):
                results.append(Result(work.disposal_id, Outcome.FAILED, "still_present", receipt_sha256=job.digest))
            else:
                results.append(Result(work.disposal_id, Outcome.ACCEPTED, count=len(mine), receipt_sha256=job.digest))
        return results

    def jobs(self, path: str, wanted: Sequence[int]) -> Job:
        """Run one bulk deletion per 100 ids and return the last job."""
        job = Job("completed")
        for chunk in chunks(wanted):
            job = self.client.run_job(path, chunk)
        return job

    def purge(self, works: Sequence[Work]) -> list[Result]:
        """Delete the soft-deleted tickets permanently and remember which the job reported."""
        present, _ = self.client.show_many("tickets", ids(works, "tickets"))
        before = set(ids(works, "purged"))
        purged = set(before)
        receipts: dict[int, str | None] = {}
        for chunk in chunks([i for i in ids(works, "tickets") if i not in present and i not in before]):
            done, digest = self._purge(chunk)
            purged |= done
            receipts |= dict.fromkeys(done, digest)
        results = []
        for work in works:
            mine = {int(i) for i in work.locator.get("tickets", ())}
            locator = {**work.locator, "purged": sorted(mine & purged)}
            digest = next((receipts[i] for i in sorted(mine & set(receipts))), None)
            done_all = mine <= purged
            results.append(
                Result(
                    work.disposal_id,
                    Outcome.ACCEPTED if done_all else Outcome.FAILED,
                    None if done_all else "still_present" if mine & set(present) else "purge_not_reported",
                    count=len(mine & purged),
                    locator=locator,
                    receipt_sha256=digest,
                )
            )
        return results

    def _purge(self, wanted: list[int]) -> tuple[set[int], str | None]:
        """Purge a chunk; the job is all-or-nothing, so a refusal is split until it names single tickets."""
        for _round in range(2):
            job = self._job(wanted)
            if not job.succeeded:
                break
            if self._denied(self._job(wanted[:1])):
                return set(wanted), job.digest
        else:
            return set(wanted), job.digest  # two jobs in a row say so; this API offers nothing more to ask
        if len(wanted) == 1:
            return (set(wanted), None) if self._denied(job) else (set(), None)
        if job.status in {"lost", "working"}:
            return set(), None
        half = len(wanted) // 2
        left, right = self._purge(wanted[:half]), self._purge(wanted[half:])
        return left[0] | right[0], left[1] or right[1]

    def _job(self, wanted: list[int]) -> Job:
        if len(wanted) == 1:
            return self.client.run_job(f"/deleted_tickets/{wanted[0]}")
        return self.client.run_job("/deleted_tickets/destroy_many", wanted)

    @staticmethod
    def _denied(job: Job) -> bool:
        """Return whether Zendesk knows no such deleted ticket; the caller has read that no live one is there either.

        Archived tickets are left out of the list of deleted ones, so this second request is the only way to see that a
        reported purge happened; one ticket stands for its chunk.
        """
        return job.status == "missing"


def _why_not(work: Work, present: Mapping[int, Row]) -> str | None:
    """Return why a located ticket must not be deleted now: reopened, or it became another requester's."""
    mine = [present[int(i)] for i in work.locator.get("tickets", ()) if int(i) in present]
    if any(t.get("status") not in CLOSED for t in mine):
        return "open_ticket"
    users = set(work.locator.get("users", ()))
    return "requester_changed" if any(t.get("requester_id") not in users for t in mine) else None
