"""Somebody erased is there again: noticed every night, erased again only where nobody else can be meant.

A match by account id (or by the place's own object id together with the account's) of somebody who is no customer is
erased again, behind the brake like every plan. A match by e-mail alone, or with a live account, is shown to a person
and nothing is touched: who was erased may sign up again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from itertools import islice
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

from sqlalchemy import ARRAY, Connection, Row, Text, cast, exists, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from include.database import among, disposal
from include.database.decisions import sighting, sweep, tombstone
from include.disposals import holds, locators
from include.disposals.claims import lock_accounts
from include.disposals.context import Context, Decision
from include.disposals.record import base_entry, disposal_entry
from include.disposals.tombstones import ACCOUNT, EMAIL, OBJECT, forget_expired
from include.errors import ConfigurationError, DecisionRefused, ProcessorError
from include.evidence.log import stage
from include.outcomes import Outcome
from include.policy.facts import AccountFacts, State
from include.policy.planner import plan
from include.processors import ProcessorContract
from include.processors._sweeps import Swept

CHUNK = 500
OVERLAP = timedelta(days=1)
SEOUL = ZoneInfo("Asia/Seoul")
RANK = {OBJECT: 0, ACCOUNT: 1, EMAIL: 2}
Owners = Callable[[Collection[str]], Mapping[str, Collection[str]]]
"""From e-mails (any case) to the accounts that use each, by the e-mail in lower case."""


@dataclass(frozen=True, slots=True)
class Match:
    """A record at a place that matches a tombstone: the closed disposal, the strongest kind of match, the record."""

    row: Row[Any]
    kind: str
    record: Swept = field(repr=False)


# -- every night ---------------------------------------------------------------------------------------------------
def sweep_places(
    context: Context, places: Mapping[str, Callable[[], ProcessorContract]], owners: Owners, *, now: datetime
) -> dict[str, str]:
    """Sweep every place since it was last swept; return `{place: swept | not_swept | why it failed}`.

    A place that fails is tried again on the next night from where it stood. Tombstones past their term go.
    """
    with context.engine.begin() as connection:
        forget_expired(connection, context.as_of)
    return {name: _sweep_place(context, name, connect, owners, now=now) for name, connect in sorted(places.items())}


def _sweep_place(
    context: Context, name: str, connect: Callable[[], ProcessorContract], owners: Owners, *, now: datetime
) -> str:
    # In a sandbox that looks ahead, records carry the sandbox's day.
    upto = max(now, datetime.combine(context.as_of, time(0), SEOUL).astimezone(UTC))
    counts: dict[str, int] = {}
    try:
        processor = connect()
        listing = getattr(processor, "sweep", None)
        if listing is None:
            return _note(context, name, "not_swept", None, counts)
        with context.engine.connect() as connection:
            last = connection.execute(select(sweep.c.swept_until).where(sweep.c.processor == name)).scalar()
        first = upto - timedelta(days=context.schedule.settings.suppression.first_sweep_days)
        since = (last or first) - OVERLAP
        for chunk in _chunks(listing(since)):
            for match in _matches(context, name, chunk):
                word = _settle(context, match, owners)
                counts[word] = counts.get(word, 0) + 1
            counts["records"] = counts.get("records", 0) + len(chunk)
    except ProcessorError as error:
        return _note(context, name, error.code, None, counts)
    except ConfigurationError:
        return _note(context, name, "not_configured", None, counts)
    for part in getattr(processor, "not_listed", tuple)():
        _note(context, name, "not_swept", None, {}, part=part)
    return _note(context, name, "swept", upto, counts)


def _note(
    context: Context, name: str, code: str, upto: datetime | None, counts: Mapping[str, int], *, part: str = ""
) -> str:
    """Record how a place (or a part of it that cannot be listed) was swept; return the code."""
    moved = {"swept_until": upto, "swept_on": context.as_of} if upto else {}
    with context.engine.begin() as connection:
        values = {"processor": f"{name}/{part}" if part else name, "code": code, **moved}
        connection.execute(
            upsert(sweep)
            .values(values)
            .on_conflict_do_update(index_elements=["processor"], set_={"code": code, **moved})
        )
        entry = base_entry(context, "swept") | {"processor": name, "code": code, "counts": dict(counts)}
        stage(connection, [entry | ({"basis": part} if part else {})])
    return code


def _matches(context: Context, name: str, chunk: Sequence[Swept], *, since: date | None = None) -> Iterator[Match]:
    """Yield each closed disposal of this place that a record matches, once, by its strongest match."""
    with context.engine.connect() as connection:
        epochs = set(
            connection.execute(select(tombstone.c.key_epoch).where(tombstone.c.processor == name).distinct()).scalars()
        ) & set(context.tags.epochs)
        by_tag = _tags(context, name, chunk, epochs)
        found = connection.execute(
            select(tombstone.c.tag, tombstone.c.kind, disposal)
            .join(disposal, disposal.c.disposal_id == tombstone.c.disposal_id)
            .where(
                tombstone.c.processor == name,
                among(tombstone.c.tag, by_tag),
                tombstone.c.erased_on.is_not(None),
                tombstone.c.erased_on >= (since or date.min),
                disposal.c.closed_on.is_not(None),
                disposal.c.outcome != str(Outcome.CONFIRMED_ANONYMISED),
            )
        ).all()
    best: dict[UUID, Match] = {}
    for row in found:
        for record in by_tag[row.tag]:
            if set(record.datasets).isdisjoint(row.datasets):
                continue
            one = Match(row, row.kind, record)
            known = best.get(row.disposal_id)
            if known is None or RANK[one.kind] < RANK[known.kind]:
                best[row.disposal_id] = one
    yield from best.values()


def _tags(context: Context, name: str, chunk: Sequence[Swept], epochs: Collection[str]) -> dict[str, list[Swept]]:
    """Return the records by every tag they have under the epochs that live and that any tombstone here uses."""
    found: dict[str, list[Swept]] = {}
    for record in chunk:
        values = [(ACCOUNT, record.account_id), (f"object.{name}", record.object_id)]
        values += [(EMAIL, e) for e in record.emails]
        for kind, value in values:
            for epoch in epochs if value else ():
                found.setdefault(context.tags.tag(value, epoch=epoch, kind=kind), []).append(record)
    return found


def _settle(context: Context, match: Match, owners: Owners) -> str:
    """Erase again, show to a person, or leave alone; return which as a code word."""
    account_id = match.record.account_id
    same = bool(account_id) and context.tags.tag(account_id, epoch=match.row.key_epoch) == match.row.subject_tag
    facts = {f.account_id: f for f in context.accounts.facts([account_id] if account_id else [])}
    mine = facts.get(account_id)
    others = {a for accounts in owners(match.record.emails).values() for a in accounts} - {account_id}
    live = [f for f in context.accounts.facts(others) if f.state is not State.TERMINATED]
    if not same or live:
        return _show(context, match)
    if _under_way(context, account_id, match.row):
        return "under_way"  # another disposal of the same data is open: it is there because it is not gone yet
    if mine is not None and not _planned(context, mine, match.row):
        return "customer"  # the same person came back, or the term has not begun anew: theirs, and no sign of anything
    if mine is not None and mine.state is not State.TERMINATED:
        return _show(context, match)
    return "reappeared" if reopen(context, match, gate=uuid4()) else "customer"


def _under_way(context: Context, account_id: str, row: Row[Any]) -> bool:
    """Return whether another disposal of the same account at this place, reaching the same data, is still open."""
    with context.engine.connect() as connection:
        return bool(
            connection.execute(
                select(
                    exists().where(
                        disposal.c.account_id == account_id,
                        disposal.c.processor == row.processor,
                        disposal.c.closed_on.is_(None),
                        disposal.c.datasets.op("&&")(cast(list(row.datasets), ARRAY(Text))),
                    )
                )
            ).scalar()
        )


def _planned(context: Context, facts: AccountFacts, row: Row[Any]) -> bool:
    """Return whether today's plan of the account holds this very disposal as due and not held."""
    with context.engine.connect() as connection:
        placed = holds.placed(connection, [facts.account_id]).get(facts.account_id, [])
    held = [*context.accounts.computed_holds([facts.account_id]).get(facts.account_id, []), *placed]
    identity = ("processor", "rule_id", "scope_id", "trigger_event", "trigger_date")
    wanted = tuple(getattr(row, name) for name in identity)
    return any(
        tuple(getattr(d, name) for name in identity) == wanted and not d.held_by
        for d in plan(facts, context.schedule, held, context.as_of).disposals
    )


