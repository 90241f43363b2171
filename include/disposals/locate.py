"""Locate: read what a place holds of each person, and stage what a law keeps, before anything is touched."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import date, timedelta
from typing import Any

from sqlalchemy import Connection, Row, func, select, update

from include.accounts import Identifiers
from include.archive import staging
from include.archive.staging import ArchiveKeys
from include.database import among, disposal, locator
from include.disposals import claims, holds, locators, request_events, settlements, tombstones
from include.disposals.batches import open_rows
from include.disposals.context import Context
from include.disposals.record import Change, apply
from include.disposals.scan import needles
from include.errors import ArchiveError, ConfigurationError, ProcessorError, Unreachable
from include.outcomes import Outcome
from include.policy.facts import Hold
from include.processors import Found, ProcessorContract, Record, Result, Subject, Work

TOMORROW = timedelta(days=1)
KEYS = ("emails", "login_id", "name", "phones")
NOT_LOCATED = {Outcome.PLANNED, Outcome.BLOCKED, Outcome.FAILED, Outcome.REAPPEARED}


def locate_batch(
    context: Context, name: str, connect: Callable[[], ProcessorContract], batch_id: str, owner: str, keys: ArchiveKeys
) -> dict[str, int]:
    """Locate what of the batch is not located yet; return counts by outcome. Reads at the processor only.

    `connect` makes the processor. Where a place cannot be searched (down, not configured, held, ambiguous) the search
    keys are stored encrypted instead, so that the company's own database need not wait. A failure of the whole batch
    is recorded and raised again.
    """
    claim = claims.take(context.engine, name, [r.account_id for r in open_rows(context, batch_id)], owner)
    try:
        # Read again under the lease: what was read before it may be another task's past.
        rows = {
            str(r.disposal_id): r
            for r in _not_located(context, open_rows(context, batch_id))
            if r.account_id in claim.accounts
        }
        subjects = _subjects(context, rows)
        rows = _set_held_aside(context, claim, rows, subjects)
        if not rows:
            return {}
        batch = [subjects[i] for i in rows]
        try:
            processor = connect()
            processor.check()
            found = processor.locate(batch)
            located = [
                _work(rows[f.disposal_id], f, subjects[f.disposal_id])
                for f in found
                if f.outcome is Outcome.LOCATED and f.count
            ]
            records, refused = _extract(processor, located)
        except Exception as error:
            # Whatever went wrong there, the own database must be able to go on without this place.
            _could_not_search(context, claim, rows, subjects, error)
            raise
        found = [refused.get(f.disposal_id, f) for f in found]
        stored = _store(context, claim, rows, subjects, found, records, keys, getattr(processor, "objects", None))
        return dict(Counter(str(f.outcome) for f in stored))
    finally:
        claims.release(context.engine, claim)


def failure_code(error: Exception) -> str:
    """Return the code word under which a failure of a whole batch is recorded; never its text."""
    if isinstance(error, ProcessorError):
        return error.code
    return "not_configured" if isinstance(error, ConfigurationError) else "unexpected_error"


def _extract(processor: ProcessorContract, located: Sequence[Work]) -> tuple[list[Record], dict[str, Found]]:
    """Extract for all at once, or one by one when that fails, so that one bad record stops one disposal.

    Three failures in a row mean the place is down: then the batch fails as a whole.
    """
    try:
        return (processor.extract(located) if located else []), {}
    except Unreachable:
        if len(located) == 1:
            raise
    records: list[Record] = []
    refused: dict[str, Found] = {}
    in_a_row = 0
    for work in located:
        try:
            records += processor.extract([work])
            in_a_row = 0
        except Unreachable as error:
            in_a_row += 1
            if in_a_row == 3:
                raise
            refused[work.disposal_id] = Found(work.disposal_id, Outcome.FAILED, code=error.code)
    return records, refused


def _not_located(context: Context, rows: Sequence[Row[Any]]) -> list[Row[Any]]:
    """Return the rows that wait for a `found` locator, or whose locator went stale while they were blocked.

    Once something was attempted a locator is never made anew: what is half deleted may no longer be found.
    """
    waiting = [r for r in rows if Outcome(r.outcome) in NOT_LOCATED]
    with context.engine.connect() as connection:
        done = set(
            connection.execute(
                select(locator.c.disposal_id).where(
                    locator.c.kind == "found", among(locator.c.disposal_id, [r.disposal_id for r in waiting])
                )
            ).scalars()
        )
    untouched = {r.disposal_id for r in waiting if r.outcome != Outcome.PLANNED and r.attempts == 0}
    known = context.accounts.identifiers({r.account_id for r in waiting if r.disposal_id in done & untouched})
    return [r for r in waiting if r.disposal_id not in done or (r.disposal_id in untouched and r.account_id in known)]


def _subjects(context: Context, rows: Mapping[str, Row[Any]]) -> dict[str, Subject]:
    """Build the subjects, from stored search keys where there are any, else from the accounts database."""
    known = context.accounts.identifiers({r.account_id for r in rows.values()})
    with context.engine.connect() as connection:
        stored = {
            i: body for i, (kind, body) in locators.read(connection, context, list(rows)).items() if kind == "search"
        }
        stored |= locators.end_users(connection, context, [i for i, r in rows.items() if r.subject_type == "end_user"])
        settled = settlements.of(connection, {r.account_id for r in rows.values()}, context.as_of)
    return {
        i: replace(subject_of(i, r, known.get(r.account_id), stored.get(i)), settled=settled.get(r.account_id, ()))
        for i, r in rows.items()
    }


def subject_of(
    disposal_id: str, row: Any, identifiers: Identifiers | None, stored: Mapping[str, Any] | None = None
) -> Subject:
    """Return the subject of a disposal's row, or of a planned one; stored search keys win over what is there now."""
    now = {name: getattr(identifiers, name) for name in KEYS} if identifiers else {}
    keys = stored or now
    return Subject(
        disposal_id=disposal_id,
        account_id=row.account_id,
        subject_type=row.subject_type,
        scope_id=row.scope_id,
        datasets=tuple(row.datasets),
        rule_id=row.rule_id,
        trigger_event=row.trigger_event,
        trigger_date=row.trigger_date,
        emails=tuple(keys.get("emails", ())),
        login_id=keys.get("login_id") or "",
        name=keys.get("name") or "",
        phones=tuple(keys.get("phones", ())),
        end_user=(stored or {}).get("end_user") or "",
    )


