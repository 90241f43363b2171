"""The mail that tells a person the result of a request, and what is known when the server does not answer."""

from __future__ import annotations

import smtplib
from typing import Any
from uuid import UUID

from include.errors import MailUnknown, NotAccepted

REFUSED = (
    smtplib.SMTPRecipientsRefused,
    smtplib.SMTPSenderRefused,
    smtplib.SMTPDataError,
    smtplib.SMTPHeloError,
    smtplib.SMTPNotSupportedError,
)
"""Answers of a mail server that took nothing (RFC 5321, section 4.2.1); without one nobody knows what it took."""


def _message_id(request_id: UUID) -> str:
    return f"<{request_id}@notice>"


def perhaps(request_id: UUID) -> str:
    """Return what a person does about a mail that may have gone out."""
    return (
        "The notice may have gone out and is not sent again: look in the mail server's log for Message-ID "
        f"{_message_id(request_id)}, and attest what is found."
    )


def send(to: str, told: Any, request_id: UUID) -> None:
    """Send one mail through connection `smtp_default`; a failure leaves without the words: servers quote people.

    Raises `NotAccepted` where the server took nothing, and `MailUnknown` where its answer to the mail was lost.
    """
    from html import escape

    from airflow.providers.smtp.hooks.smtp import SmtpHook

    connected = False
    try:
        with SmtpHook(smtp_conn_id="smtp_default") as hook:
            connected = True
            hook.send_email_smtp(
                to=to,
                subject=told.subject,
                html_content=f"<pre>{escape(told.text)}</pre>",
                custom_headers={"Message-ID": _message_id(request_id)},
            )
    except Exception as error:
        if connected and not isinstance(error, REFUSED):
            raise MailUnknown(f"No answer to the mail ({type(error).__name__}). {perhaps(request_id)}") from None
        raise NotAccepted(
            f"The notice could not be sent ({type(error).__name__}). It is tried again every hour; look at connection "
            "smtp_default."
        ) from None
