"""Triggers that the register took back after planning: a termination recorded by mistake, a customer who stayed.

The plan may be a night old, or months where something was held; nothing is begun on the strength of it alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, Row, select

from include.database import among
from include.database.decisions import tombstone
from include.disposals import request_events
from include.disposals.context import Context
from include.policy.facts import AccountFacts

CODE = "trigger_undone"
"""Code of what waits for a person: the account is there, and what the disposal counts from is not."""

_EVENTS = ("terminated", "requested")


def read(context: Context, rows: Iterable[Row[Any]]) -> Mapping[str, AccountFacts]:
    """Return, by account, what the register says now of those whose disposals count from its own dates."""
    accounts = {row.account_id for row in rows if row.trigger_event in _EVENTS}
    return {f.account_id: f for f in context.accounts.facts(accounts)} if accounts else {}


def of(connection: Connection, rows: Iterable[Row[Any]], known: Mapping[str, AccountFacts]) -> set[str]:
    """Return the disposals whose account is in the register without the date they count from.

    An account that left the register undoes nothing, nor does a termination that stands in an approved request. What
    was erased once and is there again is judged where it is opened again (a restored register is older than that).
    """
    found = [row for row in rows if row.account_id in known and _undone(row.trigger_event, known[row.account_id])]
    if not found:
        return set()
    asked = request_events.terminations(connection, {row.account_id for row in found})
    ids = [row.disposal_id for row in found]
    before = set(
        connection.scalars(
            select(tombstone.c.disposal_id).where(
                among(tombstone.c.disposal_id, ids), tombstone.c.erased_on.is_not(None)
            )
        )
    )
    return {str(row.disposal_id) for row in found if row.account_id not in asked and row.disposal_id not in before}


def _undone(event: str, facts: AccountFacts) -> bool:
    if event not in _EVENTS or facts.terminated_on is not None:
        return False
    return event == "terminated" or facts.requested_on is None
