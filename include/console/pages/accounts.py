"""One account: found by what a person says of themselves, shown whole, certified, and its erasure asked for.

What is typed comes in the body of a form and goes nowhere: not into an address, a log, a table or a redirect. An
account's opaque id travels in bodies too. Every look-up stands in `access_log`; whoever sees log indexes, and so could
tell which tag is this account's, leaves an entry in the log besides.
"""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from include.console import certificate, forms, looking_up
from include.console.asking import Ask
from include.console.pages import Page
from include.console.reading import account as reading
from include.console.roles import Capability
from include.disposals import finding
from include.errors import DecisionRefused

page = Page("accounts", order=20)
DAG = "erase_account"


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
        by=looking_up.person(ask),
        on=_day(ask),
        ip=ask.ip,
    )
    return ask.render("accounts.html", matches=found)


@page.post("one", Capability.ACCOUNTS)
def show(ask: Ask) -> Response:
    """Show one account."""
    account_id, day = looking_up.account_of(ask, "account"), _day(ask)
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
    """Download the certificate of one account, under the epoch that was chosen."""
    account_id = looking_up.account_of(ask, "account")
    tags = _record_view(ask, account_id)
    wanted = ask.value("epoch")
    if wanted not in tags:
        raise DecisionRefused(ask.words("account.no_epoch"))
    return ask.file(certificate.archive(ask, tags[wanted]), f"certificate-{tags[wanted][:16]}.zip", "application/zip")


@page.post("erase", Capability.REQUEST)
def erase(ask: Ask) -> Response:
    """Start `erase_account` as this person; Airflow validates the form and checks the right to start it."""
    account_id = looking_up.account_of(ask, "account")
    conf = forms.conf_of(ask, _form(ask)) | {"account_id": account_id}
    run_id = forms.start(ask, DAG, conf)
    return ask.render("erase_started.html", run_id=run_id, dag=DAG, dry_run=conf.get("dry_run", True))


def _form(ask: Ask) -> list[forms.Field]:
    return [f for f in forms.fields(ask, DAG) if f.name != "account_id"]


def _line(value: str) -> str:
    """Return what was typed on one line, so that it can be no second key."""
    return " ".join(value.split())


def _day(ask: Ask) -> Any:
    with ask.services.reading() as connection:
        return ask.services.as_of(connection)


def _record_view(ask: Ask, account_id: str) -> dict[str, str]:
    """Record who looks at this account and return the tags they may see, by epoch: none without the right to open them.

    Where look-ups take two people (the schedule's `lookup_four_eyes`), no single person's page opens a tag.
    """
    if ask.can("TAGS") and not ask.services.four_eyes:
        return looking_up.opened(ask, account_id)
    looking_up.noted(ask, account_id)
    return {}
