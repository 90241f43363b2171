"""`python -m include.evidence ask QUESTION`: one answer, its entries, and their proofs.

    ask late --folder EXPORT                     from an exported folder
    ask due-not-done --on 2026-11-24             from the log's database (AIRFLOW_CONN_RETENTION_DB)
    ask late --language ko                       in Korean; `en` in English; else as LANG says
    ask was-destroyed --by compliance:e-0007 < id.txt      the account id is read from standard input
    ask was-destroyed --folder EXPORT --opening FILE       an auditor, without keys or database
    ask open-tag 2026 --by … < id.txt            what convinces an auditor about one account (FILE above)
    ask prove-row 1234                           the entry and its `.tlog-proof`
    ask not-rewritten OLD_CHECKPOINT --vkey FILE is the log of the last audit the beginning of this one?

A look-up computes tags with the company's keys (connection `evidence_tags`, a key file or KMS; `--keys` names a folder
instead) and is recorded in the database, wherever the answer then comes from. An opening needs no key: whoever made it
was recorded.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from datetime import UTC, datetime, timedelta, timezone
from importlib import import_module
from pathlib import Path
from typing import Any

from include.connections import Connection
from include.database import connect
from include.errors import ConfigurationError, DecisionRefused, EvidenceError, RetentionError
from include.evidence.answers import Answer, Asked, Question
from include.evidence.entries import SCHEMA, canonical
from include.evidence.lookups import Person, destroy_epoch, keys_in, look_up
from include.evidence.note import open_checkpoint
from include.evidence.proofs import check_row
from include.evidence.questions import QUESTIONS
from include.evidence.questions_cold import COLD
from include.evidence.questions_records import RECORDS
from include.evidence.sources import DatabaseSource, FolderSource, Source, same_history
from include.evidence.tags import SubjectTags
from include.evidence.verify import Flaw, Opening, spelled

EVERY: dict[str, Question] = QUESTIONS | RECORDS | COLD
LANGUAGES = ("ko", "en")
SEOUL = timezone(timedelta(hours=9))
PROOFS = 3
"""How many of an answer's entries are proven on the spot; `prove-row` proves any other."""


def parser() -> argparse.ArgumentParser:
    """Return the command line of `ask`, one command a question."""
    today = datetime.now(SEOUL).date().isoformat()
    top = argparse.ArgumentParser(prog="python -m include.evidence ask", description="Ask the evidence log.")
    commands = top.add_subparsers(dest="question", required=True, metavar="QUESTION")
    for name, question in EVERY.items():
        command = commands.add_parser(name, help=f"{question.number}. {question.ko} · {question.words}")
        command.add_argument(
            "--on", default="" if name == "late" else today, help="business date (default: today in Seoul)"
        )
        if "until" in question.needs:
            command.add_argument("--until", default=today)
        if "index" in question.needs:
            command.add_argument("index", type=int, help="log index")
        if "run_id" in question.needs:
            command.add_argument("run_id", help="run_id as entries carry it")
        if "tags" in question.needs:
            _about_one(command)
    opened = commands.add_parser("open-tag", help="1. Open the tag of one account under one epoch, for an auditor")
    opened.add_argument("epoch", help="the year")
    _about_one(opened)
    for name in ("was-destroyed", "still-held"):
        commands.choices[name].add_argument("--opening", type=Path, help="what `open-tag` printed, instead of any key")
    rewritten = commands.add_parser("not-rewritten", help="7. Was nothing removed or changed since the last audit?")
    rewritten.add_argument("checkpoint", type=Path, help="the checkpoint file of the last audit")
    row = commands.add_parser("prove-row", help="8. Prove this ledger row")
    row.add_argument("index", type=int)
    for command in (rewritten, row):
        command.add_argument("--vkey", type=Path, help="the log's key; without it the folder's own is believed")
    for command in commands.choices.values():
        command.add_argument("--folder", type=Path, help="an exported folder instead of the database")
        command.add_argument("--language", choices=LANGUAGES, default=_language(), help="of the answer")
    return top


