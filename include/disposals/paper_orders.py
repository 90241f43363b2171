"""The destruction orders of every paper disposal that waits for a person, one per box.

    python -m include.disposals.paper_orders --out orders.csv

Reads the connections `retention_db` and `archive_kek` from `AIRFLOW_CONN_*`, as Airflow does. Accounts do not appear.
"""

from __future__ import annotations

import argparse
import csv
import sys
from pathlib import Path

from sqlalchemy import Engine, select

from include import database, keys
from include.connections import Connection
from include.database import disposal
from include.disposals import locators
from include.errors import RetentionError
from include.keys import Wrapper
from include.outcomes import Outcome
from include.processors._paper.orders import HEADER, BoxOrder, as_rows, by_box


def orders(engine: Engine, wrapper: Wrapper) -> list[BoxOrder]:
    """Return the orders that are open now, by box."""
    with engine.connect() as connection:
        due = {
            str(row.disposal_id): row.until
            for row in connection.execute(
                select(disposal.c.disposal_id, disposal.c.until).where(
                    disposal.c.processor == "paper",
                    disposal.c.outcome == Outcome.MANUAL_PENDING,
                    disposal.c.closed_on.is_(None),
                    disposal.c.until.is_not(None),
                )
            )
        }
        found = locators.opened(connection, wrapper, list(due))
    return by_box({i: (body, due[i]) for i, (kind, body) in found.items() if kind == "found"})


def write(file: Path, found: list[BoxOrder]) -> None:
    """Write the orders as a form; the mark at its beginning lets a spreadsheet read the Korean."""
    with file.open("w", encoding="utf-8-sig", newline="") as out:
        csv.writer(out).writerows([HEADER, *as_rows(found)])


def main() -> None:
    """Write the open orders; a refusal is one clear line and exit code 1."""
    parser = argparse.ArgumentParser(prog="python -m include.disposals.paper_orders", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="the CSV file to write")
    arguments = parser.parse_args()
    try:
        engine = database.connect(Connection.from_environment("retention_db"))
        found = orders(engine, keys.wrapper(Connection.from_environment("archive_kek")))
        write(arguments.out, found)
    except RetentionError as error:
        sys.exit(str(error))
    sys.stdout.write(f"{len(found)} orders, {sum(len(o.papers) for o in found)} papers: {arguments.out}\n")


if __name__ == "__main__":
    main()
