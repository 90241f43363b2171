"""What every world is: one place with a few made-up people, its own truth, and ways to break its wire.

A world is data and three powers. It seeds people through the seed helpers of the sandbox, it tells the truth about
what is there (`snapshot`, `left`), which no processor can see, and it lets things go wrong (`trouble`, `mend`). What
does not exist at a place is stated in `without`, case by case, with the reason; the suite and `docs/processors.md` show
it.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, ClassVar

from sqlalchemy import Connection as Session
from sqlalchemy import Engine, text

from include.accounts import Identifiers
from include.connections import Connection
from include.policy.schedule import Schedule
from include.processors import ProcessorContract, Site, load
from include.sandbox.company.tables import COLUMNS
from include.sandbox.standin import Fault, Frame, Serving
from tests.processors.worlds.tamper import INSTEAD, Liar, Trap, tampered

ON = date(2026, 11, 24)
ENDED = date(2026, 1, 31)
EVER = 10**6
BETWEEN = frozenset({*INSTEAD, "truncated", "redirect"} - {"html", "unavailable", "rate"})
"""Trouble that no vendor makes: what stands between us and the place does."""
HOUR = 3600


@dataclass(frozen=True, slots=True)
class Person:
    """One synthetic person; `number` spaces out the ids of what is seeded."""

    account_id: str
    number: int
    email: str
    name: str

    @property
    def marks(self) -> tuple[str, ...]:
        """What would give the person away in a log, an error or an entry."""
        return (self.email.casefold(), self.name.casefold())


TARGET = Person("1", 2, "target.person@example.com", "Targeta Sample")
NEIGHBOURS = (
    Person("10", 10, "sample.person.0010@example.com", "Sample Person 0010"),
    Person("1.bak", 22, "sample.person.0022@example.com", "Sample Person 0022"),
    Person("0001", 28, "other.target.person@example.com", "김표본0028"),
    Person("한글+이름", 34, "sample.person.0034@example.com", "Sample Person 0034"),
)
PEOPLE = (TARGET, *NEIGHBOURS)


@dataclass(frozen=True, slots=True)
class Act:
    """One kind of request that changes the place: its name in the suite, which requests it is, and on whom it occurs.

    `on` is the variant it is played on, where that is not the richest; `rare` says why no play reaches it; `again` says
    why doing it once more, as after a crash, does nothing more.
    """

    name: str
    method: str
    path: str
    on: str = ""
    rare: str = ""
    overwrites: bool = False
    """Whether it puts another value where a person's stood."""
    again: str = ""


