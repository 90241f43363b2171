"""One object's trouble does not stop the others; a store that is down stops them all, at once and not one by one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from include.errors import ArchiveError, ArchiveUnreachable

DOWN = 3


class Trouble:
    """Collects what went wrong object by object; the third unanswered call in a row is raised as it is."""

    def __init__(self) -> None:
        self._failures: list[ArchiveError] = []
        self._in_a_row = 0
        self.count = 0
        """How many objects went wrong."""

    @contextmanager
    def of_one(self, objects: int = 1) -> Iterator[None]:
        """Keep an `ArchiveError` of one call for later; it concerns one object, or several that stand together."""
        try:
            yield
        except ArchiveUnreachable as error:
            self._keep(error, objects)
            self._in_a_row += 1
            if self._in_a_row == DOWN:
                raise
        except ArchiveError as error:
            self._keep(error, objects)
            self._in_a_row = 0
        else:
            self._in_a_row = 0

    def _keep(self, error: ArchiveError, objects: int) -> None:
        self._failures.append(error)
        self.count += objects

    def tell(self, words: str) -> None:
        """Raise what was kept, if anything; as unreachable where nothing else was wrong."""
        if not self._failures:
            return
        cut = all(isinstance(f, ArchiveUnreachable) for f in self._failures)
        kind = ArchiveUnreachable if cut else ArchiveError
        raise kind(f"{words} First cause: {self._failures[0]}") from self._failures[0]
