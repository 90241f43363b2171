"""What Zendesk still holds of located people, read anew: users, tickets, comments, and each product's own word.

A ticket that answers 404 may only be softly deleted, so the list of deleted tickets is read too; archived tickets never
appear there (Zendesk API, "Deleted tickets"), which is why `purge_tickets` must also know of each that it is gone. A
user is gone once every product that reports `started` also reports `complete` in `compliance_deletion_statuses`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

from include.errors import NeedsPerson, ProcessorError, RateLimited, Refused
from include.outcomes import Outcome
from include.processors import Result, Work
from include.processors._zendesk.again import missed, overlooked
from include.processors._zendesk.client import Client
from include.processors._zendesk.deletion import is_bare, is_scrubbed
from include.processors._zendesk.find import Holdings, Search
from include.processors._zendesk.gate import NAME, Row
from include.processors._zendesk.redact import TEXTS, what_is_left
from include.processors._zendesk.tickets import DELETED, ids
from include.processors._zendesk.users import users_by_external_id

METHOD = "users_tickets_comments_and_compliance_read"
SAMPLE = 5


@dataclass(frozen=True, slots=True)
class Patience:
    """What the schedule says of waiting: products to wait for, days until a person looks, days for a manual step."""

    products: frozenset[str] = frozenset()
    compliance_days: int = 30
    manual_days: int = 5

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Patience:
        """Read `products`, `compliance_days` and `manual_days`."""
        return cls(
            frozenset(map(str, settings.get("products", ()))),
            int(settings.get("compliance_days", 30)),
            int(settings.get("manual_days", 5)),
        )


@dataclass(frozen=True, slots=True)
class Place:
    """One batch's shared reads."""

    users: Mapping[int, Row]
    tickets: Mapping[int, Row]
    soft_deleted: frozenset[int]
    suspended: frozenset[int]
    external: Mapping[str, Sequence[Row]]
    overlooked: Mapping[str, ProcessorError | None]


