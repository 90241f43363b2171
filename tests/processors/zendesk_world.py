"""A pretend Zendesk account, and a small engine that drives the processor over it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import create_engine, text
from sqlalchemy.pool import StaticPool

from include.connections import Connection
from include.outcomes import Outcome
from include.processors import Result, Site, Subject, Work
from include.processors._zendesk import gate
from include.processors.zendesk import Processor
from include.sandbox.standin import Fault, Serving
from include.sandbox.zendesk import API_TOKEN, VARIANTS, StandIn, comment_row, seed_person, user_row

TODAY = datetime.now(ZoneInfo("Asia/Seoul")).date()


EMAIL = "sample.person.0001@example.com"


NAME = "Sample Person 0001"


USER = 900_000_010


SETTINGS = {"complaint_selector": {"tags": ["complaint", "dispute"]}, "products": ["support", "chat"]}


@dataclass
class World:
    """A stand-in, its address, and a processor on it."""

    standin: StandIn
    url: str
    waits: list[float]

    def processor(self, as_of: date = TODAY, **changes: Any) -> Processor:
        connection = Connection(
            "zendesk",
            login="agent@example.com",
            password=API_TOKEN,
            extra={"subdomain": "sandbox", "endpoint_url": self.url},
        )
        return Processor(Site(**{"connection": connection, "settings": SETTINGS, "as_of": as_of, **changes}))

    def seed(self, variant: str = "plain", number: int = 1, **changes: Any) -> None:
        values = {
            "number": number,
            "account_id": str(number),
            "email": f"sample.person.{number:04d}@example.com",
            "name": f"Sample Person {number:04d}",
            "on": TODAY,
            "variant": VARIANTS.index(variant),
        }
        self.standin.seed(seed_person(**{**values, **changes}))

    def fault(self, **fields: Any) -> None:
        self.standin.faults.append(Fault(**fields))

    def dump(self) -> str:
        return "".join(json.dumps(o, ensure_ascii=False) for o in self.standin.store.dump())

    def changing(self) -> list[str]:
        return [f"{r['method']} {r['path']}" for r in self.standin.requests if r["changing"]]


def subject(number: int = 1, **changes: Any) -> Subject:
    given = Subject(
        disposal_id=f"d{number}",
        account_id=str(number),
        subject_type="individual",
        scope_id="support",
        datasets=("support",),
        rule_id="R-14",
        trigger_event="terminated",
        trigger_date=TODAY,
        emails=(f"sample.person.{number:04d}@example.com",),
    )
    return replace(given, **changes)


def located(processor: Processor, *subjects: Subject) -> list[Work]:
    found = processor.locate(subjects)
    assert [f.outcome for f in found] == [Outcome.LOCATED] * len(subjects)
    return [
        Work(s.disposal_id, s.account_id, "support", ("support",), json.loads(json.dumps(dict(f.locator))))
        for s, f in zip(subjects, found, strict=True)
    ]


def carry_out(processor: Processor, works: Sequence[Work]) -> list[Result]:
    """Do what the engine does: each step for those that are on it, then read back."""
    current = {w.disposal_id: w for w in works}
    stopped: dict[str, Result] = {}
    for name in ("redact", "delete_tickets", "purge_tickets", "delete_user", "purge_user"):
        group = [
            w for w in current.values() if w.disposal_id not in stopped and name in {s.name for s in processor.steps(w)}
        ]
        for result in processor.act(name, group) if group else []:
            if result.locator is not None:
                current[result.disposal_id] = replace(current[result.disposal_id], locator=result.locator)
            if result.outcome is not Outcome.ACCEPTED:
                stopped[result.disposal_id] = result
    rest = [w for w in current.values() if w.disposal_id not in stopped]
    stopped |= {r.disposal_id: r for r in (processor.read_back(rest) if rest else [])}
    return [stopped[w.disposal_id] for w in works]


def after(works: Sequence[Work], results: Sequence[Result]) -> list[Work]:
    """Return the works as the engine stores them: with the locators of their last results."""
    return [replace(w, locator=r.locator or w.locator) for w, r in zip(works, results, strict=True)]


def erase(world: World, *subjects: Subject) -> list[Result]:
    processor = world.processor()
    return carry_out(processor, located(processor, *(subjects or (subject(),))))


def told(error: BaseException) -> str:
    """Return everything a traceback of an error could print."""
    return f"{error!s} {error!r} {error.__cause__!r} {error.__context__!r}"


def company(*holders: tuple[str, str]) -> dict[str, Any]:
    """Return what the processor gets to see whose an e-mail is: accounts with their addresses."""
    accounts = create_engine("sqlite://", poolclass=StaticPool)
    with accounts.begin() as connection:
        connection.execute(text("CREATE TABLE account_profile (account_id text, email text)"))
        for account, email in holders:
            connection.execute(text("INSERT INTO account_profile VALUES (:a, :e)"), {"a": account, "e": email})
    owners = {"table": "account_profile", "account": "account_id", "email": "email"}
    return {"accounts": accounts, "settings": {**SETTINGS, "email_owners": owners}}


def caller(user_id: int, phone: str, **more: Any) -> dict[str, Any]:
    """Return a user as Talk makes one of an unknown number."""
    return {**user_row(user_id, name=f"Caller {phone}", email=None, external_id=None, on=TODAY), "phone": phone, **more}


def attach(world: World, **fields: Any) -> None:
    file = {
        "id": 9,
        "file_name": "scan.png",
        "size": 10,
        "content_url": "https://elsewhere.example.com/9?name=scan.png",
    }
    world.standin.store.update("comment", 1002, attachments=[{**file, **fields}])


def finish(world: World, *subjects: Subject, days: int = 1) -> list[Result]:
    """Erase, and read back some days later, as the engine does until nothing is due."""
    people = subjects or (subject(),)
    works = located(world.processor(), *people)
    results: list[Result] = []
    for _ in range(4):
        results = carry_out(world.processor(), works)
        works = after(works, results)
    world.standin.set_date(TODAY + timedelta(days=days))
    return world.processor(TODAY + timedelta(days=days)).read_back(works)


def call(world: World, **data: Any) -> None:
    world.standin.store.update("comment", 1002, type="VoiceComment", data={"call_id": 55, **data})
    world.standin.seed({"recording": [{"id": 55}]})


def chat(world: World, *, key: str = "chat_index", **more: Any) -> None:
    """Let the person chat on a bystander's closed ticket, between the bystander's own lines."""
    who = {"actor_id": USER, "actor_name": NAME, "actor_type": "end-user"}
    other = {"actor_id": 800_000_010, "actor_name": "Bystander 0001", "actor_type": "end-user"}
    history = [
        {**other, "type": "ChatMessage", key: 0, "message": "a bystander's line"},
        {**who, "type": "ChatJoin", key: 1},
        {**who, "type": "ChatMessage", key: 2, "message": f"{NAME} <{EMAIL}>, 010-1234-5678"},
        {**who, "type": "ChatFileAttachment", key: 3, "filename": "passport.png"},
    ]
    value = {"chat_id": "2109.10502823.Sjuj2YrBpXwei", "visitor_id": "1-a", "history": history}
    event = {"id": 1, "type": "ChatStartedEvent", "value": value, **more}
    world.standin.store.update("ticket", 100, via={"channel": "chat"})
    world.standin.seed({"audit": [{"id": 70, "ticket_id": 100, "author_id": -1, "events": [event]}]})


def merge(world: World, into: int, **via: Any) -> None:
    """Let an agent merge the person's ticket 101 into another, as Zendesk does: quoting its last words."""
    world.standin.store.update("ticket", 101, tags=["closed_by_merge"])
    source = {"rel": "merge", "from": {}, "to": {}, **via}
    world.standin.seed(
        {
            "comment": [
                comment_row(2001, 101, 1, f"merged into #{into}", on=TODAY, via={"channel": "web", "source": source}),
                comment_row(
                    2002, into, 1, f"#101 was merged. Last comment: {NAME} writes", on=TODAY,
                    via={"channel": "web", "source": {"rel": "merge", "from": {"ticket_ids": [101]}, "to": {}}},
                ),
            ]
        }
    )  # fmt: skip


def archive(world: World) -> None:
    for ticket_id in (101, 102):
        world.standin.store.update("ticket", ticket_id, status="closed", updated_at="2020-01-01T00:00:00Z")


@contextlib.contextmanager
def opened() -> Iterator[World]:
    """Serve a stand-in; waiting is remembered and takes no time."""
    standin, waits, sleep = StandIn(), list[float](), gate.sleep
    gate.sleep = waits.append
    try:
        with Serving(standin) as serving:
            yield World(standin, serving.url, waits)
    finally:
        gate.sleep = sleep
