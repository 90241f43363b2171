"""Deleting and purging tickets in bulk; what a job reports is never taken for what happened.

A purge job says one word for up to 100 tickets, though one of them may have failed ("Bulk permanently delete tickets").
What became of a ticket that stood in the list of deleted ones is read there; archived tickets never appear in it, so
each of them is asked for once more and must be unknown. Tickets that were reopened, or became another requester's
since they were located, are left alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

from include.errors import NeedsPerson
from include.outcomes import Outcome
from include.processors import NOT_ARCHIVED, Result, Work
from include.processors._zendesk.client import Client, Job, chunks
from include.processors._zendesk.find import CLOSED
from include.processors._zendesk.gate import Row
from include.processors._zendesk.selector import Selector

DELETED = "deleted"  # how a server that still shows a softly deleted ticket calls it
ARCHIVED_AFTER = timedelta(days=120)
MARGIN = timedelta(days=20)  # nearer than this to its archiving a ticket may be archived before we look
SCRUBBED_AFTER = timedelta(days=31)  # Zendesk purges softly deleted tickets by itself after 30 days
TRIES = 2


def ids(works: Sequence[Work], key: str) -> list[int]:
    """Return the located ids of one kind over a batch."""
    return sorted({int(i) for work in works for i in work.locator.get(key, ())})


def live(tickets: Mapping[int, Row]) -> dict[int, Row]:
    """Return the tickets that are not softly deleted."""
    return {i: t for i, t in tickets.items() if t.get("status") != DELETED}


class Tickets:
    """The two ticket steps of a batch."""

    def __init__(self, client: Client, selector: Selector, as_of: date) -> None:
        self.client, self.selector, self.as_of = client, selector, as_of

    def delete(self, works: Sequence[Work]) -> list[Result]:
        """Delete the located tickets softly, and the suspended mails for good."""
        present = self._live(works)
        refused = {w.disposal_id: r for w in works if (r := self._refused(w, present))}
        allowed = [w for w in works if w.disposal_id not in refused]
        receipts = self.jobs("/tickets/destroy_many", [i for i in ids(allowed, "tickets") if i in present])
        for chunk in chunks(ids(allowed, "suspended")):
            self.client.call("DELETE", "/suspended_tickets/destroy_many", {"ids": ",".join(map(str, chunk))})
        left = self._live(allowed)
        listed = self._listed(allowed, present)
        return [
            refused.get(w.disposal_id) or self._refused(w, left) or self._deleted(w, present, left, listed, receipts)
            for w in works
        ]

    def _listed(self, works: Sequence[Work], present: Mapping[int, Row]) -> set[int]:
        """Return which tickets can stand in the list of deleted ones, where their absence will be proof later.

        Tickets that cannot be archived yet always can. Of all others the list itself is asked, now that they are in it
        or never will be.
        """
        known = set(ids(works, "listed")) | {i for i, t in present.items() if not self._may_be_archived(t)}
        if not set(ids(works, "tickets")) - known - set(ids(works, "purged")):
            return known
        rows = self.client.pages("/deleted_tickets", "deleted_tickets", quota="deleted_listing")
        return known | {int(t["id"]) for t in rows}

    def _live(self, works: Sequence[Work]) -> dict[int, Row]:
        return live(self.client.show_many("tickets", ids(works, "tickets"))[0])

    def jobs(self, path: str, wanted: Sequence[int]) -> dict[int, str | None]:
        """Run one bulk deletion per 100 ids; return the digest of its job's end by id."""
        receipts: dict[int, str | None] = {}
        for chunk in chunks(wanted):
            receipts |= dict.fromkeys(chunk, self.client.run_job(path, chunk).digest)
        return receipts

    def _deleted(
        self,
        work: Work,
        present: Mapping[int, Row],
        left: Mapping[int, Row],
        listed: set[int],
        receipts: Mapping[int, str | None],
    ) -> Result:
        mine = _own(work)
        digest = next((receipts[i] for i in sorted(mine & set(receipts))), None)
        if mine & set(left):
            return Result(work.disposal_id, Outcome.FAILED, "still_present", receipt_sha256=digest)
        changed = {
            "listed": sorted(mine & listed),
            "purged": sorted({int(i) for i in work.locator.get("purged", ())} - set(present)),
            "deleted_on": work.locator.get("deleted_on") or self.as_of.isoformat(),
        }
        return Result(
            work.disposal_id,
            Outcome.ACCEPTED,
            count=len(mine),
            locator={**work.locator, **changed} if mine else None,
            receipt_sha256=digest,
        )

    def _may_be_archived(self, ticket: Row) -> bool:
        if ticket.get("status") != "closed":
            return False
        try:
            updated = datetime.fromisoformat(str(ticket.get("updated_at")).replace("Z", "+00:00")).date()
        except ValueError:
            return True
        return updated + ARCHIVED_AFTER - MARGIN <= self.as_of

    def _refused(self, work: Work, present: Mapping[int, Row]) -> Result | None:
        """Say why located tickets must not be deleted now.

        Reopened: somebody is being served, the next night looks again. Another requester's: it is that person's now;
        a person looks at it once, and what ours wrote there is blacked out instead.
        """
        mine = {i: present[i] for i in _own(work) & set(present)}
        users = {int(i) for i in work.locator.get("users", ())}
        strangers = {i for i, t in mine.items() if t.get("requester_id") not in users}
        if strangers:
            moved = _moved(work, strangers, self._comments(strangers, users))
            return Result(work.disposal_id, Outcome.FAILED, "requester_changed", locator=moved, needs_person=True)
        if any(t.get("status") not in CLOSED for t in mine.values()):
            return Result(work.disposal_id, Outcome.BLOCKED, "open_ticket")
        return self._unarchived(work, mine)

    def _unarchived(self, work: Work, mine: Mapping[int, Row]) -> Result | None:
        """Ask for the record of what became a complaint, or went on as one, since it was located and extracted."""
        known = {int(i) for i in work.locator.get("complaints", ())}
        seen = dict(work.locator.get("complaints_at", {}))
        try:
            complaints = {i: str(t.get("updated_at")) for i, t in mine.items() if self.selector.is_complaint(t)}
        except NeedsPerson as error:
            return Result(work.disposal_id, Outcome.FAILED, error.code, needs_person=True)
        changed = {i: at for i, at in complaints.items() if i not in known or seen.get(str(i), at) != at}
        if not changed:
            return None
        at = seen | {str(i): moment for i, moment in changed.items()}
        locator = {**work.locator, "complaints": sorted(known | set(changed)), "complaints_at": at}
        return Result(work.disposal_id, Outcome.AWAITING, NOT_ARCHIVED, locator=locator)

    def _comments(self, tickets: set[int], users: set[int]) -> list[list[int]]:
        return [
            [ticket_id, int(comment["id"])]
            for ticket_id in sorted(tickets)
            for comment in self.client.pages(f"/tickets/{ticket_id}/comments", "comments", of=("tickets", ticket_id))
            if comment.get("author_id") in users
        ]

    # -- purging ---------------------------------------------------------------------------------------------------
    def purge(self, works: Sequence[Work]) -> list[Result]:
        """Delete the softly deleted tickets permanently and remember which are known to be gone."""
        present = self._live(works)
        listed = set(ids(works, "listed"))
        done: dict[int, str | None] = dict.fromkeys(ids(works, "purged"))
        for chunk in chunks([i for i in ids(works, "tickets") if i not in present and i not in done]):
            done |= self._purge(chunk, listed)
        return [self._purged(work, present, done) for work in works]

    def _purged(self, work: Work, present: Mapping[int, Row], done: Mapping[int, str | None]) -> Result:
        mine = _own(work)
        locator = {**work.locator, "purged": sorted(mine & set(done))}
        digest = next((done[i] for i in sorted(mine & set(done)) if done[i]), None)
        result = Result(
            work.disposal_id, Outcome.ACCEPTED, count=len(mine & set(done)), locator=locator, receipt_sha256=digest
        )
        if mine <= set(done):
            return result
        if mine & set(present):
            return replace(result, outcome=Outcome.FAILED, code="still_present")
        return self._not_reported(work, result, mine)

    def _not_reported(self, work: Work, result: Result, mine: set[int]) -> Result:
        """Try twice; then nothing is left but Zendesk's own schedule, which purges what was deleted 30 days ago."""
        assert result.locator is not None
        tries = int(work.locator.get("tries", 0)) + 1
        scrubbed = date.fromisoformat(str(work.locator.get("deleted_on") or self.as_of)) + SCRUBBED_AFTER
        if scrubbed <= self.as_of:
            return replace(result, locator={**result.locator, "purged": sorted(mine)})
        locator = {**result.locator, "tries": tries}
        if tries < TRIES:
            return replace(result, outcome=Outcome.FAILED, code="purge_not_reported", locator=locator)
        return replace(result, outcome=Outcome.AWAITING, code="purged_by_schedule", until=scrubbed, locator=locator)

    def _purge(self, wanted: list[int], listed: set[int]) -> dict[int, str | None]:
        """Purge a chunk and return which of it are known to be gone; a refusal is split until it names single ones."""
        job = self._job(wanted)
        if job.succeeded:
            return {i: job.digest for i in wanted if i in listed or self._unknown_now(i)}
        if len(wanted) == 1:
            return dict.fromkeys(wanted) if job.status == "missing" and self._unknown_now(wanted[0]) else {}
        if job.status in {"lost", "working"}:
            return {}
        half = len(wanted) // 2
        return self._purge(wanted[:half], listed) | self._purge(wanted[half:], listed)

    def _unknown_now(self, ticket_id: int) -> bool:
        """Ask for one archived ticket again: it must be unknown, or be reported purged twice more."""
        for _ in range(2):
            job = self._job([ticket_id])
            if not job.succeeded:
                return job.status == "missing"
        return True  # this API offers nothing more to ask

    def _job(self, wanted: list[int]) -> Job:
        if len(wanted) == 1:
            return self.client.run_job(f"/deleted_tickets/{wanted[0]}")
        return self.client.run_job("/deleted_tickets/destroy_many", wanted)


def _own(work: Work) -> set[int]:
    return {int(i) for i in work.locator.get("tickets", ())}


def _moved(work: Work, strangers: set[int], comments: list[list[int]]) -> dict[str, Any]:
    """Return the locator with tickets that became another's among those where only the person's words go."""
    known = [list(map(int, pair)) for pair in work.locator.get("comments", ())]
    return {
        **work.locator,
        "tickets": sorted(_own(work) - strangers),
        "comments": known + [pair for pair in comments if pair not in known],
    }
