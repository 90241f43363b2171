"""Everything in an export that people read: workbook, CSV, reports, certificates.

    add_people_files(folder, selection=Selection(start="2026-11-01", end="2026-11-30"))

It takes an export folder whose entries, ledger, titles and checkpoint are written, adds files and returns their paths;
it is called before the manifest is written, so that the manifest covers them: `export(…, extras=add_people_files)`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from include.evidence.certificates import cover_of, write_certificate
from include.evidence.lives import Selection
from include.evidence.report import blocks
from include.evidence.report_pages import draw
from include.evidence.sheets import Titles
from include.evidence.workbook import read_titles, write_tables

TITLES = {
    "ko": ("개인정보 파기 증거 보고서", "이 폴더의 기록에서 계산"),
    "en": ("Evidence of destruction of personal data", "Counted from the entries in this folder"),
}


def add_people_files(
    folder: Path,
    *,
    selection: Selection | None = None,
    processors: Sequence[str] = (),
    subject_tags: Sequence[str] = (),
    prove: Callable[[str, int, int], str] | None = None,
) -> list[Path]:
    """Add `ledger.xlsx`, `csv/`, `report.ko.pdf`, `report.en.pdf` and a certificate per name; return all new files.

    Processors and tags name the certificates
    wanted. `prove(checkpoint, size, index)` returns a `.tlog-proof`, for each line of a subject's certificate.
    """
    chosen = selection or Selection()
    titles = read_titles(folder)
    note = (folder / "checkpoint").read_text(encoding="utf-8")
    origin, size, root = note.split("\n")[:3]
    first_index = int(size) - _lines(folder / "entries.jsonl")  # entries end in the checkpoint
    figures, written = write_tables(folder, titles=titles, selection=chosen, first_index=first_index)
    policy = figures.policies[-1][1] if figures.policies else figures.policy_sha256
    cover = cover_of(note, first_index, policy)
    for language, (title, subtitle) in TITLES.items():
        path = folder / f"report.{language}.pdf"
        contents = blocks(figures, cover, Titles(titles), chosen, language)
        draw(path, title=title, subtitle=subtitle, footer=f"{origin} {size} {root}", blocks=contents)
        written.append(path)
    for name in processors:
        written += write_certificate(folder, cover, processor=name, titles=Titles(titles), period=chosen)[0]
    for tag in subject_tags:
        files, indexes = write_certificate(folder, cover, subject_tag=tag, titles=Titles(titles), period=chosen)
        written += files
        if prove is not None:
            for index in indexes:
                path = folder / "proofs" / f"{index:09d}.tlog-proof"
                path.parent.mkdir(exist_ok=True)
                path.write_text(prove(note, int(size), index), encoding="utf-8", newline="\n")
                written.append(path)
    return list(dict.fromkeys(written))


def _lines(path: Path) -> int:
    with path.open("rb") as file:
        return sum(piece.count(b"\n") for piece in iter(lambda: file.read(1 << 20), b""))
