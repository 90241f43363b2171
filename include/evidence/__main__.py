"""`python -m include.evidence COMMAND`:

verify FOLDER [--vkey FILE_OR_TEXT] [--since OLD_CHECKPOINT] [--tsa ROOT.pem] [--strict]
ask QUESTION [--folder FOLDER] [--language ko|en]        `ask --help` lists the questions
destroy-epoch YEAR --by role:pseudonym --approved-by role:pseudonym [--keys FOLDER]
"""

from __future__ import annotations

import sys


def _run(arguments: list[str]) -> int:
    command, rest = arguments[:1], arguments[1:]
    if command == ["verify"] and rest:
        from include.evidence.verify import main

        return main(rest)
    if command == ["ask"] and rest:
        from include.evidence.ask import ask

        return ask(rest)
    if command == ["destroy-epoch"] and rest:
        from include.evidence.ask import end_epoch

        return end_epoch(rest)
    if command in (["--help"], ["-h"]):
        print(__doc__)
        return 0
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(_run(sys.argv[1:]))
