"""Zendesk on the wire: every request of a whole life is an operation Zendesk publishes, with parameters it has.

The table is what Zendesk's own OpenAPI document of the Support API declares for these operations; it leaves out a
user's tickets by role, offset pages and side-loading, which Zendesk's pages on tickets, pagination and side-loading
describe instead (`PROSE`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from werkzeug.wrappers import Request, Response

from include.sandbox.servers import PostgresServer, S3Server
from include.sandbox.zendesk import StandIn
from tests.processors.worlds import make
from tests.processors.worlds.play import Stage, playing, staged

CURSOR = frozenset({"page[size]", "page[after]", "page[before]"})
IDS = frozenset({"ids"})
NONE: frozenset[str] = frozenset()
PUBLISHED: Mapping[tuple[str, str], frozenset[str]] = {
    ("GET", "/users/me"): NONE,
    ("GET", "/users/search"): frozenset({"query", "external_id"}),
    ("GET", "/users/show_many"): IDS | {"external_ids"},
    ("GET", "/users/*"): NONE,
    ("GET", "/users/*/identities"): CURSOR,
    ("GET", "/users/*/compliance_deletion_statuses"): CURSOR | {"application"},
    ("DELETE", "/users/*"): NONE,
    ("DELETE", "/users/destroy_many"): IDS | {"external_ids"},
    ("GET", "/deleted_users"): CURSOR,
    ("GET", "/deleted_users/*"): NONE,
    ("DELETE", "/deleted_users/*"): NONE,
    ("GET", "/search/export"): CURSOR | {"query", "filter[type]"},
    ("GET", "/tickets/show_many"): IDS,
    ("GET", "/tickets/*"): NONE,
    ("GET", "/tickets/*/audits"): CURSOR,
    ("GET", "/tickets/*/comments"): CURSOR | {"include", "include_inline_images", "sort"},
    ("DELETE", "/tickets/destroy_many"): IDS,
    ("GET", "/deleted_tickets"): CURSOR | {"sort_by", "sort_order"},
    ("DELETE", "/deleted_tickets/*"): NONE,
    ("DELETE", "/deleted_tickets/destroy_many"): IDS,
    ("GET", "/suspended_tickets"): CURSOR | {"sort_by", "sort_order"},
    ("DELETE", "/suspended_tickets/destroy_many"): IDS,
    ("GET", "/job_statuses/*"): NONE,
    ("GET", "/account/settings"): NONE,
    ("PUT", "/comment_redactions/*"): NONE,
    ("PUT", "/chat_redactions/*"): NONE,
    ("PUT", "/chat_file_redactions/*"): NONE,
}
BODIES: Mapping[str, frozenset[str]] = {
    "/comment_redactions/*": frozenset({"ticket_id", "html_body", "external_attachment_urls", "text"}),
    "/chat_redactions/*": frozenset({"chat_id", "chat_index", "message_id", "text"}),
    "/chat_file_redactions/*": frozenset({"chat_id", "chat_indexes", "message_ids"}),
}
"""The document declares no bodies for these; they are on the pages of the ticket comments."""
PROSE: Mapping[tuple[str, str], frozenset[str]] = {
    **dict.fromkeys((("GET", f"/users/*/tickets/{role}") for role in ("requested", "ccd", "followed")), CURSOR),
    ("GET", "/users/search"): frozenset({"per_page", "page"}),
    ("GET", "/users/show_many"): frozenset({"per_page", "page", "include"}),
    ("GET", "/tickets/show_many"): frozenset({"include"}),
}


@pytest.fixture(scope="module")
def stage(postgres: PostgresServer, s3: S3Server) -> Iterator[Stage]:
    with staged(postgres, s3) as made:
        yield made


@pytest.mark.parametrize("variant", ["everything", "two_users", "email_only", "nobody"])
def test_every_request_is_one_that_zendesk_publishes(
    stage: Stage, variant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str, dict[str, str], Any]] = []
    respond = StandIn.respond

    def recording(self: StandIn, request: Request) -> Response:
        path = re.sub(r"(?<=/)(\d+|[0-9a-f]{16,64}|V\d-[0-9a-f]+)(?=/|$)", "*", request.path.removeprefix("/api/v2"))
        text = request.get_data(as_text=True)
        asked.append((request.method, path, dict(request.args), json.loads(text) if text else None))
        return respond(self, request)

    monkeypatch.setattr(StandIn, "respond", recording)
    with playing(stage, make(stage, "zendesk", variant)) as play:
        play.plan()
        play.nights()
        play.check("")
    assert asked
    for method, path, parameters, body in asked:
        key = (method, path)
        assert key in PUBLISHED or key in PROSE, key
        assert set(parameters) <= PUBLISHED.get(key, NONE) | PROSE.get(key, NONE), (key, parameters)
        assert set(body or {}) <= BODIES.get(path, NONE), (key, body)
        assert len(parameters.get("ids", "").split(",")) <= 100
        assert int(parameters.get("page[size]", 1)) <= (1000 if path == "/search/export" else 100)
