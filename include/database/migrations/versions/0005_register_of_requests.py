"""Add tables request and request_item: what people asked for, and the disposals that came of it."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "request",
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Text(), comment="cleared once nothing of this request needs it"),
        sa.Column("subject_tag", sa.Text(), nullable=False),
        sa.Column("key_epoch", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("identity_check", sa.Text(), nullable=False),
        sa.Column("received_on", sa.Date(), nullable=False),
        sa.Column(
            "clocks", postgresql.JSONB(), nullable=False, comment="every law's clock with the rule that produced it"
        ),
        sa.Column("due", sa.Date(), nullable=False, comment="the strictest clock, unrolled: what is alarmed on"),
        sa.Column("legal_due", sa.Date(), nullable=False),
        sa.Column("due_rule", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("reason_code", sa.Text(), comment="of a refusal"),
        sa.Column("law", sa.Text(), comment="of a refusal: law and article"),
        sa.Column("objection", sa.Text(), comment="the route of objection that was named, a code"),
        sa.Column("relation_check", sa.Text(), comment="how a guardian's relation was checked; no document is kept"),
        sa.Column("verifier", sa.Text(), comment="role:pseudonym of who checked it"),
        sa.Column("child_age", sa.Integer(), comment="on the day of the request"),
        sa.Column("notice_by", sa.Text(), nullable=False),
        sa.Column("notice_state", sa.Text(), nullable=False, comment="pending, sent, or none where nobody is told"),
        sa.Column("noticed_on", sa.Date()),
        sa.Column(
            "overrides", sa.Boolean(), nullable=False, comment="the person's own request to erase: lifts H-5"
        ),
        sa.Column(
            "terminated_on", sa.Date(), comment="the termination this request makes, until the company's register has it"
        ),
        sa.Column("datasets", postgresql.ARRAY(sa.Text()), nullable=False, comment="what it reaches"),
        sa.Column(
            "plan", postgresql.JSONB(), comment="the preview as approved: counts, dates, laws, no personal data"
        ),
        sa.Column("plan_digest", sa.Text()),
        sa.Column("run_id", sa.Uuid()),
        sa.Column("airflow_run_id", sa.Text()),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("closed_on", sa.Date()),
        sa.Column("certified_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint("child_age IS NULL OR child_age BETWEEN 0 AND 18", name=op.f("ck_request_child_age")),
        sa.ForeignKeyConstraint(["run_id"], ["retention.run.run_id"], name=op.f("fk_request_run_id")),
        sa.UniqueConstraint("run_id", name=op.f("uq_request_run_id")),
        sa.PrimaryKeyConstraint("request_id", name=op.f("pk_request")),
        schema="retention",
    )
    op.create_index(op.f("ix_request_account_id"), "request", ["account_id"], schema="retention")
    op.create_index(op.f("ix_request_subject_tag"), "request", ["subject_tag"], schema="retention")
    op.create_table(
        "request_item",
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("disposal_id", sa.Uuid(), nullable=False),
        sa.Column(
            "digest",
            sa.Text(),
            comment="what was approved; null: another plan made this disposal, it is only followed",
        ),
        sa.Column(
            "approved_count", sa.Integer(), comment="records the preview showed; null: the place could not be read then"
        ),
        sa.Column("found_count", sa.Integer(), comment="records found afterwards, where more than was approved"),
        sa.ForeignKeyConstraint(
            ["request_id"], ["retention.request.request_id"], name=op.f("fk_request_item_request_id")
        ),
        sa.ForeignKeyConstraint(
            ["disposal_id"], ["retention.disposal.disposal_id"], name=op.f("fk_request_item_disposal_id")
        ),
        sa.PrimaryKeyConstraint("request_id", "disposal_id", name=op.f("pk_request_item")),
        schema="retention",
    )
    op.create_index(op.f("ix_request_item_disposal_id"), "request_item", ["disposal_id"], schema="retention")


def downgrade() -> None:
    op.drop_table("request_item", schema="retention")
    op.drop_table("request", schema="retention")
