"""The company's own database: an account with a row in every table."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import date
from typing import Any, ClassVar

from sqlalchemy import text

from include.connections import Connection
from include.sandbox.company.tables import COLUMNS
from tests.processors.worlds.base import (
    NEIGHBOURS,
    TARGET,
    Act,
    Person,
    add_accounts,
    add_rows,
    add_tables,
    empty_accounts,
    remove_rows,
    table_rows,
)
from tests.processors.worlds.databases import DatabaseWorld

THEN = date(2025, 12, 1)
SCOPES: dict[str, tuple[str, ...]] = {
    "account": ("account_profile", "drm_usage", "watermark_usage", "support_history"),
    "settlement": ("payment", "contract", "billing_contact", "business_identity"),
    "consent": ("prize_entry", "partner_info", "cookie"),
    "end_user": ("end_user", "end_user_device"),
    "credit": ("credit_record", "credit_information"),
    "guardian and logs": ("guardian", "access_log", "operator_access_log"),
}
GONE = "confirmed_absent"
ANONYMISED = "a name that may only be anonymised"
LOGGED, CACHED = "in a log store that lapses", "in a cache a person empties"
STORES = {
    "log_store": {"datasets": ["app_log"], "expires_within_days": 30},
    "cache": {"datasets": ["session"], "manual_within_days": 3},
}
ELSEWHERE = ("audience_member", "paper_register", "advertisement")


class OwnDatabaseWorld(DatabaseWorld):
    """The accounts database, whole."""

    name: ClassVar[str] = "own_database"
    scope_id: ClassVar[str] = "account"
    rule_id: ClassVar[str] = "R-01"
    richest: ClassVar[str] = "everything"
    variants = {
        "everything": GONE,
        "account": GONE,
        "consent": GONE,
        "a complaint that is open": "blocked:hold_h-3",
        ANONYMISED: "confirmed_anonymised",
        "nobody": GONE,
        LOGGED: "expires_by_processor:store_lapses",
        CACHED: "manual_pending:store_erasure_order",
    }
    customers = NEIGHBOURS
    acts = (Act("delete rows", "SQL", "DELETE"),)
    lied_about = tuple(t for t in COLUMNS if t not in ELSEWHERE)
    without: ClassVar[dict[str, str]] = (
        dict.fromkeys(("rate_seconds", "rate_date", "rate_bare"), "a database has no rate limit")
        | dict.fromkeys(
            ("html", "broken_once", "broken_long", "not_ours", "garbage", "redirect"), "a database does not speak HTTP"
        )
        | {
            "oddities": "nothing known beyond the other cases",
            "merged": "the company's own key decides; merging accounts is a correction of the company's own",
            "several_records": "the company's own key decides; two keys are two accounts",
            "nobody_known": "searched by the account's key alone",
            "vanished_account": "the account is what is erased here; it is the last to go",
        }
    )
    deletes = "the rows of the datasets in scope, and the register row with its ledgers once nothing else is left"
    anonymises = "columns of tables for which the schedule says why deletion is markedly difficult"
    reads = "a new connection that counts the same rows"
    not_provable = "backups, which expire on the date in the entry; stores that lapse, or that a person empties"

    @property
    def datasets(self) -> tuple[str, ...]:  # type: ignore[override]
        """The datasets of the variant's scope."""
        if self.variant == "a complaint that is open":
            return SCOPES["account"]
        if self.variant == ANONYMISED:
            return ("end_user_device", "end_user")
        if self.variant in (LOGGED, CACHED):
            return ("app_log",) if self.variant == LOGGED else ("session",)
        return SCOPES.get(self.variant) or tuple(d for scope in SCOPES.values() for d in scope)

    def overwrites(self) -> list[tuple[str, Act | None]]:
        return [(ANONYMISED, None)]

    def settings(self) -> dict[str, Any]:
        found = {**super().settings(), "stores": STORES}
        if self.variant == ANONYMISED:
            tables = dict(found["tables"])
            tables["end_user"] = {
                **tables["end_user"], "action": "anonymise", "columns": ["external_id"],
                "because": "sample_statistics_depend_on_it",
            }  # fmt: skip
            found = {**found, "tables": tables}
        return found

    def connection(self) -> Connection:
        return self.through()

    def seed(self, person: Person, variant: str) -> None:
        if variant in ("nobody", LOGGED, CACHED):
            return
        if person is TARGET:
            add_accounts(self.accounts, person)
        found = rows(person)
        if variant == "a complaint that is open":
            found["support_history"]["closed_on"] = None
        add_tables(self.accounts, found)

    @contextlib.contextmanager
    def serving(self) -> Iterator[None]:
        with super().serving():
            self._account_may_be_empty("DROP")
            yield
            empty_accounts(self.accounts)
            self._account_may_be_empty("SET")

    def _account_may_be_empty(self, verb: str) -> None:
        with self.accounts.begin() as connection:
            connection.execute(text(f"ALTER TABLE end_user ALTER COLUMN account_id {verb} NOT NULL"))

    def snapshot(self) -> dict[str, str]:
        return table_rows(self.accounts, *COLUMNS)

    def left(self) -> list[str]:
        """Every row of the datasets counts."""
        tables = self.settings()["tables"]
        mine = {name for name, table in tables.items() if table["dataset"] in self.datasets and name != "account"}
        anonymised = {name for name, table in tables.items() if table.get("action") == "anonymise"}
        return sorted(
            k
            for k, v in self.snapshot().items()
            if k not in self.others
            and k.partition("/")[0] in mine
            and (k.partition("/")[0] not in anonymised or f"device-of-{TARGET.number}" in v)
        )

    def requests(self) -> list[tuple[str, str]]:
        return []

    def vanish(self) -> None:
        remove_rows(self.accounts, TARGET.account_id, *(t for t in reversed(COLUMNS) if t not in ELSEWHERE))

    def seed_bystanders(self) -> None:
        add_rows(
            self.accounts,
            "audience_member",
            {"segment_id": "s", "account_id": NEIGHBOURS[0].account_id, "email": NEIGHBOURS[0].email},
        )
        add_rows(
            self.accounts,
            "advertisement",
            {"ad_id": "ad-1", "ended_on": THEN, "body": "Sample banner"},
        )