class World:
    """One place for one test; a subclass says how it is made."""

    name: ClassVar[str]
    datasets: ClassVar[tuple[str, ...]]
    scope_id: ClassVar[str]
    rule_id: ClassVar[str] = "R-14"
    trigger_event: ClassVar[str] = "terminated"
    variants: ClassVar[Mapping[str, str]]
    """People of every kind the place knows -> the end documented for them, as `outcome:code`."""
    richest: ClassVar[str]
    """The variant on which everything else is played."""
    acts: ClassVar[tuple[Act, ...]] = ()
    oddities: ClassVar[Mapping[str, str]] = {}
    """Misbehaviour only this place knows: a word the stand-in understands -> what it means."""
    duplicates: ClassVar[tuple[str, ...]] = ()
    """Variants in which one person has several records."""
    follows_merges: ClassVar[bool] = False
    """Whether the place says into which record one was merged."""
    without: ClassVar[Mapping[str, str]] = {}
    """Case -> why it does not exist here. Shown in docs/processors.md."""
    heedless: ClassVar[Mapping[str, str]] = {}
    """Case -> why the trouble does not stop this processor. Shown in docs/processors.md."""
    promises: ClassVar[frozenset[str]] = frozenset()
    """Ends beside which nothing of the person may be left, though they do not say `confirmed`."""
    customers: ClassVar[tuple[Person, ...]] = PEOPLE
    """Who is in the company's accounts from the beginning."""
    deletes: ClassVar[str]
    anonymises: ClassVar[str]
    reads: ClassVar[str]
    not_provable: ClassVar[str]

    def __init__(self, accounts: Engine, schedule: Schedule, variant: str) -> None:
        self.accounts, self.schedule, self.variant = accounts, schedule, variant
        self.today = ON
        self.others: dict[str, str] = {}
        self.known: dict[str, Identifiers] = {}
        self.liar: Liar | None = None
        self.via: str | None = None
        """An address in front of the place, through which the processor goes instead."""
        self.witness: Callable[[str], None] = lambda _request: None
        """Called with each changing request before its answer leaves."""

    # -- making it -------------------------------------------------------------------------------------------------
    @contextlib.contextmanager
    def opened(self) -> Iterator[World]:
        """Seed the neighbours, remember them, seed the target; yield."""
        empty_accounts(self.accounts)
        add_accounts(self.accounts, *self.customers)
        self.known = {
            p.account_id: Identifiers(emails=(p.email,), login_id=f"login-{p.number}", name=p.name) for p in PEOPLE
        }
        with self.serving():
            self.move(ON)
            for person in NEIGHBOURS:
                self.seed(person, self.neighbours_are())
            self.seed_bystanders()
            self.others = self.snapshot()
            self.seed(TARGET, self.variant)
            now = self.snapshot()
            changed = {k for k, v in self.others.items() if now.get(k) != v}
            assert not changed, f"seeding the target changed neighbours in world {self.name}: {sorted(changed)}"
            yield self

    @contextlib.contextmanager
    def serving(self) -> Iterator[None]:
        """Run what the place needs."""
        yield

    @classmethod
    @contextlib.contextmanager
    def hurried(cls) -> Iterator[None]:
        """Let the clients of this process wait only as long as a test has time for."""
        yield

    def neighbours_are(self) -> str:
        """Return the variant of the neighbours."""
        return self.richest

    def seed(self, person: Person, variant: str) -> None:
        """Put one person into the place."""
        raise NotImplementedError

    def seed_bystanders(self) -> None:
        """Put in what belongs to nobody here."""

    def reseed(self, variant: str) -> None:
        """Put the target back, perhaps as another kind of person, for another round."""
        self.vanish()
        self.move(ON)
        self.variant = variant
        self.seed(TARGET, self.variant)

    def forget(self) -> None:
        """Let the company forget the target, as `own_database` does last."""
        remove_rows(self.accounts, TARGET.account_id, "account_profile", "account")
        del self.known[TARGET.account_id]

    def know_nothing(self) -> None:
        """Let the company know neither e-mail nor name of the target."""
        remove_rows(self.accounts, TARGET.account_id, "account_profile")
        self.known[TARGET.account_id] = Identifiers()

    def share_email(self, other: Person) -> None:
        """Let the company hold another account's e-mail for the target as well."""
        known = self.known[TARGET.account_id]
        self.known[TARGET.account_id] = replace(known, emails=(*known.emails, other.email))

    def merge(self, into: Person) -> None:
        """Merge the target's record into another one: a second of the target's, or one of `into`'s."""
        raise NotImplementedError

    def overwrites(self) -> list[tuple[str, Act | None]]:
        """Return the variants on which values are overwritten, and by which act."""
        return [(act.on or self.richest, act) for act in self.acts if act.overwrites and not act.rare]

    # -- the processor ---------------------------------------------------------------------------------------------
    def connection(self) -> Connection:
        """Return the connection the processor gets."""
        raise NotImplementedError

    def settings(self) -> dict[str, Any]:
        """Return the settings: those of the real schedule, and what makes the world quick."""
        return dict(self.schedule.processors[self.name].settings)

    def accounts_engine(self) -> Engine:
        """Return the engine on the company's accounts the processor gets."""
        return self.accounts

    def processor(self) -> ProcessorContract:
        """Return the processor, made anew as in every task."""
        connection = self.connection()
        if self.via:
            connection = replace(connection, extra={**connection.extra, "endpoint_url": self.via})
        site = Site(connection, self.settings(), self.today, accounts=self.accounts_engine())
        return load(self.name)(site)

    def move(self, day: date) -> None:
        """Make it another day."""
        self.today = day

    # -- the truth -------------------------------------------------------------------------------------------------
    def snapshot(self) -> dict[str, str]:
        """Return everything the place holds, by a key of ours, in bytes that can be compared."""
        raise NotImplementedError

    def left(self) -> list[str]:
        """Return the keys of what still tells of the target; what `confirmed` must never stand beside."""
        found = self.snapshot()
        mine = {k: v for k, v in found.items() if k not in self.others}
        return sorted(k for k, v in mine.items() if any(m in v.casefold() for m in TARGET.marks))

    def kind(self, key: str, value: str) -> str:
        """Return what kind of object a key of `snapshot` is, for docs/processors.md."""
        return key.partition("/")[0]

    def requests(self) -> list[tuple[str, str]]:
        """Return the changing requests so far: method and path."""
        raise NotImplementedError

    def vanish(self) -> None:
        """Remove the target behind the processor's back."""
        raise NotImplementedError

    # -- trouble ---------------------------------------------------------------------------------------------------
    def trouble(self, kind: str, act: Act | None = None, *, times: int = 1, headers: Mapping[str, str] = {}) -> None:
        """Make requests (of one act, or any) go wrong: lie, cut_after, cut_before, unavailable, rate, html,
        unauthorized, slow, a word of `BETWEEN`, or one of `oddities`.
        """
        raise NotImplementedError

    def mend(self) -> None:
        """End all trouble."""
        raise NotImplementedError

    def unmet(self) -> int:
        """Return how much of the trouble asked for has met no request yet."""
        raise NotImplementedError

    def calls(self) -> int:
        """Return how many requests (for a database: connections) have reached the place so far."""
        raise NotImplementedError

    def lie_to(self, liar: Liar) -> None:
        """Let a liar stand between client and place from now on."""
        self.liar = liar

    def crowd(self, people: Sequence[Person]) -> None:
        """Put more people in, each as the richest kind, for measurements by the batch."""
        add_accounts(self.accounts, *people)
        for person in people:
            self.known[person.account_id] = Identifiers(
                emails=(person.email,), login_id=f"login-{person.number}", name=person.name
            )
            self.seed(person, self.richest)

    def rounds(self) -> dict[str, list[Act]]:
        """Return the acts a play can reach, by the variant they occur on; those of the richest first."""
        found: dict[str, list[Act]] = {self.richest: []}
        for act in self.acts:
            if not act.rare:
                found.setdefault(act.on or self.richest, []).append(act)
        return {variant: acts for variant, acts in found.items() if acts}

    def carried_out(self) -> list[tuple[str, str]]:
        """Return the changing requests the place carried out: method and path."""
        return self.requests()

    def changes(self) -> list[bool]:
        """Return of each request so far, in order, whether it changed something; empty where nobody can tell."""
        return []

    def doubled(self) -> list[str]:
        """Return what the place shows to have been done twice though once was asked for."""
        return []

    def undeclared(self) -> list[str]:
        """Return the changing requests that no act of this world covers."""
        return sorted(
            {
                f"{method} {path}"
                for method, path in self.requests()
                if not any(re.fullmatch(a.method, method) and re.search(a.path, path) for a in self.acts)
            }
        )


