"""Note where an object's keys are saved: objects written together share one backup."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "archive_object",
        sa.Column("keys_at", sa.Text(), comment="where its keys are saved; those written together share it"),
        schema="retention",
    )
    # Until now each object had one of its own: archive/<rest> had its keys at keys/<rest>.
    op.execute("UPDATE retention.archive_object SET keys_at = 'keys/' || substr(object_key, length('archive/') + 1)")
    op.alter_column("archive_object", "keys_at", nullable=False, schema="retention")


def downgrade() -> None:
    op.drop_column("archive_object", "keys_at", schema="retention")
