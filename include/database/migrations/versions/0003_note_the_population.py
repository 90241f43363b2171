"""Note the terminated accounts of a night until it ends, so that they can be reconciled with what became of them."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "population_account",
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("plannable", sa.Boolean(), nullable=False),
        sa.Column("more_to_come", sa.Boolean(), nullable=False, comment="a period of this account still runs"),
        sa.ForeignKeyConstraint(["run_id"], ["retention.run.run_id"], name="fk_population_account_run_id"),
        sa.PrimaryKeyConstraint("run_id", "account_id", name="pk_population_account"),
        schema="retention",
    )


def downgrade() -> None:
    op.drop_table("population_account", schema="retention")
