"""A stand-in of AdRoll's (NextRoll's) audience API, with the oddities that make erasing there hard.

What it plays, after apidocs.nextroll.com:

- a list ("segment") answers counts, never members: nobody can ask whether a person is in it;
- there is no delete for one person; a person leaves a list when the whole list is posted again without them;
- the sources disagree whether that post replaces or appends: it replaces here, and appends under the fault `append`
  (or with `StandIn.appends`);
- a list of fewer than 100 unique e-mails is refused;
- `DELETE` deactivates a list and `reactivate` brings it back with its members: it is no erasure;
- `apikey` stands in every address, next to `Authorization: Token …`;
- errors are `{"errors": [{"message", "code" | "field"}]}` with bit flags as codes; over the daily quota the answer is a
  429 without any header.

Counts may lag behind: the fault `stale` answers a read with the count before the last change.
What a deactivated list answers to an update is not documented; here it is a 400.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from werkzeug.wrappers import Request, Response

from include.sandbox.standin import Credentials, Frame, Limit, Route, json_reply

API_KEY = "sandbox"
TOKEN = "sandbox"  # noqa: S105 - the stand-in's own
ADVERTISABLE = "ADV1"
MINIMUM = 100
INVALID, NOT_FOUND, DUPLICATE, FORBIDDEN = 1, 16, 256, 512

Row = dict[str, Any]


def seed(segments: Mapping[str, Sequence[str]]) -> dict[str, list[Row]]:
    """Return the objects for `POST /_sandbox/seed`: segment id -> the e-mails uploaded to it."""
    return {"segment": [_row(segment_id, f"List {segment_id}", emails) for segment_id, emails in segments.items()]}


def _row(segment_id: str, name: str, emails: Iterable[str]) -> Row:
    return {
        "id": segment_id,
        "segment_id": segment_id,
        "advertiser_id": ADVERTISABLE,
        "name": name,
        "type": "crm",
        "duration": 120,
        "is_active": True,
        "members": _unique(emails),
    }


def _unique(emails: Iterable[str]) -> list[str]:
    return sorted({email.strip().lower() for email in emails})


def _public(row: Mapping[str, Any], emails: int | None = None) -> Row:
    shown = {k: v for k, v in row.items() if k not in ("id", "members", "count_before")}
    return {**shown, "emails": len(row["members"]) if emails is None else emails, "ids": 0}


def _error(status: int, code: int, message: str) -> Response:
    return json_reply(status, {"errors": [{"message": message, "code": code}]})


class StandIn(Frame):
    """AdRoll as `include/processors/adroll.py` meets it."""

    name = "adroll"
    credentials = Credentials(password=TOKEN, extra={"apikey": API_KEY, "advertisable": ADVERTISABLE})
    limits = (Limit("api", 100, 86_400),)
    appends: ClassVar[bool] = False
    routes = (
        Route("GET", "/api/v1/organization/get_advertisables", "list_advertisables"),
        Route("GET", "/audience/v1/advertisers", "list_advertisables"),
        Route("GET", "/audience/v1/segments", "list_segments"),
        Route("POST", "/audience/v1/segments", "create_segment"),
        Route("GET", "/audience/v1/segments/<segment_id>", "show_segment"),
        Route("POST", "/audience/v1/segments/<segment_id>", "update_segment"),
        Route("DELETE", "/audience/v1/segments/<segment_id>", "deactivate_segment"),
        Route("POST", "/audience/v1/segments/<segment_id>/reactivate", "reactivate_segment"),
        Route("GET", "/user-lists/api/v1/userlists/segment", "list_sizes"),
    )

    def authorize(self, request: Request) -> Response | None:
        """Ask for the key in the address and for the token in the header."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme not in ("Token", "Bearer") or not hmac.compare_digest(token.encode(), TOKEN.encode()):
            return json_reply(401, {"errors": [{"message": "Invalid token."}]})
        if request.args.get("apikey") != API_KEY:
            return _error(403, FORBIDDEN, "Invalid API key.")
        return None

    def too_many(self, request: Request, limit: Limit) -> Response:
        """Answer as the vendor does: 429 and no header that says for how long."""
        return json_reply(429, {"errors": [{"message": "Too many requests."}]})

    def not_found(self, request: Request) -> Response:
        """Answer a path or list that is not there."""
        return _error(404, NOT_FOUND, "Not found.")

    def list_advertisables(self, request: Request) -> Response:
        """`GET /audience/v1/advertisers`."""
        return json_reply(200, {"results": [{"eid": ADVERTISABLE, "name": "Sample advertiser"}]})

    def list_segments(self, request: Request) -> Response:
        """`GET /audience/v1/segments?advertisable=`: counts only."""
        if request.args.get("advertisable") != ADVERTISABLE:
            return _error(403, FORBIDDEN, "No access to this advertisable.")
        return json_reply(200, {"result": "success", "segments": [self._shown(r, request) for r in self._segments()]})

    def list_sizes(self, request: Request) -> Response:
        """`GET /user-lists/api/v1/userlists/segment`."""
        rows = [{"segment_id": r["segment_id"], "size": len(r["members"])} for r in self._segments()]
        return json_reply(200, {"results": rows})

    def show_segment(self, request: Request, segment_id: str) -> Response:
        """`GET /audience/v1/segments/{id}`: the count, never the members."""
        row = self.store.get("segment", segment_id)
        if row is None:
            return self.not_found(request)
        return json_reply(200, {"result": "success", "segment": self._shown(row, request)})

    def create_segment(self, request: Request) -> Response:
        """`POST /audience/v1/segments`."""
        body = request.get_json(silent=True) or {}
        emails = self._emails(body)
        if body.get("advertiser_id") != ADVERTISABLE:
            return _error(403, FORBIDDEN, "No access to this advertiser.")
        if emails is None or len(emails) < MINIMUM or body.get("type") not in ("crm", "custom"):
            return _error(400, INVALID, "Invalid list.")
        if any(r["name"] == body.get("name") for r in self._segments()):
            return _error(400, DUPLICATE, "Name is taken.")
        segment_id = f"SEG{self.store.next_id('segment', 1000)}"
        row = {**_row(segment_id, str(body.get("name")), emails), "type": body["type"]}
        self.store.put("segment", segment_id, row)
        return json_reply(200, {"result": "success", "segment": _public(row)})

    def update_segment(self, request: Request, segment_id: str) -> Response:
        """`POST /audience/v1/segments/{id}`: replaces the members, or appends to them."""
        row = self.store.get("segment", segment_id)
        if row is None:
            return self.not_found(request)
        body = request.get_json(silent=True) or {}
        emails = self._emails(body)
        if emails is None or not row["is_active"]:
            return _error(400, INVALID, "Invalid list.")
        if len(emails) < MINIMUM:
            return _error(400, INVALID, f"List must contain at least {MINIMUM} unique emails.")
        if self.appends or self.fault("append", request):
            emails = _unique([*row["members"], *emails])
        row = self.store.update(
            "segment",
            segment_id,
            name=body.get("name") or row["name"],
            members=emails,
            count_before=len(row["members"]),
        )
        return json_reply(200, {"result": "success", "segment": _public(row)})

    def deactivate_segment(self, request: Request, segment_id: str) -> Response:
        """`DELETE /audience/v1/segments/{id}`: the list stops, its members stay."""
        return self._activate(request, segment_id, active=False)

    def reactivate_segment(self, request: Request, segment_id: str) -> Response:
        """`POST /audience/v1/segments/{id}/reactivate`."""
        return self._activate(request, segment_id, active=True)

    def _activate(self, request: Request, segment_id: str, *, active: bool) -> Response:
        if self.store.get("segment", segment_id) is None:
            return self.not_found(request)
        row = self.store.update("segment", segment_id, is_active=active)
        return json_reply(200, {"result": "success", "segment": _public(row)})

    def _segments(self) -> list[Row]:
        return self.store.all("segment")

    def _shown(self, row: Row, request: Request) -> Row:
        stale = "count_before" in row and self.fault("stale", request) is not None
        return _public(row, row["count_before"] if stale else None)

    @staticmethod
    def _emails(body: Mapping[str, Any]) -> list[str] | None:
        """Return the unique e-mails of a body, or None where it has no list of them."""
        data = body.get("data")
        if not isinstance(data, list) or not all(isinstance(d, dict) and "email" in d for d in data):
            return None
        return _unique(str(d["email"]) for d in data)
