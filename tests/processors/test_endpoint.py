"""`endpoint_url` redirects all of a processor's traffic: a whole life with no other host to be reached.

The endpoint is a reverse proxy under a path of its own (not for S3, which signs the path), with small pages; every
link in an answer names another host. Names cannot be resolved, the machine's proxy variables lead to a trap, and every
socket a processor opens is looked at.
"""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from include.sandbox.servers import PostgresServer, S3Server
from tests.processors.lies import HTTP
from tests.processors.worlds import kind_of, make
from tests.processors.worlds.play import Stage, playing, staged
from tests.processors.worlds.tamper import Trap
from tests.processors.worlds.wire import NAME, Reply, Script, wired

LINKS = re.compile(
    rb'("(?:next|prev|next_page|previous_page|url|self|invoice_pdf|hosted_invoice_url|nextRecordsUrl)": ?")'
    rb"(?:https?://[^/\"]+)?(?=[/\"])"
)
SMALL = re.compile(rb"(page%5Bsize%5D|per_page|limit)=\d+")


@pytest.fixture(scope="module")
def stage(postgres: PostgresServer, s3: S3Server) -> Iterator[Stage]:
    with staged(postgres, s3) as made:
        yield made


def _a_proxys() -> bool:
    """Whether this is a thread of a proxy or server of ours, which passes on what it got."""
    return threading.current_thread().name == NAME or "process_request" in threading.current_thread().name


@contextlib.contextmanager
def watched(monkeypatch: pytest.MonkeyPatch) -> Iterator[set[Any]]:
    """Yield where sockets were opened to, and which names were looked up, except by the proxy's own threads."""
    gone: set[Any] = set()
    connect, resolve = socket.socket.connect, socket.getaddrinfo

    def connecting(self: socket.socket, address: Any) -> None:
        if not _a_proxys() and self.family != socket.AF_UNIX:
            gone.add(address[:2])
        connect(self, address)

    def resolving(host: Any, *arguments: Any, **options: Any) -> Any:
        if host not in ("127.0.0.1", b"127.0.0.1"):
            gone.add((host, "looked up"))
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return resolve(host, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(socket.socket, "connect", connecting)
        patch.setattr(socket, "getaddrinfo", resolving)
        yield gone


@pytest.mark.parametrize("elsewhere", ["https://vendor.example.com", "http://169.254.169.254"])
@pytest.mark.parametrize("name", HTTP)
def test_nothing_goes_anywhere_but_to_the_endpoint(
    name: str, elsewhere: str, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    trap = Trap()
    for variable in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(variable, trap.url)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    prefix = "" if name == "s3" else "/proxied/erasure"
    with playing(stage, make(stage, name)) as play:
        world, passed = play.world, 0
        if name == "salesforce":
            world.standin.page_size = 1  # type: ignore[attr-defined]
        upstream = world.connection().endpoint_url
        assert upstream

        def smaller(raw: bytes) -> bytes:
            nonlocal passed
            passed += 1
            line, rest = raw.split(b"\r\n", 1)
            return SMALL.sub(rb"\1=2", line) + b"\r\n" + rest

        def led_away(reply: Reply) -> Reply:
            if name == "s3":
                return reply
            return Reply(reply.status, reply.headers, LINKS.sub(rb"\1" + elsewhere.encode(), reply.body))

        with (
            wired(upstream, trap.url, Script(0, on=False), prefix=prefix, before=smaller, after=led_away) as wire,
            watched(monkeypatch) as gone,
        ):
            world.via = wire.url
            play.plan()
            play.nights()
        port = int(wire.url.split(":")[2].split("/")[0])
        assert gone == {("127.0.0.1", port)}
        assert play.end() == kind_of(name).variants[world.variant], play.errors
        assert passed
        assert not trap.knocked()
        play.check("")
    trap.close()
