"""The company's own address book: what can be an address, and who else of its accounts uses one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from include.errors import ConfigurationError
from include.processors import Site
from include.processors._salesforce.owners import fold
from include.processors._salesforce.session import NAME


def other_users(site: Site, addresses: Sequence[str]) -> dict[str, set[str]]:
    """Return who else uses these addresses, from the company's own accounts."""
    book = site.settings.get("address_book")
    if site.accounts is None or not book or not addresses:
        return {}
    from sqlalchemy import ColumnClause, column, func, select, table
    from sqlalchemy.exc import SQLAlchemyError

    account: ColumnClause[str] = column(str(book["account"]))
    email: ColumnClause[str] = column(str(book["email"]))
    accounts = table(str(book["table"]), account, email)
    wanted = sorted({a.lower() for a in addresses})
    users: dict[str, set[str]] = defaultdict(set)
    try:
        with site.accounts.connect() as connection:
            for row in connection.execute(
                select(account, email).select_from(accounts).where(func.lower(email).in_(wanted))
            ):
                users[fold(row[1])].add(str(row[0]))
    except SQLAlchemyError:
        raise ConfigurationError(
            f"{NAME}: settings.address_book: table {book['table']!r} cannot be read in accounts_db."
        ) from None
    return users


def is_address(text: str) -> bool:
    """Tell whether Salesforce could hold this as an e-mail address: an `@`, no blanks, no control characters."""
    local, at, domain = text.strip().rpartition("@")
    return bool(at and local and domain and len(text) <= 254 and text.strip().isprintable() and " " not in text.strip())
