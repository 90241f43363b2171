"""Deleting and purging users: the last two steps, each of which looks first.

Zendesk refuses to delete whoever is requester on an unclosed ticket, deletes only softly, and purges one user a call
(700 in ten minutes). Between looking and acting a person may have written again, become somebody else's user, or a
member of staff; none of these is ever deleted over it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

from include.errors import NeedsPerson, ProcessorError, RateLimited, Refused, Unreachable
from include.outcomes import Outcome
from include.processors import STALE_LOCATOR, Result, Work
from include.processors._zendesk.chat import SCRUBBED_NAME
from include.processors._zendesk.client import Client
from include.processors._zendesk.gate import NAME, Row
from include.processors._zendesk.selector import Selector
from include.processors._zendesk.tickets import Tickets, ids
from include.processors._zendesk.users import is_staff

PERSONAL = ("email", "phone", "external_id", "notes", "details", "photo")


def is_bare(user: Row) -> bool:
    """Return whether a deleted user's row holds nothing personal but perhaps the name, which Zendesk changes later."""
    return user.get("active") is False and not any(user.get(k) for k in PERSONAL)


def is_scrubbed(user: Row) -> bool:
    """Return whether a user's row is the empty shell that permanent deletion leaves."""
    return is_bare(user) and user.get("name") == SCRUBBED_NAME


def each(works: Sequence[Work], one: Callable[[Work], Result]) -> list[Result]:
    """Do one thing per work; trouble with all of them raises, trouble with some fails those."""
    results: list[Result] = []
    troubles: list[ProcessorError] = []
    for work in works:
        if troubles and (len(troubles) >= 3 or not isinstance(troubles[-1], Unreachable)):
            results.append(_failed(work, troubles[-1]))  # no further calls: the place is not answering
            continue
        try:
            results.append(one(work))
        except NeedsPerson as error:
            results.append(replace(_failed(work, error), needs_person=True))
        except (RateLimited, Refused, Unreachable) as error:
            troubles.append(error)
            results.append(_failed(work, error))
    if troubles and len(troubles) == len(works):
        raise troubles[0]
    return results


