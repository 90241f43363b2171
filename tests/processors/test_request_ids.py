"""Whatever a vendor refuses or fails to do, its id of that request is kept, with a code, and never its words.

The server here is none of ours: it knows one sentence and says it to everything but a login.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from sqlalchemy import create_engine

from include.connections import Connection
from include.errors import ProcessorError
from include.policy import schedule
from include.processors import Site, Subject, load
from include.processors._adroll.api import Lists
from include.processors._answers import request_id
from tests.processors.worlds.base import ENDED, ON

SAID = "Sample Person <sample.person@example.com>"
IDS = {
    "salesforce": ("X-SFDC-Request-Id", "5f1d7c2e9b3a4d6f8e0c1b2a39485766"),
    "stripe": ("Request-Id", "req_1a2B3c4D5e6F7g"),
    "zendesk": ("X-Zendesk-Request-Id", "ee0ab0a7c2f3a4b0c2ff"),
    "s3": ("x-amz-request-id", "5S5X2XYAGQZGXBYD"),
    "adroll": ("X-Request-Id", "8c7b2d1e-0001-4c6d-9f00-1234567890ab"),
    "clarity": ("X-Request-Id", "8c7b2d1e-0001-4c6d-9f00-1234567890ab"),
}


@dataclass
class Saying:
    """What is said to everybody."""

    url: str = ""
    status: int = 500
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


@pytest.fixture
def saying() -> Iterator[Saying]:
    """A server that says one thing."""
    told = Saying()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_args: object) -> None:
            """Say nothing."""

        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            login = "oauth2/token" in self.path and told.status != 400
            granted = {"access_token": "00D!x", "instance_url": "https://acme.my.salesforce.com"}
            status, body = (200, json.dumps(granted).encode()) if login else (told.status, told.body)
            self.send_response(status)
            for name, value in ({} if login else told.headers).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(b"" if self.command == "HEAD" else body)

        do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = answer

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    told.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield told
    server.shutdown()
    server.server_close()


def _site(name: str, url: str) -> Site:
    extra: dict[str, Any] = {
        "endpoint_url": url, "subdomain": "acme", "apikey": "key", "advertisable": "ADV", "domain": "acme.my",
        "consumer_key": "k", "consumer_secret": "s",
    }  # fmt: skip
    connection = Connection(name, login="agent@example.com", password="sk_test_1", extra=extra)
    settings = {
        **schedule.load().processors[name].settings,
        "places": [{"bucket": "live-bucket", "prefix": "{account_id}/"}],
    }
    if name != "s3":
        settings.pop("places")
    return Site(connection, settings, ON, accounts=create_engine("sqlite://"))


def _ask(name: str, url: str) -> None:
    site = _site(name, url)
    if name == "adroll":
        Lists(site).all()
        return
    processor: Any = load(name)(site)
    if name == "clarity":
        processor._register.check = lambda: None
    processor.check()
    subject = Subject("d", "1", "individual", "x", ("customer",), "R", "terminated", ENDED, emails=("a@example.com",))
    processor.locate([subject])


SAYINGS = {
    "no key": (401, b"{}"),
    "no right": (403, json.dumps({"error": SAID}).encode()),
    "too many": (429, json.dumps({"error": {"message": SAID}}).encode()),
    "a page": (500, SAID.encode()),
    "down": (503, b"<html></html>"),
    "not their 404": (404, b"<html></html>"),
    "refused": (400, json.dumps([{"errorCode": "MALFORMED_QUERY", "message": SAID}]).encode()),
    "a page as success": (200, b"<html><body></body></html>"),
}


WITHOUT = {
    # Its one call proves the token and nothing about a person: no disposal waits for it.
    *(("clarity", said) for said in ("too many", "a page", "down", "a page as success")),
    # boto3 keeps a page's headers to itself once it took the page for a listing; the listing is refused.
    ("s3", "a page as success"),
}
KEPT = [(name, said) for name in IDS for said in SAYINGS if (name, said) not in WITHOUT]


@pytest.mark.parametrize(("name", "said"), KEPT)
def test_the_vendors_request_id_is_kept(name: str, said: str, saying: Saying, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _seconds: None)
    header, value = IDS[name]
    saying.status, saying.body = SAYINGS[said]
    saying.headers = {header: value, "Retry-After": "3600"}
    if name == "s3":
        saying.body = f"<Error><Code>Odd</Code><Message>{SAID}</Message></Error>".encode()
    with pytest.raises(ProcessorError) as raised:
        _ask(name, saying.url)
    error = raised.value
    assert error.request_id == value
    assert error.code
    assert "sample" not in str(error).lower()


def test_s3s_second_id_is_told_in_the_message(saying: Saying) -> None:
    saying.status, saying.body = 403, b"<Error><Code>AccessDenied</Code></Error>"
    saying.headers = {
        "x-amz-request-id": IDS["s3"][1],
        "x-amz-id-2": "Uuag1LuByRx9e6j5Onimru9pO4ZVKnJ2Qz7/C1NPcfTWAtRPfTaOFg==",
    }
    with pytest.raises(ProcessorError, match=r"x-amz-id-2 Uuag1LuByRx9e6j5Onimru9pO4ZVKnJ2Qz7/C1NPcfTWAtRPfTaOFg=="):
        _ask("s3", saying.url)


def test_a_name_is_no_request_id() -> None:
    assert request_id({"X-Request-Id": "sample.person@example.com", "Request-Id": "Sample Person"}) is None
    assert request_id({"X-Request-Id": "SamplePerson"}) is None
    assert request_id({"x-request-id": "6cf63ab2bfc9c7ba-ICN"}) == "6cf63ab2bfc9c7ba-ICN"
