"""What must hold between the parts of a schedule; nothing may fall through.

Each check yields the path of the wrong value and the reason. The shapes themselves (unknown keys, types) are refused by
`models`; here it is about references, duplicates, coverage and places that are never to be erased.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator

from include.policy import places, request_lint, selectors
from include.policy.facts import EVENTS, RECORD_DATES, RECORD_KINDS
from include.policy.models import ClosedList, Rule, ScheduleFile, Scope
from include.policy.parts import Problem
from include.policy.periods import Period

OPEN_ENDED = frozenset({"all", "any", "etc", "misc", "other", "others", "rest", "more", "everything"})
COMPUTED_HOLDS = tuple(f"H-{n}" for n in range(1, 8))
HALF_WEEK_DAYS = 4
PROCESSOR_RULE, DEADLINE_RULE = "R-14", "R-99"


def problems(schedule: ScheduleFile, processors: Collection[str] | None = None) -> Iterator[Problem]:
    """Yield everything wrong with the schedule; `processors` are the modules that exist, None where nobody knows."""
    checks: tuple[Callable[[ScheduleFile], Iterator[Problem]], ...] = (
        _duplicate_ids,
        _open_ended_lists,
        _category_references,
        _rule_references,
        _scope_references,
        _hold_references,
        _contradiction_references,
        _rule_kinds,
        _archive_groups,
        _every_category_has_a_rule,
        _every_dataset_is_covered,
        _overlapping_scopes,
        _required_parts,
        request_lint.problems,
        places.problems,
        selectors.problems,
    )
    for check in checks:
        yield from check(schedule)
    if processors is not None:
        yield from _modules(schedule, frozenset(processors))


def _duplicate_ids(schedule: ScheduleFile) -> Iterator[Problem]:
    seen: dict[str, str] = {}
    for section in ("purposes", "categories", "closed_lists", "rules", "holds", "contradictions"):
        for n, part in enumerate(getattr(schedule, section)):
            if part.id in seen:
                yield (section, n, "id"), f"{part.id} is used twice, first in {seen[part.id]}"
            seen.setdefault(part.id, section)
    places_of: dict[str, str] = {}
    datasets: dict[str, str] = {}
    for name, section_ in schedule.processors.items():
        if section_.id in places_of:
            yield ("processors", name, "id"), f"{section_.id} is used twice, first by {places_of[section_.id]}"
        places_of.setdefault(section_.id, name)
        for dataset in section_.datasets:
            if dataset in datasets:
                yield ("processors", name, "datasets", dataset), f"is a dataset of {datasets[dataset]} already"
            datasets.setdefault(dataset, name)
    for n, rule in enumerate(schedule.rules):
        yield from _twice(("rules", n, "scopes"), [s.id for s in rule.scopes])
        yield from _twice(("rules", n, "triggers"), [t.event for t in rule.triggers])


def _open_ended_lists(schedule: ScheduleFile) -> Iterator[Problem]:
    lists = [(("closed_lists", n, "items"), part.items) for n, part in enumerate(schedule.closed_lists)]
    lists += [(("categories", n, "fields"), part.fields) for n, part in enumerate(schedule.categories)]
    for path, items in lists:
        yield from _twice(path, items)
        for n, item in enumerate(items):
            if OPEN_ENDED & set(item.split(".")):
                yield (*path, n), f"{item!r} leaves the list open; name every item"


def _category_references(schedule: ScheduleFile) -> Iterator[Problem]:
    purposes = {p.id for p in schedule.purposes}
    fields = {field for category in schedule.categories for field in category.fields}
    categories = {c.id for c in schedule.categories}
    for n, category in enumerate(schedule.categories):
        yield from _unknown(("categories", n, "purposes"), category.purposes, purposes, "purpose")
    for n, closed in enumerate(schedule.closed_lists):
        yield from _unknown(("closed_lists", n, "items"), closed.items, fields, "field of any category")
    for name, section in schedule.processors.items():
        for dataset, named in section.datasets.items():
            path = ("processors", name, "datasets", dataset)
            if not named:
                yield path, "belongs to no category"
            yield from _unknown(path, named, categories, "category")


def _rule_references(schedule: ScheduleFile) -> Iterator[Problem]:
    categories = {c.id for c in schedule.categories}
    lists = {c.id for c in schedule.closed_lists}
    scopes = {(rule.id, scope.id) for rule in schedule.rules for scope in rule.scopes}
    for n, rule in enumerate(schedule.rules):
        yield from _unknown(("rules", n, "categories"), rule.categories, categories, "category")
        if rule.items != "all":
            yield from _unknown(("rules", n, "items"), rule.items, lists, "closed list")
        for m, floor in enumerate(rule.floors):
            if (floor.rule, floor.scope) not in scopes:
                yield ("rules", n, "floors", m), f"rule {floor.rule} has no scope {floor.scope}"
        yield from _unknown(("rules", n, "restarted_by"), filter(None, [rule.restarted_by]), EVENTS, "event")
        for m, trigger in enumerate(rule.triggers):
            path = ("rules", n, "triggers", m)
            yield from _unknown((*path, "event"), [trigger.event], EVENTS, "event")
            yield from _unknown((*path, "records"), trigger.records, RECORD_KINDS, "kind of record")
            yield from _unknown((*path, "dates"), trigger.dates, RECORD_DATES, "date of a record")
            if bool(trigger.records) != bool(trigger.dates):
                yield path, "names records without dates, or dates without records"


def _scope_references(schedule: ScheduleFile) -> Iterator[Problem]:
    for n, rule in enumerate(schedule.rules):
        for m, scope in enumerate(rule.scopes):
            path = ("rules", n, "scopes", m)
            section = schedule.processors.get(scope.processor)
            if section is None:
                yield (*path, "processor"), f"no processor {scope.processor!r} in the section processors"
                continue
            if not section.module:
                yield (*path, "processor"), f"nothing is erased at {scope.processor!r}: its module is false"
            what = f"dataset of {scope.processor}"
            yield from _unknown((*path, "datasets"), scope.datasets, section.datasets, what)
            yield from _unknown(
                (*path, "events"), scope.events, {t.event for t in rule.triggers}, "trigger of the rule"
            )
            for dataset in scope.datasets:
                if not set(section.datasets.get(dataset, rule.categories)) & set(rule.categories):
                    yield (*path, "datasets"), f"{dataset} holds no category that the rule names"


def _hold_references(schedule: ScheduleFile) -> Iterator[Problem]:
    datasets = {dataset for section in schedule.processors.values() for dataset in section.datasets}
    rules = {rule.id for rule in schedule.rules}
    for n, hold in enumerate(schedule.holds):
        yield from _unknown(("holds", n, "datasets"), hold.datasets, datasets, "dataset of any processor")
        yield from _unknown(("holds", n, "starts"), filter(None, [hold.starts]), rules, "rule")
        yield from _unknown(("holds", n, "overridden_by"), filter(None, [hold.overridden_by]), EVENTS, "event")
        if not hold.datasets and not hold.named:
            yield ("holds", n, "datasets"), "reaches nothing: name datasets, or say named: true"
        if hold.review_days > schedule.settings.hold_review_days:
            yield ("holds", n, "review_days"), f"is more than {schedule.settings.hold_review_days} days"


def _contradiction_references(schedule: ScheduleFile) -> Iterator[Problem]:
    sections = (schedule.purposes, schedule.categories, schedule.closed_lists, schedule.rules, schedule.holds)
    known = {part.id for section in sections for part in section} | {"policy_text"}
    known |= {f"settings.{name}" for name in type(schedule.settings).model_fields}
    for n, part in enumerate(schedule.contradictions):
        yield from _unknown(("contradictions", n, "by"), part.by, known, "rule, list, hold, category or setting")


def _rule_kinds(schedule: ScheduleFile) -> Iterator[Problem]:
    lists = {closed.id: closed for closed in schedule.closed_lists}
    for n, rule in enumerate(schedule.rules):
        if any(t.period.hours for t in rule.triggers):
            yield ("rules", n, "triggers"), "a retention period runs by days, months or years, not by hours"
        if not (rule.scopes or rule.floors or rule.store or rule.kind == "deadline"):
            yield ("rules", n), "does nothing: it has no scopes, no floors and no store"
        if rule.kind == "max" and not rule.scopes:
            yield ("rules", n, "scopes"), "missing: a maximum must say what is destroyed where"
        if rule.kind != "min" and (rule.store or rule.floors):
            yield ("rules", n, "kind"), "only a minimum keeps in a store or sets a floor"
        if rule.store:
            yield from _kept_items(n, rule, lists)


def _kept_items(n: int, rule: Rule, lists: dict[str, ClosedList]) -> Iterator[Problem]:
    if rule.items == "all":
        yield ("rules", n, "items"), "is open-ended; what a law keeps is a closed list"
        return
    if not any(t.records for t in rule.triggers):
        yield ("rules", n, "triggers"), "names no kind of record to keep"
    for subject in rule.subjects if rule.categories else ():
        if not any(subject in lists[name].subjects for name in rule.items if name in lists):
            yield ("rules", n, "items"), f"keeps nothing of a subject of type {subject}, which the rule names"


def _archive_groups(schedule: ScheduleFile) -> Iterator[Problem]:
    """The archive groups last days by half-weeks (Mon-Wed, Thu-Sun), and a group goes after its latest."""
    settings, kept = schedule.settings, any(rule.store for rule in schedule.rules)
    if kept and settings.destroy_within_days < HALF_WEEK_DAYS:
        yield (
            ("settings", "destroy_within_days"),
            f"is less than {HALF_WEEK_DAYS}: what ends on a Thursday goes with its half-week on Monday, too late",
        )
    if settings.archive.lock_mode != "GOVERNANCE":
        yield (
            ("settings", "archive", "lock_mode"),
            "must be GOVERNANCE: nobody could correct a wrong date in COMPLIANCE, and the law forbids keeping longer",
        )


def _every_category_has_a_rule(schedule: ScheduleFile) -> Iterator[Problem]:
    ruled = {category for rule in schedule.rules for category in rule.categories}
    for n, category in enumerate(schedule.categories):
        if category.id not in ruled:
            yield ("categories", n), "no rule names this category, so it would be kept for ever"


def _every_dataset_is_covered(schedule: ScheduleFile) -> Iterator[Problem]:
    covered: dict[tuple[str, str], set[str]] = {}
    by_rule: dict[tuple[str, str], set[str]] = {}
    for rule in schedule.rules:
        for scope in rule.scopes:
            for dataset in scope.datasets:
                covered.setdefault((scope.processor, dataset), set()).update(rule.categories)
                by_rule.setdefault((scope.processor, dataset), set()).add(rule.id)
    for name, section in schedule.processors.items():
        for dataset, categories in section.datasets.items():
            path = ("processors", name, "datasets", dataset)
            if (name, dataset) not in covered:
                yield path, "no rule has a scope with this dataset, so it would be kept for ever"
            elif missing := sorted(set(categories) - covered[name, dataset]):
                yield path, f"no rule that reaches it names {', '.join(missing)}"
            elif section.id.startswith("V-") and PROCESSOR_RULE not in by_rule[name, dataset]:
                yield path, f"{PROCESSOR_RULE} has no scope with it, so {name} would keep it after the contract"
        if section.module and not section.datasets:
            yield ("processors", name, "datasets"), "is empty: say what is held there, or module: false"


def _overlapping_scopes(schedule: ScheduleFile) -> Iterator[Problem]:
    for n, rule in enumerate(schedule.rules):
        seen: dict[tuple[str, str, str], str] = {}
        for m, scope in enumerate(rule.scopes):
            for key in _reach(rule, scope):
                if key in seen:
                    yield ("rules", n, "scopes", m), f"overlaps scope {seen[key]}: both destroy {key[1]} on {key[2]}"
                seen.setdefault(key, scope.id)


def _reach(rule: Rule, scope: Scope) -> Iterator[tuple[str, str, str]]:
    for dataset in scope.datasets:
        for event in scope.events or tuple(t.event for t in rule.triggers):
            yield scope.processor, dataset, event


def _required_parts(schedule: ScheduleFile) -> Iterator[Problem]:
    rules = {rule.id: rule for rule in schedule.rules}
    yield from (_missing("holds", h) for h in COMPUTED_HOLDS if h not in {hold.id for hold in schedule.holds})
    yield from (_missing("rules", r) for r in (PROCESSOR_RULE, DEADLINE_RULE) if r not in rules)
    deadline = rules.get(DEADLINE_RULE)
    days = schedule.settings.destroy_within_days
    if deadline and (deadline.kind != "deadline" or any(t.period != Period(days=days) for t in deadline.triggers)):
        n = schedule.rules.index(deadline)
        yield ("rules", n, "triggers"), f"must be the deadline of settings.destroy_within_days, P{days}D"
    if rules.get(schedule.settings.suppression.rule) is None:
        yield ("settings", "suppression", "rule"), f"{schedule.settings.suppression.rule} is no rule"
    for kind in sorted(RECORD_KINDS):
        if not any(kind in t.records for rule in schedule.rules for t in rule.triggers):
            yield ("rules",), f"no rule keeps records of kind {kind}; a statutory record would be destroyed too early"


def _modules(schedule: ScheduleFile, modules: frozenset[str]) -> Iterator[Problem]:
    named = {name for name, section in schedule.processors.items() if section.module}
    for name in sorted(named - modules):
        yield ("processors", name), f"no module include/processors/{name}.py"
    for name in sorted(modules - named):
        yield ("processors",), f"include/processors/{name}.py has no section here, so its data has no rule"


def _missing(section: str, identity: str) -> Problem:
    return (section,), f"{identity} is missing; the program depends on it"


def _unknown(path: tuple[str | int, ...], names: Iterable[str], known: Collection[str], what: str) -> Iterator[Problem]:
    for name in names:
        if name not in known:
            yield path, f"{name!r} is no {what}"


def _twice(path: tuple[str | int, ...], names: Iterable[str]) -> Iterator[Problem]:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            yield path, f"{name!r} is listed twice"
        seen.add(name)
