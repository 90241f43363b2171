"""Find staged rows by their group alone, so that assigning one to an object rewrites no index."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_archive_row_group", "archive_row", ["rule_id", "window_end"], schema="retention")
    op.drop_index("ix_archive_row_object", table_name="archive_row", schema="retention")
    op.drop_index("ix_archive_row_unpacked", table_name="archive_row", schema="retention")
    op.execute("ALTER TABLE retention.archive_row SET (fillfactor = 50)")


def downgrade() -> None:
    op.execute("ALTER TABLE retention.archive_row RESET (fillfactor)")
    op.create_index(
        "ix_archive_row_unpacked",
        "archive_row",
        ["rule_id", "window_end"],
        schema="retention",
        postgresql_where=sa.text("object_key IS NULL"),
    )
    op.create_index("ix_archive_row_object", "archive_row", ["object_key", "archive_tag"], schema="retention")
    op.drop_index("ix_archive_row_group", table_name="archive_row", schema="retention")
