"""Redaction at the Zendesk stand-in: comments with their files, single attachments, calls, chats.

`comment_redactions` works on closed and archived tickets and takes the addresses of files, the redaction of a single
attachment does not once its ticket is closed. A voice comment keeps its numbers when its recording is gone; a chat's
events keep the visitor's name until the user is purged.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from werkzeug.wrappers import Request, Response

from include.sandbox._zendesk.pages import Jobs, Row, body_of, invalid, not_found, public
from include.sandbox.standin import json_reply

BLOCK = "▇"
REDACTED_FILE = "redacted.txt"


def _plain(html: str) -> str:
    return re.sub(r"<[^>]*>", "", html)


def _black(text: str) -> str:
    return re.sub(r"<redact>(.*?)</redact>", lambda m: BLOCK * len(m[1]), text, flags=re.S)


def _bare(text: str) -> str:
    return text.replace("<redact>", "").replace("</redact>", "").replace(" redact>", ">")


class Redaction(Jobs):
    """Handlers under /comment_redactions, /chat_redactions, /tickets/{id}/audits and of attachments and recordings."""

    def live_ticket(self, ticket_id: object) -> Row | None:
        """Return a ticket that was not deleted."""
        ticket = self.store.get("ticket", ticket_id)
        return None if ticket is None or ticket.get("_deleted_at") else ticket

    # -- comments --------------------------------------------------------------------------------------------------
    def redact_comment(self, request: Request, comment_id: int) -> Response:
        """PUT /comment_redactions/{id}: `html_body` is the present body plus `<redact>` tags; closed tickets too."""
        comment, body = self.store.get("comment", comment_id), body_of(request)
        if comment is None or comment["ticket_id"] != body.get("ticket_id") or not self.live_ticket(body["ticket_id"]):
            return not_found()
        html, urls = body.get("html_body"), body.get("external_attachment_urls") or []
        known = {a.get("content_url") for a in comment["attachments"]}
        if not set(urls) <= known:
            return invalid("external_attachment_urls", "do not belong to this comment")
        changed: Row = {
            "attachments": [
                {**a, "file_name": REDACTED_FILE, "size": 0} if a.get("content_url") in urls else a
                for a in comment["attachments"]
            ]
        }
        if html is not None:
            if _bare(str(html)) != comment["html_body"]:
                return invalid("html_body", f"is not the body of this comment: {comment['html_body']}")
            html = re.sub(r"<img\b[^>]* redact>", "", str(html))
            html = _black(re.sub(r"<a\b[^>]* redact>(.*?)</a>", r"\1", html, flags=re.S))
            changed |= {"html_body": html, "body": _plain(html), "plain_body": _plain(html)}
        row = self.store.update("comment", comment_id, **changed)
        return json_reply(200, {"comment": public(row, "ticket_id")})

    def redact_attachment(self, _request: Request, ticket_id: int, comment_id: int, attachment_id: int) -> Response:
        """PUT /tickets/{t}/comments/{c}/attachments/{a}/redact: refused once the ticket is closed."""
        ticket, comment = self.live_ticket(ticket_id), self.store.get("comment", comment_id)
        if ticket is None or comment is None or attachment_id not in {a["id"] for a in comment["attachments"]}:
            return not_found()
        if ticket["status"] == "closed":
            return invalid("ticket", "Ticket is closed")
        attachments = [
            {**a, "file_name": REDACTED_FILE, "size": 0} if a["id"] == attachment_id else a
            for a in comment["attachments"]
        ]
        self.store.update("comment", comment_id, attachments=attachments)
        return json_reply(200, {"attachment": next(a for a in attachments if a["id"] == attachment_id)})

    def delete_recordings(self, _request: Request, call_id: int) -> Response:
        """DELETE /channels/voice/calls/{id}/recordings: both recordings of a call, and their address."""
        self.store.delete("recording", call_id)
        for comment in self.store.all("comment"):
            if (comment.get("data") or {}).get("call_id") == call_id:
                self.store.update("comment", comment["id"], data={**comment["data"], "recording_url": None})
        return Response(status=204)

    # -- chats -----------------------------------------------------------------------------------------------------
    def show_audits(self, request: Request, ticket_id: int) -> Response:
        """GET /tickets/{id}/audits: archived tickets too."""
        if self.live_ticket(ticket_id) is None:
            return not_found()
        rows = [public(a) for a in self.store.all("audit") if a["ticket_id"] == ticket_id]
        return self.cursor_page(request, "audits", rows)

    def redact_chat(self, request: Request, ticket_id: int) -> Response:
        """PUT /chat_redactions/{ticket}: one message, by its index or id; not while the chat goes on."""
        body = body_of(request)
        text = str(body.get("text", ""))

        def change(event: Row) -> Row | None:
            named = event.get("type") == "ChatMessage" and _names(event, body)
            return {**event, "message": _black(text)} if named and event["message"] == _bare(text) else None

        return self._change_chat(ticket_id, body, change)

    def redact_chat_files(self, request: Request, ticket_id: int) -> Response:
        """PUT /chat_file_redactions/{ticket}: files, by their indexes or ids."""
        body = body_of(request)

        def change(event: Row) -> Row | None:
            named = event.get("type") == "ChatFileAttachment" and _names(event, body)
            return {**event, "filename": REDACTED_FILE} if named else None

        return self._change_chat(ticket_id, body, change)

    def _change_chat(self, ticket_id: int, body: Row, change: Callable[[Row], Row | None]) -> Response:
        ticket = self.live_ticket(ticket_id)
        if ticket is None:
            return not_found()
        if ticket["status"] not in {"solved", "closed"}:
            return invalid("chat_id", "Chat is still active")
        for audit in self.store.all("audit"):
            for event in audit["events"] if audit["ticket_id"] == ticket_id else ():
                if event["type"] == "ChatStartedEvent" and event["value"]["chat_id"] == body.get("chat_id"):
                    history = event["value"]["history"]
                    new = [change(e) for e in history]
                    if not any(new):
                        return invalid("chat_index", "does not name an event with this text")
                    event["value"]["history"] = [n or e for n, e in zip(new, history, strict=True)]
                    self.store.put("audit", audit["id"], audit)
                    return json_reply(200, {"chat_event": event})
        return not_found()

    def forget_in_chats(self, user_id: int, name: str) -> None:
        """Replace the name a purged user has in chats."""
        for audit in self.store.all("audit"):
            events = [h for e in audit["events"] for h in (e.get("value") or {}).get("history", ())]
            mine = [h for h in events if h.get("actor_id") == user_id]
            for entry in mine:
                entry["actor_name"] = name
            if mine:
                self.store.put("audit", audit["id"], audit)


def _names(event: Row, body: Row) -> bool:
    """Return whether a request names this event, by index or by message id."""
    indexes = body.get("chat_indexes") or [body.get("chat_index")]
    messages = body.get("message_ids") or [body.get("message_id")]
    by_index = event.get("chat_index") is not None and event["chat_index"] in indexes
    return by_index or (event.get("message_id") is not None and event["message_id"] in messages)
