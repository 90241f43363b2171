"""Reading back: one account's archived rows, for a purpose a law names, released by a second person, always logged.

The archive is apart from everything else so that it is used for nothing else (PIPA 21(3)); marketing has no purpose
here. The read is logged before anything is decrypted, so that a crash can hide no look.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from sqlalchemy import Engine, insert, select

from include.archive import backups
from include.archive.bodies import decrypt, lines
from include.archive.facts import Recorder, facts_of
from include.archive.keyring import ArchiveKeys
from include.archive.rows import ArchivedRow
from include.archive.staging import open_staged
from include.archive.store import ArchiveStore
from include.database import access_log, archive_key, archive_object, archive_row
from include.errors import DecisionRefused
from include.outcomes import Outcome

PURPOSES: Mapping[str, str] = {
    "tax_inspection": "국세 부과·조사 (R-02)",
    "settlement_dispute": "요금 정산 분쟁 (R-01)",
    "consumer_dispute": "소비자 분쟁 (R-03, R-04, R-05)",
    "credit_information": "신용정보 처리 기록 확인 (R-07)",
    "access_request": "정보주체의 열람 요구 (PIPA 35)",
    "authority_order": "수사·법원·감독기관의 명령",
}
READERS = frozenset({"compliance", "approver", "privacy_officer", "settlement", "auditor"})


@dataclass(frozen=True, slots=True)
class Reading:
    """Rows found, and the business date from which the rest can be read (its class needs a restore, asked for now)."""

    rows: tuple[ArchivedRow, ...]
    objects: int
    pending: int = 0
    due_at: date | None = None


def retrieve(
    engine: Engine,
    store: ArchiveStore,
    account_id: str,
    *,
    purpose: str,
    reader: str,
    role: str,
    approver: str,
    as_of: date,
    keys: ArchiveKeys,
    record: Recorder,
    ip: str | None = None,
) -> Reading:
    """Return everything archived of one account, or refuse; `record` gets one `archive_read` per object opened."""
    _may(purpose, reader, role, approver)
    tag = keys.tag(account_id)
    with engine.begin() as connection:
        connection.execute(
            insert(access_log).values(
                who=reader, role=role, ip=ip, action=f"archive_read:{purpose}:{approver}", subject_tag=tag
            )
        )
        held = connection.execute(
            select(archive_object, archive_key.c.wrapped_key)
            .join(archive_key, archive_key.c.object_key == archive_object.c.object_key)
            .where(archive_key.c.archive_tag == tag, archive_object.c.state.in_(("checked", "destroying")))
            .order_by(archive_object.c.rule_id, archive_object.c.object_key)
        ).all()
        for row in held:
            given = {"archive_tag": tag, "purpose": purpose, "role": role, "subjects": 1}
            record(connection, facts_of(row, "archive_read", Outcome.ACCEPTED, **given))
        staged = connection.execute(
            select(archive_row).where(archive_row.c.archive_tag == tag).order_by(archive_row.c.row_id)
        ).all()
    rows = [ArchivedRow.decode(open_staged(row, keys)) for row in staged]
    pending = 0
    for row in held:
        found = _read(store, row, tag, keys)
        pending += found is None
        rows += found or []
    return Reading(tuple(rows), len(held), pending, as_of + timedelta(days=1) if pending else None)


def _may(purpose: str, reader: str, role: str, approver: str) -> None:
    """Refuse unless purpose and role are of the lists and the approver is another person, however the two are typed."""
    if purpose not in PURPOSES:
        raise DecisionRefused(f"The archive may not be read for {purpose!r}. Purposes: {', '.join(sorted(PURPOSES))}.")
    if role not in READERS:
        raise DecisionRefused(f"Role {role!r} may not read the archive. Roles: {', '.join(sorted(READERS))}.")
    if not same_name(approver) or same_name(approver) == same_name(reader):
        raise DecisionRefused("Reading the archive needs a second person: name an approver who is not the reader.")


def same_name(person: str) -> str:
    """Return a pseudonym as it is compared: `E-0001 ` and `e-0001` are one person."""
    return person.strip().casefold()


def _read(store: ArchiveStore, row: Any, tag: str, keys: ArchiveKeys) -> list[ArchivedRow] | None:
    if backups.destroyed(store, keys, row, tag):
        raise DecisionRefused(
            f"The key of these rows in {row.object_key} was destroyed, and is still in our database. Where "
            "`crypto-erase` was cut off, ask for it again; where the database was restored, run "
            "`python -m include.archive recover-keys`, which destroys it again; nothing was decrypted."
        )
    read = lines(store, row.object_key, row.sha256)
    if read is None:
        store.restore(row.object_key)
        return None
    found: list[ArchivedRow] = []
    for line in read:
        if line.archive_tag == tag:
            found += decrypt(line, row.object_key, row.wrapped_key, keys)
    return found
