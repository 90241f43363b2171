"""Look-ups of one person in the log, and the end of a key epoch; both leave entries.

    keys = keys_in(folder)                                          # <year>.key, 32 bytes, mode 0600
    with engine.begin() as connection:
        tags = look_up(connection, SubjectTags(keys), value, by=by, approver=other, base=base)
    destroy_epoch(engine, folder, "2023", by=by, approver=other, base=base, term_years=3)

Who looked stands in table `access_log` (with the tag, never the account id) and, by role and pseudonym, in the log.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, insert, select

from include.database import access_log, entry
from include.errors import ConfigurationError, DecisionRefused
from include.evidence.entries import is_code, parse
from include.evidence.log import stage
from include.evidence.tags import KEY_BYTES, SubjectTags

_FILE = re.compile(r"(\d{4})\.key")


@dataclass(frozen=True, slots=True)
class Person:
    """A role and an employee pseudonym (`compliance:e-0007`); names stay out of evidence."""

    role: str
    pseudonym: str

    @classmethod
    def parse(cls, text: str) -> Person:
        """Return the person in `role:pseudonym`."""
        role, _, pseudonym = text.partition(":")
        if not (role and pseudonym and is_code(role) and is_code(pseudonym)):
            raise DecisionRefused("Name who acts as role:pseudonym, for example compliance:e-0007; never a name.")
        return cls(role, pseudonym)

    def entry(self) -> dict[str, str]:
        """Return the person as entries carry them."""
        return {"role": self.role, "pseudonym": self.pseudonym}


def keys_in(folder: Path) -> dict[str, bytes]:
    """Return the epoch keys that lie in a folder as plain files; those a KMS wraps come through `evidence_tags`."""
    if not folder.is_dir():
        raise ConfigurationError(f"{folder} is not a folder. Name the one with <year>.key in it.")
    found = {m[1]: path for path in sorted(folder.iterdir()) if (m := _FILE.fullmatch(path.name))}
    for path in found.values():
        status = path.stat()
        if status.st_mode & 0o077 or status.st_uid != os.getuid() or status.st_size != KEY_BYTES:
            raise ConfigurationError(
                f"{path.name} must hold {KEY_BYTES} bytes, belong to you and have mode 0600. Nothing was read."
            )
    return {epoch: path.read_bytes() for epoch, path in found.items()}


def look_up(
    connection: Connection,
    tags: SubjectTags,
    value: str,
    *,
    by: Person,
    approver: Person | None,
    base: Mapping[str, Any],
    four_eyes: bool = False,
    ip: str | None = None,
) -> dict[str, str]:
    """Return the tags of an account under every live epoch; the look-up is recorded in the caller's transaction.

    With `four_eyes`, somebody other than who asks must have approved.
    """
    if four_eyes and (approver is None or approver.pseudonym == by.pseudonym):
        raise DecisionRefused("A look-up needs two people here: name a second one, --approved-by role:pseudonym.")
    found = tags.all(value)
    connection.execute(
        insert(access_log),
        [
            {"who": by.pseudonym, "role": by.role, "ip": ip, "action": "tag_opened", "subject_tag": tag}
            for tag in found.values()
        ],
    )
    people = {"actor": by.entry()} | ({"approver": approver.entry()} if approver else {})
    stage(
        connection,
        [
            {**base, "event": "tag_opened", "subject_tag": tag, "key_epoch": epoch, **people}
            for epoch, tag in found.items()
        ],
    )
    return found


def destroy_epoch(
    engine: Engine,
    folder: Path,
    epoch: str,
    *,
    by: Person,
    approver: Person,
    base: Mapping[str, Any],
    term_years: int,
) -> None:
    """Destroy an epoch's key file: its tags become anonymous, its proofs stay valid. Intent first, then the file, then
    its absence read back. Two people, and not before the evidence term after the epoch's newest entry has passed.
    """
    if by.pseudonym == approver.pseudonym:
        raise DecisionRefused("Destroying a key epoch needs two people. Nothing was destroyed.")
    path = folder / f"{epoch}.key"
    if not re.fullmatch(r"20\d{2}", epoch) or not path.is_file():
        raise ConfigurationError(f"There is no {epoch}.key. Nothing was destroyed.")
    today, newest = date.fromisoformat(base["as_of"]), _newest(engine, epoch)
    if today.year <= newest.year + term_years:
        raise DecisionRefused(
            f"Epoch {epoch} was used until {newest}; its evidence term of {term_years} years runs through the end of "
            f"{newest.year + term_years}. Nothing was destroyed."
        )
    fields = {**base, "event": "key_destroyed", "key_epoch": epoch, "actor": by.entry(), "approver": approver.entry()}
    with engine.begin() as connection:
        stage(connection, [fields | {"code": "intended", "method": "key_file_removed"}])
    with path.open("r+b") as file:
        file.write(os.urandom(path.stat().st_size))  # a key wrapped by a KMS is longer than a key
        file.flush()
        os.fsync(file.fileno())
    path.unlink()
    if f"{epoch}.key" in os.listdir(folder):
        raise ConfigurationError(f"{epoch}.key is still there. Remove it, and look for copies in backups.")
    with engine.begin() as connection:
        stage(connection, [fields | {"code": "confirmed_absent", "verify_method": "folder_listed"}])


def _newest(engine: Engine, epoch: str) -> date:
    """Return the business date of the newest entry under an epoch; the epoch's own last day if it has none."""
    newest = f"{epoch}-12-31"
    with engine.connect().execution_options(yield_per=2048) as connection:
        marked = f'"key_epoch":"{epoch}"'.encode()
        for body in connection.execute(select(entry.c.body)).scalars():
            if marked in bytes(body):
                newest = max(newest, str(parse(bytes(body))["as_of"]))
    return date.fromisoformat(newest)
