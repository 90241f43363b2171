"""Salesforce: contacts, leads, person accounts and what hangs on them, with a company's records in between."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any, ClassVar

from include.connections import Connection
from include.sandbox.salesforce import CONSUMER_KEY, CONSUMER_SECRET, StandIn, make_id, seed_person
from include.sandbox.standin import Frame
from tests.processors.worlds.base import ON, TARGET, Act, HttpWorld, Person

GONE = "confirmed_absent"
SHAPES = (
    "contact of a company", "person account", "lead", "converted lead and files", "address only", "duplicates",
    "two contacts", "nobody",
)  # fmt: skip


class SalesforceWorld(HttpWorld):
    """One organisation."""

    name: ClassVar[str] = "salesforce"
    datasets: ClassVar[tuple[str, ...]] = ("customer", "marketing")
    scope_id: ClassVar[str] = "customer"
    richest: ClassVar[str] = "contact of a company"
    variants = {shape: GONE for shape in SHAPES}
    acts = (
        Act("open a job", "POST", r"/jobs/ingest$", again="an open job without rows deletes nothing, and lapses"),
        Act(
            "upload ids",
            "PUT",
            r"/jobs/ingest/[^/]+/batches$",
            again="a row is deleted once; a job whose upload may be half is aborted",
        ),
        Act(
            "close a job",
            "PATCH",
            r"/jobs/ingest/[^/]+$",
            again="each job closes once; half filled, it is aborted",
        ),
        Act(
            "empty the bin",
            "POST",
            r"/services/Soap/",
            on="duplicates",
            again="what has left the bin cannot leave it again",
        ),
        Act(
            "delete a collection",
            "DELETE",
            r"/composite/sobjects$",
            rare="only rows that the Bulk API does not take and that outlive what they hung on",
        ),
    )
    oddities = {
        "row_lie": "a job calls a row deleted that it kept",
        "row_locked": "one row is locked by somebody else",
        "job_failed": "a job fails after half of its rows",
        "expired": "the token expires in between",
    }
    deletes = "contacts, leads, person accounts, cases, activities, mails, memberships, files of their own, custom rows"
    anonymises = "nothing"
    reads = "a whole new search with `queryAll`, deleted rows included, and every id found before"
    not_provable = (
        "backups of the vendor; field history that outlives its record, files shared with others, and records of two "
        "people, which a person decides about"
    )

    follows_merges: ClassVar[bool] = True
    duplicates: ClassVar[tuple[str, ...]] = ("duplicates", "two contacts")
    without: ClassVar[dict[str, str]] = {"value_refused": "nothing is overwritten: every record is deleted"}

    def merge(self, into: Person) -> None:
        """The master record gets what hung on the contact, which is deleted and names its master."""
        store, loser = self.standin.store, make_id("Contact", TARGET.account_id, "")
        master = make_id("Contact", into.account_id, "")
        if into is TARGET:
            master = make_id("Contact", TARGET.account_id, "master")
            row = {**store.get("Contact", loser), "id": master, "Email": None, "AccountKey__c": None}
            self.standin.seed({"Contact": [row]})
        for key, value in self.snapshot().items():
            kind, _, identifier = key.partition("/")
            row = json.loads(value)
            moved = {f: master for f, v in row.items() if v == loser and f not in ("id", "MasterRecordId")}
            if moved:
                store.update(kind, identifier, **moved)
        assert isinstance(self.standin, StandIn)
        self.standin._mark("Contact", loser, hard=False)
        store.update("Contact", loser, MasterRecordId=master)
        store.commit()

    def make(self) -> Frame:
        return StandIn()

    def connection(self) -> Connection:
        extra = {
            "consumer_key": CONSUMER_KEY, "consumer_secret": CONSUMER_SECRET, "domain": "acme.my",
            "endpoint_url": self.url,
        }  # fmt: skip
        return Connection("salesforce", extra=extra)

    def settings(self) -> dict[str, Any]:
        return {**super().settings(), "poll_seconds": 2}

    def seed(self, person: Person, variant: str) -> None:
        self.standin.seed(self._rows(person, variant))

    def _rows(self, person: Person, variant: str) -> dict[str, list[dict[str, Any]]]:
        return seed_person(
            number=person.number, account_id=person.account_id, email=person.email, name=person.name,
            company=None if variant == "person account" else "Sample Co", on=ON - timedelta(days=3),
            variant=SHAPES.index(variant),
        )  # fmt: skip

    def seed_bystanders(self) -> None:
        for shape in ("converted lead and files", "contact of a company"):
            self.seed(Person("99", 99, "keeps.all@example.com", "Sample Person 0099"), shape)

    def left(self) -> list[str]:
        """Every row of the person counts, also those that hold no name: comments, memberships, roles."""
        return sorted(set(self.snapshot()) - set(self.others))

    def refusal(self, status: int) -> Any:
        code = {401: "INVALID_SESSION_ID", 429: "REQUEST_LIMIT_EXCEEDED"}.get(status, "SERVER_UNAVAILABLE")
        return [{"errorCode": code, "message": f"{TARGET.name} {TARGET.email}"}]
