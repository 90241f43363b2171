"""Example people of the Zendesk stand-in: users, tickets, comments and a bystander whose data must survive.

The bystander's e-mail contains the person's, because Zendesk's user search matches partial values; and every
sixth person writes on the bystander's ticket, because deleting a user leaves the text on other people's tickets.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

VARIANTS = (
    "nobody",
    "plain",
    "complaint",
    "open_ticket",
    "email_only",
    "two_users",
    "open_complaint",
    "suspended",
)
"""`variant` of `seed_person` is an index into this tuple (taken modulo its length)."""

Rows = dict[str, list[dict[str, Any]]]


def user_row(user_id: int, *, name: str, email: str | None, external_id: str | None, on: date) -> dict[str, Any]:
    """Return an end user as Zendesk shows one."""
    return {
        "id": user_id,
        "name": name,
        "email": email,
        "external_id": external_id,
        "phone": None,
        "notes": "",
        "role": "end-user",
        "active": True,
        "tags": [],
        "user_fields": {},
        "created_at": stamp(on),
        "updated_at": stamp(on),
    }


def ticket_row(ticket_id: int, requester_id: int, *, status: str, on: date, **more: Any) -> dict[str, Any]:
    """Return a ticket as Zendesk shows one; `more` overrides fields."""
    return {
        "id": ticket_id,
        "requester_id": requester_id,
        "submitter_id": requester_id,
        "subject": f"Sample request {ticket_id}",
        "description": f"Sample text {ticket_id}",
        "status": status,
        "tags": [],
        "collaborator_ids": [],
        "follower_ids": [],
        "email_cc_ids": [],
        "via": {"channel": "email"},
        "created_at": stamp(on),
        "updated_at": stamp(on + timedelta(days=2)),
        "_solved_at": stamp(on + timedelta(days=2)) if status in {"solved", "closed"} else None,
        **more,
    }


def comment_row(comment_id: int, ticket_id: int, author_id: int, text: str, *, on: date, **more: Any) -> dict[str, Any]:
    """Return a public comment; `ticket_id` is only ours, Zendesk leaves it out of its reply."""
    return {
        "id": comment_id,
        "ticket_id": ticket_id,
        "type": "Comment",
        "author_id": author_id,
        "body": text,
        "html_body": f'<div class="zd-comment" dir="auto"><p dir="auto">{text}</p></div>',
        "plain_body": text,
        "public": True,
        "attachments": [],
        "created_at": stamp(on),
        **more,
    }


def stamp(day: date) -> str:
    """Return noon UTC of a day, as Zendesk writes times."""
    return f"{day.isoformat()}T12:00:00Z"


def seed_person(*, number: int, account_id: str, email: str, name: str, on: date, variant: int) -> Rows:
    """Return what Zendesk holds of one account: seed it with `POST /_sandbox/seed`.

    `number` is unique per person and spaces the ids out; everything is dated before `on`.
    """
    kind = VARIANTS[variant % len(VARIANTS)]
    rows: Rows = {"user": [], "ticket": [], "comment": [], "identity": [], "suspended_ticket": []}
    before = on - timedelta(days=90)
    _bystander(rows, number=number, email=email, on=before)
    if kind == "nobody":
        return rows
    user_id = 900_000_000 + number * 10
    rows["user"].append(
        user_row(user_id, name=name, email=email, external_id=None if kind == "email_only" else account_id, on=before)
    )
    rows["identity"].append(
        {"id": user_id, "user_id": user_id, "type": "email", "value": email, "primary": True, "verified": True}
    )
    _own_tickets(rows, number=number, user_id=user_id, name=name, kind=kind, on=before)
    foreign = number * 100
    if number % 6 == 1:
        rows["ticket"][0]["email_cc_ids"] = rows["ticket"][0]["collaborator_ids"] = [user_id]
        rows["comment"].append(
            comment_row(foreign * 10 + 2, foreign, user_id, f"{name} adds a line", on=before + timedelta(days=1))
        )
    if kind == "two_users":
        second = user_id + 1
        rows["user"].append(
            user_row(second, name=name, email=f"second-{number}@example.com", external_id=account_id, on=before)
        )
        rows["ticket"].append(ticket_row(foreign + 9, second, status="closed", on=before))
        rows["comment"].append(comment_row((foreign + 9) * 10, foreign + 9, second, f"{name} again", on=before))
        rows["user"][1]["external_id"] = None
    if kind == "suspended":
        rows["suspended_ticket"].append(
            {
                "id": foreign + 8,
                "author": {"name": name, "email": email},
                "subject": "Sample suspended mail",
                "content": f"{name} wrote this",
                "cause": "Detected as spam",
                "created_at": stamp(before),
            }
        )
    return rows


def _bystander(rows: Rows, *, number: int, email: str, on: date) -> None:
    user_id, ticket_id = 800_000_000 + number * 10, number * 100
    rows["user"].append(user_row(user_id, name=f"Bystander {number:04d}", email=f"re-{email}", external_id=None, on=on))
    rows["ticket"].append(ticket_row(ticket_id, user_id, status="closed", on=on))
    rows["comment"].append(comment_row(ticket_id * 10 + 1, ticket_id, user_id, "A bystander asks", on=on))


def _own_tickets(rows: Rows, *, number: int, user_id: int, name: str, kind: str, on: date) -> None:
    plan = [("closed", []), ("solved", ["billing"])]
    if kind == "complaint":
        plan.append(("closed", ["complaint"]))
    if kind == "open_ticket":
        plan.append(("open", []))
    if kind == "open_complaint":
        plan.append(("pending", ["complaint"]))
    for index, (status, tags) in enumerate(plan, start=1):
        ticket_id = number * 100 + index
        rows["ticket"].append(
            ticket_row(ticket_id, user_id, status=status, on=on, tags=tags, subject=f"{name} asks ({index})")
        )
        rows["comment"].append(comment_row(ticket_id * 10, ticket_id, user_id, f"{name} writes ({index})", on=on))
