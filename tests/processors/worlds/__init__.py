"""One world per processor. The folder `include/processors` is the registry: a processor without one fails the suite.

To add one: write a subclass of `World` (behind a stand-in: `HttpWorld`; on the company's own lists: `DatabaseWorld`),
say what it documents (`variants`, `acts`, `deletes`, `reads`, `not_provable`) and what does not exist at the place
(`without`, each with its reason), and name it in `WORLDS`.
"""

from __future__ import annotations

from tests.processors.worlds.base import World
from tests.processors.worlds.databases import DatabaseWorld
from tests.processors.worlds.lists import AdrollWorld, ClarityWorld, PaperWorld
from tests.processors.worlds.own_database import OwnDatabaseWorld
from tests.processors.worlds.play import Stage
from tests.processors.worlds.s3 import S3World
from tests.processors.worlds.salesforce import SalesforceWorld
from tests.processors.worlds.stripe import StripeWorld
from tests.processors.worlds.zendesk import ZendeskWorld

WORLDS: dict[str, type[World]] = {
    world.name: world
    for world in (
        AdrollWorld, ClarityWorld, OwnDatabaseWorld, PaperWorld, S3World, SalesforceWorld, StripeWorld, ZendeskWorld,
    )
}  # fmt: skip


def kind_of(name: str) -> type[World]:
    """Return the world of a processor, or say what to add."""
    if name not in WORLDS:
        raise AssertionError(
            f"include/processors/{name}.py has no world, so nothing proves that it erases. Add a subclass of World in "
            f"tests/processors/worlds/{name}.py (people, acts, documented ends, truth, trouble) and name it in "
            "WORLDS of tests/processors/worlds/__init__.py; then run `python -m tests.processors.truth_table`."
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
