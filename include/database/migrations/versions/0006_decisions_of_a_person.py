"""Add what a person decides: nights, reviews, manual requests, tombstones, offboarding, the ledger's signature."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "ledger_check",
        sa.Column("month", sa.Text(), nullable=False, comment="YYYY-MM"),
        sa.Column("log_size", sa.BigInteger(), nullable=False),
        sa.Column("log_root", sa.Text(), nullable=False),
        sa.Column("exceptions", postgresql.JSONB(astext_type=sa.Text()), nullable=False, comment="counts by code"),
        sa.Column("signed_by", sa.Text(), nullable=False),
        sa.Column("signed_on", sa.Date(), nullable=False),
        sa.Column("signed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("month", name=op.f("pk_ledger_check")),
        schema="retention",
    )
    op.create_table(
        "manual_request",
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("processor", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False, comment="which instructions, by the outcome's code"),
        sa.Column("made_on", sa.Date(), nullable=False),
        sa.Column("due", sa.Date(), nullable=False),
        sa.Column("reminded_on", sa.Date(), nullable=True),
        sa.Column("closed_on", sa.Date(), nullable=True),
        sa.Column("made_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("request_id", name=op.f("pk_manual_request")),
        schema="retention",
        comment="one request to one place for a night's disposals that a person must carry out",
    )
    op.create_index(
        "ix_manual_request_open",
        "manual_request",
        ["processor", "code"],
        unique=False,
        schema="retention",
        postgresql_where=sa.text("closed_on IS NULL"),
    )
    op.create_table(
        "sweep",
        sa.Column("processor", sa.Text(), nullable=False),
        sa.Column(
            "swept_until",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="real UTC up to which the place was listed; null: never",
        ),
        sa.Column("swept_on", sa.Date(), nullable=True),
        sa.Column("code", sa.Text(), nullable=False, comment="swept, not_swept, or why it failed"),
        sa.PrimaryKeyConstraint("processor", name=op.f("pk_sweep")),
        schema="retention",
    )
    op.create_table(
        "hold_review",
        sa.Column("review_id", sa.Uuid(), nullable=False),
        sa.Column("hold_id", sa.Uuid(), nullable=False),
        sa.Column("reviewed_by", sa.Text(), nullable=False),
        sa.Column("reviewed_on", sa.Date(), nullable=False),
        sa.Column("reason_code", sa.Text(), nullable=False, comment="why it stands on"),
        sa.Column("next_due", sa.Date(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["hold_id"], ["retention.hold.hold_id"], name=op.f("fk_hold_review_hold_id")),
        sa.PrimaryKeyConstraint("review_id", name=op.f("pk_hold_review")),
        schema="retention",
    )
    op.create_index(op.f("ix_hold_review_hold_id"), "hold_review", ["hold_id"], unique=False, schema="retention")
    op.create_table(
        "manual_order",
        sa.Column("order_id", sa.Uuid(), nullable=False),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column(
            "box", sa.Text(), server_default="", nullable=False, comment="paper only: the box this order is about"
        ),
        sa.Column("records", sa.Integer(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=True, comment="the proof's reference number"),
        sa.Column("done_on", sa.Date(), nullable=True),
        sa.Column("method", sa.Text(), nullable=True),
        sa.Column("executor", sa.Text(), nullable=True, comment="role:pseudonym"),
        sa.Column("witness", sa.Text(), nullable=True, comment="role:pseudonym"),
        sa.Column("answered_by", sa.Text(), nullable=True, comment="role:pseudonym of who entered the proof"),
        sa.Column("answered_on", sa.Date(), nullable=True),
        sa.ForeignKeyConstraint(
            ["request_id"], ["retention.manual_request.request_id"], name=op.f("fk_manual_order_request_id")
        ),
        sa.PrimaryKeyConstraint("order_id", name=op.f("pk_manual_order")),
        sa.UniqueConstraint("request_id", "box", name=op.f("uq_manual_order_request_id_box")),
        schema="retention",
        comment="what one proof answers: a whole request, or one box of papers",
    )
    op.create_index(
        op.f("ix_manual_order_request_id"), "manual_order", ["request_id"], unique=False, schema="retention"
    )
    op.create_table(
        "night",
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("as_of", sa.Date(), nullable=False),
        sa.Column("schedule_sha256", sa.Text(), nullable=False),
        sa.Column(
            "counts",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="newly planned, by processor:rule",
        ),
        sa.Column(
            "asked",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="what waits for a second person, by processor:rule",
        ),
        sa.Column("reason", sa.Text(), nullable=True, comment="why the brake stopped it; null where it did not"),
        sa.Column("decision", sa.Text(), nullable=False, comment="free, asked, approved or rejected"),
        sa.Column("digest", sa.Text(), nullable=True, comment="SHA-256 over exactly the disposals that wait"),
        sa.Column("approval_id", sa.Uuid(), nullable=True),
        sa.Column("judged_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["approval_id"], ["retention.approval.approval_id"], name=op.f("fk_night_approval_id")),
        sa.ForeignKeyConstraint(["run_id"], ["retention.run.run_id"], name=op.f("fk_night_run_id")),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_night")),
        schema="retention",
        comment="what each night planned, for the brake's comparison, and what became of it",
    )
    op.create_table(
        "offboarding",
        sa.Column("offboarding_id", sa.Uuid(), nullable=False),
        sa.Column("processor", sa.Text(), nullable=False),
        sa.Column("ended_on", sa.Date(), nullable=False, comment="the day the contract ended"),
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("approval_id", sa.Uuid(), nullable=True),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("subjects", sa.Integer(), server_default="0", nullable=False),
        sa.Column("a_night", sa.Integer(), nullable=False, comment="subjects a night, by the place's quota"),
        sa.Column("first_night", sa.Date(), nullable=True),
        sa.Column("estimated_end", sa.Date(), nullable=True),
        sa.Column("closed_on", sa.Date(), nullable=True),
        sa.ForeignKeyConstraint(
            ["approval_id"], ["retention.approval.approval_id"], name=op.f("fk_offboarding_approval_id")
        ),
        sa.ForeignKeyConstraint(["run_id"], ["retention.run.run_id"], name=op.f("fk_offboarding_run_id")),
        sa.PrimaryKeyConstraint("offboarding_id", name=op.f("pk_offboarding")),
        sa.UniqueConstraint("processor", "ended_on", name=op.f("uq_offboarding_processor_ended_on")),
        schema="retention",
    )
    op.create_table(
        "manual_item",
        sa.Column("order_id", sa.Uuid(), nullable=False),
        sa.Column("disposal_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["disposal_id"], ["retention.disposal.disposal_id"], name=op.f("fk_manual_item_disposal_id")
        ),
        sa.ForeignKeyConstraint(
            ["order_id"], ["retention.manual_order.order_id"], name=op.f("fk_manual_item_order_id")
        ),
        sa.PrimaryKeyConstraint("order_id", "disposal_id", name=op.f("pk_manual_item")),
        schema="retention",
    )
    op.create_index(
        op.f("ix_manual_item_disposal_id"), "manual_item", ["disposal_id"], unique=False, schema="retention"
    )
    op.create_table(
        "sighting",
        sa.Column("sighting_id", sa.Uuid(), nullable=False),
        sa.Column("disposal_id", sa.Uuid(), nullable=False),
        sa.Column("processor", sa.Text(), nullable=False),
        sa.Column(
            "kind",
            sa.Text(),
            nullable=False,
            comment="what matched: email, or account_id or object with a live account",
        ),
        sa.Column("seen_on", sa.Date(), nullable=False),
        sa.Column("decided_on", sa.Date(), nullable=True),
        sa.Column("decision", sa.Text(), nullable=True, comment="new_person or erase_again"),
        sa.Column("decided_by", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["disposal_id"], ["retention.disposal.disposal_id"], name=op.f("fk_sighting_disposal_id")
        ),
        sa.PrimaryKeyConstraint("sighting_id", name=op.f("pk_sighting")),
        schema="retention",
        comment="somebody erased may be back: a person decides, nothing is touched before",
    )
    op.create_index(op.f("ix_sighting_disposal_id"), "sighting", ["disposal_id"], unique=False, schema="retention")
    op.create_table(
        "tombstone",
        sa.Column("tag", sa.Text(), nullable=False, comment="keyed, under the epoch beside it"),
        sa.Column("disposal_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False, comment="account_id, email or object"),
        sa.Column("key_epoch", sa.Text(), nullable=False),
        sa.Column("processor", sa.Text(), nullable=False),
        sa.Column("erased_on", sa.Date(), nullable=True, comment="null while the erasure is under way"),
        sa.Column("expires_on", sa.Date(), nullable=True, comment="the rule's last day; the row goes after it"),
        sa.Column(
            "kept_open",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="its sign of life was decided",
        ),
        sa.ForeignKeyConstraint(
            ["disposal_id"], ["retention.disposal.disposal_id"], name=op.f("fk_tombstone_disposal_id")
        ),
        sa.PrimaryKeyConstraint("tag", "disposal_id", name=op.f("pk_tombstone")),
        schema="retention",
        comment="what was erased where, as keyed tags only",
    )
    op.create_index(op.f("ix_tombstone_disposal_id"), "tombstone", ["disposal_id"], unique=False, schema="retention")
    op.create_index("ix_tombstone_place", "tombstone", ["processor", "erased_on"], unique=False, schema="retention")
    op.add_column(
        "disposal",
        sa.Column(
            "gate",
            sa.Uuid(),
            nullable=True,
            comment="the night whose plan nobody has let go yet: nothing acts on it; null: free",
        ),
        schema="retention",
    )
    op.add_column(
        "disposal",
        sa.Column("offboarding_id", sa.Uuid(), nullable=True, comment="the ended contract it belongs to"),
        schema="retention",
    )
    op.create_index(
        "ix_disposal_gate",
        "disposal",
        ["gate"],
        unique=False,
        schema="retention",
        postgresql_where=sa.text("gate IS NOT NULL"),
    )
    op.create_index(
        op.f("ix_disposal_offboarding_id"), "disposal", ["offboarding_id"], unique=False, schema="retention"
    )
    op.add_column(
        "global_stop",
        sa.Column("answer_by", sa.DateTime(timezone=True), nullable=True, comment="end of the breach clock it started"),
        schema="retention",
    )
    op.add_column(
        "global_stop",
        sa.Column(
            "assessed",
            sa.Text(),
            nullable=True,
            comment="what the incident was found to be, a code; null while the clock runs",
        ),
        schema="retention",
    )
    op.add_column("global_stop", sa.Column("assessed_by", sa.Text(), nullable=True), schema="retention")
    op.add_column(
        "global_stop", sa.Column("assessed_at", sa.DateTime(timezone=True), nullable=True), schema="retention"
    )
    op.add_column(
        "global_stop",
        sa.Column("approval_id", sa.Uuid(), nullable=True, comment="the second person's, of the release"),
        schema="retention",
    )
    op.create_index(
        "ix_global_stop_set",
        "global_stop",
        ["set_at"],
        unique=False,
        schema="retention",
        postgresql_where=sa.text("released_at IS NULL"),
    )
    op.create_foreign_key(
        op.f("fk_global_stop_approval_id"),
        "global_stop",
        "approval",
        ["approval_id"],
        ["approval_id"],
        source_schema="retention",
        referent_schema="retention",
    )
    op.add_column(
        "hold",
        sa.Column("reviewed_on", sa.Date(), nullable=True, comment="the last review; null before the first"),
        schema="retention",
    )
    op.add_column(
        "hold",
        sa.Column("release_reason", sa.Text(), nullable=True, comment="a code, such as paid or written_off"),
        schema="retention",
    )
    op.add_column(
        "hold",
        sa.Column(
            "release_second_by", sa.Text(), nullable=True, comment="the second person of a write-off, role:pseudonym"
        ),
        schema="retention",
    )
    op.add_column(
        "schedule_version",
        sa.Column(
            "effective_on", sa.Date(), nullable=True, comment="business date from which it governs; null until approved"
        ),
        schema="retention",
    )
    op.add_column(
        "schedule_version",
        sa.Column(
            "change",
            sa.Text(),
            nullable=True,
            comment="first, none, minor or material: how long before the notice had to be sent",
        ),
        schema="retention",
    )
    op.add_column(
        "schedule_version",
        sa.Column("notice_sent_on", sa.Date(), nullable=True, comment="null where no notice was needed"),
        schema="retention",
    )
    # A hold's review is counted from the last one, no longer from its placing.
    op.drop_constraint(op.f("ck_hold_review_within_90_days"), "hold", schema="retention", type_="check")
    op.create_check_constraint(
        op.f("ck_hold_review_within_90_days"),
        "hold",
        "review_due <= coalesce(reviewed_on, placed_on) + 90",
        schema="retention",
    )
    op.create_check_constraint(
        op.f("ck_hold_write_off_by_two"),
        "hold",
        "release_reason IS DISTINCT FROM 'written_off' OR "
        "(release_second_by IS NOT NULL AND release_second_by <> released_by)",
        schema="retention",
    )
    op.execute(
        "ALTER TABLE retention.global_stop ADD CONSTRAINT ck_global_stop_release_by_two "
        "CHECK (released_at IS NULL OR approval_id IS NOT NULL) NOT VALID"
    )
    op.execute(
        "UPDATE retention.schedule_version SET effective_on = approved_at::date, change = 'first' WHERE approved_at IS NOT NULL"
    )


def downgrade() -> None:
    op.execute("ALTER TABLE retention.global_stop DROP CONSTRAINT ck_global_stop_release_by_two")
    op.drop_constraint(op.f("ck_hold_write_off_by_two"), "hold", schema="retention", type_="check")
    op.drop_constraint(op.f("ck_hold_review_within_90_days"), "hold", schema="retention", type_="check")
    op.create_check_constraint(
        op.f("ck_hold_review_within_90_days"), "hold", "review_due <= placed_on + 90", schema="retention"
    )

    op.drop_column("schedule_version", "notice_sent_on", schema="retention")
    op.drop_column("schedule_version", "change", schema="retention")
    op.drop_column("schedule_version", "effective_on", schema="retention")
    op.drop_column("hold", "release_second_by", schema="retention")
    op.drop_column("hold", "release_reason", schema="retention")
    op.drop_column("hold", "reviewed_on", schema="retention")
    op.drop_constraint(op.f("fk_global_stop_approval_id"), "global_stop", schema="retention", type_="foreignkey")
    op.drop_index(
        "ix_global_stop_set",
        table_name="global_stop",
        schema="retention",
        postgresql_where=sa.text("released_at IS NULL"),
    )
    op.drop_column("global_stop", "approval_id", schema="retention")
    op.drop_column("global_stop", "assessed_at", schema="retention")
    op.drop_column("global_stop", "assessed_by", schema="retention")
    op.drop_column("global_stop", "assessed", schema="retention")
    op.drop_column("global_stop", "answer_by", schema="retention")
    op.drop_index(op.f("ix_disposal_offboarding_id"), table_name="disposal", schema="retention")
    op.drop_index(
        "ix_disposal_gate", table_name="disposal", schema="retention", postgresql_where=sa.text("gate IS NOT NULL")
    )
    op.drop_column("disposal", "offboarding_id", schema="retention")
    op.drop_column("disposal", "gate", schema="retention")
    op.drop_index("ix_tombstone_place", table_name="tombstone", schema="retention")
    op.drop_index(op.f("ix_tombstone_disposal_id"), table_name="tombstone", schema="retention")
    op.drop_table("tombstone", schema="retention")
    op.drop_index(op.f("ix_sighting_disposal_id"), table_name="sighting", schema="retention")
    op.drop_table("sighting", schema="retention")
    op.drop_index(op.f("ix_manual_item_disposal_id"), table_name="manual_item", schema="retention")
    op.drop_table("manual_item", schema="retention")
    op.drop_table("offboarding", schema="retention")
    op.drop_table("night", schema="retention")
    op.drop_index(op.f("ix_manual_order_request_id"), table_name="manual_order", schema="retention")
    op.drop_table("manual_order", schema="retention")
    op.drop_index(op.f("ix_hold_review_hold_id"), table_name="hold_review", schema="retention")
    op.drop_table("hold_review", schema="retention")
    op.drop_table("sweep", schema="retention")
    op.drop_index(
        "ix_manual_request_open",
        table_name="manual_request",
        schema="retention",
        postgresql_where=sa.text("closed_on IS NULL"),
    )
    op.drop_table("manual_request", schema="retention")
    op.drop_table("ledger_check", schema="retention")
