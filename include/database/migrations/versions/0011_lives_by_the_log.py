"""Add what the log itself says of each disposal last, so that what is open is found without our own state."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

# What was found before this table existed; what is sealed later is added as it is sealed.
KNOWN = """
    INSERT INTO retention.entry_life (disposal_id, last_index, closed_on)
    SELECT disposal_id, log_index, CASE WHEN closes THEN as_of END
    FROM (SELECT DISTINCT ON (e.disposal_id) e.disposal_id, f.log_index, f.as_of,
                 CASE f.event
                     WHEN 'retained_by_processor' THEN NOT (convert_from(e.body, 'UTF8')::jsonb ? 'until')
                     WHEN 'expires_by_processor' THEN coalesce(f.code, '') = 'date_passed'
                     ELSE f.event IN ('confirmed_absent', 'confirmed_anonymised', 'manual_attested', 'cancelled')
                 END AS closes
          FROM retention.entry_find f JOIN retention.entry e ON e.log_index = f.log_index
          WHERE e.disposal_id IS NOT NULL ORDER BY e.disposal_id, f.log_index DESC) last
"""


def upgrade() -> None:
    op.create_table(
        "entry_life",
        sa.Column("disposal_id", sa.Uuid(), nullable=False),
        sa.Column("last_index", sa.BigInteger(), nullable=False),
        sa.Column(
            "closed_on", sa.Date(), nullable=True, comment="business date of its last entry if nothing is left to do"
        ),
        sa.PrimaryKeyConstraint("disposal_id", name=op.f("pk_entry_life")),
        schema="retention",
        comment="what the sealed log says last of each disposal: derived, rebuilt at any time",
    )
    op.create_index(
        "ix_entry_life_open", "entry_life", ["disposal_id"], schema="retention",
        postgresql_include=["last_index"], postgresql_where=sa.text("closed_on IS NULL"),
    )  # fmt: skip
    op.create_index("ix_entry_life_closed", "entry_life", ["closed_on"], schema="retention")
    op.execute(KNOWN)
    _index_of_runs(["processor", "event"])


def downgrade() -> None:
    op.drop_table("entry_life")
    _index_of_runs([])


def _index_of_runs(beside: list[str]) -> None:
    """Counting what a run did reads the index alone when these columns stand in it."""
    op.drop_index("ix_entry_find_run", table_name="entry_find", schema="retention")
    op.create_index(
        "ix_entry_find_run", "entry_find", ["run_id", "log_index"], schema="retention",
        postgresql_include=beside, postgresql_where=sa.text("run_id IS NOT NULL"),
    )  # fmt: skip
