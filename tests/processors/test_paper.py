"""Paper is found in the register, ordered to be destroyed, and never called destroyed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest
from sqlalchemy import Engine, text

from include.connections import Connection
from include.errors import ConfigurationError, Unreachable
from include.outcomes import Outcome
from include.processors import Site, Work, _register
from include.processors.paper import Processor
from include.sandbox.servers import PostgresServer
from tests.processors.registers import AS_OF, accounts_database, empty, insert, rows, subject, work

PAPERS = [
    {"paper_id": f"p{n}", "account_id": account, "box": box, "location": "room 0", "category": "D-16"}
    for n, (account, box) in enumerate([("1", "box-2"), ("1", "box-1"), ("10", "box-1")])
]


@pytest.fixture(scope="module")
def register(postgres: PostgresServer) -> Iterator[Engine]:
    with accounts_database(postgres) as engine:
        yield engine


@pytest.fixture
def accounts(register: Engine) -> Engine:
    empty(register)
    insert(register, "paper_register", PAPERS)
    return register


def processor(accounts: Engine | None, **settings: Any) -> Processor:
    return Processor(Site(Connection("paper"), settings, AS_OF, accounts=accounts))


def located(paper: Processor, account_id: str) -> Work:
    asked = subject(account_id, dataset="paper")
    return work(asked, paper.locate([asked])[0])


def test_papers_are_counted_with_their_boxes(accounts: Engine) -> None:
    one, nobody = processor(accounts).locate([subject("1"), subject("100")])
    assert (one.outcome, one.count, one.locator) == (
        Outcome.LOCATED,
        2,
        {
            "papers": ["p0", "p1"],
            "boxes": ["box-1", "box-2"],
            "places": [
                {"paper_id": "p0", "box": "box-2", "location": "room 0"},
                {"paper_id": "p1", "box": "box-1", "location": "room 0"},
            ],
        },
    )
    assert (nobody.outcome, nobody.count, nobody.locator) == (Outcome.LOCATED, 0, {})


def test_a_found_paper_ends_in_an_order_with_a_due_day(accounts: Engine) -> None:
    paper = processor(accounts)
    item = located(paper, "1")
    assert paper.steps(item) == ()
    (result,) = paper.read_back([item])
    assert (result.outcome, result.code, result.until, result.count) == (
        Outcome.MANUAL_PENDING,
        "paper_destruction_order",
        date(2026, 3, 7),
        2,
    )


def test_the_due_day_is_a_setting(accounts: Engine) -> None:
    paper = processor(accounts, days=2)
    assert paper.read_back([located(paper, "1")])[0].until == date(2026, 3, 4)


def test_without_papers_the_register_is_the_proof(accounts: Engine) -> None:
    paper = processor(accounts)
    (result,) = paper.read_back([located(paper, "100")])
    assert (result.outcome, result.code, result.count) == (Outcome.CONFIRMED_ABSENT, "none_located", 0)
    assert result.verify_method == "own_register"


def test_a_row_that_left_the_register_is_no_destroyed_paper(accounts: Engine) -> None:
    paper = processor(accounts)
    item = located(paper, "1")
    with accounts.begin() as connection:
        connection.execute(text("DELETE FROM paper_register WHERE account_id = '1'"))
    (result,) = paper.read_back([item])
    assert (result.outcome, result.locator["boxes"]) == (Outcome.MANUAL_PENDING, ["box-1", "box-2"])  # type: ignore[index]


def test_a_paper_filed_after_locating_joins_the_order(accounts: Engine) -> None:
    paper = processor(accounts)
    item = located(paper, "100")
    insert(accounts, "paper_register", [{**PAPERS[0], "paper_id": "p9", "account_id": "100", "box": "box-9"}])
    (result,) = paper.read_back([item])
    assert (result.outcome, result.count) == (Outcome.MANUAL_PENDING, 1)


def test_nothing_in_the_register_changes(accounts: Engine) -> None:
    before = rows(accounts, "paper_register")
    paper = processor(accounts)
    paper.check()
    paper.read_back([located(paper, "1")])
    assert rows(accounts, "paper_register") == before


@pytest.mark.parametrize("account_id", ["", "../", "//host", "1' OR '1'='1", "한글", "%", "1.bak"])
def test_hostile_ids_reach_no_other_row(accounts: Engine, account_id: str) -> None:
    assert processor(accounts).locate([subject(account_id)])[0].count == 0


def test_a_missing_register_is_named(accounts: Engine) -> None:
    with pytest.raises(ConfigurationError, match="paper_papers"):
        processor(accounts, register_table="paper_papers").check()
    with pytest.raises(ConfigurationError, match="accounts_db"):
        processor(None)


def test_a_row_somebody_else_locks_for_ever_is_waited_for_a_while_only(
    accounts: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session that hangs in the company's database must not make a night hang; the next run goes on."""
    monkeypatch.setattr(_register, "LOCK_WAIT", "50ms")
    place = processor(accounts)
    items = [located(place, "1")]
    with accounts.begin() as hanging:
        hanging.execute(text("SELECT * FROM paper_register FOR UPDATE"))
        with pytest.raises(Unreachable, match="register_unreachable"):
            place.attested(items)
    assert len(rows(accounts, "paper_register")) == 3
    place.attested(items)
    assert len(rows(accounts, "paper_register")) == 1
