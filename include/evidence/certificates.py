"""Certificates of destruction, for one subject or one processor: what is proven, and what is not.

    made = certify(source.entries(), cover_of(source.note, 0, sha256), titles=titles, processor="stripe")
    made.pdf, made.text, made.indexes            # bytes and words in Korean and English; nothing is read or written

`source` is any of `sources` (the log's database, an exported folder) or an iterable of `(log index, entry)` in log
order. A certificate names a subject by tag alone; who looks an account up computes its tag (`lookups.look_up`), one for
each key epoch. Each line carries its log index n. For a subject `proofs/<n, nine digits>.tlog-proof` proves that line
alone; the lines of a processor, often thousands, are proven together by entries.jsonl under the checkpoint's root.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

from include.errors import EvidenceError
from include.evidence.lives import Following, Life, Selection
from include.evidence.report import Block, Cover, Heading, Table, Text
from include.evidence.report_pages import draw
from include.evidence.sheets import Titles
from include.evidence.words import PROVEN, both

PDF_LINES = 300
"""A processor's certificate lists at most so many lines; the text beside it lists all."""

CELLS = 7
"""Columns of a line; in the text of a processor's certificate the subject's tag follows them."""
Entries = Iterable[tuple[int, dict[str, Any]]]
Cells = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate as PDF and as plain text, and the log indexes of the entries that prove what it states."""

    name: str
    pdf: bytes = field(repr=False)
    text: str = field(repr=False)
    indexes: tuple[int, ...]


@dataclass(slots=True)
class _Found:
    """What a certificate states, line by line; of the lives themselves nothing is kept."""

    proven: list[Cells] = field(default_factory=list)
    indexes: list[int] = field(default_factory=list)
    rest: list[Cells] = field(default_factory=list)
    reasons: Counter[Cells] = field(default_factory=Counter)


def cover_of(note: str, first_index: int, policy_sha256: str) -> Cover:
    """Return what a certificate's head says of the log: origin, size and root of a signed checkpoint."""
    origin, size, root = note.split("\n")[:3]
    return Cover(origin, first_index, int(size), root, policy_sha256)


def certify(
    entries: Entries,
    cover: Cover,
    *,
    titles: Titles,
    subject_tag: str = "",
    processor: str = "",
    period: Selection | None = None,
) -> Certificate:
    """Return the certificate of one subject (by tag) or of one processor. `EvidenceError` names a wrong choice."""
    selection = _select(subject_tag, processor, period)
    found = _gather(entries, selection, cover.first_index, titles)
    name = f"subject-{subject_tag[:16]}" if subject_tag else f"processor-{processor}"
    about = subject_tag or " · ".join(dict.fromkeys((processor, titles.place(processor))))
    head = _head(cover, selection, about, proven=len(found.proven), rest=len(found.rest))
    contents: list[Block] = [
        Table(("항목 · item", "값 · value"), head, (0.34, 0.66)),
        Heading("증명된 파기 · Proven"),
        _proven([line[:CELLS] for line in found.proven[:PDF_LINES]]),
        *([Text(f"… {name}.txt: {len(found.proven)}")] if len(found.proven) > PDF_LINES else []),
        Text(_PROOFS[bool(subject_tag)]),
        Heading("증명되지 않은 것 · Not proven"),
        _not_proven(found.reasons),
        *map(Text, _LIMITS),
        Heading("서명 · Signature"),
        Table(_SIGNED, (("\u00a0\n\u00a0",) * len(_SIGNED),), (0.3, 0.25, 0.25, 0.2)),
    ]
    pages = BytesIO()
    footer = f"{cover.origin} {cover.size} {cover.root}"
    draw(pages, title="파기 확인서 · Certificate of destruction", subtitle=about, footer=footer, blocks=contents)
    text = _text(head, found.proven, found.rest, _PROOFS[bool(subject_tag)])
    return Certificate(name, pages.getvalue(), text, tuple(found.indexes))


