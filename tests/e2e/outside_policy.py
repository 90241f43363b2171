"""The privacy policy as an outside reader understands it: from when a record may go, and from when it must be gone.

Nothing here comes from the product: the periods are the policy's own (rules R-01..R-14), the arithmetic is the Civil
Act's (articles 157 and 160), and the facts are the rows of the company's accounts database. A statutory minimum that
ends on a holiday runs on to the next working day; a reader without a holiday table leaves `ROLL` days open for it.
"""

from __future__ import annotations

import calendar
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

Row = Mapping[str, Any]
ROLL = timedelta(days=12)
ONE = timedelta(days=1)
SETTLEMENT = frozenset({"payment", "contract", "billing_contact", "business_identity", "payments"})
SIX_MONTHS = frozenset({"account_profile", "drm_usage", "watermark_usage", "support_history", "paper"}) | SETTLEMENT
AT_TERMINATION = frozenset({"customer", "payments", "support", "live_objects"})
MARKETING = frozenset({"partner_info", "cookie", "marketing", "audience", "recordings"})
END_USERS = frozenset({"end_user", "end_user_device"})
# Where else a contested field of a dataset stands: a pending correction freezes it everywhere (PIPA 36(2), 73(1)1).
COPIES = {"account_profile": ("customer", "support", "live_objects")}
# What a case is about, wherever a copy of it lies.
CASE = {"support_history": frozenset({"support_history", "support"}), "payment": SETTLEMENT}


@dataclass(frozen=True, slots=True)
class Window:
    """A record must stay before `earliest` or while held, and must be gone from `latest` on; None is never."""

    earliest: date | None
    latest: date | None
    holds: frozenset[str] = frozenset()

    def at(self, day: date) -> str:
        """Return `kept`, `open` (either is right) or `due`."""
        if self.holds or self.earliest is None or day < self.earliest:
            return "kept"
        return "due" if self.latest is not None and day >= self.latest else "open"


NEVER = Window(None, None)


def day(value: Any) -> date | None:
    """Return the date of an ISO string."""
    return date.fromisoformat(str(value)[:10]) if value else None


