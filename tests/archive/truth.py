"""What the laws keep of a company's records, read from the raw rows of every source by a reader that knows the policy.

Nothing here comes from the product: neither its extraction nor its closed lists nor its dates. A reader without a
holiday table leaves `ROLL` days open for a statutory minimum that runs on to the next working day.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.e2e.outside_policy import ROLL, free_from

Row = Mapping[str, Any]
SEOUL = dt.timezone(dt.timedelta(hours=9))
FEE = ("fee.billed", "fee.received", "fee.received_at", "fee.method")
BILL = ("invoice.number", "invoice.pdf_sha256")
PARTY = {
    "individual": ("name", "billing_address", "email"),
    "business": ("company_name", "trade_name", "representative", "business_no"),
}
LISTS: dict[tuple[str, str], frozenset[str]] = {
    ("R-02i", "individual"): frozenset({"name", "billing_address", "phone", "email", *FEE}),
    ("R-02b", "business"): frozenset({*PARTY["business"], "corporation_no", *FEE}),
    ("R-07", "individual"): frozenset({"credit.recorded_on", "credit.items", "credit.reason"}),
}
for _subject, _party in PARTY.items():
    LISTS["R-03", _subject] = frozenset({*_party, "contract.kind", "contract.concluded_on", "contract.ended_on"})
    LISTS["R-04", _subject] = frozenset({*_party, *FEE, *BILL, "supply.completed_on"})
    LISTS["R-05", _subject] = frozenset({*_party, "case.kind", "case.opened_on", "case.closed_on", "case.body"})


@dataclass(frozen=True, slots=True)
class Kept:
    """One law's copy of one record: what it must hold, and the first and last day it may become free on."""

    account_id: str
    rule_id: str
    subject_type: str
    items: Mapping[str, Any]
    free_from: dt.date
    latest: dt.date

    def lives(self, as_of: dt.date) -> bool | None:
        """Whether the law still keeps it on a day; None where only a holiday table could tell."""
        return True if self.free_from > as_of else False if self.latest <= as_of else None


@dataclass(frozen=True, slots=True)
class Party:
    """One account as the register knows it."""

    account_id: str
    subject_type: str
    consumer_like: bool
    ended: dt.date

    def kept(
        self, kind: str, items: Row, day: dt.date, *, paid: dt.date | None = None, offshore: bool = False
    ) -> Iterator[Kept]:
        """Yield what each law keeps of a record; `day` starts its clock, `paid` that of the tax period."""
        individual = self.subject_type == "individual"
        if kind == "payment":
            filed = dt.date((paid or day).year + 1, 3, 31)
            yield self._one("R-02i" if individual else "R-02b", items, filed, years=7 if offshore else 5)
        if kind == "credit_record":
            if individual:
                yield self._one("R-07", items, day, years=3)
        elif individual or self.consumer_like:
            rule = {"payment": "R-04", "contract": "R-03", "complaint": "R-05"}[kind]
            yield self._one(rule, items, day, years=3 if rule == "R-05" else 5)

    def _one(self, rule_id: str, items: Row, trigger: dt.date, *, years: int) -> Kept:
        listed = LISTS[rule_id, self.subject_type]
        kept = {k: v for k, v in items.items() if k in listed and v not in (None, "")}
        first = free_from(trigger, months=12 * years)
        return Kept(self.account_id, rule_id, self.subject_type, kept, first, first + ROLL + ROLL)


def own_database(party: Party, rows: Mapping[str, list[Row]]) -> Iterator[Kept]:
    """Yield what must be kept of an account's rows by table."""
    who: dict[str, Any] = {}
    for table, names in (
        ("billing_contact", {"name": "name", "email": "email", "billing_address": "address", "phone": "phone"}),
        ("business_identity", {n: n for n in (*PARTY["business"], "corporation_no")}),
        ("account_profile", {n: n for n in ("name", "email", "company_name", "phone")}),
    ):
        for row in rows.get(table, []):
            for item, column in names.items():
                who[item] = who.get(item) or row[column]
    for row in rows.get("payment", []):
        fee = {"fee.billed": row["billed"], "fee.received": row["received"], "fee.method": row["method"]}
        days = {"fee.received_at": _iso(row["received_on"]), "supply.completed_on": _iso(row["supplied_on"])}
        paid = row["received_on"] or row["supplied_on"] or party.ended
        both = max(filter(None, (row["received_on"], row["supplied_on"])), default=party.ended)
        yield from party.kept("payment", who | fee | days, both, paid=paid, offshore=row["offshore"])
    for row in rows.get("contract", []):
        items = {f"contract.{n}": row[n] for n in ("kind",)} | {
            f"contract.{n}": _iso(row[n]) for n in ("concluded_on", "ended_on")
        }
        day = (row["ended_on"] if row["kind"] == "contract" else row["concluded_on"]) or party.ended
        yield from party.kept("contract", who | items, day)
    for row in rows.get("support_history", []):
        if row["kind"] == "complaint" and row["closed_on"]:
            case = {"case.kind": row["kind"], "case.body": row["body"]}
            days = {f"case.{n}": _iso(row[n]) for n in ("opened_on", "closed_on")}
            yield from party.kept("complaint", who | case | days, row["closed_on"])
    for row in rows.get("credit_record", []):
        told = {"credit.items": row["items"], "credit.reason": row["reason"]}
        yield from party.kept(
            "credit_record", told | {"credit.recorded_on": _iso(row["recorded_on"])}, row["recorded_on"]
        )


def zendesk(party: Party, number: int, dump: Iterable[Row]) -> Iterator[Kept]:
    """Yield the complaints and disputes a person brought or wrote in, told apart by the seed's number in their ids."""
    rows = [r for r in dump if r["kind"] in ("user", "ticket", "comment")]
    users = {r["id"]: r for r in rows if r["kind"] == "user" and str(r["id"]).startswith("9")}
    for ticket in rows:
        if (
            ticket["kind"] != "ticket"
            or ticket["id"] // 100 != number
            or not {"complaint", "dispute"} & {*ticket["tags"]}
        ):
            continue
        said = [r for r in rows if r["kind"] == "comment" and r["ticket_id"] == ticket["id"]]
        there = [users[i] for i in (ticket["requester_id"], *(r["author_id"] for r in said)) if i in users]
        if not there:
            continue
        opened, closed = (
            dt.datetime.fromisoformat(ticket[n]).astimezone(SEOUL).date() for n in ("created_at", "_solved_at")
        )
        items = {
            "case.kind": "dispute" if "dispute" in ticket["tags"] else "complaint",
            "case.opened_on": opened.isoformat(),
            "case.closed_on": closed.isoformat(),
            "case.body": "\n".join([ticket["subject"], *(r["body"] for r in said)]),
            "name": there[0]["name"],
            "email": there[0]["email"],
        }
        yield from party.kept("complaint", items, closed)


def _iso(day: dt.date | None) -> str | None:
    return day.isoformat() if day else None