def _language() -> str:
    spoken = os.environ.get("LC_ALL") or os.environ.get("LANG") or ""
    return "ko" if spoken.startswith("ko") else "en"


def _about_one(command: argparse.ArgumentParser) -> None:
    command.add_argument("--keys", type=Path, help="folder with <year>.key; default: connection evidence_tags")
    command.add_argument("--account-id", help="better on standard input: a command line can be seen by others")
    command.add_argument("--by", help="who asks, role:pseudonym")
    command.add_argument("--approved-by", help="the second person, role:pseudonym")


def ask(arguments: list[str], *, stdin: Any = None) -> int:
    """Answer one question on standard output; return 0, or 1 when it cannot be answered or the answer is no."""
    options = parser().parse_args(arguments)
    try:
        if options.question == "open-tag":
            return _open_tag(options, stdin or sys.stdin)
        source = _source(options.folder)
        if options.question == "not-rewritten":
            return _not_rewritten(source, options)
        if options.question == "prove-row":
            return _prove_row(source, options)
        asked = _asked(source, options, stdin or sys.stdin)
        _print(source, EVERY[options.question].answer(source.entries(), asked), asked)
    except RetentionError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    return 0


def _source(folder: Path | None) -> Source:
    return FolderSource(folder) if folder is not None else DatabaseSource(_engine())


def _engine() -> Any:
    return connect(Connection.from_environment("retention_db", else_=", or name an export with --folder"))


def _asked(source: Source, options: argparse.Namespace, stdin: Any) -> Asked:
    given = {k: getattr(options, k) for k in ("on", "until", "index", "run_id", "language") if hasattr(options, k)}
    if hasattr(options, "keys"):
        found = _tags(options, stdin)
        given |= {"tags": frozenset(found.values()), "epochs": tuple(found)}
    return Asked(**given, rules=_rules(source, options))


def _rules(source: Source, options: argparse.Namespace) -> bytes | None:
    """Return `rules.json` of the folder, or as an export of the database would hold it, where a question needs it."""
    if options.question != "rule-changes" or options.folder is not None:
        return source.rules()
    return spelled(_above().rules_file(_engine()))


def _tags(options: argparse.Namespace, stdin: Any) -> dict[str, str]:
    """Return the tags that are looked for by epoch: of an opening, or by the company's keys, and then recorded."""
    if options.opening is not None:
        try:
            opened = Opening(options.opening.read_bytes())
        except (OSError, Flaw) as error:
            raise EvidenceError(f"{options.opening.name} opens no tag: {error}") from None
        return {opened.epoch: opened.tag}
    return _recorded(_keys(options), _account(options, stdin), options)


def _account(options: argparse.Namespace, stdin: Any) -> str:
    return str(options.account_id or stdin.readline().rstrip("\r\n"))


def _keys(options: argparse.Namespace) -> SubjectTags:
    """Return the company's tag keys: of a folder of files, or of connection `evidence_tags`, a KMS included."""
    return SubjectTags(keys_in(options.keys) if options.keys is not None else _above().tag_keys())


def _above() -> Any:
    """Return what only a room above this one knows: keys and schedule. The evidence room itself stays apart."""
    return import_module("include.disposals.asking")


def _open_tag(options: argparse.Namespace, stdin: Any) -> int:
    """Print the opening of one tag, once the look-up is recorded: an opening is always made from the database."""
    value, tags = _account(options, stdin), _keys(options)
    opening = tags.open(value, epoch=options.epoch)
    _recorded(tags, value, options)
    shown = {"epoch": opening.epoch, "kind": opening.kind, "value": opening.value, "key": opening.key.hex()}
    print(json.dumps(shown | {"tag": opening.tag}, ensure_ascii=False, indent=1))  # noqa: T201
    return 0


