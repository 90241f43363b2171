"""Certificates of destruction, for one subject or one processor: what is proven, and what is not.

A certificate names a subject by tag alone; who looks an account up computes its tag. Each line carries its log index n.
For a subject `proofs/<n, nine digits>.tlog-proof` proves that line alone (`proven_indexes` says which to write); the
lines of a processor, often thousands, are proven together by entries.jsonl under the checkpoint's root.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from include.errors import EvidenceError
from include.evidence.lives import Following, Life, Selection
from include.evidence.report import Block, Cover, Heading, Table, Text
from include.evidence.report_pages import draw
from include.evidence.sheets import Titles
from include.evidence.words import PROVEN, both

PDF_LINES = 300
"""A processor's certificate lists at most so many lines; the text beside it lists all."""


def proven_indexes(
    folder: Path, *, subject_tag: str = "", processor: str = "", period: Selection | None = None, first_index: int = 0
) -> list[int]:
    """Return the log indexes of the entries that prove what a certificate states."""
    proven, _ = _lives(folder, _select(subject_tag, processor, period), first_index)
    return [life.index for life in proven]


def write_certificate(
    folder: Path,
    cover: Cover,
    *,
    titles: Titles,
    subject_tag: str = "",
    processor: str = "",
    period: Selection | None = None,
) -> list[Path]:
    """Write the certificate as PDF and as plain text, both in Korean and English; return the two files."""
    selection = _select(subject_tag, processor, period)
    proven, rest = _lives(folder, selection, cover.first_index)
    name = f"subject-{subject_tag[:16]}" if subject_tag else f"processor-{processor}"
    about = subject_tag or " · ".join(dict.fromkeys((processor, titles.place(processor))))
    place = folder / "certificates"
    place.mkdir(exist_ok=True)
    head = _head(cover, selection, about, proven=len(proven), rest=len(rest))
    lines = [_line(life, titles) for life in proven]
    contents: list[Block] = [
        Table(("항목 · item", "값 · value"), head, (0.34, 0.66)),
        Heading("증명된 파기 · Proven"),
        _proven(lines[:PDF_LINES]),
        *([Text(f"… {name}.txt: {len(lines)}")] if len(lines) > PDF_LINES else []),
        Text(_PROOFS[bool(subject_tag)]),
        Heading("증명되지 않은 것 · Not proven"),
        _not_proven(rest, titles),
        *map(Text, _LIMITS),
    ]
    pdf, text = place / f"{name}.pdf", place / f"{name}.txt"
    footer = f"{cover.origin} {cover.size} {cover.root}"
    draw(pdf, title="파기 확인서 · Certificate of destruction", subtitle=about, footer=footer, blocks=contents)
    # A processor's is about many: each line of the text says whose it is, by tag.
    told = [[*_line(x, titles), *([] if subject_tag else [str(x.entry["subject_tag"])])] for x in (*proven, *rest)]
    closed, waiting = [tuple(t) for t in told[: len(proven)]], [tuple(t) for t in told[len(proven) :]]
    text.write_text(_text(head, closed, waiting, _PROOFS[bool(subject_tag)]), encoding="utf-8", newline="\n")
    return [pdf, text]


def _select(subject_tag: str, processor: str, period: Selection | None) -> Selection:
    if bool(subject_tag) == bool(processor):
        raise EvidenceError("A certificate is about one subject or one processor. Name exactly one of them.")
    days = period or Selection()
    return Selection(days.start, days.end, processor, subject_tag)


def _lives(folder: Path, selection: Selection, first_index: int) -> tuple[list[Life], list[Life]]:
    """Return what is proven and what is not, of the disposals the selection names."""
    following = Following(first_index, selection)
    ended = [i.life for i in following.items(folder / "entries.jsonl") if i.closes and i.shown and i.life]
    proven = [life for life in ended if life.state in PROVEN]
    rest = [life for life in ended if life.state not in (*PROVEN, "cancelled")]
    return proven, [*rest, *following.open.values()]


