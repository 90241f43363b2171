"""Seeded lies between client and place: thousands of them, and not one false "destroyed".

    python -m tests.processors.lies              # 10,000 lies over all processors, by turns
    python -m tests.processors.lies 500 s3       # 500 lies to one of them
    python -m tests.processors.lies 1 s3 --seed 4711   # one play again
    python -m tests.processors.lies --wire       # the same on the level of bytes (`worlds/wire.py`)

Each play erases one person, of any kind the place knows, while a liar answers a third of all requests: says done and
does nothing, does it and says nothing, cuts, answers with pages, nothing, half of the answer or that of the past. After
some nights the lying stops, a person lets go on what stopped for one, and the disposal must end as documented.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from tests.processors.worlds import WORLDS, kind_of, make
from tests.processors.worlds.base import World
from tests.processors.worlds.play import Play, Stage, playing
from tests.processors.worlds.tamper import Liar, Trap
from tests.processors.worlds.wire import Script, wired

RATE = 0.35
MOST = 12
NIGHTS = 6
HTTP = ("adroll", "clarity", "s3", "salesforce", "stripe", "zendesk")
"""Whose places speak HTTP."""


@dataclass
class Told:
    """What was told to one processor, and what came of it."""

    plays: int = 0
    lies: Counter[str] = field(default_factory=Counter)
    false: list[str] = field(default_factory=list)
    open: list[str] = field(default_factory=list)
    named: list[str] = field(default_factory=list)
    stumbles: Counter[str] = field(default_factory=Counter)

    @property
    def count(self) -> int:
        return self.lies.total()


Way = Callable[[World, int], "AbstractContextManager[Liar | Script]"]
"""How a world is lied about, by a seed, while it is played."""


@contextlib.contextmanager
def by_answers(world: World, seed: int) -> Iterator[Liar]:
    """Let the place answer otherwise than it should."""
    liar = Liar(seed, RATE, MOST)
    world.lie_to(liar)
    yield liar


@contextlib.contextmanager
def by_bytes(world: World, seed: int) -> Iterator[Script]:
    """Let what stands in between damage the bytes; nobody may knock where its redirections lead."""
    script, trap = Script(seed), Trap()
    endpoint = world.connection().endpoint_url
    assert endpoint, f"{world.name} speaks no HTTP"
    with wired(endpoint, trap.url, script) as wire:
        world.via = wire.url
        yield script
    assert not trap.knocked(), "a redirection was followed to another host"
    trap.close()


def play_one(stage: Stage, name: str, seed: int, told: Told, way: Way = by_answers) -> None:
    """Erase one person while being lied to; whatever is wrong afterwards goes into `told` with its seed."""
    kind, chance = kind_of(name), random.Random(seed)
    variant = chance.choice([kind.richest, kind.richest, *kind.variants])
    with playing(stage, make(stage, name, variant)) as play, way(play.world, seed) as liar:
        play.stumbles = []
        play.plan()
        where = f"seed {seed}, {variant}"
        for _ in range(NIGHTS):
            play.night()
            if not _true(play, told, where):
                break
            if play.row().closed_on:
                break
        liar.on = False
        _afterwards(play, told, where)
        told.plays += 1
        told.lies.update(liar.told)
        told.stumbles.update(play.stumbles)


def _true(play: Play, told: Told, where: str) -> bool:
    try:
        play.check_truth()
    except AssertionError as error:
        told.false.append(f"{where}: {error}")
        return False
    return True


def _afterwards(play: Play, told: Told, where: str) -> None:
    """The lying is over: what can close closes, neighbours are as they were, nobody is named."""
    for _ in range(3):
        if play.row().needs_person:
            play.let_go_on(play.disposals[0])
        play.nights()
    if not _true(play, told, where):
        return
    if play.end() != play.world.variants[play.world.variant]:
        told.open.append(f"{where}: ended as {play.end()}")
    try:
        play.check("")
    except AssertionError as error:
        told.named.append(f"{where}: {error}")


def tell(stage: Stage, lies: int, names: Sequence[str], *, seed: int, way: Way = by_answers) -> dict[str, Told]:
    """Play by turns until so many lies were told; return what came of it, by processor."""
    found = {name: Told() for name in names}
    while sum(t.count for t in found.values()) < lies:
        for name in names:
            play_one(stage, name, seed, found[name], way)
            seed += 1
    return found


def report(found: dict[str, Told]) -> str:
    """Return a table of what was told, and every line that is wrong."""
    lines = [f"{'processor':14}{'plays':>7}{'lies':>8}{'false':>7}{'open':>6}{'harm':>6}{'stumbles':>10}"]
    for name, t in found.items():
        wrong = f"{len(t.false):>7}{len(t.open):>6}{len(t.named):>6}{t.stumbles.total():>10}"
        lines.append(f"{name:14}{t.plays:>7}{t.count:>8}{wrong}")
    everything = sum((t.lies for t in found.values()), Counter())
    lines.append(f"{everything.total()} lies: " + ", ".join(f"{kind} {n}" for kind, n in everything.most_common()))
    for name, t in found.items():
        lines += [f"{name}: {line}" for line in (*t.false, *t.open, *t.named)]
        lines += [f"{name}: stumbled, {what}: {n}" for what, n in t.stumbles.most_common()]
    return "\n".join(lines)


def main() -> int:
    """Tell lies and print what came of it; 1 if anything was called destroyed that is there, or stayed open."""
    from tests.processors.truth_table import servers

    parser = argparse.ArgumentParser(prog="python -m tests.processors.lies", description=__doc__)
    parser.add_argument("lies", nargs="?", type=int, default=10_000)
    parser.add_argument("processors", nargs="*")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--wire", action="store_true")
    arguments = parser.parse_args()
    way, everybody = (by_bytes, HTTP) if arguments.wire else (by_answers, sorted(WORLDS))
    with servers() as stage:
        found = tell(stage, arguments.lies, arguments.processors or everybody, seed=arguments.seed, way=way)
    print(report(found))
    return int(any(t.false or t.open or t.named for t in found.values()))


if __name__ == "__main__":
    sys.exit(main())
