"""The company's own accounts database: declared tables, erased by account in one transaction a batch, children first.

Which table belongs to which dataset, and how each is erased, stands in the schedule (`include.accounts_tables`). What a
law may keep (payments, contracts, complaints) is extracted first; a row of it that appeared or changed after it was
extracted is not erased but shown to a person, because the archive does not hold it.

The register row of an account (no name, no e-mail) leaves together with the last of its rows, and takes the ledgers
along: consent, balances, disputes, corrections, instructions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime
from typing import Any, ClassVar

from include.accounts_tables import Tables
from include.errors import ConfigurationError
from include.outcomes import Outcome
from include.processors import STALE_LOCATOR, Found, Quota, Record, Result, Site, Step, Subject, Work, _sweeps
from include.processors import _own_database_records as records
from include.processors import _own_database_scan as scan
from include.processors import _own_database_sql as statements
from include.processors._own_database_sql import NAME, Target, opened

READ_METHOD = "row_count_by_account"


class Processor:
    """Erases rows of the company's own database (`include.processors.ProcessorContract`)."""

    name: ClassVar[str] = NAME
    batch_size: ClassVar[int] = 1000
    exclusive: ClassVar[bool] = False
    quotas: ClassVar[tuple[Quota, ...]] = ()

    def __init__(self, site: Site) -> None:
        self.site, self.tables = site, Tables.parse(site.settings)

    def check(self) -> None:
        """Prove that what the schedule declares is there, may be erased, and is all there is of a person."""
        with opened(self.site.connection, read_only=True) as connection:
            scan.check(connection, self.tables)

    # -- reading ---------------------------------------------------------------------------------------------------
    def locate(self, subjects: Sequence[Subject]) -> list[Found]:
        """Count the rows each disposal reaches; keys and digests of rows a law may keep go into the locator."""
        self._check_datasets(d for s in subjects for d in s.datasets)
        targets = [Target(s.disposal_id, s.account_id, s.datasets, s.trigger_event, s.trigger_date) for s in subjects]
        with opened(self.site.connection, read_only=True) as connection, connection.cursor() as cursor:
            counts = statements.count(cursor, self.tables, targets)
            rows = statements.rows_of_records(cursor, self.tables, targets)
            held = statements.open_complaints(cursor, self.tables, targets)
        return [self._found(t, counts.get(t.disposal_id, {}), rows.get(t.disposal_id, {}), held) for t in targets]

    def _found(self, target: Target, counts: dict[str, int], rows: dict[str, dict[str, str]], held: set[str]) -> Found:
        if target.account_id == "":
            return Found(target.disposal_id, Outcome.FAILED, code="no_identifier")
        if target.disposal_id in held:
            return Found(target.disposal_id, Outcome.BLOCKED, code="open_complaint")
        locator = {"event": target.event, "day": target.day.isoformat(), "counts": counts, "rows": rows}
        return Found(target.disposal_id, Outcome.LOCATED, count=sum(counts.values()), locator=locator)

    def _check_datasets(self, datasets: Iterable[str]) -> None:
        declared = {t.dataset for t in self.tables.tables.values()}
        if missing := sorted(set(datasets) - declared):
            raise ConfigurationError(
                f"Processor {NAME}: no table is declared for {', '.join(missing)}. Add it to "
                "processors.own_database.settings.tables in the schedule."
            )

    def extract(self, work: Sequence[Work]) -> list[Record]:
        """Return the payments, contracts and complaints that were located, each with the party's items."""
        targets = [t for t in map(_target, work) if t.rows]
        if not targets:
            return []
        with opened(self.site.connection, read_only=True) as connection, connection.cursor() as cursor:
            return records.extract(cursor, self.tables, targets, as_of=self.site.as_of)

    def sweep(self, since: datetime | None) -> Iterator[_sweeps.Swept]:
        """Yield the accounts that have rows though no customer stands behind them."""
        return _sweeps.own_database(self.site, self.tables, since)

    # -- acting ----------------------------------------------------------------------------------------------------
    def steps(self, work: Work) -> tuple[Step, ...]:
        """Return the one step there is, unless nothing was located."""
        if not sum(work.locator.get("counts", {}).values()):
            return ()
        actions = {t.action for name, t in self.tables.tables.items() if name in work.locator["counts"]}
        return (Step("erase", method="row_delete" if "delete" in actions else sorted(actions)[0]),)

    def act(self, step: str, work: Sequence[Work]) -> list[Result]:
        """Erase the batch in one transaction; where a reference refuses it, each disposal in one of its own."""
        import psycopg

        if step != "erase":
            raise ConfigurationError(f"Processor {NAME} knows no step {step!r}.")
        targets = [_target(w) for w in work]
        self._check_datasets(d for t in targets for d in t.datasets)
        try:
            results = self._erase(targets)
        except psycopg.IntegrityError:
            results = {}
            for target in targets:
                try:
                    results |= self._erase([target])
                except psycopg.IntegrityError as error:
                    foreign = isinstance(error, psycopg.errors.ForeignKeyViolation)
                    code = "foreign_key" if foreign else "constraint"
                    results[target.disposal_id] = Result(
                        target.disposal_id, Outcome.FAILED, code=code, needs_person=True
                    )
        return [results[w.disposal_id] for w in work]

    def _erase(self, targets: Sequence[Target]) -> dict[str, Result]:
        results = {}
        with opened(self.site.connection, read_only=False) as connection, connection.cursor() as cursor:
            now = statements.rows_of_records(cursor, self.tables, targets, lock=True)
            same = []
            for target in targets:
                if _grew(target.rows, now.get(target.disposal_id, {})):
                    results[target.disposal_id] = Result(target.disposal_id, Outcome.FAILED, code=STALE_LOCATOR)
                else:
                    same.append(target)
                    results[target.disposal_id] = Result(target.disposal_id, Outcome.ACCEPTED)
            self.site.go_on()
            if same:
                statements.erase(cursor, self.tables, same)
                self._leave(connection, same)
        return results

    def _leave(self, connection: Any, targets: Sequence[Target]) -> None:
        """Remove the register rows that became empty; one that is still referred to stays and shows in read-back."""
        import psycopg

        with connection.cursor() as cursor:
            bare = statements.bare_accounts(cursor, self.tables, targets)
            try:
                with connection.transaction():
                    statements.remove_register(cursor, self.tables, bare)
            except psycopg.IntegrityError:
                for account_id in bare:
                    try:
                        with connection.transaction():
                            statements.remove_register(cursor, self.tables, [account_id])
                    except psycopg.IntegrityError:
                        continue

    def read_back(self, work: Sequence[Work]) -> list[Result]:
        """Count again over a connection made for it; nothing left is the only proof."""
        with opened(self.site.connection, read_only=True) as connection, connection.cursor() as cursor:
            counts = statements.count(cursor, self.tables, [_target(w) for w in work])
        return [self._read(w, sum(counts.get(w.disposal_id, {}).values())) for w in work]

    def _read(self, work: Work, left: int) -> Result:
        if left:
            return Result(work.disposal_id, Outcome.FAILED, code="still_present", count=left, verify_method=READ_METHOD)
        anonymised = [
            t.because
            for name, t in self.tables.tables.items()
            if t.action == "anonymise" and work.locator.get("counts", {}).get(name)
        ]
        return Result(
            work.disposal_id,
            Outcome.CONFIRMED_ANONYMISED if anonymised else Outcome.CONFIRMED_ABSENT,
            basis=anonymised[0] if anonymised else None,
            count=0,
            verify_method=READ_METHOD,
        )


def _target(work: Work) -> Target:
    locator = work.locator
    if "event" not in locator or "day" not in locator:
        raise ConfigurationError(
            f"Processor {NAME}: disposal {work.disposal_id} was not located here; locate it again."
        )
    return Target(
        work.disposal_id,
        work.account_id,
        work.datasets,
        locator["event"],
        date.fromisoformat(locator["day"]),
        {table: dict(rows) for table, rows in locator.get("rows", {}).items()},
    )


def _grew(located: dict[str, dict[str, str]], now: dict[str, dict[str, str]]) -> bool:
    """Whether a row is there now that was not extracted, or not as it is now; rows already gone do not matter."""
    return any(located.get(table, {}).get(key) != digest for table, rows in now.items() for key, digest in rows.items())
