"""What hangs on a person's records: comments, activities, memberships, roles, files, custom objects, Individual."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from include.processors._salesforce.layout import PEOPLE, CustomObject
from include.processors._salesforce.owners import KNOWN, MARKETING, PREFIXES, fold
from include.processors._salesforce.placing import Placing, linked
from include.processors._salesforce.soql import Selection, Test, to_18

NOBODYS = ("005", "058", "00D")
"""Users, libraries and the organisation: a file linked to them is not thereby another person's."""
RECORDS = ("Account", "Contact", "Lead", "Case")
ACTIVITY = {"WhoId": ("Contact", "Lead"), "WhatId": ("Account", "Case")}
CONTACT = {"ContactId": ("Contact",)}
POINT = {"ParentId": ("Account", "Individual")}
CHILDREN: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "CaseComment": {"ParentId": ("Case",)},
    "Task": ACTIVITY,
    "Event": ACTIVITY,
    "CampaignMember": {**CONTACT, "LeadId": ("Lead",)},
    "OpportunityContactRole": CONTACT,
    "AccountContactRole": CONTACT,
    "ContractContactRole": CONTACT,
    "CaseContactRole": CONTACT,
    "AccountContactRelation": CONTACT,
    "ContactPointEmail": POINT,
    "ContactPointPhone": POINT,
    "ContactPointAddress": POINT,
    "Attachment": {"ParentId": (*RECORDS, "EmailMessage", "Task", "Event")},
    "Note": {"ParentId": PEOPLE},
    "FeedItem": {"ParentId": RECORDS},
}
ADDRESSES = {"ContactPointEmail": "EmailAddress"}
"""Children that also carry an address; by it alone they are for a person to decide about."""
LAST = frozenset({"Attachment"})
"""Children that also hang on children."""
HOLDERS_OF_FILES = (*RECORDS, "Task", "Event", "EmailMessage", "Individual")
HISTORIES = {f"{kind}History": (f"{kind}Id", kind) for kind in RECORDS}
INDIVIDUALS = (("Contact", "IndividualId"), ("Lead", "IndividualId"), ("Account", "PersonIndividualId"))


