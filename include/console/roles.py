"""Who may see and do what: each page or action declares one capability, and FAB's roles grant capabilities.

A capability is a permission on a private resource of FAB, listed in roles.json like every other right and installed by
`include.install`. What a person may *start* in Airflow is checked by Airflow besides: a form here is sent through
Airflow's own API as the person who is logged in.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum


class Capability(Enum):
    """What a person may do here: FAB's resource and action."""

    COUNTS = ("Retention Counts", "can_read")
    """Counts, deadlines, quotas, the schedule in words: nothing about a single account."""
    WORK = ("Retention Work", "can_read")
    """Lists of holds, requests, manual disposals and approvals, with opaque account ids."""
    ACCOUNTS = ("Retention Accounts", "can_read")
    """Find one account and see what is held on it; each look-up is logged."""
    REQUEST = ("Retention Requests", "can_create")
    """Start what needs a second person: an erasure, a hold, an answer."""
    APPROVE = ("Retention Approvals", "can_edit")
    """Answer as the second person."""
    EVIDENCE = ("Retention Evidence", "can_read")
    """Read the log entry by entry, exports, certificates, the cold store's readers."""
    TAGS = ("Retention Tags", "can_read")
    """Open the tag of an account: an entry of the log itself."""
    STOP = ("Retention Stop", "can_create")
    """Stop everything at once; letting go again takes a second person."""

    @property
    def resource(self) -> str:
        """FAB's name of the resource."""
        return self.value[0]

    @property
    def action(self) -> str:
        """FAB's name of the action."""
        return self.value[1]


@dataclass(frozen=True, slots=True)
class User:
    """Who is logged in: Airflow's id and login `name` (never printed or put into evidence), and what they may do."""

    id: str
    name: str = field(repr=False)
    may: frozenset[Capability]

    @property
    def role(self) -> str:
        """The word entries and `access_log` carry for what this person acts as."""
        for capability, role in _ROLES:
            if capability in self.may:
                return role
        return "viewer"


_ROLES = (
    (Capability.EVIDENCE, "compliance"),
    (Capability.REQUEST, "operator"),
    (Capability.APPROVE, "approver"),
    (Capability.WORK, "admin"),
)
