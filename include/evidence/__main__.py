"""`python -m include.evidence verify FOLDER [--vkey FILE_OR_TEXT] [--since OLD_CHECKPOINT] [--strict]`."""

from __future__ import annotations

import sys

from include.evidence.verify import main


def _run(arguments: list[str]) -> int:
    if arguments[:1] != ["verify"] or len(arguments) < 2:
        print(__doc__, file=sys.stderr)
        return 2
    return main(arguments[1:])


if __name__ == "__main__":
    sys.exit(_run(sys.argv[1:]))
