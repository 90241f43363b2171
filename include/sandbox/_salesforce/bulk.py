"""The Bulk 2.0 ingest jobs of the stand-in (hardDelete and delete), and SOAP `emptyRecycleBin`.

A job processes when it is closed; `polls` answers of `InProgress` can be put before its end, the fault `job_failed`
makes it fail after half of its rows, and the fault `row_locked` makes one row fail with `UNABLE_TO_LOCK_ROW`."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import re
import secrets
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

from werkzeug.wrappers import Request, Response

from include.sandbox._salesforce.people import BASE62, to_18
from include.sandbox._salesforce.schema import CASCADES, FIELDS, NO_BULK
from include.sandbox.standin import Store, json_reply

if TYPE_CHECKING:
    from include.sandbox.standin import Fault

JOB_DAYS = 7
NO_PERMISSION = (
    "hardDelete operation requires special user profile permission, please contact your system administrator"
)
TWO_UPLOADS = (
    "Found multiple contents for job: <{}>, please 'Close' / 'Abort' / 'Delete' the current Job and create a new one"
)


def _problem(status: int, code: str, message: str) -> Response:
    return json_reply(status, [{"errorCode": code, "message": message}])


class BulkJobs:
    """The job part of the stand-in; mixed into it, so it uses its store, clock and `destroy`."""

    if TYPE_CHECKING:
        store: Store
        permissions: dict[str, bool]
        polls: int
        visible_days: float

        def now(self) -> dt.datetime: ...
        def fault(self, kind: str, request: Request) -> Fault | None: ...
        def destroy(self, kind: str, identifier: str, *, hard: bool) -> None: ...
        def kind_of(self, identifier: str) -> str: ...
        def _bin(self, kind: str, identifier: str, until: dt.datetime, *, hard: bool = False) -> None: ...
        def _forget(self, kind: str, identifier: str) -> None: ...
        def _forget_history(self, kind: str, identifier: str) -> None: ...

    def create_job(self, request: Request, version: str) -> Response:
        """Open a job."""
        asked = json.loads(request.get_data())
        if asked.get("operation") == "hardDelete" and not self.permissions["PermissionsBulkApiHardDelete"]:
            return _problem(400, "FEATURENOTENABLED", f"FeatureNotEnabled : {NO_PERMISSION}")
        if asked.get("object") not in FIELDS or asked["object"] in NO_BULK:
            return _problem(400, "INVALIDENTITY", f"Entity '{asked.get('object')}' is not supported by the Bulk API.")
        if asked.get("operation") not in {"hardDelete", "delete"} or asked.get("contentType", "CSV") != "CSV":
            return _problem(400, "INVALIDJOB", "This operation is not part of the sandbox.")
        job = to_18("750" + "".join(secrets.choice(BASE62) for _ in range(12)))
        self.store.put(
            "_job",
            job,
            {
                "id": job,
                "object": asked["object"],
                "operation": asked["operation"],
                "state": "Open",
                "uploads": [],
                "polls": 0,
                "lineEnding": asked.get("lineEnding", "LF"),
                "columnDelimiter": asked.get("columnDelimiter", "COMMA"),
                "done": [],
                "failed": [],
                "unprocessed": [],
                "created": self.now().isoformat(),
                "expires": (self.now() + dt.timedelta(days=JOB_DAYS)).isoformat(),
            },
        )
        return json_reply(200, self._job_body(job, version))

    def _job_body(self, job: str, version: str) -> dict[str, Any]:
        stored = self.store.get("_job", job) or {}
        return {
            "id": job,
            "operation": stored["operation"],
            "object": stored["object"],
            "state": stored["state"],
            "createdById": "005000000000001AAA",
            "createdDate": stored["created"],
            "systemModstamp": stored["created"],
            "concurrencyMode": "Parallel",
            "contentType": "CSV",
            "apiVersion": float(version),
            "jobType": "V2Ingest",
            "contentUrl": f"services/data/v{version}/jobs/ingest/{job}/batches",
            "lineEnding": stored["lineEnding"],
            "columnDelimiter": stored["columnDelimiter"],
            "retries": 0,
            "totalProcessingTime": 0,
            "numberRecordsProcessed": len(stored["done"]) + len(stored["failed"]),
            "numberRecordsFailed": len(stored["failed"]),
        }

    def show_job(self, request: Request, version: str, job: str) -> Response:
        """Show a job; a closed one moves on with every look."""
        stored = self.store.get("_job", job)
        if stored is None:
            return _problem(404, "NOT_FOUND", "The requested resource does not exist")
        if stored["state"] == "UploadComplete" and stored["polls"] >= self.polls:
            self._process(request, stored)
        elif stored["state"] == "UploadComplete":
            self.store.update("_job", job, polls=stored["polls"] + 1)
            return json_reply(200, {**self._job_body(job, version), "state": "InProgress"})
        return json_reply(200, self._job_body(job, version))

    def upload(self, request: Request, version: str, job: str) -> Response:
        """Take a CSV with one column `Id`; a second upload is taken as well and spoils the job."""
        stored = self.store.get("_job", job)
        if stored is None:
            return _problem(404, "NOT_FOUND", "The requested resource does not exist")
        if stored["state"] != "Open":
            return _problem(400, "INVALIDJOBSTATE", f"Job state {stored['state']} does not allow uploads")
        self.store.update("_job", job, uploads=[*stored["uploads"], request.get_data().decode("utf-8")])
        return Response(status=201)

    def set_job_state(self, request: Request, version: str, job: str) -> Response:
        """Close or abort a job."""
        stored = self.store.get("_job", job)
        if stored is None:
            return _problem(404, "NOT_FOUND", "The requested resource does not exist")
        state = json.loads(request.get_data()).get("state")
        if stored["state"] not in {"Open", "UploadComplete", "InProgress"} or state not in {
            "UploadComplete",
            "Aborted",
        }:
            return _problem(400, "INVALIDJOBSTATE", f"Job cannot go from {stored['state']} to {state}")
        if state == "UploadComplete" and len(stored["uploads"]) > 1:
            return _problem(400, "INVALIDJOB", TWO_UPLOADS.format(job))
        self.store.update("_job", job, state=state)
        if state == "UploadComplete" and self.polls == 0:
            self._process(request, self.store.get("_job", job) or {})
            return json_reply(200, {**self._job_body(job, version), "state": "UploadComplete"})
        return json_reply(200, self._job_body(job, version))

    def _process(self, request: Request, job: dict[str, Any]) -> None:
        rows = list(csv.DictReader(io.StringIO("".join(job["uploads"]))))
        if rows and set(rows[0]) != {"Id"}:
            self.store.update("_job", job["id"], state="Failed", unprocessed=[next(iter(r.values())) for r in rows])
            return
        failing, done, failed = self.fault("job_failed", request), list[str](), list[list[str]]()
        stop = len(rows) // 2 if failing else len(rows)
        for row in rows[:stop]:
            error = self._destroy_row(request, job, row["Id"])
            if error:
                failed.append([row["Id"], error])
            else:
                done.append(to_18(row["Id"]))
        self.store.update(
            "_job", job["id"], state="Failed" if failing else "JobComplete", done=done, failed=failed, uploads=[],
            unprocessed=[row["Id"] for row in rows[stop:]],
        )  # fmt: skip

    def _destroy_row(self, request: Request, job: dict[str, Any], identifier: str) -> str | None:
        from include.sandbox._salesforce.rows import Problem

        if self.fault("row_locked", request):
            return "UNABLE_TO_LOCK_ROW:unable to obtain exclusive access to this record:--"
        if self.fault("row_lie", request):
            return None
        try:
            if self.kind_of(identifier) != job["object"]:
                return "INVALID_CROSS_REFERENCE_KEY:invalid cross reference id:--"
            self.destroy(job["object"], to_18(identifier), hard=job["operation"] == "hardDelete")
        except Problem as problem:
            code = "INVALID_CROSS_REFERENCE_KEY" if problem.code == "NOT_FOUND" else problem.code
            return f"{code}:{problem.message}:--"
        return None

    def job_results(self, _request: Request, version: str, job: str, results: str) -> Response:
        """Give one of the three result files; their order is not the upload's, and an empty one is 204."""
        stored = self.store.get("_job", job)
        if stored is None:
            return _problem(404, "NOT_FOUND", "The requested resource does not exist")
        lists = {
            "successfulresults": (["sf__Id", "sf__Created", "Id"], [[i, "false", i] for i in reversed(stored["done"])]),
            "failedresults": (["sf__Id", "sf__Error", "Id"], [["", error, i] for i, error in stored["failed"]]),
            "unprocessedrecords": (["Id"], [[i] for i in stored["unprocessed"]]),
        }
        if results.lower() not in lists:
            return _problem(404, "NOT_FOUND", "The requested resource does not exist")
        header, rows = lists[results.lower()]
        if not rows:
            return Response(status=204)
        text = io.StringIO()
        csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows([header, *rows])
        return Response(text.getvalue().encode(), content_type="text/csv")

    def soap(self, request: Request, version: str) -> Response:
        """Answer `emptyRecycleBin` for up to 200 ids; nothing else of SOAP is here."""
        body = request.get_data(as_text=True)
        token = re.search(r"<(?:\w+:)?sessionId>([^<]*)</", body)
        if token is None or self.store.get("_token", token[1]) is None:
            return self._soap_fault("sf:INVALID_SESSION_ID", "Invalid Session ID found in SessionHeader")
        identifiers = re.findall(r"<(?:\w+:)?ids>([^<]*)</", body)
        if "emptyRecycleBin" not in body or len(identifiers) > 200:
            return self._soap_fault("sf:EXCEEDED_ID_LIMIT", "not more than 200 ids")
        answers = []
        for identifier in identifiers:
            entry = self.store.get("_bin", to_18(identifier))
            if entry is None or entry["hard"]:
                answers.append(
                    "<result><errors><message>invalid record id; no recycle bin entry found</message>"
                    "<statusCode>INVALID_ID_FIELD</statusCode></errors>"
                    f"<id>{escape(identifier)}</id><success>false</success></result>"
                )
                continue
            self._purge(entry["kind"], entry["id"])
            answers.append(f"<result><id>{entry['id']}</id><success>true</success></result>")
        return self._soap(200, f"<emptyRecycleBinResponse>{''.join(answers)}</emptyRecycleBinResponse>")

    def _purge(self, kind: str, identifier: str) -> None:
        """Take a row out of the bin, and with it what had been deleted along with it."""
        for child, field in CASCADES.get(kind, ()):
            for row in [r for r in self.store.all(child) if r.get(field) == identifier and r.get("IsDeleted")]:
                if not (self.store.get("_bin", row["id"]) or {"hard": True})["hard"]:
                    self._purge(child, row["id"])
        self._forget_history(kind, identifier)
        if self.visible_days > 0:
            self._bin(kind, identifier, self.now() + dt.timedelta(days=self.visible_days), hard=True)
        else:
            self._forget(kind, identifier)

    def _soap_fault(self, code: str, text: str) -> Response:
        return self._soap(
            500, f"<soapenv:Fault><faultcode>{code}</faultcode><faultstring>{text}</faultstring></soapenv:Fault>"
        )

    def _soap(self, status: int, body: str) -> Response:
        envelope = (
            '<?xml version="1.0" encoding="UTF-8"?>'
            '<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" '
            f'xmlns="urn:partner.soap.sforce.com"><soapenv:Body>{body}</soapenv:Body></soapenv:Envelope>'
        )
        return Response(envelope, status=status, content_type="text/xml;charset=UTF-8")
