"""Add what finds entries by what they say, what each audit of the log found, and what the console's lists read by."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

PARTIAL = {
    "processor": (["processor", "log_index"], "processor IS NOT NULL"),
    "rule": (["rule_id", "log_index"], "rule_id IS NOT NULL"),
    "run": (["run_id", "log_index"], "run_id IS NOT NULL"),
    "tag": (["subject_tag"], "subject_tag IS NOT NULL"),
    "people": (["log_index"], "people"),
    "backup": (["backup_until"], "backup_until IS NOT NULL"),
    "late": (["log_index"], "late"),
    "early": (["log_index"], "early"),
}

OPEN = (
    ("hold", ["review_due", "hold_id"], "released_on IS NULL"),
    ("manual_order", ["request_id"], "answered_on IS NULL"),
)


def upgrade() -> None:
    op.create_table(
        "entry_find",
        sa.Column("log_index", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("as_of", sa.Date(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=True),
        sa.Column("processor", sa.Text(), nullable=True),
        sa.Column("rule_id", sa.Text(), nullable=True),
        sa.Column("run_id", sa.Uuid(), nullable=True),
        sa.Column(
            "subject_tag",
            sa.LargeBinary(),
            nullable=True,
            comment="of a plan, and of what is no disposal; a disposal's others have it too",
        ),
        sa.Column("people", sa.Boolean(), nullable=False, comment="it names an actor, an approver or a witness"),
        sa.Column("late", sa.Boolean(), nullable=False, comment="a destruction after its destroy_by"),
        sa.Column("early", sa.Boolean(), nullable=False, comment="an act before its free_from"),
        sa.Column("backup_until", sa.Date(), nullable=True, comment="a backup of the place may hold it until then"),
        sa.PrimaryKeyConstraint("log_index", name=op.f("pk_entry_find")),
        schema="retention",
        comment="what sealed entries say, by column: derived, rebuilt at any time",
    )
    op.create_index("ix_entry_find_as_of", "entry_find", ["as_of", "log_index"], schema="retention")
    op.create_index("ix_entry_find_event", "entry_find", ["event", "log_index"], schema="retention")
    for name, (columns, where) in PARTIAL.items():
        op.create_index(
            f"ix_entry_find_{name}", "entry_find", columns, schema="retention", postgresql_where=sa.text(where)
        )
    op.create_index(
        "ix_entry_find_place",
        "entry_find",
        ["processor", "event", "log_index"],
        schema="retention",
        postgresql_include=["rule_id", "as_of"],
        postgresql_where=sa.text("processor IS NOT NULL"),
    )
    op.create_table(
        "log_audit",
        sa.Column("audit_id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("as_of", sa.Date(), nullable=False),
        sa.Column("log_size", sa.BigInteger(), nullable=False),
        sa.Column("log_root", sa.Text(), nullable=False, comment="base64, as the checkpoint writes it"),
        sa.Column("checkpoints", sa.Integer(), nullable=False),
        sa.Column("stamped", sa.Integer(), nullable=False),
        sa.Column(
            "findings",
            postgresql.ARRAY(sa.Text()),
            nullable=False,
            comment="counts and places, never people; empty: nothing is wrong",
        ),
        sa.Column(
            "mailed_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when the root left for the privacy officer's mailbox",
        ),
        sa.PrimaryKeyConstraint("audit_id", name=op.f("pk_log_audit")),
        schema="retention",
        comment="what each audit of the log found",
    )
    for table, columns, where in OPEN:
        op.create_index(f"ix_{table}_open", table, columns, schema="retention", postgresql_where=sa.text(where))


def downgrade() -> None:
    for table, _, _ in OPEN:
        op.drop_index(f"ix_{table}_open", table_name=table, schema="retention")
    op.drop_table("log_audit")
    op.drop_table("entry_find")
