"""Charts drawn to scale without losing a part, and lists paged without losing or repeating a row."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, insert, select

from include.console import charts, paging
from include.console.charts import Part
from include.database import claim
from include.errors import DecisionRefused


@given(st.lists(st.integers(0, 10**7), min_size=1, max_size=7))
def test_a_bar_is_never_longer_than_its_ground_and_no_part_vanishes(values: list[int]) -> None:
    drawn = charts.widths(values, sum(values), 240)
    assert sum(drawn) <= 240.1
    assert all((w >= charts.LEAST * 0.5) == (v > 0) for v, w in zip(values, drawn, strict=True))


def test_a_picture_says_in_words_what_it_shows_and_escapes_them() -> None:
    shown = str(charts.bar([Part("bad", "<b>failed", 2), Part("good", "gone", 0)], title="A & B"))
    assert "&lt;b&gt;failed 2" in shown
    assert "A &amp; B" in shown
    assert "<b>" not in shown
    assert "style=" not in shown
    columns = str(charts.columns({"11-24": [Part("good", "gone", 12_345)]}, title="Nights"))
    assert "12.3k" in columns
    assert "<desc" in columns
    assert "11-24: gone 12,345" in columns


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("size", [1, 3, 7, 50])
def test_pages_together_are_the_whole_list_in_order(engine: Engine, size: int, descending: bool) -> None:
    rows = [{"processor": f"p{n % 3}", "account_id": f"a{n:03d}", "owner": "o", "token": uuid4()} for n in range(20)]
    with engine.begin() as connection:
        from sqlalchemy import func

        connection.execute(insert(claim).values(expires_at=func.now()), rows)
        keys = claim.c.processor, claim.c.account_id
        seen, after = [], ""
        while True:
            page = paging.read(
                connection, select(*keys), keys, after=after, size=size, descending=descending
            )
            assert page.first == (after == "")
            seen += [tuple(r) for r in page.rows]
            if page.next is None:
                break
            after = page.next
    assert seen == sorted(((r["processor"], r["account_id"]) for r in rows), reverse=descending)


@pytest.mark.parametrize("cursor", ["x", "bnVsbA", "W10", "WzEsMiwzXQ", "'; DROP TABLE", "a" * 5000])
def test_a_cursor_we_did_not_hand_out_is_refused(engine: Engine, cursor: str) -> None:
    with engine.connect() as connection, pytest.raises(DecisionRefused, match="not one we handed out"):
        paging.read(connection, select(claim.c.token), (claim.c.token,), after=cursor)


def test_every_kind_of_key_survives_its_cursor(engine: Engine) -> None:
    from datetime import UTC, date, datetime

    from sqlalchemy import literal

    values = (UUID(int=7), date(2026, 2, 28), datetime(2026, 2, 28, 1, 2, 3, 4, tzinfo=UTC), 12, "가; x")
    keys = [literal(v).label(f"k{n}") for n, v in enumerate(values)]
    with engine.connect() as connection:
        row = connection.execute(select(*keys)).one()
        assert tuple(paging._parse(paging.cursor(row, keys), keys)) == values
