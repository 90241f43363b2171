"""Entries are found by what they say, and a question read narrowly has the answer the whole log gives."""

from __future__ import annotations

from datetime import date
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, delete, insert, select, update

from include.database import disposal, run, schedule_version
from include.database.finding import entry_find, entry_life
from include.errors import EvidenceError
from include.evidence import finding, narrowing
from include.evidence.ask import EVERY
from include.evidence.finding import Wanted, catch_up, count, find
from include.evidence.narrowing import NarrowSource
from include.evidence.questions import Asked
from include.evidence.rebuild import rebuild
from include.evidence.sources import DatabaseSource
from include.evidence.verify import CLOSING, closes
from tests.evidence import samples
from tests.evidence.conftest import NOW, Log
from tests.evidence.test_questions import ENTRIES, TAG

RUN = UUID(int=7)
MORE = [
    samples.base("archive_inventory", rule_id="R-04", rows=9, counts={"objects": 2, "beyond_list": 1, "unread": 0}),
    samples.base("archive_destroyed", rule_id="R-04", object_digest="12" * 32, subjects=3, until="2026-12-30"),
    samples.disposal(1, "reappeared"),
    samples.base("sighting_decided", code="erase_again", actor={"role": "operator", "pseudonym": "e-cd"}),
    *(e | {"backup_expires_on": "2026-12-29"} if e["event"] == "confirmed_absent" else e for e in samples.life(6)),
    samples.base("notice_sent", subject_tag=TAG, key_epoch="2026", code="mail", request_id=str(UUID(int=9))),
    samples.base("request_answered", subject_tag=TAG, key_epoch="2026", code="refused", request_id=str(UUID(int=9))),
    samples.base("tag_opened", subject_tag=TAG, key_epoch="2026", actor={"role": "compliance", "pseudonym": "e-ab"}),
]
OPEN = {1: "reappeared", 2: "blocked", 5: "attempted"}
"""The disposals that `ENTRIES` leave open; the others are closed."""
ASKED = Asked(
    tags=frozenset({TAG}), epochs=("2026",), on="2026-11-25", until="2026-12-31", index=6, run_id=str(RUN)
)  # fmt: skip


def keep_disposals(engine: Engine) -> None:
    """Write what table `disposal` holds of the sample's disposals."""
    with engine.begin() as connection:
        connection.execute(
            insert(schedule_version).values(sha256=samples.POLICY, policy_text_sha256="cd" * 32, body=b"")
        )
        connection.execute(
            insert(run).values(
                run_id=RUN, dag_id="nightly_retention", airflow_run_id="r", as_of=date(2026, 11, 25),
                schedule_sha256=samples.POLICY,
            )
        )  # fmt: skip
        for number in range(1, 7):
            planned = samples.disposal(number, "planned")
            row: dict[str, Any] = {k: planned[k] for k in planned if k in disposal.c and k != "policy_sha256"}
            dates = ("trigger_date", "last_day", "free_from", "destroy_by")
            row |= {k: date.fromisoformat(planned[k]) for k in dates}
            row |= {"scope_id": "account", "schedule_sha256": samples.POLICY, "run_id": RUN}
            row |= {"outcome": OPEN.get(number, "confirmed_absent"), "code": "hold_h-5" if number == 2 else None}
            row |= {"closed_on": None if number in OPEN else date(2026, 11, 25)}
            connection.execute(insert(disposal).values(**row | {"disposal_id": UUID(int=number)}))


@pytest.fixture
def asked(log: Log) -> Log:
    log.stage([*ENTRIES, *MORE])
    log.seal()
    keep_disposals(log.engine)
    return log


@pytest.mark.parametrize("name", sorted(EVERY))
def test_a_question_read_narrowly_has_the_answer_of_the_whole_log(asked: Log, name: str) -> None:
    whole = EVERY[name].answer(DatabaseSource(asked.engine).entries(), ASKED)
    assert EVERY[name].answer(NarrowSource(asked.engine).about(name, ASKED), ASKED) == whole


def test_narrowing_leaves_out_what_a_question_is_not_about(asked: Log) -> None:
    read = {name: len(list(NarrowSource(asked.engine).about(name, ASKED))) for name in EVERY}
    assert read["scan"] == read["keys"] == len([*ENTRIES, *MORE])
    assert read["cold-reads"] == 1
    assert read["due-not-done"] < 12


