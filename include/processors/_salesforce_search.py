"""Everything Salesforce holds on a person: the person's own records first, then what hangs on them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from include.processors._salesforce_client import ID, chunks, to_18
from include.processors._salesforce_layout import PEOPLE
from include.processors._salesforce_owners import CUSTOMER, KNOWN, MARKETING, NAMELESS, PREFIXES, Claim, Owners, fold

OWNERS_OF_FILES = ("005", "058", "00D")
"""Users, libraries and the organisation: a file linked to them is not thereby another person's."""

CHILDREN: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("CaseComment", "ParentId", ("Case",)),
    ("EmailMessage", "ParentId", ("Case",)),
    ("EmailMessage", "RelatedToId", ("Account", "Contact", "Lead", "Case")),
    ("Task", "WhoId", ("Contact", "Lead")),
    ("Task", "WhatId", ("Account", "Case")),
    ("Event", "WhoId", ("Contact", "Lead")),
    ("Event", "WhatId", ("Account", "Case")),
    ("CampaignMember", "ContactId", ("Contact",)),
    ("CampaignMember", "LeadId", ("Lead",)),
    ("OpportunityContactRole", "ContactId", ("Contact",)),
    ("AccountContactRelation", "ContactId", ("Contact",)),
    ("Attachment", "ParentId", ("Account", "Contact", "Lead", "Case", "EmailMessage", "Task", "Event")),
    ("Note", "ParentId", ("Account", "Contact", "Lead")),
    ("FeedItem", "ParentId", ("Account", "Contact", "Lead", "Case")),
)
HISTORIES = {
    "AccountHistory": ("AccountId", "Account"), "ContactHistory": ("ContactId", "Contact"),
    "LeadHistory": ("LeadId", "Lead"), "CaseHistory": ("CaseId", "Case"),
}  # fmt: skip


