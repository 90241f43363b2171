"""Add when a request was confirmed, and where the certificate of an ended contract lies."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "request",
        sa.Column("confirmed_on", sa.Date(), nullable=True, comment="when the person was told that the request came in"),
        schema="retention",
    )
    op.add_column(
        "offboarding",
        sa.Column(
            "certificate",
            sa.Text(),
            nullable=True,
            comment="folder of the export with the one certificate; null until it is written",
        ),
        schema="retention",
    )


def downgrade() -> None:
    op.drop_column("offboarding", "certificate", schema="retention")
    op.drop_column("request", "confirmed_on", schema="retention")
