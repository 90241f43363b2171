"""A stand-in of Microsoft Clarity's data export API, the only call Clarity has about what it recorded.

What it plays, after learn.microsoft.com/clarity ("Clarity Data Export API"):

- one call, `project-live-insights`, over the last one to three days, with up to three dimensions and a JWT per project;
- ten requests a project and day, at most 1,000 rows, no paging;
- aggregates only: no user id goes in or comes out, and nothing can be deleted (`microsoft/clarity` issue 92).

Objects of kind `session` (`{"id", "day"}`) are counted when they fall into the asked days. The vendor's page shows the
success shape; the bodies of its errors are not documented, so they are plain text here.
"""

from __future__ import annotations

import datetime as dt
import hmac
from typing import Any

from werkzeug.wrappers import Request, Response

from include.sandbox.standin import Credentials, Frame, Limit, Route, json_reply

TOKEN = "sandbox"  # noqa: S105 - the stand-in's own
DIMENSIONS = frozenset({"Browser", "Device", "Country/Region", "OS", "Source", "Medium", "Campaign", "Channel", "URL"})


class StandIn(Frame):
    """Clarity as `include/processors/clarity.py` meets it."""

    name = "clarity"
    credentials = Credentials(password=TOKEN)
    limits = (Limit("api", 10, 86_400),)
    routes = (Route("GET", "/export-data/api/v1/project-live-insights", "show_insights"),)

    def authorize(self, request: Request) -> Response | None:
        """Ask for the project's bearer token."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer" or not hmac.compare_digest(token.encode(), TOKEN.encode()):
            return Response("Unauthorized", 401, content_type="text/plain")
        return None

    def too_many(self, request: Request, limit: Limit) -> Response:
        """Answer the eleventh request of a day."""
        return Response("Exceeded daily limit", 429, content_type="text/plain")

    def show_insights(self, request: Request) -> Response:
        """`GET /export-data/api/v1/project-live-insights?numOfDays=1..3`: rows of totals."""
        days = request.args.get("numOfDays", "")
        wanted = [v for k in ("dimension1", "dimension2", "dimension3") if (v := request.args.get(k))]
        if days not in ("1", "2", "3") or not set(wanted) <= DIMENSIONS:
            return Response("Bad request", 400, content_type="text/plain")
        since = self.now().date() - dt.timedelta(days=int(days))
        count = sum(dt.date.fromisoformat(s["day"]) > since for s in self.store.all("session"))
        row: dict[str, Any] = {
            "totalSessionCount": str(count),
            "totalBotSessionCount": "0",
            "distinctUserCount": str(count),
            "pagesPerSessionPercentage": 1.0,
            **dict.fromkeys(wanted, "Other"),
        }
        return json_reply(200, [{"metricName": "Traffic", "information": [row] if count else []}])
