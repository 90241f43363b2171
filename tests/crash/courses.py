"""Courses: jobs in child processes, one after the other, killed once at a point and taken up again.

    survive(nursery, scenes, ends_alike)      # one course undisturbed, then one for every point of it that counts

A scene is one world of its own (a database, a prefix of a bucket, a folder) that knows its course, what must hold at
the moment of a death, and what is compared at the end.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Protocol

from sqlalchemy import Engine, select

from include.database import entry
from tests.crash.nursery import Nursery

EVERY = os.environ.get("CRASH_POINTS") == "all"
READS = ("GET", "HEAD")


def chosen(points: Sequence[str]) -> list[int]:
    """Return the ordinals (from 1) after which something differs from before, and the first of each kind.

    Different is what a commit, a change in a folder, or a request that may have changed something leaves behind. With
    CRASH_POINTS=all every ordinal is returned.
    """
    found, kinds = [], set()
    for ordinal, point in enumerate(points, 1):
        word, method = _kind(point).split(" ")
        kind = (word, method in READS if word in ("call", "sent", "replied") else method)
        left_behind = word in ("committed", "file") or (word == "sent" and method not in READS)
        if left_behind or kind not in kinds or EVERY:
            found.append(ordinal)
        kinds.add(kind)
    return found


def thinned(points: Sequence[str], ordinals: Sequence[int]) -> list[int]:
    """Keep the first two and the last of each series of the same point, but for its names and numbers.

    What lies between leaves behind the same, only more of it. With CRASH_POINTS=all all are kept.
    """
    series = groupby(ordinals, key=lambda o: re.sub(r"[0-9a-f-]{8,}|\d+", "#", points[o - 1]))
    kept = [(list(same)) for _, same in series]
    return [o for same in kept for o in (same if EVERY or len(same) < 4 else [*same[:2], same[-1]])]


def _kind(point: str) -> str:
    """Return what a point is without its names: `committed ours`, `sent PUT`, `file os.rename`."""
    return " ".join(point.split(" ")[:2])


@dataclass
class Course:
    """Jobs in children of a nursery; `die_at` counts points of one kind over all of them, from 1.

    `of` is that kind. Threads pass their points in any order, so that a point has no number of its own among all of
    them, but the third commit is the third commit. `struck` is told of the death.
    """

    nursery: Nursery
    die_at: int | None = None
    of: str = ""
    struck: Callable[[], None] = lambda: None
    points: list[str] = field(default_factory=list)
    died: str = ""

    def do(self, job: Callable[..., Any], *arguments: Any) -> Any:
        """Run a job, again where it died, and return what it returned."""
        passed = sum(p.startswith(self.of) for p in self.points)
        left = None if self.die_at is None or self.died else self.die_at - passed
        ended = self.nursery.run(job, *arguments, die_at=left, of=self.of)
        if not self.died:
            self.points += ended.points
        if ended.killed:
            self.died = f"{len(self.points)}, {ended.points[-1]}"
            self.struck()
            ended = self.nursery.run(job, *arguments)
        assert not ended.error, f"after {self.died or 'nothing'}: {ended.trace}"
        return ended.returned


class Scene(Protocol):
    """One world and what is done in it."""

    def play(self, course: Course) -> None:
        """Do every job of the course."""

    def agree(self) -> None:
        """Hold what must hold at any moment, a death included."""

    def struck(self) -> None:
        """Be told of a death, before the job is done again."""

    def end(self) -> Any:
        """Return everything that must be as if nobody had died."""

    def close(self) -> None:
        """Remove the world."""


def survive(nursery: Nursery, scenes: Callable[[int], Sequence[Scene]], *, words: Collection[str] = ()) -> Counter[str]:
    """Play a course undisturbed and once for every chosen point; return how often which kind of point was killed.

    `scenes(n)` makes `n` equal worlds. The first of them is played without a death, after one more that warms up the
    nursery. With `words` only points that begin with one of them are killed.
    """
    warm, undisturbed = scenes(2)
    rehearsed = Course(nursery)
    rehearsed.do = lambda job, *a: nursery.rehearse(job, *a).returned  # type: ignore[method-assign]
    warm.play(rehearsed)
    course = Course(nursery)
    undisturbed.play(course)
    undisturbed.agree()
    expected = undisturbed.end()
    ordinals = thinned(course.points, chosen(course.points))
    ordinals = [o for o in ordinals if not words or course.points[o - 1].startswith(tuple(words))]
    killed_at: Counter[str] = Counter()
    wrong = []
    made = scenes(len(ordinals))
    for scene, ordinal in zip(made, ordinals, strict=True):
        kind = _kind(course.points[ordinal - 1])
        number = sum(p.startswith(kind) for p in course.points[:ordinal])
        killed = Course(nursery, number, kind, scene.struck)
        try:
            scene.play(killed)
            scene.agree()
            found = scene.end()
            assert found == expected, f"{_difference(expected, found)}"
        except AssertionError as error:
            wrong.append(f"killed at {killed.died}: {error}")
        killed_at[killed.died.partition(", ")[2].partition(" ")[0]] += bool(killed.died)
    for scene in (warm, undisturbed, *made):
        scene.close()
    print(f"{len(course.points)} points, killed at {killed_at.total()}: {dict(killed_at)}")
    assert not wrong, "\n".join(wrong)
    # Names and sizes are drawn by chance, and a shorter course ends before its last points.
    assert killed_at.total() >= 0.9 * len(ordinals)
    return killed_at


def entries_in(engine: Engine) -> list[dict[str, Any]]:
    """Return every entry of a database in the order they were recorded."""
    with engine.connect() as connection:
        return [json.loads(b) for b in connection.execute(select(entry.c.body).order_by(entry.c.entry_id)).scalars()]


def _difference(expected: Any, found: Any) -> str:
    if not isinstance(expected, dict):
        return f"expected {expected}, found {found}"
    odd = sorted(k for k in {*expected, *found} if expected.get(k) != found.get(k))
    return "; ".join(f"{k}: expected {expected.get(k)!r:.300}, found {found.get(k)!r:.300}" for k in odd)
