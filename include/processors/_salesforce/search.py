"""Everything Salesforce holds on a person: the person's own records first, then what carries only an address or a
number, then what hangs on all of these.

Three rules decide about a record, in this order: our account id in its key field; the record of a person it hangs on;
an address only one of our people uses. A phone number alone never decides, because families and offices share them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from include.processors._salesforce.attached import Attached
from include.processors._salesforce.layout import PEOPLE, STANDARD
from include.processors._salesforce.owners import CUSTOMER, MARKETING, Claim, fold
from include.processors._salesforce.placing import linked
from include.processors._salesforce.soql import ID, Test, containing, to_18

HOPS = 5
RECIPIENTS = ("ToAddress", "CcAddress", "BccAddress")
OPTIONAL = {
    "Account": ("MasterRecordId", "IsPersonAccount", "PersonContactId", "PersonIndividualId"),
    "Contact": ("MasterRecordId", "IsPersonAccount", "IndividualId"),
    "Lead": ("MasterRecordId", "ConvertedContactId", "IndividualId"),
    "Case": ("MasterRecordId", "ContactId", "AccountId"),
}
WITHOUT_A_DESCRIPTION = frozenset({"IsPersonAccount", "IndividualId", "PersonContactId", "PersonIndividualId"})
"""Columns that need a feature; where nothing can be described they are not asked for, outside of person accounts."""


class Search(Attached):
    """One search for many people; `run` returns a `Claim` for every account."""

    def run(self, *, histories: bool = False) -> dict[str, Claim]:
        """Find everything; with `histories` also count the field history of what was known before."""
        kinds = [k for k in PEOPLE if self.layout.has(k) and (k != "Account" or self._accounts_hold_people())]
        found = self._fetch(kinds)
        for kind in kinds:  # only now: whose an address is may show in another object
            self._people(kind, found[kind])
        self._converted(found)
        self._individuals()
        if any(CUSTOMER in p.datasets for p in self.people.values()):
            self._cases()
            self._mails()
        self._attached()
        self._histories(count=histories)
        return self.claims

    def _accounts_hold_people(self) -> bool:
        """Tell whether an Account can be a person, or show a person's address in a field of its own."""
        described = self.layout.fields("Account") is not None
        return self.layout.person_accounts() or (described and bool(self.layout.emails("Account")))

    # -- the person's own records --------------------------------------------------------------------------------------
    def _columns(self, kind: str) -> list[str]:
        persons = kind == "Account" and self.layout.person_accounts()
        columns = ["Id", "IsDeleted"]
        columns += [
            n for n in OPTIONAL[kind]
            if self.layout.knows(kind, n, default=persons or n not in WITHOUT_A_DESCRIPTION)
        ]  # fmt: skip
        if self.layout.knows(kind, self.layout.key_field, default=False):
            columns.append(self.layout.key_field)
        numbers = self.layout.phones(kind) if self.numbers else ()
        return [*dict.fromkeys((*columns, *self.layout.emails(kind), *numbers))]

    def _fetch(self, kinds: Sequence[str]) -> dict[str, dict[str, dict[str, Any]]]:
        """Read the objects' rows by our key, by every e-mail and phone field, and by the ids known before."""
        columns = {kind: self._columns(kind) for kind in kinds}
        wanted = [(k, columns[k], [*self._keyed(columns[k]), *self._mailed(k), *self._called(k)]) for k in kinds]
        found = dict(zip(kinds, self._select_many(wanted), strict=True))
        for kind, rows in found.items():
            for row in rows.values():
                self._learn(row, self.layout.emails(kind))
        return found

    def _mailed(self, kind: str) -> list[Test]:
        return [Test(name, self.addresses) for name in self.layout.emails(kind)]

    def _people(self, kind: str, rows: dict[str, dict[str, Any]]) -> None:
        self._follow(kind, rows)
        for row in rows.values():
            self._place(kind, row, self.layout.emails(kind))

    def _follow(self, kind: str, rows: dict[str, dict[str, Any]]) -> None:
        """Follow merged records: what was the person's lives on in the master record."""
        emails = self.layout.emails(kind)
        for _hop in range(HOPS):
            losers = {str(r["MasterRecordId"]): r for r in rows.values() if r.get("MasterRecordId")}
            wanted = [m for m in losers if ID.fullmatch(m) and m not in rows]
            masters = self.client.select(kind, self._columns(kind), Test("Id", wanted))
            if not masters:
                return
            for identifier, master in masters.items():
                owner = self._owner(kind, losers[identifier], emails) or self._contacts_owner(losers[identifier])
                holder = master.get(self.layout.key_field)
                if owner and holder and holder != owner:
                    self.claims[owner].problems.add("merged_into_another")
                elif owner:
                    self.known[kind].setdefault(to_18(identifier), owner)
            rows |= masters

    def _contacts_owner(self, row: Mapping[str, Any]) -> str | None:
        """Return whose a case is by the contact it hangs on."""
        return self.parents["Contact"].get(to_18(str(row.get("ContactId") or "")), (None, ""))[0]

    def _place(self, kind: str, row: Mapping[str, Any], emails: Sequence[str]) -> None:
        account = self._owner(kind, row, emails)
        if account is None:
            self._nearly(kind, row, emails)
            return
        identifier = to_18(str(row["Id"]))
        if kind == "Account" and not row.get("IsPersonAccount"):
            # A company's Account stays, whoever left; a person's address in one of its fields is for a person to see.
            if any(account in self.users.get(fold(row.get(name)), ()) for name in emails):
                self._residue([account], kind, row)
            return
        if kind == "Contact" and (row.get("IsPersonAccount") or identifier in self.parents["Contact"]):
            # The twin of a person account goes with its Account and never by itself.
            self.parents["Contact"][identifier] = (account, CUSTOMER)
            return
        if self._names_another(kind, row, account):
            self._residue([account], kind, row)
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

    def _names_another(self, kind: str, row: Mapping[str, Any], account: str) -> bool:
        """Tell whether a record's own address is somebody else's and ours stands only in a second field of it.

        A spouse's or an assistant's address is kept so. Only our key, or an earlier look, may overrule the address.
        """
        if row.get(self.layout.key_field) or to_18(str(row["Id"])) in self.known[kind]:
            return False
        own = [row[name] for name in STANDARD[kind] if row.get(name)]
        return bool(own) and not any(account in self.users.get(fold(address), ()) for address in own)

    def _converted(self, found: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> None:
        """Follow converted leads: to the contact a lead became, and back from a contact to the leads it was."""
        became = {
            to_18(str(r["ConvertedContactId"])): self.parents["Lead"][to_18(i)][0]
            for i, r in found.get("Lead", {}).items()
            if r.get("ConvertedContactId") and to_18(i) in self.parents["Lead"]
        }
        missing = [i for i in became if ID.fullmatch(i) and i not in self.parents["Contact"]]
        emails = self.layout.emails("Contact")
        contacts = self.client.select("Contact", self._columns("Contact"), Test("Id", missing))
        for identifier, row in contacts.items():
            account = became[to_18(identifier)]
            if row.get(self.layout.key_field) or self._owner("Contact", row, emails):
                continue
            if any(row.get(name) for name in emails):  # it may be a colleague's, filled from this lead
                self._residue([account], "Contact", row)
                continue
            self.known["Contact"].setdefault(to_18(identifier), account)
            self._place("Contact", row, emails)
        if not self.layout.has("Lead") or not self.layout.knows("Lead", "ConvertedContactId", default=True):
            return
        leads = self.client.select("Lead", self._columns("Lead"), Test("ConvertedContactId", self.parents["Contact"]))
        for identifier, row in leads.items():
            if to_18(identifier) not in self.parents["Lead"]:
                contact = to_18(str(row["ConvertedContactId"]))
                self.known["Lead"].setdefault(to_18(identifier), self.parents["Contact"][contact][0])
                self._place("Lead", row, self.layout.emails("Lead"))

    # -- what carries only an address ----------------------------------------------------------------------------------
    def _cases(self) -> None:
        if not self.layout.has("Case"):
            return
        columns, emails = self._columns("Case"), self.layout.emails("Case")
        hanging = [Test("ContactId", self.parents["Contact"]), Test("AccountId", self.parents["Account"])]
        tests = [*hanging, *self._keyed(columns), *self._mailed("Case"), *self._called("Case")]
        rows = self._select("Case", columns, *tests)
        self._follow("Case", rows)
        links = {i: linked(row, ("ContactId", "AccountId")) for i, row in rows.items()}
        persons = self._persons(ids for ids in links.values() if not self._ours(ids))
        for identifier, row in rows.items():
            self._addressed("Case", row, self._parents(links[identifier], persons), emails)

    def _mails(self) -> None:
        """Find e-mails by what they hang on and by their addresses; recipient lists are matched loosely and compared
        exactly.
        """
        if not self.layout.has("EmailMessage"):
            return
        columns = ["Id", "IsDeleted", "ParentId", "RelatedToId", "FromAddress", *RECIPIENTS]
        cases, related = self.parents["Case"], self._related()
        told = [
            Test("ParentId", cases),
            Test("RelatedToId", [*cases, *self.parents["Account"]]),
            Test("FromAddress", self.addresses),
            Test("Id", related),
        ]
        patterns = [containing(address) for address in self.addresses]
        received = [Test(name, patterns, like=True) for name in RECIPIENTS]
        rows, more = self._select_many([("EmailMessage", columns, told), ("EmailMessage", columns, received)])
        rows |= more
        links = {i: linked(row, ("ParentId", "RelatedToId")) for i, row in rows.items()}
        persons = self._persons(ids for ids in links.values() if not self._ours(ids))
        for identifier, row in rows.items():
            parents = self._parents(links[identifier], persons)
            self._mail(row, parents, related.get(to_18(identifier)))

    def _related(self) -> dict[str, str]:
        """Return e-mails that name a contact or lead of ours as sender or recipient, whatever address they show."""
        if not self.layout.has("EmailMessageRelation"):
            return {}
        people = {i: owner for k in ("Contact", "Lead") for i, owner in self.parents[k].items()}
        columns = ["Id", "IsDeleted", "EmailMessageId", "RelationId"]
        rows = self._select("EmailMessageRelation", columns, Test("RelationId", people))
        links = [(to_18(str(r["EmailMessageId"])), to_18(str(r["RelationId"]))) for r in rows.values()]
        return {mail: people[person][0] for mail, person in links if ID.fullmatch(mail) and person in people}

    def _mail(self, row: Mapping[str, Any], parents: Sequence[tuple[str, str]], related: str | None) -> None:
        """Place one e-mail: with a record of ours it is ours; without any record it goes with the first address that
        is ours alone.

        Only deleting helps (an e-mail that was sent cannot be updated), so several recipients do not make it ambiguous.
        """
        addresses = {fold(row.get("FromAddress"))}
        for name in RECIPIENTS:
            addresses |= {_bare(part) for part in re.split("[;,]", str(row.get(name) or ""))}
        ours = sorted(a for a in addresses if self.users.get(a, set()) & set(self.people))
        alone = [a for a in ours if len(self.users[a]) == 1]
        flat = {"Id": row["Id"], "IsDeleted": row.get("IsDeleted")}
        if related and not ours:
            if all(i in self.parents[k] for k, i in parents):
                self._claim(related, "EmailMessage", row, CUSTOMER)
            else:
                self._residue([related], "EmailMessage", row)
            return
        address = (alone or ours or [""])[0]
        self._addressed("EmailMessage", {**flat, "address": address}, parents, ("address",))


def _bare(recipient: str) -> str:
    """Return the address of one recipient, written alone or as `Name <address>`."""
    inner = re.search(r"<([^<>]+)>", recipient)
    return fold(inner[1] if inner else recipient)
