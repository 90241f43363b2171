"""How a case of the contract may end, and what must hold until then."""

from __future__ import annotations

from include.outcomes import Outcome
from tests.processors.worlds.play import CONFIRMED, Play


def ends_well(play: Play) -> None:
    want = play.world.variants[play.world.variant]
    assert play.end() == want, f"ended as {play.end()}, documented is {want}; heard {play.errors!r}"


def resumes(play: Play) -> None:
    """Once the trouble is over the disposal is closed: nothing stays open that could be closed."""
    play.world.mend()
    play.nights()
    ends_well(play)


def untouched(play: Play, before: dict[str, str]) -> None:
    assert play.world.snapshot() == before, "something was changed"


def still_open(play: Play) -> None:
    """Not yet at an end that says the place is done with."""
    row = play.row()
    assert Outcome(row.outcome) not in CONFIRMED, f"called {row.outcome}"


def released(play: Play) -> None:
    """Let a person look at what stopped, and let it go on."""
    for disposal_id in play.disposals:
        if play.row(disposal_id).needs_person:
            play.let_go_on(disposal_id)


def honest_then_closed(play: Play) -> None:
    if play.world.left():
        still_open(play)
    play.check_truth()
    released(play)
    resumes(play)
    play.check_truth()
