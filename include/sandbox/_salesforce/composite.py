"""The composite resource of the stand-in, as far as reading needs it: each read has its own status inside a 200."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from werkzeug.exceptions import HTTPException
from werkzeug.test import EnvironBuilder
from werkzeug.wrappers import Request, Response

from include.sandbox._salesforce.rows import Problem, refusal
from include.sandbox._salesforce.soql import SoqlError
from include.sandbox.standin import json_reply


class Composite:
    """The composite part of the stand-in; mixed into it, so it uses its routes."""

    composites = True
    """Whether there is such a resource; servers that only look like Salesforce have none."""

    if TYPE_CHECKING:
        _match: Any

        def not_found(self, request: Request) -> Response: ...

    def composite(self, request: Request, version: str) -> Response:
        """Answer up to 25 reads, five of them queries, as one call; each has its own status, the whole is a 200."""
        if not self.composites:
            return self.not_found(request)
        asked = json.loads(request.get_data()).get("compositeRequest") or []
        queries = [one for one in asked if "/query" in str(one.get("url"))]
        names = [str(one.get("referenceId")) for one in asked]
        if not 0 < len(asked) <= 25 or len(queries) > 5 or len(set(names)) != len(names):
            raise Problem("PROCESSING_HALTED", "Too many subrequests, or a reference ID twice")
        answers = []
        for one, name in zip(asked, names, strict=True):
            if one.get("method") != "GET" or one.get("body") or not re.fullmatch(r"[A-Za-z]\w*", name):
                raise Problem("INVALID_INPUT", "Only reads are part of the sandbox")
            response = self._inner(str(one["url"]))
            answers.append(
                {
                    "body": json.loads(response.get_data()),
                    "httpHeaders": {},
                    "httpStatusCode": response.status_code,
                    "referenceId": name,
                }
            )
        return json_reply(200, {"compositeResponse": answers})

    def _inner(self, url: str) -> Response:
        inner = Request(EnvironBuilder(path=url.partition("?")[0], query_string=url.partition("?")[2]).get_environ())
        try:
            route, arguments = self._match(inner.path, "GET")
            answer: Response = getattr(self, route.handler)(inner, **arguments)
        except HTTPException:
            answer = self.not_found(inner)
        except (Problem, SoqlError) as error:
            answer = refusal(getattr(error, "status", 400), error.code, error.message)
        return answer
