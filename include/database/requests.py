"""The register of requests (권리행사 처리대장) and the disposals that came of each: two more tables of our schema."""

from __future__ import annotations

from sqlalchemy import (
    ARRAY,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    ForeignKey,
    Integer,
    Table,
    Text,
    Uuid,
    func,
)
from sqlalchemy.dialects.postgresql import JSONB

from include.database import SCHEMA, metadata

request = Table(
    "request",
    metadata,
    Column("request_id", Uuid, primary_key=True),
    Column("account_id", Text, index=True, comment="cleared once nothing of this request needs it"),
    Column("subject_tag", Text, nullable=False, index=True),
    Column("key_epoch", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("channel", Text, nullable=False),
    Column("identity_check", Text, nullable=False),
    Column("received_on", Date, nullable=False),
    Column("clocks", JSONB, nullable=False, comment="every law's clock with the rule that produced it"),
    Column("due", Date, nullable=False, comment="the strictest clock, unrolled: what is alarmed on"),
    Column("legal_due", Date, nullable=False),
    Column("due_rule", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("reason_code", Text, comment="of a refusal"),
    Column("law", Text, comment="of a refusal: law and article"),
    Column("objection", Text, comment="the route of objection that was named, a code"),
    Column("relation_check", Text, comment="how a guardian's relation was checked; no document is kept"),
    Column("verifier", Text, comment="role:pseudonym of who checked it"),
    Column("child_age", Integer, comment="on the day of the request"),
    Column("notice_by", Text, nullable=False),
    Column("notice_state", Text, nullable=False, comment="pending, sending, sent, or none where nobody is told"),
    Column("noticed_on", Date),
    Column("confirmed_on", Date, comment="when the person was told that the request came in"),
    Column("overrides", Boolean, nullable=False, comment="the person's own request to erase: lifts H-5"),
    Column("terminated_on", Date, comment="the termination this request makes, until the company's register has it"),
    Column("datasets", ARRAY(Text), nullable=False, comment="what it reaches"),
    Column("plan", JSONB, comment="the preview as approved: counts, dates, laws, no personal data"),
    Column("plan_digest", Text),
    Column("run_id", ForeignKey(f"{SCHEMA}.run.run_id"), unique=True),
    Column("airflow_run_id", Text),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("closed_on", Date),
    Column("certified_at", DateTime(timezone=True)),
    CheckConstraint("child_age IS NULL OR child_age BETWEEN 0 AND 18", name="child_age"),
)

request_item = Table(
    "request_item",
    metadata,
    Column("request_id", ForeignKey(f"{SCHEMA}.request.request_id"), primary_key=True),
    Column("disposal_id", ForeignKey(f"{SCHEMA}.disposal.disposal_id"), primary_key=True, index=True),
    Column("digest", Text, comment="what was approved; null: another plan made this disposal, it is only followed"),
    Column("approved_count", Integer, comment="records the preview showed; null: the place could not be read then"),
    Column("found_count", Integer, comment="records found afterwards, where more than was approved"),
)
