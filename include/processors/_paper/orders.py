"""Destruction orders (파기 지시서) for paper: one per box, whoever's papers are in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID, uuid5

METHODS = ("shred", "incinerate")
"""파쇄, 소각: 개인정보 보호법 시행령 16(1)2."""
_ORDERS = UUID("0b0a3c1e-2f9d-4c55-8f0e-6f3f6d1f7a10")


@dataclass(frozen=True, slots=True)
class BoxOrder:
    """One order: which papers of which box, by when, how, and the disposals its signed report closes.

    `order_id` is the same as long as box and papers are the same, so a repeated night orders nothing twice.
    """

    order_id: str
    box: str
    locations: tuple[str, ...]
    papers: tuple[str, ...]
    due: date
    disposals: tuple[str, ...]
    methods: tuple[str, ...] = METHODS


def by_box(located: Mapping[str, tuple[Mapping[str, Any], date]]) -> list[BoxOrder]:
    """Return one order per box from what open disposals located: disposal id -> (locator, due day).

    An order is due when the earliest of its disposals is.
    """
    boxes: dict[str, dict[str, tuple[str, str, date]]] = {}
    for disposal_id, (locator, due) in located.items():
        for paper_id, box, location in _papers(locator):
            boxes.setdefault(box, {})[paper_id] = (location, disposal_id, due)
    return [_order(box, papers) for box, papers in sorted(boxes.items())]


def _papers(locator: Mapping[str, Any]) -> Iterable[tuple[str, str, str]]:
    return ((str(p["paper_id"]), str(p["box"]), str(p["location"])) for p in locator.get("places", ()))


def _order(box: str, papers: Mapping[str, tuple[str, str, date]]) -> BoxOrder:
    ids = tuple(sorted(papers))
    return BoxOrder(
        order_id=str(uuid5(_ORDERS, "\x00".join((box, *ids)))),
        box=box,
        locations=tuple(sorted({location for location, _, _ in papers.values() if location})),
        papers=ids,
        due=min(due for _, _, due in papers.values()),
        disposals=tuple(sorted({disposal_id for _, disposal_id, _ in papers.values()})),
    )


HEADER = (
    "order_id", "상자 box", "위치 location", "문서 papers", "건수 count", "기한 due",
    "방법 method (파쇄 shred / 소각 incinerate)",
    "수행자 executor", "입회자 witness", "수행일 done_on", "서명 signatures",
)  # fmt: skip


def as_rows(orders: Iterable[BoxOrder]) -> list[tuple[str, ...]]:
    """Return the orders as lines of a form; method, executor, witness, day and signatures are for people to fill in."""
    return [
        (o.order_id, o.box, " / ".join(o.locations), " ".join(o.papers), str(len(o.papers)), o.due.isoformat(), "", "",
         "", "", "")
        for o in orders
    ]  # fmt: skip
