"""What `locate` found, encrypted at rest (AES-256-GCM, a key per disposal), until the disposal is closed.

`found` holds processor object ids. `search` holds the keys to look with, kept only while a place could not be searched
(down, held, ambiguous), so that the company's own database need not wait for it beyond its maximum.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, select
from sqlalchemy.dialects.postgresql import insert

from include.database import among, locator
from include.disposals.context import Context
from include.disposals.scan import needles
from include.keys import Sealed, Wrapper, open_sealed, seal_bytes

CONSUMER_LIKE = "consumer_like"
"""Stands in the locator of a business with records: its register row may be gone when others follow."""

OUTLIVE = ("emails", "phones", CONSUMER_LIKE)


def save(
    connection: Connection,
    context: Context,
    kind: str,
    locators: Mapping[str, Mapping[str, Any]],
    accounts: Collection[str] = (),
) -> None:
    """Store (or replace) the locators of disposals, by disposal id; the self-scan looks for what they hold.

    `accounts` are their account ids, opaque keys that may stand in Airflow.
    """
    if not locators:
        return
    needles.remember(connection, context, locators, accounts)
    rows = []
    for disposal_id, body in locators.items():
        sealed = seal_bytes(json.dumps(body).encode(), context.wrapper, _purpose(disposal_id))
        rows.append(
            {
                "disposal_id": UUID(disposal_id),
                "kind": kind,
                "wrapped_key": sealed.wrapped_key,
                "nonce": sealed.nonce,
                "ciphertext": sealed.ciphertext,
            }
        )
    statement = insert(locator)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["disposal_id"],
            set_={c: statement.excluded[c] for c in ("kind", "wrapped_key", "nonce", "ciphertext")},
        ),
        rows,
    )


def end_users(connection: Connection, context: Context, disposal_ids: Collection[str]) -> dict[str, dict[str, str]]:
    """Return the search keys of disposals about one end user, from whatever is stored of them: the customer's id of it.

    It stands nowhere else, so what replaces a locator has to carry it on.
    """
    known = read(connection, context, disposal_ids) if disposal_ids else {}
    return {
        i: {"end_user": person}
        for i, (_, body) in known.items()
        if (person := body.get("end_user") or body.get("person"))
    }


def carried(connection: Connection, context: Context, rows: Mapping[str, Row[Any]]) -> dict[str, dict[str, Any]]:
    """Return the search keys that outlive stale locators: an end user's id, and an erased account's addresses.

    While the register knows the account they are read there anew; the own database waits until they were.
    """
    users = end_users(connection, context, [i for i, row in rows.items() if row.subject_type == "end_user"])
    others = {i: row.account_id for i, row in rows.items() if row.subject_type != "end_user"}
    known = context.accounts.identifiers(set(others.values())) if others else {}
    gone = [i for i, account in others.items() if account not in known or not known[account].emails]
    bodies = {i: body for i, (_, body) in read(connection, context, gone).items()} if gone else {}
    kept = {i: {k: body[k] for k in OUTLIVE if body.get(k)} for i, body in bodies.items()}
    return users | {i: keys for i, keys in kept.items() if keys}


def read(
    connection: Connection, context: Context, disposal_ids: Collection[str]
) -> dict[str, tuple[str, dict[str, Any]]]:
    """Return `{disposal_id: (kind, locator)}` for those that have one."""
    return opened(connection, context.wrapper, disposal_ids)


def opened(
    connection: Connection, wrapper: Wrapper, disposal_ids: Collection[str]
) -> dict[str, tuple[str, dict[str, Any]]]:
    """Return the same where there is no run, only the key."""
    rows = connection.execute(select(locator).where(among(locator.c.disposal_id, [UUID(i) for i in disposal_ids])))
    found = {}
    for row in rows:
        disposal_id = str(row.disposal_id)
        sealed = Sealed(wrapped_key=row.wrapped_key, nonce=row.nonce, ciphertext=row.ciphertext)
        found[disposal_id] = (row.kind, json.loads(open_sealed(sealed, wrapper, _purpose(disposal_id))))
    return found


def _purpose(disposal_id: str) -> str:
    return f"locator:{disposal_id}"
