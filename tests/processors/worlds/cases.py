"""The cases of the contract: what may go wrong at any place, and what must hold all the same.

Every case drives one disposal (or several) through the real engine. After each, whatever happened: neighbours are as
they were, nobody is named, and nothing is called destroyed that is there (`Play.check`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

from include.errors import ConfigurationError, ProcessorError, RateLimited, Refused, Unreachable
from include.outcomes import Outcome
from tests.processors.worlds.base import EVER, HOUR
from tests.processors.worlds.ends import ends_well, honest_then_closed, released, resumes, still_open, untouched
from tests.processors.worlds.identity import (
    hostile,
    hostile_emails,
    merged,
    no_identifier,
    nobody_known,
    several_records,
    shared_email,
    value_refused,
    vanished_account,
)
from tests.processors.worlds.play import CONFIRMED, Play


@dataclass(frozen=True, slots=True)
class Case:
    """One case: what is said of it in docs/processors.md, and how it is played."""

    title: str
    play: Callable[[Play], None]
    acts: bool = False
    """Whether it is about acts, so that a place without any has none of it."""


# -- the plain way -----------------------------------------------------------------------------------------------------
def twice(play: Play) -> None:
    """A second disposal of the same person finds nothing more to do and ends as well."""
    play.plan()
    play.nights()
    ends_well(play)
    after, changed = play.world.snapshot(), len(play.world.requests())
    second = play.plan()
    play.nights()
    row = play.row(second)
    assert play.documented(play.end(second)), f"the second time ended as {play.end(second)}"
    assert row.closed_on is None or Outcome(row.outcome) in CONFIRMED
    assert play.world.snapshot() == after
    assert len(play.world.requests()) == changed, "the second time changed something"


def gone_before(play: Play) -> None:
    """Somebody removed the person before we looked: nothing is done, and the end is one for empty places."""
    play.world.vanish()
    before = play.world.snapshot()
    play.plan()
    play.nights()
    row = play.row()
    assert row.outcome == Outcome.CONFIRMED_ABSENT, play.end()
    untouched(play, before)


def gone_between(play: Play) -> None:
    """Somebody removed the person after we looked: no step fails over it."""
    play.plan()
    play.locate()
    play.world.vanish()
    play.nights()
    _settled_somehow(play)


def _settled_somehow(play: Play) -> None:
    row = play.row()
    documented = play.documented(play.end())
    assert documented and not row.needs_person, f"ended as {play.end()}; heard {play.errors!r}"


# -- an answer that is not true, or does not come ----------------------------------------------------------------------
def lie(play: Play) -> None:
    """Each kind of act says yes and keeps everything: never called destroyed, closed once the lying stops."""
    for variant, acts in play.world.rounds().items():
        for act in acts:
            play.again(variant)
            play.plan()
            play.world.trouble("lie", act, times=EVER)
            play.run()
            honest_then_closed(play)


def oddities(play: Play) -> None:
    """What only this place gets wrong: never called destroyed, closed once it is over."""
    for word in play.world.oddities:
        play.again()
        play.plan()
        play.world.trouble(word, times=3)
        play.nights(3)
        assert play.world.unmet() < 3, f"no request met {word}"
        honest_then_closed(play)


def cut_after(play: Play) -> None:
    """Every kind of act is done once and its answer lost: closed by looking, without a person."""
    _each_act_once(play, "cut_after")


def cut_before(play: Play) -> None:
    """Every kind of act is cut once before it was done."""
    _each_act_once(play, "cut_before")


def _each_act_once(play: Play, kind: str, *, also_reads: bool = False, planned: bool = False) -> None:
    """Let the first request of every act meet the same trouble; all of it must be met, and the end be reached."""
    for number, (variant, acts) in enumerate(play.world.rounds().items()):
        if number or not planned:
            play.again(variant)
            play.plan()
        if also_reads:
            play.world.trouble(kind)
        for act in acts:
            if not (kind in ("html", "broken") and act.method == "SQL"):
                play.world.trouble(kind, act)
        play.nights(4 * len(acts) + 6)
        ends_well(play)
        assert not play.world.unmet(), "an act met no trouble: it is not played here"


def crash(play: Play) -> None:
    """The process dies right after each step: the next run reads first and closes."""
    play.plan()
    play.locate()
    for step in play.steps():
        play.crash_in = step
        play.advance()
        assert play.crash_in is None or play.row().closed_on, f"step {step} was not reached"
        play.crash_in = None
    play.nights()
    ends_well(play)


# -- patience ----------------------------------------------------------------------------------------------------------
def _rated(play: Play, headers: dict[str, str], least: float) -> None:
    before = play.world.snapshot()
    play.plan()
    play.world.trouble("rate", times=EVER, headers=headers)
    play.run()
    if "rate_seconds" in play.world.heedless:
        play.nights()
        ends_well(play)
        return
    limited = [e for e in play.errors if isinstance(e, RateLimited)]
    assert limited, f"no RateLimited but {play.errors!r}"
    assert limited[-1].retry_after >= least, f"waits only {limited[-1].retry_after:.0f} s"
    still_open(play)
    untouched(play, before)


def rate_seconds(play: Play) -> None:
    """429 with an hour in seconds: nothing is done, the wait is passed on; then it goes on."""
    _rated(play, {"Retry-After": str(HOUR)}, HOUR - 10)
    resumes(play)


def rate_date(play: Play) -> None:
    """429 with a date an hour ahead."""
    moment = datetime.now(UTC) + timedelta(seconds=HOUR)
    _rated(play, {"Retry-After": format_datetime(moment, usegmt=True)}, HOUR - 60)


def rate_bare(play: Play) -> None:
    """429 without a word on how long."""
    _rated(play, {}, 1)


def unavailable_once(play: Play) -> None:
    """One read and the first try of every act meet a 503."""
    if play.world.acts:
        _each_act_once(play, "unavailable", also_reads=True)
        return
    play.plan()
    play.world.trouble("unavailable")
    play.nights()
    ends_well(play)


def unavailable_long(play: Play) -> None:
    """The place is down for two nights: unreachable, nothing done, then resumed."""
    before = play.world.snapshot()
    play.plan()
    play.world.trouble("unavailable", times=EVER)
    play.run()
    play.run()
    assert any(isinstance(e, Unreachable) for e in play.errors), play.errors
    still_open(play)
    untouched(play, before)
    if "vanished_account" in play.world.without:  # else that case shows that it goes on
        resumes(play)


def html(play: Play) -> None:
    """A web page with status 200 instead of an answer, before and in the acts: it says nothing."""
    before = play.world.snapshot()
    play.plan()
    play.world.trouble("html", times=EVER)
    play.run()
    if "html" in play.world.heedless:
        play.nights()
        ends_well(play)
        return
    assert any(isinstance(e, ProcessorError) for e in play.errors), play.errors
    still_open(play)
    untouched(play, before)
    play.world.mend()
    _each_act_once(play, "html", planned=True)


def broken_once(play: Play) -> None:
    """One read and the first try of every act meet a 500."""
    if play.world.acts:
        _each_act_once(play, "broken", also_reads=True)
        return
    play.plan()
    play.world.trouble("broken")
    play.nights()
    ends_well(play)


def broken_long(play: Play) -> None:
    """Every request meets a 500 for two nights: nothing done, then resumed."""
    before = play.world.snapshot()
    play.plan()
    play.world.trouble("broken", times=EVER)
    play.run()
    play.run()
    if "broken_long" not in play.world.heedless:
        assert any(isinstance(e, Unreachable) for e in play.errors), play.errors
        still_open(play)
        untouched(play, before)
    resumes(play)


def not_ours(play: Play) -> None:
    """A 404 or 410 that is not the vendor's says nothing about the person, before and in the acts."""
    _nonsense(play, "not_ours", ("lost", "lost_json", "gone_page"))