def _show(context: Context, match: Match) -> str:
    """Open a case for a person, one a disposal; what was decided before is not asked again."""
    with context.engine.begin() as connection:
        known = connection.execute(
            select(sighting.c.sighting_id).where(sighting.c.disposal_id == match.row.disposal_id)
        ).first()
        if known is None:
            connection.execute(
                insert(sighting).values(
                    sighting_id=uuid4(),
                    disposal_id=match.row.disposal_id,
                    processor=match.row.processor,
                    kind=match.kind,
                    seen_on=context.as_of,
                )
            )
    return "for_a_person"


def reopen(context: Context, match: Match, *, gate: UUID) -> bool:
    """Open the closed disposal again as `reappeared`, behind `gate`; return whether it still was closed.

    It is located anew with what the record itself tells, because the company may know the person no more.
    """
    row, account_id = match.row, match.record.account_id
    with context.engine.begin() as connection:
        lock_accounts(connection, [account_id])
        done = connection.execute(
            update(disposal)
            .where(disposal.c.disposal_id == row.disposal_id, disposal.c.closed_on.is_not(None))
            .values(
                outcome=str(Outcome.REAPPEARED),
                account_id=account_id,
                closed_on=None,
                due_at=context.as_of,
                gate=gate,
                attempts=0,
                step=None,
                code=f"by_{match.kind}",
                until=None,
                basis=None,
                needs_person=False,
                updated_at=func.now(),
            )
        )
        if not done.rowcount:
            return False
        keys = {"emails": list(match.record.emails), "login_id": "", "name": "", "phones": [], "consumer_like": False}
        if match.record.emails:
            locators.save(connection, context, "search", {str(row.disposal_id): keys})
        entry = disposal_entry(context, _of(connection, row.disposal_id), "reappeared", code=f"by_{match.kind}")
        stage(connection, [entry], [str(row.disposal_id)])
    return True


