"""The frame of every stand-in: state that survives a restart, a virtual clock, published limits, faults, a request log.

A stand-in is a class with `name`, `routes` (werkzeug rules) and handlers; it keeps objects in `self.store`:

    class StandIn(Frame):
        name = "zendesk"
        limits = (Limit("api", 700, 60),)
        routes = (Route("GET", "/api/v2/users/<int:user_id>", "show_user"),)
        def show_user(self, request, user_id): return json_reply(200, {...})

Control, on the same port, for tests and `make run`:

| request | does |
|---|---|
| `GET/PUT /_sandbox/clock` | reads or moves the virtual date: `{"date": "2027-03-01"}` |
| `PUT /_sandbox/faults` | sets the fault script, a list of `Fault` fields; `[]` clears it |
| `GET /_sandbox/requests` | every vendor request so far: method, path, status, whether it could change anything |
| `GET /_sandbox/dump` | JSON lines, one stored object each, sorted: `{"kind", "id", …}` |
| `POST /_sandbox/seed` | adds objects: `{"kind": [{"id": …, …}, …]}` |
"""

from __future__ import annotations

import datetime as dt
import json
import re
import socket
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map, Rule
from werkzeug.wrappers import Request, Response

from include.sandbox._serving import Server
from include.sandbox._store import Store

__all__ = ["Cut", "Fault", "Frame", "Limit", "Route", "Serving", "Store", "json_reply"]

READS = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class Route:
    """One vendor route; `changing` says whether it may alter state (default: by method), `group` picks its limit."""

    method: str
    rule: str
    handler: str
    changing: bool | None = None
    group: str = "api"


@dataclass(frozen=True, slots=True)
class Limit:
    """A published limit: `calls` per `seconds` for routes of `group`."""

    group: str
    calls: int
    seconds: float


@dataclass(slots=True)
class Fault:
    """What goes wrong, `times` times, on requests whose method and path match.

    Kinds: `status` (answer `status` with `body` and `headers`, do nothing), `lie` (answer as if done, change nothing),
    `cut_after` (do it, then cut the connection), `cut_before` (cut at once), `html` (an HTML page with `status`),
    `slow` (wait `seconds`, then do it), and any other word, which handlers may ask for with `self.fault("word",
    request)`.
    """

    kind: str
    method: str = ".*"
    path: str = ".*"
    times: int = 1
    after: int = 0
    status: int = 503
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = None
    seconds: float = 0.0


class Cut(Exception):
    """Handlers raise this to cut the connection without an answer."""


