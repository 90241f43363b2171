"""Stripe on the wire: every request and every answer fits what Stripe publishes, and all of it goes to one address."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from werkzeug.wrappers import Request, Response

from include.outcomes import Outcome
from include.processors import Settlement
from include.processors._stripe.api import API_VERSION
from include.sandbox._stripe.money import credit_grant
from include.sandbox._stripe.shapes import stamp
from include.sandbox._stripe.wire import parse_form
from include.sandbox.standin import Serving
from include.sandbox.stripe import VARIANTS, StandIn
from tests.processors.stripe_world import DAY, OLD, RECENT, TODAY, World, person, subject
from tests.sandbox.stripe_types import problems, unknown_parameters

PREVIEW = "/v1/privacy/redaction_jobs"
JOB_PARAMETERS: Mapping[tuple[str, str], set[str]] = {
    ("GET", ""): {"limit", "starting_after", "ending_before", "expand", "status"},
    ("GET", "/*"): {"expand"},
    ("GET", "/*/validation_errors"): {"limit", "starting_after", "ending_before", "expand"},
    ("POST", ""): {"objects", "validation_behavior", "expand"},
    ("POST", "/*/run"): {"expand"},
    ("POST", "/*/validate"): {"expand"},
}
"""The redaction preview's requests, from the preview package's types; the stable package has none."""
SETTLED = Settlement("paid", TODAY - DAY, ("compliance:e-0001", "approver:e-0002"))
MARKS = ("sample", "Sample Person")


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and its answer."""

    method: str
    path: str
    form: Mapping[str, Any]
    headers: Mapping[str, str]
    status: int
    body: Any


@dataclass
class Recording(StandIn):
    """A stand-in that keeps every exchange."""

    exchanges: list[Exchange] = field(default_factory=list)

    def __post_init__(self) -> None:
        StandIn.__init__(self, limit_factor=1000)

    def respond(self, request: Request) -> Response:
        response = super().respond(request)
        text = request.get_data(as_text=True) or request.query_string.decode()
        body = response.get_data()
        self.exchanges.append(
            Exchange(
                request.method, request.path, parse_form(text), dict(request.headers), response.status_code,
                json.loads(body) if response.content_type.startswith("application/json") else body,
            )
        )  # fmt: skip
        return response


@pytest.fixture(scope="module")
def heard() -> list[Exchange]:
    """Everything said while everybody Stripe knows is located, extracted, erased and read back."""
    standin = Recording()
    with Serving(standin) as serving:
        world = World(standin, serving.url)
        for number, variant in enumerate(VARIANTS, start=1):
            world.seed(person(number, variant, on=RECENT if variant == "inquiry" else OLD))
        owner = world.all("customer")[0]
        world.seed({"credit_grant": [credit_grant("credgr_1", owner, value=0, created=stamp(OLD), category="paid")]})
        world.processor().check()
        for number in range(1, len(VARIANTS) + 1):
            one = subject(number, settled=(SETTLED,))
            found = world.locate(one)[0]
            if found.outcome is Outcome.LOCATED and found.count:
                work = world.work(one)
                world.extract(work)
                work, _ = world.advance(work)
                world.read_back(work)
    return standin.exchanges


def _api(heard: list[Exchange]) -> list[Exchange]:
    return [e for e in heard if e.path.startswith("/v1/")]


def test_every_parameter_is_one_that_stripe_publishes(heard: list[Exchange]) -> None:
    wrong: set[str] = set()
    for e in _api(heard):
        if not e.path.startswith(PREVIEW):
            wrong |= set(unknown_parameters(e.method, e.path, e.form))
    assert not wrong
    assert len({(e.method, e.path.split("/")[2]) for e in _api(heard)}) > 20


