"""Draws reports and certificates as PDF, with a Korean typeface that installs by package (NanumGothic, OFL)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Any

from include.errors import ConfigurationError
from include.evidence.report import Bars, Block, Heading, Table, Text

FONT, BOLD = "NanumGothic", "NanumGothicBold"
SHORT = 14
"""A table of so many lines is not divided between pages."""
PADDING = 6
"""What a page's frame keeps free at each side, in points: tables begin where headings do."""
COLOURS = (
    "#1B5E7B", "#9DB8C7", "#5B8C5A", "#B7D1B0", "#C9A227", "#8C5E3C", "#D98E5F", "#E7C9A9", "#A23E48", "#6C4F77",
    "#B59FC0", "#D1495B", "#999999", "#CCCCCC",
)  # fmt: skip


@lru_cache(maxsize=1)
def _fonts() -> None:
    from reportlab.pdfbase import pdfmetrics
    from reportlab.pdfbase.ttfonts import TTFont

    spec = find_spec("koreanize_matplotlib")  # found, not imported: only its typefaces are wanted
    if spec is None or not spec.submodule_search_locations:
        raise ConfigurationError(
            "The package koreanize-matplotlib, which brings the Korean typeface, is not installed."
        )
    folder = Path(next(iter(spec.submodule_search_locations))) / "fonts"
    for name in (FONT, BOLD):
        pdfmetrics.registerFont(TTFont(name, str(folder / f"{name}.ttf")))
    pdfmetrics.registerFontFamily(FONT, normal=FONT, bold=BOLD, italic=FONT, boldItalic=BOLD)


def draw(to: Path | BytesIO, *, title: str, subtitle: str, footer: str, blocks: Sequence[Block]) -> None:
    """Write a PDF of A4 pages: a title, the blocks, and `p/n` under each page. The same input gives the same bytes."""
    from reportlab.lib.pagesizes import A4
    from reportlab.lib.units import mm
    from reportlab.platypus import CondPageBreak, KeepTogether, Paragraph, SimpleDocTemplate, Spacer

    _fonts()
    styles = _styles()
    document = SimpleDocTemplate(
        str(to) if isinstance(to, Path) else to, pagesize=A4, leftMargin=16 * mm, rightMargin=16 * mm,
        topMargin=18 * mm, bottomMargin=18 * mm, title=title, author="evidence", subject=subtitle, invariant=1,
    )  # fmt: skip
    flow: list[Any] = [Paragraph(_escape(title), styles["title"]), Paragraph(_escape(subtitle), styles["subtitle"])]
    start: list[Any] = []
    for block in blocks:
        drawn = _flowables(block, styles, document.width - 2 * PADDING)
        if isinstance(block, Heading):
            flow, start = flow + start, drawn
        elif isinstance(block, Text) and start:
            start += [*drawn, Spacer(1, 3 * mm)]
        else:
            long = isinstance(block, Table) and len(block.rows) >= SHORT
            # A heading stays with what follows it, or with the beginning of a table that goes on over pages.
            flow += [CondPageBreak(45 * mm), *start, *drawn] if long else [KeepTogether([*start, *drawn])]
            flow.append(Spacer(1, 3 * mm))
            start = []
    flow += start
    flow.pop()  # a space after the last block could begin an empty page
    document.build(flow, canvasmaker=_numbered(footer))


def _styles() -> dict[str, Any]:
    from reportlab.lib.colors import HexColor
    from reportlab.lib.styles import ParagraphStyle

    body = ParagraphStyle("body", fontName=FONT, fontSize=9, leading=13)
    dark = HexColor("#12343B")
    return {
        "title": ParagraphStyle("title", parent=body, fontName=BOLD, fontSize=20, leading=27, textColor=dark),
        "subtitle": ParagraphStyle("subtitle", parent=body, fontSize=10, leading=14, spaceAfter=10),
        "heading": ParagraphStyle(
            "heading", parent=body, fontName=BOLD, fontSize=13, leading=17, textColor=dark, spaceAfter=6
        ),
        "body": body,
        "cell": ParagraphStyle("cell", parent=body, fontSize=7.2, leading=9.2),
        "number": ParagraphStyle("number", parent=body, fontSize=7.2, leading=9.2, alignment=2),
        "head": ParagraphStyle("head", parent=body, fontName=BOLD, fontSize=6.8, leading=8.6),
        "head_number": ParagraphStyle(
            "head_number", parent=body, fontName=BOLD, fontSize=6.8, leading=8.6, alignment=2
        ),
    }


