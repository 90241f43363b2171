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
    shared = op.get_bind().scalar(
        sa.text(
            "SELECT count(*) FROM retention.archive_object "
            "WHERE keys_at <> 'keys/' || substr(object_key, length('archive/') + 1)"
        )
    )
    if shared:  # the code of before would never look there again, and destroyed keys would stay
        raise RuntimeError(f"{shared} archive objects share a backup of their keys: this step has no way back.")
    op.drop_column("archive_object", "keys_at", schema="retention")
