"""What the archive keeps per law and year, as a picture for the privacy officer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path

from include.archive.inventory import Line

COLOURS = ("#1b6ca8", "#d98e04", "#2f855a", "#9b2c2c", "#6b46c1", "#4a5568")
FONT = "NanumGothic.ttf"


def to_png(inventory: Sequence[Line], titles: Mapping[str, str], *, as_of: str) -> bytes:
    """Return a bar per year in which periods end, its rows stacked by law; overdue groups are named in red."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context({"font.family": _font(), "axes.unicode_minus": False}):
        figure = Figure(figsize=(9, 4.8), dpi=120, layout="constrained")
        axes = figure.add_subplot()
        years = list(
            range(min((x.year for x in inventory), default=0), max((x.year for x in inventory), default=0) + 1)
        )
        base = [0] * len(years)
        for number, rule_id in enumerate(sorted({line.rule_id for line in inventory})):
            rows = {line.year: line.rows for line in inventory if line.rule_id == rule_id}
            heights = [rows.get(year, 0) for year in years]
            label = f"{rule_id} {titles.get(rule_id, '')}".strip()
            axes.bar([str(y) for y in years], heights, bottom=base, color=COLOURS[number % 6], label=label)
            base = [b + h for b, h in zip(base, heights, strict=True)]
        axes.set_title(f"분리보관 현황 · statutory archive, {as_of}")
        axes.set_xlabel("보존기간이 끝나는 해 · year in which the period ends")
        axes.set_ylabel("기록 수 · records")
        axes.spines[["top", "right"]].set_visible(False)
        if inventory:
            figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=8)  # no bar under it
            axes.set_ylim(0, max(base) * 1.12)
            for place, year in enumerate(years):
                late = sum(x.overdue for x in inventory if x.year == year)
                words = f"{base[place]:,}" + (f"\n기한 지남 · overdue {late}" if late else "")
                colour = "#c00000" if late else "#333333"
                axes.annotate(
                    words,
                    (place, base[place]),
                    (0, 3),
                    textcoords="offset points",
                    ha="center",
                    va="bottom",
                    fontsize=8,
                    color=colour,
                )
        else:
            axes.text(0.5, 0.5, "보관 중인 기록 없음 · nothing is kept", ha="center", transform=axes.transAxes)
        picture = BytesIO()
        figure.savefig(picture, format="png")
    return picture.getvalue()


def _font() -> str:
    """Register the packaged Korean font and return its family; importing that package would draw in distutils."""
    from matplotlib import font_manager

    found = find_spec("koreanize_matplotlib")
    if found is None or not found.origin:
        return "sans-serif"
    font_manager.fontManager.addfont(str(Path(found.origin).parent / "fonts" / FONT))
    return "NanumGothic"
