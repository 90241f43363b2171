"""Check a retention schedule, or explain one term.

    python -m include.policy lint [FILE]
    python -m include.policy explain --trigger 2026-02-28 --period P6M --kind max
    python -m include.policy simulate [NEW.yaml] --against OLD.yaml [--as-of 2026-11-24] [--every-day]

The last one needs the accounts, which this room does not know: it is carried out by the program of the room that does
(`python -m include.disposals simulate`), as a process of its own.

Exit code 2 and one line on stderr per problem when something is refused.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from pkgutil import iter_modules

from include.errors import ConfigurationError, RetentionError, ScheduleError
from include.policy.periods import SEOUL, Period, Term, ends_at, evaluate
from include.policy.schedule import PACKAGED, check, load, read


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m include.policy", description="The retention schedule.")
    commands = parser.add_subparsers(dest="command", required=True)
    lint = commands.add_parser("lint", help="check a schedule; exit 2 and say file, key and reason if it is refused")
    lint.add_argument("file", nargs="?", type=Path, default=PACKAGED)
    explain = commands.add_parser("explain", help="print when a period ends, as one line of JSON")
    explain.add_argument("--trigger", required=True, help="a Seoul date, or a moment with a time zone")
    explain.add_argument("--period", required=True, help="P6M, P5Y, P10D or PT72H")
    explain.add_argument("--kind", choices=("min", "max"), default="max", help="min rolls over holidays, max does not")
    simulate = commands.add_parser("simulate", help="compare two schedules over the accounts of today; changes nothing")
    simulate.add_argument("file", nargs="?", type=Path, help="the new version; default: the packaged one")
    simulate.add_argument("--against", required=True, type=Path, help="the version in force")
    simulate.add_argument("--as-of", type=date.fromisoformat, help="business date; default: today in Seoul")
    simulate.add_argument("--every-day", action="store_true", help="list every moved day, not the first of each rule")
    given = parser.parse_args(arguments)
    if given.command == "simulate":
        said = list(sys.argv[1:] if arguments is None else arguments)
        return 2 if subprocess.call([sys.executable, "-m", "include.disposals", *said]) else 0
    try:
        return _lint(given.file) if given.command == "lint" else _explain(given)
    except RetentionError as error:
        print(_line(error), file=sys.stderr)
        return 2


def _lint(file: Path) -> int:
    """Check `file` against itself and against the modules that exist in `include/processors`."""
    refused = check(read(file), file=str(file), folder=file.parent, processors=_modules())
    if refused:
        print("\n".join(_line(error) for error in refused), file=sys.stderr)
        return 2
    schedule = load(file)
    print(
        f"{file.name}: version {schedule.version} is sound: {len(schedule.categories)} categories, "
        f"{len(schedule.rules)} rules, {len(schedule.holds)} holds, {len(schedule.processors)} processors, "
        f"holidays {schedule.holidays.version} ({schedule.holidays.first_year}-{schedule.holidays.last_year}).\n"
        f"sha256 {schedule.sha256}"
    )
    return 0


def _explain(given: argparse.Namespace) -> int:
    schedule = load()
    period = Period.parse(given.period)
    trigger = _moment(given.trigger)
    answer: dict[str, str] = {"trigger": given.trigger, "period": str(period), "kind": given.kind}
    if period.hours:
        if not isinstance(trigger, datetime):
            raise ConfigurationError("A period by the hour starts at a moment. Write --trigger 2026-11-20T18:30+09:00.")
        end = ends_at(trigger, period)
        answer |= {"ends_at_utc": _utc(end), "ends_at": end.astimezone(SEOUL).isoformat()}
    else:
        answer |= _days(
            evaluate(trigger, period, kind=given.kind, holidays=schedule.holidays, rules=schedule.period_rules)
        )
    print(json.dumps(answer, ensure_ascii=False))
    return 0


def _days(term: Term) -> dict[str, str]:
    return {
        "last_day": term.last_day.isoformat(),
        "free_from": term.free_from.isoformat(),
        "free_from_utc": _utc(term.free_from_utc),
        "destroy_by": term.destroy_by.isoformat(),
    }


def _moment(text: str) -> date | datetime:
    try:
        return date.fromisoformat(text) if len(text) == 10 else datetime.fromisoformat(text)
    except ValueError:
        raise ConfigurationError(
            f"--trigger: {text[:40]!r} is neither a date (2026-02-28) nor a moment (2026-02-28T09:00+09:00)."
        ) from None


def _modules() -> tuple[str, ...]:
    """Return the processor modules by their file names; importing them would need what they need."""
    folder = Path(__file__).parent.parent / "processors"
    return tuple(sorted(m.name for m in iter_modules([str(folder)]) if not m.name.startswith("_")))


def _utc(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _line(error: RetentionError) -> str:
    text = str(error) if isinstance(error, ScheduleError) else f"refused: {error}"
    return " ".join(text.split())


if __name__ == "__main__":
    sys.exit(main())
