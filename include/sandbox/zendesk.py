"""A stand-in of Zendesk Support's API v2, with the oddities that make erasing there hard.

What it plays, after Zendesk's API reference and its help page "Forgetting a user in Zendesk":

- `external_id` matches regardless of case, a user search matches parts of e-mails, names, notes and phones;
- a user who is requester on a ticket that is not closed cannot be deleted (422 `RecordInvalid`);
- deleting is soft (30 days), only the separate permanent deletion erases; its reply still carries the name;
- comments on other people's tickets keep their text whatever happens to their author;
- bulk deletions are jobs, at most 100 ids and 30 at a time; purging tickets is all-or-nothing;
- chats stand in a ticket's audits, are redacted by calls of their own, and carry the visitor's name;
- `compliance_deletion_statuses` is the only word on each product: Support completes at once, Explore has only started,
  Chat starts late; both complete a day later.
"""

from __future__ import annotations

import base64
import shlex
import time
from collections.abc import Sequence

from werkzeug.wrappers import Request, Response

from include.sandbox._zendesk.gone import Gone
from include.sandbox._zendesk.pages import Row, digits, ids, invalid, moment, not_found, public
from include.sandbox._zendesk.seed import VARIANTS, comment_row, seed_person, ticket_row, user_row
from include.sandbox.standin import Credentials, Limit, Route, json_reply

__all__ = ["API_TOKEN", "VARIANTS", "StandIn", "comment_row", "seed_person", "ticket_row", "user_row"]

API_TOKEN = "zendesk-sandbox-token"  # noqa: S105 - the stand-in's own
EXPORT_PAGE = 100


def _matches(user: Row, identities: Sequence[Row], word: str) -> bool:
    """Return whether a search word matches part of a value; `email:` and `phone:` look only there."""
    keyword, _, value = word.casefold().partition(":")
    emails = [user.get("email") or "", *(i["value"] for i in identities if i["type"] == "email")]
    phones = [user.get("phone") or "", *(i["value"] for i in identities if i["type"] == "phone_number")]
    if keyword == "email" and value:
        return any(value in e.casefold() for e in emails)
    if keyword == "phone" and value:
        return any(digits(value) in digits(p) for p in phones if digits(value))
    whole = [*emails, *phones, user["name"], user.get("notes") or ""]
    return any(word.casefold() in text.casefold() for text in whole)


def shown(user: Row) -> Row:
    """Return a user as the API shows one; what the published schema calls a string is left out where there is none."""
    return {k: v for k, v in public(user).items() if v is not None or k in ("external_id", "phone")}