def _of(connection: Connection, disposal_id: UUID) -> Row[Any]:
    return connection.execute(select(disposal).where(disposal.c.disposal_id == disposal_id)).one()


# -- a person's decision -------------------------------------------------------------------------------------------
def undecided(connection: Connection) -> Sequence[Row[Any]]:
    """Return the cases a person has not decided, oldest first."""
    return connection.execute(
        select(sighting).where(sighting.c.decided_on.is_(None)).order_by(sighting.c.seen_on, sighting.c.processor)
    ).all()


def decide(context: Context | Decision, sighting_id: UUID, *, new_person: bool, by: str) -> None:
    """Record that who was seen is somebody new (or again) in their own right, or was erased and must go again.

    The second needs an account id to name whom; it is requested like any other erasure (`erase_account`).
    """
    word = "new_person" if new_person else "erase_again"
    role, _, pseudonym = by.partition(":")
    with context.engine.begin() as connection:
        if not connection.execute(select(exists().where(sighting.c.sighting_id == sighting_id))).scalar():
            raise DecisionRefused(f"There is no sighting {sighting_id}.")
        done = connection.execute(
            update(sighting)
            .where(sighting.c.sighting_id == sighting_id, sighting.c.decided_on.is_(None))
            .values(decided_on=context.as_of, decision=word, decided_by=by)
        )
        if done.rowcount:
            actor = {"role": role, "pseudonym": pseudonym or "unknown"}
            stage(connection, [base_entry(context, "sighting_decided") | {"code": word, "actor": actor}])


# -- after a restore -----------------------------------------------------------------------------------------------
def reapply(context: Context, name: str, processor: ProcessorContract, *, since: date, gate: UUID) -> int:
    """Open again every erasure at a place newer than `since` (the restore point's date) that the restore undid.

    The whole place is listed; only the account itself counts as a match, and whether the restored register calls it
    live does not: that register is older than the erasure. Returns how many wait behind `gate`.
    """
    listing = getattr(processor, "sweep", None)
    if listing is None:
        raise DecisionRefused(f"{name} cannot be listed, so nothing can be re-applied there by program.")
    opened = 0
    for chunk in _chunks(listing(None)):
        for match in _matches(context, name, chunk, since=since):
            account_id = match.record.account_id
            if match.kind == EMAIL or not account_id:
                continue
            if context.tags.tag(account_id, epoch=match.row.key_epoch) == match.row.subject_tag:
                opened += reopen(context, match, gate=gate)
    return opened


def _chunks(records: Iterable[Swept]) -> Iterator[list[Swept]]:
    rest = iter(records)
    while chunk := list(islice(rest, CHUNK)):
        yield chunk