def test_every_request_of_the_preview_is_one_it_has(heard: list[Exchange]) -> None:
    asked = [e for e in heard if e.path.startswith(PREVIEW)]
    for e in asked:
        parts = e.path.removeprefix(PREVIEW).split("/")
        pattern = "/".join(["", "*", *parts[2:]]) if len(parts) > 1 else ""
        assert set(e.form) <= JOB_PARAMETERS[e.method, pattern]
    (first, *_) = [e for e in asked if e.method == "POST" and e.path == PREVIEW]
    assert first.form["validation_behavior"] == "error"
    assert all(isinstance(keys, list) and len(keys) <= 10 for keys in first.form["objects"].values())


def test_every_object_of_the_stand_in_has_the_shape_stripe_publishes(heard: list[Exchange]) -> None:
    wrong: set[str] = set()
    kinds: Counter[str] = Counter()
    for e in _api(heard):
        if e.path.startswith(PREVIEW) or e.status != 200:
            continue
        for row in e.body["data"] if e.body.get("object") in {"list", "search_result"} else [e.body]:
            kinds[row["object"]] += 1
            wrong |= set(problems(row)) if "balance_transactions" not in e.path else set()
    assert not wrong
    assert len(kinds) >= 15


def test_limits_and_list_shapes_hold(heard: list[Exchange]) -> None:
    for e in _api(heard):
        assert 1 <= int(e.form.get("limit", 10)) <= 100
        if isinstance(e.body, dict) and e.body.get("object") == "list":
            assert {"object", "url", "has_more", "data"} == set(e.body)


def test_the_version_is_pinned_and_nothing_is_reported(heard: list[Exchange]) -> None:
    for e in _api(heard):
        version = e.headers["Stripe-Version"]
        assert version.endswith(".preview") if e.path.startswith(PREVIEW) else version == API_VERSION
        assert "X-Stripe-Client-Telemetry" not in e.headers


def test_every_change_by_post_carries_a_key_that_names_nobody(heard: list[Exchange]) -> None:
    keys = [e.headers.get("Idempotency-Key", "") for e in _api(heard) if e.method == "POST"]
    assert keys
    assert all(0 < len(key) <= 255 and not any(m in key for m in MARKS) for key in keys)


def test_the_key_goes_to_the_api_only(heard: list[Exchange]) -> None:
    documents = [e for e in heard if not e.path.startswith("/v1/")]
    assert documents
    assert all("Authorization" not in e.headers for e in documents)
    assert all(e.headers["Authorization"].startswith("Bearer sk_test") for e in _api(heard))


def test_requests_are_counted_by_step(capsys: pytest.CaptureFixture[str]) -> None:
    people = 20
    standin = StandIn(limit_factor=1000)
    with Serving(standin) as serving:
        world = World(standin, serving.url)
        world.seed(*(person(n) for n in range(1, people + 1)))
        subjects = [subject(n) for n in range(1, people + 1)]
        spent: dict[str, float] = {}

        def step(name: str, call: Any) -> Any:
            before = len(standin.requests)
            result = call()
            spent[name] = (len(standin.requests) - before) / people
            return result

        found = step("locate", lambda: world.locate(*subjects))
        works = [world.work(s) for s in subjects]
        assert all(f.outcome is Outcome.LOCATED for f in found)
        step("extract", lambda: world.processor().extract(works))
        task = world.processor()  # one for all steps, as the engine has
        for name in [s.name for s in task.steps(works[0])]:
            results = step(name, lambda name=name, works=works: task.act(name, works))
            works = [
                type(w)(w.disposal_id, w.account_id, w.scope_id, w.datasets, r.locator or w.locator)
                for w, r in zip(works, results, strict=True)
            ]
        ends = step("read_back", lambda: world.processor().read_back(works))
    with capsys.disabled():
        table = "  ".join(f"{name} {count:.1f}" for name, count in spent.items())
        print(
            f"\nstripe requests per account, {people} accounts of two payments: {table}  all {sum(spent.values()):.1f}"
        )
    assert {r.outcome for r in ends} == {Outcome.RETAINED_BY_PROCESSOR}
    assert sum(spent.values()) < 80
