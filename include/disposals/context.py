"""What every room of the state machine gets from outside, as one frozen value."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Protocol
from uuid import UUID

from include.policy.facts import AccountFacts, Hold

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Engine

    from include.accounts import Identifiers
    from include.evidence.tags import SubjectTags
    from include.keys import Wrapper
    from include.policy.schedule import Schedule


class AccountsReader(Protocol):
    """The reads of the company's accounts database that the state machine needs (`include.accounts.Accounts`)."""

    def due(self, schedule: Schedule, as_of: date) -> Iterator[AccountFacts]: ...
    def facts(self, account_ids: Collection[str]) -> list[AccountFacts]: ...
    def computed_holds(self, account_ids: Collection[str]) -> Mapping[str, list[Hold]]: ...
    def held_accounts(self, as_of: date) -> list[str]: ...
    def identifiers(self, account_ids: Collection[str]) -> Mapping[str, Identifiers]: ...
    def address(self, account_id: str, place: str) -> str | None: ...
    def population(self, as_of: date) -> Mapping[str, int]: ...


@dataclass(frozen=True, slots=True)
class Decision:
    """What a person's decision outside any run needs: our state, the schedule it is about, and the business date."""

    engine: Engine
    schedule: Schedule
    as_of: date
    run_id: None = None


@dataclass(frozen=True, slots=True)
class Context:
    """Engine on our state, the company's accounts, the schedule in force, keys and the business date.

    `run_id` is our own id of the run (None outside one); `version` is the code's; `attempt` the Airflow try number.
    """

    engine: Engine
    accounts: AccountsReader
    schedule: Schedule
    tags: SubjectTags
    wrapper: Wrapper
    as_of: date
    run_id: UUID | None = None
    dag_id: str = "manual"
    attempt: int = 1
    version: str = "dev"