class HttpWorld(World):
    """A world behind one of the sandbox's stand-ins."""

    standin: Frame
    url: str
    between: list[Fault]

    def make(self) -> Frame:
        """Return a new stand-in."""
        raise NotImplementedError

    @contextlib.contextmanager
    def serving(self) -> Iterator[None]:
        self.standin, self.between, trap = self.make(), [], Trap()
        self._tell_witness()
        # `Serving` asks nothing of what it serves but to be an application.
        with Serving(tampered(self.standin, self._between, trap.url)) as serving:
            self.url = serving.url
            yield
        assert not trap.knocked(), "a redirection was followed to another host"
        trap.close()

    def _tell_witness(self) -> None:
        record = self.standin._record

        def told(request: Any, status: int, *, changing: bool) -> None:
            if changing:
                self.witness(f"{request.method} {request.path}")
            record(request, status, changing=changing)

        self.standin._record = told  # type: ignore[method-assign]

    def _between(self, method: str, path: str) -> str | None:
        """Return what goes wrong between client and stand-in now: as asked by a case, else as a liar chooses."""
        for wrong in self.between:
            fits = re.fullmatch(wrong.method, method) and re.search(wrong.path, path)
            if wrong.times > 0 and fits:
                wrong.times -= 1
                return wrong.kind
        return self.liar.choose(method) if self.liar else None

    def move(self, day: date) -> None:
        super().move(day)
        self.standin.set_date(day)

    def snapshot(self) -> dict[str, str]:
        return {
            f"{row['kind']}/{row['id']}": json.dumps(row, ensure_ascii=False, sort_keys=True)
            for row in self.standin.store.dump()
        }

    def requests(self) -> list[tuple[str, str]]:
        return [(r["method"], r["path"].partition("?")[0]) for r in self.standin.requests if r["changing"]]

    def carried_out(self) -> list[tuple[str, str]]:
        done = [r for r in self.standin.requests if r["changing"] and r["status"] < 300]
        return [(r["method"], r["path"].partition("?")[0]) for r in done]

    def changes(self) -> list[bool]:
        return [bool(r["changing"]) for r in self.standin.requests]

    def vanish(self) -> None:
        for key in set(self.snapshot()) - set(self.others):
            kind, _, identifier = key.partition("/")
            self.standin.store.delete(kind, identifier)
        self.standin.store.commit()

    def refusal(self, status: int) -> Any:
        """Return an error body as the vendor words it, quoting the person, as vendors do."""
        return {"error": f"{status}", "message": f"{TARGET.name} <{TARGET.email}>"}

    def value_refusal(self) -> tuple[int, Any]:
        """Return status and body with which the vendor refuses a value, quoting the person."""
        raise NotImplementedError

    def trouble(self, kind: str, act: Act | None = None, *, times: int = 1, headers: Mapping[str, str] = {}) -> None:
        fault = Fault(kind, times=times, headers=dict(headers))
        if act is not None:
            fault = replace(fault, method=act.method, path=act.path)
        if kind in BETWEEN:
            self.between.append(fault)
            return
        statuses = {"unavailable": 503, "rate": 429, "unauthorized": 401}
        if kind in statuses:
            fault = replace(fault, kind="status", status=statuses[kind], body=self.refusal(statuses[kind]))
        elif kind == "value_refused":
            status, body = self.value_refusal()
            fault = replace(fault, kind="status", status=status, body=body)
        elif kind == "html":
            fault = replace(fault, status=200)
        elif kind == "slow":
            fault = replace(fault, seconds=0.05)
        self.standin.faults.append(fault)

    def mend(self) -> None:
        self.standin.faults.clear()
        self.between.clear()

    def unmet(self) -> int:
        return sum(f.times for f in (*self.standin.faults, *self.between) if f.times < EVER // 2)

    def calls(self) -> int:
        return len(self.standin.requests)


# -- the company's accounts --------------------------------------------------------------------------------------------
def empty_accounts(engine: Engine) -> None:
    """Remove every row of every table."""
    with engine.begin() as connection:
        connection.execute(text("; ".join(f"DELETE FROM {table}" for table in reversed(COLUMNS))))


def add_accounts(engine: Engine, *people: Person) -> None:
    """Add customers that left, with the keys by which they are searched elsewhere."""
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO account (account_id, subject_type, consumer_like, nationality, withheld, terminated_on, "
                "created_on) VALUES (:account_id, 'individual', false, 'KR', false, :ended, :created)"
            ),
            [{"account_id": p.account_id, "ended": ENDED, "created": date(2020, 1, 1)} for p in people],
        )
        connection.execute(
            text(
                "INSERT INTO account_profile (account_id, login_id, email, name) VALUES (:account_id, :login, :email, "
                ":name)"
            ),
            [
                {"account_id": p.account_id, "login": f"login-{p.number}", "email": p.email, "name": p.name}
                for p in people
            ],
        )


