"""The retention schedule in force: read, checked and frozen.

    schedule = load()                                  # the packaged file
    schedule.rules["R-01"].kind                        # "max"
    schedule.processors["zendesk"].settings            # that processor's own section
    schedule.sha256                                    # what the privacy officer approves

A file that is wrong anywhere is refused as a whole with `ScheduleError(file, key, reason)`; nothing is guessed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Protocol, TypeVar

from pydantic import ValidationError

from include.errors import ScheduleError
from include.policy import lint
from include.policy.deadlines import corporate_filing_deadline, vat_filing_deadline
from include.policy.document import Document
from include.policy.holidays import Holidays, parse_holidays
from include.policy.models import (
    Category,
    ClosedList,
    Contradiction,
    HoldKind,
    PinnedFile,
    ProcessorSection,
    Purpose,
    Rule,
    ScheduleFile,
    Settings,
)
from include.policy.parts import Title
from include.policy.periods import PeriodRules
from include.policy.request_models import Requests

PACKAGE = Path(__file__).parent
PACKAGED = PACKAGE / "retention_schedule.yaml"


class _HasId(Protocol):
    @property
    def id(self) -> str: ...


P = TypeVar("P", bound=_HasId)


@dataclass(frozen=True, slots=True, eq=False)
class Schedule:
    """One version of the schedule; parts are found by id, in the order of the file. Two are the same if `sha256` is."""

    file: str
    version: int
    sha256: str
    body: bytes = field(repr=False)
    policy_text_sha256: str
    company: Title
    privacy_officer_role: str
    time_zone: str
    settings: Settings = field(repr=False)
    purposes: Mapping[str, Purpose] = field(repr=False)
    categories: Mapping[str, Category] = field(repr=False)
    closed_lists: Mapping[str, ClosedList] = field(repr=False)
    rules: Mapping[str, Rule] = field(repr=False)
    holds: Mapping[str, HoldKind] = field(repr=False)
    processors: Mapping[str, ProcessorSection] = field(repr=False)
    contradictions: Mapping[str, Contradiction] = field(repr=False)
    holidays: Holidays = field(repr=False)
    period_rules: PeriodRules = field(repr=False)
    requests: Requests | None = field(repr=False, default=None)

    def tax_filing_deadline(self, day: date) -> date:
        """Return the statutory filing deadline of the tax period holding `day`: day 0 of R-02."""
        settings = self.settings
        if settings.tax_clock == "vat":
            return vat_filing_deadline(day, days=settings.vat_filing_days, holidays=self.holidays)
        return corporate_filing_deadline(
            day,
            fiscal_year_end=settings.fiscal_year_end,
            months=settings.filing_months,
            holidays=self.holidays,
        )

    def kept_items(self, rule_id: str, subject_type: str) -> tuple[str, ...]:
        """Return the closed list of what `rule_id` keeps of a subject of this type, sorted."""
        items = self.rules[rule_id].items
        if items == "all":
            return ()
        lists = (self.closed_lists[name] for name in items)
        return tuple(sorted({item for part in lists if subject_type in part.subjects for item in part.items}))


def load(path: str | Path | None = None, *, processors: Collection[str] | None = None) -> Schedule:
    """Return the schedule of a file, or the packaged one; `processors` names the modules that exist, if known."""
    source = Path(path) if path is not None else PACKAGED
    return parse(read(source), file=source.name, folder=source.parent, processors=processors)


def read(source: Path) -> bytes:
    """Return the bytes of a schedule file, or say why there are none."""
    try:
        return source.read_bytes()
    except OSError as error:
        raise ScheduleError(source.name, "(file)", f"cannot be read: {error.strerror}") from None


def parse(body: bytes, *, file: str, folder: Path = PACKAGE, processors: Collection[str] | None = None) -> Schedule:
    """Return the schedule in `body`, or raise the first of its problems."""
    names = None if processors is None else tuple(sorted(processors))
    return _parse(body, file, folder, names)


@lru_cache(maxsize=8)
def _parse(body: bytes, file: str, folder: Path, processors: tuple[str, ...] | None) -> Schedule:
    document = Document.parse(body, file=file)
    document.mapping()
    try:
        model = ScheduleFile.model_validate(document.value)
    except ValidationError as error:
        raise _refusals(document, error)[0] from None
    for path, reason in lint.problems(model, processors):
        raise document.error(path, reason)
    return _schedule(body, document, model, folder)


def check(
    body: bytes, *, file: str, folder: Path = PACKAGE, processors: Collection[str] | None = None
) -> list[ScheduleError]:
    """Return every problem of the schedule in `body`, the worst first; empty when it may be approved."""
    try:
        document = Document.parse(body, file=file)
        document.mapping()
        model = ScheduleFile.model_validate(document.value)
        found = [document.error(path, reason) for path, reason in lint.problems(model, processors)]
        if not found:
            _schedule(body, document, model, folder)
    except ValidationError as error:
        return _refusals(document, error)
    except ScheduleError as error:
        return [error]
    return found


def _refusals(document: Document, error: ValidationError) -> list[ScheduleError]:
    details = error.errors(include_url=False, include_context=False, include_input=False)
    return [_refusal(document, dict(detail)) for detail in details]


def _refusal(document: Document, detail: Mapping[str, object]) -> ScheduleError:
    location = detail["loc"]
    assert isinstance(location, tuple)
    kind, message = str(detail["type"]), str(detail["msg"])
    path = document.known(location)
    if kind == "missing":
        return document.error((*path, str(location[-1])), "missing")
    if kind == "extra_forbidden":
        return document.error(path, "unknown key")
    return document.error(path, message.removeprefix("Value error, "))


def _schedule(body: bytes, document: Document, model: ScheduleFile, folder: Path) -> Schedule:
    settings = model.settings
    _pinned(document, model.policy_text, ("policy_text",), folder)
    table = _pinned(document, settings.holiday_table, ("settings", "holiday_table"), folder)
    return Schedule(
        file=document.file,
        version=model.version,
        sha256=hashlib.sha256(body).hexdigest(),
        body=body,
        policy_text_sha256=model.policy_text.sha256,
        company=model.company,
        privacy_officer_role=model.privacy_officer_role,
        time_zone=model.time_zone,
        settings=settings,
        purposes=_by_id(model.purposes),
        categories=_by_id(model.categories),
        closed_lists=_by_id(model.closed_lists),
        rules=_by_id(model.rules),
        holds=_by_id(model.holds),
        processors=MappingProxyType(model.processors),
        contradictions=_by_id(model.contradictions),
        holidays=parse_holidays(table, file=settings.holiday_table.file),
        period_rules=PeriodRules(
            roll_min=settings.roll_min,
            roll_max=settings.roll_max,
            first_day_at_midnight_min=settings.midnight_min == "included",
            first_day_at_midnight_max=settings.midnight_max == "included",
            destroy_within_days=settings.destroy_within_days,
        ),
        requests=model.requests,
    )


def _pinned(document: Document, pinned: PinnedFile, path: tuple[str, ...], folder: Path) -> bytes:
    """Return the bytes of a file the schedule binds; it lies beside the schedule or in this package."""
    for place in (folder, PACKAGE):
        source = place / pinned.file
        if source.is_file():
            content = source.read_bytes()
            found = hashlib.sha256(content).hexdigest()
            if found != pinned.sha256:
                raise document.error(
                    (*path, "sha256"), f"{pinned.file} has sha256 {found}; approve that text or restore it"
                )
            return content
    raise document.error((*path, "file"), f"{pinned.file} is neither beside the schedule nor in include/policy")


def _by_id(parts: Iterable[P]) -> Mapping[str, P]:
    return MappingProxyType({part.id: part for part in parts})
