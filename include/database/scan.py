"""What the self-scan keeps: keyed digests of what to look for, their keys, and what each scan found."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Date, DateTime, ForeignKey, Integer, LargeBinary, Table, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB

from include.database import SCHEMA, _now, metadata

scan_key = Table(
    "scan_key",
    metadata,
    Column("key_id", Text, primary_key=True, comment="YYYY-MM of the business date that first needed it"),
    Column("wrapped_key", LargeBinary, nullable=False),
)

scan_needle = Table(
    "scan_needle",
    metadata,
    Column("disposal_id", ForeignKey(f"{SCHEMA}.disposal.disposal_id", ondelete="CASCADE"), primary_key=True),
    Column("key_id", ForeignKey(f"{SCHEMA}.scan_key.key_id"), primary_key=True, index=True),
    Column("digests", LargeBinary, nullable=False, comment="keyed digests, eight bytes each"),
    Column("unsearchable", Integer, nullable=False, comment="words too common to be looked for"),
    comment="what the self-scan looks for, until a clean scan after the disposal is closed",
)

self_scan = Table(
    "self_scan",
    metadata,
    Column("scan_id", Uuid, primary_key=True),
    Column("run_id", ForeignKey(f"{SCHEMA}.run.run_id"), nullable=False, index=True),
    Column("as_of", Date, nullable=False),
    Column("whole", Boolean, nullable=False, comment="every log file, not only what changed since the last scan"),
    Column("code", Text, nullable=False, comment="clean, found, logs_not_seen, or nothing: nobody to look for"),
    Column("hits", Integer, nullable=False),
    Column("counts", JSONB, nullable=False),
    Column("entry_until", BigInteger, nullable=False, comment="log index of the last entry that was sealed by then"),
    Column("started_at", DateTime(timezone=True), nullable=False),
    _now("finished_at"),
)
