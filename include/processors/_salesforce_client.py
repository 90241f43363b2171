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
from include.processors._salesforce_session import NAME, Rejected, Session, clean_code

MAX_REQUEST, OTHER_BYTES = 16_384, 800
"""Bytes of address and headers together, beyond which the API answers 414 or 431 (REST guide, status codes), and what
they take without query and token."""
COLLECTION = 200
ID = re.compile(r"[A-Za-z0-9]{15}(?:[A-Za-z0-9]{3})?")
RESULT = re.compile(r"<(?:\w+:)?result(?:\s[^>]*)?>(.*?)</(?:\w+:)?result>", re.DOTALL)
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


@dataclass(frozen=True, slots=True)
class Test:
    """One alternative of a query's WHERE: a field that is one of some values.

    With `like` it matches one of some patterns, which are SOQL literals already.
    """

    name: str
    values: Iterable[str]
    like: bool = False


def encoded(soql: str) -> str:
    """Return a query as it stands in an address; what RFC 3986 allows in a query stays as it is, to save bytes."""
    return quote_plus(soql, safe="',()=@:")


def conditions(tests: Sequence[Test], room: int) -> Iterator[str]:
    """Return as few WHERE clauses as have at most `room` bytes each, encoded; their rows together are all rows."""
    group: dict[str, list[str]] = {}
    size = 0
    for test, literal in ((t, v if t.like else quoted(v)) for t in tests for v in dict.fromkeys(t.values)):
        name = f"{test.name} LIKE" if test.like else test.name
        alone = len(encoded(literal)) + len(name) + 12  # with its field, operator, brackets and OR
        if group and size + alone > room:
            yield _joined(group)
            group, size = {}, 0
        size += alone if test.like or name not in group else len(encoded(literal)) + 1
        group.setdefault(name, []).append(literal)
    if group:
        yield _joined(group)


def _joined(group: Mapping[str, Sequence[str]]) -> str:
    alternatives: list[str] = []
    for name, literals in group.items():
        if name.endswith(" LIKE"):
            alternatives += [f"{name} {literal}" for literal in literals]
        else:
            alternatives.append(f"{name} IN ({','.join(literals)})")
    return " OR ".join(alternatives)


