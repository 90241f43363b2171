"""What a situation of `company.cases` adds to an account: holds, disputes, old payments, end users, guardians, …"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

from include.sandbox.company.cases import DAY
from include.sandbox.company.draft import Draft


def _complaint(draft: Draft) -> None:
    opened = draft.day(40, 200)
    _case(draft, opened, min(opened + 20 * DAY, draft.until))


def _case(draft: Draft, opened: date, closed: date | None) -> None:
    draft.add(
        "support_history", kind="complaint", opened_on=opened, closed_on=closed,
        body=f"{draft.profile['name']} complains about a charge",
    )  # fmt: skip


def _withdrawal(draft: Draft) -> None:
    on = draft.day(10, 60)
    draft.add("contract", kind="withdrawal", concluded_on=on, ended_on=on)


def _old_payments(draft: Draft) -> None:
    """Pay for the last time a decade ago: every clock of these records ended before the termination."""
    for years in (10, 9):
        draft.pay(date(draft.anchor.year - years, 3, 1 + draft.random.randint(0, 27)))
    draft.created = date(draft.anchor.year - 11, 1, 2)
    draft.add("contract", kind="contract", concluded_on=draft.created, ended_on=draft.ended)


def _offshore(draft: Draft) -> None:
    draft.created = min(draft.created, date(draft.anchor.year - 7, 1, 2))
    draft.pay(date(draft.anchor.year - 7, 6, 15), offshore=True)
    draft.pay(date(draft.anchor.year - 7, 6, 16))


def _balance(draft: Draft, kind: str, resolved: date | None = None) -> None:
    amount = 50_000
    draft.pay(draft.day(1, 40), amount=200_000, received=250_000 if kind == "over" else 150_000)
    draft.add("settlement_balance", kind=kind, amount=amount, opened_on=draft.until, resolved_on=resolved)


def _dispute(draft: Draft, dataset: str, closed: date | None = None) -> None:
    opened = draft.day(1, 30)
    if dataset == "support_history":
        _case(draft, opened, closed)
    draft.add("dispute", dataset=dataset, opened_on=opened, closed_on=closed)


def _correction(draft: Draft, dataset: str, name: str) -> None:
    draft.add("correction_request", dataset=dataset, field=name, received_on=draft.anchor - 3 * DAY)


def _no_identifiers(draft: Draft) -> None:
    del draft.rows["billing_contact"]
    draft.profile.update(login_id=None, email=None, name=None, phone=None)


def _debt_cleared(draft: Draft) -> None:
    assert draft.ended is not None
    draft.register.update(requested_on=draft.ended - 45 * DAY, withheld=True, debt_cleared_on=draft.ended)


def _withheld(draft: Draft) -> None:
    draft.register.update(requested_on=draft.anchor - 30 * DAY, withheld=True)
    _balance(draft, "under")


def _end_users(draft: Draft) -> None:
    for k in range(2):
        user = draft.add("end_user", external_id=f"viewer-{draft.number:04d}-{k}")
        draft.add("end_user_device", end_user_id=user, device_key=f"device-{draft.number:04d}-{k}")


def _child(draft: Draft) -> None:
    draft.register["born_on"] = draft.anchor - (12 * 365 + draft.number % 300) * DAY


def _guardian(draft: Draft, collected: date, *, refused: date | None = None, closed: date | None = None) -> None:
    draft.add(
        "guardian", name=f"보호자표본{draft.number:04d}", contact=f"guardian{draft.number:04d}@example.com",
        collected_on=collected, refused_on=refused, request_closed_on=closed,
    )  # fmt: skip


def _credit_old(draft: Draft) -> None:
    draft.add("credit_record", recorded_on=draft.anchor - 1130 * DAY, items="payment history", reason="use, contract")


def _credit_young(draft: Draft) -> None:
    draft.add(
        "credit_record", recorded_on=draft.anchor - 1060 * DAY, items="payment history", reason="provide, consent"
    )


def _credit_information(draft: Draft, achieved: date | None = None) -> None:
    draft.add("credit_information", purpose_achieved_on=achieved, detail=f"rating of {draft.profile['name']}")


def _operator_log(draft: Draft) -> None:
    first = draft.anchor.replace(day=1)
    for days in (740, 765, 745 + 60, 400, 20):
        draft.add(
            "operator_access_log", logged_on=first - days * DAY, operator=f"e-{draft.number % 9:04d}", action="view"
        )


def _paper(draft: Draft) -> None:
    draft.add("paper_register", box=f"box-{draft.number % 7 + 1}", location="room 0", category="D-16")


def _prize(draft: Draft, ended: date) -> None:
    draft.add("prize_entry", event_ended_on=ended, form=f"{draft.profile['name']}, entry {draft.number:04d}")


EXTRAS: dict[str, Callable[[Draft], object]] = {
    "complaint": _complaint,
    "withdrawal": _withdrawal,
    "old_payments": _old_payments,
    "offshore": _offshore,
    "overpaid": lambda d: _balance(d, "over"),
    "underpaid": lambda d: _balance(d, "under"),
    "refunded_yesterday": lambda d: _balance(d, "over", d.anchor - DAY),
    "refunded_today": lambda d: _balance(d, "over", d.anchor),
    "dispute": lambda d: _dispute(d, "support_history"),
    "dispute_payment": lambda d: _dispute(d, "payment"),
    "dispute_closed": lambda d: _dispute(d, "support_history", d.anchor - 100 * DAY),
    "correction": lambda d: _correction(d, "account_profile", "name"),
    "correction_partner": lambda d: _correction(d, "partner_info", "detail"),
    "court_order": lambda d: d.holds.append(("H-6", ("account_profile", "payment", "support"), "court_order")),
    "breach": lambda d: d.holds.append(("H-7", ("access_log",), "breach_investigation")),
    "late_log": lambda d: d.add("access_log", logged_on=d.anchor - 30 * DAY, ip="192.0.2.7"),
    "no_identifiers": _no_identifiers,
    "debt_cleared": _debt_cleared,
    "requested": lambda d: d.register.update(requested_on=d.anchor - 2 * DAY),
    "requested_today": lambda d: d.register.update(requested_on=d.anchor),
    "withheld": _withheld,
    "end_users": _end_users,
    "instruction": lambda d: d.add("end_user_instruction", instructed_on=d.anchor - 4 * DAY),
    "guardian_refused": lambda d: _guardian(d, d.anchor - 12 * DAY, refused=d.anchor - 10 * DAY),
    "guardian_refused_lately": lambda d: _guardian(d, d.anchor - 3 * DAY, refused=d.anchor - DAY),
    "guardian_closed": lambda d: _guardian(d, d.until - 9 * DAY, closed=d.until - 2 * DAY),
    "child": _child,
    "credit_old": _credit_old,
    "credit_young": _credit_young,
    "credit_information": _credit_information,
    "credit_achieved": lambda d: _credit_information(d, d.anchor - 130 * DAY),
    "credit_achieved_lately": lambda d: _credit_information(d, d.anchor - 40 * DAY),
    "operator_log": _operator_log,
    "paper": _paper,
    "prize_over": lambda d: _prize(d, d.anchor - 6 * DAY),
    "prize_running": lambda d: _prize(d, d.anchor + 20 * DAY),
    "partner": lambda d: d.add("partner_info", detail=f"interests of account {d.number:04d}"),
}
"""What a situation adds, after the ordinary records; words missing here change the identity or the consent."""
