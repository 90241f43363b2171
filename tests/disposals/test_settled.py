"""A person put right what stopped a disposal: it goes on, and only it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from include.disposals.settled import look_again
from include.errors import DecisionRefused
from include.outcomes import Outcome
from include.processors import Result, Work
from tests.disposals.conftest import Bench
from tests.disposals.fakes import Place


class Doubtful(Place):
    """A place that asks for a person until it is told that everything is clear."""

    clear = False

    def act(self, step: str, work: Sequence[Work]) -> list[Result]:
        if not self.clear:
            return [Result(w.disposal_id, Outcome.FAILED, code="requester_changed", needs_person=True) for w in work]
        return super().act(step, work)


def test_what_waits_for_a_person_after_an_act_goes_on_once_it_is_settled(bench: Bench) -> None:
    place = Doubtful(records={"a1": {"bin", "record"}})
    disposal_id = bench.plan("a1")
    bench.locate(place, disposal_id)
    bench.advance(place, disposal_id)
    assert (bench.row(disposal_id).due_at, bench.row(disposal_id).needs_person) == (None, True)
    place.clear = True
    assert look_again(bench.context, processor="zendesk", code="requester_changed", by="compliance:e-0007") == 1
    assert bench.row(disposal_id).due_at == bench.context.as_of
    told = bench.entries(disposal_id)[-1]
    assert (told["event"], told["code"], told["actor"]["pseudonym"]) == ("released", "requester_changed", "e-0007")
    bench.advance(place, disposal_id)
    assert bench.row(disposal_id).outcome == "confirmed_absent"


def test_nothing_moves_where_nobody_waits_or_a_name_is_given(bench: Bench) -> None:
    with pytest.raises(DecisionRefused, match="No open disposal at zendesk"):
        look_again(bench.context, processor="zendesk", code="ambiguous", by="compliance:e-0007")
    with pytest.raises(DecisionRefused, match="role and pseudonym"):
        look_again(bench.context, processor="zendesk", code="ambiguous", by="Sample Person")
