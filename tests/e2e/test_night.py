"""Whole nights in real Airflow: scheduler, LocalExecutor, real PostgreSQL and S3, the stand-ins."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from include.sandbox.servers import temporary_folder
from tests.e2e.outside import findings
from tests.e2e.running import changing

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(1800)]
ROOT = Path(__file__).parents[2]
ACCOUNTS = 200


class Nights:
    """Runs `make run`'s command in a folder of its own and keeps what it said."""

    def __init__(self, local: Path) -> None:
        self.local = local

    def run(self, *, as_of: str = "", code: int = 0, **more: str) -> tuple[str, dict[str, Any]]:
        """Run one night; return what it printed and its summary."""
        env = {**os.environ, "AS_OF": as_of, "ACCOUNTS": str(ACCOUNTS), "SANDBOX_FOLDER": str(self.local), **more}
        command = [sys.executable, "-m", "include.sandbox", "run"]
        done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=580, check=False)
        assert done.returncode == code, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout + done.stderr, json.loads((self.local / "run-summary.json").read_text())

    def changing(self) -> dict[str, int]:
        """Return how many vendor requests so far could change something."""
        return changing(self.local)

    def dump(self, when: str, store: str) -> list[dict[str, Any]]:
        """Return one dump."""
        return [json.loads(line) for line in (self.local / "dumps" / when / f"{store}.jsonl").open()]


@pytest.fixture(scope="module")
def nights() -> Iterator[Nights]:
    """A sandbox of its own, away from the clone's `.local`."""
    with temporary_folder("rt-night-") as folder:
        yield Nights(folder)


@pytest.fixture(scope="module")
def first(nights: Nights) -> tuple[str, dict[str, Any]]:
    """The first night."""
    return nights.run()


def test_the_first_night_ends_green_with_evidence_that_verifies(
    nights: Nights, first: tuple[str, dict[str, Any]]
) -> None:
    said, summary = first
    folder = Path(summary["export_path"])
    assert {"entries.jsonl", "checkpoint", "vkey", "manifest.json", "ledger.csv"} <= {p.name for p in folder.iterdir()}
    assert len((folder / "entries.jsonl").read_bytes().splitlines()) == summary["evidence_size"]
    assert json.loads((folder / "manifest.json").read_text())["first_index"] == 0
    assert "One certificate in words" in said
    assert "make ui" in said.splitlines()[-2]


def test_an_outside_reading_of_the_policy_finds_nothing(nights: Nights, first: tuple[str, dict[str, Any]]) -> None:
    """Every store before and after, against the evidence, by a reader that knows the policy and none of our code."""
    not_tonight = {
        "evidence: R-06 does not occur",  # an advertisement's record holds nobody's data, so nothing is disposed of
        "evidence: R-09 does not occur",  # a floor: it shows when the scope it raised falls due on a later night
        "evidence: H-4 does not occur",  # it withholds a termination: counted in the population, no disposal exists
    }
    assert set(findings(nights.local)) <= not_tonight


def test_every_processor_appears_with_its_true_outcomes(first: tuple[str, dict[str, Any]]) -> None:
    outcomes = {p: set(o) for p, o in first[1]["disposals"].items()}
    assert set(outcomes) == {"adroll", "clarity", "own_database", "paper", "s3", "salesforce", "stripe", "zendesk"}
    assert "expires_by_processor" in outcomes["clarity"]
    assert "manual_pending" in outcomes["adroll"]
    assert "awaiting" in outcomes["stripe"]
    assert "awaiting" in outcomes["zendesk"]
    assert "confirmed_absent" in outcomes["own_database"]
    assert not {"planned", "located", "archived", "attempted", "accepted"} & set().union(*outcomes.values())


def test_everything_that_was_started_is_stopped(nights: Nights, first: tuple[str, dict[str, Any]]) -> None:
    left = [
        p.info["cmdline"]
        for p in psutil.process_iter(["cmdline"])
        if str(nights.local) in " ".join(p.info["cmdline"] or [])
    ]
    assert left == []


def test_no_name_mail_or_phone_stands_in_evidence_or_in_airflow(
    nights: Nights, first: tuple[str, dict[str, Any]]
) -> None:
    """Every name, e-mail and phone of the seeded company is looked for; account ids too, in the evidence."""
    profiles = [r for r in nights.dump("before", "accounts") if r["table"] in ("account_profile", "billing_contact")]
    people = {v for r in profiles for k in ("email", "name", "phone", "login_id") if (v := r.get(k)) and len(v) > 4}
    assert len(people) > ACCOUNTS
    evidence = (Path(first[1]["export_path"]) / "entries.jsonl").read_text()
    logs = "".join(p.read_text(errors="replace") for p in (nights.local / "airflow" / "logs").rglob("*.log"))
    assert len(logs) > 10_000
    assert [p for p in people if p in evidence] == []
    assert [p for p in people if p in logs] == []
    ids = {r["account_id"] for r in profiles if len(r["account_id"]) > 4}
    assert [i for i in ids if f'"{i}"' in evidence] == []


def test_a_second_night_of_the_same_day_changes_nothing_anywhere(
    nights: Nights, first: tuple[str, dict[str, Any]]
) -> None:
    before = nights.changing()
    _, summary = nights.run()
    assert nights.changing() == before
    assert summary["due"] == 0
    assert summary["disposals"] == first[1]["disposals"]


def test_a_processor_that_is_down_fails_alone_and_the_run_is_red(
    nights: Nights, first: tuple[str, dict[str, Any]]
) -> None:
    """One processor fails while another has nothing to do: the run must be red all the same."""
    said, summary = nights.run(as_of="2027-03-01", code=1, SANDBOX_DOWN="zendesk")
    assert "ended as failed" in said
    assert "failed" in summary["disposals"]["zendesk"]
    assert "confirmed_absent" in summary["disposals"]["own_database"]


def test_the_next_night_takes_up_what_a_down_processor_left(nights: Nights, first: tuple[str, dict[str, Any]]) -> None:
    """Back again, the processor finishes from what was stored; nobody tells it what was left."""
    open_before = nights.changing()
    _, summary = nights.run(as_of="2027-03-01")
    assert "failed" not in summary["disposals"]["zendesk"]
    assert "planned" not in summary["disposals"]["zendesk"]
    assert nights.changing()["zendesk"] > open_before["zendesk"]


def test_the_business_date_never_goes_back(nights: Nights, first: tuple[str, dict[str, Any]]) -> None:
    said, _ = nights.run(as_of="2027-02-01", code=1)
    assert "Business time never goes back" in said
