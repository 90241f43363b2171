"""The numbers of one export, counted once; the summary sheet, both reports and the pictures all show these.

Each disposal has exactly one measure (`words.MEASURES`), so what is due equals the sum of its measures by construction;
what can disagree is the outside: the run's own counts from our database, and the company's register of accounts, which
the night itself reconciled with what became of each (`population` entries, codes `source` and `reconciled`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from include.evidence.lives import Following, Item, Life
from include.evidence.sheets import Cell, Row, Sheet, Titles
from include.evidence.verify import TERMINATED
from include.evidence.words import MEASURES, PROVEN, both, one

LATENESS = (("0", 0), ("1-30", 30), ("31-365", 365), ("> 365", None))
"""Days after the last day to destroy; the law names five days after the period's end, which `destroy_by` includes."""


@dataclass(slots=True)
class Figures:
    """What was counted; `source` and `reconciled` are the newest night's own counts of accounts."""

    by_place: dict[str, Counter[str]] = field(default_factory=dict)
    by_category: dict[str, Counter[str]] = field(default_factory=dict)
    late: dict[str, Counter[str]] = field(default_factory=dict)
    early: int = 0
    exceptions: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    source: dict[str, int] = field(default_factory=dict)
    source_on: str = ""
    reconciled: dict[str, int] = field(default_factory=dict)
    reconciled_on: str = ""
    run_counts_agree: bool | None = None
    policies: list[tuple[str, str]] = field(default_factory=list)
    policy_sha256: str = ""
    """The schedule of the newest run in the export."""
    archive: dict[str, Counter[str]] = field(default_factory=dict)
    archive_ends: dict[str, tuple[str, str]] = field(default_factory=dict)
    rows: dict[int, int] = field(default_factory=dict)
    first_day: str = ""
    last_day: str = ""
    entries: int = 0

    def total(self, measure: str | None = None) -> int:
        """Return the disposals in one measure, or all that were due."""
        return sum(c[measure] if measure else c.total() for c in self.by_place.values())

    @property
    def proven(self) -> int:
        """Disposals read back as gone, anonymised, or never there."""
        return sum(self.total(m) for m in PROVEN)


class Summary:
    """요약: what was due and what became of it, per place and category, against the company's own counts."""

    sheet = Sheet(
        11,
        "11-summary",
        "요약",
        "summary",
        (
            ("구분", "section"), ("이름", "name"), ("도래", "due"),
            *MEASURES.values(),
            ("원천 수치", "source count"), ("일치", "agrees"), ("설명", "note"),
        ),
    )  # fmt: skip

    def __init__(self, titles: Titles, *, whole: bool) -> None:
        self._titles, self._whole = titles, whole
        self.figures = Figures()
        self._now: Counter[str] | None = None

    def take(self, item: Item, following: Following) -> None:
        """Count one entry."""
        entry, event = item.entry, item.entry["event"]
        self.figures.entries += item.shown
        if item.life is not None:
            self._disposal(item, item.life)
        elif event == "population" and entry.get("code") == "reconciled":
            self.figures.reconciled, self.figures.reconciled_on = entry["counts"], entry["as_of"]
        elif event == "population":
            self.figures.source, self.figures.source_on = entry["counts"], entry["as_of"]
        elif event == "run_finished":
            now = {k: n for k, n in following.now.items() if n}
            self.figures.run_counts_agree = (now == entry.get("counts")) if self._whole else None
        elif event == "run_started":
            self.figures.policy_sha256 = entry.get("policy_sha256", "")
        elif event == "policy_approved":
            self.figures.policies.append((entry["as_of"], entry["policy_sha256"]))

    def _disposal(self, item: Item, life: Life) -> None:
        entry, figures = item.entry, self.figures
        figures.early += entry["event"] == "attempted" and entry["as_of"] < entry["free_from"]
        if item.closes and item.shown:
            self._count(life, entry["as_of"])

    def _count(self, life: Life, on: str) -> None:
        entry, figures, state = life.entry, self.figures, life.state
        figures.by_place.setdefault(entry["processor"], Counter())[state] += 1
        for category in entry["categories"]:
            figures.by_category.setdefault(category, Counter())[state] += 1
        if state in ("destroyed", "anonymised", "attested"):  # where nothing was, nothing was destroyed late
            days = life.days_late(on)
            bucket = next(name for name, limit in LATENESS if limit is None or days <= limit)
            figures.late.setdefault(entry["processor"], Counter())[bucket] += 1
        elif state != "nothing":
            figures.exceptions[entry["processor"], state, entry.get("code", "")] += 1

    def close(self, end: Following, stored: dict[str, dict[str, Any]]) -> Figures:
        """Count what is open and what the archive holds; return all figures."""
        figures = self.figures
        for life in end.open.values():
            self._count(life, end.last_day)
        for kept in stored.values():
            entry = kept["entry"]
            counts = figures.archive.setdefault(entry.get("rule_id", "?"), Counter())
            counts.update(objects=1, rows=entry.get("rows", 0), subjects=entry.get("subjects", 0))
            first, last = figures.archive_ends.get(entry.get("rule_id", "?"), ("9999", ""))
            day = entry.get("last_day", "")
            figures.archive_ends[entry.get("rule_id", "?")] = (min(first, day), max(last, day))
        figures.first_day, figures.last_day = end.first_day, end.last_day
        figures.by_place = dict(sorted(figures.by_place.items()))
        figures.by_category = dict(sorted(figures.by_category.items()))
        return figures

    def rows(self, end: Following) -> Iterator[Row]:
        """Yield the sheet: places (they add up), categories (a disposal counts in each), then the reconciliation."""
        figures, places = self.figures, "처리처별 · by place"
        for name, counts in figures.by_place.items():
            yield self._counted(places, self._titles.place(name), counts, "")
        yield self._counted(places, "합계 · total", sum(figures.by_place.values(), Counter()), "")
        note = "한 건이 여러 항목에 계산됨 · one disposal counts in each of its categories"
        for name, counts in figures.by_category.items():
            yield self._counted("항목별 · by category", f"{name} {self._titles(name)}", counts, note)
        blank: tuple[Cell, ...] = ("",) * (1 + len(MEASURES))
        for name, source, agrees, why in reconciliation(figures, whole=self._whole):
            yield ("대사 · reconciliation", name, *blank, source, both(agrees), why)

    def _counted(self, section: str, name: str, counts: Counter[str], note: str) -> Row:
        return (section, name, counts.total(), *(counts[m] for m in MEASURES), "", "", note)