def garbage(play: Play) -> None:
    """A success without what was asked for is neither done nor empty, before and in the acts."""
    _nonsense(play, "garbage", ("empty", "no_content", "braces", "brackets", "null", "truncated"))


def redirect(play: Play) -> None:
    """An answer that points to another host is not followed: nobody knocks there."""
    _nonsense(play, "redirect", ("redirect",))


def _nonsense(play: Play, case: str, kinds: Sequence[str]) -> None:
    for kind in kinds:
        play.again()
        before = play.world.snapshot()
        play.plan()
        play.world.trouble(kind, times=EVER)
        play.run()
        untouched(play, before)
        if case not in play.world.heedless:
            still_open(play)
        play.world.mend()
        released(play)
        play.locate()
        play.world.trouble(kind, times=EVER)
        play.advance()
        play.check_truth()
        released(play)
        resumes(play)


def slow(play: Play) -> None:
    """Slow answers change nothing."""
    play.plan()
    play.world.trouble("slow", times=3)
    play.nights()
    ends_well(play)


# -- who we are --------------------------------------------------------------------------------------------------------
def unauthorized(play: Play) -> None:
    """The key is refused for good: refused, and not one act."""
    before = play.world.snapshot()
    play.plan()
    play.world.trouble("unauthorized", times=EVER)
    play.run()
    assert any(isinstance(e, Refused | ConfigurationError) for e in play.errors), play.errors
    assert not play.world.requests()
    still_open(play)
    untouched(play, before)
    if not play.world.acts:  # else `unauthorized_in_act` shows that it goes on
        resumes(play)


