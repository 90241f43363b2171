"""Tonight and the last nights: the page people look at each morning. Counts only, so every role may see it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from starlette.responses import Response

from include.console.asking import Ask
from include.console.charts import Part
from include.console.pages import Page
from include.console.reading import night as reading
from include.console.roles import Capability

page = Page("", order=10)

FIGURES = (
    ("destroyed", "good"), ("due", "plain"), ("failed", "bad"), ("person", "person"), ("held", "held"),
    ("waiting", "wait"), ("kept", "kept"),
)  # fmt: skip
"""Above the fold, in this order, each with its colour and sign."""
END_KIND = {
    "destroyed": "good", "nothing": "plain", "anonymised": "anonymised", "attested": "attested", "kept": "kept",
    "expired": "expired", "cancelled": "cancelled",
}  # fmt: skip
"""Each end has a colour of its own, so that nothing is drawn as destroyed that was not read back as gone."""
PROSPECT_KIND = {
    "late": "bad", "miss": "wait", "person": "person", "held": "held", "dated": "kept", "in_time": "good",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Line:
    """One processor tonight."""

    processor: str
    counts: Mapping[str, int]

    def __getitem__(self, figure: str) -> int:
        return figures_of(self.counts)[figure]


def figures_of(counts: Mapping[str, int]) -> dict[str, int]:
    """Return the figures of the page from a processor's counts; only what was read back as gone is destroyed.

    What lapses at a processor waits for a date, and what ended as kept by a processor is kept.
    """
    return {
        "destroyed": counts.get("end.destroyed", 0),
        "due": counts.get("due", 0),
        "failed": counts.get("failed", 0),
        "person": counts.get("person", 0),
        "held": counts.get("held", 0),
        "waiting": counts.get("waiting", 0) + counts.get("lapses", 0),
        "kept": counts.get("kept", 0) + counts.get("end.kept", 0),
        "nothing": counts.get("end.nothing", 0),
        "other": sum(counts.get(f"end.{e}", 0) for e in ("anonymised", "attested", "expired", "cancelled")),
    }


@cache
def windows() -> dict[tuple[str, str], float]:
    """Return the window in seconds of every published limit."""
    from include import processors

    return {(name, q.name): q.seconds for name in processors.names() for q in processors.load(name).quotas}


@page.get("", Capability.COUNTS)
def show(ask: Ask) -> Response:
    """Show tonight and the last nights."""
    with ask.services.reading() as connection:
        as_of = ask.services.as_of(connection)
        nights = reading.nights(connection)
        newest = nights[0] if nights else None
        since = min((n.as_of for n in nights), default=as_of)
        opened = reading.open_now(connection, as_of)
        over = reading.ended(connection, since)
        standing = reading.standing(connection, ask.services.now())
        answers = reading.answers_due(connection, as_of)
        quotas = reading.quotas(connection, windows(), ask.services.now())
    counts = reading.by_processor(opened, over, newest.as_of if newest else None)
    lines = [Line(place, found) for place, found in counts.items()]
    days = sorted({n.as_of for n in nights})
    ends = reading.by_night(over, days)
    burn = reading.burn_down(opened, as_of)
    return ask.render(
        "night.html",
        as_of=as_of,
        newest=newest,
        nights=nights,
        figures=FIGURES,
        lines=lines,
        total=Line("", sum((Counter(c) for c in counts.values()), Counter())),
        bars={line.processor: _bar(ask, line) for line in lines},
        most=max((sum(_bar_values(line)) for line in lines), default=0),
        standing=standing,
        deadlines=reading.deadlines(opened, as_of),
        burn=burn,
        burn_parts=_columns(ask, {_day_label(ask, k): v for k, v in burn.items()}, PROSPECT_KIND, "prospect"),
        prospects=PROSPECT_KIND,
        answers=answers,
        ends=ends,
        end_kinds=END_KIND,
        night_parts=_columns(ask, {f"{d:%m-%d}": c for d, c in ends.items()}, END_KIND, "end"),
        quotas=[q for q in quotas if q.ahead],
        idle=[q for q in quotas if not q.ahead],
        dag=reading.NIGHTLY,
    )


def _bar_values(line: Line) -> list[int]:
    return [line[name] for name, _ in FIGURES]


def _bar(ask: Ask, line: Line) -> list[Part]:
    return [Part(kind, ask.words(f"figure.{name}"), line[name]) for name, kind in FIGURES]


def _columns(
    ask: Ask, rows: Mapping[str, Counter[str]], kinds: Mapping[str, str], words: str
) -> dict[str, Sequence[Part]]:
    """Return the parts of each column, the quietest at the bottom."""
    order = list(kinds)[::-1] if words == "prospect" else list(kinds)
    return {
        label: [Part(kinds[name], ask.words(f"{words}.{name}"), counts[name]) for name in order]
        for label, counts in rows.items()
    }


def _day_label(ask: Ask, key: str) -> str:
    return ask.words(f"burn.{key}") if key in ("past", "later") else key[5:]