def _recorded(tags: SubjectTags, value: str, options: argparse.Namespace) -> dict[str, str]:
    if not options.by:
        raise DecisionRefused("A look-up with the company's keys is recorded: say who asks, --by role:pseudonym.")
    engine = _engine()
    four_eyes = bool(_above().in_force(engine).settings.lookup_four_eyes)
    with engine.begin() as connection:
        return look_up(
            connection,
            tags,
            value,
            by=Person.parse(options.by),
            approver=Person.parse(options.approved_by) if options.approved_by else None,
            base=base(),
            four_eyes=four_eyes,
        )


def base() -> dict[str, str]:
    """Return the fields every entry has, for one that a person causes now."""
    now = datetime.now(UTC)
    return {
        "schema": SCHEMA,
        "recorded_at": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "as_of": now.astimezone(SEOUL).date().isoformat(),
    }


def _print(source: Source, answer: Answer, asked: Asked) -> None:
    for line in answer.lines:
        print(line)  # noqa: T201
    span = f"{source.first} ~ {source.size - 1}"
    print(  # noqa: T201
        asked.say(
            f"(기록 {source.size}건의 로그; 이 답의 근거: 기록 {span})",
            f"(log of {source.size} entries; this answer rests on {source.first} to {source.size - 1})",
        )
    )
    if not answer.rows:
        none = asked.say(
            "해당하는 기록이 없으므로 모든 기록이 근거임. 그 체크포인트:",
            "none, so it rests on all of them. Their checkpoint:",
        )
        print(f"{none}\n{source.note}", end="")  # noqa: T201
    for index in answer.rows[:PROOFS]:
        print(f"\n{source.proof(index)}", end="")  # noqa: T201
    if rest := ", ".join(map(str, answer.rows[PROOFS:])):
        print("\n" + asked.say(f"{rest}의 증명: ask prove-row N", f"prove any of {rest} with: ask prove-row N"))  # noqa: T201


def _prove_row(source: Source, options: argparse.Namespace) -> int:
    proof = source.proof(options.index)
    body = next(canonical(e) for i, e in source.entries() if i == options.index)
    print(body.decode())  # noqa: T201
    print(proof, end="")  # noqa: T201
    key = _vkey(options)
    if key is not None:
        check_row(proof, body, key)
    print("proven under the key you gave" if key else "give --vkey to have the signature checked too")  # noqa: T201
    return 0


def _not_rewritten(source: Source, options: argparse.Namespace) -> int:
    key = _vkey(options)
    if key is None:
        raise ConfigurationError("The old checkpoint is checked under a key: --vkey FILE.")
    old = open_checkpoint(options.checkpoint.read_text(encoding="utf-8"), [key])
    same = same_history(source, old)
    words = "is the beginning of" if same else "IS NOT the beginning of"
    print(f"the log of {old.size} entries {words} this one of {source.size}")  # noqa: T201
    return 0 if same else 1


def _vkey(options: argparse.Namespace) -> str | None:
    return options.vkey.read_text(encoding="utf-8") if options.vkey else None


def end_epoch(arguments: list[str]) -> int:
    """Destroy the key of an epoch whose evidence term is over."""
    top = argparse.ArgumentParser(prog="python -m include.evidence destroy-epoch", description=end_epoch.__doc__)
    top.add_argument("epoch", help="the year")
    top.add_argument("--keys", type=Path, help="folder with <year>.key; default: that of connection evidence_tags")
    top.add_argument("--by", required=True)
    top.add_argument("--approved-by", required=True)
    options = top.parse_args(arguments)
    try:
        by, approver = Person.parse(options.by), Person.parse(options.approved_by)
        engine, above = _engine(), _above()
        folder = options.keys or Path(above.tags_connection().require("folder"))
        term = above.in_force(engine).settings.evidence_term_years
        destroy_epoch(engine, folder, options.epoch, by=by, approver=approver, base=base(), term_years=term)
    except RetentionError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    print(f"epoch {options.epoch} is destroyed; seal the log so that its entry stands")  # noqa: T201
    return 0
