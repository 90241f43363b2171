"""The archive from the command line: `inventory`, `retrieve`, `crypto-erase`, `recover-keys`.

Reads `AIRFLOW_CONN_RETENTION_DB`, `AIRFLOW_CONN_ARCHIVE_STORE`, `AIRFLOW_CONN_ARCHIVE_KEK` (and, for `crypto-erase`,
`AIRFLOW_CONN_ACCOUNTS_DB`) as Airflow does. People are named by role and pseudonym, never by name.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection as Transaction
from sqlalchemy import Engine

from include import accounts, database, keys
from include.archive import backups, chart, holding, inventory, recovery
from include.archive.entries import EVENTS, base, entry_of
from include.archive.erasure import crypto_erase
from include.archive.facts import ObjectFacts, Recorder
from include.archive.keyring import ArchiveKeys
from include.archive.retrieval import PURPOSES, READERS, retrieve, same_name
from include.archive.store import ArchiveStore
from include.connections import Connection
from include.errors import DecisionRefused, RetentionError
from include.evidence.log import stage
from include.policy import schedule as schedules

if TYPE_CHECKING:
    from include.policy.schedule import Schedule


@dataclass(frozen=True, slots=True)
class Desk:
    """What every command needs."""

    engine: Engine
    store: ArchiveStore
    keys: ArchiveKeys
    schedule: Schedule
    as_of: date

    def recorder(self, people: Mapping[str, Any]) -> Recorder:
        """Return what stages entries that name who asked and who agreed."""

        def record(transaction: Transaction, facts: ObjectFacts) -> None:
            if facts.event in EVENTS:
                given = base(self.as_of.isoformat(), self.schedule.sha256)
                stage(transaction, [entry_of(facts, given | dict(people))])

        return record


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry one command out; return 1 when the archive is not as it should be."""
    asked = _parser().parse_args(arguments)
    try:
        desk = Desk(
            database.connect(Connection.from_environment("retention_db")),
            ArchiveStore.of(Connection.from_environment("archive_store")),
            ArchiveKeys.of(keys.wrapper(Connection.from_environment("archive_kek"))),
            schedules.load(os.environ.get("RETENTION_SCHEDULE") or None),
            asked.as_of,
        )
        code: int = asked.carry_out(desk, asked)
    except RetentionError as error:
        print(error, file=sys.stderr)
        return 1
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m include.archive", description=__doc__)
    parser.add_argument(
        "--as-of", type=date.fromisoformat, default=datetime.now(ZoneInfo("Asia/Seoul")).date(), help="default: today"
    )
    commands = parser.add_subparsers(dest="command", required=True)
    table = commands.add_parser("inventory", help="what is kept per law and year, and what should not be")
    table.add_argument("--csv", type=Path, help="write the table here")
    table.add_argument("--png", type=Path, help="write a chart here")
    table.set_defaults(carry_out=_inventory)
    read = commands.add_parser("retrieve", help="read one account's archived records")
    read.add_argument("--purpose", required=True, help=", ".join(sorted(PURPOSES)))
    read.set_defaults(carry_out=_retrieve)
    erase = commands.add_parser("crypto-erase", help="destroy one account's keys before the day")
    erase.set_defaults(carry_out=_crypto_erase)
    for command in (read, erase):
        command.add_argument("--account", required=True)
        command.add_argument("--reader", required=True, help="your pseudonym, e.g. e-0001; never a name")
        command.add_argument("--role", required=True, help=", ".join(sorted(READERS)))
        command.add_argument("--approver", required=True, help="the pseudonym of a second person")
    back = commands.add_parser("recover-keys", help="bring objects and keys back into a database that lost them")
    back.set_defaults(carry_out=_recover)
    return parser


