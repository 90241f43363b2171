"""One contract for every processor: whatever goes wrong, nothing is called destroyed that is not, and what can close
closes.

The folder `include/processors` is the registry: this suite runs over all of it, through the real engine, against the
sandbox's stand-ins and real servers. What does not exist at a place is stated in its world with a reason and shown in
docs/processors.md; nothing is skipped.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from include import processors
from include.sandbox.servers import PostgresServer, S3Server
from tests.processors import measured, truth_table
from tests.processors.worlds import WORLDS, kind_of, make
from tests.processors.worlds.cases import CASES
from tests.processors.worlds.play import Stage, playing, staged

NAMES = processors.names()


def applicable() -> list[tuple[str, str]]:
    """Return every case of every processor that its world does not declare impossible."""
    found = []
    for name in NAMES:
        # Without a world every case is tried, so that each fails and says what to add.
        without = WORLDS[name].without if name in WORLDS else {}
        found += [(name, case) for case in CASES if case not in without]
    return found


@pytest.fixture(scope="module")
def stage(postgres: PostgresServer, s3: S3Server) -> Iterator[Stage]:
    with staged(postgres, s3) as made:
        yield made


@pytest.fixture(scope="module")
def witnessed(stage: Stage) -> truth_table.Witnessed:
    """Everybody every place knows, erased once without trouble."""
    return truth_table.witness(stage)


@pytest.mark.parametrize("name", NAMES)
def test_everybody_a_place_knows_ends_as_documented(name: str, witnessed: truth_table.Witnessed) -> None:
    kind_of(name)
    seen = witnessed.seen[name]
    assert {variant: one.end for variant, one in seen.items()} == dict(kind_of(name).variants)
    assert {variant: one.wrong for variant, one in seen.items() if one.wrong} == {}


def test_the_truth_table_says_what_was_witnessed(witnessed: truth_table.Witnessed) -> None:
    said = truth_table.FILE.read_text()
    assert said == truth_table.render(witnessed), "run python -m tests.processors.truth_table"


@pytest.mark.parametrize("name", NAMES)
def test_every_trouble_leads_to_one_of_four_remedies(name: str, witnessed: truth_table.Witnessed) -> None:
    told = {led.remedy for led in witnessed.led[name].values()}
    assert told <= measured.REMEDIES | {"goes on", "–"}
    assert "retry now" in told, "an outage is tried again"


def test_requests_stay_within_their_budgets(witnessed: truth_table.Witnessed) -> None:
    print("\n".join(measured.requests_table(witnessed.requests, measured.PEOPLE)))
    s3, people = witnessed.requests["s3"], measured.PEOPLE
    # One abort for each unfinished upload and their listing come on top; so does one check a batch and phase.
    assert s3.total() - s3["check"] <= 3 * people + 3 + people + 1
    assert witnessed.requests["adroll"].total() <= 6, "one night's posts do not grow with the people who leave"


@pytest.mark.parametrize(("name", "case"), applicable())
def test_the_contract_holds(name: str, case: str, stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with playing(stage, make(stage, name)) as play:
        CASES[case].play(play)
        play.check(caplog.text)


@pytest.mark.parametrize("name", NAMES)
def test_what_a_place_lacks_is_a_case_with_a_reason(name: str) -> None:
    kind = kind_of(name)
    assert set(kind.without) | set(kind.heedless) <= set(CASES)
    assert all(reason.strip() for reason in (*kind.without.values(), *kind.heedless.values()))
    assert not set(kind.without) & set(kind.heedless)
    assert kind.acts or all(key in kind.without for key, case in CASES.items() if case.acts)


def test_a_processor_without_a_world_fails_and_says_what_to_add() -> None:
    told = r"include/processors/newcomer\.py has no world.*tests/processors/worlds/newcomer\.py"
    with pytest.raises(AssertionError, match=told):
        kind_of("newcomer")


def test_every_world_has_a_processor() -> None:
    assert set(WORLDS) == set(NAMES)
