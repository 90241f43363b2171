"""One account: found by what a person says of themselves, shown whole, certified, and its erasure asked for.

What is typed comes in the body of a form and goes nowhere: not into an address, a log, a table or a redirect. An
account's opaque id travels in bodies too. Every look-up stands in `access_log`; whoever sees log indexes, and so could
tell which tag is this account's, leaves an entry in the log besides.
"""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import insert
from starlette.responses import Response

from include.console import certificate, forms
from include.console.asking import Ask
from include.console.pages import Page
from include.console.reading import account as reading
from include.console.roles import Capability
from include.database import access_log
from include.disposals import approvals, finding
from include.disposals.context import Decision
from include.disposals.record import base_entry
from include.errors import DecisionRefused
from include.evidence import lookups
from include.evidence.lookups import Person

page = Page("accounts", order=20)
DAG = "erase_account"
ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


@page.get("", Capability.ACCOUNTS)
def search(ask: Ask) -> Response:
    """Show the form."""
    return ask.render("accounts.html", matches=None)


@page.post("find", Capability.ACCOUNTS)
def find(ask: Ask) -> Response:
    """Show the masked matches of what was typed; an id leads straight to its account."""
    typed = {name: _line(ask.value(name)) for name in finding.FIELDS}
    if ask.value("account"):
        return show(ask)
    text = "\n".join(f"{name} {value}" for name, value in typed.items() if value)
    found = finding.look_up(
        ask.services.engine,
        ask.services.accounts,
        ask.services.tags,
        text=text,
        by=_person(ask),
        on=_day(ask),
        ip=ask.ip,
    )
    return ask.render("accounts.html", matches=found)


@page.post("one", Capability.ACCOUNTS)
def show(ask: Ask) -> Response:
    """Show one account."""
    account_id, day = _account(ask), _day(ask)
    tags = _record_view(ask, account_id)
    seen = reading.read(ask.services, account_id, day, proofs=bool(tags))
    if not seen.known:
        raise DecisionRefused(ask.words("account.unknown"))
    fields: list[forms.Field] = []
    trouble = ""
    if ask.can("REQUEST"):
        try:
            fields = _form(ask)
        except DecisionRefused as error:  # the account is shown all the same
            trouble = str(error)
    shown = {epoch: tag for epoch, tag in tags.items() if epoch in seen.epochs}
    return ask.render(
        "account.html", seen=seen, tags=shown, proofs=bool(tags), as_of=day, schedule=ask.services.schedule,
        rules=ask.services.schedule.rules, fields=fields, trouble=trouble,
    )  # fmt: skip


@page.post("certificate", Capability.EVIDENCE)
def certify(ask: Ask) -> Response:
    """Download the certificate of one account, under the newest epoch of its disposals."""
    account_id = _account(ask)
    tags = _record_view(ask, account_id)
    wanted = ask.value("epoch")
    if wanted not in tags:
        raise DecisionRefused(ask.words("account.no_epoch"))
    return ask.file(certificate.archive(ask, tags[wanted]), f"certificate-{tags[wanted][:16]}.zip", "application/zip")


@page.get("proof/{index}", Capability.EVIDENCE)
def prove(ask: Ask) -> Response:
    """Download the inclusion proof of one entry of the log."""
    index = ask.parts["index"]
    if not re.fullmatch(r"\d{1,15}", index):
        raise DecisionRefused(ask.words("account.no_index"))
    return ask.file(certificate.proof(ask, int(index)), f"{int(index):09d}.tlog-proof", "text/plain; charset=utf-8")


@page.post("erase", Capability.REQUEST)
def erase(ask: Ask) -> Response:
    """Start `erase_account` as this person; Airflow validates the form and checks the right to start it."""
    account_id = _account(ask)
    conf = forms.conf_of(ask, _form(ask)) | {"account_id": account_id}
    run_id = forms.start(ask, DAG, conf)
    return ask.render("erase_started.html", run_id=run_id, dag=DAG, dry_run=conf.get("dry_run", True))


def _form(ask: Ask) -> list[forms.Field]:
    return [f for f in forms.fields(ask, DAG) if f.name != "account_id"]


def _account(ask: Ask) -> str:
    account_id = ask.value("account")
    if not ID.fullmatch(account_id):
        raise DecisionRefused(ask.words("account.no_id"))
    return account_id


def _line(value: str) -> str:
    """Return what was typed on one line, so that it can be no second key."""
    return " ".join(value.split())


def _day(ask: Ask) -> Any:
    with ask.services.reading() as connection:
        return ask.services.as_of(connection)


def _person(ask: Ask) -> Person:
    staff = approvals.staff(ask.user.name, ask.user.role, ask.services.wrapper)
    return Person(staff.role, staff.pseudonym)


def _record_view(ask: Ask, account_id: str) -> dict[str, str]:
    """Record who looks at this account and return the tags they may see, by epoch: none without the right to open them.

    Where look-ups take two people (the schedule's `lookup_four_eyes`), no single person's page opens a tag.
    """
    person, day = _person(ask), _day(ask)
    four_eyes = ask.services.schedule.settings.lookup_four_eyes
    with ask.services.engine.begin() as connection:
        if ask.can("TAGS") and not four_eyes:
            base = base_entry(Decision(ask.services.engine, ask.services.schedule, day), "tag_opened")
            return lookups.look_up(
                connection, ask.services.tags, account_id, by=person, approver=None, base=base, ip=ask.ip
            )
        tag = ask.services.tags.tag(account_id, epoch=ask.services.tags.current_epoch(day))
        row = {
            "who": person.pseudonym,
            "role": person.role,
            "ip": ask.ip,
            "action": "account_viewed",
            "subject_tag": tag,
        }
        connection.execute(insert(access_log).values(row))
    return {}