def _inventory(desk: Desk, asked: argparse.Namespace) -> int:
    lines = inventory.table(desk.engine, as_of=desk.as_of)
    print(f"{'law':<6}{'year':>6}{'objects':>9}{'rows':>9}{'subjects':>10}  {'first end':<12}{'last end':<12}overdue")
    for line in lines:
        print(
            f"{line.rule_id:<6}{line.year:>6}{line.objects:>9}{line.rows:>9}{line.subjects:>10}  "
            f"{line.first_end!s:<12}{line.last_end!s:<12}{line.overdue}"
        )
    if asked.csv:
        asked.csv.write_bytes(inventory.to_csv(lines))
    if asked.png:
        titles = {rule.id: rule.title.ko for rule in desk.schedule.rules.values()}
        asked.png.write_bytes(chart.to_png(lines, titles, as_of=desk.as_of.isoformat()))
    unread: list[str] = []
    excess = list(
        inventory.excess(desk.engine, desk.store, keys=desk.keys, items=desk.schedule.kept_items, unread=unread)
    )
    wrong = {
        "rows with items beyond their list": len(excess),
        "objects that outlived their basis": sum(line.overdue for line in lines),
        "objects the bucket does not hold": len(inventory.missing(desk.engine, desk.store)),
        "objects without a backup of their keys": len(backups.unsaved(desk.engine, desk.store)),
    }
    _remember(desk, lines, Counter(e.rule_id for e in excess), Counter(key.split("/")[1] for key in unread))
    for what, count in wrong.items():
        print(f"{what}: {count or 'none'}")
    early = sum(line.billed_early for line in lines)
    print(f"objects not looked into because they must be restored first: {len(unread) or 'none'}")
    print(f"objects that leave their storage class before its minimum days: {early or 'none'}")
    print(f"keys in the bucket that nothing names: {len(inventory.strangers(desk.engine, desk.store)) or 'none'}")
    return 1 if any(wrong.values()) else 0


def _remember(desk: Desk, lines: Sequence[inventory.Line], excess: Counter[str], unread: Counter[str]) -> None:
    """Record what was found under each law: every row was decrypted for it, and `ask beyond-list` answers from it."""
    given = base(desk.as_of.isoformat(), desk.schedule.sha256) | {"event": "archive_inventory"}
    entries = []
    for rule_id in sorted({line.rule_id for line in lines}):
        mine = [line for line in lines if line.rule_id == rule_id]
        counts = {
            "objects": sum(line.objects for line in mine),
            "beyond_list": excess[rule_id],
            "unread": unread[rule_id],
            "outlived": sum(line.overdue for line in mine),
            "billed_early": sum(line.billed_early for line in mine),
        }
        entries.append(given | {"rule_id": rule_id, "rows": sum(line.rows for line in mine), "counts": counts})
    with desk.engine.begin() as transaction:
        stage(transaction, entries or [given | {"counts": {"objects": 0}}])


def _retrieve(desk: Desk, asked: argparse.Namespace) -> int:
    reading = retrieve(
        desk.engine,
        desk.store,
        asked.account,
        purpose=asked.purpose,
        reader=asked.reader,
        role=asked.role,
        approver=asked.approver,
        as_of=desk.as_of,
        keys=desk.keys,
        record=desk.recorder(_people(asked)),
    )
    for row in reading.rows:
        print(row.encode().decode())
    print(f"{len(reading.rows)} records in {reading.objects} objects; this look was logged.", file=sys.stderr)
    if reading.due_at:
        print(f"{reading.pending} objects are being restored: ask again on {reading.due_at}.", file=sys.stderr)
    return 0


def _crypto_erase(desk: Desk, asked: argparse.Namespace) -> int:
    if asked.role != desk.schedule.privacy_officer_role:
        raise DecisionRefused(
            f"Only the role {desk.schedule.privacy_officer_role!r} may destroy keys before their day."
        )
    if same_name(asked.approver) == same_name(asked.reader):
        raise DecisionRefused("Destroying keys needs a second person: name an approver who is not you.")
    company = accounts.Accounts(
        database.connect(Connection.from_environment("accounts_db")), desk.schedule.processors["own_database"].settings
    )
    days = desk.schedule.settings.archive.key_backup_days
    count = crypto_erase(
        desk.engine,
        desk.store,
        asked.account,
        keys=desk.keys,
        as_of=desk.as_of,
        record=desk.recorder(_people(asked)),
        placed=holding.placed(desk.schedule, desk.as_of),
        computed=holding.computed(desk.schedule, desk.as_of, company.computed_holds([asked.account])),
        key_backup_days=days,
    )
    print(f"crypto_erase, not deletion: keys of {count} objects destroyed; backups may hold them for {days} days.")
    return 0


def _recover(desk: Desk, _asked: argparse.Namespace) -> int:
    def told(report: recovery.Recovery) -> None:
        with desk.engine.begin() as transaction:
            counts = {"objects": report.objects, "keys": report.keys, "dropped": report.dropped}
            given = base(desk.as_of.isoformat(), desk.schedule.sha256)
            stage(transaction, [given | {"event": "restored", "counts": counts}])

    report = recovery.recover(desk.engine, desk.store, desk.keys, told)
    print(f"{report.objects} objects with {report.keys} keys are back; {report.dropped} destroyed keys left again.")
    return 0


def _people(asked: argparse.Namespace) -> dict[str, Any]:
    return {
        "actor": {"role": asked.role, "pseudonym": asked.reader},
        "approver": {"role": "approver", "pseudonym": asked.approver},
    }


if __name__ == "__main__":
    sys.exit(main())
