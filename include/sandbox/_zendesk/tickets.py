"""Tickets and comments of the Zendesk stand-in.

A deleted ticket answers 404 but stays for 30 days among the deleted ones; archived tickets (closed for 120 days) never
appear in that list. Purging is all-or-nothing and its job's result is one object, not a list.
"""

from __future__ import annotations

import datetime as dt
import shlex
from collections.abc import Sequence

from werkzeug.wrappers import Request, Response

from include.sandbox._zendesk.pages import Row, ids, invalid, iso, moment, not_found, public
from include.sandbox._zendesk.redaction import Redaction
from include.sandbox.standin import json_reply

ARCHIVED_AFTER = dt.timedelta(days=120)
SCRUBBED_AFTER = dt.timedelta(days=30)


def _failed(key: str, error: str) -> Row:
    return {"id": int(key), "action": "delete", "success": False, "error": error, "details": error}


class Tickets(Redaction):
    """Handlers under /tickets, /deleted_tickets, /comment_redactions, /suspended_tickets and /search/export."""

    def live_tickets(self) -> list[Row]:
        """Return all tickets that were not deleted."""
        return [t for t in self.store.all("ticket") if not t.get("_deleted_at")]

    # -- reads -----------------------------------------------------------------------------------------------------
    def show_ticket(self, _request: Request, ticket_id: int) -> Response:
        """GET /tickets/{id}."""
        ticket = self.live_ticket(ticket_id)
        return json_reply(200, {"ticket": public(ticket)}) if ticket else not_found()

    def show_tickets(self, request: Request) -> Response:
        """GET /tickets/show_many, with `include=metric_sets`."""
        tickets = [t for key in ids(request) if (t := self.live_ticket(key))]
        body: Row = {"tickets": [public(t) for t in tickets], "count": len(tickets), "next_page": None}
        if "metric_sets" in request.args.get("include", ""):
            body["metric_sets"] = [{"ticket_id": t["id"], "solved_at": t.get("_solved_at")} for t in tickets]
        return json_reply(200, body)

    def show_metrics(self, _request: Request, ticket_id: int) -> Response:
        """GET /tickets/{id}/metrics."""
        ticket = self.live_ticket(ticket_id)
        if ticket is None:
            return not_found()
        return json_reply(200, {"ticket_metric": [{"ticket_id": ticket_id, "solved_at": ticket.get("_solved_at")}]})

    def user_tickets(self, request: Request, user_id: int, role: str) -> Response:
        """GET /users/{id}/tickets/{requested,ccd,followed}."""
        roles = {"requested", "ccd", "followed"}
        if role not in roles or self.store.get("user", user_id) is None:
            return not_found()
        tickets = self.live_tickets()
        if role == "requested":
            found = [public(t) for t in tickets if t["requester_id"] == user_id]
        elif role == "ccd":
            found = [public(t) for t in tickets if user_id in t["collaborator_ids"] or user_id in t["email_cc_ids"]]
        else:
            found = [public(t) for t in tickets if user_id in t["follower_ids"]]
        return self.cursor_page(request, "tickets", found)

    def search_export(self, request: Request) -> Response:
        """GET /search/export: repeated keywords are alternatives; `type:` in the query is an error."""
        if self.fault("unavailable", request):
            return json_reply(503, {"error": "unavailable", "description": "Search is not available"})
        query, found = request.args.get("query", ""), {}
        if "type:" in query or request.args.get("filter[type]") != "ticket":
            return invalid("query", "type is given by filter[type]", error="invalid")
        for word in shlex.split(query):
            key, _, value = word.partition(":")
            for ticket in self._matching(key, value):
                found[ticket["id"]] = {**public(ticket), "result_type": "ticket"}
        if self.fault("stale_index", request):
            found = {}
        return self.cursor_page(request, "results", list(found.values()))

    def _matching(self, key: str, value: str) -> list[Row]:
        if key == "commenter":
            on = {c["ticket_id"] for c in self.store.all("comment") if str(c["author_id"]) == value}
            return [t for ticket_id in sorted(on) if (t := self.live_ticket(ticket_id))]
        if key == "requester":
            return [t for t in self.live_tickets() if str(t["requester_id"]) == value]
        return [t for t in self.live_tickets() if key == "cc" and value in {str(i) for i in t["email_cc_ids"]}]

    def show_comments(self, request: Request, ticket_id: int) -> Response:
        """GET /tickets/{id}/comments."""
        if self.live_ticket(ticket_id) is None:
            return not_found()
        rows = [public(c, "ticket_id") for c in self.store.all("comment") if c["ticket_id"] == ticket_id]
        return self.cursor_page(request, "comments", rows)

    def list_deleted_tickets(self, request: Request) -> Response:
        """GET /deleted_tickets: archived tickets never appear."""
        rows = [
            {
                "id": t["id"],
                "subject": t["subject"],
                "deleted_at": t["_deleted_at"],
                "previous_state": t["status"],
                "actor": {"id": 1, "name": "Sample Agent"},
            }
            for t in self.store.all("ticket")
            if t.get("_deleted_at") and not self._archived(t)
        ]
        return self.cursor_page(request, "deleted_tickets", rows)

    def _archived(self, ticket: Row) -> bool:
        return ticket["status"] == "closed" and self.now() - moment(ticket["updated_at"]) > ARCHIVED_AFTER

    # -- deletion --------------------------------------------------------------------------------------------------
    def delete_ticket(self, _request: Request, ticket_id: int) -> Response:
        """DELETE /tickets/{id}."""
        if self.live_ticket(ticket_id) is None:
            return not_found()
        self.store.update("ticket", ticket_id, _deleted_at=iso(self.now()))
        return Response(status=204)

    def delete_tickets(self, request: Request) -> Response:
        """DELETE /tickets/destroy_many."""
        self.partial = self.fault("partial", request) is not None
        return self.start_job(request, "job_delete_tickets", ids(request))

    partial = False
    swept: dt.date | None = None

    def job_delete_tickets(self, targets: Sequence[str]) -> list[Row]:
        """Delete each ticket; one result per id. Under the fault `partial` every second one fails."""
        results: list[Row] = []
        for index, key in enumerate(targets):
            if self.live_ticket(key) is None:
                results.append(_failed(key, "TicketNotFound"))
            elif self.partial and index % 2:
                results.append(_failed(key, "TicketUpdateFailed"))
            else:
                self.store.update("ticket", key, _deleted_at=iso(self.now()))
                results.append({"id": int(key), "action": "delete", "status": "Deleted", "success": True})
        self.partial = False
        return results

    def purge_ticket(self, request: Request, ticket_id: int) -> Response:
        """DELETE /deleted_tickets/{id}."""
        ticket = self.store.get("ticket", ticket_id)
        if ticket is None or not ticket.get("_deleted_at"):
            return not_found()
        return self.start_job(request, "job_purge_tickets", [str(ticket_id)])

    def purge_tickets(self, request: Request) -> Response:
        """DELETE /deleted_tickets/destroy_many."""
        return self.start_job(request, "job_purge_tickets", ids(request))

    def job_purge_tickets(self, targets: Sequence[str]) -> Row:
        """Purge all or nothing; the result is one object. `stubborn` tickets stay, whatever it says."""
        rows = [self.store.get("ticket", key) for key in targets]
        if any(t is None or not t.get("_deleted_at") for t in rows):
            return {"success": False}
        for key in targets:
            if int(key) not in self.stubborn:
                self.scrub_ticket(int(key))
        return {"success": len(targets) > 1 or int(targets[0]) not in self.stubborn}

    stubborn: frozenset[int] = frozenset()

    def scrub_ticket(self, ticket_id: int) -> None:
        """Remove a ticket with its comments."""
        self.store.delete("ticket", ticket_id)
        for comment in self.store.all("comment"):
            if comment["ticket_id"] == ticket_id:
                self.store.delete("comment", comment["id"])

    def on_clock(self) -> None:
        """Deleted tickets are scrubbed after 30 days."""
        super().on_clock()
        if self.swept == self.now().date():
            return
        for ticket in self.store.all("ticket"):
            if ticket.get("_deleted_at") and self.now() - moment(ticket["_deleted_at"]) >= SCRUBBED_AFTER:
                self.scrub_ticket(ticket["id"])

    # -- suspended tickets -----------------------------------------------------------------------------------------
    def list_suspended(self, request: Request) -> Response:
        """GET /suspended_tickets."""
        return self.cursor_page(request, "suspended_tickets", [public(t) for t in self.store.all("suspended_ticket")])

    def delete_suspended(self, request: Request) -> Response:
        """DELETE /suspended_tickets/destroy_many."""
        for key in ids(request):
            self.store.delete("suspended_ticket", key)
        return Response(status=204)
