"""Keys: they can be read by this user and nobody else, and are the ones this database and log were written with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from include import database, keys
from include.check import Line, Setup, State, have, tried
from include.connections import Connection
from include.errors import ConfigurationError, VerificationError
from include.evidence.note import Signer, open_checkpoint
from include.evidence.tags import SubjectTags

SOON = 12
"""From this month on the next year's tag key should exist."""


def lines(setup: Setup) -> Iterator[Line]:
    """Yield what is known of `evidence_signing`, `evidence_tags` and `archive_kek`."""
    for name, what, look in (
        ("evidence_signing", "opens, and signed the log", _signing),
        ("evidence_tags", "has this year's key and every key still needed", _tags),
        ("archive_kek", "opens, and wrapped what is stored", _kek),
    ):
        found = have(setup, name)
        if isinstance(found, Line):
            yield found
        else:
            yield tried(name, what, lambda f=found, look=look: look(f, setup))  # type: ignore[misc]
            if name == "evidence_tags" and setup.today.month >= SOON:
                yield from _next_year(found, setup)


def _signing(found: Connection, setup: Setup) -> str:
    vkey = Signer(keys.signing_seed(found), found.require("origin")).vkey
    rows = _stored(setup, select(database.checkpoint.c.note).order_by(database.checkpoint.c.size.desc()).limit(1))
    for (note,) in rows:
        try:
            open_checkpoint(note, [vkey])
        except VerificationError:
            raise ConfigurationError(
                "Connection evidence_signing: the log's newest checkpoint was signed with another key or name. Restore "
                "the right key file and origin; a new key begins a new log."
            ) from None
    return f"public key {vkey}"


def _tags(found: Connection, setup: Setup) -> str:
    tags = SubjectTags(keys.epochs(found))
    tags.current_epoch(setup.today)
    needed = {r[0] for r in _stored(setup, select(database.disposal.c.key_epoch).distinct())}
    if lost := sorted(needed - set(tags.epochs)):
        raise ConfigurationError(
            f"Connection evidence_tags: the keys of {', '.join(lost)} are gone, under which disposals stand. Restore "
            "them, or accounts that return are taken for new ones."
        )
    return f"years {tags.epochs[0]} to {tags.epochs[-1]}"


def _next_year(found: Connection, setup: Setup) -> Iterator[Line]:
    year = f"{setup.today.year + 1:04d}"
    try:
        there = year in keys.epochs(found)
    except ConfigurationError:
        return
    if not there:
        yield Line(
            "evidence_tags", f"has the key of {year}", State.MISSING,
            f"Create it before 1 January, in the folder the connection names: {year}.key, 32 random bytes, mode 0600.",
        )  # fmt: skip


def _kek(found: Connection, setup: Setup) -> str:
    wrapper = keys.wrapper(found)
    wrapper.derive("check")
    stored = _stored(setup, select(database.locator.c.disposal_id, database.locator.c.wrapped_key).limit(1))
    for disposal_id, wrapped in stored:
        wrapper.unwrap(bytes(wrapped), f"locator:{disposal_id}")
    kms = found.extra.get("kms_key_id")
    return "decrypted by KMS" if kms else "key file, mode 0600"


def _stored(setup: Setup, statement: Any) -> list[Any]:
    """Return rows of ours, none where our database says nothing: its own lines tell that."""
    try:
        engine = database.connect(setup.connection("retention_db"))
    except ConfigurationError:
        return []
    try:
        with engine.connect() as session:
            return list(session.execute(statement).all())
    except SQLAlchemyError:
        return []
    finally:
        engine.dispose()