class Client(Session):
    """Calls Salesforce; every method raises only our errors."""

    # -- reading -------------------------------------------------------------------------------------------------------
    def query(self, soql: str, *, deleted: bool = True) -> list[dict[str, Any]]:
        """Return all rows of a query, deleted and archived ones too unless told otherwise."""
        address = f"{'queryAll' if deleted else 'query'}/?q={encoded(soql)}"
        page = self._ask(lambda sf: _page(sf.restful(address)))
        rows, seen = list(page["records"]), set[str]()
        while not page["done"]:
            path = urlsplit(str(page.get("nextRecordsUrl", ""))).path
            if not NEXT_PAGE.fullmatch(path) or path in seen:
                raise Unreachable(NAME, "unexpected_answer")
            seen.add(path)
            page = self._ask(lambda sf, path=path: _page(sf.query_more(path, identifier_is_url=True)))  # type: ignore[misc]
            rows.extend(page["records"])
        if page["totalSize"] != len(rows):
            raise Unreachable(NAME, "short_result")
        return rows

    def select(self, kind: str, columns: Sequence[str], *tests: Test) -> dict[str, dict[str, Any]]:
        """Return the rows that pass any of the tests, by id as given, in as few queries as the address limit allows."""
        head = f"SELECT {','.join(dict.fromkeys(columns))} FROM {kind} WHERE "  # noqa: S608 - values are quoted
        rows: dict[str, dict[str, Any]] = {}
        room = MAX_REQUEST - OTHER_BYTES - self.token_bytes() - len(encoded(head))
        for condition in conditions(tests, room):
            rows |= {str(r["Id"]): r for r in self.query(head + condition)}
        return rows

    def describe(self, kind: str) -> dict[str, Any] | None:
        """Describe one object; None where there is no such object for this user."""
        try:
            found = self._ask(lambda sf: sf.restful(f"sobjects/{kind}/describe"))
        except Rejected as error:
            if error.status == 404:
                return None
            raise
        return dict(found)

    def objects(self) -> dict[str, Mapping[str, Any]] | None:
        """Return all objects this user sees by name; None where the list is not offered."""
        try:
            found = self._ask(lambda sf: {o["name"]: o for o in sf.describe()["sobjects"]})
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

        job = self._call(create)
        if not ID.fullmatch(job):
            raise Unreachable(NAME, "unexpected_answer")
        return job

    def run_job(self, job: str, identifiers: Sequence[str]) -> None:
        """Upload the ids to an open job and close it."""
        self._safe(job, *identifiers)
        body = "Id\n" + "\n".join(identifiers) + "\n"
        self._call(lambda sf: sf.bulk2.Job._client.upload_job_data(job, body))
        self._call(lambda sf: sf.bulk2.Job._client.close_job(job))

    def abort_job(self, job: str) -> None:
        """Abort a job that was never closed."""
        self._safe(job)
        self._call(lambda sf: sf.bulk2.Job._client.abort_job(job, False))

    def job_state(self, job: str) -> str:
        """Return a job's state, or `Gone` after the seven days it is kept."""
        self._safe(job)
        try:
            return self._ask(lambda sf: str(sf.bulk2.Job._client.get_job(job, False)["state"]))
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
        files = [self._result_file(job, n) for n in ("successfulResults", "failedResults", "unprocessedrecords")]
        failed = {_row_id(r): clean_code((r.get("sf__Error") or "").split(":", 1)[0]) for r in files[1]}
        return JobReport(frozenset(map(_row_id, files[0])), failed, frozenset(map(_row_id, files[2])))

    def _result_file(self, job: str, name: str) -> list[dict[str, str]]:
        def read(sf: Any) -> list[dict[str, str]]:
            text = sf.bulk2.Job._client.get_ingest_results(job, name)
            if text.lstrip()[:1] in {"<", "{", "["}:  # a page or an error where a table should be
                raise Unreachable(NAME, "unexpected_answer")
            return list(csv.DictReader(io.StringIO(text)))

        return self._ask(read)

    def delete_rows(self, identifiers: Sequence[str]) -> dict[str, str | None]:
        """Move rows to the recycle bin, 200 a request; return each id's error code or None."""
        self._safe(*identifiers)
        codes: dict[str, str | None] = {}
        for start in range(0, len(identifiers), COLLECTION):
            part = identifiers[start : start + COLLECTION]

            def delete(sf: Any, part: Sequence[str] = part) -> list[Any]:
                params = {"ids": ",".join(part), "allOrNone": "false"}
                return list(sf.restful("composite/sobjects", params=params, method="DELETE"))

            answers = self._call(delete)
            if len(answers) != len(part):  # failed rows carry no id: only the position tells them apart
                raise Unreachable(NAME, "unexpected_answer")
            for identifier, answer in zip(part, answers, strict=True):
                codes[identifier] = None if answer.get("success") is True else _list_code(answer)
        return codes

    def empty_recycle_bin(self, identifiers: Sequence[str]) -> dict[str, str]:
        """Purge rows from the recycle bin (SOAP `emptyRecycleBin`, 200 a call); return the codes of those refused.

        What is not in the bin is no error: only reading back tells whether it is gone."""
        self._safe(*identifiers)
        codes: dict[str, str] = {}
        for start in range(0, len(identifiers), COLLECTION):
            part = identifiers[start : start + COLLECTION]
            codes |= self._call(lambda sf, part=part: self._soap(sf, part))  # type: ignore[misc]
        return codes

    def _soap(self, sf: Any, identifiers: Sequence[str]) -> dict[str, str]:
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
        results = RESULT.findall(answer.text)
        if answer.status_code == 200 and len(results) == len(identifiers):
            codes = {i: self._purge_code(result) for i, result in zip(identifiers, results, strict=True)}
            return {i: code for i, code in codes.items() if code is not None}
        fault = re.search(r"<faultcode>\s*((?:\w+:)?[A-Z_]+)\s*</faultcode>", answer.text)
        if fault and answer.status_code in {200, 500}:
            self._adapter.seen.status = 400  # SOAP answers every fault with 500; the word says what it is
            text = re.search(r"<faultstring>([^<]*)</faultstring>", answer.text)
            message = text[1] if text else ""
            raise self.failure([{"errorCode": fault[1].rpartition(":")[2], "message": message}])
        raise self.failure(None) if answer.status_code >= 300 else Unreachable(NAME, "unexpected_answer")

    @staticmethod
    def _purge_code(result: str) -> str | None:
        """Return why one row was not purged: the SOAP guide's `EmptyRecycleBinResult`, in the order of the ids."""
        if re.search(r"<(?:\w+:)?success>\s*true\s*<", result):
            return None
        word = re.search(r"<(?:\w+:)?statusCode>\s*([^<\s]*)\s*<", result)
        return clean_code(word[1] if word else "")

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