class StandIn(Gone):
    """Zendesk as `include/processors/zendesk.py` meets it."""

    name = "zendesk"
    credentials = Credentials("agent@example.com", API_TOKEN, {"subdomain": "sandbox"})
    limits = (
        Limit("api", 700, 60),
        Limit("purge_user", 700, 600),
        Limit("deleted_listing", 10, 60),
        Limit("export", 100, 60),
        Limit("incremental", 10, 60),
        Limit("delete_ticket", 400, 60),
    )
    routes = (
        Route("GET", "/api/v2/account/settings", "show_settings"),
        Route("GET", "/api/v2/users/me", "show_me"),
        Route("GET", "/api/v2/incremental/users/cursor", "export_users", group="incremental"),
        Route("GET", "/api/v2/users/search", "search_users"),
        Route("GET", "/api/v2/users/show_many", "show_users"),
        Route("DELETE", "/api/v2/users/destroy_many", "delete_users"),
        Route("GET", "/api/v2/users/<int:user_id>", "show_user"),
        Route("DELETE", "/api/v2/users/<int:user_id>", "delete_user"),
        Route("GET", "/api/v2/users/<int:user_id>/identities", "list_identities"),
        Route("DELETE", "/api/v2/users/<int:user_id>/identities/<int:identity_id>", "delete_identity"),
        Route("GET", "/api/v2/users/<int:user_id>/organization_memberships", "list_memberships"),
        Route("GET", "/api/v2/users/<int:user_id>/compliance_deletion_statuses", "list_compliance"),
        Route("GET", "/api/v2/users/<int:user_id>/tickets/<role>", "user_tickets"),
        Route("DELETE", "/api/v2/organization_memberships/<int:membership_id>", "delete_membership"),
        Route("GET", "/api/v2/deleted_users", "list_deleted_users"),
        Route("GET", "/api/v2/deleted_users/<int:user_id>", "show_deleted_user"),
        Route("DELETE", "/api/v2/deleted_users/<int:user_id>", "purge_user", group="purge_user"),
        Route("GET", "/api/v2/search/export", "search_export", group="export"),
        Route("GET", "/api/v2/tickets/show_many", "show_tickets"),
        Route("DELETE", "/api/v2/tickets/destroy_many", "delete_tickets"),
        Route("GET", "/api/v2/tickets/<int:ticket_id>", "show_ticket"),
        Route("DELETE", "/api/v2/tickets/<int:ticket_id>", "delete_ticket", group="delete_ticket"),
        Route("GET", "/api/v2/tickets/<int:ticket_id>/comments", "show_comments"),
        Route("GET", "/api/v2/tickets/<int:ticket_id>/audits", "show_audits"),
        Route("GET", "/api/v2/tickets/<int:ticket_id>/metrics", "show_metrics"),
        Route(
            "PUT",
            "/api/v2/tickets/<int:ticket_id>/comments/<int:comment_id>/attachments/<int:attachment_id>/redact",
            "redact_attachment",
        ),
        Route("PUT", "/api/v2/comment_redactions/<int:comment_id>", "redact_comment"),
        Route("PUT", "/api/v2/chat_redactions/<int:ticket_id>", "redact_chat"),
        Route("PUT", "/api/v2/chat_file_redactions/<int:ticket_id>", "redact_chat_files"),
        Route("GET", "/api/v2/deleted_tickets", "list_deleted_tickets", group="deleted_listing"),
        Route("DELETE", "/api/v2/deleted_tickets/destroy_many", "purge_tickets"),
        Route("DELETE", "/api/v2/deleted_tickets/<int:ticket_id>", "purge_ticket"),
        Route("GET", "/api/v2/suspended_tickets", "list_suspended"),
        Route("DELETE", "/api/v2/suspended_tickets/destroy_many", "delete_suspended"),
        Route("DELETE", "/api/v2/channels/voice/calls/<int:call_id>/recordings", "delete_recordings"),
        Route("GET", "/api/v2/job_statuses/show_many", "show_jobs"),
        Route("GET", "/api/v2/job_statuses/<job_id>", "show_job"),
    )

    hides_deleted = False
    """Whether reading many users leaves out the softly deleted ones; Zendesk documents neither."""

    # -- frame -----------------------------------------------------------------------------------------------------
    def authorize(self, request: Request) -> Response | None:
        """Only `{agent}/token:{API_TOKEN}` is let in."""
        scheme, _, value = request.headers.get("Authorization", "").partition(" ")
        try:
            login, _, token = base64.b64decode(value).decode().partition(":")
        except ValueError:
            login = token = ""
        if scheme == "Basic" and login.endswith("/token") and token == API_TOKEN:
            return None
        return json_reply(401, {"error": "Couldn't authenticate you"})

    def too_many(self, _request: Request, limit: Limit) -> Response:
        """429 with the limit's headers."""
        headers = {"X-Rate-Limit": str(limit.calls), "X-Rate-Limit-Remaining": "0", "Retry-After": "1"}
        body = {"error": "APIRateLimitExceeded", "description": "Number of allowed API requests exceeded"}
        return json_reply(429, body, headers)

    def _handle(self, request: Request) -> tuple[Response, bool]:
        """Say with every answer what is left of the account's calls, as Zendesk does; no header says until when."""
        response, changing = super()._handle(request)
        limit = next(one for one in self.limits if one.group == "api")
        most = int(limit.calls * self.limit_factor)
        response.headers.setdefault("X-Rate-Limit", str(most))
        response.headers.setdefault("X-Rate-Limit-Remaining", str(max(most - len(self._windows["api"]), 0)))
        return response, changing

    def not_found(self, _request: Request) -> Response:
        """A path Zendesk does not have."""
        return json_reply(404, {"error": "InvalidEndpoint", "description": "Not found"})

    def export_users(self, request: Request) -> Response:
        """GET /incremental/users/cursor: changed since `start_time`, deleted ones too, in pages by cursor."""
        rows = sorted(
            (u for u in self.store.all("user") if not u.get("_purged_at")),
            key=lambda u: (moment(u["updated_at"]), u["id"]),
        )
        if "cursor" in request.args:
            start = int(request.args["cursor"])
        else:
            since = int(request.args.get("start_time", "0"))
            if since > time.time() - 60:  # the vendor's own clock, whatever day the sandbox plays
                return json_reply(422, {"error": "StartTimeTooRecent", "description": "Too recent start_time."})
            start = sum(moment(u["updated_at"]).timestamp() < since for u in rows)
        shown = rows[start : start + EXPORT_PAGE]
        after = start + len(shown)
        url = f"https://sandbox.zendesk.com/api/v2/incremental/users/cursor?cursor={after}"
        body = {"users": [public(u) for u in shown], "after_url": url, "after_cursor": str(after), "before_url": None}
        return json_reply(200, {**body, "end_of_stream": after >= len(rows)})

    # -- finding users ---------------------------------------------------------------------------------------------
    def show_me(self, _request: Request) -> Response:
        """GET /users/me."""
        return json_reply(200, {"user": {"id": 1, "name": "Sample Agent", "role": "admin", "active": True}})

    voice = False
    """Whether the account uses Talk."""

    def show_settings(self, _request: Request) -> Response:
        """GET /account/settings."""
        return json_reply(200, {"settings": {"voice": {"enabled": self.voice}}})

    def show_user(self, _request: Request, user_id: int) -> Response:
        """GET /users/{id}: a soft-deleted user answers with `active: false`, a purged one 404."""
        user = self.known(user_id)
        return json_reply(200, {"user": shown(user)}) if user else not_found()

    def _active(self) -> list[Row]:
        return [u for u in self.store.all("user") if u["active"]]

    def show_users(self, request: Request) -> Response:
        """GET /users/show_many by `ids` or `external_ids`, with `include=identities`."""
        if "external_ids" in request.args:
            wanted = {key.casefold() for key in ids(request, "external_ids")}
            users = [u for u in self._active() if str(u.get("external_id") or "").casefold() in wanted]
        else:
            users = [u for key in ids(request) if (u := self.known(key)) and (u["active"] or not self.hides_deleted)]
        if len(ids(request) or ids(request, "external_ids")) > 100:
            return json_reply(400, {"error": "TooManyValues", "description": "Up to 100 ids are allowed"})
        body: Row = {"users": [shown(u) for u in users], "count": len(users), "next_page": None}
        if "identities" in request.args.get("include", ""):
            known = {u["id"] for u in users}
            body["identities"] = [i for i in self.store.all("identity") if i["user_id"] in known]
        return json_reply(200, body)

    def search_users(self, request: Request) -> Response:
        """GET /users/search by `external_id` (any case) or `query` (parts of values, alternatives)."""
        if "external_id" in request.args:
            wanted = request.args["external_id"].casefold()
            found = [u for u in self._active() if str(u.get("external_id") or "").casefold() == wanted]
        else:
            try:
                words = shlex.split(request.args.get("query", ""))
            except ValueError:
                return invalid("query", "is not understood", error="invalid")
            identities: dict[int, list[Row]] = {}
            for identity in self.store.all("identity"):
                identities.setdefault(identity["user_id"], []).append(identity)
            found = [u for u in self._active() if any(_matches(u, identities.get(u["id"], ()), w) for w in words)]
        if self.fault("stale_index", request):
            found = []
        return self.offset_page(request, "users", [shown(u) for u in found])

    def list_identities(self, request: Request, user_id: int) -> Response:
        """GET /users/{id}/identities."""
        if self.known(user_id) is None:
            return not_found()
        rows = [i for i in self.store.all("identity") if i["user_id"] == user_id]
        return self.cursor_page(request, "identities", rows)

    def delete_identity(self, _request: Request, user_id: int, identity_id: int) -> Response:
        """DELETE /users/{id}/identities/{id}."""
        identity = self.store.get("identity", identity_id)
        if identity is None or identity["user_id"] != user_id:
            return not_found()
        self.store.delete("identity", identity_id)
        return Response(status=204)

    def list_memberships(self, request: Request, user_id: int) -> Response:
        """GET /users/{id}/organization_memberships."""
        rows = [m for m in self.store.all("organization_membership") if m["user_id"] == user_id]
        return self.cursor_page(request, "organization_memberships", rows)

    def delete_membership(self, _request: Request, membership_id: int) -> Response:
        """DELETE /organization_memberships/{id}."""
        if self.store.get("organization_membership", membership_id) is None:
            return not_found()
        self.store.delete("organization_membership", membership_id)
        return Response(status=204)
