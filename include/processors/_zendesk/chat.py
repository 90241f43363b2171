"""What a person said in chats on other people's tickets: chat events stand in a ticket's audits, not in its comments.

Messages are blacked out by `chat_redactions`, files by `chat_file_redactions`; neither works on a chat that is still
going on (Zendesk API, "Ticket comments").
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from include.errors import NeedsPerson
from include.processors._zendesk.client import Client
from include.processors._zendesk.gate import NAME, Row

CHANNELS = ("chat", "messaging")
STARTED = "ChatStartedEvent"
MESSAGE, FILE = "ChatMessage", "ChatFileAttachment"
REDACTED_FILE = "redacted.txt"
SCRUBBED_NAME = "Permanently Deleted User"


def readable(text: object) -> bool:
    """Return whether a text still says anything: blacks, blanks and bare punctuation do not."""
    return isinstance(text, str) and any(c.isalnum() for c in text)


@dataclass(frozen=True, slots=True)
class Chat:
    """One chat on a ticket and what happened in it."""

    chat_id: str
    history: tuple[Row, ...]

    def of(self, users: set[int]) -> tuple[Row, ...]:
        """Return what these users did in it."""
        return tuple(e for e in self.history if e.get("actor_id") in users)

    def says(self, users: set[int]) -> bool:
        """Return whether one of these users wrote, or sent a file."""
        return any(e.get("type") in {MESSAGE, FILE} for e in self.of(users))


def chats_on(client: Client, ticket: Row, comments: Sequence[Row]) -> list[Chat]:
    """Return the chats of a ticket; its audits are read only where it, or a comment of it, came through a chat."""
    chatty = ticket.get("from_messaging_channel") or any(map(_is_chat, (ticket, *comments)))
    return list(_chats(client, int(ticket["id"]))) if chatty else []


def _is_chat(thing: Row) -> bool:
    via = thing.get("via")
    channel = str(via.get("channel") or "") if isinstance(via, dict) else ""
    return any(word in channel for word in CHANNELS)


def _chats(client: Client, ticket_id: int) -> Iterator[Chat]:
    for audit in client.pages(f"/tickets/{ticket_id}/audits", "audits", of=("tickets", ticket_id)):
        for event in audit.get("events") or ():
            value = event.get("value") if isinstance(event, dict) and event.get("type") == STARTED else None
            if isinstance(value, dict) and value.get("chat_id"):
                yield Chat(str(value["chat_id"]), tuple(e for e in value.get("history") or () if isinstance(e, dict)))


def located_chats(client: Client, locator: Mapping[str, Any]) -> Iterator[tuple[int, str, tuple[Row, ...]]]:
    """Read the located chats again: ticket, chat, and what the located users did in it; gone tickets are left out."""
    wanted = {(int(t), str(c)) for t, c in locator.get("chats", ())}
    users = {int(i) for i in locator.get("users", ())}
    for ticket_id in sorted({t for t, _ in wanted}):
        for chat in _chats(client, ticket_id):
            if (ticket_id, chat.chat_id) in wanted:
                yield ticket_id, chat.chat_id, chat.of(users)


def is_open_file(event: Row) -> bool:
    """Return whether a chat event is a file that was not redacted."""
    return event.get("type") == FILE and event.get("filename") != REDACTED_FILE


def redact_chats(client: Client, locator: Mapping[str, Any]) -> None:
    """Black out every located message and file; repeat freely."""
    for ticket_id, chat_id, events in list(located_chats(client, locator)):
        for event in events:
            if event.get("type") == MESSAGE and readable(event.get("message")):
                if "redact>" in event["message"]:
                    raise NeedsPerson(NAME, "chat_text_unredactable")  # it would end the mark itself
                body = {"chat_id": chat_id, **_place(event), "text": f"<redact>{event['message']}</redact>"}
                _put(client, f"/chat_redactions/{ticket_id}", body)
        files = [e for e in events if is_open_file(e)]
        for name, plural in (("chat_index", "chat_indexes"), ("message_id", "message_ids")):
            places = [_place(e)[name] for e in files if name in _place(e)]
            if places:
                _put(client, f"/chat_file_redactions/{ticket_id}", {"chat_id": chat_id, plural: places})


def _place(event: Row) -> Row:
    """Return how Zendesk wants an event named: by its index in the chat, else by its message id."""
    name = "chat_index" if event.get("chat_index") is not None else "message_id"
    if event.get(name) is None:
        raise NeedsPerson(NAME, "chat_without_index")
    return {name: event[name]}


class ChatGoesOn(Exception):
    """A chat could not be redacted, as those that still go on cannot."""


def _put(client: Client, path: str, body: Row) -> None:
    answer = client.call("PUT", path, body=body)
    if answer.status in {409, 422}:
        raise ChatGoesOn
    if answer.status not in {200, 404}:  # 404: the ticket went meanwhile; reading back tells
        raise NeedsPerson(NAME, "chat_redaction_refused", status=answer.status)


def chats_left(client: Client, locator: Mapping[str, Any]) -> tuple[int, int]:
    """Return how many messages and files can still be read, and how many chat entries still carry the name."""
    said = names = 0
    for _ticket, _chat, events in located_chats(client, locator):
        said += sum(is_open_file(e) or (e.get("type") == MESSAGE and readable(e.get("message"))) for e in events)
        names += sum(readable(e.get("actor_name")) and e["actor_name"] != SCRUBBED_NAME for e in events)
    return said, names
