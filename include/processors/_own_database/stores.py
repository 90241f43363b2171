"""The company's stores beside its accounts database: a warehouse that is erased, a log store that lapses, a cache.

Every dataset lies in exactly one store, and a disposal's datasets in one: so each store is a place with an outcome of
its own, and one that lapses in thirty days does not hold up the proof for the others.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, timedelta

from include.accounts.tables import Store, Tables
from include.errors import ConfigurationError
from include.outcomes import Outcome
from include.policy.periods import Period, add
from include.processors import Result, Site, Work

NAME = "own_database"
MAIN = ""
"""The accounts database itself."""
DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Stores:
    """Where each dataset lies."""

    main: Tables
    others: dict[str, Store]

    @classmethod
    def of(cls, tables: Tables) -> Stores:
        """Return the stores a declaration names."""
        return cls(tables, dict(tables.stores))

    def place(self, datasets: Iterable[str]) -> str:
        """Return the one store some datasets lie in, or say what the schedule lacks."""
        wanted = set(datasets)
        main = {t.dataset for t in self.main.tables.values()}
        found = {name for name, store in self.others.items() if store.holds & wanted}
        if main & wanted:
            found.add(MAIN)
        if missing := sorted(wanted - main - {d for s in self.others.values() for d in s.holds}):
            raise ConfigurationError(
                f"Processor {NAME}: no table is declared for {', '.join(missing)}. Add it to "
                "processors.own_database.settings.tables (or .stores) in the schedule."
            )
        if len(found) > 1:
            raise ConfigurationError(
                f"Processor {NAME}: one scope names datasets of several stores "
                f"({', '.join(sorted(n or 'the accounts database' for n in found))}). Give each store a scope of its "
                "own in the schedule's rules."
            )
        return next(iter(found), MAIN)

    def tables(self, place: str) -> Tables:
        """Return the tables of a store that is erased."""
        return self.main if place == MAIN else self.others[place].as_tables()

    def erased(self) -> list[str]:
        """Return the stores that are connected to."""
        return [MAIN, *(n for n, s in self.others.items() if s.tables)]

    def site(self, site: Site, place: str) -> Site:
        """Return what is needed to reach a store."""
        name = self.others[place].connection if place else None
        if name is None:
            return site
        return replace(site, connection=site.connect(name))


def first_seen(as_of: date) -> dict[str, str]:
    """Return what is remembered of a store that nobody can search: the day from which the account is done with."""
    return {"since": as_of.isoformat()}


def unsearched(name: str, store: Store, work: Work) -> Result:
    """Return the end at a store without a connection: a date on which everything has lapsed, or a person's due day."""
    if "since" not in work.locator:
        raise ConfigurationError(
            f"Processor {NAME}: disposal {work.disposal_id} was not located in store {name}; locate it again."
        )
    since = date.fromisoformat(work.locator["since"])
    if store.expires_within_days is not None:
        return Result(
            work.disposal_id,
            Outcome.EXPIRES_BY_PROCESSOR,
            code="store_lapses",
            until=add(since + DAY, Period(days=store.expires_within_days)),
            basis=f"{name}_within_{store.expires_within_days}_days",
        )
    return Result(
        work.disposal_id,
        Outcome.MANUAL_PENDING,
        code="store_erasure_order",
        until=since + timedelta(days=store.manual_within_days or 1),
        basis=name,
    )