def write_certificate(
    folder: Path,
    cover: Cover,
    *,
    titles: Titles,
    subject_tag: str = "",
    processor: str = "",
    period: Selection | None = None,
) -> tuple[list[Path], tuple[int, ...]]:
    """Write the certificate over an export's entries as PDF and text; return the two files and what proves them."""
    made = certify(
        _entries(folder, cover.first_index),
        cover,
        titles=titles,
        subject_tag=subject_tag,
        processor=processor,
        period=period,
    )
    place = folder / "certificates"
    place.mkdir(exist_ok=True)
    pdf, text = place / f"{made.name}.pdf", place / f"{made.name}.txt"
    pdf.write_bytes(made.pdf)
    text.write_text(made.text, encoding="utf-8", newline="\n")
    return [pdf, text], made.indexes


def _entries(folder: Path, first_index: int) -> Iterator[tuple[int, dict[str, Any]]]:
    with (folder / "entries.jsonl").open("rb") as lines:
        for index, line in enumerate(lines, first_index):
            yield index, json.loads(line)


def _select(subject_tag: str, processor: str, period: Selection | None) -> Selection:
    if bool(subject_tag) == bool(processor):
        raise EvidenceError("A certificate is about one subject or one processor. Name exactly one of them.")
    days = period or Selection()
    return Selection(days.start, days.end, processor, subject_tag)


def _gather(entries: Entries, selection: Selection, first_index: int, titles: Titles) -> _Found:
    """Return what is proven and what is not, of the disposals the selection names."""
    following, found = Following(first_index, selection), _Found()

    def whose(life: Life) -> Cells:
        """Name by tag whose line it is, where a certificate is about many."""
        return () if selection.subject_tag else (str(life.entry["subject_tag"]),)

    def unproven(life: Life) -> None:
        found.rest.append((*_line(life, titles), *whose(life)))
        found.reasons[_reason(life, titles)] += 1

    for item in following.follow(entries):
        if not (item.closes and item.shown and item.life):
            continue
        if item.life.state in PROVEN:
            found.proven.append((*_line(item.life, titles), *whose(item.life)))
            found.indexes.append(item.index)
        elif item.life.state != "cancelled":
            unproven(item.life)
    for life in following.open.values():
        unproven(life)
    return found


def _head(cover: Cover, selection: Selection, about: str, *, proven: int, rest: int) -> tuple[tuple[str, str], ...]:
    nothing = "이 범위에 기록 없음 · no record in this range"
    bounds = (selection.start or "처음 · beginning", selection.end or "현재 · now")
    period = " ~ ".join(bounds) if selection.start or selection.end else "전체 · the whole log"
    return (
        ("대상 · about", about),
        ("기간 · period", period),
        ("기록 · log", f"{cover.origin}, {cover.first_index} ~ {cover.size - 1}"),
        ("체크포인트 루트 · checkpoint root", cover.root),
        ("규칙 파일 SHA-256 · schedule SHA-256", cover.policy_sha256),
        ("증명된 건 · proven", str(proven) if proven or rest else f"0 ({nothing})"),
        ("증명되지 않은 건 · not proven", str(rest)),
    )


_SIGNED = ("직위 · title", "성명 · name", "서명 · signature", "날짜 · date")

_HEADER = (
    "처리처 · place", "자료 · data", "규칙 · rule", "기한 · due by", "확인일 · read on", "결과 · outcome",
    "건수 · count", "방법 · method", "기록 번호 · log index",
)  # fmt: skip


def _line(life: Life, titles: Titles) -> Cells:
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


def _reason(life: Life, titles: Titles) -> Cells:
    e = life.entry
    why = e.get("basis", "") or both(e.get("code", ""))
    return titles.place(e["processor"]), titles.several(e["datasets"]), both(life.state), why, e.get("until", "")


def _not_proven(counts: Counter[Cells]) -> Block:
    if not counts:
        return Text("없음 · None.")
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
    signed = " | ".join(f"{name}: ____________" for name in _SIGNED)
    return "\n".join([*lines, "", how, *_LIMITS, "", signed, ""])
