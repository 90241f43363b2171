"""Our state: one `MetaData`, schema `retention` in PostgreSQL, migrated by Alembic (`include/database/migrations`).

Times are `timestamptz` (UTC); business dates (`as_of`, `due_at`, `until`, trigger dates) are plain dates in Asia/Seoul.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ColumnElement,
    Date,
    DateTime,
    Engine,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    cast,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from include.connections import connect as connect

SCHEMA = "retention"

metadata = MetaData(
    schema=SCHEMA,
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    },
)


def _now(name: str) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=False, server_default=func.now())


schedule_version = Table(
    "schedule_version",
    metadata,
    Column("sha256", Text, primary_key=True),
    Column("policy_text_sha256", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("approved_by", Text, comment="role:pseudonym of the privacy officer; null until approved"),
    Column("approved_at", DateTime(timezone=True)),
    Column("effective_on", Date, comment="business date from which it governs; null until approved"),
    Column("change", Text, comment="first, none, minor or material: how long before the notice had to be sent"),
    Column("notice_sent_on", Date, comment="null where no notice was needed"),
    _now("stored_at"),
)

run = Table(
    "run",
    metadata,
    Column("run_id", Uuid, primary_key=True),
    Column("dag_id", Text, nullable=False),
    Column("airflow_run_id", Text, nullable=False),
    Column("as_of", Date, nullable=False),
    Column("schedule_sha256", ForeignKey(f"{SCHEMA}.schedule_version.sha256"), nullable=False),
    Column("accounts_scanned", Integer, nullable=False, server_default="0"),
    Column("due", Integer, nullable=False, server_default="0", comment="disposals newly planned"),
    Column("held", Integer, nullable=False, server_default="0", comment="disposals blocked by a hold"),
    Column("population", JSONB, comment="counts per state of the source population, for reconciliation"),
    Column("first_entry", BigInteger, comment="staged id of the first entry of this run"),
    _now("started_at"),
    Column("finished_at", DateTime(timezone=True)),
    UniqueConstraint("dag_id", "airflow_run_id"),
)

population_account = Table(
    "population_account",
    metadata,
    Column("run_id", ForeignKey(f"{SCHEMA}.run.run_id"), primary_key=True),
    Column("account_id", Text, primary_key=True),
    Column("plannable", Boolean, nullable=False),
    Column("more_to_come", Boolean, nullable=False, comment="a period of this account still runs"),
)

disposal = Table(
    "disposal",
    metadata,
    Column("disposal_id", Uuid, primary_key=True),
    Column("subject_tag", Text, nullable=False),
    Column("key_epoch", Text, nullable=False),
    Column("account_id", Text, comment="cleared in the transaction that closes the disposal"),
    Column("subject_type", Text, nullable=False),
    Column("processor", Text, nullable=False),
    Column("rule_id", Text, nullable=False),
    Column("rule_version", Integer, nullable=False),
    Column("scope_id", Text, nullable=False),
    Column("trigger_event", Text, nullable=False),
    Column("trigger_date", Date, nullable=False),
    Column("last_day", Date, nullable=False),
    Column("free_from", Date, nullable=False, comment="the period is over at 00:00 Asia/Seoul of this date"),
    Column("destroy_by", Date, nullable=False),
    Column("datasets", ARRAY(Text), nullable=False),
    Column("categories", ARRAY(Text), nullable=False),
    Column("schedule_sha256", ForeignKey(f"{SCHEMA}.schedule_version.sha256"), nullable=False),
    Column("run_id", ForeignKey(f"{SCHEMA}.run.run_id"), nullable=False, comment="the run that planned it"),
    Column("outcome", Text, nullable=False),
    Column("code", Text),
    Column("until", Date),
    Column("basis", Text),
    Column("step", Text, comment="the next step, or the one whose reply is unknown while outcome is attempted"),
    Column("due_at", Date, comment="business date of the next look; null when only a person or nothing can move it"),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("count_before", Integer),
    Column("count_after", Integer),
    Column("needs_person", Boolean, nullable=False, server_default=text("false")),
    Column("gate", Uuid, comment="the night whose plan nobody has let go yet: nothing acts on it; null: free"),
    Column("offboarding_id", Uuid, index=True, comment="the ended contract it belongs to"),
    _now("planned_at"),
    _now("updated_at"),
    Column("closed_on", Date, comment="business date on which nothing was left to do"),
    UniqueConstraint(
        "subject_tag",
        "processor",
        "rule_id",
        "scope_id",
        "trigger_event",
        "trigger_date",
        name="uq_disposal_identity",
    ),
    Index("ix_disposal_open", "processor", "due_at", postgresql_where=text("closed_on IS NULL")),
    Index("ix_disposal_account", "account_id", postgresql_where=text("account_id IS NOT NULL")),
    Index("ix_disposal_gate", "gate", postgresql_where=text("gate IS NOT NULL")),
)

locator = Table(
    "locator",
    metadata,
    Column("disposal_id", ForeignKey(f"{SCHEMA}.disposal.disposal_id"), primary_key=True),
    Column("kind", Text, nullable=False, comment="found: processor object ids; search: keys to look with later"),
    Column("wrapped_key", LargeBinary, nullable=False),
    Column("nonce", LargeBinary, nullable=False),
    Column("ciphertext", LargeBinary, nullable=False),
)

hold = Table(
    "hold",
    metadata,
    Column("hold_id", Uuid, primary_key=True),
    Column("account_id", Text, nullable=False, index=True),
    Column("kind", Text, nullable=False, comment="H-1 .. H-7 of the schedule"),
    Column("processor", Text, comment="null: every processor"),
    Column("datasets", ARRAY(Text), nullable=False, comment="empty: every dataset the kind names"),
    Column("reason_code", Text, nullable=False),
    Column("placed_by", Text, nullable=False),
    _now("placed_at"),
    Column("placed_on", Date, nullable=False),
    Column("reviewed_on", Date, comment="the last review; null before the first"),
    Column("review_due", Date, nullable=False),
    Column("released_by", Text),
    Column("released_at", DateTime(timezone=True)),
    Column("released_on", Date),
    Column("release_reason", Text, comment="a code, such as paid or written_off"),
    Column("release_second_by", Text, comment="the second person of a write-off, role:pseudonym"),
    CheckConstraint("review_due <= coalesce(reviewed_on, placed_on) + 90", name="review_within_90_days"),
    CheckConstraint(
        "release_reason IS DISTINCT FROM 'written_off' OR "
        "(release_second_by IS NOT NULL AND release_second_by <> released_by)",
        name="write_off_by_two",
    ),
    Index("ix_hold_open", "review_due", "hold_id", postgresql_where=text("released_on IS NULL")),
)

global_stop = Table(
    "global_stop",
    metadata,
    Column("stop_id", Uuid, primary_key=True),
    Column("reason_code", Text, nullable=False),
    Column("set_by", Text, nullable=False),
    _now("set_at"),
    Column("answer_by", DateTime(timezone=True), comment="end of the breach clock it started"),
    Column("assessed", Text, comment="what the incident was found to be, a code; null while the clock runs"),
    Column("assessed_by", Text),
    Column("assessed_at", DateTime(timezone=True)),
    Column("released_by", Text),
    Column("released_at", DateTime(timezone=True)),
    Column("approval_id", ForeignKey(f"{SCHEMA}.approval.approval_id"), comment="the second person's, of the release"),
    CheckConstraint("released_at IS NULL OR approval_id IS NOT NULL", name="release_by_two"),
    Index("ix_global_stop_set", "set_at", postgresql_where=text("released_at IS NULL")),
)

claim = Table(
    "claim",
    metadata,
    Column("processor", Text, primary_key=True),
    Column("account_id", Text, primary_key=True),
    Column(
        "owner", Text, nullable=False, comment="run, task and map index; a retry of the same task is the same owner"
    ),
    Column("token", Uuid, nullable=False, comment="fencing: every write of the holder is conditional on it"),
    Column("expires_at", DateTime(timezone=True), nullable=False),
)

batch = Table(
    "batch",
    metadata,
    Column("batch_id", Uuid, primary_key=True),
    Column("run_id", ForeignKey(f"{SCHEMA}.run.run_id"), nullable=False, index=True),
    Column("processor", Text, nullable=False),
    Column("number", Integer, nullable=False),
    UniqueConstraint("run_id", "processor", "number"),
)

batch_item = Table(
    "batch_item",
    metadata,
    Column("batch_id", ForeignKey(f"{SCHEMA}.batch.batch_id"), primary_key=True),
    Column("disposal_id", ForeignKey(f"{SCHEMA}.disposal.disposal_id"), primary_key=True, index=True),
)

quota = Table(
    "quota",
    metadata,
    Column("processor", Text, primary_key=True),
    Column("quota", Text, primary_key=True),
    Column("next_free", DateTime(timezone=True), nullable=False, comment="theoretical arrival time of the next call"),
)

archive_row = Table(
    "archive_row",
    metadata,
    Column("row_id", BigInteger, Identity(), primary_key=True),
    Column("disposal_id", ForeignKey(f"{SCHEMA}.disposal.disposal_id"), nullable=False, index=True),
    Column("record_sha256", Text, nullable=False, comment="keyed digest of the source record's identity: no row twice"),
    Column("fingerprint", Text, nullable=False, comment="keyed digest of what is kept and until when"),
    Column("archive_tag", Text, nullable=False),
    Column("rule_id", Text, nullable=False, comment="the law's rule: R-02i, R-02b, R-03, R-04, R-05 or R-07"),
    Column("last_day", Date, nullable=False),
    Column("free_from_utc", DateTime(timezone=True), nullable=False),
    Column("destroy_by", Date, nullable=False),
    Column("window_end", Date, nullable=False, comment="last day of the half-week (Wednesday or Sunday)"),
    Column("nonce", LargeBinary, nullable=False),
    Column("ciphertext", LargeBinary, nullable=False),
    Column("wrapped_key", LargeBinary, nullable=False),
    Column("object_key", Text, comment="null until packed; the row leaves when its object is checked"),
    _now("staged_at"),
    UniqueConstraint("record_sha256", "rule_id"),
    Index("ix_archive_row_group", "rule_id", "window_end"),
    postgresql_with={"fillfactor": 50},  # every row is assigned once: its new version finds room beside the old one
)

archive_wait = Table(
    "archive_wait",
    metadata,
    Column("disposal_id", ForeignKey(f"{SCHEMA}.disposal.disposal_id"), primary_key=True),
    Column("record_sha256", Text, primary_key=True),
    Column("rule_id", Text, primary_key=True),
    Index("ix_archive_wait_record", "record_sha256", "rule_id"),
    comment="this disposal may not act before that record is in a checked object",
)

archive_object = Table(
    "archive_object",
    metadata,
    Column("object_key", Text, primary_key=True),
    Column("bucket", Text, nullable=False),
    Column("version_id", Text),
    Column("rule_id", Text, nullable=False),
    Column("window_end", Date, nullable=False),
    Column("rows", Integer, nullable=False),
    Column("subjects", Integer, nullable=False),
    Column("sha256", Text, nullable=False, comment="base64 of the stored bytes' SHA-256, as S3 returns it"),
    Column("retain_until", DateTime(timezone=True), nullable=False),
    Column("last_day", Date, nullable=False, comment="latest last day of the group"),
    Column("destroy_by", Date, nullable=False, comment="earliest destroy_by of the group"),
    Column("storage_class", Text, nullable=False),
    Column("state", Text, nullable=False, comment="writing, checked, destroying, destroyed, gone, or abandoned"),
    Column("legal_hold", Boolean, nullable=False, server_default=text("false"), comment="a held subject's own copy"),
    Column("copied_from", Text, comment="the object a held subject was copied from"),
    Column("keys_at", Text, nullable=False, comment="where its keys are saved; those written together share it"),
    Column("keys_until", Date, comment="destroyed keys may live in a backup until this business date"),
    _now("written_at"),
    Column("checked_at", DateTime(timezone=True)),
    Column("destroyed_at", DateTime(timezone=True)),
)

archive_key = Table(
    "archive_key",
    metadata,
    Column("object_key", ForeignKey(f"{SCHEMA}.archive_object.object_key"), primary_key=True),
    Column("archive_tag", Text, primary_key=True),
    Column("wrapped_key", LargeBinary, nullable=False),
)

archive_record = Table(
    "archive_record",
    metadata,
    Column("record_sha256", Text, primary_key=True),
    Column("rule_id", Text, primary_key=True),
    Column("fingerprint", Text, primary_key=True),
    Column("archive_tag", Text, nullable=False),
    Column("object_key", ForeignKey(f"{SCHEMA}.archive_object.object_key"), nullable=False),
    Index("ix_archive_record_object", "object_key", "archive_tag"),
    comment="keyed digests of what is archived, so that a second extraction adds nothing",
)

archive_key_erasure = Table(
    "archive_key_erasure",
    metadata,
    Column("erasure_id", BigInteger, Identity(), primary_key=True),
    Column("object_key", ForeignKey(f"{SCHEMA}.archive_object.object_key"), nullable=False),
    Column("until", Date, nullable=False, comment="a database backup may hold the destroyed key until this date"),
    comment="single keys destroyed before their object's day, until no backup can bring them back",
)

archive_link = Table(
    "archive_link",
    metadata,
    Column("disposal_id", ForeignKey(f"{SCHEMA}.disposal.disposal_id"), primary_key=True),
    Column("object_key", ForeignKey(f"{SCHEMA}.archive_object.object_key"), primary_key=True),
)

entry = Table(
    "entry",
    metadata,
    Column("entry_id", BigInteger, Identity(), primary_key=True),
    Column("log_index", BigInteger, unique=True, comment="assigned by sealing, never changed"),
    Column("body", LargeBinary, nullable=False, comment="canonical bytes (RFC 8785); a trigger refuses any change"),
    Column("leaf_hash", LargeBinary, nullable=False),
    Column("disposal_id", Uuid, index=True),
    _now("recorded_at"),
    CheckConstraint("octet_length(body) <= 65535", name="tlog_tiles_limit"),
    # Sealing looks for what has no index yet; without this it would read the whole log each time.
    Index("ix_entry_unsealed", "entry_id", postgresql_where=text("log_index IS NULL")),
)

checkpoint = Table(
    "checkpoint",
    metadata,
    Column("size", BigInteger, primary_key=True),
    Column("root", LargeBinary, nullable=False),
    Column("note", Text, nullable=False),
    Column("frontier", ARRAY(LargeBinary), nullable=False, comment="roots of the perfect subtrees, left to right"),
    _now("signed_at"),
)

access_log = Table(
    "access_log",
    metadata,
    Column("access_id", BigInteger, Identity(), primary_key=True),
    _now("at"),
    Column("who", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("ip", Text),
    Column("action", Text, nullable=False),
    Column("subject_tag", Text),
)

approval = Table(
    "approval",
    metadata,
    Column("approval_id", Uuid, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("digest", Text, nullable=False, comment="SHA-256 over exactly what is approved"),
    Column(
        "requested_by",
        Text,
        nullable=False,
        comment="login name, normalised; a pseudonym after names_days",
    ),
    _now("requested_at"),
    Column("expires", DateTime(timezone=True), nullable=False, comment="no approval is taken after it"),
    Column("decided_by", Text, comment="login name, normalised; null when nobody answered"),
    Column("decision", Text, comment="approved, rejected or expired; null while open"),
    Column("decided_at", DateTime(timezone=True)),
    CheckConstraint(
        "decision IS DISTINCT FROM 'approved' OR (decided_by IS NOT NULL AND decided_by <> requested_by)",
        name="four_eyes",
    ),
    Index("ix_approval_kind_digest", "kind", "digest"),
)


def among(column: ColumnElement[Any], values: Collection[Any]) -> ColumnElement[bool]:
    """Return `column = ANY(values)`: one parameter however many values there are (PostgreSQL allows 65,535)."""
    return column == func.any(cast(list(values), ARRAY(column.type)))


def migrate(engine: Engine) -> None:
    """Bring schema `retention` to the newest revision; running it again changes nothing."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    with engine.begin() as connection:
        connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
