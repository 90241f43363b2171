"""What a person prepares, from the command line: `import-paper`, the company's box list into its register.

Reads connection `accounts_db` from `AIRFLOW_CONN_ACCOUNTS_DB`, as Airflow does.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from include import database
from include.connections import Connection
from include.errors import ConfigurationError, RetentionError
from include.policy import schedule
from include.processors._paper import importing


def main() -> None:
    """Import a box list; a refusal is one clear line and exit code 1."""
    parser = argparse.ArgumentParser(prog="python -m include.processors", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    boxes = commands.add_parser("import-paper", help="check a box list and add it to the register of papers")
    boxes.add_argument("file", type=Path, help="CSV in UTF-8: box, location, category, account and perhaps paper_id")
    boxes.add_argument("--check", action="store_true", help="only check the file; nothing is written")
    arguments = parser.parse_args()
    try:
        print(_import(arguments.file, only_check=arguments.check))
    except RetentionError as error:
        sys.exit(str(error))


def _import(file: Path, *, only_check: bool) -> str:
    path = os.environ.get("RETENTION_SCHEDULE")
    section = schedule.load(Path(path) if path else None).processors["paper"]
    try:
        content = file.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be read: {error.strerror}.") from None
    papers = importing.parse(content, categories={c for named in section.datasets.values() for c in named})
    if only_check:
        return f"{len(papers)} papers in {len({p.box for p in papers})} boxes: the file is right, nothing was written."
    engine = database.connect(Connection.from_environment("accounts_db"))
    name = str(section.settings.get("register_table", "paper_register"))
    done = importing.store(engine, papers, name=name)
    return f"{done.new} papers added, {done.moved} moved, {done.same} known already."


if __name__ == "__main__":
    main()
