"""What a person wrote on other people's tickets: Zendesk keeps it whatever happens to the author, so it is blacked out.

`comment_redactions` takes the comment's present HTML with `<redact>` around what must go, and the addresses of its
files; it works on closed and archived tickets, where the older redaction of a single attachment does not (Zendesk API,
"Ticket comments").
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from html import unescape
from typing import Any

from include.errors import NeedsPerson, Refused
from include.processors._zendesk.chat import REDACTED_FILE, SCRUBBED_NAME, chats_left, readable, redact_chats
from include.processors._zendesk.client import Client
from include.processors._zendesk.gate import NAME, Answer, Row

TAG = re.compile(r"(<[^>]*>)")
SPEAKING = re.compile(r"<(?:img|a)\b", re.IGNORECASE)
BLANK = " \u00a0\n\r\t▇█"
TEXTS = "texts"
CALL_DATA = ("from", "to", "location", "transcription_text", "recording_url")


def blacked_out(html: str) -> str:
    """Return the same HTML with every visible text, every image and every link marked for redaction."""
    parts = []
    for part in TAG.split(html):
        if part.startswith("<"):
            parts.append(part[:-1].rstrip("/ ") + " redact>" if SPEAKING.match(part) else part)
        else:
            parts.append(f"<redact>{part}</redact>" if unescape(part).strip(BLANK) else part)
    return "".join(parts)


def is_readable(comment: Row) -> bool:
    """Return whether any text, link or image of a comment can still be read; an unknown body counts as readable."""
    bodies = [b for k in ("html_body", "plain_body", "body") if isinstance(b := comment.get(k), str)]
    if not bodies:
        return True
    if SPEAKING.search(str(comment.get("html_body") or "")):
        return True
    return any(readable(unescape(TAG.sub("", body))) for body in bodies)


def open_files(comment: Row) -> list[Row]:
    """Return the attachments of a comment that were not redacted."""
    files = comment.get("attachments") or ()
    return [a for a in files if a.get("file_name") != REDACTED_FILE and not a.get("deleted")]


def located_comments(client: Client, pairs: Iterable[list[int]]) -> Iterable[tuple[int, Row]]:
    """Read the located comments again, ticket by ticket; those whose ticket is gone are left out."""
    by_ticket: dict[int, set[int]] = {}
    for ticket_id, comment_id in pairs:
        by_ticket.setdefault(int(ticket_id), set()).add(int(comment_id))
    for ticket_id, wanted in by_ticket.items():
        parameters = {"include_inline_images": "true"}
        for comment in client.pages(
            f"/tickets/{ticket_id}/comments", "comments", parameters, of=("tickets", ticket_id)
        ):
            if comment.get("id") in wanted:
                yield ticket_id, comment


def redact(client: Client, locator: Mapping[str, Any]) -> None:
    """Black out every located comment with its files, its call recordings and chats; repeat freely."""
    for ticket_id, comment in list(located_comments(client, locator.get("comments", ()))):
        files = open_files(comment)
        if is_readable(comment) or files:
            files = _redact_comment(client, ticket_id, comment, files)
        for attachment in files:
            path = f"/tickets/{ticket_id}/comments/{int(comment['id'])}/attachments/{int(attachment['id'])}/redact"
            client.call("PUT", path, body={})  # refused on closed tickets: read_back tells
        call_id = _call(comment).get("call_id")
        if call_id is not None:
            client.call("DELETE", f"/channels/voice/calls/{int(call_id)}/recordings")
    redact_chats(client, locator)


def _redact_comment(client: Client, ticket_id: int, comment: Row, files: list[Row]) -> list[Row]:
    """Redact text and files in one call; return the files that its answer does not show as redacted."""
    html = comment.get("html_body")
    if not isinstance(html, str):
        raise NeedsPerson(NAME, "comment_without_body")
    urls = [str(f["content_url"]) for f in files if f.get("content_url")]
    body = {"ticket_id": ticket_id, "html_body": blacked_out(html), "external_attachment_urls": urls}
    answer = _put(client, comment, body)
    if answer.status in {409, 422} and urls:  # these files cannot be named so: text first, then one by one
        answer = _put(client, comment, {**body, "external_attachment_urls": []})
    if answer.status == 403:
        advice = "Agent Workspace and that right are needed."
        raise Refused(NAME, "redaction_not_permitted", status=403, request_id=answer.request_id, advice=advice)
    if answer.status not in {200, 404}:
        raise NeedsPerson(NAME, "redaction_refused", status=answer.status, request_id=answer.request_id)
    after = answer.body.get("comment") if answer.status == 200 else None
    shown = after.get("attachments") if isinstance(after, dict) else None
    done = {a.get("id") for a in shown or () if isinstance(a, dict) and not open_files({"attachments": [a]})}
    return [f for f in files if f.get("id") not in done]


def _put(client: Client, comment: Row, body: Row) -> Answer:
    return client.call("PUT", f"/comment_redactions/{int(comment['id'])}", body=body)


def _call(comment: Row) -> Row:
    data = comment.get("data") if comment.get("type") == "VoiceComment" else None
    return data if isinstance(data, dict) else {}


def what_is_left(client: Client, locator: Mapping[str, Any]) -> Counter[str]:
    """Read the located comments and chats; return what can still be read, by the code of what remains.

    `texts` can be redacted again; nothing in this API removes the others once it was tried.
    """
    left: Counter[str] = Counter()
    for _ticket_id, comment in located_comments(client, locator.get("comments", ())):
        left[TEXTS] += is_readable(comment)
        left["file_left_on_ticket"] += len(open_files(comment))
        left["call_data_left"] += any(readable(_call(comment).get(k)) for k in CALL_DATA)
        left["mail_header_left"] += _header(comment)
    said, names = chats_left(client, locator)
    left[TEXTS] += said
    left["chat_name_left"] += names
    return +left


def _header(comment: Row) -> bool:
    """Return whether the comment still says from whose mail it came."""
    via = comment.get("via")
    source = via.get("source") if isinstance(via, dict) else None
    sender = source.get("from") if isinstance(source, dict) else None
    if not isinstance(sender, dict):
        return False
    return readable(sender.get("address")) or (readable(sender.get("name")) and sender["name"] != SCRUBBED_NAME)
