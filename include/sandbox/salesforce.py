"""A stand-in for Salesforce's REST, Bulk 2.0, OAuth and (one call) SOAP interfaces, with the oddities that bite.

What it keeps from the vendor's pages: deletes go to a recycle bin for 15 days; hard-deleted rows stay readable
through `queryAll` for about a day (documented for `emptyRecycleBin`, unconfirmed for `hardDelete`, so `visible_days`
can be set); a collection delete answers 200 with failed rows that carry no id; a Bulk job that is `JobComplete` may
still have failed rows, and uploading twice is only noticed when the job is closed; jobs vanish after 7 days; error
messages quote people.

`seed_person` gives the company seeder one person's rows; credentials are `CONSUMER_KEY` and `CONSUMER_SECRET`.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
import re
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from werkzeug.wrappers import Request, Response

from include.sandbox._salesforce.bulk import BulkJobs
from include.sandbox._salesforce.composite import Composite
from include.sandbox._salesforce.people import VARIANTS, make_id, seed_person, to_18
from include.sandbox._salesforce.rows import BIN_DAYS, Problem, Rows, refusal
from include.sandbox._salesforce.schema import FIELDS, describe, fields_of, summary
from include.sandbox._salesforce.soql import Parser, SoqlError
from include.sandbox.standin import Credentials, Frame, Limit, Route, json_reply

__all__ = ["CONSUMER_KEY", "CONSUMER_SECRET", "VARIANTS", "StandIn", "make_id", "seed_person", "to_18"]

CONSUMER_KEY, CONSUMER_SECRET = "sandbox", "salesforce-sandbox"
MAX_REQUEST, MAX_COLLECTION = 16_384, 200
DATA = "/services/data/v<version>"


class StandIn(BulkJobs, Composite, Rows, Frame):
    """Salesforce, as far as erasing a person needs it."""

    name = "salesforce"
    credentials = Credentials(
        extra={
            "domain": "sandbox.my", "consumer_key": CONSUMER_KEY, "consumer_secret": CONSUMER_SECRET, "version": "67.0",
        }
    )  # fmt: skip
    limits: ClassVar[tuple[Limit, ...]] = (Limit("api", 100_000, 86_400),)
    routes = (
        Route("POST", "/services/oauth2/token", "token", changing=False, group="login"),
        Route("GET", "/services/data", "versions"),
        Route("GET", f"{DATA}/limits", "show_limits"),
        Route("GET", f"{DATA}/query", "query"),
        Route("GET", f"{DATA}/queryAll", "query_all"),
        Route("GET", f"{DATA}/query/<cursor>", "query_more"),
        Route("GET", f"{DATA}/sobjects", "describe_global"),
        Route("GET", f"{DATA}/sobjects/<kind>/describe", "describe_kind"),
        Route("GET", f"{DATA}/sobjects/<kind>/<identifier>", "show"),
        Route("PATCH", f"{DATA}/sobjects/<kind>/<identifier>", "change"),
        Route("DELETE", f"{DATA}/sobjects/<kind>/<identifier>", "remove"),
        Route("DELETE", f"{DATA}/composite/sobjects", "remove_many"),
        Route("POST", f"{DATA}/composite", "composite", changing=False),
        Route("POST", f"{DATA}/jobs/ingest", "create_job"),
        Route("GET", f"{DATA}/jobs/ingest/<job>", "show_job"),
        Route("PATCH", f"{DATA}/jobs/ingest/<job>", "set_job_state"),
        Route("PUT", f"{DATA}/jobs/ingest/<job>/batches", "upload"),
        Route("GET", f"{DATA}/jobs/ingest/<job>/<results>", "job_results"),
        Route("POST", "/services/Soap/u/<version>", "soap"),
    )

    def __init__(self, folder: Path | None = None, *, limit_factor: float = 1.0) -> None:
        super().__init__(folder, limit_factor=limit_factor)
        self.person_accounts = True
        self.permissions = {
            "PermissionsBulkApiHardDelete": True, "PermissionsViewAllData": True, "PermissionsModifyAllData": True,
            "PermissionsQueryAllFiles": True,
        }  # fmt: skip
        self.visible_days: float = 1
        self.history_stays = False
        self.page_size = 2000
        self.most_patterns = 1_000
        self.absent: set[str] = set()
        """Objects of features this organisation has not."""
        self.hidden: set[tuple[str, str]] = set()
        """Objects' fields that field-level security hides from our user."""
        self.polls = 0
        self.calls = 0
        self._pages: dict[str, tuple[list[dict[str, Any]], int]] = {}

    # -- the frame's hooks -------------------------------------------------------------------------------------------
    def authorize(self, request: Request) -> Response | None:
        """Refuse a missing or expired token; the fault `expired` ends one."""
        if request.path == "/services/oauth2/token" or request.path.startswith("/services/Soap/"):
            return None
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if self.store.get("_token", token) is None or self.fault("expired", request):
            return refusal(401, "INVALID_SESSION_ID", "Session expired or invalid")
        return None

    def too_many(self, request: Request, limit: Limit) -> Response:
        """Answer as the rolling 24-hour limit does; it is not a 429."""
        return refusal(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")

    def not_found(self, request: Request) -> Response:
        """Answer an unknown resource."""
        return refusal(404, "NOT_FOUND", "The requested resource does not exist")

    def on_clock(self) -> None:
        """Empty what is due from the recycle bin, and forget jobs older than 7 days."""
        now = self.now().isoformat()
        for entry in self.store.all("_bin"):
            if entry["until"] <= now:
                self._forget(entry["kind"], entry["id"])
        for job in self.store.all("_job"):
            if job["expires"] <= now:
                self.store.delete("_job", job["id"])

    def _handle(self, request: Request) -> tuple[Response, bool]:
        try:
            address = len(request.environ.get("RAW_URI", ""))
            if address + sum(len(name) + len(value) + 4 for name, value in request.headers) > MAX_REQUEST:
                # Together they may have that many bytes; the edge answers, not the API (REST guide, status codes).
                status = 414 if address > MAX_REQUEST else 431
                return Response("<html><body>Too Long</body></html>", status=status, content_type="text/html"), False
            response, changing = super()._handle(request)
        except (Problem, SoqlError) as error:
            response, changing = refusal(getattr(error, "status", 400), error.code, error.message), False
        if request.path.startswith("/services/data"):
            self.calls += 1
            response.headers["Sforce-Limit-Info"] = f"api-usage={self.calls}/100000"
        return response, changing

    def seed(self, objects: Mapping[str, Sequence[Mapping[str, Any]]]) -> int:
        """Add objects; a row that is already deleted gets its place in the recycle bin."""
        for kind, rows in objects.items():
            for row in rows:
                if row.get("IsDeleted"):
                    since = dt.datetime.fromisoformat(row["SystemModstamp"].replace("+0000", "+00:00"))
                    self._bin(kind, row["id"], since + dt.timedelta(days=BIN_DAYS))
        return super().seed(objects)

    # -- OAuth -------------------------------------------------------------------------------------------------------
    def token(self, request: Request) -> Response:
        """Give a token for client credentials (Basic) or a JWT bearer assertion."""
        form = request.form
        if form.get("grant_type") == "client_credentials":
            given = request.authorization
            good = given is not None and (given.username, given.password) == (CONSUMER_KEY, CONSUMER_SECRET)
        elif form.get("grant_type") == "urn:ietf:params:oauth:grant-type:jwt-bearer":
            good = self._good_assertion(form.get("assertion", ""))
        else:
            return json_reply(400, {"error": "unsupported_grant_type", "error_description": "grant type not supported"})
        if not good or self.fault("no_login", request):
            return json_reply(400, {"error": "invalid_grant", "error_description": "authentication failure"})
        token = f"00D000000000001!{secrets.token_urlsafe(24)}"
        self.store.put("_token", token, {"since": self.now().isoformat()})
        return json_reply(
            200,
            {
                "access_token": token,
                "instance_url": "https://sandbox.my.salesforce.com",
                "id": "https://login.salesforce.com/id/00D000000000001AAA/005000000000001AAA",
                "token_type": "Bearer",
                "issued_at": str(int(self.now().timestamp() * 1000)),
            },
        )

    def _good_assertion(self, assertion: str) -> bool:
        try:
            head, body, signature = assertion.split(".")
            claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
            header = json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))
            return bool(
                header["alg"] == "RS256" and signature and claims["iss"] == CONSUMER_KEY and claims["sub"]
                and claims["aud"].endswith(".salesforce.com")
                and float(claims["exp"]) > dt.datetime.now(dt.UTC).timestamp()
            )  # fmt: skip
        except (ValueError, KeyError):
            return False

    # -- reading -----------------------------------------------------------------------------------------------------
    def versions(self, _request: Request) -> Response:
        """List the API versions."""
        return json_reply(200, [{"label": "Summer '26", "url": "/services/data/v67.0", "version": "67.0"}])

    def show_limits(self, _request: Request, version: str) -> Response:
        """Answer the organisation's limits."""
        return json_reply(200, {"DailyApiRequests": {"Max": 100_000, "Remaining": 100_000 - self.calls}})

    def query(self, request: Request, version: str) -> Response:
        """Run a query over rows that are neither deleted nor archived."""
        return self._query(request, version, deleted=False)

    def query_all(self, request: Request, version: str) -> Response:
        """Run a query that also sees deleted and archived rows."""
        return self._query(request, version, deleted=True)

    def _query(self, request: Request, version: str, *, deleted: bool) -> Response:
        if float(version) <= 40:
            raise Problem("GONE", "The requested API version is retired", 410)
        query = Parser(request.args.get("q", ""), self._fields).parse()
        if len(re.findall(r"\bLIKE\b", request.args.get("q", ""))) > self.most_patterns:
            raise Problem("QUERY_TOO_COMPLICATED", "The filter conditions are too complicated.")
        if query.kind == "ContentDocumentLink" and not query.filtered & {"Id", "ContentDocumentId", "LinkedEntityId"}:
            raise Problem(
                "MALFORMED_QUERY", "Implementation restriction: ContentDocumentLink requires a filter by a single Id"
            )
        rows = self._permission_rows() if query.kind == "UserPermissionAccess" else self.store.all(query.kind)
        found = [
            row
            for row in ({"Id": r["id"], **r} for r in rows)
            if (deleted or not (row.get("IsDeleted") or row.get("IsArchived"))) and query.test(row)
        ][: query.limit]
        if query.columns is None:
            return json_reply(200, {"totalSize": len(found), "done": True, "records": []})
        records = [
            {
                "attributes": {
                    "type": query.kind,
                    "url": f"/services/data/v{version}/sobjects/{query.kind}/{row['Id']}",
                },
                **{c: row.get(c, False if self._fields(query.kind)[c] == "boolean" else None) for c in query.columns},  # type: ignore[index]
            }
            for row in found
        ]
        return self._page(records, f"0r8{secrets.token_hex(6)}", 0, version)

    def _permission_rows(self) -> list[dict[str, Any]]:
        return [{"id": "000000000000000AAA", **self.permissions}]

    def query_more(self, request: Request, version: str, cursor: str) -> Response:
        """Give the next page; after `queryAll` too the address says `query`."""
        locator, _, start = cursor.rpartition("-")
        if locator not in self._pages:
            raise Problem("INVALID_QUERY_LOCATOR", "invalid query locator")
        return self._page(self._pages[locator][0], locator, int(start), version)

    def _page(self, records: list[dict[str, Any]], locator: str, start: int, version: str) -> Response:
        end = start + self.page_size
        body: dict[str, Any] = {"totalSize": len(records), "done": end >= len(records), "records": records[start:end]}
        if not body["done"]:
            self._pages[locator] = (records, end)
            body["nextRecordsUrl"] = f"/services/data/v{version}/query/{locator}-{end}"
        return json_reply(200, body)

    def _fields(self, kind: str) -> Mapping[str, Any] | None:
        if kind == "UserPermissionAccess":
            return {"Id": "id", **dict.fromkeys(self.permissions, "boolean")}
        if kind not in FIELDS or kind in self.absent:
            return None
        fields = fields_of(kind, person_accounts=self.person_accounts)
        return {name: shape for name, shape in fields.items() if (kind, name) not in self.hidden}

    def describe_global(self, _request: Request, version: str) -> Response:
        """List the objects."""
        return json_reply(
            200,
            {
                "encoding": "UTF-8",
                "maxBatchSize": 200,
                "sobjects": [summary(kind) for kind in FIELDS if kind not in self.absent],
            },
        )

    def describe_kind(self, _request: Request, version: str, kind: str) -> Response:
        """Describe one object."""
        if kind not in FIELDS or kind in self.absent:
            raise Problem("NOT_FOUND", "The requested resource does not exist", 404)
        body = describe(kind, person_accounts=self.person_accounts)
        body["fields"] = [f for f in body["fields"] if (kind, f["name"]) not in self.hidden]
        return json_reply(200, body)

    def show(self, _request: Request, version: str, kind: str, identifier: str) -> Response:
        """Show one row."""
        row = self._row(kind, identifier)
        return json_reply(
            200, {"attributes": {"type": kind}, "Id": row["id"], **{k: v for k, v in row.items() if k != "id"}}
        )

    # -- changing ----------------------------------------------------------------------------------------------------
    def change(self, request: Request, version: str, kind: str, identifier: str) -> Response:
        """Change one row, where the API allows it."""
        row, changes = self._row(kind, identifier), json.loads(request.get_data())
        unknown = [c for c in changes if c not in fields_of(kind, person_accounts=self.person_accounts)]
        if unknown:
            raise Problem("INVALID_FIELD", f"No such column '{unknown[0]}' on sobject of type {kind}")
        if kind == "EmailMessage" and row.get("Status") != "5" and set(changes) - {"IsExternallyVisible"}:
            raise Problem("INSUFFICIENT_ACCESS_OR_READONLY", "You cannot update an email message that is not a draft")
        if kind == "Lead" and row.get("IsConverted"):
            raise Problem("CANNOT_UPDATE_CONVERTED_LEAD", "cannot reference converted lead")
        if changes.get("LastName", "x") in (None, ""):
            raise Problem("REQUIRED_FIELD_MISSING", "Required fields are missing: [LastName]")
        self.store.update(kind, row["id"], **changes, SystemModstamp=self._stamp())
        return Response(status=204)

    def remove(self, _request: Request, version: str, kind: str, identifier: str) -> Response:
        """Move one row to the recycle bin."""
        self.destroy(kind, self._row(kind, identifier)["id"], hard=False)
        return Response(status=204)

    def remove_many(self, request: Request, version: str) -> Response:
        """Move up to 200 rows of any kind to the recycle bin; failed rows come back in place, without their id."""
        identifiers = request.args.get("ids", "").split(",")
        if len(identifiers) > MAX_COLLECTION:
            raise Problem("LIMIT_EXCEEDED", "The number of records exceeds the limit of 200")
        answers: list[dict[str, Any]] = []
        before = len(self.store._undo)
        for identifier in identifiers:
            try:
                kind = self.kind_of(identifier)
                self.destroy(kind, self._row(kind, identifier)["id"], hard=False)
                answers.append({"id": to_18(identifier), "success": True, "errors": []})
            except Problem as problem:
                error = {"statusCode": problem.code, "message": problem.message, "fields": []}
                answers.append({"success": False, "errors": [error]})
        if request.args.get("allOrNone") == "true" and not all(a["success"] for a in answers):
            self.store.rollback()
            assert len(self.store._undo) <= before
        return json_reply(200, answers)
