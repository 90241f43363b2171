"""Deleting and purging users at the Zendesk stand-in, and what each product says of it afterwards.

Deleting is soft; the purge's reply still carries the name. `show_deleted_user` knows only those that are not purged
yet, the list of deleted users mixes both ("Show deleted user", "List deleted users").
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from werkzeug.wrappers import Request, Response

from include.sandbox._zendesk.pages import Row, ids, invalid, iso, moment, not_found, public
from include.sandbox._zendesk.tickets import SCRUBBED_AFTER, Tickets
from include.sandbox.standin import json_reply

GONE_NAME = "Permanently Deleted User"
LATER = dt.timedelta(hours=23)


def deleted_row(user: Row) -> Row:
    """Return a user as the endpoints of deleted users show one; the published schema wants every field."""
    return {
        "id": user["id"],
        "url": f"https://sandbox.zendesk.com/api/v2/users/{user['id']}.json",
        "name": user["name"],
        "email": user.get("email") or "",
        "created_at": user.get("created_at", ""),
        "updated_at": user.get("updated_at", ""),
        "time_zone": "Seoul",
        "phone": user.get("phone"),
        "shared_phone_number": None,
        "photo": None,
        "locale_id": 69,
        "locale": "ko",
        "organization_id": 0,
        "role": user["role"],
        "active": False,
    }


class Gone(Tickets):
    """Handlers of deleted users."""

    slow_products = LATER
    """How long products other than Support take to complete."""

    def known(self, user_id: object) -> Row | None:
        """Return a user that was not purged."""
        user = self.store.get("user", user_id)
        return None if user is None or user.get("_purged_at") else user

    def on_clock(self) -> None:
        """Deleted users are purged after 30 days."""
        super().on_clock()
        if self.swept == self.now().date():
            return
        self.swept = self.now().date()
        for user in self.store.all("user"):
            if user.get("_deleted_at") and self.now() - moment(user["_deleted_at"]) >= SCRUBBED_AFTER:
                self._purge(user)

    # -- deleting users --------------------------------------------------------------------------------------------
    def _refusal(self, user_id: object) -> str | None:
        user = self.known(user_id)
        if user is None or not user["active"]:
            return "RecordNotFound"
        unclosed = any(t["requester_id"] == user["id"] and t["status"] != "closed" for t in self.live_tickets())
        return "RecordInvalid" if unclosed else None

    def _soft_delete(self, user_id: object) -> Row:
        for membership in self.store.all("organization_membership"):
            if str(membership["user_id"]) == str(user_id):
                self.store.delete("organization_membership", membership["id"])
        return self.store.update("user", user_id, active=False, _deleted_at=iso(self.now()))

    def delete_user(self, _request: Request, user_id: int) -> Response:
        """DELETE /users/{id}: 200 with `active: false`."""
        refusal = self._refusal(user_id)
        if refusal == "RecordNotFound":
            return not_found()
        if refusal:
            name = (self.store.get("user", user_id) or {})["name"]
            return invalid("base", f"{name} is requester on unclosed tickets and cannot be deleted")
        return json_reply(200, {"user": public(self._soft_delete(user_id))})

    def delete_users(self, request: Request) -> Response:
        """DELETE /users/destroy_many."""
        return self.start_job(request, "job_delete_users", ids(request))

    def job_delete_users(self, targets: Sequence[str]) -> list[Row]:
        """Delete each user; one result per id."""
        results: list[Row] = []
        for key in targets:
            refusal = self._refusal(key)
            if refusal:
                results.append(
                    {"id": int(key), "action": "delete", "success": False, "error": refusal, "details": refusal}
                )
            else:
                self._soft_delete(key)
                results.append({"id": int(key), "action": "delete", "status": "Deleted", "success": True})
        return results

    def purge_user(self, _request: Request, user_id: int) -> Response:
        """DELETE /deleted_users/{id}: one at a time; the reply still shows the name."""
        user = self.known(user_id)
        if user is None or user["active"]:
            return not_found()
        self._purge(user)
        return json_reply(200, {"deleted_user": deleted_row({**user, "email": None, "phone": None})})

    def _purge(self, user: Row) -> None:
        for identity in self.store.all("identity"):
            if identity["user_id"] == user["id"]:
                self.store.delete("identity", identity["id"])
        self.forget_in_chats(user["id"], GONE_NAME)
        now = iso(self.now())
        gone = {"id": user["id"], "name": GONE_NAME, "email": None, "external_id": None, "phone": None, "notes": None}
        self.store.put("user", user["id"], {**gone, "role": "end-user", "active": False, "_purged_at": now})

    def list_deleted_users(self, request: Request) -> Response:
        """GET /deleted_users: soft- and permanently deleted ones, mixed."""
        rows = [deleted_row(u) for u in self.store.all("user") if not u["active"]]
        return self.cursor_page(request, "deleted_users", rows)

    def show_deleted_user(self, _request: Request, user_id: int) -> Response:
        """GET /deleted_users/{id}: only while it is not purged."""
        user = self.known(user_id)
        if user is None or user["active"]:
            return not_found()
        return json_reply(200, {"deleted_user": deleted_row(user)})

    def list_compliance(self, request: Request, user_id: int) -> Response:
        """GET /users/{id}/compliance_deletion_statuses."""
        user = self.store.get("user", user_id)
        if user is None:
            return not_found()
        rows: list[Row] = []
        if user.get("_purged_at"):
            start = moment(user["_purged_at"])
            plan = [("request_deletion", "all", 0), ("started", "support", 6), ("complete", "support", 103)]
            plan.append(("started", "explore", 30))
            if self.now() - start >= self.slow_products:
                plan += [("complete", "explore", 40_000), ("started", "chat", 21_355), ("complete", "chat", 70_000)]
            rows = [
                {
                    "action": action,
                    "application": application,
                    "account_subdomain": "sandbox",
                    "created_at": iso(start + dt.timedelta(seconds=seconds)),
                    "executer_id": 1 if action == "request_deletion" else None,
                    "user_id": user_id,
                }
                for action, application, seconds in plan
            ]
        if "application" in request.args:
            rows = [r for r in rows if r["application"] == request.args["application"]]
        return self.cursor_page(request, "compliance_deletion_statuses", rows)
