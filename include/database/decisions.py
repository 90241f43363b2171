"""Our state that people's decisions leave: nights, reviews, manual requests, tombstones, ended contracts, signatures.

The same `MetaData` and schema as `include.database`, which holds what the state machine itself needs.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)  # fmt: skip
from sqlalchemy.dialects.postgresql import JSONB

from include.database import SCHEMA, _now, metadata

night = Table(
    "night",
    metadata,
    Column("run_id", ForeignKey(f"{SCHEMA}.run.run_id"), primary_key=True),
    Column("as_of", Date, nullable=False),
    Column("schedule_sha256", Text, nullable=False),
    Column("counts", JSONB, nullable=False, comment="newly planned, by processor:rule"),
    Column("asked", JSONB, nullable=False, comment="what waits for a second person, by processor:rule"),
    Column("reason", Text, comment="why the brake stopped it; null where it did not"),
    Column("decision", Text, nullable=False, comment="free, asked, approved or rejected"),
    Column("digest", Text, comment="SHA-256 over exactly the disposals that wait"),
    Column("approval_id", ForeignKey(f"{SCHEMA}.approval.approval_id")),
    _now("judged_at"),
    comment="what each night planned, for the brake's comparison, and what became of it",
)

hold_review = Table(
    "hold_review",
    metadata,
    Column("review_id", Uuid, primary_key=True),
    Column("hold_id", ForeignKey(f"{SCHEMA}.hold.hold_id"), nullable=False, index=True),
    Column("reviewed_by", Text, nullable=False),
    Column("reviewed_on", Date, nullable=False),
    Column("reason_code", Text, nullable=False, comment="why it stands on"),
    Column("next_due", Date, nullable=False),
    _now("recorded_at"),
)

manual_request = Table(
    "manual_request",
    metadata,
    Column("request_id", Uuid, primary_key=True),
    Column("processor", Text, nullable=False),
    Column("code", Text, nullable=False, comment="which instructions, by the outcome's code"),
    Column("made_on", Date, nullable=False),
    Column("due", Date, nullable=False),
    Column("reminded_on", Date),
    Column("closed_on", Date),
    _now("made_at"),
    Index("ix_manual_request_open", "processor", "code", postgresql_where=text("closed_on IS NULL")),
    comment="one request to one place for a night's disposals that a person must carry out",
)

manual_order = Table(
    "manual_order",
    metadata,
    Column("order_id", Uuid, primary_key=True),
    Column("request_id", ForeignKey(f"{SCHEMA}.manual_request.request_id"), nullable=False, index=True),
    Column("box", Text, nullable=False, server_default="", comment="paper only: the box this order is about"),
    Column("records", Integer, nullable=False),
    Column("reference", Text, comment="the proof's reference number"),
    Column("done_on", Date),
    Column("method", Text),
    Column("executor", Text, comment="role:pseudonym"),
    Column("witness", Text, comment="role:pseudonym"),
    Column("answered_by", Text, comment="role:pseudonym of who entered the proof"),
    Column("answered_on", Date),
    UniqueConstraint("request_id", "box"),
    Index("ix_manual_order_open", "request_id", postgresql_where=text("answered_on IS NULL")),
    comment="what one proof answers: a whole request, or one box of papers",
)

manual_item = Table(
    "manual_item",
    metadata,
    Column("order_id", ForeignKey(f"{SCHEMA}.manual_order.order_id"), primary_key=True),
    Column("disposal_id", ForeignKey(f"{SCHEMA}.disposal.disposal_id"), primary_key=True, index=True),
)

tombstone = Table(
    "tombstone",
    metadata,
    Column("tag", Text, primary_key=True, comment="keyed, under the epoch beside it"),
    Column("disposal_id", ForeignKey(f"{SCHEMA}.disposal.disposal_id"), primary_key=True, index=True),
    Column("kind", Text, nullable=False, comment="account_id, email or object"),
    Column("key_epoch", Text, nullable=False),
    Column("processor", Text, nullable=False),
    Column("erased_on", Date, comment="null while the erasure is under way"),
    Column("expires_on", Date, comment="the rule's last day; the row goes after it"),
    Column("kept_open", Boolean, nullable=False, server_default=text("false"), comment="its sign of life was decided"),
    Index("ix_tombstone_place", "processor", "erased_on"),
    comment="what was erased where, as keyed tags only",
)

sweep = Table(
    "sweep",
    metadata,
    Column("processor", Text, primary_key=True),
    Column("swept_until", DateTime(timezone=True), comment="real UTC up to which the place was listed; null: never"),
    Column("swept_on", Date),
    Column("code", Text, nullable=False, comment="swept, not_swept, or why it failed"),
)

sighting = Table(
    "sighting",
    metadata,
    Column("sighting_id", Uuid, primary_key=True),
    Column("disposal_id", ForeignKey(f"{SCHEMA}.disposal.disposal_id"), nullable=False, index=True),
    Column("processor", Text, nullable=False),
    Column("kind", Text, nullable=False, comment="what matched: email, or account_id or object with a live account"),
    Column("seen_on", Date, nullable=False),
    Column("decided_on", Date),
    Column("decision", Text, comment="new_person or erase_again"),
    Column("decided_by", Text),
    comment="somebody erased may be back: a person decides, nothing is touched before",
)

offboarding = Table(
    "offboarding",
    metadata,
    Column("offboarding_id", Uuid, primary_key=True),
    Column("processor", Text, nullable=False),
    Column("ended_on", Date, nullable=False, comment="the day the contract ended"),
    Column("run_id", ForeignKey(f"{SCHEMA}.run.run_id"), nullable=False),
    Column("approval_id", ForeignKey(f"{SCHEMA}.approval.approval_id")),
    Column("digest", Text, nullable=False),
    Column("subjects", Integer, nullable=False, server_default="0"),
    Column("a_night", Integer, nullable=False, comment="subjects a night, by the place's quota"),
    Column("first_night", Date),
    Column("estimated_end", Date),
    Column("closed_on", Date),
    Column("certificate", Text, comment="folder of the export with the one certificate; null until it is written"),
    UniqueConstraint("processor", "ended_on"),
)

ledger_check = Table(
    "ledger_check",
    metadata,
    Column("month", Text, primary_key=True, comment="YYYY-MM"),
    Column("log_size", BigInteger, nullable=False),
    Column("log_root", Text, nullable=False),
    Column("exceptions", JSONB, nullable=False, comment="counts by code"),
    Column("signed_by", Text, nullable=False),
    Column("signed_on", Date, nullable=False),
    _now("signed_at"),
)
