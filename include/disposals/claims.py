"""Leases: one customer is worked on by one task at a processor, and a task that lost its lease writes nothing.

A claim is a row per (processor, account) with an owner (run, task, map index), a random fencing token and an expiry
on the database clock. A retry of the same task is the same owner and takes its lease over at once.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID, uuid4

from sqlalchemy import Connection, Engine, and_, collate, delete, func, select, text, update

from include.database import claim
from include.errors import Unreachable

LEASE = timedelta(minutes=15)
"""Longer than the longest single processor call plus a job's two minutes of polling."""


_TAKE = text(
    """
    INSERT INTO retention.claim AS c (processor, account_id, owner, token, expires_at)
    SELECT :processor, a, :owner, :token, now() + :lease
    FROM unnest(CAST(:accounts AS text[])) a ORDER BY a COLLATE "C"
    ON CONFLICT (processor, account_id) DO UPDATE
        SET owner = CASE WHEN c.owner = excluded.owner OR c.expires_at < now() THEN excluded.owner ELSE c.owner END,
            token = CASE WHEN c.owner = excluded.owner OR c.expires_at < now() THEN excluded.token ELSE c.token END,
            expires_at = excluded.expires_at
        WHERE c.owner = excluded.owner OR c.expires_at < now() OR c.expires_at > excluded.expires_at
    RETURNING account_id, token
    """
)
"""A lease further ahead than one can be was made before the database's clock went back. It stays its owner's, who may
be at work, and lasts from now on as long as any other: nothing is taken from anybody, and nobody's death blocks longer.
"""
LOCKS = 1024
"""Accounts share this many advisory locks: PostgreSQL's lock table is small, and a batch may hold tens of thousands."""
PATIENCE = 120.0
"""Seconds to wait for an exclusive processor before the run leaves it to a later one."""


@dataclass(frozen=True, slots=True)
class Claim:
    """The accounts one task may work on at one processor, under one token."""

    processor: str
    token: UUID
    accounts: frozenset[str]


def take(engine: Engine, processor: str, accounts: Collection[str], owner: str) -> Claim:
    """Claim what is free, expired or already ours; accounts another task holds are left out."""
    token = uuid4()
    with engine.begin() as connection:
        taken = connection.execute(
            _TAKE,
            {"processor": processor, "accounts": list(set(accounts)), "owner": owner, "token": token, "lease": LEASE},
        )
        return Claim(processor, token, frozenset(row.account_id for row in taken if row.token == token))


def hold(connection: Connection, held: Claim) -> frozenset[str]:
    """Renew the lease in the caller's transaction; return the accounts still ours. The rest must not be written."""
    # Locked in the order `take` locks them, or the two could wait for each other.
    connection.execute(
        select(claim.c.account_id)
        .where(claim.c.processor == held.processor, claim.c.token == held.token)
        .order_by(collate(claim.c.account_id, "C"))
        .with_for_update()
    )
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
            "SELECT pg_advisory_xact_lock(1381256270, k) FROM (SELECT DISTINCT "
            "(hashtextextended('account:' || a, 0) & :mask)::int k "
            "FROM unnest(CAST(:accounts AS text[])) a ORDER BY 1) s"
        ),
        {"accounts": list(accounts), "mask": LOCKS - 1},
    )


@contextlib.contextmanager
def exclusive(engine: Engine, processor: str, *, wanted: bool) -> Iterator[None]:
    """Hold the session advisory lock of an exclusive processor (AdRoll re-posts whole lists), if `wanted`."""
    if not wanted:
        yield
        return
    key = func.hashtextextended(f"processor:{processor}", 0)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        deadline = time.monotonic() + PATIENCE
        while not connection.execute(select(func.pg_try_advisory_lock(key))).scalar():
            if time.monotonic() > deadline:
                raise Unreachable(processor, "busy", advice="Another run works on it; the next one goes on.")
            time.sleep(0.5)
        try:
            yield
        finally:
            connection.execute(select(func.pg_advisory_unlock(key)))


def forget_expired(connection: Connection) -> None:
    """Remove leases whose holders died: a row nobody holds has no reason to keep an account id."""
    connection.execute(delete(claim).where(claim.c.expires_at < func.now()))
