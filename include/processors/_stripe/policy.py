"""What the schedule says about Stripe: the choices of the company, each with its default; unknown keys are refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from include.errors import ConfigurationError

WHERE = "stripe: settings in the retention schedule"
OURS = frozenset({"quota_share"})
"""Read by those who connect the processor, not here."""


@dataclass(frozen=True, slots=True)
class Policy:
    """Settings of section `stripe`.

    `dispute_window_days`: no redaction earlier after the newest payment (a redacted one loses every dispute; card
    networks give 120 days, some reasons 540). `unfinished_payment_days`: how long a payment begun and not finished
    counts as on its way. `subscriptions`: `cancel` ends them, `hold` waits until somebody did.
    `invoice_usage_on_cancel`: whether usage owed is billed first. `uncollectible_invoices`: `settled` (written off) or
    `hold`. `inquiry_days`: how far back disputes are looked through for inquiries that do not mark their charge.
    `dispute_record_days`: Stripe keeps no closing date; a closed dispute closed at latest so many days after it began.
    `invoice_pdf`: `digest` keeps an invoice PDF's SHA-256, `none` nothing. `invoice_document_laws`: rules whose law
    requires the document itself; only with one the bytes are kept. `manual_request_days`: when a request to Stripe is
    due. `email_sources`: tables and columns of the accounts database that say whose an e-mail is.
    """

    metadata_key: str = "account_id"
    dispute_window_days: int = 120
    unfinished_payment_days: int = 7
    subscriptions: str = "cancel"
    invoice_usage_on_cancel: bool = True
    uncollectible_invoices: str = "settled"
    inquiry_days: int = 180
    dispute_record_days: int = 365
    invoice_pdf: str = "digest"
    invoice_document_laws: tuple[str, ...] = ()
    manual_request_days: int = 30
    email_sources: tuple[tuple[str, str], ...] = (("account_profile", "email"), ("billing_contact", "email"))
    poll_seconds: float = 120.0
    retry_pause: float = 0.5
    threads: int = 4

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Policy:
        """Return the policy, or raise `ConfigurationError` naming the key that is wrong."""
        known = {f.name: f.default for f in fields(cls)}
        unknown = sorted(set(settings) - set(known) - OURS)
        if unknown:
            raise ConfigurationError(f"{WHERE}: unknown key {unknown[0]!r}. Known: {', '.join(sorted(known))}.")
        given = {k: _typed(k, v, known[k]) for k, v in settings.items() if k in known}
        policy = cls(**given)
        for name, words in _WORDS.items():
            if getattr(policy, name) not in words:
                raise ConfigurationError(f"{WHERE}: {name} is one of {', '.join(words)}.")
        return policy


_WORDS = {
    "subscriptions": ("cancel", "hold"),
    "uncollectible_invoices": ("settled", "hold"),
    "invoice_pdf": ("digest", "none"),
}


def _typed(name: str, value: Any, default: Any) -> Any:
    """Return a setting in the type of its default; a negative number of days or threads is no setting."""
    if isinstance(default, bool):
        good = isinstance(value, bool)
    elif isinstance(default, (int, float)):
        good = isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0
        good = good and (name != "threads" or value >= 1)
        value = type(default)(value) if good else value
    elif isinstance(default, tuple):
        good = isinstance(value, (list, tuple))
        value = tuple(tuple(v) if isinstance(v, (list, tuple)) else v for v in value) if good else value
    else:
        good = isinstance(value, str) and bool(value)
    if not good:
        raise ConfigurationError(f"{WHERE}: {name} has a value that is not allowed there.")
    return value
