"""Add the indexes the console's pages read: what is open, what ended when, a DAG's runs, what waits for an answer."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "ix_disposal_open_shown",
        "disposal",
        ["processor", "outcome", "destroy_by", "due_at", "needs_person", "until", "code"],
        schema="retention",
        postgresql_where=sa.text("closed_on IS NULL"),
    )
    op.create_index(
        "ix_disposal_ended",
        "disposal",
        ["closed_on", "processor", "outcome", "count_before"],
        schema="retention",
        postgresql_where=sa.text("closed_on IS NOT NULL"),
    )
    op.create_index("ix_run_dag", "run", ["dag_id", "started_at", "run_id"], schema="retention")
    op.create_index(
        "ix_request_open", "request", ["due"], schema="retention", postgresql_where=sa.text("closed_on IS NULL")
    )
    op.create_index(
        "ix_approval_open", "approval", ["expires"], schema="retention", postgresql_where=sa.text("decision IS NULL")
    )


def downgrade() -> None:
    for table, name in (
        ("approval", "ix_approval_open"),
        ("request", "ix_request_open"),
        ("run", "ix_run_dag"),
        ("disposal", "ix_disposal_ended"),
        ("disposal", "ix_disposal_open_shown"),
    ):
        op.drop_index(name, table_name=table, schema="retention")
