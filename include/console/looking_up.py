"""Looking one account up: who looked is recorded before anything is shown, and two people may be needed for its tags.

    tags = opened(ask, account_id)               # {epoch: tag}; refused where one person is not enough
    noted(ask, account_id)                       # without the right to open tags: the look-up alone

Keys and schedule are fetched before the transaction that records, because a key may lie with a KMS.
"""

from __future__ import annotations

import re

from sqlalchemy import insert

from include import forms
from include.console.asking import Ask
from include.database import access_log
from include.disposals.approvals import staff
from include.disposals.context import Decision
from include.disposals.record import base_entry
from include.errors import DecisionRefused
from include.evidence import lookups
from include.evidence.lookups import Person

ACCOUNT = re.compile(forms.ACCOUNT)


def account_of(ask: Ask, name: str) -> str:
    """Return the account id in a field of the form, or refuse what is none without repeating it.

    What is typed here becomes a keyed tag in tables and in the log that nobody can take back, so that no e-mail, name
    or number of a person may pass.
    """
    account_id = ask.value(name)
    if not ACCOUNT.fullmatch(account_id):
        raise DecisionRefused(ask.words("account.no_id"))
    return account_id


def person(ask: Ask) -> Person:
    """Return who asks, by role and pseudonym."""
    found = staff(ask.user.name, ask.user.role, ask.services.wrapper)
    return Person(found.role, found.pseudonym)


def opened(ask: Ask, account_id: str) -> dict[str, str]:
    """Return the account's tags by epoch, once it is recorded that this person opened them."""
    services, by = ask.services, person(ask)
    tags, schedule, four_eyes = services.tags, services.schedule, services.four_eyes
    with services.reading() as connection:
        day = services.as_of(connection)
    base = base_entry(Decision(services.engine, schedule, day), "tag_opened")
    with services.engine.begin() as connection:
        return lookups.look_up(
            connection, tags, account_id, by=by, approver=None, base=base, four_eyes=four_eyes, ip=ask.ip or None
        )


def noted(ask: Ask, account_id: str) -> None:
    """Record that this person looked at an account whose tags they may not open."""
    services, by = ask.services, person(ask)
    with services.reading() as connection:
        day = services.as_of(connection)
    tags = services.tags
    row = {
        "who": by.pseudonym, "role": by.role, "ip": ask.ip or None, "action": "account_viewed",
        "subject_tag": tags.tag(account_id, epoch=tags.current_epoch(day)),
    }  # fmt: skip
    with services.engine.begin() as connection:
        connection.execute(insert(access_log).values(row))
