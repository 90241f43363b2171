"""Whose a record is that hangs on a person or carries an address: cases, e-mails and custom objects go through here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from include.processors._salesforce.layout import REQUIRED
from include.processors._salesforce.owners import CUSTOMER, KNOWN, NAMELESS, PREFIXES, Owners, digits, fold
from include.processors._salesforce.session import Rejected
from include.processors._salesforce.soql import ID, Selection, Test, to_18


class Placing(Owners):
    """Decides about records that are not a person themselves."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._asked: set[str] = set()
        self._is_person: dict[str, bool] = {}
        self._alive: dict[str, bool] = {}

    def _select(self, kind: str, columns: Sequence[str], *tests: Test) -> dict[str, dict[str, Any]]:
        """Return rows of an object, and those known before."""
        return self._select_many([(kind, columns, tests)])[0]

    def _select_many(self, wanted: Sequence[Selection]) -> list[dict[str, dict[str, Any]]]:
        """Return rows of several objects, and those known before; none of an object the organisation lacks."""
        self._asked |= {kind for kind, _columns, _tests in wanted}
        return self._read([(k, columns, [*tests, Test("Id", self.known[k])]) for k, columns, tests in wanted])

    def _read(self, wanted: Sequence[Selection]) -> list[dict[str, dict[str, Any]]]:
        if self.layout.objects() is not None:
            return self.client.select_many(wanted)
        return [self._if_there(*one) for one in wanted]

    def _if_there(self, kind: str, columns: Sequence[str], tests: Sequence[Test]) -> dict[str, dict[str, Any]]:
        """Return rows where no list of objects says which there are: an unknown one is found out by asking."""
        try:
            return self.client.select(kind, columns, *tests)
        except Rejected as error:
            if error.code != "INVALID_TYPE" or kind in REQUIRED:
                raise
        self.layout.lacks(kind)
        return {}

    def _keyed(self, columns: Sequence[str]) -> list[Test]:
        accounts = [a for a in self.people if not a.startswith(NAMELESS)]
        return [Test(self.layout.key_field, accounts)] if self.layout.key_field in columns else []

    def _numbered(self, kind: str) -> tuple[str, ...]:
        return self.layout.phones(kind) if self.numbers else ()

    def _called(self, kind: str) -> list[Test]:
        """Return how to read by phone number, however it is written; `_nearly` compares the digits."""
        patterns = [f"'%{number[-7:-4]}%{number[-4:]}'" for number in self.numbers]
        return [Test(n, patterns, like=True) for n in self._numbered(kind)]

    def _nearly(self, kind: str, row: Mapping[str, Any], emails: Sequence[str]) -> None:
        """Note a record that has one of our numbers, and neither key nor address that would say whose it is."""
        if row.get(self.layout.key_field) or any(row.get(name) for name in emails):
            return
        users = {a for name in self._numbered(kind) for a in self.numbers.get(digits(row.get(name)), ())}
        if kind != "Account" or row.get("IsPersonAccount"):
            self._residue(users, kind, row)

    def _persons(self, links: Iterable[Sequence[str]]) -> set[str]:
        """Return which Accounts in these links are persons that are not ours; a company is nobody's parent."""
        accounts = {i for ids in links for i in ids if i.startswith(PREFIXES["Account"])}
        wanted = accounts - self._is_person.keys() - self.parents["Account"].keys()
        if wanted and self.layout.person_accounts():
            rows = self.client.select("Account", ["Id", "IsPersonAccount"], Test("Id", sorted(wanted)))
            self._is_person |= {to_18(i): bool(row.get("IsPersonAccount")) for i, row in rows.items()}
        return {i for i in accounts if self._is_person.get(i)}

    def _others(self, people: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
        """Return those of these records that are live and not ours.

        A record that still refers to one which went with this disposal (the twin of a person account, a second contact)
        does not thereby hold another person.
        """
        strangers = [(k, i) for k, i in people if i not in self.parents[k] and i not in self.known[k]]
        for kind in dict.fromkeys(k for k, i in strangers if i not in self._alive):
            ids = sorted({i for k, i in strangers if k == kind and i not in self._alive and ID.fullmatch(i)})
            found = self.client.select(kind, ["Id", "IsDeleted"], Test("Id", ids))
            self._alive |= dict.fromkeys(ids, False) | {to_18(i): not r.get("IsDeleted") for i, r in found.items()}
        return [(k, i) for k, i in strangers if self._alive.get(i)]

    def _ours(self, identifiers: Iterable[str]) -> bool:
        return any(i in self.parents[k] for i in identifiers for k in ("Contact", "Lead", "Case", "Account"))

    def _parents(self, linked: Iterable[str], persons: set[str]) -> list[tuple[str, str]]:
        """Return the persons and cases among the records something is linked to."""
        found = [(k, i) for i in linked for k in ("Contact", "Lead", "Case", "Account") if i.startswith(PREFIXES[k])]
        return [(k, i) for k, i in found if k != "Account" or i in persons or i in self.parents[k]]

    def _addressed(
        self, kind: str, row: Mapping[str, Any], parents: Sequence[tuple[str, str]], emails: Sequence[str]
    ) -> None:
        """Place a record that may hang on a person and also carries addresses.

        The person it hangs on decides. Without one the address does. With somebody else's it is that person's, unless
        the address is used by one of ours alone: then the record holds two people and a person must decide (`shared`).
        """
        for parent_kind, parent in parents:
            if parent in self.parents[parent_kind]:
                self._claim(self.parents[parent_kind][parent][0], kind, row, CUSTOMER)
                return
        if parents:
            self._hangs_elsewhere(kind, row, parents, emails)
            return
        account = self._owner(kind, {k: row.get(k) for k in ("Id", self.layout.key_field, *emails)}, emails)
        if account is not None:
            told = row.get(self.layout.key_field) or any(row.get(name) for name in emails)
            before = not told and to_18(str(row["Id"])) in self.before[kind]
            self._claim(account, kind, row, KNOWN if before else CUSTOMER)
        elif kind != "EmailMessage":
            self._nearly(kind, row, emails)

    def _hangs_elsewhere(
        self, kind: str, row: Mapping[str, Any], parents: Sequence[tuple[str, str]], emails: Sequence[str]
    ) -> None:
        before = self.known[kind].get(to_18(str(row["Id"])))
        if before and (
            row.get("IsDeleted") or any(i in self.known[k] for k, i in parents) or not self._others(parents)
        ):
            self._claim(before, kind, row, KNOWN)
            return
        if before:  # somebody gave it to another person after we had found it
            self._residue([before], kind, row)
        for name in emails:
            users = self.users.get(fold(row.get(name)), set())
            if len(users) == 1:
                self._residue(users, kind, row)

    def _referred(self, kind: str, row: Mapping[str, Any], references: Sequence[str], persons: set[str]) -> bool:
        """Place a record by the people it refers to; false where it refers to nobody of ours.

        One that refers to somebody else as well (a referral, an introduction) is for a person to decide about.
        """
        people = self._parents(linked(row, references), persons)
        mine = [self.parents[k][i] for k, i in people if i in self.parents[k]]
        if not mine:
            return False
        if len(mine) < len(people) and self._others(people):
            self._residue({owner for owner, _dataset in mine}, kind, row)
        else:
            self._claim(mine[0][0], kind, row, mine[0][1])
        return True


def linked(row: Mapping[str, Any], names: Iterable[str]) -> list[str]:
    """Return the ids a record refers to in these fields."""
    return [to_18(str(row[n])) for n in names if row.get(n)]
