"""Every processor's own check, and the rights that end a disposal otherwise than a company expects."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from sqlalchemy import Engine

from include import database, processors
from include.check import Line, Setup, have, tried
from include.connections import Connection
from include.disposals.quotas import reserver
from include.errors import ConfigurationError
from include.policy.schedule import Schedule
from include.processors import Site

WHAT = {
    "adroll": "the token works, its lists and the company's register can be read",
    "clarity": "the token works and the company's register can be read",
    "own_database": "everything declared can be erased, and nothing undeclared holds a person's data",
    "paper": "the register can be read",
    "s3": "every live place can be listed with its versions",
    "salesforce": "the user may hard-delete (Bulk API Hard Delete) and sees every record",
    "stripe": "the key may read all that is erased",
    "zendesk": "the token belongs to a member of staff",
}


def lines(setup: Setup, schedule: Schedule) -> Iterator[Line]:
    """Yield the lines of every processor that the schedule has a section for."""
    engines = {name: engine for name in ("accounts_db", "retention_db") if (engine := _engine(setup, name))}
    try:
        for name in processors.names():
            if name not in schedule.processors:
                continue
            found = have(setup, name)
            if isinstance(found, Line):
                yield found
                continue
            yield from _of(name, found, setup, schedule, engines)
    finally:
        for engine in engines.values():
            engine.dispose()


def _engine(setup: Setup, name: str) -> Engine | None:
    try:
        return database.connect(setup.connection(name))
    except ConfigurationError:
        return None


def _of(name: str, found: Connection, setup: Setup, schedule: Schedule, engines: dict[str, Engine]) -> Iterator[Line]:
    kind, settings = processors.load(name), schedule.processors[name].settings

    def made() -> Any:
        quota = _quota(name, found, settings, engines)
        return kind(
            Site(
                connection=found, settings=settings, as_of=setup.today, accounts=engines.get("accounts_db"),
                reserve=quota,
                ours=frozenset({schedule.settings.archive.bucket, schedule.settings.evidence.bucket}),
            )
        )  # fmt: skip

    def checked() -> str:
        made().check()
        return ""

    yield tried(name, WHAT.get(name, "its connection and rights suffice"), checked)
    if name in MORE:
        what, look = MORE[name]
        yield tried(name, what, lambda: look(made()))


def _quota(name: str, found: Connection, settings: Any, engines: dict[str, Engine]) -> Callable[[str, int], float]:
    """Return the reservation nights use too, so that looking never spends what a night needs."""
    kind, ours = processors.load(name), engines.get("retention_db")
    if ours is None:
        return lambda _quota, _calls: 0.0
    share = float(settings.get("quota_share", 0.5)) * float(found.extra.get("limit_factor", 1))
    reserve = reserver(ours, name, kind.quotas, share=share)

    def asked(quota: str, calls: int) -> float:
        from sqlalchemy.exc import SQLAlchemyError

        try:
            return reserve(quota, calls)
        except SQLAlchemyError:
            return 0.0  # our database's own lines say what is wrong with it

    return asked


def _stripe_redaction(processor: Any) -> str:
    """Redaction is a preview that Stripe switches on per account; without it the route is an unrecognised URL."""
    from include.processors._stripe.api import Declined
    from include.processors._stripe.redaction import JOBS

    try:
        processor.api.get(JOBS, preview=True, limit=1)
    except Declined as declined:
        if declined.unrecognized:
            raise ConfigurationError(
                "Stripe: redaction is not enabled for this account, so charges and invoices keep the person's data. "
                "Ask Stripe support for access to the redaction jobs preview."
            ) from None
        raise ConfigurationError(
            f"Stripe: the redaction jobs cannot be read (HTTP {declined.status}). Give the restricted key write access "
            "to redaction jobs."
        ) from None
    return ""


def _zendesk_admin(processor: Any) -> str:
    """Purging users and tickets, redaction and recordings are admins' calls (developer.zendesk.com)."""
    user = processor.client.get("/users/me").body.get("user")
    if not isinstance(user, dict) or user.get("role") != "admin":
        raise ConfigurationError(
            "Zendesk: the token's user is no administrator, and only one may delete users and tickets permanently. "
            "Make it an administrator, or a custom role with every deletion right."
        )
    return ""


MORE: dict[str, tuple[str, Callable[[Any], str]]] = {
    "stripe": ("redaction jobs are enabled", _stripe_redaction),
    "zendesk": ("its user is an administrator", _zendesk_admin),
}
