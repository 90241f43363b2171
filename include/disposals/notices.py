"""The notice of result (처리결과 통지): what was erased, what is kept under which law, what waits and until when.

Composed from proven outcomes only, Korean first, then English; nothing of the person is in it, so that it may be shown
to whoever reads it out on the telephone or puts it into an envelope.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row

from include.evidence.words import both, one
from include.outcomes import Outcome
from include.policy.answers import section
from include.policy.parts import Title
from include.policy.schedule import Schedule

GONE = {Outcome.CONFIRMED_ABSENT, Outcome.CONFIRMED_ANONYMISED, Outcome.MANUAL_ATTESTED}
WAITING = {
    Outcome.AWAITING,
    Outcome.MANUAL_PENDING,
    Outcome.EXPIRES_BY_PROCESSOR,
    Outcome.ACCEPTED,
    Outcome.ATTEMPTED,
    Outcome.LOCATED,
    Outcome.ARCHIVED,
    Outcome.PLANNED,
    Outcome.FAILED,
    Outcome.REAPPEARED,
}


@dataclass(frozen=True, slots=True)
class Notice:
    """What is sent: subject and text."""

    subject: str
    text: str


@dataclass(frozen=True, slots=True)
class _Words:
    subject: str
    gone: str
    nothing: str
    kept: str
    held: str
    waiting: str
    address: str
    refused: str
    offer: str
    later: str
    until: str
    from_: str
    step: str
    objection: str


KO = _Words(
    subject="개인정보 처리 요구 결과 안내",
    gone="파기가 확인된 정보",
    nothing="보유하지 않음이 확인된 정보",
    kept="법령에 따라 분리 보관하는 정보",
    held="보류된 정보",
    waiting="처리 중인 정보",
    address="이 안내를 보낸 뒤 파기하는 정보",
    refused="파기하지 않는 정보",
    offer="가입해지를 하시면 파기할 수 있습니다",
    later="정해진 날에 파기하는 정보",
    until="까지",
    from_="부터",
    step="다음 확인일",
    objection="이의 제기",
)
EN = _Words(
    subject="Result of your request about your personal data",
    gone="Erased, and read back as gone",
    nothing="Looked for and not held",
    kept="Kept apart because a law orders it",
    held="On hold",
    waiting="Still under way",
    address="Erased after this notice has been sent",
    refused="Not erased",
    offer="ending the contract would let us erase it",
    later="Erased on its own date",
    until="until",
    from_="from",
    step="next look",
    objection="How to object",
)


def compose(preview: Mapping[str, Any], rows: Sequence[Row[Any]], schedule: Schedule) -> Notice:
    """Return the notice of a request: `preview` is its approved plan, `rows` its disposals as they stand now."""
    halves = [_half(preview, rows, schedule, words, lang) for words, lang in ((KO, "ko"), (EN, "en"))]
    company = schedule.company
    return Notice(f"[{company.ko}] {KO.subject} · {EN.subject}", "\n\n".join(halves) + "\n")


def _half(preview: Mapping[str, Any], rows: Sequence[Row[Any]], schedule: Schedule, words: _Words, lang: str) -> str:
    named = _Named(schedule, lang)
    address = [r for r in rows if r.code == "notice_first"]
    rest = [r for r in rows if r.code != "notice_first"]
    gone = [r for r in rest if Outcome(r.outcome) in GONE]
    parts = [
        words.subject,
        f"{preview['received_on']} · {', '.join(preview['basis'])}",
        _list(words.gone, (named.row(r) for r in gone if r.count_before != 0)),
        _list(words.nothing, (named.row(r) for r in gone if r.count_before == 0)),
        _list(words.address, (named.row(r) for r in address)),
        _list(words.kept, _kept(preview, rest, named, words)),
        _list(words.held, (f"{named.row(r)}: {named.hold(r)}" for r in rest if r.outcome == Outcome.BLOCKED)),
        _list(words.waiting, (_waiting(r, named, words) for r in rest if Outcome(r.outcome) in WAITING)),
        _list(words.refused, _refused(preview, named, words)),
        _list(words.later, (f"{d['free_from']} {words.from_}: {named.line(d)}" for d in preview["later"])),
        f"{words.objection}: {named.of(section(schedule).objection)}",
    ]
    return "\n\n".join(p for p in parts if p)


def _list(title: str, lines: Iterable[str]) -> str:
    rows = list(dict.fromkeys(lines))
    return "\n".join([f"{title}:", *(f"  - {line}" for line in rows)]) if rows else ""


class _Named:
    """Names of places, data, laws and holds in one language."""

    def __init__(self, schedule: Schedule, lang: str) -> None:
        self.schedule, self.lang = schedule, lang

    def of(self, title: Title) -> str:
        """Return a title in this language."""
        return str(getattr(title, self.lang))

    def what(self, processor: str, categories: Iterable[str]) -> str:
        """Return a place and what it holds."""
        held = ", ".join(self.of(self.schedule.categories[c].title) for c in categories)
        return f"{self.of(self.schedule.processors[processor].title)}: {held}"

    def row(self, row: Row[Any]) -> str:
        """Return what a disposal is about."""
        return self.what(row.processor, row.categories)

    def line(self, line: Mapping[str, Any]) -> str:
        """Return what a line of the preview is about."""
        return self.what(line["processor"], line["categories"])

    def law(self, rule_id: str) -> str:
        """Return the law behind a rule."""
        basis = self.schedule.rules[rule_id].basis[0]
        return f"{basis.law if self.lang == 'ko' else basis.law_en} {basis.article}"

    def hold(self, row: Row[Any]) -> str:
        """Return why a disposal is held."""
        kind = (row.code or "").removeprefix("hold_").upper()
        known = self.schedule.holds.get(kind)
        return self.of(known.title) if known else one(both(row.code or ""), self.lang)


def _kept(preview: Mapping[str, Any], rows: Sequence[Row[Any]], named: _Named, words: _Words) -> Iterable[str]:
    laws: dict[tuple[str, str], list[str]] = {}
    for line in preview["kept"]:
        laws.setdefault((line["rule_id"], line["until"]), []).append(line["item"])
    for (rule, until), listed in sorted(laws.items()):
        yield f"{named.law(rule)} ({until} {words.until}): {', '.join(listed)}"
    for line in preview["minimums"]:
        yield f"{named.law(line['rule_id'])} ({line['last_day']} {words.until}): {named.line(line)}"
    for row in rows:
        if row.outcome == Outcome.RETAINED:
            yield f"{named.row(row)} ({row.until} {words.until}, {row.basis or row.code or ''})"
        elif row.outcome == Outcome.RETAINED_BY_PROCESSOR:
            yield f"{named.row(row)} ({row.basis})"


def _waiting(row: Row[Any], named: _Named, words: _Words) -> str:
    """Return a dated line: until when this place takes, or when it is looked at again."""
    day = row.until or row.due_at or row.destroy_by
    return f"{named.row(row)} ({words.step} {day}, {one(both(row.code or row.outcome), named.lang)})"


def _refused(preview: Mapping[str, Any], named: _Named, words: _Words) -> Iterable[str]:
    for line in preview["refused"]:
        place = named.of(named.schedule.processors[line["processor"]].title)
        yield f"{place} ({line['code']}, {line['law']})" + (f"; {words.offer}" if line["offer"] else "")