class Search(Owners):
    """One search for many people; `run` returns a `Claim` for every account."""

    def run(self, *, histories: bool = False) -> dict[str, Claim]:
        """Find everything; with `histories` also count the field history of what was known before."""
        kinds = [k for k in PEOPLE if k != "Account" or self.layout.person_accounts()]
        found = {kind: self._fetch(kind) for kind in kinds}
        for kind in kinds:  # only now: whose an address is may show in another object
            self._people(kind, found[kind])
        if any(CUSTOMER in p.datasets for p in self.people.values()):
            self._cases()
            self._mails()
        for kind, name, parents in CHILDREN:
            if self.layout.has(kind):
                self._children(kind, name, parents)
        self._custom()
        self._files()
        self._individuals()
        self._strays()
        if histories:
            self._histories()
        return self.claims

    # -- the person's own records --------------------------------------------------------------------------------------
    def _columns(self, kind: str) -> list[str]:
        columns = ["Id", "IsDeleted", "SystemModstamp"]
        wanted = {
            "Account": ("MasterRecordId", "IsPersonAccount", "PersonContactId", "PersonIndividualId"),
            "Contact": ("MasterRecordId", "AccountId", "IsPersonAccount", "IndividualId"),
            "Lead": ("MasterRecordId", "IsConverted", "IndividualId"),
        }[kind]
        optional = {"IsPersonAccount", "PersonContactId", "PersonIndividualId", "IndividualId"}
        columns += [n for n in wanted if self.layout.knows(kind, n, default=n not in optional or kind == "Account")]
        if self.layout.knows(kind, self.layout.key_field, default=False):
            columns.append(self.layout.key_field)
        return columns + [e for e in self.layout.emails(kind) if e not in columns]

    def _take(self, kind: str, name: str, values: Collection[str]) -> dict[str, dict[str, Any]]:
        extra = " AND IsPersonAccount = true" if kind == "Account" else ""
        return {str(r["Id"]): r for r in self.client.select(kind, self._columns(kind), name, values, extra=extra)}

    def _fetch(self, kind: str) -> dict[str, dict[str, Any]]:
        """Read an object's rows by our key, by every e-mail field, and by the ids known before."""
        rows: dict[str, dict[str, Any]] = {}
        emails = self.layout.emails(kind)
        if self.layout.key_field in self._columns(kind):
            rows |= self._take(kind, self.layout.key_field, [a for a in self.people if not a.startswith(NAMELESS)])
        for name in emails:
            rows |= self._take(kind, name, self.addresses)
        for row in rows.values():
            self._learn(row, emails)
        return rows | self._take(kind, "Id", [i for i in self.known[kind] if i not in rows])

    def _people(self, kind: str, rows: dict[str, dict[str, Any]]) -> None:
        self._follow(kind, rows)
        for row in rows.values():
            self._place(kind, row, self.layout.emails(kind))

    def _follow(self, kind: str, rows: dict[str, dict[str, Any]]) -> None:
        """Follow merged records: what was the person's lives on in the master record."""
        emails = self.layout.emails(kind)
        for _hop in range(5):
            losers = {str(r["MasterRecordId"]): r for r in rows.values() if r.get("MasterRecordId")}
            masters = self._take(kind, "Id", [m for m in losers if ID.fullmatch(m) and m not in rows])
            if not masters:
                return
            for identifier, master in masters.items():
                owner = self._owner(kind, losers[identifier], emails)
                holder = master.get(self.layout.key_field)
                if owner and holder and holder != owner:
                    self.claims[owner].problems.add("merged_into_another")
                elif owner:
                    self.known[kind].setdefault(to_18(identifier), owner)
            rows |= masters

    def _place(self, kind: str, row: Mapping[str, Any], emails: Sequence[str]) -> None:
        account = self._owner(kind, row, emails)
        if account is None:
            return
        identifier = to_18(str(row["Id"]))
        if kind == "Contact" and (row.get("IsPersonAccount") or identifier in self.parents["Contact"]):
            # The twin of a person account goes with its Account and never by itself.
            self.parents["Contact"][identifier] = (account, CUSTOMER)
            return
        # A Lead is marketing data, converted or not: what the contract needs is in the Contact it became.
        dataset = MARKETING if kind == "Lead" else CUSTOMER
        self._claim(account, kind, row, dataset)
        twin = str(row.get("PersonContactId") or "")
        if kind == "Account" and ID.fullmatch(twin):
            self.parents["Contact"][to_18(twin)] = (account, CUSTOMER)
        individual = to_18(str(row.get("IndividualId") or row.get("PersonIndividualId") or ""))
        if ID.fullmatch(individual) and not row.get("IsDeleted"):
            before = self.parents["Individual"].get(individual, (account, dataset))
            self.parents["Individual"][individual] = before if before[1] == CUSTOMER else (account, dataset)

    # -- what carries only an address ----------------------------------------------------------------------------------
    def _cases(self) -> None:
        columns = ["Id", "IsDeleted", "SystemModstamp", "ContactId", "AccountId", "SuppliedEmail"]
        rows: dict[str, dict[str, Any]] = {}
        for name, values in (
            ("ContactId", [*self.parents["Contact"]]), ("AccountId", [*self.parents["Account"]]),
            ("SuppliedEmail", self.addresses),
        ):  # fmt: skip
            rows |= {str(r["Id"]): r for r in self.client.select("Case", columns, name, values)}
        for row in rows.values():
            parents = [
                (k, to_18(str(row[f]))) for k, f in (("Contact", "ContactId"), ("Account", "AccountId")) if row.get(f)
            ]
            self._addressed("Case", row, parents, ("SuppliedEmail",))

    def _addressed(
        self, kind: str, row: Mapping[str, Any], parents: Sequence[tuple[str, str]], emails: Sequence[str]
    ) -> None:
        """Place a record that may hang on a parent and also carries addresses.

        The parent decides. Without one the address does. With somebody else's parent it is that person's, unless the
        address is used by one of ours alone: then the record holds two people and a person must decide (`shared`).
        """
        for parent_kind, parent in parents:
            if parent in self.parents[parent_kind]:
                self._claim(self.parents[parent_kind][parent][0], kind, row, CUSTOMER)
                return
        if not parents:
            account = self._owner(kind, {k: row.get(k) for k in ("Id", *emails)}, emails)
            if account is not None:
                self._claim(account, kind, row, CUSTOMER)
            return
        for name in emails:
            users = self.users.get(fold(row.get(name)), set())
            if len(users) == 1 and users <= set(self.people) and not row.get("IsDeleted"):
                self.claims[next(iter(users))].shared.setdefault(kind, set()).add(to_18(str(row["Id"])))

    def _mails(self) -> None:
        """Find e-mails by their addresses; recipient lists are matched loosely and compared exactly."""
        if not self.layout.has("EmailMessage"):
            return
        columns = [
            "Id",
            "IsDeleted",
            "SystemModstamp",
            "ParentId",
            "RelatedToId",
            "FromAddress",
            *(lists := _RECIPIENTS),
        ]
        rows = {r["Id"]: r for r in self.client.select("EmailMessage", columns, "FromAddress", self.addresses)}
        head = f"SELECT {', '.join(columns)} FROM EmailMessage WHERE "  # noqa: S608 - values are quoted
        tests = [
            " OR ".join(f"{name} LIKE {_like(address)}" for name in lists) + " OR "
            for address in dict.fromkeys(self.addresses)
        ]
        for group in chunks(tests, overhead=len(head) + 200):
            rows |= {r["Id"]: r for r in self.client.query(head + "".join(group).removesuffix(" OR "))}
        for row in rows.values():
            self._mail(row)

    def _mail(self, row: Mapping[str, Any]) -> None:
        """Place one e-mail: with a record of ours it is ours; without any record it goes with the first address that
        is ours alone.

        Only deleting helps (an e-mail that was sent cannot be updated), so several recipients do not make it ambiguous.
        """
        addresses = {fold(row.get("FromAddress"))}
        for name in _RECIPIENTS:
            addresses |= {fold(part) for part in str(row.get(name) or "").replace(",", ";").split(";")}
        ours = sorted(a for a in addresses if self.users.get(a, set()) & set(self.people))
        alone = [a for a in ours if len(self.users[a]) == 1]
        linked = [to_18(str(row[n])) for n in ("ParentId", "RelatedToId") if row.get(n)]
        parents = [(k, i) for i in linked for k in ("Case", *PEOPLE) if i.startswith(PREFIXES[k])] or [
            ("Case", i) for i in linked
        ]
        flat = {"Id": row["Id"], "IsDeleted": row.get("IsDeleted"), "SystemModstamp": row.get("SystemModstamp")}
        if ours:
            self._addressed("EmailMessage", {**flat, "address": (alone or ours)[0]}, parents, ("address",))

    # -- what hangs on them --------------------------------------------------------------------------------------------
    def _children(self, kind: str, name: str, parent_kinds: Sequence[str]) -> None:
        owners = {
            i: (account, MARKETING if kind == "CampaignMember" else dataset)
            for k in parent_kinds for i, (account, dataset) in self.parents[k].items()
        }  # fmt: skip
        parents = {i: owner for i, owner in owners.items() if owner[1] in self.people[owner[0]].datasets}
        for row in self.client.select(kind, ["Id", "IsDeleted", "SystemModstamp", name], name, parents):
            account, dataset = parents[to_18(str(row[name]))]
            self._claim(account, kind, row, dataset)

    def _custom(self) -> None:
        for custom in self.layout.custom_objects():
            for name, kinds in custom.parents:
                self._children(custom.name, name, kinds)
            references = [name for name, _kinds in custom.parents]
            columns = ["Id", "IsDeleted", "SystemModstamp", *references, *custom.emails]
            for email in custom.emails:
                for row in self.client.select(custom.name, columns, email, self.addresses):
                    if to_18(str(row["Id"])) in self.parents[custom.name]:
                        continue
                    parents = [(custom.name, to_18(str(row[n]))) for n in references if row.get(n)]
                    self._addressed(custom.name, row, parents, custom.emails)

    def _files(self) -> None:
        """Find files of the person; one that is also linked to somebody else's record stays, only its links go."""
        if not self.layout.has("ContentDocumentLink"):
            return
        holders = {
            i: owner for k in ("Account", "Contact", "Lead", "Case", "Task", "Event", "EmailMessage")
            for i, owner in self.parents[k].items()
        }  # fmt: skip
        columns = ["Id", "IsDeleted", "SystemModstamp", "ContentDocumentId", "LinkedEntityId"]
        documents: dict[str, tuple[str, str]] = {}
        for row in self.client.select("ContentDocumentLink", columns, "LinkedEntityId", holders) if holders else []:
            account, dataset = holders[to_18(str(row["LinkedEntityId"]))]
            self._claim(account, "ContentDocumentLink", row, dataset)
            document = to_18(str(row["ContentDocumentId"]))
            if documents.get(document, ("", MARKETING))[1] == MARKETING:
                documents[document] = (account, dataset)
        if not documents:
            return
        shared = {
            to_18(str(row["ContentDocumentId"]))
            for row in self.client.select("ContentDocumentLink", columns, "ContentDocumentId", documents)
            if not self._going(str(row["LinkedEntityId"]), holders) and not row.get("IsDeleted")
        }
        own = {d: o for d, o in documents.items() if d not in shared}
        if own:
            for row in self.client.select("ContentDocument", ["Id", "IsDeleted", "SystemModstamp"], "Id", own):
                self._claim(*_with(own[to_18(str(row["Id"]))], "ContentDocument", row))

    def _going(self, identifier: str, holders: Mapping[str, tuple[str, str]]) -> bool:
        """Tell whether a link's record is nobody in particular, or goes itself."""
        if identifier.startswith(OWNERS_OF_FILES):
            return True
        owner = holders.get(to_18(identifier))
        return owner is not None and owner[1] in self.people[owner[0]].datasets

    def _individuals(self) -> None:
        """Find Individual records of which every user is the same account."""
        found = dict(self.parents.pop("Individual", {}))
        if not found or not self.layout.has("Individual"):
            return
        for kind, name in (("Contact", "IndividualId"), ("Lead", "IndividualId"), ("Account", "PersonIndividualId")):
            if not self.layout.knows(kind, name, default=False):
                continue
            for row in self.client.select(kind, ["Id", "IsDeleted", name], name, list(found)):
                individual = to_18(str(row[name]))
                owner = self.parents[kind].get(to_18(str(row["Id"])))
                if (
                    not row.get("IsDeleted")
                    and individual in found
                    and (owner is None or owner[0] != found[individual][0])
                ):
                    del found[individual]
        for row in (
            self.client.select("Individual", ["Id", "IsDeleted", "SystemModstamp"], "Id", found) if found else []
        ):
            self._claim(*_with(found[to_18(str(row["Id"]))], "Individual", row))

    # -- what was known before -----------------------------------------------------------------------------------------
    def _strays(self) -> None:
        """Look known ids up by themselves: a child whose parent is gone is found by nothing else."""
        for kind, owners in self.known.items():
            if kind in PEOPLE:
                continue  # looked up with the people, where whose they are is decided anew
            missing = [i for i in owners if i not in self.parents[kind]]
            for row in (
                self.client.select(kind, ["Id", "IsDeleted", "SystemModstamp"], "Id", missing) if missing else []
            ):
                self._claim(owners[to_18(str(row["Id"]))], kind, row, KNOWN)

    def _histories(self) -> None:
        """Count old values that field history keeps after their record is gone."""
        for history, (name, kind) in HISTORIES.items():
            if self.known[kind] and self.layout.has(history):
                for row in self.client.select(history, ["Id", name], name, self.known[kind]):
                    self.claims[self.known[kind][to_18(str(row[name]))]].histories += 1


_RECIPIENTS = ("ToAddress", "CcAddress", "BccAddress")


def _like(address: str) -> str:
    from simple_salesforce.format import format_soql

    return str(format_soql("'%{:like}%'", address))


def _with(owner: tuple[str, str], kind: str, row: Mapping[str, Any]) -> tuple[str, str, Mapping[str, Any], str]:
    return owner[0], kind, row, owner[1]
