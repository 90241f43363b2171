"""Refuse any change to the bytes of an evidence entry, and any deletion."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE FUNCTION retention.refuse_entry_change() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF TG_OP = 'UPDATE' AND NEW.entry_id = OLD.entry_id AND NEW.body = OLD.body
               AND NEW.leaf_hash = OLD.leaf_hash AND NEW.recorded_at = OLD.recorded_at
               AND NEW.disposal_id IS NOT DISTINCT FROM OLD.disposal_id
               AND (OLD.log_index IS NULL OR NEW.log_index = OLD.log_index) THEN
                RETURN NEW;
            END IF;
            RAISE EXCEPTION 'evidence entries are append-only';
        END $$;
        CREATE TRIGGER entry_append_only BEFORE UPDATE OR DELETE ON retention.entry
            FOR EACH ROW EXECUTE FUNCTION retention.refuse_entry_change();
        CREATE TRIGGER entry_no_truncate BEFORE TRUNCATE ON retention.entry
            FOR EACH STATEMENT EXECUTE FUNCTION retention.refuse_entry_change();
        """
    )


def downgrade() -> None:
    op.execute("DROP TRIGGER entry_no_truncate ON retention.entry")
    op.execute("DROP TRIGGER entry_append_only ON retention.entry")
    op.execute("DROP FUNCTION retention.refuse_entry_change()")
