"""Everything about one account: what is held and until when, what was destroyed and where that is proven.

    seen = read(services, account_id, as_of)        # identifiers of the person are never among it

What the plan knows and what our own tables record are put together by identity, so nothing is shown twice.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, select

from include.archive.inventory import KEPT
from include.console.services import Services
from include.database import among, archive_link, archive_object, disposal, entry, hold
from include.database.requests import request
from include.disposals import holds, request_events
from include.evidence.verify import DESTROYED
from include.policy.facts import AccountFacts, Hold
from include.policy.planner import plan
from include.policy.plans import Kept, Plan, PlannedDisposal
from include.policy.schedule import Schedule
from include.policy.targets import absent, targets

PLANNED, LATER, IN_USE = "to_be_planned", "not_yet_due", "in_use"
STILL_THERE = ("retained", "retained_by_processor")
"""Outcomes with which a disposal may end although the data is still there."""


@dataclass(frozen=True, slots=True)
class Held:
    """One scope still held: where, what, under which rule, until when, and what state its erasure is in.

    `state` is an outcome of our own record, or `to_be_planned` (the next night plans it), `not_yet_due`, or `in_use`
    (nothing has started its period, so it has no end date yet). `closed_on`: since then nothing more is done about it,
    and the place keeps it.
    """

    processor: str
    rule_id: str
    scope_id: str
    categories: tuple[str, ...]
    state: str
    last_day: date | None = None
    destroy_by: date | None = None
    held_by: tuple[str, ...] = ()
    until: date | None = None
    code: str = ""
    closed_on: date | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """One disposal that ended: how, when, and the entry that says so (None: not sealed, or not asked for)."""

    disposal_id: UUID
    processor: str
    rule_id: str
    categories: tuple[str, ...]
    outcome: str
    closed_on: date
    destroy_by: date
    count_before: int | None
    index: int | None
    verify_method: str


@dataclass(frozen=True, slots=True)
class Account:
    """One account as its page shows it."""

    account_id: str = field(repr=False)
    facts: AccountFacts | None
    held: Sequence[Held]
    kept: Sequence[Kept]
    gone: Sequence[Ended]
    """What was read back as gone, and nothing else."""
    otherwise: Sequence[Ended]
    """What ended without that: attested by a person, lapsed by the place's own schedule, cancelled."""
    computed: Sequence[Hold]
    """Holds of the company's own records that stand today."""
    placed: Sequence[Any]
    requests: Sequence[Any]
    archived: Sequence[Any]
    epochs: frozenset[str]
    """Years whose keys made the tags its disposals carry."""

    @property
    def kept_by_law(self) -> dict[tuple[str, date], list[str]]:
        """Items a law keeps, under its rule and the day they end, the first to end first."""
        found: dict[tuple[str, date], list[str]] = {}
        for item in sorted(self.kept, key=lambda k: (k.until, k.rule_id, k.item)):
            found.setdefault((item.rule_id, item.until), []).append(item.item)
        return found

    @property
    def stored(self) -> bool:
        """Whether an object of the archive still holds something of this account."""
        return any(row.state in KEPT for row in self.archived)

    @property
    def known(self) -> bool:
        """Whether anything at all is known under this id."""
        return self.facts is not None or bool(self.gone or self.otherwise or self.held or self.requests or self.placed)


def read(services: Services, account_id: str, as_of: date, *, proofs: bool) -> Account:
    """Return what is known of an account; with `proofs`, also which entry of the log says what became of it."""
    schedule, reader = services.schedule, services.accounts
    tags = list(services.tags.all(account_id).values())  # before any transaction: a key may lie with a KMS
    facts = next(iter(reader.facts([account_id])), None)
    computed = list(reader.computed_holds([account_id]).get(account_id, [])) if facts else []
    with services.reading() as connection:
        rows = _disposals(connection, tags)
        stood = [*computed, *holds.placed(connection, [account_id]).get(account_id, [])]
        made: Plan | None = None
        if facts:
            made = plan(request_events.with_requests(connection, [facts])[0], schedule, stood, as_of)
        closed = [r for r in rows if r.closed_on is not None]
        said = _last_entries(connection, [r.disposal_id for r in closed]) if proofs else {}
        ended = [_ended(r, said.get(r.disposal_id)) for r in closed if r.outcome not in STILL_THERE]
        return Account(
            account_id=account_id,
            facts=facts,
            held=sorted(held_of(facts, schedule, rows, made), key=_order),
            kept=made.kept if made else (),
            gone=[e for e in ended if e.outcome in DESTROYED],
            otherwise=[e for e in ended if e.outcome not in DESTROYED],
            computed=[h for h in computed if h.released_on is None or h.released_on >= as_of],
            placed=_placed(connection, account_id),
            requests=_requests(connection, tags),
            archived=_archived(connection, [r.disposal_id for r in rows]),
            epochs=frozenset(r.key_epoch for r in rows),
        )


