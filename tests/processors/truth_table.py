"""The truth table: what each processor deletes, overwrites, verifies and cannot prove, from erasing everybody once.

    python -m tests.processors.truth_table           # writes docs/processors.md
    python -m tests.processors.truth_table --check   # fails when docs/processors.md says something else

Nothing in that file is written by hand: outcomes, steps, methods, reads and what happened to the objects come from
running the worlds of the contract suite through the engine, as do requests by step and what each error leads to; quotas
and batch sizes from the classes; what a place lacks from the worlds' declarations.
"""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from include import database, processors
from include.processors import Quota
from include.sandbox.servers import PostgresServer, S3Server, temporary_folder
from tests.processors import measured
from tests.processors.worlds import WORLDS, kind_of, make
from tests.processors.worlds.base import World
from tests.processors.worlds.cases import CASES
from tests.processors.worlds.play import Play, Stage, playing, staged

FILE = Path(__file__).parents[2] / "docs" / "processors.md"


@dataclass(frozen=True, slots=True)
class Seen:
    """What became of one kind of person at one place."""

    documented: str
    end: str
    basis: str
    steps: tuple[str, ...]
    reads: str
    deleted: Mapping[str, int]
    changed: Mapping[str, int]
    kept: Mapping[str, int]
    wrong: str


@dataclass(slots=True)
class Witnessed:
    """Everybody, by processor and kind of person."""

    seen: dict[str, dict[str, Seen]] = field(default_factory=lambda: defaultdict(dict))
    requests: dict[str, Counter[str]] = field(default_factory=dict)
    led: dict[str, dict[str, measured.Led]] = field(default_factory=dict)


def witness(stage: Stage) -> Witnessed:
    """Erase everybody every place knows, once, without trouble."""
    found = Witnessed()
    for name in sorted(set(processors.names()) & set(WORLDS)):  # one without a world fails the suite by itself
        for variant in kind_of(name).variants:
            with playing(stage, make(stage, name, variant)) as play:
                found.seen[name][variant] = _erase(play)
        found.requests[name] = measured.requests(stage, name)
        found.led[name] = measured.led(stage, name)
    return found


def _erase(play: Play) -> Seen:
    world = play.world
    before = {k: v for k, v in world.snapshot().items() if k not in world.others}
    play.plan()
    end = play.nights()
    after = world.snapshot()
    try:
        play.check("")
        wrong = ""
    except AssertionError as error:
        wrong = str(error)
    entries = play.entries()
    steps = [f"{e['step']} ({e['method']})" for e in entries if e["event"] == "attempted"]
    return Seen(
        documented=world.variants[world.variant],
        end=end,
        basis=play.row().basis or "",
        steps=tuple(dict.fromkeys(steps)),
        reads=next((e["verify_method"] for e in reversed(entries) if e.get("verify_method")), ""),
        deleted=_kinds(world, {k: v for k, v in before.items() if k not in after}),
        changed=_kinds(world, {k: v for k, v in before.items() if k in after and after[k] != v}),
        kept=_kinds(world, {k: v for k, v in before.items() if after.get(k) == v}),
        wrong=wrong,
    )


def _kinds(world: World, rows: Mapping[str, str]) -> dict[str, int]:
    return dict(sorted(Counter(world.kind(k, v) for k, v in rows.items()).items()))


# -- the page ----------------------------------------------------------------------------------------------------------
def render(witnessed: Witnessed) -> str:
    """Return docs/processors.md."""
    names = sorted(witnessed.seen)
    lines = [
        "# What each processor does, and what it cannot prove",
        "",
        "Written by `python -m tests.processors.truth_table` from running every processor through the engine against",
        "the sandbox. Do not edit: change the processor or its world and run the command.",
        "",
        "| processor | deletes | anonymises | verified by | not provable |",
        "|---|---|---|---|---|",
        *(_row(f"[{n}](#{n})", k.deletes, k.anonymises, k.reads, k.not_provable) for n in names if (k := kind_of(n))),
        "",
    ]
    for name in names:
        lines += [*_section(name, witnessed.seen[name]), ""]
    return "\n".join([*lines, *_measured(witnessed), "", *_cases(names)]) + "\n"


def _measured(witnessed: Witnessed) -> Iterator[str]:
    yield from ("## Requests by step", "")
    yield f"{measured.PEOPLE} people of the kind marked ★ in one batch, from planning to the end; for a database,"
    yield "connections. `check`, once a batch when locating and once when acting, is left out. Exact counts, and other"
    yield "sizes: `python -m tests.processors.measured 500 salesforce`."
    yield from ("", *measured.budget_table(witnessed.requests, measured.PEOPLE), "")
    yield from ("## What an error leads to", "")
    yield "By its class alone (`include.errors.remedy`, which `include.retries` obeys). Code and the vendor's request"
    yield "id are kept, its message never. *Retry now* means the task's own retries, then the next run; *stop this"
    yield "processor* leaves the others going. A result about one record says the same by itself: `failed` is tried"
    yield "again next night, with `needs_person` it waits for somebody."
    yield from ("", *measured.led_table(witnessed.led))


