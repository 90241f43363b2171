"""Finding a person at Zendesk: fuzzy search, exact comparison, every ticket role.

Zendesk matches `external_id` regardless of case and e-mails by parts of them, so nothing that a search returns is taken
as ours: each candidate is read again by id, with all identities, and compared exactly.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from include.errors import ConfigurationError, NeedsPerson, ProcessorError, Unreachable
from include.outcomes import Outcome
from include.processors import Found, Subject
from include.processors._zendesk_client import NAME, Client, Row, chunks

SEARCHABLE = re.compile(r"[\w.+\-%&'=~]+@[\w.\-]+")
PLAIN_KEY = re.compile(r"[A-Za-z0-9._\-]{1,200}")
CLOSED = frozenset({"solved", "closed"})


@dataclass(frozen=True, slots=True)
class Selector:
    """How policy recognises a complaint or dispute: by tag, ticket form or type; `unclear_tags` need a person."""

    tags: frozenset[str] = frozenset()
    forms: frozenset[int] = frozenset()
    types: frozenset[str] = frozenset()
    unclear_tags: frozenset[str] = frozenset()

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Selector:
        """Read `complaint_selector`; without one nobody could tell which tickets the three-year rule keeps."""
        raw = settings.get("complaint_selector")
        known = {"tags", "forms", "types", "unclear_tags"}
        if (
            not isinstance(raw, Mapping)
            or not set(raw) <= known
            or not any(raw.get(k) for k in known - {"unclear_tags"})
        ):
            raise ConfigurationError(
                "The retention schedule's processors.zendesk.settings.complaint_selector is missing or wrong. "
                "Name the tags, forms or types that mark complaint and dispute tickets."
            )
        return cls(
            frozenset(map(str, raw.get("tags", ()))),
            frozenset(map(int, raw.get("forms", ()))),
            frozenset(map(str, raw.get("types", ()))),
            frozenset(map(str, raw.get("unclear_tags", ()))),
        )

    def is_complaint(self, ticket: Row) -> bool:
        """Return whether the ticket is one; raise where nobody can tell."""
        tags = ticket.get("tags")
        if not isinstance(tags, list) or self.unclear_tags & set(tags):
            raise NeedsPerson(NAME, "unclassifiable_ticket")
        return bool(
            self.tags & set(tags) or ticket.get("ticket_form_id") in self.forms or ticket.get("type") in self.types
        )


@dataclass(slots=True)
class Person:
    """What is known of one subject while searching."""

    subject: Subject
    candidates: set[int] = field(default_factory=set)
    users: dict[int, Row] = field(default_factory=dict)
    by_email: set[int] = field(default_factory=set)
    emails: set[str] = field(default_factory=set)
    error: ProcessorError | None = None


def same_email(value: object) -> str:
    """Return an e-mail as Zendesk compares it."""
    return str(value or "").strip().casefold()


class Search:
    """One `locate` over a batch."""

    def __init__(
        self, client: Client, selector: Selector, owners: Callable[[set[str]], Mapping[str, set[str]]]
    ) -> None:
        self.client, self.selector, self.owners = client, selector, owners

    def run(self, subjects: Sequence[Subject]) -> list[Found]:
        """Return one `Found` per subject; raise only when nobody could be searched."""
        people = [Person(s, emails={same_email(e) for e in s.emails if e}) for s in subjects]
        self._candidates(people)
        self._match([p for p in people if p.error is None])
        suspended = self._suspended(people)
        found = [self._found(person, suspended) for person in people]
        errors = [p.error for p in people if isinstance(p.error, Unreachable)]
        if errors and len(errors) == len(people):
            raise errors[0]
        return found

    # -- users -----------------------------------------------------------------------------------------------------
    def _candidates(self, people: Sequence[Person]) -> None:
        by_key = users_by_external_id(self.client, [p.subject.account_id for p in people])
        for person in people:
            key = person.subject.account_id
            person.candidates |= {int(u["id"]) for u in by_key.get(key, ())}
            try:
                for email in sorted(person.emails):
                    person.candidates |= self._by_email(email)
                if not key and not person.emails:
                    raise NeedsPerson(NAME, "no_identifier")
            except (NeedsPerson, Unreachable) as error:
                person.error = error

    def _by_email(self, email: str) -> set[int]:
        if not SEARCHABLE.fullmatch(email):
            raise NeedsPerson(NAME, "unsearchable_email")  # quotes and the like are search syntax there
        return {int(u["id"]) for u in self.client.pages("/users/search", "users", {"query": f"email:{email}"})}

    def _match(self, people: Sequence[Person]) -> None:
        wanted = {i for p in people for i in p.candidates}
        users, identities = self._read(wanted)
        claims: dict[int, set[str]] = {}
        for person in people:
            for user_id in sorted(person.candidates & set(users)):
                user, key = users[user_id], person.subject.account_id
                own = {same_email(user.get("email"))} | identities.get(user_id, set())
                external = str(user.get("external_id") or "")
                if external and external == key:
                    person.users[user_id] = user
                elif not external and person.emails & own:
                    person.users[user_id] = user
                    person.by_email.add(user_id)
                    claims.setdefault(user_id, set()).add(key)
            for user_id in person.users:
                person.emails |= identities.get(user_id, set())
        shared = {i for i, keys in claims.items() if len(keys) > 1}
        shared |= self._shared_in_company(people)
        for person in people:
            person.error = self._doubt(person, shared)

    def _read(self, ids: Iterable[int]) -> tuple[dict[int, Row], dict[int, set[str]]]:
        users, side = self.client.show_many("users", ids, include="identities")
        identities: dict[int, set[str]] = {user_id: set() for user_id in users}
        if side is None:  # not side-loaded here: ask for each
            paths = [f"/users/{user_id}/identities" for user_id in sorted(users)]
            side = [row for path in paths for row in self.client.pages(path, "identities", missing=True)]
        for row in side:
            if row.get("type") == "email" and row.get("user_id") in identities:
                identities[row["user_id"]].add(same_email(row.get("value")))
        return users, identities

    def _shared_in_company(self, people: Sequence[Person]) -> set[int]:
        """Return users found by e-mail alone whose e-mail also belongs to another account of the company."""
        alone = [p for p in people if p.by_email]
        owners = self.owners({e for p in alone for e in p.emails}) if alone else {}
        return {
            user_id
            for person in alone
            for user_id in person.by_email
            if any(owners.get(e, set()) - {person.subject.account_id} for e in person.emails)
        }

    @staticmethod
    def _doubt(person: Person, shared: set[int]) -> ProcessorError | None:
        if len(person.by_email) > 1 or person.by_email & shared:
            return NeedsPerson(NAME, "ambiguous")
        if any(u.get("role") not in {"end-user", None} for u in person.users.values()):
            return NeedsPerson(NAME, "not_an_end_user")
        return None

    # -- tickets ---------------------------------------------------------------------------------------------------
    def _suspended(self, people: Sequence[Person]) -> list[Row]:
        if all(p.error for p in people):
            return []
        return list(self.client.pages("/suspended_tickets", "suspended_tickets"))

    def _found(self, person: Person, suspended: Sequence[Row]) -> Found:
        disposal_id = person.subject.disposal_id
        if person.error is None:
            try:
                return self._tickets(person, suspended)
            except (NeedsPerson, Unreachable) as error:
                person.error = error
        return Found(disposal_id, Outcome.FAILED, code=person.error.code)

    def _tickets(self, person: Person, suspended: Sequence[Row]) -> Found:
        own: dict[int, Row] = {}
        others: set[int] = set()
        for user_id, user in person.users.items():
            gone = user.get("active") is False
            own |= {int(t["id"]): t for t in self._of(user_id, "requested", gone)}
            for role in ("ccd", "followed"):
                others |= {int(t["id"]) for t in self._of(user_id, role, gone)}
            others |= {int(t["id"]) for t in self._commented(user_id)}
        complaints = sorted(i for i, t in own.items() if self.selector.is_complaint(t))
        waiting = [i for i, t in own.items() if t.get("status") not in CLOSED]
        if waiting:
            code = "open_complaint" if set(waiting) & set(complaints) else "open_ticket"
            return Found(person.subject.disposal_id, Outcome.BLOCKED, count=len(own) + len(person.users), code=code)
        held = sorted(int(t["id"]) for t in suspended if _from(t, person))
        comments = self._comments(others - set(own), set(person.users))
        locator: dict[str, Any] = {
            "users": sorted(person.users),
            "tickets": sorted(own),
            "complaints": complaints,
            "comments": comments,
            "suspended": held,
        }
        count = sum(len(locator[k]) for k in ("users", "tickets", "comments", "suspended"))
        kept = {k: v for k, v in locator.items() if v}
        return Found(person.subject.disposal_id, Outcome.LOCATED, count=count, locator=kept)

    def _of(self, user_id: int, role: str, gone: bool) -> list[Row]:
        return list(self.client.pages(f"/users/{user_id}/tickets/{role}", "tickets", missing=gone))

    def _commented(self, user_id: int) -> list[Row]:
        parameters = {"query": f"commenter:{user_id}", "filter[type]": "ticket"}
        return list(self.client.pages("/search/export", "results", parameters, quota="export"))

    def _comments(self, tickets: Iterable[int], users: set[int]) -> list[list[int]]:
        return [
            [ticket_id, int(comment["id"])]
            for ticket_id in sorted(tickets)
            for comment in self.client.pages(f"/tickets/{ticket_id}/comments", "comments", missing=True)
            if comment.get("author_id") in users
        ]


def _from(suspended: Row, person: Person) -> bool:
    author = suspended.get("author")
    if not isinstance(author, dict):
        return False
    email = same_email(author.get("email"))
    return author.get("id") in person.users or bool(email and email in person.emails)


def users_by_external_id(client: Client, keys: Sequence[str]) -> dict[str, list[Row]]:
    """Return the users whose `external_id` equals a key exactly, letter case included."""
    found: dict[str, list[Row]] = {}
    plain = sorted({k for k in keys if PLAIN_KEY.fullmatch(k)})
    rows: list[Row] = []
    for chunk in chunks(plain):
        rows += client.pages("/users/show_many", "users", {"external_ids": ",".join(chunk)})
    for key in sorted({k for k in keys if k} - set(plain)):  # commas and the like: one by one
        rows += client.pages("/users/search", "users", {"external_id": key})
    for row in rows:
        found.setdefault(str(row.get("external_id") or ""), []).append(row)
    return {key: found[key] for key in set(keys) & set(found) if key}
