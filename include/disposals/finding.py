"""The command `find`: what a person says of themselves comes in over standard input, masked matches go out.

The look-up is logged by tag in `access_log` (안전성 확보조치 기준 8); the value itself is kept nowhere.
"""

from __future__ import annotations

from datetime import date

from sqlalchemy import Engine, insert

from include.accounts import Accounts
from include.accounts.find import Match, Wanted, find
from include.database import access_log
from include.errors import DecisionRefused
from include.evidence.lookups import Person
from include.evidence.tags import SubjectTags

FIELDS = ("email", "login_id", "name", "company", "business_no")


def wanted_of(text: str) -> Wanted:
    """Return what to look for from lines `key value`; one bare line is an e-mail when it has an @, else a login id."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    values: dict[str, str] = {}
    for line in lines:
        key, _, value = line.partition(" ")
        if key in FIELDS and value:
            values[key] = value.strip()
        elif len(lines) == 1:
            values["email" if "@" in line else "login_id"] = line
        else:
            raise DecisionRefused(f"Write one line each, `key value`, with the keys {', '.join(FIELDS)}.")
    return Wanted(**values)


def look_up(
    engine: Engine, accounts: Accounts, tags: SubjectTags, *, text: str, by: Person, on: date, ip: str | None = None
) -> list[Match]:
    """Return the masked matches; who looked stands in `access_log` with the tag of each, also when nothing matched."""
    found = find(accounts, wanted_of(text))
    epoch = tags.current_epoch(on)
    seen: list[str | None] = [tags.tag(m.account_id, epoch=epoch) for m in found] or [None]
    with engine.begin() as connection:
        connection.execute(
            insert(access_log),
            [
                {"who": by.pseudonym, "role": by.role, "ip": ip, "action": "account_found", "subject_tag": tag}
                for tag in seen
            ],
        )
    return found
