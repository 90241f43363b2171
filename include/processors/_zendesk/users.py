"""Finding a person's users at Zendesk: fuzzy search, exact comparison.

Zendesk matches `external_id` regardless of case and e-mails and phones by parts of them, so nothing that a search
returns is taken as ours: each candidate is read again by id, with all identities, and compared exactly. An account's
key decides; an e-mail alone, or the number of somebody who only ever called, names a user that carries no key.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from include.errors import NeedsPerson, ProcessorError, Unreachable
from include.processors._zendesk.client import Client, chunks
from include.processors._zendesk.gate import NAME, Row

SEARCHABLE = re.compile(r"[\w.+\-%&'=~]+@[\w.\-]+")
PLAIN_KEY = re.compile(r"[A-Za-z0-9._\-]{1,200}")
SHORTEST_PHONE = 8  # digits; less is an extension, or nobody's

DELETED_MOST = 20_000  # the list keeps the shell of everybody who was ever purged, and cannot be filtered

Owners = Callable[[set[str]], Mapping[str, set[str]]]


@dataclass(slots=True)
class Person:
    """What is known of one person while searching; `key` is the account's."""

    key: str
    candidates: set[int] = field(default_factory=set)
    users: dict[int, Row] = field(default_factory=dict)
    without_key: set[int] = field(default_factory=set)
    emails: set[str] = field(default_factory=set)
    phones: set[str] = field(default_factory=set)
    error: ProcessorError | None = None


def same_email(value: object) -> str:
    """Return an e-mail as Zendesk compares it."""
    return str(value or "").strip().casefold()


def same_phone(value: object) -> str:
    """Return the digits of a phone number in Korea's own form: +82 10-1234-5678 and 010 1234 5678 are one."""
    digits = re.sub(r"\D", "", str(value or ""))
    return re.sub(r"^(?:00)?820?", "0", digits) if re.match(r"(?:00)?82\d{8}", digits) else digits


def searched_phone(phone: str) -> str:
    """Return a number as Zendesk stores it (E.164) where it is a Korean one."""
    return "+82" + phone[1:] if phone.startswith("0") else phone


def is_staff(user: Row) -> bool:
    """Return whether a user is an agent of any kind, light, chat or contributor agents and admins included."""
    return (
        user.get("role") not in {"end-user", None} or user.get("role_type") is not None or bool(user.get("chat_only"))
    )


