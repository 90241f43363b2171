"""Leases: one customer is worked on by one task at a processor, and a task that lost its lease writes nothing.

A claim is a row per (processor, account) with an owner (run, task, map index), a random fencing token and an expiry
on the database clock. A retry of the same task is the same owner and takes its lease over at once.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID, uuid4

from sqlalchemy import Connection, Engine, and_, delete, func, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert

from include.database import claim

LEASE = timedelta(minutes=15)
"""Longer than the longest single processor call plus a job's two minutes of polling."""


@dataclass(frozen=True, slots=True)
class Claim:
    """The accounts one task may work on at one processor, under one token."""

    processor: str
    token: UUID
    accounts: frozenset[str]


def take(engine: Engine, processor: str, accounts: Collection[str], owner: str) -> Claim:
    """Claim what is free, expired or already ours; accounts another task holds are left out."""
    token = uuid4()
    if not accounts:
        return Claim(processor, token, frozenset())
    statement = insert(claim).values(
        [
            {"processor": processor, "account_id": a, "owner": owner, "token": token, "expires_at": func.now() + LEASE}
            for a in sorted(set(accounts))
        ]
    )
    with engine.begin() as connection:
        taken = connection.execute(
            statement.on_conflict_do_update(
                index_elements=["processor", "account_id"],
                set_={c: statement.excluded[c] for c in ("owner", "token", "expires_at")},
                where=or_(claim.c.owner == owner, claim.c.expires_at < func.now()),
            ).returning(claim.c.account_id)
        )
        return Claim(processor, token, frozenset(taken.scalars()))


def hold(connection: Connection, held: Claim) -> frozenset[str]:
    """Renew the lease in the caller's transaction; return the accounts still ours. The rest must not be written."""
    rows = connection.execute(
        update(claim)
        .where(claim.c.processor == held.processor, claim.c.token == held.token)
        .values(expires_at=func.now() + LEASE)
        .returning(claim.c.account_id)
    )
    return frozenset(rows.scalars())


def release(engine: Engine, held: Claim) -> None:
    """Give the accounts back."""
    with engine.begin() as connection:
        connection.execute(delete(claim).where(and_(claim.c.processor == held.processor, claim.c.token == held.token)))


def lock_accounts(connection: Connection, accounts: Collection[str]) -> None:
    """Take the per-account advisory transaction lock that placing a hold and committing `attempted` share."""
    connection.execute(
        text(
            "SELECT pg_advisory_xact_lock(hashtextextended('account:' || a, 0)) "
            "FROM (SELECT unnest(CAST(:accounts AS text[])) a ORDER BY 1) s"
        ),
        {"accounts": sorted(set(accounts))},
    )


@contextlib.contextmanager
def exclusive(engine: Engine, processor: str, *, wanted: bool) -> Iterator[None]:
    """Hold the session advisory lock of an exclusive processor (AdRoll re-posts whole lists), if `wanted`."""
    if not wanted:
        yield
        return
    key = func.hashtextextended(f"processor:{processor}", 0)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(select(func.pg_advisory_lock(key)))
        try:
            yield
        finally:
            connection.execute(select(func.pg_advisory_unlock(key)))
