"""Play: carry one disposal through the real engine, night after night, while a world misbehaves."""

from __future__ import annotations

import contextlib
import json
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Engine, create_engine, delete, func, insert, select, text, update

from include.accounts import Accounts, Identifiers
from include.archive.staging import ArchiveKeys
from include.connections import database_url
from include.database import archive_row, archive_wait, batch, batch_item, disposal, entry
from include.disposals import Context, advance_batch, begin_run, guards, locate_batch, locators
from include.errors import ConfigurationError, ProcessorError
from include.evidence.tags import SubjectTags
from include.keys import LocalWrapper
from include.outcomes import Outcome
from include.policy import schedule
from include.policy.facts import AccountFacts, Hold
from include.processors import ProcessorContract, Work
from include.sandbox import company
from include.sandbox.servers import PostgresServer, S3Server
from tests.processors.worlds.base import ENDED, ON, TARGET, World

DAY = timedelta(days=1)
CONFIRMED = {Outcome.CONFIRMED_ABSENT, Outcome.CONFIRMED_ANONYMISED, Outcome.RETAINED_BY_PROCESSOR}


@dataclass(frozen=True, slots=True)
class Stage:
    """The servers and databases all plays of a session share."""

    postgres: PostgresServer
    s3: S3Server
    accounts: Engine
    accounts_name: str
    context: Context


@contextlib.contextmanager
def staged(postgres: PostgresServer, s3: S3Server) -> Iterator[Stage]:
    """Yield a stage: a migrated database of ours with an approved schedule, and the company's accounts, empty."""
    ours, theirs = f"ours_{uuid4().hex[:10]}", f"theirs_{uuid4().hex[:10]}"
    postgres.create_database(ours, template="template_retention")
    postgres.create_database(theirs)
    for name in (ours, theirs):
        _hasty(postgres, name)
    engines = [
        create_engine(database_url(postgres.connection(name, db)), connect_args={"options": "-c timezone=UTC"})
        for name, db in (("retention_db", ours), ("accounts_db", theirs))
    ]
    company.create(engines[1])
    loaded = schedule.load()
    context = Context(
        engine=engines[0],
        accounts=Accounts(engines[1], loaded.processors["own_database"].settings),
        schedule=loaded,
        tags=SubjectTags({"2026": bytes(32)}),
        wrapper=LocalWrapper(bytes(range(32))),
        as_of=ON,
        dag_id="nightly_retention",
    )
    guards.approve_schedule(context, role=loaded.privacy_officer_role, pseudonym="e-0001")
    yield Stage(
        postgres, s3, engines[1], theirs, replace(context, run_id=begin_run(context, airflow_run_id="contract"))
    )
    for engine in engines:
        engine.dispose()
    for name in (ours, theirs):
        postgres.drop_database(name)


def _hasty(postgres: PostgresServer, name: str) -> None:
    """Let a database answer before it has written: no play outlives its server."""
    import psycopg

    with psycopg.connect(host=postgres.socket_dir, user="postgres", dbname="postgres", autocommit=True) as connection:
        connection.execute(f'ALTER DATABASE "{name}" SET synchronous_commit = off')


class Crash(Exception):
    """The process died after the place did what it was asked."""


