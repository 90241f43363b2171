"""What lets people find entries of the log quickly, and what its daily audit last said: more tables of our schema.

`entry_find` and `entry_life` are derived from the sealed entries and vouch for nothing: an answer always shows the
entries themselves.
"""

from __future__ import annotations

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    Uuid,
    text,
)  # fmt: skip

from include.database import _now, metadata

entry_find = Table(
    "entry_find",
    metadata,
    Column("log_index", BigInteger, primary_key=True, autoincrement=False),
    Column("as_of", Date, nullable=False),
    Column("event", Text, nullable=False),
    Column("code", Text),
    Column("processor", Text),
    Column("rule_id", Text),
    Column("run_id", Uuid),
    Column(
        "subject_tag", LargeBinary, comment="of a plan, and of what is no disposal; a disposal's others have it too"
    ),
    Column("people", Boolean, nullable=False, comment="it names an actor, an approver or a witness"),
    Column("late", Boolean, nullable=False, comment="a destruction after its destroy_by"),
    Column("early", Boolean, nullable=False, comment="an act before its free_from"),
    Column("backup_until", Date, comment="a backup of the place may hold it until then"),
    Index("ix_entry_find_backup", "backup_until", postgresql_where=text("backup_until IS NOT NULL")),
    Index("ix_entry_find_as_of", "as_of", "log_index"),
    Index("ix_entry_find_event", "event", "log_index"),
    Index("ix_entry_find_processor", "processor", "log_index", postgresql_where=text("processor IS NOT NULL")),
    Index(
        "ix_entry_find_place",
        "processor",
        "event",
        "log_index",
        postgresql_include=["rule_id", "as_of"],
        postgresql_where=text("processor IS NOT NULL"),
    ),
    Index("ix_entry_find_rule", "rule_id", "log_index", postgresql_where=text("rule_id IS NOT NULL")),
    Index(
        "ix_entry_find_run",
        "run_id",
        "log_index",
        postgresql_include=["processor", "event"],
        postgresql_where=text("run_id IS NOT NULL"),
    ),
    Index("ix_entry_find_tag", "subject_tag", postgresql_where=text("subject_tag IS NOT NULL")),
    Index("ix_entry_find_people", "log_index", postgresql_where=text("people")),
    Index("ix_entry_find_late", "log_index", postgresql_where=text("late")),
    Index("ix_entry_find_early", "log_index", postgresql_where=text("early")),
    comment="what sealed entries say, by column: derived, rebuilt at any time",
)

entry_life = Table(
    "entry_life",
    metadata,
    Column("disposal_id", Uuid, primary_key=True),
    Column("last_index", BigInteger, nullable=False),
    Column("closed_on", Date, comment="business date of its last entry if nothing is left to do"),
    Index(
        "ix_entry_life_open",
        "disposal_id",
        postgresql_include=["last_index"],
        postgresql_where=text("closed_on IS NULL"),
    ),
    Index("ix_entry_life_closed", "closed_on"),
    comment="what the sealed log says last of each disposal: derived, rebuilt at any time",
)

log_audit = Table(
    "log_audit",
    metadata,
    Column("audit_id", BigInteger, Identity(), primary_key=True),
    _now("at"),
    Column("as_of", Date, nullable=False),
    Column("log_size", BigInteger, nullable=False),
    Column("log_root", Text, nullable=False, comment="base64, as the checkpoint writes it"),
    Column("checkpoints", Integer, nullable=False),
    Column("stamped", Integer, nullable=False),
    Column("findings", ARRAY(Text), nullable=False, comment="counts and places, never people; empty: nothing is wrong"),
    Column("mailed_at", DateTime(timezone=True), comment="when the root left for the privacy officer's mailbox"),
    comment="what each audit of the log found",
)
