"""An account of the seeded company under construction: who it is, and the rows every customer leaves behind."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from random import Random
from typing import Any

from include.sandbox.company.cases import DAY, ENDS, Case, case_of
from include.sandbox.company.tables import COLUMNS

PLAIN_IDS = frozenset({1, 10, 11, 100, 101, 1000})
"""Accounts whose ids are bare numbers, each a prefix of another."""

NEWSLETTER, TRIAL = "SEGNEWSLETTER000000001", "SEGTRIAL00000000000001"
"""Advertising lists: one large, one that falls below the 100 members a list needs."""

Row = tuple[Any, ...]


@dataclass(slots=True)
class Draft:
    """An account under construction."""

    number: int
    case: Case
    anchor: date
    random: Random
    ended: date | None
    created: date
    account_id: str
    business: bool
    foreign: bool
    rows: dict[str, list[Row]] = field(default_factory=dict)
    register: dict[str, Any] = field(default_factory=dict)
    profile: dict[str, Any] = field(default_factory=dict)
    consent: dict[str, Any] = field(default_factory=dict)
    holds: list[tuple[str, tuple[str, ...], str]] = field(default_factory=list)

    @property
    def until(self) -> date:
        """The last day on which the relation produced data."""
        return min(self.ended or self.anchor, self.anchor)

    def key(self, table: str) -> str:
        """Return the next primary key of a table: unique, and without the account's id."""
        words = table.split("_")
        short = "".join(w[0] for w in words) if len(words) > 1 else table[:3]
        return f"{short}-{self.number:07d}-{len(self.rows.get(table, [])) + 1}"

    def add(self, table: str, **values: Any) -> str:
        """Add one row; primary key and account are filled in. Return the key."""
        columns = COLUMNS[table]
        if columns[0] not in values:
            values[columns[0]] = self.account_id if columns[0] == "account_id" else self.key(table)
        if "account_id" in columns:
            values.setdefault("account_id", self.account_id)
        self.rows.setdefault(table, []).append(tuple(values.get(c) for c in columns))
        return str(values[columns[0]])

    def day(self, first: int = 1, last: int = 300) -> date:
        """Return a day of the relation, `first` to `last` days before it ended."""
        return max(self.created, self.until - self.random.randint(first, last) * DAY)

    def pay(self, on: date, *, amount: int | None = None, received: int | None = None, offshore: bool = False) -> None:
        """Add a payment; supplied within days, never across the end of the tax year."""
        amount = amount or self.random.randrange(11_000, 990_000, 1_000)
        supplied = min(on + self.random.randint(0, 12) * DAY, date(on.year, 12, 31), max(on, self.until))
        self.add(
            "payment",
            billed=amount,
            received=amount if received is None else received,
            received_on=on,
            supplied_on=supplied,
            method="card" if self.random.random() < 0.6 else "bank_transfer",
            offshore=offshore,
        )


def identify(draft: Draft) -> None:
    """Give the account its login, address, name and phone."""
    n = draft.number
    local = f"user{n:04d}"
    if "mixed_case" in draft.case.extras or n % 17 == 5:
        local = f"User{n:04d}.Sample"
    elif "plus" in draft.case.extras or n % 19 == 6:
        local = f"user{n:04d}+news"
    surname = "김이박최정강조윤장임"[n % 10]
    draft.profile = {
        "login_id": f"login{n:04d}",
        "email": f"{local}@example.{'kr' if n % 3 == 0 else 'com'}",
        "password_hash": f"sandbox${n:08x}",
        "name": f"Sample Person {n:04d}" if draft.foreign else f"{surname}표본{n:04d}",
        "company_name": f"표본기업{n:04d}" if draft.business else None,
        "phone": None if n % 7 == 3 else f"010-{n // 10_000:04d}-{n % 10_000:04d}",
    }


def share_address(draft: Draft, *, same_person: bool) -> None:
    """Take the e-mail (and the name) of the account before: a returning customer, or two people behind one address."""
    previous = start(0, draft.number - 1, draft.anchor)
    identify(previous)
    draft.profile["email"] = previous.profile["email"]
    if same_person:
        draft.profile["name"] = previous.profile["name"]


def start(seed: int, number: int, anchor: date) -> Draft:
    """Return a new draft: its situation, when it began and ended, what kind of customer it is."""
    case = case_of(number)
    random = Random(f"{seed}/{number}")
    ended = ENDS[case.ended](anchor, random)
    days_before = random.randint(400, 2200)
    business = case.subject in ("business", "consumer") or (not case.subject and random.random() < 0.4)
    return Draft(
        number=number,
        case=case,
        anchor=anchor,
        random=random,
        ended=ended,
        created=(ended or anchor) - days_before * DAY,
        account_id=str(number) if number in PLAIN_IDS else f"a{number:04d}",
        business=business,
        foreign=not business and number % 4 == 2,
    )


def add_records(draft: Draft) -> None:
    """Add what every customer leaves behind."""
    random, n = draft.random, draft.number
    for _ in range(2):
        draft.add("access_log", logged_on=draft.day(1, 200), ip=f"192.0.2.{n % 250}")
    draft.add("drm_usage", used_on=draft.day(), detail=f"package {n:04d}")
    if random.random() < 0.5:
        draft.add("watermark_usage", used_on=draft.day(), detail=f"session {n:04d}")
    if "old_payments" not in draft.case.extras:
        for _ in range(random.randint(1, 3)):
            draft.pay(draft.day(20, 390))
        draft.add("contract", kind="contract", concluded_on=draft.created, ended_on=draft.ended)
    draft.add(
        "billing_contact",
        name=draft.profile["name"],
        email=f"billing{n:04d}@example.com" if draft.business else draft.profile["email"],
        address=f"서울특별시 표본구 표본로 {n}" if not draft.foreign else f"{n} Sample Road, Example City",
        phone=draft.profile["phone"] or f"02-000-{n % 10_000:04d}",
    )
    if draft.business:
        draft.add(
            "business_identity",
            company_name=f"표본기업{n:04d}",
            trade_name=f"표본상사{n:04d}",
            representative=f"대표{draft.profile['name']}",
            business_no=f"000-00-{n % 100_000:05d}",
            corporation_no=f"000000-{n % 10_000_000:07d}",
        )
    if random.random() < 0.4:
        opened = draft.day(30, 300)
        draft.add(
            "support_history", kind="inquiry", opened_on=opened, closed_on=min(opened + 2 * DAY, draft.until),
            body=f"{draft.profile['name']} asks about an invoice",
        )  # fmt: skip


def add_consented(draft: Draft) -> None:
    """Add consent and what rests on it, for most people."""
    if draft.random.random() > 0.9 and not draft.consent:
        return
    draft.consent.setdefault("given_on", draft.created)
    draft.add("consent", purpose="P4", **draft.consent)
    seen = draft.day(1, 60)
    draft.add("cookie", last_seen_on=seen)
    if draft.case.places != "own" and draft.profile["email"]:
        draft.add("audience_member", segment_id=NEWSLETTER, email=draft.profile["email"])
        if draft.number % 9 == 4:
            draft.add("audience_member", segment_id=TRIAL, email=draft.profile["email"])
    if draft.case.places != "own" and draft.random.random() < 0.8:
        stopped = "withdrawn_on" in draft.consent and "correction_partner" not in draft.case.extras
        draft.add("clarity_identity", last_seen_on=seen, consent_denied=stopped)
    if not draft.business and draft.number % 5 == 0:
        draft.add("partner_info", detail=f"interests of {draft.profile['name']}")