def free_from(trigger: date, *, months: int = 0, days: int = 0) -> date:
    """Return the first day after a period that does not count its first day.

    The period starts the day after the trigger and ends on the eve of the corresponding day; a month without that day
    ends the period on its own last day.
    """
    start = trigger + ONE
    if not months:
        return start + timedelta(days=days)
    year, month = divmod(start.year * 12 + start.month - 1 + months, 12)
    if start.day <= calendar.monthrange(year, month + 1)[1]:
        return date(year, month + 1, start.day)
    return date(year + (month + 1) // 12, (month + 1) % 12 + 1, 1)


def from_trigger(rule: str, event: str, trigger: date) -> tuple[date, date]:
    """Return the earliest and the latest day on which something of this rule and trigger may become free."""
    if rule == "R-01":
        first = free_from(trigger, months=6)
    elif rule == "R-08":
        first = free_from(trigger, months=60 if event == "terminated" else 3)
    elif rule in ("R-07", "R-10"):
        first = free_from(trigger, months=36 if rule == "R-07" else 24)
        return first, first + ROLL
    else:
        first = free_from(trigger, days=5 if event == "guardian_refused" else 0)
    return first, first


class Reading:
    """Answers, for an account and a dataset, from when its records may and must be gone."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self.tables: dict[str, dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
        for row in rows:
            if row.get("account_id"):
                self.tables[row["table"]][row["account_id"]].append(row)

    @property
    def accounts(self) -> tuple[str, ...]:
        """Every account there is a row of."""
        return tuple(sorted({a for t in self.tables.values() for a in t}))

    def rows(self, table: str, account: str) -> list[Row]:
        """Return the rows of an account in one table."""
        return self.tables.get(table, {}).get(account, [])

    def dates(self, table: str, account: str, column: str) -> list[date]:
        """Return the dates of a column, without the empty ones."""
        return [d for r in self.rows(table, account) if (d := day(r.get(column)))]

    def payments(self, account: str) -> list[tuple[Row, date]]:
        """Return the payments of an account with the day each was received."""
        return [(r, date.fromisoformat(r["received_on"])) for r in self.rows("payment", account)]

    def terminated(self, account: str) -> date | None:
        """Return the day the termination took effect; a termination withheld for debts has not begun."""
        return min(self.dates("account", account, "terminated_on"), default=None)

    def marketing_ends(self, account: str) -> date | None:
        """Return the earliest of withdrawal, request and termination."""
        days = self.dates("consent", account, "withdrawn_on") + self.dates("account", account, "requested_on")
        return min([*days, *self.dates("account", account, "terminated_on")], default=None)

    def owes(self, account: str) -> frozenset[str]:
        """Return H-1 and H-2 as far as a balance of the account is not settled."""
        balances = [r for r in self.rows("settlement_balance", account) if not r["resolved_on"]]
        return frozenset("H-1" if r["kind"] == "over" else "H-2" for r in balances)

    def holds(self, account: str, dataset: str) -> frozenset[str]:
        """Return what the company's own tables say holds a dataset; orders (H-6, H-7) are not in them."""
        found = set(self.owes(account)) if dataset in SETTLEMENT else set()
        if any(not r["closed_on"] and dataset in CASE[r["dataset"]] for r in self.rows("dispute", account)):
            found.add("H-3")
        corrections = [r for r in self.rows("correction_request", account) if not r["closed_on"]]
        if any(dataset == r["dataset"] or dataset in COPIES.get(r["dataset"], ()) for r in corrections):
            found.add("H-5")
        return frozenset(found)

    def released(self, account: str, dataset: str) -> date:
        """Return the day after the newest release of a hold on the dataset; the period never starts again."""
        ends = self.dates("settlement_balance", account, "resolved_on") if dataset in SETTLEMENT else []
        for row in self.rows("dispute", account):
            if (closed := day(row["closed_on"])) and dataset in CASE[row["dataset"]]:
                ends.append(closed)
        for row in self.rows("correction_request", account):
            if (closed := day(row["closed_on"])) and dataset == row["dataset"]:
                ends.append(closed)
        return max(ends) + ONE if ends else date.min

    def window(self, account: str, dataset: str, row: Row | None = None) -> Window:
        """Return the window of a dataset, or of one row where every row has a clock of its own."""
        earliest, latest = self._clock(account, dataset, row or {})
        if earliest is None:
            return NEVER
        release = self.released(account, dataset)
        last = max(latest, release) if latest else None
        return Window(earliest, last, self.holds(account, dataset))

    def _clock(self, account: str, dataset: str, row: Row) -> tuple[date | None, date | None]:
        ended, marketing = self.terminated(account), self.marketing_ends(account)
        if dataset in AT_TERMINATION:
            return _both(free_from(ended) if ended else None)
        if dataset in SIX_MONTHS:
            return _both(free_from(ended, months=6) if ended else None)
        if dataset in ("register", "ledger"):
            # The register row and what explains it go with the account's last record, whenever that is; its
            # nationality (D-01) has the clock of the account.
            first = free_from(ended, months=6) if ended else None
            return first, first if dataset == "register" else None
        if dataset in MARKETING:
            return _both(free_from(marketing) if marketing else None)
        return self._own_clock(account, dataset, row, ended, marketing)

    def _own_clock(
        self, account: str, dataset: str, row: Row, ended: date | None, marketing: date | None
    ) -> tuple[date | None, date | None]:
        if dataset == "access_log":
            logs = self.dates("access_log", account, "logged_on")
            if ended is None or not logs:
                return None, None
            floor = free_from(max(logs), months=3)
            six = free_from(ended, months=6)
            return max(six, floor), six if six >= floor + ROLL else max(six, floor + ROLL)
        if dataset in END_USERS:
            return _both(_first(ended, *self.dates("end_user_instruction", account, "instructed_on")))
        if dataset == "prize_entry":
            return _both(_first(marketing, day(row["event_ended_on"])))
        if dataset == "guardian":
            refused, closed = day(row["refused_on"]), day(row["request_closed_on"])
            if refused:  # five days from the collection, not from the refusal
                last = free_from(date.fromisoformat(row["collected_on"]), days=5)
                return min(free_from(refused), last), last
            return _both(free_from(closed) if closed else None)
        if dataset == "credit_record":
            return from_trigger("R-07", "", date.fromisoformat(row["recorded_on"]))
        if dataset == "credit_information":
            ends = [free_from(ended, months=60)] if ended else []
            achieved = day(row["purpose_achieved_on"])
            return _both(min([*ends, free_from(achieved, months=3)] if achieved else ends, default=None))
        if dataset == "operator_access_log":
            logged = date.fromisoformat(row["logged_on"])
            month_end = logged.replace(day=calendar.monthrange(logged.year, logged.month)[1])
            return free_from(logged, months=24), free_from(month_end, months=24) + ROLL
        return None, None


def _both(found: date | None) -> tuple[date | None, date | None]:
    return found, found


def _first(*days: date | None) -> date | None:
    found = [d for d in days if d]
    return free_from(min(found)) if found else None
