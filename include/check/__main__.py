"""Check everything a company sets: `python -m include.check`. Exit code 1 when anything is missing or unknown.

Connections are read as Airflow has them: from `AIRFLOW_CONN_…`, and where Airflow is configured here also from its
secrets backend and its own database.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from include.check import Setup, lines
from include.check.sources import from_airflow


def main() -> None:
    """Print one line for each thing looked at, then how many stand in the way."""
    parser = argparse.ArgumentParser(prog="python -m include.check", description=__doc__)
    parser.add_argument("--problems", action="store_true", help="print only what is missing or unknown")
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)  # clients' own lines hold addresses
    path = os.environ.get("RETENTION_SCHEDULE")
    setup = Setup(connection=from_airflow, now=datetime.now(UTC), schedule=Path(path) if path else None)
    bad = 0
    for line in lines(setup):
        bad += not line.good
        if not (arguments.problems and line.good):
            print(line, flush=True)
    print(f"{bad} missing or unknown." if bad else "Nothing is missing.")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