def held_of(facts: AccountFacts | None, schedule: Schedule, rows: Sequence[Any], made: Plan | None) -> Iterator[Held]:
    """Yield what is still held: open disposals and what a place keeps, then what the plan adds, what nothing ends."""
    known = {(r.processor, r.rule_id, r.scope_id, r.trigger_event, r.trigger_date) for r in rows}
    started = {(r.processor, r.rule_id, r.scope_id) for r in rows}
    for row in rows:
        if row.closed_on is None or row.outcome in STILL_THERE:
            yield Held(
                row.processor, row.rule_id, row.scope_id, tuple(row.categories), row.outcome, row.last_day,
                row.destroy_by, until=row.until, code=row.code or row.basis or "", closed_on=row.closed_on,
            )  # fmt: skip
    if made is None or facts is None:
        return
    for state, planned in ((PLANNED, made.disposals), (LATER, made.not_yet_due)):
        for one in planned:
            started.add((one.processor, one.rule_id, one.scope_id))
            if _identity(one) not in known:
                yield Held(
                    one.processor, one.rule_id, one.scope_id, one.categories, state, one.last_day, one.destroy_by,
                    one.held_by,
                )  # fmt: skip
    for target in targets(schedule, facts.subject_type, facts.consumer_like):
        key = (target.scope.processor, target.rule.id, target.scope.id)
        if key not in started and not absent(facts, target.scope):
            yield Held(*key, target.categories, IN_USE)


def _identity(one: PlannedDisposal) -> tuple[Any, ...]:
    return one.processor, one.rule_id, one.scope_id, one.trigger_event, one.trigger_date


def _order(one: Held) -> tuple[Any, ...]:
    return one.destroy_by is None, one.destroy_by or date.max, one.processor, one.rule_id, one.scope_id


def _disposals(connection: Connection, tags: Collection[str]) -> list[Any]:
    return list(
        connection.execute(
            select(disposal)
            .where(among(disposal.c.subject_tag, tags))
            .order_by(disposal.c.closed_on.desc().nulls_first(), disposal.c.destroy_by)
            .limit(500)
        )
    )


def _last_entries(connection: Connection, ids: Collection[UUID]) -> dict[UUID, tuple[int | None, dict[str, Any]]]:
    rows = connection.execute(
        select(entry.c.disposal_id, entry.c.log_index, entry.c.body)
        .distinct(entry.c.disposal_id)
        .where(among(entry.c.disposal_id, ids))
        .order_by(entry.c.disposal_id, entry.c.entry_id.desc())
    )
    return {r.disposal_id: (r.log_index, json.loads(bytes(r.body))) for r in rows}


def _ended(row: Any, said: tuple[int | None, Mapping[str, Any]] | None) -> Ended:
    index, body = said or (None, {})
    return Ended(
        row.disposal_id, row.processor, row.rule_id, tuple(row.categories), row.outcome, row.closed_on, row.destroy_by,
        row.count_before, index, str(body.get("verify_method", "")),
    )  # fmt: skip


def _placed(connection: Connection, account_id: str) -> list[Any]:
    return list(connection.execute(select(hold).where(hold.c.account_id == account_id).order_by(hold.c.placed_at)))


def _requests(connection: Connection, tags: Collection[str]) -> list[Any]:
    return list(
        connection.execute(
            select(request).where(among(request.c.subject_tag, tags)).order_by(request.c.received_on).limit(100)
        )
    )


def _archived(connection: Connection, ids: Collection[UUID]) -> list[Any]:
    return list(
        connection.execute(
            select(
                archive_object.c.rule_id, archive_object.c.last_day, archive_object.c.state, archive_object.c.destroy_by
            )
            .join(archive_link, archive_link.c.object_key == archive_object.c.object_key)
            .where(among(archive_link.c.disposal_id, ids))
            .distinct()
            .order_by(archive_object.c.last_day)
        )
    )
