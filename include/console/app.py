"""The console as a FastAPI app: every route guarded, nothing undeclared, errors without anybody in them.

app = create_app(gate, services)          # `gate` is Airflow's side (`airflow_side.Gate`), or a test's
"""

from __future__ import annotations

import logging
import mimetypes
import uuid
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qs

import anyio.from_thread
from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from include.console import csrf
from include.console.asking import Ask, environment
from include.console.pages import Route, pages
from include.console.roles import Capability, User
from include.console.services import Services
from include.console.words import LANGUAGES, Words, chosen, texts
from include.errors import ConfigurationError, DecisionRefused, RetentionError

log = logging.getLogger(__name__)
STATIC = Path(__file__).with_name("static")
COOKIE = "retention_lang"
MOST_BYTES = 64 * 1024
"""No form of ours is larger."""
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; frame-ancestors 'self'; base-uri 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


class Gate(Protocol):
    """Airflow's side: who is logged in, with what rights, and Airflow's API as that person."""

    @property
    def secret(self) -> bytes: ...
    async def user(self, request: Request) -> User: ...
    async def call(
        self, request: Request, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> tuple[int, Any]: ...


def create_app(gate: Gate, services: Services) -> FastAPI:
    """Return the app; a route that declares no capability stops it here."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    app.state.gate, app.state.services = gate, services
    for page in pages():
        for route in page.routes:
            _add(app, route.method, route.path, route.capability, partial(_answer, app, route))
    _add(app, "GET", "/static/{name}", Capability.COUNTS, partial(_static, app))
    undeclared = [r for r in app.routes if declared(r) is None]
    if undeclared:
        raise RuntimeError(f"routes without a declared capability: {undeclared}")
    app.add_exception_handler(HTTPException, _refused)
    app.middleware("http")(_dress)
    return app


class Guarded:
    """An endpoint that asks who it is and what they may, before anything of the request is read."""

    def __init__(
        self, capability: Capability, gate: Gate, inner: Callable[[Request, User], Awaitable[Response]]
    ) -> None:
        self.capability, self._gate, self._inner = capability, gate, inner

    async def answer(self, request: Request) -> Response:
        """Answer, or refuse with 401 or 403."""
        user = await self._gate.user(request)
        if self.capability not in user.may:
            raise HTTPException(403)
        return await self._inner(request, user)


def declared(route: object) -> Capability | None:
    """Return the capability a route of the app needs; None for one that was added past the registry."""
    guarded = getattr(getattr(route, "endpoint", None), "__self__", None)
    return guarded.capability if isinstance(guarded, Guarded) else None


def _add(app: FastAPI, method: str, path: str, capability: Capability, inner: Any) -> None:
    app.router.add_route(path, Guarded(capability, app.state.gate, inner).answer, methods=[method])


async def _answer(app: FastAPI, route: Route, request: Request, user: User) -> Response:
    gate: Gate = app.state.gate
    now = app.state.services.now().timestamp()
    form: dict[str, list[str]] = {}
    if route.method == "POST":
        form = await _form(request)
        if not csrf.from_here(request.headers) or not csrf.holds(
            gate.secret, user.id, now, (form.pop(csrf.FIELD, None) or [""])[0]
        ):
            raise HTTPException(403, "csrf")

    def airflow(method: str, path: str, body: Mapping[str, Any] | None = None) -> tuple[int, Any]:
        return anyio.from_thread.run(gate.call, request, method, path, body)

    ask = Ask(
        path=_path(request),
        user=user,
        words=Words(_language(request)),
        services=app.state.services,
        csrf=csrf.token(gate.secret, user.id, now),
        airflow=airflow,
        query=dict(request.query_params),
        form=form,
        parts={k: str(v) for k, v in request.path_params.items()},
        ip=request.client.host if request.client else "",
    )
    try:
        return await run_in_threadpool(route.handler, ask)
    except (DecisionRefused, ConfigurationError) as error:
        return await run_in_threadpool(
            ask.render, "trouble.html", status=400 if isinstance(error, DecisionRefused) else 503, message=str(error)
        )
    except RetentionError as error:
        return await run_in_threadpool(ask.render, "trouble.html", status=502, message=str(error))


async def _form(request: Request) -> dict[str, list[str]]:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise HTTPException(415)
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BYTES:
            raise HTTPException(413)
    try:
        return parse_qs(body.decode(), keep_blank_values=True, max_num_fields=500, strict_parsing=False)
    except ValueError:
        raise HTTPException(400) from None


async def _static(app: FastAPI, request: Request, user: User) -> Response:
    path = STATIC / request.path_params["name"]
    if path.parent != STATIC or not path.is_file():
        raise HTTPException(404)
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return Response(path.read_bytes(), media_type=kind, headers={"cache-control": "private, max-age=86400"})


def _stamp(name: str) -> str:
    return f"{name}?{sha256((STATIC / name).read_bytes()).hexdigest()[:12]}"


environment.globals["static"] = _stamp


def _path(request: Request) -> str:
    """Return the path below the console's root, whatever it is mounted under."""
    root = str(request.scope.get("root_path", ""))
    path = str(request.scope["path"])
    return path[len(root) :] if root and path.startswith(root) else path


def _language(request: Request) -> str:
    return chosen(
        request.query_params.get("lang"), request.cookies.get(COOKIE), request.headers.get("accept-language", "")
    )


async def _refused(request: Request, error: Exception) -> Response:
    """Answer a refusal with a page that holds nothing of the request."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    why = "csrf" if isinstance(error, HTTPException) and error.detail == "csrf" else str(status)
    return _bare(request, status, why)


def _bare(request: Request, status: int, why: str, reference: str = "") -> Response:
    words = Words(_language(request))
    key = f"refused.{why}" if f"refused.{why}" in texts() else "refused.other"
    text = environment.get_template("refused.html").render(
        t=words, status=status, key=key, reference=reference, root="../" * max(_path(request).count("/") - 1, 0) or "./"
    )
    return Response(text, status, media_type="text/html")


async def _dress(request: Request, go_on: Callable[[Request], Awaitable[Response]]) -> Response:
    """Put the security headers on every answer, and turn a crash into a page and one line without anybody in it."""
    try:
        response = await go_on(request)
    except Exception as error:
        reference = uuid.uuid4().hex[:12]
        # The text of a foreign exception may quote a row or what a person typed, and so may a traceback.
        log.error("page failed: reference %s, %s at %s", reference, type(error).__name__, _where(error))
        try:
            response = _bare(request, 500, "500", reference)
        except Exception:  # even the page of the crash may crash; without an answer Starlette would print the traceback
            response = PlainTextResponse(f"500 {reference}", 500)
    for name, value in HEADERS.items():
        response.headers[name] = value
    response.headers.setdefault("cache-control", "no-store")
    wanted = request.query_params.get("lang")
    if wanted in LANGUAGES:
        path = request.scope.get("root_path", "") or "/"
        secure = request.url.scheme == "https"
        response.set_cookie(
            COOKIE, wanted, max_age=365 * 86400, path=path, httponly=True, samesite="lax", secure=secure
        )
    return response


def _where(error: BaseException) -> str:
    """Return file and line of the innermost frame that is ours."""
    found, trace = "?", error.__traceback__
    while trace is not None:
        name = trace.tb_frame.f_code.co_filename
        if "/include/" in name:
            found = f"{name.rpartition('/include/')[2]}:{trace.tb_lineno}"
        trace = trace.tb_next
    return found
