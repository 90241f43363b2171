"""What Zendesk still holds of located people, read anew: users, tickets, comments, and each product's own word.

A ticket that answers 404 may only be soft-deleted, so the list of deleted tickets is read too; archived tickets never
appear there (Zendesk API, "Deleted tickets"), which is why `purge_tickets` must also have been told of success. A user
is gone once every product that reports `started` also reports `complete` in `compliance_deletion_statuses`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

from include.errors import ProcessorError, RateLimited, Refused
from include.outcomes import Outcome
from include.processors import Result, Work
from include.processors._zendesk_client import Client, Row
from include.processors._zendesk_find import users_by_external_id
from include.processors._zendesk_redact import what_is_left

METHOD = "users_tickets_comments_and_compliance_read"
SAMPLE = 5
SCRUBBED_NAME = "Permanently Deleted User"


@dataclass(frozen=True, slots=True)
class Place:
    """One batch's shared reads."""

    users: Mapping[int, Row]
    tickets: Mapping[int, Row]
    soft_deleted: frozenset[int]
    suspended: frozenset[int]
    external: Mapping[str, Sequence[Row]]


def ids(works: Sequence[Work], key: str) -> list[int]:
    """Return the located ids of one kind over a batch."""
    return sorted({int(i) for work in works for i in work.locator.get(key, ())})


def is_scrubbed(user: Row) -> bool:
    """Return whether a user's row is the empty shell that permanent deletion may leave."""
    bare = not any(user.get(k) for k in ("email", "phone", "external_id", "notes", "details", "photo"))
    return user.get("active") is False and bare and user.get("name") == SCRUBBED_NAME


class Proof:
    """One `read_back` over a batch."""

    def __init__(self, client: Client, as_of: date, products: frozenset[str], manual_days: int) -> None:
        self.client, self.as_of, self.products, self.manual_days = client, as_of, products, manual_days
        self.unfinished = 0

    def run(self, works: Sequence[Work]) -> list[Result]:
        """Return one `Result` per work."""
        place = self._place(works)
        results: list[Result] = []
        errors: list[ProcessorError] = []
        for work in works:
            try:
                results.append(self._judge(work, place))
            except (RateLimited, Refused):
                raise
            except ProcessorError as error:
                errors.append(error)
                results.append(Result(work.disposal_id, Outcome.FAILED, error.code, http_status=error.status))
        if errors and len(errors) == len(works):
            raise errors[0]
        return results

    def _place(self, works: Sequence[Work]) -> Place:
        users, _ = self.client.show_many("users", ids(works, "users"))
        tickets, _ = self.client.show_many("tickets", ids(works, "tickets"))
        unproven = [w for w in works if w.locator.get("tickets") and not set(w.locator["tickets"]) & set(tickets)]
        soft: frozenset[int] = frozenset()
        if unproven:
            listed = self.client.pages("/deleted_tickets", "deleted_tickets", quota="deleted_listing")
            soft = frozenset(int(t["id"]) for t in listed)
        held: frozenset[int] = frozenset()
        if ids(works, "suspended"):
            held = frozenset(int(t["id"]) for t in self.client.pages("/suspended_tickets", "suspended_tickets"))
        external = users_by_external_id(self.client, [w.account_id for w in works])
        return Place(users, tickets, soft, held, external)

    def _judge(self, work: Work, place: Place) -> Result:
        located = work.locator
        count = sum(len(located.get(k, ())) for k in ("users", "tickets", "comments", "suspended"))
        present = Result(work.disposal_id, Outcome.FAILED, "still_present", count=count)
        returned = {int(u["id"]) for u in place.external.get(work.account_id, ())} - set(located.get("users", ()))
        if returned:  # came back, or was made after we looked: the steps are taken again, with it
            return replace(present, locator={**located, "users": sorted({*located.get("users", ()), *returned})})
        if self._remains(work, place):
            return present
        files = located.get("files_left")
        if files is None:
            left = what_is_left(self.client, located)
            if left.texts:
                return present
            files = left.files
        done = Result(work.disposal_id, Outcome.CONFIRMED_ABSENT, count=count, verify_method=METHOD)
        if not self._all_complete(located):
            tomorrow = self.as_of + timedelta(days=1)  # what was read as blacked out needs no second reading
            waiting = {**located, "files_left": files}
            return replace(done, outcome=Outcome.AWAITING, code="compliance_deletion", until=tomorrow, locator=waiting)
        if files:
            due = self.as_of + timedelta(days=self.manual_days)
            return replace(done, outcome=Outcome.MANUAL_PENDING, code="attachment_on_closed_ticket", until=due)
        return done

    def _remains(self, work: Work, place: Place) -> bool:
        located = work.locator
        tickets = {int(i) for i in located.get("tickets", ())}
        users = [place.users[i] for i in located.get("users", ()) if i in place.users]
        return bool(
            place.external.get(work.account_id)
            or any(not is_scrubbed(user) for user in users)
            or tickets & (set(place.tickets) | place.soft_deleted)
            or tickets - set(located.get("purged", ()))
            or {int(i) for i in located.get("suspended", ())} & place.suspended
        )

    def _all_complete(self, located: Mapping[str, Any]) -> bool:
        """Return whether each user is erased in every product.

        Products take hours (Zendesk's own example: five). Where the first few users purged today are unfinished, the
        others purged today are not asked about before tomorrow, which spares one request per person.
        """
        today = located.get("user_purged_on") == self.as_of.isoformat()
        if today and self.unfinished >= SAMPLE:
            return False
        complete = all(self._complete(int(user_id)) for user_id in located.get("users", ()))
        self.unfinished += today and not complete
        return complete

    def _complete(self, user_id: int) -> bool:
        """Return whether every product that started, and every product this account has, reports completion."""
        path = f"/users/{user_id}/compliance_deletion_statuses"
        rows = list(self.client.pages(path, "compliance_deletion_statuses", missing=True))
        newest: dict[tuple[Any, Any], str] = {}
        for row in rows:
            key = (row.get("application"), row.get("action"))
            newest[key] = max(newest.get(key, ""), str(row.get("created_at") or ""))
        started = {application for application, action in newest if action == "started"}
        return bool(started) and all(
            (product, "complete") in newest and newest[(product, "complete")] >= newest.get((product, "started"), "")
            for product in started | self.products
        )
