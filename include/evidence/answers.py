"""What a question is made of: what it is asked about, its answer, its language, and the lives of disposals."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from include.evidence.verify import closes
from include.evidence.words import MEASURES, WORDS, state_of

Entry = dict[str, Any]
Entries = Iterable[tuple[int, Entry]]
SHOWN = 50
"""How many single lines, and entries to prove, an answer shows; its counts are over all."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a question may be asked about: tags by epoch, a business date, a month, an entry, a run, rules; and in which
    language (`ko` or `en`) it is answered.
    """

    tags: frozenset[str] = frozenset()
    epochs: tuple[str, ...] = ()
    on: str = ""
    until: str = ""
    index: int = -1
    run_id: str = ""
    rules: bytes | None = field(default=None, repr=False)
    language: str = "en"

    def say(self, ko: str, en: str) -> str:
        """Return a sentence in the language asked for."""
        return ko if self.language == "ko" else en

    def word(self, code: str) -> str:
        """Return a code as people say it: in Korean with the code behind it, in English the code itself."""
        if self.language != "ko" or not code:
            return code
        if code.startswith("hold_h-"):
            return f"보류 {code[5:].upper()}({code})"
        state = state_of(code, count_before=None) if code not in WORDS else ""
        pair = WORDS.get(code) or EVENTS.get(code) or MEASURES.get(code) or (MEASURES[state] if state else None)
        return f"{pair[0]}({code})" if pair and (state != "underway" or code in EVENTS) else code


EVENTS: dict[str, tuple[str, str]] = {
    "planned": ("계획됨", "planned"),
    "located": ("소재 확인", "located"),
    "archived": ("분리보관", "archived"),
    "attempted": ("파기 시도", "attempted"),
    "accepted": ("접수됨", "accepted"),
    "released": ("보류 해제", "released"),
    "reappeared": ("재출현", "reappeared"),
    "restored": ("복원", "restored"),
    "sighting_decided": ("재출현 판단", "sighting decided"),
    "swept": ("재조회", "swept"),
    "cpo_check": ("대장 점검·서명", "ledger signed"),
    "approval_requested": ("승인 요청", "approval requested"),
    "request_received": ("요구 접수", "request received"),
    "request_answered": ("요구 답변", "request answered"),
    "manual_answered": ("수기 처리 답변", "manual step answered"),
    "incident_assessed": ("사고 판단", "incident assessed"),
    "hold_placed": ("보류 설정", "hold placed"),
    "hold_released": ("보류 해제", "hold released"),
    "hold_reviewed": ("보류 재검토", "hold reviewed"),
    "key_destroyed": ("키 파기", "key destroyed"),
    "destroyed": ("파기", "destroyed"),
    "held": ("보류", "held"),
    "not_yet_due": ("기한 미도래", "not yet due"),
    "not_done": ("미이행", "not done"),
    "waiting": ("기일 대기", "waiting"),
    "intended": ("파기 예정", "intended"),
    "confirmed_absent": ("파기 확인", "read back as gone"),
}
"""What happens, in Korean and English, where the words of sheets and reports have no name for it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What is so, line by line, and the log indexes that prove it."""

    lines: list[str]
    rows: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Question:
    """One question of the catalogue; `needs` names the options it cannot do without."""

    number: int
    ko: str
    words: str
    answer: Callable[[Entries, Asked], Answer]
    needs: tuple[str, ...] = ()


@dataclass(slots=True)
class Life:
    """What is known about one disposal: its first and newest entry."""

    first: Entry
    index: int
    last: Entry
    intended: bool = False
    kept: tuple[Entry, ...] = ()
    """What any entry said is kept of it: items, rule, law, until."""

    @property
    def closed(self) -> bool:
        """Whether nothing is left to do."""
        return closes(self.last)


def lives(entries: Entries, *, until: str = "") -> Iterator[Life]:
    """Yield each disposal as it ends, and at the end those still open, as known on business date `until`."""
    known: dict[str, Life] = {}
    for index, entry in entries:
        key = entry.get("disposal_id")
        if key is None or (until and entry["as_of"] > until):
            continue
        life = known.setdefault(key, Life(entry, index, entry))
        life.index, life.last = index, entry
        life.intended |= entry["event"] == "attempted"
        if "exceptions" in entry:
            life.kept = tuple(entry["exceptions"])
        if life.closed:
            yield known.pop(key)
    yield from known.values()


def shown(asked: Asked, life: Life) -> str:
    """Return a disposal in one line, without anybody in it."""
    e = life.last
    place = f"{e['processor']}/{e['scope']} ({', '.join(e['categories'])})"
    ko = "".join(
        f", {n} {asked.word(e[k])}" for k, n in (("code", "코드"), ("basis", "근거"), ("until", "기한")) if k in e
    )
    en = "".join(f", {k} {e[k]}" for k in ("code", "basis", "until") if k in e)
    return asked.say(
        f"{place}: {asked.word(e['event'])}{ko}, {e['as_of']}; {e['rule_id']}, 보유 만료일 {e['last_day']}, "
        f"기록 {life.index}",
        f"{place}: {e['event']}{en} on {e['as_of']}; {e['rule_id']}, last day {e['last_day']}, entry {life.index}",
    )


def dated(asked: Asked, entries: Entries, events: Iterable[str]) -> Answer:
    """Return every entry of some events in one line each, with who acted."""
    wanted, lines, rows = frozenset(events), list[str](), list[int]()
    named = (("actor", "처리"), ("approver", "승인"), ("witness", "입회"))
    for index, e in entries:
        if e["event"] in wanted:
            people = "".join(f", {asked.say(ko, k)} {e[k]['role']}:{e[k]['pseudonym']}" for k, ko in named if k in e)
            code = "".join(f" {asked.word(e[k])}" for k in ("code", "basis", "rule_id") if k in e)
            lines.append(f"{e['as_of']} {asked.word(e['event'])}{code}{people}, {asked.say('기록', 'entry')} {index}")
            rows.append(index)
    return Answer([asked.say(f"{len(lines)}건", f"{len(lines)} found"), *lines], rows[:SHOWN])


def rows_of(found: Iterable[Life]) -> list[int]:
    """Return the entries that prove some disposals, not more than an answer shows."""
    return [x.index for x in found][:SHOWN]
