"""Finding an account: whole values only, masked answers, a log by tag; the command reads standard input."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import select

from include.accounts.find import Wanted, find, masked_email
from include.database import access_log
from include.errors import DecisionRefused
from include.sandbox.stack import airflow_connection
from tests.requests.conftest import World

ROOT = Path(__file__).parents[2]


def test_an_address_in_any_case_finds_its_accounts_and_tells_nothing_more(world: World) -> None:
    person = world.made.case("mixed_case_email")[0]
    assert person.email
    for text in (person.email, person.email.upper(), person.email.lower()):
        found = find(world.context.accounts, Wanted(email=text))
        assert person.account_id in [m.account_id for m in found]
        shown = "\n".join(map(str, found))
        assert person.email.lower() not in shown.lower()
        assert person.name not in shown
    assert find(world.context.accounts, Wanted(email=person.email[1:])) == []


def test_a_shared_address_shows_every_account_behind_it(world: World) -> None:
    one, two = world.made.case("shared_email")[0], world.made.case("shared_email_live")[0]
    assert one.email
    assert {m.account_id for m in find(world.context.accounts, Wanted(email=one.email))} >= {
        one.account_id, two.account_id,
    }  # fmt: skip


def test_a_name_needs_a_company_or_a_business_number(world: World) -> None:
    person = world.made.case("end_users_terminated")[0]
    identity = person.dicts("business_identity")[0]
    with pytest.raises(DecisionRefused, match="company or a business number"):
        find(world.context.accounts, Wanted(name=person.name))
    for more in ({"company": identity["company_name"]}, {"business_no": identity["business_no"]}):
        assert [m.account_id for m in find(world.context.accounts, Wanted(name=person.name, **more))] == [
            person.account_id
        ]
    assert find(world.context.accounts, Wanted(name=person.name, business_no="000-00-00000")) == []


def test_masks_keep_one_character() -> None:
    assert masked_email("someone@example.com") == "s***@e***.com"
    assert masked_email("x") == "x***"
    assert masked_email("") == ""


def test_the_command_takes_the_value_from_standard_input_alone(world: World) -> None:
    person = world.made.case("operator_log")[0]
    names = ("retention_db", "accounts_db", "evidence_tags")
    environment = {f"AIRFLOW_CONN_{n.upper()}": airflow_connection(world.stack.connections[n]) for n in names}
    command = [sys.executable, "-m", "include.disposals", "find", "--role", "operator", "--pseudonym", "e-0003"]
    done = subprocess.run(
        command, input=person.email, env={**os.environ, **environment}, cwd=ROOT, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    assert done.stdout.split()[0] == person.account_id
    assert person.email not in done.stdout
    with world.context.engine.connect() as connection:
        last = connection.execute(select(access_log).order_by(access_log.c.access_id.desc()).limit(1)).one()
    assert (last.who, last.role, last.action) == ("e-0003", "operator", "account_found")
    assert last.subject_tag in world.context.tags.all(person.account_id).values()
