"""What the report says, in one language: headings, sentences, tables and charts, without any drawing.

Both languages are made from the same figures by the same code, so their numbers cannot differ; `report_pages` draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from include.evidence.figures import LATENESS, Figures, reconciliation
from include.evidence.lives import Selection
from include.evidence.sheets import Titles
from include.evidence.sheets_disposals import Confirmations, Exceptions, Paper, Requests
from include.evidence.sheets_registers import Access, Holds, Policies, Storage
from include.evidence.sheets_registers import Requests as PersonRequests
from include.evidence.words import MEASURES, both, one


@dataclass(frozen=True, slots=True)
class Heading:
    """A section begins."""

    text: str


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph."""

    text: str


@dataclass(frozen=True, slots=True)
class Table:
    """A table; `widths` are shares of the page; columns from `numbers` on are set right."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    widths: tuple[float, ...]
    numbers: int = 99


@dataclass(frozen=True, slots=True)
class Bars:
    """Stacked horizontal bars: one bar per name, one colour per series."""

    names: tuple[str, ...]
    series: tuple[tuple[str, tuple[int, ...]], ...]


Block = Heading | Text | Table | Bars


@dataclass(frozen=True, slots=True)
class Cover:
    """What the first page states."""

    origin: str
    first_index: int
    size: int
    root: str
    policy_sha256: str


def blocks(figures: Figures, cover: Cover, titles: Titles, selection: Selection, language: str) -> list[Block]:
    """Return the report's contents in `language`."""
    say = _Says(language)
    whole = selection.whole and not cover.first_index
    return [
        *_cover(figures, cover, titles, selection, say),
        Heading(say("처리처별 결과", "Outcomes by place")),
        _outcome_bars(figures, titles, say),
        _outcomes(figures, titles, say),
        Heading(say("기한 준수", "Lateness")),
        Text(
            say(
                "읽어서 확인한 파기의 기한 초과 일수. 기한은 보유 만료일 + 5일이며, 보유가 없던 건은 제외합니다.",
                "Days after the day by which destruction was due (last day + 5), for what was destroyed. Where nothing "
                "was found, nothing could be late.",
            )
        ),
        _late_bars(figures, titles, say),
        _lateness(figures, titles, say),
        Heading(say("항목별 결과", "Outcomes by category")),
        Text(say("한 건이 여러 항목에 계산될 수 있습니다.", "One disposal counts in each of its categories.")),
        _categories(figures, titles, say),
        Heading(say("예외와 미완료", "Exceptions and open items")),
        _exceptions(figures, titles, say),
        Heading(say("분리보관", "Separate storage")),
        _archive(figures, titles, say),
        Heading(say("대사", "Reconciliation")),
        _reconciliation(figures, say, whole=whole),
        Heading(say("장부의 행 수", "Rows in the sheets")),
        _sheets(figures, say),
        Heading(say("이 보고서가 증명하지 않는 것", "What this report does not prove")),
        *_limits(say),
    ]


class _Says:
    """Chooses between two texts."""

    def __init__(self, language: str) -> None:
        self.language = language

    def __call__(self, ko: str, en: str) -> str:
        return ko if self.language == "ko" else en

    def word(self, code: str) -> str:
        return one(both(code), self.language)

    def title(self, title: str) -> str:
        return one(title, self.language)


def _cover(figures: Figures, cover: Cover, titles: Titles, selection: Selection, say: _Says) -> list[Block]:
    nothing = say("전체", "all")
    period = f"{selection.start or figures.first_day} ~ {selection.end or figures.last_day}"
    facts = (
        (say("기간(기준일)", "Period (business dates)"), period),
        (say("처리처", "Place"), say.title(titles.place(selection.processor)) if selection.processor else nothing),
        (say("식별 태그", "Subject tag"), selection.subject_tag or nothing),
        (say("증거 기록", "Evidence log"), cover.origin),
        (say("기록 범위", "Entries"), f"{cover.first_index} ~ {cover.size - 1} ({cover.size - cover.first_index})"),
        (say("체크포인트 루트", "Checkpoint root"), cover.root),
        (say("규칙 파일 SHA-256", "Schedule SHA-256"), cover.policy_sha256 or "-"),
        (say("도래한 파기 건", "Disposals due"), str(figures.total())),
        (say("읽어서 확인됨", "Proven by reading"), str(figures.proven)),
        (say("증명되지 않음", "Not proven"), str(figures.total() - figures.proven)),
        (say("기한 전 파기", "Acted on early"), str(figures.early)),
    )
    return [
        Table((say("항목", "Item"), say("값", "Value")), facts, (0.28, 0.72)),
        Text(
            say(
                "이 문서의 모든 수치는 같은 폴더의 entries.jsonl에서 계산했습니다. "
                "verify.py로 폴더 전체를 검증할 수 있습니다.",
                "Every number here is counted from entries.jsonl in this folder. verify.py checks the whole folder.",
            )
        ),
    ]


def _used(figures: Figures) -> list[str]:
    return [m for m in MEASURES if figures.total(m)]


def _outcome_bars(figures: Figures, titles: Titles, say: _Says) -> Bars:
    names = tuple(say.title(titles.place(p)) for p in figures.by_place)
    return Bars(names, tuple((say.word(m), tuple(c[m] for c in figures.by_place.values())) for m in _used(figures)))


