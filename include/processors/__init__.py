"""Places where data lives; this folder is the registry.

A processor is a class `Processor` in a file of its own here. It locates what a place holds of a person, acts on it
step by step, and reads back what is left. It never decides *whether* to act (the planner and the disposals do) and
never writes evidence. All methods work on batches, and every one may be run again at any time:

    processor = load("zendesk")(site)
    found = processor.locate(subjects)            # reads only
    for step in processor.steps(found[0]):        # e.g. delete_tickets, purge_tickets, delete_user, purge_user
        processor.act(step.name, work)            # reads before it changes; safe to repeat
    processor.read_back(work)                     # the only source of `confirmed_absent`

Files whose names start with an underscore are shared helpers, not processors.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from include.connections import Connection
from include.errors import ConfigurationError
from include.outcomes import Outcome

if TYPE_CHECKING:
    from sqlalchemy import Engine


def person(actor: str) -> str:
    """Return who acted, whatever the role: `e-0007` of `approver:e-0007`."""
    return actor.rpartition(":")[2].strip()


@dataclass(frozen=True, slots=True)
class Settlement:
    """A debt of the account that two people released: `paid` outside the place, or `written_off`, on a business date.

    What a place keeps back for a debt (an open invoice) may be closed there only under one of these.
    """

    reason: str
    on: date
    by: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.reason not in ("paid", "written_off") or len({person(b) for b in self.by} - {""}) < 2:
            raise ValueError("a settlement is `paid` or `written_off`, by two different people")


@dataclass(frozen=True, slots=True)
class Subject:
    """One disposal's account as a processor needs it to search; lives only inside a task, or encrypted in a locator.

    `emails` are as the company holds them (no case folding). Identifiers are kept out of `repr`.
    """

    disposal_id: str
    account_id: str = field(repr=False)
    subject_type: str
    scope_id: str
    datasets: tuple[str, ...]
    rule_id: str
    trigger_event: str
    trigger_date: date
    emails: tuple[str, ...] = field(default=(), repr=False)
    login_id: str = field(default="", repr=False)
    name: str = field(default="", repr=False)
    phones: tuple[str, ...] = field(default=(), repr=False)
    settled: tuple[Settlement, ...] = ()
    end_user: str = field(default="", repr=False)
    """Of subject type `end_user`: which one of the account's, by the id the customer gave."""


@dataclass(frozen=True, slots=True)
class Found:
    """What `locate` found for one disposal.

    `outcome` is LOCATED (also when `count` is 0), BLOCKED (the place itself shows a hold; `code` names it, `until`
    the next look if known) or FAILED with a code such as `ambiguous` or `no_identifier` (that one disposal waits for
    a person). `locator` is JSON: processor object ids, and an e-mail only where the API has no other key.
    """

    disposal_id: str
    outcome: Outcome
    count: int = 0
    locator: Mapping[str, Any] = field(default_factory=dict, repr=False)
    code: str | None = None
    until: date | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """One step of an erasure, in order. `not_before` is a business date: the engine waits until then."""

    name: str
    not_before: date | None = None
    method: str = "api_delete"


@dataclass(frozen=True, slots=True)
class Work:
    """One disposal handed to `act` and `read_back`: what was located, and which debts of the account are settled."""

    disposal_id: str
    account_id: str = field(repr=False)
    scope_id: str
    datasets: tuple[str, ...]
    locator: Mapping[str, Any] = field(repr=False)
    settled: tuple[Settlement, ...] = ()


@dataclass(frozen=True, slots=True)
class Result:
    """What is known about one disposal after `act` or `read_back`.

    From `act`: ACCEPTED (this step's call was taken; the next step may run), AWAITING (the step is not finished; it
    is called again on `until`), RETAINED (`basis`, `until`: e.g. Object Lock), BLOCKED (`code`), MANUAL_PENDING
    (`until` = due) or FAILED (`code`). From `read_back`: CONFIRMED_ABSENT, CONFIRMED_ANONYMISED, AWAITING, RETAINED,
    RETAINED_BY_PROCESSOR (`basis`), EXPIRES_BY_PROCESSOR (`until`), MANUAL_PENDING (`until`), or FAILED with
    `still_present`. `locator`, when given, replaces the stored one (job ids, for example). Codes are enum-like words,
    never a processor's text. `needs_person` stops this disposal until somebody looks; otherwise a FAILED one is tried
    again on the next run, and one with code `STALE_LOCATOR` is located (and extracted) anew first.

    `counts` (code words to numbers) and `exceptions` (`item`, `items`, `law`, `until`: code words and dates) go into
    the entry as they are: what was refused and how often, what stays and why. Neither ever names an object.
    RETAINED_BY_PROCESSOR with `needs_person` stays open, its locator kept: a request to the vendor is under way.
    `backup_expires_on` is the last day on which a backup may still hold what is gone, where the company itself makes
    the backups.
    """

    disposal_id: str
    outcome: Outcome
    code: str | None = None
    until: date | None = None
    basis: str | None = None
    count: int | None = None
    locator: Mapping[str, Any] | None = field(default=None, repr=False)
    needs_person: bool = False
    verify_method: str | None = None
    http_status: int | None = None
    request_id: str | None = None
    receipt_sha256: str | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    exceptions: tuple[Mapping[str, Any], ...] = ()
    backup_expires_on: date | None = None


