"""Reads of the company's accounts database: who is due, who is held, and by which keys a person is searched elsewhere.

Nothing is ever written here, and nothing about a person leaves in an error. Which table holds what stands in the
schedule under `processors.own_database.settings` (`include.accounts.tables`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Select,
    and_,
    case,
    func,
    not_,
    or_,
    select,
    table,
    true,
    union,
)
from sqlalchemy.exc import DBAPIError

from include.accounts.events import clock_dates, open_records, record_events, trigger_dates
from include.accounts.sql import Asked, as_date, col, day, flag, refusal, snapshot
from include.accounts.tables import Held, Tables
from include.policy.facts import AccountFacts, Event, Hold, State, state_of
from include.policy.planner import due_triggers

if TYPE_CHECKING:
    from include.policy.schedule import Schedule

CHUNK = 1000


@dataclass(frozen=True, slots=True)
class Identifiers:
    """The keys by which a person is searched at other places; kept out of `repr`."""

    emails: tuple[str, ...] = field(default=(), repr=False)
    login_id: str = field(default="", repr=False)
    name: str = field(default="", repr=False)
    phones: tuple[str, ...] = field(default=(), repr=False)


class Accounts:
    """The accounts database behind `engine`, read by the declaration in `settings`."""

    def __init__(self, engine: Engine, settings: Mapping[str, Any]) -> None:
        self.engine, self.tables = engine, Tables.parse(settings)

    # -- who is due ------------------------------------------------------------------------------------------------
    def due(self, schedule: Schedule, as_of: date) -> Iterator[AccountFacts]:
        """Yield, in a stable order, every account with an event whose period may be over by `as_of`.

        The database does the first selection by the newest trigger date of each event, so the work follows what is due
        and not how many customers there are; the planner decides.
        """
        latest: dict[str, date] = {}
        for trigger in due_triggers(schedule, as_of):
            latest[trigger.event] = max(latest.get(trigger.event, date.min), trigger.latest_trigger_date)
        chosen = [s for event, day in latest.items() for s in self._having(event, day)]
        if not chosen:
            return
        found = union(*chosen).subquery()
        with self._opened() as connection:
            rows = connection.execution_options(stream_results=True).execute(
                select(found.c.account_id).order_by(found.c.account_id)
            )
            for chunk in rows.scalars().partitions(CHUNK):
                yield from self.facts(chunk)

    def _having(self, event: str, latest: date) -> Iterator[Select[Any]]:
        """Yield a select of the accounts with `event` on or before `latest`, for each table that records it."""
        register = self.tables.register_row
        if event in ("terminated", "requested"):
            name = register.terminated_on if event == "terminated" else register.requested_on
            source = self._table(register.table)
            yield select(col(register.account).label("account_id")).select_from(source).where(day(name) <= latest)
        for dates in (*trigger_dates(self.tables), *clock_dates(self.tables)):
            if dates.event == event:
                yield dates.due(latest)

    def every(self) -> Iterator[str]:
        """Yield the id of every account in the register, in order, without loading them at once."""
        register = self.tables.register_row
        statement = (
            select(col(register.account)).select_from(self._table(register.table)).order_by(col(register.account))
        )
        with self._opened() as connection:
            rows = connection.execution_options(stream_results=True, yield_per=10_000).execute(statement)
            yield from rows.scalars()

    def facts(self, account_ids: Collection[str]) -> list[AccountFacts]:
        """Return what the planner needs of some accounts, from one snapshot, in the order of their ids."""
        if not account_ids:
            return []
        ids = Asked.of(self.engine, account_ids)
        register = self.tables.register_row
        with self._opened(one_snapshot=True) as connection:
            rows = connection.execute(
                select(
                    col(register.account).label("account"),
                    col(register.subject_type).label("subject_type"),
                    flag(register.consumer_like).label("consumer_like"),
                    day(register.requested_on).label("requested_on"),
                    flag(register.withheld).label("withheld"),
                    day(register.terminated_on).label("terminated_on"),
                )
                .select_from(self._table(register.table))
                .where(ids.among(col(register.account)))
                .order_by(col(register.account))
            ).all()
            ended = {r.account: as_date(r.terminated_on, register.terminated_on) for r in rows}
            asked = {r.account: as_date(r.requested_on, register.requested_on) for r in rows}
            events = self._events(connection, ids, ended)
            present = self._present(connection, ids)
        ids.refuse_others(ended, events, present)
        return [
            AccountFacts(
                account_id=row.account,
                subject_type=row.subject_type,
                consumer_like=bool(row.consumer_like),
                state=state_of(
                    requested_on=asked[row.account], withheld=bool(row.withheld), terminated_on=ended[row.account]
                ),
                requested_on=asked[row.account],
                terminated_on=ended[row.account],
                events=tuple(sorted(events[row.account], key=lambda e: (e.date, e.kind, e.offshore))),
                present=frozenset(present[row.account]),
            )
            for row in rows
        ]

    def _events(self, connection: Connection, ids: Asked, ended: Mapping[str, date | None]) -> dict[str, set[Event]]:
        events: dict[str, set[Event]] = defaultdict(set)
        for dates in (*trigger_dates(self.tables), *clock_dates(self.tables)):
            for account_id, found in connection.execute(dates.of(ids)):
                events[account_id].add(Event(dates.event, as_date(found, dates.column)))
        for record in self.tables.records:
            for account_id, event in record_events(connection, self.tables, record, ids, ended):
                events[account_id].add(event)
        return events

    def _present(self, connection: Connection, ids: Asked) -> dict[str, set[str]]:
        """Return which datasets hold something of each account; a bare register row counts as its own dataset."""
        present: dict[str, set[str]] = defaultdict(set)
        register = self.tables.register_row.table
        for name, declared in self.tables.tables.items():
            if name == register:
                continue
            statement: Select[Any] = (
                select(col(declared.account))
                .distinct()
                .select_from(self._table(name))
                .where(ids.among(col(declared.account)), filled(declared.action, declared.columns))
            )
            for account_id in connection.execute(statement).scalars():
                present[account_id].add(declared.dataset)
        if register in self.tables.tables:
            declared = self.tables.tables[register]
            holding = case((filled(declared.action, declared.columns), 1), else_=0)
            statement = (
                select(col(declared.account), holding.label("filled"))
                .select_from(self._table(register))
                .where(ids.among(col(declared.account)))
            )
            rows: Iterable[Any] = connection.execute(statement)
            for account_id, some in rows:
                if some or not present[account_id]:
                    present[account_id].add(declared.dataset)
        return present

    # -- who is held -----------------------------------------------------------------------------------------------
    def computed_holds(self, account_ids: Collection[str]) -> dict[str, list[Hold]]:
        """Return the holds that the company's own records make (H-1 to H-5), released ones too, read now."""
        holds: dict[str, list[Hold]] = defaultdict(list)
        if not account_ids:
            return {}
        ids = Asked.of(self.engine, account_ids)
        with self._opened(one_snapshot=True) as connection:
            for held in self.tables.holds:
                for account_id, hold in self._held(connection, held, ids):
                    holds[account_id].append(hold)
            for account_id, hold in self._withheld(connection, ids):
                holds[account_id].append(hold)
            for account_id, kind, dataset, key in open_records(connection, self.tables, ids):
                holds[account_id].append(Hold(f"{dataset}:{key}", kind, datasets=self._evidence(dataset)))
        ids.refuse_others(holds)
        return dict(holds)

    def held_accounts(self, as_of: date) -> list[str]:
        """Return every account that a hold of the company's own records may reach on `as_of`, without being asked for.

        The archive knows no account ids, so it asks who is held instead of whether somebody is.
        """
        register = self.tables.register_row
        statements = [
            select(col(held.account))
            .select_from(self._table(held.table))
            .where(
                or_(day(held.released).is_(None), day(held.released) >= as_of),
                *(col(c) == v for c, v in held.where.items()),
            )
            for held in self.tables.holds
        ]
        statements.append(
            select(col(register.account))
            .select_from(self._table(register.table))
            .where(
                flag(register.withheld),
                or_(day(register.debt_cleared_on).is_(None), day(register.debt_cleared_on) >= as_of),
            )
        )
        with self._opened() as connection:
            found = {account_id for statement in statements for account_id in connection.execute(statement).scalars()}
            found |= {account_id for account_id, *_ in open_records(connection, self.tables)}
        return sorted(found)

    def _held(self, connection: Connection, held: Held, ids: Asked) -> Iterator[tuple[str, Hold]]:
        dataset = (col(held.dataset),) if held.dataset else ()
        statement = (
            select(col(held.account), col(held.key), day(held.placed), day(held.released), *dataset)
            .select_from(self._table(held.table))
            .where(ids.among(col(held.account)), *(col(c) == v for c, v in held.where.items()))
            .order_by(col(held.key))
        )
        for account_id, key, placed, released, *named in connection.execute(statement):
            yield (
                account_id,
                Hold(
                    hold_id=f"{held.table}:{key}",
                    kind=held.kind,
                    datasets=self._reach(held, named[0]) if named and named[0] else (),
                    placed_on=as_date(placed, held.placed),
                    released_on=as_date(released, held.released),
                ),
            )

    def _reach(self, held: Held, dataset: str) -> tuple[str, ...]:
        """Return what a hold on a dataset reaches: a correction freezes the copies too, a case keeps its evidence."""
        if held.copies:
            return (dataset, *self.tables.copies.get(dataset, ()))
        return self._evidence(dataset)

    def _evidence(self, dataset: str) -> tuple[str, ...]:
        """Return a case's dataset and where else its evidence lies."""
        return tuple(self.tables.evidence.get(dataset, (dataset,)))

    def _withheld(self, connection: Connection, ids: Asked) -> Iterator[tuple[str, Hold]]:
        """Yield H-4: a debt withholds the termination; marketing has stopped at the request all the same."""
        register = self.tables.register_row
        statement = (
            select(col(register.account), day(register.requested_on), day(register.debt_cleared_on))
            .select_from(self._table(register.table))
            .where(ids.among(col(register.account)), flag(register.withheld))
        )
        for account_id, requested_on, cleared_on in connection.execute(statement):
            yield (
                account_id,
                Hold(
                    hold_id=f"withheld:{account_id}",
                    kind="H-4",
                    datasets=register.withheld_datasets,
                    placed_on=as_date(requested_on, register.requested_on),
                    released_on=as_date(cleared_on, register.debt_cleared_on),
                ),
            )

    # -- who a person is -------------------------------------------------------------------------------------------
    def identifiers(self, account_ids: Collection[str]) -> dict[str, Identifiers]:
        """Return the search keys of the accounts that are in the register; one without any has empty ones."""
        if not account_ids:
            return {}
        ids = Asked.of(self.engine, account_ids)
        register, places = self.tables.register_row, self.tables.identifiers
        with self._opened(one_snapshot=True) as connection:
            known = connection.execute(
                select(col(register.account))
                .select_from(self._table(register.table))
                .where(ids.among(col(register.account)))
            ).scalars()
            found: dict[str, dict[str, list[str]]] = {i: defaultdict(list) for i in known}
            ids.refuse_others(found)
            for kind in ("emails", "login_id", "name", "phones"):
                for place in getattr(places, kind):
                    for account_id, value in self._values(connection, place, ids):
                        if account_id in found and value not in found[account_id][kind]:
                            found[account_id][kind].append(value)
        return {
            account_id: Identifiers(
                emails=tuple(keys["emails"]),
                login_id=next(iter(keys["login_id"]), ""),
                name=next(iter(keys["name"]), ""),
                phones=tuple(keys["phones"]),
            )
            for account_id, keys in found.items()
        }

    def address(self, account_id: str, place: str) -> str | None:
        """Return the first value of `table.column` of an account, or None: where a notice is sent to."""
        asked = Asked.of(self.engine, [account_id])
        with self._opened() as connection:
            rows = list(self._values(connection, place, asked))
        asked.refuse_others({account for account, _ in rows})
        return min((str(value) for _, value in rows), default=None)

    def _values(self, connection: Connection, place: str, ids: Asked) -> Iterable[Any]:
        name, _, value = place.partition(".")
        account = self._account_column(name)
        return connection.execute(
            select(col(account), col(value))
            .select_from(self._table(name))
            .where(ids.among(col(account)), col(value).is_not(None), col(value) != "")
        )

    def _account_column(self, name: str) -> str:
        declared = self.tables.tables.get(name)
        return declared.account if declared else self.tables.register_row.account

    # -- how many --------------------------------------------------------------------------------------------------
    def population(self, as_of: date) -> dict[str, int]:
        """Count the accounts by their state on `as_of`, to reconcile terminations with what became of them."""
        register = self.tables.register_row
        ended, asked = day(register.terminated_on), day(register.requested_on)
        state = case(
            (ended <= as_of, State.TERMINATED.value),
            (or_(asked.is_(None), asked > as_of), State.LIVE.value),
            (and_(flag(register.withheld), ended.is_(None)), State.WITHHELD.value),
            else_=State.REQUESTED.value,
        )
        each = select(state.label("state")).select_from(self._table(register.table)).subquery()
        with self._opened() as connection:
            rows = connection.execute(select(each.c.state, func.count()).group_by(each.c.state)).all()
        return {s.value.lower(): 0 for s in State} | {name.lower(): count for name, count in rows}

    # -- the connection --------------------------------------------------------------------------------------------
    def _table(self, name: str) -> Any:
        return table(name, schema=self.tables.schema_name)

    @contextmanager
    def _opened(self, *, one_snapshot: bool = False) -> Iterator[Connection]:
        try:
            with self.engine.connect() as connection:
                yield snapshot(connection) if one_snapshot else connection
        except DBAPIError as error:
            raise refusal("accounts_db", error) from None


def filled(action: str, columns: tuple[str, ...]) -> ColumnElement[bool]:
    """Return whether a row still holds something to erase: any row where rows go, else one with a filled column."""
    if action != "null_columns":
        return true()
    return not_(and_(*(col(c).is_(None) for c in columns)))