def unauthorized_once(play: Play) -> None:
    """The key is refused once, in the first act and in the last (it expired, and was renewed): closed all the same."""
    if not play.world.acts:
        play.plan()
        play.world.trouble("unauthorized")
        play.run()
        resumes(play)
        return
    for variant, acts in play.world.rounds().items():
        for act in dict.fromkeys((acts[0], acts[-1])):
            play.again(variant)
            play.plan()
            play.world.trouble("unauthorized", act)
            play.nights()
            play.world.mend()
            released(play)
            play.nights()
            ends_well(play)


def unauthorized_in_act(play: Play) -> None:
    """The key is refused from the first act on: refused, and closed with a new one."""
    play.plan()
    play.locate()
    play.world.trouble("unauthorized", times=EVER)
    play.advance()
    assert any(isinstance(e, Refused | ConfigurationError) for e in play.errors), play.errors
    still_open(play)
    resumes(play)


CASES: dict[str, Case] = {
    "twice": Case("erasing twice ends the same way", twice),
    "gone_before": Case("the record is gone before we look", gone_before),
    "gone_between": Case("the record goes while we work", gone_between),
    "lie": Case("says done, keeps everything (each act)", lie, acts=True),
    "oddities": Case("what only this place gets wrong", oddities),
    "cut_after": Case("does it and cuts the reply (each act)", cut_after, acts=True),
    "cut_before": Case("cuts before doing it (each act)", cut_before, acts=True),
    "crash": Case("our process dies after each step", crash, acts=True),
    "rate_seconds": Case("429 with seconds", rate_seconds),
    "rate_date": Case("429 with a date", rate_date),
    "rate_bare": Case("429 with nothing", rate_bare),
    "unavailable_once": Case("503 once, in a read and in each act", unavailable_once),
    "unavailable_long": Case("503 for long", unavailable_long),
    "broken_once": Case("500 once, in a read and in each act", broken_once),
    "broken_long": Case("500 for long", broken_long),
    "html": Case("HTML instead of an answer, in reads and acts", html),
    "not_ours": Case("a 404 or 410 that is not the vendor's", not_ours),
    "garbage": Case("a success without content, or half of it", garbage),
    "redirect": Case("a redirection to another host", redirect),
    "slow": Case("slow replies", slow),
    "unauthorized": Case("the key is refused for ever", unauthorized),
    "unauthorized_once": Case("the key is refused once, in the first and the last act", unauthorized_once),
    "unauthorized_in_act": Case("the key is refused mid-way", unauthorized_in_act, acts=True),
    "several_records": Case("two records of one person", several_records),
    "shared_email": Case("one e-mail of two people", shared_email),
    "merged": Case("the record is merged into another while we work", merged),
    "value_refused": Case("the anonymised value is refused", value_refused, acts=True),
    "nobody_known": Case("no e-mail and no name known", nobody_known),
    "no_identifier": Case("no identifier at all", no_identifier),
    "hostile": Case("hostile account ids", hostile),
    "hostile_emails": Case("hostile e-mails", hostile_emails),
    "vanished_account": Case("the account vanished while the place was down", vanished_account),
}
