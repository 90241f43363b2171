"""A real Airflow with a seeded night, and a browser that watches what the pages say on its console."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, sync_playwright
from sqlalchemy import select

from include import keys
from include.database import disposal
from include.disposals import Context, begin_run, discover, finish_run, guards
from include.disposals.record import Change, apply
from include.evidence import log
from include.evidence.note import Signer
from include.evidence.store import EvidenceStore
from include.outcomes import Outcome
from include.processors import Result
from include.sandbox import airflow, company, night
from include.sandbox.servers import temporary_folder
from include.sandbox.stack import Stack

ROOT = Path(__file__).parents[2]
TODAY = datetime.now(ZoneInfo("Asia/Seoul")).date()
RUN = "scheduled__seeded"
COUNT, SEED = 150, 7


class Site:
    """Airflow's address, the context behind it, and one logged-in browser a role."""

    def __init__(self, stack: Stack, context: Context, browser: Browser) -> None:
        self.stack, self.context, self.browser = stack, context, browser
        self.made = company.generate(seed=SEED, count=COUNT, anchor=TODAY)
        self.url = f"http://127.0.0.1:{stack.ports['airflow']}"
        self._logins: dict[str, Any] = {}

    @contextmanager
    def visit(self, role: str, *, scheme: str = "light", language: str = "ko") -> Iterator[Seen]:
        """Open a window as a role; anything the browser complained about fails the test that used it."""
        window = self.browser.new_context(
            viewport={"width": 1300, "height": 900},
            color_scheme=scheme,  # type: ignore[arg-type]
            locale={"ko": "ko-KR", "en": "en-US"}[language],
            storage_state=self._login(role),
            accept_downloads=True,
        )
        seen = Seen(window, window.new_page(), self.url)
        try:
            yield seen
        finally:
            window.close()

    def _login(self, role: str) -> Any:
        """Log in once a role through Airflow's own page, and keep the cookies."""
        if role not in self._logins:
            window = self.browser.new_context()
            page = window.new_page()
            page.goto(f"{self.url}/auth/login/", timeout=120_000)
            page.fill("#username", role)
            page.fill("#password", self.stack.secret(f"user-{role}"))
            page.click("input[type=submit]")
            page.wait_for_url(lambda url: "/auth/login" not in url, timeout=120_000)
            self._logins[role] = window.storage_state()
            window.close()
        return self._logins[role]

    def api(self, role: str) -> airflow.Api:
        """Airflow's REST API as a role."""
        return airflow.Api(self.stack, role)


class Seen:
    """One window and what its console said."""

    def __init__(self, window: BrowserContext, page: Page, url: str) -> None:
        self.window, self.page, self.url = window, page, url
        self.said: list[str] = []
        page.on("console", self._note)
        page.on("pageerror", lambda error: self.said.append(str(error)))
        page.set_default_timeout(60_000)

    def _note(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.said.append(message.text)

    def open(self, path: str) -> int:
        """Open a page of the console and return its status."""
        reply = self.page.goto(f"{self.url}/compliance{path}")
        assert reply is not None
        return reply.status


def seed_night(stack: Stack, context: Context) -> None:
    """Leave what a night leaves, without its hours: a plan, outcomes of every kind, a sealed log, a finished run.

    Outcomes are written by the state machine's own `apply`, so each has its entry; the places are not called.
    """
    guards.approve_schedule(context, role=context.schedule.privacy_officer_role, pseudonym="e-0001")
    mine = replace(context, dag_id="nightly_retention")
    run_id = begin_run(mine, airflow_run_id=RUN)
    mine = replace(mine, run_id=run_id)
    discover(mine, run_id)
    with mine.engine.begin() as connection:
        rows = {
            str(r.disposal_id): r
            for r in connection.execute(select(disposal).where(disposal.c.outcome == "planned").order_by("disposal_id"))
        }
        apply(connection, mine, rows, [_change(mine, i, n) for n, i in enumerate(rows)])
    finish_run(mine, run_id, {})
    signing = stack.connections["evidence_signing"]
    signer = Signer(keys.signing_seed(signing), signing.require("origin"))
    now = datetime.now(UTC)
    store = EvidenceStore.of(stack.connections["evidence_store"])
    log.seal(mine.engine, store, signer, now=now, lock_until=now + timedelta(days=1))


def _change(context: Context, disposal_id: str, number: int) -> Change:
    """Return the outcome of the n-th disposal: of ten, six are gone, one each waits, fails, needs a person, is kept."""
    day = context.as_of
    match number % 10:
        case 6:
            return Change(
                Result(disposal_id, Outcome.AWAITING, until=day + timedelta(days=9)), due_at=day + timedelta(days=9)
            )
        case 7:
            return Change(Result(disposal_id, Outcome.FAILED, code="still_present", needs_person=True))
        case 8:
            return Change(
                Result(
                    disposal_id, Outcome.MANUAL_PENDING, code="paper_destruction_order", until=day + timedelta(days=7)
                )
            )
        case 9:
            return Change(Result(disposal_id, Outcome.RETAINED_BY_PROCESSOR, basis="vendor_duty"), closed_on=day)
    return Change(
        Result(disposal_id, Outcome.CONFIRMED_ABSENT, count=0, verify_method="second_listing_empty"), closed_on=day
    )


@contextmanager
def running() -> Iterator[Site]:
    """Yield a site: databases, S3, stand-ins, api-server and dag-processor; what a run would do needs no scheduler."""
    with temporary_folder("rt-console-") as folder, sync_playwright() as play:
        stack = Stack(ROOT, folder)
        stack.by_itself = False
        browser = play.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        try:
            stack.start_servers()
            with night.opened(stack, TODAY) as context:
                night._prepare_company(stack, context, COUNT, SEED)
                seed_night(stack, context)
                airflow.prepare(stack)
                env = airflow.environment(stack)
                stack.spawn("dag-processor", ["airflow", "dag-processor"], env)
                stack.spawn("api-server", ["airflow", "api-server"], env)
                airflow.wait_for(
                    f"http://127.0.0.1:{stack.ports['airflow']}/api/v2/version",
                    stack.processes["api-server"],
                    seconds=300,
                )
                site = Site(stack, context, browser)
                site.api("admin").wait_for_dag("erase_account", seconds=300)
                yield site
        finally:
            browser.close()
            stack.stop()