class Deletion:
    """The two user steps of a batch."""

    def __init__(self, client: Client, tickets: Tickets, selector: Selector, as_of: date) -> None:
        self.client, self.tickets, self.selector, self.as_of = client, tickets, selector, as_of

    # -- deleting --------------------------------------------------------------------------------------------------
    def delete(self, works: Sequence[Work]) -> list[Result]:
        """Delete users softly once nothing of theirs is open and every ticket of theirs is gone."""
        users, _ = self.client.show_many("users", ids(works, "users"))
        results = {r.disposal_id: r for r in each(works, lambda work: self._look(work, users))}
        current = {w.disposal_id: _with(w, results[w.disposal_id]) for w in works}
        for act in (self.tickets.delete, self.tickets.purge):
            going = [w for w in current.values() if results[w.disposal_id].outcome is Outcome.ACCEPTED]
            late = [w for w in going if _unpurged(w)]
            for result in act(late) if late else []:
                results[result.disposal_id] = result
                current[result.disposal_id] = _with(current[result.disposal_id], result)
        allowed = [w for w in current.values() if results[w.disposal_id].outcome is Outcome.ACCEPTED]
        active = [i for i in ids(allowed, "users") if i in users and users[i].get("active") is not False]
        receipts = self.tickets.jobs("/users/destroy_many", active)
        after, _ = self.client.show_many("users", active)
        results |= {r.disposal_id: r for r in each(allowed, lambda work: self._deleted(work, after, receipts))}
        return [self._kept(results[w.disposal_id], w, current[w.disposal_id]) for w in works]

    @staticmethod
    def _kept(result: Result, before: Work, now: Work) -> Result:
        """Keep what was learned on the way, unless the result says something newer."""
        return result if result.locator is not None or now is before else replace(result, locator=now.locator)

    def _look(self, work: Work, users: Mapping[int, Row]) -> Result:
        """Read once more whose user it is, and which tickets it has now.

        A ticket that is not known yet is written down before it is touched: the step ends here and goes on with it the
        next time, so that no crash loses it.
        """
        if any(_changed(work, users[i]) for i in _mine(work, users)):
            raise NeedsPerson(NAME, "identity_changed")
        now: dict[int, Row] = {}
        for user_id in map(int, work.locator.get("users", ())):
            gone = user_id not in users or users[user_id].get("active") is False
            rows = self.client.pages(f"/users/{user_id}/tickets/requested", "tickets", missing=gone)
            now |= {int(t["id"]): t for t in rows}
        known = {int(i) for i in work.locator.get("tickets", ())}
        late = {i: t for i, t in now.items() if i not in known}
        kept = {int(i) for i in work.locator.get("complaints", ())}
        if any(self.selector.is_complaint(t) for i, t in late.items() if i not in kept):
            return self._late_complaint(work, users)
        if not now:
            return Result(work.disposal_id, Outcome.ACCEPTED)
        purged = sorted({int(i) for i in work.locator.get("purged", ())} - set(now))
        locator = {**work.locator, "tickets": sorted(known | set(now)), "purged": purged}
        if late:
            return Result(work.disposal_id, Outcome.AWAITING, "late_ticket", locator=locator)
        return Result(work.disposal_id, Outcome.ACCEPTED, locator=locator)

    def _late_complaint(self, work: Work, users: Mapping[int, Row]) -> Result:
        """A complaint nobody archived: locate and extract anew, if all else is gone and the user is found by key."""
        keyed = all(str(users[i].get("external_id") or "") == work.account_id for i in _mine(work, users))
        if _unpurged(work) or not work.account_id or not keyed or len(_mine(work, users)) < len(work.locator["users"]):
            raise NeedsPerson(NAME, "late_complaint")
        listed = self.client.pages("/deleted_tickets", "deleted_tickets", quota="deleted_listing")
        if {int(t["id"]) for t in listed} & {int(i) for i in work.locator.get("tickets", ())}:
            raise NeedsPerson(NAME, "late_complaint")
        return Result(work.disposal_id, Outcome.FAILED, STALE_LOCATOR)

    def _deleted(self, work: Work, after: Mapping[int, Row], receipts: Mapping[int, str | None]) -> Result:
        mine = [int(i) for i in work.locator.get("users", ())]
        for user_id in mine:
            if user_id in after and after[user_id].get("active") is not False:
                return self._alone(work, user_id)
        digest = next((receipts[i] for i in mine if i in receipts), None)
        return Result(work.disposal_id, Outcome.ACCEPTED, count=len(mine), receipt_sha256=digest)

    def _alone(self, work: Work, user_id: int) -> Result:
        """Ask once more for the one user the job left, because only the single call says why."""
        answer = self.client.call("DELETE", f"/users/{user_id}")
        if answer.status in {200, 404}:
            return Result(work.disposal_id, Outcome.FAILED, "still_present", http_status=answer.status)
        tickets = self.client.pages(f"/users/{user_id}/tickets/requested", "tickets", missing=True)
        if answer.status == 422 and any(t.get("status") != "closed" for t in tickets):
            return Result(work.disposal_id, Outcome.BLOCKED, "open_ticket", http_status=answer.status)
        # Placeholder users of ticket sharing and users of legacy Chat: Zendesk deletes neither by API.
        raise NeedsPerson(NAME, "undeletable_user", status=answer.status)

    # -- purging ---------------------------------------------------------------------------------------------------
    def purge(self, works: Sequence[Work]) -> list[Result]:
        """Purge every located user; one that is active (again) goes through deleting first."""
        users, _ = self.client.show_many("users", ids(works, "users"))
        active = [w for w in works if any(users[i].get("active") is not False for i in _mine(w, users))]
        deleted = {r.disposal_id: r for r in (self.delete(active) if active else [])}
        current = {w.disposal_id: _with(w, deleted.get(w.disposal_id)) for w in works}
        going = [w for i, w in current.items() if i not in deleted or deleted[i].outcome is Outcome.ACCEPTED]
        results = deleted | {r.disposal_id: r for r in each(going, lambda work: self._purge(work, users))}
        return [results[w.disposal_id] for w in works]

    def _purge(self, work: Work, users: Mapping[int, Row]) -> Result:
        for user_id in map(int, work.locator["users"]):
            if not (user_id in users and is_scrubbed(users[user_id])):
                self._purge_user(user_id)
        locator: dict[str, Any] = {**work.locator, "user_purged_on": self.as_of.isoformat()}
        return Result(work.disposal_id, Outcome.ACCEPTED, count=len(work.locator["users"]), locator=locator)

    def _purge_user(self, user_id: int) -> None:
        self.client.spend("purge_user")
        try:
            answer = self.client.call("DELETE", f"/deleted_users/{user_id}")
        except Unreachable:
            if not self._is_gone(user_id):  # the reply was lost, so we looked
                raise
            return
        status, named = answer.status, answer.request_id
        if status == 404 and not self._is_gone(user_id):
            raise Unreachable(NAME, "purge_not_found", status=status, request_id=named)
        if status == 403:
            advice = "Purging users needs an administrator."
            raise Refused(NAME, "purge_not_permitted", status=status, request_id=named, advice=advice)
        if status not in {200, 204, 404}:
            raise NeedsPerson(NAME, "purge_refused", status=status, request_id=named)

    def _is_gone(self, user_id: int) -> bool:
        """Return whether neither list of users still has anything of this one."""
        for kind in ("users", "deleted_users"):
            user = self.client.show(kind, user_id)
            if user is not None:
                return is_bare(user)
        return True


def _failed(work: Work, error: ProcessorError) -> Result:
    return Result(work.disposal_id, Outcome.FAILED, error.code, http_status=error.status, request_id=error.request_id)


def _mine(work: Work, rows: Mapping[int, Any]) -> list[int]:
    return [int(i) for i in work.locator.get("users", ()) if int(i) in rows]


def _with(work: Work, result: Result | None) -> Work:
    return work if result is None or result.locator is None else replace(work, locator=result.locator)


def _unpurged(work: Work) -> bool:
    """Return whether a located ticket is not known to be gone."""
    return bool({int(i) for i in work.locator.get("tickets", ())} - {int(i) for i in work.locator.get("purged", ())})


def _changed(work: Work, user: Row) -> bool:
    """Return whether a located user became somebody else's, or a member of staff, since it was located."""
    return str(user.get("external_id") or "") not in {"", work.account_id} or is_staff(user)
