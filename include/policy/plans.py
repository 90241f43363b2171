"""What the planner answers with: plain frozen values."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date


@dataclass(frozen=True, slots=True)
class FieldReason:
    """Why one field is destroyed, or where a copy of it is kept: which rule, which law, until when."""

    category: str
    field: str
    decision: str
    rule_id: str
    rule_version: int
    law: str
    article: str
    until: date


@dataclass(frozen=True, slots=True)
class Kept:
    """An item that a law keeps in the archive, until the longest of its records ends."""

    item: str
    rule_id: str
    rule_version: int
    law: str
    article: str
    until: date


@dataclass(frozen=True, slots=True)
class PlannedDisposal:
    """One disposal as planned. `held_by` names the kinds of active holds that reach it."""

    account_id: str = field(repr=False)
    subject_type: str
    processor: str
    rule_id: str
    rule_version: int
    scope_id: str
    datasets: tuple[str, ...]
    categories: tuple[str, ...]
    phase: str
    trigger_event: str
    trigger_date: date
    last_day: date
    free_from: date
    destroy_by: date
    reasons: tuple[FieldReason, ...] = field(repr=False)
    held_by: tuple[str, ...] = ()
    moved_by: tuple[tuple[str, date], ...] = ()
    """What makes the last day later than the rule's own: a floor (rule id) or a released hold (kind), and its day."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything the schedule says about one account on one day."""

    disposals: tuple[PlannedDisposal, ...]
    kept: tuple[Kept, ...]
    not_yet_due: tuple[PlannedDisposal, ...]


@dataclass(frozen=True, slots=True)
class DueTrigger:
    """For one event of one rule: on every trigger date up to this one the period is over."""

    event: str
    latest_trigger_date: date
    rule_id: str
    scope_ids: tuple[str, ...]
