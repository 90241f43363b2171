"""Who gets in: every route of the app, whatever pages there are, against nobody and against every role."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from fastapi import FastAPI
from sqlalchemy import Engine

from include.connections import Connection
from include.console import csrf
from include.console.app import create_app, declared
from include.console.pages import Page, pages
from include.console.roles import Capability
from include.console.services import Services
from include.errors import ConfigurationError
from tests.console.conftest import NOW, ROLES, FakeGate, Visit, capabilities

DOORS = [(r.method, r.path, r.capability) for p in pages() for r in p.routes] + [
    ("GET", "/static/console.css", Capability.COUNTS)
]
FILLED = re.compile(r"\{[^}]+\}")


def door(path: str) -> str:
    return FILLED.sub("x", path)


@pytest.fixture
def services() -> Services:
    """No source at all: who is refused never gets as far as one."""

    def connect(name: str) -> Connection:
        raise ConfigurationError(f"There is no Airflow connection {name!r}. (test)")

    return Services(connect, now=lambda: NOW)


def test_nobody_gets_in_without_a_login(visit: Callable[[str], Visit]) -> None:
    for method, path, _ in DOORS:
        assert visit("").client.request(method, door(path)).status_code == 401, (method, path)


@pytest.mark.parametrize("role", ROLES)
def test_a_role_without_the_capability_is_refused(visit: Callable[[str], Visit], gate: FakeGate, role: str) -> None:
    client = visit(role).client
    for method, path, capability in DOORS:
        if capability not in capabilities(role):
            reply = client.request(method, door(path), headers={"sec-fetch-site": "same-origin"})
            assert reply.status_code == 403, (method, path)
    assert gate.asked == []


def test_every_route_of_the_app_declares_what_it_needs(app: FastAPI) -> None:
    assert all(declared(route) for route in app.routes)
    assert {p.split("?")[0] for p in ("/docs", "/redoc", "/openapi.json")}.isdisjoint(r.path for r in app.routes)


def test_a_route_added_past_the_registry_stops_the_app(gate: FakeGate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("include.console.app.FastAPI", lambda **_: FastAPI())  # one with its docs routes
    with pytest.raises(RuntimeError, match="without a declared capability"):
        create_app(gate, object())  # type: ignore[arg-type]


def test_a_route_that_names_no_capability_fails_at_import() -> None:
    with pytest.raises(TypeError, match="names the capability"):
        Page("x").get("", "viewer")  # type: ignore[arg-type]


def test_every_capability_is_given_to_somebody_and_a_viewer_sees_counts_only() -> None:
    assert capabilities("viewer") == {Capability.COUNTS}
    assert set().union(*(capabilities(r) for r in ROLES)) == set(Capability)
    assert not capabilities("operator") & {Capability.APPROVE, Capability.EVIDENCE, Capability.TAGS}
    assert not capabilities("approver") & {Capability.REQUEST, Capability.ACCOUNTS}
    assert Capability.REQUEST not in capabilities("compliance") | capabilities("admin")


@pytest.mark.parametrize(
    ("token", "headers"),
    [
        ("none", {"sec-fetch-site": "same-origin"}),
        ("forged", {"sec-fetch-site": "same-origin"}),
        ("another's", {"sec-fetch-site": "same-origin"}),
        ("old", {"sec-fetch-site": "same-origin"}),
        ("good", {"sec-fetch-site": "cross-site"}),
        ("good", {"sec-fetch-site": "same-site"}),
        ("good", {"origin": "https://elsewhere.example"}),
        ("good", {"origin": "null"}),
        ("good", {}),
    ],
)
def test_a_form_from_elsewhere_is_refused(
    visit: Callable[[str], Visit], gate: FakeGate, services: Services, token: str, headers: dict[str, str]
) -> None:
    now = services.now().timestamp()
    for _, path, capability in (d for d in DOORS if d[0] == "POST"):
        role = next(r for r in ROLES if capability in capabilities(r))
        tokens = {
            "none": "", "forged": f"{int(now)}.{'0' * 64}", "another's": csrf.token(gate.secret, "somebody", now),
            "old": csrf.token(gate.secret, role, now - csrf.LASTS - 1), "good": csrf.token(gate.secret, role, now),
        }  # fmt: skip
        reply = visit(role).client.post(door(path), data={"csrf": tokens[token]}, headers=headers)
        assert reply.status_code == 403, path
    assert gate.asked == []


def test_a_browser_without_fetch_metadata_is_believed_by_its_origin() -> None:
    assert csrf.from_here({"origin": "https://airflow.example", "host": "airflow.example"})
    assert not csrf.from_here({"origin": "https://airflow.example", "host": "airflow.example:8080"})


@pytest.mark.parametrize("path", ["/schedule", "/", "/evidence/search"])
@pytest.mark.parametrize("name", ["target", "self", "query"])
def test_no_name_in_an_address_breaks_a_page(
    engine: Engine, gate: FakeGate, services: Services, path: str, name: str
) -> None:
    services.__dict__["engine"] = engine
    shown = Visit(create_app(gate, services), "compliance").get(f"{path}?{name}=x")
    assert shown.status_code == 200


def test_every_answer_carries_the_headers_also_a_refusal(visit: Callable[[str], Visit]) -> None:
    for reply in (visit("viewer").get("/"), visit("").get("/"), visit("viewer").get("/nothing-here")):
        policy = reply.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'")
        assert "unsafe" not in policy
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert reply.headers["referrer-policy"] == "no-referrer"
        assert reply.headers["cache-control"] == "no-store"
        assert "<script>" not in reply.text
        assert " style=" not in reply.text


def test_static_files_stay_in_their_folder(visit: Callable[[str], Visit]) -> None:
    assert visit("viewer").get("/static/console.css").status_code == 200
    for name in ("..%2Fapp.py", "%2e%2e%2fapp.py", "nothing.css"):
        assert visit("viewer").get(f"/static/{name}").status_code == 404


def test_a_crash_says_a_reference_and_nothing_of_what_was_typed(
    app: FastAPI, visit: Callable[[str], Visit], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash() -> None:
        raise ValueError("somebody@example.com")

    monkeypatch.setattr(app.state.services, "reading", crash)
    reply = visit("viewer").get("/")
    assert reply.status_code == 500
    reference = re.search(r"<code>(\w+)</code>", reply.text)
    assert reference
    assert reference[1] in caplog.text
    assert "somebody@" not in reply.text + caplog.text
    assert "ValueError" in caplog.text
