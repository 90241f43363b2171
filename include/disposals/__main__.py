"""What a person decides, from the command line: `approve-schedule`, `stop`, `release-stop`; and `find`.

    printf 'someone@example.com' | python -m include.disposals find --role operator --pseudonym e-0003
    printf 'name …\ncompany …'   | python -m include.disposals find …        # or business_no

Reads the connections from `AIRFLOW_CONN_RETENTION_DB` (and, for `find`, `…_ACCOUNTS_DB` and `…_EVIDENCE_TAGS`), as
Airflow does. What is looked for comes over standard input, because arguments show in the list of processes.
"""

from __future__ import annotations

import argparse
import os
import sys
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from include import database, keys
from include.accounts import Accounts
from include.connections import Connection
from include.disposals import guards
from include.disposals.context import Decision
from include.disposals.finding import look_up
from include.errors import ConfigurationError, RetentionError
from include.evidence.lookups import Person
from include.evidence.tags import SubjectTags
from include.policy import schedule


def main() -> None:
    """Carry one decision out; a refusal is one clear line and exit code 1."""
    parser = argparse.ArgumentParser(prog="python -m include.disposals", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, words in (
        ("approve-schedule", "let the schedule (RETENTION_SCHEDULE, or the packaged one) govern"),
        ("stop", "halt every act before its next call"),
        ("release-stop", "let acts go on"),
        ("find", "find an account id by e-mail, login id, or name with company or business number (standard input)"),
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


def _connection(name: str) -> Connection:
    variable = f"AIRFLOW_CONN_{name.upper()}"
    text = os.environ.get(variable)
    if not text:
        raise ConfigurationError(f"{variable} is not set. Export it as Airflow has it, then run this again.")
    return Connection.from_json(name, text)


def _find(decision: Decision, by: Person) -> str:
    settings = decision.schedule.processors["own_database"].settings
    found = look_up(
        decision.engine,
        Accounts(database.connect(_connection("accounts_db")), settings),
        SubjectTags(keys.epochs(_connection("evidence_tags"))),
        text=sys.stdin.read(4096),
        by=by,
        on=decision.as_of,
    )
    return "\n".join(map(str, found)) or "No account matches."


def _carry_out(arguments: argparse.Namespace) -> str:
    path = os.environ.get("RETENTION_SCHEDULE")
    engine = database.connect(_connection("retention_db"))
    decision = Decision(
        engine, schedule.load(Path(path) if path else None), datetime.now(ZoneInfo("Asia/Seoul")).date()
    )
    if arguments.command == "approve-schedule":
        guards.approve_schedule(decision, role=arguments.role, pseudonym=arguments.pseudonym)
        return f"Schedule version {decision.schedule.sha256[:12]} governs."
    if arguments.command == "find":
        return _find(decision, Person.parse(f"{arguments.role}:{arguments.pseudonym}"))
    who = f"{arguments.role}:{arguments.pseudonym}"
    if arguments.command == "stop":
        guards.set_stop(decision, reason_code=arguments.reason, set_by=who)
        return "Stopped: every act is refused before its next call until the stop is released."
    guards.release_stop(decision, released_by=who)
    return "The stop is released."


if __name__ == "__main__":
    main()
