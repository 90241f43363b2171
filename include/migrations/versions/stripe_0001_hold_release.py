"""Say why a hold was released, and which second person agreed: a debt's release may close an invoice elsewhere."""

from alembic import op

revision = "stripe_0001"
down_revision = "evidence_0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE retention.hold ADD COLUMN IF NOT EXISTS release_reason text")
    op.execute("ALTER TABLE retention.hold ADD COLUMN IF NOT EXISTS release_second_by text")


def downgrade() -> None:
    op.execute("ALTER TABLE retention.hold DROP COLUMN IF EXISTS release_second_by")
    op.execute("ALTER TABLE retention.hold DROP COLUMN IF EXISTS release_reason")
