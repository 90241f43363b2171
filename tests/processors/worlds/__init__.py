"""One world per processor: a subclass of `World` with its `name`, in any file of this folder.

A processor without one fails the suite.

To add one: write a subclass of `World` (behind a stand-in: `HttpWorld`; on the company's own lists: `DatabaseWorld`),
say what it documents (`variants`, `acts`, `deletes`, `reads`, `not_provable`) and what does not exist at the place
(`without`, each with its reason).
"""

from __future__ import annotations

import importlib
import pkgutil

from tests.processors.worlds.base import World
from tests.processors.worlds.databases import DatabaseWorld
from tests.processors.worlds.play import Stage
from tests.processors.worlds.s3 import S3World


def _all() -> dict[str, type[World]]:
    modules = [importlib.import_module(f"{__name__}.{m.name}") for m in pkgutil.iter_modules(__path__)]
    kinds = {kind for module in modules for kind in vars(module).values() if isinstance(kind, type)}
    found = {kind.name: kind for kind in kinds if issubclass(kind, World) and "name" in vars(kind)}
    return dict(sorted(found.items()))


WORLDS: dict[str, type[World]] = _all()


def kind_of(name: str) -> type[World]:
    """Return the world of a processor, or say what to add."""
    if name not in WORLDS:
        raise AssertionError(
            f"include/processors/{name}.py has no world, so nothing proves that it erases. Add a subclass of World in "
            f"tests/processors/worlds/{name}.py (people, acts, documented ends, truth, trouble); "
            "then run `python -m tests.processors.truth_table`."
        )
    return WORLDS[name]


def make(stage: Stage, name: str, variant: str | None = None) -> World:
    """Return a new world of a processor."""
    kind = kind_of(name)
    wanted = variant or kind.richest
    if issubclass(kind, S3World):
        return kind(stage.accounts, stage.context.schedule, wanted, stage.s3)
    if issubclass(kind, DatabaseWorld):
        connection = stage.postgres.connection("accounts_db", stage.accounts_name)
        return kind(stage.accounts, stage.context.schedule, wanted, connection)
    return kind(stage.accounts, stage.context.schedule, wanted)