CLASSES = dict(
    zip(
        TERMINATED,
        (
            "계정: 파기 완료 · accounts: destroyed",
            "계정: 보류 · accounts: held",
            "계정: 분리보관 또는 수탁사 보관 · accounts: kept under a law or by a processor",
            "계정: 기한 전 · accounts: not yet due",
            "계정: 기한 도래·미완료 · accounts: due and not done",
        ),
        strict=True,
    )
)


def adds_up(counts: Mapping[str, int]) -> bool:
    """Return whether the classes of a reconciliation add up to the terminated accounts."""
    return counts.get("terminated") == sum(counts.get(c, 0) for c in CLASSES)


def reconciliation(figures: Figures, *, whole: bool) -> list[tuple[str, Cell, str, str]]:
    """Return `(what, number, agrees, why)`: the run's own counts, then the accounts of the company's register.

    The run's counts of disposals only agree over the whole log; the night's counts of accounts are whole in themselves.
    """
    told = "unknown" if figures.run_counts_agree is None else "yes" if figures.run_counts_agree else "no"
    part = "" if whole else "일부만 내보내 대조 불가 · cannot be compared over a part of the log"
    found: list[tuple[str, Cell, str, str]] = [
        (
            "실행이 남긴 결과별 건수 · the last run's own counts",
            figures.total(),
            told,
            part or "데이터베이스 집계와 기록 비교 · our database's counts against these entries",
        )
    ]
    for name, count in sorted(figures.source.items()):
        korean, english = one(both(name), "ko"), one(both(name), "en")
        found.append((f"원천: {korean} · register: {english}", count, "", figures.source_on))
    counts = figures.reconciled
    if not counts:
        nothing = "이 내보내기에 대사 기록 없음 · no reconciliation entry in this export"
        return [*found, ("해지 계정 대사 · terminated accounts reconciled", "", "unknown", nothing)]
    why = (
        f"{figures.reconciled_on}: 해지 = 파기 + 보류 + 보관 + 기한 전 + 미완료 · "
        "terminated = destroyed + held + kept + not yet due + not done"
    )
    agrees = "yes" if adds_up(counts) else "no"
    found.append(("해지 계정 대사 · terminated accounts reconciled", counts.get("terminated", 0), agrees, why))
    found += [(title, counts.get(name, 0), "", "") for name, title in CLASSES.items()]
    waits = "기한 전 중 기일·사람 대기 · of those not yet due, waiting for a date or a person"
    return [*found, (waits, counts.get("waiting", 0), "", "")]
