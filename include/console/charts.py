"""Pictures as inline SVG made on the server: each has a title and a description, and the page puts its table beside it.

No style attribute and no script stands in them (the content security policy forbids both): colours come from classes.
Values are drawn to scale; a part that is not zero is never narrower than two units, so that one failure is seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import count

from markupsafe import Markup

_ids = count(1)
LEAST = 2.0


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a bar: its class (a colour of `console.css`), its word and its value."""

    kind: str
    word: str
    value: int


def widths(values: Sequence[int], whole: int, length: float) -> list[float]:
    """Return how long each part is drawn when `whole` fills `length`; parts above zero never vanish."""
    if whole <= 0:
        return [0.0 for _ in values]
    drawn = [max(v / whole * length, LEAST) if v > 0 else 0.0 for v in values]
    over = sum(drawn) - length
    if over > 0:  # what the small parts were given is taken from the largest
        drawn[drawn.index(max(drawn))] -= over
    return [round(w, 2) for w in drawn]


def bar(parts: Sequence[Part], *, title: str, whole: int | None = None, length: int = 240, height: int = 16) -> Markup:
    """Return one horizontal bar of parts; `whole` is what its full length stands for (default: their sum)."""
    total = sum(p.value for p in parts)
    shapes, x = [], 0.0
    for part, width in zip(parts, widths([p.value for p in parts], whole or total, length), strict=True):
        if width:
            shapes.append(
                f'<rect class="{part.kind}" x="{x:.2f}" y="0" width="{width}" height="{height}">'
                f"<title>{escape(part.word)} {part.value:,}</title></rect>"
            )
            x += width
    said = ", ".join(f"{p.word} {p.value:,}" for p in parts if p.value) or "0"
    return _picture(
        title, said, length, height, f'<rect class="ground" width="{length}" height="{height}"/>' + "".join(shapes)
    )


def columns(rows: Mapping[str, Sequence[Part]], *, title: str, length: int = 640, height: int = 180) -> Markup:
    """Return one stacked column a row, e.g. one a night, with its label below and its sum above."""
    if not rows:
        return Markup("")
    most = max((sum(p.value for p in parts) for parts in rows.values()), default=0)
    step = length / len(rows)
    thick = min(step * 0.62, 56)
    top, bottom = 18, 22
    room = height - top - bottom
    shapes = [f'<line class="axis" x1="0" x2="{length}" y1="{height - bottom}" y2="{height - bottom}"/>']
    said = []
    for number, (label, parts) in enumerate(rows.items()):
        total = sum(p.value for p in parts)
        x, y = number * step + (step - thick) / 2, float(height - bottom)
        for part, tall in zip(parts, widths([p.value for p in parts], most, room), strict=True):
            if tall:
                y -= tall
                shapes.append(
                    f'<rect class="{part.kind}" x="{x:.2f}" y="{y:.2f}" width="{thick:.2f}" height="{tall}">'
                    f"<title>{escape(label)}: {escape(part.word)} {part.value:,}</title></rect>"
                )
        middle = x + thick / 2
        shapes.append(f'<text class="sum" x="{middle:.2f}" y="{y - 5:.2f}">{short(total)}</text>')
        shapes.append(f'<text class="label" x="{middle:.2f}" y="{height - 6}">{escape(label)}</text>')
        said.append(f"{label}: " + (", ".join(f"{p.word} {p.value:,}" for p in parts if p.value) or "0"))
    return _picture(title, "; ".join(said), length, height, "".join(shapes))


def short(value: int) -> str:
    """Return a count as it fits over a column: 950, 12.3k, 4.1M."""
    for least, unit in ((1_000_000, "M"), (10_000, "k")):
        if value >= least:
            return f"{value / (1_000_000 if unit == 'M' else 1000):.1f}{unit}"
    return f"{value:,}"


def _picture(title: str, description: str, length: int, height: int, inside: str) -> Markup:
    name = f"chart-{next(_ids)}"
    return Markup(  # noqa: S704  (every text in it was escaped above)
        f'<svg class="chart" role="img" aria-labelledby="{name}-t {name}-d" viewBox="0 0 {length} {height}" '
        f'width="{length}" height="{height}" preserveAspectRatio="xMinYMid meet">'
        f'<title id="{name}-t">{escape(title)}</title><desc id="{name}-d">{escape(description)}</desc>{inside}</svg>'
    )
