"""The shape of a retention schedule: every key it may hold, and nothing else."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, Strict

from include.policy.parts import APeriod, Basis, Many, Part, Sha256, Subject, Text, Title, Word, period_of
from include.policy.periods import Period
from include.policy.request_models import Requests


class PinnedFile(Part):
    """A file of this package that the schedule, and so its approval, binds by digest."""

    file: Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$", max_length=100)]
    sha256: Sha256


class Bucket(Part):
    """An object store of ours: never a place to erase."""

    bucket: Text
    lock_mode: Literal["GOVERNANCE", "COMPLIANCE"]
    storage_class: Literal["STANDARD", "STANDARD_IA", "GLACIER_IR", "GLACIER", "DEEP_ARCHIVE"] = "STANDARD"
    prefix: str = ""


class ArchiveBucket(Bucket):
    """The statutory archive. `key_backup_days`: how long a backup of our database may hold a key destroyed today."""

    key_backup_days: Annotated[int, Field(ge=0, le=365)]


class Brake(Part):
    """When a night's new disposals wait for a second person. None of these can switch the brake off.

    Until `nights` earlier nights exist, more than `first_nights` new disposals stop. From then on more than `percent`
    of the median of those nights stops, in all or for one rule at one processor, unless there are at most
    `always_under`. More than `schedule_change` that the schedule version of the night before would not have made due
    stop as well. Silence is a rejection `ends_before_next_minutes` before the next night.
    """

    nights: Annotated[int, Field(ge=5, le=30)]
    first_nights: Annotated[int, Field(ge=0, le=5000)]
    percent: Annotated[int, Field(ge=110, le=1000)]
    always_under: Annotated[int, Field(ge=0, le=500)]
    schedule_change: Annotated[int, Field(ge=0, le=500)]
    ends_before_next_minutes: Annotated[int, Field(ge=10, le=720)]


class Suppression(Part):
    """Tombstones: the rule that gives them their term, and how far back the first sweep of a place looks."""

    rule: str
    first_sweep_days: Annotated[int, Field(ge=1, le=400)]


class Manual(Part):
    """What a person does by hand: days of the reminder before it is due, roles that may read whom it is about."""

    remind_days_before: Annotated[int, Field(ge=0, le=30)]
    may_read: Annotated[tuple[Word, ...], Strict(False)] = ("privacy_officer",)


class Settings(Part):
    """The privacy officer's choices that are not a rule of their own."""

    roll_min: bool
    roll_max: bool
    midnight_min: Literal["included", "excluded"]
    midnight_max: Literal["included", "excluded"]
    destroy_within_days: Annotated[int, Field(ge=0, le=5)]
    holiday_table: PinnedFile
    tax_clock: Literal["corporate", "vat"]
    fiscal_year_end: Annotated[str, Field(pattern=r"^\d\d-\d\d$")]
    filing_months: Annotated[int, Field(ge=1, le=12)]
    vat_filing_days: Annotated[int, Field(ge=1, le=60)]
    offshore_years_enabled: bool
    telecommunications_operator: bool
    evidence_term_years: Annotated[int, Field(ge=3, le=5)]
    operator_access_log_years: Annotated[int, Field(ge=1, le=5)]
    lookup_four_eyes: bool = False
    hold_review_days: Annotated[int, Field(ge=1, le=90)]
    answer_days: Annotated[int, Field(ge=1, le=10)]
    notice_days: Annotated[int, Field(ge=7, le=365)]
    notice_days_material: Annotated[int, Field(ge=30, le=365)]
    breach_hours: Annotated[int, Field(ge=1, le=72)]
    brake: Brake
    suppression: Suppression
    manual: Manual
    ledger_check_days: Annotated[int, Field(ge=1, le=60)]
    metadata_days: Annotated[int, Field(ge=7, le=400)] = 60
    child_age: Annotated[int, Field(ge=14, le=19)]
    archive: ArchiveBucket
    evidence: Bucket


class Purpose(Part):
    """Why data is used; only a purpose based on consent can be withdrawn on its own."""

    id: Annotated[str, Field(pattern=r"^P[0-9A-Z-]+$")]
    title: Title
    consent: bool


class Category(Part):
    """A kind of personal data and its closed list of fields."""

    id: Annotated[str, Field(pattern=r"^D-\d\d$")]
    title: Title
    subjects: Annotated[tuple[Subject, ...], Strict(False), Field(min_length=1)]
    source: Text
    purposes: Many[str]
    fields: Annotated[tuple[Word, ...], Strict(False), Field(min_length=1)]