def rows(person: Person) -> dict[str, dict[str, Any]]:
    """Return one row for every table about this person."""
    account, key = person.account_id, f"k{person.number}"
    own = {"account_id": account}
    return {
        "access_log": {"log_id": key, **own, "logged_on": THEN, "ip": "192.0.2.1"},
        "drm_usage": {"usage_id": key, **own, "used_on": THEN, "detail": "x"},
        "watermark_usage": {"usage_id": key, **own, "used_on": THEN, "detail": "x"},
        "payment": {
            "payment_id": key, **own, "billed": 1000, "received": 1000, "received_on": THEN, "supplied_on": THEN,
            "method": "card", "offshore": False,
        },
        "contract": {"contract_id": key, **own, "kind": "contract", "concluded_on": THEN, "ended_on": THEN},
        "billing_contact": {
            **own, "name": person.name, "email": person.email, "address": "Sample street 1", "phone": "010-0000-0001",
        },
        "business_identity": {
            **own, "company_name": "Sample Co", "trade_name": "Sample", "representative": person.name,
            "business_no": "000-00-00000", "corporation_no": "000000-0000000",
        },
        "end_user": {"end_user_id": key, **own, "external_id": f"device-of-{person.number}"},
        "end_user_device": {"device_id": key, "end_user_id": key, **own, "device_key": "x"},
        "support_history": {
            "support_id": key, **own, "kind": "complaint", "opened_on": THEN, "closed_on": THEN, "body": person.name,
        },
        "prize_entry": {"entry_id": key, **own, "event_ended_on": THEN, "form": person.email},
        "partner_info": {"info_id": key, **own, "detail": person.name},
        "cookie": {"cookie_id": key, **own, "last_seen_on": THEN},
        "credit_record": {"record_id": key, **own, "recorded_on": THEN, "items": "x", "reason": "x"},
        "credit_information": {"info_id": key, **own, "purpose_achieved_on": THEN, "detail": person.name},
        "guardian": {
            "guardian_id": key, **own, "name": person.name, "contact": person.email, "refused_on": None,
            "request_closed_on": THEN, "collected_on": THEN,
        },
        "operator_access_log": {"log_id": key, **own, "logged_on": THEN, "operator": "op", "action": "read"},
        "consent": {**own, "purpose": "P4", "given_on": THEN, "withdrawn_on": THEN},
        "settlement_balance": {
            "balance_id": key, **own, "kind": "over", "amount": 1, "opened_on": THEN, "resolved_on": THEN,
        },
    }  # fmt: skip
