"""Schedule: every rule in plain words with its law and a worked example, the lint's result, versions compared."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

from sqlalchemy import Connection
from starlette.responses import Response

from include import processors
from include.console.asking import Ask
from include.console.pages import Page
from include.console.reading import schedule as reading
from include.console.roles import Capability
from include.errors import DecisionRefused
from include.policy import schedule as schedules

page = Page("schedule", order=40)


@page.get("", Capability.COUNTS)
def show(ask: Ask) -> Response:
    """Show the schedule in force, its examples computed for a day (default: today in Seoul)."""
    schedule, waiting = ask.services.schedule, _configured(ask)
    with ask.services.reading() as connection:
        today = ask.services.as_of(connection)
        known = reading.versions(connection)
    day = _day(ask, today)
    rules = [
        (rule, [reading.example(schedule, rule, trigger, day) for trigger in rule.triggers])
        for rule in schedule.rules.values()
    ]
    return ask.render(
        "schedule.html", schedule=schedule, rules=rules, day=day, today=today, versions=known,
        problems=_problems(schedule.body, ask.services.folder), waiting=waiting,
        governs=any(row.sha256 == schedule.sha256 and reading.governs(row, today) for row in known),
        words=lambda period: reading.in_words(period, ask.words.language),
        who=lambda subjects: ", ".join(ask.words(f"subject.{s}") for s in subjects),
    )  # fmt: skip


def _day(ask: Ask, today: date) -> date:
    try:
        return date.fromisoformat(ask.query["day"]) if ask.query.get("day") else today
    except ValueError:
        raise DecisionRefused(ask.words("schedule.not_a_day")) from None


@dataclass(frozen=True, slots=True)
class Waiting:
    """The configured file where it is not the version in force: its digest and what the lint finds in it."""

    sha256: str
    problems: tuple[str, ...]


def _configured(ask: Ask) -> Waiting | None:
    path = os.environ.get("RETENTION_SCHEDULE")
    body = schedules.read(Path(path) if path else schedules.PACKAGED)
    if body == ask.services.schedule.body:
        return None
    return Waiting(_sha(body), _problems(body, ask.services.folder))


@lru_cache(maxsize=4)
def _problems(body: bytes, folder: Path) -> tuple[str, ...]:
    """Return what the lint finds in this text and the files beside it, against the processors that exist here."""
    found = schedules.check(body, file="schedule", folder=folder, processors=processors.names())
    return tuple(str(error) for error in found)


@page.get("versions", Capability.COUNTS)
def compare(ask: Ask) -> Response:
    """Show what differs between two versions; without `old` and `new` the newest two."""
    with ask.services.reading() as connection:
        old, new = _pair(ask, connection)
    before, after = (reading.read(body, ask.services.folder) for body in (old, new))
    changed = reading.differences(before, after) if before and after else None
    return ask.render(
        "schedule_versions.html", old=_sha(old), new=_sha(new), before=before, after=after, changed=changed,
        lines=reading.lines(old, new), most=reading.LINES,
    )  # fmt: skip


@page.post("moved", Capability.WORK)
def moved(ask: Ask) -> Response:
    """Plan today's accounts under both versions and show, as counts, whose due dates move; nothing is changed."""
    with ask.services.reading() as connection:
        today = ask.services.as_of(connection)
        old, new = reading.version(connection, ask.value("old")), reading.version(connection, ask.value("new"))
    before, after = (reading.read(body, ask.services.folder) for body in (old, new))
    if before is None or after is None:
        raise DecisionRefused(ask.words("schedule.unreadable"))
    found = reading.moved(ask.services.accounts, ask.services.engine, before, after, today)
    return ask.render("schedule_moved.html", found=found, old=before, new=after, today=today)


def _pair(ask: Ask, connection: Connection) -> tuple[bytes, bytes]:
    known = [row.sha256 for row in reading.versions(connection)]
    old, new = ask.query.get("old", ""), ask.query.get("new", "")
    if not (old and new):
        if len(known) < 2:
            raise DecisionRefused(ask.words("schedule.one_version"))
        new, old = known[:2]
    return reading.version(connection, old), reading.version(connection, new)


def _sha(body: bytes) -> str:
    return sha256(body).hexdigest()
