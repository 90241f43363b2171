"""Add table approval: what a second person agreed to, bound to its digest."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "approval",
        sa.Column("approval_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False, comment="SHA-256 over exactly what is approved"),
        sa.Column("requested_by", sa.Text(), nullable=False, comment="login name, normalised; stays in this table"),
        sa.Column("requested_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires", sa.DateTime(timezone=True), nullable=False, comment="no approval is taken after it"),
        sa.Column("decided_by", sa.Text(), comment="login name, normalised; null when nobody answered"),
        sa.Column("decision", sa.Text(), comment="approved, rejected or expired; null while open"),
        sa.Column("decided_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint(
            "decision IS DISTINCT FROM 'approved' OR (decided_by IS NOT NULL AND decided_by <> requested_by)", name=op.f("ck_approval_four_eyes")
        ),
        sa.PrimaryKeyConstraint("approval_id", name=op.f("pk_approval")),
        schema="retention",
    )
    op.create_index(op.f("ix_approval_kind_digest"), "approval", ["kind", "digest"], schema="retention")


def downgrade() -> None:
    op.drop_table("approval", schema="retention")
