"""Add the self-scan: keyed digests of what to look for, their keys, and what each scan found."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "scan_key",
        sa.Column(
            "key_id", sa.Text(), nullable=False, comment="YYYY-MM of the business date that first needed it"
        ),
        sa.Column("wrapped_key", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("key_id", name=op.f("pk_scan_key")),
        schema="retention",
    )
    op.create_table(
        "scan_needle",
        sa.Column("disposal_id", sa.Uuid(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("digests", sa.LargeBinary(), nullable=False, comment="keyed digests, eight bytes each"),
        sa.Column("unsearchable", sa.Integer(), nullable=False, comment="words too common to be looked for"),
        sa.ForeignKeyConstraint(
            ["disposal_id"],
            ["retention.disposal.disposal_id"],
            name=op.f("fk_scan_needle_disposal_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(["key_id"], ["retention.scan_key.key_id"], name=op.f("fk_scan_needle_key_id")),
        sa.PrimaryKeyConstraint("disposal_id", "key_id", name=op.f("pk_scan_needle")),
        schema="retention",
        comment="what the self-scan looks for, until a clean scan after the disposal is closed",
    )
    op.create_index(op.f("ix_scan_needle_key_id"), "scan_needle", ["key_id"], unique=False, schema="retention")
    op.create_table(
        "self_scan",
        sa.Column("scan_id", sa.Uuid(), nullable=False),
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("as_of", sa.Date(), nullable=False),
        sa.Column(
            "whole", sa.Boolean(), nullable=False, comment="every log file, not only what changed since the last scan"
        ),
        sa.Column("code", sa.Text(), nullable=False, comment="clean, found, or logs_not_seen"),
        sa.Column("hits", sa.Integer(), nullable=False),
        sa.Column("counts", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column(
            "entry_until", sa.BigInteger(), nullable=False, comment="staged id of the last entry that was read"
        ),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["retention.run.run_id"], name=op.f("fk_self_scan_run_id")),
        sa.PrimaryKeyConstraint("scan_id", name=op.f("pk_self_scan")),
        schema="retention",
    )
    op.create_index(op.f("ix_self_scan_run_id"), "self_scan", ["run_id"], unique=False, schema="retention")


def downgrade() -> None:
    for table in ("self_scan", "scan_needle", "scan_key"):
        op.drop_table(table, schema="retention")
