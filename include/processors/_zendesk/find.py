"""Finding what Zendesk holds of a person: tickets in every role, what they wrote elsewhere, and suspended mails.

Own tickets (as requester) go whole. On tickets of others only what the person wrote is theirs: comments, files, calls,
chat messages. A ticket that was merged into another person's left its last words there, in a comment of the agent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from include.errors import NeedsPerson, Unreachable
from include.outcomes import Outcome
from include.processors import Found, Subject
from include.processors._zendesk.chat import Chat, chats_on
from include.processors._zendesk.client import Client
from include.processors._zendesk.gate import NAME, Row
from include.processors._zendesk.selector import Selector
from include.processors._zendesk.users import SHORTEST_PHONE, Owners, Person, Users, same_email, same_phone

CLOSED = frozenset({"solved", "closed"})
MERGED = "closed_by_merge"  # the tag Zendesk gives a ticket that was merged into another


@dataclass(slots=True)
class Holdings:
    """What is held of some users; `complaints` are the tickets, own or not, that the law keeps a record of."""

    own: dict[int, Row] = field(default_factory=dict)
    complaints: set[int] = field(default_factory=set)
    comments: list[list[int]] = field(default_factory=list)
    chats: list[list[Any]] = field(default_factory=list)
    unsettled: str | None = None

    def locator(self) -> dict[str, Any]:
        """Return the parts of a locator that are not empty."""
        parts = {
            "tickets": sorted(self.own),
            "complaints": sorted(self.complaints),
            "complaints_at": {str(i): t.get("updated_at") for i, t in sorted(self.own.items()) if i in self.complaints},
            "comments": self.comments,
            "chats": self.chats,
        }
        return {k: v for k, v in parts.items() if v}


class Search:
    """One `locate` over a batch."""

    def __init__(self, client: Client, selector: Selector, owners: Owners, as_of: date) -> None:
        self.client, self.selector, self.as_of = client, selector, as_of
        self.users = Users(client, owners)

    def run(self, subjects: Sequence[Subject]) -> list[Found]:
        """Return one `Found` per subject; raise only when nobody could be searched."""
        people = [
            Person(
                s.account_id,
                emails={same_email(e) for e in s.emails if e},
                phones={p for p in map(same_phone, s.phones) if len(p) >= SHORTEST_PHONE},
            )
            for s in subjects
        ]
        self.users.find(people)
        suspended = self._suspended(people)
        found = [self._found(s.disposal_id, p, suspended) for s, p in zip(subjects, people, strict=True)]
        errors = [p.error for p in people if isinstance(p.error, Unreachable)]
        if errors and len(errors) == len(people):
            raise errors[0]
        return found

    def _suspended(self, people: Sequence[Person]) -> list[Row]:
        if all(p.error for p in people):
            return []
        return list(self.client.pages("/suspended_tickets", "suspended_tickets"))

    def _found(self, disposal_id: str, person: Person, suspended: Sequence[Row]) -> Found:
        if person.error is None:
            try:
                return self._located(disposal_id, person, suspended)
            except (NeedsPerson, Unreachable) as error:
                person.error = error
        return Found(disposal_id, Outcome.FAILED, code=person.error.code)

    def _located(self, disposal_id: str, person: Person, suspended: Sequence[Row]) -> Found:
        held = self.holdings(person.users)
        if held.unsettled:
            count = len(held.own) + len(person.users)
            return Found(disposal_id, Outcome.BLOCKED, count=count, code=held.unsettled)
        mine = [t for t in suspended if _from(t, person)]
        told = {same_email(t["author"].get("email")) for t in mine if t["author"].get("id") not in person.users}
        if told and self.users.shared(person, told):  # only its address tells whose such a mail is
            raise NeedsPerson(NAME, "suspended_mail_of_two")
        mails = sorted(int(t["id"]) for t in mine)
        locator = {"users": sorted(person.users), "suspended": mails, **held.locator()}
        locator = {k: v for k, v in locator.items() if v}
        count = sum(len(locator.get(k, ())) for k in ("users", "tickets", "comments", "chats", "suspended"))
        locator["located_on"] = self.as_of.isoformat()
        if not person.users and person.emails:  # there is no id to look again with, so the addresses are kept
            locator["emails"] = sorted(person.emails)
        return Found(disposal_id, Outcome.LOCATED, count=count, locator=locator)

    # -- tickets ---------------------------------------------------------------------------------------------------
    def holdings(self, users: Mapping[int, Row]) -> Holdings:
        """Return what is held of these users; raise `NeedsPerson` where nobody can tell what a ticket is."""
        held = Holdings()
        others: dict[int, Row] = {}
        for user_id, user in users.items():
            gone = user.get("active") is False
            held.own |= {int(t["id"]): t for t in self._of(user_id, "requested", gone)}
            for role in ("ccd", "followed"):
                others |= {int(t["id"]): t for t in self._of(user_id, role, gone)}
            others |= {int(t["id"]): t for t in self.commented([user_id])}
        held.complaints = {i for i, t in held.own.items() if self.selector.is_complaint(t)}
        waiting = {i for i, t in held.own.items() if t.get("status") not in CLOSED}
        if waiting:
            held.unsettled = "open_complaint" if waiting & held.complaints else "open_ticket"
            return held
        for ticket_id in sorted(set(others) - set(held.own)):
            self._elsewhere(held, others[ticket_id], set(users))
        for ticket_id, ticket in sorted(held.own.items()):
            if MERGED in (ticket.get("tags") or ()):
                self._merged(held, ticket_id)
        return held

    def _of(self, user_id: int, role: str, gone: bool) -> list[Row]:
        return list(self.client.pages(f"/users/{user_id}/tickets/{role}", "tickets", missing=gone))

    def commented(self, users: Sequence[int]) -> list[Row]:
        """Return the tickets on which one of these users wrote, as far as the search index knows."""
        query = " ".join(f"commenter:{user_id}" for user_id in users)
        parameters = {"query": query, "filter[type]": "ticket"}
        return list(self.client.pages("/search/export", "results", parameters, quota="export"))

    def comments(self, ticket_id: int) -> list[Row]:
        """Return a ticket's comments; none where the ticket is gone."""
        return list(self.client.pages(f"/tickets/{ticket_id}/comments", "comments", of=("tickets", ticket_id)))

    def _elsewhere(self, held: Holdings, ticket: Row, users: set[int]) -> None:
        comments = self.comments(int(ticket["id"]))
        self.words(held, ticket, users, comments, chats_on(self.client, ticket, comments))

    def words(
        self, held: Holdings, ticket: Row, users: set[int], comments: Sequence[Row], chats: Sequence[Chat]
    ) -> None:
        """Add what these users wrote on another person's ticket.

        If that ticket is a complaint its record is kept as well, before the words in it are blacked out; while it is
        open they are evidence of a case that runs.
        """
        ticket_id = int(ticket["id"])
        mine = [[ticket_id, int(c["id"])] for c in comments if c.get("author_id") in users]
        said = [[ticket_id, chat.chat_id] for chat in chats if chat.says(users)]
        if (mine or said) and self.selector.is_complaint(ticket):
            held.complaints.add(ticket_id)
            if ticket.get("status") not in CLOSED:
                held.unsettled = "open_complaint"
        held.comments += mine
        held.chats += said

    def _merged(self, held: Holdings, ticket_id: int) -> None:
        """Find the comment that a merge left on another person's ticket, quoting this one."""
        targets = {i for c in self.comments(ticket_id) if _rel(c) == "merge" for i in _tickets_in(c)}
        if not targets - {ticket_id}:
            raise NeedsPerson(NAME, "merged_ticket")  # it was merged, and Zendesk does not say into which
        for target in sorted(targets - set(held.own)):
            found = [
                [target, int(c["id"])]
                for c in self.comments(target)
                if _rel(c) == "merge" and ticket_id in _tickets_in(c)
            ]
            held.comments += [pair for pair in found if pair not in held.comments]


def _rel(comment: Row) -> object:
    return _source(comment).get("rel")


def _source(comment: Row) -> Row:
    via = comment.get("via")
    source = via.get("source") if isinstance(via, dict) else None
    return source if isinstance(source, dict) else {}


def _tickets_in(comment: Row) -> set[int]:
    """Return the tickets a merge comment names: where it came from, or went to."""
    found: set[int] = set()
    for side in ("from", "to"):
        end = _source(comment).get(side)
        if isinstance(end, dict):
            values: Iterable[Any] = [end.get("ticket_id"), *(end.get("ticket_ids") or ())]
            found |= {int(v) for v in values if str(v).isdigit()}
    return found


def _from(suspended: Row, person: Person) -> bool:
    author = suspended.get("author")
    if not isinstance(author, dict):
        return False
    email = same_email(author.get("email"))
    return author.get("id") in person.users or bool(email and email in person.emails)
