"""Evidence and decisions in a real browser against a real Airflow: pages about one thing, downloads, forms."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import pytest
from sqlalchemy.dialects.postgresql import insert

from include import keys
from include.database import schedule_version
from include.disposals import holds
from include.evidence.export import export
from include.evidence.note import Signer
from include.evidence.proofs import check_row
from tests.console.test_browser import _serious
from tests.console.test_decision_pages import order, receive
from tests.programs import needs

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(1800), needs("chromium")]


@pytest.fixture(scope="module")
def site() -> Iterator[object]:
    """Airflow with a seeded night, once for the module."""
    from tests.console.site import running

    with running() as made:
        yield made


def placed(site) -> str:
    account = site.made.people[0].account_id
    day = site.context.as_of
    return str(
        holds.place(
            replace(site.context, as_of=day), account_id=account, kind="H-6", datasets=["account_profile"],
            reason_code="court_order", placed_by="operator:e-abc", review_due=day + timedelta(days=30),
        )
    )  # fmt: skip


def named(site) -> list[str]:
    """Put one of each thing there that a page is about, and return those pages."""
    day, engine = site.context.as_of, site.context.engine
    body = site.context.schedule.body + b"# one more line\n"
    version = {"sha256": sha256(body).hexdigest(), "policy_text_sha256": "p", "body": body}
    with engine.begin() as connection:
        connection.execute(insert(schedule_version).values(version).on_conflict_do_nothing())
    signer = signed_by(site)
    export(engine, site.stack.local / "exports" / "browser", vkey=signer.vkey, signer=signer)
    return [
        "/schedule/versions",
        f"/decisions/holds/one?id={placed(site)}",
        f"/decisions/requests/one?id={receive(site, site.made.people[1].account_id, due=day)}",
        f"/decisions/manual/one?id={order(site, due=day)}",
        "/evidence/exports/one?name=browser",
    ]


def signed_by(site) -> Signer:
    signing = site.stack.connections["evidence_signing"]
    return Signer(keys.signing_seed(signing), signing.require("origin"))


@pytest.mark.parametrize(("scheme", "language"), [("light", "en"), ("dark", "ko")])
def test_pages_about_one_thing_are_usable_and_verify_in_place(site, scheme: str, language: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    found = []
    with site.visit("compliance", scheme=scheme, language=language) as seen:
        for path, pressed in (
            ("/evidence/row?n=1", "form[action$='row/verify'] button"),
            ("/evidence", "form[action$='verify'] button"),
            ("/evidence/questions", "form:has(input[value=reconcile]) button"),
            *((path, "") for path in named(site)),
        ):
            assert seen.open(path) == 200, path
            assert seen.page.locator("h1").count() == 1, path
            if pressed:
                seen.page.locator(pressed).click()
                seen.page.wait_for_load_state()
                assert seen.page.locator("#verified, #answer").count() == 1, path
                assert seen.page.locator(".notice.bad").count() == 0, path
            found += _serious(Axe().run(seen.page).response, path)
        assert seen.said == []
    assert found == []


def test_a_proof_downloaded_in_the_browser_checks_under_the_logs_key(site) -> None:
    with site.visit("compliance", language="en") as seen:
        seen.open("/evidence/row?n=2")
        got = []
        for href in ("row/proof", "row/entry"):
            with seen.page.expect_download() as download:
                seen.page.locator(f"a[href*='{href}']").click()
            got.append(Path(download.value.path()).read_bytes())
    assert check_row(got[0].decode(), got[1], signed_by(site).vkey) == 2


def test_an_operator_reviews_a_hold_as_themselves_and_a_viewer_sees_no_list(site) -> None:
    site.api("admin").wait_for_dag("manage_holds", seconds=300)
    identity = placed(site)
    due = (site.context.as_of + timedelta(days=40)).isoformat()
    with site.visit("operator", language="en") as seen:
        assert seen.open(f"/decisions/holds/one?id={identity}") == 200
        form = seen.page.locator("form:has(input[value=review])")
        form.locator("[name=reason]").fill("case_open")
        form.locator("[name=review_due]").fill(due)
        form.locator("button").click()
        seen.page.wait_for_selector("a[data-airflow]")
        assert seen.said == []
    newest = site.api("admin").call("GET", "/dags/manage_holds/dagRuns")["dag_runs"][-1]
    assert newest["triggering_user_name"] == "operator"
    assert newest["conf"] == {"action": "review", "hold_id": identity, "reason": "case_open", "review_due": due}
    with site.visit("viewer", language="en") as seen:
        assert seen.open("/decisions") == 200
        assert seen.page.locator("main a").count() == 0
