"""What may be left out: mail and timestamps. Where a connection exists it must work."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Iterator

from include.check import Line, Setup, State, tried
from include.connections import TIMEOUT_SECONDS, Connection
from include.errors import ConfigurationError, Unreachable
from include.evidence.anchors import Authority, request_stamp


def lines(setup: Setup) -> Iterator[Line]:
    """Yield what is known of `smtp_default` and `evidence_tsa`."""
    for name, what, without, look in (
        ("smtp_default", "the mail server lets us in", "without it a red task is the only alarm", _mail),
        ("evidence_tsa", "the authority stamps", "without it only the locked copies date the log", _stamp),
    ):
        try:
            found = setup.connection(name)
        except ConfigurationError:
            yield Line(name, "optional, not set", State.UNSET, without)
            continue
        yield tried(name, what, lambda f=found, look=look: look(f))  # type: ignore[misc]


def _mail(found: Connection) -> str:
    """Log in as Airflow's SMTP hook does (extra `disable_ssl`, `disable_tls`, `from_email`); nothing is sent."""
    plain = bool(found.extra.get("disable_ssl"))
    kind = smtplib.SMTP if plain else smtplib.SMTP_SSL
    try:
        with kind(found.host, found.port or 0, timeout=TIMEOUT_SECONDS) as server:
            if plain and not found.extra.get("disable_tls"):
                server.starttls(context=ssl.create_default_context())
            if found.login:
                server.login(found.login, found.password)
            server.noop()
    except smtplib.SMTPAuthenticationError as error:
        raise ConfigurationError(
            f"Connection smtp_default: the server refuses the login (code {error.smtp_code}). Correct it."
        ) from None
    except (OSError, smtplib.SMTPException) as error:
        raise Unreachable("smtp_default", type(error).__name__) from None
    if not found.extra.get("from_email"):
        raise ConfigurationError("Connection smtp_default: its extra lacks from_email, the sender of every alert.")
    return ""


def _stamp(found: Connection) -> str:
    """Have a fixed text stamped and check the reply against the roots, as the night does with a checkpoint."""
    return f"{len(request_stamp(Authority.of(found), b'python -m include.check'))} bytes"
