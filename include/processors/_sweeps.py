"""Sweeps: what was created or changed at a place since a moment, so that somebody erased who is there again is noticed.

A processor that can list by time offers `sweep(since)`; one that cannot (ad audiences, recordings, paper) offers none
and is reported as not swept. A sweep only reads. Records are compared as keyed tags and never stored.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

from sqlalchemy import column, exists, or_, select, table, true
from sqlalchemy.exc import DBAPIError

from include.accounts.tables import Tables
from include.errors import ConfigurationError, Unreachable

if TYPE_CHECKING:
    from include.processors import Site
    from include.processors._s3.calls import Bucket
    from include.processors._salesforce.client import Client as Salesforce
    from include.processors._salesforce.layout import Layout
    from include.processors._stripe.api import Api
    from include.processors._zendesk.client import Client as Zendesk

LEAVES = 50
ALL = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Swept:
    """One record a place holds now: in which datasets of the schedule, and by which keys it can be recognised."""

    datasets: tuple[str, ...]
    object_id: str = field(default="", repr=False)
    account_id: str = field(default="", repr=False)
    emails: tuple[str, ...] = field(default=(), repr=False)


class Sweeping(Protocol):
    """What a processor that can be listed by time offers beside its contract."""

    def sweep(self, since: datetime | None) -> Iterator[Swept]:
        """Yield the records created or changed since (UTC); None: everything that is there."""

    def objects(self, locator: Mapping[str, Any]) -> list[str]:
        """Return the processor's own ids in a locator."""


def object_ids(locator: Mapping[str, Any]) -> list[str]:
    """Return what may be a processor's own id in a locator: short values without an @; a superset does no harm."""
    found: list[str] = []
    stack: list[Any] = [locator]
    while stack and len(found) < LEAVES:
        value = stack.pop()
        if isinstance(value, Mapping):
            stack += [*value.keys(), *value.values()]
        elif isinstance(value, list | tuple):
            stack += value
        elif isinstance(value, str | int) and not isinstance(value, bool):
            text = str(value)
            if 6 <= len(text) <= 64 and "@" not in text and " " not in text:
                found.append(text)
    return found


def zendesk(client: Zendesk, since: datetime | None) -> Iterator[Swept]:
    """Users changed since, from the incremental cursor export; deleted ones come too and are passed over."""
    # A start within the last minute is refused.
    start = min(since or ALL, datetime.now(UTC) - timedelta(minutes=2))
    path, seen = f"/incremental/users/cursor?start_time={int(start.timestamp())}", set[str]()
    while path not in seen:
        seen.add(path)
        body = client.get(path).body
        for user in body.get("users") or []:
            if user.get("active") is not False:
                email = str(user.get("email") or "")
                yield Swept(
                    ("support",), str(user["id"]), str(user.get("external_id") or ""), (email,) if email else ()
                )
        if body.get("end_of_stream") is True:
            return
        path = str(body.get("after_url") or "")
        if not path:
            break
    raise Unreachable("zendesk", "endless_pages")


def stripe(api: Api, since: datetime | None, *, metadata_key: str) -> Iterator[Swept]:
    """Customers created since; Stripe lists by creation only, and no deleted customer comes back."""
    asked: dict[str, Any] = {"created": {"gte": int(since.timestamp())}} if since else {}
    for row in api.pages("/v1/customers", **asked):
        email = str(row.get("email") or "")
        owner = str((row.get("metadata") or {}).get(metadata_key) or "")
        yield Swept(("payments",), str(row["id"]), owner, (email,) if email else ())


def salesforce(client: Salesforce, layout: Layout, since: datetime | None) -> Iterator[Swept]:
    """Contacts, leads and person accounts changed since, without deleted ones."""
    for kind in ("Contact", "Lead", "Account"):
        if not layout.has(kind) or (kind == "Account" and not layout.person_accounts()):
            continue
        emails = layout.emails(kind)
        keyed = layout.knows(kind, layout.key_field, default=False)
        columns = ["Id", *([layout.key_field] if keyed else []), *emails]
        person = " AND IsPersonAccount = true" if kind == "Account" else ""
        moment = (since or ALL).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        # Nothing of a person stands in this query: a moment of ours and names of fields.
        soql = f"SELECT {', '.join(columns)} FROM {kind} WHERE SystemModstamp >= {moment}{person}"  # noqa: S608
        for row in client.query(soql, deleted=False):
            yield Swept(
                ("customer", "marketing"),
                str(row["Id"]),
                str(row.get(layout.key_field) or "") if keyed else "",
                tuple(str(row[e]) for e in emails if row.get(e)),
            )