STALE_LOCATOR = "changed_since_located"
"""Code of a FAILED act that touched nothing, because the source changed after it was located.

Only for what the account's id alone finds again: its e-mail may be erased from the company's own database by then.
"""

NOT_ARCHIVED = "changed_since_archived"
"""Code of an AWAITING act that touched nothing, because records came after the extract and the people may no longer
be found: the engine extracts again from the result's locator, and the step waits until that lies in the archive."""


@dataclass(frozen=True, slots=True)
class Record:
    """One source record a law may keep, as extracted before any act on the source.

    `kind` is `payment`, `contract`, `withdrawal`, `complaint` or `credit_record`; `source_id` identifies it at the
    place (it leaves this process only as a keyed digest). `items` holds flat values under the schedule's item names
    (`name`, `email`, `fee.billed`, `fee.received_at`, …); anything may be in it, the archive keeps only the law's
    closed list. `dates` holds the Asia/Seoul dates the law's clocks start from (`transaction`, `paid_and_supplied`,
    `contract_ended`, `case_closed`, `recorded`).
    """

    disposal_id: str
    source_id: str = field(repr=False)
    kind: str
    dates: Mapping[str, date]
    items: Mapping[str, Any] = field(repr=False)
    offshore: bool = False


@dataclass(frozen=True, slots=True)
class Quota:
    """A published limit, scaled to our share by policy: `calls` per `seconds`.

    `burst` is the part of the window's calls that may go at once; 1 for a limit counted by the day.
    """

    name: str
    calls: int
    seconds: float
    burst: float = 0.1


@dataclass(frozen=True, slots=True)
class Site:
    """Everything a processor gets from outside: connection, its section of the schedule, clock and shared means.

    `as_of` is the business date. `accounts` is an engine on the company's accounts database, for processors whose
    members or sessions the company itself tracks. `reserve(quota, calls)` reserves calls and returns the seconds to
    wait first. `ours` names the archive and evidence buckets, which are never a place to erase. `connect` returns
    another connection by its name, for a processor whose places have connections of their own.
    """

    connection: Connection
    settings: Mapping[str, Any]
    as_of: date
    accounts: Engine | None = None
    reserve: Callable[[str, int], float] = lambda _quota, _calls: 0.0
    go_on: Callable[[], None] = lambda: None
    ours: frozenset[str] = frozenset({"archive", "evidence"})
    connect: Callable[[str], Connection] = lambda name: _no_connection(name)


def _no_connection(name: str) -> Connection:
    raise ConfigurationError(f"There is no connection {name!r} here.")


class ProcessorContract(Protocol):
    """What every `Processor` class offers; `tests/processors/test_contract.py` runs over all of them."""

    name: ClassVar[str]
    batch_size: ClassVar[int]
    exclusive: ClassVar[bool]
    quotas: ClassVar[tuple[Quota, ...]]

    def __init__(self, site: Site) -> None: ...

    def check(self) -> None:
        """Prove with reads only that connection and rights suffice, else raise `Refused` or `ConfigurationError`."""

    def locate(self, subjects: Sequence[Subject]) -> list[Found]:
        """Return one `Found` per subject, in order."""

    def extract(self, work: Sequence[Work]) -> list[Record]:
        """Return the records a law may keep, read from the source; an empty list where the place holds none."""

    def steps(self, work: Work) -> tuple[Step, ...]:
        """Return the steps for what was located; empty where only reading back is left."""

    def act(self, step: str, work: Sequence[Work]) -> list[Result]:
        """Carry one step out for the batch and return one `Result` per work, in order. Reads before it changes."""

    def read_back(self, work: Sequence[Work]) -> list[Result]:
        """Read the place, past every cache, and return one `Result` per work, in order."""


def names() -> tuple[str, ...]:
    """Return the names of all processors, sorted: the modules of this folder."""
    return tuple(sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_")))


def connection_names(sections: Mapping[str, Any]) -> tuple[str, ...]:
    """Return every connection a place is reached by: one per processor, and those that `stores` and `places` name.

    `sections` are the schedule's processors, each with `settings`.
    """
    further: set[str] = set()
    for section in sections.values():
        stores, places = section.settings.get("stores", {}), section.settings.get("places", ())
        further |= {part["connection"] for part in (*stores.values(), *places) if part.get("connection")}
    return (*names(), *sorted(further - set(names())))


def load(name: str) -> type[ProcessorContract]:
    """Return the `Processor` class of `include/processors/<name>.py`."""
    if name not in names():
        raise ConfigurationError(f"No processor {name!r} in include/processors. Known: {', '.join(names())}.")
    processor: type[ProcessorContract] = importlib.import_module(f"{__name__}.{name}").Processor
    return processor
