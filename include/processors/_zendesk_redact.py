"""What a person wrote on other people's tickets: Zendesk keeps it whatever happens to the author, so it is blacked out.

`comment_redactions` takes the comment's present HTML with `<redact>` around what must go, and works on closed and
archived tickets; attachments can only be redacted while their ticket is not closed (Zendesk API, "Comment redactions").
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from include.errors import NeedsPerson
from include.processors._zendesk_client import NAME, Client, Row

TAG = re.compile(r"(<[^>]*>)")
INK = "▇█ \u00a0"
REDACTED_FILE = "redacted.txt"


@dataclass(frozen=True, slots=True)
class Left:
    """What is still readable of a person's comments: texts, and files that Zendesk no longer lets us redact."""

    texts: int = 0
    files: int = 0


def blacked_out(html: str) -> str:
    """Return the same HTML with every visible text, and every image, marked for redaction."""
    parts = []
    for part in TAG.split(html):
        if part.startswith("<"):
            image = re.match(r"<img\b", part, re.IGNORECASE)
            parts.append(part[:-1].rstrip("/ ") + " redact>" if image else part)
        else:
            parts.append(f"<redact>{part}</redact>" if part.strip(INK + "\n\r\t") else part)
    return "".join(parts)


def is_readable(comment: Row) -> bool:
    """Return whether any text or image of a comment can still be read; an unknown body counts as readable."""
    html = comment.get("html_body")
    if html is None:
        html = comment.get("body")
    if not isinstance(html, str):
        return True
    return bool(TAG.sub("", html).strip(INK + "\n\r\t")) or re.search(r"<img\b", html, re.IGNORECASE) is not None


def open_files(comment: Row) -> list[Row]:
    """Return the attachments of a comment that were not redacted."""
    return [a for a in comment.get("attachments") or () if a.get("file_name") != REDACTED_FILE]


def located_comments(client: Client, pairs: Iterable[list[int]]) -> Iterable[tuple[int, Row]]:
    """Read the located comments again, ticket by ticket; those whose ticket is gone are left out."""
    by_ticket: dict[int, set[int]] = {}
    for ticket_id, comment_id in pairs:
        by_ticket.setdefault(int(ticket_id), set()).add(int(comment_id))
    for ticket_id, wanted in by_ticket.items():
        parameters = {"include_inline_images": "true"}
        for comment in client.pages(f"/tickets/{ticket_id}/comments", "comments", parameters, missing=True):
            if comment.get("id") in wanted:
                yield ticket_id, comment


def redact(client: Client, locator: Mapping[str, Any]) -> None:
    """Black out every located comment, its files and its call recordings; repeat freely."""
    for ticket_id, comment in list(located_comments(client, locator.get("comments", ()))):
        comment_id = int(comment["id"])
        if is_readable(comment):
            _redact_text(client, ticket_id, comment)
        for attachment in open_files(comment):
            path = f"/tickets/{ticket_id}/comments/{comment_id}/attachments/{int(attachment['id'])}/redact"
            client.call("PUT", path, body={})  # refused on closed tickets: read_back tells
        call_id = (comment.get("data") or {}).get("call_id") if comment.get("type") == "VoiceComment" else None
        if call_id is not None:
            client.call("DELETE", f"/channels/voice/calls/{int(call_id)}/recordings")


def _redact_text(client: Client, ticket_id: int, comment: Row) -> None:
    html = comment.get("html_body")
    if not isinstance(html, str):
        raise NeedsPerson(NAME, "comment_without_body")
    body = {"ticket_id": ticket_id, "html_body": blacked_out(html), "external_attachment_urls": []}
    answer = client.call("PUT", f"/comment_redactions/{int(comment['id'])}", body=body)
    if answer.status not in {200, 404}:
        raise NeedsPerson(NAME, "redaction_refused", status=answer.status)


def what_is_left(client: Client, locator: Mapping[str, Any]) -> Left:
    """Read the located comments and count what can still be read."""
    texts = files = 0
    for _ticket_id, comment in located_comments(client, locator.get("comments", ())):
        texts += is_readable(comment)
        files += len(open_files(comment))
    return Left(texts, files)
