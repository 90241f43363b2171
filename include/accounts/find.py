"""Find an account by what a person says of themselves; answers are masked, so that a wrong hit tells nothing.

    find(accounts, Wanted(email="…"))          # or login_id, name with company, name with business_no

Values are compared whole, without case; nothing of them is stored, printed or logged here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Select, and_, func, intersect, or_, select, table

from include.accounts import Accounts
from include.accounts.sql import Asked, col
from include.errors import DecisionRefused

MOST = 20


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is known of the person: one of e-mail, login id, or a name with a company or a business number."""

    email: str = field(default="", repr=False)
    login_id: str = field(default="", repr=False)
    name: str = field(default="", repr=False)
    company: str = field(default="", repr=False)
    business_no: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Match:
    """One account: its internal id, and masked words by which an operator recognises it."""

    account_id: str
    subject_type: str
    state: str
    email: str
    name: str

    def __str__(self) -> str:
        return f"{self.account_id}  {self.subject_type}  {self.state}  {self.email or '-'}  {self.name or '-'}"


def find(accounts: Accounts, wanted: Wanted) -> list[Match]:
    """Return the accounts that match, by id; more than twenty are refused, because such a search identifies nobody."""
    statements = list(_statements(accounts, wanted))
    if not statements:
        raise DecisionRefused("Give an e-mail, a login id, or a name with a company or a business number.")
    with accounts._opened() as connection:
        rows = connection.execute(intersect(*statements) if len(statements) > 1 else statements[0])
        found: list[str] = sorted(row[0] for row in rows)
    if len(found) > MOST:
        raise DecisionRefused(f"{len(found)} accounts match; that identifies nobody. Ask for more.")
    facts = {f.account_id: f for f in accounts.facts(found)}
    keys = accounts.identifiers(found)
    return [
        Match(
            account_id=i,
            subject_type=facts[i].subject_type,
            state=facts[i].state.value,
            email=masked_email(next(iter(keys[i].emails), "")),
            name=masked(keys[i].name),
        )
        for i in found
        if i in facts
    ]


def owners(accounts: Accounts, emails: Collection[str]) -> dict[str, set[str]]:
    """Return which accounts use each of these e-mails (any case), by the e-mail in lower case."""
    wanted = sorted({e.lower() for e in emails})
    found: dict[str, set[str]] = {}
    if not wanted:
        return found
    asked = Asked.of(accounts.engine, wanted)
    with accounts._opened() as connection:
        for place in accounts.tables.identifiers.emails:
            name, _, value = place.partition(".")
            statement = (
                select(col(accounts._account_column(name)), func.lower(col(value)))
                .select_from(accounts._table(name))
                .where(asked.among(func.lower(col(value))))
            )
            for account_id, email in connection.execute(statement):
                found.setdefault(email, set()).add(account_id)
    return found


def _statements(accounts: Accounts, wanted: Wanted) -> Iterator[Select[Any]]:
    identifiers = accounts.tables.identifiers
    if wanted.email:
        yield _having(accounts, identifiers.emails, wanted.email)
    if wanted.login_id:
        yield _having(accounts, identifiers.login_id, wanted.login_id)
    if wanted.name and (wanted.company or wanted.business_no):
        yield _having(accounts, identifiers.name, wanted.name)
        if wanted.company:
            yield _having(accounts, _items(accounts, "company_name", "trade_name"), wanted.company)
        if wanted.business_no:
            yield _having(accounts, _items(accounts, "business_no", "corporation_no"), wanted.business_no)


def _items(accounts: Accounts, *items: str) -> list[str]:
    return [
        f"{i.table}.{column}" for i in accounts.tables.identity for item, column in i.items.items() if item in items
    ]


def _having(accounts: Accounts, places: Iterable[str], value: str) -> Select[Any]:
    """Return a select of the accounts of which any of `table.column` equals the value, whatever its case."""
    register = accounts.tables.register_row
    exists = []
    for place in places:
        name, _, column = place.partition(".")
        source = table(name, schema=accounts.tables.schema_name).alias("x")
        account = col(accounts._account_column(name))
        exists.append(
            col(register.account).in_(
                select(account).select_from(source).where(and_(func.lower(col(column)) == value.strip().lower()))
            )
        )
    return (
        select(col(register.account))
        .select_from(table(register.table, schema=accounts.tables.schema_name))
        .where(or_(*exists))
    )


def masked(value: str) -> str:
    """Return the first character and stars."""
    return f"{value[0]}***" if value else ""


def masked_email(value: str) -> str:
    """Return `a***@e***.com`."""
    name, _, domain = value.partition("@")
    host, _, top = domain.rpartition(".")
    return f"{masked(name)}@{masked(host)}.{top}" if name and domain else masked(value)