@dataclass
class Play:
    """One world on a stage, and what was heard while playing."""

    stage: Stage
    world: World
    disposals: list[str] = field(default_factory=list)
    done: list[str] = field(default_factory=list)
    heard: list[str] = field(default_factory=list)
    errors: list[Exception] = field(default_factory=list)
    crash_in: str | None = None
    stumbles: list[str] | None = None
    """Where errors that are none of ours are kept, as Airflow would retry after them; None: they fail the test."""

    # -- planning --------------------------------------------------------------------------------------------------
    def plan(self, account_id: str = TARGET.account_id, **columns: Any) -> str:
        """Store one planned disposal and return its id."""
        world, context = self.world, self.stage.context
        row = {
            "disposal_id": uuid4(),
            "subject_tag": context.tags.tag(account_id or "nobody", epoch="2026"),
            "key_epoch": "2026",
            "account_id": account_id,
            "subject_type": "individual",
            "processor": world.name,
            "rule_id": world.rule_id,
            "rule_version": 1,
            "scope_id": world.scope_id,
            "trigger_event": world.trigger_event,
            "trigger_date": ENDED - len([*self.disposals, *self.done]) * DAY,
            "last_day": ENDED,
            "free_from": ENDED + DAY,
            "destroy_by": ENDED + 5 * DAY,
            "datasets": list(world.datasets),
            "categories": ["D-01"],
            "schedule_sha256": context.schedule.sha256,
            "run_id": context.run_id,
            "outcome": "planned",
            "due_at": world.today,
        }
        with context.engine.begin() as connection:
            connection.execute(insert(disposal).values(row | columns))
        self.disposals.append(str(row["disposal_id"]))
        return self.disposals[-1]

    # -- running ---------------------------------------------------------------------------------------------------
    def run(self) -> None:
        """Do what one run of the night does for this processor: locate, archive, advance."""
        self.locate()
        self.advance()

    def locate(self) -> None:
        """Locate what is due, and let the archive take what a law keeps."""
        context = self._context()
        keys = ArchiveKeys.of(context.wrapper)
        self._heard(lambda: locate_batch(context, self.world.name, self._processor, self._batch(), "contract", keys))
        self._archive_takes_everything()

    def _archive_takes_everything(self) -> None:
        """Let nothing wait for the archive, which has its own tests."""
        with self.stage.context.engine.begin() as connection:
            for table in (archive_wait, archive_row):
                connection.execute(delete(table).where(table.c.disposal_id.in_([UUID(i) for i in self.disposals])))

    def advance(self) -> None:
        """Carry what is located as far as it goes now."""
        context = self._context()
        self._heard(lambda: advance_batch(context, self._processor(), self._batch(), "contract"))

    def _context(self) -> Context:
        context, world = self.stage.context, self.world
        accounts = context.accounts if world.name == "own_database" else Company(world.known)
        return replace(context, as_of=world.today, accounts=accounts)

    def steps(self) -> list[str]:
        """Return the steps of the first disposal, as the processor names them for what was located."""
        context, row = self._context(), self.row()
        with context.engine.connect() as connection:
            (_kind, found) = locators.read(connection, context, [self.disposals[0]])[self.disposals[0]]
        work = Work(self.disposals[0], row.account_id, row.scope_id, tuple(row.datasets), found)
        return [s.name for s in self.world.processor().steps(work)]

    def again(self, variant: str | None = None) -> None:
        """Seed the person anew and put the disposals aside, for the next round of the same case."""
        self.check_truth()
        self.world.mend()
        if self.disposals:
            self.done += self.disposals
            self.disposals = []
            self.world.reseed(variant or self.world.variant)
        elif variant and variant != self.world.variant:
            self.world.reseed(variant)

    def let_go_on(self, disposal_id: str) -> None:
        """Do what a person does in the console: clear the flag, so that the next run takes it up."""
        with self.stage.context.engine.begin() as connection:
            connection.execute(
                update(disposal)
                .where(disposal.c.disposal_id == UUID(disposal_id))
                .values(needs_person=False, due_at=self.world.today)
            )

    def documented(self, end: str) -> bool:
        """Whether this is an end the world documents for anybody."""
        return end in set(self.world.variants.values())

    def _processor(self) -> ProcessorContract:
        made = self.world.processor()
        return made if self.crash_in is None else _Crashing(made, self)  # type: ignore[return-value]

    def _batch(self) -> str:
        batch_id = uuid4()
        context = self.stage.context
        with context.engine.begin() as connection:
            number = connection.execute(select(func.count()).select_from(batch)).scalar_one()
            connection.execute(
                insert(batch).values(batch_id=batch_id, run_id=context.run_id, processor=self.world.name, number=number)
            )
            connection.execute(
                insert(batch_item), [{"batch_id": batch_id, "disposal_id": UUID(i)} for i in self.disposals]
            )
        return str(batch_id)

    def _heard(self, what: Callable[[], object]) -> None:
        """Run something; errors that the engine passes on to Airflow are kept, all others fail the test."""
        try:
            what()
        except (ProcessorError, ConfigurationError, Crash) as error:
            self.errors.append(error)
            self.heard += traceback.format_exception(error)
        except Exception as error:
            if self.stumbles is None:
                raise
            self.stumbles.append(f"{type(error).__name__} at {traceback.extract_tb(error.__traceback__)[-1].name}")
            self.heard += traceback.format_exception(error)

    def nights(self, most: int = 16) -> str:
        """Run until nothing more is to be done; return `outcome:code` of the first disposal."""
        before: tuple[Any, ...] | None = None
        for _ in range(most):
            self.run()
            rows = self.rows()
            if all(self._settled(r) for r in rows):
                break
            before = self._turn(rows, before)
        return self.end()

    def night(self) -> None:
        """Run once, and go on to the day on which something is due next."""
        self.run()
        rows = [r for r in self.rows() if not self._settled(r)]
        if rows:
            self._turn(rows, None)

    def _turn(self, rows: list[Any], before: tuple[Any, ...] | None) -> tuple[Any, ...]:
        """Move to the day something is due, or to tomorrow when nothing changed; return what the rows say now."""
        state = tuple((r.outcome, r.code, r.step, r.due_at) for r in rows)
        due = min((r.due_at for r in rows if not self._settled(r) and r.due_at), default=self.world.today)
        if due > self.world.today:
            self.world.move(due)
        elif state == before:
            self.world.move(self.world.today + DAY)
        return state

    @staticmethod
    def _settled(row: Any) -> bool:
        waits = {Outcome.MANUAL_PENDING, Outcome.EXPIRES_BY_PROCESSOR, Outcome.BLOCKED, Outcome.RETAINED}
        return row.closed_on is not None or row.needs_person or Outcome(row.outcome) in waits

    # -- what became of it -----------------------------------------------------------------------------------------
    def row(self, disposal_id: str | None = None) -> Any:
        """Return a disposal's row."""
        with self.stage.context.engine.connect() as connection:
            wanted = UUID(disposal_id or self.disposals[0])
            return connection.execute(select(disposal).where(disposal.c.disposal_id == wanted)).one()

    def rows(self) -> list[Any]:
        """Return the rows of all disposals of this round."""
        with self.stage.context.engine.connect() as connection:
            wanted = [UUID(i) for i in self.disposals]
            return list(connection.execute(select(disposal).where(disposal.c.disposal_id.in_(wanted))))

    def end(self, disposal_id: str | None = None) -> str:
        """Return a disposal's outcome and code."""
        return _end(self.row(disposal_id))

    def entries(self, disposal_id: str | None = None) -> list[dict[str, Any]]:
        """Return what the evidence log says of the disposals."""
        wanted = {disposal_id} if disposal_id else {*self.disposals, *self.done}
        with self.stage.context.engine.connect() as connection:
            bodies = connection.execute(
                select(entry.c.body)
                .where(entry.c.disposal_id.in_([UUID(i) for i in wanted]))
                .order_by(entry.c.entry_id)
            ).scalars()
            return [json.loads(b) for b in bodies]

    def check(self, logged: str) -> None:
        """Hold what holds in every case: neighbours as they were, nobody named, nothing confirmed that is there."""
        after = self.world.snapshot()
        harmed = sorted(k for k, v in self.world.others.items() if after.get(k) != v)
        assert not harmed, f"neighbours were touched: {harmed}"
        entries = (json.dumps(e, ensure_ascii=False) for e in self.entries())
        said = "\n".join([logged, *self.heard, *entries]).casefold()
        named = [m for m in TARGET.marks if m in said]
        assert "unlisted_code" not in said, "an entry lost a word that is no code"
        assert not named, f"a log line, an error or an entry names the person: {named}"
        assert not self.world.undeclared(), f"requests no act of this world covers: {self.world.undeclared()}"
        self.check_truth()

    def check_truth(self) -> None:
        """Nothing may be called destroyed that is there."""
        tag = self.stage.context.tags.tag(TARGET.account_id, epoch="2026")
        for row in self.rows():
            confirmed = row.closed_on and Outcome(row.outcome) in CONFIRMED
            if row.subject_tag == tag and (confirmed or _end(row) in self.world.promises):
                assert not self.world.left(), f"called {_end(row)}, but there: {self.world.left()}"


