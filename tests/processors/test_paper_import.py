"""A box list is imported whole or not at all, and its papers are ordered to be destroyed box by box."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, text, update

from include.connections import Connection
from include.database import disposal
from include.disposals import Context, locators, paper_orders
from include.errors import ConfigurationError
from include.processors._paper.importing import Imported, Paper, parse, store
from include.processors._paper.orders import METHODS, BoxOrder, by_box
from include.sandbox.servers import PostgresServer
from tests.disposals.conftest import Bench, bench, context
from tests.processors.registers import accounts_database, empty, rows

__all__ = ["bench", "context"]

HEAD = "box,location,category,account\n"
FILE = (HEAD + "상자-1,3층 문서고,D-16,1\n상자-1,3층 문서고,D-16,1\n상자-2,3층 문서고,D-16,10\n").encode()
DUE = date(2026, 3, 7)


@pytest.fixture(scope="module")
def company(postgres: PostgresServer) -> Iterator[Engine]:
    with accounts_database(postgres) as engine:
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE account (account_id text PRIMARY KEY)"))
            connection.execute(text("INSERT INTO account VALUES ('1'), ('10'), ('1.bak')"))
        yield engine


@pytest.fixture
def accounts(company: Engine) -> Engine:
    empty(company)
    return company


def read(content: bytes) -> list[Paper]:
    return parse(content, categories={"D-16"})


# -- the file ----------------------------------------------------------------------------------------------------------
def test_a_box_list_is_read_with_a_number_for_every_paper() -> None:
    papers = read(FILE)
    assert [(p.account_id, p.box, p.location, p.category) for p in papers] == [
        ("1", "상자-1", "3층 문서고", "D-16"),
        ("1", "상자-1", "3층 문서고", "D-16"),
        ("10", "상자-2", "3층 문서고", "D-16"),
    ]
    assert len({p.paper_id for p in papers}) == 3
    assert papers == read(FILE)


def test_columns_in_another_order_a_mark_and_decomposed_hangul_are_the_same_list() -> None:
    turned = "\ufeffaccount,category,location,box\n1,D-16,3층 문서고,상자-1\n\n"
    import unicodedata

    assert read(unicodedata.normalize("NFD", turned).encode()) == read(FILE)[:1]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "first line must name"),
        (b"box,location,account\n", "first line must name"),
        (b"box,location,category,account,extra\n", "first line must name"),
        (FILE.decode().encode("cp949"), "not UTF-8"),
        ((HEAD + "b,r,D-16\n").encode(), "line 2: 3 cells instead of 4"),
        ((HEAD + "b,r,D-16,1\n,r,D-16,1\n").encode(), "line 3, box: is empty"),
        ((HEAD + "b,r,D-99,1\n").encode(), "line 2, category: is none of the schedule's"),
        ((HEAD + "b,r,D-16,sample@example.com\n").encode(), "line 2, account: holds an e-mail"),
        ((HEAD + f"{'b' * 81},r,D-16,1\n").encode(), "line 2, box: is longer than 80"),
        ((HEAD + "b,r\x07,D-16,1\n").encode(), "line 2, location: .* control character"),
        (b"paper_id,box,location,category,account\np,b,r,D-16,1\np,b,r,D-16,10\n", "2 lines have the same paper_id"),
    ],
)
def test_what_is_wrong_is_named_by_line_and_column_and_never_quoted(content: bytes, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said) as caught:
        read(content)
    assert "example.com" not in str(caught.value)


# -- the register ------------------------------------------------------------------------------------------------------
def test_an_import_adds_and_the_same_import_again_changes_nothing(accounts: Engine) -> None:
    assert store(accounts, read(FILE)) == Imported(new=3, moved=0, same=0)
    before = rows(accounts, "paper_register")
    assert store(accounts, read(FILE)) == Imported(new=0, moved=0, same=3)
    assert rows(accounts, "paper_register") == before


def test_a_paper_that_moved_is_where_the_newest_list_says(accounts: Engine) -> None:
    store(accounts, read(FILE))
    moved = read(FILE.decode().replace("3층 문서고", "4층").encode())
    assert store(accounts, moved) == Imported(new=0, moved=3, same=0)
    assert {row[3] for row in rows(accounts, "paper_register")} == {"4층"}


@pytest.mark.parametrize(
    ("papers", "said"),
    [
        ([Paper("a", "1", "b", "r", "D-16"), Paper("n", "nobody", "b", "r", "D-16")], "1 papers are of accounts"),
        (
            [Paper("a", "1", "b", "r", "D-16"), Paper("p1", "10", "b", "r", "D-16")],
            "1 papers are in the register under",
        ),
    ],
)
def test_a_list_with_one_wrong_paper_changes_nothing(accounts: Engine, papers: list[Paper], said: str) -> None:
    store(accounts, [Paper("p1", "1", "b", "r", "D-16")])
    before = rows(accounts, "paper_register")
    with pytest.raises(ConfigurationError, match=said):
        store(accounts, papers)
    assert rows(accounts, "paper_register") == before


def test_thousands_of_papers_go_in_at_once(accounts: Engine) -> None:
    papers = [Paper(f"p{n}", "1", f"box-{n % 7}", "r", "D-16") for n in range(2500)]
    assert store(accounts, papers) == Imported(new=2500, moved=0, same=0)


def test_a_register_that_is_missing_is_named_without_a_value(accounts: Engine) -> None:
    with pytest.raises(ConfigurationError, match="nowhere could not be written") as caught:
        store(accounts, [Paper("p1", "1", "sample-box", "r", "D-16")], name="nowhere")
    assert "sample-box" not in str(caught.value)


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        env={**os.environ, **environment}, capture_output=True, text=True, cwd=Path(__file__).parents[2], check=False,
    )  # fmt: skip


def as_json(connection: Connection) -> str:
    return json.dumps({"login": connection.login, "schema": connection.schema, "extra": dict(connection.extra)})


def test_the_command_checks_imports_and_refuses_in_one_line(
    accounts: Engine, postgres: PostgresServer, tmp_path: Path
) -> None:
    good, bad = tmp_path / "boxes.csv", tmp_path / "bad.csv"
    good.write_bytes(FILE)
    bad.write_bytes(FILE + b",,,\n,r,D-16,1\n")
    own = as_json(postgres.connection("accounts_db", str(accounts.url.database)))
    checked = run("include.processors", "import-paper", str(good), "--check")
    assert (checked.returncode, rows(accounts, "paper_register")) == (0, [])
    assert "3 papers in 2 boxes" in checked.stdout
    done = run("include.processors", "import-paper", str(good), AIRFLOW_CONN_ACCOUNTS_DB=own)
    assert done.stdout == "3 papers added, 0 moved, 0 known already.\n", done.stderr
    refused = run("include.processors", "import-paper", str(bad), AIRFLOW_CONN_ACCOUNTS_DB=own)
    assert refused.returncode == 1
    assert refused.stderr.count("\n") == 1 and "line 6, box: is empty" in refused.stderr
    assert len(rows(accounts, "paper_register")) == 3


# -- orders ------------------------------------------------------------------------------------------------------------
def located(*papers: tuple[str, str]) -> dict[str, object]:
    return {"places": [{"paper_id": p, "box": b, "location": "room 0"} for p, b in papers]}


def test_one_box_is_one_order_whoever_its_papers_are_of() -> None:
    found = by_box(
        {
            "d1": (located(("p1", "A"), ("p2", "B")), DUE),
            "d2": (located(("p3", "A")), DUE.replace(day=3)),
            "d3": ({}, DUE),
        }
    )
    assert [(o.box, o.papers, o.disposals, o.due, o.methods) for o in found] == [
        ("A", ("p1", "p3"), ("d1", "d2"), date(2026, 3, 3), METHODS),
        ("B", ("p2",), ("d1",), DUE, METHODS),
    ]


def test_an_order_keeps_its_id_until_the_box_has_another_paper() -> None:
    (first,), (again,) = by_box({"d": (located(("p", "A")), DUE)}), by_box({"e": (located(("p", "A")), DUE)})
    (more,) = by_box({"d": (located(("p", "A"), ("q", "A")), DUE)})
    assert first.order_id == again.order_id != more.order_id
    assert UUID(first.order_id)


def test_the_form_has_a_line_a_box_with_room_for_method_executor_and_witness(tmp_path: Path) -> None:
    order = BoxOrder(str(uuid4()), "상자-1", ("3층",), ("p1", "p2"), DUE, ("d1",))
    paper_orders.write(tmp_path / "orders.csv", [order])
    content = (tmp_path / "orders.csv").read_bytes()
    assert content.startswith(b"\xef\xbb\xbf")
    (line,) = csv.DictReader(io.StringIO(content.decode("utf-8-sig")))
    assert line["상자 box"] == "상자-1"
    assert (line["건수 count"], line["기한 due"], line["입회자 witness"]) == ("2", "2026-03-07", "")


def test_open_disposals_become_orders_and_closed_ones_do_not(bench: Bench, context: Context) -> None:
    ids = [bench.plan(a, processor="paper", datasets=["paper"], scope_id="paper") for a in ("1", "10", "2")]
    with context.engine.begin() as connection:
        locators.save(connection, context, "found", {i: located((f"p{n}", "A")) for n, i in enumerate(ids)})
        for disposal_id in ids:
            connection.execute(
                update(disposal)
                .where(disposal.c.disposal_id == UUID(disposal_id))
                .values(outcome="manual_pending", until=DUE, closed_on=DUE if disposal_id == ids[2] else None)
            )
    (order,) = paper_orders.orders(context.engine, context.wrapper)
    assert (order.box, order.papers, order.disposals) == ("A", ("p0", "p1"), tuple(sorted(ids[:2])))