def _flowables(block: Block, styles: dict[str, Any], width: float) -> list[Any]:
    from reportlab.platypus import Paragraph

    if isinstance(block, Heading):
        return [Paragraph(_escape(block.text), styles["heading"])]
    if isinstance(block, Text):
        return [Paragraph(_escape(block.text), styles["body"])]
    if isinstance(block, Bars):
        return [_chart(block, width)] if any(sum(v) for _, v in block.series) else []
    return [_table(block, styles, width)]


def _table(table: Table, styles: dict[str, Any], width: float) -> Any:
    from reportlab.lib.colors import HexColor
    from reportlab.platypus import LongTable, Paragraph, TableStyle

    cells: list[list[Any]] = [
        [
            Paragraph(_escape(h), styles["head_number" if i >= table.numbers else "head"])
            for i, h in enumerate(table.header)
        ]
    ]
    for row in table.rows:
        kinds = ("number" if i >= table.numbers else "cell" for i in range(len(row)))
        cells.append([Paragraph(_escape(c), styles[k]) for c, k in zip(row, kinds, strict=True)])
    style = TableStyle(
        [
            ("VALIGN", (0, 0), (-1, -1), "TOP"),
            ("BACKGROUND", (0, 0), (-1, 0), HexColor("#DDE6ED")),
            ("LINEBELOW", (0, 0), (-1, -1), 0.3, HexColor("#B8C4CC")),
            ("LEFTPADDING", (0, 0), (-1, -1), 3),
            ("RIGHTPADDING", (0, 0), (-1, -1), 3),
            ("TOPPADDING", (0, 0), (-1, -1), 2),
            ("BOTTOMPADDING", (0, 0), (-1, -1), 3),
        ]
    )
    return LongTable(cells, colWidths=[w * width for w in table.widths], repeatRows=1, style=style)


def _chart(bars: Bars, width: float) -> Any:
    """Return stacked bars with the sum beside each and a legend above; drawn as vectors, so it prints sharp."""
    from reportlab.graphics.shapes import Drawing, Rect, String
    from reportlab.lib.colors import HexColor

    per_line, step, left = 4, 16.0, 120.0
    legend = 12.0 * -(-len(bars.series) // per_line)
    drawing = Drawing(width, legend + step * len(bars.names) + 8)
    sums = [sum(values[i] for _, values in bars.series) for i in range(len(bars.names))]
    scale = (width - left - 40) / max([*sums, 1])
    for number, (name, _) in enumerate(bars.series):
        x = width / per_line * (number % per_line)
        y = drawing.height - 12.0 * (number // per_line + 1)
        fill = HexColor(COLOURS[number % len(COLOURS)])
        drawing.add(Rect(x, y, 7, 7, fillColor=fill, strokeWidth=0, strokeColor=None))
        drawing.add(String(x + 10, y, name, fontName=FONT, fontSize=7))
    for row, name in enumerate(bars.names):
        y, x = drawing.height - legend - step * (row + 1), left
        drawing.add(String(left - 4, y + 3, name[:28], fontName=FONT, fontSize=7.5, textAnchor="end"))
        for number, (_, values) in enumerate(bars.series):
            colour = HexColor(COLOURS[number % len(COLOURS)])
            drawing.add(Rect(x, y, values[row] * scale, 10, fillColor=colour, strokeWidth=0, strokeColor=None))
            x += values[row] * scale
        drawing.add(String(x + 4, y + 3, str(sums[row]), fontName=FONT, fontSize=7))
    return drawing


def _numbered(footer: str) -> Any:
    from reportlab.lib.units import mm
    from reportlab.pdfgen.canvas import Canvas

    class Numbered(Canvas):  # type: ignore[misc]
        """Holds every page back until their number is known."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self._held: list[dict[str, Any]] = []

        def showPage(self) -> None:
            self._held.append(dict(self.__dict__))
            self._startPage()

        def save(self) -> None:
            for number, page in enumerate(self._held, 1):
                self.__dict__.update(page)
                self.setFont(FONT, 7)
                self.drawString(16 * mm, 9 * mm, footer)
                self.drawRightString(self._pagesize[0] - 16 * mm, 9 * mm, f"{number}/{len(self._held)}")
                super().showPage()
            super().save()

    return Numbered


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