def _end(row: Any) -> str:
    return f"{row.outcome}:{row.code}" if row.code else str(row.outcome)


class Company:
    """What the engine asks of the company's accounts, for places elsewhere: who is known, and no holds."""

    def __init__(self, known: Mapping[str, Identifiers]) -> None:
        self._known = known

    def facts(self, account_ids: Collection[str]) -> list[AccountFacts]:
        return []

    def due(self, schedule: Any, as_of: date) -> Iterator[AccountFacts]:
        return iter(())

    def computed_holds(self, account_ids: Collection[str]) -> Mapping[str, list[Hold]]:
        return {}

    def identifiers(self, account_ids: Collection[str]) -> Mapping[str, Identifiers]:
        return {a: self._known[a] for a in account_ids if a in self._known}

    def population(self, as_of: date) -> Mapping[str, int]:
        return {}


class _Crashing:
    """A processor whose process dies right after it carried out one step."""

    def __init__(self, inner: ProcessorContract, play: Play) -> None:
        self._inner, self._play = inner, play

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def act(self, step: str, work: Any) -> Any:
        results = self._inner.act(step, work)
        if self._play.crash_in == step:
            self._play.crash_in = None
            raise Crash(step)
        return results


@contextlib.contextmanager
def playing(stage: Stage, world: World) -> Iterator[Play]:
    """Yield a play of one world; nothing is planned yet. Its disposals are forgotten afterwards."""
    try:
        with world.opened():
            yield Play(stage, world)
    finally:
        with stage.context.engine.begin() as connection:
            for table in ("batch_item", "locator", "archive_link", "claim", "tombstone", "sighting", "disposal"):
                connection.execute(text(f"DELETE FROM retention.{table}"))
