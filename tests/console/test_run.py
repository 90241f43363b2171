"""The tab on a run: what that run recorded and no other, however often a later one worked on the same disposals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import update

from include.console.reading import runs as reading
from include.database import run
from include.disposals import Context, begin_run
from tests.console.conftest import Visit
from tests.disposals.conftest import Bench
from tests.evidence import samples
from tests.evidence.conftest import Log, log  # noqa: F401


def begun(context: Context, name: str) -> UUID:
    return begin_run(replace(context, run_id=None), airflow_run_id=name)


def said(run_id: UUID, *events: str) -> list[dict[str, Any]]:
    named = {"dag": "nightly_retention", "run_id": str(run_id), "try": 1, "version": "dev"}
    return [samples.disposal(n, event, run=named) for n, event in enumerate(events, 1)]


@pytest.fixture
def two(log: Log, context: Context, bench: Bench) -> tuple[UUID, UUID]:  # noqa: F811
    """Two runs over the same disposals: the first asked, the second read back."""
    first = begun(context, "scheduled__1")
    log.stage(said(first, "planned", "planned", "accepted"))
    second = begun(context, "scheduled__2")
    log.stage(said(second, "confirmed_absent", "confirmed_absent", "accepted"))
    log.seal()
    for number in (1, 2):  # what our own table says of them by now
        bench.plan(f"a{number}", "own_database", outcome="confirmed_absent", closed_on=context.as_of, due_at=None)
    return first, second


def counts(context: Context, name: str) -> reading.Deeds:
    with context.engine.connect() as connection:
        row = reading.one(connection, "nightly_retention", name)
        assert row is not None
        return reading.deeds(connection, row)


def test_what_a_later_run_destroyed_is_credited_to_that_run_alone(two: Any, context: Context) -> None:
    assert counts(context, "scheduled__1").counts == {"own_database": {"planned": 2, "accepted": 1}}
    assert counts(context, "scheduled__2").counts == {"own_database": {"confirmed_absent": 2, "accepted": 1}}


def test_a_run_shows_what_it_recorded_and_says_what_is_not_sealed_yet(
    two: tuple[UUID, UUID],
    context: Context,
    visit: Callable[[str], Visit],
    log: Log,  # noqa: F811
) -> None:
    path = "/run?dag_id=nightly_retention&run_id=scheduled__{}&lang=en"
    first = visit("viewer").get(path.format(1)).text
    assert "destroyed" not in first.split('id="counts"')[1]
    assert "not sealed yet" not in first
    log.stage(said(two[1], "confirmed_absent"))
    second = visit("compliance").get(path.format(2)).text
    assert "1 entries since its beginning are not sealed yet" in second
    assert f"evidence/search?run={two[1]}" in second


def test_a_run_that_noted_no_beginning_does_not_show_the_whole_log(two: tuple[UUID, UUID], context: Context) -> None:
    with context.engine.begin() as connection:
        connection.execute(update(run).where(run.c.run_id == two[0]).values(first_entry=None))
        row = reading.one(connection, "nightly_retention", "scheduled__1")
        assert row is not None
        assert reading.entries(connection, row, after="").rows == []
        assert reading.deeds(connection, row).waiting == 0


def test_a_search_for_one_run_keeps_to_it_on_every_page(
    two: tuple[UUID, UUID], visit: Callable[[str], Visit], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("include.console.pages.evidence.SIZE", 2)
    shown = visit("compliance").get(f"/evidence/search?run={two[0]}&lang=en").text
    following = shown.split('rel="next" href="')[1].split('"')[0].replace("&amp;", "&")
    assert f"run={two[0]}" in following
    last = visit("compliance").get("/evidence/" + following.split("evidence/", 1)[1]).text
    assert last.count("evidence/row?n=") == 2  # its beginning is an entry too
    assert 'rel="next"' not in last
    assert f'name="run" value="{two[0]}"' in last
