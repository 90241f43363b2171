"""What a vendor's own headers say is left of its limit: the rest belongs to the company's live traffic.

Our share is reserved beforehand (`Site.reserve`); the vendor counts everybody's calls. When less than `quota_reserve`
(a fifth of the limit, unless the place's settings say more or less) is left in its window, this processor makes no
further call until the window is over: its task ends as rate-limited and Airflow runs it again then.

    X-Rate-Limit, X-Rate-Limit-Remaining        Zendesk ("Rate limits")
    ratelimit-limit, -remaining, -reset         newer APIs (draft-ietf-httpapi-ratelimit-headers)
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from include.errors import ConfigurationError, RateLimited

SHARE = 0.2
WINDOW = 60.0
"""Seconds to stay away where no header says when the window ends."""
HEADERS = (
    ("X-Rate-Limit", "X-Rate-Limit-Remaining"),
    ("X-RateLimit-Limit", "X-RateLimit-Remaining"),
    ("ratelimit-limit", "ratelimit-remaining"),
)


@dataclass(slots=True)
class Reserve:
    """Remembers the newest word of one vendor; shared by all threads of a task."""

    name: str
    share: float = SHARE
    clock: Callable[[], float] = time.monotonic
    _until: float = field(default=0.0, init=False)

    @classmethod
    def of(cls, name: str, settings: Mapping[str, Any]) -> Reserve:
        """Return the reserve a place's settings ask for; `quota_reserve: 0` watches nothing."""
        share = settings.get("quota_reserve", SHARE)
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share < 1:
            raise ConfigurationError(
                f"processors.{name}.settings.quota_reserve is the part of the limit that stays for live traffic: a "
                "number from 0 to below 1. Correct the schedule."
            )
        return cls(name, float(share))

    def see(self, headers: Mapping[str, str]) -> None:
        """Take note of one answer's headers; ones that say nothing, or nonsense, change nothing."""
        for limit_name, left_name in HEADERS:
            limit, left = _number(headers.get(limit_name)), _number(headers.get(left_name))
            if limit and left is not None:
                if left < limit * self.share:
                    reset = _number(headers.get("ratelimit-reset"))
                    self._until = self.clock() + (WINDOW if reset is None else min(reset, 10 * WINDOW))
                return

    def check(self) -> None:
        """Raise `RateLimited` while what is left belongs to live traffic; call it right before each call."""
        wait = self._until - self.clock()
        if wait > 0:
            raise RateLimited(self.name, retry_after=wait, code="reserve_reached", status=None)


def _number(text: str | None) -> float | None:
    """Return the number a header begins with (`100, 100;w=60` names its window after it)."""
    head = str(text or "").partition(",")[0].partition(";")[0].strip()
    return float(head) if head.isdecimal() and len(head) < 12 else None
