"""The outcomes of a disposal, one word each, the same in code, database, evidence and screens."""

from enum import StrEnum


class Outcome(StrEnum):
    """What is known about one disposal. Only `CONFIRMED_ABSENT` counts as destroyed."""

    PLANNED = "planned"
    BLOCKED = "blocked"  # by a hold; until names the next look
    LOCATED = "located"
    ARCHIVED = "archived"  # statutory rows written, digest and lock checked
    ATTEMPTED = "attempted"  # intent committed; until the next entry the result is unknown
    ACCEPTED = "accepted"  # "the API said 200": not proof of anything
    AWAITING = "awaiting"  # until a date; nothing can be done before
    CONFIRMED_ABSENT = "confirmed_absent"
    CONFIRMED_ANONYMISED = "confirmed_anonymised"
    RETAINED = "retained"  # a law or a lock keeps it until a date
    RETAINED_BY_PROCESSOR = "retained_by_processor"  # the processor keeps copies under its own duties
    EXPIRES_BY_PROCESSOR = "expires_by_processor"  # no call can delete it; it lapses on a date
    MANUAL_PENDING = "manual_pending"
    MANUAL_ATTESTED = "manual_attested"
    FAILED = "failed"
    REAPPEARED = "reappeared"


TERMINAL = frozenset(
    {
        Outcome.CONFIRMED_ABSENT,
        Outcome.CONFIRMED_ANONYMISED,
        Outcome.RETAINED_BY_PROCESSOR,
        Outcome.MANUAL_ATTESTED,
    }
)
"""Nothing is left for us to do. `EXPIRES_BY_PROCESSOR` joins them once its date has passed."""
