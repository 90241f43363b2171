"""The people and businesses of the seeded company: deterministic, obviously made up, one at a time.

`person(seed, number, anchor)` always returns the same account, so a million of them can be streamed. Names follow the
patterns 김표본0001, Sample Person 0002 and 표본기업0003, addresses are under example.com and example.kr.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

from include.sandbox.company.cases import DAY, LENGTH
from include.sandbox.company.draft import Draft, Row, add_consented, add_records, identify, share_address, start
from include.sandbox.company.extras import EXTRAS
from include.sandbox.company.tables import COLUMNS

SALESFORCE_MIX = (0, 1, 2, 3, 4, 5, 6, 0, 1, 7)
STRIPE_MIX = (0, 0, 1, 0, 0, 3, 0, 6, 0, 1, 0, 11, 0, 7, 0, 2, 4, 5, 8, 9, 10)
ZENDESK_MIX = (1, 2, 1, 3, 4, 1, 5, 7, 1, 2, 6, 0)
"""How often each variant of the stand-ins' `seed_person` occurs; trouble is rarer than order."""


@dataclass(frozen=True, slots=True)
class Presence:
    """Which places outside the accounts database hold the person; None means not there, a number picks the variant."""

    salesforce: int | None = None
    stripe: int | None = None
    zendesk: int | None = None
    s3: int | None = None


@dataclass(frozen=True, slots=True)
class Person:
    """One account: its situation, its rows by table, and where else it is known.

    `last_day` is the last day of the relation: the termination, or the anchor while it goes on.
    """

    number: int
    account_id: str
    case: str
    subject_type: str
    name: str
    company: str | None
    email: str | None
    created_on: date
    ended_on: date | None
    last_day: date
    rows: dict[str, list[Row]]
    presence: Presence
    holds: tuple[tuple[str, tuple[str, ...], str], ...] = ()

    def dicts(self, table: str) -> list[dict[str, Any]]:
        """Return the rows of one table with their column names."""
        return [dict(zip(COLUMNS[table], row, strict=True)) for row in self.rows.get(table, [])]


def set_consent(draft: Draft) -> None:
    if "consent_withdrawn" in draft.case.extras:
        draft.consent = {"given_on": draft.created, "withdrawn_on": draft.anchor - 2 * DAY}


def _presence(draft: Draft) -> Presence:
    case, turn = draft.case, draft.number + draft.number // LENGTH
    if case.places == "own":
        return Presence()
    if case.places == "s3":
        return Presence(s3=turn % 4)
    if "same_person" in case.extras or "same_email" in case.extras:
        return Presence(salesforce=0, stripe=0, s3=turn % 4)  # an address is one user at Zendesk: the other account's
    if case.name in ("returning_customer", "shared_email", "shared_email_of_two_due"):
        return Presence(salesforce=(0, 0, 4)[turn % 3], stripe=0, zendesk=1, s3=turn % 4)
    missing = turn % 11  # one place in eleven does not know the account
    return Presence(
        salesforce=None if missing == 1 else SALESFORCE_MIX[turn % len(SALESFORCE_MIX)],
        stripe=None if missing == 2 else STRIPE_MIX[turn % len(STRIPE_MIX)],
        zendesk=None if missing == 3 else ZENDESK_MIX[turn % len(ZENDESK_MIX)],
        s3=None if missing in (4, 5, 6, 7) else turn % 4,
    )


def person(seed: int, number: int, anchor: date) -> Person:
    """Return the account with this number; the same arguments give the same account."""
    draft = start(seed, number, anchor)
    identify(draft)
    extras = draft.case.extras
    if "same_person" in extras or "same_email" in extras:
        share_address(draft, same_person="same_person" in extras)
    if draft.case.places != "vendors":
        add_records(draft)
        set_consent(draft)
        for word in extras:
            if word in EXTRAS:
                EXTRAS[word](draft)
        if draft.number % 12 == 5 and "paper" not in extras:
            EXTRAS["paper"](draft)
        add_consented(draft)
        draft.add("account_profile", **draft.profile)
    _register(draft)
    return Person(
        number=number,
        account_id=draft.account_id,
        case=draft.case.name,
        subject_type="business" if draft.business else "individual",
        name=draft.profile["name"] or "",
        company=draft.profile["company_name"],
        email=draft.profile["email"],
        created_on=draft.created,
        ended_on=draft.ended,
        last_day=draft.until,
        rows=draft.rows,
        presence=_presence(draft),
        holds=tuple(draft.holds),
    )


def _register(draft: Draft) -> None:
    asked_before = 0 if draft.case.ended == "today" else draft.number % 4
    requested = None if draft.ended is None else draft.ended - asked_before * DAY
    born = None if draft.business else date(1960 + draft.number % 40, 1 + draft.number % 12, 1 + draft.number % 28)
    draft.add(
        "account",
        **{
            "subject_type": "business" if draft.business else "individual",
            "consumer_like": draft.case.subject == "consumer",
            "nationality": ("US", "DE", "JP")[draft.number % 3] if draft.foreign else "KR",
            "born_on": born,
            "requested_on": requested,
            "withheld": False,
            "terminated_on": draft.ended,
            "created_on": draft.created,
            **draft.register,
        },
    )