def s3(buckets: tuple[Bucket, ...] | list[Bucket], since: datetime | None) -> Iterator[Swept]:
    """Accounts that have an object or version written since, after the accounts' prefixes."""
    for bucket in buckets:
        head, _, tail = bucket.place.template.partition("{account_id}")
        seen = set()
        for key, written in bucket.written(head):
            account_id, delimiter, _rest = key.removeprefix(head).partition(tail)
            if key.startswith(head) and delimiter and (since is None or written >= since):
                seen.add(account_id)
        yield from (Swept(("live_objects",), account_id=account_id) for account_id in sorted(seen))


def own_database(site: Site, tables: Tables, since: datetime | None) -> Iterator[Swept]:
    """Accounts with rows, by dataset: those that are terminated or not registered; with `since` None all of them.

    The company's tables carry no time of change, so every night looks at all of them. A live account's rows belong to
    a customer and are no sign of anything; an emptied or anonymised row is none either.
    """
    if site.accounts is None:
        raise ConfigurationError("Processor own_database needs the connection accounts_db to be swept.")
    register = tables.register_row
    known = table(register.table, column(register.account), column(register.terminated_on), schema=tables.schema_name)
    try:
        with site.accounts.connect() as connection:
            for name, declared in tables.tables.items():
                if declared.action == "anonymise":
                    continue
                columns = {declared.account, *declared.columns}
                rows = table(name, *(column(c) for c in columns), schema=tables.schema_name).alias("t")
                account, other = rows.c[declared.account], known.alias("r")
                same = other.c[register.account] == account
                gone = or_(~exists().where(same), exists().where(same, other.c[register.terminated_on].is_not(None)))
                filled = or_(*(rows.c[c].is_not(None) for c in declared.columns)) if declared.columns else true()
                statement = select(account).distinct().where(filled, gone if since is not None else true())
                for account_id in connection.execution_options(yield_per=5000).execute(statement).scalars():
                    if account_id:
                        yield Swept((declared.dataset,), account_id=account_id)
    except DBAPIError:
        raise Unreachable("own_database", "no_answer") from None


def own_store(site: Site, main: Tables, theirs: Tables, since: datetime | None) -> Iterator[Swept]:
    """The same for a further store that is connected to; `site` reaches it, `main` says where the register is.

    Its tables stand in another database than the register, so who is a customer is asked a thousand at a time.
    """
    from psycopg import sql

    from include.processors._own_database.sql import name_of, opened

    with opened(site.connection, read_only=True) as connection:
        for name, declared in theirs.tables.items():
            if declared.action == "anonymise":
                continue
            account = sql.Identifier(declared.account)
            columns: list[sql.Composable] = [
                sql.SQL("{} IS NOT NULL").format(sql.Identifier(c)) for c in declared.columns
            ]
            query = sql.SQL("SELECT DISTINCT {}::text FROM {} WHERE {} IS NOT NULL AND ({})").format(
                account, name_of(theirs, name), account, sql.SQL(" OR ").join(columns or [sql.SQL("true")])
            )
            with connection.cursor(name="sweep") as cursor:
                cursor.execute(query)
                while some := [row[0] for row in cursor.fetchmany(1000)]:
                    customers = _customers(site, main, some) if since is not None else set()
                    yield from (Swept((declared.dataset,), account_id=a) for a in some if a and a not in customers)


def _customers(site: Site, main: Tables, account_ids: Sequence[str]) -> set[str]:
    """Return which accounts the register has without a termination: their rows are no sign of anything."""
    if site.accounts is None:
        raise ConfigurationError("Processor own_database needs the connection accounts_db to be swept.")
    register = main.register_row
    known = table(register.table, column(register.account), column(register.terminated_on), schema=main.schema_name)
    account = known.c[register.account]
    statement = select(account).where(account.in_(account_ids), known.c[register.terminated_on].is_(None))
    try:
        with site.accounts.connect() as connection:
            return set(connection.execute(statement).scalars())
    except DBAPIError:
        raise Unreachable("own_database", "no_answer") from None
