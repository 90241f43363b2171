"""Every page in a real browser, real Airflow behind it: who sees it, is it usable, does it keep its secrets."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import select, text

from include.console.pages import pages
from include.console.roles import Capability
from include.database import access_log
from include.evidence.entries import parse
from include.evidence.proofs import check_row
from tests.console.conftest import ROLES, capabilities
from tests.programs import needs

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(1800), needs("chromium")]
DOORS = [(r.method, r.path.replace("{index}", "1"), r.capability) for p in pages() for r in p.routes]
NAMED = ("proof", "/one", "/row/entry", "/checkpoint", "/file", "/zip", "/versions")
"""Downloads, for the pages' own tests, and pages about one thing, which `test_browser_lists` opens by its name."""
READ = [
    (path, capability)
    for method, path, capability in DOORS
    if method == "GET" and "{" not in path and not any(part in path for part in NAMED)
]
QUERY = {
    "/run": "?dag_id=nightly_retention&run_id=scheduled__seeded",
    "/dag": "?dag_id=nightly_retention",
    "/evidence/row": "?n=1",
}
SERIOUS = {"serious", "critical"}


@pytest.fixture(scope="module")
def site() -> Iterator[object]:
    """Airflow with a seeded night, once for the module."""
    from tests.console.site import running

    with running() as made:
        yield made


def _who(capability: Capability) -> str:
    return next(r for r in ("compliance", *ROLES) if capability in capabilities(r))


@pytest.mark.parametrize("role", ROLES)
def test_each_role_opens_exactly_what_it_may_and_the_browser_has_nothing_to_complain_about(site, role: str) -> None:
    with site.visit(role) as seen:
        for path, capability in READ:
            status = seen.open(path + QUERY.get(path, ""))
            assert status == (200 if capability in capabilities(role) else 403), path
            if status == 200:
                assert seen.page.locator("h1").count() == 1, path
                assert seen.page.locator("main").count() == 1, path
        refusals = [s for s in seen.said if "Failed to load resource" not in s or "403" not in s]
        assert refusals == []


def test_nobody_and_a_wrong_role_are_refused_at_every_door(site) -> None:
    with httpx.Client(base_url=f"{site.url}/compliance", timeout=60) as client:
        for method, path, _ in DOORS:
            assert client.request(method, path).status_code == 401, (method, path)
        for path in ("/docs", "/redoc", "/openapi.json", "/static/..%2fapp.py"):
            assert client.get(path).status_code in (401, 404), path
        login = site.api("viewer")._client.headers["authorization"]
        for method, path, capability in DOORS:
            if capability is not Capability.COUNTS:
                assert client.request(method, path, headers={"authorization": login}).status_code == 403, (method, path)
        forged = client.post("/accounts/find", headers={"authorization": "Bearer " + "x" * 40})
        assert forged.status_code == 401


