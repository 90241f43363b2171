"""The calls that change something at Salesforce: hardDelete jobs, deletes in collections, and the recycle bin.

Bulk 2.0 is driven call by call, because the library's own `hard_delete` hides failed rows and loses the id of a
failed job."""

from __future__ import annotations

import csv
import io
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape

from include.errors import Refused, Unreachable
from include.processors._salesforce.reads import Reads
from include.processors._salesforce.session import NAME, Rejected, clean_code
from include.processors._salesforce.soql import ID, to_18

COLLECTION = 200
RESULT = re.compile(r"<(?:\w+:)?result(?:\s[^>]*)?>(.*?)</(?:\w+:)?result>", re.DOTALL)


@dataclass(frozen=True, slots=True)
class JobReport:
    """The three result files of a job, by 18-character id: done, failed with a code, not processed."""

    done: frozenset[str]
    failed: Mapping[str, str]
    unprocessed: frozenset[str]


class Client(Reads):
    """Calls Salesforce; every method raises only our errors."""

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

            self._go_on()
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
            self._go_on()
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


def _row_id(row: Mapping[str, Any]) -> str:
    identifier = row.get("Id") or row.get("sf__Id") or ""
    return to_18(identifier) if ID.fullmatch(identifier) else ""


def _list_code(answer: Mapping[str, Any]) -> str:
    errors = answer.get("errors") or [{}]
    return clean_code(errors[0].get("statusCode") or errors[0].get("errorCode"))