class Users:
    """The users of a batch of people."""

    def __init__(self, client: Client, owners: Owners) -> None:
        self.client, self.owners = client, owners

    def find(self, people: Sequence[Person]) -> None:
        """Fill in each person's users, or the error that stops this person."""
        self._candidates(people)
        self._match([p for p in people if p.error is None])
        self._deleted([p for p in people if p.error is None and not p.users and p.emails])

    def _candidates(self, people: Sequence[Person]) -> None:
        by_key = users_by_external_id(self.client, [p.key for p in people])
        calls = any(p.phones for p in people) and self._takes_calls()
        for person in people:
            person.candidates |= {int(u["id"]) for u in by_key.get(person.key, ())}
            try:
                for email in sorted(person.emails):
                    person.candidates |= self._by_email(email)
                for phone in sorted(person.phones) if calls else ():
                    person.candidates |= self._search(f"phone:{searched_phone(phone)}")
                if not person.key and not person.emails:
                    raise NeedsPerson(NAME, "no_identifier")
            except (NeedsPerson, Unreachable) as error:
                person.error = error

    def _takes_calls(self) -> bool:
        """Return whether this account uses Talk, which makes users of unknown numbers; unless denied it is assumed."""
        answer = self.client.call("GET", "/account/settings")
        settings = answer.body.get("settings") if answer.status == 200 and isinstance(answer.body, dict) else None
        voice = settings.get("voice") if isinstance(settings, dict) else None
        return not (isinstance(voice, dict) and voice.get("enabled") is False)

    def _by_email(self, email: str) -> set[int]:
        if not SEARCHABLE.fullmatch(email):
            raise NeedsPerson(NAME, "unsearchable_email")  # quotes and the like are search syntax there
        return self._search(f"email:{email}")

    def _search(self, query: str) -> set[int]:
        return {int(u["id"]) for u in self.client.pages("/users/search", "users", {"query": query})}

    def _match(self, people: Sequence[Person]) -> None:
        users, identities = self._read({i for p in people for i in p.candidates})
        claims: dict[int, set[str]] = {}
        elsewhere: dict[int, set[int]] = {}
        for number, person in enumerate(people):
            for user_id in sorted(person.candidates & set(users)):
                user, key = users[user_id], person.key
                emails, phones = _keys(user, identities[user_id])
                external = str(user.get("external_id") or "")
                named = bool(person.emails & emails)
                if external and external == key:
                    person.users[user_id] = user
                elif not external and (named or (not emails and person.phones & phones)):
                    person.users[user_id] = user
                    person.without_key.add(user_id)
                    claims.setdefault(user_id, set()).add(key)
                elif external and named:
                    elsewhere.setdefault(number, set()).add(user_id)
            for user_id in person.users:
                person.emails |= _keys(users[user_id], identities[user_id])[0]
        shared = {i for i, keys in claims.items() if len(keys) > 1} | self._shared_in_company(people)
        for number, person in enumerate(people):
            others = [users[i] for i in elsewhere.get(number, ())]
            person.error = _doubt(person, shared) or self._elsewhere(person, others)

    def _read(self, ids: Iterable[int]) -> tuple[dict[int, Row], dict[int, list[Row]]]:
        users, side = self.client.show_many("users", ids, include="identities")
        identities: dict[int, list[Row]] = {user_id: [] for user_id in users}
        if side is None:  # not side-loaded here: ask for each
            side = [
                row
                for user_id in sorted(users)
                for row in self.client.pages(f"/users/{user_id}/identities", "identities", of=("users", user_id))
            ]
        for row in side:
            if row.get("user_id") in identities:
                identities[row["user_id"]].append(row)
        return users, identities

    def _shared_in_company(self, people: Sequence[Person]) -> set[int]:
        """Return users found without a key whose e-mail also belongs to another account of the company."""
        alone = [p for p in people if p.without_key]
        owners = self.owners({e for p in alone for e in p.emails}) if alone else {}
        return {
            user_id
            for person in alone
            for user_id in person.without_key
            if any(owners.get(e, set()) - {person.key} for e in person.emails)
        }

    def shared(self, person: Person, emails: set[str]) -> bool:
        """Return whether another account of the company holds one of these addresses too."""
        owners = self.owners(emails & person.emails)
        return any(accounts - {person.key} for accounts in owners.values())

    def _elsewhere(self, person: Person, others: Sequence[Row]) -> ProcessorError | None:
        """Return the doubt about a user of another account that carries this person's e-mail.

        Where the company knows that account as a holder of the address too, the user is that account's. Else two users
        were merged, or the key is wrong: then this person's data is there under another's key.
        """
        if not others:
            return None
        owners = self.owners(set(person.emails))
        known = {account for e in person.emails for account in owners.get(e, set())}
        if all(str(user.get("external_id")) in known for user in others):
            return None
        return NeedsPerson(NAME, "email_on_another_account")

    def _deleted(self, people: Sequence[Person]) -> None:
        """Find those whom somebody deleted softly already: no search shows them, only the list of deleted users."""
        if not people:
            return
        holders: dict[str, set[int]] = {}
        rows: dict[int, Row] = {}
        wanted = {e for p in people for e in p.emails}
        for row in islice(self.client.pages("/deleted_users", "deleted_users"), DELETED_MOST):
            email = same_email(row.get("email"))
            if email in wanted and email:
                holders.setdefault(email, set()).add(row["id"])
                rows[row["id"]] = {**row, "active": False}
        whose: dict[int, list[Person]] = {}
        for person in people:
            for user_id in {i for e in person.emails for i in holders.get(e, ())}:
                user = self.client.show("users", user_id) or rows[user_id]
                external = str(user.get("external_id") or "")
                if external in {"", person.key} and user.get("active") is False:
                    person.users[user_id] = user
                    whose.setdefault(user_id, []).append(person)
        for found in whose.values():
            for person in found:
                person.error = _doubt(person, set())
                if len(found) > 1:
                    person.error = NeedsPerson(NAME, "ambiguous")


def _keys(user: Row, identities: Sequence[Row]) -> tuple[set[str], set[str]]:
    """Return all e-mails and all phone numbers of a user."""
    emails = {same_email(user.get("email"))} | {
        same_email(i.get("value")) for i in identities if i.get("type") == "email"
    }
    phones = {same_phone(user.get("phone"))}
    phones |= {same_phone(i.get("value")) for i in identities if i.get("type") == "phone_number"}
    return emails - {""}, {p for p in phones if len(p) >= SHORTEST_PHONE}


def _doubt(person: Person, shared: set[int]) -> ProcessorError | None:
    if len(person.without_key) > 1 or person.without_key & shared:
        return NeedsPerson(NAME, "ambiguous")
    if any(is_staff(u) for u in person.users.values()):
        return NeedsPerson(NAME, "not_an_end_user")
    if any(u.get("shared") or u.get("shared_agent") for u in person.users.values()):
        return NeedsPerson(NAME, "shared_from_another_zendesk")  # only the account that shares can delete it
    return None


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
