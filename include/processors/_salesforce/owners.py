"""Whose a Salesforce record is, and what is known of each account's records.

Our account id in the key field decides; without it an e-mail address decides, but only when nobody else uses that
address; otherwise nobody may decide but a person (`ambiguous`). A company's Account is never anybody's."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from include.processors._salesforce.client import Client
from include.processors._salesforce.layout import Layout
from include.processors._salesforce.soql import ID, to_18

MARKETING, CUSTOMER, KNOWN = "marketing", "customer", "known"
"""The datasets of a row; `known` is one found only by its id, so it belongs to the disposal that knew the id."""
NAMELESS = "\0"
"""How the stand-in key of a subject without an account id begins; it is never searched for."""
PREFIXES = {
    "Account": "001",
    "Note": "002",
    "Contact": "003",
    "Lead": "00Q",
    "OpportunityContactRole": "00K",
    "Attachment": "00P",
    "Task": "00T",
    "Event": "00U",
    "CaseComment": "00a",
    "CampaignMember": "00v",
    "EmailMessage": "02s",
    "ContentDocumentLink": "06A",
    "ContentDocument": "069",
    "AccountContactRelation": "07k",
    "FeedItem": "0D5",
    "Individual": "0PK",
    "Case": "500",
}
"""Key prefixes (Object Reference): an id of another object is never sent as one of these."""


def fold(text: object) -> str:
    """Return text as Salesforce compares it: without case; composed, so that both forms of Hangul meet."""
    return unicodedata.normalize("NFC", str(text or "")).casefold().strip()


def digits(phone: object) -> str:
    """Return a phone number's digits, a Korean one in its national form; empty where there are too few to tell."""
    found = "".join(c for c in unicodedata.normalize("NFKC", str(phone or "")) if c.isascii() and c.isdigit())
    found = found.removeprefix("00") if str(phone or "").strip().startswith("00") else found
    found = "0" + found.removeprefix("82").removeprefix("0") if found.startswith("82") and len(found) > 10 else found
    return found if len(found) >= 8 else ""


@dataclass(frozen=True, slots=True)
class Row:
    """One record: its dataset, and whether it is deleted already."""

    dataset: str
    deleted: bool = False


@dataclass(slots=True)
class Claim:
    """What belongs to one account, by object and id, and what stands in the way of saying so."""

    rows: dict[str, dict[str, Row]] = field(default_factory=dict)
    problems: set[str] = field(default_factory=set)
    shared: dict[str, set[str]] = field(default_factory=dict)
    histories: int = 0


@dataclass(frozen=True, slots=True)
class Person:
    """One account to look for; `known` are the ids an earlier look found."""

    account_id: str = field(repr=False)
    emails: tuple[str, ...] = field(repr=False)
    datasets: frozenset[str]
    known: Mapping[str, Collection[str]] = field(default_factory=dict, repr=False)
    phones: tuple[str, ...] = field(default=(), repr=False)


class Owners:
    """Decides whose a record is, for many people at once."""

    def __init__(
        self,
        client: Client,
        layout: Layout,
        people: Iterable[Person],
        others: Callable[[Sequence[str]], Mapping[str, set[str]]],
    ) -> None:
        self.client, self.layout = client, layout
        self.people: dict[str, Person] = {}
        for person in people:
            before = self.people.get(person.account_id)
            self.people[person.account_id] = person if before is None else _joined(before, person)
        self.claims = {account: Claim() for account in self.people}
        self.users: dict[str, set[str]] = defaultdict(set)  # address -> accounts that use it
        self.parents: dict[str, dict[str, tuple[str, str]]] = defaultdict(dict)  # kind -> id -> (account, dataset)
        self.known: dict[str, dict[str, str]] = defaultdict(dict)
        for account, person in self.people.items():
            for address in person.emails:
                self.users[fold(address)].add(account)
            for kind, ids in ((k, i) for k, i in person.known.items() if k.isidentifier()):
                self.known[kind].update({to_18(i): account for i in ids if ID.fullmatch(i)})
        self.before = defaultdict(frozenset, {kind: frozenset(ids) for kind, ids in self.known.items()})
        self.addresses = [e for p in self.people.values() for a in p.emails for e in _forms(a)]
        self.numbers: dict[str, set[str]] = defaultdict(set)  # digits -> accounts that use the number
        for account, person in self.people.items():
            for number in filter(None, map(digits, person.phones)):
                self.numbers[number].add(account)
        for address, accounts in others(self.addresses).items():
            self.users[fold(address)] |= accounts

    def _owner(self, kind: str, row: Mapping[str, Any], emails: Sequence[str]) -> str | None:
        """Return the account a record belongs to; mark every one of ours that may claim it when nobody can say."""
        key = row.get(self.layout.key_field)
        if key:
            return str(key) if key in self.people else None
        users: set[str] = set()
        for name in emails:
            users |= self.users.get(fold(row.get(name)), set())
        if len(users) > 1:
            for account in users & set(self.people):
                self.claims[account].problems.add("ambiguous")
            return None
        if users:
            return next(iter(users & set(self.people)), None)
        return self.known[kind].get(to_18(str(row["Id"])))

    def _residue(self, accounts: Iterable[str], kind: str, row: Mapping[str, Any]) -> None:
        """Note a live record that holds something of these accounts, but that only a person may decide about."""
        identifier = str(row.get("Id", ""))
        if not row.get("IsDeleted") and ID.fullmatch(identifier):
            for account in set(accounts) & set(self.people):
                self.claims[account].shared.setdefault(kind, set()).add(to_18(identifier))

    def _claim(self, account: str, kind: str, row: Mapping[str, Any], dataset: str) -> None:
        identifier = str(row.get("Id", ""))
        if not ID.fullmatch(identifier) or not identifier.startswith(self._prefix(kind)):
            self.claims[account].problems.add("malformed_id")
            return
        identifier = to_18(identifier)
        self.parents[kind].setdefault(identifier, (account, dataset))
        if dataset == KNOWN or dataset in self.people[account].datasets:
            self.claims[account].rows.setdefault(kind, {})[identifier] = Row(
                dataset,
                bool(row.get("IsDeleted")),
            )

    def _prefix(self, kind: str) -> str:
        listed = (self.layout.objects() or {}).get(kind, {})
        return PREFIXES.get(kind) or str(listed.get("keyPrefix") or "")

    def _learn(self, row: Mapping[str, Any], emails: Sequence[str]) -> None:
        """Remember who else uses an address: a live record with somebody's key says so."""
        key = row.get(self.layout.key_field)
        if key and not row.get("IsDeleted"):
            for name in emails:
                if row.get(name):
                    self.users[fold(row[name])].add(str(key))


def _joined(one: Person, other: Person) -> Person:
    """Join two disposals of one account, for example marketing and everything, into one search."""
    known = {k: {*one.known.get(k, ()), *other.known.get(k, ())} for k in {*one.known, *other.known}}
    emails = tuple(dict.fromkeys((*one.emails, *other.emails)))
    phones = tuple(dict.fromkeys((*one.phones, *other.phones)))
    return Person(one.account_id, emails, one.datasets | other.datasets, known, phones)


def _forms(address: str) -> tuple[str, ...]:
    """Return the forms in which an address may be stored: Hangul composed or in single letters."""
    return tuple(dict.fromkeys((address, *(unicodedata.normalize(f, address) for f in ("NFC", "NFD")))))