def json_reply(status: int, body: Any, headers: Mapping[str, str] | None = None) -> Response:
    """Return a JSON response."""
    return Response(
        json.dumps(body), status=status, headers=dict(headers or {}), content_type="application/json; charset=utf-8"
    )


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a stand-in asks of its Airflow connection: made up, and known to everybody."""

    login: str = ""
    password: str = ""
    extra: Mapping[str, str] = field(default_factory=dict)


class Frame:
    """The base of every stand-in."""

    name: ClassVar[str]
    credentials: ClassVar[Credentials] = Credentials()
    routes: ClassVar[tuple[Route, ...]] = ()
    limits: ClassVar[tuple[Limit, ...]] = ()

    def __init__(self, folder: Path | None = None, *, limit_factor: float = 1.0) -> None:
        if folder:
            folder.mkdir(parents=True, exist_ok=True)
        self.store = Store(folder / f"{self.name}.sqlite" if folder else None)
        self.requests: list[dict[str, Any]] = []
        self._log = (folder / f"{self.name}.requests.jsonl").open("a", buffering=1) if folder else None
        self.faults: list[Fault] = []
        self.lock = threading.RLock()
        self.limit_factor = limit_factor
        self._windows: dict[str, deque[float]] = {limit.group: deque() for limit in self.limits}
        rules = [Rule(r.rule, methods=[r.method], endpoint=r) for r in self.routes]
        paths = Map(rules, strict_slashes=False, merge_slashes=False).bind("127.0.0.1")
        self._match = lru_cache(maxsize=4096)(paths.match)

    # -- clock -----------------------------------------------------------------------------------------------------
    def now(self) -> dt.datetime:
        """Return the virtual time: real UTC plus the stored offset."""
        offset = (self.store.get("_sandbox", "clock") or {"days": 0})["days"]
        return dt.datetime.now(dt.UTC) + dt.timedelta(days=offset)

    def set_date(self, date: dt.date) -> None:
        """Move the virtual clock so that today in Seoul is `date`."""
        seoul = dt.datetime.now(dt.timezone(dt.timedelta(hours=9))).date()
        with self.lock:
            self.store.put("_sandbox", "clock", {"days": (date - seoul).days})
            self.on_clock()
            self.store.commit()

    def on_clock(self) -> None:
        """Let time-driven changes happen (recycle bins, background deletions); called before every request too."""

    # -- requests --------------------------------------------------------------------------------------------------
    def fault(self, kind: str, request: Request) -> Fault | None:
        """Return (and use up) the first matching fault of `kind`, if any."""
        return self._take(request, {kind})

    def _take(self, request: Request, kinds: set[str]) -> Fault | None:
        for fault in self.faults:
            if (
                fault.kind in kinds
                and fault.times > 0
                and re.fullmatch(fault.method, request.method)
                and re.search(fault.path, request.path)
            ):
                if fault.after > 0:
                    fault.after -= 1
                    continue
                fault.times -= 1
                return fault
        return None

    def too_many(self, request: Request, limit: Limit) -> Response:
        """Answer a request over its limit; vendors override the shape."""
        return json_reply(429, {"error": "TooManyRequests"}, {"Retry-After": "1"})

    def authorize(self, request: Request) -> Response | None:
        """Return an error response when the request's credentials are not accepted."""
        return None

    def not_found(self, request: Request) -> Response:
        """Answer a path the vendor does not have."""
        return json_reply(404, {"error": "NotFound"})

    def _limited(self, request: Request, group: str) -> Response | None:
        for limit in self.limits:
            if limit.group != group:
                continue
            window, now = self._windows[group], time.monotonic()
            while window and window[0] <= now - limit.seconds:
                window.popleft()
            if len(window) >= limit.calls * self.limit_factor:
                return self.too_many(request, limit)
            window.append(now)
        return None

    def _handle(self, request: Request) -> tuple[Response, bool]:
        self.on_clock()
        try:
            route, arguments = self._match(request.path, request.method)
        except HTTPException:
            return self.not_found(request), request.method not in READS
        changing = request.method not in READS if route.changing is None else route.changing
        refused = self._limited(request, route.group) or self.authorize(request)
        if refused is not None:
            return refused, changing
        return getattr(self, route.handler)(request, **arguments), changing

    def respond(self, request: Request) -> Response:
        """Answer one vendor request under the fault script; state and log are committed before the answer leaves."""
        with self.lock:
            fault = self._take(request, {"status", "html", "lie", "cut_before", "cut_after", "slow"})
            kind = fault.kind if fault else None
        if fault and kind == "slow":
            time.sleep(fault.seconds)
        with self.lock:
            changing = request.method not in READS
            if fault and kind == "status":
                response = json_reply(
                    fault.status, fault.body if fault.body is not None else {"error": "fault"}, fault.headers
                )
            elif fault and kind == "html":
                response = Response(
                    "<html><body>Service unavailable</body></html>",
                    status=fault.status,
                    headers=fault.headers,
                    content_type="text/html",
                )
            elif kind == "cut_before":
                self._record(request, 0, changing=False)
                raise Cut
            else:
                try:
                    response, changing = self._handle(request)
                except BaseException:
                    self.store.rollback()
                    raise
            if kind == "lie":
                self.store.rollback()
            else:
                self.store.commit()
            self._record(request, response.status_code, changing=changing and kind not in {"status", "html", "lie"})
            if kind == "cut_after":
                raise Cut
            return response

    def _record(self, request: Request, status: int, *, changing: bool) -> None:
        line = {
            "method": request.method,
            "path": request.full_path.rstrip("?"),
            "status": status,
            "changing": changing,
            "date": self.now().date().isoformat(),
        }
        self.requests.append(line)
        if self._log:
            self._log.write(json.dumps(line) + "\n")

    # -- control ---------------------------------------------------------------------------------------------------
    def _control(self, request: Request) -> Response:
        what = request.path.removeprefix("/_sandbox/")
        if what == "clock":
            if request.method == "PUT":
                self.set_date(dt.date.fromisoformat(json.loads(request.get_data())["date"]))
            return json_reply(200, {"date": (self.now() + dt.timedelta(hours=9)).date().isoformat()})
        if what == "faults" and request.method == "PUT":
            self.faults = [Fault(**f) for f in json.loads(request.get_data())]
            return json_reply(200, {"faults": len(self.faults)})
        if what == "requests":
            return json_reply(200, self.requests)
        with self.lock:
            if what == "dump":
                return Response(
                    "".join(json.dumps(o, ensure_ascii=False, sort_keys=True) + "\n" for o in self.store.dump()),
                    content_type="application/x-ndjson",
                )
            if what == "seed" and request.method == "POST":
                return json_reply(200, {"added": self.seed(json.loads(request.get_data()))})
        return json_reply(404, {"error": "unknown control"})

    def seed(self, objects: Mapping[str, Sequence[Mapping[str, Any]]]) -> int:
        """Add objects by kind; every one needs `id`. Returns how many."""
        for kind, rows in objects.items():
            for row in rows:
                self.store.put(kind, row["id"], row)
        self.store.commit()
        return sum(len(rows) for rows in objects.values())

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        """The WSGI application."""
        request = Request(environ)
        try:
            request.get_data()  # read the body before answering, or a kept-alive connection breaks
            response = self._control(request) if request.path.startswith("/_sandbox/") else self.respond(request)
        except Cut:
            connection: socket.socket = environ["werkzeug.socket"]
            connection.shutdown(socket.SHUT_RDWR)
            connection.close()
            raise ConnectionError("cut on purpose") from None
        return response(environ, start_response)


class Serving:
    """A stand-in on a loopback port, in a thread; use as a context manager. `host` opens it to a container network."""

    def __init__(self, standin: Frame, port: int = 0, *, host: str = "127.0.0.1") -> None:
        self.standin = standin
        self._server = Server(port, standin, host=host)
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    @property
    def url(self) -> str:
        """The address without a trailing slash."""
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Serving:
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()