class ClosedList(Part):
    """What a law keeps of a record, item by item; what is not listed is not kept."""

    id: Annotated[str, Field(pattern=r"^[A-Z]+-[A-Z]+$")]
    title: Title
    subjects: Annotated[tuple[Subject, ...], Strict(False), Field(min_length=1)]
    source: Text
    items: Annotated[tuple[Word, ...], Strict(False), Field(min_length=1)]


class Trigger(Part):
    """An event that starts a period. For a record, `dates` says which of its dates the law's clock reads."""

    event: Word
    period: APeriod
    records: Many[Word] = ()
    dates: Many[Word] = ()
    take: Literal["first", "latest"] = "first"
    map: Literal["tax_filing_deadline"] | None = None
    offshore_period: Annotated[Period | None, BeforeValidator(lambda v: None if v is None else period_of(v))] = None


class Floor(Part):
    """A scope of another rule that may not end before this one does."""

    rule: str
    scope: str


class Scope(Part):
    """What a rule destroys in one go at one processor; holds block a scope, not an account."""

    id: Word
    processor: str
    datasets: Annotated[tuple[Word, ...], Strict(False), Field(min_length=1)]
    events: Many[Word] = ()
    combine: Literal["earliest", "each"] | None = None


class Rule(Part):
    """One rule: when its clock starts, how long it runs, what it keeps at most (`max`) or at least (`min`)."""

    id: Annotated[str, Field(pattern=r"^R-\d\d[a-z]?$")]
    version: Annotated[int, Field(ge=1)]
    title: Title
    kind: Literal["max", "min", "deadline"]
    subjects: Annotated[tuple[Subject, ...], Strict(False), Field(min_length=1)]
    consumers_only: bool = False
    requires_setting: Literal["telecommunications_operator"] | None = None
    categories: Many[str]
    phase: Literal["F0", "F1", "F2", "F3"]
    combine: Literal["earliest", "each"] = "earliest"
    restarted_by: Word | None = None
    triggers: Annotated[tuple[Trigger, ...], Strict(False), Field(min_length=1)]
    items: Literal["all"] | Many[str]
    basis: Annotated[tuple[Basis, ...], Strict(False), Field(min_length=1)]
    floors: Many[Floor] = ()
    scopes: Many[Scope] = ()
    store: Literal["archive"] | None = None
    methods: Annotated[tuple[Word, ...], Strict(False), Field(min_length=1)]


class HoldKind(Part):
    """A reason not to destroy, what it reaches by default, and how often it is looked at again."""

    id: Annotated[str, Field(pattern=r"^H-\d+$")]
    title: Title
    effect: Literal["block", "withhold_termination"]
    blocks: Annotated[tuple[Word, ...], Strict(False), Field(min_length=1)]
    datasets: Many[Word]
    named: bool = False
    overridden_by: Word | None = None
    release: Title
    starts: str | None = None
    answer_days: Annotated[int, Field(ge=1, le=10)] | None = None
    review_days: Annotated[int, Field(ge=1, le=90)]


class ProcessorSection(Part):
    """A place where data lives. `settings` belongs to the processor's own file in `include/processors`."""

    id: Annotated[str, Field(pattern=r"^[VO]-\d+$")]
    title: Title
    entrusted: Title
    foreign: bool = False
    module: bool = True
    datasets: dict[Word, Many[str]]
    settings: dict[str, Any]


class Contradiction(Part):
    """Where the policy text contradicts itself or the law, how that was resolved, and what implements it."""

    id: Annotated[str, Field(pattern=r"^C-\d\d$")]
    conflict: Text
    resolution: Text
    by: Annotated[tuple[str, ...], Strict(False), Field(min_length=1)]


class ScheduleFile(Part):
    """The whole file."""

    version: Annotated[int, Field(ge=1)]
    company: Title
    policy_text: PinnedFile
    privacy_officer_role: Word
    time_zone: Literal["Asia/Seoul"]
    settings: Settings
    purposes: Many[Purpose]
    categories: Many[Category]
    closed_lists: Many[ClosedList]
    rules: Many[Rule]
    holds: Many[HoldKind]
    processors: dict[Word, ProcessorSection]
    requests: Requests | None = None
    contradictions: Many[Contradiction]
