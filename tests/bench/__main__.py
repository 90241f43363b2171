"""`make bench`: measure every line beside its baseline, print the table, write `bench.json` and `bench.png`.

python -m tests.bench [--only plan_1m,empty_night] [--tiny] [--out .local]
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import NoReturn

import httpx

from include.errors import RetentionError
from tests.bench.frame import TINY, Bench, Sizes
from tests.bench.lines import LINES, chosen
from tests.bench.picture import draw
from tests.bench.registry import forget
from tests.bench.rows import Row, machine, say, table

ROOT = Path(__file__).parents[2]


def main(arguments: list[str] | None = None) -> int:
    """Run the lines asked for; exit 1 when a goal is missed at full size."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__.split("\n")[0])
    parser.add_argument("--only", default="", help=f"names, comma separated: {', '.join(LINES)}")
    parser.add_argument("--tiny", action="store_true", help="sizes of the test suite: shows that it runs, no more")
    parser.add_argument("--out", type=Path, default=ROOT / ".local")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        rows = measure(options.only, TINY if options.tiny else Sizes(), options.out)
    except LookupError as error:
        parser.error(str(error.args[0]))
    except RuntimeError as error:
        say(str(error))
        return 1
    return int(any(row.met is False for row in rows) and not options.tiny)


def measure(only: str, sizes: Sizes, out: Path) -> list[Row]:
    """Measure the lines named in `only` (all when empty) and leave `bench.json` and `bench.png` in `out`."""
    lines = chosen(only)
    out.mkdir(parents=True, exist_ok=True)
    say(f"{len(lines)} lines on {machine()['machine']}")
    rows, failed = list[Row](), list[str]()
    with ExitStack() as stack:
        stack.callback(forget)
        bench = Bench(sizes, stack)
        for number, (name, line) in enumerate(lines.items(), 1):
            started = time.monotonic()
            say(f"[{number}/{len(lines)}] {name}")
            try:
                rows += line(bench)
            except (RetentionError, RuntimeError, OSError, httpx.HTTPError, subprocess.CalledProcessError) as error:
                # The other lines are still worth measuring; this one is missing from the file.
                failed.append(name)
                say(f"  not measured: {type(error).__name__}: {error}")
            say(f"  {time.monotonic() - started:.0f} s")
            # After every line, so that an interrupted run leaves what it had.
            (out / "bench.json").write_text(json.dumps([r.as_json() for r in rows], indent=1) + "\n")
    drawn = draw([r.as_json() for r in rows], out / "bench.png")
    say("\n" + table(rows))
    say(f"\n{out / 'bench.json'}" + (f"\n{out / 'bench.png'}" if drawn else ""))
    if failed:
        raise RuntimeError(f"not measured: {', '.join(failed)}")
    return rows


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("Interrupted; everything that was started is stopped.")