def search_keys(subject: Subject) -> dict[str, Any]:
    """Return what of a subject is kept to search with later."""
    fields = asdict(subject)
    kept = {k: list(fields[k]) if k in ("emails", "phones") else fields[k] for k in KEYS}
    return kept | ({"end_user": subject.end_user} if subject.end_user else {})


def _set_held_aside(
    context: Context, claim: claims.Claim, rows: dict[str, Row[Any]], subjects: Mapping[str, Subject]
) -> dict[str, Row[Any]]:
    """Keep held disposals back until tomorrow, with their search keys; return the rest."""
    if not rows:
        return rows
    accounts = {r.account_id for r in rows.values()}
    computed = context.accounts.computed_holds(accounts)
    with context.engine.begin() as connection:
        ours = claims.hold(connection, claim)
        placed, requested = holds.placed(connection, accounts), request_events.events(connection, accounts)
        changes, free = [], {}
        for disposal_id, row in rows.items():
            if row.account_id not in ours:
                continue
            found = holds.blocking(
                [*placed.get(row.account_id, []), *computed.get(row.account_id, [])],
                row,
                context,
                requested.get(row.account_id, ()),
            )
            if not found:
                free[disposal_id] = row
            elif row.outcome != Outcome.BLOCKED or row.code != holds.code(found[0].kind):
                changes.append(blocked(context, disposal_id, found, row.step))
        held = [i for i, r in rows.items() if i not in free and r.account_id in ours]
        _keep_search_keys(connection, context, held, subjects)
        apply(connection, context, rows, changes)
        connection.execute(
            update(disposal)
            .where(among(disposal.c.disposal_id, [rows[i].disposal_id for i in held]))
            .values(due_at=context.as_of + TOMORROW, updated_at=func.now())
        )
    return free


def _keep_search_keys(
    connection: Connection, context: Context, disposal_ids: Sequence[str], subjects: Mapping[str, Subject]
) -> None:
    """Store search keys for those that have no locator yet; one that was found is never replaced by them."""
    known = locators.read(connection, context, disposal_ids)
    new = [i for i in disposal_ids if i not in known]
    consumers = {f.account_id for f in context.accounts.facts({subjects[i].account_id for i in new}) if f.consumer_like}
    keys = {i: search_keys(subjects[i]) | {"consumer_like": subjects[i].account_id in consumers} for i in new}
    locators.save(connection, context, "search", keys, {subjects[i].account_id for i in new})


def blocked(context: Context, disposal_id: str, found: Sequence[Hold], step: str | None) -> Change:
    """Return the change to `blocked` by these holds; looked at again tomorrow."""
    return Change(
        Result(disposal_id, Outcome.BLOCKED, code=holds.code(found[0].kind)),
        next_step=step,
        due_at=context.as_of + TOMORROW,
        hold_kinds=tuple(sorted({h.kind for h in found})),
    )


def _could_not_search(
    context: Context,
    claim: claims.Claim,
    rows: Mapping[str, Row[Any]],
    subjects: Mapping[str, Subject],
    error: Exception,
) -> None:
    answer = error if isinstance(error, ProcessorError) else None
    failed = Result(
        "",
        Outcome.FAILED,
        code=failure_code(error),
        http_status=answer.status if answer else None,
        request_id=answer.request_id if answer else None,
    )
    with context.engine.begin() as connection:
        ours = claims.hold(connection, claim)
        mine = {i: r for i, r in rows.items() if r.account_id in ours}
        _keep_search_keys(connection, context, list(mine), subjects)
        apply(
            connection,
            context,
            mine,
            [Change(replace(failed, disposal_id=i), step="locate", due_at=context.as_of) for i in mine],
        )


