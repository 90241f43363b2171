"""What must hold in the schedule's section `requests`: nothing a law keeps is reached, every reference is there."""

from __future__ import annotations

from collections.abc import Iterator

from include.policy.models import Rule, ScheduleFile
from include.policy.parts import Problem
from include.policy.request_models import Reach, RequestKind, Requests

KOREAN_CLOCK = "KR"


def problems(schedule: ScheduleFile) -> Iterator[Problem]:
    """Yield everything wrong with the section; nothing when there is none."""
    if schedule.requests is None:
        return
    yield from _clocks(schedule, schedule.requests)
    yield from _contact(schedule, schedule.requests)
    if schedule.settings.metadata_days < schedule.requests.conf_days:
        yield ("settings", "metadata_days"), f"is shorter than requests.conf_days, {schedule.requests.conf_days}"
    rules = {rule.id: rule for rule in schedule.rules}
    seen: dict[tuple[str, str], int] = {}
    for n, kind in enumerate(schedule.requests.kinds):
        path = ("requests", "kinds", n)
        for state in kind.states:
            if (kind.id, state) in seen:
                yield (*path, "states"), f"{kind.id} governs {state} accounts twice"
            seen[kind.id, state] = n
        yield from _reaches(path, rules, kind)
        if kind.hold is not None and kind.hold not in {h.id for h in schedule.holds}:
            yield (*path, "hold"), f"{kind.hold!r} is no hold"
        if kind.rest is not None and kind.rest.offer and kind.rest.offer not in {k.id for k in schedule.requests.kinds}:
            yield (*path, "rest"), f"offers {kind.rest.offer!r}, which is no kind of request"


def _clocks(schedule: ScheduleFile, requests: Requests) -> Iterator[Problem]:
    ids = [clock.id for clock in requests.clocks]
    if KOREAN_CLOCK not in ids:
        yield ("requests", "clocks"), f"lacks {KOREAN_CLOCK}: Korean law always has a clock"
    for n, clock in enumerate(requests.clocks):
        path = ("requests", "clocks", n, "period")
        if ids.index(clock.id) != n:
            yield path, f"{clock.id} stands here twice"
        if clock.period.hours or (clock.count == "eu_1182_71") != bool(clock.period.months):
            yield path, f"{clock.period} does not fit {clock.count}"
        if clock.id == KOREAN_CLOCK and clock.period.days > schedule.settings.answer_days:
            yield path, f"is longer than settings.answer_days, {schedule.settings.answer_days}"
        if clock.id == KOREAN_CLOCK and clock.duty != "answer":
            yield ("requests", "clocks", n, "duty"), "Korean law asks for an answer"


def _contact(schedule: ScheduleFile, requests: Requests) -> Iterator[Problem]:
    own = schedule.processors["own_database"].datasets if "own_database" in schedule.processors else {}
    for name in ("dataset", "guardian_dataset"):
        if getattr(requests.contact, name) not in own:
            yield ("requests", "contact", name), "is no dataset of own_database"


def _reaches(path: tuple[str | int, ...], rules: dict[str, Rule], kind: RequestKind) -> Iterator[Problem]:
    if not kind.reaches and kind.hold is None:
        yield (*path, "reaches"), "reaches nothing and places no hold"
    for name, several in (("reaches", kind.reaches), ("withheld", kind.withheld)):
        for m, reach in enumerate(several):
            yield from _reach((*path, name, m), rules, reach)


def _reach(path: tuple[str | int, ...], rules: dict[str, Rule], reach: Reach) -> Iterator[Problem]:
    rule = rules.get(reach.rule)
    if rule is None:
        yield (*path, "rule"), f"{reach.rule!r} is no rule"
        return
    if rule.kind == "min":
        yield (*path, "rule"), f"{rule.id} is a statutory minimum; no request reaches what a law keeps"
    for name in reach.scopes:
        if name not in {scope.id for scope in rule.scopes}:
            yield (*path, "scopes"), f"{rule.id} has no scope {name!r}"
