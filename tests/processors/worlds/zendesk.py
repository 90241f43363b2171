"""Zendesk: users with tickets, complaints, suspended mails, and lines on other people's tickets."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any, ClassVar

from include.connections import Connection
from include.processors._zendesk import gate
from include.sandbox.standin import Frame
from include.sandbox.zendesk import API_TOKEN, VARIANTS, StandIn, comment_row, seed_person, user_row
from tests.processors.worlds.base import NEIGHBOURS, ON, TARGET, Act, HttpWorld, Person

GONE = "confirmed_absent"


class ZendeskWorld(HttpWorld):
    """One Zendesk account."""

    name: ClassVar[str] = "zendesk"
    datasets: ClassVar[tuple[str, ...]] = ("support",)
    scope_id: ClassVar[str] = "support"
    richest: ClassVar[str] = "everything"
    variants = {
        "everything": GONE,
        "nobody": GONE,
        "plain": GONE,
        "open_ticket": "blocked:open_ticket",
        "email_only": GONE,
        "two_users": GONE,
        "open_complaint": "blocked:open_complaint",
    }
    acts = (
        Act("redact a comment", "PUT", r"^/api/v2/comment_redactions/", overwrites=True),
        Act("redact a chat message", "PUT", r"^/api/v2/chat_redactions/", overwrites=True),
        Act("redact chat files", "PUT", r"^/api/v2/chat_file_redactions/", overwrites=True),
        Act(
            "redact an attachment",
            "PUT",
            r"^/api/v2/tickets/[0-9]+/comments/[0-9]+/attachments/",
            rare="taken only where a file has no address to name it by in the redaction of its comment",
        ),
        Act(
            "delete recordings",
            "DELETE",
            r"^/api/v2/channels/voice/calls/",
            rare="a call on another's ticket keeps its numbers, so it ends with a person (test_zendesk_erasing.py)",
        ),
        Act(
            "delete suspended mails",
            "DELETE",
            r"^/api/v2/suspended_tickets/destroy_many$",
            again="a mail is deleted once; a second job finds it gone",
        ),
        Act(
            "delete tickets",
            "DELETE",
            r"^/api/v2/tickets/destroy_many$",
            again="a ticket is deleted once; a second job finds it gone",
        ),
        Act(
            "purge tickets",
            "DELETE",
            r"^/api/v2/deleted_tickets/(destroy_many|[0-9]+)$",
            again="a ticket is purged once; a second job finds it gone",
        ),
        Act(
            "delete users",
            "DELETE",
            r"^/api/v2/users/(destroy_many|[0-9]+)$",
            again="a user is deleted once; a second job finds it gone",
        ),
        Act("purge a user", "DELETE", r"^/api/v2/deleted_users/[0-9]+$"),
    )
    oddities = {
        "partial": "every second ticket of a bulk deletion fails",
        "stale_index": "the search index is behind at the first look",
    }
    deletes = "tickets (soft, then permanently), suspended mails, users (soft, then permanently), call recordings"
    anonymises = "comments, files and chat messages of the person on tickets of others: redacted"
    reads = (
        "GET of users, tickets, comments, chats and deleted tickets, a second search, and the compliance status of "
        "every product that reported `started`"
    )
    not_provable = (
        "backups of the vendor; a product that never reports anything; IP and location in a comment's metadata; help "
        "centre posts; what others quoted"
    )

    duplicates: ClassVar[tuple[str, ...]] = ("two_users",)

    def value_refusal(self) -> tuple[int, Any]:
        said = [{"description": f"{TARGET.name} cannot be redacted", "error": "InvalidValue"}]
        return 422, {"error": "RecordInvalid", "description": "Record validation errors", "details": {"text": said}}

    def merge(self, into: Person) -> None:
        """The other user gets tickets, comments and identities; the merged one is deleted softly."""
        store, loser = self.standin.store, self._user(TARGET)
        winner = self._user(into)
        if into is TARGET:
            winner = loser + 7
            row = user_row(winner, name=TARGET.name, email=None, external_id=None, on=ON - timedelta(days=90))
            self.standin.seed({"user": [row]})
        for kind, field in (("ticket", "requester_id"), ("ticket", "submitter_id"), ("comment", "author_id")):
            for row in store.all(kind):
                if row.get(field) == loser:
                    store.update(kind, row["id"], **{field: winner})
        for row in store.all("identity"):
            if row.get("user_id") == loser:
                store.update("identity", row["id"], user_id=winner, primary=False)
        store.update("user", loser, active=False, email=None, external_id=None)
        store.commit()

    def make(self) -> Frame:
        return StandIn(limit_factor=100)

    def connection(self) -> Connection:
        extra = {"subdomain": "sandbox", "endpoint_url": self.url}
        return Connection("zendesk", login="agent@example.com", password=API_TOKEN, extra=extra)

    @classmethod
    @contextlib.contextmanager
    def hurried(cls) -> Iterator[None]:
        patient = gate.sleep
        gate.sleep = lambda seconds: patient(min(seconds, 0.001))
        try:
            yield
        finally:
            gate.sleep = patient

    @contextlib.contextmanager
    def serving(self) -> Iterator[None]:
        with self.hurried(), super().serving():
            yield

    def vanish(self) -> None:
        """Zendesk keeps a nameless user of everybody who was deleted for good."""
        standin = self.standin
        assert isinstance(standin, StandIn)
        for user in standin.store.all("user"):
            if f"user/{user['id']}" not in self.others and not user.get("_purged_at"):
                standin._purge(user)
        for kind in ("ticket", "comment", "suspended_ticket", "identity", "audit"):
            for row in standin.store.all(kind):
                if f"{kind}/{row['id']}" not in self.others:
                    standin.store.delete(kind, row["id"])
        standin.store.commit()

    def seed(self, person: Person, variant: str) -> None:
        kinds = ("complaint", "suspended") if variant == "everything" else (variant,)
        for kind in kinds:
            self.standin.seed(
                seed_person(
                    number=person.number, account_id=person.account_id, email=person.email, name=person.name, on=ON,
                    variant=VARIANTS.index(kind),
                )
            )  # fmt: skip
        if person is TARGET and variant == "everything":
            ticket = NEIGHBOURS[0].number * 100 + 1
            said = f"{person.name}, {person.email}, adds a line"
            line = comment_row(
                ticket * 10 + 7, ticket, self._user(person), said, on=ON - timedelta(days=80), via={"channel": "chat"},
                attachments=[{"id": 7, "file_name": f"{person.name}.png", "content_url": f"{self.url}/7", "size": 1}],
            )  # fmt: skip
            self.standin.seed({"comment": [line], "audit": [self._chat(ticket, person)]})

    def _chat(self, ticket: int, person: Person) -> dict[str, Any]:
        """Return a chat of the person with a bystander, as a ticket's audit holds it."""
        other = {"actor_id": self._user(NEIGHBOURS[0]), "actor_name": NEIGHBOURS[0].name}
        who = {"actor_id": self._user(person), "actor_name": person.name, "actor_type": "end-user"}
        history = [
            {**other, "type": "ChatMessage", "chat_index": 0, "message": "a bystander's line"},
            {**who, "type": "ChatMessage", "chat_index": 1, "message": f"{person.name} <{person.email}>"},
            {**who, "type": "ChatFileAttachment", "chat_index": 2, "filename": f"{person.name}.pdf"},
        ]
        event = {"id": 1, "type": "ChatStartedEvent", "value": {"chat_id": "2109.1.Sample", "history": history}}
        return {"id": ticket * 10 + 8, "ticket_id": ticket, "author_id": -1, "events": [event]}

    def trouble(self, kind: str, act: Act | None = None, *, times: int = 1, headers: Mapping[str, str] = {}) -> None:
        """An index is behind for minutes, not for days: it hides what the first look asks for, no more."""
        super().trouble(kind, act, times=min(times, 2) if kind == "stale_index" else times, headers=headers)

    def seed_bystanders(self) -> None:
        self.seed(TARGET, "nobody")

    @staticmethod
    def _user(person: Person) -> int:
        return 900_000_000 + person.number * 10

    def refusal(self, status: int) -> Any:
        return {"error": "Trouble", "description": super().refusal(status)["message"]}
