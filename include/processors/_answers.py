"""What every vendor's answer carries besides its body."""

from __future__ import annotations

import re
from collections.abc import Mapping

REQUEST_ID_HEADERS = (
    "request-id",  # Stripe
    "x-sfdc-request-id",
    "x-zendesk-request-id",
    "x-amz-request-id",
    "x-request-id",
)
"""Where a vendor's support wants to be told which request it was; the vendor's own header first."""
_SHAPE = re.compile(r"(?=.*\d)[A-Za-z0-9_-]{8,64}")


def request_id(headers: Mapping[str, str]) -> str | None:
    """Return the request id of an answer, or None where there is none or it does not look like one.

    It names a request and nobody; anything with other characters (an address, a name) is left out.
    """
    lower = {str(name).lower(): str(value) for name, value in headers.items()}
    return next((v for n in REQUEST_ID_HEADERS if (v := lower.get(n, "")) and _SHAPE.fullmatch(v)), None)