def add_rows(engine: Engine, table: str, *rows: Mapping[str, Any]) -> None:
    """Insert rows that all have the same columns."""
    with engine.begin() as connection:
        _add(connection, table, rows)


def add_tables(engine: Engine, rows: Mapping[str, Mapping[str, Any]]) -> None:
    """Insert one row into each table."""
    with engine.begin() as connection:
        for table, row in rows.items():
            _add(connection, table, (row,))


def _add(connection: Session, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
    columns, places = ", ".join(rows[0]), ", ".join(f":{c}" for c in rows[0])
    connection.execute(text(f"INSERT INTO {table} ({columns}) VALUES ({places})"), [dict(r) for r in rows])


def remove_rows(engine: Engine, account_id: str, *tables: str) -> None:
    """Remove one account from some tables, children first."""
    with engine.begin() as connection:
        for table in tables:
            connection.execute(text(f"DELETE FROM {table} WHERE account_id = :id"), {"id": account_id})


def table_rows(engine: Engine, *tables: str) -> dict[str, str]:
    """Return the rows of some tables by table and text."""
    asked = " UNION ALL ".join(f"SELECT '{t}/' || t::text FROM {t} t" for t in tables)
    with engine.connect() as connection:
        return {row: row.partition("/")[2] for (row,) in connection.execute(text(asked))}
