"""What the planner is told about one account and its holds: plain frozen values, no names, no e-mails."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum

from include.errors import DecisionRefused

EVENTS = frozenset(
    {
        "terminated",
        "requested",
        "consent_withdrawn",
        "consent_given",
        "event_ended",
        "instruction",
        "guardian_refused",
        "guardian_request_closed",
        "credit_record",
        "credit_purpose_achieved",
        "operator_log",
        "access_logged",
        "processor_contract_ended",
        "erasure_requested",
        "transaction",
        "paid_and_supplied",
        "contract_ended",
        "withdrawal_recorded",
        "case_closed",
        "advertisement_ended",
        "expired",
    }
)
"""Every event a schedule may name. Another one needs code that observes it, so it is refused."""

RECORD_KINDS = frozenset({"payment", "contract", "withdrawal", "complaint", "credit_record", "advertisement"})
"""The kinds of records a law may keep."""

RECORD_DATES = frozenset(
    {"transaction", "paid", "supplied", "paid_and_supplied", "contract_ended", "case_closed", "recorded"}
)
"""The dates an extracted record may carry."""


class State(StrEnum):
    """How far a termination has come; only TERMINATED starts the terms of R-01 and R-14 (policy text 6(3), C-05)."""

    LIVE = "LIVE"
    REQUESTED = "REQUESTED"
    WITHHELD = "WITHHELD"
    TERMINATED = "TERMINATED"


def state_of(*, requested_on: date | None, withheld: bool, terminated_on: date | None) -> State:
    """Return the state the register's columns describe; an effective termination wins over everything before it."""
    if terminated_on is not None:
        return State.TERMINATED
    if requested_on is None:
        return State.LIVE
    return State.WITHHELD if withheld else State.REQUESTED


@dataclass(frozen=True, slots=True)
class Event:
    """Something that starts a clock, under the schedule's event name, on a Seoul date.

    `datasets` limits it to scopes that hold one of them; empty means all. So the end of one processor's contract is
    `Event("processor_contract_ended", day, ("support",))`. Events whose name is a law's clock for a record
    (`transaction`, `paid_and_supplied`, `contract_ended`, `withdrawal_recorded`, `case_closed`, `credit_record`) also
    tell the planner what stays in the archive; `offshore` marks a 역외거래. `consent_given` opens a new consent.
    """

    kind: str
    date: date
    datasets: tuple[str, ...] = ()
    offshore: bool = False


@dataclass(frozen=True, slots=True)
class Hold:
    """One hold of one account. `processor` None means every place; empty `datasets` means those its kind names."""

    hold_id: str
    kind: str
    processor: str | None = None
    datasets: tuple[str, ...] = ()
    placed_on: date | None = None
    released_on: date | None = None


@dataclass(frozen=True, slots=True)
class AccountFacts:
    """One account as the planner sees it.

    `events` needs no `requested` or `terminated`: those come from `requested_on` and `terminated_on`. `present` names
    the own-database datasets that hold rows of the account; None means nobody looked, and every scope is planned.
    """

    account_id: str = field(repr=False)
    subject_type: str
    consumer_like: bool = False
    state: State = State.LIVE
    requested_on: date | None = None
    terminated_on: date | None = None
    events: tuple[Event, ...] = ()
    present: frozenset[str] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "state", State(self.state))
        if self.subject_type not in ("individual", "business"):
            raise DecisionRefused("An account is neither individual nor business; correct its subject_type.")
        if (self.state is State.TERMINATED) != (self.terminated_on is not None):
            raise DecisionRefused(
                f"An account is {self.state} and its termination date is {self.terminated_on}: correct one of them."
            )