def _late_bars(figures: Figures, titles: Titles, say: _Says) -> Bars:
    names = tuple(say.title(titles.place(p)) for p in sorted(figures.late))
    buckets = ((f"{b} {say('일', 'days')}", b) for b, _ in LATENESS)
    return Bars(names, tuple((t, tuple(c[b] for _, c in sorted(figures.late.items()))) for t, b in buckets))


def _counts(header: Sequence[str], rows: Sequence[tuple[str, Sequence[int]]], first: float, total: str) -> Table:
    """Return a table of numbers with a line of sums, if `total` names one."""
    lines = [(name, *map(str, numbers), str(sum(numbers))) for name, numbers in rows]
    if total and rows:
        sums = [sum(column) for column in zip(*(numbers for _, numbers in rows), strict=True)]
        lines.append((total, *map(str, sums), str(sum(sums))))
    share = (1 - first) / (len(header) - 1)
    return Table(tuple(header), tuple(lines), (first, *[share] * (len(header) - 1)), numbers=1)


def _outcomes(figures: Figures, titles: Titles, say: _Says) -> Table:
    used = _used(figures)
    rows = [(say.title(titles.place(p)), [c[m] for m in used]) for p, c in figures.by_place.items()]
    header = [say("처리처", "Place"), *map(say.word, used), say("도래", "Due")]
    return _counts(header, rows, 0.18, say("합계", "Total"))


def _categories(figures: Figures, titles: Titles, say: _Says) -> Table:
    used = _used(figures)
    rows = [(f"{d} {say.title(titles(d))}", [c[m] for m in used]) for d, c in figures.by_category.items()]
    return _counts([say("항목", "Category"), *map(say.word, used), say("도래", "Due")], rows, 0.24, "")


def _lateness(figures: Figures, titles: Titles, say: _Says) -> Table:
    buckets = [b for b, _ in LATENESS]
    rows = [(say.title(titles.place(p)), [c[b] for b in buckets]) for p, c in sorted(figures.late.items())]
    header = [say("처리처", "Place"), *(f"{b} {say('일', 'days')}" for b in buckets), say("계", "Sum")]
    return _counts(header, rows, 0.3, say("합계", "Total"))


def _exceptions(figures: Figures, titles: Titles, say: _Says) -> Block:
    rows = tuple(
        (say.title(titles.place(p)), say.word(state), say.word(code) if code else "-", str(n))
        for (p, state, code), n in sorted(figures.exceptions.items())
    )
    if not rows:
        return Text(say("이 기간에 해당 사항 없음.", "None in this period."))
    header = (say("처리처", "Place"), say("상태", "State"), say("사유 코드", "Code"), say("건수", "Count"))
    return Table(header, rows, (0.25, 0.25, 0.38, 0.12), numbers=3)


def _archive(figures: Figures, titles: Titles, say: _Says) -> Block:
    rows = tuple(
        (
            f"{rule} {say.title(titles(rule))}", *(str(counts[k]) for k in ("objects", "rows", "subjects")),
            " ~ ".join(figures.archive_ends[rule]),
        )
        for rule, counts in sorted(figures.archive.items())
    )  # fmt: skip
    if not rows:
        return Text(say("이 기간에 해당 사항 없음.", "None in this period."))
    header = (
        say("법령 규칙", "Rule"), say("개체", "Objects"), say("행", "Rows"),
        say("정보주체(개체별 합)", "Subjects, per object"), say("보존 만료일", "Last days"),
    )  # fmt: skip
    return Table(header, rows, (0.36, 0.11, 0.11, 0.16, 0.26), numbers=1)


def _reconciliation(figures: Figures, say: _Says, *, whole: bool) -> Table:
    rows = tuple(
        (say.title(name), str(number), say.title(both(agrees)) if agrees else "")
        for name, number, agrees, _ in reconciliation(figures, whole=whole)
    )
    return Table((say("무엇", "What"), say("수", "Number"), say("일치", "Agrees")), rows, (0.6, 0.15, 0.25), numbers=1)


def _sheets(figures: Figures, say: _Says) -> Table:
    kinds = (Requests, Storage, Holds, Confirmations, PersonRequests, Exceptions, Paper, Policies, Access)
    sheets = sorted((k.sheet for k in kinds), key=lambda s: s.number)
    rows = tuple((str(s.number), say(s.ko, s.en), str(figures.rows.get(s.number, 0))) for s in sheets)
    ledger = ("1", say("파기 관리대장", "destruction ledger"), str(figures.rows.get(1, 0)))
    return Table(("#", say("장부", "Sheet"), say("행", "Rows")), (ledger, *rows), (0.1, 0.65, 0.25), numbers=2)


def _limits(say: _Says) -> list[Block]:
    return [
        Text(
            say(
                "수탁사가 내부 사본까지 실제로 삭제했는지는 밖에서 증명할 수 없습니다. "
                "확인은 우리가 다시 읽은 결과입니다.",
                "That a processor really removed its internal copies cannot be proven from outside. Confirmed means: "
                "we read the place again, and this is what we found.",
            )
        ),
        Text(
            say(
                "'수탁사 자체 보관', '자동 소멸 예정', '사람 처리 대기', '기일 대기', '보류·차단', "
                "'실패'는 파기로 세지 않습니다.",
                "Kept by processor, will lapse, waits for a person or a date, held, failed: none counts as destroyed.",
            )
        ),
    ]
