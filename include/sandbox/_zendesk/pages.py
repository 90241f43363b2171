"""Pages, errors and job statuses as Zendesk writes them, for its stand-in."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from werkzeug.wrappers import Request, Response

from include.sandbox.standin import Frame, json_reply

MAX_JOBS = 30
POLLS = 2
JOB_SECONDS = 2.0
DAY = dt.timedelta(days=1)

Row = dict[str, Any]


def not_found() -> Response:
    """Zendesk's 404."""
    return json_reply(404, {"error": "RecordNotFound", "description": "Not found"})


def invalid(field: str, description: str, *, error: str = "RecordInvalid") -> Response:
    """Zendesk's 422; the description may quote a person, as the real one does."""
    return json_reply(
        422,
        {
            "error": error,
            "description": "Record validation errors",
            "details": {field: [{"description": description, "error": "InvalidValue"}]},
        },
    )


def public(row: Row, *hidden: str) -> Row:
    """Return a row as the API shows it: without our own underscore fields and `hidden` ones."""
    return {k: v for k, v in row.items() if not k.startswith("_") and k not in hidden}


def digits(text: object) -> str:
    """Return the digits of a phone number without Korea's prefixes, so that +82 10 and 010 match."""
    found = "".join(c for c in str(text) if c.isdigit())
    return found.removeprefix("82").removeprefix("0")


def iso(moment: dt.datetime) -> str:
    """Return a time as Zendesk writes it."""
    return moment.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def moment(text: str) -> dt.datetime:
    """Parse a time as Zendesk writes it."""
    return dt.datetime.fromisoformat(text.replace("Z", "+00:00"))


def ids(request: Request, key: str = "ids") -> list[str]:
    """Return a comma-separated parameter."""
    return [part.strip() for part in request.args.get(key, "").split(",") if part.strip()]


class Pages(Frame):
    """Cursor and offset pages; `link_host` puts the vendor's own host into the links, as the real one does."""

    link_host: str | None = None

    def _link(self, request: Request, **parameters: object) -> str:
        args = {**request.args.to_dict(), **{k: str(v) for k, v in parameters.items()}}
        host = (self.link_host or request.host_url).rstrip("/")
        return f"{host}{request.path}?{urlencode(args)}"

    def cursor_page(self, request: Request, name: str, rows: Sequence[Row]) -> Response:
        """Return one cursor page of at most `page[size]` (100) rows."""
        size = min(int(request.args.get("page[size]", 100)), 1000)
        start = int(request.args.get("page[after]", "0").removeprefix("c") or 0)
        part, more = list(rows[start : start + size]), start + size < len(rows)
        after = f"c{start + len(part)}"
        link = self._link(request, **{"page[after]": after, "page[size]": size}) if more else None
        return json_reply(
            200,
            {
                name: part,
                "meta": {"has_more": more, "after_cursor": after if more else None, "before_cursor": None},
                "links": {"next": link, "prev": None},
            },
        )

    def offset_page(self, request: Request, name: str, rows: Sequence[Row]) -> Response:
        """Return one offset page of at most 100 rows."""
        size, page = min(int(request.args.get("per_page", 100)), 100), int(request.args.get("page", 1))
        more = page * size < len(rows)
        return json_reply(
            200,
            {
                name: list(rows[(page - 1) * size : page * size]),
                "count": len(rows),
                "next_page": self._link(request, page=page + 1) if more else None,
                "previous_page": None,
            },
        )


class Jobs(Pages):
    """Background jobs: queued, working, then done at the second poll or after two seconds; readable for one day."""

    def start_job(self, request: Request, work: str, targets: Sequence[str]) -> Response:
        """Queue `work` (a method taking the ids) and return its job status, or TooManyJobs."""
        if not targets or len(targets) > 100:
            return json_reply(400, {"error": "TooManyValues", "description": "Up to 100 ids are allowed"})
        if sum(1 for job in self.store.all("_job") if job["status"] in {"queued", "working"}) >= MAX_JOBS:
            return json_reply(429, {"error": "TooManyJobs", "description": "Too many jobs are queued or running"})
        key = f"{self.store.next_id('_job'):032x}"
        job = {
            "id": key,
            "job_type": work,
            "url": f"{request.host_url}api/v2/job_statuses/{key}.json",
            "total": len(targets),
            "progress": 0,
            "status": "queued",
            "message": None,
            "results": None,
            "_targets": list(targets),
            "_polls": 0,
            "_started": iso(self.now()),
            "_real": dt.datetime.now(dt.UTC).timestamp(),
        }
        self.store.put("_job", key, job)
        return json_reply(200, {"job_status": public(job)})

    def _advance(self, job: Row, *, poll: bool) -> Row:
        if job["status"] not in {"queued", "working"}:
            return job
        polls = job["_polls"] + (1 if poll else 0)
        aged = dt.datetime.now(dt.UTC).timestamp() - job["_real"] >= JOB_SECONDS
        aged = aged or self.now() - moment(job["_started"]) > DAY
        if polls < POLLS and not aged:
            return self.store.update("_job", job["id"], _polls=polls, status="working")
        results = getattr(self, job["job_type"])(job["_targets"])
        done = {"status": "completed", "progress": job["total"], "message": "Completed", "results": results}
        return self.store.update("_job", job["id"], **done)

    def on_clock(self) -> None:
        """Finish jobs nobody polls."""
        for job in self.store.all("_job"):
            self._advance(job, poll=False)
            if self.now() - moment(job["_started"]) > DAY:
                self.store.delete("_job", job["id"])

    def _readable(self, key: str) -> Row | None:
        job = self.store.get("_job", key)
        if job is None or self.now() - moment(job["_started"]) > DAY:
            return None
        return self._advance(job, poll=True)

    def show_job(self, _request: Request, job_id: str) -> Response:
        """GET /job_statuses/{id}."""
        job = self._readable(job_id.removesuffix(".json"))
        return json_reply(200, {"job_status": public(job)}) if job else not_found()

    def show_jobs(self, request: Request) -> Response:
        """GET /job_statuses/show_many."""
        jobs = [job for key in ids(request) if (job := self._readable(key))]
        return json_reply(200, {"job_statuses": [public(job) for job in jobs], "count": len(jobs)})


def body_of(request: Request) -> Row:
    """Return the JSON body, or an empty object."""
    parsed = json.loads(request.get_data() or b"{}")
    return parsed if isinstance(parsed, dict) else {}