class Proof:
    """One `read_back` over a batch; `search` looks for what locating overlooked."""

    def __init__(self, client: Client, as_of: date, patience: Patience, search: Search) -> None:
        self.client, self.as_of, self.patience, self.search = client, as_of, patience, search
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
            except NeedsPerson as error:
                results.append(Result(work.disposal_id, Outcome.FAILED, error.code, needs_person=True))
            except ProcessorError as error:
                errors.append(error)
                results.append(Result(work.disposal_id, Outcome.FAILED, error.code, http_status=error.status))
        if errors and len(errors) == len(works):
            raise errors[0]
        return self._look_again(works, results)

    def _place(self, works: Sequence[Work]) -> Place:
        users, _ = self.client.show_many("users", ids(works, "users"))
        tickets, _ = self.client.show_many("tickets", ids(works, "tickets"))
        unproven = [w for w in works if w.locator.get("tickets") and not set(w.locator["tickets"]) & set(tickets)]
        soft = frozenset(i for i, t in tickets.items() if t.get("status") == DELETED)
        if unproven:
            listed = self.client.pages("/deleted_tickets", "deleted_tickets", quota="deleted_listing")
            soft |= {int(t["id"]) for t in listed}
        held: frozenset[int] = frozenset()
        if ids(works, "suspended"):
            held = frozenset(int(t["id"]) for t in self.client.pages("/suspended_tickets", "suspended_tickets"))
        external = users_by_external_id(self.client, [w.account_id for w in works])
        nobody = [w for w in works if not w.locator.get("users") and w.locator.get("emails")]
        again = overlooked(self.search, nobody) if nobody else {}
        return Place(users, tickets, soft, held, external, again)

    def _judge(self, work: Work, place: Place) -> Result:
        located = work.locator
        count = sum(len(located.get(k, ())) for k in ("users", "tickets", "comments", "chats", "suspended"))
        present = Result(work.disposal_id, Outcome.FAILED, "still_present", count=count)
        known = {int(i) for i in located.get("users", ())}
        seen = known | {int(i) for i in located.get("returned", ())}
        returned = {int(u["id"]): u for u in place.external.get(work.account_id, ()) if int(u["id"]) not in seen}
        if work.disposal_id in place.overlooked:
            if error := place.overlooked[work.disposal_id]:
                raise error
            return present
        if returned:
            return self._returned(work, present, returned)
        if self._remains(work, place):
            # What was called purged and is there is to be purged again.
            purged = sorted(set(located.get("purged", ())) - place.soft_deleted - set(place.tickets))
            return replace(present, locator={**located, "purged": purged} if located.get("purged") else None)
        left = located.get("left")
        if left is None:
            found = what_is_left(self.client, located)
            if found[TEXTS]:
                return present
            left = dict(found)
            if left and not located.get("tried"):  # one more try before it is left to a person
                return replace(present, locator={**located, "tried": True})
        done = Result(work.disposal_id, Outcome.CONFIRMED_ABSENT, count=count, verify_method=METHOD)
        named = [u for i in known if (u := place.users.get(i)) and not is_scrubbed(u)]
        if named or not self._all_complete(located):
            return self._waiting(done, located, left, "name_not_scrubbed" if named else "compliance_deletion")
        if left:
            due = self.as_of + timedelta(days=self.patience.manual_days)
            return replace(done, outcome=Outcome.MANUAL_PENDING, code=sorted(left)[0], until=due)
        return done

    def _look_again(self, works: Sequence[Work], results: Sequence[Result]) -> list[Result]:
        """Search once more for those about to end, days after locating."""
        ending = {r.disposal_id for r in results if r.outcome in {Outcome.CONFIRMED_ABSENT, Outcome.MANUAL_PENDING}}
        ending &= {w.disposal_id for w in works if w.locator.get("users")}
        found = missed(self.search, [w for w in works if w.disposal_id in ending]) if ending else {}
        return [_unless(r, w, found.get(w.disposal_id)) for w, r in zip(works, results, strict=True)]

    def _returned(self, work: Work, present: Result, returned: Mapping[int, Row]) -> Result:
        """A user of this account that was not located: overlooked then, or made since by somebody who came back.

        The latter is no part of what ended; a person looks once whether it is a customer again, and letting the
        disposal go on says that this user stays.
        """
        since = str(work.locator.get("located_on") or "")
        if since and not all(str(u.get("created_at") or "9")[:10] < since for u in returned.values()):
            seen = sorted({*work.locator.get("returned", ()), *returned})
            return replace(present, code="user_returned", locator={**work.locator, "returned": seen}, needs_person=True)
        if not since:  # nothing was located: the engine locates anew
            return present
        held = self.search.holdings(returned)
        if held.unsettled:
            return replace(present, outcome=Outcome.AWAITING, code=held.unsettled)
        users = sorted({*work.locator.get("users", ()), *returned})
        return replace(present, locator=_extended({**work.locator, "users": users}, held))

    def _waiting(self, done: Result, located: Mapping[str, Any], left: Mapping[str, int], code: str) -> Result:
        """Wait until tomorrow; after `compliance_days` a person asks Zendesk why."""
        since = date.fromisoformat(str(located.get("waiting_since") or self.as_of))
        kept = {**located, "left": dict(left), "waiting_since": since.isoformat()}  # black is not read a second time
        if (self.as_of - since).days >= self.patience.compliance_days:
            kept["waiting_since"] = self.as_of.isoformat()
            return replace(
                done,
                outcome=Outcome.FAILED,
                code="compliance_overdue",
                locator=kept,
                needs_person=True,
                verify_method=None,
            )
        tomorrow = self.as_of + timedelta(days=1)
        return replace(done, outcome=Outcome.AWAITING, code=code, until=tomorrow, locator=kept)

    def _remains(self, work: Work, place: Place) -> bool:
        located = work.locator
        tickets = {int(i) for i in located.get("tickets", ())}
        users = [place.users[i] for i in located.get("users", ()) if i in place.users]
        return bool(
            any(int(u["id"]) not in located.get("returned", ()) for u in place.external.get(work.account_id, ()))
            or any(not is_bare(user) for user in users)
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
            for product in started | self.patience.products
        )


def _extended(located: Mapping[str, Any], held: Holdings) -> dict[str, Any]:
    """Add what was found late to a locator; a complaint among it is one that nobody archived."""
    if held.complaints:
        raise NeedsPerson(NAME, "late_complaint")
    more = {k: [*located.get(k, ()), *(x for x in v if x not in located.get(k, ()))] for k, v in held.locator().items()}
    return {**located, **more}


def _unless(result: Result, work: Work, found: Holdings | NeedsPerson | None) -> Result:
    """Return the result unless a second look found more, which is then dealt with from the first step on."""
    if found is None or (isinstance(found, Holdings) and not found.locator() and not found.unsettled):
        return result
    present = Result(work.disposal_id, Outcome.FAILED, "still_present", count=result.count)
    if isinstance(found, Holdings) and found.unsettled:
        return replace(present, outcome=Outcome.AWAITING, code=found.unsettled)
    try:
        if isinstance(found, NeedsPerson):
            raise found
        located = {k: v for k, v in work.locator.items() if k not in ("left", "tried")}
        return replace(present, locator=_extended(located, found))
    except NeedsPerson as error:
        return replace(present, code=error.code, needs_person=True)