class Attached(Placing):
    """Finds what hangs on the people and cases found before."""

    def _attached(self) -> None:
        kinds = [k for k in CHILDREN if self.layout.has(k)]
        self._children([k for k in kinds if k not in LAST])
        self._children([k for k in kinds if k in LAST])
        customs = self.layout.custom_objects()
        self._customs(customs)
        self._files((*HOLDERS_OF_FILES, *(c.name for c in customs)))
        self._strays()

    def _children(self, kinds: Sequence[str]) -> None:
        owners = {k: {name: self._going_parents(k, of) for name, of in CHILDREN[k].items()} for k in kinds}
        wanted: list[Selection] = []
        for kind in kinds:
            tests = [Test(name, ids) for name, ids in owners[kind].items()]
            addressed = [Test(ADDRESSES[kind], self.addresses)] if kind in ADDRESSES else []
            columns = ["Id", "IsDeleted", *CHILDREN[kind], *(t.name for t in addressed)]
            wanted.append((kind, columns, [*tests, *addressed]))
        for kind, rows in zip(kinds, self._select_many(wanted), strict=True):
            for row in rows.values():
                self._child(kind, row, owners[kind])

    def _child(self, kind: str, row: Mapping[str, Any], owners: Mapping[str, Mapping[str, tuple[str, str]]]) -> None:
        parents = {name: to_18(str(row[name])) for name in owners if row.get(name)}
        found = next((owners[n][i] for n, i in parents.items() if i in owners[n]), None)
        if found is not None:
            self._claim(found[0], kind, row, found[1])
        else:
            users = self.users.get(fold(row.get(ADDRESSES.get(kind, ""))), set())
            self._residue(users if len(users) == 1 else (), kind, row)
            self._known_before(kind, row, [(k, i) for n, i in parents.items() for k in CHILDREN[kind][n]])

    def _going_parents(self, kind: str, kinds: Sequence[str]) -> dict[str, tuple[str, str]]:
        owners = {
            i: (account, MARKETING if kind == "CampaignMember" else dataset)
            for k in kinds for i, (account, dataset) in self.parents[k].items()
        }  # fmt: skip
        return {i: owner for i, owner in owners.items() if owner[1] in self.people[owner[0]].datasets}

    def _known_before(self, kind: str, row: Mapping[str, Any], parents: Sequence[tuple[str, str]] = ()) -> None:
        """Place a record that was found before: a child whose parent is gone is found by nothing else.

        One that by now hangs on somebody else is for a person to decide about.
        """
        account = self.known[kind].get(to_18(str(row["Id"])))
        if account is None:
            return
        others = [(k, i) for k, i in parents if i.startswith(PREFIXES.get(k, " ")) and i not in self.known[k]]
        if not row.get("IsDeleted") and self._others(others):
            self._residue([account], kind, row)
        else:
            self._claim(account, kind, row, KNOWN)

    def _customs(self, customs: Sequence[CustomObject]) -> None:
        columns = {c.name: self._columns_of(c) for c in customs}
        wanted: list[Selection] = []
        for custom in customs:
            tests = [Test(n, self._all_parents(kinds)) for n, kinds in custom.parents.items()]
            tests += [*self._keyed(columns[custom.name]), *(Test(n, self.addresses) for n in custom.emails)]
            wanted.append((custom.name, columns[custom.name], [*tests, *self._called(custom.name)]))
        for custom, rows in zip(customs, self._select_many(wanted), strict=True):
            self._custom(custom, rows)

    def _columns_of(self, custom: CustomObject) -> list[str]:
        columns = ["Id", "IsDeleted", *custom.parents, *custom.emails, *self._numbered(custom.name)]
        keyed = self.layout.knows(custom.name, self.layout.key_field, default=False)
        return [*columns, self.layout.key_field] if keyed else columns

    def _custom(self, custom: CustomObject, rows: Mapping[str, Mapping[str, Any]]) -> None:
        kind, references = custom.name, tuple(custom.parents)
        persons = self._persons([linked(row, references) for row in rows.values()])
        people = {i: self._parents(linked(row, references), persons) for i, row in rows.items()}
        self._others(
            p for some in people.values() if len(some) > 1 and any(i in self.parents[k] for k, i in some) for p in some
        )  # all at once
        for row in rows.values():
            if not self._referred(kind, row, references, persons):
                self._addressed(kind, row, self._parents(linked(row, references), persons), custom.emails)

    def _all_parents(self, kinds: Sequence[str]) -> list[str]:
        return [i for k in kinds for i in self.parents[k]]

    # -- files ---------------------------------------------------------------------------------------------------------
    def _files(self, holding: Sequence[str]) -> None:
        """Find files of the person; one that is also linked to somebody else's record stays, only its links go."""
        if not self.layout.has("ContentDocumentLink"):
            return
        self._asked.add("ContentDocumentLink")
        holders = {i: owner for k in holding for i, owner in self.parents[k].items()}
        columns = ["Id", "IsDeleted", "ContentDocumentId", "LinkedEntityId"]
        documents: dict[str, tuple[str, str]] = {}
        # Asked for in two queries: the object wants one filter at a time.
        wanted: list[Selection] = [("ContentDocumentLink", columns, [Test("LinkedEntityId", holders)])]
        wanted += [("ContentDocumentLink", columns, [Test("Id", self.known["ContentDocumentLink"])])]
        hanging, before = self._read(wanted)
        for row in hanging.values():
            account, dataset = holders[to_18(str(row["LinkedEntityId"]))]
            self._claim(account, "ContentDocumentLink", row, dataset)
            document = to_18(str(row["ContentDocumentId"]))
            if documents.get(document, ("", MARKETING))[1] == MARKETING:
                documents[document] = (account, dataset)
        for row in before.values():
            if to_18(str(row["Id"])) not in self.parents["ContentDocumentLink"]:
                self._known_before("ContentDocumentLink", row)
        self._documents(documents, columns, holders)

    def _documents(
        self, documents: Mapping[str, tuple[str, str]], columns: Sequence[str], holders: Mapping[str, tuple[str, str]]
    ) -> None:
        asked = dict.fromkeys([*documents, *self.known["ContentDocument"]])
        (links,) = self._read([("ContentDocumentLink", columns, [Test("ContentDocumentId", asked)])])
        shared = {to_18(str(row["ContentDocumentId"])) for row in links.values() if self._is_others(row, holders)}
        own = {d: owner for d, owner in documents.items() if d not in shared}
        for row in self._select("ContentDocument", ["Id", "IsDeleted"], Test("Id", own)).values():
            document = to_18(str(row["Id"]))
            if document in own:
                self._claim(own[document][0], "ContentDocument", row, own[document][1])
            elif document not in shared:
                self._known_before("ContentDocument", row)

    def _is_others(self, link: Mapping[str, Any], holders: Mapping[str, tuple[str, str]]) -> bool:
        """Tell whether a link shares a file with somebody who stays."""
        identifier = to_18(str(link["LinkedEntityId"]))
        if link.get("IsDeleted") or identifier.startswith(NOBODYS) or any(identifier in k for k in self.known.values()):
            return False
        owner = holders.get(identifier)
        return owner is None or owner[1] not in self.people[owner[0]].datasets

    # -- Individual ----------------------------------------------------------------------------------------------------
    def _individuals(self) -> None:
        """Find Individual records of which every user is the same account."""
        found = dict(self.parents.pop("Individual", {}))
        asked = dict.fromkeys([*found, *self.known["Individual"]])
        if not asked or not self.layout.has("Individual"):
            return
        shared = set[str]()
        fields = [(k, n) for k, n in INDIVIDUALS if self.layout.has(k) and self.layout.knows(k, n, default=False)]
        users = self._read([(k, ["Id", "IsDeleted", n], [Test(n, asked)]) for k, n in fields])
        for (kind, name), rows in zip(fields, users, strict=True):
            for row in rows.values():
                individual, owner = to_18(str(row[name])), self.parents[kind].get(to_18(str(row["Id"])))
                expected = found[individual][0] if individual in found else self.known["Individual"].get(individual)
                if not row.get("IsDeleted") and (owner is None or owner[0] != expected):
                    shared.add(individual)
        own = {i: owner for i, owner in found.items() if i not in shared}
        for row in self._select("Individual", ["Id", "IsDeleted"], Test("Id", own)).values():
            individual = to_18(str(row["Id"]))
            if individual in own:
                self._claim(own[individual][0], "Individual", row, own[individual][1])
            elif individual not in shared:
                self._known_before("Individual", row)

    # -- what was known before -----------------------------------------------------------------------------------------
    def _strays(self) -> None:
        """Look known ids up of objects nobody asked for on the way."""
        kinds = [k for k, ids in self.known.items() if ids and k not in self._asked and self.layout.has(k)]
        for kind, rows in zip(kinds, self._select_many([(k, ["Id", "IsDeleted"], []) for k in kinds]), strict=True):
            for row in rows.values():
                self._known_before(kind, row)

    def _histories(self, *, count: bool) -> None:
        """Count old values that field history keeps after their record is gone."""
        if not count:
            return
        customs = {f"{k[:-3]}__History": ("ParentId", k) for k in list(self.known) if k.endswith("__c")}
        places = {
            history: place
            for history, place in (HISTORIES | customs).items()
            if self.known[place[1]] and self.layout.has(history)
        }
        wanted = [(h, ["Id", name], [Test(name, self.known[kind])]) for h, (name, kind) in places.items()]
        for (name, kind), rows in zip(places.values(), self._read(wanted), strict=True):
            for row in rows.values():
                self.claims[self.known[kind][to_18(str(row[name]))]].histories += 1
