"""A batch over one Stripe account: a few people at a time, never two workers on one account's customers.

One person's trouble stays that person's; trouble with all of them stops the batch (Stripe is down, not a record
broken).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import Protocol, TypeVar

from include.errors import ProcessorError, Unreachable
from include.processors import Result
from include.processors._stripe.api import Declined

GIVE_UP_AFTER = 3
"""Unanswered people in a row, with nobody answered yet, after which Stripe counts as down."""


class _Item(Protocol):
    @property
    def disposal_id(self) -> str: ...

    @property
    def account_id(self) -> str: ...


I = TypeVar("I", bound=_Item)  # noqa: E741
R = TypeVar("R")


@dataclass(slots=True)
class _Tally:
    """How the batch goes, shared by its threads."""

    answered: int = 0
    unreachable: int = 0
    fatal: ProcessorError | None = None
    last: Unreachable | None = None
    lock: Lock = field(default_factory=Lock)

    @property
    def over(self) -> bool:
        return self.fatal is not None or (self.unreachable >= GIVE_UP_AFTER and not self.answered)


def each(
    items: Sequence[I], one: Callable[[I], R], *, threads: int, failed: Callable[[I, str, int | None], R]
) -> list[R]:
    """Return `one(item)` for every item, in order; `failed` makes the result of one refused or never answered."""
    groups: dict[str, list[I]] = {}
    for item in items:
        groups.setdefault(item.account_id or item.disposal_id, []).append(item)
    results: dict[str, R] = {}
    tally = _Tally()

    def run(group: list[I]) -> None:
        for item in group:
            if tally.over:
                return
            _one(item, one, failed, results, tally)

    if len(groups) == 1 or threads <= 1:
        for group in groups.values():
            run(group)
    else:
        with ThreadPoolExecutor(max_workers=threads) as pool:
            for future in [pool.submit(run, group) for group in groups.values()]:
                future.result()
    if tally.fatal is not None:
        raise tally.fatal
    if tally.last is not None and not tally.answered:
        raise tally.last
    return [results[i.disposal_id] if i.disposal_id in results else failed(i, "not_tried", None) for i in items]


def _one(
    item: I, one: Callable[[I], R], failed: Callable[[I, str, int | None], R], results: dict[str, R], tally: _Tally
) -> None:
    try:
        result = one(item)
    except Declined as declined:
        result = _named(failed(item, declined.code or "declined", declined.status), declined.request_id)
    except Unreachable as error:
        with tally.lock:
            tally.unreachable, tally.last = tally.unreachable + 1, error
        results[item.disposal_id] = _named(failed(item, error.code, error.status), error.request_id)
        return
    except ProcessorError as error:
        with tally.lock:
            tally.fatal = tally.fatal or error
        return
    with tally.lock:
        tally.answered += 1
    results[item.disposal_id] = result


def _named(result: R, request_id: str | None) -> R:
    """Return a result with Stripe's id of the request that failed."""
    return replace(result, request_id=request_id) if isinstance(result, Result) else result
