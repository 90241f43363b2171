"""The console over a fresh database with a fake login: `visit("operator").get("/")` is a page as operators see it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from fastapi import FastAPI
from sqlalchemy import Engine
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.testclient import TestClient

from include import install
from include.connections import Connection
from include.console.app import create_app
from include.console.roles import Capability, User
from include.console.services import Services
from include.errors import ConfigurationError
from tests.disposals.conftest import bench, context  # noqa: F401

ROLES = {
    "viewer": "RetentionViewer", "operator": "RetentionOperator", "approver": "RetentionApprover",
    "compliance": "RetentionCompliance", "admin": "RetentionAdmin",
}  # fmt: skip
NOW = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
SITE = "http://testserver"


def capabilities(role: str) -> frozenset[Capability]:
    """Return what roles.json lets a demo user do."""
    rights = install.rights()[ROLES[role]]
    return frozenset(c for c in Capability if (c.action, c.resource) in rights)


class FakeGate:
    """A login by header `x-user`, and an Airflow API that answers from a table and remembers what it was asked."""

    secret = b"s" * 32

    def __init__(self) -> None:
        self.answers: dict[tuple[str, str], tuple[int, Any]] = {}
        self.asked: list[tuple[str, str, str, Any]] = []

    async def user(self, request: Request) -> User:
        name = request.headers.get("x-user", "")
        if name not in ROLES:
            raise HTTPException(401)
        return User(name, name, capabilities(name))

    async def call(
        self, request: Request, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> tuple[int, Any]:
        self.asked.append((request.headers["x-user"], method, path, body))
        return self.answers.get((method, path), (404, None))


class Visit:
    """One person's browser."""

    def __init__(self, app: FastAPI, user: str) -> None:
        self.client = TestClient(app, headers={"x-user": user} if user else {}, follow_redirects=False)

    def get(self, path: str, **arguments: Any) -> Any:
        return self.client.get(path, **arguments)

    def post(self, path: str, data: Mapping[str, Any] | None = None, *, page: str = "/", **headers: str) -> Any:
        """Send a form with the token of a page, from this site."""
        found = re.search(r'name="csrf" value="([^"]+)"', self.get(page).text)
        sent = {"csrf": found[1]} if found else {}
        return self.client.post(path, data=sent | dict(data or {}), headers={"sec-fetch-site": "same-origin"} | headers)


@pytest.fixture
def gate() -> FakeGate:
    """Airflow's side."""
    return FakeGate()


@pytest.fixture
def services(engine: Engine) -> Services:
    """The sources: a fresh database; a test puts in what else it needs."""

    def connect(name: str) -> Connection:
        raise ConfigurationError(f"There is no Airflow connection {name!r}. (test)")

    made = Services(connect, now=lambda: NOW)
    made.__dict__["engine"] = engine
    return made


@pytest.fixture
def app(gate: FakeGate, services: Services) -> FastAPI:
    """The console."""
    return create_app(gate, services)


@pytest.fixture
def visit(app: FastAPI) -> Callable[[str], Visit]:
    """Open a browser as a role, or as nobody (`""`)."""
    return lambda user: Visit(app, user)