def _work(row: Row[Any], found: Found, subject: Subject) -> Work:
    return Work(
        found.disposal_id, row.account_id, row.scope_id, tuple(row.datasets), found.locator, settled=subject.settled
    )


def _store(
    context: Context,
    claim: claims.Claim,
    rows: Mapping[str, Row[Any]],
    subjects: Mapping[str, Subject],
    found: Sequence[Found],
    records: Sequence[Record],
    keys: ArchiveKeys,
    objects: tombstones.Objects | None,
) -> list[Found]:
    """Commit locators, staged archive rows, states and entries together; return what was committed."""
    by_disposal: dict[str, list[Record]] = {}
    for record in records:
        by_disposal.setdefault(record.disposal_id, []).append(record)
    live = {f.account_id: f.consumer_like for f in context.accounts.facts({rows[i].account_id for i in by_disposal})}
    with context.engine.begin() as connection:
        ours = claims.hold(connection, claim)
        mine = {f.disposal_id: f for f in found if rows[f.disposal_id].account_id in ours}
        mine |= _more_than_approved(connection, rows, mine)
        consumers = _remembered_consumers(connection, context, rows, by_disposal) | live
        prepared = []
        for disposal_id in {i for i, f in mine.items() if f.outcome is Outcome.LOCATED} & set(by_disposal):
            row = rows[disposal_id]
            try:
                prepared.append(
                    staging.prepare(
                        disposal_id=row.disposal_id,
                        processor=row.processor,
                        account_id=row.account_id,
                        subject_type=row.subject_type,
                        consumer_like=consumers.get(row.account_id, False),
                        records=by_disposal[disposal_id],
                        schedule=context.schedule,
                        as_of=context.as_of,
                        keys=keys,
                    )
                )
            except ArchiveError:
                # A record without the date its law counts from: this one disposal waits for a person.
                mine[disposal_id] = Found(disposal_id, Outcome.FAILED, code="record_without_date")
        staging.write(connection, prepared, keys)
        done = {i: f for i, f in mine.items() if f.outcome is Outcome.LOCATED}
        theirs = {rows[i].account_id for i in done}
        bodies = {i: _with_consumer(f.locator, rows[i], consumers) for i, f in done.items()}
        locators.save(connection, context, "found", bodies, theirs)
        needles.remember(connection, context, {i: search_keys(subjects[i]) for i in done}, theirs)
        tombstones.prepare(connection, context, claim.processor, rows, subjects, done, objects)
        _keep_search_keys(connection, context, [i for i in mine if i not in done], subjects)
        apply(connection, context, rows, [_change(context.as_of, f) for f in mine.values()])
    return list(mine.values())


def _more_than_approved(
    connection: Connection, rows: Mapping[str, Row[Any]], found: Mapping[str, Found]
) -> dict[str, Found]:
    """Return, blocked, what turned out to be more than a second person was shown: it is asked about again."""
    counts = {rows[i].disposal_id: f.count for i, f in found.items() if f.outcome is Outcome.LOCATED}
    more = request_events.more_than_approved(connection, counts)
    request_events.note_found(connection, more)
    return {i: Found(i, Outcome.BLOCKED, code=request_events.MORE) for i in more}


def _with_consumer(body: Mapping[str, Any], row: Row[Any], consumers: Mapping[str, bool]) -> Mapping[str, Any]:
    like = row.subject_type == "business" and consumers.get(row.account_id)
    return {**body, locators.CONSUMER_LIKE: True} if like else body


def _remembered_consumers(
    connection: Connection, context: Context, rows: Mapping[str, Row[Any]], disposal_ids: Iterable[str]
) -> dict[str, bool]:
    """Return what stored search keys say of accounts whose register row may be gone by now."""
    stored = locators.read(connection, context, list(disposal_ids))
    return {
        rows[i].account_id: bool(body.get(locators.CONSUMER_LIKE))
        for i, (kind, body) in stored.items()
        if kind == "search"
    }


def _change(as_of: date, found: Found) -> Change:
    """Turn a `Found` into the disposal's change; what a person must settle is looked at again every night."""
    failed = found.outcome is Outcome.FAILED
    return Change(
        Result(
            found.disposal_id,
            found.outcome,
            code=found.code,
            until=found.until,
            count=found.count if found.outcome is Outcome.LOCATED else None,
            needs_person=failed,
        ),
        step="locate",
        due_at=as_of if found.outcome is Outcome.LOCATED else max(found.until or as_of, as_of + TOMORROW),
    )
