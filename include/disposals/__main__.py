"""What a person decides, from the command line: `approve-schedule`, `stop`, `release-stop`.

Reads connection `retention_db` from `AIRFLOW_CONN_RETENTION_DB`, as Airflow does.
"""

from __future__ import annotations

import argparse
import os
import sys
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from include import database
from include.connections import Connection
from include.disposals import guards
from include.disposals.context import Decision
from include.errors import ConfigurationError, RetentionError
from include.policy import schedule


def main() -> None:
    """Carry one decision out; a refusal is one clear line and exit code 1."""
    parser = argparse.ArgumentParser(prog="python -m include.disposals", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, words in (
        ("approve-schedule", "let the schedule (RETENTION_SCHEDULE, or the packaged one) govern"),
        ("stop", "halt every act before its next call"),
        ("release-stop", "let acts go on"),
    ):
        command = commands.add_parser(name, help=words)
        command.add_argument("--role", required=True, help="your role, e.g. privacy_officer")
        command.add_argument("--pseudonym", required=True, help="your employee pseudonym, e.g. e-0001; never a name")
        if name == "stop":
            command.add_argument("--reason", required=True, help="a code word, e.g. wrong_deletion")
    arguments = parser.parse_args()
    try:
        print(_carry_out(arguments))
    except RetentionError as error:
        sys.exit(str(error))


def _carry_out(arguments: argparse.Namespace) -> str:
    text = os.environ.get("AIRFLOW_CONN_RETENTION_DB")
    if not text:
        raise ConfigurationError(
            "AIRFLOW_CONN_RETENTION_DB is not set. Export it as Airflow has it, then run this again."
        )
    path = os.environ.get("RETENTION_SCHEDULE")
    engine = database.connect(Connection.from_json("retention_db", text))
    decision = Decision(
        engine, schedule.load(Path(path) if path else None), datetime.now(ZoneInfo("Asia/Seoul")).date()
    )
    if arguments.command == "approve-schedule":
        guards.approve_schedule(decision, role=arguments.role, pseudonym=arguments.pseudonym)
        return f"Schedule version {decision.schedule.sha256[:12]} governs."
    who = f"{arguments.role}:{arguments.pseudonym}"
    if arguments.command == "stop":
        guards.set_stop(decision, reason_code=arguments.reason, set_by=who)
        return "Stopped: every act is refused before its next call until the stop is released."
    guards.release_stop(decision, released_by=who)
    return "The stop is released."


if __name__ == "__main__":
    main()