def test_an_answer_too_large_for_a_page_is_refused_with_the_command(
    asked: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(narrowing, "LIMIT", 3)
    with pytest.raises(EvidenceError, match=r"python -m include\.evidence ask scan"):
        list(NarrowSource(asked.engine).about("scan", ASKED))


def test_what_is_staged_is_found_only_once_it_is_sealed(asked: Log) -> None:
    sealed = len([*ENTRIES, *MORE])
    asked.stage([samples.base("restored", code="late")])
    assert catch_up(asked.engine) == sealed
    with asked.engine.connect() as connection:
        assert count(connection, Wanted()) == sealed
    asked.seal()
    with asked.engine.connect() as connection:
        assert find(connection, Wanted(event="restored"), before=None, limit=1)[0].code == "late"


def test_pages_follow_one_another_without_a_gap(asked: Log) -> None:
    seen: list[int] = []
    with asked.engine.connect() as connection:
        while page := find(connection, Wanted(), before=seen[-1] if seen else None, limit=4):
            seen += [row.log_index for row in page]
    assert seen == list(reversed(range(len([*ENTRIES, *MORE]))))


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (Wanted(processor="salesforce"), 2),
        (Wanted(processor="salesforce", event="blocked"), 1),
        (Wanted(rule_id="R-12"), 2),
        (Wanted(late=True), 1),
        (Wanted(early=True), 1),
        (Wanted(start=date(2027, 1, 1)), 0),
        (Wanted(end=date(2026, 11, 24)), 0),
        (Wanted(run_id=UUID(int=8)), 0),
    ],
)
def test_every_way_to_search_narrows(asked: Log, wanted: Wanted, found: int) -> None:
    with asked.engine.connect() as connection:
        assert count(connection, wanted) == len(find(connection, wanted, before=None, limit=50)) == found


def test_the_words_to_choose_from_are_those_of_the_log(asked: Log) -> None:
    with asked.engine.connect() as connection:
        assert finding.places(connection) == sorted({e["processor"] for e in [*ENTRIES, *MORE] if "processor" in e})
        assert "planned" in finding.events(connection)
        assert finding.rules(connection) == sorted({e["rule_id"] for e in [*ENTRIES, *MORE] if "rule_id" in e})


def test_a_rebuilt_database_is_found_in_again(asked: Log) -> None:
    def found() -> list[list[Any]]:
        with asked.engine.connect() as connection:
            return [list(connection.execute(select(t).order_by(*t.primary_key))) for t in (entry_find, entry_life)]

    before = found()
    with asked.engine.begin() as connection:
        connection.execute(delete(entry_find))
        connection.execute(delete(entry_life))
    rebuild(asked.engine, asked.store, asked.signer.vkey, now=NOW)
    assert found() == before


def test_a_disposal_our_tables_call_closed_is_open_until_the_log_closes_it(asked: Log) -> None:
    with asked.engine.begin() as connection:
        connection.execute(update(disposal).values(outcome="confirmed_absent", closed_on=date(2026, 11, 20), code=None))
    for name in ("due-not-done", "unconfirmed", "corrections", "reconcile"):
        whole = EVERY[name].answer(DatabaseSource(asked.engine).entries(), ASKED)
        assert EVERY[name].answer(NarrowSource(asked.engine).about(name, ASKED), ASKED) == whole
        assert whole.rows


LATER = {"until": "2026-12-30"}
NEEDS = {"blocked": {"code": "hold_h-2"}, "cancelled": {"code": "x"}, "retained": LATER, "expires_by_processor": LATER}
LASTS = [
    *((event, NEEDS.get(event, {"basis": "x"})) for event in sorted({*CLOSING, *NEEDS, "planned", "reappeared"})),
    ("retained_by_processor", {"basis": "x"} | LATER),
    ("expires_by_processor", {"code": "date_passed"} | LATER),
    ("expires_by_processor", {"code": "no_api"} | LATER),
]


@pytest.mark.parametrize(("event", "more"), LASTS)
def test_what_the_log_leaves_open_is_what_its_verifier_calls_open(log: Log, event: str, more: dict[str, str]) -> None:
    entries = [samples.disposal(1, "planned"), samples.disposal(1, event, **more)]
    log.stage(entries)
    log.seal()
    with log.engine.connect() as connection:
        (life,) = connection.execute(select(entry_life)).all()
    day = date.fromisoformat(entries[1]["as_of"])
    assert (life.last_index, life.closed_on) == (1, day if closes(entries[1]) else None)
    log.stage([samples.disposal(1, "reappeared")])
    log.seal()
    with log.engine.connect() as connection:
        assert connection.execute(select(entry_life.c.last_index, entry_life.c.closed_on)).all() == [(2, None)]


def test_what_a_seal_left_out_is_added_before_a_question_is_answered(asked: Log) -> None:
    with asked.engine.begin() as connection:
        connection.execute(delete(entry_find).where(entry_find.c.log_index > 3))
    whole = EVERY["late"].answer(DatabaseSource(asked.engine).entries(), ASKED)
    assert EVERY["late"].answer(NarrowSource(asked.engine).about("late", ASKED), ASKED) == whole
    assert whole.rows


def test_an_entry_is_shown_by_its_exact_bytes(asked: Log) -> None:
    shown = narrowing.one(asked.engine, 0)
    assert shown is not None
    assert shown[1]["event"] == "policy_approved"
    assert narrowing.one(asked.engine, 10_000) is None
    assert next(e["event"] for _, e in narrowing.life_of(asked.engine, UUID(int=1))) == "planned"
