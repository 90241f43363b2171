"""Advance: carry located disposals through their processor's steps until the data is read back as gone.

Intent first (`attempted` is committed before any call that changes something), read-back is done, and unknown means
read: after a lost reply or a crash the place is read before anything is repeated.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

from sqlalchemy import Row, exists, select, update
from sqlalchemy.orm import aliased

from include.archive.staging import unpacked
from include.database import among, disposal, locator
from include.disposals import claims, guards, holds, locators, request_events, settlements, undone
from include.disposals.batches import open_rows
from include.disposals.context import Context
from include.disposals.late import Late
from include.disposals.locate import blocked
from include.disposals.record import Change, apply, utc_seconds
from include.errors import ProcessorError
from include.outcomes import TERMINAL, Outcome
from include.processors import NOT_ARCHIVED, STALE_LOCATOR, ProcessorContract, Result, Step, Work

LAST = "own_database"
"""The company's own database holds the identifiers of everything else, so it goes once the others are located."""
READ_BACK = "read_back"
TOMORROW = timedelta(days=1)
UNKNOWN = {Outcome.ATTEMPTED, Outcome.FAILED}
ENDS = TERMINAL | {Outcome.EXPIRES_BY_PROCESSOR, Outcome.MANUAL_PENDING}


@dataclass(slots=True)
class Item:
    """One disposal on its way through the steps of this task."""

    row: Row[Any]
    work: Work
    steps: tuple[Step, ...]
    index: int = 0

    @property
    def step(self) -> Step | None:
        """The next step, or None when only reading back is left."""
        return self.steps[self.index] if self.index < len(self.steps) else None


def advance_batch(context: Context, processor: ProcessorContract, batch_id: str, owner: str) -> dict[str, int]:
    """Advance every located disposal of the batch as far as it goes now; return counts by outcome.

    Trouble with the whole processor is recorded as `failed` for what it touched and raised again, so that Airflow
    retries.
    """
    claim = claims.take(context.engine, processor.name, [r.account_id for r in open_rows(context, batch_id)], owner)
    if not claim.accounts:  # nothing to do, or another task is at all of it: no reason to wait for the processor
        return {}
    try:
        with claims.exclusive(context.engine, processor.name, wanted=processor.exclusive):
            # Read under the lease: what was read before it may be another task's past.
            items = _items(
                context, processor, [r for r in open_rows(context, batch_id) if r.account_id in claim.accounts]
            )
            if not items:
                return {}
            # A right that was lost since the place was located would make it look empty.
            processor.check()
            return dict(_Batch(context, processor, claim, items).run())
    finally:
        claims.release(context.engine, claim)


def _items(context: Context, processor: ProcessorContract, rows: Sequence[Row[Any]]) -> list[Item]:
    """Open the locators of what may be acted on now: located, archived where a law keeps something, and not waiting."""
    # Failed before anything was attempted: it was not located (or its locator is stale), so there is nothing to act on;
    # unless nothing was found and only reading back failed.
    rows = [r for r in rows if r.outcome != Outcome.FAILED or r.attempts > 0 or r.step == READ_BACK]
    ids = [str(r.disposal_id) for r in rows]
    with context.engine.connect() as connection:
        opened = {i: body for i, (kind, body) in locators.read(connection, context, ids).items() if kind == "found"}
        waiting = {str(i) for i in unpacked(connection, ids)}
        settled = settlements.of(connection, {r.account_id for r in rows}, context.as_of)
        if processor.name == LAST:
            waiting |= _not_yet_located_elsewhere(connection, ids)
    items = []
    for row in rows:
        disposal_id = str(row.disposal_id)
        if disposal_id in opened and disposal_id not in waiting:
            work = Work(
                disposal_id, row.account_id, row.scope_id, tuple(row.datasets), opened[disposal_id],
                settled=settled.get(row.account_id, ()),
            )  # fmt: skip
            items.append(Item(row, work, processor.steps(work)))
    return items


