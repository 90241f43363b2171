"""Cases of the contract about whom we mean: identifiers that are many, shared, missing, hostile, or led elsewhere."""

from __future__ import annotations

from include.accounts import Identifiers
from include.outcomes import Outcome
from tests.processors.worlds.base import EVER, NEIGHBOURS, TARGET
from tests.processors.worlds.ends import ends_well, released, resumes, still_open, untouched
from tests.processors.worlds.play import CONFIRMED, Play

HOSTILE = (
    ".", "..", "../10", "10/../10", "//example.com", "/", "\\", "'", '"', "1' OR '1'='1", "1 OR true", "%", "_", "*",
    "1*", "1+10", "1,10", "1 10", " 1", "1 ", "1\n", "１", "가", "가나다+라", "{account_id}", "1}", "1%2F", "1;10",
    "10&ids=10", "001000000000001AAA", "cus_s0000010x000", "900000100", "A" * 300,
)  # fmt: skip
"""Account ids that nobody has, each of which could reach somebody if it were believed, cut, unescaped or folded."""


def nobody_known(play: Play) -> None:
    """The company knows no e-mail and no name: found by the account's key, or left to a person, never guessed."""
    play.world.know_nothing()
    play.plan()
    play.nights(4)
    row = play.row()
    assert row.needs_person or play.documented(play.end()), play.end()


def no_identifier(play: Play) -> None:
    """No account id and no e-mail at all: nothing is touched."""
    before = play.world.snapshot()
    play.plan("")
    play.run()
    untouched(play, before)


def hostile(play: Play) -> None:
    """Account ids made to reach others reach nobody, neither alone nor beside a real one."""
    before = play.world.snapshot()
    for account_id in HOSTILE:
        play.plan(account_id)
    play.run()
    play.run()
    untouched(play, before)


def hostile_emails(play: Play) -> None:
    """E-mails made to reach others reach nobody."""
    before = play.world.snapshot()
    emails = (
        "@",
        "%@example.com",
        "*@example.com",
        "' OR Email != '",
        '"',
        "sample.person.0010",
        "example.com",
        "@example",
    )
    for number, email in enumerate(emails):
        account = f"nobody-{number}"
        play.world.known[account] = Identifiers(emails=(email,), login_id=email, name="", phones=())
        play.plan(account)
    play.run()
    play.run()
    untouched(play, before)


def vanished_account(play: Play) -> None:
    """The place was down while the company still knew the person; when it is up again the stored keys find them."""
    play.plan()
    play.world.trouble("unavailable", times=EVER)
    play.run()
    play.world.mend()
    play.world.forget()
    play.nights()
    ends_well(play)


def several_records(play: Play) -> None:
    """Two records of one person both go."""
    assert play.world.duplicates, f"world {play.world.name} names nobody with several records"
    for variant in play.world.duplicates:
        play.again(variant)
        play.plan()
        play.nights()
        ends_well(play)


def shared_email(play: Play) -> None:
    """An e-mail that two accounts use never reaches the other account's records."""
    before = play.world.snapshot()
    play.world.share_email(NEIGHBOURS[0])
    play.plan()
    play.nights(4)
    after = play.world.snapshot()
    assert [k for k, v in before.items() if k in play.world.others and after.get(k) != v] == []
    assert play.row().needs_person or play.documented(play.end()), play.end()
    play.check_truth()


def merged(play: Play) -> None:
    """Between locating and acting somebody merges the person's record: into another of the same, then into another's.

    Where the place says into which (`follows_merges`) the first goes as documented; elsewhere a person is asked before
    anything is called gone. The second is for a person, or ends without a word of this one left; the other person's
    record stays.
    """
    play.plan()
    play.locate()
    play.world.merge(TARGET)
    play.nights()
    if play.world.follows_merges:
        released(play)
        play.nights()
        ends_well(play)
    assert play.row().needs_person or play.documented(play.end()), play.end()
    play.again(play.world.richest)
    play.plan()
    play.locate()
    play.world.merge(NEIGHBOURS[0])
    play.nights(6)
    play.check_truth()
    row = play.row()
    assert row.needs_person or Outcome(row.outcome) in CONFIRMED or play.documented(play.end()), play.end()


def value_refused(play: Play) -> None:
    """The place takes no other value where one was to be overwritten: nothing is called anonymised, later it is."""
    for variant, act in play.world.overwrites():
        play.again(variant)
        play.plan()
        play.world.trouble("value_refused", act, times=EVER)
        play.nights(3)
        still_open(play)
        assert Outcome(play.row().outcome) in (Outcome.FAILED, Outcome.AWAITING) or play.errors, play.end()
        play.check_truth()
        released(play)
        resumes(play)
