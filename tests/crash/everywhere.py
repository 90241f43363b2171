"""Killing one task at every point it passes, each time from the same beginning, and running it again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, TypeVar

from tests.crash.nursery import Nursery

S = TypeVar("S")
MOST = 200


def kill_everywhere(
    nursery: Nursery,
    begin: Callable[[], S],
    job: Callable[..., Any],
    arguments: Callable[[S], tuple[Any, ...]],
    check: Callable[[S, str], None],
) -> Counter[str]:
    """Kill `job` at its 1st, 2nd, … point until it ends alive; after each kill run it again and `check`.

    `begin` makes the state a task finds, anew each time. Returns how often it was killed, by kind of point.
    """
    words: Counter[str] = Counter()
    for ordinal in range(1, MOST):
        state = begin()
        ended = nursery.run(job, *arguments(state), die_at=ordinal)
        assert not ended.error, ended.trace
        if not ended.killed:
            check(state, "nowhere")
            return words
        died = ended.points[-1]
        words[died.partition(" ")[0]] += 1
        again = nursery.run(job, *arguments(state))
        assert not again.error, f"killed at {died}: {again.trace}"
        check(state, died)
    raise AssertionError(f"more than {MOST} points")
