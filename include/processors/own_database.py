"""The company's own stores: declared tables, erased by account in one transaction a batch, children first.

Which table belongs to which dataset, and how each is erased, stands in the schedule (`include.accounts.tables`). What a
law may keep (payments, contracts, complaints) is extracted first; a row of it that appeared or changed after it was
extracted is not erased but located anew, because the archive does not hold it.

The register row of an account (no name, no e-mail) leaves together with the last of its rows, and takes the ledgers
along: consent, balances, disputes, corrections, instructions.

Beside the accounts database the schedule may declare further stores (`stores`), each a place with scopes and outcomes
of its own: a PostgreSQL warehouse is erased and counted like the accounts database; a log store lapses on a date
(`expires_by_processor`); a cache or a dump is erased by a person (`manual_pending`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import ClassVar, TypeVar

from include.accounts.tables import Tables
from include.errors import ConfigurationError, ProcessorError
from include.outcomes import Outcome
from include.processors import Found, Quota, Record, Result, Site, Step, Subject, Work, _sweeps
from include.processors._own_database.rows import Rows
from include.processors._own_database.sql import NAME
from include.processors._own_database.stores import MAIN, Stores, first_seen, unsearched

Item = TypeVar("Item", Subject, Work)
Answer = TypeVar("Answer", Found, Result)


class Processor:
    """Erases rows of the company's own stores (`include.processors.ProcessorContract`)."""

    name: ClassVar[str] = NAME
    batch_size: ClassVar[int] = 1000
    exclusive: ClassVar[bool] = False
    quotas: ClassVar[tuple[Quota, ...]] = ()

    def __init__(self, site: Site) -> None:
        self._as_of = site.as_of
        self._site, self._stores = site, Stores.of(Tables.parse(site.settings))
        self._rows = {n: Rows(self._stores.site(site, n), self._stores.tables(n)) for n in self._stores.erased()}
        self._down: dict[str, ProcessorError] = {}

    def check(self) -> None:
        """Prove of every connected store that what is declared is there, erasable, and all there is of a person.

        A further store that is down, or refuses us, holds up its own disposals only; an undeclared column anywhere
        stops everything.
        """
        for place, rows in self._rows.items():
            try:
                rows.check()
            except ProcessorError as error:
                if place == MAIN:
                    raise
                self._down[place] = error

    def locate(self, subjects: Sequence[Subject]) -> list[Found]:
        """Count the rows each disposal reaches in its store; a store nobody can search is found by being declared."""
        return self._by_store(subjects, lambda rows, some: rows.locate(some), self._unsearched, _not_found)

    def _unsearched(self, place: str, subject: Subject) -> Found:
        if subject.account_id == "":
            return Found(subject.disposal_id, Outcome.FAILED, code="no_identifier")
        return Found(subject.disposal_id, Outcome.LOCATED, locator=first_seen(self._as_of))

    def extract(self, work: Sequence[Work]) -> list[Record]:
        """Return the payments, contracts and complaints that were located, each with the party's items."""
        found: dict[str, list[Work]] = {}
        for item in work:
            found.setdefault(self._stores.place(item.datasets), []).append(item)
        return [r for place, some in found.items() if place in self._rows for r in self._rows[place].extract(some)]

    def sweep(self, since: datetime | None) -> Iterator[_sweeps.Swept]:
        """Yield the accounts that have rows in a connected store though no customer stands behind them."""
        main = self._stores.main
        yield from _sweeps.own_database(self._site, main, since)
        for place in self._stores.erased():
            if place != MAIN:
                yield from _sweeps.own_store(
                    self._stores.site(self._site, place), main, self._stores.tables(place), since
                )

    def not_listed(self) -> tuple[str, ...]:
        """Return the stores nobody can list: they lapse by themselves, or a person erases them."""
        return tuple(sorted(set(self._stores.others) - set(self._stores.erased())))

    def steps(self, work: Work) -> tuple[Step, ...]:
        """Return the one step there is, unless nothing was located or the store is not erased by us."""
        if not sum(work.locator.get("counts", {}).values()):
            return ()
        tables = self._stores.tables(self._stores.place(work.datasets)).tables
        actions = {t.action for name, t in tables.items() if name in work.locator["counts"]}
        return (Step("erase", method="row_delete" if "delete" in actions else sorted(actions)[0]),)

    def act(self, step: str, work: Sequence[Work]) -> list[Result]:
        """Erase the batch, store by store, in one transaction each."""
        if step != "erase":
            raise ConfigurationError(f"Processor {NAME} knows no step {step!r}.")
        return self._by_store(work, lambda rows, some: rows.act(some), self._end, _not_done)

    def read_back(self, work: Sequence[Work]) -> list[Result]:
        """Count again over connections made for it; nothing left is the only proof."""
        return self._by_store(work, lambda rows, some: rows.read_back(some), self._end, _not_done)

    def _end(self, place: str, work: Work) -> Result:
        return unsearched(place, self._stores.others[place], work)

    def _by_store(
        self,
        items: Sequence[Item],
        connected: Callable[[Rows, Sequence[Item]], Sequence[Answer]],
        alone: Callable[[str, Item], Answer],
        failed: Callable[[Item, ProcessorError], Answer],
    ) -> list[Answer]:
        """Ask every store about its own items; return the answers in the order of `items`.

        Trouble with one of several fails the items of that one; trouble with the only one is raised.
        """
        by_place: dict[str, list[Item]] = {}
        for item in items:
            by_place.setdefault(self._stores.place(item.datasets), []).append(item)
        found: dict[str, Answer] = {}
        for place, some in by_place.items():
            rows = self._rows.get(place)
            if rows is None:
                answers: Sequence[Answer] = [alone(place, i) for i in some]
            else:
                try:
                    if place in self._down:
                        raise self._down[place]
                    answers = connected(rows, some)
                except ProcessorError as error:
                    if place == MAIN or len(by_place) == 1:
                        raise
                    answers = [failed(i, error) for i in some]
            found |= {a.disposal_id: a for a in answers}
        return [found[i.disposal_id] for i in items]


def _not_found(subject: Subject, error: ProcessorError) -> Found:
    return Found(subject.disposal_id, Outcome.FAILED, code=error.code)


def _not_done(work: Work, error: ProcessorError) -> Result:
    return Result(work.disposal_id, Outcome.FAILED, code=error.code, http_status=error.status)