@pytest.mark.parametrize("language", ["ko", "en"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(site, scheme: str, language: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    found = []
    for role in ("compliance", "operator"):
        with site.visit(role, scheme=scheme, language=language) as seen:
            for path, capability in READ:
                if capability not in capabilities(role) or role != _who(capability):
                    continue
                assert seen.open(path + QUERY.get(path, "")) == 200
                assert seen.page.locator("html").get_attribute("lang") == language
                found += _serious(Axe().run(seen.page).response, path)
            seen.open("/accounts")
            seen.page.fill("#account", _somebody(site))
            seen.page.locator("form:has(#account) button").click()
            seen.page.wait_for_load_state()
            assert seen.page.locator("#held").count() == 1
            found += _serious(Axe().run(seen.page).response, "/accounts/one")
    assert found == []


def _serious(response: dict, path: str) -> list[str]:
    return [
        f"{path}: {v['id']} {[n['target'] for n in v['nodes']][:3]}"
        for v in response["violations"]
        if v["impact"] in SERIOUS
    ]


def _somebody(site) -> str:
    """Return an account something of which was destroyed in the seeded night, and whose id is still in an open one."""
    from include.database import disposal

    with site.context.engine.connect() as connection:
        found = connection.execute(
            select(disposal.c.account_id).where(disposal.c.account_id.is_not(None)).order_by(disposal.c.account_id)
        ).scalars()
        gone = set(
            connection.execute(select(disposal.c.subject_tag).where(disposal.c.closed_on.is_not(None))).scalars()
        )
        return next(a for a in found if set(site.context.tags.all(a).values()) & gone)


def test_a_person_without_a_mouse_finds_an_account_and_nothing_typed_stays(site) -> None:
    account = site.made.people[0]
    email = next(iter(site.context.accounts.identifiers([account.account_id])[account.account_id].emails))
    with site.visit("operator", language="en") as seen:
        seen.open("/accounts")
        page = seen.page
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        page.keyboard.press("Enter")
        for _ in range(6):
            if page.evaluate("document.activeElement.id") == "email":
                break
            page.keyboard.press("Tab")
        page.keyboard.type(email.upper())
        page.keyboard.press("Enter")
        page.wait_for_selector("#matches")
        assert page.url.endswith("/compliance/accounts/find")
        shown = page.content()
        assert account.account_id in shown
        assert email.lower() not in shown.lower()
        page.locator("#matches ~ div button").first.focus()
        page.keyboard.press("Enter")
        page.wait_for_selector("#held")
        assert email.lower() not in page.content().lower()
        assert page.url.endswith("/compliance/accounts/one")
        assert seen.said == []
    logs = "".join(p.read_text(errors="replace") for p in Path(site.stack.local, "logs").glob("*.log"))
    assert email.lower() not in logs.lower()
    with site.context.engine.connect() as connection:
        rows = connection.execute(select(access_log).where(access_log.c.role == "operator")).all()
    assert {"account_found", "account_viewed"} <= {r.action for r in rows}
    assert all(r.ip and r.who.startswith("e-") for r in rows)
    assert email.lower() not in str(rows).lower()


def test_an_operator_starts_a_dry_run_as_themselves_and_a_bad_form_starts_nothing(site) -> None:
    account = _somebody(site)
    before = _runs(site)
    with site.visit("operator", language="en") as seen:
        seen.open("/accounts")
        seen.page.fill("#account", account)
        seen.page.locator("form:has(#account) button").click()
        form = seen.page.locator("form:has(#f-kind)")
        assert form.locator("[name=dry_run]").is_checked()
        form.locator("#f-kind").select_option("erasure")
        form.locator("#f-received_on").fill(site.context.as_of.isoformat())
        form.locator("#f-channel").select_option("web")
        form.locator("#f-identity_check").select_option("login")
        form.locator("button").click()
        seen.page.wait_for_selector("a[data-airflow]")
        assert len(_runs(site)) == len(before) + 1
        newest = next(r for r in _runs(site) if r["dag_run_id"] not in {b["dag_run_id"] for b in before})
        assert newest["triggering_user_name"] == "operator"
        assert newest["conf"]["account_id"] == account
        assert newest["conf"]["dry_run"] is True
        seen.open("/accounts")
        seen.page.fill("#account", account)
        seen.page.locator("form:has(#account) button").click()
        seen.page.wait_for_selector("form:has(#f-kind)")
        seen.page.evaluate("document.querySelector('form:has(#f-kind)').noValidate = true")
        seen.page.evaluate("document.querySelectorAll('form:has(#f-kind) option').forEach(o => o.value = 'nonsense')")
        seen.page.locator("form:has(#f-kind) button").click()
        seen.page.wait_for_selector("[role=alert]")
        assert "Nothing was started" in seen.page.content()
    assert len(_runs(site)) == len(before) + 1


def _runs(site) -> list[dict]:
    return site.api("admin").call("GET", "/dags/erase_account/dagRuns")["dag_runs"]


def test_compliance_downloads_a_certificate_whose_proofs_hold_and_the_look_up_is_evidence(site) -> None:
    account = _somebody(site)
    with site.visit("compliance", language="en") as seen:
        seen.open("/accounts")
        seen.page.fill("#account", account)
        seen.page.locator("form:has(#account) button").click()
        seen.page.wait_for_selector("#destroyed")
        with seen.page.expect_download() as download:
            seen.page.get_by_role("button", name="Download certificate").first.click()
        packed = zipfile.ZipFile(io.BytesIO(Path(download.value.path()).read_bytes()))
    names = packed.namelist()
    assert any(n.endswith(".pdf") for n in names)
    proofs = [n for n in names if n.endswith(".tlog-proof")]
    assert proofs
    with site.context.engine.connect() as connection:
        for name in proofs:
            index = int(Path(name).stem)
            body = connection.execute(
                text("SELECT body FROM retention.entry WHERE log_index = :i"), {"i": index}
            ).scalar_one()
            assert check_row(packed.read(name).decode(), bytes(body), packed.read("vkey").decode()) == index
        bodies = [bytes(b) for b in connection.execute(text("SELECT body FROM retention.entry")).scalars()]
    opened = [e for e in map(parse, bodies) if e["event"] == "tag_opened"]
    assert {e["subject_tag"] for e in opened} >= set(site.context.tags.all(account).values())
    assert {e["actor"]["role"] for e in opened} == {"compliance"}


def test_the_pages_stand_in_airflows_frame_and_lead_back_to_it(site) -> None:
    with site.visit("viewer", language="en") as seen:
        page = seen.page
        page.goto(f"{site.url}/plugin/retention")
        frame = page.frame_locator("iframe")
        frame.locator("h1").wait_for(timeout=120_000)
        assert "Tonight" in frame.locator("h1").inner_text()
        frame.locator("a[data-airflow]").first.click()
        page.wait_for_url(lambda url: "/dags/nightly_retention" in url)
        page.goto(f"{site.url}/dags/erase_account")
        page.get_by_role("link", name="Retention").last.wait_for(timeout=120_000)
