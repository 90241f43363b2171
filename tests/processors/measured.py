"""What is measured of every processor by the batch: requests by step, and what each kind of trouble leads to.

python -m tests.processors.measured                 # requests by step, 20 people in one batch
python -m tests.processors.measured 500 salesforce  # the same for 500
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from include.errors import (
    ConfigurationError,
    DecisionRefused,
    NeedsPerson,
    ProcessorError,
    RateLimited,
    Refused,
    Remedy,
    Unreachable,
    remedy,
)
from include.processors import ProcessorContract
from tests.processors.worlds import WORLDS, make
from tests.processors.worlds.base import EVER, HOUR, Person, World
from tests.processors.worlds.play import Play, Stage, playing

PEOPLE = 20
TROUBLE: Mapping[str, tuple[str, dict[str, str]]] = {
    "the key is refused": ("unauthorized", {}),
    "429, an hour": ("rate", {"Retry-After": str(HOUR)}),
    "503": ("unavailable", {}),
    "500, a page": ("broken", {}),
    "200, a page": ("html", {}),
    "404, a page": ("lost", {}),
    "400, a page": ("bad_request", {}),
    "409, a page": ("conflict", {}),
    "a redirection": ("redirect", {}),
    "cut": ("cut_before", {}),
}
"""What every request meets, and how the worlds call it."""
ERRORS: Sequence[tuple[ProcessorError | ConfigurationError | DecisionRefused, str]] = (
    (RateLimited("x", retry_after=30), "429 and the like; at most ten minutes"),
    (RateLimited("x", retry_after=HOUR), "the same, for longer"),
    (Unreachable("x", "no_answer"), "no answer, 5xx, a page: nothing is known, so the place is read first"),
    (Refused("x", "unauthorized"), "401, 403, a request the place does not take"),
    (ConfigurationError("x"), "a file, a connection or a permission is wrong"),
    (NeedsPerson("x", "ambiguous"), "one record needs a decision"),
    (DecisionRefused("x"), "an approval, a hold, the global stop"),
)


# -- requests by step --------------------------------------------------------------------------------------------------
class Counting:
    """A processor whose requests are counted by what they were made for."""

    def __init__(self, inner: ProcessorContract, world: World, counted: Counter[str]) -> None:
        self._inner, self._world, self._counted = inner, world, counted

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def _count(self, what: str, call: Callable[[], Any]) -> Any:
        before = self._world.calls()
        try:
            return call()
        finally:
            self._counted[what] += self._world.calls() - before

    def check(self) -> None:
        self._count("check", self._inner.check)

    def locate(self, subjects: Any) -> Any:
        return self._count("locate", lambda: self._inner.locate(subjects))

    def extract(self, work: Any) -> Any:
        return self._count("extract", lambda: self._inner.extract(work))

    def act(self, step: str, work: Any) -> Any:
        return self._count(step, lambda: self._inner.act(step, work))

    def read_back(self, work: Any) -> Any:
        return self._count("read_back", lambda: self._inner.read_back(work))


def requests(stage: Stage, name: str, people: int = PEOPLE) -> Counter[str]:
    """Erase a batch of people of the richest kind; return the requests by what they were made for."""
    counted: Counter[str] = Counter()
    with playing(stage, make(stage, name)) as play:
        crowd = [
            Person(f"b{n}", 100 + 12 * n, f"batch.person.{n:04}@example.com", f"Batch Person {n:04}")
            for n in range(people)
        ]
        play.world.crowd(crowd)
        made = play.world.processor
        play.world.processor = lambda: Counting(made(), play.world, counted)  # type: ignore[method-assign,assignment,return-value]
        for person in crowd:
            play.plan(person.account_id)
        play.nights()
        wanted = play.world.variants[play.world.richest]
        ends = Counter(play.end(i) for i in play.disposals)
        assert ends == {wanted: people}, f"{name}: {ends}, documented is {wanted}"
    return counted


def budget_table(found: Mapping[str, Counter[str]], people: int) -> list[str]:
    """Return the table of docs/processors.md: requests per account, rounded, because polling is a matter of moments."""
    rows = ["| processor | requests per account, by step | together |", "|---|---|---|"]
    for name, counted in found.items():
        steps = {what: n / people for what, n in counted.items() if n and what != "check"}
        said = ", ".join(f"{what} {_rounded(n)}" for what, n in steps.items()) or "none"
        rows.append(f"| {name} | {said} | {_rounded(sum(steps.values()))} |")
    return rows


def _rounded(number: float) -> str:
    return f"{number:.0f}" if number >= 0.9 else "under 1"


def requests_table(found: Mapping[str, Counter[str]], people: int) -> list[str]:
    """Return the exact counts of one measurement."""
    rows = ["| processor | requests by step | together | per account |", "|---|---|---|---|"]
    for name, counted in found.items():
        steps = ", ".join(f"{what} {n}" for what, n in counted.items() if n)
        rows.append(f"| {name} | {steps} | {counted.total()} | {counted.total() / people:.2f} |")
    return rows


# -- what trouble leads to ---------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Led:
    """What one kind of trouble led to at one place, or why it does not exist there."""

    error: str = ""
    remedy: str = ""

    def __str__(self) -> str:
        return f"`{self.error}`: {self.remedy}" if self.error else self.remedy


def led(stage: Stage, name: str) -> dict[str, Led]:
    """Let every request of the first night meet each trouble; return what became of it."""
    found = {}
    with playing(stage, make(stage, name)) as play:
        for title, (kind, headers) in TROUBLE.items():
            found[title] = _led(play, kind, headers)
    return found


def _led(play: Play, kind: str, headers: dict[str, str]) -> Led:
    case = {"rate": "rate_seconds", "broken": "broken_long", "bad_request": "garbage", "conflict": "garbage",
            "lost": "not_ours", "cut_before": "unavailable_long"}.get(kind, kind)  # fmt: skip
    if case in play.world.without:
        return Led(remedy="–")
    play.again()
    play.errors.clear()
    play.plan()
    before = play.world.snapshot()
    play.world.trouble(kind, times=EVER, headers=headers)
    play.run()
    play.world.mend()
    assert play.world.snapshot() == before, f"{kind}: something was changed"
    if not play.errors:
        return Led(remedy="goes on")
    error = play.errors[0]
    code = error.code if isinstance(error, ProcessorError) else ""
    return Led(f"{type(error).__name__} {code}".strip(), str(remedy(error)))


def led_table(found: Mapping[str, Mapping[str, Led]]) -> list[str]:
    """Return the tables of docs/processors.md: each class of error, and each trouble at each place."""
    rows = ["| class of error | what it says | what is done |", "|---|---|---|"]
    rows += [f"| `{type(e).__name__}` | {said} | {remedy(e)} |" for e, said in ERRORS]
    rows += ["| any other | a mistake of ours | retry now |", ""]
    rows += ["| every request meets | " + " | ".join(found) + " |", "|---" * (len(found) + 1) + "|"]
    rows += [f"| {title} | " + " | ".join(str(by[title]) for by in found.values()) + " |" for title in TROUBLE]
    return rows


REMEDIES = frozenset(str(r) for r in Remedy)


def main() -> int:
    """Print the requests by step."""
    from tests.processors.truth_table import servers

    parser = argparse.ArgumentParser(prog="python -m tests.processors.measured", description=__doc__)
    parser.add_argument("people", nargs="?", type=int, default=PEOPLE)
    parser.add_argument("processors", nargs="*", default=sorted(WORLDS))
    arguments = parser.parse_args()
    with servers() as stage:
        found = {name: requests(stage, name, arguments.people) for name in arguments.processors}
    print("\n".join(requests_table(found, arguments.people)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
