"""The tables of the seeded company's accounts database: theirs, not ours, with real foreign keys.

`account` is the register row: no name, no e-mail. It leaves with the last record of the account. Children refer to it;
usage records refer to the profile, so that an eraser that forgets the order is refused by PostgreSQL. Three lists carry
the account's id without a foreign key, as lists kept by other teams do: `audience_member` (what the uploader sent to
AdRoll), `clarity_identity` and `paper_register`. `advertisement` holds the records of R-06: nobody's data.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    Engine,
    ForeignKey,
    MetaData,
    Table,
    Text,
)

metadata = MetaData()


def _key(name: str) -> Column[Any]:
    return Column(name, Text, primary_key=True)


def _text(name: str, *, null: bool = False) -> Column[Any]:
    return Column(name, Text, nullable=null)


def _date(name: str, *, null: bool = False) -> Column[Any]:
    return Column(name, Date, nullable=null)


def _account(*, to: str = "account", primary: bool = False) -> Column[Any]:
    return Column(
        "account_id", Text, ForeignKey(f"{to}.account_id"), primary_key=primary, nullable=False, index=not primary
    )


def _listed(*, primary: bool = False) -> Column[Any]:
    return Column("account_id", Text, primary_key=primary, nullable=False, index=True)


Table(
    "account", metadata,
    _key("account_id"),
    _text("subject_type"),
    Column("consumer_like", Boolean, nullable=False),
    _text("nationality", null=True),
    _date("born_on", null=True),
    Column("requested_on", Date, index=True),
    Column("withheld", Boolean, nullable=False),
    _date("debt_cleared_on", null=True),
    Column("terminated_on", Date, index=True),
    _date("created_on"),
)  # fmt: skip
Table(
    "account_profile", metadata,
    _account(primary=True),
    _text("login_id", null=True),
    Column("email", Text, index=True),
    _text("password_hash", null=True),
    _text("name", null=True),
    _text("company_name", null=True),
    _text("phone", null=True),
)  # fmt: skip
Table("access_log", metadata, _key("log_id"), _account(), _date("logged_on"), _text("ip"))
Table("drm_usage", metadata, _key("usage_id"), _account(to="account_profile"), _date("used_on"), _text("detail"))
Table("watermark_usage", metadata, _key("usage_id"), _account(to="account_profile"), _date("used_on"), _text("detail"))
Table(
    "payment", metadata,
    _key("payment_id"),
    _account(),
    Column("billed", BigInteger, nullable=False),
    Column("received", BigInteger, nullable=False),
    _date("received_on", null=True),
    _date("supplied_on", null=True),
    _text("method"),
    Column("offshore", Boolean, nullable=False),
)  # fmt: skip
Table(
    "contract", metadata,
    _key("contract_id"), _account(), _text("kind"), _date("concluded_on"), _date("ended_on", null=True),
)  # fmt: skip
Table(
    "billing_contact", metadata,
    _account(primary=True), _text("name"), _text("email", null=True), _text("address"), _text("phone", null=True),
)  # fmt: skip
Table(
    "business_identity", metadata,
    _account(primary=True), _text("company_name"), _text("trade_name"), _text("representative"), _text("business_no"),
    _text("corporation_no"),
)  # fmt: skip
Table("end_user", metadata, _key("end_user_id"), _account(), _text("external_id"))
Table(
    "end_user_device", metadata,
    _key("device_id"),
    Column("end_user_id", Text, ForeignKey("end_user.end_user_id"), nullable=False, index=True),
    _account(),
    _text("device_key"),
)  # fmt: skip
Table(
    "support_history", metadata,
    _key("support_id"), _account(), _text("kind"), _date("opened_on"), _date("closed_on", null=True), _text("body"),
)  # fmt: skip
Table(
    "prize_entry", metadata, _key("entry_id"), _account(), Column("event_ended_on", Date, index=True), _text("form")
)  # fmt: skip
Table("partner_info", metadata, _key("info_id"), _account(), _text("detail"))
Table("cookie", metadata, _key("cookie_id"), _account(), _date("last_seen_on"))
Table(
    "credit_record", metadata,
    _key("record_id"), _account(), Column("recorded_on", Date, nullable=False, index=True), _text("items"),
    _text("reason"),
)  # fmt: skip
Table(
    "credit_information", metadata,
    _key("info_id"), _account(), Column("purpose_achieved_on", Date, index=True), _text("detail"),
)  # fmt: skip
Table(
    "guardian", metadata,
    _key("guardian_id"), _account(), _text("name"), _text("contact"), _date("refused_on", null=True),
    _date("request_closed_on", null=True), _date("collected_on"),
)  # fmt: skip
Table(
    "operator_access_log", metadata,
    _key("log_id"), _account(), Column("logged_on", Date, nullable=False, index=True), _text("operator"),
    _text("action"),
)  # fmt: skip
Table(
    "consent", metadata,
    _account(primary=True), _key("purpose"), Column("given_on", Date, primary_key=True),
    Column("withdrawn_on", Date, index=True),
)  # fmt: skip
Table(
    "settlement_balance", metadata,
    _key("balance_id"), _account(), _text("kind"), Column("amount", BigInteger, nullable=False), _date("opened_on"),
    _date("resolved_on", null=True),
)  # fmt: skip
Table(
    "dispute", metadata,
    _key("dispute_id"), _account(), _text("dataset"), _date("opened_on"), _date("closed_on", null=True),
)  # fmt: skip
Table(
    "correction_request", metadata,
    _key("request_id"), _account(), _text("dataset"), _text("field"), _date("received_on"),
    _date("closed_on", null=True),
)  # fmt: skip
Table(
    "end_user_instruction", metadata,
    _key("instruction_id"), _account(), Column("instructed_on", Date, nullable=False, index=True),
)  # fmt: skip
Table("audience_member", metadata, _key("segment_id"), _listed(primary=True), _text("email"))
Table(
    "clarity_identity", metadata,
    _listed(primary=True), _date("last_seen_on"), Column("consent_denied", Boolean, nullable=False),
)  # fmt: skip
Table("paper_register", metadata, _key("paper_id"), _listed(), _text("box"), _text("location"), _text("category"))
Table("advertisement", metadata, _key("ad_id"), _date("ended_on"), _text("body"))

COLUMNS: dict[str, tuple[str, ...]] = {t.name: tuple(c.name for c in t.columns) for t in metadata.sorted_tables}
"""Column names by table, parents before children."""


def create(engine: Engine) -> None:
    """Create the tables that are not there yet."""
    metadata.create_all(engine)
