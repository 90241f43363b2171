"""What the self-scan looks for: keyed digests of what names a person, kept from `locate` until a clean scan after.

No plaintext is stored, and nothing can be read from a digest without its month's key, which lies wrapped under
`archive_kek` in table `scan_key` and is destroyed with its last digest. Eight bytes each: at ten million words against
a million digests a chance hit is one in two million.
"""

from __future__ import annotations

import os
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Integer, case, cast, delete, exists, func, select
from sqlalchemy.dialects.postgresql import insert

from include.database import among, disposal
from include.database.scan import scan_key, scan_needle
from include.disposals.context import Context
from include.disposals.scan import tokens
from include.disposals.scan.tokens import FIRST, Kind
from include.keys import KEY_BYTES, Wrapper

SIZE = 8
ROWS = 1000


def mac(key: bytes, kind: str, token: str) -> bytes:
    """Return the keyed digest of a normal form (BLAKE2b as a MAC)."""
    return blake2b(f"{kind}:{token}".encode(errors="replace"), key=key, digest_size=SIZE).digest()


def remember(
    connection: Connection, context: Context, found: Mapping[str, Mapping[str, Any]], accounts: Iterable[str] = ()
) -> None:
    """Keep the digests of what locators or search keys (by disposal id) hold, in the caller's transaction.

    What is common to more than two disposals of a batch, such as a list's or a job's id, is nobody's own.
    """
    own = frozenset(accounts)
    forms = {i: _forms(body, own) for i, body in found.items()}
    often = Counter(form for one, _ in forms.values() for form in one)
    kept = {
        i: ({f for f in one if f[0] != Kind.OBJECT or often[f] <= 2}, unsearchable)
        for i, (one, unsearchable) in forms.items()
        if one or unsearchable
    }
    if not kept:
        return
    key_id, key = _current(connection, context)
    values = [
        {
            "disposal_id": UUID(i),
            "key_id": key_id,
            "digests": b"".join(sorted(mac(key, *form) for form in one)),
            "unsearchable": unsearchable,
        }
        for i, (one, unsearchable) in kept.items()
    ]
    statement = insert(scan_needle)
    there, new = scan_needle.c, statement.excluded
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["disposal_id", "key_id"],
            set_={
                # A job that is polled saves the same locator again and again.
                "digests": case(
                    (func.position(new.digests.op("IN")(there.digests)) > 0, there.digests),
                    else_=there.digests.op("||")(new.digests),
                ),
                "unsearchable": func.greatest(there.unsearchable, new.unsearchable),
            },
        ),
        values,
    )


def _forms(body: Mapping[str, Any], own: frozenset[str]) -> tuple[set[tuple[str, str]], int]:
    forms: set[tuple[str, str]] = set()
    unsearchable = 0
    for kind, value in tokens.of_locator(body, not_these=own):
        made = tokens.needles(kind, value)
        forms |= made
        unsearchable += not made and kind in (Kind.NAME, Kind.EMAIL, Kind.PHONE, Kind.LOGIN) and bool(value)
    return forms, unsearchable


def _current(connection: Connection, context: Context) -> tuple[str, bytes]:
    """Return this month's key, made by whoever needs it first."""
    key_id = f"{context.as_of:%Y-%m}"
    stored = select(scan_key.c.wrapped_key).where(scan_key.c.key_id == key_id)
    wrapped = connection.execute(stored).scalar()
    if wrapped is None:
        made = context.wrapper.wrap(os.urandom(KEY_BYTES), f"scan:{key_id}")
        connection.execute(insert(scan_key).values(key_id=key_id, wrapped_key=made).on_conflict_do_nothing())
        wrapped = connection.execute(stored).scalar_one()
    return key_id, context.wrapper.unwrap(bytes(wrapped), f"scan:{key_id}")


class Needles:
    """Every digest that is looked for, eight bytes each, sorted under its key."""

    def __init__(self, by_key: Mapping[bytes, array[int]]) -> None:
        self._sets = [(key, array("Q", sorted(words))) for key, words in by_key.items()]

    def __len__(self) -> int:
        return sum(len(words) for _, words in self._sets)

    def hold(self, kind: str, token: str) -> bool:
        """Return whether this is one of them."""
        for key, words in self._sets:
            value = int.from_bytes(mac(key, kind, token), _ORDER)
            at = bisect_left(words, value)
            if at < len(words) and words[at] == value:
                return True
        return False

    def start(self, word: str) -> bool:
        """Return whether a name that is looked for begins with this word."""
        return self.hold(FIRST, word)


_ORDER: Any = "little" if array("Q", [1]).tobytes()[0] else "big"


def load(connection: Connection, wrapper: Wrapper) -> Needles:
    """Return what is looked for now: of every disposal that is open, or closed and not yet scanned for."""
    by_key: dict[bytes, array[int]] = {}
    for row in connection.execute(select(scan_key)).all():
        key = wrapper.unwrap(bytes(row.wrapped_key), f"scan:{row.key_id}")
        stored = select(scan_needle.c.digests).where(scan_needle.c.key_id == row.key_id)
        words = array("Q")
        for digests in connection.execute(stored.execution_options(yield_per=ROWS)).scalars():
            words.frombytes(bytes(digests))
        by_key[key] = words
    return Needles(by_key)


def waiting(connection: Connection) -> int:
    """Return of how many closed disposals the digests still wait for a clean scan."""
    return int(
        connection.execute(
            select(func.count(func.distinct(scan_needle.c.disposal_id)))
            .join(disposal, disposal.c.disposal_id == scan_needle.c.disposal_id)
            .where(disposal.c.closed_on.is_not(None))
        ).scalar_one()
    )


def unsearchable(connection: Connection) -> int:
    """Return how many names, numbers and logins are too common to be looked for."""
    total = select(cast(func.coalesce(func.sum(scan_needle.c.unsearchable), 0), Integer))
    return int(connection.execute(total).scalar_one())


def closed(connection: Connection) -> list[UUID]:
    """Return the disposals that are closed now and still looked for."""
    found = (
        select(scan_needle.c.disposal_id)
        .distinct()
        .join(disposal, disposal.c.disposal_id == scan_needle.c.disposal_id)
        .where(disposal.c.closed_on.is_not(None))
    )
    return list(connection.execute(found).scalars())


def forget(connection: Connection, disposal_ids: Iterable[UUID], *, month: str) -> None:
    """Destroy the digests of what a clean scan has seen, and every older key without any left."""
    connection.execute(delete(scan_needle).where(among(scan_needle.c.disposal_id, list(disposal_ids))))
    connection.execute(
        delete(scan_key).where(scan_key.c.key_id < month, ~exists().where(scan_needle.c.key_id == scan_key.c.key_id))
    )
