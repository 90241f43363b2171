"""What a person decides, from the command line. `python -m include.disposals COMMAND --help` explains each.

    printf 'someone@example.com' | python -m include.disposals find --role operator --pseudonym e-0003
    printf 'name …\ncompany …'   | python -m include.disposals find …        # or business_no

What is looked for comes over standard input, because arguments show in the list of processes.
Connections are read from `AIRFLOW_CONN_…`, as Airflow does. The command line trusts the login name it is given: two
persons on one shell account are told apart by name only (docs/limits.md).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

from include import database, keys, processors
from include.accounts import Accounts
from include.connections import Connection
from include.disposals import approving, guards, resurfacing, stopping
from include.disposals import commands as reading
from include.disposals.approvals import Staff, staff
from include.disposals.finding import look_up
from include.disposals.holds import open_holds
from include.disposals.manual import Proof, answer, open_orders
from include.disposals.settled import look_again
from include.disposals.tonight import tonight
from include.errors import RetentionError
from include.evidence.lookups import Person
from include.evidence.tags import SubjectTags

Arguments = argparse.Namespace
Carrier = Callable[[Arguments], str]
DAY = timedelta(days=1)


def main() -> None:
    """Carry one decision out; a refusal is one clear line and exit code 1."""
    arguments = _parser().parse_args()
    try:
        print(arguments.carry_out(arguments))
    except RetentionError as error:
        sys.exit(str(error))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m include.disposals", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    def add(
        name: str, carry_out: Callable[[Arguments], str], words: str, *, pair: bool = False
    ) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=words, description=words)
        command.add_argument("--role", required=True, help="your role, e.g. privacy_officer")
        if pair:
            command.add_argument("--login", required=True, help="your login name; compared, never put into evidence")
        else:
            command.add_argument("--pseudonym", required=True, help="your pseudonym, e.g. e-0001; never a name")
        command.set_defaults(carry_out=carry_out)
        return command

    approve = add("approve-schedule", _approve_schedule, "let RETENTION_SCHEDULE (or the packaged file) govern")
    approve.add_argument(
        "--change", choices=approving.CHANGES, help="what it changes for people; default: first or none"
    )
    approve.add_argument("--notice-sent-on", type=date.fromisoformat, help="the day the notice of it was sent")
    approve.add_argument("--effective-on", type=date.fromisoformat, help="default: today")
    add("find", _find, "find an account id by e-mail, login id, or name with company or number (standard input)")
    stop = add("stop", _stop, "halt every act before its next call, and start the breach clock")
    stop.add_argument("--reason", required=True, choices=stopping.REASONS)
    add("ask-release", _ask_release, "ask a second person to release the stop", pair=True)
    release = add("release-stop", _release, "let acts go on, as the second person", pair=True)
    release.add_argument("--approval", required=True, type=UUID, help="the id that ask-release printed")
    assess = add("assess", _assess, "end a stop's breach clock with what was found")
    assess.add_argument("--stop-id", required=True, type=UUID)
    assess.add_argument("--finding", required=True, choices=stopping.FINDINGS)
    sign = add("cpo-check", _cpo_check, "sign a month's ledger as the privacy officer")
    sign.add_argument("--month", required=True, help="YYYY-MM, a month that is over")
    dry = commands.add_parser("tonight", help="dry run: what the next night would act on, in counts with their rules")
    dry.set_defaults(carry_out=_tonight)
    standing = commands.add_parser("holds", help="the holds that stand, with the day of their review")
    standing.set_defaults(carry_out=_holds)
    orders = commands.add_parser("manual", help="the open orders of what only a person can do, with the words to send")
    orders.set_defaults(carry_out=_manual)
    proof = add("answer-manual", _answer, "give the proof that closes an order")
    proof.add_argument("--order", required=True, type=UUID)
    proof.add_argument("--reference", required=True, help="the number of the signed report or of the confirmation")
    proof.add_argument("--done-on", required=True, type=date.fromisoformat)
    proof.add_argument("--method", required=True, help="shred, incinerate, vendor_confirmation, removed, ...")
    proof.add_argument("--executor", required=True, help="role and pseudonym, e.g. records_office:e-0012")
    proof.add_argument("--witness", help="for paper: another person")
    again = add("look-again", _look_again, "let disposals go on whose trouble at a place you have put right")
    again.add_argument("--processor", required=True, choices=processors.names())
    again.add_argument("--code", required=True, help="the code the night's report names, e.g. requester_changed")
    seen = commands.add_parser("sightings", help="who was erased and may be back, to be decided by a person")
    seen.set_defaults(carry_out=_sightings)
    decide = add("decide-sighting", _decide, "say who was seen: somebody in their own right, or to be erased again")
    decide.add_argument("--sighting", required=True, type=UUID)
    decide.add_argument("--as", dest="who", required=True, choices=("new_person", "erase_again"))
    reading.add_vendor_request(add)
    reading.add_simulate(
        commands.add_parser("simulate", help="compare two schedules over the accounts of today; changes nothing")
    )
    status = commands.add_parser("status", help="what stands, and what a person must do")
    status.set_defaults(carry_out=_status)
    return parser


def _who(arguments: Arguments) -> str:
    return f"{arguments.role}:{arguments.pseudonym}"


def _person(arguments: Arguments) -> Staff:
    return staff(arguments.login, arguments.role, keys.wrapper(Connection.from_environment("archive_kek")))


def _approve_schedule(arguments: Arguments) -> str:
    decision = reading.decision()
    notice = approving.Notice(
        change=arguments.change,
        sent_on=arguments.notice_sent_on,
        effective_on=arguments.effective_on or decision.as_of,
    )
    approving.approve_schedule(decision, role=arguments.role, pseudonym=arguments.pseudonym, notice=notice)
    return f"Schedule version {decision.schedule.sha256[:12]} governs from {notice.effective_on}."


def _find(arguments: Arguments) -> str:
    decision = reading.decision()
    settings = decision.schedule.processors["own_database"].settings
    found = look_up(
        decision.engine,
        Accounts(database.connect(Connection.from_environment("accounts_db")), settings),
        SubjectTags(keys.epochs(Connection.from_environment("evidence_tags"))),
        text=sys.stdin.read(4096),
        by=Person.parse(_who(arguments)),
        on=decision.as_of,
    )
    return "\n".join(map(str, found)) or "No account matches."


def _stop(arguments: Arguments) -> str:
    stop_id = stopping.set_stop(reading.decision(), reason_code=arguments.reason, set_by=_who(arguments))
    return (
        f"Stopped ({stop_id}): every act is refused before its next call until a second person releases it.\n"
        f"{_status(arguments)}"
    )


def _ask_release(arguments: Arguments) -> str:
    asked = stopping.ask_release(reading.decision(), by=_person(arguments), expires=datetime.now(UTC) + DAY)
    return f"Asked. A second person releases it with: release-stop --approval {asked} --login … --role …"


def _release(arguments: Arguments) -> str:
    stopping.decide_release(reading.decision(), arguments.approval, by=_person(arguments), approved=True)
    return "The stop is released."


def _assess(arguments: Arguments) -> str:
    stopping.assess(reading.decision(), arguments.stop_id, finding=arguments.finding, by=_who(arguments))
    return "The breach clock of this stop has ended."


def _cpo_check(arguments: Arguments) -> str:
    found = approving.sign_ledger(
        reading.decision(), month=arguments.month, role=arguments.role, pseudonym=arguments.pseudonym
    )
    told = ", ".join(f"{code} {n}" for code, n in found.items())
    return f"The ledger of {arguments.month} is signed with: {told}."


def _tonight(_arguments: Arguments) -> str:
    with reading.opened() as context:
        found = tonight(context)
        rules = context.schedule.rules
    lines = [
        f"{processor:>14}  {rule_id:<6} {scope_id:<18} {state:<5} {count:>7}  {rules[rule_id].title.ko} · "
        f"{rules[rule_id].title.en}"
        for (processor, rule_id, scope_id, state), count in sorted(found.items())
    ]
    return "\n".join([*lines, f"{sum(found.values())} disposals, as of {context.as_of}. Nothing was stored."])


def _holds(_arguments: Arguments) -> str:
    with reading.decision().engine.connect() as connection:
        rows = open_holds(connection)
    return (
        "\n".join(
            f"{r.hold_id}  {r.kind} {r.reason_code}, placed {r.placed_on}, review due {r.review_due}" for r in rows
        )
        or "No hold stands."
    )


def _manual(_arguments: Arguments) -> str:
    with reading.decision().engine.connect() as connection:
        orders = open_orders(connection)
    told: list[str] = []
    for order in orders:
        box = f", box {order.box}" if order.box else ""
        told.append(
            f"{order.order_id}  {order.processor} {order.code}{box}: {order.records} disposals, due {order.due}, "
            f"request {order.request_id}"
        )
    words = {o.request_id: o for o in orders}
    texts = [f"\nTo {o.to}: {o.subject}\n{o.body}" for o in words.values()]
    return "\n".join([*told, *texts]) or "No order is open."


def _answer(arguments: Arguments) -> str:
    proof = Proof(arguments.reference, arguments.done_on, arguments.method, arguments.executor, arguments.witness)
    with reading.opened() as context:
        site = processors.Site(
            Connection.from_environment("accounts_db"), context.schedule.processors["paper"].settings, context.as_of,
            accounts=database.connect(Connection.from_environment("accounts_db")),
        )  # fmt: skip
        connect = (lambda: processors.load("paper")(site)) if arguments.method in ("shred", "incinerate") else None
        closed = answer(context, arguments.order, proof, by=_who(arguments), connect=connect)
    return f"{closed} disposals attested."


def _look_again(arguments: Arguments) -> str:
    count = look_again(reading.decision(), processor=arguments.processor, code=arguments.code, by=_who(arguments))
    return f"{count} disposals are due again; the next run takes them up."


def _sightings(_arguments: Arguments) -> str:
    with reading.decision().engine.connect() as connection:
        rows = resurfacing.undecided(connection)
    return "\n".join(f"{r.sighting_id}  {r.processor}, by {r.kind}, seen {r.seen_on}" for r in rows) or "Nobody."


def _decide(arguments: Arguments) -> str:
    new = arguments.who == "new_person"
    resurfacing.decide(reading.decision(), arguments.sighting, new_person=new, by=_who(arguments))
    return "Kept in mind: not asked again." if new else "Start erase_account for the account; this case is closed."


def _status(arguments: Arguments) -> str:
    now, decision = datetime.now(UTC), reading.decision()
    with decision.engine.connect() as connection:
        standing, clocks = stopping.current(connection), stopping.clocks(connection)
        approved = guards.approved_versions(connection).get(decision.schedule.sha256, False)
    lines = [
        f"Stop: {standing.stop_id} ({standing.reason_code})" if standing else "No stop stands.",
        f"Schedule {decision.schedule.sha256[:12]}: {'approved' if approved else 'NOT approved'}",
        *(f"Breach clock of stop {c.stop_id} ({c.reason_code}): {c.hours_left(now):.1f} hours left" for c in clocks),
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