def _head(cover: Cover, selection: Selection, about: str, *, proven: int, rest: int) -> tuple[tuple[str, str], ...]:
    nothing = "이 범위에 기록 없음 · no record in this range"
    return (
        ("대상 · about", about),
        ("기간 · period", f"{selection.start or '…'} ~ {selection.end or '…'}"),
        ("기록 · log", f"{cover.origin}, {cover.first_index} ~ {cover.size - 1}"),
        ("체크포인트 루트 · checkpoint root", cover.root),
        ("규칙 파일 SHA-256 · schedule SHA-256", cover.policy_sha256),
        ("증명된 건 · proven", str(proven) if proven or rest else f"0 ({nothing})"),
        ("증명되지 않은 건 · not proven", str(rest)),
    )


_HEADER = (
    "처리처 · place", "자료 · data", "규칙 · rule", "기한 · due by", "확인일 · read on", "결과 · outcome",
    "건수 · count", "방법 · method", "기록 번호 · log index",
)  # fmt: skip


def _line(life: Life, titles: Titles) -> tuple[str, ...]:
    entry = life.entry
    before = "?" if life.count_before is None else str(life.count_before)
    return (
        titles.place(entry["processor"]), titles.several(entry["datasets"]), entry["rule_id"], entry["destroy_by"],
        entry["as_of"], both(life.state), f"{before} > {entry.get('count_after', '?')}",
        " / ".join(filter(None, (both(life.method) if life.method else "", entry.get("verify_method", "")))),
        str(life.index),
    )  # fmt: skip


def _proven(lines: list[tuple[str, ...]]) -> Block:
    if not lines:
        return Text("없음 · None.")
    return Table(_HEADER, tuple(lines), (0.12, 0.21, 0.06, 0.1, 0.1, 0.11, 0.07, 0.14, 0.09))


def _not_proven(rest: list[Life], titles: Titles) -> Block:
    if not rest:
        return Text("없음 · None.")
    counts = Counter(
        (titles.place(x.entry["processor"]), titles.several(x.entry["datasets"]), both(x.state),
         x.entry.get("basis", "") or both(x.entry.get("code", "")), x.entry.get("until", ""))
        for x in rest
    )  # fmt: skip
    header = ("처리처 · place", "자료 · data", "상태 · state", "근거 · basis", "기한 · until", "건수 · count")
    rows = tuple((*key, str(n)) for key, n in sorted(counts.items()))
    return Table(header, rows, (0.13, 0.31, 0.17, 0.19, 0.11, 0.09), numbers=5)


_PROOFS = {
    True: "기록 번호 n의 증명 · proof of log index n: proofs/<n 아홉 자리 · nine digits>.tlog-proof",
    False: "모든 줄의 증명 · proof of all lines: entries.jsonl, checkpoint, verify.py",
}

_LIMITS = (
    "이 확인서는 우리가 각 처리처를 다시 읽은 결과만 확인합니다. 수탁사 내부 사본, 백업, 그리고 기록에 계획되지 않은 "
    "자료에 대해서는 아무것도 증명하지 않습니다.",
    "This certificate states what we found when we read each place again. It proves nothing about a processor's "
    "internal copies, about backups, or about data no plan in this log names.",
)


def _text(
    head: tuple[tuple[str, str], ...], proven: list[tuple[str, ...]], rest: list[tuple[str, ...]], how: str
) -> str:
    lines = ["파기 확인서 · Certificate of destruction", ""]
    lines += [f"{name}: {value}" for name, value in head]
    for title, rows in (("증명된 파기 · Proven", proven), ("증명되지 않은 것 · Not proven", rest)):
        lines += ["", title, *(" | ".join(row) for row in rows or [("없음 · None.",)])]
    return "\n".join([*lines, "", how, *_LIMITS, ""])