def _section(name: str, seen: Mapping[str, Seen]) -> Iterator[str]:
    kind, processor = kind_of(name), processors.load(name)
    steps = list(dict.fromkeys(s for one in seen.values() for s in one.steps))
    reads = sorted({one.reads for one in seen.values() if one.reads})
    yield from (f"## {name}", "", (processor.__doc__ or "").partition("\n")[0], "")
    yield f"- Steps: {', '.join(f'`{s}`' for s in steps) or 'none; no call of the vendor changes anything'}"
    yield f"- Reads that ended it: {', '.join(f'`{r}`' for r in reads) or 'none'}"
    alone = ", one worker at a time" if processor.exclusive else ""
    yield f"- Batch: {processor.batch_size:,} disposals{alone}"
    yield f"- Quotas: {_quotas(processor.quotas)}"
    yield from ("", "| person | end | steps | gone | overwritten | still there |", "|---|---|---|---|---|---|")
    for variant, one in seen.items():
        end = f"`{one.end}`" + (f" (`{one.basis}`)" if one.basis else "")
        cells = (_counts(one.deleted), _counts(one.changed), _counts(one.kept))
        yield _row(variant + (" ★" if variant == kind.richest else ""), end, str(len(one.steps)), *cells)


def _quotas(quotas: Sequence[Quota]) -> str:
    by_limit: dict[str, list[str]] = defaultdict(list)
    for quota in quotas:
        by_limit[f"{quota.calls:,} per {quota.seconds:g} s"].append(quota.name)
    return "; ".join(f"{limit}: {', '.join(names)}" for limit, names in by_limit.items()) or "none published"


def _counts(kinds: Mapping[str, int]) -> str:
    return ", ".join(f"{k} {n}" for k, n in kinds.items()) or "–"


def _row(*cells: str) -> str:
    return "| " + " | ".join(c.replace("|", "\\|") for c in cells) + " |"


def _cases(names: Sequence[str]) -> Iterator[str]:
    yield from ("## What is played against every processor", "")
    yield "On the person marked ★, by `tests/processors/test_contract.py`. After every case neighbours are the same"
    yield "bytes, no log line, error or entry names the person, and nothing is called destroyed that is there."
    yield "✓ holds; a number is a case that does not exist there, for the reason below; ○ means that the trouble"
    yield "does not stop this processor."
    yield from ("", _row("case", *names), "|---" * (len(names) + 1) + "|")
    reasons: list[str] = []
    for key, case in CASES.items():
        cells = []
        for name in names:
            kind = kind_of(name)
            reason = kind.without.get(key) or kind.heedless.get(key)
            if reason is None:
                cells.append("✓")
                continue
            reasons += [reason] if reason not in reasons else []
            cells.append(("○ " if key in kind.heedless else "") + f"{reasons.index(reason) + 1}")
        yield _row(case.title, *cells)
    yield ""
    yield from (f"{number}. {reason}" for number, reason in enumerate(reasons, start=1))
    yield ""
    for name in names:
        kind = kind_of(name)
        if kind.acts:
            yield f"- {name}, acts: {', '.join(a.name for a in kind.acts)}"
            yield from (f"- {name}, not played: {a.name}, {a.rare}" for a in kind.acts if a.rare)
        for word, meaning in kind.oddities.items():
            yield f"- {name}, only there: {meaning} (`{word}`)"


@contextmanager
def servers() -> Iterator[Stage]:
    """Yield a stage on servers of its own."""
    with temporary_folder("rt-truth-") as folder:
        postgres, s3 = PostgresServer(folder / "pg").start(), S3Server(folder / "s3").start()
        try:
            postgres.create_database("template_retention")
            engine = database.connect(postgres.connection("retention_db", "template_retention"))
            database.migrate(engine)
            engine.dispose()
            s3.create_bucket("live")
            with staged(postgres, s3) as stage:
                yield stage
        finally:
            s3.stop()
            postgres.stop()


def main(arguments: Sequence[str]) -> int:
    """Write the page, or compare it."""
    with servers() as stage:
        witnessed = witness(stage)
    wrong = [
        f"{name}, {variant}: {one.wrong or one.end}"
        for name, people in witnessed.seen.items()
        for variant, one in people.items()
        if one.wrong or one.end != one.documented
    ]
    if wrong:
        print("\n".join(wrong), file=sys.stderr)
        return 1
    text = render(witnessed)
    if "--check" in arguments:
        same = FILE.read_text() == text
        print(f"{FILE.name} is {'up to date' if same else 'stale: run python -m tests.processors.truth_table'}")
        return 0 if same else 1
    FILE.write_text(text)
    print("\n".join(measured.requests_table(witnessed.requests, measured.PEOPLE)))
    print(
        f"wrote {FILE.name}: {len(witnessed.seen)} processors, {sum(map(len, witnessed.seen.values()))} kinds of people"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
