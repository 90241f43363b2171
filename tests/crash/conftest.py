"""One process a module from which the children of its courses come."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.crash.nursery import Nursery


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    """A nursery with everything imported."""
    with Nursery() as made:
        yield made
