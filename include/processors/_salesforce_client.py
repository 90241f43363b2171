"""The calls this project makes to Salesforce: queries, descriptions, hardDelete jobs and the recycle bin.

Bulk 2.0 is driven call by call, because the library's own `hard_delete` hides failed rows and loses the id of a
failed job."""

from __future__ import annotations

import csv
import io
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote_plus, urlsplit
from xml.sax.saxutils import escape

from include.errors import Refused, Unreachable
from include.processors._salesforce_session import EXPIRED, NAME, Expired, Rejected, Session, clean_code

MAX_QUERY = 15_000
"""Bytes of an encoded query; the API answers 414 beyond an address of 16,384 bytes (REST guide, status codes)."""
COLLECTION = 200
ID = re.compile(r"[A-Za-z0-9]{15}(?:[A-Za-z0-9]{3})?")
NEXT_PAGE = re.compile(r"/services/data/v\d+\.\d/query(?:All)?/[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class JobReport:
    """The three result files of a job, by 18-character id: done, failed with a code, not processed."""

    done: frozenset[str]
    failed: Mapping[str, str]
    unprocessed: frozenset[str]


def to_18(identifier: str) -> str:
    """Return the 18-character form of an id (Object Reference, "ID Field Type"); a longer one is cut to 15 first."""
    head, letters = identifier[:15], "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
    return head + "".join(
        letters[sum(1 << bit for bit, c in enumerate(head[part : part + 5]) if c.isascii() and c.isupper())]
        for part in (0, 5, 10)
    )


def quoted(value: str) -> str:
    """Return a SOQL string literal."""
    from simple_salesforce.format import quote_soql_value

    return str(quote_soql_value(value))


def chunks(literals: Iterable[str], *, overhead: int) -> Iterator[list[str]]:
    """Group literals so that each query stays below the address limit once it is encoded."""
    group: list[str] = []
    size = overhead
    for literal in literals:
        length = len(quote_plus(literal)) + 3
        if group and size + length > MAX_QUERY:
            yield group
            group, size = [], overhead
        group.append(literal)
        size += length
    if group:
        yield group


class Client(Session):
    """Calls Salesforce; every method raises only our errors."""

    # -- reading -------------------------------------------------------------------------------------------------------
    def query(self, soql: str, *, deleted: bool = True) -> list[dict[str, Any]]:
        """Return all rows of a query, deleted and archived ones too unless told otherwise."""
        page = self._call(lambda sf: _page(sf.query(soql, include_deleted=deleted)))
        rows, seen = list(page["records"]), set[str]()
        while not page["done"]:
            address = str(page.get("nextRecordsUrl", ""))
            if not NEXT_PAGE.fullmatch(urlsplit(address).path) or address in seen:
                raise Unreachable(NAME, "unexpected_answer")
            seen.add(address)
            path = urlsplit(address).path
            page = self._call(lambda sf, path=path: _page(sf.query_more(path, identifier_is_url=True)))  # type: ignore[misc]
            rows.extend(page["records"])
        if page["totalSize"] != len(rows):
            raise Unreachable(NAME, "short_result")
        return rows

    def select(
        self, kind: str, columns: Sequence[str], name: str, values: Iterable[str], *, extra: str = ""
    ) -> list[dict[str, Any]]:
        """Return the rows whose field `name` is one of `values`, in as few queries as the address limit allows."""
        head = f"SELECT {', '.join(columns)} FROM {kind} WHERE {name} IN ("  # noqa: S608 - values are quoted
        literals = [quoted(v) for v in dict.fromkeys(values)]
        rows: list[dict[str, Any]] = []
        for group in chunks(literals, overhead=len(quote_plus(head + extra)) + 200):
            rows += self.query(f"{head}{','.join(group)}){extra}")
        return rows

    def describe(self, kind: str) -> dict[str, Any] | None:
        """Describe one object; None where there is no such object for this user."""
        try:
            found = self._call(lambda sf: sf.restful(f"sobjects/{kind}/describe"))
        except Rejected as error:
            if error.status == 404:
                return None
            raise
        return dict(found)

    def objects(self) -> dict[str, Mapping[str, Any]] | None:
        """Return all objects this user sees by name; None where the list is not offered."""
        try:
            found = self._call(lambda sf: {o["name"]: o for o in sf.describe()["sobjects"]})
        except Rejected as error:
            if error.status == 404:
                return None
            raise
        return found

    # -- changing ------------------------------------------------------------------------------------------------------
    def create_job(self, kind: str) -> str:
        """Open a hardDelete job and return its id; nothing is deleted by that."""

        def create(sf: Any) -> str:
            return str(getattr(sf.bulk2, kind)._client.create_job("hardDelete")["id"])

        self._go_on()
        job = self._call(create)
        if not ID.fullmatch(job):
            raise Unreachable(NAME, "unexpected_answer")
        return job

    def run_job(self, job: str, identifiers: Sequence[str]) -> None:
        """Upload the ids to an open job and close it."""
        self._safe(job, *identifiers)
        body = "Id\n" + "\n".join(identifiers) + "\n"
        self._go_on()
        self._call(lambda sf: sf.bulk2.Job._client.upload_job_data(job, body))
        self._go_on()
        self._call(lambda sf: sf.bulk2.Job._client.close_job(job))

    def abort_job(self, job: str) -> None:
        """Abort a job that was never closed."""
        self._safe(job)
        self._call(lambda sf: sf.bulk2.Job._client.abort_job(job, False))

    def job_state(self, job: str) -> str:
        """Return a job's state, or `Gone` after the seven days it is kept."""
        self._safe(job)
        try:
            return self._call(lambda sf: str(sf.bulk2.Job._client.get_job(job, False)["state"]))
        except Rejected as error:
            if error.status == 404:
                return "Gone"
            raise

    def wait_for_job(self, job: str, deadline: float) -> str:
        """Poll a job until it ends or `deadline` (monotonic) is over; return its last state."""
        pause = 0.1
        while (state := self.job_state(job)) in {"UploadComplete", "InProgress"} and time.monotonic() < deadline:
            time.sleep(min(pause, max(0.0, deadline - time.monotonic())))
            pause = min(pause * 2, 5.0)
        return state

    def job_report(self, job: str) -> JobReport:
        """Read all three result files: a failed job may have deleted rows, a complete one may have failed ones."""
        self._safe(job)
        files = [self._result_file(job, n) for n in ("successfulResults", "failedResults", "unprocessedRecords")]
        failed = {_row_id(r): clean_code((r.get("sf__Error") or "").split(":", 1)[0]) for r in files[1]}
        return JobReport(frozenset(map(_row_id, files[0])), failed, frozenset(map(_row_id, files[2])))

    def _result_file(self, job: str, name: str) -> list[dict[str, str]]:
        def read(sf: Any, name: str) -> list[dict[str, str]]:
            return list(csv.DictReader(io.StringIO(sf.bulk2.Job._client.get_ingest_results(job, name))))

        try:
            return self._call(lambda sf: read(sf, name))
        except Rejected as error:
            if error.status != 404 or name != "unprocessedRecords":
                raise
        return self._call(lambda sf: read(sf, "unprocessedrecords"))  # the documentation writes it in small letters

    def delete_rows(self, identifiers: Sequence[str]) -> dict[str, str | None]:
        """Move rows to the recycle bin, 200 a request; return each id's error code or None."""
        self._safe(*identifiers)
        codes: dict[str, str | None] = {}
        for start in range(0, len(identifiers), COLLECTION):
            part = identifiers[start : start + COLLECTION]

            def delete(sf: Any, part: Sequence[str] = part) -> list[Any]:
                params = {"ids": ",".join(part), "allOrNone": "false"}
                return list(sf.restful("composite/sobjects", params=params, method="DELETE"))

            self._go_on()
            answers = self._call(delete)
            if len(answers) != len(part):  # failed rows carry no id: only the position tells them apart
                raise Unreachable(NAME, "unexpected_answer")
            for identifier, answer in zip(part, answers, strict=True):
                codes[identifier] = None if answer.get("success") is True else _list_code(answer)
        return codes

    def empty_recycle_bin(self, identifiers: Sequence[str]) -> None:
        """Purge rows from the recycle bin (SOAP `emptyRecycleBin`, 200 a call); what is not in it is no error."""
        self._safe(*identifiers)
        for start in range(0, len(identifiers), COLLECTION):
            part = identifiers[start : start + COLLECTION]
            self._go_on()
            self._call(lambda sf, part=part: self._soap(sf, part))  # type: ignore[misc]

    def _soap(self, sf: Any, identifiers: Sequence[str]) -> None:
        listed = "".join(f"<u:ids>{i}</u:ids>" for i in identifiers)
        body = (
            '<?xml version="1.0" encoding="UTF-8"?>'
            '<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/" xmlns:u="urn:partner.soap.sforce.com">'
            f"<e:Header><u:SessionHeader><u:sessionId>{escape(sf.session_id)}</u:sessionId></u:SessionHeader></e:Header>"
            f"<e:Body><u:emptyRecycleBin>{listed}</u:emptyRecycleBin></e:Body>"
            "</e:Envelope>"
        )
        headers = {"Content-Type": "text/xml; charset=UTF-8", "SOAPAction": '""'}
        address = f"https://{sf.sf_instance}/services/Soap/u/{sf.sf_version}"
        answer = sf.session.post(address, data=body.encode(), headers=headers)
        if answer.status_code == 200 and answer.text.count("<success>") == len(identifiers):
            return
        fault = re.search(r"<faultcode>(?:\w+:)?([A-Z_]+)</faultcode>", answer.text)
        if fault and fault[1] in EXPIRED:
            raise Expired(NAME, fault[1], status=401)
        if answer.status_code == 500 and fault:
            raise Rejected(NAME, clean_code(fault[1]), status=500)
        raise self.failure(None) if answer.status_code >= 300 else Unreachable(NAME, "unexpected_answer")

    @staticmethod
    def _safe(*identifiers: str) -> None:
        """Refuse anything that is not an id before it can become part of an address (`..` or `//host` would)."""
        if not all(ID.fullmatch(i) for i in identifiers):
            raise Refused(
                NAME, "malformed_id", advice="An id in a locator is not one of Salesforce's; nothing was sent."
            )


def _page(body: Any) -> dict[str, Any]:
    return {**body, "records": list(body["records"]), "done": bool(body["done"]), "totalSize": int(body["totalSize"])}


def _row_id(row: Mapping[str, Any]) -> str:
    identifier = row.get("Id") or row.get("sf__Id") or ""
    return to_18(identifier) if ID.fullmatch(identifier) else ""


def _list_code(answer: Mapping[str, Any]) -> str:
    errors = answer.get("errors") or [{}]
    return clean_code(errors[0].get("statusCode") or errors[0].get("errorCode"))