def _not_yet_located_elsewhere(connection: Any, disposal_ids: Sequence[str]) -> set[str]:
    """Return the disposals whose account has an open disposal elsewhere without a locator (found or search keys)."""
    other = aliased(disposal)
    rows = connection.execute(
        select(disposal.c.disposal_id).where(
            among(disposal.c.disposal_id, disposal_ids),
            exists().where(
                other.c.account_id == disposal.c.account_id,
                other.c.processor != LAST,
                other.c.closed_on.is_(None),
                ~exists().where(locator.c.disposal_id == other.c.disposal_id),
            ),
        )
    )
    return {str(i) for i in rows.scalars()}


class _Batch:
    """One task's way through its items."""

    def __init__(
        self, context: Context, processor: ProcessorContract, claim: claims.Claim, items: Sequence[Item]
    ) -> None:
        self.context, self.processor, self.claim = context, processor, claim
        self.items = {item.work.disposal_id: item for item in items}
        self.rows = {i: item.row for i, item in self.items.items()}
        self.outcomes: Counter[str] = Counter()
        self.acted: set[str] = set()

    def run(self) -> Counter[str]:
        self._resume()
        finished = [i for i, item in self.items.items() if item.step is None]
        pending = {i for i, item in self.items.items() if item.step is not None}
        while pending:
            group = self._next_group(pending)
            moved = self._carry_out(group)
            finished += [i for i in moved if self.items[i].step is None]
            pending = (pending - set(group)) | {i for i in moved if self.items[i].step is not None}
        self._read_back(finished)
        return self.outcomes

    def _resume(self) -> None:
        """Put every item where its stored state says; read the place first where a reply is unknown."""
        unknown = []
        for disposal_id, item in self.items.items():
            names = [s.name for s in item.steps]
            if item.row.step == READ_BACK:
                item.index = len(names)
            elif item.row.step in names:
                item.index = names.index(item.row.step)
            if Outcome(item.row.outcome) in UNKNOWN and item.row.step in names:
                unknown.append(disposal_id)
        for result in self._guarded(unknown, READ_BACK, self.processor.read_back):
            item = self.items[result.disposal_id]
            last = item.index == len(item.steps) - 1
            ended = result.outcome is Outcome.CONFIRMED_ABSENT or (last and result.outcome in ENDS)
            if ended or result.needs_person:
                self._settle([self._after_read_back(result)])
                del self.items[result.disposal_id]
            elif result.locator is not None:
                item.work = replace(item.work, locator=result.locator)

    def _next_group(self, pending: set[str]) -> list[str]:
        """Return the items that stand earliest, all on the same step."""
        first = min((self.items[i].index, self.items[i].step.name) for i in pending)  # type: ignore[union-attr]
        return [i for i in self.items if i in pending and (self.items[i].index, self.items[i].step.name) == first]  # type: ignore[union-attr]

    def _carry_out(self, group: Sequence[str]) -> list[str]:
        """Attempt one step for a group; return the items that may go on to their next step."""
        allowed = self._attempt(group)
        step = self.items[group[0]].step
        if not allowed or step is None:
            return []
        name = step.name
        results = self._guarded(allowed, name, lambda works: self.processor.act(name, works))
        late = self._extracted(results)
        results = [late.judged(r) for r in results]
        moved, changes = [], []
        for result in results:
            item = self.items[result.disposal_id]
            if result.locator is not None:
                item.work = replace(item.work, locator=result.locator)
            if result.outcome is Outcome.ACCEPTED:
                item.index += 1
                moved.append(result.disposal_id)
            changes.append(self._after_act(result, step))
        written = self._settle(changes, late)
        return [i for i in moved if i in written]

    def _extracted(self, results: Sequence[Result]) -> Late:
        """Extract what came after the archive's copy was made, where a result asks for it."""
        rows = {}
        for result in results:
            if result.code == NOT_ARCHIVED and result.locator is not None:
                item = self.items[result.disposal_id]
                item.work = replace(item.work, locator=result.locator)
                rows[result.disposal_id] = item
        return Late.of(self.context, self.processor, [(i.row, i.work) for i in rows.values()])

    def _attempt(self, group: Sequence[str]) -> list[str]:
        """Commit the intent for those that no hold, date, stop or missing approval keeps back; return them."""
        context, allowed, changes = self.context, [], []
        accounts = {self.rows[i].account_id for i in group}
        # Read now and not at planning: what the company's records say of money and disputes changes in between.
        read = {"holds_read_at": utc_seconds()}
        computed = context.accounts.computed_holds(accounts)
        fresh = [self.rows[i] for i in group if i not in self.acted and not self.rows[i].attempts]
        register = undone.read(context, fresh)
        with context.engine.begin() as connection:
            claims.lock_accounts(connection, accounts)
            ours = claims.hold(connection, self.claim)
            guards.check_not_stopped(connection)
            for sha256 in {self.rows[i].schedule_sha256 for i in group}:
                guards.check_approved(connection, sha256, context.as_of)
            placed, requested = holds.placed(connection, accounts), request_events.events(connection, accounts)
            later = request_events.waiting_for_notice(connection, context, (self.rows[i] for i in group))
            waiting = dict.fromkeys(undone.of(connection, fresh, register), undone.CODE)
            ids = [self.rows[i].disposal_id for i in group]
            waiting |= dict.fromkeys(request_events.not_approved(connection, ids), "not_approved")
            for disposal_id in group:
                row, step = self.rows[disposal_id], self.items[disposal_id].step
                if row.account_id not in ours or step is None:
                    continue
                found = holds.blocking(
                    [*placed.get(row.account_id, []), *computed.get(row.account_id, [])],
                    row,
                    context,
                    requested.get(row.account_id, ()),
                )
                if disposal_id in waiting:
                    change = self._for_a_person(disposal_id, step, waiting[disposal_id])
                else:
                    change = self._kept_back(disposal_id, row, step, found, notice_due=later.get(disposal_id))
                changes.append(replace(change, proof={**change.proof, **read}))
                if change.result.outcome is Outcome.ATTEMPTED:
                    allowed.append(disposal_id)
                    self.acted.add(disposal_id)
            apply(connection, context, self.rows, changes)
            connection.execute(
                update(disposal).where(among(disposal.c.disposal_id, allowed)).values(attempts=disposal.c.attempts + 1)
            )
        self.outcomes.update(str(c.result.outcome) for c in changes if c.result.outcome is not Outcome.ATTEMPTED)
        return allowed

    def _for_a_person(self, disposal_id: str, step: Step, code: str) -> Change:
        """Return the change of what no second person approved, or whose trigger is no more; looked at every day."""
        result = Result(disposal_id, Outcome.BLOCKED, code=code, needs_person=True)
        return Change(result, step=step.name, next_step=step.name, due_at=self.context.as_of + TOMORROW)

    def _kept_back(
        self, disposal_id: str, row: Row[Any], step: Step, found: Sequence[Any], *, notice_due: date | None
    ) -> Change:
        """Return `attempted`, or the reason why this step may not be taken now."""
        as_of = self.context.as_of
        if found:
            return blocked(self.context, disposal_id, found, step.name)
        if notice_due is not None:
            until = max(notice_due, as_of + TOMORROW)
            waiting = Result(disposal_id, Outcome.AWAITING, code=request_events.NOTICE_FIRST, until=until)
            return Change(waiting, step=step.name, next_step=step.name, due_at=until)
        starts = max(row.free_from, step.not_before or row.free_from)
        if starts > as_of:
            waiting = Result(disposal_id, Outcome.AWAITING, code="not_before", until=starts)
            return Change(waiting, step=step.name, next_step=step.name, due_at=starts)
        intent = Result(disposal_id, Outcome.ATTEMPTED)
        return Change(intent, step=step.name, next_step=step.name, method=step.method, due_at=as_of)

    def _read_back(self, finished: Sequence[str]) -> None:
        finished = [i for i in finished if i in self.items]
        self._settle([self._after_read_back(r) for r in self._guarded(finished, READ_BACK, self.processor.read_back)])

    def _guarded(self, ids: Sequence[str], step: str, call: Callable[[Sequence[Work]], list[Result]]) -> list[Result]:
        """Call the processor; on trouble with all of it, record `failed` for these and raise again."""
        if not ids:
            return []
        try:
            return call([self.items[i].work for i in ids])
        except ProcessorError as error:
            self._settle(
                [
                    Change(
                        Result(
                            i,
                            Outcome.FAILED,
                            code=error.code,
                            http_status=error.status,
                            request_id=error.request_id,
                        ),
                        step=step,
                        next_step=self.rows[i].step if step == READ_BACK and self.items[i].step else step,
                        due_at=self.context.as_of,
                    )
                    for i in ids
                ]
            )
            raise

    def _settle(self, changes: Sequence[Change], late: Late | None = None) -> set[str]:
        """Write what became of items in one transaction, if the lease is still ours; return those written."""
        if not changes:
            return set()
        with self.context.engine.begin() as connection:
            ours = claims.hold(connection, self.claim)
            mine = [c for c in changes if self.rows[c.result.disposal_id].account_id in ours]
            open_locators: Mapping[str, Any] = {
                c.result.disposal_id: c.result.locator
                for c in mine
                if c.result.locator is not None and c.closed_on is None and c.result.code != STALE_LOCATOR
            }
            theirs = {self.rows[i].account_id for i in open_locators}
            locators.save(connection, self.context, "found", open_locators, theirs)
            if late:
                late.stage(connection, self.context, {c.result.disposal_id for c in mine})
            apply(connection, self.context, self.rows, mine)
        self.outcomes.update(str(c.result.outcome) for c in mine)
        return {c.result.disposal_id for c in mine}

    def _after_act(self, result: Result, step: Step) -> Change:
        """Return the change an act's result makes; `ACCEPTED` names the step that comes next."""
        result = self._dated(result)
        as_of, item = self.context.as_of, self.items[result.disposal_id]
        next_step: str | None = step.name
        due_at: date | None = as_of
        if result.outcome is Outcome.ACCEPTED:
            next_step = item.step.name if item.step else READ_BACK
        elif result.outcome is Outcome.FAILED:
            due_at = None if result.needs_person else as_of
            next_step = None if result.code == STALE_LOCATOR else next_step
        else:
            due_at = self._later(result)
        return Change(result, step=step.name, next_step=next_step, method=step.method, due_at=due_at)

    def _after_read_back(self, result: Result) -> Change:
        """Return the change a read-back makes; only here a disposal is closed."""
        result = self._dated(result)
        as_of, item = self.context.as_of, self.items[result.disposal_id]
        method = item.steps[-1].method if item.steps else None
        if result.outcome in TERMINAL and result.needs_person:
            # Kept there, and a request to the processor is under way: a person closes it, its locator stays.
            return Change(result, step=READ_BACK, next_step=READ_BACK, method=method)
        if result.outcome in TERMINAL:
            return Change(result, step=READ_BACK, method=method, closed_on=as_of)
        if result.outcome is Outcome.EXPIRES_BY_PROCESSOR and result.until is not None and result.until <= as_of:
            # Lapsed by the processor's own schedule: nothing is left to do, and nothing was proven destroyed.
            return Change(replace(result, code="date_passed"), step=READ_BACK, closed_on=as_of)
        if (
            result.outcome is Outcome.FAILED
            and result.disposal_id not in self.acted
            and not self.rows[result.disposal_id].attempts
        ):
            # Something turned up that locating had not seen: locate and extract it before anything is touched.
            return Change(replace(result, code=STALE_LOCATOR), step=READ_BACK, due_at=as_of)
        if result.outcome is Outcome.FAILED:
            # Still there: the next run starts again with the first step.
            return Change(result, step=READ_BACK, due_at=None if result.needs_person else as_of)
        if result.outcome is Outcome.RETAINED:
            # A law or a lock keeps it: once that is over, the steps are taken again.
            return Change(result, step=READ_BACK, due_at=self._later(result))
        return Change(result, step=READ_BACK, next_step=READ_BACK, due_at=self._later(result))

    def _dated(self, result: Result) -> Result:
        """Give what waits or is kept without a known end (a legal hold has none) tomorrow as the date of the next
        look.
        """
        if result.until is None and result.outcome in (Outcome.AWAITING, Outcome.RETAINED):
            return replace(result, until=self.context.as_of + TOMORROW)
        return result

    def _later(self, result: Result) -> date | None:
        """Return the business date of the next look; a manual step has none, a person answers it."""
        if result.outcome is Outcome.MANUAL_PENDING:
            return None
        tomorrow = self.context.as_of + TOMORROW
        return max(result.until or tomorrow, tomorrow)
